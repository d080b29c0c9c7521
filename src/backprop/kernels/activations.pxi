# Activations: z = σ(a), and the factor that turns ∂C/∂z into δ = ∂C/∂a = ∂C/∂z · σ'(a).
#
# One row of ACTIVATIONS per function: adding an activation is its two array kernels and its row, in this file.
# The kernels run over whole vectors; `n` is a multiple of VL, `a` and `z` may be the same array.

ctypedef void (*apply_kernel)(const double *a, double *z, Py_ssize_t n) noexcept nogil
ctypedef void (*backward_kernel)(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil

cdef struct Activation:
    const char *name
    apply_kernel apply            # z := σ(a)
    backward_kernel backward      # delta := delta · σ'(a)
    bint needs_a                  # σ' wants a (otherwise it follows from z, and a need not be kept)
    bint rowwise                  # σ mixes the units of a row (softmax): whole rows, `n` exact
    const char *init              # initial weights that suit it
    const char *formula
    const char *derivative


cdef void identity(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    if a != z:
        memcpy(z, a, n * sizeof(double))

cdef void identity_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    pass


cdef void sigmoid(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    bp_array_sigmoid(a, z, n)

cdef void sigmoid_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd s
    while i < n:
        s = v_load(z + i)
        v_store(delta + i, v_load(delta + i) * (s * (1.0 - s)))
        i += VL


cdef void hyperbolic_tangent(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    bp_array_tanh(a, z, n)

cdef void hyperbolic_tangent_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd t
    while i < n:
        t = v_load(z + i)
        v_store(delta + i, v_load(delta + i) * ((1.0 - t) * (1.0 + t)))
        i += VL


cdef void relu(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x
    while i < n:
        x = v_load(a + i)
        v_store(z + i, v_where_positive(x, x, v_set(0.0)))
        i += VL

cdef void relu_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < n:
        v_store(delta + i, v_where_positive(v_load(z + i), v_load(delta + i), v_set(0.0)))
        i += VL


cdef void leaky_relu(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x
    while i < n:
        x = v_load(a + i)
        v_store(z + i, v_where_positive(x, x, x * LEAKY_SLOPE))
        i += VL

cdef void leaky_relu_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd d
    while i < n:
        d = v_load(delta + i)
        v_store(delta + i, v_where_positive(v_load(z + i), d, d * LEAKY_SLOPE))
        i += VL


cdef void elu(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x
    while i < n:
        x = v_load(a + i)
        v_store(z + i, v_where_positive(x, x, v_expm1(x)))
        i += VL

cdef void elu_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd d, x
    while i < n:
        d = v_load(delta + i)
        x = v_load(a + i)
        v_store(delta + i, v_where_positive(x, d, d * v_exp(x)))
        i += VL


cdef void softplus(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < n:
        v_store(z + i, v_softplus(v_load(a + i)))
        i += VL

cdef void softplus_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < n:
        v_store(delta + i, v_load(delta + i) * v_sigmoid(v_load(a + i)))
        i += VL


cdef void silu(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x
    while i < n:
        x = v_load(a + i)
        v_store(z + i, x * v_sigmoid(x))
        i += VL

cdef void silu_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x, s
    while i < n:
        x = v_load(a + i)
        s = v_sigmoid(x)
        # x (1 - s) = x sigmoid(-x): no cancellation for large x
        v_store(delta + i, v_load(delta + i) * (s * (1.0 + x * v_sigmoid(-x))))
        i += VL


cdef void gelu(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x
    while i < n:
        x = v_load(a + i)
        v_store(z + i, x * v_normal_cdf(x))
        i += VL

cdef void gelu_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd x, density
    while i < n:
        x = v_load(a + i)
        density = v_exp(x * x * -0.5) * ONE_OVER_SQRT_TWO_PI
        v_store(delta + i, v_load(delta + i) * v_fma(x, density, v_normal_cdf(x)))
        i += VL


cdef void exponential(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < n:
        v_store(z + i, v_exp(v_load(a + i)))
        i += VL

cdef void exponential_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < n:
        v_store(delta + i, v_load(delta + i) * v_load(z + i))
        i += VL


cdef void softmax_rows(const double *a, double *z, Py_ssize_t n, Py_ssize_t rows) noexcept nogil:
    """z_j = e^(a_j - m) / Σ_k e^(a_k - m) with m = max a: rows of n units, stored with zero padding."""
    cdef Py_ssize_t r, i, ld = pad8(n)
    cdef vd m, total
    for r in range(rows):
        m = v_set(bp_max8(a + r * ld, n))
        i = r * ld
        while i < (r + 1) * ld:
            v_store(z + i, v_load(a + i) - m)
            i += VL
    bp_array_exp(z, z, rows * ld)
    for r in range(rows):
        total = v_set(bp_sum8(z + r * ld, n))
        i = r * ld
        while i < (r + 1) * ld:
            v_store(z + i, v_load(z + i) / total)
            i += VL
        memset(z + r * ld + n, 0, (ld - n) * sizeof(double))

cdef void softmax(const double *a, double *z, Py_ssize_t n) noexcept nogil:
    softmax_rows(a, z, n, 1)

cdef void softmax_backward(const double *a, const double *z, double *delta, Py_ssize_t n) noexcept nogil:
    """The whole Jacobian: δ_i = z_i (g_i - Σ_j g_j z_j) for g = ∂C/∂z."""
    cdef double mean = bp_dot8(delta, z, n)
    cdef Py_ssize_t i = 0
    while i < n:
        delta[i] = z[i] * (delta[i] - mean)
        i += 1


cdef double LEAKY_SLOPE = 0.01
cdef double ONE_OVER_SQRT_TWO_PI = 0.3989422804014326779

cdef enum:
    N_ACTIVATIONS = 11

cdef Activation[N_ACTIVATIONS] ACTIVATIONS
ACTIVATIONS[0] = Activation(b"identity", identity, identity_backward, False, False, b"glorot_uniform",
                            b"a", b"1")
ACTIVATIONS[1] = Activation(b"sigmoid", sigmoid, sigmoid_backward, False, False, b"glorot_uniform",
                            b"1 / (1 + exp(-a))", b"z (1 - z)")
ACTIVATIONS[2] = Activation(b"tanh", hyperbolic_tangent, hyperbolic_tangent_backward, False, False, b"glorot_uniform",
                            b"tanh(a)", b"(1 - z) (1 + z)")
ACTIVATIONS[3] = Activation(b"relu", relu, relu_backward, False, False, b"he_uniform",
                            b"max(a, 0)", b"1 where a > 0, else 0")
ACTIVATIONS[4] = Activation(b"leaky_relu", leaky_relu, leaky_relu_backward, False, False, b"he_uniform",
                            b"a where a > 0, else 0.01 a", b"1 where a > 0, else 0.01")
ACTIVATIONS[5] = Activation(b"elu", elu, elu_backward, True, False, b"he_uniform",
                            b"a where a > 0, else exp(a) - 1", b"1 where a > 0, else exp(a)")
ACTIVATIONS[6] = Activation(b"softplus", softplus, softplus_backward, True, False, b"he_uniform",
                            b"log(1 + exp(a))", b"1 / (1 + exp(-a))")
ACTIVATIONS[7] = Activation(b"silu", silu, silu_backward, True, False, b"he_uniform",
                            b"a / (1 + exp(-a))", b"s (1 + a (1 - s)), s = 1 / (1 + exp(-a))")
ACTIVATIONS[8] = Activation(b"gelu", gelu, gelu_backward, True, False, b"he_uniform",
                            b"a Phi(a), Phi the normal distribution function", b"Phi(a) + a phi(a)")
ACTIVATIONS[9] = Activation(b"exp", exponential, exponential_backward, False, False, b"glorot_uniform",
                            b"exp(a)", b"z")
ACTIVATIONS[10] = Activation(b"softmax", softmax, softmax_backward, False, True, b"glorot_uniform",
                             b"exp(a_i) / sum_j exp(a_j)", b"z_i ([i = j] - z_j), a matrix")


def activations():
    """The table of activations: a list of dicts in table order (the index is the kernel's number)."""
    return [{"name": ACTIVATIONS[i].name.decode(), "rowwise": bool(ACTIVATIONS[i].rowwise),
             "init": ACTIVATIONS[i].init.decode(), "formula": ACTIVATIONS[i].formula.decode(),
             "derivative": ACTIVATIONS[i].derivative.decode()} for i in range(N_ACTIVATIONS)]
