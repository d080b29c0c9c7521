"""The library again in plain NumPy: obvious instead of fast, in the notation of the design page.

Layers l = 1..L of sizes n_0..n_L, a batch of B examples (rows)::

    z[0] = x        a[l] = z[l-1] W[l] + b[l]        z[l] = σ_l(a[l])        y' = z[L]
    δ[l] = ∂C/∂a[l]        δ[L] = ∂C/∂y' σ'(a[L])        δ[l] = σ'(a[l]) (δ[l+1] W[l+1]ᵀ)
    ∂C/∂W[l] = z[l-1]ᵀ δ[l]        ∂C/∂b[l] = Σ_B δ[l]        ∂C/∂x = δ[1] W[1]ᵀ

Lists over layers have L + 1 entries with None at 0, so that an index here is an index there. Everything but gelu is
(piecewise) analytic code that takes complex numbers, so that ∂C/∂w = Im C(w + ih) / h is exact to the last digit.
"""

import math

import numpy as np

_erfc = np.vectorize(math.erfc, otypes=[float])


def _positive(a):
    return np.real(a) > 0


def _magnitude(a):
    """|a| on the real axis, and its analytic continuation beside it."""
    return np.where(_positive(a), a, -a)


# ---- activations: σ(a) and σ'(a) -------------------------------------------------------------------------------------

def sigmoid(a):
    e = np.exp(-_magnitude(a))                       # never overflows
    return np.where(_positive(a), 1, e) / (1 + e)


def sigmoid_slope(a):
    e = np.exp(-_magnitude(a))                       # σ(a) (1 - σ(a)) without the cancellation
    return e / (1 + e) ** 2


def softplus(a):
    return np.where(_positive(a), a, 0) + np.log1p(np.exp(-_magnitude(a)))


def gelu(a):
    return a * _erfc(-a / math.sqrt(2)) / 2          # a Φ(a), real a only


def gelu_slope(a):
    return _erfc(-a / math.sqrt(2)) / 2 + a * np.exp(-a * a / 2) / math.sqrt(2 * math.pi)


def log_softmax(a):
    a = a - np.real(a).max(axis=1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=1, keepdims=True))


def _negative_part(a):
    return np.where(_positive(a), 0, a)


ACTIVATIONS = {
    "identity": (lambda a: a, lambda a: np.ones_like(a)),
    "sigmoid": (sigmoid, sigmoid_slope),
    "tanh": (np.tanh, lambda a: 4 * sigmoid_slope(2 * a)),
    "relu": (lambda a: np.where(_positive(a), a, 0), lambda a: np.where(_positive(a), 1.0, 0.0)),
    "leaky_relu": (lambda a: np.where(_positive(a), a, 0.01 * a), lambda a: np.where(_positive(a), 1.0, 0.01)),
    "elu": (lambda a: np.where(_positive(a), a, np.expm1(_negative_part(a))),
            lambda a: np.exp(_negative_part(a))),
    "softplus": (softplus, sigmoid),
    "silu": (lambda a: a * sigmoid(a), lambda a: sigmoid(a) + a * sigmoid_slope(a)),
    "gelu": (gelu, gelu_slope),
    "exp": (np.exp, np.exp),
    "softmax": (lambda a: np.exp(log_softmax(a)), None),         # its Jacobian is not diagonal: see output_delta
}


# ---- losses: C of each example, shape (B,), and ∂C/∂y' ---------------------------------------------------------------

def _sign(r):
    return np.sign(np.real(r))


def _huber(r):
    m = _sign(r) * r                                 # |r|, δ = 1
    return np.where(np.real(m) <= 1, m * m / 2, m - 0.5)


def _y_log_y(y):
    return y * np.log(np.where(y > 0, y, 1))         # 0 log 0 = 0


LOSSES = {       # name: (C of y, y'; ∂C/∂y'); the two that are computed from a are below
    "squared_error": (lambda y, p: ((y - p) ** 2).sum(axis=1), lambda y, p: -2 * (y - p)),
    "half_squared_error": (lambda y, p: ((y - p) ** 2).sum(axis=1) / 2, lambda y, p: -(y - p)),
    "absolute_error": (lambda y, p: (_sign(y - p) * (y - p)).sum(axis=1), lambda y, p: -_sign(y - p)),
    "huber": (lambda y, p: _huber(y - p).sum(axis=1), lambda y, p: -np.clip(y - p, -1, 1)),
    "hinge": (lambda y, p: np.where(_positive(1 - y * p), 1 - y * p, 0).sum(axis=1),
              lambda y, p: np.where(_positive(1 - y * p), -y, 0)),
}
LOSSES_OF_NET_INPUT = {     # (loss, output activation): (C of y, a; ∂C/∂a of y, y')
    ("log_loss", "softmax"): (lambda y, a: -(y * log_softmax(a)).sum(axis=1),
                              lambda y, p: y.sum(axis=1, keepdims=True) * p - y),
    ("log_loss", "sigmoid"): (lambda y, a: (y * softplus(-a) + (1 - y) * softplus(a)).sum(axis=1), lambda y, p: p - y),
    ("poisson", "exp"): (lambda y, a: (_y_log_y(y) - y * a - y + np.exp(a)).sum(axis=1), lambda y, p: p - y),
}


