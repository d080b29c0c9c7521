"""Gradient descent against hand computation, calculus and least squares."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import hypotheses
from backprop import descent
from backprop.descent import gradient_descent
from backprop.errors import DivergenceError


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def rosenbrock_gradient(w):
    return np.array([-2 * (1 - w[0]) - 400 * w[0] * (w[1] - w[0] ** 2), 200 * (w[1] - w[0] ** 2)])


def square(w):
    return w @ w


def twice(w):
    return 2 * w


def quadratic(seed, d, condition):
    """f(w) = ½ (w - m)ᵀ A (w - m), its gradient and its minimum m, A with eigenvalues from 1 to condition."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    A = Q @ np.diag(np.geomspace(1, condition, d)) @ Q.T
    m = rng.normal(size=d)
    return (lambda w: 0.5 * (w - m) @ A @ (w - m)), (lambda w: A @ (w - m)), m


# ---- the fixed step --------------------------------------------------------------------------------------------------

def test_fixed_step_worked_by_hand():
    # f(w) = w_1² + 3 w_2², ∇f = (2 w_1, 6 w_2), η = 1/4: w_1 := w_1 / 2, w_2 := w_2 - 6/4 w_2 = -w_2 / 2
    r = gradient_descent(lambda w: w[0] ** 2 + 3 * w[1] ** 2, [4.0, 8.0], lambda w: np.array([2 * w[0], 6 * w[1]]),
                         learning_rate=0.25, max_iter=3, record_path=True)
    assert r.path.tolist() == [[4, 8], [2, -4], [1, 2], [0.5, -1]]
    assert r.values.tolist() == [16 + 192, 4 + 48, 1 + 12, 0.25 + 3]
    assert (r.n_iter, r.stop_reason, r.converged, r.value) == (3, "max_iter", False, 3.25)
    assert r.w.tolist() == [0.5, -1] and r.gradient.tolist() == [1, -6]


def test_update_is_simultaneous():
    # f = w_1 w_2, ∇f = (w_2, w_1), from (1, 2) with η = 1: (1 - 2, 2 - 1); one after the other would give (-1, 3)
    r = gradient_descent(lambda w: w[0] * w[1], [1.0, 2.0], lambda w: w[::-1], learning_rate=1.0, max_iter=1)
    assert r.w.tolist() == [-1.0, 1.0]


def test_fixed_step_converges_and_says_why():
    r = gradient_descent(square, [1.0, -1.0], twice, learning_rate=0.1)
    assert r.converged and r.stop_reason == "gradient" and np.abs(2 * r.w).max() <= 1e-8
    assert len(r.values) == r.n_iter + 1 and r.path is None
    assert np.abs(2 * r.w / 0.8).max() > 1e-8                # one step earlier it had not converged
    r = gradient_descent(lambda w: w[0], [1e20], lambda w: [1.0], learning_rate=1.0)
    assert r.stop_reason == "step" and r.converged and r.n_iter == 0


@pytest.mark.parametrize("f, gradient, w0, eta", [
    (square, twice, [1.0], 1.1), (lambda w: w[0] ** 4, lambda w: 4 * w**3, [2.0], 1.0),
    (lambda w: math.exp(w[0]) + math.exp(-w[0]), lambda w: [math.exp(w[0]) - math.exp(-w[0])], [5.0], 10.0),
    (square, None, [1.0], 1.5)], ids=["square", "fourth power", "overflow error", "numeric"])
def test_fixed_step_that_diverges(f, gradient, w0, eta):
    with pytest.raises(DivergenceError, match=r"learning_rate=.* at iteration \d+: .*smaller learning_rate"):
        gradient_descent(f, w0, gradient, learning_rate=eta)


def test_divergence_names_the_iteration():
    # w: 1, 1e200, and f(1e200) = 1e400
    with pytest.raises(DivergenceError, match="at iteration 1: "):
        gradient_descent(lambda w: w[0] ** 2, [1.0], lambda w: [1e200], learning_rate=1)
    with pytest.raises(DivergenceError, match="at iteration 2: .*NaN"):
        gradient_descent(square, [16.0], lambda w: twice(w) if w[0] > 1 else [np.nan], learning_rate=0.375)


# ---- the line search -------------------------------------------------------------------------------------------------

@hypotheses.examples(100)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 8), condition=st.floats(1, 300))
def test_line_search_never_rises_and_finds_the_minimum(seed, d, condition):
    f, gradient, minimum = quadratic(seed, d, condition)
    r = gradient_descent(f, d, gradient, random_state=seed)
    assert (np.diff(r.values) <= 0).all()
    assert r.converged
    np.testing.assert_allclose(r.w, minimum, atol=1e-6)


@pytest.mark.parametrize("gradient", [rosenbrock_gradient, None], ids=["analytic", "numeric"])
@pytest.mark.parametrize("start", [[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]], ids=str)
def test_rosenbrock(gradient, start):
    r = gradient_descent(rosenbrock, start, gradient)
    assert (np.diff(r.values) <= 0).all() and r.converged
    np.testing.assert_allclose(r.w, [1, 1], atol=1e-6)


