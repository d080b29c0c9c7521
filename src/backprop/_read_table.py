"""Text files whose columns may hold text: which columns are numbers and which categories, and their rows as inputs."""

import array
import itertools
from dataclasses import dataclass

import numpy as np

from backprop._read_lines import DECIMAL_COMMA, NUMBER, target_values
from backprop._read_source import open_source, position
from backprop._read_text import TextReader
from backprop.columns import NO_NUMBER, BadCell, Column, is_missing, number, plain_numbers, quoted

BLOCK_CELLS = 2**15          # read at a time: as texts they take some 100 bytes each
MAX_CATEGORIES = 100         # a column of more different texts is taken for an identifier
ERROR, DROP, FILL = MISSING_RULES = ("error", "drop", "fill")


@dataclass
class Learned:
    """A table that a model is to learn from.

    Attributes
    ----------
    columns : list of Column
        Of the features; no `fill` yet.
    X : ndarray
        (n, Σ width) inputs; NaN for a number that is missing.
    y, classes, target_name
        As `backprop.data.Dataset` has them.
    dropped : int
        Rows left out because a cell was missing.
    weight : ndarray or None
        (n,) weights of the rows, where a column of them was named.
    """

    columns: list
    X: np.ndarray
    y: np.ndarray | None
    classes: np.ndarray | None
    target_name: str | None
    dropped: int
    weight: np.ndarray | None = None


