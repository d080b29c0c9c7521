"""Data: every reader gives exactly what the file holds, or an error that says where it does not."""

import csv
import doctest
import errno
import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import hypotheses
from backprop import _read_arrays, _read_lines, _read_source, _read_text, data
from backprop.errors import DataFormatError, NotFittedError, sklearn_or_own

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file of the given name and return its path."""
    def _write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
    return _write


def same(a, b):
    """Equal in shape, dtype and bits."""
    assert a.dtype == b.dtype and a.shape == b.shape
    assert a.tobytes() == b.tobytes()


def npy(array, **options):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, **options)
    return out.getvalue()


def npz(compressed=False, **arrays):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def idx(array, code=0x08):
    array = np.asarray(array)
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def located(path, **options):
    """(line, column, offset, message) of the DataFormatError that loading raises."""
    with pytest.raises(DataFormatError) as caught:
        data.load(path, **options)
    error = caught.value
    assert error.path == str(path)
    return error.line, error.column, error.offset, error.message


def test_doctests():
    result = doctest.testmod(data)
    assert result.attempted >= 10 and result.failed == 0


# Digits

def test_digits_are_those_of_scikit_learn():
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    digits = data.digits()
    same(digits.X, reference.data / 16.0)
    assert digits.X.flags.c_contiguous and digits.y.dtype == np.int64
    assert_array_equal(digits.y, reference.target)
    assert_array_equal(digits.classes, np.arange(10))
    assert digits.feature_names == reference.feature_names and digits.target_name == "digit"


def test_digits_file_is_the_one_its_readme_describes():
    folder = pathlib.Path(data.__file__).parent / "datasets"
    packed, readme = (folder / "digits.csv.gz").read_bytes(), (folder / "README.md").read_text()
    assert hashlib.sha256(packed).hexdigest() in readme
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() in readme


def test_dataset_unpacks_and_shows_its_shape():
    X, y = np.zeros((3, 2)), np.array([0.5, 1.0, 2.0])
    a, b = data.Dataset(X, y)
    assert a is X and b is y
    assert repr(data.Dataset(X, y)) == "Dataset(X: 3 rows x 2 features, y: float64)"
    assert repr(data.Dataset(X)) == "Dataset(X: 3 rows x 2 features, y: none)"
    assert repr(data.Dataset(X, X)) == "Dataset(X: 3 rows x 2 features, y: float64 x 2)"


# Text: what is read

VARIANTS = {
    "plain": "a,b,k\n1,2.5,x\n-3e2,.5,y\n",
    "no final newline": "a,b,k\n1,2.5,x\n-3e2,.5,y",
    "CRLF": "a,b,k\r\n1,2.5,x\r\n-3e2,.5,y\r\n",
    "byte order mark": "\ufeffa,b,k\n1,2.5,x\n-3e2,.5,y\n",
    "blank lines at the end": "a,b,k\n1,2.5,x\n-3e2,.5,y\n\n  \n",
    "spaces": " a , b,k\n 1 ,\t2.5 , x\n-3e2, .5,y \n",
    "quotes": '"a","b","k"\n"1",2.5,"x"\n-3e2,".5", "y"\n',
    "quote in a header only": '"a",b,k\n1,2.5,x\n-3e2,.5,y\n',
    "semicolons": "a;b;k\n1;2.5;x\n-3e2;.5;y\n",
    "tabs": "a\tb\tk\n1\t2.5\tx\n-3e2\t.5\ty\n",
    "plus signs": "a,b,k\n+1,+2.5,x\n-3E+2,5e-1,y\n",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_text_variants_hold_the_same_data(write, variant, packed):
    content = VARIANTS[variant].encode()
    path = write(gzip.compress(content) if packed else content, "data.csv.gz" if packed else "data.csv")
    for target in ("k", 2, -1):
        table = data.load(path, target=target)
        same(table.X, np.array([[1.0, 2.5], [-300.0, 0.5]]))
        assert table.X.flags.c_contiguous
        assert table.y.tolist() == ["x", "y"] and table.classes.tolist() == ["x", "y"]
        assert table.feature_names == ["a", "b"] and table.target_name == "k"


def test_a_dataset_is_taken_apart_in_the_ways_that_people_expect():
    dataset = data.digits()
    X, y = dataset
    assert X is dataset.X is dataset[0] is dataset["X"] and y is dataset.y is dataset[1] is dataset[-1] is dataset["y"]
    assert dataset["classes"] is dataset.classes
    with pytest.raises(KeyError, match="feature_names"):
        dataset["data"]
    with pytest.raises(IndexError):
        dataset[2]


def test_gzip_is_known_by_its_bytes_not_by_its_name(write):
    assert data.load(write(gzip.compress(b"1,2\n3,4\n"), "data.csv")).X.tolist() == [[1, 2], [3, 4]]
    assert data.load(write("1,2\n3,4\n", "data.csv.gz")).X.tolist() == [[1, 2], [3, 4]]


def test_two_gzip_members_are_one_file(write):
    path = write(gzip.compress(b"1,2\n3,") + gzip.compress(b"4\n"), "data.csv.gz")
    assert data.load(path).X.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("target, X, y", [(0, [[2, 3], [5, 6]], [1, 4]), (1, [[1, 3], [4, 6]], [2, 5]),
                                          (-1, [[1, 2], [4, 5]], [3, 6]), (-3, [[2, 3], [5, 6]], [1, 4]),
                                          (None, [[1, 2, 3], [4, 5, 6]], None)])
@pytest.mark.parametrize("quote", ["", '"'])
def test_target_by_position_without_a_header(write, target, X, y, quote):
    path = write(f"1,2,3\n4,{quote}5{quote},6\n")
    table = data.load(path, target=target)
    assert table.X.tolist() == X
    assert (table.y if y is None else table.y.tolist()) == y
    assert table.feature_names is None and table.target_name is None


@pytest.mark.parametrize("cells, kind, dtype, values, classes", [
    (["1", "0", "1"], "auto", "int64", [1, 0, 1], [0, 1]),
    (["-3", "+7", "007"], "auto", "int64", [-3, 7, 7], [-3, 7]),
    (["9223372036854775807", "-9223372036854775808", "0"], "auto", "int64", [2**63 - 1, -2**63, 0],
     [-2**63, 0, 2**63 - 1]),
    (["1.0", "0", "1"], "auto", "float64", [1.0, 0.0, 1.0], None),
    (["1e3", ".5", "-2."], "auto", "float64", [1000.0, 0.5, -2.0], None),
    (["b", "a", "b"], "auto", "<U1", ["b", "a", "b"], ["a", "b"]),
    (["ä b", "c,d", "é"], "auto", "<U3", ["ä b", "c,d", "é"], ["c,d", "ä b", "é"]),
    (["1", "0", "1"], "number", "float64", [1.0, 0.0, 1.0], None),
    (["1", "x", "nan"], "class", "<U3", ["1", "x", "nan"], ["1", "nan", "x"]),
    (["1.5", "2", "3"], "class", "<U3", ["1.5", "2", "3"], ["1.5", "2", "3"]),
    (["1", "2", "2"], "class", "int64", [1, 2, 2], [1, 2]),
    (["9" * 25, "1", "1"], "class", "<U25", ["9" * 25, "1", "1"], ["1", "9" * 25]),
    (["9" * 25, "1", "1"], "number", "float64", [1e25, 1.0, 1.0], None),
])
def test_what_a_target_column_becomes(write, cells, kind, dtype, values, classes):
    out = io.StringIO()
    csv.writer(out).writerows([["a", "k"], *([i + 0.5, cell] for i, cell in enumerate(cells))])
    table = data.load(write(out.getvalue()), target="k", target_kind=kind)
    assert table.y.dtype == np.dtype(dtype) and table.y.tolist() == values
    assert (table.classes if classes is None else table.classes.tolist()) == classes
    assert table.X.tolist() == [[0.5], [1.5], [2.5]]


@pytest.mark.parametrize("content, options, names, rows", [
    ("1990,1991\n1,2\n", {"header": True}, ["1990", "1991"], 1),
    ("1990,1991\n1,2\n", {}, None, 2),
    ("1990,1991,k\n1,2,x\n", {"target": "k"}, ["1990", "1991"], 1),
    ("0,1,2\n4,5,6\n", {"header": False}, None, 2),
    ("0,1,2\n4,5,6\n", {"header": True}, ["0", "1", "2"], 1),
    ("0,1\n4,5\n", {}, None, 2),
    ("x\n1\n2\n", {}, ["x"], 2),
    ("0,0,0\n0,1,1\n", {"target": -1}, None, 2),
    ("7,5,label\n4,5,6\n", {"target": "label"}, ["7", "5"], 1),
    ('"a\nb",c\n1,2\n', {}, ["a\nb", "c"], 1),
])
def test_headers(write, content, options, names, rows):
    table = data.load(write(content), **options)
    assert table.feature_names == names and len(table.X) == rows


def test_dropped_columns_may_hold_anything(write):
    path = write(",a,note,k\n0,1,hello,x\n1,2,,y\n")
    table = data.load(path, target="k", drop=[0, "note"])
    assert table.X.tolist() == [[1], [2]] and table.feature_names == ["a"]
    assert data.load(path, target="k", drop=(0, 2), header=True).y.tolist() == ["x", "y"]
    assert data.load(write("1,z\n2,w\n"), drop=-1).X.tolist() == [[1], [2]]


@pytest.mark.parametrize("name, delimiter, content", [
    ("x.tsv", None, "a,b\tc\n1\t2\n"), ("x.csv", "|", "a,b|c\n1|2\n"), ("x.csv", " ", "a,b c\n1 2\n"),
    ("x.unheard", "|", "a,b|c\n1|2\n"), ("x.txt", None, "a,b;c;\n1;2;3\n".replace("c;", "c;d"))])
def test_delimiters(write, name, delimiter, content):
    table = data.load(write(content, name), delimiter=delimiter)
    assert table.feature_names[0] == "a,b" and table.X[0, :2].tolist() == [1, 2]


@hypotheses.examples(100)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), values=st.data(), quoted=st.booleans())
def test_written_numbers_come_back_bit_for_bit(tmp_path_factory, rows, columns, values, quoted):
    X = np.array(values.draw(st.lists(st.lists(NUMBERS, min_size=columns, max_size=columns),
                                      min_size=rows, max_size=rows)))
    path = tmp_path_factory.getbasetemp() / "hypothesis.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(
            [map(repr, row) for row in X.tolist()])
    same(data.load(path, header=False).X, X)


@hypotheses.examples(100)
@given(labels=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
                       min_size=1, max_size=6))
def test_written_labels_come_back(tmp_path_factory, labels):
    labels = [stripped for label in labels if (stripped := label.strip())] or ["a"]
    path = tmp_path_factory.getbasetemp() / "labels.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([[0.5, label] for label in labels])
    table = data.load(path, target=1, target_kind="class", header=False)
    if all(_read_lines.INTEGER.fullmatch(label) for label in labels):
        assert table.y.tolist() == list(map(int, labels))
    else:
        assert table.y.tolist() == labels


@hypotheses.examples(300)
@given(cell=st.text("0123456789+-.eE_xnaifNAIF ١１\u00a0\t\x1c", min_size=1, max_size=6))
def test_fast_and_careful_reading_accept_the_same_numbers(cell):
    """`loadtxt` may take no cell that the grammar of numbers refuses, and gives the same value."""
    line = f"{cell},1\n"
    options = _read_source.Options(header=False, delimiter=",")

    def read(fast):
        reader = _read_text.TextReader(io.BytesIO(line.encode()), "x.csv", options)
        if not fast:
            reader._fast = lambda lines: None
        return [X.tolist() for X, _, _ in reader]

    number = _read_lines.NUMBER.fullmatch(cell.strip())
    if number and np.isfinite(float(cell.strip())):
        assert read(fast=True) == read(fast=False) == [[[float(cell.strip()), 1.0]]]
    else:
        for fast in (True, False):
            with pytest.raises(DataFormatError) as caught:
                read(fast)
            assert (caught.value.line, caught.value.column) == (1, 1)


def test_blocks_leave_no_seam(write, monkeypatch):
    monkeypatch.setattr(_read_text, "BLOCK_CELLS", 12)
    X = np.arange(300.0).reshape(100, 3)
    lines = [",".join(map(str, row)) + f",c{row[0] % 7:.0f}" for row in X.tolist()]
    plain = data.load(write("\n".join(lines)), target=-1)
    lines[57] = '"' + lines[57].replace(",", '","') + '"'
    quoted = data.load(write("\n".join(lines)), target=-1)
    for table in (plain, quoted):
        same(table.X, X)
        assert table.y.tolist() == [f"c{row[0] % 7:.0f}" for row in X]
    lines[83] = lines[83].replace(",", ",?", 1)
    assert located(write("\n".join(lines)), target=-1)[:2] == (84, 2)
    lines[57] = lines[57].replace('"', "")
    assert located(write("\n".join(lines)), target=-1)[:2] == (84, 2)


# Text: what is refused, and where

BAD_CELLS = ["", " ", "abc", "nan", "NaN", "-inf", "Infinity", "1e999", "-1e400", "1_000", "1,5", "0x10", "１２", "1 2",
             "1e", "--1", "1.2.3", "True", "None", "1j", '"', "1d5", "9" * 400]


@pytest.mark.parametrize("header", ["a,b,c\n", ""])
@pytest.mark.parametrize("cell", BAD_CELLS)
def test_a_bad_cell_is_an_error_with_line_and_column(write, cell, header):
    lines = ["1,2,3"] * 5
    quoted = '"' + cell.replace('"', '""') + '"'
    lines[3] = f"1,{quoted},3"
    assert located(write(header + "\n".join(lines) + "\n"))[:2] == (4 + bool(header), 2)
    if "," not in cell and '"' not in cell:
        lines[3] = f"1,{cell},3"
        line, column, offset, message = located(write(header + "\n".join(lines) + "\n"))
        assert (line, column, offset) == (4 + bool(header), 2, None)
        assert repr(cell.strip()[:30])[:-1] in message and ("'b'" in message) == bool(header)


@pytest.mark.parametrize("cell", ["nan", "inf", "1e999", ""])
def test_a_bad_number_in_the_first_row_is_no_header(write, cell):
    assert located(write(f"{cell},2\n3,4\n"))[:2] == (1, 1)
    assert located(write(f"1,{cell}\n3,4\n"))[:2] == (1, 2)


@pytest.mark.parametrize("content, options, line, column, words", [
    ("", {}, 1, 1, "empty"),
    ("\ufeff", {}, 1, 1, "blank"),
    ("\n1,2\n", {}, 1, 1, "blank"),
    (",,\n1,2,3\n", {}, 1, 1, "blank"),
    ("a,b\n", {}, 1, 1, "no rows"),
    ("a,b\n\n\n", {}, 1, 1, "no rows"),
    ("1,2\n3\n", {}, 2, 2, "1 cells, expected 2"),
    ("1,2\n3,4,5\n", {}, 2, 3, "3 cells, expected 2"),
    ("1,2\n3,4,\n", {}, 2, 3, "3 cells, expected 2"),
    ("1,2\n\n3,4\n", {}, 2, 1, "blank line"),
    ("1\n\n3\n", {}, 2, 1, "blank line"),
    ("1\n2\n\"\"\n", {}, 3, 1, "is empty"),
    ("1\t2\n\t\n", {}, 2, 1, "is empty"),
    ("a,b,a\n1,2,3\n", {}, 1, 3, "'a' occurs twice"),
    ("a,,c\n1,2,3\n", {}, 1, 2, "no name"),
    ("a,b,\n1,2,3\n", {"target": -1}, 1, 3, "no name"),
    ("1,2,x\n3,4,y\n", {}, 1, 3, "header=True"),
    ("0,1,2\n3,4,5\n", {}, 1, 1, "header=True"),
    ("0,1,k\n3,4,5\n", {"target": -1}, 1, 1, "header=True"),
    ("a,k\n1,x\ny,z\n", {"target": "k"}, 3, 1, "'y' in column 'a' is not a number"),
    ("a,name\n1,x\n", {}, 2, 2, "'x' in column 'name' is not a number; a column of labels is named by target="),
    ("a,k\n1,x\n2,\n", {"target": "k"}, 3, 2, "is empty"),
    ("a,k\n1,x\n2,3\n", {"target": "k"}, 2, 2, "target_kind='class'"),
    ("a,k\n1,5\n2,nan\n", {"target": "k"}, 3, 2, "target_kind='class'"),
    ("a,k\n1,x\n2,NaN\n", {"target": "k"}, 3, 2, "target_kind='class'"),
    ("a,k\n1,1.5\n2,1e999\n", {"target": "k"}, 3, 2, "too large"),
    ("a,k\n1,5\n2,x\n", {"target": "k", "target_kind": "number"}, 3, 2, "the target 'x' is not a number"),
    ("a,k\n1,5\n2,inf\n", {"target": "k", "target_kind": "number"}, 3, 2, "not finite"),
    ("a,k\n1,5\n2,9223372036854775808\n", {"target": "k"}, 3, 2, "64-bit"),
    ("a,k\n1,x\n2," + "y" * 257 + "\n", {"target": "k"}, 3, 2, "longer than 256"),
    ('1,2\n3,"4"5\n', {}, 2, 2, "malformed"),
    ('1,2\n3,"4\n5,6\n', {}, 2, 2, "quote is opened"),
    ('1,2\n"3\n",4\n5,"6\n7,8\n', {}, 4, 2, "quote is opened"),
    ('a,b\n1,"2\n"\n3,x\n', {}, 4, 2, "not a number"),
    ("1,2\r3,4\r5,6\n", {}, 1, 2, "carriage return"),
    ("1,2\n3,\r4\n", {}, 2, 2, "carriage return"),
    ("1,2\n3,4\0\n", {}, 2, 2, "NUL"),
    ("\0", {}, 1, 1, "NUL"),
    (b"a,b\n1,\xff\n", {}, 2, 2, "0xff is not UTF-8"),
    (b"1;\xe4\n", {}, 1, 2, "0xe4 is not UTF-8"),
    (b"\xef\xbb\xbf1,2\n3,\xe4\n", {}, 2, 2, "0xe4 is not UTF-8"),
    *(("\ufeff1,2\n".encode(f"utf-{bits}-{end}"), {}, 1, 1, f"the text is UTF-{bits};")
      for bits in (16, 32) for end in ("le", "be")),
    ('1,2\n"3",' + "4" * 140_000 + "\n", {}, 2, 2, "limit"),
    ('1,"' + "4" * 140_000 + '",5\n', {"header": False}, 1, 2, "limit"),
])
def test_every_flaw_of_a_text_file_is_located(write, content, options, line, column, words):
    found = located(write(content), **options)
    assert found[:3] == (line, column, None) and words in found[3], found


def test_no_line_and_no_row_is_without_bound(write, monkeypatch):
    monkeypatch.setattr(_read_lines, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(_read_text, "MAX_COLUMNS", 20)
    assert located(write("1,2\n" + "1" * 200))[:2] == (2, 1)
    assert located(write(",".join(["1"] * 21)))[:2] == (1, 21)
    assert data.load(write(",".join(["1"] * 20))).X.shape == (1, 20)


@pytest.mark.parametrize("content, options, error, words", [
    ("a,b\n1,2\n", {"target": "c"}, ValueError, "its columns are a, b"),
    ("a,b\n1,2\n", {"target": 2}, ValueError, "from 0 to 1"),
    ("a,b\n1,2\n", {"target": -3}, ValueError, "from 0 to 1"),
    ("a,b\n1,2\n", {"target": 1.0}, TypeError, "target must be an integer"),
    ("a,b\n1,2\n", {"target": True}, TypeError, "target must be an integer"),
    ("1,2\n", {"target": "a", "header": False}, ValueError, "header=False"),
    ("a,b\n1,2\n", {"target": "a", "drop": "b"}, ValueError, "no feature column"),
    ("a,b\n1,2\n", {"target": "a", "drop": [0]}, ValueError, "is the target column"),
    ("a,b\n1,2\n", {"drop": [5]}, ValueError, "drop=5"),
    ("a,b\n1,2\n", {"drop": None}, TypeError, "drop"),
    ("a,b\n1,2\n", {"drop": [1.5]}, TypeError, "drop"),
    ("a\n1\n", {"target": 0}, ValueError, "no feature column"),
    ("a,b\n1,2\n", {"header": "yes"}, ValueError, "header"),
    ("a,b\n1,2\n", {"header": 1}, TypeError, "header"),
    ("a,b\n1,2\n", {"delimiter": ""}, ValueError, "delimiter"),
    ("a,b\n1,2\n", {"delimiter": "::"}, ValueError, "delimiter"),
    ("a,b\n1,2\n", {"delimiter": "."}, ValueError, "delimiter"),
    ("a,b\n1,2\n", {"delimiter": "e"}, ValueError, "delimiter"),
    ("a,b\n1,2\n", {"delimiter": "\n"}, ValueError, "delimiter"),
    ("a,b\n1,2\n", {"delimiter": 3}, TypeError, "delimiter"),
    ("a,b\n1,2\n", {"target_kind": "int"}, ValueError, "auto, class, number"),
])
def test_arguments_that_do_not_fit(write, content, options, error, words):
    with pytest.raises(error, match=words) as caught:
        data.load(write(content), **options)
    assert not isinstance(caught.value, DataFormatError)


def test_paths(write, tmp_path, monkeypatch):
    path = write("1,2\n")
    assert data.load(str(path)).X.shape == data.load(os.fsencode(path)).X.shape == (1, 2)
    with pytest.raises(FileNotFoundError):
        data.load(tmp_path / "none.csv")
    with pytest.raises(IsADirectoryError):
        data.load(tmp_path)
    for value in (0, None, io.BytesIO(b"1,2\n")):
        with pytest.raises(TypeError):
            data.load(value)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that cannot be read")
def test_trouble_with_the_disk_comes_as_it_is():
    with pytest.raises(OSError, match="[Ii]nput/output"):
        data.load("/proc/self/mem")

    def fail(code):
        raise OSError(code, "trouble")

    with pytest.raises(OSError, match="trouble"):
        _read_arrays._attempt(lambda: fail(errno.EIO), DataFormatError)
    with pytest.raises(DataFormatError, match="trouble"):
        _read_arrays._attempt(lambda: fail(errno.EINVAL), DataFormatError)


@pytest.mark.parametrize("content, name, words", [
    (b"\x89HDF\r\n", "data.h5", "known are CSV and TSV"), (b"", "data", "known are"), (b"1,2\n", "data.npy", "NPY"),
    (b"", "data.npz", "NPZ"), (b"\0\0\x07\1", "t-images-idx3-ubyte", "IDX"), (b"PAR1", "data.parquet", "known are"),
    (gzip.compress(b"", mtime=0), "data.gz", "known are"), (b"\0\0\x08\0", "x.idx", "IDX")])
def test_unknown_formats(write, content, name, words):
    line, column, offset, message = located(write(content, name))
    assert (line, column, offset) == (None, None, 0) and words in message


def test_the_error_travels_between_processes(write):
    path = write("1,2\n3,x\n")
    with pytest.raises(DataFormatError) as caught:
        data.load(path)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.path, copy.line, copy.column, str(copy)) == (str(path), 2, 2, str(caught.value))


# Arrays: what is read

LAYOUTS = {
    "C": lambda a: a, "Fortran": np.asfortranarray, "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
}


@pytest.mark.parametrize("container", ["npy", "npy.gz", "npz", "npz packed"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i1", "i8", "u2", "u8", "?", "g"])
def test_npy_and_npz_of_any_layout_and_dtype(write, monkeypatch, container, layout, dtype):
    monkeypatch.setattr("backprop._read_arrays.BLOCK_BYTES", 32)        # many blocks, and items larger than a quarter
    monkeypatch.setattr(_read_source, "BLOCK_BYTES", 24)
    rng = np.random.default_rng(3)
    array = LAYOUTS[layout](rng.integers(0, 2 if dtype == "?" else 100, (7, 5)).astype(dtype))
    if container.startswith("npy"):
        content = npy(array)
        path = write(gzip.compress(content) if container == "npy.gz" else content, "x." + container)
    else:
        path = write(npz(container == "npz packed", X=array), "x.npz")
    table = data.load(path)
    same(table.X, array.astype(np.float64, order="C"))
    assert table.X.flags.c_contiguous and table.y is None and table.classes is None
    table = data.load(path, target=-2, drop=[0])
    kind = {"f": "float64", "b": "bool"}.get(array.dtype.kind, "int64")
    assert_array_equal(table.y, array[:, 3])
    assert table.y.dtype == np.dtype(kind) and (table.classes is None) == (kind == "float64")
    same(table.X, np.ascontiguousarray(array[:, [1, 2, 4]].astype(np.float64)))


@hypotheses.examples(50)
@given(values=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_arrays_come_back_bit_for_bit(tmp_path_factory, values):
    X = np.array(values)
    for name, content in (("h.npy", npy(X)), ("h.npz", npz(X=X)), ("h.idx", idx(X.astype(">f8"), 0x0E))):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        same(data.load(path).X, X)


@pytest.mark.parametrize("y, expected", [
    (np.array([3, 1, 2], "i2"), np.array([3, 1, 2])), (np.array([3, 1, 2], "u8"), np.array([3, 1, 2])),
    (np.array([1.5, 1, 2], "f4"), np.array([1.5, 1, 2])),
    (np.array([True, False, True]), np.array([True, False, True])),
    (np.array(["b", "aé", "b"]), np.array(["b", "aé", "b"])),
    (np.array(["b", "a", "b"], ">U9"), np.array(["b", "a", "b"], "U9")),
    (np.eye(3, dtype="i1"), np.eye(3, dtype=np.int64)),
    (np.asfortranarray(np.arange(6.0).reshape(3, 2)), np.arange(6.0).reshape(3, 2))])
def test_npz_targets(write, y, expected):
    for compressed in (False, True):
        table = data.load(write(npz(compressed, X=np.ones((3, 2)), y=y), "x.npz"), drop=0)
        same(table.y, expected)
        assert table.X.shape == (3, 1)
        if expected.ndim == 1 and expected.dtype.kind != "f":
            assert_array_equal(table.classes, np.unique(expected))
        else:
            assert table.classes is None


def test_kind_of_a_stored_target(write):
    path = write(npy(np.array([[0.5, 1.0], [0.5, 3.0]])), "x.npy")
    assert data.load(path, target=1).y.dtype == np.float64
    table = data.load(path, target=1, target_kind="class")
    same(table.y, np.array([1, 3]))
    assert table.classes.tolist() == [1, 3]
    start = len(npy(np.zeros((2, 2)))) - 32
    assert located(path, target=0, target_kind="class")[2] == start
    fortran = write(npy(np.asfortranarray([[1.0, 1.0], [2.0, 3.5]])), "f.npy")
    assert located(fortran, target=1, target_kind="class")[2] == start + 3 * 8
    same(data.load(write(npy(np.ones((2, 2), int)), "i.npy"), target=0, target_kind="class").y, np.array([1, 1]))
    path = write(npz(X=np.ones((2, 1)), y=np.array([1, 2])), "x.npz")
    same(data.load(path, target_kind="number").y, np.array([1.0, 2.0]))
    path = write(npz(X=np.ones((2, 1)), y=np.array([1.0, 2.5])), "x.npz")
    assert "2.5 at row 1" in located(path, target_kind="class")[3]
    path = write(npz(X=np.ones((2, 1)), y=np.array(["1", "2"])), "x.npz")
    assert "strings" in located(path, target_kind="number")[3]
    path = write(npz(X=np.ones((2, 1)), y=np.ones((2, 2))), "x.npz")
    assert "two dimensions" in located(path, target_kind="class")[3]
    same(data.load(path, target_kind="number").y, np.ones((2, 2)))


def test_images_are_flattened(write):
    images = np.arange(24).reshape(2, 3, 4)
    for array in (images, np.asfortranarray(images)):
        assert_array_equal(data.load(write(npy(array), "x.npy")).X, images.reshape(2, 12))


@pytest.mark.parametrize("code, dtype", [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"),
                                         (0x0E, ">f8")])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_of_every_type(write, code, dtype, suffix):
    images = np.random.default_rng(1).integers(0, 100, (6, 3, 2)).astype(dtype)
    pack = gzip.compress if suffix else bytes
    path = write(pack(idx(images, code)), "t-images-idx3-ubyte" + suffix)
    assert data.load(path).y is None
    write(pack(idx(np.arange(6, dtype="u1"))), "t-labels-idx1-ubyte" + suffix)
    table = data.load(path)
    same(table.X, images.reshape(6, 6).astype(np.float64))
    same(table.y, np.arange(6))
    assert table.classes.tolist() == list(range(6))


@pytest.mark.parametrize("images, labels, target", [
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz", None),
    ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", None),
    ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", None), ("x.idx", "y.idx", "y.idx")])
def test_idx_labels_are_found(write, images, labels, target):
    content = idx(np.arange(2, dtype="u1"))
    write(gzip.compress(content) if labels.endswith(".gz") else content, labels)
    path = write(idx(np.ones((2, 3), "u1")), images)
    assert data.load(path, target=target).y.tolist() == [0, 1]


@pytest.mark.skipif(not FASHION.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist():
    table = data.load(FASHION / "t10k-images-idx3-ubyte.gz")
    assert table.X.shape == (10_000, 784) and table.X.min() == 0 and table.X.max() == 255
    assert_array_equal(np.bincount(table.y), np.full(10, 1000))
    with gzip.open(FASHION / "t10k-images-idx3-ubyte.gz") as file:
        assert_array_equal(table.X.ravel(), np.frombuffer(file.read(), np.uint8, offset=16))


# Arrays: what is refused, and where

def forged(header, payload=b""):
    """An NPY file with the given header."""
    header = header.encode("latin-1")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + payload


def header(shape, dtype="'<f8'", fortran=False):
    return f"{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


BAD_HEADERS = ["", "{}", "nonsense", "(" * 9000, "[1," * 3000, header("(2, 2"), header("(2, 'a')"), header("(-1, 2)"),
               header("(True, 2)"), header("2"), header("(2, 2)", "'<q9'"), header("(2, 2)", "'|O'"),
               header("(2, 2)", "None"),
               header("(2, 2)", "[('a', '<f8')]"), header("(2, 2)", "'<c16'"), header("(2, 2)", "'<U3'"),
               header("(2, 2)", "'<M8[s]'"), header("(2, 2)", "('<f8', (3,))"), header("(2, 2)", "'|V0'"), header("()"),
               header("(4,)"), header("(0, 2)"), header("(2, 0)"), header(f"(0, {2**62}, {2**62})"), "{'descr': '\\d'}",
               header("(2, 2)", "'<f8', 'more': 1"), "\xff\0"]


@pytest.mark.parametrize("number", range(len(BAD_HEADERS)))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_hostile_npy_headers(write, number):
    path = write(forged(BAD_HEADERS[number], bytes(32)), "x.npy")
    assert located(path)[:3] == (None, None, 8)


def test_npy_magic_and_header_length(write):
    good = npy(np.ones((2, 2)))
    assert located(write(good[:6] + b"\x07\0" + good[8:], "x.npy"))[2] == 0
    assert located(write(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1), "x.npy"))[2] == 8
    for version in ((1, 0), (2, 0), (3, 0)):
        assert data.load(write(npy(np.ones((2, 2)), version=version), "x.npy")).X.tolist() == [[1, 1], [1, 1]]


def test_pickled_objects_are_never_loaded(write, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    array = np.array([[Bomb(), 1]], dtype=object)
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    assert "pickled" in located(write(out.getvalue(), "x.npy"))[3]
    out = io.BytesIO()
    np.savez(out, X=np.ones((1, 1)), y=array[0, :1])
    assert "pickled" in located(write(out.getvalue(), "x.npz"))[3]
    assert not (tmp_path / "exploded").exists()


HUGE = [header(f"({2**40}, {2**20})"), header(f"({2**62}, {2**62})"), header(f"({2**60}, 2)", "'|u1'")]


@pytest.mark.parametrize("number", range(len(HUGE)))
def test_a_lying_npy_header_allocates_nothing(write, number):
    content = forged(HUGE[number], bytes(40))
    assert located(write(content, "x.npy"))[2] == len(content)
    assert located(write(gzip.compress(content), "x.npy.gz"))[2] == len(content)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("X.npy", content)
    assert located(write(out.getvalue(), "x.npz"))[2] == len(content)


GIBIBYTE = {"x.npy": forged(header(f"({2**17}, {2**10})"), bytes(40)),
            "x.f.npy": forged(header(f"({2**17}, {2**10})", fortran=True), bytes(40)),
            "x.idx": struct.pack(">HBB2I", 0, 14, 2, 2**17, 2**10) + bytes(40)}


@pytest.mark.parametrize("name", GIBIBYTE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_lie_of_a_gibibyte_is_refused_without_taking_it(write, name, packed):
    """A size that a machine can allocate, so that no MemoryError would tell: read whole, and as a stream."""
    content = GIBIBYTE[name]
    path = write(gzip.compress(content) if packed else content, name + ".gz" * packed)
    for read in (data.load, lambda path: next(iter(data.stream(path, chunk_rows=100)))):
        tracemalloc.start()
        try:
            with pytest.raises(DataFormatError if read is data.load or not packed or "f" not in name else ValueError):
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("ndim", [2, 3, 255])
def test_a_lying_idx_header_allocates_nothing(write, ndim):
    content = struct.pack(f">HBB{ndim}I", 0, 0x08, ndim, *[2**32 - 1] * ndim) + bytes(50)
    assert located(write(content, "x.idx"))[2] == len(content)
    assert located(write(gzip.compress(content), "x.idx.gz"))[2] == len(content)


def test_a_long_tail_of_compressed_data_is_not_unpacked(write):
    good = idx(np.ones((2, 3), "u1"))
    path = write(gzip.compress(good + bytes(50_000_000), 1), "x.idx.gz")
    start = time.perf_counter()
    assert located(path)[2] == len(good)
    assert time.perf_counter() - start < 1.0


def test_non_finite_values_of_arrays_are_located(write):
    for value in (np.nan, np.inf, -np.inf):
        X = np.ones((5, 3))
        X[2, 1] = value
        start = len(npy(X)) - X.nbytes
        assert located(write(npy(X), "x.npy"))[2] == start + 7 * 8
        assert located(write(npy(np.asfortranarray(X)), "x.npy"))[2] == start + 7 * 8       # column 1, row 2: 5 + 2
        assert located(write(npz(X=X), "x.npz"))[2] == start + 7 * 8
        assert located(write(npz(X=np.ones((5, 1)), y=X[:, 1]), "x.npz"))[2] == len(npy(X[:, 1])) - 5 * 8 + 2 * 8
        assert located(write(idx(X.astype(">f4"), 0x0D), "x.idx"))[2] == 12 + 7 * 4
    too_large = np.ones((2, 2), np.longdouble)
    too_large[1, 0] = np.longdouble(1e308) * 1000
    if np.isfinite(too_large[1, 0]):
        assert "not a finite float64" in located(write(npy(too_large), "x.npy"))[3]


def test_values_that_a_dtype_cannot_hold_are_located(write):
    start = len(npy(np.ones((2, 2), bool))) - 4
    assert located(write(npy(np.array([[0, 1], [2, 1]], "u1").view(bool)), "x.npy"))[2] == start + 2
    label_start = len(npy(np.ones(3))) - 24
    for y in (np.array([1, 2**63, 3], "u8"), np.array([1, 2, 3, 4, 0x110000, 5], "u4").view("U2"),
              np.array([1, 2, 3, 4, 0xD800, 5], "u4").view("U2")):
        path = write(npz(X=np.ones((3, 1)), y=y), "x.npz")
        assert located(path)[2] == label_start + (8 if y.dtype.kind == "u" else 16)
    texts = np.array(["\ud7ff", "\ue000", "\U0010ffff"])    # the characters beside those that are none
    assert data.load(write(npz(X=np.ones((3, 1)), y=texts), "x.npz")).y.tolist() == texts.tolist()
    path = write(npz(X=np.ones((2, 1)), y=np.array([0, 2], "u1").view(bool)), "x.npz")
    assert located(path)[2] == label_start + 1
    path = write(npy(np.array([[1, 2**63], [1, 2]], "u8")), "x.npy")
    assert located(path, target=1)[2] == len(npy(np.ones((2, 2)))) - 32 + 8
    assert data.load(path, target=0).y.tolist() == [1, 1]


ROUNDED = [("i8", 2**53 + 1), ("i8", -2**53 - 1), ("i8", 2**63 - 1), (">i8", 2**60 + 1), ("u8", 2**53 + 1),
           (">u8", 2**64 - 1), ("u8", 2**63 + 1), ("g", np.longdouble(1) / 3), (">g", np.longdouble(1) / 3)]
EXACT = [("i8", 2**53 + 2), ("i8", -2**63), ("u8", 2**63), ("u8", 2**64 - 2**11), (">i8", 2**62), ("g", 1 / 3)]


@pytest.mark.parametrize("dtype, value", [*ROUNDED, *EXACT])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_a_number_that_float64_does_not_hold_is_refused_wherever_it_stands(write, dtype, value, layout):
    """As a feature, a target or one of several, read whole or in chunks; one that it does hold is read."""
    if dtype.endswith("g") and np.finfo("g").eps == np.finfo(float).eps:
        pytest.skip("a long double is a float64 here")
    array = layout(np.arange(15).reshape(5, 3).astype(dtype))
    array[3, 1] = value
    path, packed = write(npy(array), "x.npy"), write(npz(X=np.ones((5, 1)), y=np.array(array[:, 1])), "y.npz")
    wide = write(npz(X=np.ones((5, 1)), y=array), "wide.npz")
    reads = [lambda: data.load(path), lambda: data.load(path, target=0), lambda: list(data.stream(path, chunk_rows=2)),
             lambda: list(data.stream(path, 1, 2)), lambda: data.stream(path, 1, classes="auto"),
             lambda: data.load(path, target=1),
             lambda: list(data.stream(packed, chunk_rows=2)), lambda: list(data.stream(wide, chunk_rows=2)),
             lambda: data.load(packed, target_kind="number")]
    label = array.dtype.kind in "iu" and value < 2**63        # labels are int64, as they are stored
    for read in reads:
        if (dtype, value) in ROUNDED:
            with pytest.raises(DataFormatError, match="does not fit float64 exactly|does not fit int64") as caught:
                read()
            assert caught.value.offset is not None
        elif label or read in reads[:5]:
            read()
    if label:
        assert data.load(packed).y.tolist() == [1, 4, 7, value, 13]
        assert value in data.stream(packed, classes="auto").classes.tolist()
    if (dtype, value) in EXACT:
        assert data.load(path).X.tolist() == [[float(x) for x in row] for row in array.tolist()]


@pytest.mark.parametrize("arrays, words", [
    ({"x": np.ones((2, 2))}, "no array X in the archive; it holds x"), ({}, "holds nothing"),
    ({"X": np.ones((2, 2)), "y": np.ones(3)}, "y has 3 rows, but X has 2"),
    ({"X": np.ones((2, 2)), "y": np.array(1.0)}, "shape is ()"),
    ({"X": np.ones((2, 2)), "y": np.ones((2, 1, 1))}, "shape is"),
    ({"X": np.ones((2, 2)), "y": np.ones((2, 0))}, "shape is"), ({"X": np.ones(4)}, "rows and columns"),
    ({"X": np.array([["a"]])}, "real numbers"), ({"X": np.ones((2, 2)), "y": np.array([b"a", b"b"])}, "y must hold"),
    ({"X": np.ones((2, 2)), "y": np.array([1j, 2])}, "y must hold"),
    ({"X": np.ones((1, 1)), "y": np.array(["a" * 257])}, "256"),
])
def test_npz_that_do_not_fit(write, arrays, words):
    assert words in located(write(npz(**arrays), "x.npz"))[3]


def test_archives_that_numpy_does_not_write(write):
    def archive(compression=zipfile.ZIP_STORED, names=("X.npy",)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", compression) as target:
            for name in names:
                target.writestr(name, npy(np.ones((2, 2))))
        return out.getvalue()

    assert "compressed in a way" in located(write(archive(zipfile.ZIP_LZMA), "x.npz"))[3]
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(names=("X.npy", "X.npy"))
    assert "X twice" in located(write(twice, "x.npz"))[3]
    assert "inside gzip" in located(write(gzip.compress(archive()), "x.npz.gz"))[3]
    encrypted = bytearray(archive())
    central = encrypted.index(b"PK\1\2")
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    assert "encrypted" in located(write(bytes(encrypted), "x.npz"))[3]


@pytest.mark.parametrize("options, words", [
    ({"target": 0}, "holds its targets as y"), ({"target": "y"}, "holds its targets as y"),
    ({"header": True}, "text files"), ({"delimiter": ","}, "text files"),
    ({"drop": "a"}, "no column names"), ({"drop": [0, 1]}, "no feature column")])
def test_arguments_that_do_not_fit_an_archive(write, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        data.load(write(npz(X=np.ones((2, 2)), y=np.ones(2)), "x.npz"), **options)
    assert not isinstance(caught.value, DataFormatError)


def test_targets_that_an_array_does_not_have(write):
    path = write(npy(np.ones((2, 3))), "x.npy")
    for target, words in ((3, "from 0 to 2"), ("a", "no column names")):
        with pytest.raises(ValueError, match=words):
            data.load(path, target=target)


def test_idx_that_do_not_fit(write):
    labels = write(idx(np.ones(3, "u1")), "t-labels-idx1-ubyte")
    assert "load the file of images" in located(labels)[3]
    images = write(idx(np.ones((2, 2), "u1")), "t-images-idx3-ubyte")
    with pytest.raises(DataFormatError, match="y has 3 rows, but X has 2") as caught:
        data.load(images)
    assert caught.value.path == str(labels)
    assert located(write(idx(np.ones((0, 2), "u1")), "x.idx"))[2] == 8
    with pytest.raises(ValueError, match="names the file of labels"):
        data.load(images, target=0)
    with pytest.raises(FileNotFoundError):
        data.load(images, target="none")
    other = write("no labels", "other")
    with pytest.raises(DataFormatError, match="not the start of an IDX") as caught:
        data.load(images, target="other")
    assert caught.value.path == str(other) and caught.value.offset == 0


# Damage

def whole_files():
    X, y = np.arange(12.0).reshape(4, 3), np.array(["a", "b", "a", "c"])
    images, text = idx(X.astype("u1")), b"a,b,k\n1,2,5\n3,4,6\n"
    return {
        "x.npy": npy(X), "x.npz": npz(X=X, y=y), "packed.npz": npz(True, X=X, y=y), "x.idx": images,
        "x.idx.gz": gzip.compress(images, mtime=0), "x.npy.gz": gzip.compress(npy(X), mtime=0),
        "x.csv.gz": gzip.compress(text, mtime=0),
    }


@pytest.mark.parametrize("name", whole_files())
def test_every_truncation_is_detected(write, name):
    content = whole_files()[name]
    data.load(write(content, name))                                     # whole, it loads
    for length in range(len(content)):
        line, column, offset, _ = located(write(content[:length], name))
        assert line == 1 if name == "x.csv.gz" and length < 2 else offset is not None
        if name in ("x.npy", "x.idx") and length > 10:
            assert offset == length


@pytest.mark.parametrize("name", [name for name in whole_files() if not name.endswith(".npz")])
def test_trailing_bytes_are_detected(write, name):
    content = whole_files()[name]
    offset = located(write(content + b"\1", name))[2]
    if not name.endswith(".gz"):
        assert offset == len(content)


@pytest.mark.parametrize("name", ["x.npz", "packed.npz", "x.idx.gz", "x.npy.gz", "x.csv.gz"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_every_flipped_bit_is_detected_or_harmless(write, name):
    content = whole_files()[name]
    options = {"target": "k"} if name == "x.csv.gz" else {}
    whole = data.load(write(content, name), **options)
    flips = np.arange(8 * len(content))
    detected = 0
    for flip in flips.tolist():
        damaged = bytearray(content)
        damaged[flip // 8] ^= 1 << flip % 8
        try:
            table = data.load(write(bytes(damaged), name), **options)
        except DataFormatError:
            detected += 1
        else:
            same(table.X, whole.X)
            assert whole.y is table.y is None or table.y.tolist() == whole.y.tolist()
    assert detected > 0.5 * len(flips)


def test_a_wrong_checksum_is_detected(write):
    content = bytearray(whole_files()["x.csv.gz"])
    content[-8] ^= 1
    assert "CRC" in located(write(bytes(content), "x.csv.gz"), target="k")[3]


# Manners

CHILD = """
import sys, time
from backprop import data
print("ready", flush=True)
try:
    data.load(sys.argv[1], **({"zero_based": False} if sys.argv[1].endswith(".svm") else {}))
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""


