"""Data files as streams: chunk after chunk of examples, for files that are larger than memory.

A format is a class that gives chunks of raw inputs and targets, in the file's order or in another; `Stream` draws the
orders and counts the epochs. Nothing larger than a chunk is made.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, _readers
from backprop._read_arrays import (
    check_features,
    first_rounded,
    floats,
    idx_labels,
    idx_layout,
    npy_layout,
    npz_labels,
    npz_members,
    read_idx,
    read_npy,
    read_npz,
)
from backprop._read_libsvm import LibsvmReader, joined, matrix, read_libsvm
from backprop._read_lines import INTEGER, NUMBER, show, target_values
from backprop._read_source import Bytes, columns, open_source, plain_name
from backprop._read_text import BLOCK_CELLS, TextReader, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

BLOCK_BYTES = 2**20          # read and converted at a time: it stays in the processor's cache
MAX_CLASSES = 2**16          # that classes="auto" collects


class Stream:
    """A data file as chunks of examples: what `bp.data.stream` makes and `Network.train` takes.

    Iterating gives (X, Y) of every chunk, in the order of epoch 0. An epoch is a function of the seed and its number,
    so that a training that is broken off and resumed sees what it would have seen.

    Attributes
    ----------
    path : str
    n_features : int
        Columns of X.
    n_targets : int
        Columns of Y: 0 without a target, 1 for numbers, else the number of classes.
    n_rows : int or None
        Examples, where they are known without reading the file.
    classes : ndarray or None
        The labels in the order of the columns of Y.
    feature_names, target_name : list of str or None, str or None
    chunk_rows : int
    shuffle : bool
    seed : int or None
        Of the orders; None without `shuffle`.
    """

    seed: Any                # an int where there is `shuffle`

    def __init__(self, rows: Any, chunk_rows: int, shuffle: bool, seed: int | None) -> None:
        self._rows = rows
        self._functions: tuple[Callable, ...] = ()
        self.path, self.n_features, self.n_rows = rows.path, rows.width, rows.n_rows
        self.feature_names, self.target_name, self.classes = rows.names, rows.target_name, rows.targets.classes
        self.n_targets = rows.targets.width
        self.chunk_rows, self.shuffle = chunk_rows, shuffle
        self.seed = seed if not shuffle or seed is not None else int(np.random.SeedSequence().generate_state(1)[0])

    def __iter__(self):
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[tuple]:
        """The chunks of an epoch.

        Parameters
        ----------
        number : int
            From 0. With `shuffle` every epoch has an order of its own: chunks are permuted, and the rows in each.

        Yields
        ------
        (X, Y) : (ndarray, ndarray or None)
            (m, n_features) inputs and (m, n_targets) targets, float64, m at most `chunk_rows`. X of a LIBSVM file is
            sparse, unless that was refused. What `map`'s functions return, where there are any.
        """
        number = _check.integer(number, "number", minimum=0)
        return self._epoch(np.random.default_rng([self.seed, number]) if self.shuffle else None)

    def _epoch(self, generator):
        for X, Y in self._rows.chunks(generator):
            if generator is not None:
                order = generator.permutation(X.shape[0])
                X, Y = X[order], None if Y is None else Y[order]
            chunk = X, Y
            for function in self._functions:
                chunk = function(*chunk)
            del X, Y                                    # or a second chunk would be kept while the next is read
            yield chunk
            del chunk

    def record(self) -> dict[str, Any]:
        """What the chunks depend on besides the file, in kinds that JSON has: a checkpoint keeps it."""
        classes = None if self.classes is None else self.classes.tolist()
        order = [self.chunk_rows, self.seed] if self.shuffle else None
        return {"features": self.n_features, "classes": classes, "order": order, "functions": len(self._functions)}

    def map(self, function: Callable) -> Stream:
        """This stream with every chunk put through a function.

        Parameters
        ----------
        function : callable
            f(X, Y) -> (X, Y) or (X, Y, weights), such as a standardization of X.

        Returns
        -------
        Stream
        """
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        new = copy.copy(self)
        new._functions = (*self._functions, function)
        return new

    def __repr__(self):
        rows = "" if self.n_rows is None else f"{self.n_rows} rows x "
        target = "numbers" if self.classes is None else f"{self.n_targets} classes"
        target = target if self.n_targets else "no target"
        return (f"Stream({os.path.basename(self.path)!r}: {rows}{self.n_features} features, {target}, chunks of "
                f"{self.chunk_rows} rows{', shuffled' if self.shuffle else ''})")


def open_stream(path, options, classes, chunk_rows, shuffle, seed):
    """The `Stream` of a file, for checked arguments."""
    if plain_name(path).endswith(".parquet"):
        from backprop._read_parquet import ParquetRows as kind  # the extra `parquet`, loaded only where it is needed

        _readers.refuse_others(read_npy, path, options)
    else:
        with open_source(path) as stream:
            reader = _readers.find(stream, path, options)
        kind = {read_text: TextRows, read_libsvm: LibsvmRows, read_npy: NpyRows, read_npz: NpzRows,
                read_idx: IdxRows}[reader]
    return Stream(kind(path, options, classes, chunk_rows, shuffle), chunk_rows, shuffle, seed)


# ---- targets ---------------------------------------------------------------------------------------------------------

class Targets:
    """How raw targets become Y: numbers as a column, labels as one-hot rows, or nothing.

    Attributes
    ----------
    classes : ndarray or None
    width : int
        Columns of Y.
    """

    def __init__(self, exists, classes=None):
        if classes is not None and not exists:
            raise ValueError("classes are of a target, and the stream has none; name its target")
        self.exists, self.classes = exists, None
        self.width = int(exists)
        if classes is not None and not isinstance(classes, str):
            self.take(classes)

    def take(self, classes):
        """Have labels, in the order given."""
        self.classes = _check.labels(classes, "classes")
        self.width = len(self.classes)
        self._code = {label: code for code, label in enumerate(self.classes.tolist())}
        if len(self._code) < self.width:
            raise ValueError("classes holds a label twice")
        self._of_text = {}

    def of_text(self, cells, lines, reader, column):
        """Y of the cells of text."""
        if self.classes is None:
            hint = f"; pass {reader.options.spell('classes', 'auto')} or the labels if it is one"
            return target_values(reader, cells, lines, "number", column, hint)[0].reshape(-1, 1)
        codes = list(map(self._of_text.get, cells))
        if None in codes:
            for cell in set(cells) - set(self._of_text):
                self._of_text[cell] = self._of_cell(cell, reader, lines[cells.index(cell)], column)
            codes = list(map(self._of_text.get, cells))
        return self._one_hot(np.array(codes))

    def _of_cell(self, cell, reader, line, column):
        kind, label = self.classes.dtype.kind, cell
        if kind in "iu" and INTEGER.fullmatch(cell) and len(cell) < 32:
            label = int(cell)
        elif kind in "fiu" and NUMBER.fullmatch(cell):
            label = float(cell)
        if label not in self._code:
            raise reader.error(f"the target {show(cell)} is none of the classes {self._listed()}", line, column)
        return self._code[label]

    def of_numbers(self, y, error):
        """Y of an array of raw targets; `error(row, why)` is the exception for one of them."""
        if self.classes is None:
            values = np.reshape(y.astype(np.float64, copy=False), (len(y), 1 if y.ndim == 1 else y.shape[1]))
            if (first := first_rounded(y.ravel(), values.ravel())) is not None:
                raise error(first // values.shape[1], f"the target {y.ravel()[first]} does not fit float64 exactly")
            return values
        codes = np.zeros(len(y), np.intp)
        values, inverse = np.unique(y, return_inverse=True)
        for k, label in enumerate(values.tolist()):
            if label not in self._code:
                raise error(int(np.argmax(inverse == k)), f"the target {label} is none of the classes {self._listed()}")
            codes[inverse == k] = self._code[label]
        return self._one_hot(codes)

    def _one_hot(self, codes):
        Y = np.zeros((len(codes), self.width))
        Y[np.arange(len(codes)), codes] = 1.0
        return Y

    def _listed(self):
        return ", ".join(map(str, self.classes[:20].tolist())) + (", ..." if self.width > 20 else "")


def collected(blocks, error):
    """The distinct values of blocks of targets, sorted; `error()` where they are no classes, being too many."""
    found = set()
    for block in blocks:
        found.update(np.unique(block).tolist())
        if len(found) > MAX_CLASSES:
            raise error(f"more than {MAX_CLASSES} different targets are no classes; without classes= they are numbers")
    return sorted(found)


# ---- text ------------------------------------------------------------------------------------------------------------

class LineRows:
    """Rows of a text file. A first pass notes what must be known before an epoch, where that is anything: where chunks
    begin, for another order than the file's; the labels; the width."""

    reader_class: type
    column: int | None = None

    def __init__(self, path, options, classes, chunk_rows, shuffle):
        self.path, self.options, self.chunk_rows = path, options, chunk_rows
        self.n_rows, self.places, self.counts = None, [], []
        with open_source(path) as stream:
            reader = self.reader_class(stream, path, options)
            self._describe(reader)
            self.targets = Targets(self.column is not None, classes)
            if shuffle and not stream.seekable():
                raise ValueError("shuffle=True needs to go back and forth in the file, and "
                                 f"{os.path.basename(path)} is compressed; decompress it")
            if shuffle or classes == "auto" or not self.width:
                self._survey(reader, classes == "auto", stream.seekable())

    def _survey(self, reader, labels, seekable):
        """The first pass."""
        distinct, place, more = {}, reader.start, True
        while more:
            count = 0
            while count < self.chunk_rows:
                block = reader.read(min(self.step, self.chunk_rows - count), values=False)
                if block is None:
                    more = False
                    break
                _, cells, lines = block
                count += len(lines)
                if labels:
                    self._collect(reader, distinct, cells, lines)
            if count:
                self.places.append(place)
                self.counts.append(count)
            place = reader.place() if seekable else None
        self.n_rows = sum(self.counts)
        if not self.n_rows:
            raise reader.error("the file has no rows of data", 1)
        if not self.width:
            self.width = reader.width
        if labels:
            self.targets.take(target_values(reader, list(distinct), list(distinct.values()), "class", self.column)[1])

    def _collect(self, reader, distinct, cells, lines):
        for cell in set(cells) - distinct.keys():
            distinct[cell] = lines[cells.index(cell)]
        if len(distinct) > MAX_CLASSES:
            raise reader.error(f"more than {MAX_CLASSES} different targets are no classes; without classes= they are "
                               "numbers", lines[-1], self.column)

    def chunks(self, generator):
        """(X, Y) of every chunk, in an order drawn from the generator or in that of the file."""
        with open_source(self.path) as stream:
            reader = self.reader_class(stream, self.path, self.options)
            if generator is None:
                empty = True
                while (chunk := self._chunk(reader, self.chunk_rows)) is not None:
                    empty = False
                    yield chunk
                    del chunk
                if empty:
                    raise reader.error("the file has no rows of data", 1)
                return
            for number in generator.permutation(len(self.places)).tolist():
                reader.go_to(self.places[number])
                chunk = self._chunk(reader, self.counts[number])
                if chunk is None or chunk[0].shape[0] != self.counts[number]:
                    raise reader.error("the file has changed since the stream was made: rows are missing here",
                                       self.places[number][1] + 1)
                yield chunk
                del chunk

    def _blocks(self, reader, rows):
        """Blocks of the next rows, as many as there are up to `rows`."""
        while rows and (block := reader.read(min(self.step, rows))) is not None:
            rows -= len(block[2])
            yield block


