"""The epoch loop: order of visits, calls of the kernel, schedule, validation, stopping, budgets, history, callbacks.

The epoch is the seam between Python and the core. One call of the core trains a part of an epoch (bounded in time, so
that Ctrl-C is heard) or, when the epochs are short and nobody listens between them, many epochs.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from backprop import _check, _memory, _order, _sparse, _threads, optimizers, schedules, solvers, sources, stopping
from backprop._dispatch import core
from backprop.errors import DivergenceError
from backprop.history import History
from backprop.measure import Measured, wanted

logger = logging.getLogger("backprop")
logger.addHandler(logging.NullHandler())     # silent unless the application asks

MAX_BLOCK = 256          # rows of a batch that the kernels hold at a time; it changes no bit
REDRAWN_ROWS = 100_000   # rows of orders that are drawn again at most, about, after a failure or Ctrl-C
SLICE_SECONDS = 0.1      # aimed duration of one call of the core: a fifth of what Ctrl-C may take
THREAD_FLOPS = 1e7     # arithmetic of a step that pays for one more thread (docs/performance.md)
SPARSE_MAX_DENSITY = 0.4     # share of non-zero inputs up to which skipping the zeros pays (docs/performance.md)
SPARSE_MIN_INPUTS = 32       # fewer inputs are not worth the lists
SPARSE_MAX_INPUTS = 2**31    # more do not fit their int32; the dense kernel gives the same bits
SLICE_EPOCHS = 4096      # most epochs in one call, so that their orders stay small


@dataclass
class State:
    """What a callback sees after an epoch.

    Attributes
    ----------
    epoch : int
        Number of the epoch over the network's life, from 1.
    network : Network
    history : History
        So far.
    logs : dict
        The epoch's measured values by name.
    """

    epoch: int
    network: object
    history: History
    logs: dict


@dataclass
class TrainingState:
    """What training remembers between calls; it belongs to the network and is saved with it.

    `to_dict` gives all but the slots, as JSON takes it: what a model file stores beside the array `slots`, the
    network's `epochs_trained` and the state of its generator.
    """

    optimizer: optimizers.Optimizer
    numbers: np.ndarray                    # learning rate, hyper-parameters, running numbers
    slots: np.ndarray                      # (n_slots, n_padded)
    schedule: dict | None = None           # the schedule that `schedule_state` belongs to, as its to_dict describes it
    schedule_state: dict = field(default_factory=dict)
    split_seed: int | None = None          # of the random part held out by validation=fraction
    visits: int = 0                        # to examples so far: what dropout counts with
    dropout_key: int | None = None         # of the generator of masks; drawn when dropout is first asked for
    checkpoint: dict | None = None         # of a training that saves checkpoints, while it runs: `options.record`

    def to_dict(self):
        """All but the slots as plain dicts, lists, strings and numbers; floats keep every bit through JSON."""
        checkpoint = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        return {"optimizer": {"name": self.optimizer.name, **self.optimizer.hyper}, "numbers": self.numbers.tolist(),
                "schedule": self.schedule, "schedule_state": dict(self.schedule_state), "split_seed": self.split_seed,
                "visits": self.visits, "dropout_key": self.dropout_key, **checkpoint}

    def __setstate__(self, values):
        self.__dict__.update(values)                       # of a pickle or a copy, which may lie in a file's pages
        self.numbers, self.slots = np.array(self.numbers), _aligned(self.slots)

    @classmethod
    def from_dict(cls, values, slots):
        """The state that `to_dict` wrote, with its (n_slots, n_padded) `slots`."""
        optimizer, key = optimizers.Optimizer(**values["optimizer"]), values["dropout_key"]
        numbers = _check.vector(values["numbers"], "numbers", length=optimizer.numbers().size,
                                of="the optimizer's numbers")
        if slots.shape[0] != optimizer.n_slots:
            raise ValueError(f"optimizer {optimizer.name!r} has {optimizer.n_slots} slots, got {slots.shape[0]}")
        return cls(optimizer, numbers.copy(), _aligned(slots), values["schedule"], dict(values["schedule_state"]),
                   values["split_seed"], _check.integer(values["visits"], "visits", minimum=0, maximum=2**63),
                   key if key is None else _check.integer(key, "dropout_key", minimum=0, maximum=2**64 - 1),
                   values.get("checkpoint"))


def _aligned(slots):
    """A writable copy of (n_slots, n_padded) slots, as the core wants them."""
    aligned = _memory.zeros(*slots.shape)
    aligned[...] = slots
    return aligned


@dataclass
class Dropout:
    """What the core reads to drop units of hidden layers."""

    rates: np.ndarray                      # (L + 1,): of z[l], 0 for input and output
    key: int
    visit: int                             # number of the next call's first visit
    memory: np.ndarray


@dataclass(slots=True)
class Rule:
    """What the calls of the core read that is the same for all networks of a `Manner`."""

    optimizer: int
    batch_size: int
    block: int                             # rows of a batch that the kernels hold at a time
    l1: float
    l2: float
    clip_norm: float
    max_norm: float
    n_threads: int                         # of the team


@dataclass(slots=True)
class Task:
    """What one call of the core reads: data, state and buffers."""

    rule: Rule
    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray | None
    numbers: np.ndarray
    slots: np.ndarray
    memory: np.ndarray                     # from core.job_memory
    nonzero: tuple | None
    dropout: Dropout | None


@dataclass(slots=True)
class Manner:
    """What follows from the options and the kind of a network, the same for all networks that share both."""

    columns: tuple                         # names of the history's columns beyond the usual
    in_parts: bool                         # whether an epoch is trained on part by part: `sources`
    elsewhere: bool                        # whether a solver may take the place of the core's jobs
    listened: bool                         # whether something must be done between any two epochs
    measured: bool                         # whether anything is measured besides the loss
    draws: bool                            # whether the network's generator may be drawn from
    budgets: bool                          # whether anything but the epochs bounds the training
    scheduled: bool                        # whether the learning rate is another in each epoch
    penalised: bool                        # whether the objective has a penalty
    schedule: dict | None                  # the schedule's description
    no_slots: np.ndarray | None            # (0, n_padded), of an optimizer that has none
    lists: bool                            # whether lists of the non-zero inputs may pay: `_nonzero`
    rule: Rule


def manner(network, options, train):
    """The `Manner` of checked options, for `options.manner`."""
    o, streamed, sizes = options, isinstance(train, sources.Chunks), network._sizes
    in_parts = streamed or isinstance(train.X, _sparse.SparseRows)
    measured = wanted(o)
    scheduled, penalised = type(o.schedule) is not schedules.constant, o.l1 != 0.0 or o.l2 != 0.0
    listened = (bool(o.callbacks) or o.target_loss is not None or o.monitor is not None or measured or scheduled
                or penalised or network._own_loss is not None or in_parts)
    rule = Rule(o.optimizer.number, o.batch_size, min(o.batch_size, MAX_BLOCK), o.l1, o.l2, o.clip_norm, o.max_norm,
                _team_size(network, o))
    return Manner(
        columns=tuple(o.columns(streamed)), in_parts=in_parts, elsewhere=streamed or o.optimizer.solver,
        listened=listened, measured=measured, draws=streamed or o.shuffle or o.dropout is not None,
        budgets=o.max_updates is not None or o.max_seconds is not None or o.checkpoint_path is not None,
        scheduled=scheduled, penalised=penalised, schedule=o.schedule.to_dict(),
        no_slots=None if o.optimizer.n_slots else np.empty((0, network._parameters.size)),
        lists=o.batch_size == 1 and sizes[1] > 1 and SPARSE_MIN_INPUTS <= sizes[0] <= SPARSE_MAX_INPUTS,
        rule=rule)


# ---- the loop --------------------------------------------------------------------------------------------------------

def run(network, options, train):
    """Train `network` in place on the examples or chunks `train`; returns its `History`."""
    return drive(steps(network, options, train))


def drive(training):
    """Do the jobs that a generator of them yields, one after the other; returns what it returns."""
    go_on, what = training.send, None
    while True:
        try:
            job, n_threads = go_on(what)
            started = time.perf_counter()
            status, parts = _work(job, n_threads)
            go_on, what = training.send, (status, parts, time.perf_counter() - started)
        except StopIteration as end:
            return end.value
        except BaseException as error:
            if training.gi_frame is None:        # it is the training itself that has failed
                raise
            go_on, what = training.throw, error  # Ctrl-C, most likely


def pace():
    """Seconds that the next call of the core may take: what `steps` takes where nothing else is given."""
    return SLICE_SECONDS


def steps(network, options, train, pace=pace):
    """The training of `network` as a generator, which leaves its jobs to the caller and returns its `History`.

    It yields (job of the core, threads for it) and is sent (status, parts trained, seconds) of the work done. What is
    thrown into it ends the training there, with the parameters as they were before the job. `pace` gives the seconds
    that the next job may take; it is called wherever Ctrl-C is to be heard, and may raise.
    """
    network._enter("train")
    try:
        return (yield from _books(network, options, train, pace))
    finally:
        network._leave()


def _books(network, options, train, pace):
    """What stands around the epochs: the history, and its end whatever way the training ends."""
    history, earlier = History(options.manner.columns), network.history
    before = _remembered(network, options.manner.draws)
    network._earlier_history = earlier if earlier is not None and earlier.stop_reason is None else None
    network.history = history
    first = network.epochs_trained
    untouched = None
    try:
        loop = _Run(network, options, train, history, before[-1], pace)
    except BaseException:                        # no memory, or Ctrl-C: nothing has begun
        _restore(network, before)
        network._earlier_history = None
        raise
    try:
        history.stop_reason = yield from loop.epochs()
    except BaseException as error:
        history.trim()
        network.epochs_trained = first + len(history)
        if isinstance(error, KeyboardInterrupt):
            history.stop_reason = "interrupted"
        elif not len(history):
            untouched = before
        raise
    finally:
        loop.close(restore_best=untouched is None)
        if untouched is not None:
            _restore(network, untouched)
    if logger.isEnabledFor(logging.INFO):        # looking at the history has its price
        logger.info("trained %d epochs, %r", len(history), history)
    return history


def _remembered(network, draws):
    """What a call of `train` changes besides parameters and slots, for `_restore`; the generator where it `draws`."""
    state = network._training_state
    fields = None if state is None else {**vars(state), "numbers": state.numbers.copy(),
                                         "schedule_state": dict(state.schedule_state)}
    return fields, network._stopping_state, network.history, network._generator.bit_generator.state if draws else None


def _restore(network, remembered):
    """After a call that failed in its first epoch: the network as it was before, whose parameters are back already."""
    fields, network._stopping_state, network.history, generator = remembered
    network._training_state = None if fields is None else TrainingState(**fields)
    if generator is not None:
        network._generator.bit_generator.state = generator


class _Run:
    """One call of `train`: the task for the core, the clock, and what is told after each epoch."""

    part, stopping = None, False             # what is trained on now; whether a training beside a reader is to end
    updates, away = 0, 0.0                   # away: seconds that were spent on other networks
    generator, drawn = None, 0               # its state, once dropout has its key, after so many epochs
    inner = measured = best = solver = bar = None

    def __init__(self, network, options, train, history, generator, pace):
        self.network, self.options, self.train, self.history, self.pace = network, options, train, history, pace
        self.state = state = _training_state(network, options)
        self.manner = manner = options.manner
        # A stream tells its length at the end of an epoch.
        self.n = n = np.inf if isinstance(train, sources.Chunks) else len(train)
        rule = manner.rule
        self.task = Task(rule, None, None, None, state.numbers, state.slots,
                         core.job_memory(network._plan, rule.block), None,
                         None if options.dropout is None else self._dropout(rule.block))
        if not manner.in_parts:
            self._take(train)
        self.updates_per_epoch = -(-n // rule.batch_size)
        if manner.measured:
            self.measured = Measured(network, options, train, self._slice_rows)
        if options.monitor is not None:
            self.best = stopping.Best(options.early_stopping, options.monitor, self._arrays(), network._stopping_state)
        network._stopping_state = None if self.best is None else self.best.state
        self.first = first = network.epochs_trained
        self.last_epoch = first + options.epochs
        self.started = time.perf_counter()
        self.rows_per_second = 1e9 / (500 + network._n_parameters)   # a cautious guess until a call has been measured
        if rule.n_threads > 1:       # an epoch: barriers take far longer where something else wants the processors
            self.rows_per_second = min(self.rows_per_second, 1.01 * n / (SLICE_SECONDS or 1.0))
        self.singly = manner.listened                # whether each epoch is a call of the core of its own
        if options.shuffle:
            self.generator = generator if options.dropout is None else network._generator.bit_generator.state
        self.mark = (network._parameters.copy(), state.slots if manner.no_slots is not None else state.slots.copy(),
                     state.numbers.copy())           # for failures, see `_rewound`
        self.marked = first, state.visits
        if manner.elsewhere:
            self.solver = solvers.make(self)
        if options.progress:
            self.bar = _progress_bar(options.epochs)         # last: nothing may fail after it

    def _take(self, part):
        """Show dense examples to the core."""
        task = self.task
        self.part, task.X, task.Y, task.weight = part, part.X, part.Y, part.weight
        if self.network._own_loss is not None:
            task.Y = np.zeros(part.Y.shape)
        if self.manner.lists:
            task.nonzero = _nonzero(part.X)

    def _dropout(self, block):
        """The core's `Dropout` for up to `block` rows at a time, with the key of the network's training."""
        network, state, rates = self.network, self.state, self.options.dropout
        if state.dropout_key is None:
            state.dropout_key = int(network._generator.integers(2**64, dtype=np.uint64))
        memory = _memory.zeros(core.dropout_size(network._plan, rates, block))
        return Dropout(rates, state.dropout_key, state.visits, memory)

    def epochs(self):
        """All epochs, a generator of jobs; returns the stop reason."""
        if self.best is not None and self.best.given_up():       # saved by a callback of the last epoch
            return "early_stopping"
        if self.solver is not None and self.options.epochs > 0:
            return self.solver.run()
        done = 0
        while done < self.options.epochs:
            if done:
                if self.manner.budgets and (reason := self._budget_spent()):
                    return reason
                self._set_mark()
            count = 0 if self.singly else self._epochs_at_once(self.options.epochs - done)
            try:
                if self.manner.scheduled:
                    self._set_rate()
                started = time.perf_counter() - self.away
                totals, visited = yield from (self._many(count) if count > 0 else self._one())
                reason = self._record(totals, visited, time.perf_counter() - self.away - started)
            except BaseException as error:
                failed = isinstance(error, Exception)        # else Ctrl-C, which leaves what was learnt within an epoch
                returns = self.best is not None and self.best.epoch is not None      # unless the best comes back
                back = (failed or returns or count > 0 or self.state.visits == self.marked[1]) and self._rewound()
                if not (failed and back and count > 1):
                    raise
                self.singly = True           # again, one by one, up to the epoch that fails
                continue
            if reason is None and visited < self.n:
                reason = self._budget_spent()
            if reason is not None:
                return reason
            done += max(count, 1)
            if self.options.checkpoint_path is not None:
                self._checkpoint()
        return "epochs"

    # an epoch that fails

    def _arrays(self):
        return self.network._parameters, self.state.slots, self.state.numbers

    def _keep(self, copies):
        for kept, array in zip(copies, self._arrays()):
            kept[...] = array
        return copies

    def _set_mark(self):
        """Note where training stands after an epoch."""
        if self.marked != (self.network.epochs_trained, self.state.visits) or self.options.callbacks:
            self._keep(self.mark)
        self.marked = self.network.epochs_trained, self.state.visits
        if self.generator is not None and (len(self.history) - self.drawn) * self.n >= REDRAWN_ROWS:
            self.generator, self.drawn = self.network._generator.bit_generator.state, len(self.history)

    def _rewound(self):
        """Take everything back to the mark; False where the epoch is whole and only what followed it has failed."""
        network, state = self.network, self.state
        self.history.trim()
        if self.first + len(self.history) != self.marked[0]:
            return False
        for array, kept in zip(self._arrays(), self.mark):
            array[...] = kept
        state.visits = self.marked[1]
        if self.task.dropout is not None:
            self.task.dropout.visit = state.visits
        if self.generator is not None:       # its state after each epoch is not kept, which would cost short epochs
            network._generator.bit_generator.state = self.generator
            for _ in range(len(self.history) - self.drawn):
                self._orders(1)
        return True

    def close(self, restore_best=True):
        """What comes at the end however training ends."""
        if self.best is not None and restore_best:
            self.best.restore()
            self.history.best_epoch = self.best.epoch
        self.network._stopping_state = self.network._earlier_history = self.state.checkpoint = None
        self.measured = self.solver = None       # they know the loop: a cycle, which would keep their arrays a while
        if self.bar is not None:
            self.bar.close()

    # checkpoints

    def _until_checkpoint(self):
        """Epochs until the next checkpoint; they are counted over the network's life, as a resumed training counts."""
        if self.options.checkpoint_path is None:
            return np.inf
        return self.options.checkpoint_every - self.network.epochs_trained % self.options.checkpoint_every

    def _checkpoint(self):
        """Save the network where it is time."""
        if self._until_checkpoint() != self.options.checkpoint_every:
            return
        from backprop import model_file  # loaded only when a model is saved or loaded

        model_file.save(self.options.checkpoint_path, self.network)

    # budgets

    def _budget_spent(self):
        """The budget that is used up, or None."""
        o = self.options
        if o.max_updates is not None and self.updates >= o.max_updates:
            return "max_updates"
        return "max_seconds" if self.out_of_time() else None

    def seconds(self):
        """Seconds that this training has taken so far."""
        return time.perf_counter() - self.started - self.away

    def out_of_time(self):
        """Whether `max_seconds` are over."""
        return self.options.max_seconds is not None and self.seconds() >= self.options.max_seconds

    def _updates_left(self):
        return np.inf if self.options.max_updates is None else self.options.max_updates - self.updates

    def _epochs_at_once(self, left):
        """How many whole epochs the next call of the core may hold: what fits a slice and the budget; perhaps none."""
        most = min(left, SLICE_EPOCHS, self._slice_rows() // self.n)
        if self.manner.budgets:
            most = min(most, self._until_checkpoint(), self._updates_left() // self.updates_per_epoch)
        return int(most)

    def slice_seconds(self):
        """How long the core may work until Ctrl-C and the clock are looked at again."""
        seconds = self.pace()
        if self.options.max_seconds is None:
            return seconds
        return min(seconds, max(self.options.max_seconds - self.seconds(), 0.0))

    def _slice_rows(self):
        """How many examples may be trained on until then."""
        return self.rows_per_second * self.slice_seconds()

    # training

    def _set_rate(self):
        """The schedule's learning rate for the next epoch, into the core's numbers."""
        o, state = self.options, self.state
        epoch = self.network.epochs_trained
        with _check.calls("the schedule of the learning_rate"):
            rate = o.schedule.rate(epoch, state.optimizer.learning_rate, self.last_epoch, state.schedule_state)
        state.numbers[0] = _check.real(rate, f"schedule: the learning rate of epoch {epoch}", minimum=0.0)

    def _orders(self, count):
        """(count n,) indices: the order of visits in each of the next epochs."""
        return _order.visits(self.n, count, self.network._generator if self.options.shuffle else None)

    def _many(self, count):
        """(Σ w C of each epoch, examples visited in an epoch) after `count` epochs in one call of the core."""
        totals = np.zeros(count)
        yield from self._call(self._orders(count), self.n, totals, self.mark)
        self.updates += count * self.updates_per_epoch
        return totals, self.n

    def _one(self):
        """(Σ w C, examples visited) of one epoch, which ends early where a budget is spent within it."""
        totals = np.zeros(1)
        if self.manner.in_parts:
            return totals, (yield from self._visit_parts(totals))
        return totals, (yield from self._visit(self._orders(1), totals))

    def _visit(self, order, totals, fresh=True):
        """Train in slices of whole batches, until a budget is spent; returns how many examples were visited.

        `fresh`: nothing of the epoch has been trained on yet, so that a failure goes back to its mark.
        """
        n, start, batch_size = order.size, 0, self.options.batch_size
        own = self.network._own_loss is not None
        call, before = self._call_own if own else self._call, self.mark if fresh else self._keep_inner()
        while start < n and not self.stopping:
            batches = 1 if own else int(min(max(1, self._slice_rows() // batch_size), self._updates_left()))
            stop = min(n, start + batches * batch_size)
            yield from call(order[start:stop], stop - start, totals, before)
            self.updates += -(-(stop - start) // batch_size)
            start = stop
            if start < n:
                if self._budget_spent():
                    break
                before = self._keep_inner()
        return start

    def _visit_parts(self, totals):
        """The same for an epoch of parts, each of which is made while the one before is trained on."""
        visited, parts = 0, self._parts()
        try:
            part = next(parts, None)
            while part is not None:
                self._take(part)
                trained, following = yield from self._train_beside(part, totals, parts, fresh=visited == 0)
                visited += trained
                if trained < len(part) or following is not None and self._budget_spent():
                    return visited
                part = following
        finally:
            parts.close()
        if not visited:
            raise ValueError(f"X gave no examples for epoch {self.network.epochs_trained + 1}")
        self.n = visited
        return visited

    def _parts(self):
        """The parts of the next epoch, one by one."""
        train, batch_size = self.train, self.options.batch_size
        if isinstance(train, sources.Chunks):
            self.n = np.inf
            return train.parts(self.network.epochs_trained, batch_size)
        return sources.dense(train, batch_size, self._orders(1))

    def _train_beside(self, part, totals, parts, fresh):
        """(examples visited, the next part or None); the training has a thread of its own where it is worth one."""
        def stop():
            self.stopping = True

        training = self._visit(np.arange(len(part)), totals, fresh)
        if len(part) < sources.BESIDE_SECONDS * self.rows_per_second:
            return (yield from training), next(parts, None)
        return sources.beside(lambda: drive(training), lambda: next(parts, None), stop)

    def _keep_inner(self):
        """Copies of the arrays as they are within an epoch, in buffers that are made when first needed."""
        self.inner = self._keep(self.inner or [np.empty_like(kept) for kept in self.mark])
        return self.inner

    def _call(self, order, rows, totals, before):
        """One call of the core; on divergence, and if Ctrl-C hides the status, the arrays `before` it come back."""
        network, state, status = self.network, self.state, None
        job = core.job(network._plan, self.task, order, rows, totals)
        left = time.perf_counter()
        try:
            status, parts, seconds = yield job, self.task.rule.n_threads
        finally:
            if status != 0:
                for array, kept in zip(self._arrays(), before):
                    array[...] = kept
        self.away += time.perf_counter() - left - seconds
        if status != 0:
            raise DivergenceError(
                f"the loss or a parameter became infinite or NaN in epoch {network.epochs_trained + parts + 1} with "
                f"{state.optimizer!r}; the last finite parameters are kept. Try a smaller learning_rate, or scale the "
                "inputs (bp.data.Standardizer)")
        state.visits += order.size
        if self.task.dropout is not None:
            self.task.dropout.visit = state.visits
        if seconds > 0:
            self.rows_per_second = order.size / seconds

    def _call_own(self, order, rows, totals, before):
        """One batch with the user's loss: its derivatives stand in for the core's targets."""
        train, network = self.part, self.network
        X, Y = train.X[order], train.Y[order]
        if self.task.dropout is None:
            self.task.Y[order], each = network._own(X, Y)
        else:
            P = np.empty(Y.shape)
            core.forward_dropped(network._plan, self.task, X, P)
            each, self.task.Y[order] = network._own_loss(Y, P)
        yield from self._call(order, rows, np.zeros(1), before)
        totals[0] += each.sum() if train.weight is None else (train.weight[order] * each).sum()

    # what follows an epoch

    def iteration(self, total, visited, seconds, outcome, updates=1):
        """Take the books of a solver's iteration: Σ w C over the examples visited, before the step.

        `outcome` is the solver's own reason to stop, or None; returns the reason to stop, or None. `updates` are those
        that the solver has not counted itself.
        """
        self.updates += updates
        try:
            reason = self._record(np.array([total]), visited, seconds) or outcome
        except Exception:
            self._rewound()
            raise
        self._set_mark()
        if reason is None and self.options.checkpoint_path is not None:
            self._checkpoint()
        if reason is None and self.network.epochs_trained == self.last_epoch:
            return "epochs"
        return reason or self._budget_spent()

    def _record(self, totals, visited, seconds):
        """History, schedule, stopping, callbacks and progress of the epochs just trained; a stop reason or None."""
        network, history, count = self.network, self.history, len(totals)
        rate = None if self.options.optimizer.solver else self.state.numbers.item(0)
        penalty = self._penalty() if self.manner.penalised else 0.0
        columns = network.epochs_trained + 1, totals, visited, penalty, rate, seconds
        if self.measured is not None:
            measured = {name: [value] for name, value in self.measured.values().items()}
            history.extend({**_columns(*columns), **measured}, count)
        else:
            history.extend_later(_columns, columns, count)
        network.epochs_trained += count
        if self.manner.listened or self.bar is not None:
            return self._tell(count)
        return None

    def _penalty(self):
        l1, l2 = self.options.l1, self.options.l2
        penalty = 0.5 * l2 * core.squared_weights(self.network._plan) if l2 else 0.0
        if l1:
            with np.errstate(over="ignore"):
                penalty += l1 * float(sum(np.abs(W).sum() for W in self.network._weights))
        return penalty

    def _tell(self, count):
        """Tell everybody who listens about the last epoch; returns a stop reason or None."""
        o, history = self.options, self.history
        values = history.last()
        if o.plateau is not None:
            o.schedule.plateau().observe(o.plateau.read(values), self.state.schedule_state)
        given_up = self.best is not None and self.best.look(values, history.epoch[-1])
        if self.bar is not None:
            self._show(values, count)
        with _check.calls("one of the callbacks"):
            stops = [callback(State(history.epoch[-1], self.network, history, values)) for callback in o.callbacks]
        if o.target_loss is not None and history.loss[-1] <= o.target_loss:
            return "target_loss"
        if given_up:
            return "early_stopping"
        return "callback" if any(isinstance(stop, (bool, np.bool_)) and stop for stop in stops) else None

    def _show(self, values, count):
        shown = {"loss": f"{values['loss']:.6g}"}
        if "val_loss" in values:
            shown["val_loss"] = f"{values['val_loss']:.6g}"
        shown["examples/s"] = f"{values['examples_per_second']:.3g}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(count)


def _columns(first, totals, visited, penalty, rate, seconds):
    """The history's columns of the epochs from `first` on, whose losses sum to `totals` over the examples visited."""
    count = len(totals)
    return {"epoch": range(first, first + count), "loss": (totals / visited).tolist(), "penalty": [penalty] * count,
            "learning_rate": [rate] * count, "seconds": [seconds / count] * count,
            "examples_per_second": [visited * count / max(seconds, 1e-9)] * count}


def _nonzero(X):
    """Lists of the non-zero inputs where the one-example kernel gains by skipping the others; else None."""
    starts = np.empty(X.shape[0] + 1, dtype=np.int64)
    core.count_nonzero(X, starts)
    if starts[-1] > SPARSE_MAX_DENSITY * X.size:
        return None
    index, values = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1])
    core.gather_nonzero(X, starts, index, values)
    return starts, index, values


def processors():
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _team_size(network, options):
    """Threads that are worth their barriers: no more than asked for, than processors, or than a step's work feeds."""
    if options.n_threads == 1:
        return 1
    flops = 6 * network.n_parameters * options.batch_size
    return max(1, min(options.n_threads, processors(), int(flops / THREAD_FLOPS)))


def _work(job, n_threads):
    """Do a job of the core with a team of threads, made here and gone at the end; returns (status, parts trained)."""
    team = [threading.Thread(target=core.work, args=(job, t), name=f"backprop-{t}") for t in range(1, n_threads)]
    try:
        for thread in team:
            thread.start()
        return core.work(job)
    finally:
        core.abandon(job)            # nobody is inside any more, unless a thread could not be started
        _threads.join(team)


def _training_state(network, options):
    """The network's training state: as it stands if the optimizer is of the same rule, else new.

    Another learning rate or another hyper-parameter of the same rule goes on with the slots; an equal schedule goes on
    with its state.
    """
    optimizer, schedule, state = options.optimizer, options.schedule, network._training_state
    if state is not None and state.optimizer.name == optimizer.name:
        hyper = len(optimizer.hyper)
        state.numbers[:hyper] = optimizer.numbers()[:hyper]
        state.optimizer = optimizer
    else:
        old, shape = state, (optimizer.n_slots, network._parameters.size)
        slots = _memory.zeros(*shape) if optimizer.n_slots else options.manner.no_slots
        state = TrainingState(optimizer, optimizer.numbers(), slots)
        if old is not None:
            state.visits, state.dropout_key = old.visits, old.dropout_key
        network._training_state = state
        network._stopping_state = None
    description = options.manner.schedule
    if description is None or description != state.schedule:
        state.schedule, state.schedule_state = description, schedule.new_state()
    state.split_seed, state.checkpoint = options.split_seed, options.record
    return state


def _progress_bar(epochs):
    from tqdm import tqdm  # loaded only when a bar is shown

    return tqdm(total=epochs, unit="epoch", dynamic_ncols=True)
