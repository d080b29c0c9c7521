"""Optimizers: names, hyper-parameters and their defaults, from the core's own table (kernels/optimizers.pxi).

``net.train(..., optimizer="adam")`` takes the defaults; an object sets them:
``optimizer=bp.optimizers.Adam(beta_1=0.8)``. `NAMES` are the rules of the core's table, `RULES`, and the solvers of
the whole batch, `SOLVERS` (backprop.solvers), which choose their steps themselves and have no learning rate.
"""

from __future__ import annotations

import inspect

import numpy as np

from backprop import _check
from backprop._dispatch import core

_SOLVERS = [
    {"name": "lbfgs", "n_slots": 0, "n_state": 0, "full_batch_only": True,
     "hyper": {"memory": 10, "gradient_tol": 1e-5, "loss_tol": 1e7 * np.finfo(np.float64).eps.item(),
               "max_line_search": 20, "max_evaluations": 2**31 - 1},
     "formula": "w += alpha d, d = -(an estimate of the inverse Hessian from the last steps) g, alpha by line search"},
    {"name": "levenberg_marquardt", "n_slots": 0, "n_state": 2, "full_batch_only": True,
     "hyper": {"damping": 1e-3, "gradient_tol": 1e-10, "step_tol": 1e-10},
     "formula": "w += h, (J'J + mu I) h = -g, with J the Jacobian of the residuals; mu follows the gain of each step"},
]
TABLE = [*core.optimizers(), *_SOLVERS]
NAMES = tuple(row["name"] for row in TABLE)
SOLVERS = tuple(row["name"] for row in _SOLVERS)
RULES = tuple(name for name in NAMES if name not in SOLVERS)
_BOUNDS = {                       # what each hyper-parameter may be; the learning rate and steps are positive
    "momentum": {"minimum": 0.0, "below": 1.0}, "rho": {"minimum": 0.0, "below": 1.0},
    "beta_1": {"minimum": 0.0, "below": 1.0}, "beta_2": {"minimum": 0.0, "below": 1.0},
    "weight_decay": {"minimum": 0.0}, "shrink": {"above": 0.0, "below": 1.0}, "grow": {"above": 1.0},
    "gradient_tol": {"minimum": 0.0}, "loss_tol": {"minimum": 0.0},
}
_WHOLE = {"memory", "max_line_search", "max_evaluations"}      # hyper-parameters that are counts, at least 1


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

    def __init__(self, name: str, **hyper: float) -> None:
        self.name = _check.choice(name, "optimizer", NAMES)
        self.number = NAMES.index(name)
        row = TABLE[self.number]
        unknown = [key for key in hyper if key not in row["hyper"]]
        if unknown:
            raise TypeError(f"optimizer {name!r} has no parameter {unknown[0]!r}; it has {', '.join(row['hyper'])}")
        self.hyper = {key: default if hyper.get(key) is None else _number(key, hyper[key])
                      for key, default in row["hyper"].items()}
        self.solver = name in SOLVERS
        self.n_slots, self.n_state, self.full_batch_only = row["n_slots"], row["n_state"], row["full_batch_only"]
        self.formula = row["formula"]
        self._numbers = np.array([*self.hyper.values(), *[0.0] * self.n_state])

    @property
    def learning_rate(self) -> float | None:
        """η; None for a solver."""
        return self.hyper.get("learning_rate")

    def numbers(self) -> np.ndarray:
        """The core's numbers at the start: hyper-parameters in table order, then zeros for the running ones."""
        return self._numbers.copy()

    def __eq__(self, other):
        return isinstance(other, Optimizer) and (self.name, self.hyper) == (other.name, other.hyper)

    def __hash__(self):
        return hash((self.name, *self.hyper.values()))

    def __repr__(self):
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.hyper.items())})"


def _number(key, value):
    """A hyper-parameter within its bounds."""
    if key in _WHOLE:
        return _check.integer(value, key, minimum=1)
    return _check.real(value, key, **_BOUNDS.get(key, {"above": 0.0}))


