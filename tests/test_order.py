"""Random orders of visits: the shuffle is the one that is written down, fair, and the same however epochs are split."""

import numpy as np
import pytest

from backprop import _order
from backprop._dispatch import core

MASK = 2**64 - 1


def splitmix(seed, i):
    x = (seed + (i + 1) * 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def shuffled(n, key):
    """Fisher and Yates in plain Python."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = splitmix(key, i) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def orders(epochs, n, seed):
    return _order.shuffle(np.tile(np.arange(n), (epochs, 1)), np.random.default_rng(seed))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_it_is_the_shuffle_that_is_written_down(n):
    keys = np.random.default_rng(5).integers(2**64, size=4, dtype=np.uint64)
    assert orders(4, n, seed=5).tolist() == [shuffled(n, int(key)) for key in keys]


def test_epochs_may_be_split_over_calls():
    generator, n = np.random.default_rng(3), 50
    parts = [_order.shuffle(np.tile(np.arange(n), (epochs, 1)), generator) for epochs in (1, 4, 2)]
    assert np.concatenate(parts).tolist() == orders(7, n, seed=3).tolist()


def test_every_order_of_four_is_as_likely():
    _, counts = np.unique(orders(240_000, 4, seed=1) @ [64, 16, 4, 1], return_counts=True)
    assert len(counts) == 24
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 49.7        # chi-square, 23 degrees of freedom: 0.1 %


def test_every_row_is_as_likely_in_every_place():
    n, epochs = 40, 20_000
    counts = np.zeros((n, n))
    np.add.at(counts, (orders(epochs, n, seed=2), np.arange(n)), 1)
    expected = epochs / n
    chi_square, freedom = ((counts - expected) ** 2 / expected).sum(), (n - 1) ** 2
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64,
                                  np.random.MT19937])
def test_any_bit_generator_gives_the_keys_that_its_integers_would_be(bits):
    one, other = np.random.Generator(bits(7)), np.random.Generator(bits(7))
    for generator in (one, other):
        generator.integers(3, dtype=np.uint32)       # half of a raw number, the other half kept by some
    keys = other.integers(2**64, size=4, dtype=np.uint64)
    assert _order.shuffle(np.tile(np.arange(9), (4, 1)), one).tolist() == [shuffled(9, int(key)) for key in keys]
    assert one.integers(2**64, size=3, dtype=np.uint64).tolist() == other.integers(
        2**64, size=3, dtype=np.uint64).tolist()


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64,
                                  np.random.MT19937])
def test_the_orders_of_a_training_are_those_of_the_shuffle(bits, trusted):
    """`visits` draws from the bit generator itself, `shuffle` through NumPy: the same orders, the same state after."""
    before = core.trust_fields(trusted)
    try:
        one, other = np.random.Generator(bits(7)), np.random.Generator(bits(7))
        for generator in (one, other):
            generator.integers(3, dtype=np.uint32)
        for n, epochs in ((1, 1), (9, 4), (20_000, 2)):
            expected = _order.shuffle(np.tile(np.arange(n), (epochs, 1)), other).ravel()
            assert np.array_equal(_order.visits(n, epochs, one), expected)
            assert np.array_equal(_order.visits(n, epochs), np.tile(np.arange(n), epochs))
        assert one.integers(2**64, size=3, dtype=np.uint64).tolist() == other.integers(
            2**64, size=3, dtype=np.uint64).tolist()
    finally:
        core.trust_fields(before)
