# Optimizers: one step over the flat parameter vector w, given the gradient g of the objective.
#
# One row of OPTIMIZERS per rule. A step reads and writes its slots (vectors that mirror w) and its numbers h: first the
# learning rate, then the hyper-parameters in the order of the row's `hyper`, then `n_state` running numbers (powers for the
# bias corrections), all zero at the start. Padding of w and g is zero, and every rule leaves a zero weight with a zero
# gradient at zero. Conventions are torch's.

ctypedef void (*prepare_kernel)(double *h) noexcept nogil
ctypedef void (*step_kernel)(double *w, const double *g, double *s, double *t, const double *h,
                   Py_ssize_t n) noexcept nogil

ctypedef void (*example_kernel)(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                                const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil

ctypedef void (*forward_kernel)(double *w, const double *z, const double *delta, double l2, double *s, const double *h,
                                Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld, const double *z_new, const double *b,
                                double *a) noexcept nogil

cdef extern from "online.h" nogil:
    void bp_momentum_forward(bint nesterov, Py_ssize_t n_in, Py_ssize_t width, double *W, double *s, Py_ssize_t ld,
                             const double *z, const double *delta, double l2, double eta, double mu, const double *z_new,
                             const double *S, double *a) noexcept

cdef struct Optimizer:
    const char *name
    prepare_kernel prepare        # before each step: the running numbers; NULL where there are none
    step_kernel step
    int n_slots
    const char *hyper             # names and defaults, the learning rate first: "learning_rate=0.01 momentum=0.9"
    int n_state
    bint full_batch_only
    const char *formula


cdef inline vd example_gradient(vd w, vd z, vd delta, vd l2, bint decays) noexcept nogil:
    """An element of the gradient of one example: 0 + z δ, and where `decays` the penalty's."""
    cdef vd g = v_fma(z, delta, v_set(0.0))
    return v_fma(l2, w, g) if decays else g


cdef void sgd(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd eta = v_set(h[0])
    while i < n:
        v_store(w + i, v_fma(-eta, v_load(g + i), v_load(w + i)))
        i += VL


# Momentum's passes store as much as they load: half-width vectors (simd.h). `ahead` is Nesterov's: the step looks ahead along v.

cdef inline void momentum_at(double *w, vh wi, vh g, double *s, vh eta, vh mu, bint ahead) noexcept nogil:
    cdef vh v = h_fma(mu, h_load(s), g)
    h_store(s, v)
    h_store(w, h_fma(-eta, h_fma(mu, v, g) if ahead else v, wi))

cdef inline void momentum_along(double *w, const double *g, double *s, const double *h, bint ahead, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vh eta = h_set(h[0]), mu = h_set(h[1])
    while i < n:
        momentum_at(w + i, h_load(w + i), h_load(g + i), s + i, eta, mu, ahead)
        i += HL

cdef inline void momentum_over(double *w, const double *z, const double *delta, double l2, double *s, const double *h, bint ahead,
                               Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    cdef Py_ssize_t j, i, k
    cdef vh eta = h_set(h[0]), mu = h_set(h[1]), decay = h_set(l2), zero = h_set(0.0), zj, wk, g
    for j in range(rows):
        zj = h_set(z[j])
        i, k = 0, j * ld
        while i < columns:
            wk, g = h_load(w + k), h_fma(zj, h_load(delta + i), zero)
            if l2 != 0.0:
                g = h_fma(decay, wk, g)
            momentum_at(w + k, wk, g, s + k, eta, mu, ahead)
            i += HL
            k += HL

cdef void momentum(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    momentum_along(w, g, s, h, False, n)

cdef void momentum_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                              const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    momentum_over(w, z, delta, l2, s, h, False, rows, columns, ld)

cdef void momentum_and_forward(double *w, const double *z, const double *delta, double l2, double *s, const double *h,
                               Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld, const double *z_new, const double *b,
                               double *a) noexcept nogil:
    bp_momentum_forward(False, rows, columns, w, s, ld, z, delta, l2, h[0], h[1], z_new, b, a)

cdef void nesterov(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    momentum_along(w, g, s, h, True, n)

cdef void nesterov_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                              const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    momentum_over(w, z, delta, l2, s, h, True, rows, columns, ld)


cdef void nesterov_and_forward(double *w, const double *z, const double *delta, double l2, double *s, const double *h,
                               Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld, const double *z_new, const double *b,
                               double *a) noexcept nogil:
    bp_momentum_forward(True, rows, columns, w, s, ld, z, delta, l2, h[0], h[1], z_new, b, a)


cdef inline vd root(vd a, bint by_fma) noexcept nogil:
    """The square root of a, from the divider or, with the same bits, from the multipliers: loops take them in turns."""
    return v_sqrt_by_fma(a) if by_fma else v_sqrt(a)


cdef inline void adagrad_at(double *w, const double *g, double *s, vd eta, vd eps, bint by_fma) noexcept nogil:
    cdef vd gi = v_load(g), sum_squares = v_fma(gi, gi, v_load(s))
    v_store(s, sum_squares)
    v_store(w, v_fma(-eta, gi / (root(sum_squares, by_fma) + eps), v_load(w)))

cdef void adagrad(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd eta = v_set(h[0]), eps = v_set(h[1])
    while i + VL < n:
        adagrad_at(w + i, g + i, s + i, eta, eps, False)
        adagrad_at(w + i + VL, g + i + VL, s + i + VL, eta, eps, True)
        i += 2 * VL
    if i < n:
        adagrad_at(w + i, g + i, s + i, eta, eps, False)


cdef inline void rmsprop_at(double *w, const double *g, double *s, vd eta, vd rho, vd rest, vd eps, bint by_fma) noexcept nogil:
    cdef vd gi = v_load(g), mean_square = v_fma(rho, v_load(s), rest * gi * gi)
    v_store(s, mean_square)
    v_store(w, v_fma(-eta, gi / (root(mean_square, by_fma) + eps), v_load(w)))

cdef void rmsprop(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd eta = v_set(h[0]), rho = v_set(h[1]), eps = v_set(h[2]), rest = v_set(1.0 - h[1])
    while i + VL < n:
        rmsprop_at(w + i, g + i, s + i, eta, rho, rest, eps, False)
        rmsprop_at(w + i + VL, g + i + VL, s + i + VL, eta, rho, rest, eps, True)
        i += 2 * VL
    if i < n:
        rmsprop_at(w + i, g + i, s + i, eta, rho, rest, eps, False)


cdef void next_powers(double *powers, double beta_1, double beta_2) noexcept nogil:
    """1 - β^k, the mass of a running mean after k steps: (1 - β) + β (1 - β^(k-1)), zero before the first."""
    powers[0] = (1.0 - beta_1) + beta_1 * powers[0]
    powers[1] = (1.0 - beta_2) + beta_2 * powers[1]

cdef void adam_prepare(double *h) noexcept nogil:
    next_powers(h + 4, h[1], h[2])

cdef void adamw_prepare(double *h) noexcept nogil:
    next_powers(h + 5, h[1], h[2])

cdef struct Adam:                 # a step's numbers, in all lanes
    vd eta, correction, eps, b1, b2, rest_1, rest_2, keep
    bint keeps

cdef Adam adam_numbers(const double *h, const double *powers, double epsilon, double keep) noexcept nogil:
    """`powers` hold the mass of the running means so far; `keep` is what is left of w before the step."""
    cdef Adam a
    a.eta, a.correction, a.eps, a.keep = v_set(h[0] / powers[0]), v_set(1.0 / s_sqrt(powers[1])), v_set(epsilon), v_set(keep)
    a.keeps = keep != 1.0
    a.b1, a.b2, a.rest_1, a.rest_2 = v_set(h[1]), v_set(h[2]), v_set(1.0 - h[1]), v_set(1.0 - h[2])
    return a

# `decays` and `keeps` say whether there is an l2 and an a.keep other than 1: constants, for which a loop is compiled apiece.

cdef inline void adam_at(double *w, vd wi, vd g, double *s, double *t, const Adam *a, bint keeps, bint by_fma) noexcept nogil:
    """m and v are running means of g and g²."""
    cdef vd m = v_fma(a.b1, v_load(s), a.rest_1 * g)
    cdef vd v = v_fma(a.b2, v_load(t), a.rest_2 * g * g)
    v_store(s, m)
    v_store(t, v)
    v_store(w, v_fma(-a.eta, m / v_fma(root(v, by_fma), a.correction, a.eps), wi * a.keep if keeps else wi))

cdef inline void adam_along(double *w, const double *g, double *s, double *t, const Adam *a, bint keeps,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i + VL < n:
        adam_at(w + i, v_load(w + i), v_load(g + i), s + i, t + i, a, keeps, False)
        adam_at(w + i + VL, v_load(w + i + VL), v_load(g + i + VL), s + i + VL, t + i + VL, a, keeps, True)
        i += 2 * VL
    if i < n:
        adam_at(w + i, v_load(w + i), v_load(g + i), s + i, t + i, a, keeps, False)

cdef void adam_update(double *w, const double *g, double *s, double *t, Adam a, Py_ssize_t n) noexcept nogil:
    if a.keeps:
        adam_along(w, g, s, t, &a, True, n)
    else:
        adam_along(w, g, s, t, &a, False, n)

cdef inline void adam_at_weight(double *w, vd z, const double *delta, vd l2, double *s, double *t, const Adam *a, bint decays,
                                bint keeps, bint by_fma) noexcept nogil:
    cdef vd wi = v_load(w)
    adam_at(w, wi, example_gradient(wi, z, v_load(delta), l2, decays), s, t, a, keeps, by_fma)

cdef inline void adam_over(double *w, const double *z, const double *delta, vd l2, double *s, double *t, const Adam *a,
                           bint decays, bint keeps, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    cdef Py_ssize_t j, i, k
    cdef vd zj
    for j in range(rows):
        i, k = 0, j * ld
        zj = v_set(z[j])
        while i + VL < columns:
            adam_at_weight(w + k, zj, delta + i, l2, s + k, t + k, a, decays, keeps, False)
            adam_at_weight(w + k + VL, zj, delta + i + VL, l2, s + k + VL, t + k + VL, a, decays, keeps, True)
            i += 2 * VL
            k += 2 * VL
        if i < columns:
            if j & 1:
                adam_at_weight(w + k, zj, delta + i, l2, s + k, t + k, a, decays, keeps, True)
            else:
                adam_at_weight(w + k, zj, delta + i, l2, s + k, t + k, a, decays, keeps, False)

cdef void adam_update_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t, Adam a,
                                 Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    cdef vd decay = v_set(l2)
    if a.keeps:
        if l2 != 0.0:
            adam_over(w, z, delta, decay, s, t, &a, True, True, rows, columns, ld)
        else:
            adam_over(w, z, delta, decay, s, t, &a, False, True, rows, columns, ld)
    elif l2 != 0.0:
        adam_over(w, z, delta, decay, s, t, &a, True, False, rows, columns, ld)
    else:
        adam_over(w, z, delta, decay, s, t, &a, False, False, rows, columns, ld)

cdef Adam of_adam(const double *h) noexcept nogil:
    return adam_numbers(h, h + 4, h[3], 1.0)

cdef Adam of_adam_eps_hat(const double *h) noexcept nogil:
    return adam_numbers(h, h + 4, h[3] / s_sqrt(h[5]), 1.0)

cdef Adam of_adamw(const double *h) noexcept nogil:
    return adam_numbers(h, h + 5, h[3], 1.0 - h[0] * h[4])

cdef void adam(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    adam_update(w, g, s, t, of_adam(h), n)

cdef void adam_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                          const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    adam_update_by_example(w, z, delta, l2, s, t, of_adam(h), rows, columns, ld)

cdef void adam_eps_hat(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    adam_update(w, g, s, t, of_adam_eps_hat(h), n)

cdef void adam_eps_hat_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                                  const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    adam_update_by_example(w, z, delta, l2, s, t, of_adam_eps_hat(h), rows, columns, ld)

cdef void adamw(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    adam_update(w, g, s, t, of_adamw(h), n)

cdef void adamw_by_example(double *w, const double *z, const double *delta, double l2, double *s, double *t,
                           const double *h, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld) noexcept nogil:
    adam_update_by_example(w, z, delta, l2, s, t, of_adamw(h), rows, columns, ld)


cdef void rprop(double *w, const double *g, double *s, double *t, const double *h, Py_ssize_t n) noexcept nogil:
    """iRprop- (Igel and Hüsken 2000): s holds the last gradient, t the step of each weight, 0 standing for the first."""
    cdef Py_ssize_t i
    cdef double shrink = h[1], grow = h[2], step_min = h[3], step_max = h[4], gi, step, agree
    for i in range(n):
        gi = g[i]
        step = t[i] if t[i] > 0.0 else h[0]
        agree = gi * s[i]
        if agree > 0.0:
            step = min(step * grow, step_max)
        elif agree < 0.0:
            step = max(step * shrink, step_min)
            gi = 0.0
        if gi > 0.0:
            w[i] = w[i] - step
        elif gi < 0.0:
            w[i] = w[i] + step
        s[i] = gi
        t[i] = step


cdef enum:
    N_OPTIMIZERS = 9

cdef Optimizer[N_OPTIMIZERS] OPTIMIZERS
OPTIMIZERS[0] = Optimizer(b"sgd", NULL, sgd, 0, b"learning_rate=0.1", 0, False, b"w -= eta g")
OPTIMIZERS[1] = Optimizer(b"momentum", NULL, momentum, 1, b"learning_rate=0.01 momentum=0.9", 0, False,
                          b"v = momentum v + g;  w -= eta v")
OPTIMIZERS[2] = Optimizer(b"nesterov", NULL, nesterov, 1, b"learning_rate=0.01 momentum=0.9", 0, False,
                          b"v = momentum v + g;  w -= eta (g + momentum v)")
OPTIMIZERS[3] = Optimizer(b"adagrad", NULL, adagrad, 1, b"learning_rate=0.01 eps=1e-10", 0, False,
                          b"s += g^2;  w -= eta g / (sqrt(s) + eps)")
OPTIMIZERS[4] = Optimizer(b"rmsprop", NULL, rmsprop, 1, b"learning_rate=0.001 rho=0.99 eps=1e-8", 0, False,
                          b"s = rho s + (1 - rho) g^2;  w -= eta g / (sqrt(s) + eps)")
OPTIMIZERS[5] = Optimizer(b"adam", adam_prepare, adam, 2, b"learning_rate=0.001 beta_1=0.9 beta_2=0.999 eps=1e-8", 2, False,
                          b"m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;  "
                          b"w -= eta / (1 - beta_1^k) m / (sqrt(v / (1 - beta_2^k)) + eps) in step k")
OPTIMIZERS[6] = Optimizer(b"adamw", adamw_prepare, adamw, 2, b"learning_rate=0.001 beta_1=0.9 beta_2=0.999 eps=1e-8 weight_decay=0.01", 2,
                          False, b"w -= eta weight_decay w before the step of adam")
OPTIMIZERS[7] = Optimizer(b"rprop", NULL, rprop, 2, b"learning_rate=0.01 shrink=0.5 grow=1.2 step_min=1e-6 step_max=50.0", 0,
                          True, b"a step size per weight: grows where the gradient keeps its sign, shrinks where it flips "
                          b"(and that step is skipped);  w -= step sign(g)")
OPTIMIZERS[8] = Optimizer(b"adam_eps_hat", adam_prepare, adam_eps_hat, 2, b"learning_rate=0.001 beta_1=0.9 beta_2=0.999 eps=1e-8",
                          2, False, b"w -= eta sqrt(1 - beta_2^k) / (1 - beta_1^k) m / (sqrt(v) + eps), m and v as in adam")

# The step of (rows, columns) weights, ld doubles from row to row, from the gradient of one example, g = z^T delta + l2 w, in
# one pass; NULL: g is made first.
cdef example_kernel[N_OPTIMIZERS] BY_EXAMPLE
BY_EXAMPLE[1] = momentum_by_example
BY_EXAMPLE[2] = nesterov_by_example
BY_EXAMPLE[5] = adam_by_example
BY_EXAMPLE[6] = adamw_by_example
BY_EXAMPLE[8] = adam_eps_hat_by_example

# The same, and a = b + z_new W with the new weights, which feeds the next example forward; NULL: another pass does it.
cdef forward_kernel[N_OPTIMIZERS] AND_FORWARD
AND_FORWARD[1] = momentum_and_forward
AND_FORWARD[2] = nesterov_and_forward


def optimizers():
    """The table of optimizers: a list of dicts in table order; `hyper` maps names to defaults, learning rate first."""
    return [{"name": OPTIMIZERS[i].name.decode(), "n_slots": OPTIMIZERS[i].n_slots, "n_state": OPTIMIZERS[i].n_state,
             "hyper": {key: float(value) for key, value in
                       (pair.split("=") for pair in OPTIMIZERS[i].hyper.decode().split())},
             "full_batch_only": bool(OPTIMIZERS[i].full_batch_only), "formula": OPTIMIZERS[i].formula.decode()}
            for i in range(N_OPTIMIZERS)]
