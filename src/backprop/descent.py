"""Gradient descent on any differentiable function of several variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backprop import _check
from backprop.errors import DivergenceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from backprop._types import ArrayLike, FloatArray, Seed

ARMIJO = 1e-4                   # share of the decrease promised by the gradient that a step must bring
PRECISION = 64 * np.finfo(np.float64).eps   # relative rounding error that an f made of a few dozen operations may have
STEP = np.cbrt(np.finfo(np.float64).eps)    # balances truncation and rounding error of a central difference


@dataclass(frozen=True)
class DescentState:
    """What a callback of `gradient_descent` sees after each iteration; its arrays are copies.

    Attributes
    ----------
    n_iter : int
        Iterations done, from 1.
    w : ndarray of shape (d,)
    value : float
        f(w).
    gradient : ndarray of shape (d,)
        ∇f(w).
    learning_rate : float
        η of the step just made.
    """

    n_iter: int
    w: np.ndarray
    value: float
    gradient: np.ndarray
    learning_rate: float | None


@dataclass(frozen=True, repr=False)
class DescentResult:
    """What `gradient_descent` found.

    Attributes
    ----------
    w : ndarray of shape (d,)
        The last point.
    value : float
        f(w).
    gradient : ndarray of shape (d,)
        ∇f(w).
    values : ndarray of shape (n_iter + 1,)
        f at the start and after each iteration.
    path : ndarray of shape (n_iter + 1, d) or None
        The points, where ``record_path=True``.
    n_iter : int
        Steps made.
    converged : bool
        True for the stop reasons "gradient", "precision" and "step".
    stop_reason : str
        - "gradient": no partial derivative is larger than `tol` in size;
        - "precision": no step lowers f any more, and what the gradient promises is less than the rounding error of f;
        - "step": the step is too small to change w in floating point;
        - "line_search": no step along -∇f, however short, lowers f, although the gradient promises it: most likely it
          is not the gradient of f;
        - "callback": the callback returned True;
        - "max_iter": `max_iter` steps were made.
    """

    w: np.ndarray
    value: float
    gradient: np.ndarray
    values: np.ndarray
    path: np.ndarray | None
    n_iter: int
    converged: bool
    stop_reason: str

    def __repr__(self):
        with np.printoptions(precision=6, threshold=8):
            return (f"DescentResult({'converged' if self.converged else 'not converged'}: stop_reason="
                    f"{self.stop_reason!r} after n_iter={self.n_iter}, value={self.value:.6g}, w={self.w})")


def gradient_descent(f: Callable[[FloatArray], float], w0: ArrayLike | int,
                     gradient: Callable[[FloatArray], ArrayLike] | None = None, learning_rate: float | None = None,
                     tol: float = 1e-8, max_iter: int = 10_000, record_path: bool = False,
                     callback: Callable[[DescentState], Any] | None = None, *,
                     random_state: Seed = None) -> DescentResult:
    """Minimise a differentiable function f(w_1, ..., w_d) by gradient descent.

    All variables are updated simultaneously, w := w - η ∇f(w), until no partial derivative is larger than `tol`.

    Parameters
    ----------
    f : callable
        f(w) -> float for w an ndarray of shape (d,), its own to change.
    w0 : array_like of shape (d,), or int
        The start; an integer d asks for a random one, uniform in [-1, 1)^d.
    gradient : callable or None, default None
        gradient(w) -> (d,), the partial derivatives. None: central differences,
        ``∂f/∂w_i ≈ (f(w + h e_i) - f(w - h e_i)) / 2h`` with ``h = ∛eps · max(1, |w_i|)``: 2 d evaluations of f.
    learning_rate : float or None, default None
        A number is the lecture's fixed η. None searches along -∇f(w) in each iteration: the first trial is the
        shorter step of Barzilai and Borwein, Δw·Δg / Δg·Δg from the last two points, and it is halved until Armijo's
        condition f(w - η ∇f) <= f(w) - 1e-4 η ‖∇f‖² holds. So f never rises, and no η needs to be chosen.
    tol : float, default 1e-8
        Bound on ``max_i |∂f/∂w_i|`` at which the descent has converged.
    max_iter : int, default 10000
        Most steps.
    record_path : bool, default False
        Keep every point in ``result.path``.
    callback : callable or None, default None
        Called after each step with a `DescentState`; returning True stops.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default None
        Seed of a random start.

    Returns
    -------
    DescentResult
        w, value, gradient, values, path, n_iter, converged, stop_reason.

    Raises
    ------
    ValueError
        If an argument cannot be used, or if f or gradient returns NaN, infinity, complex numbers or a wrong shape;
        the message names it. A line search takes a trial point where f is not finite, or overflows, for a step that
        is too long.
    TypeError
        If f, gradient or callback cannot be called, or f or gradient returns no numbers.
    DivergenceError
        If a fixed `learning_rate` leads to where f, its gradient or w is not finite.

    References
    ----------
    L. Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives", 1966. J. Barzilai and
    J. Borwein, "Two-point step size gradient methods", 1988.

    Examples
    --------
    >>> from backprop.descent import gradient_descent
    >>> r = gradient_descent(lambda w: (w[0] - 3) ** 2 + 10 * (w[1] + 1) ** 2, [0.0, 0.0])
    >>> r.w.round(6).tolist(), r.stop_reason
    ([3.0, -1.0], 'gradient')

    The lecture's fixed step on f(w) = w², ∂f/∂w = 2 w: each step multiplies w by 1 - 2 η.

    >>> r = gradient_descent(lambda w: w[0] ** 2, [1.0], lambda w: 2 * w, learning_rate=0.25, max_iter=3,
    ...                      record_path=True)
    >>> r.path[:, 0].tolist()
    [1.0, 0.5, 0.25, 0.125]
    >>> r
    DescentResult(not converged: stop_reason='max_iter' after n_iter=3, value=0.015625, w=[0.125])
    """
    w = _start(w0, random_state)
    function = _Function(f, gradient, len(w))
    eta = None if learning_rate is None else _check.real(learning_rate, "learning_rate", above=0)
    tol = _check.real(tol, "tol", minimum=0)
    max_iter = _check.integer(max_iter, "max_iter", minimum=1)
    record_path = _check.boolean(record_path, "record_path")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {type(callback).__name__}")

    take = _LineSearch(function) if eta is None else _FixedStep(function, eta)
    point, stop = _Point(w, function.value(w), function.gradient(w), None), None
    values, path = [point.value], [w]
    while stop is None:
        if np.abs(point.gradient).max() <= tol:
            stop = "gradient"
        elif len(values) > max_iter:
            stop = "max_iter"
        else:
            stop, point = take(point, len(values))
        if stop is not None:
            break
        values.append(point.value)
        if record_path:
            path.append(point.w)
        if callback is not None:
            with _check.calls("callback"):
                if callback(DescentState(len(values) - 1, point.w.copy(), point.value, point.gradient.copy(),
                                         point.learning_rate)):
                    stop = "callback"
    return DescentResult(point.w, point.value, point.gradient, np.array(values),
                         np.array(path) if record_path else None, len(values) - 1,
                         stop in ("gradient", "precision", "step"), stop)


class _Point(NamedTuple):
    w: np.ndarray
    value: float
    gradient: np.ndarray
    learning_rate: float | None      # η of the step that led here


class _NotFinite(ValueError):
    """f or its gradient gave NaN or infinity: bad input at first, divergence after a fixed step."""


def _start(w0, random_state):
    """The first point, never the caller's own array."""
    generator = _check.generator(random_state, "random_state")
    if isinstance(w0, (int, np.integer)):
        return generator.uniform(-1, 1, _check.integer(w0, "w0", minimum=1, maximum=_check.MAX_ELEMENTS))
    return np.array(_check.vector(w0, "w0"))


