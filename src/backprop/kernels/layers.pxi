# A network's plan (its layers over the parameter vector), the buffers of a batch, and the three passes of
# backpropagation: feedforward, deltas, gradients.

cdef struct Layer:
    Py_ssize_t n_in, n_out        # n_{l-1}, n_l
    Py_ssize_t ld                 # leading dimension of W: pad8(n_out); 1 for a single unit, whose weights are contiguous
    Py_ssize_t W_start, b_start   # offsets in the parameter vector
    const Activation *activation

cdef struct Work:                 # buffers of up to `rows` examples; index l = 0..L
    Py_ssize_t rows
    double **a                    # a[l] (rows, pad8(n_l)); the same as z[l] where nothing needs a[l] itself
    double **z
    double **mask                 # mask[l] (rows, pad8(n_l)) of dropout; NULL where nothing is dropped, as always for L
    double **out                  # out[l] = mask[l] · z[l], what layer l + 1 sees; z[l] itself where nothing is dropped
    double **delta
    double **WT                   # WT[l] (n_l, pad8(n_{l-1})), l = 2..L
    double *x                     # (rows, n_0) inputs gathered in the order of visits
    double *y                     # (rows, pad8(n_L)) targets, padding zero
    double *terms                 # (rows, pad8(n_L)) terms C_j of the losses
    double *losses                # (rows,) C of each example
    double *ahead                 # (pad8(n_1),) a[1] of the next example, where the step before fed it forward

cdef struct Network:
    Py_ssize_t L
    Py_ssize_t n_padded           # length of the parameter vector, padding included
    Py_ssize_t widest             # pad8 of the largest n_l, l >= 1
    bint bias
    const Loss *loss
    double *parameters
    const double *zeros           # a row of `widest` zeros
    Layer *layer                  # layer[1..L]
    Work one                      # buffers of one example, for learn_one (see bind_memory)


cdef struct Share:                # what one thread of a team of T does: its part of every layer's columns, or of the rows
    Py_ssize_t t, T
    bp_barrier *barrier

cdef inline Py_ssize_t part(Py_ssize_t n, Py_ssize_t t, Py_ssize_t T) noexcept nogil:
    """Start of the t-th of T even parts of n things."""
    return n * t // T

cdef inline Py_ssize_t first_column(const Layer *layer, const Share *who) noexcept nogil:
    return 8 * part(pad8(layer.n_out) >> 3, who.t, who.T)

cdef inline Py_ssize_t last_column(const Layer *layer, const Share *who) noexcept nogil:
    return 8 * part(pad8(layer.n_out) >> 3, who.t + 1, who.T)

cdef inline Share alone() noexcept nogil:
    cdef Share who
    who.t, who.T, who.barrier = 0, 1, &ALONE
    return who

cdef bp_barrier ALONE
ALONE.T = 1


# ---- feedforward -----------------------------------------------------------------------------------------------------

cdef void apply_activation(const Layer *layer, const double *a, double *z, Py_ssize_t B,
                           const Share *who) noexcept nogil:
    """z = σ(a) for B rows, row stride pad8(n_l): one's columns, or one's rows where σ mixes the columns."""
    cdef Py_ssize_t r, end, ld = pad8(layer.n_out), c0 = first_column(layer, who), c1 = last_column(layer, who)
    if layer.activation.rowwise:
        bp_wait(who.barrier)
        r, end = part(B, who.t, who.T), part(B, who.t + 1, who.T)
        if layer.activation.apply == softmax:
            softmax_rows(a + r * ld, z + r * ld, layer.n_out, end - r)
        else:                                            # unreached: of those that mix the columns softmax is alone
            while r < end:                               # unreached: as above
                layer.activation.apply(a + r * ld, z + r * ld, layer.n_out)        # unreached: as above
                r += 1                                   # unreached: as above
    elif c1 - c0 == ld:
        layer.activation.apply(a, z, B * ld)
    elif c1 > c0:
        for r in range(B):
            layer.activation.apply(a + r * ld + c0, z + r * ld + c0, c1 - c0)