def output_delta(loss, output, y, a, p):
    """δ[L] = ∂C/∂a[L], each row that of its own loss."""
    if (loss, output) in LOSSES_OF_NET_INPUT:
        return LOSSES_OF_NET_INPUT[loss, output][1](y, p)
    g = LOSSES[loss][1](y, p)
    if output == "softmax":                          # ∂p_j/∂a_k = p_j ([j = k] - p_k)
        return p * (g - (g * p).sum(axis=1, keepdims=True))
    return g * ACTIVATIONS[output][1](a)


# ---- optimizers: default η, and one step w -> w; s holds the state of w, t counts steps from 1 (torch's conventions) -

def _sgd(w, g, s, eta, t):
    return w - eta * g


def _momentum(w, g, s, eta, t):
    s["v"] = 0.9 * s["v"] + g
    return w - eta * s["v"]


def _nesterov(w, g, s, eta, t):
    s["v"] = 0.9 * s["v"] + g
    return w - eta * (g + 0.9 * s["v"])


def _adagrad(w, g, s, eta, t):
    s["v"] = s["v"] + g * g
    return w - eta * g / (np.sqrt(s["v"]) + 1e-10)


def _rmsprop(w, g, s, eta, t):
    s["v"] = 0.99 * s["v"] + 0.01 * g * g
    return w - eta * g / (np.sqrt(s["v"]) + 1e-8)


def _adam(w, g, s, eta, t):
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g * g
    m, v = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)
    return w - eta * m / (np.sqrt(v) + 1e-8)


def _adamw(w, g, s, eta, t):
    return _adam(w - eta * 0.01 * w, g, s, eta, t)   # decoupled decay, on weights and biases


def _adam_eps_hat(w, g, s, eta, t):
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g * g
    return w - eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * s["m"] / (np.sqrt(s["v"]) + 1e-8)


OPTIMIZERS = {
    "sgd": (0.1, _sgd), "momentum": (0.01, _momentum), "nesterov": (0.01, _nesterov), "adagrad": (0.01, _adagrad),
    "rmsprop": (0.001, _rmsprop), "adam": (0.001, _adam), "adamw": (0.001, _adamw),
    "adam_eps_hat": (0.001, _adam_eps_hat),
}


# ---- dropout: SplitMix64 as a counter-based generator, modulo 2^64 --------------------------------------------------

