"""Random orders of visits."""

import numpy as np

from backprop._dispatch import core

RAW = "PCG64", "PCG64DXSM", "Philox", "SFC64"     # bit generators whose raw numbers are the generator's 64-bit integers


def shuffle(orders, generator):
    """Bring each row of `orders`, (epochs, n) of intp, into a random order in place; returns `orders`.

    A row takes one number from the generator, whatever its length and however the epochs are split over calls
    (kernels/splitmix.h says what is made of it).
    """
    bits, epochs = generator.bit_generator, orders.shape[0]
    if type(bits).__name__ in RAW:                   # the same numbers in an eighth of the time: 0.9 µs
        core.shuffle(orders, bits.random_raw(epochs))
    else:
        core.shuffle(orders, generator.integers(2**64, size=epochs, dtype=np.uint64))
    return orders


def visits(n, epochs, generator=None):
    """(epochs n,) of intp: the orders in which the next epochs visit n rows, each shuffled by `generator` as by
    `shuffle`; 0..n-1 without one."""
    if generator is None:
        return core.orders(n, epochs)
    bits = generator.bit_generator
    with bits.lock:
        return core.orders(n, epochs, bits.capsule)