cdef void feed_layer(const Network *net, Py_ssize_t l, const double *z_in, Py_ssize_t ld_in, double *a, double *z,
                     Py_ssize_t B, const Share *who) noexcept nogil:
    """a[l] = z[l-1] W[l] + b[l];  z[l] = σ_l(a[l])  for B rows."""
    cdef const Layer *layer = &net.layer[l]
    cdef const double *W = net.parameters + layer.W_start
    cdef const double *b = net.parameters + layer.b_start
    cdef Py_ssize_t r, ld = pad8(layer.n_out)
    cdef bp_operands o
    if layer.n_out == 1:
        if last_column(layer, who) > first_column(layer, who):
            for r in range(B):
                a[r * 8] = b[0] + bp_dot8(z_in + r * ld_in, W, layer.n_in)
                memset(a + r * 8 + 1, 0, 7 * sizeof(double))
    else:
        o.A = z_in; o.am = ld_in; o.ak = 1
        o.B = W; o.ldb = layer.ld
        o.S = b; o.lds = 0
        o.C = a; o.ldc = ld
        # where σ works in place it finds its last result in the padding: exp of exp of exp
        bp_product(B, first_column(layer, who), min(last_column(layer, who), ld if a == z else pad4(layer.n_out)),
                   layer.n_in, &o)
    apply_activation(layer, a, z, B, who)


cdef void apply_mask(const Layer *layer, const double *mask, const double *x, double *out, Py_ssize_t B,
                     const Share *who) noexcept nogil:
    """out = mask · x for B rows, row stride pad8(n_l), each thread its own columns."""
    cdef Py_ssize_t r, i, stop, ld = pad8(layer.n_out)
    for r in range(B):
        i = r * ld + first_column(layer, who)
        stop = r * ld + last_column(layer, who)
        while i < stop:
            v_store(out + i, v_load(mask + i) * v_load(x + i))
            i += VL


cdef void feedforward(const Network *net, const Work *work, const double *x, Py_ssize_t ldx, Py_ssize_t B,
                      const Share *who) noexcept nogil:
    """z[0] = x;  for l = 1..L:  a[l] = z[l-1] W[l] + b[l],  z[l] = σ_l(a[l]).

    Under dropout mask[l] · z[l] takes the place of z[l] in a[l+1]; σ' still wants z[l] itself. Without x, of one row,
    a[1] is made already.
    """
    cdef Py_ssize_t l, ld_in = ldx
    cdef const double *z_in = x
    for l in range(1, net.L + 1):
        if z_in == NULL:
            memcpy(work.a[1], work.ahead, pad8(net.layer[1].n_out) * sizeof(double))
            apply_activation(&net.layer[1], work.a[1], work.z[1], 1, who)
        else:
            feed_layer(net, l, z_in, ld_in, work.a[l], work.z[l], B, who)
        if work.mask[l] != NULL:
            apply_mask(&net.layer[l], work.mask[l], work.z[l], work.out[l], B, who)
        bp_wait(who.barrier)
        z_in = work.out[l]
        ld_in = pad8(net.layer[l].n_out)


# ---- deltas ----------------------------------------------------------------------------------------------------------

cdef double output_delta(const Network *net, const double *a, const double *z, const double *y, double scale,
                         double factor, double *terms, double *delta) noexcept nogil:
    """δ[L] = ∂C/∂y' · σ'(a[L]) · scale · factor for one example, padding zero; returns its loss C.

    For C = (y - y')²:  δ_k = -2 (y_k - y'_k) σ'(a_k). `scale` is the example's weight over the number of rows: the only
    place where 1/B enters. `factor` is 1 for gradients, and -η for plain gradient descent: every δ[l] is linear in δ[L],
    so that all of them come out as -η δ[l], what the weights are to take.
    """
    cdef const Layer *layer = &net.layer[net.L]
    cdef Py_ssize_t n = layer.n_out, ld = pad8(n)
    net.loss.terms(a, z, y, terms, delta, ld)
    if not net.loss.from_net_input:
        layer.activation.backward(a, z, delta, n if layer.activation.rowwise else ld)
    scale_row(delta, scale, factor, n)
    return bp_sum8(terms, n)


cdef inline void scale_row(double *delta, double scale, double factor, Py_ssize_t n) noexcept nogil:
    """δ := (δ · scale) · factor for one row of n units, and its padding zero."""
    cdef Py_ssize_t j = 0
    while j < n:
        v_store(delta + j, v_load(delta + j) * scale * factor)
        j += VL
    bp_zero_padding(delta, n)


