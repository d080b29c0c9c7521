"""Optimizers: names, hyper-parameters and their defaults, from the core's own table (kernels/optimizers.pxi).

``net.train(..., optimizer="adam")`` takes the defaults; an object sets them:
``optimizer=bp.optimizers.Adam(beta_1=0.8)``.
"""

import inspect

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
        self.hyper = {key: default if hyper.get(key) is None else _check.real(hyper[key], key,
                                                                              **_BOUNDS.get(key, {"above": 0.0}))
                      for key, default in row["hyper"].items()}
        self.n_slots, self.n_state, self.full_batch_only = row["n_slots"], row["n_state"], row["full_batch_only"]
        self.formula = row["formula"]

    @property
    def learning_rate(self):
        """η."""
        return self.hyper["learning_rate"]

    def numbers(self):
        """The core's numbers at the start: hyper-parameters in table order, then zeros for the running ones."""
        return np.array([*self.hyper.values(), *[0.0] * self.n_state])

    def __eq__(self, other):
        return isinstance(other, Optimizer) and (self.name, self.hyper) == (other.name, other.hyper)

    def __hash__(self):
        return hash((self.name, *self.hyper.values()))

    def __repr__(self):
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.hyper.items())})"


_MEANINGS = {
    "learning_rate": "η.", "momentum": "Share of the last step that goes on; at least 0, below 1.",
    "rho": "Memory of the mean of squares; at least 0, below 1.", "beta_1": "Memory of the mean; at least 0, below 1.",
    "beta_2": "Memory of the mean of squares; at least 0, below 1.", "eps": "Keeps the division finite.",
    "weight_decay": "Decoupled decay of weights and biases, apart from the penalty `l2`.",
    "shrink": "Factor of a step after a change of sign; above 0, below 1.",
    "grow": "Factor of a step after an agreement of signs; above 1.",
    "step_min": "Smallest step.", "step_max": "Largest step.",
}


def _named(class_name, name, source):
    """A constructor for one row of the table, whose signature and docstring come from the row."""
    row = TABLE[NAMES.index(name)]

    def make(learning_rate=None, **hyper):
        return Optimizer(name, learning_rate=learning_rate, **hyper)

    make.__name__ = make.__qualname__ = class_name
    make.__signature__ = inspect.Signature([
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY if k else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          default=default)
        for k, (key, default) in enumerate(row["hyper"].items())])
    parameters = "".join(f"{key} : float, default {default:g}\n    {_MEANINGS[key]}\n"
                         for key, default in row["hyper"].items())
    make.__doc__ = (f"{row['formula']}\n\n{source}\n\nParameters\n----------\n{parameters}\n"
                    "Returns\n-------\nOptimizer\n")
    return make


SGD = _named("SGD", "sgd", "Gradient descent, the lecture's rule; torch.optim.SGD.")
Momentum = _named("Momentum", "momentum",
                  "Polyak 1964, in the form of torch.optim.SGD(momentum=...): the velocity holds "
                  "gradients, so that a new learning rate acts at once.")
Nesterov = _named("Nesterov", "nesterov", "Nesterov 1983, in the form of torch.optim.SGD(momentum=..., nesterov=True).")
AdaGrad = _named("AdaGrad", "adagrad", "Duchi, Hazan and Singer 2011; torch.optim.Adagrad.")
RMSprop = _named("RMSprop", "rmsprop", "Hinton 2012; torch.optim.RMSprop, whose alpha is rho.")
Adam = _named("Adam", "adam", "Kingma and Ba 2015; torch.optim.Adam, whose betas are (beta_1, beta_2).")
AdamW = _named("AdamW", "adamw", "Loshchilov and Hutter 2019; torch.optim.AdamW.")
Rprop = _named("Rprop", "rprop",
               "iRprop- of Igel and Hüsken 2000; torch.optim.Rprop, whose etas are (shrink, grow). Full batch "
               "only. The learning rate is each weight's first step, so that a schedule does nothing after it.")


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
