"""Metrics against scikit-learn, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

import backprop as bp
import hypotheses
from backprop.metrics import NAMES, Metric, Metrics

rng = np.random.default_rng(0)
WEIGHTS = [None, rng.integers(0, 4, 60).astype(float)]


def measure(names, Y, P, weight=None, soft=False):
    return Metrics(names, Y, soft).measure(Y, P, weight)


@pytest.mark.parametrize("weight", WEIGHTS, ids=["equal", "weighted"])
@pytest.mark.parametrize("width", [1, 3])
def test_values_are_scikit_learns(width, weight):
    Y, P = rng.normal(size=(60, width)), rng.normal(size=(60, width))
    got = measure(["r2", "mae", "mse", "rmse"], Y, P, weight)
    for name, function in {"r2": oracle.r2_score, "mae": oracle.mean_absolute_error, "mse": oracle.mean_squared_error,
                           "rmse": oracle.root_mean_squared_error}.items():
        assert got[name] == pytest.approx(function(Y, P, sample_weight=weight), rel=1e-12), name


def test_max_error_looks_at_examples_that_count():
    Y, P = np.zeros((3, 2)), np.array([[0.5, -1.0], [0.0, 0.0], [9.0, 9.0]])
    assert measure("max_error", Y, P) == {"max_error": 9.0}
    assert measure("max_error", Y, P, np.array([1.0, 1.0, 0.0])) == {"max_error": 1.0}


@pytest.mark.parametrize("constant, expected", [(0.0, 1.0), (1.0, 0.0)])
def test_r2_of_a_constant_target(constant, expected):
    assert measure("r2", np.zeros((4, 1)), np.full((4, 1), constant)) == {"r2": expected}


@pytest.mark.parametrize("weight", WEIGHTS, ids=["equal", "weighted"])
@pytest.mark.parametrize("low", [0, -1])
def test_two_classes_of_one_output_are_scikit_learns(low, weight):
    y, P = rng.integers(0, 2, 60), rng.normal(size=(60, 1))
    Y = np.where(y == 1, 1.0, low)[:, None]
    predicted = (P[:, 0] > (0.5 if low == 0 else 0.0)).astype(int)
    got = measure(["accuracy", "precision", "recall", "f1"], Y, P, weight)
    assert got["accuracy"] == pytest.approx(oracle.accuracy_score(y, predicted, sample_weight=weight), rel=1e-12)
    for name, function in {"precision": oracle.precision_score, "recall": oracle.recall_score,
                           "f1": oracle.f1_score}.items():
        assert got[name] == pytest.approx(function(y, predicted, sample_weight=weight), rel=1e-12), name


@hypotheses.examples(50)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 30), st.booleans())
def test_many_classes_are_scikit_learns_macro_averages(seed, k, n, weighted):
    r = np.random.default_rng(seed)
    y, P = r.integers(0, k, n), r.normal(size=(n, k))
    weight = r.uniform(0.5, 2.0, n) if weighted else None
    predicted = P.argmax(axis=1)
    got = measure(["accuracy", "precision", "recall", "f1"], np.eye(k)[y], P, weight)
    assert got["accuracy"] == pytest.approx(oracle.accuracy_score(y, predicted, sample_weight=weight), rel=1e-12)
    for name, function in {"precision": oracle.precision_score, "recall": oracle.recall_score,
                           "f1": oracle.f1_score}.items():
        expected = function(y, predicted, sample_weight=weight, average="macro", zero_division=0)
        assert got[name] == pytest.approx(expected, rel=1e-12, abs=1e-15), name


def test_distributions_have_their_largest_part_as_class_where_the_output_is_softmax():
    Y, P = np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([[0.9, 0.1], [0.8, 0.2]])
    assert measure("accuracy", Y, P, soft=True) == {"accuracy": 0.5}
    with pytest.raises(ValueError, match="class targets"):
        measure("accuracy", Y, P)


@pytest.mark.parametrize("Y", [[[0.2], [0.7]], [[1.0, 1.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]])
@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1"])
def test_targets_that_are_no_classes_are_refused(name, Y):
    net = bp.Network([1, len(Y[0])], output="sigmoid", seed=0)
    before = net.parameters
    with pytest.raises(ValueError, match="metrics: accuracy"):
        net.train([[0.0], [1.0]], Y, metrics=name)
    np.testing.assert_array_equal(net.parameters, before)


def test_a_users_metric_has_its_own_name_and_direction():
    def worst(Y, P):
        return np.abs(Y - P).max()

    metrics = Metrics([worst, Metric("least", lambda Y, P: 0, "max"), lambda Y, P: 1], np.zeros((2, 1)), False)
    assert metrics.names == ["worst", "least", "metric"]
    names = "worst", "val_least", "f1", "val_mse", "loss", "examples_per_second"
    assert [metrics.direction(name) for name in names] == [
        None, "max", "max", "min", "min", "max"]
    assert metrics.measure(np.zeros((2, 1)), np.full((2, 1), -3.0), None) == {"worst": 3.0, "least": 0.0, "metric": 1.0}


def test_every_name_has_a_direction():
    metrics = Metrics(NAMES, np.array([[0.0], [1.0]]), False)
    assert {metrics.direction(name) for name in NAMES} == {"max", "min"}


def test_what_is_not_finite_is_not_measured():
    assert measure(lambda Y, P: np.nan, np.zeros((1, 1)), np.zeros((1, 1))) == {"metric": None}
    assert measure(lambda Y, P: -np.inf, np.zeros((1, 1)), np.zeros((1, 1))) == {"metric": None}


def loss(Y, P):
    return 0.0


def keys(Y, P):
    return 0.0


@pytest.mark.parametrize("names, error, match", [
    ("sharpness", ValueError, "unknown metric 'sharpness'.*accuracy"), ([3], TypeError, "metrics must be names"),
    (["mse", "mse"], ValueError, "'mse' is taken"), ([loss], ValueError, "'loss' is taken"),
    ([keys], ValueError, "'keys' is taken"), (7, TypeError, "metrics must be names"),
    ([lambda Y, P: 0, lambda Y, P: 1], ValueError, "'metric' is taken"),
    ([lambda Y, P: "high"], TypeError, "'metric' must return a number"),
])
def test_bad_metrics_are_refused(names, error, match):
    net = bp.Network([1, 1], seed=0)
    with pytest.raises(error, match=match):
        net.train([[0.0]], [[1.0]], metrics=names)


@pytest.mark.parametrize("arguments, error, match", [
    (("two words", loss), ValueError, "identifier"), ((3, loss), ValueError, "identifier"),
    (("a", 3), TypeError, "callable"),
    (("a", loss, "up"), ValueError, "direction"),
])
def test_bad_metric_objects_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        Metric(*arguments)
