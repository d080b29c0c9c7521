"""Training: trajectories against the reference, continuing, weights, penalties, divergence, threads, and real data."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import backprop as bp
import cases
from reference import Reference

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")        # where Debian's package dataset-fashion-mnist puts it
OPTIMIZERS = ("sgd", "momentum", "nesterov")


def networks(sizes=(4, 9, 5, 3), hidden="tanh", output="softmax", loss="log_loss", n=25, seed=0):
    """The library's network, the reference's from the same parameters, and data for both."""
    rng = np.random.default_rng(seed)
    weights, biases = cases.parameters(rng, sizes)
    net = bp.Network(list(sizes), hidden=hidden, output=output, loss=loss, init=(weights, biases), seed=seed)
    X, Y = rng.normal(size=(n, sizes[0])), cases.targets(rng, output, loss, n, sizes[-1])
    return net, Reference(weights, biases, hidden, output, loss), X, Y


# ---- trajectories ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sizes", [(4, 3), (2, 8, 1), (4, 9, 5, 3), (19, 33, 10)])
@pytest.mark.parametrize("batch_size", [1, 7, 25, "full"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trajectories_follow_the_reference(optimizer, batch_size, sizes):
    output = "softmax" if sizes[-1] > 1 else "sigmoid"
    net, ref, X, Y = networks(sizes, output=output)
    rows = 25 if batch_size == "full" else batch_size
    options = dict(epochs=10, optimizer=optimizer, learning_rate=0.02)
    history = net.train(X, Y, batch_size=batch_size, shuffle=False, **options)
    losses = ref.train(X, Y, batch_size=rows, **options)
    assert losses[-1] < losses[0]
    assert history.loss == pytest.approx(losses, rel=1e-11)
    assert cases.error(net.parameters, ref.parameters) < 1e-11


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_default_learning_rates(optimizer):
    net, ref, X, Y = networks()
    history = net.train(X, Y, epochs=2, batch_size=5, optimizer=optimizer, shuffle=False)
    ref.train(X, Y, epochs=2, batch_size=5, optimizer=optimizer)
    assert cases.error(net.parameters, ref.parameters) < 1e-11
    assert history.learning_rate == [{"sgd": 0.1}.get(optimizer, 0.01)] * 2


@pytest.mark.parametrize("output, loss, sizes", [
    ("sigmoid", "squared_error", (2, 8, 1)), ("softmax", "log_loss", (4, 9, 5, 3)), ("identity", "huber", (70, 17, 1)),
    ("tanh", "half_squared_error", (3, 10)), ("softmax", "squared_error", (5, 33, 8, 2)),
    ("exp", "poisson", (3, 4, 4, 4, 2)),
])
def test_online_training_is_learn_one_in_order_bit_for_bit(output, loss, sizes):
    net, _, X, Y = networks(sizes, "sigmoid", output, loss)
    one = net.copy()
    history = net.train(X, Y, epochs=2, batch_size=1, learning_rate=0.05, shuffle=False)
    losses = [[one.learn_one(x, y, 0.05) for x, y in zip(X, Y)] for _ in range(2)]
    assert net.parameters.tobytes() == one.parameters.tobytes()
    assert history.loss == pytest.approx(np.mean(losses, axis=1), rel=1e-14)


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 0.6])
@pytest.mark.parametrize("sizes", [(64, 32, 10), (200, 9, 8, 2), (100, 1), (70, 5, 1)])
def test_inputs_with_many_zeros_take_the_same_trajectory(sizes, density):
    """Skipping zeros is a matter of speed: the same bits as learn_one, the same numbers as the reference."""
    output = "softmax" if sizes[-1] > 1 else "sigmoid"
    net, ref, X, Y = networks(sizes, output=output)
    X[np.random.default_rng(1).random(X.shape) >= density] = 0.0
    X[3], X[7, ::2] = 0.0, -0.0
    one = net.copy()
    net.train(X, Y, epochs=3, batch_size=1, learning_rate=0.05, shuffle=False)
    ref.train(X, Y, epochs=3, batch_size=1, learning_rate=0.05)
    for _ in range(3):
        for x, y in zip(X, Y):
            one.learn_one(x, y, 0.05)
    assert net.parameters.tobytes() == one.parameters.tobytes()
    assert cases.error(net.parameters, ref.parameters) < 1e-12


def test_learn_one_returns_the_loss_before_its_update():
    net, _, X, Y = networks()
    before = net.evaluate(X[:1], Y[:1])
    assert net.learn_one(X[0], Y[0], 0.1) == before
    assert net.evaluate(X[:1], Y[:1]) < before


def test_the_hand_worked_step():
    """2-2-1, sigmoid, squared error, η = 0.5: the numbers are worked by hand in test_reference.py."""
    net = bp.Network([2, 2, 1], hidden="sigmoid", output="sigmoid", loss="squared_error",
                     init=([[[0.5, -0.5], [0.25, 0.5]], [[1.0], [-1.0]]], [[0.0, -0.5], [0.0]]))
    history = net.train([[1.0, 2.0]], [[1.0]], batch_size=1, learning_rate=0.5)
    assert history.loss == pytest.approx([0.195798272596], abs=1e-12)
    np.testing.assert_allclose(net.parameters, [
        0.521462021382, -0.527289825480, 0.292924042763, 0.445420349040, 0.021462021382, -0.527289825480,
        1.079801844105, -0.945420349040, 0.109159301919], rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_size", [26, 1000])
def test_a_batch_size_beyond_the_data_is_the_full_batch(batch_size):
    net, _, X, Y = networks()
    other = net.copy()
    net.train(X, Y, epochs=3, batch_size="full")
    other.train(X, Y, epochs=3, batch_size=batch_size)
    assert cases.error(net.parameters, other.parameters) < 1e-13


def test_shuffling_visits_every_row_once_per_epoch_in_an_order_of_its_own():
    """With a linear network that outputs its bias only, each visit of row i leaves the digit i in base 10 behind."""
    net = bp.Network([1, 1], output="identity", loss="half_squared_error", init=([[[0.0]]], [[0.0]]), seed=0)
    X, Y = np.zeros((6, 1)), np.arange(1.0, 7.0)
    orders = set()
    for _ in range(20):
        net.biases[0][:] = 0.0
        net.train(X, Y, batch_size=1, learning_rate=0.9)         # b := b/10 + 0.9 y: the digits of b/0.9 are the order
        digits = f"{net.biases[0][0] / 0.9 * 1e5:.0f}"[::-1]
        assert sorted(digits) == list("123456")
        orders.add(digits)
    assert len(orders) > 10


def test_losses_are_those_of_the_epoch_as_it_was_trained():
    net, ref, X, Y = networks()
    history = net.train(X, Y, epochs=4, batch_size=7, learning_rate=0.05, shuffle=False)
    assert history.loss == pytest.approx(ref.train(X, Y, epochs=4, batch_size=7, learning_rate=0.05), rel=1e-12)
    assert history.loss[0] != net.evaluate(X, Y)
    assert net.evaluate(X, Y) == pytest.approx(ref.loss(X, Y), rel=1e-12)
    assert all(isinstance(loss, float) for loss in history.loss)
    assert len(history.epoch) == len(history.seconds) == 4
    assert history.stop_reason == "epochs"
    assert history.to_dict()["loss"] == history.loss


# ---- continuing ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_calls_continue_as_one_bit_for_bit(optimizer, batch_size, shuffle):
    once, _, X, Y = networks()
    options = dict(batch_size=batch_size, optimizer=optimizer, learning_rate=0.02, shuffle=shuffle)
    twice, copied = once.copy(), once.copy()
    whole = once.train(X, Y, epochs=5, **options)
    parts = twice.train(X, Y, epochs=2, **options).loss + twice.train(X, Y, epochs=3, **options).loss
    assert whole.loss == parts
    assert once.parameters.tobytes() == twice.parameters.tobytes()
    copied.train(X, Y, epochs=2, **options)
    copied.copy().train(X, Y, epochs=3, **options)               # a copy continues too, and leaves the original alone
    copied = copied.copy()
    copied.train(X, Y, epochs=3, **options)
    assert once.parameters.tobytes() == copied.parameters.tobytes()


def test_the_same_seed_gives_the_same_training_and_another_seed_another():
    _, ref, X, Y = networks()
    bits = []
    for seed in (1, 1, 2):                           # the same initial parameters: only the order of the rows differs
        net = bp.Network([4, 9, 5, 3], loss="log_loss", init=(ref.W[1:], ref.b[1:]), seed=seed)
        net.train(X, Y, epochs=2)
        bits.append(net.parameters.tobytes())
    assert bits[0] == bits[1] != bits[2]


# ---- weights of examples and penalties -------------------------------------------------------------------------------

@pytest.mark.parametrize("batch_size", [1, 7, "full"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_and_penalties_follow_the_reference(optimizer, batch_size):
    net, ref, X, Y = networks()
    w = np.random.default_rng(1).uniform(0, 2, len(X))
    w[[0, 3, 24]] = 0.0
    options = dict(epochs=4, optimizer=optimizer, learning_rate=0.02, sample_weight=w, l1=0.003, l2=0.02)
    history = net.train(X, Y, batch_size=batch_size, shuffle=False, **options)
    losses = ref.train(X, Y, batch_size=25 if batch_size == "full" else batch_size, **options)
    assert history.loss == pytest.approx(losses, rel=1e-11)
    assert cases.error(net.parameters, ref.parameters) < 1e-11


def test_integer_weights_are_copies_and_a_common_factor_cancels():
    net, _, X, Y = networks()
    scaled, copies = net.copy(), net.copy()
    k = np.random.default_rng(1).integers(0, 4, len(X))
    net.train(X, Y, epochs=5, batch_size="full", sample_weight=k)
    scaled.train(X, Y, epochs=5, batch_size="full", sample_weight=0.3 * k)
    copies.train(np.repeat(X, k, axis=0), np.repeat(Y, k, axis=0), epochs=5, batch_size="full")
    assert cases.error(scaled.parameters, net.parameters) < 1e-13
    assert cases.error(copies.parameters, net.parameters) < 1e-13


def test_a_batch_of_weight_zero_changes_nothing():
    net, _, X, Y = networks(n=8)
    half = net.copy()
    net.train(X, Y, batch_size=4, learning_rate=0.05, shuffle=False, sample_weight=[1] * 4 + [0] * 4)
    half.train(X[:4], Y[:4], batch_size=4, learning_rate=0.1, shuffle=False)     # weights 1 over their mean ½
    assert cases.error(net.parameters, half.parameters) < 1e-13


def test_equal_weights_are_no_weights():
    net, _, X, Y = networks()
    plain = net.copy()
    net.train(X, Y, epochs=3, sample_weight=np.full(len(X), 4.0))
    plain.train(X, Y, epochs=3)
    assert net.parameters.tobytes() == plain.parameters.tobytes()


def test_the_penalty_is_reported_and_spares_the_biases():
    net, ref, X, Y = networks()
    before = net.parameters
    history = net.train(X, Y, learning_rate=1e-300, l1=0.3, l2=0.5)              # so small that nothing moves
    np.testing.assert_array_equal(net.parameters, before)
    assert history.penalty == pytest.approx([ref.penalty(0.3, 0.5)], rel=1e-12)
    assert net.train(X, Y, epochs=2).penalty == [0.0, 0.0]
    for bias in net.biases:
        bias[:] = 1e6
    assert net.train(X, Y, learning_rate=1e-300, l1=1.0).penalty[0] < 1e3


# ---- when it goes wrong ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch_size", [1, 7, "full"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_exploding_learning_rate_raises_and_keeps_finite_parameters(optimizer, batch_size):
    net, _, X, Y = networks((4, 8, 2), "relu", "identity", "squared_error")
    with pytest.raises(bp.errors.DivergenceError):
        net.train(X, Y, epochs=1000, batch_size=batch_size, optimizer=optimizer, learning_rate=1e3)
    assert np.isfinite(net.parameters).all()
    assert np.isfinite(net.predict(X)).all()
    net.set_parameters(np.zeros(net.n_parameters))               # the object is still of use
    assert np.isfinite(net.train(X, Y, learning_rate=0.01).loss).all()


def test_a_loss_that_only_overflows_is_divergence_too():
    net = bp.Network([1, 1], output="identity", loss="squared_error", init=([[[1e200]]], [[0.0]]))
    with pytest.raises(bp.errors.DivergenceError):
        net.train([[1.0]], [[0.0]], learning_rate=1e-300)
    np.testing.assert_array_equal(net.parameters, [1e200, 0.0])


# ---- threads ---------------------------------------------------------------------------------------------------------

def test_the_gil_is_released_while_training_runs():
    """A Python thread counts on during one epoch about as fast as it does while the main thread sleeps."""
    net = bp.Network([256, 256, 10], output="sigmoid", seed=0)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(8000, 256)), rng.random((8000, 10))
    count, stop = [0], threading.Event()

    def counting():
        while not stop.is_set():
            count[0] += 1

    def rate(work):
        count[0], start = 0, time.perf_counter()
        work()
        return count[0] / (time.perf_counter() - start)

    net.train(X[:10], Y[:10])
    thread = threading.Thread(target=counting)
    thread.start()
    try:
        alone = rate(lambda: time.sleep(0.1))
        beside = rate(lambda: net.train(X, Y, learning_rate=1e-3, shuffle=False))
    finally:
        stop.set()
        thread.join()
    assert beside > 0.1 * alone                      # a call that holds the GIL leaves it almost nothing


def test_threads_that_predict_with_one_network_agree():
    net, _, X, _ = networks()
    expected, wrong = net.predict(X).tobytes(), []

    def work():
        wrong.extend(i for i in range(200) if net.predict(X).tobytes() != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- learning --------------------------------------------------------------------------------------------------------

def test_xor_is_learned_by_2_8_1_from_at_least_9_of_10_seeds():
    X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    learned = 0
    for seed in range(10):
        net = bp.Network([2, 8, 1], hidden="tanh", output="sigmoid", loss="squared_error", seed=seed)
        net.train(X, Y, epochs=2000, batch_size=1, learning_rate=0.5)
        learned += (net.predict(X)[:, 0].round() == Y).all()
    assert learned >= 9


def test_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    order, right = np.random.default_rng(0).permutation(len(X)), 0
    for fold in range(4):
        test, train = order[fold::4], np.delete(order, slice(fold, None, 4))
        mean, std = X[train].mean(axis=0), X[train].std(axis=0)
        net = bp.Network([30, 8, 1], output="sigmoid", loss="log_loss", seed=fold)
        net.train((X[train] - mean) / std, y[train], epochs=10, batch_size=10, learning_rate=0.1)
        right += ((net.predict((X[test] - mean) / std)[:, 0] > 0.5) == y[test]).sum()
    assert right / len(X) >= 0.95


def test_digits():
    digits = bp.data.digits()
    X_train, X_test, y_train, y_test = bp.data.split(digits.X / digits.X.max(), digits.y, stratify=True, seed=0)
    net = bp.Network([64, 32, 10], output="softmax", loss="log_loss", seed=0)
    net.train(X_train, bp.data.one_hot(y_train), epochs=30, batch_size=10, learning_rate=0.1)
    assert (net.predict(X_test).argmax(axis=1) == y_test).mean() >= 0.95


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_through_the_idx_reader():
    train, test = (bp.data.load(FASHION_MNIST / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    assert (train.X.shape, test.X.shape) == ((60_000, 784), (10_000, 784))
    net = bp.Network([784, 30, 10], hidden="sigmoid", output="softmax", loss="log_loss", seed=0)
    net.train(train.X / 255, bp.data.one_hot(train.y), epochs=5, batch_size=10, learning_rate=0.1)
    assert (net.predict(test.X / 255).argmax(axis=1) == test.y).mean() >= 0.84