cdef double example_loss(const Network *net, const double *a, const double *z, const double *y, double *terms,
                         double *scratch) noexcept nogil:
    """C of one example; `scratch` (pad8(n_L),) takes the derivative that nobody wants."""
    net.loss.terms(a, z, y, terms, scratch, pad8(net.layer[net.L].n_out))
    return bp_sum8(terms, net.layer[net.L].n_out)


cdef void transpose_weights(const Network *net, const Work *work, const Share *who) noexcept nogil:
    """WT[l] = W[l]ᵀ for l = 2..L; nothing to do for a single unit, whose weights are contiguous either way."""
    cdef const Layer *layer
    cdef Py_ssize_t l, first, last
    for l in range(2, net.L + 1):
        layer = &net.layer[l]
        if layer.n_out > 1:
            first = 8 * part(pad8(layer.n_in) >> 3, who.t, who.T)
            last = min(8 * part(pad8(layer.n_in) >> 3, who.t + 1, who.T), layer.n_in)
            bp_transpose(net.parameters + layer.W_start + first * layer.ld, last - first, layer.n_out, layer.ld,
                         work.WT[l] + first, pad8(layer.n_in))


cdef void hidden_delta(const Network *net, const Work *work, Py_ssize_t l, Py_ssize_t B,
                       const Share *who) noexcept nogil:
    """δ[l] = σ'(a[l]) · (δ[l+1] W[l+1]ᵀ): the lecture's δ_i = σ'(a_i) Σ_j δ_j u_ji; under dropout times mask[l]."""
    cdef const Layer *layer = &net.layer[l]
    cdef const Layer *above = &net.layer[l + 1]
    cdef Py_ssize_t r, i, ld = pad8(layer.n_out), c0 = first_column(layer, who), c1 = last_column(layer, who)
    cdef const double *w = net.parameters + above.W_start
    cdef double *delta = work.delta[l]
    cdef bp_operands o
    cdef vd d
    if above.n_out == 1:
        for r in range(B):
            d = v_set(work.delta[l + 1][r * 8])
            i = c0
            while i < c1:
                v_store(delta + r * ld + i, d * v_load(w + i))
                i += VL
    else:
        o.A = work.delta[l + 1]; o.am = pad8(above.n_out); o.ak = 1
        o.B = work.WT[l + 1]; o.ldb = ld
        o.S = net.zeros; o.lds = 0
        o.C = delta; o.ldc = ld
        bp_product(B, c0, min(c1, pad4(layer.n_out)), above.n_out, &o)
    if c1 - c0 == ld:
        layer.activation.backward(work.a[l], work.z[l], delta, B * ld)
    elif c1 > c0:
        for r in range(B):
            layer.activation.backward(work.a[l] + r * ld + c0, work.z[l] + r * ld + c0, delta + r * ld + c0, c1 - c0)
    if work.mask[l] != NULL:
        apply_mask(layer, work.mask[l], delta, delta, B, who)


cdef void hidden_deltas(const Network *net, const Work *work, Py_ssize_t B, const Share *who) noexcept nogil:
    """δ[L-1], ..., δ[1] from δ[L] and the transposed weights."""
    cdef Py_ssize_t l
    for l in range(net.L - 1, 0, -1):
        hidden_delta(net, work, l, B, who)
        bp_wait(who.barrier)


# ---- gradients -------------------------------------------------------------------------------------------------------

cdef extern from "online.h" nogil:
    void bp_rank_one(Py_ssize_t n_in, Py_ssize_t width, double *W, Py_ssize_t ld, const double *z,
                     const double *ds) noexcept
    void bp_outer(Py_ssize_t n_in, Py_ssize_t width, const double *z, const double *delta, double *G) noexcept


