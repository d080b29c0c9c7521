"""Data for networks: files, the bundled digits, splitting, one-hot coding and standardizing.

>>> from backprop import data
>>> X, y = data.digits()
>>> X_train, X_test, y_train, y_test = data.split(X, y, test_size=0.2, stratify=True, seed=0)
>>> X_train.shape, data.one_hot(y_train).shape
((1438, 64), (1438, 10))
"""

from __future__ import annotations

import numbers
import os
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, _readers, _sparse
from backprop._read_libsvm import MAX_FEATURES
from backprop._read_source import Options
from backprop.errors import sklearn_or_own
from backprop.streams import Stream, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from backprop._types import ArrayLike, FloatArray, PathLike, Seed

SHOWN_ROWS, SHOWN_COLUMNS = 5, 12        # of a data set in a notebook

__all__ = ["Dataset", "Standardizer", "Stream", "digits", "load", "one_hot", "split", "stream"]


@dataclass(eq=False, repr=False)
class Dataset:
    """Examples and their targets; unpacks as ``X, y``, which are its items 0 and 1; ``dataset["X"]`` is ``dataset.X``.

    Parameters
    ----------
    X : ndarray, shape (n, d), float64, C-contiguous
        One example per row, all finite. Of a LIBSVM file a `scipy.sparse.csr_array`, if that was asked for.
    y : ndarray or None
        The targets as read: shape (n,) of int64, float64, bool or strings, or shape (n, k) of numbers.
    feature_names : list of str or None
        The names of the d columns, where the file has them.
    target_name : str or None
        The name of the target, where the file has it.
    classes : ndarray or None
        The class labels, sorted, where `y` holds integers, bools or strings; None for other targets.

    Examples
    --------
    >>> digits()
    Dataset(X: 1797 rows x 64 features, y: 'digit', 10 classes)
    """

    X: np.ndarray
    y: np.ndarray | None = None
    feature_names: list | None = None
    target_name: str | None = None
    classes: np.ndarray | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.X, self.y))

    def __getitem__(self, key):
        if isinstance(key, str):
            if key not in self.__dict__:
                raise KeyError(f"{key!r}; a Dataset has {', '.join(self.__dict__)}")
            return self.__dict__[key]
        return (self.X, self.y)[key]

    def __repr__(self):
        rows, features = self.X.shape
        parts = []
        if self.target_name is not None:
            parts.append(repr(self.target_name))
        if self.y is None:
            parts.append("none")
        elif self.classes is not None:
            parts.append(f"{len(self.classes)} classes")
        else:
            parts.append(f"{self.y.dtype}" if self.y.ndim == 1 else f"{self.y.dtype} x {self.y.shape[1]}")
        return f"Dataset(X: {rows} rows x {features} features, y: {', '.join(parts)})"

    def _repr_html_(self):
        from backprop import _html

        columns = min(self.X.shape[1], SHOWN_COLUMNS)
        names = self.feature_names or [f"X[:, {j}]" for j in range(columns)]
        more = ["..."] if columns < self.X.shape[1] else []
        first = self.X[:SHOWN_ROWS]
        first = first.toarray() if _sparse.is_sparse(first) else first
        rows = [[*(f"{value:.6g}" for value in row[:columns]), *more] for row in first]
        header = [*map(str, names[:columns]), *more]
        if self.y is not None:
            header.append(self.target_name or "y")
            rows = [[*row, str(target)] for row, target in zip(rows, self.y)]
        if len(rows) < self.X.shape[0]:
            rows.append(["..."] * len(header))
        return _html.table(header, rows, repr(self))


