"""LIBSVM files: exactly what they hold, with the index base that the caller states; or an error with line and cell."""

import gzip
import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hypotheses
from backprop import _read_libsvm, _read_source, data
from backprop.errors import DataFormatError

scipy_sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")

TEXT = "1 1:0.5 3:-2e1\n-1\n+1 2:.25 4:7\n"
ONE_BASED = [[0.5, 0, -20, 0], [0, 0, 0, 0], [0, 0.25, 0, 7]]


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file of the given name and return its path."""
    def _write(content, name="data.libsvm"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
    return _write


def located(path, **options):
    """(line, column, message) of the DataFormatError that loading raises."""
    options.setdefault("zero_based", False)
    with pytest.raises(DataFormatError) as caught:
        data.load(path, **options)
    return caught.value.line, caught.value.column, caught.value.message


@pytest.mark.parametrize("text", [
    TEXT, TEXT.rstrip("\n"), TEXT.replace("\n", "\r\n"), TEXT + "\n \n", TEXT.replace(" ", "\t"), "\ufeff" + TEXT,
    TEXT.replace(" ", "  "), "# a comment\n" + TEXT, TEXT.replace("-1\n", "-1 # 1:2\n#\n"),
    TEXT.replace(":0.5", ":+0.5")])
@pytest.mark.parametrize("packed", [False, True])
def test_variants_hold_the_same_data(write, text, packed):
    path = write(gzip.compress(text.encode()), "x.svm.gz") if packed else write(text)
    dense = data.load(path, zero_based=False, sparse=False)
    assert dense.X.tolist() == ONE_BASED and dense.X.dtype == np.float64
    assert dense.y.tolist() == [1, -1, 1] and dense.y.dtype == np.int64 and dense.classes.tolist() == [-1, 1]
    for sparse in (True, None):
        table = data.load(path, zero_based=False, sparse=sparse)
        assert isinstance(table.X, scipy_sparse.csr_array) and table.X.has_canonical_format
        assert table.X.toarray().tolist() == ONE_BASED and table.X.nnz == 4


def test_the_base_must_be_said_and_shifts_the_columns(write):
    path = write(TEXT)
    with pytest.raises(ValueError, match="zero_based=True or zero_based=False") as caught:
        data.load(path)
    assert not isinstance(caught.value, DataFormatError)
    X = data.load(path, zero_based=True).X
    assert X.shape == (3, 5) and not X[:, [0]].toarray().any() and (X[:, 1:].toarray() == ONE_BASED).all()
    assert located(write("1 0:1\n"), zero_based=False)[:2] == (1, 2)
    with pytest.raises(TypeError, match="zero_based"):
        data.load(path, zero_based=1)


def test_any_name_is_read_when_the_base_is_said(write):
    assert data.load(write(TEXT, "a9a"), zero_based=False).X.shape == (3, 4)
    assert data.load(write(TEXT, "a9a.t"), zero_based=False, n_features=123).X.shape == (3, 123)


def test_n_features(write):
    path = write(TEXT)
    assert data.load(path, zero_based=False, n_features=4).X.shape == (3, 4)
    line, column, message = located(path, n_features=3)
    assert (line, column) == (3, 3) and "beyond the 3 features" in message
    assert "n_features=" in located(write("1\n-1\n"))[2]
    assert data.load(write("1\n-1\n"), zero_based=True, n_features=2, sparse=False).X.tolist() == [[0, 0], [0, 0]]
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match="n_features"):
            data.load(path, zero_based=True, n_features=bad)
    with pytest.raises(TypeError, match="n_features"):
        data.load(path, zero_based=True, n_features=1.0)


@pytest.mark.parametrize("labels, kind, values, dtype", [
    (["1", "2", "1"], "auto", [1, 2, 1], "int64"), (["1.5", "-2", "3"], "auto", [1.5, -2, 3], "float64"),
    (["1", "2", "1"], "number", [1, 2, 1], "float64"), (["1e3", "0", "1"], "auto", [1000, 0, 1], "float64")])
def test_labels(write, labels, kind, values, dtype):
    table = data.load(write("".join(f"{label} 1:1\n" for label in labels)), zero_based=False, target_kind=kind)
    assert table.y.tolist() == values and table.y.dtype == dtype


FLAWS = [
    ("", 1, 1, "no rows"), ("# nothing\n", 1, 1, "no rows"), ("\n\n", 1, 1, "no rows"),
    ("1 1:1\n\n2 1:1\n", 2, 1, "blank line"), ("1 1:1\nx 1:2\n", 2, 1, "begins with its label"),
    ("1,2 1:1\n", 1, 1, "several labels"), ("nan 1:1\n", 1, 1, "not a number"), ("1 1:2 3\n", 1, 3, "index:value"),
    ("1 qid:3 1:2\n", 1, 2, "qid"), ("1 1:2 1:3\n", 1, 3, "ascend"), ("1 2:2 1:3\n", 1, 3, "ascend"),
    ("1 -1:2\n", 1, 2, "whole number"), ("1 1.0:2\n", 1, 2, "whole number"), ("1 :2\n", 1, 2, "whole number"),
    ("1 ١:2\n", 1, 2, "whole number"), ("1 1:\n", 1, 2, "is empty"), ("1 1: 2\n", 1, 2, "is empty"),
    ("1 1:nan\n", 1, 2, "not finite"), ("1 1:-inf\n", 1, 2, "not finite"), ("1 1:1e999\n", 1, 2, "too large"),
    ("1 1:1_0\n", 1, 2, "not a number"), ("1 1:1,5\n", 1, 2, "not a number"), ("1 1:0x1\n", 1, 2, "not a number"),
    ("1 1:2:3\n", 1, 2, "not a number"), ("1 1:2\r1 1:3\n", 1, 2, "not a number"), ("1 1:1 1e999:2\n", 1, 3, "whole"),
    ("1 1:1 99999999999:2\n", 1, 3, "beyond"), ("1 2147483648:2\n", 1, 2, "beyond"),
    ("1 " + "9" * 5000 + ":2\n", 1, 2, "beyond"), ("1e999 1:1\n", 1, 1, "too large"), ("1 1:\0\n", 1, 2, "NUL"),
    (b"1 1:1\n1 1:\xff\n", 2, 2, "0xff"), ("1 1:1\n".encode("utf-16"), 1, 1, "UTF-16"),
    ("1 1:1\n".encode("utf-32"), 1, 1, "UTF-32"),
]


@pytest.mark.parametrize("content, line, column, words", FLAWS)
def test_every_flaw_is_located(write, content, line, column, words):
    found = located(write(content))
    assert found[:2] == (line, column) and words in found[2], found
    if isinstance(content, str) and words != "no rows":           # and in any block
        assert located(write("0 1:1\n" * 5000 + content))[:2] == (line + 5000, column)


@pytest.mark.parametrize("options, words", [
    ({"target": 0}, "target and drop"), ({"drop": [0]}, "target and drop"), ({"header": True}, "header and delimiter"),
    ({"delimiter": " "}, "header and delimiter")])
def test_options_that_have_no_meaning(write, options, words):
    with pytest.raises(ValueError, match=words):
        data.load(write(TEXT), zero_based=False, **options)
    for option in ({"zero_based": True}, {"n_features": 3}, {"sparse": False}):
        with pytest.raises(ValueError, match="are for LIBSVM files|is LIBSVM"):
            data.load(write(np.lib.format.magic(1, 0) + b"v\0", "x.npy"), **option)
    with pytest.raises(ValueError, match="are for LIBSVM files"):
        data.load(write("1,2\n", "x.csv"), n_features=3)


def test_a_dense_array_is_never_larger_than_the_file_warrants(write):
    path = write("1 2000000000:1\n")
    message = located(path, sparse=False)[2]
    assert "sparse=True" in message and "16,000,000,000 bytes" in message
    assert data.load(path, zero_based=False).X.shape == (1, 2_000_000_000)


def test_without_scipy(write, monkeypatch):
    path = write(TEXT)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert data.load(path, zero_based=False).X.tolist() == ONE_BASED
    with pytest.raises(ImportError, match=r"backprop-core\[scipy\]"):
        data.load(path, zero_based=False, sparse=True)


ROWS = st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False),
                          st.dictionaries(st.integers(0, 30), st.floats(allow_nan=False, allow_infinity=False),
                                          max_size=6)), min_size=1, max_size=8)


@hypotheses.examples(100)
@given(rows=ROWS, base=st.integers(0, 1))
def test_written_numbers_come_back_bit_for_bit(tmp_path_factory, rows, base):
    path = tmp_path_factory.getbasetemp() / "h.libsvm"
    path.write_text("".join(" ".join([repr(label), *(f"{i + base}:{value!r}" for i, value in sorted(row.items()))])
                            + "\n" for label, row in rows))
    expected = np.zeros((len(rows), 31))
    for i, (_, row) in enumerate(rows):
        for j, value in row.items():
            expected[i, j] = value
    for sparse in (False, True):
        table = data.load(path, zero_based=base == 0, n_features=31, sparse=sparse, target_kind="number")
        X = table.X.toarray() if sparse else table.X
        assert (X + 0.0).tobytes() == (expected + 0.0).tobytes()
        assert table.y.tolist() == [label for label, _ in rows]


@hypotheses.examples(300)
@given(line=st.text("0123456789+-.eE:  #\tqid,nax١\u00a0\x1c\r", max_size=14))
def test_fast_and_careful_reading_agree(line):
    """Any text gives the same rows, or is refused, by both ways of reading; and by nothing but a DataFormatError."""
    def read(fast):
        options = _read_source.Options(zero_based=True)
        reader = _read_libsvm.LibsvmReader(io.BytesIO(f"{line}\n".encode()), "x.libsvm", options)
        if not fast:
            reader._fast = lambda lines, first: None
        try:
            rows, labels, lines = reader.read(10) or (None, None, None)
        except DataFormatError as error:
            return error.line, error.column, error.message
        if rows is None:
            return None
        return rows.starts.tolist(), rows.index.tolist(), rows.values.tolist(), labels, list(lines), reader.width

    assert read(True) == read(False)


def test_blocks_leave_no_seam(write, monkeypatch):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((97, 7)) < 0.4, rng.normal(size=(97, 7)), 0.0)
    X[0, 6] = 1.0
    lines = [" ".join(["3", *(f"{j}:{x!r}" for j, x in enumerate(row) if x)]) for row in X.tolist()]
    whole = data.load(write("\n".join(lines)), zero_based=True)
    for block in (1, 2, 10):
        monkeypatch.setattr(_read_libsvm, "BLOCK_LINES", block)
        table = data.load(write("\n".join(lines)), zero_based=True)
        assert (table.X.toarray() == X).all() and (table.X != whole.X).nnz == 0
    lines[50] += " # a comment"
    assert (data.load(write("\n".join(lines)), zero_based=True).X.toarray() == X).all()


def test_against_scikit_learn(write):
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    X, y = datasets.load_digits(return_X_y=True)
    path = write("")
    for zero_based in (True, False):
        datasets.dump_svmlight_file(X, y, str(path), zero_based=zero_based, comment="digits")
        table = data.load(path, zero_based=zero_based, n_features=64)
        theirs, labels = datasets.load_svmlight_file(str(path), n_features=64, zero_based=zero_based)
        assert (table.X != theirs).nnz == 0 and (table.X.toarray() == X).all()
        assert (table.y == labels).all()


def test_errors_spell_arguments_as_their_reader_does(write):
    """Another door than Python says what it calls an option."""
    def spell(argument, value=None):
        return f"--{argument.replace('_', '-')}" + ("" if value is None else f" {value}")

    for content, name, arguments, words in [
            (TEXT, "x.svm", {}, "--zero-based True"), ("a,b\n1,x\n", "x.csv", {}, "--target"),
            ("a,b\n1,2\n", "x.csv", {"target": "c"}, "--target c is not a column"),
            ("a,b\n1,2\n", "x.csv", {"drop": [7]}, "--drop 7 is out of range"),
            ("1,2,x\n", "x.csv", {}, "--header True"),
            ("a,k\n1,x\n2,3\n", "x.csv", {"target": "k"}, "--target-kind class"),
            ("?", "x.unheard", {}, "--delimiter")]:
        given = {"target": None, "header": "auto", "delimiter": None, "drop": (), "target_kind": "auto", **arguments}
        with pytest.raises(ValueError) as caught:
            data.read(write(content, name), data.checked(**given, spell=spell))
        assert words in str(caught.value), str(caught.value)
