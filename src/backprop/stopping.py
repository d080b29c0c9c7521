"""Early stopping: what is watched, when it is given up, and the best parameters."""

from dataclasses import dataclass

import numpy as np

from backprop import _check

MODES = ("auto", "min", "max")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a watched value has not improved for some epochs; the best parameters come back however training ends.

    With the parameters the optimizer's state of that epoch comes back, so that a further call goes on from there; epoch
    count and generator stay where they are.

    Parameters
    ----------
    patience : int, default 10
        Epochs without an improvement by more than `min_delta` after which training stops.
    min_delta : float, default 0.0
        What counts as an improvement for `patience`. The best parameters are those of the best value, however narrow.
    monitor : str, default "val_loss"
        A column of the history that is measured: "loss", "val_loss", "gradient_norm", a metric or "val_" and its name.
    mode : {"auto", "min", "max"}
        Which is better; "auto" knows it for all but a user's own metrics.

    Examples
    --------
    >>> import backprop as bp
    >>> bp.EarlyStopping(patience=5, monitor="val_accuracy")
    EarlyStopping(patience=5, min_delta=0.0, monitor='val_accuracy', mode='auto')
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str = "val_loss"
    mode: str = "auto"

    def __post_init__(self):
        _check.integer(self.patience, "patience", minimum=1)
        _check.real(self.min_delta, "min_delta", minimum=0.0)
        check_monitor(self.monitor, self.mode)


def resolve(early_stopping):
    """An `EarlyStopping` from a patience or an object; None stays None."""
    if early_stopping is None or isinstance(early_stopping, EarlyStopping):
        return early_stopping
    return EarlyStopping(_check.integer(early_stopping, "early_stopping", minimum=1))


def check_monitor(monitor, mode):
    """Refuse a monitor that is no name and a mode that is none of `MODES`."""
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be the name of a column of the history, got {type(monitor).__name__}")
    _check.choice(mode, "mode", MODES)


@dataclass(frozen=True)
class Monitor:
    """A watched column; `read` turns it so that smaller is better."""

    name: str
    sign: float

    def read(self, values):
        """The column's value among `values`, smaller being better; None where it was not measured."""
        value = values.get(self.name)
        return None if value is None else self.sign * value


def monitor(name, mode, measured, metrics, argument):
    """The `Monitor` of a column, one of those `measured` in this call.

    Parameters
    ----------
    name, mode : str
        As in `EarlyStopping`.
    measured : list of str
        Columns with values.
    metrics : backprop.metrics.Metrics
        Knows the directions.
    argument : str
        The argument of `train` to name in an error.
    """
    if name not in measured:
        hint = "; give validation=..." if name.startswith("val_") else ""
        raise ValueError(f"{argument} monitors {name!r}, which is not measured in this call{hint}; "
                         f"measured are {', '.join(measured)}")
    direction = metrics.direction(name) if mode == "auto" else mode
    if direction is None:
        raise ValueError(f"{argument} monitors the metric {name!r}: say mode='min' or mode='max', or give it a "
                         "direction by bp.metrics.Metric")
    return Monitor(name, 1.0 if direction == "min" else -1.0)


class Best:
    """The best epoch so far, with copies of the arrays that make it, and the patience left.

    Parameters
    ----------
    rule : EarlyStopping
    watched : Monitor
    arrays : list of ndarray
        What is to come back: the network's parameters and the optimizer's state.
    """

    def __init__(self, rule, watched, arrays):
        self.rule, self.watched, self.arrays = rule, watched, arrays
        self.kept = [np.empty_like(array) for array in arrays]
        self.value, self.epoch = None, None
        self.reference, self.waited = None, 0        # the value that `patience` counts from

    def look(self, values, epoch):
        """Take an epoch's values; returns whether the patience is over."""
        value = self.watched.read(values)
        if value is not None and (self.value is None or value < self.value):
            for kept, array in zip(self.kept, self.arrays):
                np.copyto(kept, array)
            self.value, self.epoch = value, epoch
        if value is not None and (self.reference is None or value < self.reference - self.rule.min_delta):
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.rule.patience

    def restore(self):
        """Bring the best epoch back, where there is one."""
        if self.epoch is not None:
            for kept, array in zip(self.kept, self.arrays):
                np.copyto(array, kept)
