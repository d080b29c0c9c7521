/* Register-tiled products: C[m, :] = S[m, :] + sum_k A(m, k) B[k, :].
 *
 * Every element of C is one FMA chain over k in index order, started from S. Lanes run across the columns of C, so the
 * shape of a tile, the split of rows, of columns or of k (C stored and reloaded as S) cannot change a bit.
 *
 *   forward    a[l]     = b[l] + z[l-1] W[l]          A = z[l-1], B = W[l],             S = b[l] (row stride 0)
 *   backward   d[l-1]   = 0    + delta[l] W[l]^T      A = delta,  B = W[l]^T (packed),  S = a row of zeros
 *   gradient   dW[l]    = dW   + z[l-1]^T delta[l]    A = z[l-1] with strides exchanged, B = delta, S = C
 *
 * A is only ever read one double at a time (a broadcast), so it needs no padding and no alignment; N is a multiple of 4: where
 * a row ends in 4 or more numbers of padding (10 outputs in 16), those are left out and stay as they are.
 */
#ifndef BP_TILES_H
#define BP_TILES_H

#include "simd.h"

typedef struct {
    const double *A; ptrdiff_t am, ak;   /* A(m, k) = A[m * am + k * ak]             */
    const double *B; ptrdiff_t ldb;      /* B(k, n) = B[k * ldb + n]                 */
    const double *S; ptrdiff_t lds;      /* start of the chains, S[m * lds + n]      */
    double *C;       ptrdiff_t ldc;      /* result, C[m * ldc + n]; may be S         */
} bp_operands;

typedef void (*bp_tile)(ptrdiff_t K, const bp_operands *o, ptrdiff_t m, ptrdiff_t n);

/* R rows by V vectors, all accumulators in registers: R * V + V + 1 must not exceed the target's vector registers. */
#define BP_TILE(R, V)                                                                                              \
    static void bp_tile_##R##x##V(ptrdiff_t K, const bp_operands *o, ptrdiff_t m, ptrdiff_t n) {                   \
        const ptrdiff_t am = o->am, ak = o->ak, ldb = o->ldb;                                                      \
        const double *A = o->A + m * am, *B = o->B + n, *S = o->S + m * o->lds + n;                                \
        double *C = o->C + m * o->ldc + n;                                                                         \
        vd acc[R][V];                                                                                              \
        BP_UNROLL for (int r = 0; r < R; r++)                                                                      \
            BP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = v_load(S + r * o->lds + v * VL);                     \
        for (ptrdiff_t k = 0; k < K; k++, A += ak, B += ldb) {                                                     \
            vd b[V];                                                                                               \
            BP_UNROLL for (int v = 0; v < V; v++) b[v] = v_load(B + v * VL);                                       \
            BP_UNROLL for (int r = 0; r < R; r++) {                                                                \
                vd x = v_set(A[r * am]);                                                                           \
                BP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = v_fma(x, b[v], acc[r][v]);                       \
            }                                                                                                      \
        }                                                                                                          \
        BP_UNROLL for (int r = 0; r < R; r++)                                                                      \
            BP_UNROLL for (int v = 0; v < V; v++) v_store(C + r * o->ldc + v * VL, acc[r][v]);                     \
    }

/* The same, and half a vector of columns behind the V vectors. */
#define BP_HALF_TILE(R, V)                                                                                         \
    static void bp_half_tile_##R##x##V(ptrdiff_t K, const bp_operands *o, ptrdiff_t m, ptrdiff_t n) {              \
        const ptrdiff_t am = o->am, ak = o->ak, ldb = o->ldb;                                                      \
        const double *A = o->A + m * am, *B = o->B + n, *S = o->S + m * o->lds + n;                                \
        double *C = o->C + m * o->ldc + n;                                                                         \
        vd acc[R][V];                                                                                              \
        vh half[R];                                                                                                \
        BP_UNROLL for (int r = 0; r < R; r++) {                                                                    \
            BP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = v_load(S + r * o->lds + v * VL);                     \
            half[r] = h_load(S + r * o->lds + V * VL);                                                             \
        }                                                                                                          \
        for (ptrdiff_t k = 0; k < K; k++, A += ak, B += ldb) {                                                     \
            vd b[V];                                                                                               \
            const vh b_half = h_load(B + V * VL);                                                                  \
            BP_UNROLL for (int v = 0; v < V; v++) b[v] = v_load(B + v * VL);                                       \
            BP_UNROLL for (int r = 0; r < R; r++) {                                                                \
                BP_UNROLL for (int v = 0; v < V; v++) acc[r][v] = v_fma(v_set(A[r * am]), b[v], acc[r][v]);        \
                half[r] = h_fma(h_set(A[r * am]), b_half, half[r]);                                                \
            }                                                                                                      \
        }                                                                                                          \
        BP_UNROLL for (int r = 0; r < R; r++) {                                                                    \
            BP_UNROLL for (int v = 0; v < V; v++) v_store(C + r * o->ldc + v * VL, acc[r][v]);                     \
            h_store(C + r * o->ldc + V * VL, half[r]);                                                             \
        }                                                                                                          \
    }

