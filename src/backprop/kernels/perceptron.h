/* The stochastic perceptron rule for two classes and few features: the weights stay in registers from visit to visit.
 *
 * Whether a visit is a mistake cannot be foretold, so that a branch on it is often guessed wrong, and costs as much as the
 * visit itself. Here every visit makes the step, and keeps it only where it is a mistake: the same bits as perceptron_learn
 * (perceptron.pxi), without the branch.
 */
#ifndef BP_PERCEPTRON_H
#define BP_PERCEPTRON_H

#include "simd.h"

enum { BP_NARROW = VL == 2 ? 0 : 32 };            /* at most so many features; without AVX2 the registers do not suffice */

typedef struct {
    const double *X;                              /* (n, d) */
    const ptrdiff_t *label;                       /* (n,) 1 for the second class */
    const double *weight;                         /* (n,) c_i */
    ptrdiff_t d;
    double eta0;
    int fit_intercept;
    double *w, *b;                                /* (d,), (1,) */
    double *error;                                /* (1,) takes c_i |d_i| of every mistake */
    ptrdiff_t *mistakes;                          /* (1,) their number */
} bp_narrow;

#if VL >= 4
/* The sum of eight lanes in the order of bp_tree8, in every lane of the result. */
BP_INLINE vd bp_tree8_everywhere(const vd *acc) {
#if VL == 8
    const __m512d v = (__m512d)acc[0];
    const __m512d half = v + _mm512_shuffle_f64x2(v, v, 0x4e);
    const __m512d quarter = half + _mm512_shuffle_f64x2(half, half, 0xb1);
    return (vd)(quarter + _mm512_permute_pd(quarter, 0x55));
#else
    const __m256d half = (__m256d)(acc[0] + acc[1]);
    const __m256d quarter = half + _mm256_permute2f128_pd(half, half, 0x01);
    return (vd)(quarter + _mm256_permute_pd(quarter, 0x5));
#endif
}

/* no where margin > 0, yes elsewhere: a NaN is a mistake. */
BP_INLINE vd bp_unless_positive(vd margin, vd yes, vd no) {
#if VL == 8
    return (vd)_mm512_mask_blend_pd(_mm512_cmp_pd_mask((__m512d)margin, _mm512_setzero_pd(), _CMP_GT_OQ), (__m512d)yes,
                                    (__m512d)no);
#else
    return (vd)_mm256_blendv_pd((__m256d)yes, (__m256d)no,
                                _mm256_cmp_pd((__m256d)margin, _mm256_setzero_pd(), _CMP_GT_OQ));
#endif
}

/* Visits of rows order[0 .. count) with up to 8 N features; the row `ahead` visits later, order[last] at most, is fetched. */
#define BP_NARROW_VISITS(N)                                                                                        \
    static void bp_narrow_visits_##N(const bp_narrow *p, const ptrdiff_t *order, ptrdiff_t count, ptrdiff_t ahead, \
                                     ptrdiff_t last) {                                                             \
        enum { PER = 8 / VL, ALL = N * PER };                                                                      \
        const ptrdiff_t d = p->d;                                                                                  \
        vd w[ALL], b = v_set(p->b[0]), error = v_set(p->error[0]), mistakes = v_set(0.0);                          \
        BP_UNROLL for (int v = 0; v < ALL; v++) w[v] = v_load_first(p->w + v * VL, d > v * VL ? d - v * VL : 0);   \
        for (ptrdiff_t t = 0; t < count; t++) {                                                                    \
            const ptrdiff_t i = order[t], soon = order[t + ahead < last ? t + ahead : last];                       \
            const double *x = p->X + i * d;                                                                        \
            vd z[ALL], acc[PER];                                                                                   \
            for (ptrdiff_t j = 0; j < d; j += 8) __builtin_prefetch(p->X + soon * d + j, 0, 2);                    \
            __builtin_prefetch(p->label + soon, 0, 3);                                                             \
            __builtin_prefetch(p->weight + soon, 0, 3);                                                            \
            const vd y = v_set(p->label[i] == 1 ? 1.0 : -1.0), c = v_set(p->weight[i]);                            \
            BP_UNROLL for (int v = 0; v < PER; v++) acc[v] = (vd){0};                                              \
            BP_UNROLL for (int v = 0; v < ALL; v++) {                                                              \
                z[v] = v < ALL - PER ? v_load(x + v * VL) : v_load_rest(x, d, v);                                  \
                acc[v % PER] = v_fma(z[v], w[v], acc[v % PER]);                                                    \
            }                                                                                                      \
            const vd margin = y * (bp_tree8_everywhere(acc) + b);                                                  \
            const vd step = v_set(p->eta0) * c * y;                                                                \
            BP_UNROLL for (int v = 0; v < ALL; v++) w[v] = bp_unless_positive(margin, v_fma(step, z[v], w[v]), w[v]); \
            if (p->fit_intercept) b = bp_unless_positive(margin, b + step, b);                                     \
            error = bp_unless_positive(margin, error - c * margin, error);                                         \
            mistakes = bp_unless_positive(margin, mistakes + 1.0, mistakes);                                       \
        }                                                                                                          \
        double lanes[8 * N];                                                                                       \
        BP_UNROLL for (int v = 0; v < ALL; v++) v_store(lanes + v * VL, w[v]);                                     \
        memcpy(p->w, lanes, (size_t)d * sizeof(double));                                                           \
        p->b[0] = b[0];                                                                                            \
        p->error[0] = error[0];                                                                                    \
        p->mistakes[0] += (ptrdiff_t)mistakes[0];                                                                  \
    }
BP_NARROW_VISITS(1) BP_NARROW_VISITS(2) BP_NARROW_VISITS(3) BP_NARROW_VISITS(4)
#endif

static void bp_narrow_visits(const bp_narrow *p, const ptrdiff_t *order, ptrdiff_t count, ptrdiff_t ahead, ptrdiff_t last) {
#if VL >= 4
    switch ((p->d + 7) / 8) {
        case 1: bp_narrow_visits_1(p, order, count, ahead, last); break;
        case 2: bp_narrow_visits_2(p, order, count, ahead, last); break;
        case 3: bp_narrow_visits_3(p, order, count, ahead, last); break;
        case 4: bp_narrow_visits_4(p, order, count, ahead, last); break;
    }
#endif
}

#endif
