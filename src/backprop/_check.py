"""The one gate: anything that a user passes becomes finite, C-contiguous float64 here, or raises.

Kernels trust what comes out of these functions. They copy only when they must, never change the caller's array, and
their messages name the argument, what came and what is expected, with the row and column of a bad value.
"""

from __future__ import annotations

import numbers
import os
from typing import TYPE_CHECKING

import numpy as np

from backprop import _frames
from backprop._dispatch import core

if TYPE_CHECKING:
    from backprop._types import FloatArray

MAX_ELEMENTS = 2**40        # beyond this a size is a mistake, and the error comes before the allocation
_FLOAT64 = np.dtype(np.float64)
_DATES = (np.datetime64, np.timedelta64)
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)           # integers by their classes alone


def _kind(value):
    return type(value).__name__


def shown(value) -> str:
    """`value` as a message quotes it: its repr on one line, cut where it grows past a line."""
    if isinstance(value, (str, bytes)) and len(value) > 100:
        value = value[:100]                              # the repr of a whole file would take its time
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


class calls:
    """`with calls("metrics"):` around a call of a user's function; what that raises gets a note with the argument."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        note = f"raised by a function that backprop was given: {self.what}"
        if isinstance(error, Exception) and note not in getattr(error, "__notes__", ()):     # one error, raised again
            error.add_note(note)


def _got(value):
    """`value` with its kind, as a message about a wrong kind quotes it."""
    return "None" if value is None else f"{_kind(value)} {shown(value)}"


def array(value, name, ndim, *, copy=False, one="row") -> FloatArray:
    """`value` as a finite, aligned, C-contiguous, native float64 array of `ndim` dimensions (1 or 2).

    `one` is what messages call a place in one dimension.
    Raises ValueError (NaN, inf, ragged, complex, wrong number of dimensions) or TypeError (strings, objects, None).
    """
    if is_ready(value) and value.ndim == ndim and value.size and core.is_finite(value.reshape(-1)):
        return value.copy() if copy else value
    result = _float64(value, name, one)
    if result.ndim != ndim:
        if result.size == 0:
            raise ValueError(f"{name} is empty: shape {result.shape}")
        hint = ""
        if ndim == 2 and result.ndim == 1:
            hint = f"; use {name}.reshape(-1, 1) for one feature or {name}.reshape(1, -1) for one example"
        raise ValueError(f"{name} must be a {ndim}-D array, got {result.ndim}-D with shape {result.shape}{hint}")
    finite(result, name, one)
    out = np.require(result, np.float64, ["C", "ALIGNED"])
    return out.copy() if copy and out is value else out


def is_ready(value):
    """Whether `value` is what the kernels take, but for what it holds."""
    if type(value) is not np.ndarray or value.dtype != _FLOAT64:
        return False
    flags = value.flags
    return flags.c_contiguous and flags.aligned


def _float64(value, name, one="row"):
    if value is None:
        raise TypeError(f"{name} must be an array of numbers, got None")
    if isinstance(value, (str, bytes, dict, set)):
        raise TypeError(f"{name} must be an array of numbers, got {_kind(value)}")
    not_sparse(value, name)
    if type(value) is not np.ndarray and _frames.is_frame(value):
        return _frames.numbers(value, name)
    try:
        raw = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} is ragged: its rows have different lengths{_first_ragged(value)}") from None
    except TypeError as error:
        raise TypeError(f"{name} must be an array of numbers, got {_kind(value)} ({error})") from None
    unmasked(value, name)
    kind = raw.dtype.kind
    if kind == "O" and raw.ndim == 0:
        hint = "; Network.train alone takes a stream, and without Y" if hasattr(value, "epoch") else ""
        raise TypeError(f"{name} must be an array of numbers, got {_kind(value)}{hint}")
    if kind == "c":
        raise ValueError(f"{name} must be real: complex data is not supported, got dtype {raw.dtype}")
    if kind == "O":
        return _from_objects(raw, name, one)
    if kind in "US":
        raise TypeError(f"{name} must hold numbers, got text{_first_text(value, one)}")
    if kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, got dtype {raw.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        return raw.astype(np.float64, copy=False) if raw.dtype.isnative else raw.astype(np.float64)


def not_sparse(value, name):
    """TypeError for one of scipy's sparse arrays."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")


