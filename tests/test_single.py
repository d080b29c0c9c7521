"""One example from Python: predict_one and learn_one, on every kind of array, by either way of looking at it."""

import doctest

import numpy as np
import pytest

import backprop as bp
from backprop._dispatch import core
from backprop.errors import DivergenceError

SIZES = [17, 9, 3]


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, dtype=np.uint8)
    raw[1:] = x.view(np.uint8)
    return raw[1:].view(float)


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def replaced(value, at):
    def change(x):
        x = x.copy()
        x[at] = value
        return x

    return change


class Subclass(np.ndarray):
    pass


SAME_NUMBERS = {
    "plain": np.copy, "list": list, "tuple": tuple, "read-only": read_only, "unaligned": unaligned,
    "strided": lambda x: np.repeat(x, 2)[::2], "reversed": lambda x: x[::-1].copy()[::-1],
    "middle": lambda x: np.concatenate([x, x, x])[len(x):2 * len(x)], "big-endian": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble), "object": lambda x: x.astype(object),
    "subclass": lambda x: x.view(Subclass), "masked": np.ma.array, "column": lambda x: np.outer(x, [1, 2])[:, 0],
}
BAD = {
    "short": lambda x: x[:-1], "long": lambda x: np.append(x, 0.0), "empty": lambda x: x[:0], "scalar": lambda x: x[0],
    "row": lambda x: x[None], "complex": lambda x: x + 1j, "text": lambda x: x.astype(str), "none": lambda x: None,
    "masked cell": lambda x: np.ma.array(x, mask=np.arange(len(x)) == 1),
    **{f"{value} at {at}": replaced(value, at) for value in (np.nan, np.inf, -np.inf) for at in (0, 1, -1)},
}


@pytest.fixture(params=[True, False], ids=["fields", "buffers"])
def fields(request):
    before = core.trust_fields(request.param)
    yield request.param
    assert core.trust_fields(before) == request.param


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    net = bp.Network(SIZES, hidden="tanh", output="sigmoid", seed=0)
    return net, rng.normal(size=17).round(3), rng.uniform(size=3).round(3)


def test_numpy_arrays_have_the_fields_that_the_core_reads():
    before = core.trust_fields(True)
    assert core.trust_fields(before)


@pytest.mark.parametrize("kind", SAME_NUMBERS)
def test_the_same_numbers_give_the_same_bits(example, fields, kind):
    net, x, y = example
    other = net.copy()
    assert net.predict_one(SAME_NUMBERS[kind](x)).tobytes() == net.predict(x[None])[0].tobytes()
    loss = net.learn_one(SAME_NUMBERS[kind](x), SAME_NUMBERS[kind](y), 0.1)
    assert loss == other.evaluate(x[None], y[None])
    other.train(x[None], y[None], learning_rate=0.1)
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("kind", BAD)
def test_bad_examples_are_refused_and_nothing_changes(example, fields, kind):
    net, x, y = example
    before = net.parameters.tobytes()
    with pytest.raises((ValueError, TypeError), match=r"\bx\b"):
        net.predict_one(BAD[kind](x))
    with pytest.raises((ValueError, TypeError), match=r"\bx\b"):
        net.learn_one(BAD[kind](x), y, 0.1)
    with pytest.raises((ValueError, TypeError), match=r"\by\b"):
        net.learn_one(x, BAD[kind](y), 0.1)
    assert net.parameters.tobytes() == before


@pytest.mark.parametrize("rate", [0.0, -0.1, np.nan, np.inf, "fast", None, 1e301, [0.1]])
def test_bad_learning_rates_are_refused(example, rate):
    net, x, y = example
    before = net.parameters.tobytes()
    with pytest.raises((ValueError, TypeError), match="learning_rate"):
        net.learn_one(x, y, rate)
    assert net.parameters.tobytes() == before


@pytest.mark.parametrize("rate", [1, np.float32(0.5), np.float64(0.25)])
def test_any_real_learning_rate_serves(example, rate):
    net, x, y = example
    other = net.copy()
    assert net.learn_one(x, y, rate) == other.learn_one(x, y, float(rate))
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("sizes", [[600, 3], [3, 600, 2], [784, 30, 10], [2, 513, 513, 1], [1, 512, 1],
                                   [3, 512, 500, 90, 2]])
def test_wide_layers(sizes):
    net = bp.Network(sizes, seed=0)
    x = np.random.default_rng(0).normal(size=sizes[0])
    assert net.predict_one(x).tobytes() == net.predict(x[None])[0].tobytes()


def test_a_target_outside_the_domain_of_the_loss_is_refused(fields):
    net = bp.Network([2, 3], loss="log_loss", seed=0)
    for y in ([0.5, 0.6, 0.0], [-0.1, 0.1, 1.0], [2.0, 0.0, 0.0]):
        with pytest.raises(ValueError, match="y"):
            net.learn_one(np.ones(2), np.array(y), 0.1)


def test_outputs_share_no_memory(example, fields):
    net, x, _ = example
    first = net.predict_one(x)
    kept = first.copy()
    second = net.predict_one(x + 1.0)
    assert first.tobytes() == kept.tobytes() != second.tobytes()
    assert first.flags.owndata and first.flags.writeable


def test_they_are_methods(example):
    net, x, y = example
    assert bp.Network.predict_one(net, x).tobytes() == net.predict_one(x=x).tobytes()
    assert net.learn_one(x=x, y=y, learning_rate=0.1) > 0.0
    with pytest.raises(TypeError):
        net.predict_one()


def test_doctests():
    tried = doctest.testmod(core)
    assert tried.failed == 0 and tried.attempted > 0


@pytest.mark.parametrize("sizes", [[1, 1], [1, 2, 1], [1, 3, 2, 1]])
def test_an_update_that_could_overflow_is_refused_although_the_loss_is_finite(sizes):
    net = bp.Network(sizes, output="identity", seed=0)
    before = net.parameters.tobytes()
    with pytest.raises(DivergenceError, match="the update of this example"):
        net.learn_one([1.0], [1e153], 1e-3)
    assert net.parameters.tobytes() == before
    assert 1e300 < net.evaluate([[1.0]], [[1e153]]) < np.inf