class _Function:
    """f and its gradient, each called with a copy of w and checked."""

    def __init__(self, f, gradient, d):
        for name, function in (("f", f), ("gradient", gradient)):
            if not callable(function) and not (name == "gradient" and function is None):
                raise TypeError(f"{name} must be callable, got {type(function).__name__}")
        self.f, self.given, self.d = f, gradient, d

    def raw_value(self, w):
        """f(w) as a float that may be NaN or infinite; overflow is infinity."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                with _check.calls("f"):
                    out = self.f(w.copy())
        except OverflowError:                # Python's own floats raise where NumPy's give inf
            return np.inf
        if out is None or isinstance(out, (str, bytes)):
            raise TypeError(f"f must return a number, got {type(out).__name__}")
        shape = np.shape(out)
        if shape != ():
            raise ValueError(f"f must return one number, got an array of shape {shape}")
        if isinstance(out, complex) or np.iscomplexobj(out):
            raise ValueError(f"f must return a real number, got {_check.shown(out)}")
        try:
            return float(out)
        except (TypeError, ValueError):
            raise TypeError(f"f must return a number, got {type(out).__name__}") from None

    def value(self, w):
        """f(w), finite, or _NotFinite."""
        value = self.raw_value(w)
        if not np.isfinite(value):
            raise _NotFinite(f"f must return finite numbers, got {value} at w = {w}")
        return value

    def gradient(self, w):
        """∇f(w), finite, or _NotFinite."""
        if self.given is None:
            return self._central_differences(w)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                with _check.calls("gradient"):
                    out = self.given(w.copy())
        except OverflowError:
            raise _NotFinite(f"gradient overflows at w = {w}") from None
        try:
            return np.array(_check.vector(out, "gradient(w)", length=self.d, of="one per variable"))
        except ValueError as error:
            if _is_vector(out, self.d):
                raise _NotFinite(f"{error} (w = {w})") from None
            raise

    def _central_differences(self, w):
        slope = np.empty(self.d)
        for i in range(self.d):
            h = STEP * max(1.0, abs(w[i]))
            right, left = w.copy(), w.copy()
            right[i] += h
            left[i] -= h
            slope[i] = (self.value(right) - self.value(left)) / (right[i] - left[i])
        if not np.isfinite(slope).all():
            raise _NotFinite(f"the numeric gradient overflows at w = {w}")
        return slope


def _is_vector(out, d):
    """Whether `out` is d real numbers, so that only NaN or infinity can be wrong with it."""
    try:
        return not np.iscomplexobj(out) and np.asarray(out, np.float64).shape == (d,)
    except (TypeError, ValueError):
        return False


class _FixedStep:
    """w := w - η ∇f(w) with the same η throughout. Called, it gives (stop reason or None, point)."""

    def __init__(self, function, eta):
        self.function, self.eta = function, eta

    def __call__(self, point, iteration):
        with np.errstate(over="ignore"):
            w = point.w - self.eta * point.gradient
        if (w == point.w).all():
            return "step", point
        try:
            if not np.isfinite(w).all():
                raise _NotFinite(f"w is {w}")
            return None, _Point(w, self.function.value(w), self.function.gradient(w), self.eta)
        except _NotFinite as error:
            raise DivergenceError(f"learning_rate={self.eta:g} diverges at iteration {iteration}: {error}; take a "
                                  "smaller learning_rate, or None for a line search") from None


class _LineSearch:
    """Armijo backtracking from a Barzilai-Borwein trial step. Called, it gives (stop reason or None, point)."""

    def __init__(self, function):
        self.function = function
        self.last = None                         # the point before

    def _trial(self, point):
        if self.last is None:
            return min(1.0, 1.0 / np.abs(point.gradient).max())
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            moved, bent = point.w - self.last.w, point.gradient - self.last.gradient
            eta = (moved @ bent) / (bent @ bent)
        if 0 < eta < np.inf:
            return eta
        return 2 * point.learning_rate           # curved downwards: the quadratic model has no minimum

    @staticmethod
    def _why_none(point, first, eta):
        """The stop reason, after halving `first` down to `eta` found no step that f does not rise by."""
        if eta == first:
            return "step"
        promised = first * (point.gradient @ point.gradient)
        return "precision" if promised <= PRECISION * abs(point.value) else "line_search"

    def __call__(self, point, iteration):
        eta = first = self._trial(point)
        while True:
            with np.errstate(over="ignore", invalid="ignore"):
                move = eta * point.gradient
                w = point.w - move
                bound = point.value - ARMIJO * (move @ point.gradient)
            if (w == point.w).all():
                return self._why_none(point, first, eta), point
            value = self.function.raw_value(w) if np.isfinite(w).all() else np.inf
            if np.isfinite(value) and value <= bound:
                break
            eta /= 2
        self.last = point
        return None, _Point(w, value, self.function.gradient(w), eta)
