"""Schedules: their formulas, what is refused, and that training in two calls has the rates of one."""

import json
import math

import numpy as np
import pytest

import backprop as bp
import cases
from backprop import schedules

X, Y = np.random.default_rng(0).normal(size=(12, 3)), np.random.default_rng(1).normal(size=(12, 1))


def net():
    return bp.Network([3, 4, 1], seed=0)


def rates(schedule, epochs=8, **options):
    options = {"learning_rate": 0.08, "batch_size": 4, **options}
    return net().train(X, Y, epochs=epochs, schedule=schedule, **options).learning_rate


@pytest.mark.parametrize("schedule, formula", [
    (None, lambda e: 0.08),
    ("constant", lambda e: 0.08),
    ("step", lambda e: 0.08 * 0.5 ** (e // 10)),
    (schedules.step(every=3, factor=0.1), lambda e: 0.08 * 0.1 ** (e // 3)),
    ("exponential", lambda e: 0.08 * 0.95**e),
    (schedules.exponential(0.5), lambda e: 0.08 * 0.5**e),
    ("cosine", lambda e: 0.04 * (1 + math.cos(math.pi * e / 12))),
    (schedules.cosine(5, minimum=0.02), lambda e: 0.02 + 0.03 * (1 + math.cos(math.pi * min(e, 5) / 5))),
    ("inverse_scaling", lambda e: 0.08 / math.sqrt(1 + e)),
    (schedules.inverse_scaling(power=1), lambda e: 0.08 / (1 + e)),
    ("warm_up", lambda e: 0.08 * min(1, 0.1 + 0.9 * e / 5)),
    (schedules.warm_up(4, "exponential", start=0), lambda e: 0.08 * min(1, e / 4) * 0.95**e),
    (schedules.warm_up(2, lambda epoch, rate: rate + epoch), lambda e: (0.08 + e) * min(1, 0.1 + 0.9 * e / 2)),
    (lambda epoch, rate: rate / 2**epoch, lambda e: 0.08 / 2**e),
], ids=cases.name)
def test_rates_follow_the_formula(schedule, formula):
    expected = [formula(e) for e in range(12)]
    assert rates(schedule, 12, optimizer="sgd", clip_norm=1.0) == pytest.approx(expected, rel=1e-15)


def test_the_rate_is_the_one_that_trains():
    scheduled, by_hand = net(), net()
    scheduled.train(X, Y, epochs=5, shuffle=False, learning_rate=0.05, schedule=lambda epoch, rate: rate / (1 + epoch))
    for epoch in range(5):
        by_hand.train(X, Y, shuffle=False, learning_rate=0.05 / (1 + epoch))
    assert scheduled.parameters.tobytes() == by_hand.parameters.tobytes()


def test_a_rate_of_zero_changes_nothing():
    still = net()
    before = still.parameters
    still.train(X, Y, schedule=lambda epoch, rate: 0.0)
    np.testing.assert_array_equal(still.parameters, before)


def test_reduce_on_plateau_counts_epochs_without_improvement():
    plateau = schedules.reduce_on_plateau(factor=0.5, patience=2, min_delta=0.1, minimum=0.3)
    state, seen = plateau.new_state(), []
    for value in (1.0, 0.95, 0.8, 0.75, None, 0.8, 0.9, 0.1, 0.05, 0.05, 0.0, 0.0):
        seen.append(plateau.rate(0, 1.0, 0, state))
        plateau.observe(value, state)
    assert seen == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize("options, monitored", [
    ({}, "loss"), ({"validation": (X + 1, Y)}, "val_loss"), ({"metrics": "r2", "monitor": "r2"}, "r2")])
def test_plateaus_are_those_of_the_monitored_column(options, monitored):
    options = dict(options)
    schedule = schedules.reduce_on_plateau(factor=0.1, patience=1, monitor=options.pop("monitor", "auto"))
    history = net().train(X, Y, epochs=30, batch_size=4, learning_rate=0.2, schedule=schedule, **options)
    sign = -1 if monitored == "r2" else 1
    best, expected = math.inf, [0.2]
    for value in history[monitored]:
        best, rate = (sign * value, expected[-1]) if sign * value < best else (best, expected[-1] * 0.1)
        expected.append(rate)
    assert history.learning_rate == pytest.approx(expected[:-1], rel=1e-12)
    assert 1 < len(set(history.learning_rate)) < 30


SCHEDULES = [None, "step", "exponential", schedules.cosine(12), "inverse_scaling",
             schedules.reduce_on_plateau(patience=1, factor=0.7), schedules.warm_up(3, "reduce_on_plateau"),
             schedules.warm_up(7, schedules.step(every=4)), lambda epoch, rate: rate * 0.9**epoch]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=cases.name)
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("optimizer", bp.optimizers.RULES)
def test_two_calls_are_one_bit_for_bit(optimizer, shuffle, schedule):
    options = dict(optimizer=optimizer, batch_size="full" if optimizer == "rprop" else 5, shuffle=shuffle,
                   schedule=schedule)
    once, twice = net(), net()
    whole = once.train(X, Y, epochs=12, **options)
    parts = twice.train(X, Y, epochs=5, **options) + twice.train(X, Y, epochs=7, **options)
    assert once.parameters.tobytes() == twice.parameters.tobytes()
    assert without_times(whole) == without_times(parts)
    assert once._training_state.to_dict() == twice._training_state.to_dict()


def without_times(history):
    times = "seconds", "examples_per_second"
    return {name: column for name, column in history.to_dict().items() if name not in times}


def test_a_cosine_that_ends_with_the_call_goes_on_after_a_break():
    once, broken = net(), net()
    whole = once.train(X, Y, epochs=12, schedule="cosine")
    first = broken.train(X, Y, epochs=12, schedule="cosine", callbacks=lambda state: state.epoch == 5)
    second = broken.train(X, Y, epochs=7, schedule="cosine")
    assert first.stop_reason == "callback"
    assert (first + second).learning_rate == whole.learning_rate
    assert once.parameters.tobytes() == broken.parameters.tobytes()


def test_another_schedule_starts_anew_and_none_takes_the_optimizers_rate():
    one = net()
    worse = schedules.reduce_on_plateau(patience=1, monitor="penalty", factor=0.5)       # penalty 0 never improves on 0
    assert one.train(X, Y, epochs=4, schedule=worse).learning_rate == [0.1, 0.1, 0.05, 0.025]
    assert one.train(X, Y, epochs=1, schedule=worse).learning_rate == [0.0125]
    assert one.train(X, Y, epochs=1).learning_rate == [0.1]
    assert one.train(X, Y, epochs=1, schedule=worse).learning_rate == [0.1]


def test_objects_are_equal_by_value_print_as_they_are_made_and_do_not_change():
    assert schedules.step(every=3) == schedules.step(3) != schedules.step(4)
    assert repr(schedules.cosine(40)) == "cosine(epochs=40, minimum=0.0)"
    with pytest.raises(AttributeError):
        schedules.step().every = 4


def test_descriptions_are_plain_data():
    for schedule in (row() for row in schedules.TABLE.values()):
        assert json.loads(json.dumps(schedule.to_dict())) == schedule.to_dict()
        assert schedule.to_dict()["name"] in schedules.NAMES
    nested = schedules.warm_up(2, schedules.warm_up(3, "cosine"))
    assert nested.to_dict()["then"]["then"] == {"name": "cosine", "epochs": None, "minimum": 0.0}
    assert schedules.warm_up(2, lambda epoch, rate: rate).to_dict() is None


@pytest.mark.parametrize("schedule, error, match", [
    ("linear", ValueError, "unknown schedule 'linear'.*cosine"), (3, TypeError, "schedule must be"),
    (schedules.step, TypeError, "schedule must be"),
    (lambda epoch, rate: float("nan"), ValueError, "schedule: the learning rate of epoch 0 must be finite"),
    (lambda epoch, rate: -rate, ValueError, "epoch 0 must be at least 0"),
    (lambda epoch, rate: None, TypeError, "epoch 0"),
    (schedules.reduce_on_plateau(monitor="val_loss"), ValueError, "reduce_on_plateau monitors 'val_loss'"),
])
def test_bad_schedules_are_refused(schedule, error, match):
    one = net()
    before = one.parameters
    with pytest.raises(error, match=match):
        one.train(X, Y, schedule=schedule)
    np.testing.assert_array_equal(one.parameters, before)
    assert one.epochs_trained == 0


@pytest.mark.parametrize("make, error", [
    (lambda: schedules.step(every=0), ValueError), (lambda: schedules.step(every=1.5), TypeError),
    (lambda: schedules.step(factor=0), ValueError), (lambda: schedules.exponential("x"), TypeError),
    (lambda: schedules.cosine(0), ValueError), (lambda: schedules.cosine(minimum=-1), ValueError),
    (lambda: schedules.inverse_scaling(-1), ValueError), (lambda: schedules.reduce_on_plateau(factor=1), ValueError),
    (lambda: schedules.reduce_on_plateau(patience=0), ValueError),
    (lambda: schedules.reduce_on_plateau(mode="up"), ValueError), (lambda: schedules.warm_up(0), ValueError),
    (lambda: schedules.reduce_on_plateau(monitor=3), TypeError), (lambda: schedules.warm_up(start=2), ValueError),
    (lambda: schedules.warm_up(then="later"), ValueError),
])
def test_bad_parameters_are_refused(make, error):
    with pytest.raises(error):
        make()
