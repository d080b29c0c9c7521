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
    double max_norm               # of the incoming weights of a unit; 0: any
    Dropout dropout
    bint plain                    # gradient descent itself (sgd, no penalty, no clipping): the update is fused


cdef inline double weight_of(const Task *task, Py_ssize_t i) noexcept nogil:
    return task.weight[i] if task.weight != NULL else 1.0


cdef const double *batch_inputs(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t B,
                                const Share *who) noexcept nogil:
    """Inputs of order[start : start + B] side by side: where they lie if that is so, else gathered in work.x."""
    cdef Py_ssize_t r, n_0 = net.layer[1].n_in, first = task.order[start]
    cdef bint consecutive = True
    for r in range(1, B):
        consecutive = consecutive and task.order[start + r] == first + r
    if consecutive:
        return task.X + first * n_0
    for r in range(part(B, who.t, who.T), part(B, who.t + 1, who.T)):
        memcpy(work.x + r * n_0, task.X + task.order[start + r] * n_0, n_0 * sizeof(double))
    return work.x


cdef void gather_batch_targets(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t B,
                               const Share *who) noexcept nogil:
    cdef Py_ssize_t r, n_L = net.layer[net.L].n_out
    for r in range(part(B, who.t, who.T), part(B, who.t + 1, who.T)):
        bp_copy_row(work.y + r * pad8(n_L), task.Y + task.order[start + r] * n_L, n_L)


cdef void output_deltas(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t rows,
                        Py_ssize_t B, const Share *who) noexcept nogil:
    """δ[L] of the rows, scaled by w_i / B (times -η for plain descent), and their losses: output_delta, row by row.

    Where σ does not mix the units of a row, and for softmax under its own loss, all rows go through each kernel at once.
    """
    cdef const Layer *layer = &net.layer[net.L]
    cdef Py_ssize_t r, ld = pad8(layer.n_out), first = part(rows, who.t, who.T), stop = part(rows, who.t + 1, who.T)
    cdef double factor = -task.h[0] if task.plain else 1.0, scale
    cdef const double *a = work.a[net.L]
    cdef const double *z = work.z[net.L]
    cdef double *delta = work.delta[net.L]
    cdef bint softmax_loss = net.loss.terms == log_loss_softmax, whole = softmax_loss or not layer.activation.rowwise
    if softmax_loss:
        r = first * ld
        log_loss_softmax_rows(a + r, z + r, work.y + r, work.terms + r, delta + r, ld, stop - first, work.losses + first)
    elif whole:
        r = first * ld
        net.loss.terms(a + r, z + r, work.y + r, work.terms + r, delta + r, (stop - first) * ld)
        if not net.loss.from_net_input:
            layer.activation.backward(a + r, z + r, delta + r, (stop - first) * ld)
    for r in range(first, stop):
        scale = weight_of(task, task.order[start + r]) / B
        if whole:
            scale_row(delta + r * ld, scale, factor, layer.n_out)
            work.losses[r] = bp_sum8(work.terms + r * ld, layer.n_out)
        else:
            work.losses[r] = output_delta(net, a + r * ld, z + r * ld, work.y + r * ld, scale, factor,
                                          work.terms + r * ld, delta + r * ld)


cdef const double *block_deltas(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t rows,
                                Py_ssize_t B, bint fed, double *loss, const Share *who) noexcept nogil:
    """Feedforward and deltas (-η δ for plain descent) of `rows` examples of a batch of B; returns their inputs, side by side.

    The examples' w_i C_i are added to `loss` one by one, so that no split into batches, calls or threads changes the sum.
    `fed`: a[1] of the only row is made already.
    """
    cdef Py_ssize_t r
    cdef const double *x = batch_inputs(net, work, task, start, rows, who)
    gather_batch_targets(net, work, task, start, rows, who)
    if net.L > 1:
        transpose_weights(net, work, who)
    if task.dropout.rate != NULL:
        draw_masks(net, work, &task.dropout, start, rows, who)
    bp_wait(who.barrier)
    feedforward(net, work, NULL if fed else x, net.layer[1].n_in, rows, who)
    output_deltas(net, work, task, start, rows, B, who)
    bp_wait(who.barrier)
    if who.t == 0:
        for r in range(rows):
            loss[0] += weight_of(task, task.order[start + r]) * work.losses[r]
    hidden_deltas(net, work, rows, who)
    return x


