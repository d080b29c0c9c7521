/* Elementary functions of vectors of doubles: exp, expm1, log, log1p, sigmoid, log_sigmoid, tanh, softplus, erf,
 * normal_cdf.
 *
 * No libm, no branch, one fixed order of operations: a lane's result depends on its argument only, and v3 and v4
 * give the same bits (baseline has no FMA: other bits, the same bounds). Polynomials are summed by Estrin's scheme
 * (v_poly): one vector of arguments is often all there is, so the length of the longest chain counts as much as the
 * number of operations.
 *
 * Largest error, in units in the last place of the exact value (found in 4 million arguments each, 40 thousand for
 * erf and normal_cdf; tests/test_scalar.py holds every variant to the bound). All are monotone: tried on runs of
 * neighbouring doubles, 18 million a function, around every change of formula and at random.
 *
 *                  baseline  v3, v4  bound   method
 *   v_exp             0.85    0.85    0.95   Cody & Waite reduction, e^r - 1 in two parts
 *   v_expm1           1.12    1.12    1.25   the same parts, 1 - 2^-n added with its error
 *   v_log             0.83    0.82    0.95   2^k (1 + f), atanh series in f / (2 + f)
 *   v_log1p           0.82    0.87    1.00   the same, the rounding of 1 + x carried along
 *   v_sigmoid         1.44    1.44    1.60   quotient of e^-|x| corrected by its residual
 *   v_tanh            0.80    0.77    0.90   quotient corrected by its residual
 *   v_softplus        0.96    0.97    1.10   max(x, 0) + log1p(e^-|x|) in two parts; v_log_sigmoid is its mirror
 *   v_erf             1.23    1.22    1.60   series up to sqrt 1/2, e^(-x^2) times a tail function beyond
 *   v_normal_cdf      2.54    2.55    3.00   the same; the error is relative down to the underflow at -38.5
 *
 * The square root without the divider (v_sqrt_by_fma, simd.h) is in the table for its test: it rounds correctly.
 *
 * Every function returns NaN for NaN, and NaN otherwise only for the logarithm or the root of a negative number.
 * Subnormal arguments and results keep the same bounds.
 *
 * Sources of the methods: W. J. Cody & W. Waite, Software Manual for the Elementary Functions, 1980 (reduction by a
 * constant in two parts); T. J. Dekker, Numer. Math. 18 (1971) 224 (exact sums and products); P. T. P. Tang, ACM
 * TOMS 15 (1989) 144 and 16 (1990) 378 (exp and log); M. M. Shepherd & J. G. Laframboise, Math. Comp. 36 (1981) 249
 * (the variable (t - K) / (t + K) for the normal tail). The coefficients are not taken from anywhere: each table
 * interpolates the function beside it at the Chebyshev nodes of its interval; tests/test_scalar.py computes them
 * again, to the last bit.
 */
#ifndef BP_SCALAR_H
#define BP_SCALAR_H

#include "simd.h"

#if VL > 2 || defined(__aarch64__)
#define BP_FMA 1
#else
#define BP_FMA 0
#endif

typedef uint64_t vu __attribute__((vector_size(VL * 8), may_alias));

/* Adding BP_SHIFT rounds a small number to an integer n and leaves n + 1023, a biased exponent, in the low bits. */
#define BP_SHIFT 0x1.80000000003ffp52
#define BP_LOG2_E 0x1.71547652b82fep+0
#define BP_LN2_HIGH 0x1.62e42fefa3800p-1       /* 42 bits of ln 2: n BP_LN2_HIGH is exact for |n| < 2^11 */
#define BP_LN2_LOW 0x1.ef35793c76730p-45       /* ln 2 - BP_LN2_HIGH */
#define BP_SQRT2 0x1.6a09e667f3bcdp+0
#define BP_SQRT_HALF 0x1.6a09e667f3bcdp-1
#define BP_SQRT2_MINUS_1 0x1.a827999fcef32p-2
#define BP_SQRT_HALF_BITS 0x3fe6a09e667f3bcdLL
#define BP_ONE_BITS 0x3ff0000000000000LL
#define BP_MANTISSA 0x000fffffffffffffLL
#define BP_MIN_NORMAL 0x1p-1022

