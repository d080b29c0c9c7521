"""Theorems about networks that hold for any sizes, functions and data: symmetries, files, resuming, linear algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backprop as bp
import cases
import hypotheses
from backprop import optimizers

SMOOTH = tuple(name for name in cases.HIDDEN if name not in ("relu", "leaky_relu", "exp"))   # no kink, no explosion
PAIRS = [pair for pair in cases.PAIRS if pair[0] in (*SMOOTH, "softmax") and pair[1] not in ("absolute_error", "hinge")]
SETTINGS = {"sizes": st.lists(st.integers(1, 12), min_size=3, max_size=5), "hidden": st.sampled_from(SMOOTH),
            "pair": st.sampled_from(PAIRS), "seed": st.integers(0, 2**32 - 1)}


def made(sizes, hidden, pair, seed, rows=9):
    """(network, X, Y, the generator that made them)."""
    output, loss = pair
    sizes = [*sizes[:-1], max(sizes[-1], 2)] if output == "softmax" else sizes
    rng = np.random.default_rng(seed)
    net = bp.Network(sizes, hidden=hidden, output=output, loss=loss, seed=rng)
    net.set_parameters(rng.normal(size=net.n_parameters) / np.sqrt(max(sizes)))
    return net, rng.normal(size=(rows, sizes[0])), cases.targets(rng, output, loss, rows, sizes[-1]), rng


def with_layers(net, weights, biases):
    """The network with other weights and biases."""
    return bp.Network(net.sizes, hidden=net.activations[:-1], output=net.activations[-1], loss=net.loss,
                      init=([np.ascontiguousarray(W) for W in weights], biases), seed=0)


def close(a, b, tolerance=1e-11):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max()))


# ---- symmetries ------------------------------------------------------------------------------------------------------

@hypotheses.examples(40)
@given(**SETTINGS)
def test_the_order_of_rows_is_no_matter(sizes, hidden, pair, seed):
    net, X, Y, rng = made(sizes, hidden, pair, seed)
    order, weight = rng.permutation(len(X)), rng.random(len(X))
    assert net.predict(X[order]).tobytes() == net.predict(X)[order].tobytes()
    one, other = net.gradients(X, Y, weight), net.gradients(X[order], Y[order], weight[order])
    close(other.loss, one.loss)
    for a, b in zip([*other.weights, *other.biases], [*one.weights, *one.biases]):
        close(a, b)


@hypotheses.examples(40)
@given(**SETTINGS)
def test_the_order_of_features_is_no_matter(sizes, hidden, pair, seed):
    net, X, Y, rng = made(sizes, hidden, pair, seed)
    order = rng.permutation(X.shape[1])
    other = with_layers(net, [net.weights[0][order], *net.weights[1:]], net.biases)
    close(other.predict(X[:, order]), net.predict(X))
    for n in (net, other):
        n.train(X if n is net else X[:, order], Y, epochs=3, batch_size=4, learning_rate=1e-3, shuffle=False)
    close(other.weights[0], net.weights[0][order], 1e-9)
    close(other.weights[-1], net.weights[-1], 1e-9)


@hypotheses.examples(40)
@given(**SETTINGS)
def test_the_order_of_hidden_units_is_no_matter(sizes, hidden, pair, seed):
    net, X, Y, rng = made(sizes, hidden, pair, seed)
    layer = int(rng.integers(1, len(sizes) - 1))
    order = rng.permutation(sizes[layer])
    weights, biases = list(net.weights), list(net.biases)
    weights[layer - 1], biases[layer - 1] = weights[layer - 1][:, order], biases[layer - 1][order]
    weights[layer] = weights[layer][order]
    other = with_layers(net, weights, biases)
    close(other.predict(X), net.predict(X))
    for n in (net, other):
        n.train(X, Y, epochs=3, learning_rate=1e-3, shuffle=False)
    close(other.weights[layer], net.weights[layer][order], 1e-9)
    close(other.weights[layer - 1], net.weights[layer - 1][:, order], 1e-9)


@hypotheses.examples(40)
@given(**SETTINGS)
def test_the_order_of_classes_is_no_matter(sizes, hidden, pair, seed):
    net, X, Y, rng = made(sizes, hidden, pair, seed)
    order = rng.permutation(Y.shape[1])
    other = with_layers(net, [*net.weights[:-1], net.weights[-1][:, order]], [*net.biases[:-1], net.biases[-1][order]])
    close(other.predict(X), net.predict(X)[:, order])
    close(other.evaluate(X, Y[:, order]), net.evaluate(X, Y))
    for n in (net, other):
        n.train(X, Y if n is net else Y[:, order], epochs=3, batch_size=4, learning_rate=1e-3, shuffle=False)
    close(other.weights[-1], net.weights[-1][:, order], 1e-9)
    close(other.weights[0], net.weights[0], 1e-9)


@hypotheses.examples(40)
@given(cut=st.integers(1, 8), **SETTINGS)
def test_the_gradient_of_a_batch_is_the_mean_of_those_of_its_parts(cut, sizes, hidden, pair, seed):
    net, X, Y, _ = made(sizes, hidden, pair, seed)
    whole, parts = net.gradients(X, Y), [net.gradients(X[:cut], Y[:cut]), net.gradients(X[cut:], Y[cut:])]
    shares = np.array([cut, len(X) - cut]) / len(X)
    close(shares @ [part.loss for part in parts], whole.loss)
    for l, W in enumerate(whole.weights):
        close(shares[0] * parts[0].weights[l] + shares[1] * parts[1].weights[l], W)


# ---- files and resuming ----------------------------------------------------------------------------------------------

@hypotheses.examples(25)
@given(rule=st.sampled_from(optimizers.RULES), epochs=st.integers(0, 3), **SETTINGS)
def test_what_is_saved_is_loaded_and_saved_again_the_same(tmp_path_factory, rule, epochs, sizes, hidden, pair, seed):
    net, X, Y, _ = made(sizes, hidden, pair, seed)
    net.train(X, Y, epochs=epochs, batch_size="full" if rule == "rprop" else 4, optimizer=rule, learning_rate=1e-4)
    path, again = (tmp_path_factory.getbasetemp() / name for name in ("saved", "again"))
    net.save(path)
    loaded = bp.load(path)
    loaded.save(again)
    assert path.read_bytes() == again.read_bytes()
    assert loaded.parameters.tobytes() == net.parameters.tobytes()
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()
    assert loaded.epochs_trained == net.epochs_trained == epochs


@hypotheses.examples(25)
@given(rule=st.sampled_from(optimizers.RULES), first=st.integers(1, 4), then=st.integers(1, 4), **SETTINGS)
def test_resuming_is_never_having_stopped_and_weights_alone_are_not_enough(tmp_path_factory, rule, first, then, sizes,
                                                                           hidden, pair, seed):
    net, X, Y, _ = made(sizes, hidden, pair, seed)
    options = {"batch_size": "full" if rule == "rprop" else 4, "optimizer": rule, "learning_rate": 1e-4}
    whole, bare = net.copy(), net.copy()
    whole.train(X, Y, epochs=first + then, **options)
    net.train(X, Y, epochs=first, **options)
    path = tmp_path_factory.getbasetemp() / "half"
    net.save(path)
    resumed = bp.load(path)
    resumed.train(X, Y, epochs=then, **options)
    assert resumed.parameters.tobytes() == whole.parameters.tobytes()
    bare.set_parameters(net.parameters)
    bare._generator = bp.load(path)._generator
    bare.train(X, Y, epochs=then, **options)
    if rule not in ("sgd", "rprop") and np.abs(whole.parameters - net.parameters).max() > 1e-9:
        assert bare.parameters.tobytes() != whole.parameters.tobytes()       # it has no momentum, no mean squares


# ---- linear algebra --------------------------------------------------------------------------------------------------

@hypotheses.examples(40)
@given(n=st.integers(1, 6), m=st.integers(1, 4), rows=st.integers(12, 40), seed=st.integers(0, 2**32 - 1))
def test_a_linear_network_reaches_the_least_squares_solution(n, m, rows, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(rows, n)), rng.normal(size=(rows, m))
    net = bp.Network([n, m], output="identity", seed=0)
    net.train(X, Y, epochs=100, batch_size="full", optimizer="levenberg_marquardt")
    best = np.linalg.lstsq(np.c_[X, np.ones(rows)], Y, rcond=None)[0]
    np.testing.assert_allclose(net.weights[0], best[:-1], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(net.biases[0], best[-1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("hidden", SMOOTH)
def test_the_settings_train(hidden):
    """The properties above say something only where training moves the weights."""
    net, X, Y, _ = made([3, 5, 2], hidden, ("identity", "squared_error"), 0)
    before = net.parameters
    net.train(X, Y, epochs=3, learning_rate=1e-2)
    assert np.abs(net.parameters - before).max() > 1e-4