#define BP_ROWS_10(V) BP_TILE(1, V) BP_TILE(2, V) BP_TILE(3, V) BP_TILE(4, V) BP_TILE(5, V) BP_TILE(6, V)          \
                      BP_TILE(7, V) BP_TILE(8, V) BP_TILE(9, V) BP_TILE(10, V)
#define BP_ROWS_8(V)  BP_TILE(1, V) BP_TILE(2, V) BP_TILE(3, V) BP_TILE(4, V) BP_TILE(5, V) BP_TILE(6, V)          \
                      BP_TILE(7, V) BP_TILE(8, V)
#define BP_ROWS_7(V)  BP_TILE(1, V) BP_TILE(2, V) BP_TILE(3, V) BP_TILE(4, V) BP_TILE(5, V) BP_TILE(6, V)          \
                      BP_TILE(7, V)
#define BP_ROWS_6(V)  BP_TILE(1, V) BP_TILE(2, V) BP_TILE(3, V) BP_TILE(4, V) BP_TILE(5, V) BP_TILE(6, V)
#define BP_ROWS_4(V)  BP_TILE(1, V) BP_TILE(2, V) BP_TILE(3, V) BP_TILE(4, V)
#define BP_ROWS_2(V)  BP_TILE(1, V) BP_TILE(2, V)

#define BP_T(R, V) bp_tile_##R##x##V

#if VL == 8                                       /* 32 registers */
BP_ROWS_10(1) BP_ROWS_10(2) BP_ROWS_8(3) BP_ROWS_7(4) BP_ROWS_2(6) BP_ROWS_2(8)
enum { BP_MAX_V = 4 };
static const int bp_max_rows[9] = {0, 10, 10, 8, 7, 0, 2, 0, 2};
static const bp_tile bp_tiles[9][10] = {
    {0},
    {BP_T(1,1), BP_T(2,1), BP_T(3,1), BP_T(4,1), BP_T(5,1), BP_T(6,1), BP_T(7,1), BP_T(8,1), BP_T(9,1), BP_T(10,1)},
    {BP_T(1,2), BP_T(2,2), BP_T(3,2), BP_T(4,2), BP_T(5,2), BP_T(6,2), BP_T(7,2), BP_T(8,2), BP_T(9,2), BP_T(10,2)},
    {BP_T(1,3), BP_T(2,3), BP_T(3,3), BP_T(4,3), BP_T(5,3), BP_T(6,3), BP_T(7,3), BP_T(8,3)},
    {BP_T(1,4), BP_T(2,4), BP_T(3,4), BP_T(4,4), BP_T(5,4), BP_T(6,4), BP_T(7,4)},
    {0}, {BP_T(1,6), BP_T(2,6)}, {0}, {BP_T(1,8), BP_T(2,8)},
};
#define BP_HALF_ROWS(V) BP_HALF_TILE(1, V) BP_HALF_TILE(2, V) BP_HALF_TILE(3, V) BP_HALF_TILE(4, V)                \
                        BP_HALF_TILE(5, V) BP_HALF_TILE(6, V) BP_HALF_TILE(7, V) BP_HALF_TILE(8, V)
