"""The solvers: Levenberg-Marquardt against mathematics and a plain twin, L-BFGS against SciPy, and their loop."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

import backprop as bp
import cases
from backprop import _memory, solvers
from backprop._dispatch import available, core, variant
from reference import Reference

LM = bp.optimizers.LevenbergMarquardt
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 4)), rng.normal(size=(40, 3))
SINE_X = np.linspace(-1.0, 1.0, 100).reshape(-1, 1)
SINE_Y = np.sin(3 * np.pi * SINE_X) + 0.1 * np.random.default_rng(0).normal(size=SINE_X.shape)
SMOOTH = [name for name in cases.HIDDEN if name != "gelu"]         # what the reference takes complex numbers for


def network(seed=0, sizes=(4, 6, 3), **options):
    return bp.Network(list(sizes), seed=seed, **options)


def train(net, X=X, Y=Y, optimizer="levenberg_marquardt", **options):
    return net.train(X, Y, batch_size="full", optimizer=optimizer, **options)


def without_times(history):
    times = "seconds", "examples_per_second"
    return {name: column for name, column in history.to_dict().items() if name not in times}


def padded(n):
    return -(-n // 8) * 8


# ---- the Jacobian ----------------------------------------------------------------------------------------------------

def jacobian(net, X, scale=None):
    """(n, n_L, n_parameters) of the core."""
    J = _memory.zeros(len(X) * net.sizes[-1], padded(net.n_parameters))
    core.jacobian(net._plan, X, np.ones(len(X)) if scale is None else scale, J,
                  _memory.zeros(core.work_size(net._plan, len(X))))
    assert not J[:, net.n_parameters:].any()
    return J[:, :net.n_parameters].reshape(len(X), net.sizes[-1], -1)


def complex_step(net, X):
    """∂y'/∂w = Im y'(w + ih) / h, exact to the last digits."""
    J = np.empty((len(X), net.sizes[-1], net.n_parameters))
    position = 0
    for l in range(len(net.weights)):
        for kind in ("W", "b") if net.bias else ("W",):
            ref = Reference(net.weights, net.biases, net.activations[:-1], net.activations[-1], net.loss)
            parameters = getattr(ref, kind)
            parameters[l + 1] = parameters[l + 1].astype(complex)
            for index in np.ndindex(parameters[l + 1].shape):
                parameters[l + 1][index] += 1e-100j
                J[:, :, position] = ref.forward(X)[1][-1].imag / 1e-100
                parameters[l + 1][index] = parameters[l + 1][index].real
                position += 1
    assert position == net.n_parameters
    return J


@pytest.mark.parametrize("output", [*SMOOTH, "softmax"])
@pytest.mark.parametrize("sizes, hidden, bias", [((3, 2), "tanh", True), ((4, 1), "tanh", False),
                                                 ((2, 9, 3), "elu", True), ((3, 8, 1, 5, 2), "sigmoid", False),
                                                 ((1, 4, 9), ["relu"], True)])
def test_the_jacobian_is_the_complex_steps(output, sizes, hidden, bias):
    generator = np.random.default_rng(7)
    output = "sigmoid" if output == "softmax" and sizes[-1] == 1 else output
    net = bp.Network(list(sizes), hidden=hidden, output=output, bias=bias,
                     init=cases.parameters(generator, sizes, bias))
    X = generator.normal(size=(5, sizes[0]))
    expected = complex_step(net, X)
    assert expected.any()
    assert cases.error(jacobian(net, X), expected) < 1e-12


def test_the_jacobian_is_the_central_differences():
    net = network(hidden="gelu", output="gelu")
    w, h, expected = net.parameters, 1e-6, []
    for e in np.eye(w.size):
        net.set_parameters(w + h * e)
        above = net.predict(X)
        net.set_parameters(w - h * e)
        expected.append((above - net.predict(X)) / (2 * h))
    net.set_parameters(w)
    assert cases.error(jacobian(net, X), np.stack(expected, axis=-1)) < 1e-8


def test_rows_of_the_jacobian_are_scaled_and_independent_of_the_block():
    net, scale = network(), np.arange(40.0)
    whole = jacobian(net, X, scale)
    np.testing.assert_allclose(whole, jacobian(net, X) * scale[:, None, None], rtol=1e-13, atol=1e-15)
    assert not whole[0].any()
    assert jacobian(net, X[7:9], scale[7:9]).tobytes() == whole[7:9].tobytes()


@pytest.mark.parametrize("loss, factor", [("squared_error", 2.0), ("half_squared_error", 1.0)])
def test_the_gauss_newton_matrix_and_the_gradient_are_products_of_the_jacobian(loss, factor):
    net = network(loss=loss, output="tanh")
    p, w = net.n_parameters, np.random.default_rng(1).random(40)
    H, g, each = _memory.zeros(p, padded(p)), _memory.zeros(padded(p)), np.empty(40)
    core.gauss_newton(net._plan, X, Y, np.sqrt(w * factor / w.sum()), H, g, each, _memory.zeros(7 * 3, padded(p)),
                      _memory.zeros(core.work_size(net._plan, 7)))
    J = jacobian(net, X)
    upper = np.triu_indices(p)
    expected = factor * np.einsum("n,nkp,nkq->pq", w, J, J) / w.sum()
    assert cases.error(H[:, :p][upper], expected[upper]) < 1e-13
    gradients = net.gradients(X, Y, w)
    assert cases.error(g[:p], cases.flat(gradients.weights, gradients.biases)) < 1e-13
    assert not g[p:].any() and not H[:, p:].any()
    assert each.tobytes() == np.array([net.evaluate(x, y) for x, y in zip(X[:, None], Y[:, None])]).tobytes()


# ---- the Cholesky factor ---------------------------------------------------------------------------------------------

def positive(p, seed=0):
    A = np.random.default_rng(seed).normal(size=(p, p))
    return A @ A.T / p + 0.1 * np.eye(p)


def factor(A, panel):
    """(U, positive) of the core, panel by panel."""
    p = len(A)
    U = _memory.zeros(p, padded(p))
    U[:, :p] = A
    scratch = _memory.zeros(panel, padded(p))
    good = all(core.cholesky(U, first, min(first + panel, p), scratch) for first in range(0, p, panel))
    return U, good


@pytest.mark.parametrize("p", [1, 2, 7, 8, 9, 63, 64, 65, 130, 200])
def test_the_factor_is_lapacks_and_independent_of_the_panels(p):
    A = positive(p, p)
    U, good = factor(A, 64)
    assert good
    upper = np.triu(U[:, :p])
    assert cases.error(upper, scipy.linalg.cholesky(A)) < 1e-12
    for panel in (1, 3, 8, 24):
        assert np.triu(factor(A, panel)[0][:, :p]).tobytes() == upper.tobytes()
    b = _memory.zeros(padded(p))
    b[:p] = np.arange(p) - 3.0
    expected = np.linalg.solve(A, b[:p])
    core.solve(U, b)
    assert cases.error(b[:p], expected) < 1e-11
    assert not b[p:].any()


@pytest.mark.parametrize("at", [0, 5, 70, 99])
@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan, np.inf])
def test_what_is_not_positive_is_found(at, bad):
    A = np.diag(np.arange(1.0, 101.0))
    A[at, at] = bad
    assert not factor(A, 16)[1]


# ---- Levenberg-Marquardt: mathematics --------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_network_reaches_the_least_squares_solution_in_a_few_steps(loss, weighted):
    w = np.random.default_rng(3).integers(0, 4, 40) if weighted else np.ones(40)
    net = network(sizes=(4, 3), loss=loss)
    history = train(net, epochs=15, sample_weight=w if weighted else None)
    A, root = np.column_stack([X, np.ones(40)]), np.sqrt(w)[:, None]
    solution = np.linalg.lstsq(A * root, Y * root, rcond=None)[0]
    assert history.stop_reason == "converged" and len(history) <= 10
    np.testing.assert_allclose(np.vstack([net.weights[0], net.biases[0]]), solution, rtol=0, atol=1e-9)


def test_with_l2_it_is_the_ridge_solution_and_biases_are_free():
    net, l2 = network(sizes=(4, 3)), 0.3
    train(net, epochs=30, l2=l2)
    A = np.column_stack([X, np.ones(40)])
    ridge = np.diag([*[l2 / 2] * 4, 0.0]) + A.T @ A / 40
    np.testing.assert_allclose(np.vstack([net.weights[0], net.biases[0]]), np.linalg.solve(ridge, A.T @ Y / 40), rtol=0,
                               atol=1e-9)


def twin(net, X, Y, steps, c, l2, weight, damping=1e-3):
    """Levenberg-Marquardt in plain NumPy: the data loss before and w after each accepted step, and the last (μ, ν)."""
    w, n = net.parameters, len(X)
    weight = np.ones(n) if weight is None else weight / weight.mean()
    decay = cases.flat([np.full(W.shape, l2) for W in net.weights], [np.zeros(b.shape) for b in net.biases])
    scratch = net.copy()

    def objective(w):
        scratch.set_parameters(w)
        r = Y - scratch.predict(X)
        return (weight * (r * r).sum(axis=1)).sum() * c / 2 / n + (decay * w * w).sum() / 2

    mu = nu = None
    losses, path = [], []
    for _ in range(steps):
        scratch.set_parameters(w)
        J, r = complex_step(scratch, X), Y - scratch.predict(X)
        H = c / n * np.einsum("n,nkp,nkq->pq", weight, J, J) + np.diag(decay)
        g = -c / n * np.einsum("n,nkp,nk->p", weight, J, r) + decay * w
        if mu is None:
            mu, nu = damping * H.diagonal().max(), 2.0
        value = objective(w)
        losses.append(value - (decay * w * w).sum() / 2)
        while True:
            h = np.linalg.solve(H + mu * np.eye(w.size), -g)
            gain = (value - objective(w + h)) / (0.5 * h @ (mu * h - g))
            if gain > 0:
                w, mu, nu = w + h, mu * max(1 / 3, 1 - (2 * gain - 1)**3), 2.0
                break
            mu, nu = mu * nu, 2 * nu
        path.append(w)
    return losses, path, (mu, nu)


@pytest.mark.parametrize("loss, c, l2, weighted, damping", [
    ("squared_error", 2.0, 0.0, False, 1e-3), ("half_squared_error", 1.0, 0.01, True, 1e-3),
    ("squared_error", 2.0, 0.001, True, 1e-9), ("squared_error", 2.0, 0.0, False, 10.0)])
def test_every_step_is_the_twins(loss, c, l2, weighted, damping):
    net = network(sizes=(4, 5, 3), loss=loss, hidden="sigmoid", output="tanh")
    weight = np.random.default_rng(2).random(40) if weighted else None
    losses, path, state = twin(net, X, Y, 8, c, l2, weight, damping)
    after = []
    history = train(net, optimizer=LM(damping), epochs=8, l2=l2, sample_weight=weight,
                    callbacks=lambda state: after.append(state.network.parameters))
    np.testing.assert_allclose(after, path, rtol=0, atol=1e-7)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-8)
    np.testing.assert_allclose(history.penalty[-1], l2 / 2 * sum((W**2).sum() for W in net.weights), rtol=1e-12)
    np.testing.assert_allclose(net._training_state.numbers[-2:], state, rtol=1e-4)


def test_every_step_lowers_the_objective_and_the_reported_losses_are_those_before_it():
    net, values = network(hidden="relu"), []
    start = net.evaluate(X, Y)
    history = train(net, epochs=30, l2=0.01, callbacks=lambda state: values.append(state.network.evaluate(X, Y)))
    assert history.loss[0] == pytest.approx(start, rel=1e-14)
    np.testing.assert_allclose(history.loss[1:], values[:-1], rtol=1e-14)
    assert (np.diff(np.array(values) + history.penalty) < 0).all()
    assert history.learning_rate == [None] * 30 and history.stop_reason == "epochs"


def test_a_noisy_sine_in_100_iterations_better_than_adam_in_10_000_epochs():
    for seed in (0, 1):
        solved = network(seed, (1, 10, 1))
        assert train(solved, SINE_X, SINE_Y, epochs=100).stop_reason == "epochs"
        for learning_rate in (0.003, 0.01, 0.1):
            net = network(seed, (1, 10, 1))
            train(net, SINE_X, SINE_Y, "adam", epochs=10_000, learning_rate=learning_rate)
            assert solved.evaluate(SINE_X, SINE_Y) < net.evaluate(SINE_X, SINE_Y)


def test_weight_k_is_k_copies_and_weight_0_removal():
    k = np.random.default_rng(5).integers(0, 4, 40)
    weighted, copied = network(), network()
    train(weighted, epochs=6, sample_weight=k, l2=1e-3)
    train(copied, np.repeat(X, k, axis=0), np.repeat(Y, k, axis=0), epochs=6, l2=1e-3)
    np.testing.assert_allclose(weighted.parameters, copied.parameters, rtol=0, atol=1e-9)


# ---- Levenberg-Marquardt: bits ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("solver_options", [{}, {"l2": 0.01}, {"validation": 0.25, "metrics": "r2"}])
def test_two_calls_are_one_bit_for_bit(solver_options):
    once, twice = network(), network()
    whole = train(once, epochs=40, **solver_options)
    parts = train(twice, epochs=17, **solver_options) + train(twice, epochs=23, **solver_options)
    assert once.parameters.tobytes() == twice.parameters.tobytes() and len(whole) == 40
    assert without_times(whole) == without_times(parts)
    assert once._training_state.to_dict() == twice._training_state.to_dict()
    fresh = network()
    train(fresh, epochs=17, **solver_options)
    fresh._training_state = None
    train(fresh, epochs=23, **solver_options)
    assert fresh.parameters.tobytes() != once.parameters.tobytes()


def test_blocks_and_slices_change_no_bit(monkeypatch):
    plain, sliced = network(), network()
    expected = train(plain, epochs=10)
    monkeypatch.setattr(solvers, "JACOBIAN_ROWS", 9)
    monkeypatch.setattr(solvers, "BLOCK", 5)
    monkeypatch.setattr(solvers, "PANEL", 8)
    monkeypatch.setattr(solvers._Solver, "_slices", _one_by_one)
    assert without_times(train(sliced, epochs=10)) == without_times(expected)
    assert plain.parameters.tobytes() == sliced.parameters.tobytes()


def _one_by_one(self, flops):
    for self.visited in range(1, len(self.train) + 1):
        yield slice(self.visited - 1, self.visited)


PRINT = """
    import numpy as np
    import backprop as bp
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, 4)), rng.normal(size=(90, 3))
    net = bp.Network([4, 11, 3], hidden="sigmoid", seed=0)
    net.train(X, Y, epochs=30, batch_size="full", optimizer="levenberg_marquardt", l2=1e-3)
    print(net.parameters.tobytes().hex())