cdef void add_gradient(const Network *net, Py_ssize_t l, const double *z_in, Py_ssize_t ld_in, const double *delta,
                       double *target, Py_ssize_t B, const Share *who) noexcept nogil:
    """target += z[l-1]ᵀ δ[l] for W[l] and Σ_B δ[l] for b[l]; `target` mirrors the parameter vector.

    With target = gradient this is ∂C/∂W[l], ∂C/∂b[l]; with target = the parameters and -η δ[l] in place of δ[l] it is the
    update of gradient descent itself, W[l] := W[l] - η z[l-1]ᵀ δ[l], one pass over the weights.
    """
    cdef const Layer *layer = &net.layer[l]
    cdef double *W = target + layer.W_start
    cdef double *b = target + layer.b_start
    cdef Py_ssize_t r, i, ld = pad8(layer.n_out), c0 = first_column(layer, who), c1 = last_column(layer, who)
    cdef bp_operands o
    cdef vd sum
    if c0 == c1:
        return
    if layer.n_out == 1:
        for r in range(B):
            bp_axpy(delta[r * 8], z_in + r * ld_in, W, layer.n_in)
    elif B == 1:
        bp_rank_one(layer.n_in, min(c1, pad4(layer.n_out)) - c0, W + c0, layer.ld, z_in, delta + c0)
    else:
        o.A = z_in; o.am = 1; o.ak = ld_in
        o.B = delta; o.ldb = ld
        o.S = W; o.lds = layer.ld
        o.C = W; o.ldc = layer.ld
        bp_accumulate(layer.n_in, c0, min(c1, pad4(layer.n_out)), B, &o)
    i = c0 if net.bias else c1
    while i < c1:
        sum = v_load(b + i)
        for r in range(B):
            sum = sum + v_load(delta + r * ld + i)
        v_store(b + i, sum)
        i += VL


cdef void add_gradients(const Network *net, const Work *work, const double *x, Py_ssize_t ldx, Py_ssize_t B,
                        double *target, const Share *who) noexcept nogil:
    """The gradients of all layers added to `target`."""
    cdef Py_ssize_t l
    add_gradient(net, 1, x, ldx, work.delta[1], target, B, who)
    for l in range(2, net.L + 1):
        add_gradient(net, l, work.out[l - 1], pad8(net.layer[l].n_in), work.delta[l], target, B, who)


# ---- plan and buffers ------------------------------------------------------------------------------------------------

cdef const char *PLAN = b"backprop.Network"


cdef void free_plan(object capsule) noexcept:
    cdef Network *net = <Network *>PyCapsule_GetPointer(capsule, PLAN)
    free(net.layer)
    free(<void *>net.zeros)
    free(net)


cdef Network *network_of(object plan) except NULL:
    return <Network *>PyCapsule_GetPointer(plan, PLAN)


def layout(sizes):
    """Where each layer lives in the parameter vector.

    Returns (n_padded, layers) with layers a list of (W_start, b_start, ld), l = 1..L: W[l][j, i] is element
    W_start + j * ld + i and b[l][i] is element b_start + i.
    """
    cdef Py_ssize_t position = 0, n_in, n_out, ld
    layers = []
    for n_in, n_out in zip(sizes, sizes[1:]):
        ld = 1 if n_out == 1 else pad8(n_out)
        layers.append((position, position + pad8(n_in * ld), ld))
        position += pad8(n_in * ld) + pad8(n_out)
    return position, layers


def plan(sizes, activation_ids, Py_ssize_t loss_id, bint bias, double[::1] parameters):
    """A handle on the network over `parameters`, which the caller keeps alive and in place as long as the handle."""
    n_padded, layers = layout(sizes)
    if parameters.shape[0] != n_padded:
        raise ValueError("parameters do not have the layout's length")
    cdef Py_ssize_t L = len(sizes) - 1, l
    cdef Network *net = <Network *>calloc(1, sizeof(Network))
    if net == NULL:
        raise MemoryError
    net.widest = pad8(max(sizes[1:]))
    net.layer = <Layer *>calloc(L + 1, sizeof(Layer))
    net.zeros = <const double *>calloc(net.widest, sizeof(double))
    capsule = PyCapsule_New(net, PLAN, free_plan)
    if net.layer == NULL or net.zeros == NULL:
        raise MemoryError
    net.L, net.n_padded, net.bias = L, n_padded, bias
    net.loss = &LOSSES[loss_id]
    net.parameters = &parameters[0]
    for l in range(1, L + 1):
        net.layer[l].n_in, net.layer[l].n_out = sizes[l - 1], sizes[l]
        net.layer[l].W_start, net.layer[l].b_start, net.layer[l].ld = layers[l - 1]
        net.layer[l].activation = &ACTIVATIONS[<Py_ssize_t>activation_ids[l - 1]]
    return capsule


cdef Py_ssize_t keeps_a(const Network *net, Py_ssize_t l) noexcept nogil:
    """Whether a[l] is kept beside z[l]: the output's always (losses want it), others where σ' wants it."""
    return l == net.L or net.layer[l].activation.needs_a


