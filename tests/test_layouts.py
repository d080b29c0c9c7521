"""The same numbers in any memory layout and dtype give the same bits at every entry point: 14 layouts × 12 dtypes."""

import functools
import tempfile

import numpy as np
import pytest

import backprop as bp

pytestmark = pytest.mark.filterwarnings("ignore")        # few iterations do not converge, and that is not the subject

DTYPES = ("f2", "<f4", ">f4", "<f8", ">f8", "g", "i1", ">i2", "<i4", "i8", "u1", ">u8")
rng = np.random.default_rng(0)
N = 12
X = rng.integers(0, 6, (N, 3)).astype(float)             # whole numbers, which every dtype holds
Y = rng.integers(0, 6, (N, 2)).astype(float)
LABELS = np.arange(N) % 2.0
WEIGHT = rng.integers(1, 6, N).astype(float)


class Subclass(np.ndarray):
    pass


def part(a, *slices):
    """`a` as a part of a larger array, at the place that `slices` gives from each axis's length."""
    index = tuple(slices[:a.ndim])
    shape = [n * (s.step or 1) + (s.start or 0) + 4 for s, n in zip(index, a.shape)]
    out = np.full(shape, 77).astype(a.dtype)
    view = out[index][tuple(slice(n) for n in a.shape)]
    view[...] = a
    return view


def unaligned(a):
    out = np.frombuffer(bytearray(a.nbytes + 1), a.dtype, offset=1).reshape(a.shape)
    out[...] = a
    assert not out.flags.aligned or a.dtype.itemsize == 1
    return out


def read_only(a):
    out = a.copy()
    out.flags.writeable = False
    return out


def mapped(a):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, a)
        file.flush()
        return np.load(file.name, mmap_mode="r")


LAYOUTS = {
    "C": np.copy,
    "Fortran": np.asfortranarray,
    "strided": lambda a: part(a, slice(None, None, 2), slice(None, None, 3)),
    "reversed": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[..., ::-1].copy()[..., ::-1],
    "reversed, strided": lambda a: np.repeat(a[::-1], 2, axis=0)[::-2],
    "columns of a wider": lambda a: part(a, slice(None), slice(3, None)),
    "rows of a taller": lambda a: part(a, slice(5, None), slice(None)),
    "of three dimensions": lambda a: np.concatenate([a[None], a[None]]).swapaxes(0, 1).astype(a.dtype)[:, 1],
    "unaligned": unaligned,
    "read-only": read_only,
    "memory-mapped": mapped,
    "subclass": lambda a: a.copy().view(Subclass),
    "unmasked": lambda a: np.ma.MaskedArray(a.copy()),
}
OTHERS = {"list": lambda a: a.tolist(), "tuple": lambda a: tuple(map(tuple, a)) if a.ndim == 2 else tuple(a),
          "objects": lambda a: a if a.ndim == 1 and a.max() == 1 else a.astype(object)}    # labels are another matter


# ---- the entry points: from a change of arrays to all that comes out -------------------------------------------------

def network(seed=1):
    return bp.Network([3, 9, 2], seed=seed)


def of_network(change):
    net = network()
    worst = net.check_gradients(change(X), change(Y)).max_relative_error
    out = [worst, net.predict(change(X)), net(change(X)), *net.forward(change(X)), net.predict_one(change(X[2])),
           net.evaluate(change(X), change(Y), change(WEIGHT))]
    gradients = net.gradients(change(X), change(Y), change(WEIGHT))
    out += [*gradients.weights, *gradients.biases, gradients.inputs, *net.trace(change(X[4]), change(Y[4])).deltas[1:]]
    out += [net.learn_one(change(X[1]), change(Y[1]), 0.01), net.parameters]
    net.set_parameters(change(np.arange(float(net.n_parameters))))
    return [*out, net.parameters]


def of_training(change):
    net, out = network(), []
    for options in ({"batch_size": 4}, {"batch_size": 4, "optimizer": "adam", "n_threads": 2},
                    {"batch_size": "full", "optimizer": "levenberg_marquardt"}):
        history = net.train(change(X), change(Y), epochs=2, sample_weight=change(WEIGHT), metrics="r2",
                            validation=(change(X[:5]), change(Y[:5]), change(WEIGHT[:5])), **options)
        out += [history.loss, history.val_loss, history.r2, net.parameters]
    net.train([(change(X[:7]), change(Y[:7]), change(WEIGHT[:7])), (change(X[7:]), change(Y[7:]), change(WEIGHT[7:]))],
              batch_size=4, learning_rate=1e-3)
    return [*out, net.parameters]


def of_initial_arrays(change):
    weights, biases = [change(np.arange(27.0).reshape(3, 9)), change(np.arange(18.0).reshape(9, 2))], [
        change(np.arange(9.0)), change(np.arange(2.0))]
    return [bp.Network([3, 9, 2], init=(weights, biases)).parameters]


