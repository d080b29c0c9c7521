"""Metrics: what training measures besides the loss, one row per metric.

``net.train(..., metrics=("accuracy", my_metric))`` measures each after every epoch, on the training data under its name
and on the validation data, where there is some, under ``val_`` and its name. That costs a feedforward pass over the
data. The conventions are scikit-learn's (``sklearn.metrics``): means over outputs, macro averages over classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.examples import class_indices
from backprop.history import COLUMNS, History

if TYPE_CHECKING:
    from backprop._types import FloatArray

GRADIENT_NORM = "gradient_norm"          # a column of every history that is measured only where it is asked for


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its function and which way is better.

    Parameters
    ----------
    name : str
        The name of its column in the history.
    function : callable
        f(Y, Y_predicted) -> number, for (n, n_L) targets and outputs. The weights of the examples are no concern of it.
    direction : {"max", "min", None}
        Which is better: what ``mode="auto"`` of early stopping goes by. None: not known.

    Examples
    --------
    >>> import numpy as np
    >>> from backprop.metrics import Metric
    >>> Metric("worst", lambda Y, Y_predicted: np.abs(Y - Y_predicted).max(), "min").name
    'worst'
    """

    name: str
    function: Callable
    direction: str | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"a metric's name must be an identifier, got {self.name!r}")
        if not callable(self.function):
            raise TypeError(f"metric {self.name!r}: its function must be callable, got {type(self.function).__name__}")
        if self.direction is not None:
            _check.choice(self.direction, "direction", ["max", "min"])


def _mean(values, weight):
    """Mean over the examples (axis 0), weighted where there are weights."""
    if weight is None:
        return values.mean(axis=0)
    return (values * weight.reshape(-1, *[1] * (values.ndim - 1))).sum(axis=0) / weight.sum()


# ---- of values: Y, P (n, n_L); one number per output, then their mean ------------------------------------------------

def _mse(Y, P, weight):
    return _mean((Y - P) ** 2, weight).mean()


def _rmse(Y, P, weight):
    return np.sqrt(_mean((Y - P) ** 2, weight)).mean()


def _mae(Y, P, weight):
    return _mean(np.abs(Y - P), weight).mean()


def _max_error(Y, P, weight):
    error = np.abs(Y - P)
    return (error if weight is None else error[weight > 0]).max()


def r2(Y: FloatArray, P: FloatArray, weight: FloatArray | None) -> float:
    """1 - Σ w (y - y')² / Σ w (y - ȳ)²; a constant target counts 1 where it is met and 0 where it is not."""
    residual, total = _mean((Y - P) ** 2, weight), _mean((Y - _mean(Y, weight)) ** 2, weight)
    score = np.where(residual == 0, 1.0, 0.0)
    return np.subtract(1.0, np.divide(residual, total, where=total > 0, out=1.0 - score)).mean()


# ---- of classes: true and predicted class numbers (n,) ---------------------------------------------------------------

def _accuracy(classes, weight):
    return _mean((classes.true == classes.predicted).astype(float), weight)


def _precision(classes, weight):
    hits, predicted, _ = classes.counts(weight)
    return classes.average(hits, predicted)


def _recall(classes, weight):
    hits, _, present = classes.counts(weight)
    return classes.average(hits, present)


def _f1(classes, weight):
    hits, predicted, present = classes.counts(weight)
    return classes.average(2 * hits, predicted + present)


class _Classes:
    """True and predicted class numbers: the largest of several outputs, or one output above a threshold."""

    def __init__(self, Y, P, threshold):
        self.binary = Y.shape[1] == 1
        self.n = 2 if self.binary else Y.shape[1]
        self.true, self.predicted = ((A[:, 0] > threshold).astype(np.intp) if self.binary else A.argmax(axis=1)
                                     for A in (Y, P))

    def counts(self, weight):
        """Weights of the examples hit, predicted and present, by class."""
        hit = self.true == self.predicted
        return (np.bincount(self.true[hit], None if weight is None else weight[hit], self.n),
                np.bincount(self.predicted, weight, self.n), np.bincount(self.true, weight, self.n))

    def average(self, part, whole):
        """part / whole, 0 for 0 / 0: of the upper class where there is one output, else the mean over the classes that
        occur among targets or predictions."""
        share = np.divide(part, whole, out=np.zeros(self.n), where=whole > 0)
        if self.binary:
            return share[1]
        return share[np.bincount(np.concatenate([self.true, self.predicted]), minlength=self.n) > 0].mean()