cdef void add_block(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t rows,
                    Py_ssize_t B, double *target, double *loss, const Share *who) noexcept nogil:
    """The gradients (-η times them for plain descent) of `rows` examples of a batch of B, added to `target`."""
    cdef const double *x = block_deltas(net, work, task, start, rows, B, False, loss, who)
    add_gradients(net, work, x, net.layer[1].n_in, rows, target, who)
    bp_wait(who.barrier)


cdef inline void penalise(double *g, const double *w, double l1, double l2, Py_ssize_t n) noexcept nogil:
    """g += l2 w + l1 sign(w)"""
    cdef Py_ssize_t i = 0
    cdef vd wi, zero = v_set(0.0)
    while i < n:
        v_store(g + i, v_fma(v_set(l2), v_load(w + i), v_load(g + i)))
        i += VL
    i = 0 if l1 != 0.0 else n
    while i < n:
        wi = v_load(w + i)
        v_store(g + i, v_load(g + i) + v_where_positive(wi, v_set(l1), v_where_positive(-wi, v_set(-l1), zero)))
        i += VL


cdef void add_penalty(const Network *net, double l1, double l2, double *gradient) noexcept nogil:
    """gradient += l2 W + l1 sign(W): the penalty's gradient, biases excluded."""
    cdef Py_ssize_t l, i
    for l in range(1, net.L + 1):
        i = net.layer[l].W_start
        penalise(gradient + i, net.parameters + i, l1, l2, net.layer[l].b_start - i)


cdef void clip(double *x, double limit, Py_ssize_t n) noexcept nogil:
    """x *= limit / ‖x‖ where the norm exceeds the limit."""
    cdef double norm = s_sqrt(bp_dot8(x, x, n))
    cdef Py_ssize_t i = 0
    if norm > limit:
        while i < n:
            v_store(x + i, v_load(x + i) * v_set(limit / norm))
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
                      double *loss, const Share *who) noexcept nogil:
    """One step on the batch order[start : start + B]; loss += Σ w_i C_i before the step.

    A batch of more rows than the buffers hold goes through them in blocks: its chains run on from block to block, in a
    copy of the parameters when they are the target, because every delta wants the weights before the step.
    """
    cdef double *target = task.gradient
    cdef Py_ssize_t done = 0, rows, n = net.n_padded
    cdef Py_ssize_t first = 8 * part(n >> 3, who.t, who.T), count = 8 * part(n >> 3, who.t + 1, who.T) - first
    cdef bint in_place = task.plain and B <= work.rows
    if weighs_nothing(task, start, B):
        return
    if B == 1 and steps_by_example(task, who):
        step_by_example(net, work, task, start, False, NULL, loss, who)
        return
    if in_place:
        target = net.parameters
    elif task.plain:
        memcpy(target + first, net.parameters + first, count * sizeof(double))
    else:
        memset(target + first, 0, count * sizeof(double))
    while done < B:
        rows = min(work.rows, B - done)
        add_block(net, work, task, start + done, rows, B, target, loss, who)
        done += rows
    if not in_place:
        if task.plain:
            memcpy(net.parameters + first, target + first, count * sizeof(double))
        else:
            step(net, task, first, count, who)
        bp_wait(who.barrier)
    if task.max_norm > 0.0:
        shorten_weights(net, work, task.max_norm, who)
        bp_wait(who.barrier)


cdef void step(const Network *net, const Task *task, Py_ssize_t first, Py_ssize_t count,
               const Share *who) noexcept nogil:
    """The optimizer's step from the gradient: its numbers by the first thread, its vectors by all."""
    if who.t == 0:
        if task.l1 != 0.0 or task.l2 != 0.0:
            add_penalty(net, task.l1, task.l2, task.gradient)
        if task.clip_norm > 0.0:
            clip(task.gradient, task.clip_norm, net.n_padded)
        if task.optimizer.prepare != NULL:
            task.optimizer.prepare(task.h)
    bp_wait(who.barrier)
    task.optimizer.step(net.parameters + first, task.gradient + first, task.s + first if task.s != NULL else NULL,
                        task.t + first if task.t != NULL else NULL, task.h, count)


