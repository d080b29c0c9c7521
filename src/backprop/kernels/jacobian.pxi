# Levenberg-Marquardt: rows of the Jacobian, the Gauss-Newton matrix, and its Cholesky factor.
#
# Vectors and matrices here are in the order of `Network.parameters`, without the padding inside; p is the number of
# parameters, and rows of matrices are ld = pad8(p) long. H and U are (p, ld) with only the upper triangle in use.
# Elements of H and U are chains in index order (over the rows of J, over the rows of U), and the right side and the
# forward substitution likewise; so neither the blocks below nor the slices of the caller change a bit.

cdef enum:
    MATRIX_BLOCK = 64             # rows of a matrix product done at a time, and of the panels of the factor at most


cdef void output_slope(const Network *net, const Work *work, Py_ssize_t r, Py_ssize_t k, double scale) noexcept nogil:
    """δ[L] = scale · ∂y'_k/∂a[L] of row r: backpropagation with e_k in place of ∂C/∂y'."""
    cdef const Layer *layer = &net.layer[net.L]
    cdef Py_ssize_t n = layer.n_out, ld = pad8(n)
    cdef double *delta = work.delta[net.L] + r * ld
    memset(delta, 0, ld * sizeof(double))
    delta[k] = scale
    layer.activation.backward(work.a[net.L] + r * ld, work.z[net.L] + r * ld, delta,
                              n if layer.activation.rowwise else ld)
    bp_zero_padding(delta, n)


cdef void jacobian_row(const Network *net, const Work *work, const double *x, Py_ssize_t r, double *row) noexcept nogil:
    """z[l-1]_j δ[l]_i for each W[l][j, i] and δ[l]_i for each b[l]_i, of the example x in row r of the buffers."""
    cdef const Layer *layer
    cdef const double *z = x
    cdef const double *delta
    cdef Py_ssize_t l, i, j
    for l in range(1, net.L + 1):
        layer = &net.layer[l]
        delta = work.delta[l] + r * pad8(layer.n_out)
        for j in range(layer.n_in):
            for i in range(layer.n_out):
                row[i] = z[j] * delta[i]
            row += layer.n_out
        if net.bias:
            memcpy(row, delta, layer.n_out * sizeof(double))
            row += layer.n_out
        z = work.z[l] + r * pad8(layer.n_out)


cdef void jacobian_rows(const Network *net, const Work *work, const double *X, const double *scale, Py_ssize_t B,
                        double *J, Py_ssize_t ld) noexcept nogil:
    """Row r n_L + k of J = scale_r ∂y'_k/∂w for the B examples whose feedforward is in the buffers."""
    cdef Share who = alone()
    cdef Py_ssize_t r, k, K = net.layer[net.L].n_out, n_0 = net.layer[1].n_in
    transpose_weights(net, work, &who)
    for k in range(K):
        for r in range(B):
            output_slope(net, work, r, k, scale[r])
        hidden_deltas(net, work, B, &who)
        for r in range(B):
            jacobian_row(net, work, X + r * n_0, r, J + (r * K + k) * ld)


cdef void add_outer_products(const double *J, Py_ssize_t rows, double *H, Py_ssize_t p, Py_ssize_t ld) noexcept nogil:
    """H += JᵀJ, the upper triangle (and some of the rest, which nobody reads)."""
    cdef Py_ssize_t m = 0
    cdef bp_operands o
    o.am, o.ak, o.B, o.ldb, o.lds, o.ldc = 1, ld, J, ld, ld, ld
    while m < p:
        o.A = J + m
        o.S = H + m * ld
        o.C = H + m * ld
        bp_product(min(<Py_ssize_t>MATRIX_BLOCK, p - m), m, ld, rows, &o)
        m += MATRIX_BLOCK


def jacobian(plan, const double[:, ::1] X, const double[::1] scale, double[:, ::1] J, double[::1] memory):
    """Row i n_L + k of J, (n n_L, ld), takes scale_i ∂y'_k/∂w of example i; `memory` is work_size(plan, n) doubles."""
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    carve(net, &work, &memory[0], X.shape[0])
    with nogil:
        feedforward(net, &work, &X[0, 0], X.shape[1], X.shape[0], &who)
        jacobian_rows(net, &work, &X[0, 0], &scale[0], X.shape[0], &J[0, 0], J.shape[1])


