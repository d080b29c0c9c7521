"""Optimizers: names, hyper-parameters and their defaults, from the core's own table (kernels/optimizers.pxi).

``net.train(..., optimizer="adam")`` takes the defaults; an object sets them: ``optimizer=bp.optimizers.Adam(beta_1=0.8)``.
"""

import numpy as np

from backprop import _check
from backprop._dispatch import core

TABLE = core.optimizers()
NAMES = tuple(row["name"] for row in TABLE)
_BOUNDS = {                       # what each hyper-parameter may be; the learning rate and steps are positive
    "momentum": {"minimum": 0.0, "below": 1.0}, "rho": {"minimum": 0.0, "below": 1.0},
    "beta_1": {"minimum": 0.0, "below": 1.0}, "beta_2": {"minimum": 0.0, "below": 1.0},
    "weight_decay": {"minimum": 0.0}, "shrink": {"above": 0.0, "below": 1.0}, "grow": {"above": 1.0},
}


class Optimizer:
    """A rule of descent with its hyper-parameters.

    Parameters
    ----------
    name : str
        One of `backprop.optimizers.NAMES`.
    **hyper : float
        The rule's hyper-parameters; what is not given takes the table's default.

    Examples
    --------
    >>> from backprop.optimizers import Optimizer
    >>> Optimizer("momentum", learning_rate=0.05)
    momentum(learning_rate=0.05, momentum=0.9)
    """

    def __init__(self, name, **hyper):
        self.name = _check.choice(name, "optimizer", NAMES)
        self.number = NAMES.index(name)
        row = TABLE[self.number]
        unknown = [key for key in hyper if key not in row["hyper"]]
        if unknown:
            raise TypeError(f"optimizer {name!r} has no parameter {unknown[0]!r}; it has {', '.join(row['hyper'])}")
        self.hyper = {key: default if hyper.get(key) is None else _check.real(hyper[key], key, **_BOUNDS.get(key, {"above": 0.0}))
                      for key, default in row["hyper"].items()}
        self.n_slots, self.n_state, self.full_batch_only = row["n_slots"], row["n_state"], row["full_batch_only"]
        self.formula = row["formula"]

    @property
    def learning_rate(self):
        """η."""
        return self.hyper["learning_rate"]

    def numbers(self):
        """The core's vector of numbers at the start: hyper-parameters in table order, then zeros for the running ones."""
        return np.array([*self.hyper.values(), *[0.0] * self.n_state])

    def __eq__(self, other):
        return isinstance(other, Optimizer) and (self.name, self.hyper) == (other.name, other.hyper)

    def __hash__(self):
        return hash((self.name, *self.hyper.values()))

    def __repr__(self):
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.hyper.items())})"


def _named(class_name, name):
    """A constructor for one row of the table, with the row's defaults in its docstring."""
    row = TABLE[NAMES.index(name)]

    def make(**hyper):
        return Optimizer(name, **hyper)

    make.__name__ = make.__qualname__ = class_name
    make.__doc__ = (f"{row['formula']}\n\nParameters (keywords) and defaults: "
                    f"{', '.join(f'{key}={value:g}' for key, value in row['hyper'].items())}.")
    return make


SGD = _named("SGD", "sgd")
Momentum = _named("Momentum", "momentum")
Nesterov = _named("Nesterov", "nesterov")
AdaGrad = _named("AdaGrad", "adagrad")
RMSprop = _named("RMSprop", "rmsprop")
Adam = _named("Adam", "adam")
AdamW = _named("AdamW", "adamw")
Rprop = _named("Rprop", "rprop")


def resolve(optimizer, learning_rate=None):
    """An `Optimizer` from a name or an object; `learning_rate`, where given, replaces its own."""
    if isinstance(optimizer, str):
        return Optimizer(optimizer, learning_rate=learning_rate)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be a name or an object of bp.optimizers, got {type(optimizer).__name__}; "
                        f"names: {', '.join(NAMES)}")
    if learning_rate is None:
        return optimizer
    return Optimizer(optimizer.name, **{**optimizer.hyper, "learning_rate": learning_rate})
