/* Vectors of doubles, as wide as the target's registers, and the few operations that plain C operators do not give.
 *
 * Everything above this header is written for VL doubles at a time and gives the same bits for every VL, because
 *   - lanes run across independent elements (outputs of a layer, weights of a vector), never along a reduction;
 *   - where a reduction is unavoidable it has the fixed 8-lane pattern of bp_dot8 and bp_sum8, whatever VL is;
 *   - an FMA happens only where v_fma is written (the build says -ffp-contract=off).
 * A target without FMA (x86-64 baseline) multiplies and adds: its bits may differ from those of v3 and v4, and only there.
 */
#ifndef BP_SIMD_H
#define BP_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define VL 8
#include <immintrin.h>
#elif defined(__AVX2__) && defined(__FMA__)
#define VL 4
#include <immintrin.h>
#else
#define VL 2
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif

#define BP_INLINE static inline __attribute__((always_inline))
#define BP_UNROLL _Pragma("GCC unroll 16")

typedef double vd __attribute__((vector_size(VL * 8), may_alias));                     /* VL doubles, aligned     */
typedef double vd_unaligned __attribute__((vector_size(VL * 8), aligned(8), may_alias)); /* the same, anywhere      */
typedef int64_t vi __attribute__((vector_size(VL * 8), may_alias));                    /* VL integers, or a mask  */

BP_INLINE vd v_load(const double *p) { return (vd)*(const vd_unaligned *)p; }
BP_INLINE void v_store(double *p, vd v) { *(vd_unaligned *)p = (vd_unaligned)v; }
BP_INLINE vd v_set(double x) { return x - (vd){0}; }   /* x - 0 keeps every bit of x, -0.0 included */

