"""Buffers that the kernels work on: 64-byte aligned, zeroed, owned by NumPy."""

import math

import numpy as np

from backprop._dispatch import core


def zeros(*shape):
    """A zeroed, C-contiguous float64 array whose first element is 64-byte aligned."""
    return each(math.prod(shape))[0].reshape(shape)


def each(*sizes):
    """Zeroed float64 vectors of these sizes, each 64-byte aligned, from one allocation."""
    raw = np.zeros(sum(sizes) + 8 * len(sizes))
    start, parts = core.misalignment(raw), []
    for size in sizes:
        parts.append(raw[start:start + size])
        start += (size + 7) & ~7
    return parts
