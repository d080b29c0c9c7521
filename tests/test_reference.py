"""The NumPy reference against mathematics: derivatives by complex step, hand-worked numbers, closed forms."""

import math

import numpy as np
import pytest

import cases
import reference
from reference import ACTIVATIONS, OPTIMIZERS, Reference

STEP = 1e-30            # of a complex step: there is no difference to cancel, so it may be this small


def derivative(f, x, complex_step):
    """∂f/∂x of a real function of an array, element by element."""
    out = np.empty(x.shape)
    h = STEP if complex_step else 1e-5
    for i in np.ndindex(x.shape):
        shift = np.zeros(x.shape)
        shift[i] = h
        out[i] = f(x + 1j * shift).imag / h if complex_step else (f(x + shift) - f(x - shift)) / (2 * h)
    return out


# ---- activations -----------------------------------------------------------------------------------------------------

POINTS = np.array([-40.0, -3.7, -1.0, -0.2, -1e-9, 1e-9, 0.3, 1.0, 2.5, 40.0])
EXACT = {      # values at 1 (and the formula they come from) that need no code to be believed
    "identity": 1.0,
    "sigmoid": 1 / (1 + math.exp(-1)),
    "tanh": math.tanh(1),
    "relu": 1.0,
    "leaky_relu": 1.0,
    "elu": 1.0,
    "softplus": math.log(1 + math.e),
    "silu": 1 / (1 + math.exp(-1)),
    "gelu": (1 + math.erf(1 / math.sqrt(2))) / 2,
    "exp": math.e,
}
EXACT_AT_MINUS_ONE = {"relu": 0.0, "leaky_relu": -0.01, "elu": math.exp(-1) - 1, "softplus": math.log(1 + 1 / math.e)}


@pytest.mark.parametrize("name", cases.HIDDEN)
def test_activation_values(name):
    value = ACTIVATIONS[name][0]
    assert value(np.array([1.0]))[0] == pytest.approx(EXACT[name], rel=1e-15)
    if name in EXACT_AT_MINUS_ONE:
        assert value(np.array([-1.0]))[0] == pytest.approx(EXACT_AT_MINUS_ONE[name], rel=1e-15)


