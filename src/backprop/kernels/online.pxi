# The lecture's algorithm, example by example, at memory speed: plain gradient descent with batches of one.
#
# The same arithmetic as train_batch with B = 1, and the same bits: each update is only delayed into the next example's
# forward pass (online.h), and W[l]ᵀ, l >= 2, is kept beside W[l] with the same updates instead of being packed each time.
# Whoever reads the parameters must see them whole: the last update is flushed before the call returns.

cdef extern from "online.h" nogil:
    void bp_update_forward(Py_ssize_t n_in, Py_ssize_t width, double *W, Py_ssize_t ld, const double *z_prev,
                           const double *ds, const double *z_new, const double *z_soon, const double *S, double *a) noexcept
    void bp_backward_update(Py_ssize_t n_out, Py_ssize_t width, double *T, Py_ssize_t ld, const double *ds,
                            const double *z, double *out) noexcept
    void bp_sparse_forward(Py_ssize_t count, const int32_t *index, const double *x, Py_ssize_t width, const double *W,
                           Py_ssize_t ld, const double *S, double *a) noexcept
    void bp_sparse_update(Py_ssize_t count, const int32_t *index, const double *x, Py_ssize_t width, double *W,
                          Py_ssize_t ld, const double *ds) noexcept
    double bp_update_dot8(Py_ssize_t n, double *w, const double *z_prev, double ds, const double *z_new) noexcept


cdef struct Sparse:               # the non-zero inputs of every example, row after row; starts = NULL: X is dense
    const int64_t *starts         # (n + 1,)
    const int32_t *index
    const double *x

cdef struct Online:               # the examples between which the kernel stands; index l = 0..L
    double **z                    # z[l] of the example that is fed forward
    double **z_prev               # z[l] of the example whose update is pending; z_prev[0] is its row of X
    double **a
    double **ds                   # -η δ[l]: the lecture's deltas, ready to be added; the pending update
    bint pending


