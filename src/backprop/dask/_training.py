"""The two modes of training, and L-BFGS, as solvers in the epoch loop whose passes are made elsewhere."""

import time

import numpy as np

from backprop import _check, _memory, examples, options, solvers, sources, training
from backprop._dispatch import core
from backprop.errors import DivergenceError

MODES = ("sync", "average")


class Elsewhere(sources.Chunks):
    """Training examples on a cluster, as the epoch loop knows them.

    Parameters
    ----------
    cluster : backprop.dask._cluster.Cluster
    plan : Plan
    """

    def __init__(self, cluster, plan):
        self.cluster, self.plan = cluster, plan
        counts = cluster.ask("describe")
        if not counts:
            raise ValueError("X is empty: none of its partitions holds a row")
        self.rows = sum(rows for rows, _ in counts)
        weighted = any(weight is not None for _, weight in counts)
        self.weights = [rows if weight is None else weight for rows, weight in counts]
        self.weight_mean = sum(self.weights) / self.rows if weighted else 1.0
        if self.weight_mean == 0.0:
            raise ValueError("sample_weight are all zero: nothing to train on")

    def __len__(self):
        return self.rows

    def record(self):
        """What a training that goes on from a checkpoint must share, in kinds that JSON has."""
        return [self.rows, self.plan.mode, self.plan.shuffle, *map(float, self.weights)]

    def solver(self, loop):
        """What takes the place of the core's jobs in the epoch loop."""
        if self.plan.mode == "average":
            return Averaging(loop)
        return RemoteLBFGS(loop) if loop.options.optimizer.name == "lbfgs" else Synchronous(loop)


class Plan:
    """The arguments of `backprop.dask.train`, checked before a cluster is touched.

    Parameters
    ----------
    mode : str
    local_epochs : int
    arguments : dict
        All arguments of `Network.train` but those of the data.
    """

    def __init__(self, mode, local_epochs, arguments):
        self.mode = _check.choice(mode, "mode", MODES)
        self.local_epochs = _check.integer(local_epochs, "local_epochs", minimum=1)
        self.arguments = options.Arguments(**arguments)
        self.given, self.shuffle = arguments, self.arguments.shuffle
        self._refuse()

    def _refuse(self):
        optimizer, average = self.arguments.common["optimizer"], self.mode == "average"
        batch_size = self.arguments.batch_size
        if isinstance(self.arguments.validation, (int, float)):
            raise ValueError("validation must be (X, Y) or (X, Y, weights): a fraction of the partitions cannot be "
                             "held out")
        if self.arguments.class_weight is not None:
            raise ValueError("class_weight does not go with partitions: give sample_weight")
        if optimizer.name == "levenberg_marquardt" or average and optimizer.solver:
            raise ValueError(f"optimizer={optimizer.name!r} does not go with mode={self.mode!r}; use a rule of descent"
                             + ("" if average else " or 'lbfgs'"))
        if optimizer.full_batch_only and batch_size != "full":
            raise ValueError(f"optimizer {optimizer.name!r} needs batch_size='full'")
        if not average and self.arguments.dropout:
            raise ValueError("dropout does not go with mode='sync', whose gradients are those of the whole network; "
                             "use mode='average'")
        if not average and self.local_epochs > 1:
            raise ValueError(f"local_epochs={self.local_epochs} does not go with mode='sync', which has none")

    def options(self, network, train):
        """`backprop.options.Options` for the examples elsewhere; nothing is changed."""
        a = self.arguments
        _, held, _ = examples.split(network, None, a.validation, False, None)
        state = network._training_state
        batch_size = len(train) if a.batch_size == "full" else min(a.batch_size, len(train))
        out = object.__new__(options.Options)
        out.__dict__.update(
            a.common, n_threads=1, validation=held, split_seed=None if state is None else state.split_seed,
            batch_size=batch_size, shuffle=False, plateau=None, monitor=None,
            metrics=options._metrics(a.metrics if a.metrics is not options._NO_METRICS else (), train, held, network),
            dropout=None, record=None, checkpoint_path=None if a.checkpoint_path is None else
            options._checkpoint_path(a.checkpoint_path, network))
        options._monitors(out, True)
        if out.optimizer.solver:
            solvers.check(network, out)
        options.check_finite(network)
        if out.checkpoint_path is not None:
            out.record = options.record(out, train)
            options._check_checkpoint(network, out)
        out.manner = training.manner(network, out, train)
        return out


class _Remote:
    """A solver whose epochs are made on a cluster; an epoch that fails is undone."""

    def __init__(self, loop):
        self.loop, self.network, self.train = loop, loop.network, loop.train
        self.ask = self.train.cluster.ask

    def run(self):
        loop, generator = self.loop, self.network._generator.bit_generator
        while True:
            started, drawn = time.perf_counter(), generator.state
            loop._set_rate()
            try:
                total, visited = self.epoch()
            except BaseException:
                for array, kept in zip(loop._arrays(), loop.mark):
                    array[...] = kept
                generator.state = drawn
                raise
            reason = loop.iteration(total, visited, time.perf_counter() - started, None, updates=0)
            if reason is not None:
                return reason

    def _key(self):
        return int(self.network._generator.integers(2**63))

    def _check_finite(self, total):
        slots = self.loop.state.slots
        if not (np.isfinite(total) and core.is_finite(self.network._parameters)
                and (not slots.size or core.is_finite(slots.reshape(-1)))):
            raise DivergenceError(
                f"the loss or a parameter became infinite or NaN in epoch {self.network.epochs_trained + 1} with "
                f"{self.loop.state.optimizer!r}; the last finite parameters are kept. Try a smaller learning_rate, or "
                "scale the inputs (bp.data.Standardizer)")