cdef enum:
    PIECE = 512                   # doubles of a gradient that are made at a time: they stay in the nearest cache


cdef inline bint steps_by_example(const Task *task, const Share *who) noexcept nogil:
    return who.T == 1 and not task.plain and task.clip_norm == 0.0


cdef void step_by_example(const Network *net, const Work *work, const Task *task, Py_ssize_t start, bint fed,
                          const double *x_next, double *loss, const Share *who) noexcept nogil:
    """train_batch with B = 1 on one thread, without clipping: the gradient is made and used up piece by piece.

    The same bits; but the gradient, a vector as long as the parameters, never goes through the far caches. `fed`: a[1] is
    made already; `x_next`, if any, is to be fed forward to it on the way.
    """
    cdef const Layer *layer
    cdef const double *z_in = block_deltas(net, work, task, start, 1, 1, fed, loss, who)
    cdef const double *delta
    cdef double *g = task.gradient
    cdef Py_ssize_t l, j, rows, n
    cdef double one = 1.0
    cdef example_kernel by_example = BY_EXAMPLE[task.optimizer - &OPTIMIZERS[0]] if task.l1 == 0.0 else NULL
    if task.optimizer.prepare != NULL:
        task.optimizer.prepare(task.h)
    for l in range(1, net.L + 1):
        layer, delta, j = &net.layer[l], work.delta[l], 0
        if net.bias:
            bp_outer(1, pad8(layer.n_out), &one, delta, g)
            step_piece(net, task, layer.b_start, pad8(layer.n_out), 0.0, 0.0)
        if l == 1 and x_next != NULL:
            AND_FORWARD[task.optimizer - &OPTIMIZERS[0]](
                net.parameters + layer.W_start, z_in, delta, task.l2, task.s + layer.W_start, task.h, layer.n_in,
                pad4(layer.n_out), layer.ld, x_next, net.parameters + layer.b_start, work.ahead)
            j = layer.n_in
        elif layer.n_out == 1:
            n = layer.b_start - layer.W_start
            memset(g, 0, n * sizeof(double))
            bp_axpy(delta[0], z_in, g, layer.n_in)
            step_piece(net, task, layer.W_start, n, task.l1, task.l2)
        elif by_example != NULL:
            by_example(net.parameters + layer.W_start, z_in, delta, task.l2, task.s + layer.W_start,
                       task.t + layer.W_start if task.t != NULL else NULL, task.h, layer.n_in, pad4(layer.n_out), layer.ld)
            j = layer.n_in
        while layer.n_out > 1 and j < layer.n_in:
            rows = min(max(PIECE // layer.ld, 1), layer.n_in - j)
            bp_outer(rows, layer.ld, z_in + j, delta, g)
            step_piece(net, task, layer.W_start + j * layer.ld, rows * layer.ld, task.l1, task.l2)
            j += rows
        z_in = work.out[l]
    if task.max_norm > 0.0:
        shorten_weights(net, work, task.max_norm, who)


cdef void step_example_by_example(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t stop,
                                  double *loss, const Share *who) noexcept nogil:
    """step_by_example over order[start : stop]; where a rule has the kernel, its pass over W[1] feeds the next example."""
    cdef bint ahead = (AND_FORWARD[task.optimizer - &OPTIMIZERS[0]] != NULL and net.layer[1].n_out > 1
                       and task.l1 == 0.0 and task.max_norm == 0.0), fed = False
    cdef const double *x_next
    cdef Py_ssize_t k
    for k in range(start, stop):
        if weighs_nothing(task, k, 1):
            continue
        x_next = NULL
        if ahead and k + 1 < stop and not weighs_nothing(task, k + 1, 1):
            x_next = task.X + task.order[k + 1] * net.layer[1].n_in
        step_by_example(net, work, task, k, fed, x_next, loss, who)
        fed = x_next != NULL


cdef inline void step_piece(const Network *net, const Task *task, Py_ssize_t first, Py_ssize_t n, double l1,
                            double l2) noexcept nogil:
    """The optimizer's step for n parameters from `first` on, whose gradient stands at the start of task.gradient."""
    if l1 != 0.0 or l2 != 0.0:
        penalise(task.gradient, net.parameters + first, l1, l2, n)
    task.optimizer.step(net.parameters + first, task.gradient, task.s + first if task.s != NULL else NULL,
                        task.t + first if task.t != NULL else NULL, task.h, n)


cdef bint norm_factors(const Layer *layer, const double *W, double limit, double *factor, Py_ssize_t c0,
                       Py_ssize_t c1) noexcept nogil:
    """factor[i] = limit / ‖W[:, i]‖ where the norm exceeds the limit, else 1, for columns [c0, c1); whether any does.

    The sum of squares of a column is one chain along the rows.
    """
    cdef Py_ssize_t j, i = c0
    cdef vd w, norm, bound = v_set(limit), one = v_set(1.0), shortened = v_set(0.0)
    memset(factor + c0, 0, (c1 - c0) * sizeof(double))
    for j in range(layer.n_in):
        i = c0
        while i < c1:
            w = v_load(W + j * layer.ld + i)
            v_store(factor + i, v_fma(w, w, v_load(factor + i)))
            i += VL
    i = c0
    while i < c1:
        norm = v_sqrt(v_load(factor + i))
        shortened = shortened + v_where_positive(norm - bound, one, one - one)
        v_store(factor + i, v_where_positive(norm - bound, bound / norm, one))
        i += VL
    return not v_all_zero(shortened)


cdef void shorten_weights(const Network *net, const Work *work, double limit, const Share *who) noexcept nogil:
    """W[l][:, i] *= limit / ‖W[l][:, i]‖ where the norm exceeds the limit, for every unit i of every layer.

    Max-norm of Srivastava et al. 2014, biases excluded. Each thread has its own columns; their factors stand in the
    first row of δ[l], which nobody needs after the step but for its padding.
    """
    cdef const Layer *layer
    cdef Py_ssize_t l, j, i, c0, c1
    cdef double *W
    for l in range(1, net.L + 1):
        layer = &net.layer[l]
        c0, c1 = first_column(layer, who), last_column(layer, who)
        W = net.parameters + layer.W_start
        if c0 == c1:
            continue
        if layer.n_out == 1:
            clip(W, limit, pad8(layer.n_in))
        elif norm_factors(layer, W, limit, work.delta[l], c0, c1):
            for j in range(layer.n_in):
                i = c0
                while i < c1:
                    v_store(W + j * layer.ld + i, v_load(W + j * layer.ld + i) * v_load(work.delta[l] + i))
                    i += VL
        if c1 == layer.ld:
            bp_zero_padding(work.delta[l], layer.n_out)


cdef void train_rows(const Network *net, const Work *work, const Task *task, Py_ssize_t start, Py_ssize_t stop,
                     Py_ssize_t batch_size, double *loss, const Share *who) noexcept nogil:
    """Batch after batch over order[start : stop], the last one ragged; loss += Σ w_i C_i."""
    if batch_size == 1 and steps_by_example(task, who):
        step_example_by_example(net, work, task, start, stop, loss, who)
        return
    while start < stop:
        train_batch(net, work, task, start, min(batch_size, stop - start), loss, who)
        start += batch_size


def squared_weights(plan):
    """Σ_l ‖W[l]‖²: of each layer in eight lanes, padding being zero, and the layers in their order."""
    cdef const Network *net = network_of(plan)
    cdef const double *W
    cdef Py_ssize_t l
    cdef double total = 0.0
    for l in range(1, net.L + 1):
        W = net.parameters + net.layer[l].W_start
        total += bp_dot8(W, W, net.layer[l].b_start - net.layer[l].W_start)
    return total


def shuffle(Py_ssize_t[:, ::1] orders, const uint64_t[::1] keys):
    """Bring each row of orders into the random order that its key gives."""
    cdef Py_ssize_t e
    with nogil:
        for e in range(orders.shape[0]):
            bp_shuffle(&orders[e, 0], orders.shape[1], keys[e])
