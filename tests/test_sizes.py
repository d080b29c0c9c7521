"""Arrays of more than 2^31 numbers: no size and no place in them is kept in 32 bits.

They are zeros that the system has promised and never made, so that they take next to no memory, but for a few rows at
the end. Rows of zeros with targets of zero change nothing in a network without biases; so what comes out must be, bit
for bit, what the last rows give alone.
"""

import mmap
import sys

import numpy as np
import pytest

import backprop as bp

WIDE, ROWS = 2**16, 2**15 + 9
ALONE = slice(ROWS - 5, None)

NORESERVE = 0x4000                                       # Linux's, which Python's mmap names from 3.13 on
if not sys.platform.startswith("linux"):
    pytest.skip("memory that is promised and never made is asked for as on Linux", allow_module_level=True)


def zeros(rows, columns):
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
    return np.frombuffer(mmap.mmap(-1, 8 * rows * columns, flags=flags)).reshape(rows, columns)


def ended(width):
    """More than 2^31 numbers of which the last five rows are none of them zero, where `width` is wide."""
    out = zeros(ROWS, width)
    out[ALONE] = np.random.default_rng(width).uniform(0.1, 0.9, (5, width))
    return out


@pytest.fixture(scope="module", params=[(WIDE, 1), (1, WIDE)], ids=["inputs", "outputs"])
def large(request):
    X, Y = (ended(width) for width in request.param)
    assert max(X.size, Y.size) > 2**31
    return X, Y


def network(X, Y, **options):
    return bp.Network([X.shape[1], Y.shape[1]], output="identity", bias=False, seed=1, **options)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size, n_threads", [(1, 1), (ROWS, 1), (ROWS, 2)])
def test_training_ends_where_the_last_rows_alone_lead_it(large, batch_size, n_threads):
    X, Y = large
    whole, alone = network(X, Y), network(X, Y)
    start, rate = whole.parameters.copy(), 1e-5 if batch_size == 1 else 1e-6
    found = whole.train(X, Y, epochs=1, learning_rate=rate, batch_size=batch_size, shuffle=False, n_threads=n_threads)
    rate *= 1 if batch_size == 1 else 5 / ROWS           # a batch's gradient is the mean over all of its rows
    expected = alone.train(X[ALONE], Y[ALONE], epochs=1, learning_rate=rate, batch_size=min(batch_size, 5),
                           shuffle=False)
    assert (whole.parameters != start).all()
    assert found.loss[0] * ROWS == pytest.approx(5 * expected.loss[0], rel=1e-9)
    if batch_size == 1:
        assert whole.parameters.tobytes() == alone.parameters.tobytes()
    np.testing.assert_allclose(whole.parameters - start, alone.parameters - start, rtol=1e-6)


@pytest.mark.slow
def test_what_is_predicted_and_measured(large):
    X, Y = large
    net = network(X, Y)
    assert net.evaluate(X, Y) * ROWS == pytest.approx(5 * net.evaluate(X[ALONE], Y[ALONE]), rel=1e-9)
    if Y.shape[1] == WIDE:
        gradient, alone = (net.gradients(*pair).weights[0] for pair in ((X, Y), (X[ALONE], Y[ALONE])))
        np.testing.assert_allclose(gradient * ROWS, 5 * alone, rtol=1e-9)
    else:                                                # where what is given back is small
        predicted = net.predict(X)
        assert predicted[ALONE].tobytes() == net.predict(X[ALONE]).tobytes() and not predicted[:ROWS - 5].any()


@pytest.mark.slow
def test_a_perceptron_learns_from_the_last_rows():
    X = ended(WIDE)
    y = np.arange(ROWS) % 2
    models = [bp.Perceptron(shuffle=False, fit_intercept=False, max_iter=1) for _ in range(2)]
    for model, rows in zip(models, (slice(None), ALONE)):
        with pytest.warns(bp.errors.ConvergenceWarning):        # a row of zeros is on no side of the hyperplane
            model.fit(X[rows], y[rows])
    found, alone = models
    score = found.decision_function(X)
    assert found.coef_.any() and found.coef_.tobytes() == alone.coef_.tobytes()
    assert score[ALONE].tobytes() == found.decision_function(X[ALONE]).tobytes() and not score[:ROWS - 5].any()