#define BP_H(R, V) bp_half_tile_##R##x##V
BP_HALF_ROWS(0) BP_HALF_ROWS(1) BP_HALF_ROWS(2)
BP_HALF_TILE(9, 0) BP_HALF_TILE(10, 0) BP_HALF_TILE(9, 1) BP_HALF_TILE(10, 1)
enum { BP_HALF_MAX_V = 2 };
static const int bp_half_max_rows[3] = {10, 10, 8};
static const bp_tile bp_half_tiles[3][10] = {
    {BP_H(1,0), BP_H(2,0), BP_H(3,0), BP_H(4,0), BP_H(5,0), BP_H(6,0), BP_H(7,0), BP_H(8,0), BP_H(9,0), BP_H(10,0)},
    {BP_H(1,1), BP_H(2,1), BP_H(3,1), BP_H(4,1), BP_H(5,1), BP_H(6,1), BP_H(7,1), BP_H(8,1), BP_H(9,1), BP_H(10,1)},
    {BP_H(1,2), BP_H(2,2), BP_H(3,2), BP_H(4,2), BP_H(5,2), BP_H(6,2), BP_H(7,2), BP_H(8,2)},
};
#else                                             /* 16 registers */
BP_ROWS_8(1) BP_ROWS_6(2) BP_ROWS_4(3) BP_ROWS_2(4) BP_ROWS_2(6) BP_TILE(1, 8)
enum { BP_MAX_V = 3 };
static const int bp_max_rows[9] = {0, 8, 6, 4, 2, 0, 2, 0, 1};
static const bp_tile bp_tiles[9][10] = {
    {0},
    {BP_T(1,1), BP_T(2,1), BP_T(3,1), BP_T(4,1), BP_T(5,1), BP_T(6,1), BP_T(7,1), BP_T(8,1)},
    {BP_T(1,2), BP_T(2,2), BP_T(3,2), BP_T(4,2), BP_T(5,2), BP_T(6,2)},
    {BP_T(1,3), BP_T(2,3), BP_T(3,3), BP_T(4,3)},
    {BP_T(1,4), BP_T(2,4)},
    {0}, {BP_T(1,6), BP_T(2,6)}, {0}, {BP_T(1,8)},
};
#endif

/* Vectors of the next column panel when `left` remain: wide panels give few rows enough independent chains. */
static inline ptrdiff_t bp_panel(ptrdiff_t left, ptrdiff_t M) {
    if (left == 0) return 0;
    if (M <= 2) {
        if (left >= 8 && bp_max_rows[8] >= M) return 8;
        if (left >= 6) return 6;
        if (left == 4 || left == 5) return 4;
    }
#if VL != 8
    if (left == 4) return 2;                      /* 2 + 2 beats 3 + 1 */
    if ((M == 5 || M == 6 || M == 9 || M == 10) && left > 2) return 2;      /* 5 + 5 rows beat 4 + 3 + 3 */
#else
    if (left == 5) return 3;                      /* 3 + 2 beats 4 + 1 */
#endif
    return left < BP_MAX_V ? left : BP_MAX_V;
}

/* Whether half a vector stands behind a panel of V vectors, the next of `left` columns. */
static inline int bp_half_behind(ptrdiff_t left, ptrdiff_t V) {
#if VL == 8
    return left - V * VL == HL && V <= BP_HALF_MAX_V;
#else
    return 0;
#endif
}

static inline bp_tile bp_tile_of(ptrdiff_t rows, ptrdiff_t V, int half) {
#if VL == 8
    if (half) return bp_half_tiles[V][rows - 1];
#endif
    return bp_tiles[V][rows - 1];
}

static inline ptrdiff_t bp_tallest(ptrdiff_t V, int half) {
#if VL == 8
    if (half) return bp_half_max_rows[V];
#endif
    return bp_max_rows[V];
}

/* All M rows of a panel of V vectors of columns from n on; the rows are split as evenly as the tallest tile allows. */
static inline void bp_panel_product(ptrdiff_t M, ptrdiff_t n, ptrdiff_t V, int half, ptrdiff_t K, const bp_operands *o) {
    const ptrdiff_t tallest = bp_tallest(V, half), tiles = (M + tallest - 1) / tallest;
    ptrdiff_t m = 0;
    for (ptrdiff_t t = 0; t < tiles; t++) {
        const ptrdiff_t rows = (M - m) / (tiles - t);
        bp_tile_of(rows, V, half)(K, o, m, n);
        m += rows;
    }
}

/* The same through a contiguous copy of the panel of B, BP_PACK doubles at a time. Rows of B far apart fall into few sets of
 * the caches, and on a page each: without the copy every tile would fetch the panel from far away again. The tall, wide
 * tiles of AVX-512 ask for B so rarely that they gain nothing.
 */
enum { BP_PACK = 4096, BP_PACK_FROM = 1 << 16 };

static inline int bp_wants_pack(ptrdiff_t M, ptrdiff_t K, ptrdiff_t ldb) {
    if (VL == 8 || K == 1) return 0;
    return ldb >= 256 ? M >= (ldb % 128 == 0 ? 48 : 128) : K >= 256 && M * K > BP_PACK_FROM;
}

