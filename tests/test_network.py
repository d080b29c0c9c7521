"""The network: construction, forward, predict, gradients, trace; against the reference, on any input, good or bad."""

import copy
import pickle
import re

import numpy as np
import pytest
import scipy.sparse

import backprop as bp
import cases
from reference import Reference

TOLERANCE = 1e-12           # kernels against the reference, relative to the largest magnitude
WIDTHS = (1, 2, 3, 5, 10)   # of the output layer
HIDDEN_WIDTHS = (1, 5, 8, 9, 16, 33)        # on, below and above the padding to 8


def pair_of(sizes, hidden="tanh", output="identity", loss="squared_error", bias=True, seed=0):
    """The same network twice: the library's and the reference's."""
    scale = 0.1 if "exp" in (hidden, output) else 0.6            # exp of exp grows fast
    weights, biases = cases.parameters(np.random.default_rng(seed), sizes, bias, scale)
    init = weights, biases if bias else None
    net = bp.Network(sizes, hidden=hidden, output=output, loss=loss, bias=bias, init=init, seed=seed)
    return net, Reference(weights, biases, hidden, output, loss)


def data_for(sizes, output, loss, n, seed=1):
    """Inputs, targets and weights of n examples."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, sizes[0])), cases.targets(rng, output, loss, n, sizes[-1]), rng.uniform(0.1, 2.0, size=n)


def assert_same_gradients(gradients, expected):
    dW, db, dX = expected
    assert [b is None for b in gradients.biases] == [b is None for b in db]
    assert [W.shape for W in gradients.weights] == [W.shape for W in dW]
    assert cases.error(cases.flat(gradients.weights, gradients.biases), cases.flat(dW, db)) < TOLERANCE
    if dX is not None:
        assert cases.error(gradients.inputs, dX) < TOLERANCE


def assert_agrees(net, ref, X, Y, w, batch_size):
    """Everything that is computed from `net`, then one epoch of training, against the reference."""
    _, z = ref.forward(X)
    assert max(cases.error(mine, theirs) for mine, theirs in zip(net.forward(X), z, strict=True)) < TOLERANCE
    assert cases.error(net.predict(X), z[-1]) < TOLERANCE
    for weights in (None, w):
        assert net.evaluate(X, Y, weights) == pytest.approx(ref.loss(X, Y, weights), rel=TOLERANCE)
        gradients = net.gradients(X, Y, weights)
        assert gradients.loss == pytest.approx(ref.loss(X, Y, weights), rel=TOLERANCE)
        assert_same_gradients(gradients, ref.gradients(X, Y, weights))
    rows = len(X) if batch_size == "full" else batch_size
    history = net.train(X, Y, batch_size=batch_size, learning_rate=0.01, shuffle=False)
    losses = ref.train(X, Y, batch_size=rows, learning_rate=0.01)
    assert history.loss == pytest.approx(losses, rel=TOLERANCE)
    assert cases.error(net.parameters, ref.parameters) < TOLERANCE


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("output, loss", cases.PAIRS)
def test_every_activation_loss_batch_size_and_depth_agrees_with_the_reference(output, loss, depth):
    widths = [width for width in WIDTHS if output != "softmax" or width > 1]
    for h, hidden in enumerate(cases.HIDDEN):
        for i, batch_size in enumerate((1, 7, "full")):          # 17 rows: 7 leaves a ragged last batch of 3
            if depth == 0 and h >= len(widths) or depth == 4 and h % 3 != i:
                continue                                         # no hidden layer: only the widths differ
            sizes = [3, *(HIDDEN_WIDTHS[(2 * h + i + d) % 6] for d in range(depth)), widths[(h + i) % len(widths)]]
            net, ref = pair_of(sizes, hidden, output, loss, seed=h)
            assert_agrees(net, ref, *data_for(sizes, output, loss, 17), batch_size)


@pytest.mark.parametrize("output, loss", [("softmax", "log_loss"), ("tanh", "squared_error")])
@pytest.mark.parametrize("n_outputs", WIDTHS)
@pytest.mark.parametrize("n_hidden", HIDDEN_WIDTHS)
def test_every_width_agrees_with_the_reference(n_hidden, n_outputs, output, loss):
    if output == "softmax" and n_outputs == 1:
        output, loss = "sigmoid", "log_loss"
    for n_inputs in (1, 8, 19):
        for rows, batch_size in ((1, 1), (2, "full"), (7, 7), (25, 7), (64, 10), (64, "full")):
            sizes = [n_inputs, n_hidden, n_outputs]
            net, ref = pair_of(sizes, "tanh", output, loss)
            assert_agrees(net, ref, *data_for(sizes, output, loss, rows), batch_size)


@pytest.mark.parametrize("sizes", [[3, 2], [4, 9, 3], [2, 5, 8, 1]])
def test_without_bias(sizes):
    net, ref = pair_of(sizes, bias=False)
    assert net.biases == [None] * (len(sizes) - 1)
    assert net.n_parameters == sum(m * n for m, n in zip(sizes, sizes[1:]))
    assert_agrees(net, ref, *data_for(sizes, "identity", "squared_error", 17), 7)


def test_an_activation_per_hidden_layer():
    sizes, hidden = [3, 5, 9, 4, 2], ["relu", "tanh", "sigmoid"]
    net, ref = pair_of(sizes, hidden)
    assert list(net.activations) == [*hidden, "identity"]
    assert_agrees(net, ref, *data_for(sizes, "identity", "squared_error", 17), 7)


@pytest.mark.parametrize("output, a, y, loss", [
    ("sigmoid", 1e4, 0.0, 1e4), ("sigmoid", -1e4, 1.0, 1e4), ("sigmoid", 1e4, 1.0, 0.0),
    ("softmax", 1e4, 0.0, 1e4), ("softmax", -1e4, 1.0, 1e4), ("softmax", -1e4, 0.0, 0.0),
])
def test_log_loss_is_computed_from_net_inputs_and_never_clipped(output, a, y, loss):
    n = 1 if output == "sigmoid" else 2
    net = bp.Network([1, n], output=output, loss="log_loss", init=([[[a] + [0.0] * (n - 1)]], [[0.0] * n]))
    x, y = [[1.0]], [[y, 1 - y][:n]]
    assert net.evaluate(x, y) == pytest.approx(loss, rel=1e-12, abs=1e-300)
    gradients = net.gradients(x, y)
    assert np.isfinite(cases.flat(gradients.weights, gradients.biases)).all()
    assert np.abs(gradients.biases[0]).max() == pytest.approx(float(loss > 1), abs=1e-300)


# ---- one chain: the same bits whichever way a row is computed --------------------------------------------------------

@pytest.mark.parametrize("sizes", [[2, 8, 1], [3, 5, 9, 3], [19, 33, 10], [70, 1]])
@pytest.mark.parametrize("hidden", ["tanh", "relu", "gelu"])
def test_a_row_alone_equals_the_row_in_any_batch_bit_for_bit(sizes, hidden):
    net, _ = pair_of(sizes, hidden, "sigmoid")
    X = np.random.default_rng(3).normal(size=(45, sizes[0]))
    whole = net.predict(X)
    assert whole.tobytes() == net(X).tobytes() == net.forward(X)[-1].tobytes()
    assert whole.tobytes() == np.array([net.predict_one(x) for x in X]).tobytes()
    for size in (1, 2, 3, 7, 8, 13, 24, 44):
        parts = [net.predict(X[i:i + size]) for i in range(0, 45, size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes(), size


def test_forward_starts_at_the_input_and_shares_no_memory_with_it():
    net, _ = pair_of([3, 4, 2])
    X = np.random.default_rng(0).normal(size=(5, 3))
    z = net.forward(X)
    assert [layer.shape for layer in z] == [(5, 3), (5, 4), (5, 2)]
    np.testing.assert_array_equal(z[0], X)
    z[0][:] = 0
    assert X.all()


# ---- gradients -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("output, loss", [
    ("softmax", "log_loss"), ("sigmoid", "log_loss"), ("exp", "poisson"), ("tanh", "huber"),
    ("softmax", "squared_error"),
])
def test_check_gradients(output, loss):
    net, _ = pair_of([3, 5, 4, 2], "tanh", output, loss)
    X, Y, _ = data_for([3, 2], output, loss, 6)
    before = net.parameters.tobytes()
    assert 0 < net.check_gradients(X, Y).max_relative_error < 1e-5
    assert net.parameters.tobytes() == before


def test_the_error_of_a_gradient_is_relative_to_the_larger_and_to_a_share_of_the_largest():
    """|analytic - numeric| / max(|analytic|, |numeric|, 10⁻⁴ of the largest): rounding of the least is no error."""
    net = bp.Network([2, 1], output="identity", init=([[[1.0], [1.0]]], None))
    check = net.check_gradients([[1000.0, 1e-7]], [[0.0]])
    least = 1e-4 * np.abs(check.analytic).max()
    assert np.abs(check.analytic).max() > 1000 and (np.abs(check.analytic) < least).any()
    size = np.maximum(np.maximum(np.abs(check.analytic), np.abs(check.numeric)), least)
    assert check.max_relative_error == (np.abs(check.analytic - check.numeric) / size).max()
    assert check.max_relative_error < 1e-6 < (np.abs(check.analytic - check.numeric) / np.abs(check.analytic)).max()


def test_input_gradients_are_each_rows_own():
    net, _ = pair_of([3, 5, 2])
    X, Y, w = data_for([3, 2], "identity", "squared_error", 6)
    together = net.gradients(X, Y).inputs
    assert together.shape == (6, 3)
    alone = [net.gradients(x[None], y[None]).inputs[0] for x, y in zip(X, Y)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    np.testing.assert_allclose(net.gradients(X, Y, 3 * w).inputs, together, rtol=1e-12)


def test_gradients_change_nothing_and_belong_to_the_caller():
    net, _ = pair_of([3, 5, 2])
    X, Y, _ = data_for([3, 2], "identity", "squared_error", 6)
    before, gradients = net.parameters.tobytes(), net.gradients(X, Y)
    kept = gradients.weights[0].copy()
    net.gradients(2 * X, Y)
    np.testing.assert_array_equal(gradients.weights[0], kept)
    assert net.parameters.tobytes() == before


# ---- trace -----------------------------------------------------------------------------------------------------------

def test_trace_shows_the_numbers_of_the_kernels():
    sizes = [3, 9, 4, 2]
    net, ref = pair_of(sizes, "sigmoid", "sigmoid")
    X, Y, _ = data_for(sizes, "sigmoid", "squared_error", 1)
    before = net.parameters.tobytes()
    trace = net.trace(X[0], Y[0], learning_rate=0.25)
    assert net.parameters.tobytes() == before
    (a, _), (delta, _), (dW, db, _) = ref.forward(X), ref.deltas(X, Y), ref.gradients(X, Y)
    for layers in (trace.a, trace.deltas, trace.weight_gradients, trace.bias_gradients, trace.weight_updates,
                   trace.bias_updates):
        assert len(layers) == 4
        assert layers[0] is None
    for l, layer in enumerate(net.forward(X)):
        assert trace.z[l].tobytes() == layer[0].tobytes()
    exact = net.gradients(X, Y)
    for l in (1, 2, 3):
        assert cases.error(trace.a[l], a[l][0]) < TOLERANCE
        assert cases.error(trace.deltas[l], delta[l][0]) < TOLERANCE
        assert cases.error(trace.weight_gradients[l], dW[l - 1]) < TOLERANCE
        assert cases.error(trace.bias_gradients[l], db[l - 1]) < TOLERANCE
        np.testing.assert_array_equal(trace.weight_gradients[l], exact.weights[l - 1])
        np.testing.assert_array_equal(trace.bias_gradients[l], exact.biases[l - 1])
    weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    net.learn_one(X[0], Y[0], 0.25)
    for l in (1, 2, 3):                              # the updates are what learning adds
        np.testing.assert_allclose(weights[l - 1] + trace.weight_updates[l], net.weights[l - 1], rtol=0, atol=1e-15)
        np.testing.assert_allclose(biases[l - 1] + trace.bias_updates[l], net.biases[l - 1], rtol=0, atol=1e-15)


def test_trace_prints_the_lectures_steps():
    net, _ = pair_of([2, 2, 1], "sigmoid", "sigmoid")
    lines = str(net.trace([1.0, 2.0], [1.0], learning_rate=0.5)).splitlines()
    assert len(lines) >= 5
    assert any("δ" in line for line in lines)


def test_a_printed_trace_lets_one_weight_be_followed_through_the_step():
    """Before the step and after it, as learn_one leaves it."""
    net = bp.Network([2, 2, 1], seed=5)
    before, text = [W.copy() for W in net.weights], str(net.trace([1.0, 2.0], [1.0], learning_rate=0.5))
    net.learn_one([1.0, 2.0], [1.0], 0.5)
    for W in (*before, *net.weights):
        for j, row in enumerate(W):
            assert f"        from unit {j}:  {'  '.join(f'{w: .6g}' for w in row)}\n" in text + "\n"
    assert text.index("after the step") > text.index("5. Update")


def test_trace_of_a_network_without_bias():
    net, _ = pair_of([2, 3, 1], bias=False)
    trace = net.trace([1.0, 2.0], [1.0], learning_rate=0.1)
    assert trace.bias_gradients == trace.bias_updates == [None] * 3
    np.testing.assert_allclose(trace.weight_updates[1], -0.1 * trace.weight_gradients[1], rtol=1e-15)


def test_trace_without_a_learning_rate_has_no_updates():
    net, _ = pair_of([2, 3, 1])
    trace = net.trace([1.0, 2.0], [1.0])
    assert trace.weight_updates == trace.bias_updates == [None] * 3
    assert trace.weight_gradients[1].any()


# ---- parameters ------------------------------------------------------------------------------------------------------

def test_weights_and_biases_are_writable_views():
    net, ref = pair_of([3, 5, 2])
    assert [W.shape for W in net.weights] == [(3, 5), (5, 2)]
    assert [b.shape for b in net.biases] == [(5,), (2,)]
    net.weights[0][1, 4] = ref.W[1][1, 4] = 0.75
    net.weights[1][...] = ref.W[2][...] = 0.25
    net.biases[1][:] = ref.b[2][:] = -1.5
    X = np.random.default_rng(0).normal(size=(4, 3))
    assert cases.error(net.predict(X), ref.forward(X)[1][-1]) < TOLERANCE
    np.testing.assert_array_equal(net.parameters, ref.parameters)
    view = net.weights[0]
    net.train(X, np.zeros((4, 2)))
    np.testing.assert_array_equal(view, net.parameters[:15].reshape(3, 5))       # still the same memory


def test_what_is_assigned_to_an_item_is_copied_into_the_network_or_refused():
    net, plain = bp.Network([3, 5, 2], seed=1), bp.Network([3, 5, 2], seed=1, bias=False)
    W = np.arange(10).reshape(5, 2)
    net.weights[-1] = W
    net.biases[0] = [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(net.weights[1], W)
    np.testing.assert_array_equal(net.parameters[15:], [1, 2, 3, 4, 5, *W.ravel(), 0, 0])
    net.weights[:] = [np.ones((3, 5)), -W]
    np.testing.assert_array_equal(net.weights[0], 1.0)
    np.testing.assert_array_equal(net.weights[1], -W)
    square = bp.Network([2, 2, 2], seed=0)
    first, second = (W.copy() for W in square.weights)
    square.weights[:] = square.weights[::-1]
    np.testing.assert_array_equal(square.weights, [second, first])
    square.weights[0] += 1.0
    np.testing.assert_array_equal(square.weights[0], second + 1.0)
    before = net.parameters
    for name, layer, value, words in (
            ("weights", 0, W, r"weights\[0\] must have shape \(3, 5\), got \(5, 2\)"),
            ("weights", 1, W * np.nan, r"weights\[1\] holds NaN at row 0, column 0"),
            ("biases", 1, "ab", r"biases\[1\] must be an array"), ("biases", 0, 1.0, r"biases\[0\] must be a 1-D"),
            ("weights", slice(None), [W], "weights needs 2 arrays here, got 1"),
            ("weights", slice(None), [np.zeros((3, 5)), W.T], r"weights\[1\] must have shape")):
        with pytest.raises((ValueError, TypeError), match=words):
            getattr(net, name)[layer] = value
    with pytest.raises(ValueError, match=r"biases\[0\] cannot be set: the network has no biases"):
        plain.biases[0] = np.zeros(5)
    with pytest.raises(IndexError):
        net.weights[2] = W
    np.testing.assert_array_equal(net.parameters, before)
    assert type(pickle.loads(pickle.dumps(net.weights))) is list and type(copy.deepcopy(net.biases)) is list


def test_parameters_are_a_compact_copy():
    net, ref = pair_of([3, 5, 2])
    vector = net.parameters
    assert vector.shape == (net.n_parameters,) == (32,)
    np.testing.assert_array_equal(vector, ref.parameters)
    vector[:] = 0
    np.testing.assert_array_equal(net.parameters, ref.parameters)
    net.set_parameters(np.arange(32.0))
    np.testing.assert_array_equal(net.parameters, np.arange(32.0))
    np.testing.assert_array_equal(net.weights[1], np.arange(20.0, 30.0).reshape(5, 2))


@pytest.mark.parametrize("vector, error", [
    (np.zeros(31), ValueError), (np.zeros(33), ValueError), (np.zeros((32, 1)), ValueError),
    (np.full(32, np.nan), ValueError), (np.zeros(32, complex), ValueError), (None, TypeError),
    ("parameters", TypeError),
])
def test_set_parameters_refuses_what_does_not_fit(vector, error):
    net, ref = pair_of([3, 5, 2])
    with pytest.raises(error):
        net.set_parameters(vector)
    np.testing.assert_array_equal(net.parameters, ref.parameters)


def test_given_initial_arrays_are_copied():
    weights, biases = cases.parameters(np.random.default_rng(0), [3, 5, 2])
    kept = cases.flat(weights, biases)
    net = bp.Network([3, 5, 2], init=(weights, biases))
    net.train(np.ones((4, 3)), np.ones((4, 2)), epochs=3)
    np.testing.assert_array_equal(cases.flat(weights, biases), kept)
    assert (net.parameters != kept).any()


def test_copy_is_independent():
    net, ref = pair_of([3, 5, 2])
    other = net.copy()
    other.weights[0][:] = 7.0
    np.testing.assert_array_equal(net.parameters, ref.parameters)
    assert (other.weights[0] == 7.0).all()
    assert (other.sizes, other.activations, other.loss) == (net.sizes, net.activations, net.loss)


def test_seeds_and_reset():
    first, same, other = (bp.Network([3, 5, 2], seed=seed) for seed in (5, 5, 6))
    start = first.parameters
    assert start.tobytes() == same.parameters.tobytes() != other.parameters.tobytes()
    X, Y, _ = data_for([3, 2], "identity", "squared_error", 10)
    trained = [(first.train(X, Y, epochs=3, optimizer="momentum"), first.parameters.tobytes())[1]]
    first.reset(5)                                   # parameters, generator and optimizer state start over
    assert first.parameters.tobytes() == start.tobytes()
    first.train(X, Y, epochs=3, optimizer="momentum")
    assert first.parameters.tobytes() == trained[0]
    generator = bp.Network([3, 5, 2], seed=np.random.default_rng(5))
    assert generator.parameters.tobytes() == start.tobytes()
    assert (bp.Network([3, 5, 2]).parameters != bp.Network([3, 5, 2]).parameters).any()


VARIANCES = {      # of W (n_in, n_out) = (300, 200)
    "glorot_uniform": 2 / 500, "glorot_normal": 2 / 500, "he_uniform": 2 / 300, "he_normal": 2 / 300,
    "lecun_uniform": 1 / 300, "lecun_normal": 1 / 300, "zeros": 0.0,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_initializers_have_their_variance_and_leave_biases_at_zero(name):
    net = bp.Network([300, 200, 2], init=name, seed=0)
    W = net.weights[0]
    assert W.var() == pytest.approx(VARIANCES[name], rel=0.03)
    assert abs(W.mean()) < 4 * np.sqrt(VARIANCES[name] / W.size) + 1e-300
    assert not any(b.any() for b in net.biases)
    if name.endswith("uniform"):
        assert np.abs(W).max() <= np.sqrt(3 * VARIANCES[name])


@pytest.mark.parametrize("name", ["small_uniform", "small_normal"])
def test_small_random_weights_are_small_and_random(name):
    W = bp.Network([300, 200, 2], init=name, seed=0).weights[0]
    assert 0 < W.std() <= 0.5
    assert abs(W.mean()) < 4 * W.std() / np.sqrt(W.size)
    assert len(np.unique(W)) > 0.99 * W.size


@pytest.mark.parametrize("hidden, variance", [
    ("tanh", 2 / 500), ("sigmoid", 2 / 500), ("relu", 2 / 300), ("elu", 2 / 300),
])
def test_auto_initialization_follows_the_activation(hidden, variance):
    assert bp.Network([300, 200, 2], hidden=hidden, seed=0).weights[0].var() == pytest.approx(variance, rel=0.03)


def test_defaults_and_descriptions():
    net = bp.Network([784, 30, 10], seed=0)
    assert list(net.sizes) == [784, 30, 10]
    assert net.activations[0] == "tanh"
    assert net.n_parameters == 784 * 30 + 30 + 30 * 10 + 10
    assert all(number in net.summary() for number in ("784", "30", "10"))
    natural = {"squared_error": "identity", "half_squared_error": "identity", "absolute_error": "identity",
               "huber": "identity", "log_loss": "softmax", "poisson": "exp"}
    assert {loss: bp.Network([2, 3], loss=loss).activations[-1] for loss in natural} == natural


# ---- input: any layout and dtype that holds the same numbers ---------------------------------------------------------

def unaligned(array):
    buffer = bytearray(array.nbytes + 1)
    out = np.frombuffer(buffer, dtype=array.dtype, offset=1).reshape(array.shape)
    out[...] = array
    assert not out.flags.aligned
    return out


def spaced(array, step):
    wide = np.full([n * abs(step) for n in array.shape], -99.0)
    view = wide[tuple(slice(None, None, step) for _ in array.shape)]
    view[...] = array
    return view


def read_only(array):
    out = array.copy()
    out.flags.writeable = False
    return out


class Subclass(np.ndarray):
    pass


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda a: spaced(a, 2),
    "reversed": lambda a: spaced(a, -1),
    "reversed and strided": lambda a: spaced(a, -3),
    "unaligned": unaligned,
    "read-only": read_only,
    "subclass": lambda a: a.view(Subclass),
    "unmasked": np.ma.MaskedArray,
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a)) if a.ndim == 2 else tuple(a),
    "objects": lambda a: a.astype(object),
    **{dtype: (lambda a, dtype=dtype: a.astype(dtype))
       for dtype in ("f2", "f4", ">f4", ">f8", "<f8", "g", "i1", "i2", ">i4", "i8", "u1", "u8")},
    "read-only, strided, byte-swapped": lambda a: read_only(spaced(a, 2).astype(">f8"))[::-1][::-1],
}


def everything(change):
    """Bytes of all that a network computes from integer-valued data after `change` to each input."""
    rng = np.random.default_rng(0)
    X, Y, w = (rng.integers(0, 6, size=shape).astype(float) for shape in ((9, 3), (9, 2), (9,)))
    w[0] = 1.0
    X, Y, w = change(X), change(Y), change(w)
    kept = [np.array(value, copy=True) for value in (X, Y, w)]
    net, _ = pair_of([3, 9, 2])
    out = [net.predict(X), *net.forward(X), net.predict_one(X[2]), np.float64(net.evaluate(X, Y, w))]
    gradients = net.gradients(X, Y, w)
    out += [*gradients.weights, *gradients.biases, gradients.inputs]
    out += [layer for layer in net.trace(X[4], Y[4]).deltas if layer is not None]
    out += [np.float64(net.learn_one(X[1], Y[1], 0.01)), net.parameters]
    history = net.train(X, Y, epochs=2, batch_size=4, learning_rate=0.01, sample_weight=w)
    out += [np.array(history.loss), net.parameters]
    for value, before in zip((X, Y, w), kept):
        np.testing.assert_array_equal(np.asarray(value), before)                 # inputs are never modified
    return b"".join(np.ascontiguousarray(array).tobytes() for array in out)


@pytest.fixture(scope="module")
def everything_from_c_contiguous_float64():
    return everything(np.array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_and_dtype_gives_the_same_bits(layout, everything_from_c_contiguous_float64):
    assert everything(LAYOUTS[layout]) == everything_from_c_contiguous_float64


def test_memory_mapped_input_gives_the_same_bits(tmp_path, everything_from_c_contiguous_float64):
    def mapped(array, count=iter(range(3))):
        path = tmp_path / f"{next(count)}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode="r")

    assert everything(mapped) == everything_from_c_contiguous_float64


def test_initial_arrays_of_any_layout_give_the_same_bits():
    weights, biases = [np.arange(27.0).reshape(3, 9), np.arange(18.0).reshape(9, 2)], [np.arange(9.0), np.arange(2.0)]
    plain = bp.Network([3, 9, 2], init=(weights, biases)).parameters.tobytes()
    for change in LAYOUTS.values():
        init = [change(W) for W in weights], [change(b) for b in biases]
        assert bp.Network([3, 9, 2], init=init).parameters.tobytes() == plain


def test_one_output_takes_targets_in_one_dimension():
    net, _ = pair_of([3, 4, 1])
    X, Y, _ = data_for([3, 1], "identity", "squared_error", 6)
    assert net.evaluate(X, Y[:, 0]) == net.evaluate(X, Y)


# ---- bad input -------------------------------------------------------------------------------------------------------

def with_value(value, dtype=float):
    def change(good):
        bad = good.astype(dtype)
        bad[(-1,) * bad.ndim] = value
        return bad
    return change


BAD = {      # name: (what becomes of a good array, the exception); bad values ValueError, bad kinds TypeError
    "None": (lambda good: None, TypeError),
    "string": (lambda good: "1 2 3", TypeError),
    "bytes": (lambda good: b"123", TypeError),
    "dict": (lambda good: {"X": good}, TypeError),
    "set": (lambda good: {1.0, 2.0, 3.0}, TypeError),
    "frozenset": (lambda good: frozenset([1.0, 2.0, 3.0]), TypeError),
    "object": (lambda good: object(), TypeError),
    "type": (lambda good: float, TypeError),
    "function": (lambda good: len, TypeError),
    "generator": (lambda good: (row for row in good), TypeError),
    "ellipsis": (lambda good: ..., TypeError),
    "list of strings": (lambda good: good.astype(str).tolist(), TypeError),
    "array of strings": (lambda good: good.astype(str), TypeError),
    "array of bytes": (lambda good: good.astype("S"), TypeError),
    "a string among objects": (with_value("one", object), TypeError),
    "None among objects": (with_value(None, object), TypeError),
    "dict among objects": (with_value({}, object), TypeError),
    "dates": (lambda good: good.astype("i8").astype("M8[s]"), TypeError),
    "durations": (lambda good: good.astype("i8").astype("m8[s]"), TypeError),
    "records": (lambda good: np.zeros(good.shape, [("x", float)]), TypeError),
    "sparse": (lambda good: scipy.sparse.csr_array(good if good.ndim == 2 else good[None]), TypeError),
    "complex": (lambda good: good + 0j, ValueError),
    "complex64": (lambda good: good.astype("c8"), ValueError),
    "list with a complex number": (with_value(1j, complex), ValueError),
    "complex among objects": (with_value(1j, object), ValueError),
    "ragged": (lambda good: [*good.tolist()[:-1], [1.0] * 7], ValueError),
    "ragged objects": (with_value([1.0, 2.0], object), ValueError),
    "NaN": (with_value(np.nan), ValueError),
    "infinity": (with_value(np.inf), ValueError),
    "minus infinity": (with_value(-np.inf), ValueError),
    "NaN in float16": (with_value(np.nan, "f2"), ValueError),
    "NaN among objects": (with_value(float("nan"), object), ValueError),
    "long double out of range": (with_value(np.longdouble("1e400"), "g"), ValueError),
    "integer out of range": (with_value(10**400, object), ValueError),
    "masked": (lambda good: np.ma.masked_greater(good, good.min()), ValueError),
    "empty list": (lambda good: [], ValueError),
    "empty lists": (lambda good: [[], []], ValueError),
    "no rows": (lambda good: good[:0], ValueError),
    "no columns": (lambda good: good[..., :0], ValueError),
    "scalar": (lambda good: 5.0, ValueError),
    "one dimension too few": (lambda good: good[0], ValueError),
    "one dimension too many": (lambda good: good[None], ValueError),
    "too wide": (lambda good: np.concatenate([good, good], axis=-1), ValueError),
    "too narrow": (lambda good: good[..., 1:], ValueError),
}
X, Y, W = data_for([3, 2], "identity", "squared_error", 4)
ENTRIES = {      # (entry point, argument): (a good value, the call)
    ("predict", "X"): (X, lambda net, bad: net.predict(bad)),
    ("forward", "X"): (X, lambda net, bad: net.forward(bad)),
    ("predict_one", "x"): (X[0], lambda net, bad: net.predict_one(bad)),
    ("evaluate", "X"): (X, lambda net, bad: net.evaluate(bad, Y)),
    ("evaluate", "Y"): (Y, lambda net, bad: net.evaluate(X, bad)),
    ("gradients", "X"): (X, lambda net, bad: net.gradients(bad, Y)),
    ("gradients", "Y"): (Y, lambda net, bad: net.gradients(X, bad)),
    ("trace", "x"): (X[0], lambda net, bad: net.trace(bad, Y[0])),
    ("trace", "y"): (Y[0], lambda net, bad: net.trace(X[0], bad)),
    ("learn_one", "x"): (X[0], lambda net, bad: net.learn_one(bad, Y[0], 0.1)),
    ("learn_one", "y"): (Y[0], lambda net, bad: net.learn_one(X[0], bad, 0.1)),
    ("train", "X"): (X, lambda net, bad: net.train(bad, Y)),
    ("train", "Y"): (Y, lambda net, bad: net.train(X, bad)),
    ("train", "sample_weight"): (W, lambda net, bad: net.train(X, Y, sample_weight=bad)),
    ("evaluate", "sample_weight"): (W, lambda net, bad: net.evaluate(X, Y, bad)),
    ("gradients", "sample_weight"): (W, lambda net, bad: net.gradients(X, Y, bad)),
}


def refuses(net, call, error, name):
    """`call` raises exactly `error`, names the argument, and leaves the parameters as they were."""
    before = net.parameters.tobytes()
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert re.search(rf"\b{name}\b", str(caught.value)), str(caught.value)
    assert net.parameters.tobytes() == before


CELLS = [(entry, name, bad) for entry, name in ENTRIES for bad in BAD
         if (name, bad) != ("sample_weight", "None")             # None is the default of sample_weight
         and ((name, bad) != ("X", "sparse") or entry == "forward")]         # the others take sparse inputs


@pytest.mark.parametrize("entry, name, bad", CELLS)
def test_bad_input_is_refused_by_name_and_changes_nothing(entry, name, bad):
    good, call = ENTRIES[entry, name]
    change, error = BAD[bad]
    net, _ = pair_of([3, 4, 2])
    refuses(net, lambda: call(net, change(good)), error, name)


def test_a_bad_value_is_located():
    net, _ = pair_of([3, 4, 2])
    bad = X.copy()
    bad[2, 1] = np.nan
    for call in (lambda: net.predict(bad), lambda: net.train(bad, Y), lambda: net.evaluate(bad, Y)):
        with pytest.raises(ValueError, match="row 2, column 1"):
            call()


@pytest.mark.parametrize("entry", ["evaluate", "gradients", "train"])
@pytest.mark.parametrize("rows", [3, 5])
def test_rows_of_inputs_and_targets_must_agree(entry, rows):
    net, _ = pair_of([3, 4, 2])
    refuses(net, lambda: getattr(net, entry)(X, np.zeros((rows, 2))), ValueError, "Y")
    refuses(net, lambda: getattr(net, entry)(X, Y, sample_weight=np.ones(rows)), ValueError, "sample_weight")


@pytest.mark.parametrize("entry", ["evaluate", "gradients", "train"])
@pytest.mark.parametrize("weights", [[1, 1, 1, -1e-300], [0, 0, 0, 0], [-1, -1, -1, -1]])
def test_negative_and_all_zero_weights_are_refused(entry, weights):
    net, _ = pair_of([3, 4, 2])
    refuses(net, lambda: getattr(net, entry)(X, Y, sample_weight=weights), ValueError, "sample_weight")


@pytest.mark.parametrize("output, loss, bad", [
    ("exp", "poisson", -1.0), ("tanh", "hinge", 0.5), ("identity", "hinge", 0.0), ("sigmoid", "log_loss", 1.5),
    ("sigmoid", "log_loss", -0.5), ("softmax", "log_loss", -0.5),
])
@pytest.mark.parametrize("entry", ["evaluate", "gradients", "train"])
def test_targets_outside_the_domain_of_the_loss_are_refused(entry, output, loss, bad):
    net, _ = pair_of([3, 4, 2], "tanh", output, loss)
    good = cases.targets(np.random.default_rng(0), output, loss, 4, 2)
    getattr(net, entry)(X, good)
    good[1, 0] = bad
    refuses(net, lambda: getattr(net, entry)(X, good), ValueError, "Y")


OPTIONS = [      # (option of train, bad value, the exception)
    ("epochs", -1, ValueError), ("epochs", 1.5, TypeError), ("epochs", True, TypeError), ("epochs", "3", TypeError),
    ("epochs", None, TypeError), ("batch_size", 0, ValueError), ("batch_size", -4, ValueError),
    ("batch_size", 2.0, TypeError), ("batch_size", True, TypeError), ("batch_size", "half", ValueError),
    ("batch_size", None, TypeError), ("optimizer", "adm", ValueError), ("optimizer", None, TypeError),
    ("learning_rate", -0.1, ValueError), ("learning_rate", float("nan"), ValueError),
    ("learning_rate", float("inf"), ValueError), ("learning_rate", "0.1", TypeError),
    ("learning_rate", True, TypeError), ("learning_rate", 1j, TypeError), ("shuffle", "yes", TypeError),
    ("shuffle", None, TypeError), ("l1", -1.0, ValueError), ("l1", float("nan"), ValueError), ("l1", "0", TypeError),
    ("l2", -1.0, ValueError), ("l2", float("inf"), ValueError), ("l2", None, TypeError),
]


@pytest.mark.parametrize("option, bad, error", OPTIONS)
def test_bad_training_options_are_refused(option, bad, error):
    net, _ = pair_of([3, 4, 2])
    refuses(net, lambda: net.train(X, Y, **{option: bad}), error, option)


def test_an_unknown_optimizer_is_answered_with_the_names():
    net, _ = pair_of([3, 4, 2])
    with pytest.raises(ValueError, match="sgd.*momentum.*nesterov"):
        net.train(X, Y, optimizer="gradient")


@pytest.mark.parametrize("bad, error", [
    (-0.1, ValueError), (float("nan"), ValueError), ("0.1", TypeError), (None, TypeError),
])
def test_learn_one_refuses_bad_learning_rates(bad, error):
    net, _ = pair_of([3, 4, 2])
    refuses(net, lambda: net.learn_one(X[0], Y[0], bad), error, "learning_rate")


def test_failed_calls_leave_no_trace_in_the_generator_or_the_optimizer():
    net = bp.Network([3, 4, 2], seed=0)
    net.train(X, Y, epochs=2, optimizer="momentum")
    twin = net.copy()
    for entry, name, bad in CELLS:
        good, call = ENTRIES[entry, name]
        change, error = BAD[bad]
        with pytest.raises(error):
            call(net, change(good))
    for option, bad, error in OPTIONS:
        with pytest.raises(error):
            net.train(X, Y, **{option: bad})
    for network in (net, twin):
        network.train(X, Y, epochs=2, optimizer="momentum")
    assert net.parameters.tobytes() == twin.parameters.tobytes()


ONE = [np.zeros((2, 3)), np.zeros((3, 1))], [np.zeros(3), np.zeros(1)]


@pytest.mark.parametrize("sizes, options, error, name", [
    ([], {}, ValueError, "sizes"),
    ([3], {}, ValueError, "sizes"),
    ([2, -3, 1], {}, ValueError, "sizes"),
    ([2, 0, 1], {}, ValueError, "sizes"),
    ([2, 2.0, 1], {}, TypeError, "sizes"),
    ([2, True, 1], {}, TypeError, "sizes"),
    ([2, "3", 1], {}, TypeError, "sizes"),
    ([2, None, 1], {}, TypeError, "sizes"),
    (5, {}, TypeError, "sizes"),
    (None, {}, TypeError, "sizes"),
    ("231", {}, TypeError, "sizes"),
    ([2**40, 2**40], {}, ValueError, "sizes"),
    ([2, 2**62, 2**62, 1], {}, ValueError, "sizes"),
    ([2, 3, 1], {"hidden": ["tanh", "relu"]}, ValueError, "hidden"),
    ([2, 3, 3, 1], {"hidden": ["tanh"]}, ValueError, "hidden"),
    ([2, 3, 1], {"hidden": None}, TypeError, "hidden"),
    ([2, 3, 1], {"hidden": 3}, TypeError, "hidden"),
    ([2, 3, 1], {"hidden": [3]}, TypeError, "hidden"),
    ([2, 3, 1], {"hidden": "softmax"}, ValueError, "hidden"),
    ([2, 3, 1], {"hidden": "step"}, ValueError, "hidden"),
    ([2, 3, 1], {"output": "step"}, ValueError, "output"),
    ([2, 3, 1], {"output": 1}, TypeError, "output"),
    ([2, 3, 1], {"loss": None}, TypeError, "loss"),
    ([2, 3, 1], {"loss": ["log_loss"]}, TypeError, "loss"),
    ([2, 3, 1], {"loss": "log_loss", "output": "tanh"}, ValueError, "log_loss"),
    ([2, 3, 1], {"loss": "log_loss", "output": "identity"}, ValueError, "log_loss"),
    ([2, 3, 1], {"loss": "poisson", "output": "tanh"}, ValueError, "poisson"),
    ([2, 3, 2], {"loss": "hinge", "output": "softmax"}, ValueError, "hinge"),
    ([2, 3, 1], {"bias": "no"}, TypeError, "bias"),
    ([2, 3, 1], {"bias": None}, TypeError, "bias"),
    ([2, 3, 1], {"seed": -1}, ValueError, "seed"),
    (np.array(3), {}, TypeError, "sizes"),
    ([2, 3, 1], {"output": np.array(["tanh", "tanh"])}, TypeError, "output"),
    ([2, 3, 1], {"hidden": [np.ones(2)]}, TypeError, "hidden"),
    ([2, 3, 1], {"seed": 1.5}, TypeError, "seed"),
    ([2, 3, 1], {"seed": "zero"}, TypeError, "seed"),
    ([2, 3, 1], {"init": 3}, TypeError, "init"),
    ([2, 3, 1], {"init": None}, TypeError, "init"),
    ([2, 3, 1], {"init": (ONE[0][:1], ONE[1])}, ValueError, "init"),
    ([2, 3, 1], {"init": (ONE[0], ONE[1][:1])}, ValueError, "init"),
    ([2, 3, 1], {"init": ([W.T for W in ONE[0]], ONE[1])}, ValueError, "init"),
    ([2, 3, 1], {"init": (ONE[0], [np.zeros(3), np.zeros(2)])}, ValueError, "init"),
    ([2, 3, 1], {"init": (ONE[0], [np.zeros(3), np.array([np.nan])])}, ValueError, "init"),
    ([2, 3, 1], {"init": ([np.full((2, 3), "a"), ONE[0][1]], ONE[1])}, TypeError, "init"),
])
def test_wrong_construction_is_refused(sizes, options, error, name):
    with pytest.raises(error) as caught:
        bp.Network(sizes, **options)
    assert type(caught.value) is error
    assert re.search(rf"\b{name}\b", str(caught.value)), str(caught.value)


@pytest.mark.parametrize("option, names", [
    ("hidden", cases.HIDDEN),
    ("output", (*cases.HIDDEN, "softmax")),
    ("loss", sorted({loss for _, loss in cases.PAIRS})),
    ("init", ("auto", "small_uniform", "small_normal", *VARIANCES)),
])
def test_unknown_names_are_answered_with_the_known_ones(option, names):
    with pytest.raises(ValueError) as caught:
        bp.Network([2, 3, 1], **{option: "sigmod"})
    message = str(caught.value)
    assert option in message and "sigmod" in message
    assert [name for name in names if name not in message] == []


class Endless:
    """A value whose repr would fill the screen."""

    def __repr__(self):
        return "endless\n" * 10**5


@pytest.mark.parametrize("value", [Endless(), "x" * 10**6, np.ones((50, 50))])
@pytest.mark.parametrize("option", ["epochs", "learning_rate", "optimizer", "shuffle", "validation", "early_stopping",
                                    "schedule", "l2", "metrics", "callbacks", "progress", "n_threads"])
def test_a_message_quotes_no_more_than_fits_a_line(option, value):
    net = bp.Network([2, 3, 1], seed=0)
    with pytest.raises((TypeError, ValueError)) as caught:
        net.train([[0, 1], [1, 0]], [0, 1], **{option: value})
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    assert option.rstrip("s") in message


@pytest.mark.parametrize("option", ["callbacks", "metrics"])
@pytest.mark.parametrize("value", [None, 3, True, 0.5, np.array(2), object()])
def test_what_is_no_list_of_functions_is_named(option, value):
    net = bp.Network([2, 3, 1], seed=0)
    with pytest.raises(TypeError, match=option):
        net.train([[0, 1], [1, 0]], [0, 1], **{option: value})


@pytest.mark.parametrize("value", ["abc", True, np.zeros((12, 2)), {"X": 1}, iter([1])])
def test_wrong_validation_is_answered_with_its_forms(value):
    net = bp.Network([2, 3, 1], seed=0)
    with pytest.raises(TypeError, match=r"^validation must be \(X, Y\), \(X, Y, weights\) or a fraction, got "):
        net.train(np.zeros((12, 2)), np.zeros(12), validation=value)


@pytest.mark.parametrize("call", [bp.load, bp.data.load, bp.Network([2, 1], seed=0).save])
@pytest.mark.parametrize("value", [None, 3, 1.5, ["model"], np.array("model"), b"x".__class__])
def test_what_is_no_path_is_named(call, value):
    with pytest.raises(TypeError, match="^path must be str, bytes or os.PathLike, got "):
        call(value)


@pytest.mark.parametrize("X, words", [
    ([[1, 2], [3, 4], [5]], "X is ragged: its rows have different lengths: row 2 has 1 values, row 0 has 2"),
    ([[1, 2], 3], "X is ragged: its rows have different lengths: row 1 is a single value, row 0 has 2"),
    ([[1, 2], ["x", 3]], "X must hold numbers, got text at row 1, column 0"),
    ([[1, 2], [3, np.nan]], "X holds NaN at row 1, column 1; every value must be finite"),
])
def test_bad_values_are_named_with_their_row_and_column(X, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        bp.Network([2, 1], seed=0).predict(X)
    assert str(caught.value) == words