/* a * b + c, rounded once where the target has FMA. */
BP_INLINE vd v_fma(vd a, vd b, vd c) {
#if VL == 8
    return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif VL == 4
    return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    return (vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

/* Half-width vectors for the passes that store as much as they load: 512-bit stores cost more than two of 256 bits on the
 * processors measured (docs/performance.md). Everywhere else the same as vd. */
#if VL == 8
#define HL 4
typedef double vh __attribute__((vector_size(32), may_alias));
typedef double vh_unaligned __attribute__((vector_size(32), aligned(8), may_alias));
BP_INLINE vh h_fma(vh a, vh b, vh c) { return (vh)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#else
#define HL VL
typedef vd vh;
typedef vd_unaligned vh_unaligned;
BP_INLINE vh h_fma(vh a, vh b, vh c) { return v_fma(a, b, c); }
#endif
BP_INLINE vh h_load(const double *p) { return (vh)*(const vh_unaligned *)p; }
BP_INLINE void h_store(double *p, vh v) { *(vh_unaligned *)p = (vh_unaligned)v; }
BP_INLINE vh h_set(double x) { return x - (vh){0}; }

BP_INLINE double s_fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

BP_INLINE vd v_sqrt(vd a) {
#if VL == 8
    return (vd)_mm512_sqrt_pd((__m512d)a);
#elif VL == 4
    return (vd)_mm256_sqrt_pd((__m256d)a);
#elif defined(__aarch64__)
    return (vd)vsqrtq_f64((float64x2_t)a);
#else
    return (vd){__builtin_sqrt(a[0]), __builtin_sqrt(a[1])};
#endif
}

/* The same square root, bit for bit, by multiplications where the target has FMA and a first estimate of 1/sqrt(a): the
 * divider makes one quotient or root at a time, so a loop that needs a root and a quotient for each element takes every
 * other root from here. Goldschmidt's iteration carries g -> sqrt(a) and h -> 1/(2 sqrt(a)), 14, 28, 56 bits; a - g g is
 * exact in one FMA, so the last correction rounds once (Markstein 2000, IA-64 and Elementary Functions, section 9.2).
 * It needs exponents that leave a - g g normal: other vectors (but for zeros in them) take the divider. */
BP_INLINE vd v_sqrt_by_fma(vd a) {
#if VL == 8
    const __m512i least = _mm512_set1_epi64(INT64_C(123) << 52);                            /* 2^-900 */
    const __m512i above = _mm512_sub_epi64((__m512i)a, least);                              /* unsigned: huge below least */
    const __mmask8 usual = _mm512_cmplt_epu64_mask(above, _mm512_set1_epi64((int64_t)(0x7ff - 123) << 52));
    const __mmask8 zero = _mm512_cmp_pd_mask((__m512d)a, _mm512_setzero_pd(), _CMP_EQ_OQ);
    if (__builtin_expect((__mmask8)(usual | zero) != 0xff, 0)) return v_sqrt(a);

    const vd y = (vd)_mm512_maskz_rsqrt14_pd(usual, (__m512d)a), half = v_set(0.5);
    vd g = a * y, h = (vd)_mm512_maskz_sub_epi64(usual, (__m512i)y, _mm512_set1_epi64(INT64_C(1) << 52)), r;   /* y / 2 */
    BP_UNROLL for (int k = 0; k < 2; k++) {
        r = v_fma(-g, h, half);
        g = v_fma(g, r, g);
        h = v_fma(h, r, h);
    }
    return v_fma(h, v_fma(-g, g, a), g);
#else
    return v_sqrt(a);
#endif
}

BP_INLINE double s_sqrt(double a) { return __builtin_sqrt(a); }

/* Masks are vi of all-ones or zero lanes, as C comparisons of vectors give them. */
BP_INLINE vd v_select(vi mask, vd yes, vd no) { return (vd)((mask & (vi)yes) | (~mask & (vi)no)); }
BP_INLINE vd v_and(vi mask, vd a) { return (vd)(mask & (vi)a); }
BP_INLINE vd v_abs(vd a) { return (vd)((vi)a & INT64_MAX); }
BP_INLINE vd v_copysign(vd size, vd sign) { return (vd)(((vi)size & INT64_MAX) | ((vi)sign & INT64_MIN)); }
#if VL == 8
BP_INLINE vd v_max(vd a, vd b) { return (vd)_mm512_max_pd((__m512d)a, (__m512d)b); }
BP_INLINE vd v_min(vd a, vd b) { return (vd)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif VL == 4
BP_INLINE vd v_max(vd a, vd b) { return (vd)_mm256_max_pd((__m256d)a, (__m256d)b); }
BP_INLINE vd v_min(vd a, vd b) { return (vd)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif defined(__SSE2__)
BP_INLINE vd v_max(vd a, vd b) { return (vd)_mm_max_pd((__m128d)a, (__m128d)b); }
BP_INLINE vd v_min(vd a, vd b) { return (vd)_mm_min_pd((__m128d)a, (__m128d)b); }
#else
BP_INLINE vd v_max(vd a, vd b) { return v_select(a > b, a, b); }
BP_INLINE vd v_min(vd a, vd b) { return v_select(a < b, a, b); }
#endif
BP_INLINE vd v_where_positive(vd a, vd yes, vd no) { return v_select(a > 0.0, yes, no); }

/* By the sign bit: -0.0 counts as negative. */
BP_INLINE vd v_where_negative(vd a, vd yes, vd no) {
#if VL == 8
    return (vd)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)a), (__m512d)no, (__m512d)yes);
#elif VL == 4
    return (vd)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)a);
#else
    return v_select((vi)a < 0, yes, no);
#endif
}

/* Whether every lane is zero; a NaN is not. */
BP_INLINE int v_all_zero(vd a) {
    int all = 1;
    BP_UNROLL for (int i = 0; i < VL; i++) all &= a[i] == 0.0;
    return all;
}

/* The first n lanes from p, the rest zero (0 <= n; all lanes where n >= VL); nothing beyond p[n - 1] is read. */
BP_INLINE vd v_load_first(const double *p, ptrdiff_t n) {
#if VL == 8
    return (vd)_mm512_maskz_loadu_pd(n >= 8 ? 0xff : (__mmask8)((1u << n) - 1), p);
#elif VL == 4
    const vi lane = {0, 1, 2, 3};
    return (vd)_mm256_maskload_pd(p, (__m256i)(lane < (vi){n, n, n, n}));
#else
    double lanes[VL] = {0};
    for (ptrdiff_t i = 0; i < VL && i < n; i++) lanes[i] = p[i];
    return v_load(lanes);
#endif
}