static void bp_packed_panel(ptrdiff_t M, ptrdiff_t n, ptrdiff_t V, ptrdiff_t K, const bp_operands *o) {
    double pack[BP_PACK] __attribute__((aligned(64)));
    const ptrdiff_t width = V * VL, block = BP_PACK / width;
    bp_operands p = *o;
    p.B = pack;
    p.ldb = width;
    p.S = o->S + n;
    p.C = o->C + n;
    for (ptrdiff_t k = 0; k < K; k += block) {
        const ptrdiff_t rows = K - k < block ? K - k : block;
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t v = 0; v < V; v++)
                v_store(pack + i * width + v * VL, v_load(o->B + (k + i) * o->ldb + n + v * VL));
        bp_panel_product(M, 0, V, 0, rows, &p);
        p.A += rows * o->ak;
        p.S = p.C;
        p.lds = p.ldc;
    }
}

static inline void bp_product_in_panels(ptrdiff_t M, ptrdiff_t n0, ptrdiff_t n1, ptrdiff_t K, int pack,
                                        const bp_operands *o) {
    while (n0 < n1) {
        const ptrdiff_t V = bp_panel((n1 - n0) / VL, M);
        const int half = bp_half_behind(n1 - n0, V);
        if (pack) bp_packed_panel(M, n0, V, K, o);
        else bp_panel_product(M, n0, V, half, K, o);
        n0 += V * VL + (half ? HL : 0);
    }
}

/* Rows [0, M) and columns [n0, n1) of the product. */
static void bp_product(ptrdiff_t M, ptrdiff_t n0, ptrdiff_t n1, ptrdiff_t K, const bp_operands *o) {
    bp_product_in_panels(M, n0, n1, K, bp_wants_pack(M, K, o->ldb), o);
}

/* C += A B where A is larger than the near caches: the gradient of a large batch without AVX-512, in panels so narrow
 * that A passes by many times. It goes block by block, each small enough to stay in the second-level cache while all
 * panels pass. Where rows lie 4 KB apart their columns meet in few sets of the caches, and blocks are no help.
 */
enum { BP_BLOCK_K = 128, BP_BLOCK_DOUBLES = 1 << 15 };

static inline int bp_is_large_sum(ptrdiff_t M, ptrdiff_t K, ptrdiff_t ldb) {
    return VL < 8 && M >= 64 && M * K > 2 * BP_BLOCK_DOUBLES && ldb < 512;
}

/* The length of even pieces of a whole, none above `most`, in multiples of 4. */
static inline ptrdiff_t bp_even(ptrdiff_t whole, ptrdiff_t most) {
    const ptrdiff_t pieces = (whole + most - 1) / most;
    return ((whole + pieces - 1) / pieces + 3) & ~(ptrdiff_t)3;
}

static void bp_accumulate_blocks(ptrdiff_t M, ptrdiff_t n0, ptrdiff_t n1, ptrdiff_t K, const bp_operands *o) {
    const ptrdiff_t depth = bp_even(K, BP_BLOCK_K), height = bp_even(M, BP_BLOCK_DOUBLES / depth);
    bp_operands p = *o;
    for (ptrdiff_t m = 0; m < M; m += height)
        for (ptrdiff_t k = 0; k < K; k += depth) {
            p.A = o->A + m * o->am + k * o->ak;
            p.B = o->B + k * o->ldb;
            p.S = o->S + m * o->lds;
            p.C = o->C + m * o->ldc;
            bp_product_in_panels(M - m < height ? M - m : height, n0, n1, K - k < depth ? K - k : depth, 1, &p);
        }
}

/* C += A B where C is far larger than B: the gradient of a small batch, K examples. Half of the time would go into loading
 * and storing C, so C is walked row by row, as it lies in memory, in tiles small enough that the loads and stores of one hide
 * behind the arithmetic of its neighbours (4 x 4 vectors instead of 7 x 4: 784 x 128, K = 10: 53 GF/s instead of 44). As many
 * columns at a time as keep B in the second-level cache. Of more than a few examples, copied panels of B are worth more.
 */
enum { BP_LOW_V = VL == 8 ? 4 : 2, BP_NEAR_DOUBLES = 1 << 15, BP_FEW = 12 };

/* Rows of the next tile when `left` remain: none too low for the latency of an FMA. */
static inline ptrdiff_t bp_low_rows(ptrdiff_t left) {
#if VL == 8
    return left < 8 ? left : 4;
#else
    return left <= 6 ? left : left < 12 ? (left + 1) / 2 : 6;
#endif
}