/* (e^r - 1 - r - r^2/2) / r^3 for |r| <= 0.34661 (ln 2 / 2 and a margin); r^3 times its error is below 2^-61. */
static const double BP_EXP[] = {
    0x1.5555555555556p-3, 0x1.5555555555555p-5, 0x1.11111111109b3p-7, 0x1.6c16c16c167e1p-10,
    0x1.a01a01a7c41d5p-13, 0x1.a01a01a47b054p-16, 0x1.71de0dae63bb3p-19, 0x1.27e4e1f48534fp-22,
    0x1.af38a9b0ec855p-26, 0x1.1f66df7fca49fp-29};

/* (2 atanh(s) / s - 2) / z with z = s^2 in [0, 0.02944] ((sqrt 2 - 1)^2 / (sqrt 2 + 1)^2 and a margin); s z times its
 * error is below 2^-59. */
static const double BP_LOG[] = {
    0x1.5555555555558p-1, 0x1.99999999952d8p-2, 0x1.2492492df26cep-2, 0x1.c71c62e40b94ep-3,
    0x1.7462b5152e8a6p-3, 0x1.39fe52a20dc69p-3, 0x1.2b58f4c8d5f63p-3};

/* ((Phi(t) - 1/2) / t - 1 / sqrt(2 pi)) / u with u = t^2 in [0, 1]; u times its error is below 2^-61. */
static const double BP_NORMAL_CENTRE[] = {
    -0x1.1058377e2cee0p-4, 0x1.46d04297691b3p-7, -0x1.37403f6b9e92ep-10, 0x1.e42b0d5018568p-14,
    -0x1.3ce8fa5956378p-17, 0x1.658a0915f4f3fp-21, -0x1.621eedb7a1858p-25, 0x1.38296afaae996p-29,
    -0x1.e8735d76485c5p-34, 0x1.24bae2fbb204cp-38};

/* (t + 5) e^(t^2/2) Phi(-t) in w = (t - 5) / (t + 5), for t in [1, 39]; relative error below 2^-58. */
static const double BP_NORMAL_TAIL[] = {
    0x1.89d3abe1f95aep-1, -0x1.54ad03f27ca18p-1, 0x1.fb31653876f8bp-2, -0x1.410ed5f875939p-2,
    0x1.51f6329f01a59p-3, -0x1.1b1c254ca5049p-4, 0x1.54b4d4f49d418p-6, -0x1.88590e952fa02p-9,
    -0x1.a250379ac1548p-11, 0x1.1daf1a3d9506fp-11, -0x1.f2147fe424875p-15, -0x1.a16fc63fe3316p-15,
    0x1.17de3bf920facp-16, 0x1.0b0981f8d4c9ap-18, -0x1.73c73c0231c4ep-19, -0x1.6528f71dcdb5ap-22,
    0x1.d26eb59f89f01p-22, 0x1.39b88b8e84440p-25, -0x1.203708d2b283fp-24, -0x1.3753d13d3619bp-28,
    0x1.11d69a1b849e4p-27};

#define BP_COUNT(table) ((int)(sizeof(table) / sizeof(table[0])))
#define V_POLY(table, x) v_poly(table, BP_COUNT(table), x)

/* sum_i c[i] x^i, n <= 32: neighbours join into terms in x^2, these into terms in x^4, and so on (Estrin). */
BP_INLINE vd v_poly(const double *c, int n, vd x) {
    vd term[16];
    int m = (n + 1) / 2;
    BP_UNROLL
    for (int i = 0; i < m; i++)
        term[i] = 2 * i + 1 < n ? v_fma(v_set(c[2 * i + 1]), x, v_set(c[2 * i])) : v_set(c[2 * i]);
    BP_UNROLL
    for (int level = 0; level < 4; level++) {
        if (m == 1) break;
        x = x * x;
        BP_UNROLL
        for (int i = 0; i < (m + 1) / 2; i++)
            term[i] = 2 * i + 1 < m ? v_fma(term[2 * i + 1], x, term[2 * i]) : term[2 * i];
        m = (m + 1) / 2;
    }
    return term[0];
}

