# The perceptron: net inputs, the stochastic rule, the batch rule, the pocket.
#
#   a_i = w·x_i + b          net input, by bp_dot8
#   d_i = y_i a_i            margin, y_i in {-1, +1}; d_i <= 0 is a mistake, and so is NaN (hence `not d > 0`)
#   error(w, b) = -Σ_M c_i d_i            over the mistakes M, with c_i the weight of example i
#   stochastic:  w := w + η c_i y_i x_i,  b := b + η c_i y_i          on each mistake
#   batch:       w := w + η Σ_M c_i y_i x_i,  b := b + η Σ_M c_i y_i  = one step down the gradient of error(w, b)
#
# W has one row per problem: one for two classes, k one-versus-rest problems for k > 2 classes. Each problem has its own
# mistakes and weights and takes no notice of the others; they share the visits, so that a row is fetched once for all.
#
# AVERAGE  The mean of w_1, ..., w_T, w_t as it stands after visit t, is w_T - (1/T) Σ (t - 1) Δ_t: the step Δ_t is
# part of T - t + 1 of the T terms. So only a mistake costs anything: `drift` takes up (t - 1) Δ_t.
#
# POCKET  Every weight vector that training passes is counted, exactly, but only until it has as many errors as the
# pocket. `scan` is the order in which a problem's rows are counted; a row that was wrong moves half-way to the front,
# so that most counts end after little more than the pocket's own errors. The order changes the time of a count, not
# its result.
#
# SLICES  A call ends when it has spent about `budget` multiply-adds, and the next goes on from `at`, even in mid-count.

cdef extern from "perceptron.h" nogil:
    ctypedef struct bp_narrow:
        const double *X
        const Py_ssize_t *label
        const double *weight
        Py_ssize_t d
        double eta0
        int fit_intercept
        double *w
        double *b
        double *error
        Py_ssize_t *mistakes
    int BP_NARROW
    void bp_narrow_visits(const bp_narrow *p, const Py_ssize_t *order, Py_ssize_t count, Py_ssize_t ahead,
                          Py_ssize_t last) noexcept

cdef enum:
    PERCEPTRON_DONE = 0         # all epochs of the call are done
    PERCEPTRON_MORE = 1         # the budget is spent: call again
    PERCEPTRON_CONVERGED = 2    # an epoch made no mistake
    PREFETCH_DOUBLES = 256      # how far ahead of the visit rows are asked for
    VISIT_COST = 16             # what a visit costs beside its multiply-adds, in multiply-adds

cdef struct perceptron_run:
    Py_ssize_t m                # rows of an epoch (those of positive weight)
    Py_ssize_t d                # features
    Py_ssize_t k                # problems
    const double *X             # (n, d)
    const Py_ssize_t *label     # (n,) index of the class
    const double *weight        # (n,) c_i
    double eta0
    bint fit_intercept
    double *W                   # (k, d)
    double *b                   # (k,)
    double *G                   # (k, d) batch rule: Σ_M c_i y_i x_i
    double *g                   # (k,)   and Σ_M c_i y_i
    double *wrong               # (k,)   and Σ_M c_i
    bint average
    double *drift_W             # (k, d)
    double *drift_b             # (k,)
    double *visits              # (1,) T
    bint pocket
    double *pocket_W            # (k, d)
    double *pocket_b            # (k,)
    double *fewest              # (k,) weight of the pocket's errors
    Py_ssize_t *scan            # (k, m)
    double *counted             # (1,) errors so far of the count that goes on
    Py_ssize_t *at              # (4,) epoch, row, problem; place in scan or -1
    double *error               # (epochs,)
    Py_ssize_t *mistakes        # (epochs,)
    Py_ssize_t budget


cdef inline double perceptron_target(const perceptron_run *r, Py_ssize_t i, Py_ssize_t c) noexcept nogil:
    """y_i in problem c: +1 for class c, or for the second of two classes."""
    return 1.0 if r.label[i] == c + (r.k == 1) else -1.0


cdef inline double perceptron_margin(const perceptron_run *r, Py_ssize_t i, Py_ssize_t c) noexcept nogil:
    """d_i = y_i (w·x_i + b) in problem c."""
    return perceptron_target(r, i, c) * (bp_dot8(r.X + i * r.d, r.W + c * r.d, r.d) + r.b[c])


