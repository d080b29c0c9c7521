"""Random orders of visits."""

import numpy as np

from backprop._dispatch import core


def shuffle(orders, generator):
    """Bring each row of `orders`, (epochs, n) of intp, into a random order in place; returns `orders`.

    A row takes one number from the generator, whatever its length and however the epochs are split over calls
    (kernels/order.h says what is made of it).
    """
    core.shuffle(orders, generator.integers(2**64, size=orders.shape[0], dtype=np.uint64))
    return orders