def of_several_networks(change):
    nets = [network(1), network(2)]
    bp.train_many(nets, (change(X), change(Y), change(WEIGHT)), 1, epochs=2)
    ensemble = bp.Ensemble([network(3), network(4)], seed=0)
    ensemble.train(change(X), change(Y), change(WEIGHT), n_threads=1, learning_rate=1e-3)
    points = bp.grid([3, 4, 2], change(X), change(Y), {"learning_rate": [1e-3, 1e-2]}, n_threads=1, seed=0,
                     validation=(change(X[:5]), change(Y[:5])), sample_weight=change(WEIGHT))
    return [nets[0].parameters, nets[1].parameters, ensemble.predict(change(X)), ensemble.spread(change(X)),
            ensemble.predict_each(change(X)), *[point.score for point in points]]


def of_perceptron(change):
    out = []
    for options in ({}, {"rule": "batch"}, {"average": True}, {"pocket": True}):
        p = bp.Perceptron(max_iter=5, random_state=0, **options)
        p.fit(change(X), change(LABELS), sample_weight=change(WEIGHT))
        out += [p.coef_, p.intercept_, p.predict(change(X)), p.decision_function(change(X)),
                p.signed_distance(change(X)), p.margin(change(X), change(LABELS)),
                p.error(change(X), change(LABELS)), p.score(change(X), change(LABELS))]
    p = bp.Perceptron(random_state=0).partial_fit(change(X), change(LABELS), classes=[0, 1])
    return [*out, p.coef_]


def of_classifier(change):
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    c = bp.MLPClassifier(**options).fit(change(X), change(LABELS), sample_weight=change(WEIGHT))
    out = [c.network_.parameters, c.predict(change(X)), *map(Rounded, (
        *c.coefs_, c.predict_proba(change(X)), c.predict_log_proba(change(X)), c.decision_function(change(X)))),
        c.score(change(X), change(LABELS))]
    c = bp.MLPClassifier(**options).partial_fit(change(X), change(LABELS), classes=[0, 1])
    return [*out, c.network_.parameters]


def of_regressor(change):
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    r = bp.MLPRegressor(**options).fit(change(X), change(Y), sample_weight=change(WEIGHT))
    out = [r.network_.parameters, *map(Rounded, (*r.coefs_, r.predict(change(X)))),
           FromRounded(r.score(change(X), change(Y)))]
    return [*out, bp.MLPRegressor(**options).partial_fit(change(X), change(Y)).network_.parameters]


def of_descent(change):
    found = bp.gradient_descent(lambda w: float(w @ w), change(np.array([3.0, 4.0])), gradient=lambda w: change(2 * w)
                                if (w == w.round()).all() else 2 * w, learning_rate=0.5)
    return [found.w, found.values]


def of_data(change):
    standardizer = bp.data.Standardizer().fit(change(X))
    Z = standardizer.transform(change(X))
    model = bp.Model(network(), classes=change(np.array([0.0, 1.0])), scaler=standardizer)
    return [Z, standardizer.inverse_transform(change(X)), model.predict(change(X)), model.predict_proba(change(X)),
            *bp.data.split(change(X), change(LABELS), seed=0), bp.data.one_hot(change(LABELS), change(np.arange(2.0)))]


ENTRIES = {name.removeprefix("of_"): call for name, call in list(globals().items()) if name.startswith("of_")}


class Rounded:
    """What an MLP hands out for float32, as scikit-learn's does: the same bits, and rounded to float32 at the end."""

    def __init__(self, value):
        self.value = value


class FromRounded(float):
    """What follows from rounded numbers, and has its bits where nothing is rounded."""


def flat(numbers, dtype=float):
    """The bits of all numbers, those to be rounded as `dtype`."""
    rounded = [value.value.astype(dtype) if isinstance(value, Rounded) else value for value in numbers
               if np.dtype(dtype) == np.float64 or not isinstance(value, FromRounded)]
    return b"".join(np.ascontiguousarray(value, dtype=float).tobytes() for value in rounded)


@functools.cache
def plain(entry, dtype=float):
    return flat(ENTRIES[entry](np.copy), dtype)


def agrees(entry, layout):
    """Whether the entry gives the bits of plain arrays and leaves what it was given as it was."""
    given = []

    def change(a):
        out = layout(a)
        given.append((out, np.array(out)))
        return out

    found = ENTRIES[entry](change)
    for array, before in given:
        np.testing.assert_array_equal(np.asarray(array), before)
    handed_out = {value.value.dtype for value in found if isinstance(value, Rounded)}
    dtype = np.dtype(np.float32 if handed_out and given[0][1].dtype == np.float32 else float)
    assert handed_out <= {dtype}
    return flat(found, dtype) == plain(entry, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_layout_and_dtype_gives_the_same_bits(entry, layout):
    wrong = [dtype for dtype in DTYPES
             if not agrees(entry, lambda a, dtype=dtype: LAYOUTS[layout](a.astype(dtype)))]
    assert wrong == []


@pytest.mark.parametrize("layout", OTHERS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_array_gives_the_same_bits(entry, layout):
    assert agrees(entry, OTHERS[layout])


def test_the_matrix_is_whole():
    assert len(LAYOUTS) >= 14 and len(DTYPES) >= 12
    for name, layout in LAYOUTS.items():
        for a in (X, LABELS):
            out = layout(a.astype(">i2"))
            assert out.dtype == ">i2" and (np.asarray(out) == a).all(), name
