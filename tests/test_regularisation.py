"""Dropout and max-norm: the kernels against the reference, the bits of the masks, continuing, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import backprop as bp
import cases
import reference
from backprop import training
from backprop._dispatch import available, core, variant
from backprop.training import TrainingState
from reference import Reference

N = 23


def pair(sizes=(4, 9, 5, 3), hidden="tanh", output="softmax", loss="log_loss", seed=0):
    """The library's network, the reference's from the same parameters, and data for both."""
    rng = np.random.default_rng(seed)
    weights, biases = cases.parameters(rng, sizes)
    net = bp.Network(list(sizes), hidden=hidden, output=output, loss=loss, init=(weights, biases), seed=seed)
    X, Y = rng.normal(size=(N, sizes[0])), cases.targets(rng, output, loss, N, sizes[-1])
    return net, Reference(weights, biases, hidden, output, loss), X, Y


def bits(net):
    return net.parameters.tobytes()


def padding_is_zero(net):
    """Whether the parameter vector holds zeros wherever no weight or bias is."""
    rest = net._parameters.copy()
    weights, biases = net._split(rest)
    for view in [*weights, *biases]:
        view[...] = 0.0
    return not rest.any()


def follows_the_reference(net, ref, X, Y, dropout=None, **options):
    """Train both and compare parameters and losses to 1e-12; returns the library's history."""
    history = net.train(X, Y, shuffle=False, **({} if dropout is None else {"dropout": dropout}), **options)
    options.pop("n_threads", None)
    if dropout is not None:
        options.update(dropout=np.broadcast_to(dropout, ref.L - 1), key=net._training_state.dropout_key)
    losses = ref.train(X, Y, **options)
    assert history.loss == pytest.approx(losses, rel=1e-12)
    assert cases.error(net.parameters, ref.parameters) < 1e-12
    assert padding_is_zero(net)
    return history


# ---- the generator of masks ------------------------------------------------------------------------------------------

def test_the_generator_is_splitmix64():
    """The outputs of SplitMix64 from 1234567, as Vigna's splitmix64.c gives them (rosettacode.org, Splitmix64)."""
    assert reference.draw(1234567, np.arange(5)).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_units_are_dropped_at_the_rate_and_independently(rate):
    """Means over visits, units and layers within five standard deviations, and no correlation between neighbours."""
    dropped = np.stack([reference.mask(7, np.arange(1000), l, 100, rate) == 0.0 for l in (1, 2)])
    deviation = np.sqrt(rate * (1 - rate))
    assert abs(dropped.mean() - rate) < 5 * deviation / np.sqrt(dropped.size)
    assert np.abs(dropped.mean(axis=1) - rate).max() < 5 * deviation / np.sqrt(1000)
    assert np.abs(dropped.mean(axis=2) - rate).max() < 5 * deviation / np.sqrt(100)
    centred = (dropped - rate) / deviation
    pairs = ((centred[0], centred[1]), (centred[:, 1:], centred[:, :-1]), (centred[..., 1:], centred[..., :-1]))
    for here, there in pairs:
        assert abs((here * there).mean()) < 5 / np.sqrt(here.size)
    assert (reference.mask(8, np.arange(1000), 1, 100, rate) == 0.0).tolist() != dropped[0].tolist()


def dropped_outputs(sizes, dropout, n, key=123456789, visit=0, block=64):
    """z[L] of an identity network that sums its hidden units, under dropout."""
    net = bp.Network(sizes, hidden="identity", output="identity", seed=0)
    rates = np.array([0.0, *dropout, 0.0])
    drop = training.Dropout(rates, key, visit, np.zeros(core.dropout_size(net._plan, rates, block)))
    task = SimpleNamespace(memory=core.job_memory(net._plan, block), dropout=drop,
                           rule=SimpleNamespace(block=block))
    X, out = np.ones((n, sizes[0])), np.empty((n, sizes[-1]))
    core.forward_dropped(net._plan, task, X, out)
    return net, X, out


@pytest.mark.parametrize("key, visit", [(0, 0), (2**64 - 1, 2**40), (1234567, 2**63 - 5)])
def test_the_core_draws_the_masks_of_the_reference(key, visit):
    net, X, out = dropped_outputs([3, 20, 11, 4], (0.3, 0.6), 150, key, visit)
    ref = Reference(net.weights, net.biases, "identity", "identity", "squared_error")
    visits = np.uint64(visit) + np.arange(150, dtype=np.uint64)
    expected = ref.forward(X, ref.masks(key, visits, (0.3, 0.6)))[1][-1]
    assert cases.error(out, expected) < 1e-12
    assert cases.error(out, net.predict(X)) > 0.1


