"""What is measured after an epoch besides its loss: validation loss, metrics, gradient norm."""

import numpy as np

from backprop import _memory, _sparse, sources
from backprop._dispatch import core

BLOCK = 64          # rows that the kernels feed forward at a time; it changes no bit


def wanted(options):
    """Whether the options ask for any measurement."""
    return options.validation is not None or bool(options.metrics.rows) or options.metrics.gradient_norm


class Measured:
    """The measurements of one call of training that asks for any.

    Parameters
    ----------
    network : Network
    options : backprop.options.Options
    train : Examples or Chunks
    slice_rows : callable
        How many examples may be looked at until Ctrl-C is heard again.
    """

    def __init__(self, network, options, train, slice_rows):
        self.network, self.options, self.train, self.slice_rows = network, options, train, slice_rows
        self.metrics = options.metrics
        self.memory = _memory.zeros(core.work_size(network._plan, BLOCK))

    def values(self):
        """{column: value} at the network's present parameters; None for what is not finite."""
        out, held = {}, self.options.validation
        if held is not None:
            out["val_loss"] = _finite(self._loss(held))
        if self.metrics.gradient_norm:
            out["gradient_norm"] = _finite(self._gradient_norm())
        if self.metrics.rows:
            if not isinstance(self.train, sources.Chunks):
                out.update(self._metrics(self.train))
            if held is not None:
                out.update((f"val_{name}", value) for name, value in self._metrics(held).items())
        return out

    def _slices(self, examples):
        """Slices of the examples, each short enough to hear Ctrl-C after it, and to be made dense."""
        n, most, start = len(examples), _sparse.block_rows(examples.X), 0
        while start < n:
            stop = min(n, start + min(most, max(BLOCK, int(self.slice_rows()))))
            yield slice(start, stop)
            start = stop

    def _loss(self, examples):
        """The mean loss: the bits of `Network.evaluate`."""
        each = np.empty(len(examples))
        for part in self._slices(examples):
            X, Y = examples.X[part], examples.Y[part]
            _, own = self.network._own(X, Y)
            if own is None:
                core.evaluate(self.network._plan, X, Y, each[part], self.memory, BLOCK)
            else:
                each[part] = own
        weight = examples.weight
        with np.errstate(over="ignore", invalid="ignore"):
            return each.mean() if weight is None else (weight * each).sum() / weight.sum()

    def _metrics(self, examples):
        P = np.empty(examples.Y.shape)
        outputs = [None] * (len(self.network.sizes) - 1)
        for part in self._slices(examples):
            core.forward(self.network._plan, examples.X[part], [*outputs, P[part]], self.memory, BLOCK)
        return self.metrics.measure(examples.Y, P, examples.weight)

    def _gradient_norm(self):
        """‖∇(data loss + penalty)‖ over all training data."""
        network, options, train = self.network, self.options, self.train
        n = len(train)
        scale = np.full(n, 1.0 / n) if train.weight is None else train.weight / n
        gradient, each = _memory.zeros(network._parameters.size), np.empty(n)
        for part in self._slices(train):
            X = train.X[part]
            Y, _ = network._own(X, train.Y[part])
            core.gradients(network._plan, X, Y, scale[part], gradient, None, each[part], self.memory, BLOCK)
        with np.errstate(over="ignore", invalid="ignore"):       # the value is None then
            for W, dW in zip(network._weights, network._split(gradient)[0]):
                dW += options.l2 * W + options.l1 * np.sign(W)
            return np.sqrt(np.square(gradient).sum())


def _finite(value):
    return float(value) if np.isfinite(value) else None