class TextRows(LineRows):
    """Rows of CSV and its like."""

    reader_class = TextReader

    def _describe(self, reader):
        self.width, self.step = len(reader.features), max(1, BLOCK_CELLS // reader.width)
        self.names = reader.names and [reader.names[i] for i in reader.features]
        self.column = None if reader.target is None else reader.target + 1
        self.target_name = reader.names[reader.target] if reader.names and self.column is not None else None

    def _chunk(self, reader, rows):
        X, Y, count = None, None, 0
        for block, cells, lines in self._blocks(reader, rows):
            if X is None:
                X = np.empty((rows, self.width))
                Y = np.empty((rows, self.targets.width)) if self.targets.exists else None
            X[count:count + len(block)] = block
            if Y is not None:
                Y[count:count + len(block)] = self.targets.of_text(cells, lines, reader, self.column)
            count += len(block)
        return None if X is None else (X[:count], None if Y is None else Y[:count])


class LibsvmRows(LineRows):
    """Rows of LIBSVM text."""

    reader_class = LibsvmReader
    column, step, names, target_name = 1, 2**11, None, None

    def _describe(self, reader):
        self.width = self.options.n_features

    def _survey(self, reader, labels, seekable):
        super()._survey(reader, labels, seekable)
        if self.options.n_features is None:
            reader.require_features()

    def _chunk(self, reader, rows):
        blocks, Y = [], []
        for block, cells, lines in self._blocks(reader, rows):
            blocks.append(block)
            Y.append(self.targets.of_text(cells, lines, reader, self.column))
        if not blocks:
            return None
        if reader.width > self.width:
            raise reader.error("the file has changed since the stream was made: it has more features than "
                               f"{self.width}", lines[-1])
        return matrix(joined(blocks), self.width, self.options, self.path), np.concatenate(Y)


# ---- arrays ----------------------------------------------------------------------------------------------------------

class ArrayRows:
    """Rows of a binary array, whose place in the file follows from their number."""

    names = target_name = None
    labels = None               # targets that stand apart from X

    def __init__(self, path, options, classes, chunk_rows, shuffle):
        self.path, self.options, self.chunk_rows = path, options, chunk_rows
        with open_source(path) as stream:
            layout = self._layout_in(stream)
            check_features(layout)
            self.n_rows, self.stored = layout.shape[0], int(np.prod(layout.shape[1:]))
            if (shuffle or layout.fortran) and (why_not := self._why_not_back(stream)):
                why = "shuffle=True needs" if shuffle else "an array in Fortran order needs its reader"
                raise ValueError(f"{why} to go back and forth in the file, and {os.path.basename(path)} is {why_not}")
            layout.source.expect(self.n_rows * self.stored * layout.dtype.itemsize)
            self.kind = layout.dtype.kind
        self._describe()
        self.width = len(self.features)
        self.targets = Targets(self.has_target, classes)
        if self.labels is not None:
            self._check_labels(classes)
        if isinstance(classes, str):
            def refusal(why):
                return ValueError(f"{os.path.basename(path)}: {why}")

            self.targets.take(collected(self._raw_targets(), refusal))

    def _layout_in(self, stream):
        """The layout of X in the opened file."""
        return self._layout(Bytes.of_file(stream, self.path))

    def _why_not_back(self, stream):
        """Why rows cannot be read in another order than the file's, and what to do; None where they can."""
        return None if stream.seekable() else "compressed; decompress it"

    def _check_labels(self, classes):
        name = os.path.basename(self.path)
        if self.labels.ndim == 2 and classes is not None:
            raise ValueError(f"{name}: the targets y have two dimensions, so they are no classes")
        if self.labels.dtype.kind == "U" and classes is None:
            given = self.options.spell("classes", "auto")
            raise ValueError(f"{name}: the targets y are strings; pass {given} or the labels")
        if self.labels.ndim == 2:
            self.targets.width = self.labels.shape[1]

    def chunks(self, generator):
        """(X, Y) of every chunk, in an order drawn from the generator or in that of the file."""
        starts = np.arange(0, self.n_rows, self.chunk_rows)
        with open_source(self.path) as stream:
            layout = self._layout_in(stream)
            for start in (starts if generator is None else generator.permutation(starts)).tolist():
                if generator is not None:
                    layout.source.go_to(layout.offset_of(start, 0))
                yield self._chunk(layout, start, min(self.chunk_rows, self.n_rows - start))
            if generator is None and not layout.fortran:
                layout.source.finish()

    def _chunk(self, layout, start, rows):
        X = np.empty((rows, self.width))
        raw = np.empty(rows) if self.target is not None else None
        for at, values in self._blocks(layout, start, rows):
            X[at] = values[:, self.selection]
            if raw is not None:
                raw[at] = values[:, self.target]
        return X, self._encoded(layout, start, raw)

    def _choose(self, options):
        """Note the columns of X; returns that of the target."""
        target, self.features = columns(options, None, self.stored, self.path)
        first, last = self.features[0], self.features[-1]
        self.selection = slice(first, last + 1) if last - first == len(self.features) - 1 else self.features
        return target

    def _encoded_labels(self, layout, start):
        def error(row, why):
            return layout.error(f"{why} (row {start + row})")

        return self.targets.of_numbers(self.labels[start:start + self.chunk_rows], error)

    def _blocks(self, layout, start, rows):
        """(slice of the chunk, float64 values of its rows) for pieces of a chunk."""
        item = layout.dtype.itemsize
        if layout.fortran:
            yield slice(0, rows), self._by_columns(layout, start, rows)
            return
        step = max(1, BLOCK_BYTES // (self.stored * item))
        for first in range(0, rows, step):
            count = min(step, rows - first)
            offset = layout.source.offset
            raw = np.frombuffer(layout.source.read(count * self.stored * item), layout.dtype)
            yield slice(first, first + count), floats(raw, offset, layout).reshape(count, self.stored)

    def _by_columns(self, layout, start, rows):
        out = np.empty((rows, self.stored))
        place = np.arange(self.stored).reshape(layout.shape[1:], order="F").ravel()      # of column j in the file
        for column, stored in enumerate(place.tolist()):
            offset = layout.offset_of(start, stored)
            layout.source.go_to(offset)
            raw = np.frombuffer(layout.source.read(rows * layout.dtype.itemsize), layout.dtype)
            out[:, column] = floats(raw, offset, layout)
        return out


class NpyRows(ArrayRows):
    """Rows of an NPY file, whose target is one of its columns."""

    @staticmethod
    def _layout(source):
        return npy_layout(source)

    def _describe(self):
        self.target = self._choose(self.options)
        self.has_target = self.target is not None

    def _encoded(self, layout, start, raw):
        if raw is None:
            return None

        def error(row, why):
            return layout.error(why, layout.offset_of(start + row, self.target))

        return self.targets.of_numbers(raw, error)

    def _raw_targets(self):
        with open_source(self.path) as stream:
            layout = self._layout_in(stream)
            for start in range(0, self.n_rows, self.chunk_rows):
                for _, values in self._blocks(layout, start, min(self.chunk_rows, self.n_rows - start)):
                    y = values[:, self.target]
                    yield y if self.kind == "f" else y.astype(np.uint64 if self.kind == "u" else np.int64)


class IdxRows(ArrayRows):
    """Rows of an IDX file; the labels are a file of their own."""

    target = None

    @staticmethod
    def _layout(source):
        return idx_layout(source)

    def _describe(self):
        if self.options.target is not None and not isinstance(self.options.target, str):
            given = self.options.spell("target", self.options.target)
            raise ValueError(f"{self.path} is IDX: target names the file of labels, got {given}")
        labels = idx_labels(self.path, self.options.target) if self.options.labels else None
        self.has_target = labels is not None
        self._choose(replace(self.options, target=None))
        self.labels = self._labels(labels) if self.has_target else None

    def _labels(self, path):
        """All labels: a number for each row is no burden beside the chunks."""
        with open_source(path) as stream:
            layout = idx_layout(Bytes.of_file(stream, path))
            if layout.shape != (self.n_rows,):
                raise layout.error(f"one label for each of {self.n_rows} examples is wanted, but the shape is "
                                   f"{layout.shape}", 4)
            layout.source.expect(self.n_rows * layout.dtype.itemsize)
            raw = np.frombuffer(layout.source.read(self.n_rows * layout.dtype.itemsize), layout.dtype)
            layout.source.finish()
            floats(raw, layout.start, layout)           # refuses what is not finite
            return raw

    def _encoded(self, layout, start, raw):
        return None if self.labels is None else self._encoded_labels(layout, start)

    def _raw_targets(self):
        return [self.labels]


class NpzRows(NpyRows):
    """Rows of the array X of an NPZ archive; the targets are the array y, or a column of X where there is none.

    A member of an archive is read from its beginning on, stored or deflated.
    """

    def _layout_in(self, stream):
        return npy_layout(npz_members(stream, self.path)["X"])

    def _why_not_back(self, stream):
        return "an NPZ archive; save X as NPY"

    def _describe(self):
        with open_source(self.path) as stream:
            members = npz_members(stream, self.path)
            if "y" not in members:
                super()._describe()
                return
            if self.options.labels:
                self.labels = npz_labels(members, self.path, self.n_rows, self.options)
        self.target, self.has_target = None, self.labels is not None
        self._choose(replace(self.options, target=None))

    def _encoded(self, layout, start, raw):
        if self.labels is not None:
            return self._encoded_labels(layout, start)
        return super()._encoded(layout, start, raw)

    def _raw_targets(self):
        return super()._raw_targets() if self.labels is None else [self.labels]
