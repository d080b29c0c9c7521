"""What a plot needs to know of a classifier, whatever its kind: classes, and scores of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backprop import _check
from backprop.model import Model
from backprop.network import Network


@dataclass(frozen=True)
class Classifier:
    """A classifier of points.

    Attributes
    ----------
    classes : ndarray
        (k,) labels.
    n_features : int or None
    scores : callable
        (n, n_0) -> (n,) for two classes, positive on the side of classes[1]; (n, k) for more, the largest wins.
    graded : bool
        Of two classes: the score runs over [-1, 1], so that shades of it mean something.
    feature_names : list of str or None
    """

    classes: np.ndarray
    n_features: int | None
    scores: Callable
    graded: bool
    feature_names: list | None = None

def of(model, y=None) -> Classifier:
    """The classifier that `model` is; `y`, as the user gave it, tells what a network's single output stands for."""
    if isinstance(model, Network):
        return _of_network(model, y)
    if isinstance(model, Model):
        if model.classes is None:
            raise ValueError("model is a regression: it has no classes and no boundary between them")
        return _of_scores(model.classes, model.network.sizes[0], model.predict_proba, True, model.feature_names)
    if not callable(getattr(model, "predict", None)):
        raise TypeError("model must be a Network, a Model or a classifier with predict and classes_, got "
                        f"{type(model).__name__}")
    if not hasattr(model, "classes_"):
        raise ValueError(f"model, a {type(model).__name__}, has no classes_: fit it first, and take a classifier")
    return _of_estimator(model)


def labels(y, classifier: Classifier, rows: int) -> np.ndarray:
    """(rows,) class numbers of `y`: labels, or for networks also one-hot rows or (rows, 1) targets."""
    if np.ndim(y) == 2 and np.shape(y)[1] > 1:
        y = _check.array(y, "y", 2)
        if y.shape != (rows, len(classifier.classes)):
            raise ValueError(f"y has shape {y.shape}, expected ({rows}, {len(classifier.classes)}), one column per "
                             "class, or labels")
        return y.argmax(axis=1)
    return class_numbers(_check.labels(y, rows=rows), classifier.classes, "y")


def class_numbers(labels, classes, name: str) -> np.ndarray:
    """(n,) place of each label among the classes, in whatever order these are; ValueError for an unknown one."""
    place = {label: i for i, label in enumerate(classes.tolist())}
    for row, label in enumerate(labels.tolist()):
        if label not in place:
            raise ValueError(f"{name} holds the unknown label {_check.shown(label)} at row {row}; the classes are "
                             f"{_check.shown(list(place))}")
    return np.array([place[label] for label in labels.tolist()], np.intp)


def _of_network(network, y):
    n_inputs, n_outputs = network.sizes[0], network.sizes[-1]
    if n_outputs > 1:
        return _of_scores(np.arange(n_outputs), n_inputs, network.predict, network.activations[-1] == "softmax")
    signs = y is not None and _numbers(y).min() < 0
    if not signs:
        signs = y is None and (network.activations[-1] == "tanh" or network.loss == "hinge")
    if signs:
        return Classifier(np.array([-1, 1]), n_inputs, lambda X: network.predict(X)[:, 0], True)
    return Classifier(np.array([0, 1]), n_inputs, lambda X: 2 * network.predict(X)[:, 0] - 1, True)


def _numbers(y):
    """The targets of a network's only output, (n,)."""
    y = np.asarray(y)
    if y.dtype.kind not in "fiub" or y.size == 0:
        raise ValueError("y must hold the network's targets, 0 and 1 or -1 and 1")
    return y


def _of_scores(classes, n_features, scores, graded, feature_names=None):
    """From one column of scores per class."""
    if len(classes) == 2:
        def difference(X):
            columns = scores(X)
            return columns[:, 1] - columns[:, 0]

        return Classifier(classes, n_features, difference, graded, feature_names)
    return Classifier(classes, n_features, scores, False, feature_names)


def _of_estimator(model):
    classes = np.asarray(model.classes_)
    n_features = getattr(model, "n_features_in_", None)
    names = getattr(model, "feature_names_in_", None)
    names = None if names is None else [str(name) for name in names]
    if hasattr(model, "predict_proba"):
        return _of_scores(classes, n_features, model.predict_proba, True, names)
    if hasattr(model, "decision_function"):
        probe = np.asarray(model.decision_function(np.zeros((1, n_features or 2))))
        if probe.shape == ((1,) if len(classes) == 2 else (1, len(classes))):
            return Classifier(classes, n_features, model.decision_function, False, names)
    position = {label: i for i, label in enumerate(classes.tolist())}

    def votes(X):
        return np.eye(len(classes))[[position[label] for label in np.asarray(model.predict(X)).tolist()]]

    return _of_scores(classes, n_features, votes, False, names)