def gauss_newton(plan, const double[:, ::1] X, const double[:, ::1] Y, const double[::1] scale, double[:, ::1] H,
                 double[::1] gradient, double[::1] losses, double[:, ::1] J, double[::1] memory):
    """H += Σ_i scale_i² JᵢᵀJᵢ (upper triangle), gradient -= Σ_i scale_i² Jᵢᵀ(y - y')ᵢ, losses[i] = C of example i.

    H is (p, ld) and gradient (ld,). J, (block n_L, ld) and zeroed at first, holds the rows of as many examples at
    a time as it has room for; `memory` is work_size(plan, block) doubles.
    """
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    cdef Py_ssize_t start = 0, n = X.shape[0], n_0 = X.shape[1], K = net.layer[net.L].n_out, lo = pad8(K)
    cdef Py_ssize_t p = H.shape[0], ld = H.shape[1], block = J.shape[0] // K, rows, r, k
    cdef double residual
    carve(net, &work, &memory[0], block)
    with nogil:
        while start < n:
            rows = min(block, n - start)
            feedforward(net, &work, &X[start, 0], n_0, rows, &who)
            gather_targets(net, &work, &Y[0, 0], NULL, start, rows)
            for r in range(rows):
                losses[start + r] = example_loss(net, work.a[net.L] + r * lo, work.z[net.L] + r * lo, work.y + r * lo,
                                                 work.terms, work.delta[net.L])
            jacobian_rows(net, &work, &X[start, 0], &scale[start], rows, &J[0, 0], ld)
            for r in range(rows):
                for k in range(K):
                    residual = scale[start + r] * (work.y[r * lo + k] - work.z[net.L][r * lo + k])
                    bp_axpy(-residual, &J[r * K + k, 0], &gradient[0], ld)
            add_outer_products(&J[0, 0], rows * K, &H[0, 0], p, ld)
            start += rows


# ---- the factor ------------------------------------------------------------------------------------------------------

cdef enum:
    FACTORED = 0
    NOT_POSITIVE = 1


cdef int factor_rows(double *U, Py_ssize_t ld, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows first..last-1 of U, from which the products of all rows before `first` are already subtracted."""
    cdef Py_ssize_t j, k, i
    cdef double *row
    cdef double root
    for j in range(first, last):
        row = U + j * ld
        for k in range(first, j):
            bp_axpy(-U[k * ld + j], U + k * ld + j, row + j, ld - j)
        if not 0.0 < row[j] < INFINITY:
            return NOT_POSITIVE
        root = s_sqrt(row[j])
        row[j] = root
        for i in range(j + 1, ld):
            row[i] = row[i] / root
    return FACTORED


cdef void subtract_products(double *U, Py_ssize_t p, Py_ssize_t ld, Py_ssize_t first, Py_ssize_t last,
                            double *negated) noexcept nogil:
    """U[m, n] -= Σ_k U[k, m] U[k, n] over the rows k = first..last-1, for all m >= last in the upper triangle."""
    cdef Py_ssize_t m = last, i, start = last & ~7, k
    cdef bp_operands o
    for k in range(first, last):
        for i in range(start, ld):
            negated[(k - first) * ld + i] = -U[k * ld + i]
    o.am, o.ak, o.B, o.ldb, o.lds, o.ldc = 1, ld, U + first * ld, ld, ld, ld
    while m < p:
        o.A = negated + m
        o.S = U + m * ld
        o.C = U + m * ld
        bp_product(min(<Py_ssize_t>MATRIX_BLOCK, p - m), m & ~7, ld, last - first, &o)
        m += MATRIX_BLOCK


def cholesky(double[:, ::1] U, Py_ssize_t first, Py_ssize_t last, double[:, ::1] scratch):
    """Rows first..last-1 of A = UᵀU, U over A's upper triangle; returns whether A is positive definite so far.

    Called panel after panel from row 0 on, each of at most as many rows as `scratch`, (rows, ld), has.
    """
    cdef int status
    with nogil:
        status = factor_rows(&U[0, 0], U.shape[1], first, last)
        if status == FACTORED:
            subtract_products(&U[0, 0], U.shape[0], U.shape[1], first, last, &scratch[0, 0])
    return status == FACTORED


def solve(const double[:, ::1] U, double[::1] b):
    """b := (UᵀU)⁻¹ b: forward by columns, one chain per element; back by rows, in the 8-lane pattern. b is (ld,)."""
    cdef Py_ssize_t j, p = U.shape[0], ld = U.shape[1]
    with nogil:
        for j in range(p):
            b[j] = b[j] / U[j, j]
            bp_axpy(-b[j], &U[j, 0] + j + 1, &b[0] + j + 1, p - j - 1)
        for j in range(p - 1, -1, -1):
            b[j] = (b[j] - bp_dot8(&U[j, 0] + j + 1, &b[0] + j + 1, p - j - 1)) / U[j, j]


def dot(const double[::1] x, const double[::1] y):
    """Σ_j x_j y_j in the 8-lane pattern."""
    return bp_dot8(&x[0], &y[0], x.shape[0])


def total_loss(const double[::1] losses, weight):
    """Σ_i w_i C_i, one after another as training adds them; weight None: all 1."""
    cdef const double[::1] w = weight
    cdef double total = 0.0
    cdef Py_ssize_t i
    with nogil:
        for i in range(losses.shape[0]):
            total += (w[i] if w is not None else 1.0) * losses[i]
    return total
