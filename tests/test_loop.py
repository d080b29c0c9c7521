"""The training loop: validation, stopping, budgets, callbacks, history, weights, and Ctrl-C."""

import argparse
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backprop as bp
import hypotheses
from backprop import training
from backprop.training import TrainingState

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
CLASS = (X @ rng.normal(size=(4, 3))).argmax(axis=1)
Y = np.eye(3)[CLASS]
XV, YV = X[40:], Y[40:]
X, Y, CLASS = X[:40], Y[:40], CLASS[:40]
TIMES = ("seconds", "examples_per_second")


def network(seed=0, sizes=(4, 6, 3)):
    return bp.Network(list(sizes), loss="log_loss", seed=seed)


def without_times(history):
    return {name: column for name, column in history.to_dict().items() if name not in TIMES}


# ---- validation ------------------------------------------------------------------------------------------------------

def test_validation_losses_are_those_of_evaluate():
    net, seen = network(), []
    history = net.train(X, Y, epochs=4, batch_size=5, validation=(XV, YV),
                        callbacks=lambda state: seen.append(state.network.evaluate(XV, YV)))
    assert history.val_loss == seen
    weight = np.arange(20.0)
    history = net.train(X, Y, epochs=1, validation=(XV, YV, weight), metrics=["accuracy", "mse"])
    assert history.val_loss == [net.evaluate(XV, YV, weight)]
    P = net.predict(XV)
    assert history["val_accuracy"] == pytest.approx([((P.argmax(1) == YV.argmax(1)) * weight).sum() / weight.sum()])
    assert history["mse"] == pytest.approx([((net.predict(X) - Y) ** 2).mean()])


def test_looking_changes_no_bit():
    plain, watched = network(), network()
    whole = plain.train(X, Y, epochs=6, batch_size=5)
    history = watched.train(X, Y, epochs=6, batch_size=5, validation=(XV, YV), metrics=["f1", "gradient_norm"],
                            callbacks=lambda state: None)
    assert plain.parameters.tobytes() == watched.parameters.tobytes()
    assert whole.loss == history.loss


def test_the_last_part_is_held_out_in_time():
    by_fraction, by_hand = network(), network()
    first = by_fraction.train(X, Y, epochs=3, validation=0.25, shuffle=False, sample_weight=np.arange(1.0, 41.0))
    second = by_hand.train(X[:30], Y[:30], epochs=3, shuffle=False, sample_weight=np.arange(1.0, 31.0),
                           validation=(X[30:], Y[30:], np.arange(31.0, 41.0)))
    assert without_times(first) == without_times(second)
    assert by_fraction.parameters.tobytes() == by_hand.parameters.tobytes()


def held_out(net, y, fraction, **options):
    """The rows that validation=fraction holds out: a metric sees the row numbers as targets of a second output."""
    rows = []
    net.train(np.zeros((len(y), 1)), np.column_stack([y, np.arange(len(y))]), epochs=2, learning_rate=1e-9,
              validation=fraction,
              metrics=lambda targets, outputs: rows.append(targets[:, 1].astype(int).tolist()) or 0, **options)
    train, valid = rows[0], rows[1]
    assert rows == [train, valid, train, valid]
    assert sorted(train + valid) == list(range(len(y)))
    return valid


def test_a_random_part_is_fixed_reproducible_and_the_same_in_the_next_call():
    y = np.zeros(50)
    net = bp.Network([1, 2], output="identity", seed=5)
    valid = held_out(net, y, 0.3)
    assert len(valid) == 15
    assert valid == held_out(net, y, 0.3) == held_out(net.copy(), y, 0.3, optimizer="adam")
    assert valid == held_out(bp.Network([1, 2], output="identity", seed=5), y, 0.3)
    assert valid != held_out(bp.Network([1, 2], output="identity", seed=6), y, 0.3)
    assert valid != list(range(35, 50))


