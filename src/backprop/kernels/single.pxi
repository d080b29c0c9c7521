# One example from Python with as little around the kernel as CPython allows: no typed memoryview, no list, one new array.
#
# Both functions look at their arguments through the buffer protocol and return NotImplemented, having done nothing, where
# these are not plain contiguous float64 vectors of the right length with finite values: the caller then takes the checked
# path, which converts or raises.

from numpy import ndarray

from cpython.buffer cimport Py_buffer, PyObject_GetBuffer, PyBuffer_Release, PyBUF_C_CONTIGUOUS, PyBUF_FORMAT

cdef enum:
    STACK_UNITS = 512             # widest layer whose activations live on the stack


cdef bint take_vector(object x, Py_ssize_t n, Py_buffer *view) except -1:
    """Whether x is a float64 vector of n finite values; only then the view is held."""
    cdef const double *values
    cdef double bad = 0.0
    cdef Py_ssize_t i
    if type(x) is not ndarray:    # a masked array's buffer would not tell
        return False
    try:
        PyObject_GetBuffer(x, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):
        return False
    if view.ndim == 1 and view.shape[0] == n and view.format != NULL and view.format[0] == c"d" and view.format[1] == 0:
        values = <const double *>view.buf
        for i in range(n):
            bad += values[i] * 0.0
        if bad == 0.0:
            return True
    PyBuffer_Release(view)
    return False


cdef bint targets_fit(const Loss *loss, const double *y, Py_ssize_t n) noexcept nogil:
    """Whether one row of targets lies in the loss's domain (losses.check_targets names what does not)."""
    cdef char domain = loss.domain[0]
    cdef double total = 0.0
    cdef Py_ssize_t j
    if domain == c"r":
        return True
    for j in range(n):
        total += y[j]
        if y[j] < 0.0 and domain != c"s" or y[j] > 1.0 and domain == c"u" or y[j] * y[j] != 1.0 and domain == c"s":
            return False
    return domain != c"d" or -1e-6 <= total - 1.0 <= 1e-6


def predict_one(plan, x, new):
    """z[L] for one example x, (n_0,), in a new array new(n_L); NotImplemented where the checked path must look."""
    cdef const Network *net = network_of(plan)
    cdef Py_buffer view, target
    cdef double even[STACK_UNITS]
    cdef double odd[STACK_UNITS]
    cdef double *z
    cdef const double *z_in
    cdef Py_ssize_t l, n_L = net.layer[net.L].n_out, ld = 0
    cdef bint finite = True
    cdef Share who = alone()
    if net.widest > STACK_UNITS or not take_vector(x, net.layer[1].n_in, &view):
        return NotImplemented
    z_in = <const double *>view.buf
    for l in range(1, net.L + 1):
        z = &odd[0] if l & 1 else &even[0]
        feed_layer(net, l, z_in, ld, z, z, 1, &who)
        z_in = z
    PyBuffer_Release(&view)
    for l in range(n_L):
        finite = finite and z_in[l] == z_in[l]
    if not finite:
        return NotImplemented
    out = new(n_L)
    PyObject_GetBuffer(out, &target, PyBUF_C_CONTIGUOUS)
    memcpy(target.buf, z_in, n_L * sizeof(double))
    PyBuffer_Release(&target)
    return out


def learn_one(plan, x, y, eta):
    """The lecture's inner loop for one example: feedforward, δ[L], δ[l], W[l] := W[l] - η z[l-1]ᵀ δ[l].

    Returns C before the update; NaN, with nothing changed, where the update would leave the finite numbers; and
    NotImplemented, with nothing changed, where the checked path must look at the arguments. Uses the buffers of
    `bind_memory`: one call at a time.
    """
    cdef Network *net = network_of(plan)
    cdef Py_buffer x_view, y_view
    cdef double loss, rate
    if type(eta) is not float:
        return NotImplemented
    rate = eta
    if not 0.0 < rate < 1e300 or not take_vector(x, net.layer[1].n_in, &x_view):
        return NotImplemented
    if not take_vector(y, net.layer[net.L].n_out, &y_view):
        PyBuffer_Release(&x_view)
        return NotImplemented
    if not targets_fit(net.loss, <const double *>y_view.buf, net.layer[net.L].n_out):
        PyBuffer_Release(&x_view)
        PyBuffer_Release(&y_view)
        return NotImplemented
    loss = learn_example(net, &net.one, <const double *>x_view.buf, <const double *>y_view.buf, rate)
    PyBuffer_Release(&x_view)
    PyBuffer_Release(&y_view)
    return loss