def test_the_mean_of_dropped_outputs_is_the_output():
    net, X, out = dropped_outputs([3, 20, 11, 4], (0.3, 0.6), 20000)
    error = np.abs(out.mean(axis=0) - net.predict(X)[0])
    assert (error < 5 * out.std(axis=0) / np.sqrt(20000)).all()


# ---- dropout against the reference -----------------------------------------------------------------------------------

@pytest.mark.parametrize("hidden", cases.HIDDEN)
@pytest.mark.parametrize("sizes", [(2, 9, 1), (4, 9, 5, 3), (3, 1, 12, 17, 2)])
@pytest.mark.parametrize("batch_size, n_threads", [(1, 1), (1, 2), (7, 1), (7, 3), (N, 2)])
def test_dropout_follows_the_reference(hidden, sizes, batch_size, n_threads):
    output = "softmax" if sizes[-1] > 1 else "sigmoid"
    net, ref, X, Y = pair(sizes, hidden, output)
    if hidden == "exp":
        hidden = ["exp"] + ["tanh"] * (len(sizes) - 3)       # exp of exp of a sum that dropout has stretched overflows
        net, ref, X, Y = pair(sizes, hidden, output)
    follows_the_reference(net, ref, X, Y, dropout=0.4, epochs=2, batch_size=batch_size, learning_rate=0.02,
                          n_threads=n_threads)


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "rmsprop"])
@pytest.mark.parametrize("output, loss", [("identity", "huber"), ("softmax", "squared_error"), ("exp", "poisson")])
def test_with_any_optimizer_loss_and_rates(optimizer, output, loss):
    net, ref, X, Y = pair(hidden=["sigmoid", "softplus"], output=output, loss=loss)
    options = dict(dropout=[0.25, 0.0], epochs=2, batch_size=6, optimizer=optimizer, learning_rate=0.01, l2=0.01)
    net.train(X, Y, epochs=1, learning_rate=0.01, shuffle=False)             # visits count without dropout, too
    ref.train(X, Y, epochs=1, learning_rate=0.01)
    ref.steps, ref.state = 0, {}                                             # another optimizer starts afresh
    follows_the_reference(net, ref, X, Y, **options)
    assert net._training_state.visits == ref.visits == 3 * N


def test_with_weights_of_examples():
    net, ref, X, Y = pair()
    weight = np.arange(N) % 4.0
    weight[7:14] = 0.0                                                       # a whole batch of nothing
    follows_the_reference(net, ref, X, Y, dropout=0.3, epochs=3, batch_size=7, sample_weight=weight)


def test_gradients_under_a_fixed_mask_are_derivatives():
    """One step of plain descent is -η times the derivative, by complex step, of the reference's loss under the mask."""
    net, ref, X, Y = pair(hidden="sigmoid")
    before = net.parameters
    net.train(X, Y, batch_size="full", learning_rate=1.0, dropout=[0.5, 0.3])
    masks = ref.masks(net._training_state.dropout_key, np.arange(N), (0.5, 0.3))
    numeric = []
    for array in [p for Wb in zip(ref.W[1:], ref.b[1:]) for p in Wb]:
        for index in np.ndindex(array.shape):
            probe = Reference(ref.W[1:], ref.b[1:], "sigmoid", "softmax", "log_loss")
            layer = next(l for l in range(1, 4) if ref.W[l] is array or ref.b[l] is array)
            target = probe.W if ref.W[layer] is array else probe.b
            target[layer] = target[layer].astype(complex)
            target[layer][index] += 1e-30j
            numeric.append(probe.losses(X, Y, masks).mean().imag / 1e-30)
    assert cases.error(before - net.parameters, np.array(numeric)) < 1e-13
    assert np.count_nonzero(numeric) > len(numeric) / 2


def squares(Y, P):
    return ((Y - P) ** 2).sum(axis=1), -2 * (Y - P)