@hypotheses.examples(60)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_every_class_has_its_share_of_a_random_part(counts, fraction, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(classes)
    held = int(n * fraction + 0.5)
    if not 0 < held < n:
        return
    from backprop.examples import held_out
    mask = held_out(np.eye(len(counts))[classes], held, np.random.default_rng(seed))
    assert mask.sum() == held
    share = np.bincount(classes[mask], minlength=len(counts))
    assert (np.abs(share - np.array(counts) * held / n) < 1 + 1e-9).all()
    one, least = (classes == 0)[:, None], 0.0 if seed % 2 else -1.0          # a single output: one class against all
    mask = held_out(np.where(one, 1.0, least), held, np.random.default_rng(seed))
    assert mask.sum() == held and abs(one[mask].sum() - counts[0] * held / n) < 1 + 1e-9


def test_weights_of_classes_and_the_split_work_together():
    net, by_hand = network(), network()
    net.train(X, Y, validation=0.2, shuffle=False, class_weight={0: 3.0, 2: 0.5})
    by_hand.train(X[:32], Y[:32], shuffle=False, sample_weight=np.array([3.0, 1.0, 0.5])[CLASS[:32]])
    assert net.parameters.tobytes() == by_hand.parameters.tobytes()


@pytest.mark.parametrize("validation, error, match", [
    (0.0, ValueError, "validation must be greater than 0"), (1.0, ValueError, "validation must be less than 1"),
    (0.001, ValueError, "leaves 40 to train on and 0"), (0.999, ValueError, "leaves 0 to train on"),
    ("last", TypeError, "validation"),
    (True, TypeError, "validation"), ((XV,), ValueError, "validation must be"),
    ((XV, YV[1:]), ValueError, "validation Y has 19"),
    ((XV[:, 1:], YV), ValueError, "validation X has 3 columns"),
    ((XV, YV, -np.ones(20)), ValueError, "validation weights"),
    ((XV, YV / 2), ValueError, "validation Y: log_loss"), ((XV * np.nan, YV), ValueError, "validation X holds NaN"),
])
def test_bad_validation_is_refused_and_changes_nothing(validation, error, match):
    net = network()
    before = pickle.dumps(net)
    with pytest.raises(error, match=match):
        net.train(X, Y, validation=validation)
    assert pickle.dumps(net) == before


@pytest.mark.parametrize("part", [slice(0, 30), slice(30, 40)], ids=["training", "validation"])
def test_a_part_without_weight_is_refused(part):
    weight = np.ones(40)
    weight[part] = 0.0
    with pytest.raises(ValueError, match="sample_weight is all zero in the (training|validation) part"):
        network().train(X, Y, validation=0.25, shuffle=False, sample_weight=weight)


# ---- early stopping --------------------------------------------------------------------------------------------------

@hypotheses.examples(25)
@given(st.integers(0, 1000), st.sampled_from(["sgd", "adam"]), st.integers(1, 6), st.floats(0.0, 0.05),
       st.integers(1, 25),
       st.sampled_from([("val_loss", min), ("val_accuracy", max)]))
def test_the_best_parameters_come_back_whether_or_not_it_stopped(seed, optimizer, patience, min_delta, epochs,
                                                                 monitored):
    monitor, best = monitored
    net = network(seed)
    rule = bp.EarlyStopping(patience=patience, min_delta=min_delta, monitor=monitor)
    history = net.train(X, Y, epochs=epochs, batch_size=4, optimizer=optimizer, learning_rate=0.3, validation=(XV, YV),
                        metrics="accuracy", early_stopping=rule)
    values = history[monitor]
    assert history.best_epoch == values.index(best(values)) + 1
    assert history.val_loss[history.best_epoch - 1] == net.evaluate(XV, YV)
    assert net.epochs_trained == len(history)
    assert history.stop_reason == ("early_stopping" if len(history) < epochs else history.stop_reason)
    assert len(history) == expected_length(values, patience, min_delta, epochs, best)


def expected_length(values, patience, min_delta, epochs, best):
    """Epochs until `patience` of them in a row are no more than min_delta better than the last that was."""
    sign = 1 if best is min else -1
    reference, waited = np.inf, 0
    for k, value in enumerate(values, start=1):
        if sign * value < reference - min_delta:
            reference, waited = sign * value, 0
        else:
            waited += 1
        if waited == patience:
            return k
    return epochs


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_optimizers_state_of_the_best_epoch_comes_back_too(optimizer):
    net, short = network(), network()
    options = dict(batch_size=4, optimizer=optimizer, learning_rate=0.2, shuffle=False)
    history = net.train(X, Y, epochs=40, validation=(XV, YV), early_stopping=3, **options)
    assert history.stop_reason == "early_stopping" and history.best_epoch == len(history) - 3
    short.train(X, Y, epochs=history.best_epoch, **options)
    assert net.parameters.tobytes() == short.parameters.tobytes()
    net.train(X, Y, epochs=2, **options)
    short.train(X, Y, epochs=2, **options)
    assert net.parameters.tobytes() == short.parameters.tobytes()


def test_the_best_parameters_come_back_when_a_callback_raises():
    net, losses = network(), []

    def callback(state):
        losses.append(state.logs["val_loss"])
        if state.epoch == 30:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        net.train(X, Y, epochs=50, learning_rate=0.5, validation=(XV, YV), early_stopping=100, callbacks=callback)
    assert net.evaluate(XV, YV) == min(losses) < losses[-1]
    assert net.history.stop_reason is None and net.history.best_epoch == losses.index(min(losses)) + 1
    assert len(net.history) == net.epochs_trained == 30


def test_early_stopping_watches_any_column():
    history = network().train(X, Y, epochs=50, learning_rate=2.0, early_stopping=bp.EarlyStopping(2, monitor="loss"))
    assert history.best_epoch == int(np.argmin(history.loss)) + 1
    history = network().train(X, Y, epochs=9, metrics="gradient_norm",
                              early_stopping=bp.EarlyStopping(2, monitor="gradient_norm"))
    assert history.best_epoch == int(np.argmin(history.gradient_norm)) + 1
    own = bp.EarlyStopping(3, monitor="metric", mode="max")
    history = network().train(X, Y, epochs=9, metrics=lambda targets, outputs: -1.0, early_stopping=own)
    assert (history.best_epoch, len(history)) == (1, 4)


def test_a_value_that_is_not_defined_is_no_improvement():
    net = network()
    history = net.train(X, Y, epochs=9, metrics=lambda targets, outputs: np.nan,
                        early_stopping=bp.EarlyStopping(3, monitor="metric", mode="min"))
    assert history["metric"] == [None] * 3 and history.best_epoch is None
    assert history.stop_reason == "early_stopping"


@pytest.mark.parametrize("options, error, match", [
    ({"early_stopping": 5}, ValueError, "early_stopping monitors 'val_loss'.*give validation"),
    ({"early_stopping": bp.EarlyStopping(monitor="f1")}, ValueError, "monitors 'f1', which is not measured"),
    ({"early_stopping": bp.EarlyStopping(monitor="metric"), "metrics": lambda Y, P: 0}, ValueError, "say mode='min'"),
    ({"early_stopping": 0}, ValueError, "early_stopping must be at least 1"),
    ({"early_stopping": True}, TypeError, "early_stopping"),
    ({"early_stopping": "soon"}, TypeError, "early_stopping"),
])
def test_bad_early_stopping_is_refused(options, error, match):
    with pytest.raises(error, match=match):
        network().train(X, Y, **options)


@pytest.mark.parametrize("options, error", [
    ({"patience": 0}, ValueError), ({"patience": 1.5}, TypeError), ({"min_delta": -1}, ValueError),
    ({"mode": "up"}, ValueError),
    ({"monitor": 3}, TypeError)])
def test_bad_early_stopping_objects_are_refused(options, error):
    with pytest.raises(error):
        bp.EarlyStopping(**options)


# ---- budgets and reasons ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("listener", [None, lambda state: None])
@pytest.mark.parametrize("max_updates, epochs, visited", [(3, 1, 15), (8, 1, 40), (9, 2, 5), (20, 3, 20), (40, 5, 40)])
def test_max_updates_is_kept_to_the_update(max_updates, epochs, visited, listener):
    net, by_hand = network(), network()
    options = dict(batch_size=5, shuffle=False)
    history = net.train(X, Y, epochs=100, max_updates=max_updates, callbacks=listener or (), **options)
    for epoch in range(epochs):
        rows = visited if epoch == epochs - 1 else 40
        loss = by_hand.train(X[:rows], Y[:rows], **options).loss[0]
    assert net.parameters.tobytes() == by_hand.parameters.tobytes()
    assert history.stop_reason == "max_updates"
    assert len(history) == net.epochs_trained == epochs
    assert history.loss[-1] == loss


def test_all_epochs_within_the_budget_are_all_epochs():
    assert network().train(X, Y, epochs=2, batch_size=5, max_updates=16).stop_reason == "epochs"
    assert network().train(X, Y, epochs=2, batch_size=5, max_updates=15).stop_reason == "max_updates"


@pytest.mark.parametrize("sizes, rows", [((4, 6, 3), 40), ((4, 500, 500, 3), 20_000)])
def test_max_seconds_stops_in_time_within_an_epoch_if_need_be(sizes, rows):
    net = network(sizes=sizes)
    started = time.perf_counter()
    history = net.train(np.resize(X, (rows, 4)), np.resize(Y, (rows, 3)), epochs=10**7, learning_rate=1e-3,
                        max_seconds=0.2)
    assert 0.15 < time.perf_counter() - started < 1.0
    assert history.stop_reason == "max_seconds"
    assert np.isfinite(history.loss).all() and len(history) >= 1


def test_target_loss():
    history = network().train(X, Y, epochs=1000, target_loss=0.2)
    assert history.stop_reason == "target_loss"
    assert history.loss[-1] <= 0.2 < min(history.loss[:-1])


@pytest.mark.parametrize("options, error", [
    ({"max_seconds": 0}, ValueError), ({"max_updates": 0}, ValueError), ({"max_updates": 1.0}, TypeError),
    ({"target_loss": "low"}, TypeError), ({"callbacks": [3]}, TypeError)])
def test_bad_budgets_are_refused(options, error):
    with pytest.raises(error, match=next(iter(options))):
        network().train(X, Y, **options)


# ---- callbacks -------------------------------------------------------------------------------------------------------

def test_callbacks_see_the_epoch_and_one_of_them_may_stop():
    net, seen = network(), []

    def callback(state):
        assert state.network is net and state.history is net.history
        assert state.logs["loss"] == state.history.loss[-1] and state.history.stop_reason is None
        seen.append(state.epoch)
        return state.epoch == 3

    history = net.train(X, Y, epochs=9, callbacks=[callback, lambda state: np.False_, lambda state: "go on"])
    assert seen == history.epoch == [1, 2, 3]
    assert history.stop_reason == "callback"
    assert net.train(X, Y, epochs=2, callbacks=lambda state: np.True_).epoch == [4]


def test_an_exception_in_a_callback_leaves_a_consistent_network():
    net, plain = network(), network()

    def callback(state):
        if state.epoch == 3:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        net.train(X, Y, epochs=9, callbacks=callback)
    plain.train(X, Y, epochs=3)
    assert net.parameters.tobytes() == plain.parameters.tobytes()
    assert net.epochs_trained == 3 and len(net.history) == 3
    net.train(X, Y, epochs=2)
    plain.train(X, Y, epochs=2)
    assert net.parameters.tobytes() == plain.parameters.tobytes()


def test_training_within_a_callback_is_refused():
    with pytest.raises(bp.errors.ConcurrentUseError):
        network().train(X, Y, callbacks=lambda state: state.network.train(X, Y))


# ---- history ---------------------------------------------------------------------------------------------------------

def test_columns_are_equally_long_and_what_was_not_measured_is_none():
    history = network().train(X, Y, epochs=3, validation=(XV, YV), metrics=["accuracy"])
    assert {len(column) for column in dict(history).values()} == {3}
    assert list(dict(history)) == ["epoch", "loss", "penalty", "val_loss", "learning_rate", "gradient_norm", "seconds",
                                   "examples_per_second", "accuracy", "val_accuracy"]
    assert history.gradient_norm == [None] * 3 and "gradient_norm" not in history.measured()
    assert history.val_accuracy is history["val_accuracy"]
    assert all(value > 0 for name in TIMES for value in history[name])
    with pytest.raises(KeyError):
        history["f1"]


def test_a_history_goes_through_json_and_back():
    history = network().train(X, Y, epochs=3, validation=(XV, YV), metrics=["accuracy"], early_stopping=2)
    assert bp.History.from_dict(json.loads(json.dumps(history.to_dict()))) == history
    assert pickle.loads(pickle.dumps(history)) == history
    assert set(history.to_dict()) - set(history.to_dict(columns_only=True)) == {"stop_reason", "best_epoch"}


def test_histories_join():
    net = network()
    first, second = net.train(X, Y, epochs=2), net.train(X, Y, epochs=1, metrics="mse")
    joined = first + second
    assert joined.epoch == [1, 2, 3] and joined["mse"] == [None, None, *second["mse"]]
    assert joined.stop_reason == "epochs" and joined.loss == first.loss + second.loss
    assert len(first) == 2 and net.history is second
    with pytest.raises(TypeError):
        first + [1]


def test_histories_print_as_a_table():
    history = network().train(X, Y, epochs=100, validation=(XV, YV), early_stopping=200)
    lines = str(history).splitlines()
    assert lines[0].split() == ["epoch", "loss", "val_loss", "learning_rate", "seconds", "examples_per_second"]
    assert len(lines) == 15 and len({len(line) for line in lines[:-1]}) == 1
    assert lines[-1] == f"stop_reason: epochs; best_epoch: {history.best_epoch}"
    assert repr(history).startswith("History(100 epochs, loss ")
    empty = network().train(X, Y, epochs=0)
    assert str(empty) == repr(empty) == "History(no epochs, stop_reason='epochs')" and empty.last() == {}
    last = history.last()
    assert last["epoch"] == 100 and last["loss"] == history.loss[-1] and None not in last.values()
    assert "-" in str(history + network().train(X, Y, epochs=1)).splitlines()[-2].split()


def test_the_gradient_norm_is_that_of_the_objective():
    net = network()
    history = net.train(X, Y, metrics="gradient_norm", sample_weight=np.arange(40.0), l1=0.01, l2=0.1)
    g = net.gradients(X, Y, np.arange(40.0))
    parts = [dW + 0.1 * W + 0.01 * np.sign(W) for dW, W in zip(g.weights, net.weights)] + g.biases
    assert history.gradient_norm == pytest.approx([np.sqrt(sum(np.square(part).sum() for part in parts))], rel=1e-12)


# ---- weights and penalties -------------------------------------------------------------------------------------------

examples = st.lists(st.integers(0, 4), min_size=40, max_size=40).filter(any)


@hypotheses.examples(25)
@given(examples, st.floats(0.01, 100.0), st.sampled_from(["sgd", "adam", "rprop"]))
def test_weight_k_is_k_copies_zero_is_removal_and_a_factor_cancels(k, factor, optimizer):
    weighted, copies, scaled = network(), network(), network()
    k, options = np.array(k), dict(epochs=3, batch_size="full", optimizer=optimizer, learning_rate=0.01, l2=0.01,
                                   class_weight="balanced", metrics=["f1", "mse"])
    first = weighted.train(X, Y, sample_weight=k, **options)
    second = copies.train(np.repeat(X, k, axis=0), np.repeat(Y, k, axis=0), **options)
    scaled.train(X, Y, sample_weight=factor * k, **options)
    assert first.loss == pytest.approx(second.loss, rel=1e-12)
    np.testing.assert_allclose(weighted.parameters, copies.parameters, rtol=0, atol=1e-8)
    np.testing.assert_allclose(weighted.parameters, scaled.parameters, rtol=0, atol=1e-8)


@pytest.mark.parametrize("Y_, classes", [(Y, CLASS), (2 * Y - 1, CLASS), (Y[:, :1], CLASS == 0),
                                         (2 * Y[:, :1] - 1, CLASS == 0)])
def test_class_weights_multiply_sample_weights(Y_, classes):
    loss = {"loss": "squared_error", "output": "tanh", "seed": 0}
    sample_weight, factor = np.arange(1.0, 41.0), np.array([0.5, 2.0, 1.0])
    for class_weight in ({0: 0.5, 1: 2.0}, "balanced"):
        by_class, by_hand = (bp.Network([4, 3, Y_.shape[1]], **loss) for _ in range(2))
        if class_weight == "balanced":
            count = np.bincount(classes, sample_weight, 3)
            factor = np.divide(1.0, count, out=np.zeros(3), where=count > 0)
        by_class.train(X, Y_, epochs=2, sample_weight=sample_weight, class_weight=class_weight)
        by_hand.train(X, Y_, epochs=2, sample_weight=sample_weight * factor[classes.astype(int)])
        np.testing.assert_allclose(by_class.parameters, by_hand.parameters, rtol=0, atol=1e-11)


@pytest.mark.parametrize("class_weight, error, match", [
    ("even", ValueError, "class_weight"), (3, TypeError, "class_weight must be"), ({3: 1.0}, ValueError, "at most 2"),
    ({0: -1.0}, ValueError, r"class_weight\[0\]"), ({"a": 1.0}, TypeError, "class_weight"),
    ({0: 0.0, 1: 0.0, 2: 0.0}, ValueError, "nothing to train on")])
def test_bad_class_weights_are_refused(class_weight, error, match):
    with pytest.raises(error, match=match):
        network().train(X, Y, class_weight=class_weight)


def test_class_weights_need_classes():
    with pytest.raises(ValueError, match="class targets"):
        bp.Network([4, 1]).train(X, X[:, :1], class_weight="balanced")


@hypotheses.examples(15)
@given(st.floats(0.0, 0.5), st.floats(0.0, 0.5), st.integers(0, 100))
def test_loss_and_penalty_are_the_objective_whose_gradient_trains(l1, l2, seed):
    """A full-batch epoch at a vanishing η reports the objective; at a small one it moves by -η times its gradient."""
    def objective(vector):
        net = network(seed)
        net.set_parameters(vector)
        history = net.train(X, Y, batch_size="full", learning_rate=1e-300, l1=l1, l2=l2)
        return history.loss[0] + history.penalty[0]

    net = network(seed)
    w = net.parameters
    net.train(X, Y, batch_size="full", learning_rate=1e-3, l1=l1, l2=l2)
    moved = (w - net.parameters) / 1e-3
    for i in np.random.default_rng(seed).integers(0, w.size, 6):
        step = np.zeros_like(w)
        step[i] = 1e-6
        assert moved[i] == pytest.approx((objective(w + step) - objective(w - step)) / 2e-6, abs=1e-7)


# ---- continuing ------------------------------------------------------------------------------------------------------

@hypotheses.examples(25)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=4), st.sampled_from(bp.optimizers.RULES), st.booleans(),
       st.sampled_from([{}, {"validation": 0.25}, {"l2": 0.01}, {"metrics": "f1", "schedule": "reduce_on_plateau"}]))
