"""LIBSVM text, ``label index:value index:value ...``: exactly what is written, or a DataFormatError with line and cell.

Whether indices count from 0 or from 1 cannot be seen in a file, so that the caller must say it.
"""

import array
import itertools
import math
import re
from dataclasses import dataclass

import numpy as np

from backprop._read_lines import NUMBER, LineReader, show, target_values, why_no_number
from backprop._read_source import Table, assemble
from backprop.errors import DataFormatError

BLOCK_LINES = 2**11
MAX_FEATURES = 2**31 - 1
DENSE_BYTES = 2**30          # a dense X may always take this much, and more where it is not nearly all zeros
DENSE_FILL = 100             # numbers of a dense X beyond that, for each one that the file holds

PLAIN = re.compile(rf"{NUMBER.pattern}(?:[ \t]+\d{{1,10}}:{NUMBER.pattern})*+[ \t]*", re.ASCII)


@dataclass
class SparseBlock:
    """Rows as in scipy's CSR: those of row i are index[starts[i]:starts[i + 1]], ascending, and values alike."""

    starts: np.ndarray
    index: np.ndarray
    values: np.ndarray

    def __len__(self):
        return len(self.starts) - 1


class LibsvmReader(LineReader):
    """Rows of a LIBSVM file, block by block.

    Attributes
    ----------
    width : int
        Columns: `n_features` where that was given, else one more than the largest index read so far.
    """

    def __init__(self, stream, path, options):
        super().__init__(stream, path, options)
        self.base = 0 if options.zero_based else 1
        self.width = options.n_features or 0
        self._blank = None                      # the first blank line

    def _cell_at(self, line, position):
        return len(line[:position].split()) + (position == 0 or line[position - 1:position].isspace())

    def read(self, count, values=True):
        """The next rows, at most `count`: (SparseBlock, labels as text, lines), or None at the end."""
        while lines := list(itertools.islice(self._rest, count)):
            first = self._line + 1
            self._line += len(lines)
            block = self._fast(lines, first) or self._careful(lines, first)
            if len(block[0]):
                return block
        return None

    def _fast(self, lines, first):
        """The block through one conversion of all its numbers, or None where it takes a closer look."""
        if self._blank is not None or not all(map(PLAIN.fullmatch, stripped := [line.strip("\r\n") for line in lines])):
            return None
        cells = " ".join(stripped).replace(":", " ").split()
        numbers = np.array(list(map(float, cells)))
        starts = np.concatenate([[0], np.cumsum([line.count(":") for line in stripped])])
        labels = 2 * starts[:-1] + np.arange(len(lines))
        pairs = np.delete(numbers, labels).reshape(-1, 2)
        index, values = pairs[:, 0].astype(np.int64) - self.base, np.ascontiguousarray(pairs[:, 1])
        block = SparseBlock(starts, index, values)
        if not (np.isfinite(numbers).all() and self._fits(block)):
            return None
        return block, [cells[i] for i in labels], range(first, first + len(lines))

    def _fits(self, block):
        """Whether all indices are in range and ascend; the width grows to hold them where it was not given."""
        if not len(block.index):
            return True
        ascends = np.diff(block.index) > 0
        borders = block.starts[1:-1] - 1
        ascends[borders[(borders >= 0) & (borders < len(ascends))]] = True
        largest = int(block.index.max())
        if block.index.min() < 0 or largest >= (self.options.n_features or MAX_FEATURES) or not ascends.all():
            return False
        self.width = max(self.width, largest + 1)
        return True

    def _careful(self, lines, first):
        """The same cell by cell, with an error for whatever is no label and no pair of index and value."""
        starts, index, values, labels, numbers = [0], [], [], [], []
        for line, text in enumerate(lines, first):
            cells = text.partition("#")[0].strip("\r\n").replace("\t", " ").split(" ")
            cells = [cell for cell in cells if cell]
            if not cells:
                if "#" not in text:
                    self._blank = self._blank or line
                continue
            if self._blank is not None:
                raise self.error("blank line between rows of data", self._blank)
            labels.append(self._label(cells[0], line))
            numbers.append(line)
            previous = -1
            for column, cell in enumerate(cells[1:], 2):
                previous, value = self._pair(cell, previous, line, column)
                index.append(previous)
                values.append(value)
            starts.append(len(index))
            self.width = max(self.width, previous + 1)
        return SparseBlock(np.array(starts), np.array(index, np.int64), np.array(values, np.float64)), labels, numbers

    def require_features(self):
        """An error where all rows are read and none of them had a feature."""
        if self.width == 0:
            raise self.error(f"no row has a feature; {self.options.spell('n_features')} says how many there are", 1)

    def _label(self, cell, line):
        if not NUMBER.fullmatch(cell):
            why = "several labels of one row are not read" if "," in cell else "a row begins with its label, a number"
            raise self.error(f"the label {show(cell)} is not a number: {why} (LIBSVM is what "
                             f"{self.options.spell('zero_based', self.base == 0)} reads)", line, 1)
        return cell

    def _pair(self, cell, previous, line, column):
        """(index from 0, value) of one cell, whose index must be larger than the previous."""
        position, colon, text = cell.partition(":")
        if not colon or position == "qid":
            why = "groups of rows (qid) are not read" if colon else "expected index:value"
            raise self.error(f"the cell {show(cell)} is no feature: {why}", line, column)
        if not (position.isascii() and position.isdigit()):
            raise self.error(f"the index {show(position)} is not a whole number", line, column)
        index = int(position) - self.base if len(position.lstrip("0")) <= 10 else MAX_FEATURES
        if index < 0:
            other = self.options.spell("zero_based", True)
            raise self.error(f"the index 0 stands in a file whose indices count from 1; pass {other} if they count "
                             "from 0", line, column)
        limit = self.options.n_features or MAX_FEATURES
        if index >= limit:
            raise self.error(f"the index {show(position)} is beyond the {limit} features", line, column)
        if index <= previous:
            raise self.error(f"the index {position} does not ascend: the one before it is {previous + self.base}", line,
                             column)
        if not NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
            raise self.error(f"the value {show(text)} of index {position} {why_no_number(text)[0]}", line, column)
        return index, value