def unmasked(value, name):
    """A masked array as a plain one, anything else as it is; ValueError where something is masked, also in a list of
    rows."""
    if isinstance(value, (list, tuple)) and len(value) > 0 and hasattr(value[0], "__len__"):
        for row in value:
            unmasked(row, name) if isinstance(row, np.ma.MaskedArray) else None
    if not isinstance(value, np.ma.MaskedArray):
        return value
    if np.ma.getmaskarray(value).any():
        raise ValueError(f"{name} has masked values; fill or drop them first")
    return np.asarray(value)


def holds_dates(array):
    """Whether an array is one of dates or durations, or of objects with one of NumPy's among them."""
    return array.dtype.kind in "mM" or array.dtype.kind == "O" and any(isinstance(item, _DATES) for item in array.flat)


def _first_ragged(value):
    """Words for the first row whose length is not that of row 0; empty where there is no telling."""
    if not isinstance(value, (list, tuple)):
        return ""
    lengths = [len(row) if hasattr(row, "__len__") else None for row in value]
    row = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if row is None:
        return ""
    what = "is a single value" if lengths[row] is None else f"has {lengths[row]} values"
    first = "is a single value" if lengths[0] is None else f"has {lengths[0]}"
    return f": row {row} {what}, row 0 {first}"


def _first_text(value, one):
    """Words for the place of the first text among the numbers."""
    objects = np.asarray(value, dtype=object)
    index = next((i for i, item in np.ndenumerate(objects) if isinstance(item, (str, bytes))), None)
    return "" if not index else f" at {_where(index, one)}"


def _from_objects(raw, name, one):
    for index, item in np.ndenumerate(raw):
        if isinstance(item, (list, tuple, np.ndarray)):
            raise ValueError(f"{name} is ragged: element {_where(index, one)} is a {_kind(item)} of length {len(item)}")
        if isinstance(item, numbers.Complex) and not isinstance(item, numbers.Real):
            raise ValueError(f"{name} must be real: complex data is not supported, got {shown(item)} "
                             f"at {_where(index, one)}")
        if isinstance(item, np.generic) and not isinstance(item, _DATES):
            item = item.item()
        if isinstance(item, _DATES) or not isinstance(item, numbers.Real) and not hasattr(item, "__float__"):
            raise TypeError(f"{name} must hold numbers, got {_kind(item)} at {_where(index, one)}")
    try:
        return raw.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer too large for float64") from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers ({error})") from None


def _where(index, one):
    if len(index) == 2:
        return f"row {index[0]}, column {index[1]}"
    return f"{one} {index[0]}" if len(index) == 1 else f"index {index}"


def finite(values, name, one="row") -> None:
    """Raise ValueError with row and column if the float64 array `values` holds NaN or inf."""
    if core.is_finite(values.reshape(-1)) if values.size and is_ready(values) else np.isfinite(values).all():
        return                                           # the first without a mask, for an array that a file holds
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    bad = values[index]
    what = "NaN" if np.isnan(bad) else "infinity"
    raise ValueError(f"{name} holds {what} at {_where(index, one)}; every value must be finite")


def matrix(value, name="X", *, columns=None, of=None, allow_empty=False) -> FloatArray:
    """A batch: 2-D, at least one row and one column, `columns` wide where that is given (`of` says by what)."""
    out = array(value, name, 2)
    if out.shape[1] == 0 or (out.shape[0] == 0 and not allow_empty):
        raise ValueError(f"{name} is empty: shape {out.shape}")
    if columns is not None and out.shape[1] != columns:
        raise ValueError(f"{name} has {out.shape[1]} columns, expected {columns}{f' ({of})' if of else ''}")
    return out


def vector(value, name="x", *, length=None, of=None, one="position") -> FloatArray:
    """One example or one value per row: 1-D, not empty, `length` long where that is given."""
    out = array(value, name, 1, one=one)
    if out.size == 0:
        raise ValueError(f"{name} is empty")
    if length is not None and out.size != length:
        raise ValueError(f"{name} has {out.size} values, expected {length}{f' ({of})' if of else ''}")
    return out


def row_counts(X, Y, name="Y"):
    """Refuse targets of another number of rows than X before the work of converting either, where both tell it."""
    if all(isinstance(value, (list, tuple, np.ndarray)) and getattr(value, "ndim", 1) > 0 and len(value) > 0
           for value in (X, Y)) and _is_flat(X[0]):
        _same_rows(len(Y), len(X), name)