@pytest.mark.parametrize("kind", ["csv", "quoted csv", "npy.gz", "libsvm", "libsvm with comments"])
def test_ctrl_c_is_heard_within_half_a_second(tmp_path, kind):
    if kind == "npy.gz":
        path = tmp_path / "x.npy.gz"
        path.write_bytes(gzip.compress(forged(header((2_000_000, 100)))) + 100 * gzip.compress(bytes(16_000_000)))
    elif kind.startswith("libsvm"):
        pytest.importorskip("scipy", reason="rows of LIBSVM files are SciPy's")
        path = tmp_path / "x.svm"
        row = "1 " + " ".join(f"{i}:1.25" for i in range(1, 300))
        path.write_text((row + (" # a comment\n" if kind.endswith("comments") else "\n")) * 15_000)
    else:
        row = ",".join(["1.25"] * 500) + "\n"
        path = tmp_path / "x.csv"
        path.write_text(('"1"' + row[4:] if kind == "quoted csv" else row) * 15_000)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.15)
        sent = time.time()
        child.send_signal(signal.SIGINT)
        heard = child.stdout.readline()
        assert heard, "the file was read before the signal came"
        assert float(heard) - sent < 0.5


def test_files_are_closed(write):
    for name, content in whole_files().items():
        path = write(content, name)
        data.load(path)
        with pytest.raises(ValueError):
            data.load(path, target=99)
    if os.path.exists("/proc/self/fd"):
        targets = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                   if os.path.islink(f"/proc/self/fd/{fd}")]
        assert not [target for target in targets if str(path.parent) in target]


