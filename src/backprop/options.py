"""The options of one call of `Network.train`: checked, with the examples split and weighted."""

import os
import zlib
from dataclasses import dataclass
from operator import is_

import numpy as np

from backprop import (
    _check,
    _sparse,
    examples,
    losses,
    metrics,
    optimizers,
    schedules,
    solvers,
    sources,
    stopping,
    training,
)
from backprop._dispatch import core
from backprop.errors import CheckpointMismatchError

MAX_THREADS = 256


@dataclass
class Options:
    """Checked options of one call of `Network.train`; networks of one kind may share them."""

    validation: examples.Examples | None
    split_seed: int | None
    epochs: int
    batch_size: int
    optimizer: optimizers.Optimizer
    shuffle: bool
    schedule: schedules.Schedule
    plateau: stopping.Monitor | None       # what the schedule watches
    early_stopping: stopping.EarlyStopping | None
    monitor: stopping.Monitor | None       # what early stopping watches
    metrics: metrics.Metrics
    l1: float
    l2: float
    dropout: np.ndarray | None             # (L + 1,): rate of z[l], 0 for input and output; None where all are 0
    clip_norm: float
    max_norm: float
    max_seconds: float | None
    max_updates: int | None
    target_loss: float | None
    callbacks: list
    progress: bool
    n_threads: int
    checkpoint_path: str | bytes | None
    checkpoint_every: int
    manner: training.Manner
    record: dict | None = None             # where there are checkpoints: what a training that goes on must share

    def columns(self, streamed):
        """Names of the history's columns beyond the usual."""
        names = self.metrics.names
        validated = [f"val_{name}" for name in names] if self.validation is not None else []
        return validated if streamed else [*names, *validated]


_last: tuple = (), None               # the values of a call's arguments, and the `Arguments` that they made
_PLAIN = frozenset({type(None), bool, int, float, str})


def check(network, X, Y, sample_weight, arguments):
    """(`Options`, examples or chunks) from the arguments of `Network.train`, or the error that names the argument.

    Nothing is changed. Arguments that are the very objects of the call before and cannot change are not checked again.
    """
    global _last
    values, (before, made) = tuple(arguments.values()), _last
    if len(before) != len(values) or not all(map(is_, before, values)):
        made = Arguments(**arguments)
        if all(type(value) in _PLAIN or type(value) is tuple and not value for value in values):
            _last = values, made             # one assignment: threads may read meanwhile
    return made.of(network, X, Y, sample_weight)


_NO_METRICS = metrics.Metrics((), None, soft=False)


