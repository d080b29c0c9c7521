/* Passes of the one-example algorithm that visit each weight once.
 *
 * Gradient descent on one example at a time alternates a rank-one update and a product with the next example's input:
 *     W := W + z_prev ds  (ds = -eta delta),   a := b + z_new W.
 * Both want every weight, so the update of example k is delayed into the forward pass of example k + 1: one load and one
 * store of each weight per example instead of two or three. The arithmetic is that of the two separate passes, element by
 * element: the same bits, only in another order.
 */
#ifndef BP_ONLINE_H
#define BP_ONLINE_H

#include "simd.h"

/* V vectors of columns: W := W + z_prev ds, then a = S + z_new W (S: the bias, already updated). On the way the input after
 * the next, z_soon, is brought into the second-level cache, a line at a time: asked for at once it would stall the pass. */
#define BP_UPDATE_FORWARD(V)                                                                                       \
    static void bp_update_forward_##V(ptrdiff_t n_in, double *W, ptrdiff_t ld, const double *z_prev,               \
                                      const double *ds, const double *z_new, const double *z_soon,                 \
                                      const double *S, double *a) {                                                \
        vh acc[V], d[V];                                                                                           \
        BP_UNROLL for (int v = 0; v < V; v++) { acc[v] = h_load(S + v * HL); d[v] = h_load(ds + v * HL); }         \
        for (ptrdiff_t j = 0; j < n_in; j++, W += ld) {                                                            \
            const vh p = h_set(z_prev[j]), x = h_set(z_new[j]);                                                    \
            if ((j & 7) == 0) __builtin_prefetch(z_soon + j, 0, 2);                                                \
            BP_UNROLL for (int v = 0; v < V; v++) {                                                                \
                const vh w = h_fma(p, d[v], h_load(W + v * HL));                                                   \
                h_store(W + v * HL, w);                                                                            \
                acc[v] = h_fma(x, w, acc[v]);                                                                      \
            }                                                                                                      \
        }                                                                                                          \
        BP_UNROLL for (int v = 0; v < V; v++) h_store(a + v * HL, acc[v]);                                         \
    }

/* V vectors of columns: W := W + z ds. */
#define BP_RANK_ONE(V)                                                                                             \
    static void bp_rank_one_##V(ptrdiff_t n_in, double *W, ptrdiff_t ld, const double *z, const double *ds) {      \
        vh d[V];                                                                                                   \
        BP_UNROLL for (int v = 0; v < V; v++) d[v] = h_load(ds + v * HL);                                          \
        for (ptrdiff_t j = 0; j < n_in; j++, W += ld) {                                                            \
            const vh x = h_set(z[j]);                                                                              \
            BP_UNROLL for (int v = 0; v < V; v++) h_store(W + v * HL, h_fma(x, d[v], h_load(W + v * HL)));         \
        }                                                                                                          \
    }

/* G = z^T delta for n_in rows of `width` columns, side by side: the gradient of one example, 0 + z delta as BP_RANK_ONE adds. */
static void bp_outer(ptrdiff_t n_in, ptrdiff_t width, const double *z, const double *delta, double *G) {
    for (ptrdiff_t j = 0; j < n_in; j++, G += width) {
        const vd x = v_set(z[j]);
        for (ptrdiff_t i = 0; i < width; i += VL) v_store(G + i, v_fma(x, v_load(delta + i), (vd){0}));
    }
}

/* V vectors of columns of T = W^T, (n_out, ld): out = ds T, then T := T + ds z (the layer's own update, at once). */
#define BP_BACKWARD_UPDATE(V)                                                                                      \
    static void bp_backward_update_##V(ptrdiff_t n_out, double *T, ptrdiff_t ld, const double *ds,                 \
                                       const double *z, double *out) {                                             \
        vh acc[V], zv[V];                                                                                          \
        BP_UNROLL for (int v = 0; v < V; v++) { acc[v] = (vh){0}; zv[v] = h_load(z + v * HL); }                    \
        for (ptrdiff_t k = 0; k < n_out; k++, T += ld) {                                                           \
            const vh s = h_set(ds[k]);                                                                             \
            BP_UNROLL for (int v = 0; v < V; v++) {                                                                \
                const vh w = h_load(T + v * HL);                                                                   \
                acc[v] = h_fma(s, w, acc[v]);                                                                      \
                h_store(T + v * HL, h_fma(s, zv[v], w));                                                           \
            }                                                                                                      \
        }                                                                                                          \
        BP_UNROLL for (int v = 0; v < V; v++) h_store(out + v * HL, acc[v]);                                       \
    }