def load(path: PathLike, target: str | int | None = None, *, header: bool | str = "auto", delimiter: str | None = None,
         drop: str | int | Sequence[str | int] = (), target_kind: str = "auto", zero_based: bool | None = None,
         n_features: int | None = None, sparse: bool | None = None) -> Dataset:
    """Read a data file: exactly what it holds, or an error that says where it is wrong.

    The format is recognised by the first bytes, or by the name: CSV, TSV and other delimited text (.csv, .tsv, .tab,
    .txt, .data, .dat), NPY, NPZ, IDX (MNIST's) and LIBSVM (.libsvm, .svm, .svmlight), all but NPZ also compressed by
    gzip. A cell that is empty, not a number, NaN, infinite or too large for a float64 is an error, and pickled objects
    are never loaded.

    Parameters
    ----------
    path : str or os.PathLike
    target : str, int or None, default None
        The column to predict, by name or by position (from 0; negative from the end). None: a text or NPY file has no
        target, and all its columns are features. In an NPZ file the target is the array y, and `target` is for archives
        without one. The labels of an IDX file of images are found beside it by MNIST's names
        (``train-labels-idx1-ubyte`` for ``train-images-idx3-ubyte``); `target` names the file of labels where it is
        called otherwise, and `y` is None where there is none.
    header : bool or "auto", default "auto"
        Whether the first row of a text file holds names. "auto": it does when a column is asked for by name or no
        feature cell of it is a number; it does not when all are numbers; a mixture, or a row that only counts the
        columns (0, 1, 2, ...), is an error that asks.
    delimiter : str or None, default None
        One character. None: tab in .tsv and .tab files, else the most frequent of comma, tab and semicolon in the first
        line. A text file of any name is read when `delimiter` is given.
    drop : sequence of str or int, default ()
        Columns to leave out, by name or by position in the file, such as an identifier.
    target_kind : {"auto", "class", "number"}, default "auto"
        "auto": the target of a text file is read as int64 where all its cells are integers, as float64 where all are
        numbers, as strings where none is a number; a mixture is an error. An array is taken as it is stored.
        "class": as int64 where all are whole, else as strings (text) or an error (arrays). "number": as float64.
    zero_based : bool, optional
        Whether the indices of a LIBSVM file count from 0 (True) or from 1 (False). It must be said, because a file does
        not tell; a file of any name is read as LIBSVM when it is.
    n_features : int, optional
        The columns of a LIBSVM file; a larger index is an error. None: the largest index decides, so that a training
        and a test file may differ in width.
    sparse : bool, optional
        Of a LIBSVM file: True makes X a `scipy.sparse.csr_array`, False a dense array, None the former where SciPy is
        installed.

    Returns
    -------
    Dataset
        `X` is as it is in the file, unscaled (divide MNIST's by 255); what has more than two dimensions, such as
        images, is flattened to one row per example. `classes` is set for integer, bool and string targets.

    Raises
    ------
    DataFormatError
        With `line` and `column` (the cell, both counted from 1) for text, `offset` (bytes from the start of the
        decompressed file or archive member) for binary formats.
    ValueError, TypeError
        For arguments that do not fit the file or are of the wrong kind.
    ImportError
        For ``sparse=True`` without SciPy.
    OSError
        As it comes: FileNotFoundError and so on.

    Notes
    -----
    Text is UTF-8, with or without a byte order mark. Numbers are written as in ``-1.5e-3``, whatever the locale; white
    space around a cell does not count. Cells may be quoted with ``"``, doubled inside. Blank lines may stand only at
    the end. In a LIBSVM file the cells are separated by spaces or tabs, one label begins a row, its indices ascend, and
    what follows ``#`` is a comment.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "flowers.csv")
    ...     _ = path.write_text("length,width,species\\n5.1,3.5,setosa\\n7.0,3.2,versicolor\\n")
    ...     flowers = load(path, target="species")
    >>> flowers
    Dataset(X: 2 rows x 2 features, y: 'species', 2 classes)
    >>> flowers.X[0], flowers.y.tolist(), flowers.feature_names
    (array([5.1, 3.5]), ['setosa', 'versicolor'], ['length', 'width'])
    """
    return read(path, checked(target, header, delimiter, drop, target_kind, zero_based, n_features, sparse))


