"""NumPy by hand: every intermediate array allocated once, every operation into it."""

import numpy as np

from tasks import flat
from timing import Contender

NAME = "numpy"


def version():
    return np.__version__


class _Net:
    """Training steps into preallocated arrays."""

    def __init__(self, task):
        self.task, self.sizes = task, task.sizes
        B = task.batch_size
        size = flat(task.weights, task.biases).size
        self.parameters, self.gradient = np.empty(size), np.empty(size)
        self.m, self.v, self.scratch = np.zeros(size), np.zeros(size), np.empty(size)
        self.W, self.b = self._views(self.parameters)
        self.dW, self.db = self._views(self.gradient)
        self.z = [None, *[np.empty((B, n)) for n in self.sizes[1:]]]
        self.delta = [None, *[np.empty((B, n)) for n in self.sizes[1:]]]
        self.slope = [None, *[np.empty((B, n)) for n in self.sizes[1:]]]
        n = len(task.X)
        self.batches = [(task.X[k : k + B], task.Y[k : k + B]) for k in range(0, n - B + 1, B)]
        self.reset()

    def _views(self, vector):
        weights, biases, position = [], [], 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:]):
            weights.append(vector[position : position + n_in * n_out].reshape(n_in, n_out))
            position += n_in * n_out
            biases.append(vector[position : position + n_out])
            position += n_out
        return weights, biases

    def reset(self):
        self.parameters[:] = flat(self.task.weights, self.task.biases)
        self.m[:], self.v[:], self.t = 0.0, 0.0, 0

    def backpropagate(self, x, y):
        z, delta, slope = self.z, self.delta, self.slope
        z[0] = x
        for l, (W, b) in enumerate(zip(self.W, self.b), 1):
            a = z[l]
            np.dot(z[l - 1], W, out=a)
            np.add(a, b, out=a)
            np.negative(a, out=a)
            np.exp(a, out=a)
            np.add(a, 1.0, out=a)
            np.reciprocal(a, out=a)
        last = len(self.W)
        for l in range(last, 0, -1):
            if l == last:
                np.subtract(z[l], y, out=delta[l])
                np.multiply(delta[l], 2.0 / len(x), out=delta[l])
            else:
                np.dot(delta[l + 1], self.W[l].T, out=delta[l])
            np.subtract(1.0, z[l], out=slope[l])
            np.multiply(slope[l], z[l], out=slope[l])
            np.multiply(delta[l], slope[l], out=delta[l])
            np.dot(z[l - 1].T, delta[l], out=self.dW[l - 1])
            np.add.reduce(delta[l], axis=0, out=self.db[l - 1])

    def sgd(self):
        np.multiply(self.gradient, self.task.learning_rate, out=self.gradient)
        np.subtract(self.parameters, self.gradient, out=self.parameters)

    def adam(self):
        g, m, v, scratch = self.gradient, self.m, self.v, self.scratch
        self.t += 1
        np.multiply(m, 0.9, out=m)
        np.multiply(g, 0.1, out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(g, g, out=g)
        np.multiply(g, 0.001, out=g)
        np.multiply(v, 0.999, out=v)
        np.add(v, g, out=v)
        np.sqrt(v, out=scratch)
        np.multiply(scratch, 1.0 / np.sqrt(1.0 - 0.999**self.t), out=scratch)
        np.add(scratch, 1e-8, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, self.task.learning_rate / (1.0 - 0.9**self.t), out=scratch)
        np.subtract(self.parameters, scratch, out=self.parameters)

    def run(self, epochs):
        step = {"sgd": self.sgd, "adam": self.adam}[self.task.optimizer]
        for _ in range(epochs):
            for x, y in self.batches:
                self.backpropagate(x, y)
                step()


def training(task, few=False):
    if len(task.X) % task.batch_size:
        return []
    net = _Net(task)

    def check():
        net.reset()
        net.run(1)
        return net.parameters.copy()

    return [Contender(NAME, net.run, check, net.reset, form="preallocated")]


def prediction(task):
    buffers = [np.empty(n) for n in task.sizes[1:]]
    layers = list(zip(task.weights, task.biases, buffers))

    def predict(x):
        for W, b, a in layers:
            np.dot(x, W, out=a)
            np.add(a, b, out=a)
            np.negative(a, out=a)
            np.exp(a, out=a)
            np.add(a, 1.0, out=a)
            x = np.reciprocal(a, out=a)
        return x

    def run(k):
        for _ in range(k):
            predict(task.x)

    return [Contender(NAME, run, lambda: predict(task.x).copy(), form="preallocated")]


def product(task):
    out = np.empty_like(task.X)

    def run(k):
        for _ in range(k):
            np.matmul(task.X, task.W, out=out)

    return [Contender("np.matmul", run, lambda: np.matmul(task.X, task.W))]