cdef inline void perceptron_add(double step, const double *x, double *w, Py_ssize_t d) noexcept nogil:
    """w := w + step x."""
    cdef Py_ssize_t j = 0
    cdef vd s = v_set(step)
    while j + VL <= d:
        v_store(w + j, v_fma(s, v_load(x + j), v_load(w + j)))
        j += VL
    while j < d:
        w[j] = s_fma(step, x[j], w[j])
        j += 1


cdef void perceptron_keep(perceptron_run *r, Py_ssize_t c, double errors) noexcept nogil:
    """Put the weights of problem c into the pocket."""
    memcpy(r.pocket_W + c * r.d, r.W + c * r.d, r.d * sizeof(double))
    r.pocket_b[c] = r.b[c]
    r.fewest[c] = errors


cdef bint perceptron_count(perceptron_run *r, Py_ssize_t c) noexcept nogil:
    """Go on counting the errors of problem c, keep its weights if they are fewer; False where the budget ends first."""
    cdef Py_ssize_t *scan = r.scan + c * r.m
    cdef Py_ssize_t p = r.at[3], i
    cdef double errors = r.counted[0]
    while p < r.m and errors < r.fewest[c]:
        if r.budget <= 0:
            r.at[3] = p
            r.counted[0] = errors
            return False
        i = scan[p]
        if not perceptron_margin(r, i, c) > 0:
            errors += r.weight[i]
            scan[p] = scan[p >> 1]
            scan[p >> 1] = i
        p += 1
        r.budget -= r.d + VISIT_COST
    if errors < r.fewest[c]:
        perceptron_keep(r, c, errors)
    r.at[3] = -1
    r.counted[0] = 0
    return True


cdef inline void perceptron_learn(perceptron_run *r, Py_ssize_t i, Py_ssize_t c, Py_ssize_t epoch,
                                  const double *soon) noexcept nogil:
    """One visit of row i in problem c; the row at `soon` is fetched on the way."""
    cdef double net_input = bp_dot8_soon(r.X + i * r.d, r.W + c * r.d, r.d, soon) + r.b[c]
    cdef double margin = perceptron_target(r, i, c) * net_input, step
    if margin > 0:
        return
    r.mistakes[epoch] += 1
    r.error[epoch] -= r.weight[i] * margin
    step = r.eta0 * r.weight[i] * perceptron_target(r, i, c)
    perceptron_add(step, r.X + i * r.d, r.W + c * r.d, r.d)
    if r.fit_intercept:
        r.b[c] += step
    if r.average:
        step *= r.visits[0] - 1
        perceptron_add(step, r.X + i * r.d, r.drift_W + c * r.d, r.d)
        if r.fit_intercept:
            r.drift_b[c] += step
    if r.pocket:
        r.at[3] = 0