/* A vector that is loaded right after some of its doubles have been stored one by one waits for those stores to reach the
 * cache, ten or twenty cycles: rows whose padding matters are written in whole vectors.
 *
 * Zeros in the padding of a row of n doubles, from row[n] up to the next multiple of 8. */
BP_INLINE void bp_zero_padding(double *row, ptrdiff_t n) {
    vi lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    if (n & 7)
        for (ptrdiff_t j = n & ~(ptrdiff_t)(VL - 1); j & 7 || j < n; j += VL)
            v_store(row + j, v_and(lane < (vi)((vi){0} + (n - j)), v_load(row + j)));
}

/* n doubles copied to a row whose padding is zero and stays so. */
BP_INLINE void bp_copy_row(double *row, const double *x, ptrdiff_t n) {
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) v_store(row + j, v_load(x + j));
    if (j < n) v_store(row + j, v_load_first(x + j, n - j));
}

/* Lanes v VL ... of the last, incomplete block of eight: n - v VL of them, none if that is negative. */
BP_INLINE vd v_load_rest(const double *p, ptrdiff_t n, int v) {
    return n > v * VL ? v_load_first(p + v * VL, n - v * VL) : (vd){0};
}

/* Subnormal numbers cost a microcode assist each on many processors, and training passes through them on its way to zero:
 * a training call takes them as zero, in its own threads only, and puts the processor's flags back when it returns.
 */
BP_INLINE uint64_t bp_flush_subnormals(void) {
#if defined(__SSE2__)
    const uint64_t flags = _mm_getcsr();
    _mm_setcsr((unsigned int)flags | 0x8040);           /* flush to zero, denormals are zero */
    return flags;
#elif defined(__aarch64__)
    uint64_t flags;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(flags));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(flags | (UINT64_C(1) << 24)));
    return flags;
#else
    return 0;
#endif
}

BP_INLINE void bp_restore_flags(uint64_t flags) {
#if defined(__SSE2__)
    _mm_setcsr((unsigned int)flags);
#elif defined(__aarch64__)
    __asm__ __volatile__("msr fpcr, %0" : : "r"(flags));
#endif
}

/* Fixed tree over eight lanes, those of acc[0 .. 8 / VL): ((0+4)+(2+6)) + ((1+5)+(3+7)). */
BP_INLINE double bp_tree8(const vd *acc) {
    typedef double v2 __attribute__((vector_size(16), may_alias));
#if VL >= 4
#if VL == 8
    const __m256d half = _mm512_castpd512_pd256((__m512d)acc[0]) + _mm512_extractf64x4_pd((__m512d)acc[0], 1);
#else
    const __m256d half = (__m256d)(acc[0] + acc[1]);
#endif
    const v2 quarter = (v2)(_mm256_castpd256_pd128(half) + _mm256_extractf128_pd(half, 1));
#else
    const v2 quarter = (acc[0] + acc[2]) + (acc[1] + acc[3]);
#endif
    return quarter[0] + quarter[1];
}

/* sum_j x_j w_j: lane k chains the products of j = k, k + 8, k + 16, ... and the tree joins the lanes. On the way n doubles
 * from x_soon on are asked for, a line at a time: asked for at once they would stall the sum. */
static inline double bp_dot8_soon(const double *x, const double *w, ptrdiff_t n, const double *x_soon) {
    vd acc[8 / VL];
    ptrdiff_t j = 0;
    for (int v = 0; v < 8 / VL; v++) acc[v] = (vd){0};
    for (; j + 8 <= n; j += 8) {
        __builtin_prefetch(x_soon + j, 0, 2);
        for (int v = 0; v < 8 / VL; v++) acc[v] = v_fma(v_load(x + j + v * VL), v_load(w + j + v * VL), acc[v]);
    }
    if (j < n) {
        __builtin_prefetch(x_soon + n - 1, 0, 2);
        for (int v = 0; v < 8 / VL; v++)
            acc[v] = v_fma(v_load_rest(x + j, n - j, v), v_load_rest(w + j, n - j, v), acc[v]);
    }
    return bp_tree8(acc);
}