class Arguments:
    """The arguments of `Network.train` but for the network and its data: checked once, for any number of networks.

    Raises
    ------
    ValueError, TypeError
        For an argument that goes with no network and no data.
    """

    def __init__(self, *, epochs, batch_size, optimizer, learning_rate, shuffle, class_weight, validation,
                 early_stopping, schedule, metrics, l1, l2, dropout, clip_norm, max_norm, max_seconds, max_updates,
                 target_loss, callbacks, progress, n_threads, checkpoint_path, checkpoint_every):
        self.batch_size, self.class_weight, self.validation = _batch_size(batch_size), class_weight, validation
        self.metrics = _NO_METRICS if type(metrics) is tuple and not metrics else metrics
        self.checkpoint_path = checkpoint_path
        self.dropout = dropout if _is_list(dropout) else _check.real(dropout, "dropout", minimum=0.0, below=1.0)
        self.shuffle = _check.boolean(shuffle, "shuffle")
        self.common = {
            "epochs": _check.integer(epochs, "epochs", minimum=0),
            "optimizer": optimizers.resolve(optimizer, _optional(learning_rate, "learning_rate", above=0.0)),
            "schedule": schedules.resolve(schedule), "early_stopping": stopping.resolve(early_stopping),
            "l1": _check.real(l1, "l1", minimum=0.0), "l2": _check.real(l2, "l2", minimum=0.0),
            "clip_norm": _optional(clip_norm, "clip_norm", above=0.0) or 0.0,
            "max_norm": _optional(max_norm, "max_norm", above=0.0) or 0.0,
            "max_seconds": _optional(max_seconds, "max_seconds", above=0.0),
            "max_updates": None if max_updates is None else _check.integer(max_updates, "max_updates", minimum=1),
            "target_loss": _optional(target_loss, "target_loss"),
            "callbacks": _callbacks(callbacks), "progress": _check.boolean(progress, "progress"),
            "n_threads": _check.integer(n_threads, "n_threads", minimum=1, maximum=MAX_THREADS),
            "checkpoint_every": _check.integer(checkpoint_every, "checkpoint_every", minimum=1)}
        # Whether options follow from the kind of a network and its rows: with threads from the processors left, too.
        self.data_alone = (validation is class_weight is checkpoint_path is None and self.metrics is _NO_METRICS
                           and self.common["n_threads"] == 1 and not self.common["optimizer"].solver)
        # Whether new networks of one kind and the same data have equal options: a random part is each one's own.
        self.same_for_all = validation is None or isinstance(validation, (tuple, list)) or not self.shuffle
        self._like = None, 0, None       # the kind, the rows and the options of a network before

    def of(self, network, X, Y, sample_weight):
        """(`Options`, examples or chunks) for one network and its data, or the error that names the argument."""
        if self.data_alone and sample_weight is None and (known := self._like_before(network, X, Y)) is not None:
            return known
        weights, epochs = (sample_weight, self.class_weight), self.common["epochs"]
        if Y is None:
            train, held, split_seed = _chunks(network, X, epochs, *weights, self.validation)
        else:
            train, held, split_seed = _data(network, X, Y, *weights, self.validation, self.shuffle)
        n = None if Y is None else len(train)
        batch_size = _batch_of(self.batch_size, n, self.common["optimizer"])
        options = object.__new__(Options)                # Options(**self.common, ...), in a third of the time
        options.__dict__.update(
            self.common, validation=held, split_seed=split_seed, batch_size=batch_size,
            shuffle=self.shuffle and n is not None and batch_size < n, plateau=None, monitor=None,
            metrics=self.metrics if self.metrics is _NO_METRICS else _metrics(self.metrics, train, held, network),
            dropout=_dropout(self.dropout, len(network._sizes) - 2),
            checkpoint_path=None if self.checkpoint_path is None else _checkpoint_path(self.checkpoint_path, network))
        _monitors(options, isinstance(train, sources.Chunks))
        if options.optimizer.solver:
            solvers.check(network, options)
        check_finite(network)
        if options.checkpoint_path is not None:
            options.record = record(options, train)
            _check_checkpoint(network, options)
        options.manner = training.manner(network, options, train)
        if self.data_alone and n is not None and split_seed is None and not options.manner.in_parts:
            self._like = network._kind, n, options           # one assignment, as above
        return options, train

    def _like_before(self, network, X, Y):
        """The same for a network of the same kind, and with as many rows, as one before; None for any other, and for
        data that are not what the kernels take."""
        (kind, n, options), state, sizes = self._like, network._training_state, network._sizes
        if (kind != network._kind or not core.are_examples(X, Y, sizes[0], sizes[-1]) or len(X) != n
                or state is not None and state.split_seed is not None):
            return None
        losses.check_targets(Y, network._loss_number)
        check_finite(network)
        return options, examples.Examples(X, Y, None)


def _data(network, X, Y, sample_weight, class_weight, validation, shuffle):
    """(training examples with weights of mean 1, validation examples or None, seed of the split or None)."""
    state = network._training_state
    whole = examples.Examples(*network._examples(X, Y, sample_weight))
    train, held, seed = examples.split(network, whole, validation, shuffle, None if state is None else state.split_seed)
    train = examples.weighted_by_class(train, class_weight)
    if train.weight is not None:
        train = examples.Examples(train.X, train.Y, train.weight / train.weight.mean())
    return train, held, seed


