"""The elementary functions of kernels/scalar.h against exact values, in every variant that this processor runs.

Two oracles: mpmath, exact, at some thousand hard points of each function; and NumPy's 80-bit long double at a million
(its own error is below 0.001 ulp of a double, for 11 bits more). Errors are in ulps of the exact value.
"""

import doctest
import functools
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

import scalar_coefficients
from backprop import _cpu

HEADER = Path(__file__).parent.parent / "src" / "backprop" / "kernels" / "scalar.h"
MODULES = {"baseline": "_core", "v3": "_core_v3", "v4": "_core_v4"}
N_LONG_DOUBLE = 1_000_000
N_EXACT = 1_200
LONG_DOUBLE_IS_80_BIT = np.finfo(np.longdouble).nmant >= 63

# In ulp, as scalar.h states them.
BOUNDS = {
    "exp": 0.95, "expm1": 1.25, "log": 0.95, "log1p": 1.0, "sigmoid": 1.6, "log_sigmoid": 1.1, "tanh": 0.9,
    "softplus": 1.1, "erf": 1.6, "normal_cdf": 3.0,
}
NAMES = list(BOUNDS)
# Where a function changes its formula: the roundings of n, the ends of the reduced intervals, the clamps.
LN2, SQRT2 = np.log(2.0), np.sqrt(2.0)
HALVES = (np.arange(-8, 9) + 0.5) * LN2
BREAKS = {
    "exp": [*HALVES, 709.08, 709.78, -708.4, -745.1],
    "expm1": [*HALVES, 36.5 * LN2, 53.5 * LN2, 63.5 * LN2, -36.7, -40.0, 709.78],
    "log": [SQRT2 / 2, SQRT2, 1.0, 2.0, 2 * SQRT2, 2.0**-1022],
    "log1p": [SQRT2 - 1, SQRT2 / 2 - 1, 2 * SQRT2 - 1, 1.0, 2.0**53, 2.0**60, -1.0 + 2.0**-53],
    "sigmoid": [*HALVES, -36.7, 36.7, -708.4, -745.1],
    "tanh": [*HALVES / 2, 18.4, 19.06, 22.0, 53.5 * LN2 / 2],
    "softplus": [*HALVES, np.log(SQRT2 - 1), -np.log(SQRT2 - 1), 36.7, 40.0, -708.4, -745.1],
    "log_sigmoid": [*HALVES, np.log(SQRT2 - 1), -np.log(SQRT2 - 1), -36.7, -40.0, 708.4, 745.1],
    "erf": [SQRT2 / 2, 1.0, 5.9, 6.5],
    "normal_cdf": [-1.0, 1.0, 5.0, -5.0, 8.2, -37.5, -38.5],
}
RANGES = {  # where something happens: (low, high)
    "exp": (-746, 709.7), "expm1": (-45, 709.7), "log": (0, 4), "log1p": (-1, 4), "sigmoid": (-746, 45),
    "tanh": (-23, 23), "softplus": (-746, 50), "log_sigmoid": (-50, 746), "erf": (-6.2, 6.2), "normal_cdf": (-38.6, 9),
}


@pytest.fixture(params=MODULES)
def core(request):
    return variant(request.param)


def variant(name):
    if name not in _cpu.supported():
        pytest.skip(f"this processor does not run the variant {name}")
    return pytest.importorskip(f"backprop.{MODULES[name]}", reason=f"the variant {name} was not built")


def evaluate(core, name, x):
    x = np.ascontiguousarray(x, dtype=np.float64)
    out = np.full_like(x, 12345.0)
    assert core.scalar(name, x, out) == 0
    return out


def one(core, name, x):
    return evaluate(core, name, [x])[0]


