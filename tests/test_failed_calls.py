"""A call of `train` that fails: what stands afterwards does not depend on where, when or how it failed."""

import copy
import itertools
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import backprop as bp
from backprop import errors, training

rng = np.random.default_rng(5)
X, Y = rng.normal(size=(31, 3)), rng.normal(size=(31, 2))


def network(**options):
    return bp.Network([3, 5, 2], seed=4, **options)


def state(net):
    """Everything that a network is made of, aside from its last history."""
    return pickle.dumps((net.parameters, net._training_state, net._stopping_state, net._generator, net.epochs_trained))


def untimed(history):
    return [history[name] for name in history if name not in ("seconds", "examples_per_second")]


class Broken(Exception):
    pass


# ---- an epoch that fails ---------------------------------------------------------------------------------------------

CASES = [(rule, batch_size, dropout) for rule, batch_size, dropout in itertools.product(
    bp.optimizers.RULES, [1, 7, "full"], [0.0, 0.3]) if rule != "rprop" or batch_size == "full"]


@pytest.mark.parametrize("rule, batch_size, dropout", CASES)
def test_divergence_in_the_first_epoch_changes_nothing(rule, batch_size, dropout):
    net = network()
    net.train(X, Y, epochs=2, optimizer="adam", validation=0.2)
    before, history = state(net), net.history
    with pytest.raises(errors.DivergenceError, match="epoch 3 with"):
        net.train(X * 1e160, Y * 1e160, epochs=5, optimizer=rule, batch_size=batch_size, dropout=dropout)
    assert state(net) == before and net.history is history


@pytest.mark.parametrize("slice_rows", [1, 8, 31, 200, 10**6])
@pytest.mark.parametrize("batch_size, learning_rate, options", [
    (1, 0.3, {}), (4, 0.35, {"optimizer": "momentum"}), (1, 0.2, {"dropout": 0.2}), ("full", 5.0, {}),
    (4, 1.0, {"metrics": ["r2", "rmse", "gradient_norm"], "l2": 1e-9})])
def test_divergence_leaves_the_last_whole_epoch_however_training_is_sliced(monkeypatch, slice_rows, batch_size,
                                                                           learning_rate, options):
    """The bits are those of a call that ends with the epoch before."""
    options = {"batch_size": batch_size, "learning_rate": learning_rate, **options}
    monkeypatch.setattr(training._Run, "_slice_rows", lambda self: slice_rows)
    net = bp.Network([3, 5, 2], hidden="relu", seed=4)
    with pytest.raises(errors.DivergenceError):
        net.train(X, Y, epochs=10**5, **options)
    whole = bp.Network([3, 5, 2], hidden="relu", seed=4)
    history = whole.train(X, Y, epochs=net.epochs_trained, **options)
    assert net.epochs_trained > 0 and state(net) == state(whole)
    assert untimed(net.history) == untimed(history) and net.history.stop_reason is None


def fails_in(epoch):
    """A metric, a schedule and a loss that raise in an epoch from 1."""
    calls = itertools.count(1)

    def metric(Y, P):
        if next(calls) == epoch:
            raise Broken
        return 0.0

    def schedule(e, rate):
        if e == epoch - 1:
            raise Broken
        return rate

    def loss(Y, P):
        if next(calls) == 8 * (epoch - 1) + 5:          # the fifth of an epoch's eight batches
            raise Broken
        return ((Y - P) ** 2).sum(axis=1), 2 * (P - Y)

    return {"metric": ({}, {"metrics": metric}), "schedule": ({}, {"schedule": schedule}), "loss": ({"loss": loss}, {})}