def _chunks(network, X, epochs, sample_weight, class_weight, validation):
    """The same for a stream, an iterable of chunks, in which the weights stay as they are."""
    if not sources.is_chunks(X):
        raise TypeError(f"Y is missing, and X is no stream and no iterable of (X, Y) chunks but {type(X).__name__}")
    for name, value in (("sample_weight", sample_weight), ("class_weight", class_weight)):
        if value is not None:
            raise ValueError(f"{name} does not go with a stream, whose chunks bring their weights: (X, Y, weights)")
    if validation is not None and not isinstance(validation, (tuple, list)):
        raise ValueError("validation must be (X, Y) or (X, Y, weights) where X is a stream: "
                         f"a fraction of it cannot be held out, got {_check.shown(validation)}")
    _, held, _ = examples.split(network, None, validation, False, None)
    state = network._training_state
    return sources.Chunks(network, X, epochs), held, None if state is None else state.split_seed


def _batch_size(batch_size):
    """A number of rows or "full"."""
    if isinstance(batch_size, str):
        if batch_size != "full":
            raise ValueError(f"batch_size must be an integer or 'full', got {_check.shown(batch_size)}")
        return batch_size
    return _check.integer(batch_size, "batch_size", minimum=1)


def _batch_of(batch_size, n, optimizer):
    """Rows of a batch of n examples, None where X is a stream, as the optimizer may have them."""
    if n is None:
        if batch_size == "full":
            raise ValueError("batch_size='full' needs all examples at once, and X is a stream: give a number of rows")
        if optimizer.full_batch_only:
            raise ValueError(f"optimizer {optimizer.name!r} needs all examples at once, and X is a stream")
        return batch_size
    batch_size = n if batch_size == "full" else min(batch_size, n)
    if optimizer.full_batch_only and batch_size != n:
        reason = "it solves for all examples at once" if optimizer.solver else (
            "its step sizes follow the sign of the whole gradient")
        raise ValueError(f"optimizer {optimizer.name!r} needs batch_size='full': {reason}")
    return batch_size


def _metrics(names, train, held, network):
    if not (isinstance(names, (str, metrics.Metric)) or callable(names) or _is_iterable(names)):
        raise TypeError(f"metrics must be names or callables, got {type(names).__name__}")
    streamed = isinstance(train, sources.Chunks)
    if streamed and not held and names:
        raise ValueError("metrics of a stream are measured on validation data alone: give validation=(X, Y)")
    found = metrics.Metrics(names, (held if streamed and held else train).Y if not streamed or held else None,
                            soft=network._activations[-1] == "softmax")
    if streamed and found.gradient_norm:
        raise ValueError("metrics: 'gradient_norm' is over all training data, which a stream does not hold")
    return found


def _callbacks(callbacks):
    if not (callable(callbacks) or _is_iterable(callbacks)):
        raise TypeError(f"callbacks must be a function or a list of them, got {_check.shown(callbacks)}")
    callbacks = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callable, got {type(callback).__name__}")
    return callbacks


def _checkpoint_path(path, network):
    """The path, refused before the first epoch where a file could not be written there."""
    from backprop import model_file  # loaded only when a model is saved or loaded

    path = _check.path(path, "checkpoint_path")
    if network._own_loss is not None:
        raise ValueError("checkpoint_path: the network's loss is a function, which a model file cannot hold")
    model_file.check_target(path, "checkpoint_path")
    return path


RECORDED = ("optimizer", "batch_size", "shuffle", "schedule", "early_stopping", "l1", "l2", "dropout", "clip_norm",
            "max_norm", "X", "Y", "weights", "validation")


