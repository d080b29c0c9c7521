"""Full-batch solvers under the same `optimizer=` argument: L-BFGS and Levenberg-Marquardt.

A solver takes the place of the core's jobs in the epoch loop: its `run` makes one iteration after another, each an
epoch of the history, and tells the loop (`iteration`), which answers with the reason to stop or None. Both minimise

    F(w) = (1/n) Σ_i w_i C_i + (l2/2) ‖W‖²

and look at the clock, and thereby hear Ctrl-C, between slices of the examples.
"""

import logging
import math
import time

import numpy as np

from backprop import _memory, _sparse, schedules
from backprop._dispatch import core
from backprop.errors import DivergenceError

logger = logging.getLogger("backprop")

MAX_BYTES = 2**30        # that the matrices of Levenberg-Marquardt may take: some 8,000 parameters
FLOPS = 1e9              # in a second: a cautious guess, until the first slice of time is measured
PANEL = 64               # rows of the Cholesky factor in one call of the core; it changes no bit
PANEL_FLOPS = 2.5e8      # and no more work than this for each lane of a vector: some 0.1 s
JACOBIAN_ROWS = 128      # rows of the Jacobian held at a time, or an example's; it changes no bit
BLOCK = 64               # examples that the passes hold at a time; it changes no bit
SQUARES = {"squared_error": 2.0, "half_squared_error": 1.0}      # ∂²C/∂y'_k² of the losses that are sums of squares
EPS = np.finfo(np.float64).eps


# ---- conditions ------------------------------------------------------------------------------------------------------

def check(network, options):
    """Refuse what a solver cannot do, before anything has changed."""
    name = options.optimizer.name
    refused = [("clip_norm", options.clip_norm, "a solver chooses the length of its steps itself"),
               ("max_norm", options.max_norm, "it would undo the steps that a solver has chosen"),
               ("dropout", options.dropout is not None, "a solver needs an objective that stays the same"),
               ("schedule", type(options.schedule) is not schedules.constant, "a solver has no learning rate"),
               ("l1", options.l1, "it has a kink at 0, and a solver needs an objective with derivatives; use l2")]
    for argument, given, reason in refused:
        if given:
            raise ValueError(f"{argument} does not go with optimizer={name!r}: {reason}")
    if name == "lbfgs":
        _minimize()
    else:
        _check_squares(network)


def _minimize():
    """scipy.optimize.minimize, or the error that tells how to get it."""
    try:
        from scipy.optimize import minimize  # an extra, loaded only for L-BFGS
    except ImportError as error:
        raise ImportError("optimizer='lbfgs' needs SciPy: pip install 'backprop-core[scipy]'") from error
    return minimize


def _check_squares(network):
    if network.loss not in SQUARES:
        raise ValueError(f"optimizer='levenberg_marquardt' needs loss={' or '.join(map(repr, SQUARES))}, a sum of "
                         f"squares; the network's is {network._loss!r}")
    needed = matrix_bytes(network)
    if needed > MAX_BYTES:
        raise ValueError(f"optimizer='levenberg_marquardt' needs {needed:,} bytes for its matrices over the network's "
                         f"{network.n_parameters:,} parameters, more than its limit of {MAX_BYTES:,}; "
                         "use 'lbfgs' or 'adam'")


def matrix_bytes(network):
    """Bytes of the matrices of Levenberg-Marquardt: the Gauss-Newton matrix, its factor, and rows of the Jacobian."""
    p = network.n_parameters
    return 8 * _padded(p) * (2 * p + _examples_at_once(network) * network.sizes[-1])