def test_least_squares():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(40, 5)), rng.normal(size=40)
    r = gradient_descent(lambda w: ((A @ w - b) ** 2).sum(), np.zeros(5), lambda w: 2 * A.T @ (A @ w - b))
    assert r.converged and r.value == r.values[-1] > 1
    np.testing.assert_allclose(r.w, np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-8)


def test_precision_of_f_ends_the_search():
    """Where f cannot resolve a smaller step, that is convergence and not a failure."""
    f, gradient, minimum = quadratic(0, 3, 50.0)
    r = gradient_descent(lambda w: 1e6 + f(w), [5.0, 5.0, 5.0], gradient, tol=1e-14)
    assert r.converged and r.stop_reason in ("precision", "step", "gradient") and r.n_iter < 10_000
    np.testing.assert_allclose(r.w, minimum, atol=1e-3)
    assert (np.diff(r.values) <= 0).all()


def test_wrong_gradient_ends_in_line_search():
    r = gradient_descent(square, [1.0, 2.0], lambda w: -2 * w)
    assert (r.stop_reason, r.converged, r.n_iter) == ("line_search", False, 0) and r.w.tolist() == [1.0, 2.0]


def test_trial_points_may_leave_the_domain():
    """w - log w: the search steps back from w <= 0, where f is NaN or raises no number."""
    r = gradient_descent(lambda w: w[0] - math.log(w[0]) if w[0] > 0 else math.nan, [30.0],
                         lambda w: 1 - 1 / w)
    assert r.converged
    np.testing.assert_allclose(r.w, [1.0], atol=1e-7)
    r = gradient_descent(lambda w: math.exp(-w[0]) + math.exp(w[0]), [-700.0])      # overflow at a trial point
    assert r.converged and abs(r.w[0]) < 1e-6


def test_concave_start_and_saddle():
    """cos has negative curvature at the start; the step grows until it has passed it."""
    r = gradient_descent(lambda w: np.cos(w[0]), [0.01], lambda w: -np.sin(w))
    assert r.converged and (np.diff(r.values) <= 0).all()
    np.testing.assert_allclose(np.cos(r.w), [-1.0], atol=1e-12)


# ---- the numeric gradient --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("w", [[-1.2, 1.0], [30.0, -4.0], [1e-8, 0.0]], ids=str)
def test_numeric_gradient_is_close_to_the_analytic(w):
    function = descent._Function(rosenbrock, None, 2)
    analytic = rosenbrock_gradient(np.array(w))
    assert np.abs(analytic).max() > 1
    np.testing.assert_allclose(function.gradient(np.array(w)), analytic, rtol=1e-8, atol=1e-8)


# ---- start, path, callback, result -----------------------------------------------------------------------------------

def test_random_start():
    a, b, c = (gradient_descent(square, 3, twice, record_path=True, random_state=seed) for seed in (1, 1, 2))
    assert a.path.tolist() == b.path.tolist() != c.path.tolist()
    assert a.path.shape == (a.n_iter + 1, 3) and np.abs(a.path[0]).max() <= 1
    assert (a.path[0] == np.random.default_rng(1).uniform(-1, 1, 3)).all() and (a.path[-1] == a.w).all()


def test_start_at_the_minimum():
    r = gradient_descent(square, [0.0], twice)
    assert r.n_iter == 0 and r.converged and r.stop_reason == "gradient" and r.values.tolist() == [0.0]


def test_nothing_of_the_caller_is_changed_or_shared():
    w0 = np.array([1.0, 2.0])
    buffer = np.empty(2)

    def spoil(w):
        value = w @ w
        w[:] = 99
        return value

    def spoil_gradient(w):
        np.multiply(w, 2, out=buffer)            # the same array returned each time
        w[:] = -99
        return buffer

    def spoil_state(state):
        state.w[:] = 7
        state.gradient[:] = 7

    clean = gradient_descent(square, w0, twice, record_path=True, learning_rate=0.2, max_iter=20)
    spoilt = gradient_descent(spoil, w0, spoil_gradient, record_path=True, learning_rate=0.2, max_iter=20,
                              callback=spoil_state)
    assert w0.tolist() == [1.0, 2.0] and (clean.path == spoilt.path).all() and (clean.values == spoilt.values).all()
    at_start = gradient_descent(square, np.zeros(2), twice)
    assert at_start.w is not w0 and not np.shares_memory(at_start.w, w0)
    frozen = np.array([3.0])
    frozen.flags.writeable = False
    assert gradient_descent(square, frozen, twice).converged


def test_callback_sees_each_step_and_stops():
    seen = []

    def watch(state):
        seen.append(state)
        return state.n_iter == 4

    r = gradient_descent(square, [1.0], twice, learning_rate=0.25, callback=watch, record_path=True)
    assert r.stop_reason == "callback" and not r.converged and r.n_iter == 4
    assert [s.n_iter for s in seen] == [1, 2, 3, 4] and [s.learning_rate for s in seen] == [0.25] * 4
    assert [s.w[0] for s in seen] == r.path[1:, 0].tolist() == [0.5, 0.25, 0.125, 0.0625]
    assert [s.value for s in seen] == r.values[1:].tolist() and [s.gradient[0] for s in seen] == [1, 0.5, 0.25, 0.125]


