# Dropout: masks over the outputs of hidden layers, from a generator without state.
#
# Whether a unit is dropped is a function of where it is: of the training's key, the number of the visit to an example,
# the layer and the unit. Such a counter-based generator (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers:
# as easy as 1, 2, 3") leaves nothing to race for, and nothing that the split of a batch, the number of threads or a
# break between two calls could change. The function is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
# pseudorandom number generators"), whose i-th output needs none of those before it. All is integer arithmetic modulo
# 2^64: the same bits in every variant and in NumPy.

cdef extern from "splitmix.h" nogil:
    uint64_t bp_splitmix(uint64_t seed, uint64_t i) noexcept
    void bp_shuffle(Py_ssize_t *order, Py_ssize_t n, uint64_t key) noexcept

cdef struct Dropout:
    const double *rate            # (L + 1,): rate[l] of z[l], 0 where none is dropped; NULL: no dropout at all
    uint64_t key
    uint64_t visit                # number of the first visit of the call


cdef void draw_masks(const Network *net, const Work *work, const Dropout *dropout, Py_ssize_t start, Py_ssize_t B,
                     const Share *who) noexcept nogil:
    """mask[l] of the visits start .. start + B of the call: 0 where a unit is dropped, else 1 / (1 - rate).

    A unit stays where a uniform number u, 53 bits of s(s(s(key, visit), l), unit) with s = bp_splitmix, is at least the
    rate.
    """
    cdef const Layer *layer
    cdef Py_ssize_t l, r, i, c1
    cdef int64_t least            # u >= rate  <=>  2^53 u >= least
    cdef uint64_t seed
    cdef double *mask
    cdef double keep
    for l in range(1, net.L):
        if work.mask[l] == NULL:
            continue
        layer = &net.layer[l]
        c1 = last_column(layer, who)
        least = <int64_t>ceil(dropout.rate[l] * 9007199254740992.0)
        keep = 1.0 / (1.0 - dropout.rate[l])
        for r in range(B):
            seed = bp_splitmix(bp_splitmix(dropout.key, dropout.visit + <uint64_t>(start + r)), l)
            mask = work.mask[l] + r * pad8(layer.n_out)
            for i in range(first_column(layer, who), c1):
                mask[i] = keep if <int64_t>(bp_splitmix(seed, i) >> 11) >= least else 0.0


cdef Py_ssize_t carve_dropout(const Network *net, Work *work, const double *rate, double *memory,
                              Py_ssize_t rows) noexcept nogil:
    """Lay mask[l] and out[l] where l has dropout over `memory`; returns the doubles needed (memory may be NULL)."""
    cdef Py_ssize_t l, size, used = 0
    for l in range(1, net.L):
        if rate[l] > 0.0:
            size = rows * pad8(net.layer[l].n_out)
            if memory != NULL:
                work.mask[l] = memory + used
                work.out[l] = memory + used + size
            used += 2 * size
    return used


cdef Dropout dropout_of(const Network *net, Work *work, dropout) except *:
    """The `backprop.training.Dropout` of a call, with its buffers in `work`; None: no dropout."""
    cdef Dropout out
    cdef const double[::1] rates
    cdef double[::1] memory
    out.rate, out.key, out.visit = NULL, 0, 0
    if dropout is not None:
        rates, memory = dropout.rates, dropout.memory
        out.rate, out.key, out.visit = &rates[0], dropout.key, dropout.visit
        carve_dropout(net, work, out.rate, &memory[0], work.rows)
    return out


def dropout_size(plan, const double[::1] rates, Py_ssize_t rows):
    """Doubles of memory that dropout with rates[l], l = 0..L, needs for up to `rows` examples at a time."""
    return carve_dropout(network_of(plan), NULL, &rates[0], NULL, rows)


def forward_dropped(plan, task, const double[:, ::1] X, double[:, ::1] out):
    """z[L] of the rows of X, visited in their order with the dropout of `task`, a `backprop.training.Task`."""
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Dropout dropout
    cdef Share who = alone()
    cdef Task c
    cdef Py_ssize_t start = 0, rows, r, n_L = net.layer[net.L].n_out
    carve_job(net, &c, &work, task)
    dropout = dropout_of(net, &work, task.dropout)
    with nogil:
        while start < X.shape[0]:
            rows = min(work.rows, X.shape[0] - start)
            draw_masks(net, &work, &dropout, start, rows, &who)
            feedforward(net, &work, &X[start, 0], X.shape[1], rows, &who)
            for r in range(rows):
                memcpy(&out[start + r, 0], work.z[net.L] + r * pad8(n_L), n_L * sizeof(double))
            start += rows
