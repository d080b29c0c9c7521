/* Gradient descent, one example at a time, on a network that fits the registers: n_0 <= 4 inputs, n_1 <= 8 hidden units, one
 * output, squared error. The weights are loaded once per call and stored once; in between nothing but an example's x and y
 * is read. The arithmetic is that of the general kernels, element by element: the same bits.
 */
#ifndef BP_TINY_H
#define BP_TINY_H

#include "scalar.h"

enum { BP_IDENTITY, BP_SIGMOID, BP_TANH, BP_RELU, BP_TINY_ACTIVATIONS };
enum { BP_TINY_INPUTS = 4, BP_NV = 8 / VL };      /* BP_NV vectors hold the eight hidden units */

typedef struct {
    const double *X, *Y, *weight;                 /* weight may be NULL */
    const ptrdiff_t *order;
    ptrdiff_t start, stop;
    double *W, *b, *w, *c;                        /* W (n_0, 8) and b (8,) of the hidden layer, w (8,) and c of the output */
    ptrdiff_t n_hidden;
    int hidden, output;                           /* activations */
    int bias;
    double eta, factor;                           /* C = factor (y - y')^2 */
} bp_tiny;

BP_INLINE vd bp_tiny_apply(int activation, vd a) {
    switch (activation) {
        case BP_SIGMOID: return v_sigmoid(a);
        case BP_TANH: return v_tanh(a);
        case BP_RELU: return v_where_positive(a, a, (vd){0});
        default: return a;
    }
}

/* g sigma'(a), from z = sigma(a). */
BP_INLINE vd bp_tiny_backward(int activation, vd z, vd g) {
    switch (activation) {
        case BP_SIGMOID: return g * (z * (1.0 - z));
        case BP_TANH: return g * ((1.0 - z) * (1.0 + z));
        case BP_RELU: return v_where_positive(z, g, (vd){0});
        default: return g;
    }
}

#define BP_TINY(N)                                                                                                 \
    static double bp_tiny_##N(const bp_tiny *t, double loss) {                                                     \
        vd W[N][BP_NV], b[BP_NV], w[BP_NV], z[BP_NV], used[BP_NV];                                                 \
        const double factor = t->factor;                                                                           \
        double c = t->c[0];                                                                                        \
        BP_UNROLL for (int v = 0; v < BP_NV; v++) {                                                                \
            BP_UNROLL for (int j = 0; j < N; j++) W[j][v] = v_load(t->W + 8 * j + v * VL);                         \
            b[v] = v_load(t->b + v * VL);                                                                          \
            w[v] = v_load(t->w + v * VL);                                                                          \
            for (int i = 0; i < VL; i++) used[v][i] = v * VL + i < t->n_hidden ? 1.0 : 0.0;                        \
        }                                                                                                          \
        for (ptrdiff_t k = t->start; k < t->stop; k++) {                                                           \
            const ptrdiff_t row = t->order[k];                                                                     \
            const double *x = t->X + row * N;                                                                      \
            const double weight = t->weight ? t->weight[row] : 1.0;                                                \
            if (weight == 0.0) continue;                                                                           \
            vd lanes[BP_NV];                                                                                       \
            BP_UNROLL for (int v = 0; v < BP_NV; v++) {                                                            \
                vd a = b[v];                                                                                       \
                BP_UNROLL for (int j = 0; j < N; j++) a = v_fma(v_set(x[j]), W[j][v], a);                          \
                z[v] = v_and(used[v] > 0.0, bp_tiny_apply(t->hidden, a));                                          \
                lanes[v] = v_fma(z[v], w[v], (vd){0});                                                             \
            }                                                                                                      \
            const vd y = bp_tiny_apply(t->output, v_set(c + bp_tree8(lanes)));                                     \
            const vd r = v_set(t->Y[row]) - y;                                                                     \
            loss += weight * (r[0] * r[0] * factor);                                                               \
            vd delta = bp_tiny_backward(t->output, y, r * (-2.0 * factor));                                        \
            if (weight != 1.0) delta = delta * weight;                                                             \
            const vd step = delta * -t->eta;                                                                       \
            BP_UNROLL for (int v = 0; v < BP_NV; v++) {                                                            \
                const vd s = bp_tiny_backward(t->hidden, z[v], step * w[v]);                                       \
                w[v] = v_fma(step, z[v], w[v]);                                                                    \
                BP_UNROLL for (int j = 0; j < N; j++) W[j][v] = v_fma(v_set(x[j]), s, W[j][v]);                    \
                if (t->bias) b[v] = b[v] + s;                                                                      \
            }                                                                                                      \
            if (t->bias) c = c + step[0];                                                                          \
        }                                                                                                          \
        BP_UNROLL for (int v = 0; v < BP_NV; v++) {                                                                \
            BP_UNROLL for (int j = 0; j < N; j++) v_store(t->W + 8 * j + v * VL, W[j][v]);                         \
            v_store(t->b + v * VL, b[v]);                                                                          \
            v_store(t->w + v * VL, w[v]);                                                                          \
        }                                                                                                          \
        t->c[0] = c;                                                                                               \
        return loss;                                                                                               \
    }
BP_TINY(1) BP_TINY(2) BP_TINY(3) BP_TINY(4)

/* Train; returns loss + sum of w C, added example by example. */
static double bp_train_tiny(ptrdiff_t n_inputs, const bp_tiny *t, double loss) {
    static double (*const rows[BP_TINY_INPUTS])(const bp_tiny *, double) = {bp_tiny_1, bp_tiny_2, bp_tiny_3, bp_tiny_4};
    return rows[n_inputs - 1](t, loss);
}

#endif