def test_any_partition_into_calls_gives_the_same_bits(parts, optimizer, shuffle, options):
    once, often = network(), network()
    options = {"optimizer": optimizer, "batch_size": "full" if optimizer == "rprop" else 7, "shuffle": shuffle,
               **options}
    whole = once.train(X, Y, epochs=sum(parts), **options)
    joined = bp.History(whole.keys()[8:])
    for epochs in parts:
        joined = joined + often.train(X, Y, epochs=epochs, **options)
    assert once.parameters.tobytes() == often.parameters.tobytes()
    assert without_times(whole) == without_times(joined)


@pytest.mark.parametrize("optimizer", bp.optimizers.RULES)
def test_the_training_state_goes_through_json_and_back(optimizer):
    net, options = network(), dict(optimizer=optimizer, batch_size="full", validation=0.2, schedule="reduce_on_plateau")
    net.train(X, Y, epochs=3, **options)
    restored = net.copy()
    state = net._training_state
    restored._training_state = TrainingState.from_dict(json.loads(json.dumps(state.to_dict())), state.slots.copy())
    first, second = net.train(X, Y, epochs=3, **options), restored.train(X, Y, epochs=3, **options)
    assert without_times(first) == without_times(second)
    assert net.parameters.tobytes() == restored.parameters.tobytes()


