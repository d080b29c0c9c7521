"""The epoch loop: order of visits, calls of the kernel, budgets, history, callbacks.

The epoch is the seam between Python and the core. One call of the core trains a part of an epoch (bounded in time, so that
Ctrl-C is heard) or, when the epochs are short and nobody listens between them, many epochs.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from backprop import _check, _memory, losses, optimizers
from backprop._dispatch import core
from backprop.errors import DivergenceError

logger = logging.getLogger("backprop")

MAX_BLOCK = 256          # rows of a batch that the kernels hold at a time; it changes no bit
SLICE_SECONDS = 0.1      # aimed duration of one call of the core: a fifth of what Ctrl-C may take
SPARSE_MAX_DENSITY = 0.4     # share of non-zero inputs up to which skipping the zeros pays (docs/performance.md)
SPARSE_MIN_INPUTS = 32       # fewer inputs are not worth the lists
MAX_THREADS = 256
SLICE_EPOCHS = 4096      # most epochs in one call, so that their orders stay small


@dataclass
class History:
    """What training did, epoch by epoch, as lists of equal length.

    Attributes
    ----------
    epoch : list of int
        Number of the epoch over the network's life, from 1.
    loss : list of float
        Mean data loss of the epoch as it was trained: each example before its update.
    penalty : list of float
        l1 ‖W‖₁ + (l2/2) ‖W‖² at the end of the epoch; `loss` + `penalty` is the objective.
    learning_rate : list of float
    seconds : list of float
        Time of the epoch; epochs trained in one call of the core share it evenly.
    stop_reason : str or None
        "epochs", "max_seconds", "target_loss", "callback" or "interrupted"; None while training.
    """

    epoch: list = field(default_factory=list)
    loss: list = field(default_factory=list)
    penalty: list = field(default_factory=list)
    learning_rate: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    stop_reason: str | None = None

    def to_dict(self):
        """The lists and the stop reason as one plain dict."""
        return {key: list(value) if isinstance(value, list) else value for key, value in self.__dict__.items()}

    def __len__(self):
        return len(self.epoch)

    def __repr__(self):
        if not self.epoch:
            return f"History(no epochs, stop_reason={self.stop_reason!r})"
        return (f"History({len(self)} epochs, loss {self.loss[0]:.6g} -> {self.loss[-1]:.6g}, "
                f"{sum(self.seconds):.3g} s, stop_reason={self.stop_reason!r})")


@dataclass
class State:
    """What a callback sees after an epoch: its number, the network, the history so far, and the epoch's values by name."""

    epoch: int
    network: object
    history: History
    logs: dict


@dataclass
class Options:
    """Checked options of one call of `Network.train`."""

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray | None
    epochs: int
    batch_size: int
    optimizer: optimizers.Optimizer
    shuffle: bool
    l1: float
    l2: float
    clip_norm: float
    max_seconds: float | None
    target_loss: float | None
    callbacks: list
    progress: bool
    n_threads: int


@dataclass
class TrainingState:
    """The optimizer's state, which belongs to the network: the rule, its numbers and its slots."""

    optimizer: optimizers.Optimizer
    numbers: np.ndarray          # learning rate, hyper-parameters, running numbers
    slots: np.ndarray            # (n_slots, n_padded)


@dataclass
class Task:
    """What one call of the core reads: data, options, state and buffers."""

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray | None
    batch_size: int
    block: int
    optimizer: int
    numbers: np.ndarray
    slots: np.ndarray
    gradient: np.ndarray
    memory: np.ndarray
    online_memory: np.ndarray
    nonzero: tuple | None
    l1: float
    l2: float
    clip_norm: float
    n_threads: int