/* a b - p for p = a b rounded: exact, save where the product comes near underflow or 2^996 (Dekker; one FMA where
 * there is one). */
BP_INLINE vd v_product_error(vd a, vd b, vd p) {
#if BP_FMA
    return v_fma(a, b, -p);
#else
    vd a_big = a * 0x8000001p0, b_big = b * 0x8000001p0;                /* 2^27 + 1 splits 53 bits into 26 and 26 */
    vd a1 = a_big - (a_big - a), b1 = b_big - (b_big - b);
    vd a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
#endif
}

/* n - q d where q is n / d to an ulp or so: exact, for q d rounded is close to n and their difference has no error. */
BP_INLINE vd v_residual(vd n, vd q, vd d) {
#if BP_FMA
    return v_fma(-q, d, n);
#else
    vd p = q * d;
    return (n - p) - v_product_error(q, d, p);
#endif
}

/* 2^n for whole n in [-1022, 1023]. */
BP_INLINE vd v_power_of_2(vd n) { return (vd)((vi)(n + BP_SHIFT) << 52); }

/* p 2^n for whole n in [-2044, 2046], rounded once where the result is subnormal. */
BP_INLINE vd v_scale(vd p, vd n) {
#if VL == 8
    return (vd)_mm512_scalef_pd((__m512d)p, (__m512d)n);
#else
    vd shifted = v_fma(n, v_set(0.5), v_set(BP_SHIFT));
    vd half = shifted - BP_SHIFT;
    return p * (vd)((vi)shifted << 52) * v_power_of_2(n - half);
#endif
}

/* ---- exponential ------------------------------------------------------------------------------------------------- */

/* e^x = 2^n (1 + s + s_low), |s + s_low| < 0.4143, s the rounded sum of the two; power is 2^n for
 * -1023 < n < 1024. */
typedef struct { vd n, power, s, s_low; } bp_exponential;

/* e^(x + x_low) for |x| < 1200 and |x_low| < 2^-40 |x|.
 *
 * x - n BP_LN2_HIGH is exact, and r + c is the reduced argument to 2^-86. The tail c + r^2/2 + r^3 (...) is summed
 * in an order that waits for nothing twice; it is below 0.08, so that its three roundings come to 0.2 ulp of a
 * result in [1/sqrt 2, 1).
 */
BP_INLINE bp_exponential v_exponential(vd x, vd x_low) {
    bp_exponential e;
    vd shifted = v_fma(x, v_set(BP_LOG2_E), v_set(BP_SHIFT));
    e.n = shifted - BP_SHIFT;
    e.power = (vd)((vi)shifted << 52);
    vd high = v_fma(e.n, v_set(-BP_LN2_HIGH), x);
    vd low = e.n * BP_LN2_LOW - x_low;
    vd r = high - low;
    vd c = (high - r) - low;
    vd r2 = r * r, r3 = r2 * r, r4 = r2 * r2;
    vd front = v_fma(r3, v_poly(BP_EXP, 4, r), v_fma(0.5 * r, r, c));
    vd tail = v_fma(r3 * r4, v_poly(BP_EXP + 4, 6, r), front);
    e.s = r + tail;
    e.s_low = (r - e.s) + tail;
    return e;
}

/* e^x. The last sum rounds by 0.5 ulp; s before it by up to 0.25, and the tail by 0.2. Beyond the
 * clamp all is 0 or infinity. */
BP_INLINE vd v_exp(vd x) {
    bp_exponential e = v_exponential(v_max(v_set(-746.0), v_min(v_set(710.0), x)), v_set(0.0));
    return v_scale(1.0 + e.s, e.n);
}