def checked(target, header, delimiter, drop, target_kind, zero_based=None, n_features=None, sparse=None, **others):
    """`Options` from the arguments of `load`, checked."""
    return Options(
        _column(target, "target", optional=True), _header(header), _delimiter(delimiter), _drop(drop),
        _check.choice(target_kind, "target_kind", ("auto", "class", "number")),
        None if zero_based is None else _check.boolean(zero_based, "zero_based"),
        None if n_features is None else _check.integer(n_features, "n_features", minimum=1, maximum=MAX_FEATURES),
        None if sparse is None else _check.boolean(sparse, "sparse"), **others)


def read(path, options):
    """The Dataset of a file, with checked `Options`: `load` for a caller that spells arguments in its own way."""
    table = _readers.read(os.fsdecode(_check.path(path)), options)
    classes = table.classes
    if classes is None and table.y is not None and table.y.ndim == 1 and table.y.dtype.kind != "f":
        classes = np.unique(table.y)
    return Dataset(table.X, table.y, table.feature_names, table.target_name, classes)


def stream(path: PathLike, target: str | int | None = None, chunk_rows: int = 65536, shuffle: bool = False,
           seed: int | None = None, *, classes: ArrayLike | None = None, header: bool | str = "auto",
           delimiter: str | None = None, drop: str | int | Sequence[str | int] = (), zero_based: bool | None = None,
           n_features: int | None = None, sparse: bool | None = None) -> Stream:
    """A data file chunk by chunk, for `Network.train` and for files that are larger than memory.

    Training on a stream keeps about three chunks in memory, and the next chunk is read while one is trained on. Batches
    run across the borders of chunks, so that without `shuffle` the size of the chunks changes no bit: an epoch is the
    epoch of `train(X, Y, shuffle=False)`.

    Parameters
    ----------
    path : str or os.PathLike
        CSV and its like, NPY, NPZ, IDX, LIBSVM or Parquet (which needs pyarrow, the extra `parquet`), recognised as
        `load` does; all but NPZ and Parquet also compressed by gzip. What is compressed, and any NPZ archive, is read
        from its beginning on, so that `shuffle` and arrays in Fortran order are refused there.
    target : str, int or None, default None
        As in `load`. Without a target the chunks are (X, None), for prediction.
    chunk_rows : int, default 65536
        Rows of a chunk.
    shuffle : bool, default False
        Visit the chunks in a random order, and the rows of each, in a new one every epoch. (Of a Parquet file the row
        groups are permuted.) A text file is read once beforehand to find where its chunks begin. What stands together
        in the file stays together, more or less: a sorted file is better shuffled as a whole, once.
    seed : int, optional
        Of the orders; an epoch's depends on the seed and its number alone. None: drawn, and kept as `seed`.
    classes : "auto" or sequence of labels, optional
        None: the target is a number, and Y has one column. Else it is a label, and Y has a one-hot column for every
        class in this order; a label that is none of them is an error. "auto": the sorted labels, which a first pass
        over the file collects.
    header, delimiter, drop, zero_based, n_features, sparse
        As in `load`; the width of a LIBSVM file without `n_features` is found by a first pass.

    Returns
    -------
    Stream

    Raises
    ------
    DataFormatError, ValueError, TypeError, ImportError, OSError
        As in `load`; a flaw of the file is found when its chunk is read.

    Examples
    --------
    >>> import backprop as bp, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "flowers.csv")
    ...     _ = path.write_text("length,width,species\\n5.1,3.5,setosa\\n7.0,3.2,versicolor\\n4.9,3.0,setosa\\n")
    ...     flowers = bp.data.stream(path, "species", classes="auto", chunk_rows=2)
    ...     history = bp.Network([2, 2], loss="log_loss", seed=0).train(flowers, epochs=3, learning_rate=0.1)
    >>> flowers
    Stream('flowers.csv': 3 rows x 2 features, 2 classes, chunks of 2 rows)
    >>> flowers.classes.tolist(), len(history)
    (['setosa', 'versicolor'], 3)
    """
    options = checked(target, header, delimiter, drop, "auto", zero_based, n_features, sparse)
    chunk_rows = _check.integer(chunk_rows, "chunk_rows", minimum=1, maximum=2**31)
    seed = None if seed is None else _check.integer(seed, "seed", minimum=0)
    if isinstance(classes, str):
        _check.choice(classes, "classes", ("auto",))
    return open_stream(os.fsdecode(_check.path(path)), options, classes, chunk_rows,
                       _check.boolean(shuffle, "shuffle"), seed)


