"""The C of `export.c`: kernels/scalar.h for one double at a time, operation by operation, as portable C99.

Each part has its name, the parts that it calls, and its source; `source(names)` joins what is asked for and what that
calls, in order. tests/test_export.py holds every function to the core's bits.
"""

import re

PARTS: dict[str, tuple] = {}


def _part(name, needs, text):
    PARTS[name] = (needs, text.strip("\n"))


def source(names):
    """The parts `names` and all that they call, each once, in an order that compiles."""
    wanted = []

    def add(name):
        if name not in wanted:
            for needed in PARTS[name][0]:
                add(needed)
            wanted.append(name)

    for name in names:
        add(name)
    return "\n\n".join(PARTS[name][1] for name in wanted)


def table(name):
    """The numbers of one of the tables in the C."""
    text = "\n".join(text for _, text in PARTS.values())
    numbers = re.search(rf"{name}\[\] = {{(.*?)}}", text, re.DOTALL).group(1)
    return [float.fromhex(number) for number in numbers.replace("\n", " ").split(",")]


_part("fma", (), """
/* a b + c, rounded once. Where the processor has no such instruction, or the compiler may not use it, the C library's
 * fma() computes the same, slowly. With -DBACKPROP_NO_FMA it is multiplied and added: other bits, the same bounds. */
#ifdef BACKPROP_NO_FMA
static double fused(double a, double b, double c) { return a * b + c; }
#else
static double fused(double a, double b, double c) { return fma(a, b, c); }
#endif
""")

_part("word", (), """
typedef union { double number; uint64_t bits; } word;
""")

_part("from_bits", ("word",), """
static double from_bits(uint64_t bits) { word w; w.bits = bits; return w.number; }
""")

_part("to_bits", ("word",), """
static uint64_t to_bits(double x) { word w; w.number = x; return w.bits; }
""")

_part("absolute", ("from_bits", "to_bits"), """
static double absolute(double x) { return from_bits(to_bits(x) & ~SIGN_BIT); }
""")

_part("with_sign", ("from_bits", "to_bits"), """
static double with_sign(double size, double sign) {
    return from_bits((to_bits(size) & ~SIGN_BIT) | (to_bits(sign) & SIGN_BIT));
}
""")

_part("larger", (), """
static double larger(double a, double b) { return a > b ? a : b; }
""")

_part("smaller", (), """
static double smaller(double a, double b) { return a < b ? a : b; }
""")

_part("polynomial", ("fma",), """
/* sum_i c[i] x^i, n <= 32: neighbours join into terms in x^2, these into terms in x^4, and so on (Estrin). */
static double polynomial(const double *c, int n, double x) {
    double term[16];
    int m = (n + 1) / 2;
    for (int i = 0; i < m; i++) term[i] = 2 * i + 1 < n ? fused(c[2 * i + 1], x, c[2 * i]) : c[2 * i];
    while (m > 1) {
        x = x * x;
        for (int i = 0; i < (m + 1) / 2; i++)
            term[i] = 2 * i + 1 < m ? fused(term[2 * i + 1], x, term[2 * i]) : term[2 * i];
        m = (m + 1) / 2;
    }
    return term[0];
}
""")

_part("product_error_split", (), """
#ifdef BACKPROP_NO_FMA
/* a b - p for p = a b rounded: exact (Dekker). */
static double product_error(double a, double b, double p) {
    double a_big = a * 0x8000001p0, b_big = b * 0x8000001p0;            /* 2^27 + 1 splits 53 bits into 26 and 26 */
    double a1 = a_big - (a_big - a), b1 = b_big - (b_big - b);
    double a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
}
#endif
""")

_part("product_error_fused", ("fma",), """
#ifndef BACKPROP_NO_FMA
/* a b - p for p = a b rounded: exact. */
static double product_error(double a, double b, double p) { return fused(a, b, -p); }
#endif
""")

_part("residual", ("fma", "product_error_split"), """
/* n - q d where q is n / d to an ulp or so: exact. */
static double residual(double n, double q, double d) {
#ifdef BACKPROP_NO_FMA
    double p = q * d;
    return (n - p) - product_error(q, d, p);
#else
    return fused(-q, d, n);
#endif
}
""")

_part("shift", ("fma", "from_bits", "to_bits"), """
/* Adding SHIFT rounds a small number to an integer n and leaves n + 1023, a biased exponent, in the low bits. */
#define SHIFT 0x1.80000000003ffp52
""")

