"""Optimizers: every row against torch's documented rule and scikit-learn's classes, and the objects that set it."""

import inspect

import numpy as np
import pytest
from sklearn.neural_network import _stochastic_optimizers as oracle

import backprop as bp
from backprop import optimizers

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(24, 5)), np.eye(3)[rng.integers(0, 3, 24)]
EPOCHS, BATCH = 12, 6


def network():
    return bp.Network([5, 7, 3], hidden="tanh", output="softmax", loss="log_loss", seed=3)


def flat(gradients):
    return np.concatenate([part.ravel() for pair in zip(gradients.weights, gradients.biases) for part in pair])


def by_hand(step, batch_size=BATCH):
    """Parameters after EPOCHS in order, with step(w, g, t) -> w the update number t = 1, 2, ..."""
    net, t = network(), 0
    for _ in range(EPOCHS):
        for start in range(0, len(X), batch_size):
            t += 1
            g = flat(net.gradients(X[start:start + batch_size], Y[start:start + batch_size]))
            net.set_parameters(step(net.parameters, g, t))
    return net.parameters


def trained(optimizer, batch_size=BATCH):
    net = network()
    net.train(X, Y, epochs=EPOCHS, batch_size=batch_size, optimizer=optimizer, shuffle=False)
    return net.parameters


# torch's algorithms as documented under torch.optim, letter by letter.

def sgd(lr, mu=0.0, nesterov=False):
    b = None

    def step(w, g, t):
        nonlocal b
        b = g if b is None else mu * b + g
        return w - lr * (g + mu * b if nesterov else b)
    return step


def adagrad(lr, eps):
    total = 0.0

    def step(w, g, t):
        nonlocal total
        total = total + g * g
        return w - lr * g / (np.sqrt(total) + eps)
    return step


def rmsprop(lr, alpha, eps):
    v = 0.0

    def step(w, g, t):
        nonlocal v
        v = alpha * v + (1 - alpha) * g * g
        return w - lr * g / (np.sqrt(v) + eps)
    return step


def adam(lr, beta_1, beta_2, eps, decay=0.0, hat=False):
    m = v = 0.0

    def step(w, g, t):
        nonlocal m, v
        w = w - lr * decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        if hat:                                          # scikit-learn's: eps beside the uncorrected root
            return w - lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + eps)
        return w - lr * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + eps)
    return step


def rprop(lr, shrink, grow, low, high):
    eta = previous = None

    def step(w, g, t):
        nonlocal eta, previous
        if previous is None:
            eta, previous = np.full_like(g, lr), np.zeros_like(g)
        sign = g * previous
        eta = np.where(sign > 0, np.minimum(eta * grow, high), np.where(sign < 0, np.maximum(eta * shrink, low), eta))
        previous = np.where(sign < 0, 0.0, g)
        return w - np.sign(previous) * eta
    return step


RULES = {
    "sgd": (optimizers.SGD(0.3), sgd(0.3)),
    "momentum": (optimizers.Momentum(0.05, momentum=0.8), sgd(0.05, 0.8)),
    "nesterov": (optimizers.Nesterov(0.05, momentum=0.8), sgd(0.05, 0.8, nesterov=True)),
    "adagrad": (optimizers.AdaGrad(0.05, eps=1e-6), adagrad(0.05, 1e-6)),
    "rmsprop": (optimizers.RMSprop(0.005, rho=0.9, eps=1e-6), rmsprop(0.005, 0.9, 1e-6)),
    "adam": (optimizers.Adam(0.01, beta_1=0.8, beta_2=0.99, eps=1e-6), adam(0.01, 0.8, 0.99, 1e-6)),
    "adamw": (optimizers.AdamW(0.01, beta_1=0.8, beta_2=0.99, eps=1e-6, weight_decay=0.1),
              adam(0.01, 0.8, 0.99, 1e-6, 0.1)),
    "rprop": (optimizers.Rprop(0.02, shrink=0.4, grow=1.3, step_min=1e-3, step_max=0.3),
              rprop(0.02, 0.4, 1.3, 1e-3, 0.3)),
    "adam_eps_hat": (optimizers.AdamEpsHat(0.01, beta_1=0.8, beta_2=0.99, eps=1e-3),
                     adam(0.01, 0.8, 0.99, 1e-3, hat=True)),
}


