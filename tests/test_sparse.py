"""Sparse inputs give the bits of dense ones, a block at a time; frames of pandas and polars those of their numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import backprop as bp
from backprop import _check, _sparse

sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")

RNG = np.random.default_rng(1)
X = np.where(RNG.random((300, 40)) < 0.15, RNG.normal(size=(300, 40)), 0.0)
LABELS = RNG.integers(0, 3, 300)
Y = np.eye(3)[LABELS]
WEIGHT = RNG.integers(0, 3, 300).astype(float)


@pytest.fixture(params=[False, True], ids=["dense at once", "in blocks"])
def blocks(request, monkeypatch):
    """Small sparse inputs are made dense at once; here also block by block, as large ones."""
    if request.param:
        monkeypatch.setattr(_sparse, "BLOCK_BYTES", 8 * 40 * 20)
        monkeypatch.setattr(_sparse, "MIN_BLOCK", 1)
    return request.param


def network(**options):
    return bp.Network([40, 7, 3], loss="log_loss", seed=2, **options)


def quartic(Y, P):
    return ((Y - P)**4).sum(axis=1), -4 * (Y - P)**3


@pytest.mark.parametrize("columns", [1, 2])
def test_few_columns(columns):
    few, ours, theirs = X[:, :columns] + 0.0, bp.Network([columns, 3, 3], seed=2), bp.Network([columns, 3, 3], seed=2)
    ours.train(sparse.csr_matrix(few), Y, epochs=2, batch_size=7)
    theirs.train(few, Y, epochs=2, batch_size=7)
    assert_array_equal(ours.predict(sparse.csr_matrix(few)), theirs.predict(few))


CASES = {
    "one at a time": {}, "in order": {"shuffle": False, "batch_size": 3}, "batches": {"batch_size": 32},
    "full": {"batch_size": "full", "optimizer": "rprop"}, "weights": {"sample_weight": WEIGHT, "batch_size": 9},
    "dropout": {"dropout": 0.3, "batch_size": 32, "optimizer": "adam"},
    "validation": {"validation": 0.2, "batch_size": 16, "metrics": ("accuracy", "gradient_norm"), "early_stopping": 1},
    "penalties": {"l2": 0.01, "clip_norm": 1.0, "batch_size": 32}, "classes": {"class_weight": "balanced"},
    "solver": {"optimizer": "lbfgs", "batch_size": "full"}, "budget": {"max_updates": 450},
    "threads": {"batch_size": 64, "n_threads": 2},
}


@pytest.mark.parametrize("case", CASES)
def test_training_has_the_bits_of_dense_rows(case, blocks, monkeypatch):
    results = []
    for inputs in (X, sparse.csr_array(X)):
        net = network()
        history = net.train(inputs, Y, epochs=3, **CASES[case])
        net.train(inputs, Y, epochs=1, **CASES[case])
        columns = history.to_dict()
        for name in ("seconds", "examples_per_second"):
            del columns[name]
        results.append((net.parameters.tobytes(), columns, net.epochs_trained))
    if case == "solver":                   # L-BFGS sums its loss over slices of time, so that bits are not promised
        np.testing.assert_allclose(*[np.frombuffer(parameters) for parameters, _, _ in results], rtol=1e-9)
    else:
        assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "coo_array", "lil_matrix", "dok_array",
                                  "bsr_array"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, bool])
def test_every_kind_of_sparse_array(kind, dtype, blocks):
    A = (X * 10).astype(dtype)
    net, inputs = network(), getattr(sparse, kind)(A)
    assert_array_equal(net.predict(inputs), net.predict(A))
    assert net.evaluate(inputs, Y, WEIGHT) == net.evaluate(A, Y, WEIGHT)
    assert_array_equal(net.gradients(inputs, Y).weights[0], net.gradients(A, Y).weights[0])
    history = net.train(A, Y, validation=(inputs, Y))
    assert history.val_loss[0] == pytest.approx(net.evaluate(A, Y), rel=0, abs=0)
    assert (inputs.toarray() == A).all() and inputs.dtype == dtype


def test_losses_of_ones_own(blocks):
    results = []
    for inputs in (X, sparse.csr_array(X)):
        net = bp.Network([40, 5, 3], loss=quartic, seed=0)
        net.train(inputs, Y, epochs=2, batch_size=10, learning_rate=0.01)
        results.append([net.evaluate(inputs, Y), *net.parameters])
    assert_array_equal(*results)


def test_duplicates_and_disorder(blocks):
    """Entries of one place add up; the caller's array stays as it is."""
    rows, columns = np.array([2, 0, 0, 1]), np.array([3, 1, 1, 0])
    coo = sparse.coo_array((np.array([1.0, 2.0, 3.0, 4.0]), (rows, columns)), (30, 40))
    csr = sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([5, 1, 1]), np.array([0, 3])), (1, 40))
    net = network()
    for A in (coo, csr):
        before = A.copy()
        assert_array_equal(net.predict(A), net.predict(A.toarray()))
        assert A.nnz == before.nnz and (A.data == before.data).all()