def test_repr_is_one_readable_line():
    r = gradient_descent(square, np.ones(50), twice)
    assert repr(r).startswith("DescentResult(converged: stop_reason='gradient' after n_iter=") and "\n" not in repr(r)


def test_layouts_of_the_start():
    plain = gradient_descent(rosenbrock, np.array([-1.0, 2.0]), rosenbrock_gradient)
    for w0 in ([-1, 2], (-1.0, 2.0), np.array([-1, 2], np.float32), np.array([-1.0, 2.0], ">f8"),
               np.array([[-1.0, 0], [2.0, 0]])[:, 0]):
        assert (gradient_descent(rosenbrock, w0, rosenbrock_gradient).w == plain.w).all()


# ---- bad input -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, value, error", [
    ("w0", [], ValueError), ("w0", [[1.0]], ValueError), ("w0", [np.nan], ValueError), ("w0", [1j], ValueError),
    ("w0", 0, ValueError), ("w0", -3, ValueError), ("w0", True, TypeError), ("w0", 2.5, ValueError),
    ("w0", None, TypeError), ("w0", "ab", TypeError), ("w0", [[1], [1, 2]], ValueError),
    ("learning_rate", 0, ValueError), ("learning_rate", -0.1, ValueError), ("learning_rate", np.inf, ValueError),
    ("learning_rate", "auto", TypeError), ("learning_rate", 1j, TypeError), ("tol", -1, ValueError),
    ("tol", np.nan, ValueError), ("tol", None, TypeError), ("max_iter", 0, ValueError), ("max_iter", 1.5, TypeError),
    ("record_path", 1, TypeError), ("callback", 3, TypeError), ("gradient", "exact", TypeError), ("f", None, TypeError),
    ("random_state", -1, ValueError), ("random_state", "x", TypeError)], ids=str)
def test_bad_argument(name, value, error):
    arguments = {"f": square, "w0": [1.0], "gradient": twice, name: value}
    with pytest.raises(error, match=f"^{name}"):
        gradient_descent(**arguments)


@pytest.mark.parametrize("out, error, message", [
    (np.nan, ValueError, "finite"), (np.inf, ValueError, "finite"), (-np.inf, ValueError, "finite"),
    (1j, ValueError, "real"), (np.complex128(1), ValueError, "real"), (np.array([1.0]), ValueError, r"shape \(1,\)"),
    ([1.0, 2.0], ValueError, r"shape \(2,\)"), (None, TypeError, "NoneType"), ("1", TypeError, "str"),
    (object(), TypeError, "object")], ids=cases.name)
@pytest.mark.parametrize("learning_rate", [None, 0.1])
def test_bad_value_of_f(out, error, message, learning_rate):
    with pytest.raises(error, match=f"f must return.*{message}") as caught:
        gradient_descent(lambda w: out, [1.0], twice, learning_rate=learning_rate)
    assert not isinstance(caught.value, DivergenceError)     # the start is bad input, not a divergence


@pytest.mark.parametrize("out, error, message", [
    ([np.nan, 0.0], ValueError, "NaN at position 0"), ([0.0, np.inf], ValueError, "infinity at position 1"),
    ([1.0], ValueError, "expected 2"), (1.0, ValueError, "1-D"), ([[1.0, 2.0]], ValueError, "1-D"),
    ([1j, 2.0], ValueError, "complex"), (None, TypeError, "None"), (["a", "b"], TypeError, "numbers")], ids=str)
@pytest.mark.parametrize("learning_rate", [None, 0.1])
def test_bad_value_of_gradient(out, error, message, learning_rate):
    with pytest.raises(error, match=rf"gradient\(w\).*{message}") as caught:
        gradient_descent(square, [1.0, 2.0], lambda w: out, learning_rate=learning_rate)
    assert not isinstance(caught.value, DivergenceError)


def test_bad_shape_after_a_fixed_step_is_not_called_divergence():
    with pytest.raises(ValueError, match=r"gradient\(w\) has 2 values") as caught:
        gradient_descent(square, [1.0], lambda w: 2 * w if w[0] == 1 else [1.0, 2.0], learning_rate=0.1)
    assert not isinstance(caught.value, DivergenceError)


def test_numeric_gradient_at_the_edge_of_the_domain():
    with pytest.raises(ValueError, match="f must return finite"):
        gradient_descent(lambda w: w[0] if w[0] >= 0 else np.nan, [0.0])
    with pytest.raises(ValueError, match="numeric gradient overflows"):
        gradient_descent(lambda w: 1.7e308 if w[0] > 1 else -1.7e308, [1.0])


def test_errors_of_f_pass_through():
    def broken(w):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        gradient_descent(broken, [1.0])


def test_gradient_that_overflows_python_floats():
    with pytest.raises(ValueError, match="gradient overflows"):
        gradient_descent(square, [800.0], lambda w: [math.exp(w[0])])


def test_doctests():
    result = doctest.testmod(descent)
    assert result.failed == 0 and result.attempted > 3