/* e^x - 1 = 2^n ((1 - 2^-n) + s + s_low). Below -40 it is -1; 1 - 2^-n stays as it is from n = 64 on. */
BP_INLINE vd v_expm1(vd x) {
    bp_exponential e = v_exponential(v_max(v_set(-40.0), v_min(v_set(710.0), x)), v_set(0.0));
    vd a = 1.0 - v_power_of_2(-v_min(v_set(64.0), e.n));
    vd sum = a + e.s, b = sum - a;
    vd error = (a - (sum - b)) + (e.s - b);                              /* either may be the larger one */
    return v_copysign(v_scale(sum + (error + e.s_low), e.n), x);         /* the sign of -0.0 */
}

/* ---- logarithm --------------------------------------------------------------------------------------------------- */

/* x = 2^k m with m in [sqrt 1/2, sqrt 2), for normal x > 0; anything for other x. */
typedef struct { vd k, m; } bp_binary;

BP_INLINE bp_binary v_binary(vd x) {
    bp_binary b;
    vi bits = (vi)x + (BP_ONE_BITS - BP_SQRT_HALF_BITS);
    vd biased = (vd)((vi)((vu)bits >> 52) | (vi)v_set(0x1p52));          /* 2^52 + (k + 1023) */
    b.k = biased - (0x1p52 + 1023.0);
    b.m = (vd)((bits & BP_MANTISSA) + BP_SQRT_HALF_BITS);
    return b;
}

/* An unevaluated sum. */
typedef struct { vd high, low; } bp_pair;

/* k ln 2 + log(1 + f + f_low) for whole k, f in [-0.293, 0.4143], |f_low| at most an ulp of f.
 *
 * With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)), R(z) = 2/3 z + 2/5 z^2 + ...
 * (Tang 1990). high = k ln 2 + f; low is below 0.09 beside a result of at least 0.34 (or beside f, for k = 0): its
 * two roundings come to 0.25 ulp.
 */
BP_INLINE bp_pair v_log_pair(vd k, vd f, vd f_low) {
    bp_pair sum;
    vd whole = k * BP_LN2_HIGH;
    sum.high = whole + f;
    vd rest = ((whole - sum.high) + f) + v_fma(k, v_set(BP_LN2_LOW), f_low);
    vd s = f / (2.0 + f);
    vd z = s * s, half = 0.5 * f;
    vd halved = half * f;
#if !BP_FMA
    rest = rest - v_product_error(half, f, halved);                      /* the FMA below does not round f^2/2 */
#endif
    vd square = v_fma(-half, f, v_fma(s, halved, rest));
    sum.low = v_fma(s * z, V_POLY(BP_LOG, z), square);
    return sum;
}

/* log x. */
BP_INLINE vd v_log(vd x) {
    vi tiny = x < BP_MIN_NORMAL;
    bp_binary b = v_binary(v_select(tiny, x * 0x1p54, x));
    bp_pair sum = v_log_pair(b.k - v_and(tiny, v_set(54.0)), b.m - 1.0, v_set(0.0));
    vd outside = v_select(x == 0.0, v_set(-INFINITY), v_set(NAN));
    return v_select(x > 0.0, v_select(x == INFINITY, x, sum.high + sum.low), outside);
}

/* log(1 + x): u = 1 + x rounded, c its error, both scaled by 2^-k; f + f_low = u 2^-k - 1 + c 2^-k. Where k = 0
 * that is x. */
BP_INLINE vd v_log1p(vd x) {
    vd u = 1.0 + x, x_part = u - 1.0;
    vd c = (1.0 - (u - x_part)) + (x - x_part);
    bp_binary b = v_binary(u);
    vd f = b.m - 1.0;
    c = c * v_power_of_2(-v_min(v_set(100.0), b.k));                     /* from k = 100 on c no longer counts */
    vd f_sum = f + c;
    bp_pair sum = v_log_pair(b.k, f_sum, (f - f_sum) + c);
    vd outside = v_select(x == -1.0, v_set(-INFINITY), v_set(NAN));
    vd inside = v_copysign(sum.high + sum.low, x);                       /* the sign of -0.0 */
    return v_select(x > -1.0, v_select(x == INFINITY, x, inside), outside);
}