cdef Py_ssize_t carve(const Network *net, Work *work, double *memory, Py_ssize_t rows) noexcept nogil:
    """Lay the buffers of `rows` examples over `memory`; returns the doubles needed (memory may be NULL)."""
    cdef Py_ssize_t l, used = pad8(6 * (net.L + 1)), size
    cdef double **tables = <double **>memory
    if memory != NULL:
        work.rows = rows
        work.a = tables
        work.z = tables + (net.L + 1)
        work.delta = tables + 2 * (net.L + 1)
        work.WT = tables + 3 * (net.L + 1)
        work.mask = tables + 4 * (net.L + 1)
        work.out = tables + 5 * (net.L + 1)
    for l in range(1, net.L + 1):
        size = rows * pad8(net.layer[l].n_out)
        if memory != NULL:
            work.z[l] = memory + used
            work.a[l] = memory + used + (size if keeps_a(net, l) else 0)
            work.mask[l] = NULL
            work.out[l] = work.z[l]
        used += size * (2 if keeps_a(net, l) else 1)
        if memory != NULL:
            work.delta[l] = memory + used
        used += size
        if l > 1:
            if memory != NULL:
                work.WT[l] = memory + used
            used += net.layer[l].n_out * pad8(net.layer[l].n_in)
    if memory != NULL:
        work.x = memory + used
    used += pad8(rows * net.layer[1].n_in)
    if memory != NULL:
        work.y = memory + used
    used += rows * pad8(net.layer[net.L].n_out)
    if memory != NULL:
        work.terms = memory + used
    used += rows * pad8(net.layer[net.L].n_out)
    if memory != NULL:
        work.losses = memory + used
    used += pad8(rows)
    if memory != NULL:
        work.ahead = memory + used
    return used + pad8(net.layer[1].n_out)


def work_size(plan, Py_ssize_t rows):
    """Doubles of zeroed memory that the passes over up to `rows` examples at a time need."""
    return carve(network_of(plan), NULL, NULL, rows)


def bind_memory(plan, double[::1] memory):
    """Give `plan` the buffers of learn_one: work_size(plan, 1) zeroed doubles, which the caller keeps alive."""
    cdef Network *net = network_of(plan)
    carve(net, &net.one, &memory[0], 1)


def forward(plan, const double[:, ::1] X, list outputs, double[::1] memory, Py_ssize_t block):
    """Feed X forward, `block` rows at a time; outputs[l], (n, n_l) or None, takes z[l], l = 1..L (outputs[0] is unused).

    Nobody asks for a[l] here, so that σ works in place; and where rows of z[l] have no padding, they are made where they
    are wanted instead of being copied there.
    """
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    cdef Py_ssize_t start = 0, rows, l, r, n_l
    cdef double[:, ::1] out
    carve(net, &work, &memory[0], block)
    while start < X.shape[0]:
        rows = min(block, X.shape[0] - start)
        for l in range(1, net.L + 1):
            if outputs[l] is not None and net.layer[l].n_out % 8 == 0:
                out = outputs[l]
                work.z[l] = &out[start, 0]
            work.a[l] = work.out[l] = work.z[l]
        with nogil:
            feedforward(net, &work, &X[start, 0], X.shape[1], rows, &who)
        for l in range(1, net.L + 1):
            n_l = net.layer[l].n_out
            if outputs[l] is not None and n_l % 8 != 0:
                out = outputs[l]
                for r in range(rows):
                    memcpy(&out[start + r, 0], work.z[l] + r * pad8(n_l), n_l * sizeof(double))
        start += rows


cdef void gather_targets(const Network *net, const Work *work, const double *Y, const Py_ssize_t *order, Py_ssize_t start,
                         Py_ssize_t B) noexcept nogil:
    """Rows of targets for the batch into work.y; row r is example order[start + r], or start + r without an order."""
    cdef Py_ssize_t r, i, n = net.layer[net.L].n_out
    for r in range(B):
        i = order[start + r] if order != NULL else start + r
        bp_copy_row(work.y + r * pad8(n), Y + i * n, n)


