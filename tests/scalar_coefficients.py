"""The polynomials of kernels/scalar.h, from their definitions; `python tests/scalar_coefficients.py` prints them.

Each interpolates its function, in 120 digits, at the Chebyshev nodes of its interval: within a factor of two or so
of the best polynomial of the degree.
"""

from mpmath import mp, mpf


def chebyshev_interpolant(f, low, high, degree):
    """Coefficients, constant term first and rounded to double, of the polynomial through f at the Chebyshev nodes."""
    n = degree + 1
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    powers = mp.matrix(n, n)
    for i, node in enumerate(nodes):
        for j in range(n):
            powers[i, j] = node**j
    return [float(c) for c in mp.lu_solve(powers, mp.matrix([f(node) for node in nodes]))]


def exp(r):
    return (mp.exp(r) - 1 - r - r**2 / 2) / r**3


def log(z):
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def normal_centre(u):
    t = mp.sqrt(u)
    return (mp.erf(t / mp.sqrt(2)) / 2 / t - 1 / mp.sqrt(2 * mp.pi)) / u


def normal_tail(w):
    t = 5 * (1 + w) / (1 - w)
    return (t + 5) * mp.exp(t**2 / 2) * mp.erfc(t / mp.sqrt(2)) / 2


def tables():
    """Name in scalar.h -> coefficients."""
    with mp.workdps(120):
        reach = mp.log(2) / 2 * mpf("1.0001")
        return {
            "BP_EXP": chebyshev_interpolant(exp, -reach, reach, 9),
            "BP_LOG": chebyshev_interpolant(log, mpf(0), mpf("0.02944"), 6),
            "BP_NORMAL_CENTRE": chebyshev_interpolant(normal_centre, mpf(0), mpf(1), 9),
            "BP_NORMAL_TAIL": chebyshev_interpolant(normal_tail, mpf(1 - 5) / (1 + 5), mpf(39 - 5) / (39 + 5), 20),
        }


def constants():
    """Name in scalar.h -> value."""
    with mp.workdps(120):
        ln2, peak = mp.log(2), 1 / mp.sqrt(2 * mp.pi)
        ln2_high = mp.floor(ln2 * 2**42) / 2**42
        slope = 2 / mp.sqrt(mp.pi)
        values = {"BP_LOG2_E": 1 / ln2, "BP_LN2_HIGH": ln2_high, "BP_LN2_LOW": ln2 - ln2_high,
                  "BP_SQRT2_MINUS_1": mp.sqrt(2) - 1, "BP_SQRT2": mp.sqrt(2), "BP_SQRT_HALF": mp.sqrt(mpf(1) / 2),
                  "BP_INV_SQRT_2PI": peak, "BP_INV_SQRT_2PI_LOW": peak - float(peak),
                  "BP_2_OVER_SQRT_PI": slope, "BP_2_OVER_SQRT_PI_LOW": slope - float(slope)}
        return {name: float(value) for name, value in values.items()}


if __name__ == "__main__":
    for name, value in constants().items():
        print(f"#define {name} {value.hex()}")
    for name, coefficients in tables().items():
        print(f"{name}: {', '.join(c.hex() for c in coefficients)}")