# split

@pytest.mark.parametrize("test_size, n_test", [(0.25, 25), (1, 1), (99, 99), (0.001, 1), (0.999, 99), (0.07, 7),
                                               (0.255, 26)])
@pytest.mark.parametrize("stratify", [False, True])
def test_split_is_a_partition(test_size, n_test, stratify):
    X, y = np.arange(200.0).reshape(100, 2), np.repeat([0, 1], 50)
    if stratify and n_test in (1, 99):
        with pytest.raises(ValueError, match="not all 2 classes can be on both sides"):
            data.split(X, y, test_size, stratify=True, seed=0)
        return
    X_train, X_test, y_train, y_test = data.split(X, y, test_size, stratify=stratify, seed=0)
    assert len(X_test) == len(y_test) == n_test and len(X_train) == len(y_train) == 100 - n_test
    assert_array_equal(np.sort(np.concatenate([X_train, X_test]), axis=0), X)
    assert_array_equal(X_train[:, 0] // 100, y_train)
    assert_array_equal(X_test[:, 0] // 100, y_test)


def test_split_is_seeded_and_random():
    X, y = np.arange(40.0).reshape(40, 1), np.repeat(["a", "b"], 20)
    for stratify in (False, True):
        first, again = (data.split(X, y, stratify=stratify, seed=5) for _ in range(2))
        for a, b in zip(first, again):
            same(a, b)
        other = data.split(X, y, stratify=stratify, seed=6)
        assert first[0].tolist() != other[0].tolist()
        assert first[0].tolist() != np.sort(first[0], axis=0).tolist()
        generator = np.random.default_rng(5)
        same(data.split(X, y, stratify=stratify, seed=generator)[0], first[0])
        assert data.split(X, y, stratify=stratify, seed=generator)[0].tolist() != first[0].tolist()


def test_split_copies_and_keeps_kinds():
    X, y = np.ones((4, 1), np.float32), [[0.5, 1], [2, 3], [4, 5], [6, 7]]
    X_train, X_test, y_train, y_test = data.split(X, y, 1, seed=0)
    assert X_train.dtype == np.float64 and y_test.shape == (1, 2) and y_train.shape == (3, 2)
    X_train[:] = 9
    assert (X == 1).all()
    assert data.split(X, ["a", "b", "c", "d"], 1, seed=0)[2].dtype == np.dtype("U1")
    assert data.split(X, [1, 2, 3, 4], 1, seed=0)[2].dtype == np.int64


@hypotheses.examples(100)
@given(rows=st.lists(st.integers(2, 40), min_size=1, max_size=6), fraction=st.floats(0.01, 0.99),
       seed=st.integers(0, 99))
def test_stratified_shares(rows, fraction, seed):
    y = np.repeat(np.arange(len(rows)), rows)
    n_test = min(max(int(len(y) * fraction + 0.5), 1), len(y) - 1)
    if not len(rows) <= n_test <= len(y) - len(rows):
        return
    _, _, y_train, y_test = data.split(np.ones((len(y), 1)), y, fraction, stratify=True, seed=seed)
    counts = np.bincount(y_test, minlength=len(rows))
    assert counts.sum() == n_test and (counts >= 1).all() and (counts < rows).all()
    exact = n_test * np.array(rows) / len(y)
    if (exact >= 1).all() and (exact <= np.array(rows) - 1).all():
        assert (np.abs(counts - exact) < 1).all()


def test_small_classes_are_kept_at_the_cost_of_large_ones():
    y = np.repeat(np.arange(11), [40] + [2] * 10)
    y_test = data.split(np.ones((60, 1)), y, 11, stratify=True, seed=0)[3]
    assert np.bincount(y_test).tolist() == [1] * 11


def test_stratify_by_rows_of_a_matrix():
    y = np.repeat(np.eye(3), [20, 8, 4], axis=0)
    y_test = data.split(np.ones((32, 1)), y, 0.25, stratify=True, seed=0)[3]
    assert y_test.sum(axis=0).tolist() == [5, 2, 1]


@pytest.mark.parametrize("X, y, options, error, words", [
    ([[1], [2]], [1], {}, ValueError, "y has 1 labels"), ([[1], [2]], [[1, 2]], {}, ValueError, "y has 1 rows"),
    ([[1]], [1], {}, ValueError, "too few"), ([[1], [np.nan]], [1, 2], {}, ValueError, "X holds NaN"),
    ([[1], [2]], [1, np.inf], {}, ValueError, "y holds infinity"),
    ([[1], [2]], [1, 2], {"test_size": 2}, ValueError, "at most 1"),
    ([[1], [2]], [1, 2], {"test_size": 0}, ValueError, "at least 1"),
    ([[1], [2]], [1, 2], {"test_size": 1.0}, ValueError, "less"),
    ([[1], [2]], [1, 2], {"test_size": True}, TypeError, "test_size"),
    ([[1], [2]], [1, 2], {"test_size": "a"}, TypeError, "test_size"),
    ([[1], [2]], [1, 2], {"stratify": 1}, TypeError, "stratify"),
    ([[1], [2]], [1, 2], {"seed": -1}, ValueError, "seed"),
    ([[1], [2], [3]], ["a", "b", "b"], {"stratify": True}, ValueError, "'?a'?.* one row"),
    ([[1], [2]], None, {}, ValueError, "y"),
])
def test_split_refuses(X, y, options, error, words):
    with pytest.raises(error, match=words):
        data.split(X, y, **options)


# one_hot

@pytest.mark.parametrize("y", [[2, 0, 2], ["b", "a", "b"], [True, False, True], [0.5, -1.0, 0.5],
                               np.array([[2], [0], [2]], "i1")])
def test_one_hot(y):
    same(data.one_hot(y), np.eye(2)[[1, 0, 1]])


def test_one_hot_with_given_classes():
    same(data.one_hot(["b", "a"], classes=["c", "b", "a"]), np.array([[0.0, 1, 0], [0, 0, 1]]))
    same(data.one_hot([2.0, 1.0], classes=[1, 2]), np.array([[0.0, 1], [1, 0]]))
    same(data.one_hot([2**53 + 1], classes=[2**53, 2**53 + 1]), np.array([[0.0, 1]]))


@pytest.mark.parametrize("y, classes, error, words", [
    ([0, 1, 7], [0, 1], ValueError, "label 7 at row 2; the classes are 0, 1"), (["1"], [1], ValueError, "'1' at row 0"),
    ([0], [0, 1, 0], ValueError, "0 twice"), ([], None, ValueError, "y is empty"),
    ([0], [], ValueError, "classes is empty"),
    ([np.nan], None, ValueError, "NaN"), ([[1, 2]], None, ValueError, "1-D"), ([1j], None, ValueError, "complex"),
    (np.array([1, "a"], dtype=object), None, TypeError, "no common order")])
def test_one_hot_refuses(y, classes, error, words):
    with pytest.raises(error, match=words):
        data.one_hot(y, classes)


# Standardizer

def test_standardizer_against_exact_sums():
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 1e-200, 1e200, 1e-3] + [0, 0, 0, 1e6]
    standardizer = data.Standardizer()
    Z = standardizer.fit_transform(X)
    for column in range(4):
        exact = [Fraction(x) for x in X[:, column].tolist()]
        mean = sum(exact) / 50
        variance = sum((x - mean) ** 2 for x in exact) / 50
        size = abs(mean) + max(map(abs, exact)) / 8
        assert abs(Fraction(standardizer.mean_[column]) - mean) <= size * Fraction(1, 2 * 10**15)
        scale = Fraction(standardizer.scale_[column])
        assert abs(scale * scale - variance) <= variance * Fraction(1, 10**14)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(standardizer.inverse_transform(Z), X, rtol=1e-12, atol=0)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e8, -1e308, 5e-324])
