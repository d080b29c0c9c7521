# One call of the core: an epoch, a part of one, or many, without the GIL; and the lecture's inner loop alone.

cdef bint all_finite(const double *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef vd bad = v_set(0.0)
    while i + VL <= n:            # 0 · x is NaN where x is not finite, and a NaN in a sum stays
        bad = bad + v_load(x + i) * 0.0
        i += VL
    while i < n:
        if x[i] - x[i] != 0.0:
            return False
        i += 1
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
        sparse.starts = &starts[0]    # unreached: for gcov, as the compiler stores it once, after both ways
        if x.shape[0] > 0:
            sparse.index = &index[0]
            sparse.x = &x[0]
    return sparse


cdef struct Job:                  # one call of the core; every thread of its team walks through it
    const Network *net
    Work work
    Task task
    Online online
    Sparse sparse
    bint one_by_one               # plain gradient descent with batches of one: train_online
    Py_ssize_t batch_size, rows_per_part, parts
    double *losses                # (parts,)
    Py_ssize_t done               # parts trained
    int status
    bp_barrier barrier


cdef void work_on(Job *job, Py_ssize_t t) noexcept nogil:
    """What thread t of the team does: all parts, until one leaves the finite numbers or the team is abandoned."""
    cdef const Network *net = job.net
    cdef Share who
    cdef Py_ssize_t e
    who.t, who.T, who.barrier = t, job.barrier.T, &job.barrier
    bp_wait(who.barrier)
    for e in range(job.parts):
        if bp_abandoned(who.barrier):
            return
        if job.one_by_one and is_tiny(net):
            train_tiny(net, &job.task, e * job.rows_per_part, (e + 1) * job.rows_per_part, &job.losses[e])
        elif job.one_by_one:
            train_online(net, &job.work, &job.task, &job.sparse, &job.online, e * job.rows_per_part,
                         (e + 1) * job.rows_per_part, &job.losses[e])
        else:
            train_rows(net, &job.work, &job.task, e * job.rows_per_part, (e + 1) * job.rows_per_part, job.batch_size,
                       &job.losses[e], &who)
        if t == 0:
            if (job.losses[e] - job.losses[e] != 0.0 or not all_finite(net.parameters, net.n_padded)
                    or not all_finite(job.task.s, job.task.optimizer.n_slots * net.n_padded)):
                job.status = DIVERGED     # an infinite slot would hold its parameter fast without a word
            else:
                job.done = e + 1
        bp_wait(who.barrier)
        if job.status != TRAINED:
            return


cdef const char *JOB = b"backprop.Job"


cdef void free_job(object capsule) noexcept:
    free(PyCapsule_GetPointer(capsule, JOB))


cdef int read_rule(Task *c, task) except -1:
    """The rule of descent and what stands around it, from a `backprop.training.Task`."""
    rule = task.rule
    c.optimizer = &OPTIMIZERS[<Py_ssize_t>rule.optimizer]
    c.h = <double *>values_of(task.numbers)
    if c.optimizer.n_slots > 0:
        slots = task.slots
        c.s = <double *>values_of(slots)
        c.t = c.s + len(slots[0]) if c.optimizer.n_slots > 1 else NULL
    c.l1, c.l2, c.clip_norm, c.max_norm = rule.l1, rule.l2, rule.clip_norm, rule.max_norm
    return 0


def job(plan, task, order, Py_ssize_t rows_per_part, losses):
    """A call of the core, ready to `work`: train over `order`, whose rows fall into parts of `rows_per_part` visits.

    A part is an epoch or a piece of one, and all together are `order`. `task` is a `backprop.training.Task`; Σ w_i C_i over
    part e is added to losses[e], each example before its update. The caller keeps every array alive until the job is done.
    """
    cdef Job *j = <Job *>calloc(1, sizeof(Job))
    if j == NULL:
        raise MemoryError
    capsule = PyCapsule_New(j, JOB, free_job)
    cdef Task *c = &j.task
    rule = task.rule
    cdef int n_threads = rule.n_threads
    cdef Py_ssize_t visits
    c.order = order_of(order, &visits)
    j.net = network_of(plan)
    j.batch_size, j.rows_per_part, j.parts = rule.batch_size, rows_per_part, visits // rows_per_part
    j.losses = <double *>values_of(losses)
    j.barrier.T = n_threads
    c.X, c.Y = values_of(task.X), values_of(task.Y)
    weight = task.weight
    if weight is not None:
        c.weight = values_of(weight)
    read_rule(c, task)
    c.plain = c.optimizer.step == sgd and c.l1 == 0.0 and c.l2 == 0.0 and c.clip_norm == 0.0
    cdef double *online = carve_job(j.net, c, &j.work, task)
    c.dropout = dropout_of(j.net, &j.work, task.dropout)
    j.one_by_one = (c.plain and j.batch_size == 1 and n_threads == 1 and c.max_norm == 0.0
                    and c.dropout.rate == NULL)
    if j.one_by_one:
        carve_online(j.net, &j.online, online)
        j.sparse = nonzero_of(task.nonzero)
    return capsule


def work(job, Py_ssize_t t=0):
    """Walk through the job as thread t of its team; returns (status, parts trained), the same for all."""
    cdef Job *j = <Job *>PyCapsule_GetPointer(job, JOB)
    cdef uint64_t flags
    with nogil:
        flags = bp_flush_subnormals()
        work_on(j, t)
        bp_restore_flags(flags)
    return j.status, j.done


def step_from_gradient(plan, task, double[::1] gradient):
    """One step on the gradient of a data loss that was made elsewhere: penalties, clipping, rule, max-norm.

    The gradient is spent: penalties and clipping are written into it.
    """
    cdef const Network *net = network_of(plan)
    cdef Task c
    cdef Work work
    cdef Share who = alone()
    cdef uint64_t flags
    memset(&c, 0, sizeof(Task))
    read_rule(&c, task)
    carve_job(net, &c, &work, task)
    c.gradient = &gradient[0]
    with nogil:
        flags = bp_flush_subnormals()
        step(net, &c, 0, net.n_padded, &who)
        if c.max_norm > 0.0:
            shorten_weights(net, &work, c.max_norm, &who)
        bp_restore_flags(flags)


def work_all(list jobs):
    """Do the jobs, of one thread each, one after the other; returns a list of (status, parts trained, seconds)."""
    cdef Py_ssize_t k, n = len(jobs)
    cdef Job **all = <Job **>calloc(n + 1, sizeof(Job *))
    cdef double *seconds = <double *>calloc(n + 1, sizeof(double))
    cdef uint64_t flags
    cdef double before, after
    try:
        if all == NULL or seconds == NULL:
            raise MemoryError
        for k in range(n):
            all[k] = <Job *>PyCapsule_GetPointer(jobs[k], JOB)
        with nogil:
            flags = bp_flush_subnormals()
            before = bp_clock()
            for k in range(n):
                work_on(all[k], 0)
                after = bp_clock()
                seconds[k] = after - before
                before = after
            bp_restore_flags(flags)
        return [(all[k].status, all[k].done, seconds[k]) for k in range(n)]
    finally:
        free(all)
        free(seconds)


def abandon(job):
    """Let the team's threads go home at their next barrier: one of them could not be started."""
    bp_abandon(&(<Job *>PyCapsule_GetPointer(job, JOB)).barrier)


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
    cdef Share who = alone()
    cdef double loss
    cdef uint64_t flags = bp_flush_subnormals()
    feedforward(net, work, x, net.layer[1].n_in, 1, &who)
    gather_targets(net, work, y, NULL, 0, 1)
    loss = output_delta(net, work.a[net.L], work.z[net.L], work.y, 1.0, -eta, work.terms, work.delta[net.L])
    transpose_weights(net, work, &who)
    hidden_deltas(net, work, 1, &who)
    if can_update(net, work, loss):
        add_gradients(net, work, x, net.layer[1].n_in, 1, net.parameters, &who)
    else:
        loss = NAN
    bp_restore_flags(flags)
    return loss


def is_finite(x):
    """Whether all of x, a contiguous vector of float64 that is not empty, is finite."""
    return bool(finite_values(values_of(x), len(x)))


def misalignment(const double[::1] x):
    """How many elements come before the first at a multiple of 64 bytes."""
    return (-(<size_t>&x[0] // 8)) % 8