def test_a_training_state_that_does_not_fit_is_refused():
    net = network()
    net.train(X, Y, optimizer="adam")
    values = net._training_state.to_dict()
    with pytest.raises(ValueError, match="2 slots"):
        TrainingState.from_dict(values, net._training_state.slots[:1])
    with pytest.raises(ValueError, match="numbers has 1"):
        TrainingState.from_dict({**values, "numbers": [1.0]}, net._training_state.slots)


# ---- Ctrl-C, words and bars ------------------------------------------------------------------------------------------

CTRL_C = """
    import json, sys, threading, time
    import numpy as np
    import backprop as bp

    sizes, rows, options = json.loads(sys.argv[1])
    net = bp.Network(sizes, seed=0)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(rows, sizes[0])), rng.random((rows, sizes[-1]))
    if options.pop("validate", False):
        options["validation"] = (X, Y)
        options["early_stopping"] = 10**6
    net.train(X[:50], Y[:50], learning_rate=1e-3)
    print("ready", flush=True)
    try:
        net.train(X, Y, epochs=10**7, learning_rate=1e-4, **options)
    except KeyboardInterrupt:
        heard = time.time()
        history = net.history
        assert history.stop_reason == "interrupted", history
        assert len({len(column) for column in dict(history).values()}) == 1
        assert net.epochs_trained == 1 + len(history)
        assert np.isfinite(net.parameters).all() and np.isfinite(net.predict(X[:5])).all()
        net.train(X[:50], Y[:50], learning_rate=1e-3)
        print(heard)
"""


