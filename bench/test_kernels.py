"""Time the kernels against plain NumPy (`tests/reference.py`) and scikit-learn, after checking that they agree.

`make bench` runs this with pytest-benchmark and prints how many times faster the library is; `make test` runs every
case once, for the checks alone. Peers and library run in one process; `make bench` gives the BLAS of the peers one
thread, as the library has.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

import backprop as bp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference import Reference  # noqa: E402

ROWS = 300
SIZES = [[2, 8, 1], [64, 32, 10], [784, 30, 10], [784, 128, 10]]
TOLERANCE = 1e-12
LEARNING_RATE = 0.1


def name(sizes):
    return "-".join(str(n) for n in sizes)


def task(sizes, loss="squared_error", output="sigmoid"):
    """A network with sigmoid hidden units and data of its widths."""
    rng = np.random.default_rng(0)
    X = rng.random((ROWS, sizes[0]))
    Y = rng.random((ROWS, 1)) if sizes[-1] == 1 else np.eye(sizes[-1])[rng.integers(sizes[-1], size=ROWS)]
    return bp.Network(sizes, hidden="sigmoid", output=output, loss=loss, seed=1), X, Y


def reference(net):
    return Reference(net.weights, net.biases, "sigmoid", net.activations[-1], net.loss)


def difference(net, peer):
    """Largest relative difference of the parameters."""
    return np.abs(net.parameters - peer).max() / np.abs(peer).max()


def compare(benchmark, capsys, ours, peer, peer_name):
    """Time `ours` by the benchmark and `peer` beside it; the ratio of the fastest rounds goes into the report."""
    benchmark(ours)
    if benchmark.disabled:
        return None
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        peer()
        best = min(best, time.perf_counter() - started)
    ratio = best / benchmark.stats.stats.min
    benchmark.extra_info[f"times faster than {peer_name}"] = round(ratio, 1)
    benchmark.extra_info["microseconds per example"] = round(benchmark.stats.stats.min / ROWS * 1e6, 3)
    with capsys.disabled():
        print(f"\n{benchmark.name}: {benchmark.stats.stats.min / ROWS * 1e6:.2f} µs per example, "
              f"{ratio:.1f} times faster than {peer_name}")
    return ratio


@pytest.mark.parametrize("sizes", SIZES, ids=name)
def test_forward(benchmark, capsys, sizes):
    net, X, _ = task(sizes)
    numpy = reference(net)
    np.testing.assert_allclose(net.predict(X), numpy.forward(X)[1][-1], rtol=TOLERANCE)
    compare(benchmark, capsys, lambda: net.predict(X), lambda: numpy.forward(X), "NumPy")


@pytest.mark.parametrize("batch_size", [1, 32], ids=["online", "batches of 32"])
@pytest.mark.parametrize("sizes", SIZES, ids=name)
def test_epoch(benchmark, capsys, sizes, batch_size):
    net, X, Y = task(sizes)
    numpy = reference(net)
    options = {"epochs": 1, "batch_size": batch_size, "learning_rate": LEARNING_RATE}
    loss = net.train(X, Y, shuffle=False, **options).loss
    np.testing.assert_allclose(loss, numpy.train(X, Y, **options), rtol=TOLERANCE)
    assert difference(net, numpy.parameters) <= TOLERANCE
    compare(benchmark, capsys, lambda: net.train(X, Y, shuffle=False, **options), lambda: numpy.train(X, Y, **options),
            "NumPy")


def scikit_learn(net, X, Y):
    """scikit-learn's network of the same shape and weights, and the same algorithm: plain SGD, example by example."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    peer = neural_network.MLPRegressor(
        hidden_layer_sizes=net.sizes[1:-1], activation="logistic", solver="sgd", batch_size=1, alpha=0.0, momentum=0.0,
        learning_rate_init=LEARNING_RATE, shuffle=False)
    peer.partial_fit(X[:1], Y[:1])                   # makes the arrays that the given weights go into
    for ours, theirs in zip(net.weights + net.biases, peer.coefs_ + peer.intercepts_):
        theirs[...] = ours
    return peer


def sklearn_parameters(peer):
    return np.concatenate([part.ravel() for W, b in zip(peer.coefs_, peer.intercepts_) for part in (W, b)])


def test_online_epoch_against_scikit_learn(benchmark, capsys):
    """The library's claim: online training of 784-30-10 is at least 20 times faster, on the same trajectory."""
    net, X, Y = task([784, 30, 10], loss="half_squared_error", output="identity")
    X = X / 20                                       # keeps a linear output stable at this learning rate
    peer = scikit_learn(net, X, Y)
    options = {"epochs": 1, "batch_size": 1, "learning_rate": LEARNING_RATE, "shuffle": False}
    net.train(X, Y, **options)
    peer.partial_fit(X, Y)
    assert difference(net, sklearn_parameters(peer)) <= 1e-10
    ratio = compare(benchmark, capsys, lambda: net.train(X, Y, **options), lambda: peer.partial_fit(X, Y),
                    "scikit-learn")
    assert ratio is None or ratio >= 20