def _is_flat(row):
    """Whether a row is one of numbers, as far as its first element tells, and not one of rows."""
    if isinstance(row, np.ndarray):
        return row.ndim == 1
    return isinstance(row, (list, tuple)) and not (len(row) > 0 and isinstance(row[0], (list, tuple, np.ndarray)))


def _same_rows(found, rows, name):
    if found != rows:
        raise ValueError(f"{name} has {found} rows, but X has {rows}")


def targets(value, name, *, rows, columns) -> FloatArray:
    """Targets of a network: (rows, columns); a 1-D array of `rows` values serves a network with one output."""
    try:
        raw = value if is_ready(value) else _float64(value, name)
    except TypeError as error:
        if "got text" in str(error):
            raise TypeError(f"{error}; labels become columns by bp.data.one_hot({name})") from None
        raise
    if raw.ndim == 1 and columns == 1:
        raw = raw.reshape(-1, 1)
    if raw.ndim == 1 and raw.size == rows:
        raise ValueError(f"{name} has one value per row, and the network has {columns} outputs; labels become "
                         f"{columns} columns by bp.data.one_hot({name})")
    out = array(raw, name, 2)
    _same_rows(out.shape[0], rows, name)
    if out.shape[1] != columns:
        raise ValueError(f"{name} has {out.shape[1]} columns, expected {columns} (the network's outputs)")
    return out


def weights(value, name, *, rows, zero=False) -> FloatArray:
    """Weights of examples: (rows,) finite, none negative, not all zero unless `zero`."""
    out = vector(value, name, length=rows, of="one per row", one="row")
    if (out < 0).any():
        row = int(np.argmax(out < 0))
        raise ValueError(f"{name} must not be negative, got {out[row]} at row {row}")
    if not zero and not out.any():
        raise ValueError(f"{name} are all zero: nothing to train on")
    return out


def integer(value, name, *, minimum=None, maximum=None) -> int:
    """A whole number as int; bools and floats are refused."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {_got(value)}")
    value = int(value)
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value}")
    return value


def real(value, name, *, above=None, minimum=None, below=None, maximum=None) -> float:
    """A finite real number as float; `above` and `below` are strict bounds, `minimum` and `maximum` are not."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {_got(value)}")
    try:
        value = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got an integer too large for float64") from None
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    for bound, broken, words in ((above, above is not None and value <= above, "greater than"),
                                 (minimum, minimum is not None and value < minimum, "at least"),
                                 (below, below is not None and value >= below, "less than"),
                                 (maximum, maximum is not None and value > maximum, "at most")):
        if broken:
            raise ValueError(f"{name} must be {words} {bound}, got {value}")
    return value


def boolean(value, name) -> bool:
    """True or False (NumPy's bool included); anything else is a TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_got(value)}")
    return bool(value)


def path(value, name="path") -> str | bytes:
    """A file's name, str or bytes, from what `os.fspath` takes."""
    try:
        out = os.fspath(value)
    except TypeError:
        raise TypeError(f"{name} must be str, bytes or os.PathLike, got {_got(value)}") from None
    if (b"\0" if isinstance(out, bytes) else "\0") in out:
        raise ValueError(f"{name} must not hold a null character, got {shown(value)}")
    try:
        os.fsencode(out)
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds characters that no file's name can have, got {shown(value)}") from None
    return out


def sequence(value, name, of) -> list:
    """A list from what has an order; text, sets, dicts and arrays without a dimension have none, or none of `of`."""
    if isinstance(value, (str, bytes, bytearray, dict, set, frozenset)) or not hasattr(value, "__iter__") \
            or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a list of {of}, got {_kind(value)}")
    return list(value)


def choice(value, name, names) -> str:
    """One of `names`; the error lists them."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a name, got {_kind(value)}; expected one of {', '.join(names)}")
    if value not in names:
        raise ValueError(f"unknown {name} {shown(value)}; expected one of {', '.join(names)}")
    return value


def generator(seed, name="seed") -> np.random.Generator:
    """A NumPy Generator from None, an integer >= 0, a Generator (used as it is) or a legacy RandomState."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, np.random.RandomState):
        return np.random.Generator(seed._bit_generator)
    if seed is None:
        return np.random.default_rng()
    return np.random.default_rng(integer(seed, name, minimum=0))