def test_every_row_has_a_rule():
    assert tuple(RULES) == optimizers.RULES


@pytest.mark.parametrize("name", RULES)
def test_trajectories_are_torchs(name):
    optimizer, step = RULES[name]
    batch_size = len(X) if optimizer.full_batch_only else BATCH
    expected = by_hand(step, batch_size)
    assert np.abs(expected - network().parameters).max() > 0.05
    np.testing.assert_allclose(trained(optimizer, batch_size), expected, rtol=0, atol=1e-9)


DEFAULTS = {
    "sgd": sgd(0.1), "momentum": sgd(0.01, 0.9), "nesterov": sgd(0.01, 0.9, True), "adagrad": adagrad(0.01, 1e-10),
    "rmsprop": rmsprop(0.001, 0.99, 1e-8), "adam": adam(0.001, 0.9, 0.999, 1e-8),
    "adamw": adam(0.001, 0.9, 0.999, 1e-8, 0.01), "rprop": rprop(0.01, 0.5, 1.2, 1e-6, 50.0),
    "adam_eps_hat": adam(0.001, 0.9, 0.999, 1e-8, hat=True),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_hyper_parameters(name):
    batch_size = len(X) if name == "rprop" else BATCH
    np.testing.assert_allclose(trained(name, batch_size), by_hand(DEFAULTS[name], batch_size), rtol=0, atol=1e-9)


def sklearn_step(make):
    """scikit-learn's optimizer as a step: it adds its updates in place. Its Adam puts eps beside sqrt(v) before the
    correction, so that only a vanishing eps makes the two one."""
    state = []

    def step(w, g, t):
        if not state:
            state.append(make([w.copy()]))
        moved = [w.copy()]
        state[0].update_params(moved, [g])
        return moved[0]
    return step


@pytest.mark.parametrize("optimizer, make", [
    (optimizers.SGD(0.2), lambda p: oracle.SGDOptimizer(p, 0.2, momentum=0.0, nesterov=False)),
    (optimizers.Momentum(0.02), lambda p: oracle.SGDOptimizer(p, 0.02, momentum=0.9, nesterov=False)),
    (optimizers.Nesterov(0.02), lambda p: oracle.SGDOptimizer(p, 0.02, momentum=0.9, nesterov=True)),
    (optimizers.Adam(0.01, eps=1e-300), lambda p: oracle.AdamOptimizer(p, 0.01, epsilon=1e-300)),
], ids=["sgd", "momentum", "nesterov", "adam"])
def test_trajectories_are_scikit_learns(optimizer, make):
    np.testing.assert_allclose(trained(optimizer), by_hand(sklearn_step(make)), rtol=0, atol=1e-9)


# ---- objects ---------------------------------------------------------------------------------------------------------

CLASSES = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW", "Rprop")


@pytest.mark.parametrize("class_name, name", list(zip(CLASSES, optimizers.RULES)))
def test_objects_carry_the_tables_defaults(class_name, name):
    make = getattr(bp.optimizers, class_name)
    assert make() == optimizers.Optimizer(name) == optimizers.resolve(name)
    assert hash(make()) == hash(optimizers.Optimizer(name))
    assert make(learning_rate=0.5).learning_rate == make(0.5).learning_rate == 0.5
    assert {key: p.default for key, p in inspect.signature(make).parameters.items()} == make().hyper
    assert make.__name__ == class_name and "Parameters" in make.__doc__
    assert repr(make()).startswith(f"{name}(learning_rate=")


def test_equality_is_by_rule_and_numbers():
    assert optimizers.Adam(beta_1=0.8) != optimizers.Adam()
    assert optimizers.Momentum() != optimizers.Nesterov()
    assert optimizers.SGD() != "sgd"


def test_the_call_of_train_may_replace_the_learning_rate():
    net = network()
    assert net.train(X, Y, optimizer=optimizers.Adam(0.5), learning_rate=0.02).learning_rate == [0.02]


@pytest.mark.parametrize("make, error, match", [
    (lambda: optimizers.Adam(beta_3=1), TypeError, "no parameter 'beta_3'"),
    (lambda: optimizers.Adam(beta_1=1.0), ValueError, "beta_1 must be less than 1"),
    (lambda: optimizers.SGD(0.0), ValueError, "learning_rate must be greater than 0"),
    (lambda: optimizers.Rprop(grow=0.9), ValueError, "grow must be greater than 1"),
    (lambda: optimizers.Optimizer("newton"), ValueError, "unknown optimizer 'newton'.*rprop"),
    (lambda: network().train(X, Y, optimizer=optimizers.Adam), TypeError, "optimizer must be a name or an object"),
    (lambda: network().train(X, Y, optimizer="rprop"), ValueError, "batch_size='full'"),
])
def test_bad_optimizers_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


# ---- state -----------------------------------------------------------------------------------------------------------

def test_another_rule_starts_with_a_new_state_and_the_same_rule_goes_on():
    fresh, changed, continued = network(), network(), network()
    for net in (fresh, changed, continued):
        net.train(X, Y, epochs=2, batch_size=BATCH, optimizer="sgd" if net is fresh else "momentum", shuffle=False)
        net.set_parameters(network().parameters)
    changed.train(X, Y, batch_size=BATCH, optimizer="nesterov", shuffle=False)
    fresh.train(X, Y, batch_size=BATCH, optimizer="nesterov", shuffle=False)
    assert changed.parameters.tobytes() == fresh.parameters.tobytes()
    continued.train(X, Y, batch_size=BATCH, optimizer=optimizers.Momentum(momentum=0.5), shuffle=False)
    new = network()
    new.train(X, Y, batch_size=BATCH, optimizer=optimizers.Momentum(momentum=0.5), shuffle=False)
    assert continued.parameters.tobytes() != new.parameters.tobytes()


# ---- one example at a time: the gradient is made on the way of the step, or piece by piece ---------------------------

@pytest.mark.parametrize("options", [
    {}, {"l2": 0.01}, {"l1": 0.01}, {"l1": 0.01, "l2": 0.1}, {"dropout": 0.5, "l2": 0.01}, {"max_norm": 0.5}], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("sizes", "hidden"), [
    ([5, 7, 3], "tanh"), ([70, 40, 1], "tanh"), ([3, 600, 2], "tanh"),           # pieces of several rows, of one
    ([6, 11, 5, 3], "exp"), ([6, 36, 3], "gelu")], ids=str)
@pytest.mark.parametrize("name", [name for name in optimizers.NAMES if name not in (*optimizers.SOLVERS, "rprop")])
def test_no_bit_depends_on_how_the_gradient_of_one_example_is_made(name, sizes, hidden, bias, options):
    if name == "sgd" and not {"l1", "l2"} & set(options):
        options = {**options, "l1": 1e-300}      # plain descent without a penalty makes no gradient: tests/test_bits.py
    data = np.random.default_rng(1)
    rows, targets = data.normal(size=(9, sizes[0])) / 8, data.normal(size=(9, sizes[-1]))      # exp of exp grows fast
    weight = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 3.0, 1.0, 1.0])

    def state(**clipping):
        net = bp.Network(sizes, hidden=hidden, output="identity", loss="squared_error", bias=bias, seed=2)
        start = net.parameters
        net.train(rows, targets, epochs=2, optimizer=name, learning_rate=2e-4, sample_weight=weight, **options,
                  **clipping)
        assert not np.array_equal(net.parameters, start)
        return np.concatenate([net.parameters, net._training_state.slots.ravel(), net.history.loss])

    np.testing.assert_array_equal(state(), state(clip_norm=1e300))      # clipping, if only in name, wants all of it


@pytest.mark.parametrize("name", [name for name in optimizers.NAMES if name not in optimizers.SOLVERS])
def test_one_example_is_learnt_as_two_copies_of_it_are(name):
    x, y = [[0.5, -1.0, 2.0]], [[1.0, -0.5]]
    parameters = []
    for copies in (1, 2):
        net = bp.Network([3, 6, 2], output="identity", seed=1)
        net.train(x * copies, y * copies, epochs=7, batch_size="full", optimizer=name, learning_rate=1e-2)
        parameters.append(net.parameters)
    np.testing.assert_allclose(*parameters, rtol=1e-9)


def test_a_rule_keeps_no_more_slots_than_its_formula_has():
    slots = {name: optimizers.Optimizer(name).n_slots for name in optimizers.NAMES}
    assert slots == {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2,
                     "rprop": 2, "adam_eps_hat": 2, "lbfgs": 0, "levenberg_marquardt": 0}
