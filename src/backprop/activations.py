"""The activation functions: names and formulas, from the core's own table (kernels/activations.pxi)."""

from backprop import _check
from backprop._dispatch import core

TABLE = core.activations()
NAMES = tuple(row["name"] for row in TABLE)
HIDDEN = tuple(row["name"] for row in TABLE if not row["rowwise"])


def number(name):
    """The core's number of an activation."""
    return NAMES.index(name)


def initializer(name):
    """The initial weights that suit an activation: the name that ``init="auto"`` stands for."""
    return TABLE[number(name)]["init"]


def hidden(value, n_hidden):
    """Activations of the hidden layers from one name or one name per hidden layer.

    `softmax` mixes the units of a layer and is for the output only; `step` has no derivative to descend on and belongs
    to the perceptron.
    """
    names = [value] * n_hidden if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise TypeError(f"hidden must be a name or one name per hidden layer, got {type(value).__name__}")
    if len(names) != n_hidden:
        raise ValueError(f"hidden has {len(names)} names, expected {n_hidden} (one per hidden layer)")
    return [_one(name, "hidden", HIDDEN) for name in names] if n_hidden else _checked_alone(value)


def _checked_alone(value):
    """A network without hidden layers still refuses a wrong `hidden`."""
    if isinstance(value, str):
        _one(value, "hidden", HIDDEN)
    return []


def output(value):
    """The output activation's name, checked."""
    return _one(value, "output", NAMES)


def _one(name, argument, names):
    if not isinstance(name, str):
        return _check.choice(name, argument, names)
    if name == "step":
        raise ValueError(f"{argument}='step' has derivative 0 everywhere and cannot be trained by backpropagation; "
                         f"bp.Perceptron has the step unit. Expected one of {', '.join(names)}")
    if name == "softmax" and argument == "hidden":
        raise ValueError(f"softmax is for the output layer only; hidden must be one of {', '.join(names)}")
    return _check.choice(name, argument, names)