def test_a_constant_feature_becomes_zero(offset):
    standardizer = data.Standardizer().fit(np.full((7, 1), offset))
    assert standardizer.mean_.tolist() == [offset] and standardizer.scale_.tolist() == [1.0]
    assert standardizer.transform([[offset]]).tolist() == [[0.0]]


@hypotheses.examples(200)
@given(values=st.lists(NUMBERS, min_size=1, max_size=8))
def test_standardizer_is_always_finite(values):
    standardizer = data.Standardizer().fit(np.array(values).reshape(-1, 1))
    assert np.isfinite(standardizer.mean_).all() and np.isfinite(standardizer.scale_).all() and standardizer.scale_ > 0
    assert min(values) <= standardizer.mean_[0] <= max(values)


def test_standardizer_layouts_give_the_same_bits():
    X = np.random.default_rng(2).normal(size=(30, 5))
    expected = data.Standardizer().fit_transform(X)
    wide = np.zeros((60, 10))
    wide[::2, ::2] = X
    for other in (np.asfortranarray(X), wide[::2, ::2], X[::-1][::-1], X.astype(">f8"), X.tolist()):
        same(data.Standardizer().fit_transform(other), expected)


def test_standardizer_state_goes_through_json():
    fitted = data.Standardizer().fit(np.random.default_rng(1).normal(size=(9, 3)) * 1e-9)
    again = data.Standardizer.from_dict(json.loads(json.dumps(fitted.to_dict())))
    same(again.mean_, fitted.mean_)
    same(again.scale_, fitted.scale_)
    assert again.n_features_in_ == 3 and repr(again) == "Standardizer(3 features)"
    same(pickle.loads(pickle.dumps(fitted)).transform(np.ones((1, 3))), fitted.transform(np.ones((1, 3))))


