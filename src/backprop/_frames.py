"""Frames and series of pandas and polars as arrays of numbers, with errors that name the column and the row.

Neither library is imported: a value that is one of theirs brings it along.
"""

import numpy as np

LIBRARIES = ("pandas", "polars")


def is_frame(value):
    """Whether `value` is a DataFrame or a Series of pandas or polars."""
    return any(kind.__name__ in ("DataFrame", "Series") and kind.__module__.partition(".")[0] in LIBRARIES
               for kind in type(value).__mro__)


def is_polars(value):
    """Whether `value` is a DataFrame of polars."""
    return type(value).__module__.partition(".")[0] == "polars" and is_frame(value) and hasattr(value, "columns")


def numbers(value, name):
    """A frame as (n, d) or a series as (n,) float64, perhaps not all finite.

    ValueError or TypeError names the column that does not hold numbers alone.
    """
    if not hasattr(value, "columns"):
        return _column(value, name, value.name)
    out = np.empty(value.shape)
    for position, label in enumerate(value.columns):
        out[:, position] = _column(_at(value, position), name, label)
    return out


def one_row(value, names):
    """The values of a frame of one row with the columns `names`, as an array or a tuple; None for any other."""
    columns = getattr(value, "columns", None)            # an Index of pandas, a list of polars
    if columns is None or len(value) != 1:
        return None
    if type(columns) is list:
        return value.row(0) if columns == names else None
    return value.to_numpy()[0] if columns.tolist() == names else None


def labels(value, name):
    """A series of labels as an array; ValueError where one is missing."""
    if hasattr(value, "columns"):
        if value.shape[1] != 1:
            return value.to_numpy()
        value = _at(value, 0)
    row = _missing(value)
    if row is not None:
        raise ValueError(f"{name} has a missing label at row {row}")
    return value.to_numpy()


def _at(frame, position):
    """A column by its position; names may occur twice in pandas."""
    return frame.iloc[:, position] if hasattr(frame, "iloc") else frame.to_series(position)


def _column(series, name, label):
    """The values of one column as float64."""
    kind = _kind(series.dtype)
    where = f"{name}: column {label!r}" if label is not None else name
    if kind == "c":
        raise ValueError(f"{where} must be real: complex data is not supported")
    if kind not in ("f", "i", "u", "b"):
        raise TypeError(f"{where} must hold numbers, got dtype {series.dtype}; encode it, or leave it out")
    row = _missing(series)
    if row is not None:
        raise ValueError(f"{where} has a missing value at row {row}; fill or drop it first")
    with np.errstate(over="ignore"):
        return series.to_numpy().astype(np.float64)


def _kind(dtype):
    """NumPy's letter for the kind of a column; "O" for what is neither number nor bool."""
    if hasattr(dtype, "is_integer"):                        # polars
        if dtype.is_integer():
            return "i"
        return "f" if dtype.is_float() else "b" if str(dtype) == "Boolean" else "O"
    return getattr(dtype, "kind", "O")


def _missing(series):
    """The position of the first missing value, or None; NaN counts as missing in pandas, whose sign for it it is."""
    missing = series.isna() if hasattr(series, "isna") else series.is_null()
    missing = missing.to_numpy()
    return int(np.argmax(missing)) if missing.any() else None