def test_a_loss_of_ones_own_sees_the_thinned_network():
    weights, biases = cases.parameters(np.random.default_rng(0), (4, 9, 5, 2))
    own, ours = (bp.Network([4, 9, 5, 2], output="tanh", loss=loss, init=(weights, biases), seed=1)
                 for loss in (squares, "squared_error"))
    X, Y = np.random.default_rng(1).normal(size=(600, 4)), np.random.default_rng(2).normal(size=(600, 2))
    for batch_size in (300, 7):
        options = dict(epochs=2, batch_size=batch_size, dropout=[0.2, 0.5], learning_rate=0.01, max_norm=1.5)
        assert own.train(X, Y, **options).loss == pytest.approx(ours.train(X, Y, **options).loss, rel=1e-11)
    assert cases.error(own.parameters, ours.parameters) < 1e-11


# ---- where it is off -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("nothing", [0, 0.0, [0.0, 0.0], np.zeros(2)])
def test_rate_zero_is_no_dropout_bit_for_bit(nothing, batch_size):
    (net, _, X, Y), (other, *_) = pair(), pair()
    first = net.train(X, Y, epochs=2, batch_size=batch_size)
    second = other.train(X, Y, epochs=2, batch_size=batch_size, dropout=nothing)
    assert bits(net) == bits(other) and first.loss == second.loss
    assert str(net._generator.bit_generator.state) == str(other._generator.bit_generator.state)


def test_prediction_evaluation_and_gradients_use_the_whole_network():
    net, ref, X, Y = pair()
    history = follows_the_reference(net, ref, X, Y, dropout=0.5, epochs=2, batch_size=5)
    assert cases.error(net.predict(X), ref.forward(X)[1][-1]) < 1e-12
    assert net.evaluate(X, Y) == pytest.approx(ref.loss(X, Y), rel=1e-12)
    assert cases.error(net.gradients(X, Y).weights[0], ref.gradients(X, Y)[0][0]) < 1e-11
    assert cases.error(net.trace(X[0], Y[0]).z[3], net.predict_one(X[0])) == 0.0
    assert net.check_gradients(X, Y).max_relative_error < 1e-6
    measured = net.train(X, Y, dropout=0.5, metrics="gradient_norm", validation=(X, Y))
    assert measured.val_loss == [net.evaluate(X, Y)] and measured.loss != measured.val_loss
    assert measured.gradient_norm[0] == pytest.approx(np.linalg.norm(net._gradient(X, Y)[1]), rel=1e-12)
    assert history.loss[0] != pair()[0].evaluate(X, Y)


# ---- one trajectory --------------------------------------------------------------------------------------------------

RATES = [0.5, 0.2]


def trained(monkeypatch=None, max_block=None, slice_seconds=None, **changed):
    """Bits and losses of one training with dropout and max-norm under other circumstances."""
    if monkeypatch is not None:
        monkeypatch.setattr(training, "MAX_BLOCK", max_block or training.MAX_BLOCK)
        if slice_seconds is not None:
            monkeypatch.setattr(training, "SLICE_SECONDS", slice_seconds)
    net, _, X, Y = pair((4, 37, 21, 3))
    options = dict(epochs=4, batch_size=10, dropout=RATES, max_norm=0.8) | changed
    history = net.train(X, Y, **options)
    return bits(net), history.loss


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"optimizer": "adam", "l2": 0.01, "clip_norm": 0.5}])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_no_bit(n_threads, options):
    assert trained(n_threads=n_threads, **options) == trained(**options)


@pytest.mark.parametrize("options", [{}, {"optimizer": "momentum"}, {"n_threads": 2}])
@pytest.mark.parametrize("max_block", [1, 3, 9])
def test_blocks_change_no_bit(monkeypatch, max_block, options):
    expected = trained(**options)
    assert trained(monkeypatch, max_block, **options) == expected