@pytest.mark.parametrize("sizes, rows, options", [
    ([2, 4, 1], 4, {}), ([300, 400, 10], 20_000, {}), ([300, 400, 10], 20_000, {"batch_size": 64, "optimizer": "adam"}),
    ([50, 80, 10], 5_000, {"validate": True, "batch_size": 50}),
], ids=["many epochs a call", "within an epoch", "batches", "validation"])
def test_ctrl_c_is_heard_within_half_a_second(sizes, rows, options):
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CTRL_C), json.dumps([sizes, rows, options])],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        sent = time.time()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, err
    assert float(out) - sent < 0.5


def test_an_interruption_within_the_books_leaves_whole_epochs(monkeypatch):
    def half(self, columns, count, whole=bp.History.extend):
        if len(self) == 2:
            self.epoch.append(3)
            self.loss.append(0.0)
            raise KeyboardInterrupt
        whole(self, columns, count)

    net = network()
    monkeypatch.setattr(bp.History, "extend", half)
    with pytest.raises(KeyboardInterrupt):
        net.train(X, Y, epochs=9, validation=(XV, YV))
    assert {len(column) for column in dict(net.history).values()} == {2}
    assert net.history.epoch == [1, 2] and net.epochs_trained == 2 and net.history.stop_reason == "interrupted"


