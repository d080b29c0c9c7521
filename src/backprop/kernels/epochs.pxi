# One call of the core: an epoch, a part of one, or many, without the GIL; and the lecture's inner loop alone.

cdef bint all_finite(const double *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd bad = v_set(0.0)
    while i < n:                  # 0 · x is NaN where x is not finite, and a NaN in a sum stays
        bad = bad + v_load(x + i) * 0.0
        i += VL
    return v_all_zero(bad)


cdef enum:
    TRAINED = 0
    DIVERGED = 1


cdef Sparse nonzero_of(lists) except *:
    """The lists of non-zero inputs, (starts, index, x) as count_nonzero and gather_nonzero make them; None: X is dense."""
    cdef Sparse sparse
    cdef const int64_t[::1] starts
    cdef const int32_t[::1] index
    cdef const double[::1] x
    sparse.starts = NULL
    sparse.index = NULL
    sparse.x = NULL
    if lists is not None:
        starts, index, x = lists
        sparse.starts = &starts[0]
        if x.shape[0] > 0:
            sparse.index = &index[0]
            sparse.x = &x[0]
    return sparse


def train(plan, task, const Py_ssize_t[::1] order, Py_ssize_t rows_per_epoch, double[::1] losses):
    """Train over `order`, whose rows fall into epochs (or one part of an epoch) of `rows_per_epoch` visits each.

    `task` is a `backprop.training.Task`. Σ w_i C_i over part e is added to losses[e], each example before its update.
    Returns (status, parts): parts trained until a loss or a parameter was not finite (DIVERGED), or all (TRAINED).
    """
    cdef const Network *net = network_of(plan)
    cdef const double[:, ::1] X = task.X
    cdef const double[:, ::1] Y = task.Y
    cdef const double[::1] weight = task.weight
    cdef double[::1] h = task.numbers
    cdef double[:, ::1] slots = task.slots
    cdef double[::1] gradient = task.gradient
    cdef double[::1] memory = task.memory, online_memory
    cdef Py_ssize_t batch_size = task.batch_size, e = 0, parts = losses.shape[0]
    cdef bint online
    cdef Work work
    cdef Online o
    cdef Sparse sparse
    cdef Task c
    cdef int status = TRAINED
    c.X, c.Y, c.order = &X[0, 0], &Y[0, 0], &order[0]
    c.weight = NULL
    if weight is not None:
        c.weight = &weight[0]
    c.optimizer = &OPTIMIZERS[<Py_ssize_t>task.optimizer]
    c.h = &h[0]
    c.s = &slots[0, 0] if c.optimizer.n_slots > 0 else NULL
    c.t = &slots[1, 0] if c.optimizer.n_slots > 1 else NULL
    c.gradient = &gradient[0]
    c.l1, c.l2, c.clip_norm = task.l1, task.l2, task.clip_norm
    c.plain = c.optimizer.step == sgd and c.l1 == 0.0 and c.l2 == 0.0 and c.clip_norm == 0.0
    carve(net, &work, &memory[0], task.block)
    online = c.plain and batch_size == 1
    if online:
        online_memory = task.online_memory
        carve_online(net, &o, &online_memory[0])
        sparse = nonzero_of(task.nonzero)
    with nogil:
        while e < parts and status == TRAINED:
            if online:
                train_online(net, &work, &c, &sparse, &o, e * rows_per_epoch, (e + 1) * rows_per_epoch, &losses[e])
            else:
                train_rows(net, &work, &c, e * rows_per_epoch, (e + 1) * rows_per_epoch, batch_size, &losses[e])
            if losses[e] - losses[e] != 0.0 or not all_finite(net.parameters, net.n_padded):
                status = DIVERGED
            else:
                e += 1
    return status, e


cdef bint can_update(const Network *net, const Work *work, double loss) noexcept nogil:
    """Whether one example's loss is finite and its updates are so small that no sensible weight can overflow."""
    cdef Py_ssize_t l
    cdef double size = 0.0
    for l in range(1, net.L + 1):
        size += bp_dot8(work.delta[l], work.delta[l], net.layer[l].n_out)
    return loss - loss == 0.0 and size < 1e300


cdef double learn_example(const Network *net, const Work *work, const double *x, const double *y,
                          double eta) noexcept nogil:
    """Feedforward, δ[L], δ[l], W[l] := W[l] - η z[l-1]ᵀ δ[l]; returns C before, or NaN and changes nothing."""
    cdef double loss
    feedforward(net, work, x, net.layer[1].n_in, 1)
    gather_targets(net, work, y, NULL, 0, 1)
    loss = output_delta(net, work.a[net.L], work.z[net.L], work.y, 1.0, work.terms, work.delta[net.L])
    hidden_deltas(net, work, 1)
    scale_deltas(net, work, -eta, 1)
    if not can_update(net, work, loss):
        return NAN
    add_gradients(net, work, x, net.layer[1].n_in, 1, net.parameters)
    return loss


def is_finite(const double[::1] x):
    """Whether all of x (its length a multiple of 8) is finite."""
    return bool(all_finite(&x[0], x.shape[0]))
