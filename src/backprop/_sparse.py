"""Sparse inputs: rows that stay in scipy's CSR form until a block of them is fed to a kernel as dense rows."""

import numpy as np

from backprop import _check

BLOCK_BYTES = 2**22          # dense rows made at a time, where a batch is not larger
MIN_BLOCK = 64               # rows


class SparseRows:
    """Checked sparse inputs; an index, a slice or an index array, gives dense rows as that of a dense array does.

    Attributes
    ----------
    shape : (int, int)
    block : int
        Rows that are made dense at a time.
    """

    def __init__(self, csr):
        self._csr, self.shape = csr, csr.shape
        self.block = max(MIN_BLOCK, BLOCK_BYTES // (8 * csr.shape[1]))

    def __getitem__(self, index):
        return self._csr[index].toarray()

    def rows(self, index):
        """The rows of an index, still sparse."""
        return SparseRows(self._csr[index])


def is_sparse(value):
    """Whether `value` is one of scipy's sparse arrays or matrices."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def inputs(value, name, width, of, allow_empty=False):
    """A batch of inputs as a finite (n, width) float64 array, or `SparseRows` where they are sparse and many."""
    if type(value) is np.ndarray or not is_sparse(value):
        return _check.matrix(value, name, columns=width, of=of, allow_empty=allow_empty)
    csr = checked(value, name, allow_empty)
    if csr.shape[1] != width:
        raise ValueError(f"{name} has {csr.shape[1]} columns, expected {width} ({of})")
    rows = SparseRows(csr)
    return rows[:] if rows.shape[0] <= rows.block else rows


def checked(value, name, allow_empty=False):
    """A sparse array in CSR form: (n, d) finite float64, a place at most once in it; a copy only where it must be."""
    if value.ndim != 2:
        raise ValueError(f"{name} must be a 2-D array, got {value.ndim}-D with shape {value.shape}")
    if value.dtype.kind not in "fiub":
        wrong = ValueError if value.dtype.kind == "c" else TypeError
        raise wrong(f"{name} must hold real numbers, got a sparse array of dtype {value.dtype}")
    if value.shape[1] == 0 or value.shape[0] == 0 and not allow_empty:
        raise ValueError(f"{name} is empty: shape {value.shape}")
    try:
        value.check_format(full_check=True) if hasattr(value, "check_format") else None
        csr = value.tocsr().astype(np.float64, copy=False)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} is no whole sparse array ({error})") from None
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    _finite(csr, name)
    return csr


def _finite(csr, name):
    ok = np.isfinite(csr.data)
    if not ok.all():
        first = int(np.argmin(ok))
        row = int(np.searchsorted(csr.indptr, first, side="right")) - 1
        what = "NaN" if np.isnan(csr.data[first]) else "infinity"
        raise ValueError(f"{name} holds {what} at row {row}, column {csr.indices[first]}; every value must be finite")


def block_rows(X):
    """How many rows of `X` may be indexed at a time without making much memory."""
    return X.block if isinstance(X, SparseRows) else X.shape[0]


def by_blocks(function, X, *more):
    """function(X, *more), which gives an array with a row for each of X; of sparse rows block by block, made dense."""
    if not isinstance(X, SparseRows):
        return function(X, *more)
    parts = [slice(start, start + X.block) for start in range(0, X.shape[0], X.block)]
    return np.concatenate([function(X[part], *(rows[part] for rows in more)) for part in parts])


def in_blocks(X):
    """X itself where it is dense, else its rows made dense, block by block."""
    if not isinstance(X, SparseRows):
        yield X
        return
    for start in range(0, X.shape[0], X.block):
        yield X[start:start + X.block]
