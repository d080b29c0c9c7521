"""Streams: the bits of training in memory, chunk by chunk, in bounded memory; what goes wrong leaves nothing behind."""

import functools
import gzip
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import backprop as bp
from backprop import data, sources, streams
from backprop.errors import ConcurrentUseError, DataFormatError, DivergenceError

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(203, 5)), RNG.normal(size=(203, 1))
TABLE = np.column_stack([X, Y])
LABELS = np.array(["red", "green", "blue"])[RNG.integers(0, 3, 203)]
NAMES = ["a", "b", "c", "d", "e", "y"]


def csv(table, header=NAMES):
    return "\n".join([",".join(header), *(",".join(map(str, row)) for row in table)]) + "\n"


def idx(array, code=0x0E):
    array = array.astype({0x08: ">u1", 0x0E: ">f8"}[code])
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def npy(folder, array, name="x.npy"):
    np.save(folder / name, array)
    return folder / name


@pytest.fixture
def files(tmp_path):
    """{format: (path, arguments of stream)}, all of the same examples."""
    npy(tmp_path, TABLE)
    npy(tmp_path, np.asfortranarray(TABLE), "f.npy")
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes(), 1))
    (tmp_path / "x.csv").write_text(csv(TABLE.tolist()))
    (tmp_path / "q.csv").write_text(csv([[f'"{cell}"' for cell in row] for row in TABLE.tolist()]))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes(), 1))
    (tmp_path / "x.svm").write_text("".join(
        " ".join([repr(row[-1]), *(f"{j}:{x!r}" for j, x in enumerate(row[:-1]))]) + "\n" for row in TABLE.tolist()))
    (tmp_path / "images.idx").write_bytes(idx(X.reshape(203, 5, 1)))
    (tmp_path / "labels.idx").write_bytes(idx(Y[:, 0]))
    found = {"npy": ("x.npy", -1, {}), "fortran": ("f.npy", 5, {}), "npy.gz": ("x.npy.gz", 5, {}),
             "csv": ("x.csv", "y", {}), "quoted": ("q.csv", 5, {"header": True}), "csv.gz": ("x.csv.gz", "y", {}),
             "libsvm": ("x.svm", None, {"zero_based": True}),
             "dense libsvm": ("x.svm", None, {"zero_based": True, "sparse": False, "n_features": 5}),
             "idx": ("images.idx", "labels.idx", {})}
    return {name: (tmp_path / file, target, options) for name, (file, target, options) in found.items()}


FORMATS = ["npy", "fortran", "npy.gz", "csv", "quoted", "csv.gz", "libsvm", "dense libsvm", "idx"]
SEEKABLE = [name for name in FORMATS if not name.endswith("gz")]
OPTIONS = [{"batch_size": 1}, {"batch_size": 7, "optimizer": "adam"}, {"batch_size": 64, "dropout": 0.25},
           {"batch_size": 500, "optimizer": "momentum"}]


def network():
    return bp.Network([5, 6, 1], seed=3)


def in_memory(**options):
    net = network()
    return net, net.train(X, Y, epochs=2, shuffle=False, learning_rate=0.01, **options)


def pieces(size, *more):
    return [(X[i:i + size], Y[i:i + size], *(part[i:i + size] for part in more)) for i in range(0, len(X), size)]


def long_chunk():
    return np.tile(X, (3000, 1)), np.tile(Y, (3000, 1))


def no_thread_is_left():
    return not any(thread.name.startswith("backprop") for thread in threading.enumerate())


@pytest.fixture
def threads(monkeypatch):
    """Every chunk has a thread, however short its training."""
    monkeypatch.setattr(sources, "BESIDE_SECONDS", 0.0)


# ---- the same bits ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(options["batch_size"]))
@pytest.mark.parametrize("size", [1, 7, 50, 64, 203, 1000])
def test_the_size_of_chunks_changes_no_bit(options, size, threads):
    expected, history = in_memory(**options)
    net = network()
    other = net.train(pieces(size), epochs=2, learning_rate=0.01, **options)
    assert_array_equal(net.parameters, expected.parameters)
    assert other.loss == history.loss and other.stop_reason == "epochs"
    assert no_thread_is_left()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [13, 203, 70_000])