def read_libsvm(stream, path, options):
    """A LIBSVM file as a Table: X as scipy's CSR array or dense, and the labels."""
    reader = LibsvmReader(stream, path, options)
    blocks, cells, lines, labels = [], [], array.array("q"), {}
    while (block := reader.read(BLOCK_LINES)) is not None:
        rows, texts, numbers = block
        blocks.append(rows)
        cells += map(labels.setdefault, texts, texts)
        lines.extend(numbers)
    if not blocks:
        raise reader.error("the file has no rows", 1)
    reader.require_features()
    y, classes = target_values(reader, cells, lines, options.target_kind, 1)
    return Table(matrix(joined(blocks), reader.width, options, path), y, None, None, classes)


def joined(blocks):
    """One SparseBlock of several, which are given up on the way."""
    counts = np.concatenate([np.diff(block.starts) for block in blocks])
    starts = np.concatenate([[0], np.cumsum(counts)])
    values = assemble([block.values for block in blocks])
    for block in blocks:
        block.values = None
    return SparseBlock(starts, assemble([block.index for block in blocks]), values)


def matrix(block, width, options, path):
    """(n, width) X of a block: scipy's CSR array where `sparse` is True, or None and scipy is there; else dense."""
    if options.sparse is not False:
        try:
            from scipy.sparse import csr_array  # an extra, loaded only for sparse data
        except ImportError:
            if options.sparse:
                given = options.spell("sparse", True)
                raise ImportError(f"{given} needs SciPy: pip install 'backprop-core[scipy]'") from None
        else:
            kind = np.int32 if max(width, len(block.index)) < 2**31 else np.int64
            return csr_array((block.values, block.index.astype(kind), block.starts.astype(kind)), (len(block), width))
    needed = 8 * len(block) * width
    if needed > max(DENSE_BYTES, 8 * DENSE_FILL * len(block.values)):
        raise DataFormatError(f"{len(block)} rows of {width} features, nearly all zero, take {needed:,} bytes as a "
                              f"dense array; pass {options.spell('sparse', True)}", path=path)
    X = np.zeros((len(block), width))
    X[np.repeat(np.arange(len(block)), np.diff(block.starts)), block.index] = block.values
    return X
