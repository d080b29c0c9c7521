"""A user's own loss: a Python function on a whole batch, beside the same loss of the core."""

import pickle

import numpy as np
import pytest

import backprop as bp

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))


def squares(Y, P):
    return ((Y - P) ** 2).sum(axis=1), -2 * (Y - P)


def quartic(Y, P):
    return ((Y - P) ** 4).sum(axis=1), -4 * (Y - P) ** 3


def pair(output="tanh"):
    """The same network with the core's squared error and with it as a user's function."""
    return [bp.Network([4, 5, 2], output=output, loss=loss, seed=0) for loss in ("squared_error", squares)]


@pytest.mark.parametrize("output", ["tanh", "identity", "softmax"])
@pytest.mark.parametrize("batch_size", [1, 7, "full"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_it_trains_as_the_cores_own(optimizer, batch_size, output):
    core, own = pair(output)
    options = dict(epochs=5, batch_size=batch_size, optimizer=optimizer, learning_rate=0.02, l2=0.01, clip_norm=1.0,
                   sample_weight=np.arange(30), validation=0.2, metrics=["mse", "gradient_norm"])
    first, second = core.train(X, Y, **options), own.train(X, Y, **options)
    np.testing.assert_allclose(own.parameters, core.parameters, rtol=0, atol=1e-12)
    for name in ("loss", "penalty", "val_loss", "mse", "gradient_norm"):
        assert second[name] == pytest.approx(first[name], rel=1e-11), name


def test_everything_else_knows_it_too():
    core, own = pair()
    weight = np.arange(30.0)
    assert own.evaluate(X, Y, weight) == pytest.approx(core.evaluate(X, Y, weight), rel=1e-14)
    first, second = core.gradients(X, Y, weight), own.gradients(X, Y, weight)
    assert second.loss == pytest.approx(first.loss, rel=1e-14)
    np.testing.assert_allclose(second.weights[0], first.weights[0], rtol=1e-12)
    np.testing.assert_allclose(second.inputs, first.inputs, rtol=1e-12)
    assert own.trace(X[0], Y[0]).loss == pytest.approx(core.trace(X[0], Y[0]).loss, rel=1e-14)
    np.testing.assert_allclose(own.trace(X[0], Y[0]).deltas[1], core.trace(X[0], Y[0]).deltas[1], rtol=1e-12)
    assert own.learn_one(X[0], Y[0], 0.1) == pytest.approx(core.learn_one(X[0], Y[0], 0.1), rel=1e-14)
    np.testing.assert_allclose(own.parameters, core.parameters, rtol=1e-13)
    assert own.loss is squares and "loss=squares" in repr(own)
    assert bp.Network([4, 2], loss=quartic, seed=0).check_gradients(X, Y).max_relative_error < 1e-6


def test_two_calls_are_one_and_copies_and_pickles_keep_it():
    once, twice = (bp.Network([4, 5, 2], loss=quartic, seed=0) for _ in range(2))
    options = dict(batch_size=4, optimizer="adam")
    whole = once.train(X, Y, epochs=5, **options)
    first = twice.train(X, Y, epochs=2, **options)
    twice = pickle.loads(pickle.dumps(twice.copy()))
    assert first.loss + twice.train(X, Y, epochs=3, **options).loss == whole.loss
    assert once.parameters.tobytes() == twice.parameters.tobytes()


@pytest.mark.parametrize("function, error, match", [
    (lambda Y, P: 3.0, TypeError, "two arrays"),
    (lambda Y, P: (Y, P), ValueError, r"losses of shape \(5,\), got \(5, 2\)"),
    (lambda Y, P: (Y[:, 0], P[:, 0]), ValueError, r"derivatives of shape \(5, 2\)"),
    (lambda Y, P: (Y[:, 0] * np.nan, P), bp.errors.DivergenceError, "losses that are not finite"),
    (lambda Y, P: (Y[:, 0], P / 0.0), bp.errors.DivergenceError, "derivatives that are not finite"),
])
def test_what_it_returns_is_checked_and_nothing_changes(function, error, match):
    net = bp.Network([4, 5, 2], loss=function, seed=0)
    before = net.parameters
    with np.errstate(divide="ignore"), pytest.raises(error, match=match):
        net.train(X, Y, batch_size=5)
    np.testing.assert_array_equal(net.parameters, before)


def test_the_door_has_no_name():
    with pytest.raises(ValueError, match="unknown loss 'own'"):
        bp.Network([1, 1], loss="own")