/* ---- functions of e^-|x| ----------------------------------------------------------------------------------------- */

/* E + E_low = e^-|x|, E_low below an ulp of E; 0 for x below -746. */
BP_INLINE bp_pair v_exp_minus_abs(vd x) {
    bp_pair E;
    bp_exponential e = v_exponential(v_max(v_set(-746.0), (vd)((vi)x | INT64_MIN)), v_set(0.0));
    vd p = 1.0 + e.s;
    E.high = v_scale(p, e.n);
    E.low = v_scale(((1.0 - p) + e.s) + e.s_low, e.n);
    return E;
}

/* 1 / (1 + e^-x): with E = e^-|x| rounded it is 1 / (1 + E) for x >= 0 and E / (1 + E) for x < 0. 1 + E is D + D_low exactly,
 * and the rounded quotient q gets the first-order correction (N - q D - q D_low) / (D + D_low), so that next to nothing but
 * its last rounding is added to the error of E, which counts up to twice where E / (1 + E) lies just below a power of two.
 * 1 / D is q itself or 1 - q. As E is monotone, so is the result. */
BP_INLINE vd v_sigmoid(vd x) {
    bp_exponential e = v_exponential(v_max(v_set(-746.0), (vd)((vi)x | INT64_MIN)), v_set(0.0));
    vd E = v_scale(1.0 + e.s, e.n);
    vd D = 1.0 + E, D_low = (1.0 - D) + E;
    vd N = v_where_negative(x, E, v_set(1.0));
    vd q = N / D;
    vd rest = v_fma(-q, D_low, v_residual(N, q, D));
    return v_fma(rest, v_where_negative(x, 1.0 - q, q), q);
}

/* tanh |x| = N / (2 - N) with N = 1 - e^(-2|x|), and 1 / (2 - N) = (1 + tanh |x|) / 2 serves to correct the
 * quotient; then the sign of x. At |x| = 22 it is 1. */
BP_INLINE vd v_tanh(vd x) {
    bp_exponential e = v_exponential(-2.0 * v_min(v_set(22.0), v_abs(x)), v_set(0.0));
    vd a = 1.0 - e.power, b = e.power * e.s;                              /* |b| <= a, or a = 0 */
    vd N = a - b, N_low = (((1.0 - a) - e.power) + ((a - N) - b)) - e.power * e.s_low;
    vd D = 2.0 - N, D_low = ((2.0 - D) - N) - N_low;
    vd q = N / D;
    vd rest = v_residual(N, q, D) + v_fma(-q, D_low, N_low);
    return v_copysign(v_fma(rest, v_fma(v_set(0.5), q, v_set(0.5)), q), x);
}

/* log(1 + e^x) = max(x, 0) + log1p(E), E = e^-|x|: with f = E below sqrt 2 - 1 and f = (E - 1) / 2, k = 1 above. */
BP_INLINE vd v_softplus(vd x) {
    bp_pair E = v_exp_minus_abs(x);
    vi large = E.high > BP_SQRT2_MINUS_1;
    vd half = 0.5 * E.high, g = half - 0.5, g_low = ((-0.5 - g) + half) + 0.5 * E.low;
    vd f = v_select(large, g, E.high), f_low = v_select(large, g_low, E.low);
    bp_pair sum = v_log_pair(v_and(large, v_set(1.0)), f, f_low);
    vd base = v_max(v_set(0.0), x);
    vd total = base + sum.high, part = total - base;
    vd error = (base - (total - part)) + (sum.high - part);
    return v_select(x > 40.0, x, total + (error + sum.low));             /* infinity too */
}

/* log of the sigmoid. */
BP_INLINE vd v_log_sigmoid(vd x) { return -v_softplus(-x); }

/* ---- the error function and the normal distribution -------------------------------------------------------------- */