static void bp_accumulate(ptrdiff_t M, ptrdiff_t n0, ptrdiff_t n1, ptrdiff_t K, const bp_operands *o) {
    ptrdiff_t block = BP_NEAR_DOUBLES / K / (BP_LOW_V * VL) * (BP_LOW_V * VL);
    if (bp_is_large_sum(M, K, o->ldb)) {
        bp_accumulate_blocks(M, n0, n1, K, o);
        return;
    }
    if (n1 - n0 <= VL || (K > BP_FEW && bp_wants_pack(M, K, o->ldb))) {
        bp_product(M, n0, n1, K, o);
        return;
    }
    if (block == 0) block = BP_LOW_V * VL;
    for (; n0 < n1; n0 += block) {
        const ptrdiff_t stop = n1 - n0 < block ? n1 : n0 + block;
        for (ptrdiff_t m = 0, rows; m < M; m += rows) {
            rows = bp_low_rows(M - m);
            for (ptrdiff_t n = n0; n < stop;) {
                ptrdiff_t V = bp_panel((stop - n) / VL, M);
                if (V > BP_LOW_V) V = BP_LOW_V;
                const int half = bp_half_behind(stop - n, V);
                bp_tile_of(rows, V, half)(K, o, m, n);
                n += V * VL + (half ? HL : 0);
            }
        }
    }
}

/* w_j += alpha x_j, one FMA each, n of any size. */
static inline void bp_axpy(double alpha, const double *x, double *w, ptrdiff_t n) {
    const vd va = v_set(alpha);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) v_store(w + j, v_fma(va, v_load(x + j), v_load(w + j)));
    for (; j < n; j++) w[j] = s_fma(alpha, x[j], w[j]);
}

/* T[k, j] = W[j, k] for j < rows, k < cols; T's row stride is ldt, W's is ldw, a multiple of 8. T's rows are written up to
 * the next multiple of 4, with zeros. Blocks of 4 x 4 turn in registers; along j the writes are contiguous.
 */
#if VL >= 4
BP_INLINE void bp_transpose_4x4(const double *W, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ldw, double *T,
                                ptrdiff_t ldt) {
    const __m256d zero = _mm256_setzero_pd();
    const __m256d r0 = _mm256_loadu_pd(W);
    const __m256d r1 = rows > 1 ? _mm256_loadu_pd(W + ldw) : zero;
    const __m256d r2 = rows > 2 ? _mm256_loadu_pd(W + 2 * ldw) : zero;
    const __m256d r3 = rows > 3 ? _mm256_loadu_pd(W + 3 * ldw) : zero;
    const __m256d a = _mm256_unpacklo_pd(r0, r1), b = _mm256_unpackhi_pd(r0, r1);
    const __m256d c = _mm256_unpacklo_pd(r2, r3), d = _mm256_unpackhi_pd(r2, r3);
    _mm256_storeu_pd(T, _mm256_permute2f128_pd(a, c, 0x20));
    if (cols > 1) _mm256_storeu_pd(T + ldt, _mm256_permute2f128_pd(b, d, 0x20));
    if (cols > 2) _mm256_storeu_pd(T + 2 * ldt, _mm256_permute2f128_pd(a, c, 0x31));
    if (cols > 3) _mm256_storeu_pd(T + 3 * ldt, _mm256_permute2f128_pd(b, d, 0x31));
}

static void bp_transpose(const double *W, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ldw, double *T, ptrdiff_t ldt) {
    for (ptrdiff_t k = 0; k < cols; k += 8)
        for (ptrdiff_t j = 0; j < rows; j += 4) {
            const double *block = W + j * ldw + k;
            if (j + 4 <= rows && k + 8 <= cols) {
                bp_transpose_4x4(block, 4, 4, ldw, T + k * ldt + j, ldt);
                bp_transpose_4x4(block + 4, 4, 4, ldw, T + (k + 4) * ldt + j, ldt);
            } else {
                bp_transpose_4x4(block, rows - j, cols - k, ldw, T + k * ldt + j, ldt);
                if (k + 4 < cols) bp_transpose_4x4(block + 4, rows - j, cols - k - 4, ldw, T + (k + 4) * ldt + j, ldt);
            }
        }
}
#else
static void bp_transpose(const double *W, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ldw, double *T, ptrdiff_t ldt) {
    for (ptrdiff_t j = 0; j < rows; j++)
        for (ptrdiff_t k = 0; k < cols; k++) T[k * ldt + j] = W[j * ldw + k];
}
#endif

#endif
