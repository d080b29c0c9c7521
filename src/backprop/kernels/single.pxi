# One example from Python with as little around the kernel as CPython allows: methods of Network without a Python frame, no
# typed memoryview, no list, one new array.
#
# A plain contiguous float64 vector of the right length with finite values goes straight to the kernel; anything else to the
# checked path in network.py, which converts it or says what is wrong.

from numpy import dtype, empty, ndarray

from cpython.buffer cimport Py_buffer, PyObject_GetBuffer, PyBuffer_Release, PyBUF_C_CONTIGUOUS, PyBUF_FORMAT
from cpython.object cimport PyObject

cdef extern from "ndarray.h":
    ctypedef struct bp_ndarray:
        char *data
        int nd
        Py_ssize_t *dimensions
        Py_ssize_t *strides
        PyObject *descr
    double *bp_vector(object x, object descr, Py_ssize_t n) noexcept

cdef enum:
    STACK_UNITS = 512             # widest layer whose activations live on the stack

cdef object FLOAT64 = dtype("float64")


cdef bint fields_are_known() except -1:
    """Whether NumPy's arrays have the fields of ndarray.h where that says."""
    array = empty((5, 6))[1:3, 2:]
    row = array[1]
    cdef bp_ndarray *seen = <bp_ndarray *><PyObject *>array
    return (<size_t>seen.data == array.__array_interface__["data"][0] and seen.nd == 2
            and (seen.dimensions[0], seen.dimensions[1]) == array.shape
            and (seen.strides[0], seen.strides[1]) == array.strides
            and seen.descr == <PyObject *>FLOAT64 and array.dtype is FLOAT64
            and bp_vector(array, FLOAT64, 2) == NULL and bp_vector(array[:, 0], FLOAT64, 2) == NULL
            and bp_vector(row.astype(">f8"), FLOAT64, 4) == NULL
            and <size_t>bp_vector(row, FLOAT64, 4) == row.__array_interface__["data"][0])


cdef bint KNOWN = fields_are_known()


def trust_fields(bint yes):
    """Whether arrays are looked at by their fields (ndarray.h), which needs `fields_are_known`, or through the buffer
    protocol; returns what was so before. The results are the same (tests/test_network.py)."""
    global KNOWN
    before, KNOWN = KNOWN, yes and fields_are_known()
    return before


cdef struct Vector:               # the values of an array; `held` while a buffer must be given back
    double *at
    bint held
    Py_buffer view


cdef bint look(object x, Py_ssize_t n, Vector *v) except -1:
    """Whether x is a plain array of n doubles; only then v.at is set, and `leave` must be called."""
    v.held = False
    if type(x) is not ndarray:    # a masked array's buffer would not tell
        return False
    if KNOWN:
        v.at = bp_vector(x, FLOAT64, n)
        return v.at != NULL
    try:
        PyObject_GetBuffer(x, &v.view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):
        return False
    v.held = True
    v.at = <double *>v.view.buf
    if v.view.ndim == 1 and v.view.shape[0] == n and v.view.format[0] == c"d" and v.view.format[1] == 0:
        return True
    leave(v)
    return False


cdef inline void leave(Vector *v) noexcept:
    if v.held:
        PyBuffer_Release(&v.view)
        v.held = False


