"""Schedules of the learning rate over the epochs, one row per schedule.

``net.train(..., schedule="step")`` takes the defaults, ``schedule=bp.schedules.step(every=30)`` sets them, and any
function f(epoch, learning_rate) -> learning rate serves as well. `epoch` counts over the network's life, from 0, so
that a training in two calls has the rates of one; `learning_rate` is the optimizer's own, the same every epoch: a rate
that shrinks by 5 % an epoch is ``lambda epoch, learning_rate: learning_rate * 0.95**epoch``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from backprop import _check, stopping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Schedule:
    """What the schedules have in common: a rate for each epoch, and a state if they need one.

    The objects are descriptions and never change. What a schedule remembers is a dict of plain numbers that belongs to
    the network, is saved with it, and goes on where the next call brings an equal schedule.
    """

    def new_state(self) -> dict[str, Any]:
        """A new state: {} for a schedule that depends on the epoch alone."""
        return {}

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        """The learning rate of an epoch.

        Parameters
        ----------
        epoch : int
            From 0, over the network's life.
        learning_rate : float
            The optimizer's.
        last : int
            The network's epoch count at the end of this call of `train`.
        state : dict
        """
        raise NotImplementedError   # pragma: no cover - each schedule has its own

    def plateau(self) -> reduce_on_plateau | None:
        """The `reduce_on_plateau` within, or None."""
        return None

    def check_state(self, state: dict[str, Any]) -> None:
        """Refuse, with ValueError or TypeError, a dict that is not a state of this schedule."""
        if state != self.new_state():
            raise ValueError(f"{self!r} has the state {self.new_state()}, got {state!r}")

    def to_dict(self) -> dict[str, Any] | None:
        """Name and parameters, as JSON takes them; None for a function, which cannot be written down."""
        return {"name": type(self).__name__, **stopping.plain(self)}


@dataclass(frozen=True)
class constant(Schedule):
    """η in every epoch."""

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return learning_rate

    def to_dict(self) -> dict[str, Any] | None:
        return {"name": "constant"}


@dataclass(frozen=True)
class step(Schedule):
    """η · factor^⌊epoch / every⌋.

    Parameters
    ----------
    every : int, default 10
        Epochs between steps.
    factor : float, default 0.5
    """

    every: int = 10
    factor: float = 0.5

    def __post_init__(self):
        _check.integer(self.every, "every", minimum=1)
        _check.real(self.factor, "factor", above=0.0)

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return learning_rate * self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class exponential(Schedule):
    """η · factor^epoch.

    Parameters
    ----------
    factor : float, default 0.95
    """

    factor: float = 0.95

    def __post_init__(self):
        _check.real(self.factor, "factor", above=0.0)

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return learning_rate * self.factor**epoch


@dataclass(frozen=True)
class cosine(Schedule):
    """Half a cosine from η down to `minimum`: minimum + (η - minimum) (1 + cos(π epoch / epochs)) / 2 (Loshchilov and
    Hutter 2017), and `minimum` ever after.

    Parameters
    ----------
    epochs : int, optional
        Its length, from the network's first epoch. By default it ends with the call of `train`, so that a training of
        40 epochs that was broken off after 17 goes on with the same rates in a call of 23; for two calls planned as
        such, give ``epochs=40`` to both.
    minimum : float, default 0.0
    """

    epochs: int | None = None
    minimum: float = 0.0

    def __post_init__(self):
        if self.epochs is not None:
            _check.integer(self.epochs, "epochs", minimum=1)
        _check.real(self.minimum, "minimum", minimum=0.0)

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        part = min(1.0, epoch / (self.epochs or last))
        return self.minimum + (learning_rate - self.minimum) * (1.0 + math.cos(math.pi * part)) / 2.0


@dataclass(frozen=True)
class inverse_scaling(Schedule):
    """η / (1 + epoch)^power.

    Parameters
    ----------
    power : float, default 0.5
    """

    power: float = 0.5

    def __post_init__(self):
        _check.real(self.power, "power", minimum=0.0)

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return learning_rate / (1.0 + epoch) ** self.power


@dataclass(frozen=True)
class reduce_on_plateau(Schedule):
    """η, multiplied by `factor` whenever the monitored value has not improved for `patience` epochs.

    Parameters
    ----------
    factor : float, default 0.5
        Above 0, below 1.
    patience : int, default 5
        Epochs without an improvement by more than `min_delta`.
    min_delta : float, default 0.0
    monitor : str, default "auto"
        A measured column of the history; "auto" is "val_loss" where there is validation, else "loss".
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.
    minimum : float, default 0.0
        The rate goes no lower.
    """

    factor: float = 0.5
    patience: int = 5
    min_delta: float = 0.0
    monitor: str = "auto"
    mode: str = "auto"
    minimum: float = 0.0

    def __post_init__(self):
        _check.real(self.factor, "factor", above=0.0, below=1.0)
        _check.integer(self.patience, "patience", minimum=1)
        _check.real(self.min_delta, "min_delta", minimum=0.0)
        _check.real(self.minimum, "minimum", minimum=0.0)
        stopping.check_monitor(self.monitor, self.mode)

    def new_state(self) -> dict[str, Any]:
        return {"scale": 1.0, "best": None, "waited": 0}

    def check_state(self, state: dict[str, Any]) -> None:
        if set(state) != set(self.new_state()):
            raise ValueError(f"the state of reduce_on_plateau has {', '.join(self.new_state())}, got {state!r}")
        _check.real(state["scale"], "scale", minimum=0.0, maximum=1.0)
        _check.integer(state["waited"], "waited", minimum=0)
        if state["best"] is not None:
            _check.real(state["best"], "best")

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return max(learning_rate * state["scale"], min(self.minimum, learning_rate))

    def plateau(self) -> reduce_on_plateau | None:
        return self

    def observe(self, value: float, state: dict[str, Any]) -> None:
        """Take the monitored value of an epoch (smaller is better; None: not measured) into the state."""
        if value is not None and (state["best"] is None or value < state["best"] - self.min_delta):
            state["best"], state["waited"] = value, 0
            return
        state["waited"] += 1
        if state["waited"] >= self.patience:
            state["scale"], state["waited"] = state["scale"] * self.factor, 0


@dataclass(frozen=True)
class warm_up(Schedule):
    """Another schedule, whose first `epochs` epochs are scaled by start + (1 - start) epoch / epochs.

    Parameters
    ----------
    epochs : int, default 5
    then : Schedule, str or function, default "constant"
        The schedule that is scaled; it counts its epochs from the first, too.
    start : float, default 0.1
        Share of the rate in the first epoch, from 0 to 1.

    Examples
    --------
    >>> import backprop as bp
    >>> schedule = bp.schedules.warm_up(epochs=4, then=bp.schedules.step(every=4), start=0.2)
    >>> [round(schedule.rate(epoch, 1.0, 10, {}), 3) for epoch in range(10)]
    [0.2, 0.4, 0.6, 0.8, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    """

    epochs: int = 5
    then: Schedule = field(default_factory=constant)
    start: float = 0.1

    def __post_init__(self):
        _check.integer(self.epochs, "epochs", minimum=1)
        _check.real(self.start, "start", minimum=0.0, maximum=1.0)
        object.__setattr__(self, "then", resolve(self.then, "then"))

    def new_state(self) -> dict[str, Any]:
        return self.then.new_state()

    def check_state(self, state: dict[str, Any]) -> None:
        self.then.check_state(state)

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        share = 1.0 if epoch >= self.epochs else self.start + (1.0 - self.start) * epoch / self.epochs
        return share * self.then.rate(epoch, learning_rate, last, state)

    def plateau(self) -> reduce_on_plateau | None:
        return self.then.plateau()

    def to_dict(self) -> dict[str, Any] | None:
        then = self.then.to_dict()
        return None if then is None else {**super().to_dict(), "then": then}       # type: ignore[dict-item]


@dataclass(frozen=True)
class function(Schedule):
    """A user's f(epoch, learning_rate).

    Parameters
    ----------
    of_epoch : callable
    """

    of_epoch: Callable

    def __post_init__(self):
        if not callable(self.of_epoch):
            raise TypeError(f"of_epoch must be a function of (epoch, learning_rate), got {_check.shown(self.of_epoch)}")

    def rate(self, epoch: int, learning_rate: float, last: int, state: dict[str, Any]) -> float:
        return self.of_epoch(epoch, learning_rate)

    def to_dict(self) -> dict[str, Any] | None:
        return None


TABLE = {row.__name__: row for row in (constant, step, exponential, cosine, inverse_scaling, reduce_on_plateau,
                                       warm_up)}
NAMES = tuple(TABLE)


def resolve(schedule: str | Schedule | Callable | None, argument: str = "schedule") -> Schedule:
    """A `Schedule` from a name, an object or a function; None is the constant one."""
    if schedule is None:
        return constant()
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, str):
        return TABLE[_check.choice(schedule, argument, NAMES)]()
    if not callable(schedule) or isinstance(schedule, type):
        raise TypeError(f"{argument} must be a name, an object of bp.schedules or a function of (epoch, "
                        f"learning_rate), got {_check.shown(schedule)}; names: {', '.join(NAMES)}")
    return function(schedule)


def from_dict(values: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_dict` described; ValueError or TypeError for what describes none."""
    values = dict(values)
    row = TABLE[_check.choice(values.pop("name", None), "schedule", NAMES)]
    if set(values) != {each.name for each in fields(row)}:
        raise ValueError(f"schedule {row.__name__!r} has the parameters "
                         f"{', '.join(each.name for each in fields(row)) or 'none'}, got {', '.join(values) or 'none'}")
    if "then" in values:
        values["then"] = from_dict(values["then"])
    return row(**values)
