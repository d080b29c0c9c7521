"""Where the examples of an epoch come from when they do not lie in memory as dense rows.

A source gives an epoch as *parts*: dense `Examples` of whole batches, one after another, of which only the last may end
with a ragged batch. The core trains on a part as on any array. Where a part begins changes no bit, because batches run
across the borders of chunks, and a part is made while the one before is trained on (`beside`).
"""

import functools
import inspect
import numbers
import threading

import numpy as np

from backprop import _check, _sparse, _threads, losses
from backprop.examples import Examples

BESIDE_SECONDS = 1e-3        # training that lasts less is not worth a thread beside it


def is_chunks(X):
    """Whether X is a stream, an iterable of chunks or a function that gives one, and not an array or anything else."""
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], (list, tuple)):
        return not (X[0] and isinstance(X[0][0], numbers.Real))
    if hasattr(X, "epoch") or _is_function(X):
        return True
    return (hasattr(X, "__iter__") and not hasattr(X, "__array__") and not hasattr(X, "tocsr")
            and not isinstance(X, (str, bytes, dict, set)))


def _is_function(X):
    return inspect.isroutine(X) or isinstance(X, functools.partial)


class Chunks:
    """The training examples as an iterable of chunks: (X, Y) or (X, Y, weights) of any number of rows.

    Parameters
    ----------
    network : Network
    chunks : iterable or function
        With a method `epoch(number)`, as a `backprop.data.Stream` has one, or iterated over for every epoch; a function
        gives the iterable of an epoch.
    epochs : int
        How many are to be trained.
    """

    def __init__(self, network, chunks, epochs):
        if epochs > 1 and hasattr(chunks, "__next__"):
            raise ValueError(f"X is an iterator ({type(chunks).__name__}), which gives its chunks only once, and "
                             f"epochs={epochs}: pass epochs=1, a list of chunks, a bp.data.stream, or the function "
                             "that makes it, which is called for every epoch")
        self.network, self.chunks = network, chunks

    def record(self):
        """What a training that goes on from a checkpoint must share of its chunks, in kinds that JSON has."""
        return self.chunks.record() if hasattr(self.chunks, "record") else "chunks"

    def examples(self, number):
        """The checked chunks of an epoch, by its number over the network's life, from 0."""
        chunks = self.chunks.epoch(number) if hasattr(self.chunks, "epoch") else self.chunks
        if _is_function(chunks):
            chunks = chunks()
            if not hasattr(chunks, "__iter__"):
                raise TypeError(f"X() must be an iterable of chunks, got {type(chunks).__name__}")
        for position, chunk in enumerate(chunks):
            try:
                examples = self._checked(chunk)
            except (ValueError, TypeError) as error:
                raise type(error)(f"chunk {position}: {error}") from None
            if len(examples):
                yield examples

    def _checked(self, chunk):
        if not isinstance(chunk, (tuple, list)) or len(chunk) not in (2, 3):
            what = f"{len(chunk)} items" if isinstance(chunk, (tuple, list)) else type(chunk).__name__
            raise TypeError(f"a chunk must be (X, Y) or (X, Y, weights), got {what}")
        network, (X, Y, *weight) = self.network, chunk
        if Y is None:
            raise ValueError("there is no Y to train on; name the target of a bp.data.stream by target=")
        X = _sparse.inputs(X, "X", network.sizes[0], "the network's inputs", allow_empty=True)
        Y = _check.targets(Y, "Y", rows=X.shape[0], columns=network.sizes[-1])
        losses.check_targets(Y, network._loss_number)
        weight = weight[0] if weight else None
        if weight is not None and len(Y):
            weight = _check.weights(weight, "weights", rows=len(Y), zero=True)
        return Examples(X, Y, weight)

    def parts(self, number, batch_size):
        """The parts of an epoch."""
        for part in whole_batches(self.examples(number), batch_size):
            yield from dense(part, batch_size)


def whole_batches(chunks, batch_size):
    """Examples of whole batches, in order, from chunks cut anywhere; only the last may end with a ragged batch."""
    held = []                                   # what waits for the rest of its batch
    for chunk in chunks:
        start, waiting = 0, sum(map(len, held))
        if waiting:
            start = min(len(chunk), batch_size - waiting)
            held.append(chunk.rows(slice(0, start)))
            if waiting + start < batch_size:
                held[-1] = held[-1].copy()
                continue
            yield joined(held)
            held = []
        stop = len(chunk) - (len(chunk) - start) % batch_size
        if start < stop:
            yield chunk.rows(slice(start, stop))
        if stop < len(chunk):
            held = [chunk.rows(slice(stop, None)).copy()]       # a view would keep the whole chunk
    if held:
        yield joined(held)


def joined(pieces):
    """Dense examples of several pieces; where only some have weights, the others weigh 1."""
    weight = None
    if any(piece.weight is not None for piece in pieces):
        weight = np.concatenate([np.ones(len(piece)) if piece.weight is None else piece.weight for piece in pieces])
    return Examples(np.concatenate([piece.X[:] for piece in pieces]), np.concatenate([piece.Y for piece in pieces]),
                    weight)


def dense(examples, batch_size, order=None):
    """The examples, visited in an order, as parts of whole batches; sparse ones are made dense block by block."""
    if order is None and not isinstance(examples.X, _sparse.SparseRows):
        yield examples
        return
    step = batch_size * max(1, _sparse.block_rows(examples.X) // batch_size)
    for start in range(0, len(examples), step):
        index = slice(start, start + step) if order is None else order[start:start + step]
        yield Examples(examples.X[index], examples.Y[index],
                       None if examples.weight is None else examples.weight[index])


def beside(work, read, stop):
    """(work(), read()), with `work` in a thread of its own, which is gone when this returns.

    `read` stays in the caller's thread, so that Ctrl-C reaches it wherever it waits. Whatever it raises ends the work
    by `stop()`, which the work heeds soon; what the work raises is raised when both are done.
    """
    result, done = [], threading.Event()

    def run():
        try:
            result.append((work(), None))
        except BaseException as error:
            result.append((None, error))
        finally:
            done.set()

    thread = threading.Thread(target=run, name="backprop-stream")
    try:
        try:
            thread.start()
        except RuntimeError:                    # there is no thread to be had: one after the other
            return work(), read()
        value = read()
        done.wait()
    except BaseException:
        stop()
        raise
    finally:
        _threads.join([thread])
    worked, error = result[0]
    if error is not None:
        raise error
    return worked, value
