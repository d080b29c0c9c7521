# The compiled core of backprop: feedforward, deltas, gradients and weight updates over contiguous float64 buffers.
#
# NOTATION (the whole package uses it; the lecture's letters)
#   layers l = 1..L with n_0, n_1, ..., n_L units; a batch of B examples, one per row
#   z[0] = x                        (B, n_0)        input
#   a[l] = z[l-1] W[l] + b[l]       (B, n_l)        net input
#   z[l] = σ_l(a[l])                (B, n_l)        activation;  z[L] = y' is the output
#   W[l]                            (n_{l-1}, n_l)  W[l][j, i] is the lecture's u_ij, from unit j to unit i
#   b[l]                            (n_l,)          bias
#   δ[l] = ∂C/∂a[l]                 (B, n_l)        delta
#      output   δ[L] = ∂C/∂y' · σ'(a[L])            for C = (y - y')²:  -2 (y - y') σ'(a[L])
#      hidden   δ[l] = σ'(a[l]) · (δ[l+1] W[l+1]ᵀ)
#   ∂C/∂W[l] = z[l-1]ᵀ δ[l],  ∂C/∂b[l] = Σ_B δ[l];   update  W := W - η ∂C/∂W
#
# LAYOUT  All parameters are one float64 vector, 64-byte aligned: W[1], b[1], W[2], b[2], ... W[l] is row-major with its
# leading dimension padded to 8; a layer with a single unit keeps its weights contiguous instead, padded to 8 in all.
# Padding is zero and every update leaves it zero. In the buffers of a batch, rows are padded to 8.
#
# BITS  One sequential FMA chain per element of a product; the fixed 8-lane pattern where a reduction is unavoidable
# (simd.h). So the split of a batch, the tile and the vector width cannot change a result.
#
# LAWS  Functions marked nogil allocate nothing, raise nothing and trust their arguments; `def` functions at the end of
# each section take checked arrays from Python. The variants of this file (_core_v3, _core_v4) include it whole.

from libc.math cimport INFINITY, NAN, ceil
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy, memset
from libc.stdlib cimport calloc, free
from cpython.pycapsule cimport PyCapsule_New, PyCapsule_GetPointer

cdef extern from "simd.h" nogil:
    ctypedef double vd            # VL doubles; declared as a double so that formulas read as formulas (+, -, *, /)
    int VL
    vd v_load(const double *p) noexcept
    void v_store(double *p, vd v) noexcept
    vd v_set(double x) noexcept
    vd v_fma(vd a, vd b, vd c) noexcept
    vd v_sqrt(vd a) noexcept
    vd v_sqrt_by_fma(vd a) noexcept
    vd v_abs(vd a) noexcept
    vd v_min(vd a, vd b) noexcept
    vd v_copysign(vd size, vd sign) noexcept
    vd v_where_positive(vd a, vd yes, vd no) noexcept
    bint v_all_zero(vd a) noexcept
    ctypedef double vh            # HL doubles, for passes that store as much as they load
    int HL
    vh h_load(const double *p) noexcept
    void h_store(double *p, vh v) noexcept
    vh h_set(double x) noexcept
    vh h_fma(vh a, vh b, vh c) noexcept
    void bp_zero_padding(double *row, Py_ssize_t n) noexcept
    void bp_copy_row(double *row, const double *x, Py_ssize_t n) noexcept
    double s_fma(double a, double b, double c) noexcept
    double s_sqrt(double a) noexcept
    uint64_t bp_flush_subnormals() noexcept
    void bp_restore_flags(uint64_t flags) noexcept
    double bp_dot8(const double *x, const double *w, Py_ssize_t n) noexcept
    void bp_soon(const void *p) noexcept
    double bp_dot8_soon(const double *x, const double *w, Py_ssize_t n, const double *x_soon) noexcept
    double bp_sum8(const double *x, Py_ssize_t n) noexcept
    double bp_max8(const double *x, Py_ssize_t n) noexcept
    Py_ssize_t bp_find(const double *x, Py_ssize_t n, double value) noexcept
    double bp_sum8_but(const double *x, Py_ssize_t n, Py_ssize_t out) noexcept

cdef extern from "scalar.h" nogil:
    vd v_exp(vd a) noexcept
    vd v_expm1(vd a) noexcept
    vd v_log(vd a) noexcept
    vd v_sigmoid(vd a) noexcept
    vd v_tanh(vd a) noexcept
    vd v_softplus(vd a) noexcept
    vd v_normal_cdf(vd a) noexcept
    void bp_array_exp(const double *x, double *out, Py_ssize_t n) noexcept
    void bp_array_log1p(const double *x, double *out, Py_ssize_t n) noexcept
    void bp_array_sigmoid(const double *x, double *out, Py_ssize_t n) noexcept
    void bp_array_tanh(const double *x, double *out, Py_ssize_t n) noexcept

cdef extern from "tiles.h" nogil:
    ctypedef struct bp_operands:
        const double *A
        Py_ssize_t am, ak
        const double *B
        Py_ssize_t ldb
        const double *S
        Py_ssize_t lds
        double *C
        Py_ssize_t ldc
    void bp_product(Py_ssize_t M, Py_ssize_t n0, Py_ssize_t n1, Py_ssize_t K, const bp_operands *o) noexcept
    void bp_accumulate(Py_ssize_t M, Py_ssize_t n0, Py_ssize_t n1, Py_ssize_t K, const bp_operands *o) noexcept
    void bp_axpy(double alpha, const double *x, double *w, Py_ssize_t n) noexcept
    void bp_transpose(const double *W, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t ldw, double *T,
                      Py_ssize_t ldt) noexcept


cdef extern from "team.h" nogil:
    ctypedef struct bp_barrier:
        int T
        int arrived
        int round
        int abandoned
    void bp_wait(bp_barrier *barrier) noexcept
    void bp_abandon(bp_barrier *barrier) noexcept
    bint bp_abandoned(bp_barrier *barrier) noexcept

cdef extern from "clock.h" nogil:
    double bp_clock() noexcept


cdef inline Py_ssize_t pad4(Py_ssize_t n) noexcept nogil:
    """The columns that a pass over rows of n units visits: the rest of pad8(n), where there is any, is and stays zero."""
    return (n + 3) & ~3

cdef inline Py_ssize_t pad8(Py_ssize_t n) noexcept nogil:
    return (n + 7) & ~7


include "kernels/scalar.pxi"
include "kernels/activations.pxi"
include "kernels/losses.pxi"
include "kernels/optimizers.pxi"
include "kernels/layers.pxi"
include "kernels/dropout.pxi"
include "kernels/training.pxi"
include "kernels/online.pxi"
include "kernels/epochs.pxi"
include "kernels/single.pxi"
include "kernels/around.pxi"
include "kernels/jacobian.pxi"
include "kernels/perceptron.pxi"


def simd_width():
    """Doubles in one vector of this variant."""
    return VL


cdef extern from *:
    """
    #if defined(__clang__)
    #define BP_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define BP_COMPILER "gcc " __VERSION__
    #else
    #define BP_COMPILER "unknown"
    #endif
    """
    const char *BP_COMPILER


def compiler():
    """The compiler that built this variant."""
    return BP_COMPILER.decode()