def check_options(network, X, Y, *, epochs, batch_size, optimizer, learning_rate, shuffle, sample_weight, l1, l2, clip_norm,
                  max_seconds, target_loss, callbacks, progress, n_threads):
    """`Options` from the arguments of `Network.train`, or the error that names the argument."""
    X, Y, weight = network._examples(X, Y, sample_weight)
    if weight is not None:
        weight = weight / weight.mean()
    n = X.shape[0]
    if isinstance(batch_size, str):
        _check.choice(batch_size, "batch_size", ["full"])
        batch_size = n
    batch_size = min(_check.integer(batch_size, "batch_size", minimum=1), n)
    if learning_rate is not None:
        learning_rate = _check.real(learning_rate, "learning_rate", above=0.0)
    optimizer = optimizers.resolve(optimizer, learning_rate)
    if optimizer.full_batch_only and batch_size != n:
        raise ValueError(f"optimizer {optimizer.name!r} needs batch_size='full': its step sizes follow the sign of the "
                         "whole gradient")
    callbacks = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callable, got {type(callback).__name__}")
    if not network_is_finite(network):
        raise ValueError("the network's parameters are not finite; set them or call reset()")
    return Options(
        X=X, Y=Y, weight=weight, epochs=_check.integer(epochs, "epochs", minimum=0), batch_size=batch_size,
        optimizer=optimizer, shuffle=_check.boolean(shuffle, "shuffle") and batch_size < n,
        l1=_check.real(l1, "l1", minimum=0.0), l2=_check.real(l2, "l2", minimum=0.0),
        clip_norm=0.0 if clip_norm is None else _check.real(clip_norm, "clip_norm", above=0.0),
        max_seconds=None if max_seconds is None else _check.real(max_seconds, "max_seconds", above=0.0),
        target_loss=None if target_loss is None else _check.real(target_loss, "target_loss"),
        callbacks=callbacks, progress=_check.boolean(progress, "progress"),
        n_threads=_check.integer(n_threads, "n_threads", minimum=1, maximum=MAX_THREADS))


def network_is_finite(network):
    """Whether every parameter is finite (a user may have written anything through the views)."""
    return core.is_finite(network._parameters)


def run(network, options):
    """Train `network` in place; returns its `History`."""
    history = History()
    network.history = history
    run_ = _Run(network, options, history)
    try:
        history.stop_reason = run_.epochs()
    except KeyboardInterrupt:
        history.stop_reason = "interrupted"
        raise
    finally:
        run_.close()
    return history


