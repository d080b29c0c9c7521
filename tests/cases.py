"""What the tests of the network share: every valid combination, data that fits it, and what "agree" means."""

import re

import numpy as np

HIDDEN = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "exp")
PAIRS = (        # (output activation, loss): every pair that a network accepts
    *((output, loss) for output in (*HIDDEN, "softmax")
      for loss in ("squared_error", "half_squared_error", "absolute_error", "huber")),
    ("softmax", "log_loss"), ("sigmoid", "log_loss"), ("exp", "poisson"), ("identity", "hinge"), ("tanh", "hinge"),
)


def name(value):
    """A test's name for a parameter: the same in every process, which `str` of a function is not."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def targets(rng, output, loss, n, width):
    """(n, width) targets from the domain of `loss`."""
    if loss == "hinge":
        return rng.choice([-1.0, 1.0], size=(n, width))
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, width)).astype(float)
    hard = rng.random((n, 1)) < 0.5
    if output == "softmax":
        distributions = rng.dirichlet(np.ones(width), size=n)
        if loss != "log_loss":
            return np.where(hard, rng.normal(size=(n, width)), distributions)
        return np.where(hard, np.eye(width)[rng.integers(width, size=n)], distributions)
    if loss != "log_loss":
        return rng.normal(size=(n, width))
    soft = rng.random((n, width))
    return np.where(hard, np.round(soft), soft)


def parameters(rng, sizes, bias=True, scale=0.6):
    """Weights and biases for `sizes` that keep activations away from overflow and saturation, and most relus alive."""
    weights = [rng.normal(0.0, scale / np.sqrt(m), size=(m, n)) for m, n in zip(sizes, sizes[1:])]
    return weights, [rng.normal(0.3, 0.3, size=n) if bias else None for n in sizes[1:]]


def flat(weights, biases):
    """W[1], b[1], W[2], ... as one vector."""
    return np.concatenate([np.ravel(p) for pair in zip(weights, biases) for p in pair if p is not None])


def error(actual, expected):
    """max |actual - expected| relative to the largest magnitude of `expected` (absolute where that is all zero)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    scale = np.abs(expected).max(initial=0.0)
    return np.abs(actual - expected).max(initial=0.0) / (scale or 1.0)