@pytest.mark.parametrize("batch_size", [1, 4])
def test_slices_change_no_bit(monkeypatch, batch_size):
    """Many epochs in one call, one epoch in a call, one batch in a call."""
    expected = trained(batch_size=batch_size)
    assert trained(batch_size=batch_size, callbacks=lambda state: None) == expected
    assert trained(monkeypatch, slice_seconds=0.0, batch_size=batch_size) == expected


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_regularisation
print(test_regularisation.digest())
"""


def digest():
    return hashlib.sha256(repr([trained(), trained(optimizer="adam", batch_size=1)]).encode()).hexdigest()


def test_v3_and_v4_give_the_same_bits():
    others = {"v3", "v4"} & set(available()) - {variant}
    if variant == "baseline" or not others:
        pytest.skip("needs v3 and v4")
    for other in others:
        environment = {**os.environ, "BACKPROP_SIMD": other,
                       "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        run = subprocess.run([sys.executable, "-c", SCRIPT.format(tests=os.path.dirname(__file__))], env=environment,
                             capture_output=True, text=True, timeout=60, check=True)
        assert run.stdout.strip() == digest()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_17_and_23_are_40(optimizer, batch_size, tmp_path):
    (once, _, X, Y), (twice, *_) = pair(), pair()
    options = dict(batch_size=batch_size, optimizer=optimizer, learning_rate=0.01, dropout=RATES, max_norm=2.0)
    whole = once.train(X, Y, epochs=40, **options)
    first = twice.train(X, Y, epochs=17, **options)
    state = twice._training_state                                            # through JSON, as a model file takes it
    twice = twice.copy()
    twice._training_state = TrainingState.from_dict(json.loads(json.dumps(state.to_dict())), state.slots)
    assert first.loss + twice.train(X, Y, epochs=23, **options).loss == whole.loss
    assert bits(once) == bits(twice)
    part = pair()[0]
    part.train(X, Y, epochs=17, **options)
    part.save(tmp_path / "part")
    part = bp.load(tmp_path / "part")
    part.train(X, Y, epochs=23, **options)
    assert bits(once) == bits(part)
    weights_only = bp.Network(once.sizes, output="softmax", loss="log_loss", seed=5)
    weights_only.set_parameters(pair()[0].parameters)
    weights_only.train(X, Y, epochs=40, **options)
    assert bits(weights_only) != bits(once)


def test_another_optimizer_goes_on_with_the_masks():
    net, _, X, Y = pair()
    net.train(X, Y, dropout=0.5)
    key = net._training_state.dropout_key
    net.train(X, Y, dropout=0.5, optimizer="adam")
    assert net._training_state.dropout_key == key and net._training_state.visits == 2 * N


def test_a_diverged_call_does_not_count():
    net, _, X, Y = pair(output="identity", loss="squared_error")
    net.train(X, Y, dropout=0.5, learning_rate=0.01)
    with pytest.raises(bp.errors.DivergenceError):
        net.train(X, 1e300 * Y, dropout=0.5)
    assert net._training_state.visits == N


def test_the_seed_decides():
    (first, _, X, Y), (second, *_), (third, *_) = pair(seed=0), pair(seed=0), pair(seed=0)
    third.reset(seed=1)
    third.set_parameters(first.parameters)
    for net in (first, second, third):
        net.train(X, Y, epochs=2, batch_size="full", dropout=0.5)
    assert bits(first) == bits(second) != bits(third)


# ---- max-norm --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sizes", [(3, 1), (6, 10), (2, 9, 1), (4, 9, 5, 3), (3, 1, 12, 17, 2)])
@pytest.mark.parametrize("options", [
    {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 7, "n_threads": 3}, {"batch_size": N, "n_threads": 2},
    {"batch_size": 7, "optimizer": "momentum"}, {"batch_size": 7, "optimizer": "adam", "l1": 0.01, "n_threads": 2}])
def test_max_norm_follows_the_reference(sizes, options):
    output = "softmax" if sizes[-1] > 1 else "sigmoid"
    net, ref, X, Y = pair(sizes, output=output)
    free = net.copy()
    options = dict(epochs=2, learning_rate=0.05, **options)
    follows_the_reference(net, ref, X, Y, max_norm=0.2, **options)
    free.train(X, Y, shuffle=False, **options)
    assert cases.error(net.parameters, free.parameters) > 0.01


def test_max_norm_with_blocks_of_a_batch(monkeypatch):
    monkeypatch.setattr(training, "MAX_BLOCK", 4)
    net, ref, X, Y = pair()
    follows_the_reference(net, ref, X, Y, max_norm=0.5, dropout=0.3, epochs=3, batch_size=11)


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam"}, {"batch_size": 8}])
def test_no_unit_is_longer_after_any_step(options):
    net, _, X, Y = pair((4, 9, 5, 1), output="identity", loss="squared_error")
    longest = []
    for _ in range(30):
        net.train(X, Y, max_updates=1, learning_rate=0.05, max_norm=0.6, **options)
        norms = np.concatenate([np.linalg.norm(W, axis=0) for W in net.weights])
        longest.append(norms.max())
        assert norms.min() < 0.59                            # what is short is not made longer
    assert max(longest) == pytest.approx(0.6, rel=1e-15)
    assert padding_is_zero(net) and np.abs(net.biases[0]).max() > 0.0


@pytest.mark.parametrize("batch_size", [1, 6])
def test_a_limit_that_is_never_met_changes_no_bit(batch_size):
    (net, _, X, Y), (other, *_) = pair(), pair()
    net.train(X, Y, epochs=2, batch_size=batch_size)
    other.train(X, Y, epochs=2, batch_size=batch_size, max_norm=1e6)
    assert bits(net) == bits(other)


# ---- what is refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dropout, error, match", [
    (1.0, ValueError, "dropout must be less than 1.0"), (-0.1, ValueError, "dropout must be at least 0.0, got -0.1"),
    (float("nan"), ValueError, "dropout must be finite"), (2, ValueError, "dropout must be less than"),
    ("half", TypeError, "dropout must be a real number, got str"), (None, TypeError, "dropout must be a real number"),
    (True, TypeError, "dropout must be a real number, got bool"), ({0.5}, TypeError, "dropout must be a real"),
    ([0.5], ValueError, r"dropout has 1 rates, expected 2 \(one per hidden layer\)"),
    ([], ValueError, "dropout has 0 rates, expected 2"), ((0.1, 0.2, 0.3), ValueError, "dropout has 3 rates"),
    ([0.5, 1.0], ValueError, r"dropout\[1\] must be less than 1.0, got 1.0"),
    ([0.5, "x"], TypeError, r"dropout\[1\] must be a real number"),
    ([[0.5, 0.5]] * 2, TypeError, r"dropout\[0\] must be a real number, got list"),
    (np.full((2, 2), 0.5), TypeError, "dropout must be a real number, got ndarray"),
])
def test_bad_rates_are_refused_and_nothing_changes(dropout, error, match):
    net, _, X, Y = pair()
    before, generator = bits(net), str(net._generator.bit_generator.state)
    with pytest.raises(error, match=match):
        net.train(X, Y, dropout=dropout)
    assert (bits(net), str(net._generator.bit_generator.state)) == (before, generator)
    assert net._training_state is None


def test_without_hidden_layers_there_is_nothing_to_drop():
    net, _, X, Y = pair((4, 3))
    with pytest.raises(ValueError, match="dropout=0.5 needs hidden layers, and the network has none"):
        net.train(X, Y, dropout=0.5)
    with pytest.raises(ValueError, match="dropout has 1 rates, expected 0"):
        net.train(X, Y, dropout=[0.5])
    net.train(X, Y, dropout=0.0)
    net.train(X, Y, dropout=[])


@pytest.mark.parametrize("max_norm, error", [
    (0.0, ValueError), (-1, ValueError), (np.inf, ValueError), ("3", TypeError)])
def test_a_bad_max_norm_is_refused(max_norm, error):
    net, _, X, Y = pair()
    with pytest.raises(error, match="max_norm must be"):
        net.train(X, Y, max_norm=max_norm)


@pytest.mark.parametrize("changed", [{"visits": -1}, {"visits": 2**64}, {"dropout_key": 2**64}, {"dropout_key": -1}])
def test_a_state_with_impossible_counters_is_refused(changed):
    net, _, X, Y = pair()
    net.train(X, Y, dropout=0.5)
    state = net._training_state
    with pytest.raises(ValueError, match=next(iter(changed))):
        TrainingState.from_dict({**state.to_dict(), **changed}, state.slots)


# ---- what it is for --------------------------------------------------------------------------------------------------

def test_dropout_keeps_a_network_from_learning_noise_by_heart():
    """A noisy sine of one of five inputs: the thinned network fits the examples worse and the sine better."""
    rng = np.random.default_rng(0)
    X, Xv = rng.normal(size=(60, 5)), rng.normal(size=(1000, 5))
    Y, Yv = np.sin(X[:, :1]) + 0.5 * rng.normal(size=(60, 1)), np.sin(Xv[:, :1])
    fit, error = {}, {}
    for rate in (0.0, 0.5):
        net = bp.Network([5, 100, 1], hidden="relu", seed=0)
        net.train(X, Y, epochs=200, batch_size=10, optimizer="adam", learning_rate=0.01, dropout=rate)
        fit[rate], error[rate] = net.evaluate(X, Y), net.evaluate(Xv, Yv)
    assert fit[0.5] > fit[0.0] and error[0.5] < 0.7 * error[0.0]