@pytest.mark.parametrize("epoch", [1, 2, 5])
@pytest.mark.parametrize("what", ["metric", "schedule", "loss"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_function_of_the_user_that_raises_takes_its_epoch_back(optimizer, what, epoch):
    made, options = fails_in(epoch)[what]
    net = network(**made)
    with pytest.raises(Broken):
        net.train(X, Y, epochs=9, batch_size=4, learning_rate=0.01, optimizer=optimizer, **options)
    assert net.epochs_trained == epoch - 1
    made, options = fails_in(10**9)[what]
    whole = network(**made)
    if epoch > 1:
        whole.train(X, Y, epochs=epoch - 1, batch_size=4, learning_rate=0.01, optimizer=optimizer, **options)
    assert net.parameters.tobytes() == whole.parameters.tobytes()
    assert pickle.dumps(net._generator) == pickle.dumps(whole._generator)


@pytest.mark.parametrize("optimizer", bp.optimizers.SOLVERS)
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_metric_that_raises_takes_a_solvers_step_back(optimizer, epoch):
    if optimizer == "lbfgs":
        pytest.importorskip("scipy", reason="L-BFGS is SciPy's")
    net, whole = network(), network()
    options = {"batch_size": "full", "optimizer": optimizer}
    with pytest.raises(Broken):
        net.train(X, Y, epochs=9, metrics=fails_in(epoch)["metric"][1]["metrics"], **options)
    whole.train(X, Y, epochs=epoch - 1, **options)
    assert net.parameters.tobytes() == whole.parameters.tobytes() and net.epochs_trained == epoch - 1


# ---- what a user's functions see, and what they may not do -----------------------------------------------------------

@pytest.mark.parametrize("given", ["loss", "metric"])
@pytest.mark.parametrize("validation", [None, 0.2])
def test_targets_cannot_be_written_to(given, validation):
    def write(Y, P):
        Y[0] = 7.0

    net, before = network(loss=write if given == "loss" else "squared_error"), Y.copy()
    with pytest.raises(ValueError, match="read-only"):
        net.train(X, Y, shuffle=False, validation=validation, metrics=write if given == "metric" else ())
    np.testing.assert_array_equal(Y, before)


@pytest.mark.parametrize("what, name", [("metric", "metrics"), ("schedule", "schedule"), ("loss", "loss")])
def test_what_a_function_of_the_user_raises_is_noted_once(what, name):
    """The very error comes out, with a note that names the argument, however often it is raised."""
    error = Broken("mine")

    def broken(*arguments):
        raise error

    made = {"loss": broken} if what == "loss" else {}
    for _ in range(3):
        with pytest.raises(Broken) as caught:
            network(**made).train(X, Y, **{} if made else {name: broken})
        assert caught.value is error and str(error) == "mine"
        assert len(error.__notes__) == 1 and name in error.__notes__[0]


@pytest.mark.parametrize("action", ["train", "reset", "set_parameters"])
def test_a_callback_that_changes_the_network_is_told_that_it_is_in_training(action):
    arguments = {"train": (X, Y), "reset": (), "set_parameters": (network().parameters,)}[action]
    with pytest.raises(errors.ConcurrentUseError) as caught:
        network().train(X, Y, callbacks=lambda state: getattr(state.network, action)(*arguments))
    assert str(caught.value) == f"{action}: this network is in training"


def test_a_shallow_copy_shares_nothing():
    net = network()
    net.train(X, Y, optimizer="adam", dropout=0.2)
    other, before = copy.copy(net), state(net)
    other.train(X, Y, optimizer="adam", dropout=0.2)
    assert state(net) == before != state(other)


# ---- messages --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, options, message", [
    (([], Y), {}, r"^X is empty: shape \(0,\)$"), ((X, []), {}, "^Y is empty"), (([], []), {}, "^X is empty"),
    ((X, Y), {"batch_size": "abc"}, "^batch_size must be an integer or 'full', got 'abc'$"),
    ((X, Y), {"sample_weight": -np.ones(31)}, "^sample_weight must not be negative, got -1.0 at row 0$")])
def test_bad_values(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        network().train(*arguments, **options)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "shuffle", "l1", "l2", "dropout", "n_threads",
                                  "checkpoint_every", "progress"])
def test_none_where_a_value_is_needed(name):
    with pytest.raises(TypeError, match=f"^{name} must be .*, got None$"):
        network().train(X, Y, **{name: None})


@pytest.mark.parametrize("kind", [list, np.asarray])
def test_unequal_rows_are_found_before_anything_is_converted(kind):
    class Counted(list):
        def __iter__(self):
            raise AssertionError("converted")

    for call in ("train", "evaluate", "gradients"):
        with pytest.raises(ValueError, match="^Y has 30 rows, but X has 31$"):
            getattr(network(), call)(Counted(X.tolist()), kind(Y[1:].tolist()))


def test_a_loss_that_returns_text_is_named():
    def words(Y, P):
        return "a", "b"

    with pytest.raises(TypeError, match="^loss 'words' must return two arrays of numbers: "):
        network(loss=words).train(X, Y)


# ---- a history as a mapping ------------------------------------------------------------------------------------------

def test_a_history_iterates_over_the_names_of_its_columns():
    history = network().train(X, Y, epochs=2, metrics="r2")
    assert list(history) == history.keys() and "r2" in history and "r3" not in history
    assert dict(history) == history.to_dict(columns_only=True)


# ---- scikit-learn's exceptions without scikit-learn ------------------------------------------------------------------

def test_an_exception_does_not_import_scikit_learn():
    code = ("import sys, backprop as bp\n"
            "try: raise bp.errors.sklearn_or_own('NotFittedError')('words')\n"
            "except bp.errors.NotFittedError: print('sklearn' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("name", ["NotFittedError", "ConvergenceWarning"])
def test_an_exception_is_scikit_learns_and_ours_where_scikit_learn_is_imported(name):
    theirs = pytest.importorskip("sklearn.exceptions", reason="the classes are scikit-learn's")
    raised = errors.sklearn_or_own(name)
    assert issubclass(raised, getattr(theirs, name)) and issubclass(raised, getattr(errors, name))
    assert errors.sklearn_or_own(name) is raised
    again = pickle.loads(pickle.dumps(raised("words")))
    assert type(again) is raised and again.args == ("words",)


def test_another_thread_is_named_as_one():
    found = []

    def train(state):
        thread = threading.Thread(target=lambda: found.append(pytest.raises(
            errors.ConcurrentUseError, state.network.reset)))
        thread.start()
        thread.join()

    network().train(X, Y, callbacks=train)
    assert "another thread is training" in str(found[0].value)


ORDERS = {"int32": lambda order: order.astype(np.int32), "2-D": lambda order: order[None],
          "strided": lambda order: order[::2], "float": lambda order: order.astype(float), "list": np.ndarray.tolist}


@pytest.mark.parametrize("change", ORDERS.values(), ids=ORDERS)
def test_the_core_takes_no_order_of_visits_but_of_pointers_width(change, monkeypatch):
    """Its own callers give no other, and yet it looks: one would be read for what it is not."""
    call = training.core.job
    monkeypatch.setattr(training.core, "job", lambda plan, task, order, *rest: call(plan, task, change(order), *rest))
    net = network()
    before = net.parameters.tobytes()
    with pytest.raises((ValueError, TypeError)):
        net.train(X, Y)
    assert net.parameters.tobytes() == before