"""


@pytest.mark.skipif(not {"v3", "v4"} <= set(available()), reason="one variant with FMA only")
def test_the_variants_with_fma_give_the_same_bits():
    found = set()
    for name in ("v3", "v4"):
        environment = {**os.environ, "BACKPROP_SIMD": name, "PYTHONPATH": str(Path(bp.__file__).parents[1])}
        run = subprocess.run([sys.executable, "-c", textwrap.dedent(PRINT)], capture_output=True, text=True, check=True,
                             env=environment)
        found.add(run.stdout)
    assert len(found) == 1 and variant in ("baseline", "v3", "v4")


# ---- L-BFGS ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"l2": 0.1}])
def test_lbfgs_finds_scipys_optimum_with_numeric_gradients(options):
    """A convex problem: the optimum is one."""
    labels = np.eye(3)[np.random.default_rng(1).integers(0, 3, 40)]
    net, other = (network(sizes=(4, 3), loss="log_loss") for _ in range(2))
    history = train(net, X, labels, bp.optimizers.LBFGS(gradient_tol=1e-10, loss_tol=0.0), epochs=500, **options)

    def objective(w):
        other.set_parameters(w)
        return other.evaluate(X, labels) + options.get("l2", 0.0) / 2 * (other.weights[0]**2).sum()

    found = scipy.optimize.minimize(objective, other.parameters, method="BFGS", options={"gtol": 1e-6})
    assert history.stop_reason == "converged"
    assert objective(net.parameters) <= found.fun + 1e-12
    np.testing.assert_allclose(net.predict(X), other.predict(X), rtol=0, atol=1e-4)
    np.testing.assert_allclose(objective(net.parameters), found.fun, rtol=0, atol=1e-9)


def test_lbfgs_iterates_as_scipy_does_with_the_cores_gradients():
    net, other, path, expected = network(), network(), [], []

    def value_and_gradient(w):
        other.set_parameters(w)
        gradients = other.gradients(X, Y)
        return gradients.loss, cases.flat(gradients.weights, gradients.biases)

    scipy.optimize.minimize(value_and_gradient, other.parameters, jac=True, method="L-BFGS-B",
                            callback=lambda w: expected.append(w.copy()), options={"maxiter": 15, "maxcor": 5})
    history = train(net, optimizer=bp.optimizers.LBFGS(5), epochs=15,
                    callbacks=lambda state: path.append(state.network.parameters))
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-8)
    assert history.stop_reason == "epochs" and len(history) == 15
    losses = [network().evaluate(X, Y)]
    for w in expected[:-1]:
        other.set_parameters(w)
        losses.append(other.evaluate(X, Y))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)


def test_lbfgs_takes_a_users_own_loss_and_any_other():
    def own(Y, P):
        r = Y - P
        return (r * r).sum(axis=1), -2.0 * r

    built_in, users = network(), network(loss=own)
    weight = np.arange(40.0)
    first = train(built_in, optimizer="lbfgs", epochs=20, sample_weight=weight, l2=0.01)
    second = train(users, optimizer="lbfgs", epochs=20, sample_weight=weight, l2=0.01)
    np.testing.assert_allclose(users.parameters, built_in.parameters, rtol=0, atol=1e-6)
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-7)


def test_lbfgs_reports_the_loss_of_the_point_that_scipy_accepted(monkeypatch):
    def minimize(f, w, callback, **_):                # accepts points that it has not evaluated last
        f(w)
        callback(w + 0.1)
        f(w + 0.3)
        callback(w + 0.2)
        return scipy.optimize.OptimizeResult(message="", status=0)

    monkeypatch.setattr(solvers, "_minimize", lambda: minimize)
    net, other, expected = network(), network(), []
    history = train(net, optimizer="lbfgs", epochs=5)
    for step in (0.0, 0.1, 0.2):
        other.set_parameters(network().parameters + step)
        expected.append(other.evaluate(X, Y))
    assert history.loss == pytest.approx(expected[:2], rel=1e-14) and history.stop_reason == "converged"
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_lbfgs_goes_on_where_it_stopped():
    net = network()
    first = train(net, optimizer="lbfgs", epochs=5)
    before = net.evaluate(X, Y)
    second = train(net, optimizer="lbfgs", epochs=5)
    assert second.loss[0] == pytest.approx(before, rel=1e-14) and second.epoch == [6, 7, 8, 9, 10]
    assert first.loss[-1] > second.loss[0] > second.loss[-1]


# ---- the loop around both --------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("optimizer", bp.optimizers.SOLVERS)


@BOTH
def test_a_converged_network_stays_where_it_is(optimizer):
    net = network(sizes=(4, 3))
    first = train(net, optimizer=optimizer, epochs=200)
    found = net.parameters
    second = train(net, optimizer=optimizer, epochs=200)
    assert first.stop_reason == second.stop_reason == "converged" and 1 <= len(second) <= 3
    np.testing.assert_allclose(net.parameters, found, rtol=0, atol=1e-4)
    assert net.epochs_trained == len(first) + len(second)
    other = train(net, X, X[:, 1:], optimizer, epochs=200)             # and goes on with other data
    assert len(other) > 2 and net.evaluate(X, X[:, 1:]) < 1e-6


@BOTH
def test_a_metric_that_fails_leaves_the_iteration_before(optimizer):
    values, expected = [], network()
    train(expected, optimizer=optimizer, epochs=2)

    def fails(targets, outputs):
        values.append(len(values))
        if len(values) == 3:
            raise ZeroDivisionError
        return 0.0

    net = network()
    with pytest.raises(ZeroDivisionError):
        train(net, optimizer=optimizer, epochs=9, metrics=fails)
    assert net.epochs_trained == len(net.history) == 2
    assert net.parameters.tobytes() == expected.parameters.tobytes()


@BOTH
def test_the_loop_serves_solvers(optimizer):
    seen = []
    options = dict(optimizer=optimizer, epochs=12, validation=(X[:9], Y[:9]), metrics=["r2", "gradient_norm"])
    history = train(network(), callbacks=lambda state: seen.append(state.epoch), **options)
    assert seen == history.epoch == list(range(1, 13)) and len(history.val_loss) == len(history.r2) == 12
    assert min(history.gradient_norm) > 0.0 and history.r2[-1] > history.r2[0]
    level = history.loss[5]
    assert train(network(), target_loss=level, **options).stop_reason == "target_loss"
    assert len(train(network(), target_loss=level, **options)) == 6
    stopped = train(network(), callbacks=lambda state: state.epoch == 4, **options)
    assert (stopped.stop_reason, len(stopped)) == ("callback", 4)
    few = train(network(), max_updates=3, **options)
    assert (few.stop_reason, few.epoch) == ("max_updates", [1, 2, 3])
    assert train(network(), max_updates=12, **options).stop_reason == "epochs"
    assert len(train(network(), **{**options, "epochs": 0})) == 0
    assert few.loss == history.loss[:3] and stopped.val_loss == history.val_loss[:4]


@BOTH
def test_checkpoints_are_those_of_the_epochs(optimizer, tmp_path):
    net, path = network(), tmp_path / "model"
    train(net, optimizer=optimizer, epochs=7, checkpoint_path=path, checkpoint_every=3)
    saved = bp.load(path)
    again = network()
    train(again, optimizer=optimizer, epochs=6)
    assert saved.epochs_trained == 6 and saved.parameters.tobytes() == again.parameters.tobytes()
    if optimizer == "levenberg_marquardt":            # which goes on to the bit
        train(saved, epochs=1)
        assert saved.parameters.tobytes() == net.parameters.tobytes()


@BOTH
def test_early_stopping_brings_the_best_back(optimizer):
    generator = np.random.default_rng(4)
    XV, YV = generator.normal(size=(30, 4)), generator.normal(size=(30, 3))
    net = network(sizes=(4, 12, 3))
    history = train(net, optimizer=optimizer, epochs=200, validation=(XV, YV), early_stopping=5)
    assert history.stop_reason == "early_stopping" and history.best_epoch == len(history) - 5
    assert net.evaluate(XV, YV) == min(history.val_loss)


@BOTH
@pytest.mark.parametrize("within", [False, True])
def test_time_ends_it_and_the_books_stay_right(optimizer, within, monkeypatch):
    generator = np.random.default_rng(4)
    many, targets = generator.normal(size=(400, 4)), generator.normal(size=(400, 3))
    if within:                                        # an iteration longer than the time: slices of few examples
        monkeypatch.setattr(solvers, "FLOPS", 1e4)
    net = network(sizes=(4, 30, 3))
    before = net.parameters
    history = train(net, many, targets, optimizer, epochs=10**6, max_seconds=1e-9 if within else 0.2)
    assert history.stop_reason == "max_seconds" and net.epochs_trained == len(history) >= 1
    assert (net.parameters.tobytes() == before.tobytes()) == within
    assert np.isfinite(history.loss).all() and sum(history.seconds) < 1.5


@BOTH
def test_what_a_callback_raises_leaves_the_last_whole_iteration(optimizer):
    def fail(state):
        kept.append(state.network.parameters)
        if state.epoch == 3:
            raise RuntimeError("enough")

    net, kept = network(), []
    with pytest.raises(RuntimeError, match="enough"):
        train(net, optimizer=optimizer, epochs=10, callbacks=fail)
    assert net.parameters.tobytes() == kept[-1].tobytes() and net.epochs_trained == 3


@BOTH
def test_an_interruption_within_an_iteration_leaves_its_start(optimizer, monkeypatch):
    class Interrupted:
        """The core, until a call of `evaluate` or `gradients` is interrupted."""

        calls = 0

        def __getattr__(self, name):
            if name in ("evaluate", "gradients"):
                self.calls += 1
                if self.calls == 12:
                    raise KeyboardInterrupt
            return getattr(core, name)

    kept, net = [], network()
    monkeypatch.setattr(solvers, "core", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        train(net, optimizer=optimizer, epochs=30, callbacks=lambda state: kept.append(state.network.parameters))
    assert net.parameters.tobytes() == kept[-1].tobytes()
    assert net.history.stop_reason == "interrupted" and net.epochs_trained == len(net.history) == len(kept) > 0


@BOTH
def test_a_start_that_is_not_finite_diverges_and_changes_nothing(optimizer):
    net = network(sizes=(4, 3, 3), hidden="exp", output="exp")
    net.weights[0][...] = 100.0
    net.weights[1][...] = 100.0
    before = net.parameters
    with pytest.raises(bp.errors.DivergenceError, match=f"epoch 1 with {optimizer}"):
        train(net, np.abs(X) + 3.0, Y, optimizer, epochs=3)
    assert net.parameters.tobytes() == before.tobytes() and net.epochs_trained == 0


def test_levenberg_marquardt_solves_exactly_where_the_matrix_is_singular(monkeypatch):
    """More parameters than residuals, and no damping to speak of: the factor fails, and the damping grows."""
    steps, solve = [], solvers.LevenbergMarquardt._solve

    def observed(self, mu):
        steps.append(solve(self, mu))
        return steps[-1]

    monkeypatch.setattr(solvers.LevenbergMarquardt, "_solve", observed)
    net = network()
    history = train(net, X[:5], Y[:5], LM(1e-300), epochs=50)
    assert any(step is None for step in steps) and history.stop_reason == "converged"
    assert net.evaluate(X[:5], Y[:5]) < 1e-20


def test_levenberg_marquardt_rejects_steps_that_are_not_finite():
    net = network(sizes=(4, 3, 3), hidden="exp", output="exp", seed=1)
    before = net.evaluate(X, Y**2)
    train(net, X, Y**2, LM(damping=1e-12), epochs=20)
    assert net.evaluate(X, Y**2) < before


# ---- what is refused -------------------------------------------------------------------------------------------------

LENGTH = "{} does not go with optimizer='{{}}': a solver chooses the length of its steps itself"


@BOTH
@pytest.mark.parametrize("options, error, message", [
    ({"batch_size": 1}, ValueError, "optimizer '{}' needs batch_size='full': it solves for all examples at once"),
    ({"batch_size": 39}, ValueError, "optimizer '{}' needs batch_size='full': it solves for all examples at once"),
    ({"learning_rate": 0.1}, ValueError, LENGTH.format("learning_rate")),
    ({"clip_norm": 1.0}, ValueError, LENGTH.format("clip_norm")),
    ({"max_norm": 1.0}, ValueError, "max_norm does not go with optimizer='{}': it would undo the steps that a solver "
                                    "has chosen"),
    ({"dropout": 0.5}, ValueError, "dropout does not go with optimizer='{}': a solver needs an objective that stays "
                                   "the same"),
    ({"schedule": "step"}, ValueError, "schedule does not go with optimizer='{}': a solver has no learning rate"),
    ({"schedule": lambda epoch, rate: rate}, ValueError, "schedule does not go with optimizer='{}': a solver has no "
                                                         "learning rate"),
    ({"l1": 0.1}, ValueError, "l1 does not go with optimizer='{}': it has a kink at 0, and a solver needs an objective "
                              "with derivatives; use l2"),
])
def test_what_does_not_go_with_a_solver_is_refused_early(optimizer, options, error, message):
    net = network()
    before, history = net.parameters, net.history
    with pytest.raises(error) as caught:
        net.train(X, Y, optimizer=optimizer, **{"batch_size": "full", **options})
    assert str(caught.value) == message.format(optimizer)
    assert net.parameters.tobytes() == before.tobytes() and net.history is history and net._training_state is None


@pytest.mark.parametrize("loss, name", [("huber", "huber"), (lambda Y, P: (P[:, 0], P), "<lambda>")])
def test_levenberg_marquardt_needs_squares(loss, name):
    with pytest.raises(ValueError) as caught:
        train(network(loss=loss))
    assert str(caught.value) == ("optimizer='levenberg_marquardt' needs loss='squared_error' or 'half_squared_error', "
                                 f"a sum of squares; the network's is {name!r}")


def test_levenberg_marquardt_refuses_what_memory_would_not_hold():
    net = network(sizes=(100, 90, 10))                # 10,000 parameters and 12 examples' rows of the Jacobian
    with pytest.raises(ValueError) as caught:
        train(net, np.zeros((2, 100)), np.zeros((2, 10)))
    assert str(caught.value) == ("optimizer='levenberg_marquardt' needs 1,609,600,000 bytes for its matrices over the "
                                 "network's 10,000 parameters, more than its limit of 1,073,741,824; "
                                 "use 'lbfgs' or 'adam'")


def test_without_scipy_lbfgs_tells_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    net = network()
    with pytest.raises(ImportError) as caught:
        train(net, optimizer="lbfgs")
    assert str(caught.value) == "optimizer='lbfgs' needs SciPy: pip install 'backprop-core[scipy]'"
    assert net.history is None and net._training_state is None
    assert train(net).stop_reason == "epochs"                          # the other solver does without


@pytest.mark.parametrize("make, error, match", [
    (lambda: LM(0.0), ValueError, "damping must be greater than 0"),
    (lambda: LM(step_tol=0.0), ValueError, "step_tol must be greater than 0"),
    (lambda: LM(gradient_tol=-1.0), ValueError, "gradient_tol must be at least 0"),
    (lambda: LM(learning_rate=0.1), TypeError, "no parameter 'learning_rate'"),
    (lambda: bp.optimizers.LBFGS(0), ValueError, "memory must be at least 1"),
    (lambda: bp.optimizers.LBFGS(10.0), TypeError, "memory must be an integer"),
    (lambda: bp.optimizers.LBFGS(loss_tol=float("nan")), ValueError, "loss_tol must be finite"),
    (lambda: bp.optimizers.LBFGS(max_line_search=True), TypeError, "max_line_search must be an integer"),
    (lambda: bp.optimizers.Optimizer("newton"), ValueError, "unknown optimizer 'newton'.*lbfgs, levenberg_marquardt"),
])
def test_bad_solvers_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_objects_and_names():
    assert bp.optimizers.NAMES == (*bp.optimizers.RULES, "lbfgs", "levenberg_marquardt")
    assert LM(0.5).hyper == {"damping": 0.5, "gradient_tol": 1e-10, "step_tol": 1e-10} and LM().learning_rate is None
    assert bp.optimizers.LBFGS(memory=3) == bp.optimizers.LBFGS(3) != bp.optimizers.LBFGS()
    assert repr(bp.optimizers.LBFGS()) == ("lbfgs(memory=10, gradient_tol=1e-05, loss_tol=2.22045e-09, "
                                           "max_line_search=20, max_evaluations=2.14748e+09)")
