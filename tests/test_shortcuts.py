"""What is done once for many trainings, and what is looked at by its fields: the same bits and errors as without."""

import gc
import weakref

import numpy as np
import pytest

import backprop as bp
from backprop._dispatch import core

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2))


def network(**options):
    return bp.Network([3, 5, 2], seed=4, **options)


@pytest.fixture(params=[True, False], ids=["by fields", "by the buffer protocol"])
def trust(request):
    before = core.trust_fields(request.param)
    yield request.param
    core.trust_fields(before)


@pytest.mark.parametrize("options", [{}, {"batch_size": 7, "optimizer": "adam"}, {"dropout": 0.2, "batch_size": 4},
                                     {"optimizer": "momentum", "shuffle": False}, {"l2": 0.1, "optimizer": "adagrad"}],
                         ids=lambda options: "-".join(options) or "plain")
def test_the_bits_of_a_training_without_shortcuts(trust, options):
    """A list has to be converted, and its options are made anew; after a reset the next call finds the last ones."""
    plain, again = network(), network()
    plain.train(X.tolist(), Y.tolist(), epochs=5, **options)
    for _ in range(3):
        again.reset()
        again.train(X, Y, epochs=5, **options)
        assert again.parameters.tobytes() == plain.parameters.tobytes()
        assert again.history.loss == plain.history.loss


@pytest.mark.parametrize("bad, error, words", [
    ((X[:, :2], Y), ValueError, "X has 2 columns, expected 3"),
    ((X, Y[:, :1]), ValueError, "Y has 1 columns, expected 2"),
    ((X[:20], Y), ValueError, "Y has 30 rows, but X has 20"),
    ((X[:0], Y[:0]), ValueError, "X is empty"),
    ((np.where(X == X[7, 1], np.nan, X), Y), ValueError, "X holds NaN at row 7, column 1"),
    ((X, np.where(Y == Y[3, 1], np.inf, Y)), ValueError, "Y holds infinity at row 3, column 1"),
    ((X, None), TypeError, "Y is missing"), ((X, Y + 1j), ValueError, "Y must be real"),
])
def test_bad_data_after_good_are_found_as_ever(trust, bad, error, words):
    net = network()
    net.train(X, Y)
    before = net.parameters
    with pytest.raises(error, match=words):
        net.train(*bad)
    assert net.parameters.tobytes() == before.tobytes()


def test_targets_and_parameters_are_looked_at_in_every_call():
    net = bp.Network([3, 2], loss="log_loss", seed=0)
    hot = np.eye(2)[(Y[:, 0] > 0).astype(int)]
    net.train(X, hot)
    with pytest.raises(ValueError, match="rows that sum to 1"):
        net.train(X, 2 * hot)
    net.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="parameters are not finite"):
        net.train(X, hot)


@pytest.mark.parametrize("name, good, bad, error", [
    ("epochs", 1, True, TypeError), ("epochs", 1, 1.0, TypeError), ("batch_size", 1, True, TypeError),
    ("shuffle", True, 1, TypeError), ("l2", 0.0, False, TypeError), ("n_threads", 1, True, TypeError),
])
def test_an_argument_that_only_equals_the_last_is_checked(name, good, bad, error):
    net = network()
    net.train(X, Y, **{name: good})
    with pytest.raises(error, match=name):
        net.train(X, Y, **{name: bad})


def test_arguments_that_can_change_are_read_in_every_call():
    net, calls = network(), []
    callbacks, rates = [], np.zeros(1)
    net.train(X, Y, callbacks=callbacks, dropout=rates)
    callbacks.append(lambda state: calls.append(state.epoch))
    net.train(X, Y, callbacks=callbacks, dropout=rates)
    assert calls == [2]
    optimizer = bp.optimizers.SGD(0.1)
    one, other = network(), network()
    one.train(X, Y, optimizer=optimizer, batch_size=30, shuffle=False)
    optimizer.hyper["learning_rate"] = 0.2
    optimizer.__init__("sgd", **optimizer.hyper)
    other.train(X, Y, optimizer=optimizer, batch_size=30, shuffle=False)
    assert np.allclose(other.parameters - network().parameters, 2 * (one.parameters - network().parameters))


def test_networks_of_one_call_that_differ_in_kind_or_rows_are_not_taken_for_each_other():
    kinds = [{}, {"hidden": "relu"}, {"loss": "half_squared_error"}, {"bias": False}, {"output": "tanh"}]
    many = [network(**kind) for kind in kinds for _ in range(3)]
    data = [(X[:n].copy(), Y[:n].copy()) for _ in kinds for n in (30, 5, 1)]
    bp.train_many(many, data, epochs=3, batch_size=8)
    for trained, (k, (x, y)) in zip(many, enumerate(data)):
        alone = network(**kinds[k // 3])
        alone.train(x, y, epochs=3, batch_size=8)
        assert trained.parameters.tobytes() == alone.parameters.tobytes()


def test_nothing_is_kept_alive():
    """What is remembered of a call holds neither its data nor its network."""
    net, x, y = network(), X.copy(), Y.copy()
    net.train(x, y)
    gone = [weakref.ref(each) for each in (net, x, y)]
    del net, x, y
    gc.collect()
    assert [each() for each in gone] == [None] * 3


def test_failures_in_the_first_epoch_give_everything_back():
    """With and without a shuffle: parameters, generator, and the state of a training before."""
    for shuffle in (True, False):
        net = network()
        for trained in (False, True):
            before = net.copy()
            with pytest.raises(bp.errors.DivergenceError):
                net.train(X, Y, learning_rate=1e200, shuffle=shuffle)
            assert net.parameters.tobytes() == before.parameters.tobytes()
            assert net._generator.bit_generator.state == before._generator.bit_generator.state
            assert (net._training_state is not None) == trained
            net.train(X, Y, shuffle=shuffle)