class _Run:
    """One call of `train`: the task for the core, the clock, and what is told after each epoch."""

    def __init__(self, network, options, history):
        self.network, self.options, self.history = network, options, history
        self.state = _training_state(network, options.optimizer)
        self.n = options.X.shape[0]
        block = min(options.batch_size, MAX_BLOCK)
        self.task = Task(
            X=options.X, Y=options.Y, weight=options.weight, batch_size=options.batch_size, block=block,
            optimizer=self.state.optimizer.number, numbers=self.state.numbers, slots=self.state.slots,
            gradient=_memory.zeros(network._parameters.size),
            memory=_memory.zeros(core.work_size(network._plan, block, options.n_threads)),
            online_memory=_memory.zeros(core.online_size(network._plan)), nonzero=self._nonzero(), l1=options.l1, l2=options.l2,
            clip_norm=options.clip_norm, n_threads=options.n_threads)
        self.n_threads = options.n_threads
        self.listeners = bool(options.callbacks) or options.target_loss is not None
        self.started = time.perf_counter()
        self.rows_per_second = 1e9 / network.n_parameters        # a cautious guess until the first call is measured
        self.bar = _progress_bar(options.epochs) if options.progress else None

    def _nonzero(self):
        """Lists of the non-zero inputs where the one-example kernel gains by skipping the others; else None."""
        X, units = self.options.X, self.network._sizes[1]
        if self.options.batch_size > 1 or units == 1 or X.shape[1] < SPARSE_MIN_INPUTS:
            return None
        starts = np.empty(self.n + 1, dtype=np.int64)
        core.count_nonzero(X, starts)
        if starts[-1] > SPARSE_MAX_DENSITY * X.size:
            return None
        index, values = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1])
        core.gather_nonzero(X, starts, index, values)
        return starts, index, values

    def epochs(self):
        """All epochs; returns the stop reason."""
        done = 0
        while done < self.options.epochs:
            if self._out_of_time():
                return "max_seconds"
            count = self._epochs_at_once(self.options.epochs - done)
            started = time.perf_counter()
            totals = self._many(count) if count > 1 else self._one()
            if totals is None:
                return "max_seconds"
            done += count
            reason = self._record(totals, (time.perf_counter() - started) / count)
            if reason is not None:
                return reason
        return "epochs"

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def _out_of_time(self):
        limit = self.options.max_seconds
        return limit is not None and time.perf_counter() - self.started >= limit

    def _epochs_at_once(self, left):
        """How many epochs the next call may hold: one if somebody listens in between, else what fits a slice."""
        if self.listeners:
            return 1
        return max(1, min(left, SLICE_EPOCHS, int(self._slice_rows() // self.n)))

    def _slice_rows(self):
        seconds = SLICE_SECONDS
        if self.options.max_seconds is not None:
            left = self.options.max_seconds - (time.perf_counter() - self.started)
            seconds = min(seconds, max(left, 0.0))
        return self.rows_per_second * seconds

    def _orders(self, count):
        """(count, n) indices: the order of visits in each of the next epochs."""
        orders = np.empty((count, self.n), dtype=np.intp)
        orders[:] = np.arange(self.n, dtype=np.intp)
        return self.network._generator.permuted(orders, axis=1, out=orders) if self.options.shuffle else orders

    def _many(self, count):
        totals = np.zeros(count)
        self._call(self._orders(count).ravel(), self.n, totals)
        return totals

    def _one(self):
        """One epoch in slices of whole batches; None when the time ran out within it."""
        order = self._orders(1).ravel()
        totals, start, batch_size = np.zeros(1), 0, self.options.batch_size
        while start < self.n:
            batches = max(1, int(self._slice_rows() // batch_size))
            stop = min(self.n, start + batches * batch_size)
            self._call(order[start:stop], stop - start, totals)
            start = stop
            if start < self.n and self._out_of_time():
                return None
        return totals

    def _call(self, order, rows, totals):
        """One call of the core; on divergence the state before it comes back."""
        network, state = self.network, self.state
        before = network._parameters.copy(), state.slots.copy(), state.numbers.copy()
        started = time.perf_counter()
        status, parts = _work(core.job(network._plan, self.task, order, rows, totals, self.n_threads), self.n_threads)
        seconds = time.perf_counter() - started
        if status != 0:
            network._parameters[...], state.slots[...], state.numbers[...] = before
            raise DivergenceError(
                f"the loss or a parameter became infinite or NaN in epoch {network.epochs_trained + parts + 1} with "
                f"{state.optimizer!r}; the last finite parameters are kept. Try a smaller learning_rate, or scale the inputs "
                "(bp.data.Standardizer)")
        if seconds > 0:
            self.rows_per_second = order.size / seconds

    def _record(self, totals, seconds):
        """History, callbacks and progress of the epochs just trained; returns a stop reason or None."""
        network, history = self.network, self.history
        for total in totals:
            network.epochs_trained += 1
            history.epoch.append(network.epochs_trained)
            history.loss.append(float(total) / self.n)
            history.penalty.append(self._penalty())
            history.learning_rate.append(float(self.state.numbers[0]))
            history.seconds.append(seconds)
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{history.loss[-1]:.6g}", refresh=False)
            self.bar.update(len(totals))
        logs = {key: value[-1] for key, value in history.to_dict().items() if isinstance(value, list)}
        stops = [callback(State(history.epoch[-1], network, history, logs)) for callback in self.options.callbacks]
        if any(stop is True for stop in stops):
            return "callback"
        if self.options.target_loss is not None and history.loss[-1] <= self.options.target_loss:
            return "target_loss"
        return None

    def _penalty(self):
        l1, l2 = self.options.l1, self.options.l2
        if l1 == 0.0 and l2 == 0.0:
            return 0.0
        return float(sum(l1 * np.abs(W).sum() + 0.5 * l2 * np.square(W).sum() for W in self.network._weights))


def _work(job, n_threads):
    """Do a job of the core with a team of threads, made here and gone at the end; returns (status, parts trained)."""
    team = [threading.Thread(target=core.work, args=(job, t), name=f"backprop-{t}") for t in range(1, n_threads)]
    started = []
    try:
        for thread in team:
            thread.start()
            started.append(thread)
        return core.work(job)
    finally:
        core.abandon(job)            # nobody is inside any more, unless a thread could not be started
        for thread in started:
            thread.join()


def _training_state(network, optimizer):
    """The network's optimizer state for `optimizer`: as it stands if the rule is the same, else new.

    Another learning rate or another hyper-parameter of the same rule goes on with the slots.
    """
    state = network._training_state
    if state is not None and state.optimizer.name == optimizer.name:
        hyper = len(optimizer.hyper)
        state.numbers[:hyper] = optimizer.numbers()[:hyper]
        state.optimizer = optimizer
        return state
    state = TrainingState(optimizer, optimizer.numbers(), _memory.zeros(optimizer.n_slots, network._parameters.size))
    network._training_state = state
    return state


def _progress_bar(epochs):
    from tqdm import tqdm                # loaded only when a bar is shown

    return tqdm(total=epochs, unit="epoch", dynamic_ncols=True)
