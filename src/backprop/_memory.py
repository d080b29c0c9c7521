"""Buffers that the kernels work on: 64-byte aligned, zeroed, owned by NumPy."""

import math

import numpy as np


def zeros(*shape):
    """A zeroed, C-contiguous float64 array whose first element is 64-byte aligned."""
    size = math.prod(shape)
    raw = np.zeros(size + 8)
    skip = -(raw.ctypes.data // 8) % 8
    return raw[skip:skip + size].reshape(shape)