_part("power_of_2", ("shift",), """
/* 2^n for whole n in [-1022, 1023]. */
static double power_of_2(double n) { return from_bits(to_bits(n + SHIFT) << 52); }
""")

_part("scale", ("power_of_2",), """
/* p 2^n for whole n in [-2044, 2046], rounded once where the result is subnormal. */
static double scale(double p, double n) {
    double shifted = fused(n, 0.5, SHIFT);
    double half = shifted - SHIFT;
    return p * from_bits(to_bits(shifted) << 52) * power_of_2(n - half);
}
""")

_part("exponential", ("shift", "polynomial"), """
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa3800p-1
#define LN2_LOW 0x1.ef35793c76730p-45

/* (e^r - 1 - r - r^2/2) / r^3 for |r| <= 0.34661. */
static const double EXP_SERIES[] = {
    0x1.5555555555556p-3, 0x1.5555555555555p-5, 0x1.11111111109b3p-7, 0x1.6c16c16c167e1p-10,
    0x1.a01a01a7c41d5p-13, 0x1.a01a01a47b054p-16, 0x1.71de0dae63bb3p-19, 0x1.27e4e1f48534fp-22,
    0x1.af38a9b0ec855p-26, 0x1.1f66df7fca49fp-29};

/* e^x = 2^n (1 + s + s_low); power is 2^n for -1023 < n < 1024. */
typedef struct { double n, power, s, s_low; } exponential_parts;

/* e^(x + x_low) for |x| < 1200. */
static exponential_parts exponential(double x, double x_low) {
    exponential_parts e;
    double shifted = fused(x, LOG2_E, SHIFT);
    e.n = shifted - SHIFT;
    e.power = from_bits(to_bits(shifted) << 52);
    double high = fused(e.n, -LN2_HIGH, x);
    double low = e.n * LN2_LOW - x_low;
    double r = high - low;
    double c = (high - r) - low;
    double r2 = r * r, r3 = r2 * r, r4 = r2 * r2;
    double front = fused(r3, polynomial(EXP_SERIES, 4, r), fused(0.5 * r, r, c));
    double tail = fused(r3 * r4, polynomial(EXP_SERIES + 4, 6, r), front);
    e.s = r + tail;
    e.s_low = (r - e.s) + tail;
    return e;
}
""")

_part("exp", ("exponential", "scale", "larger", "smaller"), """
static double act_exp(double x) {
    exponential_parts e = exponential(larger(-746.0, smaller(710.0, x)), 0.0);
    return scale(1.0 + e.s, e.n);
}
""")

_part("elu", ("exponential", "scale", "larger", "smaller", "with_sign"), """
/* e^x - 1 = 2^n ((1 - 2^-n) + s + s_low). */
static double expm1_of(double x) {
    exponential_parts e = exponential(larger(-40.0, smaller(710.0, x)), 0.0);
    double a = 1.0 - power_of_2(-smaller(64.0, e.n));
    double sum = a + e.s, b = sum - a;
    double error = (a - (sum - b)) + (e.s - b);
    return with_sign(scale(sum + (error + e.s_low), e.n), x);
}

static double act_elu(double x) { return x > 0.0 ? x : expm1_of(x); }
""")

_part("pair", (), """
/* An unevaluated sum. */
typedef struct { double high, low; } pair;
""")

_part("log_pair", ("pair", "fma", "product_error_split", "polynomial", "exponential"), """
/* (2 atanh(s) / s - 2) / z with z = s^2 in [0, 0.02944]. */
static const double LOG_SERIES[] = {
    0x1.5555555555558p-1, 0x1.99999999952d8p-2, 0x1.2492492df26cep-2, 0x1.c71c62e40b94ep-3,
    0x1.7462b5152e8a6p-3, 0x1.39fe52a20dc69p-3, 0x1.2b58f4c8d5f63p-3};

/* k ln 2 + log(1 + f + f_low). */
static pair log_pair(double k, double f, double f_low) {
    pair sum;
    double whole = k * LN2_HIGH;
    sum.high = whole + f;
    double rest = ((whole - sum.high) + f) + fused(k, LN2_LOW, f_low);
    double s = f / (2.0 + f);
    double z = s * s, half = 0.5 * f;
    double halved = half * f;
#ifdef BACKPROP_NO_FMA
    rest = rest - product_error(half, f, halved);
#endif
    double square = fused(-half, f, fused(s, halved, rest));
    sum.low = fused(s * z, polynomial(LOG_SERIES, 7, z), square);
    return sum;
}
""")