#define BP_2_OVER_SQRT_PI 0x1.20dd750429b6dp+0
#define BP_2_OVER_SQRT_PI_LOW 0x1.1ae3a914fed80p-56
#define BP_INV_SQRT_2PI 0x1.9884533d43651p-2
#define BP_INV_SQRT_2PI_LOW -0x1.cbc0d30ebfd15p-56

/* Phi(-t) for t in [1, 39], given t^2/2 = q + q_low: e^-(q + q_low) P(w) / (t + 5), scaled last so that it
 * underflows gradually. At t = 1 an error of 1 / (t + 5) would count three times: inverse_low takes it out. P = p0
 * + w (p1 + w Estrin), where the roundings of Estrin's levels are multiplied by w^2 < 0.6 and that of the last sum
 * is carried along. */
BP_INLINE vd v_normal_tail(vd t, vd q, vd q_low) {
    bp_exponential e = v_exponential(-q, -q_low);
    vd above = t + 5.0, t_part = above - 5.0, above_low = (5.0 - (above - t_part)) + (t - t_part);
    vd below = t - 5.0, below_low = t - (below + 5.0);
    vd inverse = 1.0 / above;
    vd inverse_low = inverse * (v_residual(v_set(1.0), inverse, above) - inverse * above_low);
    vd quotient = below * inverse, quotient_low = v_product_error(below, inverse, quotient);
    vd w = quotient + (quotient_low + v_fma(below, inverse_low, below_low * inverse));
    const double *c = BP_NORMAL_TAIL;
    vd wR = w * v_fma(w, v_poly(c + 2, BP_COUNT(BP_NORMAL_TAIL) - 2, w), v_set(c[1]));
    vd P = c[0] + wR, P_low = (c[0] - P) + wR;
    vd factor = P * inverse;
    vd factor_low = v_fma(P, inverse_low, v_fma(P_low, inverse, v_product_error(P, inverse, factor)));
    vd more = v_fma(factor, e.s, v_fma(factor, e.s_low, factor_low));
    return v_scale(factor + more, e.n);
}

/* (Phi(t) - 1/2) / t - 1 / sqrt(2 pi) for u = t^2 <= 1. */
BP_INLINE vd v_normal_centre(vd u) { return u * V_POLY(BP_NORMAL_CENTRE, u); }

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2, the standard normal distribution function. */
BP_INLINE vd v_normal_cdf(vd x) {
    vd t = v_min(v_set(39.0), v_abs(x)), half = 0.5 * t;
    vd q = half * t;
    vd lower = v_normal_tail(t, q, v_product_error(half, t, q));
    vd bend = v_normal_centre(x * x), slope = bend + BP_INV_SQRT_2PI;
    vd slope_low = (BP_INV_SQRT_2PI - slope) + bend + BP_INV_SQRT_2PI_LOW;
    vd rise = x * slope, rise_low = v_fma(x, slope_low, v_product_error(x, slope, rise));
    vd sum = 0.5 + rise, centre = sum + (((0.5 - sum) + rise) + rise_low);
    return v_select(v_abs(x) < 1.0, centre, v_select(x > 0.0, 1.0 - lower, lower));
}

/* erf x = 2 Phi(t) - 1 with t = x sqrt 2; near 0 it is x (2 / sqrt pi + ...), the constant in two parts. */
BP_INLINE vd v_erf(vd x) {
    vd z = v_min(v_set(7.0), v_abs(x));
    vd q = z * z, t = z * BP_SQRT2;
    vd far = 1.0 - 2.0 * v_normal_tail(t, q, v_product_error(z, z, q));
    vd slope = v_fma(v_set(2.0 * BP_SQRT2), v_normal_centre(2.0 * q), v_set(BP_2_OVER_SQRT_PI_LOW));
    vd line = z * BP_2_OVER_SQRT_PI;
    vd near = line + v_fma(z, slope, v_product_error(z, v_set(BP_2_OVER_SQRT_PI), line));
    return v_copysign(v_select(z < BP_SQRT_HALF, near, far), x);
}