def record(options, train):
    """{name of `RECORDED`: value} of what decides the bits of a training, in kinds that JSON has; data as checksums."""
    o, held = options, options.validation
    dropout, stop = o.dropout, o.early_stopping
    data = [train.record(), None, None] if isinstance(train, sources.Chunks) else [
        _checksum(part) for part in (train.X, train.Y, train.weight)]
    return dict(zip(RECORDED, (
        {"name": o.optimizer.name, **o.optimizer.hyper}, o.batch_size, o.shuffle, o.schedule.to_dict(),
        None if stop is None else stopping.plain(stop), o.l1, o.l2, None if dropout is None else dropout[1:-1].tolist(),
        o.clip_norm, o.max_norm, *data,
        None if held is None else [_checksum(part) for part in (held.X, held.Y, held.weight)]), strict=True))


def _checksum(array):
    if array is None:
        return None
    checksum = 0
    for rows in _sparse.in_blocks(array):
        checksum = zlib.crc32(np.ascontiguousarray(rows).data.cast("B"), checksum)
    return [*array.shape, checksum]


def _check_checkpoint(network, options):
    """Refuse to go on from a checkpoint with other data or options, where that would replace the checkpoint's file."""
    state = network._training_state
    if state is None or state.checkpoint is None or not os.path.exists(options.checkpoint_path):
        return
    before, now = state.checkpoint, options.record
    different = [name if name in ("X", "Y", "weights", "validation") else
                 f"{name} (was {_check.shown(before[name])}, is {_check.shown(now[name])})"
                 for name in RECORDED if before[name] != now[name]]
    if different:
        raise CheckpointMismatchError(
            f"checkpoint_path: {os.fsdecode(options.checkpoint_path)} is there, and the network comes from the "
            f"checkpoint of a training that differs from this one in {', '.join(different)}; give the same data and "
            "options to go on with it, or another checkpoint_path to train differently from here")


def _is_iterable(value):
    return hasattr(value, "__iter__") and getattr(value, "ndim", 1) > 0


def _optional(value, name, **bounds):
    return None if value is None else _check.real(value, name, **bounds)


def _is_list(value):
    return isinstance(value, (list, tuple)) or isinstance(value, np.ndarray) and value.ndim == 1


def _dropout(value, n_hidden):
    """(L + 1,) rates from one rate or one per hidden layer; None where nothing is dropped."""
    if _is_list(value):
        if len(value) != n_hidden:
            raise ValueError(f"dropout has {len(value)} rates, expected {n_hidden} (one per hidden layer)")
        rates = [_check.real(rate, f"dropout[{l}]", minimum=0.0, below=1.0) for l, rate in enumerate(value)]
    else:
        if value > 0.0 and n_hidden == 0:
            raise ValueError(f"dropout={value:g} needs hidden layers, and the network has none")
        rates = [value] * n_hidden
    return np.array([0.0, *rates, 0.0]) if any(rates) else None


def _monitors(options, streamed):
    """Fill in what early stopping and the schedule watch, once it is known what is measured."""
    rule, plateau = options.early_stopping, options.schedule.plateau()
    if rule is None and plateau is None:
        return
    measured = ["loss", "penalty", *(["val_loss"] if options.validation is not None else []),
                *options.columns(streamed), *([metrics.GRADIENT_NORM] if options.metrics.gradient_norm else [])]
    if rule is not None:
        options.monitor = stopping.monitor(rule.monitor, rule.mode, measured, options.metrics, "early_stopping")
    if plateau is not None:
        name = plateau.monitor
        if name == "auto":
            name = "loss" if options.validation is None else "val_loss"
        options.plateau = stopping.monitor(name, plateau.mode, measured, options.metrics, "reduce_on_plateau")


def check_finite(network):
    """Refuse a network with a parameter that is not finite: a user may have written anything through the views."""
    if not core.is_finite(network._parameters):
        raise ValueError("the network's parameters are not finite; set them or call reset()")
