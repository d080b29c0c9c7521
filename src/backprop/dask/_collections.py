"""Dask's collections as lists of delayed partitions."""

from backprop._check import shown


def partitions(X, Y, sample_weight=None):
    """[Delayed (X, Y, weights or None)] of arrays, frames or lists of Delayed with equal partitions."""
    import dask

    parts = delayed(X, "X")
    columns = {"Y": _like(Y, X, "Y"), "sample_weight": _like(sample_weight, X, "sample_weight")}
    for name, other in columns.items():
        if other is not None and len(other) != len(parts):
            raise ValueError(f"{name} has {len(other)} partitions, but X has {len(parts)}")
    if columns["Y"] is None:
        raise ValueError("there is no Y to train on")
    weights = columns["sample_weight"] or [None] * len(parts)
    return [dask.delayed(_together, pure=False)(*part) for part in zip(parts, columns["Y"], weights)]


def _together(X, Y, weight):
    return X, Y, weight


def _like(value, X, name):
    """The partitions of `value`, cut as X is where both know their rows."""
    if value is None:
        return None
    if is_array(value) and is_array(X) and value.chunks[0] != X.chunks[0]:
        if value.shape[0] == value.shape[0] and X.shape[0] == X.shape[0]:      # not NaN: both are known
            if value.shape[0] != X.shape[0]:
                raise ValueError(f"{name} has {value.shape[0]} rows, but X has {X.shape[0]}")
            value = value.rechunk({0: X.chunks[0]})
    return delayed(value, name)


def is_array(value):
    """Whether `value` is a dask array."""
    return hasattr(value, "rechunk") and hasattr(value, "chunks") and hasattr(value, "to_delayed")


def is_frame(value):
    """Whether `value` is a dask dataframe or series."""
    return hasattr(value, "map_partitions") and hasattr(value, "_meta") and not is_array(value)     # no bag


def delayed(value, name):
    """The partitions of a collection as a list of Delayed."""
    from dask.delayed import Delayed

    if is_array(value):
        if value.ndim == 2 and value.numblocks[1] > 1:
            value = value.rechunk({1: -1})
        return list(value.to_delayed().ravel())
    if is_frame(value):
        return list(value.to_delayed())
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, Delayed) for part in value):
        return list(value)
    raise TypeError(f"{name} must be a dask array, a dask dataframe or series, or a list of Delayed partitions, got "
                    f"{type(value).__name__} {shown(value)}; Network.train takes what lies in memory")