@pytest.mark.parametrize("state, error", [
    (None, TypeError), ({}, ValueError), ({"mean": [1.0]}, ValueError),
    ({"mean": [1.0], "scale": [1.0, 2.0]}, ValueError),
    ({"mean": [1.0], "scale": [0.0]}, ValueError), ({"mean": [1.0], "scale": [-1.0]}, ValueError),
    ({"mean": [float("nan")], "scale": [1.0]}, ValueError), ({"mean": "a", "scale": [1.0]}, TypeError),
    ({"mean": [1.0], "scale": [1.0], "more": 1}, ValueError)])
def test_standardizer_refuses_a_wrong_state(state, error):
    with pytest.raises(error):
        data.Standardizer.from_dict(state)


def test_standardizer_refuses_bad_input_and_stays_as_it_was():
    standardizer = data.Standardizer()
    for use in (standardizer.transform, standardizer.inverse_transform, lambda X: standardizer.to_dict()):
        with pytest.raises((NotFittedError, sklearn_or_own("NotFittedError")), match="not fitted"):
            use([[1.0]])
    assert repr(standardizer) == "Standardizer()"
    standardizer.fit([[1.0, 2.0], [3.0, 5.0]])
    before = standardizer.to_dict()
    for bad in ([[1.0, np.nan]], [[1.0, np.inf]], [], [1.0, 2.0]):
        with pytest.raises(ValueError, match="X"):
            standardizer.fit(bad)
        with pytest.raises(ValueError, match="X"):
            standardizer.transform(bad)
    with pytest.raises(ValueError, match="3 columns, expected 2"):
        standardizer.transform([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="the inverse of X holds infinity"):
        standardizer.inverse_transform([[1.7e308, 1.7e308]])
    assert standardizer.to_dict() == before
    tiny = data.Standardizer().fit([[0.0], [1e-300]])
    with pytest.raises(ValueError, match="the standardized X holds infinity"):
        tiny.transform([[1e300]])