def evaluate(plan, const double[:, ::1] X, const double[:, ::1] Y, double[::1] losses, double[::1] memory,
             Py_ssize_t block):
    """losses[i] = C of example i."""
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    cdef Py_ssize_t start = 0, rows, r, ld = pad8(net.layer[net.L].n_out), n = X.shape[0]
    carve(net, &work, &memory[0], block)
    with nogil:
        while start < n:
            rows = min(block, n - start)
            feedforward(net, &work, &X[start, 0], X.shape[1], rows, &who)
            gather_targets(net, &work, &Y[0, 0], NULL, start, rows)
            for r in range(rows):
                losses[start + r] = example_loss(net, work.a[net.L] + r * ld, work.z[net.L] + r * ld, work.y + r * ld,
                                                 work.terms, work.delta[net.L])
            start += rows


def gradients(plan, const double[:, ::1] X, const double[:, ::1] Y, const double[::1] scale, double[::1] gradient,
              double[:, ::1] inputs, double[::1] losses, double[::1] memory, Py_ssize_t block):
    """gradient += ∂/∂w Σ_i scale_i C_i, in the layout of the parameters;  losses[i] = C_i.

    inputs, (n, n_0) or None, takes scale_i ∂C_i/∂x_i in row i.
    """
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    cdef Py_ssize_t start = 0, rows, r, ld = pad8(net.layer[net.L].n_out), n = X.shape[0], n_0 = X.shape[1], j
    cdef bint want_inputs = inputs is not None
    cdef double *row
    carve(net, &work, &memory[0], block)
    with nogil:
        while start < n:
            rows = min(block, n - start)
            feedforward(net, &work, &X[start, 0], n_0, rows, &who)
            gather_targets(net, &work, &Y[0, 0], NULL, start, rows)
            for r in range(rows):
                losses[start + r] = output_delta(net, work.a[net.L] + r * ld, work.z[net.L] + r * ld, work.y + r * ld,
                                                 scale[start + r], 1.0, work.terms, work.delta[net.L] + r * ld)
            transpose_weights(net, &work, &who)
            hidden_deltas(net, &work, rows, &who)
            add_gradients(net, &work, &X[start, 0], n_0, rows, &gradient[0], &who)
            if want_inputs:
                for r in range(rows):
                    input_gradient(net, work.delta[1] + r * pad8(net.layer[1].n_out), &inputs[start + r, 0])
            start += rows


cdef void input_gradient(const Network *net, const double *delta, double *out) noexcept nogil:
    """∂C/∂x_j = Σ_i δ[1]_i W[1][j, i] of one example: one chain per input."""
    cdef const Layer *layer = &net.layer[1]
    cdef const double *W = net.parameters + layer.W_start
    cdef Py_ssize_t i, j
    cdef double chain
    for j in range(layer.n_in):
        chain = 0.0
        for i in range(layer.n_out):
            chain = s_fma(delta[i], W[j * layer.ld + i], chain)
        out[j] = chain


def example(plan, const double[:, ::1] X, const double[:, ::1] Y, list net_inputs, list activations, list deltas,
            double[::1] memory):
    """One example's a[l], z[l] and δ[l] as the training kernels make them, into 1-D arrays, l = 1..L; returns C.

    `memory` holds work_size(plan, 1) doubles; a[l] is recomputed before σ where training does not keep it apart.
    """
    cdef const Network *net = network_of(plan)
    cdef Work work
    cdef Share who = alone()
    cdef Py_ssize_t l, n, ld_in = X.shape[1]
    cdef double loss
    cdef const double *z_in = &X[0, 0]
    cdef double[::1] out
    carve(net, &work, &memory[0], 1)
    for l in range(1, net.L + 1):
        n = net.layer[l].n_out
        feed_layer(net, l, z_in, ld_in, work.delta[l], work.z[l], 1, &who)   # delta[l] serves as a separate a[l]
        if keeps_a(net, l):
            memcpy(work.a[l], work.delta[l], pad8(n) * sizeof(double))
        out = net_inputs[l]
        memcpy(&out[0], work.delta[l], n * sizeof(double))
        out = activations[l]
        memcpy(&out[0], work.z[l], n * sizeof(double))
        z_in = work.z[l]
        ld_in = pad8(n)
    gather_targets(net, &work, &Y[0, 0], NULL, 0, 1)
    loss = output_delta(net, work.a[net.L], work.z[net.L], work.y, 1.0, 1.0, work.terms, work.delta[net.L])
    transpose_weights(net, &work, &who)
    hidden_deltas(net, &work, 1, &who)
    for l in range(1, net.L + 1):
        out = deltas[l]
        memcpy(&out[0], work.delta[l], net.layer[l].n_out * sizeof(double))
    return loss