def labels(value, name="y", *, rows=None) -> np.ndarray:
    """Class labels of any sortable kind (strings, bools, integers, floats) as a 1-D array, not empty, none missing.

    Objects that are all strings, all bools, all integers or all floats become an array of that kind, but integers that
    are too large for one.
    """
    not_sparse(value, name)
    value = unmasked(value, name)
    try:
        out = label_array(value, name)
    except ValueError as error:
        if _frames.is_frame(value):
            raise
        raise ValueError(f"{name} is ragged ({error})") from None
    if out.ndim == 2 and out.shape[1] == 1:
        out = out[:, 0]
    if out.ndim != 1:
        raise ValueError(f"{name} must be 1-D with one label per row, got shape {out.shape}")
    if out.size == 0:
        raise ValueError(f"{name} is empty")
    if rows is not None and out.shape[0] != rows:
        raise ValueError(f"{name} has {out.shape[0]} labels, but X has {rows} rows")
    if out.dtype.kind == "c":
        raise ValueError(f"{name} must be real: complex labels are not supported")
    if out.dtype.kind == "O":
        out = _of_one_kind(out, name)
    if out.dtype.kind == "f":
        finite(out, name)
        if out.dtype.itemsize > 8:
            out = _no_long_double(out, name)
    if out.dtype.kind in "SV":
        what = "bytes" if out.dtype.kind == "S" else f"dtype {out.dtype}"
        raise TypeError(f"{name} holds {what}: labels are strings, integers, bools or floats; decode them")
    return out


def label_array(value, name) -> np.ndarray:
    """What `np.asarray` makes of labels, but objects where it would make other labels of some: of [1, "a"] two texts,
    of large integers floats."""
    if _frames.is_frame(value):
        return _frames.labels(value, name)
    out = np.asarray(unmasked(value, name))
    if out.dtype.kind == "T":                            # NumPy's strings of any length
        return out.astype(object)
    if out.ndim == 1 and isinstance(value, (list, tuple)) and (
            out.dtype.kind == "U" or out.dtype.kind == "f" and (np.abs(out) >= 2**53).any()
            and all(isinstance(item, numbers.Integral) for item in value)):
        out = np.empty(len(value), object)
        out[:] = value
    return out


def _of_one_kind(objects, name):
    """Labels that are objects as an array of their kind, where they have one; ValueError for a missing one."""
    items = [item.item() if isinstance(item, np.generic) and not isinstance(item, _DATES) else item for item in objects]
    for row, item in enumerate(items):
        if isinstance(item, np.ndarray) and item is not np.ma.masked:
            raise TypeError(f"{name} holds an array at row {row}: labels are strings, integers, bools or floats")
        if _is_missing(item):
            raise ValueError(f"{name} has a missing label at row {row}")
        if isinstance(item, float) and np.isinf(item):
            raise ValueError(f"{name} holds infinity at row {row}; every value must be finite")
        if isinstance(item, str) and item.endswith("\0"):
            raise ValueError(f"{name} has a label that ends with a null character at row {row}, which NumPy drops")
        if isinstance(item, complex):
            raise ValueError(f"{name} must be real: complex labels are not supported, got {shown(item)} at row {row}")
        if isinstance(item, bytes):
            raise TypeError(f"{name} holds bytes at row {row}: labels are strings, integers, bools or floats")
    kind = next((kind for kind in (bool, int, float, str) if all(isinstance(item, kind) for item in items)), None)
    return objects if kind is None else integers(items) if kind is int else np.array(items)


def _is_missing(item):
    """Whether a label is None or not even the same as itself: NaN, NaT, NA."""
    try:
        return item is None or item is np.ma.masked or bool(item != item)
    except (TypeError, ArithmeticError):                 # pandas' NA; a signalling NaN
        return True


def integers(items) -> np.ndarray:
    """Python's integers as int64, as uint64 where only that holds them, as objects where neither does."""
    low, high = min(items), max(items)
    kind = np.int64 if -2**63 <= low and high < 2**63 else np.uint64 if low >= 0 and high < 2**64 else object
    return np.array(items, kind)


def _no_long_double(values, name):
    """Finite long doubles as float64; ValueError where one is none."""
    with np.errstate(over="ignore"):
        out = values.astype(np.float64)
    if not (out == values).all():
        row = int(np.argmin(out == values))
        raise ValueError(f"{name} holds the long double {values[row]} at row {row}, which is no float64")
    return out