def _column(value, name, optional=False):
    if isinstance(value, str) or (optional and value is None):
        return value
    return _check.integer(value, name)


def _header(value):
    if isinstance(value, str):
        return _check.choice(value, "header", ("auto",))
    return _check.boolean(value, "header")


def _drop(value):
    if isinstance(value, (set, frozenset, dict)):        # the order does not matter
        value = list(value)
    columns = [value] if isinstance(value, (str, numbers.Integral)) else _check.sequence(value, "drop", "columns")
    return tuple(_column(column, "drop") for column in columns)


def _delimiter(value):
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"delimiter must be one character, got {type(value).__name__}")
    if len(value) != 1 or value.isalnum() or value in '"+-._\r\n\0' or "\ud800" <= value <= "\udfff":
        raise ValueError("delimiter must be one character that is not part of a number or a quote, "
                         f"got {_check.shown(value)}")
    return value


def digits() -> Dataset:
    """1,797 handwritten digits, each scanned as 8x8 pixels: the data set that comes with the package.

    Returns
    -------
    Dataset
        `X` (1797, 64) float64, the pixels row by row, 0 (white) to 1 (black) in steps of 1/16; `y` (1797,) int64, the
        digits 0 to 9.

    Notes
    -----
    The test part of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the same numbers, times 16, as
    `sklearn.datasets.load_digits`.

    Examples
    --------
    >>> X, y = digits()
    >>> X.shape, float(X.max()), y[:5]
    ((1797, 64), 1.0, array([0, 1, 2, 3, 4]))
    """
    with resources.as_file(resources.files("backprop.datasets") / "digits.csv.gz") as path:
        dataset = load(path, target="digit")
    dataset.X /= 16.0
    return dataset