class TableReader:
    """Rows of a text file as lists of stripped cells, block by block; with ``decimal=","`` 3,5 is read as 3.5."""

    def __init__(self, stream, path, options, decimal="."):
        self.decimal = decimal
        self.text = TextReader(stream, path, options)
        self.path, self.names, self.width = path, self.text.names, self.text.width
        self.target, self.features = self.text.target, self.text.features

    def blocks(self):
        """(line numbers, cells of each column in the file's order) of some rows at a time."""
        records = self.text._whole()
        rows = max(1, BLOCK_CELLS // self.width)
        while block := list(itertools.islice(records, rows)):
            columns = zip(*(row for _, row in block))
            yield [line for line, _ in block], [self._stripped(cells) for cells in columns]

    def _stripped(self, cells):
        cells = list(map(str.strip, cells))
        if self.decimal == ",":
            cells = [cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        return cells

    def name(self, position):
        return None if self.names is None else self.names[position]

    def bad_cell(self, cell, why, line, position):
        """The DataFormatError of a cell in column `position`."""
        name = "" if self.names is None else f" in column {quoted(self.names[position])}"
        return self.text.error(f"the cell {quoted(cell)}{name} {why}", line, position + 1)

    def bad_column(self, why, position):
        """The DataFormatError of the whole column `position`."""
        name = f"column {position}" if self.names is None else f"column {quoted(self.names[position])}"
        return self.text.error(f"{name} {why}", 1, position + 1)


class _Gathered:
    """A column while its file is read: numbers, or codes of texts in the order of their first appearance."""

    def __init__(self, reader, position, as_category):
        self.reader, self.position = reader, position
        self.numeric = False if as_category else None            # None: no cell has told yet
        self.chosen = as_category
        self.values, self.codes, self.labels = array.array("d"), array.array("i"), {}
        self.lines = array.array("q")                            # where each of the labels appeared first

    def add(self, cells, lines):
        if self.numeric is None:
            told = next((cell for cell in cells if not is_missing(cell)), None)
            if told is None:                                     # so far all missing: it fits either kind
                self.values.extend([np.nan] * len(cells))
                return
            self.numeric = bool(NUMBER.fullmatch(told))
            if not self.numeric and self.values:
                self.codes.extend([self.labels.setdefault("", 0)] * len(self.values))
                self.lines.append(lines[0])
        if self.numeric:
            self._add_numbers(cells, lines)
        else:
            self._add_texts(cells, lines)

    def _add_numbers(self, cells, lines):
        values = plain_numbers(cells)
        if values is None:
            values = [np.nan if is_missing(cell) else self._number(row, cell, lines) for row, cell in enumerate(cells)]
        self.values.extend(values)

    def _number(self, row, cell, lines):
        try:
            return number(row, cell)
        except BadCell as error:
            why = error.why + (f", and others of the column are; {self._remedies()}" if error.why == NO_NUMBER else "")
            raise self.reader.bad_cell(cell, why, lines[row], self.position) from None

    def _add_texts(self, cells, lines):
        for row, cell in enumerate(cells):
            if not self.chosen and NUMBER.fullmatch(cell):
                raise self.reader.bad_cell(cell, f"is a number, and others of the column are not; {self._remedies()}",
                                           lines[row], self.position)
            self.codes.append(self.labels.setdefault("" if is_missing(cell) else cell, len(self.labels)))
            if len(self.lines) < len(self.labels):
                self.lines.append(lines[row])

    def _remedies(self):
        name = self.position if self.reader.names is None else self.reader.names[self.position]
        return f"categorical={name!r} takes all its cells as text, drop={name!r} leaves the column out"

    def identifies(self):
        """Whether so many different texts are no categories."""
        return not self.chosen and (len(self.labels) > MAX_CATEGORIES or len(self.labels) == len(self.codes) > 2)

    def column(self):
        """The Column that was found."""
        name = self.reader.name(self.position)
        if self.numeric is None:
            raise self.reader.bad_column("has no value in any row; leave it out by drop=", self.position)
        if self.numeric:
            return Column(name)
        commas = [label for label in self.labels if DECIMAL_COMMA.fullmatch(label)]
        if commas and not self.chosen:
            line = self.lines[list(self.labels).index(commas[0])]
            raise self.reader.bad_cell(commas[0], f"has a comma where a number has its point; {self._remedies()}", line,
                                       self.position)
        if self.identifies():
            texts = len(self.labels)
            what = "another text in every row" if texts == len(self.codes) else f"{texts} different texts"
            raise self.reader.bad_column(f"has {what}, as an identifier has; {self._remedies()}", self.position)
        return Column(name, tuple(sorted(self.labels)))

    def inputs(self, column, out):
        """Write the column's inputs into `out`, (n, width)."""
        if column.categories is None:
            out[:, 0] = self.values
            return
        place = {category: k for k, category in enumerate(column.categories)}
        places = np.array([place[label] for label in self.labels], np.intp)
        out[...] = 0.0
        out[np.arange(len(out)), places[np.array(self.codes, np.intp)]] = 1.0


def learn(path, options, categorical=(), missing=ERROR, decimal=".", weight=None):
    """The `Learned` table of a text file.

    Parameters
    ----------
    path : str
    options : Options
        With a target.
    categorical : sequence of str or int
        Columns to take as text whatever they hold.
    missing : {"error", "drop", "fill"}
        What becomes of a missing cell of a feature: an error, the row is left out, or NaN (and the category "").
    decimal : {".", ","}
        What stands in numbers before their fraction.
    weight : str, int or None
        The column of the rows' weights, which is no feature.
    """
    with open_source(path) as stream:
        reader = TableReader(stream, path, options, decimal)
        weights = None if weight is None else _Weights(reader, weight)
        chosen = {position(column, reader.names, reader.width, options.spell("categorical", column), path)
                  for column in categorical}
        gathered = [_Gathered(reader, k, k in chosen) for k in reader.features]
        cells_of_target, lines_of_target, dropped = [], array.array("q"), 0
        for lines, cells in reader.blocks():
            kept = _whole_rows(reader, lines, cells, missing)
            if kept is not None:
                dropped += len(lines) - len(kept)
                lines, cells = [lines[i] for i in kept], [[column[i] for i in kept] for column in cells]
            for column in gathered:
                column.add(cells[column.position], lines)
            cells_of_target += cells[reader.target]
            lines_of_target.extend(lines)
            if weights is not None:
                weights.add(cells[weights.position], lines)
        if not len(gathered[0].values) and not len(gathered[0].codes):
            what = "every row has a missing cell" if dropped else "the file has a header and no rows of data"
            raise reader.text.error(what, 1)
        _refuse_identifiers(reader, [column.position for column in gathered if column.identifies()])
        columns = [column.column() for column in gathered]
        X = np.empty((max(len(gathered[0].values), len(gathered[0].codes)), sum(column.width for column in columns)))
        start = 0
        for found, column in zip(gathered, columns):
            found.inputs(column, X[:, start:start + column.width])
            start += column.width
        y, classes = target_values(reader.text, cells_of_target, lines_of_target, options.target_kind,
                                   reader.target + 1)
    return Learned(columns, X, y, classes, reader.name(reader.target), dropped,
                   None if weights is None else np.array(weights.values))


def _refuse_identifiers(reader, positions):
    """Name several columns at once that are no categories; of a single one `_Gathered.column` tells more."""
    if len(positions) > 1:
        names = [str(k) if reader.names is None else reader.names[k] for k in positions]
        given = reader.text.options.spell("drop", ",".join(names))
        raise reader.text.error(f"the columns {', '.join(names)} have other texts in every row or more than "
                                f"{MAX_CATEGORIES}, as identifiers have; {given} leaves them out", 1, positions[0] + 1)


class _Weights:
    """The column of the rows' weights while its file is read."""

    def __init__(self, reader, column):
        given = reader.text.options.spell("sample_weight", column)
        self.reader, self.position = reader, position(column, reader.names, reader.width, given, reader.path)
        self.values = array.array("d")
        if self.position == reader.target:
            raise ValueError(f"{given} is the target column")
        reader.features = [k for k in reader.features if k != self.position]
        if not reader.features:
            raise ValueError(f"no feature column is left of the {reader.width} of {reader.path}")

    def add(self, cells, lines):
        for row, cell in enumerate(cells):
            try:
                value = number(row, cell)
            except BadCell as error:
                raise self.reader.bad_cell(cell, error.why, lines[row], self.position) from None
            if value < 0.0:
                raise self.reader.bad_cell(cell, "is negative, and weights are not", lines[row], self.position)
            self.values.append(value)


def _whole_rows(reader, lines, cells, missing):
    """Rows of a block to keep, None for all; the error of the first missing cell where that is asked for."""
    if missing == FILL:
        return None
    used = [*reader.features, *([reader.target] if reader.target is not None and missing == DROP else [])]
    holes = [(row, k) for k in used for row, cell in enumerate(cells[k]) if is_missing(cell)]
    if not holes:
        return None
    if missing == ERROR:
        row, k = min(holes)
        why = "is empty" if not cells[k][row] else "stands for a missing value"
        raise reader.bad_cell(cells[k][row], f"{why}; missing='fill' puts the column's mean or a category of its own "
                              "there, missing='drop' leaves such rows out", lines[row], k)
    bad = {row for row, _ in holes}
    return [row for row in range(len(lines)) if row not in bad]


def encoded(reader, columns, positions, unknown):
    """(line numbers, inputs, all cells by column) of a TableReader's blocks, by the columns of a model.

    Parameters
    ----------
    reader : TableReader
    columns : sequence of Column
    positions : sequence of int
        Where they stand in the file.
    unknown : {"error", "zeros"}
    """
    for lines, cells in reader.blocks():
        parts = []
        for column, k in zip(columns, positions):
            try:
                parts.append(column.encode(cells[k], unknown))
            except BadCell as error:
                raise reader.bad_cell(error.cell, error.why, lines[error.row], k) from None
        yield lines, np.hstack(parts), cells

