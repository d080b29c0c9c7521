"""What runs on a worker: the actor that holds its partitions."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from backprop import _check, _memory, _sparse, losses, options, training
from backprop._dispatch import core
from backprop.examples import Examples

BLOCK = 64               # rows that the kernels hold at a time; it changes no bit


class Partitions:
    """One worker's partitions, checked, and a network that takes whatever parameters it is sent.

    Every answer is by partition and not by worker, so that what is made of the answers does not depend on the number
    of workers. The partitions are worked on side by side in as many threads as the worker has.

    Parameters
    ----------
    network : Network
    partitions : list of (number, (X, Y, weights or None))
    n_threads : int
    """

    def __init__(self, network, partitions, n_threads):
        self.network, self.n_threads, self.stopped = network, n_threads, False
        self.partitions = {}
        for number, (X, Y, weight) in partitions:
            try:
                examples = _checked(network, X, Y, weight)
            except (ValueError, TypeError) as error:
                raise of_partition(number, error) from None
            if examples is not None:
                self.partitions[number] = examples

    def describe(self):
        """{number: (rows, sum of weights or None)} of the partitions that are not empty."""
        return {number: (len(part), None if part.weight is None else float(part.weight.sum()))
                for number, part in self.partitions.items()}

    def gradients(self, parameters, step, steps, key):
        """{number: (Σ w_i ∂C_i/∂w, Σ w_i C_i, rows)} over each partition's share of a step of `steps` in an epoch."""
        self.network._parameters[...] = parameters
        return self._each(lambda number, part: self._gradient(_share(number, part, step, steps, key)))

    def average(self, parameters, slots, numbers, weight_mean, arguments, key):
        """{number: (parameters, slots, running numbers, Σ w_i C_i, rows)} after local epochs on each partition."""
        def train(number, part):
            network = self.network.copy()
            network._parameters[...] = parameters
            network._generator = np.random.default_rng([key, number])
            checked, examples = options.Arguments(**arguments).of(network, part.X, part.Y, None)
            if part.weight is not None:
                examples.weight = part.weight / weight_mean
            state = network._training_state = training.TrainingState(checked.optimizer, numbers.copy(), slots.copy())
            history = training.run(network, checked, examples)
            return network._parameters, state.slots, state.numbers, history.loss[-1] * len(part), len(part)

        return self._each(train)

    async def alive(self):
        """Answered by the worker's event loop while the others compute."""
        return True

    async def stop(self):
        """Let what runs end after the partitions that are being worked on."""
        self.stopped = True

    def _each(self, function):
        def work(item):
            return None if self.stopped else function(*item)

        self.stopped = False
        with ThreadPoolExecutor(max_workers=max(1, min(self.n_threads, len(self.partitions)))) as pool:
            return dict(zip(self.partitions, pool.map(work, self.partitions.items())))

    def _gradient(self, part):
        """(Σ w_i ∂C_i/∂w in the layout of the parameters, Σ w_i C_i, rows); the gradient is None without rows."""
        n, network = len(part), self.network
        if n == 0:
            return None, 0.0, 0
        gradient, each = _memory.zeros(network._parameters.size), np.empty(n)
        memory = _memory.zeros(core.work_size(network._plan, BLOCK))
        scale, most = np.ones(n) if part.weight is None else part.weight, _sparse.block_rows(part.X)
        for start in range(0, n, most):
            rows = slice(start, min(n, start + most))
            X = part.X[rows]
            Y, own = network._own(X, part.Y[rows])
            core.gradients(network._plan, X, Y, scale[rows], gradient, None, each[rows], memory, BLOCK)
            if own is not None:
                each[rows] = own
        return gradient, _total(each, part.weight), n


def of_partition(number, error):
    """The error of a partition's data, with its number in the words and as `partition`."""
    named = type(error)(f"partition {number}: {error}")
    named.partition = number
    return named


def _total(each, weight):
    return core.total_loss(each, weight)


def _checked(network, X, Y, weight):
    """`Examples`, or None for an empty partition."""
    rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if rows == 0:
        return None
    X = _sparse.inputs(X, "X", network.sizes[0], "the network's inputs")
    Y = _check.targets(Y, "Y", rows=X.shape[0], columns=network.sizes[-1])
    losses.check_targets(Y, network._loss_number)
    if weight is not None:
        weight = _check.weights(weight, "sample_weight", rows=X.shape[0], zero=True)
    return Examples(X, Y, weight)


def _share(number, part, step, steps, key):
    """The rows of a partition that belong to a step: the n step / steps-th to the n (step + 1) / steps-th."""
    if steps == 1:
        return part
    n = len(part)
    rows = slice(n * step // steps, n * (step + 1) // steps)
    if key is None:
        return part.rows(rows)
    return part.rows(np.random.default_rng([key, number]).permutation(n)[rows])