def split(X: Any, y: ArrayLike, test_size: float | int = 0.25, stratify: bool = False,
          seed: Seed = None) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Split examples at random into a training and a test part.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, d)
    y : array_like, shape (n,) or (n, k)
        Labels or numbers, one or one row per example.
    test_size : float or int, default 0.25
        The fraction of examples (above 0, below 1; rounded to the nearest count, at least one example on each side) or
        the number of examples in the test part.
    stratify : bool, default False
        Give every class (label of `y`, or row of a 2-D `y`) its share of the test part: the share rounded up or down so
        that the parts add up, and at least one example of the class on each side.
    seed : int, numpy.random.Generator or None, default None

    Returns
    -------
    X_train, X_test, y_train, y_test : ndarray
        Copies, each part in random order. The parts of a sparse X are sparse, in CSR form.

    Raises
    ------
    ValueError
        Where a part would be empty, or, with `stratify`, a class could not be on both sides.

    Examples
    --------
    >>> X_train, X_test, y_train, y_test = split([[0], [1], [2], [3]], ["a", "a", "b", "b"], 0.5, stratify=True, seed=1)
    >>> sorted(y_train.tolist()), sorted(y_test.tolist())
    (['a', 'b'], ['a', 'b'])
    """
    X = _sparse.checked(X, "X") if _sparse.is_sparse(X) else _check.matrix(X)
    n = X.shape[0]
    y = _targets(y, n)
    n_test = _test_rows(test_size, n)
    order = _check.generator(seed).permutation(n)
    if _check.boolean(stratify, "stratify"):
        in_test = _stratified(y[order], n_test)
    else:
        in_test = np.arange(n) < n_test
    test, train = order[in_test], order[~in_test]
    return X[train], X[test], y[train], y[test]


def _targets(y, rows) -> np.ndarray:
    try:
        dimensions = np.ndim(y)
    except (ValueError, TypeError):                      # ragged, or no array: the check says so
        dimensions = 1
    if dimensions != 2:
        return _check.labels(y, "y", rows=rows)
    y = _check.array(y, "y", 2)
    if len(y) != rows:
        raise ValueError(f"y has {len(y)} rows, but X has {rows}")
    return y


def _test_rows(test_size, rows):
    if rows < 2:
        raise ValueError(f"X has {rows} row, too few to split")
    if isinstance(test_size, numbers.Integral):
        return _check.integer(test_size, "test_size", minimum=1, maximum=rows - 1)
    fraction = _check.real(test_size, "test_size", above=0, below=1)
    return min(max(int(rows * fraction + 0.5), 1), rows - 1)


def _stratified(y, n_test):
    """Mask of `n_test` rows in which the first rows of every class stand in proportion."""
    try:
        values, codes, rows = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    except TypeError as error:
        raise TypeError(f"y mixes labels that cannot be sorted ({error})") from None
    codes = codes.reshape(-1)
    if rows.min() < 2:
        raise ValueError(f"stratify: the class {values[rows.argmin()]} has one row, too few for both parts")
    if not len(rows) <= n_test <= len(y) - len(rows):
        raise ValueError(f"stratify: with {n_test} of {len(y)} rows in the test part, "
                         f"not all {len(rows)} classes can be on both sides")
    counts = _shares(rows, n_test)
    by_class = np.argsort(codes, kind="stable")
    rank = np.empty(len(y), np.intp)            # of each row among those of its class, in the given order
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(rows) - rows, rows)
    return rank < counts[codes]


def _shares(rows, total):
    """Whole numbers near ``total * rows / rows.sum()``, between 1 and ``rows - 1``, that add up to `total`."""
    exact = total * rows / rows.sum()
    counts = np.clip(np.floor(exact), 1, rows - 1).astype(np.intp)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < rows - 1, exact - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmin(np.where(counts > 1, exact - counts, np.inf))] -= 1
    return counts


def one_hot(y: ArrayLike, classes: ArrayLike | None = None) -> FloatArray:
    """Labels as rows of zeros with a single one.

    Parameters
    ----------
    y : array_like, shape (n,)
        Labels: strings, integers, bools or other numbers.
    classes : array_like, shape (k,), optional
        The labels in the order of the columns; by default those in `y`, sorted.

    Returns
    -------
    ndarray, shape (n, k), float64
        Row i has its one in the column of the class y[i].

    Raises
    ------
    ValueError
        For a label that is not among `classes` (the message names its row), and for a class that is given twice.

    Examples
    --------
    >>> one_hot(["no", "yes", "no"])
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """
    labels = _check.labels(y, "y")
    known = (_sorted_classes(labels) if classes is None else _check.labels(classes, "classes")).tolist()
    column = {label: i for i, label in enumerate(known)}
    if len(column) < len(known):
        twice = next(label for i, label in enumerate(known) if column[label] != i)
        raise ValueError(f"classes holds {twice!r} twice")
    out = np.zeros((len(labels), len(known)))
    for row, label in enumerate(labels.tolist()):
        if label not in column:
            raise ValueError(f"y holds the unknown label {label!r} at row {row}; the classes are {_listed(known)}")
        out[row, column[label]] = 1.0
    return out


def _sorted_classes(labels):
    try:
        return np.unique(labels)
    except TypeError:
        raise TypeError("y holds labels of kinds that have no common order, such as strings and numbers") from None


def _listed(known):
    return ", ".join(map(repr, known[:20])) + (", ..." if len(known) > 20 else "")


class Standardizer:
    """Shift and scale every feature to mean 0 and standard deviation 1.

    ``(x - mean) / scale`` with the mean and the standard deviation (divided by n, not by n - 1) of the examples that
    `fit` was given. A constant feature has the scale 1, so that it becomes 0.

    Attributes
    ----------
    mean_, scale_ : ndarray, shape (d,)
        Set by `fit`.
    n_features_in_ : int
        d.

    Notes
    -----
    The mean and the variance are taken in two passes, on values brought near 1 by a power of two, so that neither a
    large common offset nor the size of the numbers costs digits.

    Examples
    --------
    >>> standardizer = Standardizer().fit([[1.0, 7.0], [3.0, 7.0]])
    >>> standardizer.mean_, standardizer.scale_
    (array([2., 7.]), array([1., 1.]))
    >>> standardizer.transform([[5.0, 8.0]])
    array([[3., 1.]])
    """

    def fit(self, X: ArrayLike) -> Standardizer:
        """Take mean and scale from X (n, d); returns self."""
        X = _check.matrix(X)
        self.mean_, self.scale_ = _moments(X)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: ArrayLike) -> FloatArray:
        """(n, d) -> (n, d): ``(X - mean_) / scale_`` as a new array; ValueError where the result overflows."""
        X = self._fitting(X)
        with np.errstate(over="ignore"):
            out = (X - self.mean_) / self.scale_
        _check.finite(out, "the standardized X")
        return out

    def fit_transform(self, X: ArrayLike) -> FloatArray:
        """`fit`, then `transform` the same X."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> FloatArray:
        """(n, d) -> (n, d): ``X * scale_ + mean_``, what `transform` undoes; ValueError where the result overflows."""
        X = self._fitting(X)
        with np.errstate(over="ignore"):
            out = X * self.scale_ + self.mean_
        _check.finite(out, "the inverse of X")
        return out

    def _require_fit(self):
        if not hasattr(self, "mean_"):
            raise sklearn_or_own("NotFittedError")("this Standardizer is not fitted; call fit first")

    def _fitting(self, X):
        self._require_fit()
        return _check.matrix(X, columns=self.n_features_in_, of="as many as fit saw")

    def to_dict(self) -> dict[str, list[float]]:
        """``{"mean": [...], "scale": [...]}`` of Python floats, which JSON keeps to the last bit."""
        self._require_fit()
        return {"mean": self.mean_.tolist(), "scale": self.scale_.tolist()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Standardizer:
        """The Standardizer that `to_dict` described; ValueError or TypeError for anything else."""
        if not isinstance(state, dict) or set(state) != {"mean", "scale"}:
            kind = ValueError if isinstance(state, dict) else TypeError
            raise kind(f"state must be a dict of mean and scale, got {_check.shown(state)}")
        new = cls()
        new.mean_ = _check.vector(state["mean"], "mean").copy()
        new.scale_ = _check.vector(state["scale"], "scale", length=len(new.mean_), of="one per mean").copy()
        if (new.scale_ <= 0).any():
            raise ValueError(f"scale must be greater than 0, got {new.scale_.min()}")
        new.n_features_in_ = len(new.mean_)
        return new

    def __repr__(self):
        return f"Standardizer({self.n_features_in_} features)" if hasattr(self, "mean_") else "Standardizer()"


def _moments(X):
    """Mean and standard deviation of every column, without overflow or cancellation; scale 1 where it is constant."""
    low, high = X.min(axis=0), X.max(axis=0)
    exponent = np.frexp(np.maximum(np.abs(low), np.abs(high)))[1]
    Z = np.ldexp(X, -exponent)                  # |Z| < 1, exactly
    mean = Z.mean(axis=0)
    Z -= mean
    mean += Z.mean(axis=0)                      # what rounding left of the first sum
    spread = np.sqrt(np.square(Z - Z.mean(axis=0)).mean(axis=0))
    mean, scale = np.ldexp(mean, exponent), np.ldexp(spread, exponent)
    constant = (low == high) | (scale == 0.0)
    return np.where(low == high, low, mean), np.where(constant, 1.0, scale)
