# Elementary functions of whole arrays, by name (kernels/scalar.h).

cdef extern from "scalar.h":
    const char *bp_scalar_name(int row)
    int bp_scalar(int row, const double *x, double *out, Py_ssize_t n) nogil


def scalar_names():
    """Names that `scalar` takes, in the order of the table."""
    names = []
    while bp_scalar_name(len(names)) != NULL:
        names.append(bp_scalar_name(len(names)).decode("ascii"))
    return names


def scalar(name, const double[::1] x, double[::1] out):
    """Write the elementary function `name` of each element of `x` to `out`.

    No libm: the same bits on every processor with FMA, within the bounds that kernels/scalar.h states.

    Parameters
    ----------
    name : str
        One of `scalar_names()`: exp, expm1, log, log1p, sigmoid, log_sigmoid, tanh, softplus, erf, normal_cdf, sqrt.
    x : (n,) float64, C-contiguous
        Arguments; any value, NaN and infinity included.
    out : (n,) float64, C-contiguous
        Overwritten; may be `x` itself.

    Returns
    -------
    int
        0.

    Raises
    ------
    ValueError
        For an unknown name, or if `x` and `out` differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from backprop._dispatch import core
    >>> z = np.empty(3)
    >>> core.scalar("sigmoid", np.array([-1000.0, 0.0, 1000.0]), z)
    0
    >>> z
    array([0. , 0.5, 1. ])
    """
    cdef Py_ssize_t n = x.shape[0]
    cdef int row, status
    names = scalar_names()
    if name not in names:
        raise ValueError(f"unknown scalar function {name!r}; expected one of {', '.join(names)}")
    if out.shape[0] != n:
        raise ValueError(f"out has {out.shape[0]} elements, but x has {n}")
    if n == 0:
        return 0
    row = names.index(name)
    with nogil:
        status = bp_scalar(row, &x[0], &out[0], n)
    return status
