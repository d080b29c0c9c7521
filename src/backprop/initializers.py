"""Initial weights: one function per row of TABLE, (n_in, n_out, generator) -> (n_in, n_out).

Biases start at 0. ``init="auto"`` takes for every layer the one that suits its activation.

References
----------
Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks; He et al. (2015),
Delving deep into rectifiers; LeCun et al. (1998), Efficient BackProp. The small random values are the lecture's.
"""

import numpy as np

from backprop import _check, activations


def _uniform(limit):
    return lambda n_in, n_out, rng: rng.uniform(-limit(n_in, n_out), limit(n_in, n_out), (n_in, n_out))


def _normal(deviation):
    return lambda n_in, n_out, rng: rng.normal(0.0, deviation(n_in, n_out), (n_in, n_out))


TABLE = {
    "small_uniform": _uniform(lambda n_in, n_out: 0.5),
    "small_normal": _normal(lambda n_in, n_out: 0.1),
    "glorot_uniform": _uniform(lambda n_in, n_out: np.sqrt(6 / (n_in + n_out))),
    "glorot_normal": _normal(lambda n_in, n_out: np.sqrt(2 / (n_in + n_out))),
    "he_uniform": _uniform(lambda n_in, n_out: np.sqrt(6 / n_in)),
    "he_normal": _normal(lambda n_in, n_out: np.sqrt(2 / n_in)),
    "lecun_uniform": _uniform(lambda n_in, n_out: np.sqrt(3 / n_in)),
    "lecun_normal": _normal(lambda n_in, n_out: np.sqrt(1 / n_in)),
    "zeros": lambda n_in, n_out, rng: np.zeros((n_in, n_out)),
}
NAMES = ("auto", *TABLE)


def check(init, sizes, bias):
    """`init` as a name, or as (weights, biases) lists of checked arrays; raises where shapes do not fit."""
    if isinstance(init, str):
        return _check.choice(init, "init", NAMES)
    if not isinstance(init, (tuple, list)) or len(init) != 2:
        raise TypeError(f"init must be a name or a pair (weights, biases), got {type(init).__name__}; "
                        f"names: {', '.join(NAMES)}")
    L = len(sizes) - 1
    weights, biases = init
    if biases is None:
        biases = [None] * L
    for values, word in ((weights, "weights"), (biases, "biases")):
        if not isinstance(values, (list, tuple)) or len(values) != L:
            raise ValueError(f"init {word} must be a list of {L} arrays, one per layer")
    checked_w, checked_b = [], []
    for l, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        W = _check.array(weights[l], f"init weights[{l}]", 2)
        if W.shape != (n_in, n_out):
            raise ValueError(f"init weights[{l}] has shape {W.shape}, expected {(n_in, n_out)}")
        if biases[l] is None:
            b = np.zeros(n_out)
        elif not bias:
            raise ValueError(f"init biases[{l}] is given for a network without bias; use None")
        else:
            b = _check.vector(biases[l], f"init biases[{l}]", length=n_out)
        checked_w.append(W)
        checked_b.append(b)
    return checked_w, checked_b


def draw(init, sizes, names, generator):
    """(weights, biases) of a network whose layers have the activations `names`, from a checked `init`."""
    if not isinstance(init, str):
        return init
    rules = [activations.initializer(name) if init == "auto" else init for name in names]
    weights = [TABLE[rule](n_in, n_out, generator) for rule, n_in, n_out in zip(rules, sizes, sizes[1:])]
    return weights, [np.zeros(n_out) for n_out in sizes[1:]]
