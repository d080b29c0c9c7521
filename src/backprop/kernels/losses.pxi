# Losses of one example, C(y, y'), and their derivatives.
#
# A row of LOSSES is a loss together with the output activations that it may stand on. Its kernel takes one example's net
# inputs a[L], outputs z[L] = y' and targets y, writes the terms C_j of the loss and a derivative g, both of `n` outputs
# (n a multiple of VL; what stands in the padding does not matter), and the caller sums the terms in the fixed pattern.
#   from_net_input: g = ∂C/∂a, σ' already inside (stable for any a, never clipped);   otherwise g = ∂C/∂y'.

ctypedef void (*loss_kernel)(const double *a, const double *z, const double *y, double *terms, double *g,
                             Py_ssize_t n) noexcept nogil

cdef struct Loss:
    const char *name
    loss_kernel terms
    bint from_net_input
    const char *output            # the output activation of this row; "" stands for every one that no other row names
    const char *natural           # output activation taken by default
    const char *domain            # what targets must be: "real", "unit", "distribution", "nonnegative" or "sign"
    const char *formula


cdef void squared_error(const double *a, const double *z, const double *y, double *terms, double *g,
                        Py_ssize_t n) noexcept nogil:
    """C = Σ_j (y_j - y'_j)²,  ∂C/∂y' = -2 (y - y')."""
    cdef Py_ssize_t j = 0
    cdef vd r
    while j < n:
        r = v_load(y + j) - v_load(z + j)
        v_store(terms + j, r * r)
        v_store(g + j, r * -2.0)
        j += VL


cdef void half_squared_error(const double *a, const double *z, const double *y, double *terms, double *g,
                             Py_ssize_t n) noexcept nogil:
    """C = ½ Σ_j (y_j - y'_j)²,  ∂C/∂y' = -(y - y')."""
    cdef Py_ssize_t j = 0
    cdef vd r
    while j < n:
        r = v_load(y + j) - v_load(z + j)
        v_store(terms + j, r * r * 0.5)
        v_store(g + j, -r)
        j += VL


cdef void absolute_error(const double *a, const double *z, const double *y, double *terms, double *g,
                         Py_ssize_t n) noexcept nogil:
    """C = Σ_j |y_j - y'_j|,  ∂C/∂y' = -sign(y - y'), 0 at the kink."""
    cdef Py_ssize_t j = 0
    cdef vd r
    while j < n:
        r = v_load(y + j) - v_load(z + j)
        v_store(terms + j, v_abs(r))
        v_store(g + j, v_where_positive(r, v_set(-1.0), v_where_positive(-r, v_set(1.0), v_set(0.0))))
        j += VL


cdef void huber(const double *a, const double *z, const double *y, double *terms, double *g,
                Py_ssize_t n) noexcept nogil:
    """C = Σ_j ½ r² where |r| ≤ 1, else |r| - ½ (Huber 1964 with δ = 1),  ∂C/∂y' = -r clipped to ±1."""
    cdef Py_ssize_t j = 0
    cdef vd r, size, inside
    while j < n:
        r = v_load(y + j) - v_load(z + j)
        size = v_abs(r)
        inside = v_min(size, v_set(1.0))
        v_store(terms + j, inside * (size - inside * 0.5))
        v_store(g + j, -v_copysign(inside, r))
        j += VL


cdef void hinge(const double *a, const double *z, const double *y, double *terms, double *g,
                Py_ssize_t n) noexcept nogil:
    """C = Σ_j max(0, 1 - y_j y'_j) for y in {-1, +1},  ∂C/∂y' = -y where the margin is short of 1, else 0."""
    cdef Py_ssize_t j = 0
    cdef vd t, short
    while j < n:
        t = v_load(y + j)
        short = v_set(1.0) - t * v_load(z + j)
        v_store(terms + j, v_where_positive(short, short, v_set(0.0)))
        v_store(g + j, v_where_positive(short, -t, v_set(0.0)))
        j += VL


cdef void log_loss_sigmoid(const double *a, const double *z, const double *y, double *terms, double *g,
                           Py_ssize_t n) noexcept nogil:
    """C = -Σ_j y log y' + (1 - y) log(1 - y') = Σ_j softplus(a_j) - y_j a_j,  ∂C/∂a = y' - y.

    As softplus(-|a|) + max(a, 0) - y a: for y in {0, 1} nothing cancels, and a = ±1e4 costs about 1e4, not 36.
    """
    cdef Py_ssize_t j = 0
    cdef vd x, t
    while j < n:
        x = v_load(a + j)
        t = v_load(y + j)
        v_store(terms + j, v_softplus(-v_abs(x)) + v_where_positive(x, x * (1.0 - t), x * -t))
        v_store(g + j, v_load(z + j) - t)
        j += VL