@functools.cache
def points(name, n):
    """n arguments: spread over the range, near 0 at every scale, around the breaks; all inside the domain."""
    rng = np.random.default_rng(20240607)
    low, high = RANGES[name]
    k = n // 5
    parts = [rng.uniform(low, high, k), rng.uniform(max(low, -8), min(high, 8), k), rng.uniform(max(low, -1.3), 1.3, k),
             rng.choice([-1.0, 1.0], k) * 2.0 ** rng.uniform(-70, 3, k)]
    parts.append(np.concatenate([neighbours(b, k // len(BREAKS[name])) for b in BREAKS[name]]))
    if name in ("log", "log1p"):
        parts += [2.0 ** rng.uniform(-1074, 1024, k), 1 + rng.uniform(-1e-3, 1e-3, k)]
    parts.append(rng.choice([-1.0, 1.0], k // 4) * 2.0 ** rng.uniform(-1074, -1000, k // 4))
    parts.append(np.array([0.0, -0.0, 5e-324, -5e-324, 1e-310, -1e-310, 2.0**-1022, 1e-200, -1e-200, 0.5, -0.5]))
    x = np.concatenate(parts)
    if name == "log":
        return np.abs(x[x != 0])
    return x[x > -1] if name == "log1p" else x


def neighbours(centre, count):
    """`count` consecutive doubles around `centre`, ascending."""
    bits = np.array([centre]).view(np.int64) + np.arange(-(count // 2), count - count // 2)
    return np.sort(bits.view(np.float64))


def ulps(got, exact):
    """|got - exact| in units in the last place of the exact value (long doubles); infinity counts as 2**1024."""
    got = np.where(np.isinf(got), np.sign(got) * np.longdouble(2) ** 1024, got.astype(np.longdouble))
    exponent = np.maximum(np.frexp(exact)[1] - 53, -1074)
    return np.abs(np.ldexp(got - exact, -exponent)).astype(np.float64)


def long_double_oracle(name, x):
    x = x.astype(np.longdouble)
    if name in ("exp", "expm1", "log", "log1p", "tanh"):
        return getattr(np, name)(x)
    e = np.exp(-np.abs(x))
    if name == "sigmoid":
        return np.where(x >= 0, 1, e) / (1 + e)
    sign = -1 if name == "log_sigmoid" else 1
    return sign * (np.maximum(sign * x, 0) + np.log1p(e))


MPMATH = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log1p": mpmath.log1p, "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)), "erf": mpmath.erf,
    "normal_cdf": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}


def long_double(value):
    """An mpf as the sum of two doubles, scaled so that neither is subnormal."""
    mantissa, exponent = mpmath.frexp(value)
    high = float(mantissa)
    return np.ldexp(np.longdouble(high) + np.longdouble(float(mantissa - high)), exponent)


@functools.cache
def exact_values(name):
    with mpmath.workdps(40):
        return np.array([long_double(MPMATH[name](mpmath.mpf(float(x)))) for x in points(name, N_EXACT)])


@functools.cache
def long_double_values(name):
    return long_double_oracle(name, points(name, N_LONG_DOUBLE))


def assert_within_bound(core, name, x, exact):
    got = evaluate(core, name, x)
    assert not np.isnan(got).any()
    error = ulps(got, exact)
    worst = np.argmax(error)
    assert error[worst] <= BOUNDS[name], f"{error[worst]} ulp at {x[worst]!r}"
    assert error[worst] > 0.4                        # some argument is hard: the oracle is not the function itself


@pytest.mark.skipif(not LONG_DOUBLE_IS_80_BIT, reason="long double has no spare bits here")
@pytest.mark.parametrize("name", NAMES)
def test_error_against_exact_values(core, name):
    assert_within_bound(core, name, points(name, N_EXACT), exact_values(name))


@pytest.mark.skipif(not LONG_DOUBLE_IS_80_BIT, reason="long double has no spare bits here")
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("erf", "normal_cdf")])
def test_error_at_a_million_points(core, name):
    assert_within_bound(core, name, points(name, N_LONG_DOUBLE), long_double_values(name))


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_with_every_width_that_has_fma(name):
    x = points(name, N_LONG_DOUBLE)
    v3, v4 = (evaluate(variant(v), name, x) for v in ("v3", "v4"))
    assert np.array_equal(v3.view(np.int64), v4.view(np.int64))


def ascending_runs(name):
    """Runs of consecutive doubles, each sorted: around every break, around 0, and at 60 random places."""
    rng = np.random.default_rng(7)
    low, high = RANGES[name]
    centres = [*BREAKS[name], *rng.uniform(low, high, 20), *rng.uniform(max(low, -1.4), 1.4, 20),
               *2.0 ** rng.uniform(-60, 0, 10), *(-(2.0 ** rng.uniform(-60, 0, 10)) if low < 0 else [])]
    for centre in centres:
        x = neighbours(centre, 3000)
        yield x[(x > 0) if name == "log" else (x > -1) if name == "log1p" else slice(None)]


@pytest.mark.parametrize("name", NAMES)
def test_monotone_over_neighbours_and_over_the_whole_range(core, name):
    for x in [*ascending_runs(name), np.sort(points(name, N_LONG_DOUBLE))]:
        steps = np.diff(evaluate(core, name, x))
        assert (steps >= 0).all(), f"falls after {x[np.argmin(steps)]!r}"


@pytest.mark.parametrize(("name", "x", "expected"), [
    ("exp", 0.0, 1.0), ("exp", -0.0, 1.0), ("exp", np.inf, np.inf), ("exp", -np.inf, 0.0), ("exp", 1e308, np.inf),
    ("exp", -1e308, 0.0), ("exp", 709.79, np.inf), ("exp", -745.14, 0.0), ("exp", -745.13, 5e-324),
    ("expm1", 0.0, 0.0), ("expm1", -0.0, -0.0), ("expm1", np.inf, np.inf), ("expm1", -np.inf, -1.0),
    ("expm1", 5e-324, 5e-324), ("expm1", -1e308, -1.0), ("expm1", 1e308, np.inf), ("expm1", 709.79, np.inf),
    ("log", 1.0, 0.0), ("log", 0.0, -np.inf), ("log", -0.0, -np.inf), ("log", np.inf, np.inf), ("log", -1.0, np.nan),
    ("log", -np.inf, np.nan), ("log", -5e-324, np.nan), ("log", 5e-324, -744.4400719213812),
    ("log1p", 0.0, 0.0), ("log1p", -0.0, -0.0), ("log1p", -1.0, -np.inf), ("log1p", -1.5, np.nan),
    ("log1p", np.inf, np.inf), ("log1p", -np.inf, np.nan), ("log1p", 1.7976931348623157e308, 709.782712893384),
    ("log1p", -5e-324, -5e-324),
    ("sigmoid", 0.0, 0.5), ("sigmoid", -0.0, 0.5), ("sigmoid", np.inf, 1.0), ("sigmoid", -np.inf, 0.0),
    ("sigmoid", 1e308, 1.0), ("sigmoid", -1e308, 0.0), ("sigmoid", 40.0, 1.0), ("sigmoid", -745.13, 5e-324),
    ("tanh", 0.0, 0.0), ("tanh", -0.0, -0.0), ("tanh", np.inf, 1.0), ("tanh", -np.inf, -1.0), ("tanh", 20.0, 1.0),
    ("tanh", -20.0, -1.0), ("tanh", 1e308, 1.0), ("tanh", -1e308, -1.0), ("tanh", 5e-324, 5e-324),
    ("softplus", np.inf, np.inf), ("softplus", -np.inf, 0.0), ("softplus", 1e308, 1e308), ("softplus", -1e308, 0.0),
    ("softplus", 50.25, 50.25), ("softplus", -745.13, 5e-324), ("softplus", 0.0, LN2),
    ("log_sigmoid", -np.inf, -np.inf), ("log_sigmoid", -1e308, -1e308), ("log_sigmoid", np.inf, -0.0),
    ("log_sigmoid", 0.0, -LN2),
    ("erf", 0.0, 0.0), ("erf", -0.0, -0.0), ("erf", np.inf, 1.0), ("erf", -np.inf, -1.0), ("erf", 6.0, 1.0),
    ("erf", 1e308, 1.0), ("erf", 5e-324, 5e-324),
    ("normal_cdf", 0.0, 0.5), ("normal_cdf", -0.0, 0.5), ("normal_cdf", np.inf, 1.0), ("normal_cdf", -np.inf, 0.0),
    ("normal_cdf", 1e308, 1.0), ("normal_cdf", -1e308, 0.0), ("normal_cdf", 9.0, 1.0), ("normal_cdf", -38.6, 0.0),
])
def test_ends_and_zeros(core, name, x, expected):
    got = one(core, name, x)
    assert np.array_equal([got], [expected], equal_nan=True)
    assert np.isnan(expected) or np.signbit(got) == np.signbit(expected)


@pytest.mark.parametrize("name", NAMES)
def test_nan_gives_nan_in_its_lane_only(core, name):
    x = np.array([0.5, np.nan, 0.25, -np.nan, 0.75, 0.5, 0.5, 0.5, np.nan])
    got = evaluate(core, name, x)
    assert np.array_equal(np.isnan(got), np.isnan(x))


@pytest.mark.parametrize("name", NAMES)
def test_no_nan_for_any_finite_argument(core, name):
    bits = np.random.default_rng(3).integers(0, 2**63, 200_000, dtype=np.int64)
    x = bits.view(np.float64)
    x = np.concatenate([x[np.isfinite(x)], [0.0, 5e-324, 1.7976931348623157e308]])
    if name not in ("log", "log1p"):
        x = np.concatenate([x, -x])
    assert not np.isnan(evaluate(core, name, x)).any()


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_odd_to_the_bit(core, name):
    x = points(name, N_LONG_DOUBLE)
    assert np.array_equal(evaluate(core, name, -x).view(np.int64), (-evaluate(core, name, x)).view(np.int64))


def test_log_sigmoid_is_softplus_mirrored(core):
    x = points("softplus", N_LONG_DOUBLE)
    assert np.array_equal(evaluate(core, "log_sigmoid", -x), -evaluate(core, "softplus", x))


def test_far_below_zero_sigmoid_and_softplus_are_exp(core):
    x = np.linspace(-746, -708.5, 10_001)            # subnormal results
    for name in ("sigmoid", "softplus"):
        assert np.array_equal(evaluate(core, name, x), evaluate(core, "exp", x))


def squares_beside_integers(size):
    """Doubles whose roots are next to the middle of two doubles: a 2^k = m^2 - d, m odd of 54 bits, d small."""
    hard = []
    for d in range(-8 * size + 1, 8 * size, 8):      # 1 modulo 8: the odd numbers with roots modulo 2^55
        root = 1
        for k in range(3, 55):
            if (root * root - d) % 2 ** (k + 1):
                root += 2 ** (k - 1)
        for m in {r % 2**55 for r in (root, -root, root + 2**54, -root + 2**54)}:
            a, rest = divmod(m * m - d, 2**55)
            assert rest == 0
            if 2**53 <= m < 2**54 and a < 2**53:
                hard.append(float(a) * 2.0)
    return np.array(hard)


def test_the_root_by_multiplications_rounds_as_the_dividers(core):
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 0x7FF0 << 48, N_LONG_DOUBLE, dtype=np.int64)
    hard = squares_beside_integers(3000)
    assert len(hard) > 2000
    ends = np.array([0.0, -0.0, np.inf, 5e-324, 1e-310, *2.0 ** np.arange(-903.0, -897.0), 1.7976931348623157e308])
    edges = np.concatenate([neighbours(2.0**e, 40) for e in (-901, -900, -899, -2, -1, 0, 1, 2)])
    usual = rng.random(4096)
    for x in (bits.view(np.float64), 1 + rng.random(N_LONG_DOUBLE) * 3, hard, hard * 2.0**-700, hard * 2.0**900, ends,
              edges, np.where(usual < 0.5, 0.0, usual), np.where(usual < 0.1, 1e-300, usual)):
        assert np.array_equal(evaluate(core, "sqrt", x).view(np.int64), np.sqrt(x).view(np.int64))
    assert np.isnan(evaluate(core, "sqrt", [np.nan, -1.0, -np.inf, -5e-324])).all()


@pytest.mark.parametrize("name", NAMES)
def test_position_and_length_do_not_matter(core, name):
    x = np.abs(points(name, N_EXACT)[:64])
    whole = evaluate(core, name, x)
    for start in range(9):
        for length in range(20):
            part = evaluate(core, name, x[start:start + length])
            assert np.array_equal(part, whole[start:start + length])


def test_writes_nothing_beyond_the_array_and_may_work_in_place(core):
    x = np.linspace(-2, 2, 16)
    for n in range(12):
        buffer = np.concatenate([x[:n], np.full(8, 99.0)])
        core.scalar("tanh", buffer[:n], buffer[:n])
        assert np.array_equal(buffer[:n], evaluate(core, "tanh", x[:n]))
        assert (buffer[n:] == 99.0).all()


def test_takes_read_only_arguments(core):
    x = np.array([0.0])
    x.flags.writeable = False
    assert one(core, "exp", 0.0) == evaluate(core, "exp", x)[0] == 1.0


def test_wrong_name_and_wrong_length_are_refused(core):
    x = np.zeros(3)
    with pytest.raises(ValueError, match=r"unknown scalar function 'cosh'; expected one of exp, expm1, log"):
        core.scalar("cosh", x, x)
    with pytest.raises(ValueError, match="out has 2 elements, but x has 3"):
        core.scalar("exp", x, np.full(2, 7.0))
    assert core.scalar_names() == ["exp", "expm1", "log", "log1p", "sigmoid", "log_sigmoid", "tanh", "softplus", "erf",
                                   "normal_cdf", "sqrt"]


def test_the_header_holds_the_coefficients_that_its_comments_promise():
    text = HEADER.read_text()
    for name, expected in scalar_coefficients.tables().items():
        body = re.search(rf"{name}\[\] = \{{(.*?)\}};", text, re.DOTALL)[1]
        assert [float.fromhex(number) for number in body.split(",")] == expected, name
    for name, expected in scalar_coefficients.constants().items():
        assert float.fromhex(re.search(rf"#define {name} (\S+)", text)[1]) == expected, name


def test_the_doctest_of_scalar(core):
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(verbose=False)
    for test in finder.find(core.scalar, "scalar", globs={}):
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