def draw(seed, i):
    """Output i = 0, 1, ... of SplitMix64 from `seed` (Steele, Lea and Flood 2014), for arrays of uint64."""
    with np.errstate(over="ignore"):
        x = np.asarray(seed, np.uint64) + (np.asarray(i, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def mask(key, visits, l, units, rate):
    """(len(visits), units) factors of z[l]: 0 where a unit is dropped in a visit, else 1 / (1 - rate)."""
    seed = draw(draw(key, visits), l)
    uniform = (draw(seed[:, None], np.arange(units)) >> np.uint64(11)).astype(float) * 2.0**-53
    return np.where(uniform >= rate, 1 / (1 - rate), 0.0)


# ---- the network -----------------------------------------------------------------------------------------------------

class Reference:
    """A network from given parameters; `weights` and `biases` are lists of L arrays, `biases` may hold None."""

    def __init__(self, weights, biases, hidden, output, loss):
        self.L = len(weights)
        self.W = [None, *(np.array(W) for W in weights)]
        self.b = [None, *(None if b is None else np.array(b) for b in biases)]
        hidden = [hidden] * (self.L - 1) if isinstance(hidden, str) else hidden
        self.activations = [None, *hidden, output]
        self.loss_name, self.state, self.steps, self.visits = loss, {}, 0, 0

    def forward(self, X, masks=None):
        """a[0..L] (a[0] is None) and z[0..L], the latter times the masks of dropout."""
        a, z = [None], [X]
        for l in range(1, self.L + 1):
            a.append(z[l - 1] @ self.W[l] + (0 if self.b[l] is None else self.b[l]))
            z.append(ACTIVATIONS[self.activations[l]][0](a[l]))
            if masks is not None:
                z[l] = masks[l] * z[l]
        return a, z

    def masks(self, key, visits, rates):
        """Masks of the layers 0..L for the numbers of the visits, from the rates of the hidden layers."""
        sizes = [W.shape[1] for W in self.W[1:-1]]
        return [None, *(mask(key, visits, l, n, rate) for l, (n, rate) in enumerate(zip(sizes, rates), start=1)), 1.0]

    def losses(self, X, Y, masks=None):
        """C of each example, (B,)."""
        a, z = self.forward(X, masks)
        pair = self.loss_name, self.activations[-1]
        return LOSSES_OF_NET_INPUT[pair][0](Y, a[-1]) if pair in LOSSES_OF_NET_INPUT else LOSSES[pair[0]][0](Y, z[-1])

    def loss(self, X, Y, sample_weight=None):
        """Mean over the examples, weights divided by their mean."""
        return (_normalised(sample_weight, len(X)) * self.losses(X, Y)).sum() / len(X)

    def deltas(self, X, Y, masks=None):
        """δ[0..L] (δ[0] is None), each row that of its own loss, and z."""
        a, z = self.forward(X, masks)
        delta = [None] * (self.L + 1)
        delta[-1] = output_delta(self.loss_name, self.activations[-1], Y, a[-1], z[-1])
        for l in range(self.L - 1, 0, -1):
            delta[l] = ACTIVATIONS[self.activations[l]][1](a[l]) * (delta[l + 1] @ self.W[l + 1].T)
            if masks is not None:
                delta[l] = masks[l] * delta[l]
        return delta, z

    def gradients(self, X, Y, sample_weight=None):
        """Gradients of `loss` by W[1..L] and b[1..L] (lists of L), and of each row's own loss by its inputs."""
        return self._gradients(X, Y, _normalised(sample_weight, len(X)))

    def _gradients(self, X, Y, w, masks=None):
        delta, z = self.deltas(X, Y, masks)
        scaled = [d * (w / len(X))[:, None] for d in delta[1:]]
        dW = [z[l].T @ scaled[l] for l in range(self.L)]
        db = [None if b is None else d.sum(axis=0) for b, d in zip(self.b[1:], scaled)]
        return dW, db, delta[1] @ self.W[1].T

    def penalty(self, l1=0.0, l2=0.0):
        """l1 ‖W‖₁ + (l2/2) ‖W‖², biases excluded."""
        return sum(l1 * abs(W).sum() + l2 / 2 * (W * W).sum() for W in self.W[1:])

    def train(self, X, Y, epochs=1, batch_size=1, optimizer="sgd", learning_rate=None, order=None, sample_weight=None,
              l1=0.0, l2=0.0, dropout=None, key=None, max_norm=np.inf):
        """Train over the rows in `order`; return each epoch's loss, averaged as it was trained. Calls continue.

        `dropout` are the rates of the hidden layers, `key` is that of the masks.
        """
        n, w = len(X), _normalised(sample_weight, len(X))
        order = np.arange(n) if order is None else order
        eta, step = OPTIMIZERS[optimizer]
        eta = eta if learning_rate is None else learning_rate
        losses = []
        for _ in range(epochs):
            total = 0.0
            for start in range(0, n, batch_size):
                rows = order[start:start + batch_size]           # the last batch may be ragged
                masks = None if dropout is None else self.masks(key, self.visits + np.arange(len(rows)), dropout)
                self.visits += len(rows)
                if not w[rows].any():
                    continue                                     # a batch of weight zero changes nothing at all
                total += (w[rows] * self.losses(X[rows], Y[rows], masks)).sum()
                dW, db, _ = self._gradients(X[rows], Y[rows], w[rows], masks)
                self.steps += 1
                for l in range(1, self.L + 1):
                    g = dW[l - 1] + l1 * np.sign(self.W[l]) + l2 * self.W[l]
                    self.W[l] = shortened(step(self.W[l], g, self._slots("W", l), eta, self.steps), max_norm)
                    if self.b[l] is not None:
                        self.b[l] = step(self.b[l], db[l - 1], self._slots("b", l), eta, self.steps)
            losses.append(total / n)
        return losses

    def _slots(self, kind, l):
        return self.state.setdefault((kind, l), {"v": 0.0, "m": 0.0})

    @property
    def parameters(self):
        """W[1], b[1], W[2], ... in C order as one vector."""
        parts = [p for W, b in zip(self.W[1:], self.b[1:]) for p in (W, b) if p is not None]
        return np.concatenate([p.ravel() for p in parts])


def shortened(W, max_norm):
    """W with every column, the weights into one unit, at most this long."""
    norms = np.sqrt((W * W).sum(axis=0))
    return W * np.where(norms > max_norm, max_norm / np.maximum(norms, 1e-300), 1.0)


def _normalised(sample_weight, n):
    return np.ones(n) if sample_weight is None else np.asarray(sample_weight, float) / np.mean(sample_weight)
