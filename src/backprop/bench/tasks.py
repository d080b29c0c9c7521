"""What is to be computed, as arrays, and the plain NumPy reference every contender must agree with."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Training:
    """Epochs of gradient descent on a network of sigmoids, in the order of the rows.

    One step on a batch of B rows minimises the mean of C = Σ_j (y'_j - y_j)² (no ½); `loss="log_loss"` is the same with
    Σ_j -y log y' - (1 - y) log(1 - y'), for a peer that cannot put a sigmoid under a squared error.
    """

    sizes: list
    batch_size: int
    X: np.ndarray  # (n, n_0)
    Y: np.ndarray  # (n, n_L), zeros and ones
    weights: list  # W[l], (n_{l-1}, n_l)
    biases: list  # b[l], (n_l,)
    optimizer: str = "sgd"  # or "adam": 0.9, 0.999, eps 1e-8
    learning_rate: float = 0.1
    n_threads: int = 1

    @property
    def flops(self):
        """Per example: two per multiply-add of forward, deltas (none for layer 1) and gradients."""
        products = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:])]
        return 2 * (2 * sum(products) + sum(products[1:]))


@dataclass
class Prediction:
    """One row through a network of sigmoids, called from Python."""

    sizes: list
    x: np.ndarray  # (n_0,)
    weights: list
    biases: list


@dataclass
class Separation:
    """Epochs of the stochastic perceptron over shuffled rows; checked for one epoch in the order of the rows."""

    X: np.ndarray  # (n, d)
    y: np.ndarray  # (n,) -1.0 or 1.0


@dataclass
class Many:
    """Gradient descent on many equal networks, each on its own data, in the order of the rows.

    Hidden units are tanh, outputs identity; a batch of B rows minimises the mean of C = ½ Σ_j (y'_j - y_j)².
    """

    sizes: list
    batch_size: int
    epochs: int
    X: np.ndarray  # (k, n, n_0)
    Y: np.ndarray  # (k, n, n_L)
    weights: list  # W[l], (n_{l-1}, n_l), the same for all networks
    biases: list  # b[l], (n_l,)
    threads: int = 2  # cores that a contender may use, where there are so many
    learning_rate: float = 0.05
    cores: frozenset = frozenset()  # which

    def __len__(self):
        return len(self.X)


@dataclass
class Product:
    """X W for square matrices."""

    X: np.ndarray
    W: np.ndarray


@dataclass
class Fit:
    """Epochs of `fit` by an MLPClassifier with relu and softmax, everything but the import the same.

    Checked for one epoch without shuffling and without a penalty: where batches differ in length scikit-learn's penalty
    is another one (docs/from-sklearn.md).
    """

    X: np.ndarray  # (n, d)
    y: np.ndarray  # (n,) class numbers
    hidden: int
    epochs: int
    options: dict  # of the constructor


def fit(hidden, epochs, **options):
    """A `Fit` to scikit-learn's digits."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return Fit(X / 16.0, y, hidden, epochs, options)


def training(sizes, batch_size, n, zeros=0.0, seed=0, **options):
    """A `Training` on random data; a share `zeros` of the inputs is exactly 0."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, sizes[0]))
    X[rng.random(X.shape) < zeros] = 0.0
    Y = (rng.random((n, sizes[-1])) < 0.5).astype(np.float64)
    return Training(sizes, batch_size, X, Y, *initial(sizes, rng), **options)


def initial(sizes, rng):
    """Random weights, and biases that are not zero, so that a forgotten bias is noticed."""
    pairs = list(zip(sizes, sizes[1:]))
    return (
        [rng.normal(size=pair) / np.sqrt(pair[0]) for pair in pairs],
        [0.1 * rng.normal(size=n_out) for _, n_out in pairs],
    )


def prediction(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return Prediction(sizes, rng.random(sizes[0]), *initial(sizes, rng))


def separation(n, d, seed=0):
    """Two overlapping classes, so that every epoch makes mistakes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = np.sign(X @ rng.normal(size=d) + 0.5 * np.sqrt(d) * rng.normal(size=n))
    return Separation(X, np.where(y == 0.0, 1.0, y))


def many(sizes, batch_size, epochs, networks, rows, threads=2, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.random((networks, rows, sizes[0])), rng.random((networks, rows, sizes[-1]))
    return Many(sizes, batch_size, epochs, X, Y, *initial(sizes, rng), threads)


def product(n, seed=0):
    rng = np.random.default_rng(seed)
    return Product(rng.random((n, n)), rng.random((n, n)))


def flat(weights, biases):
    """W[1], b[1], W[2], ... as one vector."""
    return np.concatenate([np.ravel(part) for pair in zip(weights, biases) for part in pair])


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def trained(task, loss="squared_error"):
    """Parameters after one epoch, by the formulas and nothing else."""
    W, b = [w.copy() for w in task.weights], [v.copy() for v in task.biases]
    m, v, t = np.zeros(flat(W, b).size), np.zeros(flat(W, b).size), 0
    for start in range(0, len(task.X), task.batch_size):
        x, y = task.X[start : start + task.batch_size], task.Y[start : start + task.batch_size]
        z = [x]
        for W_l, b_l in zip(W, b):
            z.append(sigmoid(z[-1] @ W_l + b_l))
        delta = (z[-1] - y) / len(x)
        if loss == "squared_error":
            delta = 2.0 * delta * z[-1] * (1.0 - z[-1])
        dW, db = [], []
        for l in range(len(W) - 1, -1, -1):
            dW.insert(0, z[l].T @ delta)
            db.insert(0, delta.sum(axis=0))
            if l > 0:
                delta = (delta @ W[l].T) * z[l] * (1.0 - z[l])
        step = flat(dW, db)
        if task.optimizer == "adam":
            t += 1
            m, v = 0.9 * m + 0.1 * step, 0.999 * v + 0.001 * step * step
            step = (m / (1.0 - 0.9**t)) / (np.sqrt(v / (1.0 - 0.999**t)) + 1e-8)
        position = 0
        for parts in zip(W, b):
            for part in parts:
                part -= task.learning_rate * step[position : position + part.size].reshape(part.shape)
                position += part.size
    return flat(W, b)


def fitted(task):
    """Parameters after one epoch of a `Fit` in the order of the rows, from scikit-learn's initial weights of seed 0."""
    source, sizes = np.random.RandomState(0), [task.X.shape[1], task.hidden, task.y.max() + 1]
    W, b = [], []
    for n_in, n_out in zip(sizes, sizes[1:]):
        bound = np.sqrt(6.0 / (n_in + n_out))
        W.append(source.uniform(-bound, bound, (n_in, n_out)))
        b.append(source.uniform(-bound, bound, n_out))
    Y, w, t = np.eye(sizes[-1])[task.y], flat(W, b), 0
    m, v, velocity = np.zeros(w.size), np.zeros(w.size), np.zeros(w.size)
    size = task.options.get("batch_size", 200)
    for start in range(0, len(Y), size):
        x, y = task.X[start : start + size], Y[start : start + size]
        W, b = _unflat(w, sizes)
        z = np.maximum(x @ W[0] + b[0], 0.0)
        a = z @ W[1] + b[1]
        p = np.exp(a - a.max(axis=1, keepdims=True))
        delta = (p / p.sum(axis=1, keepdims=True) - y) / len(x)
        back = (delta @ W[1].T) * (z > 0.0)
        g = flat([x.T @ back, z.T @ delta], [back.sum(axis=0), delta.sum(axis=0)])
        if task.options.get("solver") == "sgd":  # Nesterov's
            momentum = task.options.get("momentum", 0.9)
            velocity = momentum * velocity - 0.001 * g
            w = w + momentum * velocity - 0.001 * g
        else:
            t += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
    return w


def _unflat(w, sizes):
    W, b, position = [], [], 0
    for n_in, n_out in zip(sizes, sizes[1:]):
        W.append(w[position : position + n_in * n_out].reshape(n_in, n_out))
        b.append(w[position + n_in * n_out : position + (n_in + 1) * n_out])
        position += (n_in + 1) * n_out
    return W, b


def predicted(task):
    z = task.x
    for W, b in zip(task.weights, task.biases):
        z = sigmoid(z @ W + b)
    return z


def separated(task):
    """(w, b) after one epoch of w += y x, b += y on mistakes, in the order of the rows."""
    w, b = np.zeros(task.X.shape[1]), 0.0
    for x, y in zip(task.X, task.y):
        if y * (x @ w + b) <= 0.0:
            w += y * x
            b += y
    return np.append(w, b)


def first_and_last_trained(task):
    """Parameters of the first and of the last network of a `Many`."""
    return np.concatenate([_descended(task, task.X[k], task.Y[k]) for k in (0, -1)])


def _descended(task, X, Y):
    W, b = [w.copy() for w in task.weights], [v.copy() for v in task.biases]
    for _ in range(task.epochs):
        for start in range(0, len(X), task.batch_size):
            x, y = X[start : start + task.batch_size], Y[start : start + task.batch_size]
            z = [x]
            for l, (W_l, b_l) in enumerate(zip(W, b), 1):
                a = z[-1] @ W_l + b_l
                z.append(a if l == len(W) else np.tanh(a))
            delta = (z[-1] - y) / len(x)
            for l in range(len(W) - 1, -1, -1):
                back = (delta @ W[l].T) * (1.0 - z[l] ** 2) if l > 0 else None
                W[l] -= task.learning_rate * z[l].T @ delta
                b[l] -= task.learning_rate * delta.sum(axis=0)
                delta = back
    return flat(W, b)