_part("exp_minus_abs", ("pair", "exponential", "scale", "larger"), """
/* e^-|x| in two parts; 0 for x below -746. */
static pair exp_minus_abs(double x) {
    pair E;
    exponential_parts e = exponential(larger(-746.0, from_bits(to_bits(x) | SIGN_BIT)), 0.0);
    double p = 1.0 + e.s;
    E.high = scale(p, e.n);
    E.low = scale(((1.0 - p) + e.s) + e.s_low, e.n);
    return E;
}
""")

_part("sigmoid", ("exponential", "scale", "larger", "residual"), """
/* 1 / D or E / D with E = e^-|x| and D = 1 + E, the quotient corrected by its residual. */
static double act_sigmoid(double x) {
    exponential_parts e = exponential(larger(-746.0, x < 0.0 ? x : -x), 0.0);
    double E = scale(1.0 + e.s, e.n);
    double D = 1.0 + E, D_low = (1.0 - D) + E;
    double N = x < 0.0 ? E : 1.0;
    double q = N / D;
    double rest = fused(-q, D_low, residual(N, q, D));
    return fused(rest, x < 0.0 ? 1.0 - q : q, q);
}
""")

_part("tanh", ("exponential", "absolute", "smaller", "with_sign", "residual"), """
/* tanh |x| = N / (2 - N) with N = 1 - e^(-2|x|), the quotient corrected by its residual. */
static double act_tanh(double x) {
    exponential_parts e = exponential(-2.0 * smaller(22.0, absolute(x)), 0.0);
    double a = 1.0 - e.power, b = e.power * e.s;
    double N = a - b, N_low = (((1.0 - a) - e.power) + ((a - N) - b)) - e.power * e.s_low;
    double D = 2.0 - N, D_low = ((2.0 - D) - N) - N_low;
    double q = N / D;
    double rest = residual(N, q, D) + fused(-q, D_low, N_low);
    return with_sign(fused(rest, fused(0.5, q, 0.5), q), x);
}
""")

_part("softplus", ("exp_minus_abs", "log_pair"), """
/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
static double act_softplus(double x) {
    pair E = exp_minus_abs(x);
    int large = E.high > 0x1.a827999fcef32p-2;                          /* sqrt 2 - 1 */
    double half = 0.5 * E.high, g = half - 0.5, g_low = ((-0.5 - g) + half) + 0.5 * E.low;
    pair sum = log_pair(large ? 1.0 : 0.0, large ? g : E.high, large ? g_low : E.low);
    double base = larger(0.0, x);
    double total = base + sum.high, part = total - base;
    double error = (base - (total - part)) + (sum.high - part);
    return x > 40.0 ? x : total + (error + sum.low);
}
""")