def test_every_format_gives_the_bits_of_memory(files, name, rows, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_BYTES", 500)
    path, target, options = files[name]
    stream = data.stream(path, target, chunk_rows=rows, **options)
    expected, history = in_memory(batch_size=8)
    net = network()
    assert net.train(stream, epochs=2, batch_size=8, learning_rate=0.01).loss == history.loss
    assert_array_equal(net.parameters, expected.parameters)
    assert stream.n_features == 5 and stream.n_targets == 1 and stream.classes is None
    assert stream.n_rows in (203, None)


def test_what_makes_the_chunks_is_called_for_every_epoch(threads):
    """A generator, which gives its chunks once, is for one epoch; its function is for any number."""
    calls = []

    def chunks(size=50):
        calls.append(size)
        yield from pieces(size)

    class Table:
        def chunks(self):
            return chunks(7)

    expected, history = in_memory(batch_size=8)
    for X in (chunks, functools.partial(chunks, 20), Table().chunks, lambda: pieces(50)):
        net = network()
        assert net.train(X, epochs=2, batch_size=8, learning_rate=0.01).loss == history.loss
        assert_array_equal(net.parameters, expected.parameters)
    assert calls == [50, 50, 20, 20, 7, 7]
    with pytest.raises(ValueError, match="X is an iterator .* the function that makes it, which is called for every"):
        network().train(chunks(), epochs=2)
    with pytest.raises(TypeError, match=r"X\(\) must be an iterable of chunks, got NoneType"):
        network().train(lambda: None)


def test_a_memory_mapped_array_is_not_copied(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (100_000, 40))
    target = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float64, (100_000, 1))
    net = bp.Network([40, 2, 1], seed=0)
    tracemalloc.start()
    try:
        net.train(mapped, target, batch_size=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert net.epochs_trained == 1 and peak < mapped.nbytes / 16         # the order of visits is 1/40


@pytest.mark.parametrize("call", [
    lambda net, stream: net.train(stream, Y), lambda net, stream: net.predict(stream),
    lambda net, stream: net.evaluate(stream, Y), lambda net, stream: bp.Ensemble([net]).train(stream, Y),
    lambda net, stream: bp.grid([5, 1], stream, Y, {"epochs": [1]})],
    ids=["train", "predict", "evaluate", "Ensemble", "grid"])
def test_a_stream_in_the_place_of_an_array_is_named(files, call):
    path, target, _ = files["npy"]
    with pytest.raises(TypeError, match="X must be an array of numbers, got Stream; Network.train alone takes"):
        call(network(), data.stream(path, target))


def test_memory_mapped_arrays_and_teams(files, tmp_path):
    expected, _ = in_memory(batch_size=8)
    mapped = np.load(files["npy"][0], mmap_mode="r")
    net = network()
    net.train(mapped[:, :5], mapped[:, 5], epochs=2, batch_size=8, shuffle=False, learning_rate=0.01)
    assert_array_equal(net.parameters, expected.parameters)
    net = network()
    net.train(pieces(50), epochs=2, batch_size=8, learning_rate=0.01, n_threads=2)
    assert_array_equal(net.parameters, expected.parameters)


def test_the_one_example_kernel_on_sparse_chunks():
    """Lists of non-zero inputs are made chunk by chunk."""
    sparse = np.where(RNG.random((120, 40)) < 0.2, 1.5, 0.0)
    results = []
    for arguments in ((sparse, Y[:120]), ([(sparse[:50], Y[:50]), (sparse[50:], Y[50:120])],)):
        net = bp.Network([40, 6, 1], seed=0)
        net.train(*arguments, epochs=2, shuffle=False, learning_rate=0.01)
        results.append(net.parameters)
    assert_array_equal(*results)


def test_weights_of_chunks_are_used_as_they_are():
    weight = np.where(np.arange(203) % 2, 0.5, 1.5)
    weight[-1] = 1.0                                                    # their mean is exactly 1
    expected, history = in_memory(batch_size=6, sample_weight=weight)
    net = network()
    assert net.train(pieces(50, weight), epochs=2, batch_size=6, learning_rate=0.01).loss == history.loss
    assert_array_equal(net.parameters, expected.parameters)
    doubled, single = network(), network()
    doubled.train(pieces(50, np.full(203, 2.0)), batch_size=6, learning_rate=0.01)
    single.train(pieces(50), batch_size=6, learning_rate=0.02)
    np.testing.assert_allclose(doubled.parameters, single.parameters, rtol=1e-12)


def test_chunks_with_and_without_weights_and_chunks_that_weigh_nothing():
    part = pieces(50)
    net, other = network(), network()
    net.train([part[0], (*part[1], np.ones(50)), (*part[2], None)], batch_size=8)
    other.train(part[:3], batch_size=8)
    assert_array_equal(net.parameters, other.parameters)
    before = net.parameters
    net.train([(*part[0], np.zeros(50)), (X[:0], Y[:0])], batch_size=8)
    assert_array_equal(net.parameters, before)


def test_sparse_chunks():
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    net, expected = network(), network()
    net.train([(sparse.csr_array(A), B) for A, B in pieces(50)], epochs=2, batch_size=8)
    expected.train(X, Y, epochs=2, batch_size=8, shuffle=False)
    assert_array_equal(net.parameters, expected.parameters)


def test_a_loss_of_ones_own():
    def quartic(Y, P):
        return ((Y - P)**4).sum(axis=1), -4 * (Y - P)**3

    results = []
    for arguments in ((X, Y), (pieces(50),)):
        net = bp.Network([5, 6, 1], loss=quartic, seed=3)
        history = net.train(*arguments, epochs=2, batch_size=8, shuffle=False, learning_rate=0.001)
        results.append([*net.parameters, *history.loss])
    assert_array_equal(*results)


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    def write(columns, name="x.parquet"):
        parquet.write_table(pa.table(columns), tmp_path / name, row_group_size=60)
        return tmp_path / name

    columns = dict(zip(NAMES, TABLE.T.copy()))
    for rows in (13, 60, 1000):
        stream = data.stream(write(columns), "y", rows)
        assert (stream.n_rows, stream.n_features, stream.feature_names) == (203, 5, NAMES[:5])
        expected, history = in_memory(batch_size=8)
        net = network()
        assert net.train(stream, epochs=2, batch_size=8, learning_rate=0.01).loss == history.loss
        assert_array_equal(net.parameters, expected.parameters)
        shuffled = data.stream(tmp_path / "x.parquet", "y", rows, True, 1)
        first, second = rows_of(shuffled, 0), rows_of(shuffled, 1)
        assert_array_equal(rows_of(shuffled, 0), first)
        assert (first != second).any()
        assert_array_equal(first[np.lexsort(first.T)], TABLE[np.lexsort(TABLE.T)])
        assert [len(A) for A, _ in shuffled] == [rows] * (203 // rows) + [203 % rows]       # whatever the row groups
    for labels in (LABELS, pa.array(LABELS).dictionary_encode()):
        path = write({**columns, "y": labels})
        stream = data.stream(path, "y", 50, classes="auto")
        assert stream.classes.tolist() == ["blue", "green", "red"]
        assert_array_equal(np.concatenate([B for _, B in stream]), data.one_hot(LABELS))
        with pytest.raises(DataFormatError, match="classes='auto'"):
            data.stream(path, "y")
        with pytest.raises(DataFormatError, match=r"'blue'|blue .* at row|none of the classes red, green at row"):
            list(data.stream(path, "y", classes=["red", "green"]))
    with pytest.raises(DataFormatError, match="'y' holds string, not numbers"):
        data.stream(write({**columns, "y": LABELS}), "a")
    for value, words in ((None, "column 'b' is missing at row 77"),
                         (np.inf, "inf of column 'b' is not a finite .* row 77")):
        holes = columns["b"].tolist()
        holes[77] = value
        for seed in (None, 1, 2):                # a shuffled one tells the row in the file too
            with pytest.raises(DataFormatError, match=words):
                list(data.stream(write({**columns, "b": pa.array(holes)}), "y", 50, seed is not None, seed))
    for value, words in (([], "the file has no rows of data"),
                         ([[1]], r"the target 'y' holds list<.*>, neither numbers")):
        with pytest.raises(DataFormatError, match=words):
            data.stream(write({"a": pa.array([1.0][:len(value)]), "y": pa.array(value)}), "y", classes="auto")
    parquet.write_table(pa.table([[1.0], [2.0]], names=["a", "a"]), tmp_path / "x.parquet")
    with pytest.raises(DataFormatError, match="two columns have the same name"):
        data.stream(tmp_path / "x.parquet")
    (X, Y), = data.stream(write({"a": columns["a"], "b": np.arange(203)}))
    assert Y is None and X[:, 1].tolist() == list(range(203))
    (_, Y), = data.stream(write({"a": columns["a"], "y": np.arange(203)}), "y")
    assert Y.ravel().tolist() == list(range(203))
    parquet.write_table(pa.table({"a": columns["a"]}), tmp_path / "x.parquet", compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[4:24] = bytes(255 for _ in range(20))            # the head of the first page
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataFormatError, match="damaged data"):
        list(data.stream(tmp_path / "x.parquet"))
    for kind, value in (("int64", 2**53 + 1), ("int64", -2**63 + 1), ("uint64", 2**64 - 1)):
        whole = np.arange(203).astype(kind)
        whole[77] = value
        for target in ("y", "b"):                # among the features, and as the target
            with pytest.raises(DataFormatError, match=f"{value} (of column 'b' )?does not fit float64 .* at row 77"):
                list(data.stream(write({**columns, "b": whole}), target, 50))
        assert value in data.stream(tmp_path / "x.parquet", "b", classes="auto").classes.tolist()
    content = write(columns).read_bytes()
    for size in (0, 4, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.parquet").write_bytes(content[:size])
        with pytest.raises(DataFormatError, match="not a whole Parquet file"):
            data.stream(tmp_path / "cut.parquet", "y")
    with pytest.raises(FileNotFoundError):
        data.stream(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="header and delimiter"):
        data.stream(write(columns), header=True)


def test_parquet_does_not_import_pandas(tmp_path):
    """pyarrow does at the first `to_numpy`, half a second in which it would lose a Ctrl-C."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    kinds = ["int8", "uint64", "float16", "float32", "float64", "bool"]
    table = {kind: np.array([1, 0, 1], kind) for kind in kinds}
    parquet.write_table(pa.table({**table, "label": ["a", "b", "a"]}), tmp_path / "x.parquet")
    code = ("import sys, backprop as bp; X, Y = next(iter(bp.data.stream(sys.argv[1], 'label', classes='auto'))); "
            "print(X.T.tolist(), Y.T.tolist(), 'pandas' in sys.modules)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "x.parquet"], capture_output=True, text=True,
                         env=environment, timeout=60)
    assert run.stdout == f"{[[1.0, 0.0, 1.0]] * 6} [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]] False\n", run.stderr
    stream = data.stream(tmp_path / "x.parquet", "bool", classes="auto", drop="label")
    assert stream.classes.tolist() == [False, True] and next(iter(stream))[1].argmax(axis=1).tolist() == [1, 0, 1]


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"backprop-core\[parquet\]"):
        data.stream(tmp_path / "x.parquet")


# ---- order -----------------------------------------------------------------------------------------------------------

def rows_of(stream, number):
    chunks = [np.column_stack([A.toarray() if hasattr(A, "toarray") else A, B]) for A, B in stream.epoch(number)]
    return np.concatenate(chunks)


@pytest.mark.parametrize("name", SEEKABLE)
def test_shuffled_epochs(files, name):
    path, target, options = files[name]
    stream = data.stream(path, target, 20, shuffle=True, seed=5, **options)
    first, second = rows_of(stream, 0), rows_of(stream, 1)
    assert_array_equal(rows_of(data.stream(path, target, 20, True, 5, **options), 1), second)
    assert_array_equal(np.concatenate([A[:] for A, _ in map(dense, stream)]), first[:, :5])
    for rows in (first, second):
        assert_array_equal(rows[np.lexsort(rows.T)], TABLE[np.lexsort(TABLE.T)])
    assert (first != second).any() and (first != TABLE).any()
    place = {row.tobytes(): i for i, row in enumerate(TABLE)}
    chunk = [place[row.tobytes()] // 20 for row in first]               # chunks stay together, in another order
    borders = np.flatnonzero(np.diff(chunk)) + 1
    assert len(borders) == 10 and np.diff(chunk)[borders - 1].tolist() != [1] * 10
    assert rows_of(data.stream(path, target, 20, True, 6, **options), 0).tolist() != first.tolist()


def dense(chunk):
    return chunk[0].toarray() if hasattr(chunk[0], "toarray") else chunk[0], chunk[1]


def test_a_seed_is_drawn_and_kept(files):
    path, target, _ = files["npy"]
    one, two = (data.stream(path, target, 20, shuffle=True) for _ in range(2))
    assert one.seed != two.seed and data.stream(path, target).seed is None
    assert_array_equal(rows_of(data.stream(path, target, 20, True, one.seed), 3), rows_of(one, 3))


@pytest.mark.parametrize("shuffle", [False, True])
def test_exact_resume_at_an_epoch(files, tmp_path, shuffle):
    path, target, _ = files["csv"]
    options = {"batch_size": 8, "optimizer": "adam", "dropout": 0.25}

    def stream():
        return data.stream(path, target, 30, shuffle=shuffle, seed=1)

    whole = network()
    whole.train(stream(), epochs=5, **options)
    net = network()
    net.train(stream(), epochs=2, **options)
    net.save(tmp_path / "net.safetensors")
    net = bp.load(tmp_path / "net.safetensors")
    net.train(stream(), epochs=3, **options)
    assert_array_equal(net.parameters, whole.parameters)


# ---- targets ---------------------------------------------------------------------------------------------------------

def test_labels_of_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(csv([[*row, label] for row, label in zip(X.tolist(), LABELS.tolist())]))
    stream = data.stream(path, "y", 50, classes="auto")
    assert stream.classes.tolist() == ["blue", "green", "red"] and stream.n_targets == 3 and stream.n_rows == 203
    assert_array_equal(np.concatenate([B for _, B in stream]), data.one_hot(LABELS))
    assert stream.feature_names == NAMES[:5] and stream.target_name == "y"
    given = data.stream(path, "y", classes=["red", "green", "blue"])
    assert_array_equal(np.concatenate([B for _, B in given]), data.one_hot(LABELS, ["red", "green", "blue"]))
    with pytest.raises(DataFormatError, match="classes='auto'") as caught:
        list(data.stream(path, "y"))
    assert (caught.value.line, caught.value.column) == (2, 6)
    with pytest.raises(DataFormatError, match="none of the classes red, green") as caught:
        list(data.stream(path, "y", 10, classes=["red", "green"]))
    assert caught.value.line == 2 + LABELS.tolist().index("blue") and caught.value.column == 6
    net = bp.Network([5, 3], loss="log_loss", seed=0)
    history = net.train(stream, epochs=3, batch_size=8, validation=(X, data.one_hot(LABELS)), metrics="accuracy")
    assert history.val_accuracy[-1] > 0 and "accuracy" not in history.keys()


@pytest.mark.parametrize("classes, expected", [("auto", [0, 1, 2]), ([2, 1, 0], [2, 1, 0])])
def test_labels_that_are_whole_numbers(tmp_path, classes, expected):
    y = RNG.integers(0, 3, 203)
    labelled = np.column_stack([X, y])
    (tmp_path / "x.csv").write_text(csv([[*row[:-1], f"{int(row[-1]):03}"] for row in labelled.tolist()]))
    (tmp_path / "x.svm").write_text("".join(f"{label} 1:1\n" for label in y))
    (tmp_path / "t-images-idx2-ubyte").write_bytes(idx(X))
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(idx(y, 0x08))
    for path, target, options in [
            (npy(tmp_path, labelled), -1, {}), (npy(tmp_path, labelled.astype(np.int32), "i.npy"), 5, {}),
            (tmp_path / "x.csv", "y", {}), (tmp_path / "x.svm", None, {"zero_based": False}),
            (tmp_path / "t-images-idx2-ubyte", None, {})]:
        stream = data.stream(path, target, 50, classes=classes, **options)
        assert stream.classes.tolist() == expected
        assert_array_equal(np.concatenate([B for _, B in stream]), data.one_hot(y, expected))
        with pytest.raises(DataFormatError, match="the target '?00?2'? |the target '?2"):
            list(data.stream(path, target, 50, classes=[0, 1], **options))


def test_too_many_classes_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_CLASSES", 10)
    (tmp_path / "x.csv").write_text(csv(TABLE.tolist()))
    for path in (tmp_path / "x.csv", npy(tmp_path, TABLE)):
        with pytest.raises(ValueError, match="more than 10 different targets"):
            data.stream(path, -1, classes="auto")


@pytest.mark.parametrize("options, error, words", [
    ({"target": None, "classes": "auto"}, ValueError, "classes are of a target"),
    ({"classes": "all"}, ValueError, "unknown classes 'all'"), ({"classes": [1, 1]}, ValueError, "twice"),
    ({"chunk_rows": 0}, ValueError, "chunk_rows"), ({"chunk_rows": 1.5}, TypeError, "chunk_rows"),
    ({"seed": -1}, ValueError, "seed"), ({"shuffle": 1}, TypeError, "shuffle"), ({"target": 9}, ValueError, "target=9"),
    ({"drop": [0, 1, 2, 3, 4]}, ValueError, "no feature"), ({"zero_based": True}, ValueError, "LIBSVM"),
    ({"header": True}, ValueError, "header")])
def test_arguments(files, options, error, words):
    with pytest.raises(error, match=words):
        data.stream(files["npy"][0], **{"target": -1, **options})


def test_without_a_target(files):
    path, _, _ = files["npy"]
    stream = data.stream(path, chunk_rows=100)
    assert [(A.shape, B) for A, B in stream] == [((100, 6), None), ((100, 6), None), ((3, 6), None)]
    assert repr(stream) == "Stream('x.npy': 203 rows x 6 features, no target, chunks of 100 rows)"
    with pytest.raises(ValueError, match="no Y to train on; name the target"):
        bp.Network([6, 1]).train(stream)


def test_map(files):
    path, target, _ = files["npy"]
    scaler = data.Standardizer().fit(X)
    stream = data.stream(path, target, 50)
    mapped = stream.map(lambda A, B: (scaler.transform(A), B)).map(lambda A, B: (A, B, np.ones(len(A))))
    expected, net = network(), network()
    expected.train(scaler.transform(X), Y, shuffle=False)
    net.train(mapped)
    assert_array_equal(net.parameters, expected.parameters)
    assert len(next(iter(stream))) == 2
    with pytest.raises(TypeError, match="callable"):
        stream.map(scaler)


# ---- what is refused -------------------------------------------------------------------------------------------------

def test_chunks_that_come_only_once():
    net = network()
    assert len(net.train(iter(pieces(50)), epochs=1)) == 1
    with pytest.raises(ValueError, match="gives its chunks only once, and epochs=2"):
        net.train(iter(pieces(50)), epochs=2)

    class Once:
        def __init__(self):
            self.chunks = iter(pieces(50))

        def __iter__(self):
            return self.chunks

    net = network()
    expected = network()
    expected.train(pieces(50))
    with pytest.raises(ValueError, match="no examples for epoch 2"):
        net.train(Once(), epochs=2)
    assert net.epochs_trained == 1
    assert_array_equal(net.parameters, expected.parameters)


@pytest.mark.parametrize("options, words", [
    ({"validation": 0.2}, "a fraction of it cannot be held out"), ({"batch_size": "full"}, "batch_size='full' needs"),
    ({"optimizer": "lbfgs"}, "needs all examples at once"), ({"optimizer": "rprop"}, "needs all examples at once"),
    ({"sample_weight": np.ones(203)}, "sample_weight"), ({"class_weight": "balanced"}, "class_weight"),
    ({"metrics": "r2"}, "metrics of a stream"),
    ({"metrics": "gradient_norm", "validation": (X, Y)}, "gradient_norm"),
    ({"early_stopping": bp.EarlyStopping(monitor="r2"), "metrics": "r2", "validation": (X, Y)}, "not measured")])
def test_options_that_need_all_examples(options, words):
    net = network()
    before = net.parameters
    with pytest.raises(ValueError, match=words):
        net.train(pieces(50), **options)
    assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("chunks, error, words", [
    ([[0.0, 1.0]], TypeError, "Y is missing"),
    (5, TypeError, "Y is missing"), (X, TypeError, "Y is missing"), ("abc", TypeError, "Y is missing"),
    ([], ValueError, "no examples for epoch 1"), ([X], TypeError, "chunk 0: a chunk must be"),
    ([(X,)], TypeError, "got 1 items"), ([(X, Y), (X, Y, None, 3)], TypeError, "chunk 1: .* got 4 items"),
    ([(X, Y), (X[:, :3], Y)], ValueError, "chunk 1: X has 3 columns, expected 5"),
    ([(X, Y), (X, Y[:9])], ValueError, "chunk 1: Y has 9 rows"),
    ([(X, Y), (X, np.full(203, np.nan))], ValueError, "chunk 1: Y holds NaN at row 0"),
    ([(X, Y), (X, Y, -np.ones(203))], ValueError, "chunk 1: weights must not be negative"),
    ([(X, None)], ValueError, "chunk 0: there is no Y")])
def test_bad_chunks_change_nothing(chunks, error, words, threads):
    net = network()
    before = net.parameters
    with pytest.raises(error, match=words):
        net.train(chunks, optimizer="adam")
    assert_array_equal(net.parameters, before)
    assert net.epochs_trained == 0 and no_thread_is_left()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(save, tmp_path):
    """X, and y as numbers, as rows of numbers, as strings, or as a column of X: what `load` gives, in pieces."""
    path = tmp_path / "x.npz"
    for y, classes in ((X[:, 0], None), (X[:, :2], None), (np.where(X[:, 0] > 0, "up", "down"), "auto")):
        save(path, X=X, y=y)
        stream = data.stream(path, classes=classes, chunk_rows=50)
        chunks = list(stream)
        assert [len(part) for part, _ in chunks] == [50, 50, 50, 50, 3] and stream.n_rows == 203
        assert_array_equal(np.vstack([part for part, _ in chunks]), X)
        expected = data.one_hot(y) if classes else y.reshape(len(y), -1)
        assert_array_equal(np.vstack([part for _, part in chunks]), expected)
        assert stream.n_targets == expected.shape[1]
        assert_array_equal(np.vstack([part for _, part in stream.epoch(1)]), expected)
    save(path, X=X)
    X_read, y_read = (np.concatenate(parts) for parts in zip(*data.stream(path, -1, chunk_rows=50)))
    assert_array_equal(X_read, X[:, :-1])
    assert_array_equal(y_read[:, 0], X[:, -1])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataFormatError, match="member X: damaged data|is not a finite"):
        list(data.stream(path))


def test_files_that_cannot_be_streamed(files, tmp_path):
    np.savez(tmp_path / "x.npz", X=X)
    with pytest.raises(ValueError, match="shuffle=True needs .*x.npz is an NPZ archive; save X as NPY"):
        data.stream(tmp_path / "x.npz", shuffle=True)
    np.savez(tmp_path / "x.npz", X=np.asfortranarray(X))
    with pytest.raises(ValueError, match="an array in Fortran order .* is an NPZ archive; save X as NPY"):
        data.stream(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", X=X, y=np.array(["a"] * len(X)))
    with pytest.raises(ValueError, match="x.npz: the targets y are strings; pass classes='auto'"):
        data.stream(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", X=X, y=X[:, :2])
    with pytest.raises(ValueError, match="the targets y have two dimensions, so they are no classes"):
        data.stream(tmp_path / "x.npz", classes="auto")
    np.savez(tmp_path / "x.npz", X=X, y=X[:3, 0])
    with pytest.raises(DataFormatError, match="member y: y has 3 rows, but X has 203"):
        data.stream(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", y=X)
    with pytest.raises(DataFormatError, match="no array X in the archive; it holds y"):
        data.stream(tmp_path / "x.npz")
    for name in ("npy.gz", "csv.gz"):
        path, target, _ = files[name]
        with pytest.raises(ValueError, match="compressed; decompress it"):
            data.stream(path, target, shuffle=True)
    packed = tmp_path / "f.npy.gz"
    packed.write_bytes(gzip.compress(files["fortran"][0].read_bytes()))
    with pytest.raises(ValueError, match="Fortran order"):
        data.stream(packed)


# ---- flaws of a file -------------------------------------------------------------------------------------------------

def test_a_flaw_is_located_and_undoes_its_epoch(files, threads):
    text = files["csv"][0].read_text().splitlines()
    text[150] = text[150].replace(",", ",x", 1)
    files["csv"][0].write_text("\n".join(text))
    table = TABLE.copy()
    table[150, 2] = np.inf
    np.save(files["npy"][0], table)
    for name, where in (("csv", (151, 2, None)), ("npy", (None, None, 128 + 8 * (150 * 6 + 2)))):
        path, target, _ = files[name]
        net = network()
        net.train(X, Y, optimizer="adam", batch_size=4)
        before, slots = net.parameters, net._training_state.slots.copy()
        with pytest.raises(DataFormatError) as caught:
            net.train(data.stream(path, target, 10), epochs=2, optimizer="adam", batch_size=4)
        assert (caught.value.line, caught.value.column, caught.value.offset) == where
        assert_array_equal(net.parameters, before)
        assert_array_equal(net._training_state.slots, slots)
        assert net.epochs_trained == 1 and no_thread_is_left()


def test_a_file_that_lost_rows_since_its_first_pass_is_told_of_at_the_line_of_the_chunk(tmp_path):
    path = tmp_path / "x.csv"
    lines = ["a,y", *(f"{i},{i % 3}" for i in range(30))]
    path.write_text("\n".join(lines) + "\n")
    stream = data.stream(path, "y", 10, True, 1)
    path.write_text("\n".join(lines[:26]) + "\n")
    with pytest.raises(DataFormatError, match="has changed since the stream was made: rows are missing here") as caught:
        list(stream)
    assert caught.value.line == 22                       # of 20 rows before it and the header


def test_a_later_failure_keeps_the_epochs_before(threads):
    class Fails:
        epochs = 0

        def __iter__(self):
            self.epochs += 1
            yield from pieces(50)[:3]
            if self.epochs == 3:
                raise RuntimeError("the cable is out")

    net, expected = network(), network()
    with pytest.raises(RuntimeError, match="the cable is out"):
        net.train(Fails(), epochs=5)
    expected.train(pieces(50)[:3], epochs=2)
    assert_array_equal(net.parameters, expected.parameters)
    assert net.epochs_trained == 2 and len(net.history) == 2 and no_thread_is_left()
    net.train(pieces(50))


@pytest.mark.parametrize("name", SEEKABLE)
def test_every_truncation_is_an_error(files, name):
    path, target, options = files[name]
    content = path.read_bytes()
    for size in (0, 1, 10, 60, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        try:
            rows = sum(len(B) for _, B in data.stream(path, target, 50, **options))
        except ValueError:
            continue
        assert path.suffix in (".csv", ".svm") and content[:size].count(b"\n") + 1 >= rows    # a text, cut in a cell


@pytest.mark.parametrize("name", ["csv", "libsvm", "npy", "idx"])
def test_a_file_that_changes_under_a_stream(files, name):
    path, target, options = files[name]
    stream = data.stream(path, target, 50, shuffle=True, seed=0, **options)
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2] + b"\n")
    with pytest.raises(DataFormatError):
        list(stream)


# ---- reading beside training -----------------------------------------------------------------------------------------

def test_the_next_chunk_is_read_while_one_trains(threads):
    seen = []

    def chunks():
        for _ in range(4):
            seen.append(no_thread_is_left())
            yield long_chunk()

    network().train(chunks())
    assert seen == [True, False, False, False] and no_thread_is_left()


def test_divergence_reaches_the_caller(threads):
    net = bp.Network([5, 6, 1], hidden="relu", seed=3)
    with pytest.raises(DivergenceError, match="in epoch 1"):
        net.train([(1e150 * A, B) for A, B in pieces(50)], learning_rate=10.0)
    assert np.isfinite(net.parameters).all() and no_thread_is_left()
    net.reset(0).train(pieces(50), learning_rate=1e-3)


def test_training_a_network_from_its_own_chunks_is_refused():
    net = network()

    def chunks():
        yield X, Y
        net.train(X, Y)

    with pytest.raises(ConcurrentUseError):
        net.train(chunks())


def test_ctrl_c_while_a_chunk_is_read(threads):
    def chunks():
        yield long_chunk()
        signal.raise_signal(signal.SIGINT)
        yield X, Y

    net = network()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        net.train(chunks())
    assert time.perf_counter() - started < 5.0
    assert np.isfinite(net.parameters).all() and no_thread_is_left()
    assert net.history.stop_reason == "interrupted"
    net.train(X, Y)


def test_ctrl_c_while_a_chunk_trains():
    chunk, pressed = long_chunk(), []

    def press():
        time.sleep(0.3)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    net = network()
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            net.train([chunk] * 100)
        assert time.perf_counter() - pressed[0] < 0.5
    finally:
        thread.join()
    assert np.isfinite(net.parameters).all() and no_thread_is_left()


def test_budgets_and_listeners():
    net = network()
    history = net.train(pieces(50), epochs=9, batch_size=10, max_updates=30)
    assert history.stop_reason == "max_updates" and len(history) == 2 and net._training_state.visits == 203 + 90
    expected = network()
    expected.train(X, Y, epochs=9, batch_size=10, max_updates=30, shuffle=False)
    assert_array_equal(net.parameters, expected.parameters)
    seen = []
    net.train(pieces(50), epochs=3, callbacks=lambda state: seen.append(state.logs["val_loss"]), validation=(X, Y),
              early_stopping=2, schedule="step", batch_size=10)
    assert len(seen) == 3 and net.history.best_epoch is not None
    started = time.perf_counter()
    history = net.train([long_chunk()], epochs=1000, max_seconds=0.3)
    assert history.stop_reason == "max_seconds" and time.perf_counter() - started < 1.5


MEMORY = """
import sys
import numpy as np
import backprop as bp
from pathlib import Path

def peak():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

net = bp.Network([40, 4, 1], seed=0)
for path in sys.argv[1:3]:
    before = peak()
    stream = bp.data.stream(path, -1, chunk_rows=5_000, shuffle=sys.argv[3] == "True", seed=0)
    net.train(stream, batch_size=8, optimizer="adam")
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells resident memory by /proc")
@pytest.mark.parametrize("kind, shuffle", [("C.npy", True), ("F.npy", False), ("x.parquet", False)])
def test_memory_is_bounded_by_chunks(tmp_path, shuffle, kind):
    """A file of ten times what may be added to the process, after a small one. NPY: of zeros and a one, which takes no
    room on the disk; Parquet: all rows in one group."""
    paths = [tmp_path / f"small-{kind}", tmp_path / kind]
    for path, rows in zip(paths, (3_000, 700_000)):
        if kind == "x.parquet":
            pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
            from pyarrow import parquet

            table = pa.table(dict.fromkeys(map(str, range(41)), np.arange(rows, dtype=np.float64) / rows))
            parquet.write_table(table, path, row_group_size=rows, use_dictionary=False, compression="none")
        else:
            array = np.lib.format.open_memmap(path, "w+", np.float64, (rows, 41), fortran_order=kind == "F.npy")
            array[0, 0] = 1.0
            array.flush()
            del array
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", MEMORY, *paths, str(shuffle)], capture_output=True,
                         text=True, env=environment, timeout=60)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 3 * 5_000 * 41 * 8 + 2**24 < os.path.getsize(paths[1]) / 10


def test_a_checkpoint_of_a_stream(files, tmp_path):
    """A training that was killed goes on from its checkpoint with the same order; another is refused."""
    path, target, _ = files["csv"]

    def stream(seed=1, rows=30):
        return data.stream(path, target, rows, shuffle=True, seed=seed)

    whole, net, saved = network(), network(), tmp_path / "net.safetensors"
    whole.train(stream(), epochs=4, batch_size=8)
    with pytest.raises(RuntimeError, match="killed"):
        net.train(stream(), epochs=4, batch_size=8, checkpoint_path=saved, callbacks=killer(2))
    net = bp.load(saved)
    assert net.epochs_trained == 2
    for other in (stream(seed=2), stream(rows=20), pieces(50)):
        with pytest.raises(bp.errors.CheckpointMismatchError, match="differs from this one in X"):
            net.train(other, epochs=2, batch_size=8, checkpoint_path=saved)
    net.train(stream(), epochs=2, batch_size=8, checkpoint_path=saved)
    assert_array_equal(net.parameters, whole.parameters)


def killer(epoch):
    """A callback that fails after the checkpoint of an epoch, as one of the next epoch does."""
    def callback(state):
        if state.epoch == epoch + 1:
            raise RuntimeError("killed")
    return callback