cdef void perceptron_narrow(perceptron_run *r, const Py_ssize_t *order, Py_ssize_t epoch, Py_ssize_t ahead,
                            Py_ssize_t last) noexcept nogil:
    """perceptron_learn for the rest of the epoch, or what the budget allows of it, with the weights in registers."""
    cdef Py_ssize_t cost = r.d + VISIT_COST, t = epoch * r.m + r.at[1]
    cdef Py_ssize_t count = min(r.m - r.at[1], max((r.budget + cost - 1) // cost, 1))
    cdef bp_narrow p
    p.X, p.label, p.weight, p.d = r.X, r.label, r.weight, r.d
    p.eta0, p.fit_intercept, p.w, p.b = r.eta0, r.fit_intercept, r.W, r.b
    p.error, p.mistakes = r.error + epoch, r.mistakes + epoch
    bp_narrow_visits(&p, order + t, count, ahead, last - t)
    r.at[1] += count
    r.budget -= count * cost


cdef int perceptron_stochastic_epochs(perceptron_run *r, const Py_ssize_t *order, Py_ssize_t epochs) noexcept nogil:
    """Visit rows order[epoch * m + 0..m-1] until the epochs are done, one makes no mistake, or the budget is spent."""
    cdef Py_ssize_t epoch, t, c, i, next_row, ahead = 1 + PREFETCH_DOUBLES // r.d, last = epochs * r.m - 1
    cdef const double *soon
    cdef bint narrow = r.k == 1 and r.d <= BP_NARROW and not r.average and not r.pocket
    while r.at[0] < epochs:
        epoch = r.at[0]
        while r.at[1] < r.m:
            if narrow:
                perceptron_narrow(r, order, epoch, ahead, last)
                if r.budget <= 0:
                    return PERCEPTRON_MORE
                continue
            t = epoch * r.m + r.at[1]
            i = order[t]
            next_row = order[min(t + ahead, last)]
            soon = r.X + next_row * r.d
            bp_soon(r.label + next_row)
            bp_soon(r.weight + next_row)
            for c in range(r.at[2], r.k):
                if r.at[3] < 0:
                    if c == 0 and r.average:
                        r.visits[0] += 1
                    perceptron_learn(r, i, c, epoch, soon)
                if r.at[3] >= 0 and not perceptron_count(r, c):
                    r.at[2] = c
                    return PERCEPTRON_MORE
            r.at[2] = 0
            r.at[1] += 1
            r.budget -= r.k * r.d + VISIT_COST
            if r.budget <= 0:
                return PERCEPTRON_MORE
        r.at[1] = 0
        r.at[0] += 1
        if r.mistakes[epoch] == 0:
            return PERCEPTRON_CONVERGED
    return PERCEPTRON_DONE


cdef void perceptron_gather(perceptron_run *r, Py_ssize_t i, Py_ssize_t epoch) noexcept nogil:
    """Add row i to the sums of the batch rule, in every problem that it is a mistake of."""
    cdef Py_ssize_t c
    cdef double margin, step
    for c in range(r.k):
        margin = perceptron_margin(r, i, c)
        if margin > 0:
            continue
        r.mistakes[epoch] += 1
        r.error[epoch] -= r.weight[i] * margin
        step = r.weight[i] * perceptron_target(r, i, c)
        perceptron_add(step, r.X + i * r.d, r.G + c * r.d, r.d)
        r.g[c] += step
        r.wrong[c] += r.weight[i]


cdef void perceptron_batch_step(perceptron_run *r) noexcept nogil:
    """Offer the weights to the pocket, whose errors the epoch has just counted; then step and clear the sums."""
    cdef Py_ssize_t c
    r.visits[0] += 1
    for c in range(r.k):
        if r.pocket and r.wrong[c] < r.fewest[c]:
            perceptron_keep(r, c, r.wrong[c])
        if not r.fit_intercept:
            r.g[c] = 0
        perceptron_add(r.eta0, r.G + c * r.d, r.W + c * r.d, r.d)
        r.b[c] = s_fma(r.eta0, r.g[c], r.b[c])
        if r.average:
            perceptron_add(r.eta0 * (r.visits[0] - 1), r.G + c * r.d, r.drift_W + c * r.d, r.d)
            r.drift_b[c] = s_fma(r.eta0 * (r.visits[0] - 1), r.g[c], r.drift_b[c])
    memset(r.G, 0, r.k * r.d * sizeof(double))
    memset(r.g, 0, r.k * sizeof(double))
    memset(r.wrong, 0, r.k * sizeof(double))


cdef bint perceptron_gather_all(perceptron_run *r, const Py_ssize_t *rows, Py_ssize_t epoch) noexcept nogil:
    """Gather rows[0..m-1], from where the last slice ended; False where the budget ends first."""
    while r.at[1] < r.m:
        if r.budget <= 0:
            return False
        perceptron_gather(r, rows[r.at[1]], epoch)
        r.at[1] += 1
        r.budget -= r.k * r.d + VISIT_COST
    return True


cdef int perceptron_batch_epochs(perceptron_run *r, const Py_ssize_t *rows, Py_ssize_t epochs) noexcept nogil:
    """Full-batch epochs over rows[0..m-1], ended as in perceptron_stochastic_epochs."""
    cdef Py_ssize_t epoch
    while r.at[0] < epochs:
        epoch = r.at[0]
        if not perceptron_gather_all(r, rows, epoch):
            return PERCEPTRON_MORE
        perceptron_batch_step(r)
        r.at[1] = 0
        r.at[0] += 1
        if r.mistakes[epoch] == 0:
            return PERCEPTRON_CONVERGED
        if r.budget <= 0:
            return PERCEPTRON_MORE
    return PERCEPTRON_DONE


cdef int perceptron_offer_all(perceptron_run *r) noexcept nogil:
    """Count the errors of the present weights of every problem and keep those with fewer than the pocket."""
    while r.at[2] < r.k:
        if r.at[3] < 0:
            r.at[3] = 0
        if not perceptron_count(r, r.at[2]):
            return PERCEPTRON_MORE
        r.at[2] += 1
    r.at[2] = 0
    return PERCEPTRON_DONE


cdef perceptron_run perceptron_plan(run, Py_ssize_t budget):
    """The C view of a `backprop.perceptron._Run`, whose arrays live as long as the call."""
    cdef const double[:, ::1] X = run.X
    cdef const Py_ssize_t[::1] label = run.label
    cdef const double[::1] weight = run.weight
    cdef double[:, ::1] W = run.W, G = run.G, drift_W = run.drift_W, pocket_W = run.pocket_W
    cdef double[::1] b = run.b, g = run.g, wrong = run.wrong, drift_b = run.drift_b, visits = run.visits
    cdef double[::1] pocket_b = run.pocket_b, fewest = run.fewest, counted = run.counted, error = run.error
    cdef Py_ssize_t[:, ::1] scan = run.scan
    cdef Py_ssize_t[::1] at = run.at, mistakes = run.mistakes
    cdef perceptron_run r
    r.m, r.d, r.k = run.m, X.shape[1], W.shape[0]
    r.X, r.label, r.weight = &X[0, 0], &label[0], &weight[0]
    r.eta0, r.fit_intercept, r.average, r.pocket = run.eta0, run.fit_intercept, run.average, run.pocket
    r.W, r.b, r.G, r.g, r.wrong = &W[0, 0], &b[0], &G[0, 0], &g[0], &wrong[0]
    r.drift_W, r.drift_b, r.visits = &drift_W[0, 0], &drift_b[0], &visits[0]
    r.pocket_W, r.pocket_b, r.fewest = &pocket_W[0, 0], &pocket_b[0], &fewest[0]
    r.scan, r.counted, r.at = &scan[0, 0], &counted[0], &at[0]
    r.error, r.mistakes, r.budget = &error[0], &mistakes[0], budget
    return r


def perceptron_stochastic(run, const Py_ssize_t[:, ::1] order, Py_ssize_t budget):
    """A slice of stochastic epochs over order (epochs, m); 0 all done, 1 call again, 2 an epoch made no mistake."""
    cdef perceptron_run r = perceptron_plan(run, budget)
    cdef int status
    with nogil:
        status = perceptron_stochastic_epochs(&r, &order[0, 0], order.shape[0])
    return status


def perceptron_batch(run, const Py_ssize_t[::1] rows, Py_ssize_t epochs, Py_ssize_t budget):
    """A slice of full-batch epochs over rows (m,); the status is that of perceptron_stochastic."""
    cdef perceptron_run r = perceptron_plan(run, budget)
    cdef int status
    with nogil:
        status = perceptron_batch_epochs(&r, &rows[0], epochs)
    return status


def perceptron_gather_part(run, const Py_ssize_t[::1] rows, Py_ssize_t budget):
    """A slice of the sums of one full-batch epoch over rows (m,), a part of all; 0 done, 1 call again."""
    cdef perceptron_run r = perceptron_plan(run, budget)
    cdef bint done
    with nogil:
        done = perceptron_gather_all(&r, &rows[0], 0)
    return PERCEPTRON_DONE if done else PERCEPTRON_MORE


def perceptron_step(run):
    """The step of the batch rule, by the sums that perceptron_gather_part has left."""
    cdef perceptron_run r = perceptron_plan(run, 0)
    with nogil:
        perceptron_batch_step(&r)


def perceptron_offer(run, Py_ssize_t budget):
    """Offer the present weights to the pocket; 0 done, 1 call again."""
    cdef perceptron_run r = perceptron_plan(run, budget)
    cdef int status
    with nogil:
        status = perceptron_offer_all(&r)
    return status


def perceptron_net_inputs(const double[:, ::1] X, const double[:, ::1] W, const double[::1] b, double[:, ::1] A):
    """A (n, k) := X (n, d) Wᵀ (d, k) + b (k,)."""
    cdef Py_ssize_t n = X.shape[0], d = X.shape[1], k = W.shape[0], i, c
    with nogil:
        for i in range(n):
            for c in range(k):
                A[i, c] = bp_dot8(&X[i, 0], &W[c, 0], d) + b[c]