@pytest.mark.parametrize("options", [{}, {"dropout": 0.2}], ids=str)
@pytest.mark.parametrize("parts", range(1, 40, 6))
def test_an_interruption_within_an_epoch_after_the_best_leaves_whole_epochs(monkeypatch, parts, options):
    """The best parameters come back, so the generator must not stand within a later epoch."""
    options = {"optimizer": "adam", "batch_size": 2, "validation": (XV, YV), "early_stopping": 10**6, **options}
    whole = network()
    whole.train(X, Y, epochs=1, **options)
    net, left = whole.copy(), parts

    def work(job, n_threads, real=training._work):
        nonlocal left
        if len(net.history) and not left:
            raise KeyboardInterrupt
        left -= len(net.history) > 0
        return real(job, n_threads)

    monkeypatch.setattr(training, "SLICE_SECONDS", 1e-9)
    monkeypatch.setattr(training, "_work", work)
    with pytest.raises(KeyboardInterrupt):
        net.train(X, Y, epochs=10**6, **options)
    monkeypatch.undo()
    epochs = net.epochs_trained - 1
    assert epochs >= 1
    whole.train(X, Y, epochs=epochs, **options)
    for _ in range(2):
        assert net.parameters.tobytes() == whole.parameters.tobytes()
        net.train(X, Y, epochs=2, **options)
        whole.train(X, Y, epochs=2, **options)