/* V vectors of columns, over the non-zero inputs only: a = S + sum_k x[k] W[index[k], :]. */
#define BP_SPARSE_FORWARD(V)                                                                                       \
    static void bp_sparse_forward_##V(ptrdiff_t count, const int32_t *index, const double *x, const double *W,     \
                                      ptrdiff_t ld, const double *S, double *a) {                                  \
        vh acc[V];                                                                                                 \
        BP_UNROLL for (int v = 0; v < V; v++) acc[v] = h_load(S + v * HL);                                         \
        for (ptrdiff_t k = 0; k < count; k++) {                                                                    \
            const double *row = W + index[k] * ld;                                                                 \
            const vh xk = h_set(x[k]);                                                                             \
            BP_UNROLL for (int v = 0; v < V; v++) acc[v] = h_fma(xk, h_load(row + v * HL), acc[v]);                \
        }                                                                                                          \
        BP_UNROLL for (int v = 0; v < V; v++) h_store(a + v * HL, acc[v]);                                         \
    }

/* V vectors of columns, over the non-zero inputs only: W[index[k], :] += x[k] ds. */
#define BP_SPARSE_UPDATE(V)                                                                                        \
    static void bp_sparse_update_##V(ptrdiff_t count, const int32_t *index, const double *x, double *W,            \
                                     ptrdiff_t ld, const double *ds) {                                             \
        vh d[V];                                                                                                   \
        BP_UNROLL for (int v = 0; v < V; v++) d[v] = h_load(ds + v * HL);                                          \
        for (ptrdiff_t k = 0; k < count; k++) {                                                                    \
            double *row = W + index[k] * ld;                                                                       \
            const vh xk = h_set(x[k]);                                                                             \
            BP_UNROLL for (int v = 0; v < V; v++) h_store(row + v * HL, h_fma(xk, d[v], h_load(row + v * HL)));    \
        }                                                                                                          \
    }

#define BP_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8)
BP_EACH(BP_UPDATE_FORWARD) BP_EACH(BP_RANK_ONE) BP_EACH(BP_BACKWARD_UPDATE) BP_EACH(BP_SPARSE_FORWARD) BP_EACH(BP_SPARSE_UPDATE)

/* Vectors of a panel of columns. Four are the fastest while the weights stay in a near cache; with more registers, eight
 * when they do not, because each row of a panel is a stream of its own (docs/performance.md). */
enum { BP_PANEL_V = 4, BP_FAR_PANEL_V = VL == 8 ? 8 : 4, BP_FAR_DOUBLES = 1 << 16 };

static inline ptrdiff_t bp_widest_panel(ptrdiff_t doubles) {
    return doubles > BP_FAR_DOUBLES ? BP_FAR_PANEL_V : BP_PANEL_V;
}

/* Vectors of the next panel: as even a split of `left` as the widest panel allows. */
static inline ptrdiff_t bp_even_panel(ptrdiff_t left, ptrdiff_t widest) {
    const ptrdiff_t panels = (left + widest - 1) / widest;
    return (left + panels - 1) / panels;
}

#define BP_CASE(V, CALL) case V: CALL(V); break;
#define BP_PANELS(width, widest, CALL)                                                                             \
    for (ptrdiff_t n = 0, V; n < (width); n += V * HL) {                                                           \
        V = bp_even_panel(((width) - n) / HL, widest);                                                                 \
        switch (V) { BP_CASE(1, CALL) BP_CASE(2, CALL) BP_CASE(3, CALL) BP_CASE(4, CALL)                           \
                     BP_CASE(5, CALL) BP_CASE(6, CALL) BP_CASE(7, CALL) BP_CASE(8, CALL) }                         \
    }

static void bp_update_forward(ptrdiff_t n_in, ptrdiff_t width, double *W, ptrdiff_t ld, const double *z_prev, const double *ds,
                              const double *z_new, const double *z_soon, const double *S, double *a) {
#define BP_CALL(V) bp_update_forward_##V(n_in, W + n, ld, z_prev, ds + n, z_new, n ? z_new : z_soon, S + n, a + n)
    BP_PANELS(width, bp_widest_panel(n_in * width), BP_CALL)
#undef BP_CALL
}

static void bp_rank_one(ptrdiff_t n_in, ptrdiff_t width, double *W, ptrdiff_t ld, const double *z, const double *ds) {
#define BP_CALL(V) bp_rank_one_##V(n_in, W + n, ld, z, ds + n)
    BP_PANELS(width, BP_FAR_PANEL_V, BP_CALL)
#undef BP_CALL
}

static void bp_backward_update(ptrdiff_t n_out, ptrdiff_t width, double *T, ptrdiff_t ld, const double *ds, const double *z,
                               double *out) {
#define BP_CALL(V) bp_backward_update_##V(n_out, T + n, ld, ds, z + n, out + n)
    BP_PANELS(width, bp_widest_panel(n_out * width), BP_CALL)
#undef BP_CALL
}

static void bp_sparse_forward(ptrdiff_t count, const int32_t *index, const double *x, ptrdiff_t width, const double *W,
                              ptrdiff_t ld, const double *S, double *a) {
#define BP_CALL(V) bp_sparse_forward_##V(count, index, x, W + n, ld, S + n, a + n)
    BP_PANELS(width, BP_FAR_PANEL_V, BP_CALL)
#undef BP_CALL
}

