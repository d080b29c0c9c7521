"""Early stopping: what is watched, when it is given up, and the best parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass

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
        A measured column of the history: "loss", "val_loss", "gradient_norm", a metric or ``val_`` and its name.
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


def plain(settings):
    """The fields of a dataclass of settings in kinds that JSON has; NumPy's numbers become Python's."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in asdict(settings).items()}


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


@dataclass
class StoppingState:
    """What early stopping remembers while a call of training runs. It is saved with the network, so that a training
    that was killed goes on from its checkpoint with the patience and the best epoch that it had.

    Attributes
    ----------
    rule : EarlyStopping
    sign : float
        1.0 where smaller is better, -1.0 where larger is; `value` and `reference` are multiplied by it.
    kept : list of ndarray
        Parameters, slots and numbers of the best epoch; zeros before there is one.
    value, epoch : float, int or None
        The best epoch.
    reference : float or None
        The value that `waited`, the epochs without an improvement, counts from.
    waited : int
    """

    rule: EarlyStopping
    sign: float
    kept: list
    value: float | None = None
    epoch: int | None = None
    reference: float | None = None
    waited: int = 0


class Best:
    """The best epoch so far, with copies of the arrays that make it, and the patience left.

    Parameters
    ----------
    rule : EarlyStopping
    watched : Monitor
    arrays : list of ndarray
        What is to come back: the network's parameters and the optimizer's state.
    state : StoppingState, optional
        Of the same training, broken off: it goes on where the rule is equal.
    """

    def __init__(self, rule, watched, arrays, state=None):
        self.watched, self.arrays, self.state = watched, arrays, state
        if state is None or (state.rule, state.sign) != (rule, watched.sign):
            self.state = StoppingState(rule, watched.sign, [np.zeros_like(array) for array in arrays])

    @property
    def epoch(self):
        return self.state.epoch

    def given_up(self):
        """Whether the patience is over."""
        return self.state.waited >= self.state.rule.patience

    def look(self, values, epoch):
        """Take an epoch's values; returns whether the patience is over."""
        state, value = self.state, self.watched.read(values)
        if value is not None and (state.value is None or value < state.value):
            for kept, array in zip(state.kept, self.arrays):
                np.copyto(kept, array)
            state.value, state.epoch = value, epoch
        if value is not None and (state.reference is None or value < state.reference - state.rule.min_delta):
            state.reference, state.waited = value, 0
        else:
            state.waited += 1
        return self.given_up()

    def restore(self):
        """Bring the best epoch back, where there is one."""
        if self.epoch is not None:
            for kept, array in zip(self.state.kept, self.arrays):
                np.copyto(array, kept)