def test_no_more_than_a_block_is_made_dense(monkeypatch):
    """30,000 x 20,000 numbers would be 4.8 GB."""
    wide = sparse.random(30_000, 20_000, 1e-4, format="csr", rng=np.random.default_rng(0))
    most = []
    original = _sparse.SparseRows.__getitem__

    def watched(self, index):
        out = original(self, index)
        most.append(out.nbytes)
        return out

    monkeypatch.setattr(_sparse.SparseRows, "__getitem__", watched)
    net = bp.Network([20_000, 2, 1], seed=0)
    y = np.zeros(30_000)
    net.train(wide[:3000], y[:3000], batch_size=16, optimizer="adam", validation=(wide[:1000], y[:1000]))
    net.predict(wide[:3000])
    net.evaluate(wide[:3000], y[:3000])
    assert most and max(most) <= max(_sparse.BLOCK_BYTES, 64 * 20_000 * 8)


@pytest.mark.parametrize("bad, error, words", [
    (lambda A: A[:, :9], ValueError, "X has 9 columns, expected 40"), (lambda A: A[:0], ValueError, "empty"),
    (lambda A: A * 1j, ValueError, "real"), (lambda A: A * np.nan, ValueError, "X holds NaN at row"),
    (lambda A: A * 1e308 * 10, ValueError, "X holds infinity at row")])
@pytest.mark.parametrize("call", ["predict", "evaluate", "train"])
def test_bad_sparse_arrays_are_refused(call, bad, error, words):
    net = network()
    before = net.parameters
    with np.errstate(all="ignore"):
        inputs = bad(sparse.csr_array(X))
    with pytest.raises(error, match=words):
        getattr(net, call)(inputs, *([] if call == "predict" else [Y]))
    assert_array_equal(net.parameters, before)


def test_a_sparse_vector_is_no_matrix():
    with pytest.raises(ValueError, match=r"X must be a 2-D array, got 1-D with shape \(40,\)"):
        network().predict(sparse.coo_array(X[0]))


def test_a_checkpoint_holds_sparse_rows_by_their_numbers(blocks, tmp_path):
    """In blocks or at once: the checksum is of the dense rows, and other rows do not go on from it."""
    path, inputs = tmp_path / "net", sparse.csr_array(X)
    network().train(inputs, Y, epochs=1, checkpoint_path=path)
    bp.load(path).train(inputs, Y, epochs=1, checkpoint_path=path)
    with pytest.raises(bp.errors.CheckpointMismatchError, match="differs from this one in X;"):
        bp.load(path).train(2 * inputs, Y, epochs=1, checkpoint_path=path)


def test_split_leaves_them_sparse():
    parts = bp.data.split(sparse.coo_array(X), LABELS, 0.2, stratify=True, seed=3)
    for part, expected in zip(parts, bp.data.split(X, LABELS, 0.2, stratify=True, seed=3)):
        assert_array_equal(part.toarray() if sparse.issparse(part) else part, expected)
    assert sparse.issparse(parts[0]) and parts[0].format == "csr"
    with pytest.raises(ValueError, match="y has 9"):
        bp.data.split(sparse.coo_array(X), LABELS[:9])


def test_corrupt_sparse_arrays_are_refused():
    for field, value in (("indices", 40), ("indices", -1), ("indptr", 10**6)):
        inputs = sparse.csr_array(X)
        getattr(inputs, field)[-1] = value
        with pytest.raises(ValueError, match="X is no whole sparse array"):
            network().predict(inputs)