def test_an_interruption_that_hides_whether_the_core_diverged_goes_back(monkeypatch):
    from backprop import training

    def work(job, n_threads, real=training._work):
        real(job, n_threads)
        raise KeyboardInterrupt

    net = bp.Network([4, 3], output="identity", loss="squared_error", seed=0)
    before = net.parameters
    monkeypatch.setattr(training, "_work", work)
    with pytest.raises(KeyboardInterrupt):
        net.train(X, Y, epochs=9, learning_rate=1e30, optimizer="momentum")
    np.testing.assert_array_equal(net.parameters, before)
    assert not net._training_state.slots.any()


def test_silent_by_default_and_told_to_a_logger_that_asks(capfd, caplog):
    net = network()
    net.train(X, Y, epochs=2)
    with caplog.at_level(logging.INFO, logger="backprop"):
        net.train(X, Y, epochs=2)
    assert capfd.readouterr() == ("", "")
    assert [record.name for record in caplog.records] == ["backprop"]
    assert "trained 2 epochs" in caplog.text


def test_progress_shows_loss_validation_and_rate(capfd):
    network().train(X, Y, epochs=30, validation=(XV, YV), progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "30/30" in err and "loss=" in err and "val_loss=" in err and "examples/s=" in err
    network().train(X, Y, epochs=5000, progress=True)
    assert "5000/5000" in capfd.readouterr().err


def test_nobody_listening_means_many_epochs_per_call(monkeypatch):
    from backprop import training
    calls = []
    monkeypatch.setattr(training._Run, "_call", lambda self, *arguments, real=training._Run._call: (
        calls.append(len(arguments[2])), real(self, *arguments))[1])
    network().train(X[:4], Y[:4], epochs=500)
    assert sum(calls) == 500 and len(calls) < 20
    calls.clear()
    network().train(X[:4], Y[:4], epochs=500, max_updates=1000, max_seconds=60)
    assert sum(calls) == 250 and len(calls) < 20


@pytest.mark.parametrize("sizes, batch_size, threads", [
    ([64, 32, 10], 256, 1), ([784, 128, 10], 32, 1), ([784, 128, 10], 64, 2), ([784, 256, 128, 10], 256, 2)])
def test_a_second_thread_is_taken_where_it_has_been_measured_to_pay(sizes, batch_size, threads):
    code = ("import backprop as bp; from backprop import training; training.processors = lambda: 2; sizes = []\n"
            "training._work = lambda job, n, work=training._work: sizes.append(n) or work(job, n)\n"
            f"X, Y = [[0.5] * {sizes[0]}] * {batch_size}, [[0.5] * 10] * {batch_size}\n"
            f"bp.Network({sizes}).train(X, Y, batch_size={batch_size}, learning_rate=1e-3, n_threads=2)\n"
            "print(set(sizes))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{{{threads}}}\n", done.stderr


def test_teams_are_no_larger_than_the_work_of_a_step_feeds(monkeypatch):
    """Small steps and few processors take fewer threads than asked for, which changes no bit."""
    sizes = []
    work = training._work
    monkeypatch.setattr(training, "_work", lambda job, n_threads: sizes.append(n_threads) or work(job, n_threads))
    X, Y = np.full((64, 100), 0.5), np.full((64, 100), 0.5)
    for flops, processors, expected in ((1e-9, 64, 8), (1e-9, 3, 3), (6 * 10100 * 64 / 2.5, 64, 2), (1e12, 64, 1)):
        monkeypatch.setattr(training, "THREAD_FLOPS", flops)
        monkeypatch.setattr(training, "processors", lambda count=processors: count)
        bp.Network([100, 100], output="identity", seed=0).train(X, Y, batch_size=64, learning_rate=1e-3, n_threads=8)
        assert set(sizes) == {expected}
        sizes.clear()


@pytest.mark.parametrize("slow", [1, 1000])
def test_a_teams_first_call_is_one_epoch_and_the_next_follow_its_pace(monkeypatch, slow):
    """Where barriers wait long, for a processor that something else has, Ctrl-C is heard all the same."""
    rows, call, clock = [], training.core.job, [0.0]

    def job(plan, task, order, *others):
        rows.append(order.size)
        return call(plan, task, order, *others)

    def work(job, n_threads, real=training._work):
        clock[0] += slow * 1e-6 * rows[-1]               # a microsecond for a row, or a millisecond
        return real(job, n_threads)

    monkeypatch.setattr(training.core, "job", job)
    monkeypatch.setattr(training, "_work", work)
    monkeypatch.setattr(training, "time", argparse.Namespace(perf_counter=lambda: clock[0]))
    bp.Network([4, 3, 3], seed=0).train(X[:20], Y[:20], epochs=30, batch_size=5, n_threads=2, learning_rate=1e-3)
    assert rows[0] == 20 and sum(rows) == 30 * 20
    assert max(rows) <= 100 if slow == 1000 else max(rows) > 100             # a tenth of a second