class Synchronous(_Remote):
    """Steps on the sum of the partitions' gradients.

    Step s of S in an epoch takes, of each partition of n_c rows, the rows n_c s / S to n_c (s + 1) / S. With B rows in
    all and w̄ the mean weight over the training set,

        g = 1 / (B w̄) Σ_c Σ_{i in c} w_i ∂C_i/∂w,    the outer sum in the order of the partitions,

    and the rule steps on g as it does on one machine.
    """

    def __init__(self, loop):
        super().__init__(loop)
        self.gradient = _memory.zeros(self.network._parameters.size)

    def epoch(self):
        """(Σ w_i C_i / w̄ before the steps, rows visited) of an epoch."""
        loop, train = self.loop, self.train
        steps = -(-len(train) // loop.options.batch_size)
        key = self._key() if steps > 1 and train.plan.shuffle else None
        total, visited = 0.0, 0
        for step in range(steps):
            part, rows = self._sum(step, steps, key)
            if rows:
                self.gradient *= 1.0 / (rows * train.weight_mean)
                core.step_from_gradient(self.network._plan, loop.task, self.gradient)
                loop.updates += 1
            total, visited = total + part / train.weight_mean, visited + rows
            self._check_finite(total)
            if visited and loop._budget_spent():
                break
        return total, visited

    def _sum(self, step, steps, key):
        """Σ_c of the gradients, into `gradient`; (Σ w_i C_i, rows)."""
        gradient, total, rows = self.gradient, 0.0, 0
        gradient[...] = 0.0
        for part, losses, count in self.ask("gradients", self.network._parameters, step, steps, key):
            if part is not None:
                gradient += part
            total, rows = total + losses, rows + count
        return total, rows


class RemoteLBFGS(solvers.LBFGS):
    """L-BFGS whose values and gradients are sums over partitions, in their order."""

    def __init__(self, loop):
        self.loop, self.network, self.train = loop, loop.network, loop.train
        self.hyper, self.decay = loop.options.optimizer.hyper, self._compact_l2()
        self.gradient, self.visited, self.sum = _memory.zeros(self.network._parameters.size), 0, 0.0
        self.ask = self.train.cluster.ask

    def _pass(self, w):
        mean = self.train.weight_mean
        self.sum, self.visited = 0.0, 0
        for part, losses, count in self.ask("gradients", self.network._parameters, 0, 1, None):
            self.gradient += part
            self.sum, self.visited = self.sum + losses, self.visited + count
        self.gradient *= 1.0 / (len(self.train) * mean)
        self.sum /= mean
        self._look_at_the_clock()

    def _total(self):
        return self.sum


class Averaging(_Remote):
    """Local epochs on each partition from the same parameters, then their weighted mean.

    With p_c the sum of the weights of partition c (its rows, without weights) and w_c what training on it makes of w,

        w := Σ_c (p_c / Σ p) w_c,

    and likewise the optimizer's slots and running numbers, which are running means and their masses: their mean is the
    state of the mean. (McMahan et al. 2017, with partitions for clients.)
    """

    def epoch(self):
        loop, train, state, network = self.loop, self.train, self.loop.state, self.network
        rate = float(state.numbers[0])
        answers = self.ask("average", network._parameters, state.slots, state.numbers, train.weight_mean,
                           self._arguments(rate), self._key())
        shares, hyper = np.array(train.weights) / sum(train.weights), len(state.optimizer.hyper)
        for array in (network._parameters, state.slots, state.numbers[hyper:]):
            array[...] = 0.0
        total, visited = 0.0, 0
        for share, (parameters, slots, numbers, losses, rows) in zip(shares, answers, strict=True):
            network._parameters += share * parameters
            state.slots += share * slots
            state.numbers[hyper:] += share * numbers[hyper:]
            total, visited = total + losses, visited + rows
        loop.updates += 1
        self._check_finite(total)
        return total, visited

    def _arguments(self, rate):
        """Arguments of the local training: those of the call, without what is decided between the rounds."""
        return {**self.train.plan.given, "epochs": self.train.plan.local_epochs, "schedule": _Constant(rate),
                "validation": None, "early_stopping": None, "metrics": (), "max_seconds": None, "max_updates": None,
                "target_loss": None, "callbacks": (), "progress": False, "checkpoint_path": None,
                "checkpoint_every": 1, "n_threads": 1}


class _Constant:
    """A schedule that can be sent to the workers: the round's learning rate, which may be 0."""

    def __init__(self, rate):
        self.rate_of_round = rate

    def __call__(self, epoch, learning_rate):
        return self.rate_of_round