@pytest.mark.parametrize("name", cases.HIDDEN)
def test_activation_derivatives(name):
    value, slope = ACTIVATIONS[name]
    complex_step = name != "gelu"                    # math.erfc takes no complex numbers
    numeric = np.array([derivative(lambda a: value(a)[0], np.array([x]), complex_step)[0] for x in POINTS])
    tolerance = dict(rtol=1e-13) if complex_step else dict(rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(slope(POINTS), numeric, **tolerance)
    assert slope(POINTS).any()


def test_derivatives_at_kinks():
    zero = np.zeros(1)
    assert {name: ACTIVATIONS[name][1](zero)[0] for name in ("relu", "leaky_relu", "elu")} == {
        "relu": 0.0, "leaky_relu": 0.01, "elu": 1.0}


def test_softmax_is_a_distribution_that_ignores_a_common_shift():
    a = np.array([[1.0, 2.0, 3.0], [-5.0, 0.0, 0.0]])
    z = ACTIVATIONS["softmax"][0](a)
    np.testing.assert_allclose(z.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(z[0], np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum(), rtol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS["softmax"][0](a + 500.0), z, rtol=1e-13)


# ---- losses ----------------------------------------------------------------------------------------------------------

def one_layer(a, output, loss):
    """A network without inputs that matter, whose net input is `a`."""
    return Reference([np.zeros((1, len(a)))], [np.array(a, float)], (), output, loss)


@pytest.mark.parametrize("output, loss, a, y, expected", [
    ("identity", "squared_error", [1.0, -2.0], [3.0, 1.0], 4.0 + 9.0),
    ("identity", "half_squared_error", [1.0, -2.0], [3.0, 1.0], 6.5),
    ("identity", "absolute_error", [1.0, -2.0], [3.0, 1.0], 5.0),
    ("identity", "huber", [1.0, -2.0], [1.5, 1.0], 0.125 + 2.5),         # ½·0.5² inside, 1·(3 - ½) outside
    ("identity", "hinge", [0.25, -2.0, 3.0], [1.0, 1.0, 1.0], 0.75 + 3.0),
    ("exp", "poisson", [math.log(2), 0.0], [3.0, 0.0], 3 * math.log(1.5) - 3 + 2 + 1),
    ("sigmoid", "log_loss", [0.0, math.log(3)], [1.0, 0.0], math.log(2) - math.log(1 / 4)),
    ("softmax", "log_loss", [0.0, math.log(3)], [1.0, 0.0], math.log(4)),
    ("softmax", "log_loss", [0.0, math.log(3)], [0.5, 0.5], (math.log(4) + math.log(4 / 3)) / 2),
])
def test_loss_values(output, loss, a, y, expected):
    assert one_layer(a, output, loss).losses(np.ones((1, 1)), np.array([y]))[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("output, a, y, expected", [
    ("sigmoid", [1e4], [0.0], 1e4),
    ("sigmoid", [-1e4], [1.0], 1e4),
    ("sigmoid", [1e4], [1.0], 0.0),
    ("sigmoid", [40.0], [1.0], math.exp(-40)),                           # log(1 + e^-40), not 40 - 40
    ("softmax", [1e4, 0.0], [0.0, 1.0], 1e4),
    ("softmax", [1e4, -1e4], [0.0, 1.0], 2e4),
    ("softmax", [1e4, 0.0], [1.0, 0.0], 0.0),
])
def test_log_loss_of_a_confident_prediction_is_neither_clipped_nor_infinite(output, a, y, expected):
    network, x, y = one_layer(a, output, "log_loss"), np.ones((1, 1)), np.array([y])
    assert network.losses(x, y)[0] == pytest.approx(expected, rel=1e-15)
    (_, (delta,), _) = network.gradients(x, y)
    assert np.isfinite(delta).all()
    assert (np.abs(delta).max() == 1.0) == (expected > 1)


@pytest.mark.parametrize("name", [name for name in cases.HIDDEN if name != "exp"])
def test_no_activation_overflows_at_net_inputs_of_1e4(name):
    a = np.array([-1e4, 1e4])
    assert np.isfinite([f(a) for f in ACTIVATIONS[name]]).all()


# ---- backpropagation -------------------------------------------------------------------------------------------------

def example(seed, hidden, output, loss, depth, bias=True):
    rng = np.random.default_rng(seed)
    sizes = [3, *[4] * depth, 2 + seed % 2]
    weights, biases = cases.parameters(rng, sizes, bias)
    X = rng.normal(size=(4, 3))
    return weights, biases, X, cases.targets(rng, output, loss, 4, sizes[-1]), rng.uniform(0.5, 2.0, size=4)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("output, loss", cases.PAIRS)
def test_gradients_are_derivatives_of_the_loss(output, loss, depth):
    for seed, hidden in enumerate(cases.HIDDEN if depth else ["none"]):
        weights, biases, X, Y, w = example(seed, hidden, output, loss, depth)
        dW, db, dX = Reference(weights, biases, hidden, output, loss).gradients(X, Y, w)
        # One vector v of all parameters; the loss as a function of it, then of the inputs.
        shapes = [p.shape for pair in zip(weights, biases) for p in pair]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

        def loss_of(v, shapes=shapes, ends=ends, hidden=hidden, X=X, Y=Y, w=w):
            parts = [p.reshape(shape) for p, shape in zip(np.split(v, ends), shapes)]
            return Reference(parts[::2], parts[1::2], hidden, output, loss).loss(X, Y, w)

        def loss_sum_of(X, network=Reference(weights, biases, hidden, output, loss), Y=Y):
            return network.losses(X, Y).sum()        # rows do not meet: its derivative is that of each row's own loss

        complex_step = "gelu" not in (hidden, output)
        tolerance = 1e-12 if complex_step else 1e-6
        analytic = cases.flat(dW, db)
        numeric = derivative(loss_of, cases.flat(weights, biases), complex_step)
        assert np.abs(analytic).max() > 1e-6         # not everything zero
        assert cases.error(analytic, numeric) < tolerance, hidden
        assert np.abs(dX).max() > 1e-6
        assert cases.error(dX, derivative(loss_sum_of, X, complex_step)) < tolerance, hidden


def test_a_network_without_biases_is_one_with_biases_of_zero():
    weights, biases, X, Y, w = example(0, "tanh", "identity", "squared_error", 2, bias=False)
    without = Reference(weights, biases, "tanh", "identity", "squared_error")
    zero = Reference(weights, [np.zeros(W.shape[1]) for W in weights], "tanh", "identity", "squared_error")
    assert without.loss(X, Y) == zero.loss(X, Y)
    dW, db, _ = without.gradients(X, Y)
    assert db == [None] * 3
    np.testing.assert_array_equal(cases.flat(dW, db), cases.flat(zero.gradients(X, Y)[0], db))


def test_one_online_step_worked_by_hand():
    """2-2-1, sigmoid throughout, squared error, x = (1, 2), y = 1, η = 0.5.

    Feedforward, with W[1] = [[0.5, -0.5], [0.25, 0.5]], b[1] = (0, -0.5), W[2] = [[1], [-1]], b[2] = 0::

        a[1]_1 = 1·0.5  + 2·0.25 + 0   = 1          z[1]_1 = σ(1) = 0.731058578630
        a[1]_2 = 1·-0.5 + 2·0.5  - 0.5 = 0          z[1]_2 = σ(0) = 0.5
        a[2]   = 0.731058578630·1 - 0.5·1 + 0 = 0.231058578630
        y' = σ(0.231058578630) = 0.557509014107     C = (1 - y')² = 0.442490985893² = 0.195798272596

    Deltas, with σ' = σ (1 - σ)::

        δ[2]   = -2 (y - y') y' (1 - y') = -2 · 0.442490985893 · 0.246692713296 = -0.218318603838
        δ[1]_1 = 0.196611933241 · (-0.218318603838 ·  1) = -0.042924042763
        δ[1]_2 = 0.25           · (-0.218318603838 · -1) =  0.054579650959

    Gradients: ∂C/∂W[2]_j = z[1]_j δ[2], ∂C/∂b[2] = δ[2], ∂C/∂W[1]_ji = x_j δ[1]_i, ∂C/∂b[1]_i = δ[1]_i.
    Updates: everything minus 0.5 times its gradient::

        W[2]_1 = 1  - 0.5 · 0.731058578630 · -0.218318603838 =  1.079801844105
        W[2]_2 = -1 - 0.5 · 0.5            · -0.218318603838 = -0.945420349040
        b[2]   = 0  - 0.5 · -0.218318603838                  =  0.109159301919
        W[1]_11 = 0.5  - 0.5 · 1 · -0.042924042763 =  0.521462021382
        W[1]_12 = -0.5 - 0.5 · 1 ·  0.054579650959 = -0.527289825480
        W[1]_21 = 0.25 - 0.5 · 2 · -0.042924042763 =  0.292924042763
        W[1]_22 = 0.5  - 0.5 · 2 ·  0.054579650959 =  0.445420349040
        b[1]_1  = 0    - 0.5 · -0.042924042763     =  0.021462021382
        b[1]_2  = -0.5 - 0.5 ·  0.054579650959     = -0.527289825480
    """
    network = Reference([[[0.5, -0.5], [0.25, 0.5]], [[1.0], [-1.0]]], [[0.0, -0.5], [0.0]],
                        "sigmoid", "sigmoid", "squared_error")
    x, y = np.array([[1.0, 2.0]]), np.array([[1.0]])
    close = dict(rtol=0, atol=1e-12)
    a, z = network.forward(x)
    np.testing.assert_allclose(a[1], [[1, 0]], **close)
    np.testing.assert_allclose(z[1], [[0.731058578630, 0.5]], **close)
    np.testing.assert_allclose(a[2], [[0.231058578630]], **close)
    np.testing.assert_allclose(z[2], [[0.557509014107]], **close)
    delta, _ = network.deltas(x, y)
    np.testing.assert_allclose(delta[2], [[-0.218318603838]], **close)
    np.testing.assert_allclose(delta[1], [[-0.042924042763, 0.054579650959]], **close)
    np.testing.assert_allclose(network.train(x, y, learning_rate=0.5), [0.195798272596], **close)
    np.testing.assert_allclose(network.W[2], [[1.079801844105], [-0.945420349040]], **close)
    np.testing.assert_allclose(network.b[2], [0.109159301919], **close)
    expected = [[0.521462021382, -0.527289825480], [0.292924042763, 0.445420349040]]
    np.testing.assert_allclose(network.W[1], expected, **close)
    np.testing.assert_allclose(network.b[1], [0.021462021382, -0.527289825480], **close)


# ---- weights of examples, penalties, batches -------------------------------------------------------------------------

def regression(seed=0, n=6):
    rng = np.random.default_rng(seed)
    weights, biases = cases.parameters(rng, [3, 4, 2])
    return (weights, biases, "tanh", "identity", "squared_error"), rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def test_an_integer_weight_is_that_many_copies_and_a_common_factor_cancels():
    network, X, Y = regression()
    k = np.array([1, 0, 2, 3, 1, 1])
    copies = Reference(*network).loss(np.repeat(X, k, axis=0), np.repeat(Y, k, axis=0))
    assert Reference(*network).loss(X, Y, k) == pytest.approx(copies, rel=1e-14)
    assert Reference(*network).loss(X, Y, 7 * k) == pytest.approx(copies, rel=1e-14)


def test_full_batch_sgd_follows_the_gradient_of_loss_plus_penalty():
    """One full-batch step moves the weights by -η times the complex-step derivative of loss + penalty."""
    network, X, Y = regression()
    before, after = Reference(*network), Reference(*network)
    losses = after.train(X, Y, batch_size=6, learning_rate=0.25, l1=0.01, l2=0.1)
    assert losses == [pytest.approx(before.loss(X, Y), rel=1e-14)]

    def objective(W):
        other = Reference([W, network[0][1]], *network[1:])
        l2 = 0.05 * sum((V * V).sum() for V in other.W[1:])
        return other.loss(X, Y) + 0.01 * (np.sign(W.real) * W).sum() + l2

    moved = (before.W[1] - after.W[1]) / 0.25
    assert cases.error(moved, derivative(objective, network[0][0], True)) < 1e-13
    # The biases carry no penalty.
    np.testing.assert_allclose((before.b[1] - after.b[1]) / 0.25, before.gradients(X, Y)[1][0], rtol=1e-12)
    assert before.penalty(l1=1.0) == pytest.approx(sum(np.abs(W).sum() for W in network[0]))
    assert before.penalty(l2=1.0) == pytest.approx(sum((W**2).sum() for W in network[0]) / 2)


def test_a_ragged_last_batch_averages_over_its_own_rows():
    network, X, Y = regression(n=5)
    whole, steps = Reference(*network), Reference(*network)
    order = np.array([4, 2, 0, 1, 3])
    whole.train(X, Y, batch_size=2, order=order)
    for rows in ([4, 2], [0, 1], [3]):
        steps.train(X[rows], Y[rows], batch_size=2)
    np.testing.assert_array_equal(whole.parameters, steps.parameters)


# ---- optimizers: closed forms under a constant gradient --------------------------------------------------------------

def run(name, gradient, steps, start=0.0, eta=0.5):
    w, state = start, {"v": 0.0, "m": 0.0}
    for t in range(1, steps + 1):
        w = OPTIMIZERS[name][1](w, gradient, state, eta, t)
    return w


@pytest.mark.parametrize("name, expected", [      # w after 3 steps with g = 2, η = 0.5 from w = 0
    ("sgd", -0.5 * 3 * 2),
    ("momentum", -0.5 * 2 * (1 + 1.9 + 2.71)),                            # v_t = g (1 + 0.9 + 0.81 ...)
    ("nesterov", -0.5 * 2 * (1.9 + 2.71 + 3.439)),                        # g + 0.9 v_t: one step ahead
    ("adagrad", -0.5 * (1 + 1 / math.sqrt(2) + 1 / math.sqrt(3))),        # g / √(t g²)
    ("rmsprop", -0.5 * sum(1 / math.sqrt(1 - 0.99**t) for t in (1, 2, 3))),
    ("adam", -0.5 * 3),                                                   # the corrected moments are g and g²
])
def test_optimizers_under_a_constant_gradient(name, expected):
    assert run(name, 2.0, 3) == pytest.approx(expected, rel=1e-7)


def test_adamw_decays_apart_from_the_gradient():
    assert run("adamw", 0.0, 3, start=4.0) == pytest.approx(4.0 * (1 - 0.5 * 0.01) ** 3, rel=1e-15)
    assert run("adam", 0.0, 3, start=4.0) == 4.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_and_two_calls_continue(name):
    network, X, Y = regression()
    once, twice = Reference(*network), Reference(*network)
    losses = once.train(X, Y, epochs=20, batch_size=4, optimizer=name)
    assert losses[-1] < losses[0]
    again = twice.train(X, Y, 8, 4, name) + twice.train(X, Y, 12, 4, name)
    assert again == losses
    np.testing.assert_array_equal(once.parameters, twice.parameters)


def test_every_activation_and_loss_is_in_the_cases():
    assert set(cases.HIDDEN) | {"softmax"} == set(ACTIVATIONS)
    assert {loss for _, loss in cases.PAIRS} == set(reference.LOSSES) | {l for l, _ in reference.LOSSES_OF_NET_INPUT}