_VALUES = {"r2": (r2, "max"), "mae": (_mae, "min"), "mse": (_mse, "min"), "rmse": (_rmse, "min"),
           "max_error": (_max_error, "min")}
_CLASSES = {"accuracy": (_accuracy, "max"), "precision": (_precision, "max"), "recall": (_recall, "max"),
            "f1": (_f1, "max")}
NAMES = (*_CLASSES, *_VALUES)


class Metrics:
    """The metrics of one call of training, checked against the training targets.

    Parameters
    ----------
    names : str, callable, Metric or iterable of these
        What `Network.train` takes as `metrics`.
    Y : ndarray
        (n, n_L) training targets.
    soft : bool
        Whether targets may be distributions (a softmax output), whose largest part is the class.
    """

    def __init__(self, names, Y, soft):
        if isinstance(names, (str, Metric)) or callable(names):
            names = [names]
        rows = [name if isinstance(name, (str, Metric)) else _of_user(name) for name in names]
        self.gradient_norm = GRADIENT_NORM in rows
        self.rows = [row for row in rows if row != GRADIENT_NORM]
        for row in self.rows:
            if isinstance(row, str) and row not in NAMES:
                raise ValueError(f"metrics: unknown metric {_check.shown(row)}; expected one of "
                                 f"{', '.join((*NAMES, GRADIENT_NORM))}")
        self.names = [row.name if isinstance(row, Metric) else row for row in self.rows]
        taken = [*COLUMNS, *(f"val_{name}" for name in self.names), "stop_reason", "best_epoch"]
        for k, name in enumerate(self.names):
            if name in self.names[:k] or name in taken or hasattr(History, name):
                raise ValueError(f"metrics: the name {name!r} is taken; rename it by bp.metrics.Metric(name, function)")
        self.threshold = 0.5
        if any(row in _CLASSES for row in self.rows if isinstance(row, str)):
            if class_indices(Y) is None and not (soft and Y.shape[1] > 1):
                raise ValueError("metrics: accuracy, precision, recall and f1 need class targets: one-hot rows of "
                                 "{0, 1} or {-1, 1}, or one such output")
            self.threshold = 0.0 if Y.min() < 0 else 0.5

    def direction(self, name):
        """"max", "min" or None (not known) for a column of the history."""
        name = name.removeprefix("val_")
        for row in self.rows:
            if isinstance(row, Metric) and row.name == name:
                return row.direction
        if name in NAMES:
            return {**_VALUES, **_CLASSES}[name][1]
        return "max" if name == "examples_per_second" else "min"

    def measure(self, Y, P, weight):
        """{name: value} for targets Y and outputs P, (n, n_L), and weights (n,) or None."""
        Y = Y.view()
        Y.flags.writeable = False                  # it may be the caller's own array
        classes = _Classes(Y, P, self.threshold)
        out = {}
        for name, row in zip(self.names, self.rows):
            if isinstance(row, Metric):
                with _check.calls(f"{name!r} of the metrics"):
                    value = row.function(Y, P)
            elif row in _CLASSES:
                value = _CLASSES[row][0](classes, weight)
            else:
                with np.errstate(over="ignore", invalid="ignore"):       # the value is None then
                    value = _VALUES[row][0](Y, P, weight)
            out[name] = _number(value, name)
        return out


def _of_user(function):
    if not callable(function):
        raise TypeError(f"metrics must be names, callables or bp.metrics.Metric, got {type(function).__name__}; "
                        f"names: {', '.join((*NAMES, GRADIENT_NORM))}")
    name = getattr(function, "__name__", type(function).__name__)
    return Metric("metric" if name == "<lambda>" else name, function)


def _number(value, name):
    """A finite float, or None for what is not defined (NaN or infinite)."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"metric {name!r} must return a number, got {type(value).__name__}") from None
    return value if np.isfinite(value) else None