cdef inline bint has_nan(const double *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if x[i] != x[i]:
            return True
    return False


cdef inline bint values_are_finite(const double *x, Py_ssize_t n) noexcept nogil:
    """Eight lanes of x_i · 0, which is NaN for NaN and infinity."""
    cdef double bad = 0.0
    cdef vd sum = v_set(0.0)
    cdef Py_ssize_t i = 0
    while i + VL <= n:
        sum = sum + v_load(x + i) * 0.0
        i += VL
    while i < n:
        bad += x[i] * 0.0
        i += 1
    return bad == 0.0 and v_all_zero(sum)


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


cdef const double *feed_one(const Network *net, const double *x, double *even, double *odd) noexcept nogil:
    """z[L] of one example, in one of two rows of `STACK_UNITS` doubles."""
    cdef Share who = alone()
    cdef double *z
    cdef const double *z_in = x
    cdef Py_ssize_t l
    for l in range(1, net.L + 1):
        z = odd if l & 1 else even
        feed_layer(net, l, z_in, 0, z, z, 1, &who)
        z_in = z
    return z_in


def predict_one(self, x):
    """Output for one example, the low-latency path.

    Parameters
    ----------
    x : array_like
        (n_0,) input. A float64 array is the fastest.

    Returns
    -------
    ndarray
        (n_L,) output z[L], the same bits as `predict` gives.

    Raises
    ------
    ValueError
        For a wrong length, NaN or inf in x, or if the parameters give NaN.

    Examples
    --------
    >>> import backprop as bp
    >>> net = bp.Network([2, 1], init=([[[1.0], [2.0]]], [[0.5]]))
    >>> net.predict_one([1.0, 1.0])
    array([3.5])
    """
    cdef const Network *net = network_of(self._plan)
    cdef Vector values, target
    cdef double even[STACK_UNITS]
    cdef double odd[STACK_UNITS]
    cdef const double *z
    cdef Py_ssize_t n_L = net.layer[net.L].n_out
    if net.widest > STACK_UNITS or not look(x, net.layer[1].n_in, &values):
        return self._predict_one_checked(x)
    if not values_are_finite(values.at, net.layer[1].n_in):
        leave(&values)
        return self._predict_one_checked(x)
    z = feed_one(net, values.at, even, odd)
    leave(&values)
    if has_nan(z, n_L):
        return self._predict_one_checked(x)
    out = empty(n_L)
    look(out, n_L, &target)
    memcpy(target.at, z, n_L * sizeof(double))
    leave(&target)
    return out


def learn_one(self, x, y, learning_rate):
    """The lecture's inner loop for one example: feedforward, deltas, gradients, W[l] := W[l] - η ∂C/∂W[l].

    Parameters
    ----------
    x, y : array_like
        (n_0,) input and (n_L,) target. Float64 arrays are the fastest.
    learning_rate : float
        η > 0.

    Returns
    -------
    float
        The loss before the update.

    Raises
    ------
    ValueError
        For a wrong length, NaN or inf, or a target outside the loss's domain.
    DivergenceError
        If the loss or an update would not be finite; nothing is changed then.
    ConcurrentUseError
        If another thread is training or saving this network.

    Examples
    --------
    >>> import backprop as bp
    >>> net = bp.Network([1, 1], init=([[[1.0]]], [[0.0]]))
    >>> net.learn_one([2.0], [1.0], learning_rate=0.1)      # C = (1 - 2)², ∂C/∂W = -2 (1 - 2) 2 = 4
    1.0
    >>> float(net.weights[0][0, 0])
    0.6
    """
    cdef Network *net = network_of(self._plan)
    cdef double eta, loss = NAN
    if type(learning_rate) is float and self._own_loss is None:
        eta = learning_rate
        if 0.0 < eta < 1e300 and self._lock.acquire(False):
            try:
                loss = learn_plain(net, x, y, eta)
            finally:
                self._lock.release()
    return self._learn_one_checked(x, y, learning_rate) if loss != loss else loss


cdef double learn_plain(Network *net, object x, object y, double eta) except? -1.0:
    """learn_example for plain arrays; NaN, with nothing changed, where the checked path must look at them. Uses the buffers
    of `bind_memory`: one call at a time."""
    cdef Vector x_values, y_values
    cdef Py_ssize_t n_0 = net.layer[1].n_in, n_L = net.layer[net.L].n_out
    cdef double loss = NAN
    if not look(x, n_0, &x_values):
        return loss
    if look(y, n_L, &y_values):
        if (values_are_finite(x_values.at, n_0) and values_are_finite(y_values.at, n_L)
                and targets_fit(net.loss, y_values.at, n_L)):
            loss = learn_example(net, &net.one, x_values.at, y_values.at, eta)
        leave(&y_values)
    leave(&x_values)
    return loss


def learn_checked(plan, const double[::1] x, const double[::1] y, double eta):
    """learn_example for checked arrays; NaN, with nothing changed, where the update would leave the finite numbers."""
    cdef Network *net = network_of(plan)
    return learn_example(net, &net.one, &x[0], &y[0], eta)
