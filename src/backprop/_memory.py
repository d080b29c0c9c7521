"""Buffers that the kernels work on: 64-byte aligned, zeroed, owned by NumPy."""

import numpy as np


def zeros(*shape):
    """A zeroed, C-contiguous float64 array whose first element is 64-byte aligned."""
    size = int(np.prod(shape, dtype=np.int64))
    raw = np.zeros(size + 8)
    skip = -(raw.ctypes.data // 8) % 8
    return raw[skip:skip + size].reshape(shape)