/* ---- one double -------------------------------------------------------------------------------------------------- */

/* Lane 0 of the vector form: the same bits. */
BP_INLINE double s_exp(double x) { return v_exp(v_set(x))[0]; }
BP_INLINE double s_log(double x) { return v_log(v_set(x))[0]; }

/* ---- whole arrays ------------------------------------------------------------------------------------------------ */

/* out[i] = f(x[i]), i < n; x and out may be the same array. */
typedef void (*bp_elementwise)(const double *x, double *out, ptrdiff_t n);

/* Four vectors at a time, their operations interleaved: one alone waits for its own chain most of the time, and the next
 * is too far away in the program to fill the gaps. GCC orders operations so when it is asked to; Clang does unasked. */
#if defined(__GNUC__) && !defined(__clang__)
#define BP_INTERLEAVED __attribute__((optimize("schedule-insns", "sched-pressure")))
#else
#define BP_INTERLEAVED
#endif

#define BP_ELEMENTWISE(f)                                                                  \
    BP_INTERLEAVED static void bp_array_##f(const double *x, double *out, ptrdiff_t n) {   \
        ptrdiff_t i = 0;                                                                   \
        for (; i + 4 * VL <= n; i += 4 * VL) {                                             \
            vd v[4];                                                                       \
            BP_UNROLL for (int k = 0; k < 4; k++) v[k] = v_load(x + i + k * VL);           \
            BP_UNROLL for (int k = 0; k < 4; k++) v[k] = v_##f(v[k]);                      \
            BP_UNROLL for (int k = 0; k < 4; k++) v_store(out + i + k * VL, v[k]);         \
        }                                                                                  \
        for (; i + 2 * VL <= n; i += 2 * VL) {                                             \
            const vd v = v_##f(v_load(x + i)), w = v_##f(v_load(x + i + VL));              \
            v_store(out + i, v);                                                           \
            v_store(out + i + VL, w);                                                      \
        }                                                                                  \
        for (; i + VL <= n; i += VL) v_store(out + i, v_##f(v_load(x + i)));               \
        if (i < n) {                                                                       \
            double lanes[VL];                                                              \
            v_store(lanes, v_##f(v_load_first(x + i, n - i)));                             \
            memcpy(out + i, lanes, (size_t)(n - i) * sizeof(double));                      \
        }                                                                                  \
    }

BP_ELEMENTWISE(exp)
BP_ELEMENTWISE(expm1)
BP_ELEMENTWISE(log)
BP_ELEMENTWISE(log1p)
BP_ELEMENTWISE(sigmoid)
BP_ELEMENTWISE(log_sigmoid)
BP_ELEMENTWISE(tanh)
BP_ELEMENTWISE(softplus)
BP_ELEMENTWISE(erf)
BP_ELEMENTWISE(normal_cdf)
BP_ELEMENTWISE(sqrt_by_fma)

static const struct { const char *name; bp_elementwise run; } BP_SCALAR_TABLE[] = {
    {"exp", bp_array_exp}, {"expm1", bp_array_expm1}, {"log", bp_array_log}, {"log1p", bp_array_log1p},
    {"sigmoid", bp_array_sigmoid}, {"log_sigmoid", bp_array_log_sigmoid}, {"tanh", bp_array_tanh},
    {"softplus", bp_array_softplus}, {"erf", bp_array_erf}, {"normal_cdf", bp_array_normal_cdf},
    {"sqrt", bp_array_sqrt_by_fma}};

/* NULL past the last row. */
static const char *bp_scalar_name(int row) {
    return row < BP_COUNT(BP_SCALAR_TABLE) ? BP_SCALAR_TABLE[row].name : NULL;
}

/* 0, or -1 where the table has no such row. */
static int bp_scalar(int row, const double *x, double *out, ptrdiff_t n) {
    if (row < 0 || row >= BP_COUNT(BP_SCALAR_TABLE)) return -1;
    BP_SCALAR_TABLE[row].run(x, out, n);
    return 0;
}

#endif