_MEANINGS = {
    "learning_rate": "η.", "momentum": "Share of the last step that goes on; at least 0, below 1.",
    "rho": "Memory of the mean of squares; at least 0, below 1.", "beta_1": "Memory of the mean; at least 0, below 1.",
    "beta_2": "Memory of the mean of squares; at least 0, below 1.", "eps": "Keeps the division finite.",
    "weight_decay": "Decoupled decay of weights and biases, apart from the penalty `l2`.",
    "shrink": "Factor of a step after a change of sign; above 0, below 1.",
    "grow": "Factor of a step after an agreement of signs; above 1.",
    "step_min": "Smallest step.", "step_max": "Largest step.",
    "memory": "Steps that the estimate of the Hessian is made of.",
    "gradient_tol": "Converged where no partial derivative of the objective is larger in size.",
    "loss_tol": "Converged where a step lowers the objective by no more than this, relative to it (or to 1).",
    "max_line_search": "Evaluations of the objective in one iteration at most.",
    "max_evaluations": "Evaluations of the objective in one call at most; it then ends as by `max_updates`.",
    "damping": "μ at the start, relative to the largest diagonal element of the Gauss-Newton matrix.",
    "step_tol": "Converged where a step is no longer than this, relative to the parameters.",
}


def _named(class_name, name, source):
    """A constructor for one row of the table, whose signature and docstring come from the row."""
    row = TABLE[NAMES.index(name)]
    first_key = next(iter(row["hyper"]))

    def make(first=None, /, **hyper):
        return Optimizer(name, **hyper) if first is None else Optimizer(name, **{first_key: first}, **hyper)

    make.__name__ = make.__qualname__ = class_name
    make.__signature__ = inspect.Signature([
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY if k else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          default=default)
        for k, (key, default) in enumerate(row["hyper"].items())])
    parameters = "".join(f"{key} : {'int' if key in _WHOLE else 'float'}, default {default:g}\n    {_MEANINGS[key]}\n"
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
AdamEpsHat = _named("AdamEpsHat", "adam_eps_hat",
                    "Adam with the other place for ε: Kingma's and Ba's ε̂, at the end of their section 2, beside the "
                    "uncorrected root. scikit-learn's solver \"adam\" and TensorFlow's.")
AdamW = _named("AdamW", "adamw", "Loshchilov and Hutter 2019; torch.optim.AdamW.")
Rprop = _named("Rprop", "rprop",
               "iRprop- of Igel and Hüsken 2000; torch.optim.Rprop, whose etas are (shrink, grow). Full batch "
               "only. The learning rate is each weight's first step, so that a schedule does nothing after it.")
LBFGS = _named("LBFGS", "lbfgs",
               "Liu and Nocedal 1989, as SciPy's L-BFGS-B without bounds (the extra `scipy`), with gradients from the "
               "core. Full batch only. See docs/solvers.md.")
LevenbergMarquardt = _named("LevenbergMarquardt", "levenberg_marquardt",
                            "Levenberg 1944, Marquardt 1963; for networks Hagan and Menhaj 1994; the rule for μ is "
                            "Nielsen's of 1999. Full batch and squared errors only, for up to some thousands of "
                            "parameters. See docs/solvers.md.")


def resolve(optimizer: str | Optimizer, learning_rate: float | None = None) -> Optimizer:
    """An `Optimizer` from a name or an object; `learning_rate`, where given, replaces its own."""
    if isinstance(optimizer, str):
        optimizer = Optimizer(optimizer)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be a name or an object of bp.optimizers, got {type(optimizer).__name__}; "
                        f"names: {', '.join(NAMES)}")
    if learning_rate is None:
        return optimizer
    if optimizer.solver:
        raise ValueError(f"learning_rate does not go with optimizer={optimizer.name!r}: a solver chooses the length of "
                         "its steps itself")
    return Optimizer(optimizer.name, **{**optimizer.hyper, "learning_rate": learning_rate})