_part("gelu", ("exponential", "scale", "residual", "product_error_fused", "absolute", "smaller"), """
#define INV_SQRT_2PI 0x1.9884533d43651p-2
#define INV_SQRT_2PI_LOW -0x1.cbc0d30ebfd15p-56

/* ((Phi(t) - 1/2) / t - 1 / sqrt(2 pi)) / u with u = t^2 in [0, 1]. */
static const double NORMAL_CENTRE[] = {
    -0x1.1058377e2cee0p-4, 0x1.46d04297691b3p-7, -0x1.37403f6b9e92ep-10, 0x1.e42b0d5018568p-14,
    -0x1.3ce8fa5956378p-17, 0x1.658a0915f4f3fp-21, -0x1.621eedb7a1858p-25, 0x1.38296afaae996p-29,
    -0x1.e8735d76485c5p-34, 0x1.24bae2fbb204cp-38};

/* (t + 5) e^(t^2/2) Phi(-t) in w = (t - 5) / (t + 5), for t in [1, 39]. */
static const double NORMAL_TAIL[] = {
    0x1.89d3abe1f95aep-1, -0x1.54ad03f27ca18p-1, 0x1.fb31653876f8bp-2, -0x1.410ed5f875939p-2,
    0x1.51f6329f01a59p-3, -0x1.1b1c254ca5049p-4, 0x1.54b4d4f49d418p-6, -0x1.88590e952fa02p-9,
    -0x1.a250379ac1548p-11, 0x1.1daf1a3d9506fp-11, -0x1.f2147fe424875p-15, -0x1.a16fc63fe3316p-15,
    0x1.17de3bf920facp-16, 0x1.0b0981f8d4c9ap-18, -0x1.73c73c0231c4ep-19, -0x1.6528f71dcdb5ap-22,
    0x1.d26eb59f89f01p-22, 0x1.39b88b8e84440p-25, -0x1.203708d2b283fp-24, -0x1.3753d13d3619bp-28,
    0x1.11d69a1b849e4p-27};

/* Phi(-t) for t in [1, 39], given t^2/2 = q + q_low. */
static double normal_tail(double t, double q, double q_low) {
    exponential_parts e = exponential(-q, -q_low);
    double above = t + 5.0, t_part = above - 5.0, above_low = (5.0 - (above - t_part)) + (t - t_part);
    double below = t - 5.0, below_low = t - (below + 5.0);
    double inverse = 1.0 / above;
    double inverse_low = inverse * (residual(1.0, inverse, above) - inverse * above_low);
    double quotient = below * inverse, quotient_low = product_error(below, inverse, quotient);
    double w = quotient + (quotient_low + fused(below, inverse_low, below_low * inverse));
    double wR = w * fused(w, polynomial(NORMAL_TAIL + 2, 19, w), NORMAL_TAIL[1]);
    double P = NORMAL_TAIL[0] + wR, P_low = (NORMAL_TAIL[0] - P) + wR;
    double factor = P * inverse;
    double factor_low = fused(P, inverse_low, fused(P_low, inverse, product_error(P, inverse, factor)));
    double more = fused(factor, e.s, fused(factor, e.s_low, factor_low));
    return scale(factor + more, e.n);
}

/* The standard normal distribution function. */
static double normal_cdf(double x) {
    double t = smaller(39.0, absolute(x)), half = 0.5 * t;
    double q = half * t;
    if (absolute(x) < 1.0) {
        double u = x * x, bend = u * polynomial(NORMAL_CENTRE, 10, u), slope = bend + INV_SQRT_2PI;
        double slope_low = (INV_SQRT_2PI - slope) + bend + INV_SQRT_2PI_LOW;
        double rise = x * slope, rise_low = fused(x, slope_low, product_error(x, slope, rise));
        double sum = 0.5 + rise;
        return sum + (((0.5 - sum) + rise) + rise_low);
    }
    double lower = normal_tail(t, q, product_error(half, t, q));
    return x > 0.0 ? 1.0 - lower : lower;
}

static double act_gelu(double x) { return x * normal_cdf(x); }
""")

_part("silu", ("sigmoid",), """
static double act_silu(double x) { return x * act_sigmoid(x); }
""")

_part("relu", (), """
static double act_relu(double x) { return x > 0.0 ? x : 0.0; }
""")

_part("leaky_relu", (), """
static double act_leaky_relu(double x) { return x > 0.0 ? x : x * 0.01; }
""")

_part("tree", (), """
/* A fixed tree over eight lanes. */
static double tree(const double *lane) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
""")

_part("softmax", ("exp", "tree"), """
/* a_i := e^(a_i - m) / sum_k e^(a_k - m) with m the largest a. */
static void softmax(double *a, int n) {
    double m = a[0], lane[8] = {0.0}, total;
    for (int i = 1; i < n; i++) if (a[i] > m) m = a[i];
    for (int i = 0; i < n; i++) a[i] = act_exp(a[i] - m);
    for (int i = 0; i < n; i++) lane[i % 8] += a[i];
    total = tree(lane);
    for (int i = 0; i < n; i++) a[i] /= total;
}
""")

_part("layer", ("fma",), """
/* a = x W + b for W (n, m) in C order: one chain of fused multiply-adds per output, in the order of the inputs. */
static void layer(const double *x, const double *W, const double *b, double *a, int n, int m) {
    for (int i = 0; i < m; i++) a[i] = b[i];
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) a[i] = fused(x[j], W[(size_t)j * (size_t)m + (size_t)i], a[i]);
}
""")

_part("units", ("fma", "tree"), """
/* a = W x + b for W (m, n) in C order: eight chains per output, lane k with inputs k, k + 8, ..., and their tree. */
static void units(const double *x, const double *W, const double *b, double *a, int n, int m) {
    for (int i = 0; i < m; i++, W += n) {
        double lane[8] = {0.0};
        for (int j = 0; j < n; j++) lane[j % 8] = fused(x[j], W[j], lane[j % 8]);
        for (int k = n % 8; k > 0 && k < 8; k++) lane[k] = fused(0.0, 0.0, lane[k]);
        a[i] = b[i] + tree(lane);
    }
}
""")

_part("finite", ("to_bits",), """
static int finite_all(const double *x, int n) {
    for (int i = 0; i < n; i++)
        if ((to_bits(x[i]) & EXPONENT) == EXPONENT) return 0;
    return 1;
}
""")