cdef inline void add_bias_update(double *b, const double *ds, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < width:
        v_store(b + i, v_load(b + i) + v_load(ds + i))
        i += VL


cdef void online_feed(const Network *net, const Online *o, Py_ssize_t l, const double *z_new,
                      const double *z_soon) noexcept nogil:
    """W[l] := W[l] + z_prev[l-1]ᵀ ds[l], b[l] := b[l] + ds[l] if an update is pending;  a[l] = z[l-1] W[l] + b[l]."""
    cdef const Layer *layer = &net.layer[l]
    cdef double *W = net.parameters + layer.W_start
    cdef double *b = net.parameters + layer.b_start
    cdef Py_ssize_t width = pad8(layer.n_out)
    cdef bp_operands p
    if not o.pending:
        if layer.n_out == 1:
            o.a[l][0] = b[0] + bp_dot8(z_new, W, layer.n_in)
        else:
            p.A = z_new; p.am = 0; p.ak = 1
            p.B = W; p.ldb = width
            p.S = b; p.lds = 0
            p.C = o.a[l]; p.ldc = width
            bp_product(1, 0, pad4(layer.n_out), layer.n_in, &p)
        return
    if net.bias:
        add_bias_update(b, o.ds[l], width)
    if layer.n_out == 1:
        o.a[l][0] = b[0] + bp_update_dot8(layer.n_in, W, o.z_prev[l - 1], o.ds[l][0], z_new)
    else:
        bp_update_forward(layer.n_in, pad4(layer.n_out), W, layer.ld, o.z_prev[l - 1], o.ds[l], z_new, z_soon, b, o.a[l])


cdef void online_back(const Network *net, const Work *work, const Online *o, Py_ssize_t l) noexcept nogil:
    """-η δ[l-1] = σ'(a[l-1]) · (-η δ[l] W[l]ᵀ), and the update of the transposed copy of W[l]."""
    cdef const Layer *layer = &net.layer[l]
    cdef const Activation *activation = net.layer[l - 1].activation
    cdef Py_ssize_t i = 0, width = pad8(layer.n_in)
    cdef const double *w = net.parameters + layer.W_start
    cdef vd d
    if layer.n_out == 1:
        d = v_set(o.ds[l][0])
        while i < width:
            v_store(o.ds[l - 1] + i, d * v_load(w + i))
            i += VL
    else:
        bp_backward_update(layer.n_out, pad4(layer.n_in), work.WT[l], width, o.ds[l], o.z[l - 1], o.ds[l - 1])
    activation.backward(o.a[l - 1], o.z[l - 1], o.ds[l - 1], width)


cdef void online_layer_one(const Network *net, const Online *o, const Sparse *sparse, Py_ssize_t example,
                           const double *x, const double *x_soon) noexcept nogil:
    """a[1] from the input; the pending update of W[1] is made on the way, or was made already (sparse rows)."""
    cdef const Layer *layer = &net.layer[1]
    cdef Py_ssize_t first
    if sparse.starts == NULL:
        online_feed(net, o, 1, x, x_soon)
        return
    first = sparse.starts[example]
    bp_sparse_forward(sparse.starts[example + 1] - first, sparse.index + first, sparse.x + first,
                      pad4(layer.n_out), net.parameters + layer.W_start, layer.ld, net.parameters + layer.b_start, o.a[1])


cdef void online_update_one(const Network *net, const Online *o, const Sparse *sparse,
                            Py_ssize_t example) noexcept nogil:
    """W[1] := W[1] + xᵀ ds[1] over the non-zero inputs of the example, b[1] := b[1] + ds[1]."""
    cdef const Layer *layer = &net.layer[1]
    cdef Py_ssize_t first = sparse.starts[example]
    bp_sparse_update(sparse.starts[example + 1] - first, sparse.index + first, sparse.x + first,
                     pad4(layer.n_out), net.parameters + layer.W_start, layer.ld, o.ds[1])
    if net.bias:
        add_bias_update(net.parameters + layer.b_start, o.ds[1], layer.ld)


cdef void online_flush(const Network *net, const Online *o, const Sparse *sparse) noexcept nogil:
    """Make the pending updates."""
    cdef Share who = alone()
    cdef Py_ssize_t l
    if o.pending:
        for l in range(1 if sparse.starts == NULL else 2, net.L + 1):
            add_gradient(net, l, o.z_prev[l - 1], 0, o.ds[l], net.parameters, 1, &who)


cdef void train_online(const Network *net, const Work *work, const Task *task, const Sparse *sparse, Online *o,
                       Py_ssize_t start, Py_ssize_t stop, double *loss) noexcept nogil:
    """Gradient descent over order[start : stop], one example at a time; loss += w C, example by example."""
    cdef Py_ssize_t k, l, i, n_0 = net.layer[1].n_in, n_L = net.layer[net.L].n_out
    cdef double eta = task.h[0], w = 1.0
    cdef const double *x
    cdef double **swap
    cdef Share who = alone()
    o.pending = False
    transpose_weights(net, work, &who)
    for k in range(start, stop):
        i = task.order[k]
        x = task.X + i * n_0
        if task.weight != NULL:
            w = task.weight[i]
            if w == 0.0:
                continue
        # feedforward
        online_layer_one(net, o, sparse, i, x, task.X + task.order[min(k + 1, stop - 1)] * n_0)
        for l in range(1, net.L + 1):
            if l > 1:
                online_feed(net, o, l, o.z[l - 1], o.z[l - 1])
            if net.layer[l].activation.rowwise:
                net.layer[l].activation.apply(o.a[l], o.z[l], net.layer[l].n_out)
            else:
                net.layer[l].activation.apply(o.a[l], o.z[l], pad8(net.layer[l].n_out))
            bp_zero_padding(o.z[l], net.layer[l].n_out)         # σ(0) need not be 0, and W[l]ᵀ keeps its padding zero
        # deltas
        bp_copy_row(work.y, task.Y + i * n_L, n_L)
        loss[0] += w * output_delta(net, o.a[net.L], o.z[net.L], work.y, w, -eta, work.terms, o.ds[net.L])
        for l in range(net.L, 1, -1):
            online_back(net, work, o, l)
        # the updates wait for the next example
        if sparse.starts != NULL:
            online_update_one(net, o, sparse, i)
        o.z[0] = <double *>x
        swap = o.z
        o.z = o.z_prev
        o.z_prev = swap
        o.pending = True
    online_flush(net, o, sparse)


# ---- networks that fit the registers ----------------------------------------------------------------------------------

cdef extern from "tiny.h" nogil:
    ctypedef struct bp_tiny:
        const double *X
        const double *Y
        const double *weight
        const Py_ssize_t *order
        Py_ssize_t start, stop
        double *W
        double *b
        double *w
        double *c
        Py_ssize_t n_hidden
        int hidden, output
        int bias
        double eta, factor
    int BP_IDENTITY, BP_SIGMOID, BP_TANH, BP_RELU, BP_TINY_ACTIVATIONS, BP_TINY_INPUTS
    double bp_train_tiny(Py_ssize_t n_inputs, const bp_tiny *t, double loss) noexcept


cdef int tiny_activation(const Activation *activation) noexcept nogil:
    """The activation's number in tiny.h, or BP_TINY_ACTIVATIONS where it has none."""
    if activation.apply == sigmoid:
        return BP_SIGMOID
    if activation.apply == hyperbolic_tangent:
        return BP_TANH
    if activation.apply == relu:
        return BP_RELU
    return BP_IDENTITY if activation.apply == identity else BP_TINY_ACTIVATIONS


cdef bint is_tiny(const Network *net) noexcept nogil:
    return (net.L == 2 and net.layer[1].n_in <= BP_TINY_INPUTS and 1 < net.layer[1].n_out <= 8 and net.layer[2].n_out == 1
            and (net.loss.terms == squared_error or net.loss.terms == half_squared_error)
            and tiny_activation(net.layer[1].activation) != BP_TINY_ACTIVATIONS
            and tiny_activation(net.layer[2].activation) != BP_TINY_ACTIVATIONS)


cdef void train_tiny(const Network *net, const Task *task, Py_ssize_t start, Py_ssize_t stop,
                     double *loss) noexcept nogil:
    """train_online for a network that is_tiny, its weights in registers; the same bits."""
    cdef bp_tiny t
    t.X, t.Y, t.weight, t.order, t.start, t.stop = task.X, task.Y, task.weight, task.order, start, stop
    t.W, t.b = net.parameters + net.layer[1].W_start, net.parameters + net.layer[1].b_start
    t.w, t.c = net.parameters + net.layer[2].W_start, net.parameters + net.layer[2].b_start
    t.n_hidden, t.bias, t.eta = net.layer[1].n_out, net.bias, task.h[0]
    t.hidden, t.output = tiny_activation(net.layer[1].activation), tiny_activation(net.layer[2].activation)
    t.factor = 1.0 if net.loss.terms == squared_error else 0.5
    loss[0] = bp_train_tiny(net.layer[1].n_in, &t, loss[0])


# ---- buffers ---------------------------------------------------------------------------------------------------------

cdef Py_ssize_t carve_online(const Network *net, Online *o, double *memory) noexcept nogil:
    """Lay the buffers over `memory`; returns the doubles needed (memory may be NULL to ask)."""
    cdef Py_ssize_t l, used = pad8(4 * (net.L + 1)), width
    cdef double **tables = <double **>memory
    if memory != NULL:
        o.z = tables
        o.z_prev = tables + (net.L + 1)
        o.a = tables + 2 * (net.L + 1)
        o.ds = tables + 3 * (net.L + 1)
    for l in range(1, net.L + 1):
        width = pad8(net.layer[l].n_out)
        if memory != NULL:
            o.z[l] = memory + used
            o.z_prev[l] = memory + used + width
            o.a[l] = memory + used + 2 * width
            o.ds[l] = memory + used + 3 * width
        used += 4 * width
    return used


def count_nonzero(const double[:, ::1] X, int64_t[::1] starts):
    """starts[i] becomes the number of non-zeros in the rows before i, (n + 1,)."""
    cdef Py_ssize_t i, j, n = X.shape[0]
    cdef int64_t total = 0
    with nogil:
        starts[0] = 0
        for i in range(n):
            for j in range(X.shape[1]):
                total += X[i, j] != 0.0
            starts[i + 1] = total


def gather_nonzero(const double[:, ::1] X, const int64_t[::1] starts, int32_t[::1] index, double[::1] x):
    """The columns and values of the non-zeros, row after row."""
    cdef Py_ssize_t i, j, n = X.shape[0]
    cdef int64_t k = 0
    with nogil:
        for i in range(n):
            for j in range(X.shape[1]):
                if X[i, j] != 0.0:
                    index[k] = <int32_t>j
                    x[k] = X[i, j]
                    k += 1