def test_the_first_bad_value_is_named():
    inputs = sparse.csr_array(X)
    row, column = int(np.argmax((X != 0).any(axis=1))) + 2, int(np.argmax(X[2] != 0))
    A = X.copy()
    A[row, column] = np.inf
    with pytest.raises(ValueError, match=f"infinity at row {row}, column {column}"):
        network().predict(sparse.csr_array(A))
    network().predict(inputs)


# ---- frames ----------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


COLUMNS = {"age": [1, 2, 3], "height": [0.5, 1.5, -2.0], "member": [True, False, True]}
NUMBERS = np.array([[1, 0.5, 1], [2, 1.5, 0], [3, -2, 1]])


def test_frames_are_their_numbers(library):
    frame, y = library.DataFrame(COLUMNS), library.Series([1.0, 2.0, 3.0])
    a, b = bp.Network([3, 2, 1], seed=0), bp.Network([3, 2, 1], seed=0)
    a.train(frame, y, epochs=2, validation=(frame, y))
    b.train(NUMBERS, y.to_numpy(), epochs=2)
    assert_array_equal(a.parameters, b.parameters)
    assert_array_equal(a.predict(frame), b.predict(NUMBERS))
    assert a.evaluate(frame, library.DataFrame({"y": [1, 2, 3]})) == b.evaluate(NUMBERS, [1, 2, 3])
    X_train, _, y_train, _ = bp.data.split(frame, library.Series(["u", "v", "u"]), 1, seed=0)
    assert X_train.shape == (2, 3) and y_train.dtype.kind == "U"
    assert_array_equal(bp.data.one_hot(library.Series(["b", "a", "b"])), [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize("column, error, words", [
    (["x", "y", "z"], TypeError, "column 'city' must hold numbers, got dtype"),
    ([1.0, None, 3.0], ValueError, "column 'city' has a missing value at row 1"),
    ([1, 2, None], ValueError, "column 'city' has a missing value at row 2"),
    ([[1], [2], [3]], TypeError, "column 'city' must hold numbers")])
def test_bad_columns_are_named(library, column, error, words):
    frame = library.DataFrame({"age": [1, 2, 3], "city": column})
    net = bp.Network([2, 1], seed=0)
    for call in (lambda: net.predict(frame), lambda: net.train(frame, [1, 2, 3]),
                 lambda: net.evaluate(frame, [1, 2, 3])):
        with pytest.raises(error, match=words):
            call()
    with pytest.raises(error, match="Y: " + words):
        net.train(np.ones((3, 2)), library.Series(column, name="city") if library.__name__ == "pandas"
                  else library.Series("city", column))


def test_missing_labels_are_located(library):
    with pytest.raises(ValueError, match="y has a missing label at row 1"):
        _check.labels(library.Series(["a", None, "b"]))


def test_nullable_and_categorical_columns_of_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    net = bp.Network([2, 1], seed=0)
    frame = pandas.DataFrame({"a": pandas.array([1, 2], dtype="Int64"), "b": pandas.array([0.5, 1], dtype="Float32")})
    assert_array_equal(net.predict(frame), net.predict([[1, 0.5], [2, 1]]))
    frame["a"] = pandas.array([1, None], dtype="Int64")
    with pytest.raises(ValueError, match="column 'a' has a missing value at row 1"):
        net.predict(frame)
    for column in (pandas.Categorical([1, 2]), pandas.to_datetime(["2020", "2021"]), np.array([1, 2], object)):
        frame["a"] = column
        with pytest.raises(TypeError, match="column 'a' must hold numbers, got dtype"):
            net.predict(frame)
    assert bp.data.one_hot(pandas.Series(pandas.Categorical(["u", "v"]))).tolist() == [[1, 0], [0, 1]]
    assert bp.data.one_hot(pandas.DataFrame({"y": [3, 2]})).tolist() == [[0, 1], [1, 0]]


def test_nothing_optional_is_loaded():
    program = ("import sys, numpy as np, backprop as bp\n"
               "net = bp.Network([2, 1], seed=0)\n"
               "net.train(np.ones((4, 2)), np.ones(4)); net.predict(np.ones((4, 2))); bp.data.digits()\n"
               "print(sorted({'scipy', 'pandas', 'polars', 'pyarrow'} & set(sys.modules)))")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.stdout == "[]\n", run.stderr