def _padded(n):
    return -(-n // 8) * 8


def _examples_at_once(network):
    """How many examples' rows of the Jacobian are held."""
    return max(1, min(BLOCK, JACOBIAN_ROWS // network.sizes[-1]))


def make(loop):
    """The solver that the options of a `backprop.training._Run` ask for, or None.

    Examples that lie elsewhere (backprop.dask) bring their own.
    """
    elsewhere = getattr(loop.train, "solver", None)
    if elsewhere is not None:
        return elsewhere(loop)
    solver = {"lbfgs": LBFGS, "levenberg_marquardt": LevenbergMarquardt}.get(loop.options.optimizer.name)
    return None if solver is None else solver(loop)


# ---- what both share -------------------------------------------------------------------------------------------------

class _OutOfTime(Exception):
    """The clock ran out within an iteration."""


class _Told(Exception):
    """The loop answered with a reason to stop."""


class _Solver:
    """The objective over all examples, in slices of time.

    Parameters
    ----------
    loop : backprop.training._Run
        With the network, the options and the training state; `iteration` takes the books of an iteration.

    Attributes
    ----------
    losses : ndarray
        (n,) C of the examples, of which the last pass visited the first `visited`.
    """

    def __init__(self, loop):
        self.loop, self.network, self.train = loop, loop.network, loop.train
        self.hyper = loop.options.optimizer.hyper
        n = len(self.train)
        self.losses, self.visited = np.empty(n), 0
        self.scale = np.full(n, 1.0) if self.train.weight is None else self.train.weight
        self.decay = self._compact_l2()
        self.memory = _memory.zeros(core.work_size(self.network._plan, BLOCK))
        self.rates = {}

    def _compact_l2(self):
        """l2 for each weight and 0 for each bias, in the order of `Network.parameters`."""
        parts = [np.full(part.size, value) for W, b in zip(self.network._weights, self.network._biases)
                 for part, value in ((W, self.loop.options.l2), (b, 0.0)) if part is not None]
        return np.concatenate(parts)

    def _set(self, w):
        """Parameters from a vector in the order of `Network.parameters`."""
        position = 0
        for W, b in zip(self.network._weights, self.network._biases):
            for view in (W, b):
                if view is not None:
                    view[...] = w[position:position + view.size].reshape(view.shape) + 0.0
                    position += view.size

    def _slices(self, flops):
        """Slices over the examples, each as long as the clock and Ctrl-C may wait; `flops`: what one costs, about."""
        n, start, self.visited = len(self.train), 0, 0
        rate, most = self.rates.get(flops, FLOPS / flops), _sparse.block_rows(self.train.X)
        while start < n:
            stop = min(n, start + min(most, max(1, int(rate * self.loop.slice_seconds()))))
            begun = time.perf_counter()
            yield slice(start, stop)
            self.rates[flops] = rate = (stop - start) / max(time.perf_counter() - begun, 1e-9)
            self.visited = start = stop
            if start < n:
                self._look_at_the_clock()

    def _look_at_the_clock(self):
        if self.loop.out_of_time():
            raise _OutOfTime

    def _total(self):
        """Σ w_i C_i over the examples that the last pass visited."""
        weight = self.train.weight
        return core.total_loss(self.losses[:self.visited], None if weight is None else weight[:self.visited])

    def _objective(self, w):
        """F, of the losses of a whole pass at w."""
        with np.errstate(over="ignore"):
            return self._total() / len(self.train) + 0.5 * core.dot(self.decay * w, w)

    def _diverged(self):
        return DivergenceError(f"the loss became infinite or NaN in epoch {self.network.epochs_trained + 1} with "
                               f"{self.loop.options.optimizer!r}; the last finite parameters are kept. Scale the "
                               "inputs (bp.data.Standardizer), or start from smaller weights")


# ---- Levenberg-Marquardt ---------------------------------------------------------------------------------------------

class LevenbergMarquardt(_Solver):
    """The damped Gauss-Newton method: an iteration is one step that lowers F.

    With J the Jacobian of the outputs by the parameters, c = 2 for squared_error, 1 for half_squared_error, r = y - y',

        H = (c/n) Σ_i w_i JᵢᵀJᵢ + l2 I_W,   g = ∇F = -(c/n) Σ_i w_i Jᵢᵀrᵢ + l2 W,   (H + μ I) h = -g,   w := w + h.

    μ starts as damping · max_j H_jj and follows the gain ratio ρ = (F(w) - F(w + h)) / (½ hᵀ(μ h - g)): where ρ > 0 the
    step is taken, μ := μ max(1/3, 1 - (2ρ - 1)³) and ν := 2; elsewhere μ := μ ν, ν := 2 ν, and the step is tried again.
    The method is Levenberg's (1944) and Marquardt's (1963), for networks Hagan's and Menhaj's (1994), the rule for μ
    Nielsen's (1999). The state that goes on from call to call is (μ, ν), the last two numbers of the training state.
    """

    def __init__(self, loop):
        super().__init__(loop)
        p, outputs = self.network.n_parameters, self.network.sizes[-1]
        self.H, self.U = _memory.zeros(p, _padded(p)), _memory.zeros(p, _padded(p))
        self.gradient, self.step = _memory.zeros(_padded(p)), _memory.zeros(_padded(p))
        self.block = _examples_at_once(self.network)         # of all passes: they find the buffers' padding zero
        self.J = _memory.zeros(self.block * outputs, _padded(p))
        self.panel = max(8, min(PANEL, int(PANEL_FLOPS * core.simd_width() / p**2) // 8 * 8))
        self.scratch = _memory.zeros(self.panel, _padded(p))
        self.roots = np.sqrt(self.scale * (SQUARES[self.network.loss] / len(self.train)))

    def run(self):
        while True:
            started, w = time.perf_counter(), self.network.parameters
            try:
                outcome = self._iterate(w)
            except _OutOfTime:
                self._set(w)
                outcome = "max_seconds"
            except BaseException:
                self._set(w)
                raise
            reason = self.loop.iteration(*self.examined, time.perf_counter() - started, outcome)
            if reason is not None:
                return reason

    def _iterate(self, w):
        """One step from w that lowers F; "converged" where there is none worth making."""
        numbers = self.loop.state.numbers
        value = self._derivatives(w)
        g = self.gradient[:w.size]
        if np.abs(g).max() <= self.hyper["gradient_tol"]:
            return "converged"
        largest = np.diagonal(self.H).max()
        mu, nu = numbers[-2:].tolist()
        mu = max(mu if mu > 0.0 else self.hyper["damping"] * largest, EPS * largest)    # less would do nothing to H
        nu = nu if nu > 0.0 else 2.0
        while True:
            h = self._solve(mu)
            if h is not None:
                size, tol = math.sqrt(core.dot(h, h)), self.hyper["step_tol"]
                if size <= tol * (math.sqrt(core.dot(w, w)) + tol):
                    self._set(w)
                    return "converged"        # μ stays as it was: grown, it would keep another call from its steps
                promised = 0.5 * (mu * core.dot(h, h) - core.dot(g, h))
                gain = (value - self._value(w + h)) / promised if 0.0 < promised < math.inf else 0.0
                if gain > 0.0:
                    swing = 2.0 * gain - 1.0
                    numbers[-2:] = mu * max(1.0 / 3.0, 1.0 - swing * swing * swing), 2.0
                    return None
            mu, nu = mu * nu, 2.0 * nu

    def _derivatives(self, w):
        """H and g at w, which the network holds; returns F."""
        self.H[...] = 0.0
        self.gradient[...] = 0.0
        X, Y = self.train.X, self.train.Y
        try:
            for part in self._slices(float(self.H.shape[0])**2 * self.network.sizes[-1] + w.size):
                core.gauss_newton(self.network._plan, X[part], Y[part], self.roots[part], self.H, self.gradient,
                                  self.losses[part], self.J, self.memory)
        finally:
            self.examined = self._total(), self.visited
        self.H.ravel()[::self.H.shape[1] + 1] += self.decay
        self.gradient[:w.size] += self.decay * w
        value = self._objective(w)
        if not (math.isfinite(value) and np.isfinite(self.gradient).all() and np.isfinite(np.diagonal(self.H)).all()):
            raise self._diverged()
        return value

    def _solve(self, mu):
        """h of (H + μ I) h = -g, or None where the matrix is not positive definite in floating point."""
        np.copyto(self.U, self.H)
        self.U.ravel()[::self.U.shape[1] + 1] += mu
        p = self.U.shape[0]
        for first in range(0, p, self.panel):
            if not core.cholesky(self.U, first, min(first + self.panel, p), self.scratch):
                return None
            self._look_at_the_clock()
        np.negative(self.gradient, out=self.step)
        core.solve(self.U, self.step)
        return self.step[:p]

    def _value(self, w):
        """F at w, where it leaves the network; infinite where it is not finite."""
        self._set(w)
        for part in self._slices(float(w.size)):
            core.evaluate(self.network._plan, self.train.X[part], self.train.Y[part], self.losses[part], self.memory,
                          self.block)
        value = self._objective(w)
        return value if math.isfinite(value) else math.inf


# ---- L-BFGS ----------------------------------------------------------------------------------------------------------

class LBFGS(_Solver):
    """SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995) without bounds, with the core's gradients.

    An iteration is one accepted step of its line search. Its memory of past steps is SciPy's and ends with the call.
    """

    def __init__(self, loop):
        super().__init__(loop)
        self.gradient = _memory.zeros(self.network._parameters.size)
        self.scale = self.scale / len(self.train)

    def run(self):
        self.started, self.accepted, self.total = time.perf_counter(), self.network.parameters, None
        self.evaluated = None                     # (w, Σ w_i C_i) of the last evaluation
        try:
            return self._minimise()
        except _Told as told:
            return told.args[0]
        except _OutOfTime:
            self._set(self.accepted)
            total = self._total() if self.total is None else self.total
            visited = self.visited if self.total is None else len(self.train)
            return self.loop.iteration(total, visited, time.perf_counter() - self.started, "max_seconds")
        except BaseException:
            self._set(self.accepted)
            raise

    def _minimise(self):
        iterations, hyper = self.loop.updates, self.hyper
        unlimited = 2**31 - 1                     # the loop counts iterations and stops
        result = _minimize()(
            self._value_and_gradient, self.accepted, jac=True, method="L-BFGS-B", callback=self._iterated,
            options={"maxcor": hyper["memory"], "gtol": hyper["gradient_tol"], "ftol": hyper["loss_tol"],
                     "maxls": hyper["max_line_search"], "maxiter": unlimited, "maxfun": hyper["max_evaluations"]})
        logger.info("L-BFGS ended: %s", result.message)
        self._set(self.accepted)
        if self.loop.updates == iterations:       # it began in the minimum
            self.loop.iteration(self.total, len(self.train), time.perf_counter() - self.started, "converged")
        return "max_updates" if result.status == 1 else "converged"      # 1: max_evaluations

    def _value_and_gradient(self, w):
        if not np.isfinite(w).all():
            raise self._diverged()
        self._set(w)
        self.gradient[...] = 0.0
        self._pass(w)
        value, gradient = self._objective(w), self.network._compact(self.gradient) + self.decay * w
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise self._diverged()
        self.evaluated = w.copy(), self._total()
        if self.total is None:
            self.total = self.evaluated[1]
        return value, gradient

    def _pass(self, w):
        """Losses and gradient of all examples at w, which the network holds."""
        network, train = self.network, self.train
        for part in self._slices(6.0 * w.size):
            X = train.X[part]
            Y, own = network._own(X, train.Y[part])
            core.gradients(network._plan, X, Y, self.scale[part], self.gradient, None, self.losses[part],
                           self.memory, BLOCK)
            if own is not None:
                self.losses[part] = own

    def _iterated(self, w):
        """SciPy has accepted w."""
        if not np.array_equal(w, self.evaluated[0]):
            self._value_and_gradient(w)
        self._set(w)
        before, self.total, epochs = self.total, self.evaluated[1], self.network.epochs_trained
        try:
            reason = self.loop.iteration(before, len(self.train), time.perf_counter() - self.started, None)
        finally:                                         # where a metric has failed, the step does not count
            self.accepted = w.copy() if self.network.epochs_trained > epochs else self.accepted
        if reason is not None:
            raise _Told(reason)
        self.started = time.perf_counter()