/* Asks for the number at p, which will be read soon. */
BP_INLINE void bp_soon(const void *p) { __builtin_prefetch(p, 0, 3); }

/* The same, and nothing is asked for. */
static inline double bp_dot8(const double *x, const double *w, ptrdiff_t n) {
    vd acc[8 / VL];
    ptrdiff_t j = 0;
    for (int v = 0; v < 8 / VL; v++) acc[v] = (vd){0};
    for (; j + 8 <= n; j += 8)
        for (int v = 0; v < 8 / VL; v++) acc[v] = v_fma(v_load(x + j + v * VL), v_load(w + j + v * VL), acc[v]);
    if (j < n)
        for (int v = 0; v < 8 / VL; v++)
            acc[v] = v_fma(v_load_rest(x + j, n - j, v), v_load_rest(w + j, n - j, v), acc[v]);
    return bp_tree8(acc);
}

/* sum_j x_j in the same pattern. */
static inline double bp_sum8(const double *x, ptrdiff_t n) {
    vd acc[8 / VL];
    ptrdiff_t j = 0;
    for (int v = 0; v < 8 / VL; v++) acc[v] = (vd){0};
    for (; j + 8 <= n; j += 8)
        for (int v = 0; v < 8 / VL; v++) acc[v] = acc[v] + v_load(x + j + v * VL);
    if (j < n)
        for (int v = 0; v < 8 / VL; v++) acc[v] = acc[v] + v_load_rest(x + j, n - j, v);
    return bp_tree8(acc);
}

/* The largest of n values; where one of them is NaN, any of them. */
static inline double bp_max8(const double *x, ptrdiff_t n) {
    static const double below[16] = {0, 0, 0, 0, 0, 0, 0, 0, -INFINITY, -INFINITY, -INFINITY, -INFINITY,
                                     -INFINITY, -INFINITY, -INFINITY, -INFINITY};   /* + 0 for a value, - infinity for none */
    vd acc = v_set(-INFINITY);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) acc = v_max(acc, v_load(x + j));
    if (j < n) acc = v_max(acc, v_load_first(x + j, n - j) + v_load(below + 8 - (n - j)));
    double most = acc[0];
    BP_UNROLL for (int i = 1; i < VL; i++) most = acc[i] > most ? acc[i] : most;
    return most;
}

/* Index of the first of n values that is `value`, 0 where none is; n is a multiple of VL. */
static inline ptrdiff_t bp_find(const double *x, ptrdiff_t n, double value) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vi equal = v_load(x + j) == v_set(value);
#if VL == 8
        const unsigned lanes = _mm512_movepi64_mask((__m512i)equal);
#elif VL == 4
        const unsigned lanes = (unsigned)_mm256_movemask_pd((__m256d)equal);
#else
        const unsigned lanes = (equal[0] & 1) | (equal[1] & 2);
#endif
        if (lanes) return j + __builtin_ctz(lanes);
    }
    return 0;
}

/* The same with 0 in the place of x_out, without storing it: a vector that is loaded right after one of its doubles has been
 * stored waits for the store to reach the cache. n is a multiple of 8. */
static inline double bp_sum8_but(const double *x, ptrdiff_t n, ptrdiff_t out) {
    vd acc[8 / VL], lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    for (int v = 0; v < 8 / VL; v++) acc[v] = (vd){0};
    for (ptrdiff_t j = 0; j < n; j += 8)
        for (int v = 0; v < 8 / VL; v++)
            acc[v] = acc[v] + v_and(lane != v_set((double)(out - j - v * VL)), v_load(x + j + v * VL));
    return bp_tree8(acc);
}

#endif