static void bp_sparse_update(ptrdiff_t count, const int32_t *index, const double *x, ptrdiff_t width, double *W,
                             ptrdiff_t ld, const double *ds) {
#define BP_CALL(V) bp_sparse_update_##V(count, index, x, W + n, ld, ds + n)
    BP_PANELS(width, BP_FAR_PANEL_V, BP_CALL)
#undef BP_CALL
}

/* V vectors of columns of momentum's step on one example, g = z^T delta + l2 W, s := mu s + g, W := W - eta s (Nesterov's:
 * W := W - eta (g + mu s)), then a = S + z_new W, which feeds the next example forward. */
BP_INLINE void bp_momentum_panel(const int V, const int nesterov, const int decays, ptrdiff_t n_in, double *W, double *s,
                                 ptrdiff_t ld, const double *z, const double *delta, double l2, double eta, double mu,
                                 const double *z_new, const double *S, double *a) {
    const vh step = h_set(-eta), keep = h_set(mu), decay = h_set(l2), zero = h_set(0.0);
    vh acc[BP_FAR_PANEL_V], d[BP_FAR_PANEL_V];
    BP_UNROLL for (int v = 0; v < V; v++) { acc[v] = h_load(S + v * HL); d[v] = h_load(delta + v * HL); }
    for (ptrdiff_t j = 0; j < n_in; j++, W += ld, s += ld) {
        const vh p = h_set(z[j]), x = h_set(z_new[j]);
        BP_UNROLL for (int v = 0; v < V; v++) {
            vh w = h_load(W + v * HL), g = h_fma(p, d[v], zero);
            if (decays) g = h_fma(decay, w, g);
            const vh u = h_fma(keep, h_load(s + v * HL), g);
            h_store(s + v * HL, u);
            w = h_fma(step, nesterov ? h_fma(keep, u, g) : u, w);
            h_store(W + v * HL, w);
            acc[v] = h_fma(x, w, acc[v]);
        }
    }
    BP_UNROLL for (int v = 0; v < V; v++) h_store(a + v * HL, acc[v]);
}

static void bp_momentum_forward(int nesterov, ptrdiff_t n_in, ptrdiff_t width, double *W, double *s, ptrdiff_t ld,
                                const double *z, const double *delta, double l2, double eta, double mu, const double *z_new,
                                const double *S, double *a) {
    const ptrdiff_t widest = 2 * n_in * width > BP_FAR_DOUBLES ? BP_FAR_PANEL_V : BP_PANEL_V;
#define BP_MOMENTUM(V, NESTEROV, DECAYS)                                                                           \
    bp_momentum_panel(V, NESTEROV, DECAYS, n_in, W + n, s + n, ld, z, delta + n, l2, eta, mu, z_new, S + n, a + n)
#define BP_CALL(V)                                                                                                 \
    if (nesterov && l2 != 0.0) BP_MOMENTUM(V, 1, 1); else if (nesterov) BP_MOMENTUM(V, 1, 0);                      \
    else if (l2 != 0.0) BP_MOMENTUM(V, 0, 1); else BP_MOMENTUM(V, 0, 0)
    for (ptrdiff_t n = 0, left, V; n < width; n += V * HL) {
        left = (width - n) / HL;
        V = left >= widest ? widest : bp_even_panel(left, BP_PANEL_V);
        switch (V) {
            BP_CASE(1, BP_CALL) BP_CASE(2, BP_CALL) BP_CASE(3, BP_CALL) BP_CASE(4, BP_CALL)
#if VL == 8
            BP_CASE(8, BP_CALL)
#endif
        }
    }
#undef BP_CALL
#undef BP_MOMENTUM
}

/* One unit: w := w + ds z_prev, then sum_j z_new_j w_j in the fixed 8-lane pattern of bp_dot8. */
static double bp_update_dot8(ptrdiff_t n, double *w, const double *z_prev, double ds, const double *z_new) {
    vd acc[8 / VL];
    const vd d = v_set(ds);
    ptrdiff_t j = 0;
    for (int v = 0; v < 8 / VL; v++) acc[v] = (vd){0};
    for (; j + 8 <= n; j += 8)
        for (int v = 0; v < 8 / VL; v++) {
            const vd wv = v_fma(d, v_load(z_prev + j + v * VL), v_load(w + j + v * VL));
            v_store(w + j + v * VL, wv);
            acc[v] = v_fma(v_load(z_new + j + v * VL), wv, acc[v]);
        }
    for (int v = 0; j < n && v < 8 / VL; v++) {
        double rest[VL];
        const vd wv = v_fma(d, v_load_rest(z_prev + j, n - j, v), v_load_rest(w + j, n - j, v));
        v_store(rest, wv);
        for (int i = 0; i < VL && j + v * VL + i < n; i++) w[j + v * VL + i] = rest[i];
        acc[v] = v_fma(v_load_rest(z_new + j, n - j, v), wv, acc[v]);
    }
    return bp_tree8(acc);
}

#endif
