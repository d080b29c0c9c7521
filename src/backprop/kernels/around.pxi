# What stands around a call of the core. Of a network so small that it trains in a microsecond this is most of the time, so
# each of these does in one call what would be several of NumPy's, and looks at arrays by their fields (single.pxi).

from numpy import empty as numpy_empty, zeros as numpy_zeros

from cpython.pycapsule cimport PyCapsule_GetPointer as pointer_of

cdef extern from "ndarray.h":
    double *bp_values(object x, object descr) noexcept
    double *bp_table(object x, object descr, Py_ssize_t columns, Py_ssize_t *rows) noexcept

cdef extern from "bitgen.h":
    ctypedef struct bp_bitgen:
        pass
    uint64_t bp_next(bp_bitgen *generator) noexcept nogil

cdef object INTP = dtype("intp")

cdef enum:
    BRIEF = 1 << 14               # numbers that are looked at or written without giving the GIL away


cdef const double *values_of(object x) except NULL:
    """The values of a contiguous float64 array that is not empty, which the caller keeps alive."""
    cdef const double *values = NULL
    cdef const double[::1] view
    if KNOWN and type(x) is ndarray:
        values = bp_values(x, FLOAT64)
    if values == NULL:
        view = x.reshape(-1)
        values = &view[0]
    return values


cdef const Py_ssize_t *order_of(object x, Py_ssize_t *n) except NULL:
    """The numbers of a contiguous vector of intp that is not empty, and how many they are."""
    cdef bp_ndarray *array = <bp_ndarray *><PyObject *>x
    cdef const Py_ssize_t[::1] view
    if KNOWN and type(x) is ndarray and array.nd == 1 and bp_values(x, INTP) != NULL:
        n[0] = array.dimensions[0]
        return <const Py_ssize_t *>array.data
    view = x
    n[0] = view.shape[0]
    return &view[0]


cdef bint finite_values(const double *x, Py_ssize_t n) noexcept:
    cdef bint finite
    if n <= BRIEF:
        return all_finite(x, n)
    with nogil:
        finite = all_finite(x, n)
    return finite


def are_examples(X, Y, Py_ssize_t n_in, Py_ssize_t n_out):
    """Whether X, (n, n_in), and Y, (n, n_out), are plain contiguous arrays of finite float64 with n > 0: what
    `Network._examples` makes of anything else, or refuses."""
    cdef Py_ssize_t n = 0, m = 0
    cdef const double *x
    cdef const double *y
    if not KNOWN or type(X) is not ndarray or type(Y) is not ndarray:
        return False
    x, y = bp_table(X, FLOAT64, n_in, &n), bp_table(Y, FLOAT64, n_out, &m)
    return (x != NULL and y != NULL and n == m and n > 0
            and bool(finite_values(x, n * n_in)) and bool(finite_values(y, n * n_out)))


cdef double *carve_job(const Network *net, Task *c, Work *work, task) except NULL:
    """Lay the gradient and the buffers of a `backprop.training.Task` over its memory; returns what is left for `Online`."""
    cdef double *memory = <double *>values_of(task.memory)
    c.gradient, memory = memory, memory + pad8(net.n_padded)
    return memory + pad8(carve(net, work, memory, task.rule.block))


def job_memory(plan, Py_ssize_t rows):
    """Zeros, the first at a multiple of 64 bytes: what the jobs of a training work on, whose blocks have `rows` rows."""
    cdef const Network *net = network_of(plan)
    cdef Py_ssize_t n = pad8(net.n_padded) + pad8(carve(net, NULL, NULL, rows)) + carve_online(net, NULL, NULL)
    raw = numpy_zeros(n + 8)
    cdef Py_ssize_t start = (-(<size_t>values_of(raw) // 8)) % 8
    return raw[start:start + n]


def orders(Py_ssize_t n, Py_ssize_t epochs, generator=None):
    """(epochs n,) the orders of visits of so many epochs: 0..n-1 each, shuffled by a key that the next 64-bit integer of
    `generator` is, the capsule of a NumPy bit generator whose lock the caller holds."""
    cdef Py_ssize_t e, i
    cdef Py_ssize_t[::1] view
    cdef Py_ssize_t *order
    cdef bp_bitgen *bits = NULL
    out = numpy_empty(n * epochs, INTP)
    if n * epochs == 0:
        return out
    if KNOWN:
        order = <Py_ssize_t *>(<bp_ndarray *><PyObject *>out).data
    else:
        view = out
        order = &view[0]
    if generator is not None:
        bits = <bp_bitgen *>pointer_of(generator, "BitGenerator")
    if n * epochs <= BRIEF:
        write_orders(order, n, epochs, bits)
    else:
        with nogil:
            write_orders(order, n, epochs, bits)
    return out


cdef void write_orders(Py_ssize_t *order, Py_ssize_t n, Py_ssize_t epochs, bp_bitgen *bits) noexcept nogil:
    cdef Py_ssize_t e, i
    for e in range(epochs):
        for i in range(n):
            order[e * n + i] = i
        if bits != NULL:
            bp_shuffle(order + e * n, n, bp_next(bits))