cdef void log_loss_softmax_rows(const double *a, const double *z, const double *y, double *terms, double *g, Py_ssize_t n,
                                Py_ssize_t rows, double *log_total) noexcept nogil:
    """C = -Σ_j y_j log y'_j = Σ_j y_j (m - a_j + log Σ_k e^(a_k - m)),  ∂C/∂a = y' - y for Σ y = 1, of rows of n units.

    m is the net input of the most probable unit; the logarithm is log1p of the others' share, z_k / z_max, so that a
    confident prediction keeps its small loss. Padding: y' and y are zero there, and so are the terms and g. `log_total`
    (rows,) takes the logarithms; m waits in the first of its row's terms.
    """
    cdef Py_ssize_t r, j, best
    cdef double top
    cdef vd t, m, total
    for r in range(rows):
        top = bp_max8(z + r * n, n)
        best = bp_find(z + r * n, n, top)
        log_total[r] = bp_sum8_but(z + r * n, n, best) / top
        terms[r * n] = a[r * n + best]
    bp_array_log1p(log_total, log_total, rows)
    for r in range(rows):
        m, total = v_set(terms[r * n]), v_set(log_total[r])
        j = r * n
        while j < (r + 1) * n:
            t = v_load(y + j)
            v_store(terms + j, t * ((m - v_load(a + j)) + total))
            v_store(g + j, v_load(z + j) - t)
            j += VL

cdef void log_loss_softmax(const double *a, const double *z, const double *y, double *terms, double *g,
                           Py_ssize_t n) noexcept nogil:
    cdef double log_total
    log_loss_softmax_rows(a, z, y, terms, g, n, 1, &log_total)


cdef void poisson(const double *a, const double *z, const double *y, double *terms, double *g,
                  Py_ssize_t n) noexcept nogil:
    """C = Σ_j y log(y / y') - y + y' with y' = e^a: y (log y - a) - y + e^a, and 0 log 0 = 0;  ∂C/∂a = y' - y."""
    cdef Py_ssize_t j = 0
    cdef vd t, log_t
    while j < n:
        t = v_load(y + j)
        log_t = v_where_positive(t, v_log(v_where_positive(t, t, v_set(1.0))), v_set(0.0))
        v_store(terms + j, t * (log_t - v_load(a + j)) - t + v_load(z + j))
        v_store(g + j, v_load(z + j) - t)
        j += VL


cdef void own(const double *a, const double *z, const double *y, double *terms, double *g, Py_ssize_t n) noexcept nogil:
    """C = Σ_j y_j y'_j,  ∂C/∂y' = y: the door for a user's loss, whose ∂C/∂y' Python passes as the targets."""
    cdef Py_ssize_t j = 0
    while j < n:
        v_store(terms + j, v_load(y + j) * v_load(z + j))
        v_store(g + j, v_load(y + j))
        j += VL


cdef enum:
    N_LOSSES = 9

cdef Loss[N_LOSSES] LOSSES
LOSSES[0] = Loss(b"squared_error", squared_error, False, b"", b"identity", b"real",
                 b"sum_j (y_j - y'_j)^2")
LOSSES[1] = Loss(b"half_squared_error", half_squared_error, False, b"", b"identity", b"real",
                 b"1/2 sum_j (y_j - y'_j)^2")
LOSSES[2] = Loss(b"log_loss", log_loss_softmax, True, b"softmax", b"softmax", b"distribution",
                 b"-sum_j y_j log y'_j")
LOSSES[3] = Loss(b"log_loss", log_loss_sigmoid, True, b"sigmoid", b"softmax", b"unit",
                 b"-sum_j y_j log y'_j + (1 - y_j) log(1 - y'_j)")
LOSSES[4] = Loss(b"absolute_error", absolute_error, False, b"", b"identity", b"real",
                 b"sum_j |y_j - y'_j|")
LOSSES[5] = Loss(b"huber", huber, False, b"", b"identity", b"real",
                 b"sum_j r^2 / 2 where |r| <= 1, else |r| - 1/2; r = y_j - y'_j")
LOSSES[6] = Loss(b"poisson", poisson, True, b"exp", b"exp", b"nonnegative",
                 b"sum_j y_j log(y_j / y'_j) - y_j + y'_j")
LOSSES[7] = Loss(b"hinge", hinge, False, b"identity tanh", b"identity", b"sign",
                 b"sum_j max(0, 1 - y_j y'_j)")
LOSSES[8] = Loss(b"own", own, False, b"", b"identity", b"real", b"a user's function")


def losses():
    """The table of losses: a list of dicts in table order; `output` lists the activations a row stands on ([]: any)."""
    return [{"name": LOSSES[i].name.decode(), "output": LOSSES[i].output.decode().split(),
             "natural": LOSSES[i].natural.decode(), "domain": LOSSES[i].domain.decode(),
             "formula": LOSSES[i].formula.decode()} for i in range(N_LOSSES)]
