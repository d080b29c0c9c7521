# Training in batches: feedforward, deltas, gradients and one step of the optimizer, batch after batch.

cdef struct Task:                 # what one call trains on, and how
    const double *X               # (n, n_0)
    const double *Y               # (n, n_L)
    const double *weight          # (n,) weights of the examples, mean 1; NULL for all 1
    const Py_ssize_t *order       # the examples in the order of their visits
    const Optimizer *optimizer
    double *h                     # the optimizer's numbers, learning rate first
    double *s                     # its slots, each like the parameter vector, or NULL
    double *t
    double *gradient              # (n_padded,) scratch
    double l1, l2, clip_norm      # clip_norm = 0: no clipping
    bint plain                    # gradient descent itself (sgd, no penalty, no clipping): the update is fused


cdef inline double weight_of(const Task *task, Py_ssize_t i) noexcept nogil:
    return task.weight[i] if task.weight != NULL else 1.0


cdef void gather_inputs(const Network *net, const Work *work, const Task *task, Py_ssize_t start,
                        Py_ssize_t B) noexcept nogil:
    cdef Py_ssize_t r, n_0 = net.layer[1].n_in
    for r in range(B):
        memcpy(work.x + r * n_0, task.X + task.order[start + r] * n_0, n_0 * sizeof(double))


cdef void add_block(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t rows,
                    Py_ssize_t B, double *target, double *loss) noexcept nogil:
    """Feedforward, deltas and gradients (-η times them for plain descent) of `rows` examples of a batch of B.

    The examples' w_i C_i are added to `loss` one by one, so that no split into batches or calls changes the sum.
    """
    cdef Py_ssize_t r, ld = pad8(net.layer[net.L].n_out)
    cdef double w
    gather_inputs(net, work, task, start, rows)
    gather_targets(net, work, task.Y, task.order, start, rows)
    feedforward(net, work, work.x, net.layer[1].n_in, rows)
    for r in range(rows):
        w = weight_of(task, task.order[start + r])
        loss[0] += w * output_delta(net, work.a[net.L] + r * ld, work.z[net.L] + r * ld, work.y + r * ld, w / B,
                                    work.terms, work.delta[net.L] + r * ld)
    hidden_deltas(net, work, rows)
    if task.plain:
        scale_deltas(net, work, -task.h[0], rows)
    add_gradients(net, work, work.x, net.layer[1].n_in, rows, target)


cdef void add_penalty(const Network *net, double l1, double l2, double *gradient) noexcept nogil:
    """gradient += l2 W + l1 sign(W): the penalty's gradient, biases excluded."""
    cdef Py_ssize_t l, i, stop
    cdef vd w, g, zero = v_set(0.0)
    for l in range(1, net.L + 1):
        i = net.layer[l].W_start
        stop = net.layer[l].b_start
        while i < stop:
            w = v_load(net.parameters + i)
            g = v_fma(v_set(l2), w, v_load(gradient + i))
            v_store(gradient + i, g + v_where_positive(w, v_set(l1), v_where_positive(-w, v_set(-l1), zero)))
            i += VL


cdef void clip(double *gradient, double limit, Py_ssize_t n) noexcept nogil:
    """gradient *= limit / ‖gradient‖ where the norm exceeds the limit."""
    cdef double norm = s_sqrt(bp_dot8(gradient, gradient, n))
    cdef Py_ssize_t i = 0
    if norm > limit:
        while i < n:
            v_store(gradient + i, v_load(gradient + i) * v_set(limit / norm))
            i += VL


cdef bint weighs_nothing(const Task *task, Py_ssize_t start, Py_ssize_t B) noexcept nogil:
    cdef Py_ssize_t r
    if task.weight == NULL:
        return False
    for r in range(B):
        if task.weight[task.order[start + r]] != 0.0:
            return False
    return True


cdef void train_batch(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t B,
                      double *loss) noexcept nogil:
    """One step on the batch order[start : start + B]; loss += Σ w_i C_i before the step.

    A batch of more rows than the buffers hold goes through them in blocks: its chains run on from block to block, in a
    copy of the parameters when they are the target, because every delta wants the weights before the step.
    """
    cdef double *target = task.gradient
    cdef Py_ssize_t done = 0, rows
    if weighs_nothing(task, start, B):
        return
    if task.plain and B <= work.rows:
        target = net.parameters
    elif task.plain:
        memcpy(target, net.parameters, net.n_padded * sizeof(double))
    else:
        memset(target, 0, net.n_padded * sizeof(double))
    while done < B:
        rows = min(work.rows, B - done)
        add_block(net, work, task, start + done, rows, B, target, loss)
        done += rows
    if task.plain and target != net.parameters:
        memcpy(net.parameters, target, net.n_padded * sizeof(double))
    elif not task.plain:
        if task.l1 != 0.0 or task.l2 != 0.0:
            add_penalty(net, task.l1, task.l2, task.gradient)
        if task.clip_norm > 0.0:
            clip(task.gradient, task.clip_norm, net.n_padded)
        task.optimizer.step(net.parameters, task.gradient, task.s, task.t, task.h, net.n_padded)


cdef void train_rows(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t stop,
                     Py_ssize_t batch_size, double *loss) noexcept nogil:
    """Batch after batch over order[start : stop], the last one ragged; loss += Σ w_i C_i."""
    while start < stop:
        train_batch(net, work, task, start, min(batch_size, stop - start), loss)
        start += batch_size
