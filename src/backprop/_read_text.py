"""Delimited text: numbers, and one column of targets, exactly as written; or a DataFormatError with line and column."""

import array
import csv
import itertools
import math
import re

import numpy as np

from backprop._read_lines import NOT_FINITE, NUMBER, LineReader, show, target_values, why_no_number
from backprop._read_source import Table, assemble, columns, plain_name

BLOCK_CELLS = 2**17
MAX_COLUMNS = 2**20


class TextReader(LineReader):
    """Rows of a delimited text file, block by block: `for X, targets, lines in reader`.

    Lines without quotes go through NumPy's `loadtxt`. The first block that it does not take as it stands, and all after
    it, go through the `csv` module cell by cell, which either accepts what is there or says where it is wrong.
    """

    def __init__(self, stream, path, options):
        super().__init__(stream, path, options)
        self.delimiter = options.delimiter
        self._record = []                       # the lines of the csv record being read
        self._careful = None                    # records by csv, once loadtxt has refused a block
        first = next(self._rest, None)
        if first is None:
            raise self.error("the file is empty", 1)
        self.delimiter = self.delimiter or guess_delimiter(first, path)
        self._rest = itertools.chain([first], self._rest)
        self._begin(options)

    def _cell_at(self, line, position):
        delimiter = self.delimiter or guess_delimiter(line.decode("latin-1"), self.path)
        return line.count(delimiter.encode(), 0, position) + 1

    def _begin(self, options):
        """Take the first record: the width, the names, the columns; put it back where it is data."""
        line, row = next(self._records())
        row = [cell.strip() for cell in row]
        width = self.width = len(row)
        if not any(row):
            raise self.error("the first line is blank", line)
        if width > MAX_COLUMNS:
            raise self.error(f"{width} columns are more than {MAX_COLUMNS}", line, MAX_COLUMNS + 1)
        header = _is_header(row, options, self)
        self.names = row if header else None
        self.target, self.features = columns(options, self.names, width, self.path)
        if header:
            self._check_names(row)
            self.start = self.place() if self._stream.seekable() else None
        else:
            self._rest = itertools.chain(self._record[:], self._rest)
            self._line = 0

    def _check_names(self, row):
        used = set()
        for i, name in enumerate(row):
            if name in used:
                raise self.error(f"the column name {show(name)} occurs twice", 1, i + 1)
            if name:
                used.add(name)
            elif i in self.features or i == self.target:
                left_out = self.options.spell("drop", [i])
                raise self.error(f"the column has no name; leave it out by {left_out} if it is an index", 1, i + 1)

    def __iter__(self):
        rows = max(1, BLOCK_CELLS // self.width)
        while (block := self.read(rows)) is not None:
            yield block

    def go_to(self, place):
        super().go_to(place)
        self._careful = None

    def read(self, count, values=True):
        """The next rows, at most `count`: (X, targets, lines), or None at the end; X is None without `values`."""
        if self._careful is None:
            lines = list(itertools.islice(self._rest, count))
            if not lines:
                return None
            X = self._fast(lines) if values else None
            if X is not None or not values and self._are_plain(lines):
                first = self._line + 1
                self._line += len(lines)
                return X, self._targets_of(lines), range(first, self._line + 1)
            self._rest = itertools.chain(lines, self._rest)
            self._careful = self._whole()
        block = list(itertools.islice(self._careful, count))
        if not block:
            return None
        X = np.array([self._numbers(line, row) for line, row in block], np.float64) if values else None
        targets = None if self.target is None else [row[self.target].strip() for _, row in block]
        return X, targets, [line for line, _ in block]

    def _are_plain(self, lines):
        """Whether each line is a row of the right width, without quotes."""
        gaps = self.width - 1
        return not any(line.count(self.delimiter) != gaps or '"' in line or line.isspace() for line in lines)

    def _fast(self, lines):
        """The block's numbers through `np.loadtxt`, or None where it takes a closer look."""
        if not self._are_plain(lines):
            return None
        chosen = None if len(self.features) == self.width else self.features
        try:
            X = np.loadtxt(lines, delimiter=self.delimiter, usecols=chosen, comments=None, ndmin=2)
        except ValueError:
            return None
        return X if X.shape == (len(lines), len(self.features)) and np.isfinite(X).all() else None

    def _targets_of(self, lines):
        if self.target is None:
            return None
        if self.target == self.width - 1:
            return [line.rsplit(self.delimiter, 1)[-1].strip() for line in lines]
        return [line.split(self.delimiter, self.target + 1)[self.target].strip() for line in lines]

    def _records(self):
        """(line number, cells) of each record by the csv module; no cells where the line is blank."""
        reader = csv.reader(self._recorded(), delimiter=self.delimiter, strict=True,
                            skipinitialspace=self.delimiter != " ")
        blank = " \t\r\n".replace(self.delimiter, "")
        while True:
            self._record.clear()
            start = self._line + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise self._malformed(error, start) from None
            if row is None:
                return
            yield start, row if any(text.strip(blank) for text in self._record) else []

    def _recorded(self):
        for text in self._rest:
            self._line += 1
            self._record.append(text)
            yield text

    def _malformed(self, error, line):
        """Where csv stopped: the first cell that is too long, or neither plain nor properly quoted."""
        text, d = "".join(self._record), re.escape(self.delimiter)
        cell = re.compile(rf' *+(?:"(?:[^"]++|"")*+"|[^"{d}\r\n][^{d}\r\n]*+)?')
        column, start = 1, 0
        while True:
            end = cell.match(text, start).end()
            if end - start > csv.field_size_limit() or text[end:end + 1] != self.delimiter:
                break
            column, start = column + 1, end + 1
        why = {'"': "a quote is opened and not closed", "\r": "a carriage return stands inside the line"}.get(
            text[end:end + 1], str(error))
        return self.error(f"malformed cell: {why}", line, column)

    def _whole(self):
        """Records of the right width; blank lines only at the end."""
        blank = None
        for line, row in self._records():
            if not row:
                blank = blank or line
            elif blank:
                raise self.error("blank line between rows of data", blank)
            elif len(row) != self.width:
                raise self.error(f"the row has {len(row)} cells, expected {self.width}", line,
                                 min(len(row), self.width) + 1)
            else:
                yield line, row

    def _numbers(self, line, row):
        """The features of one record as floats; the first bad cell is the error."""
        cells = [row[i] for i in self.features]
        text = "".join(cells)
        if text.isascii() and "_" not in text:          # float() takes 1_000 and digits of other scripts
            try:
                values = list(map(float, cells))
            except ValueError:
                values = [math.nan]
            if all(map(math.isfinite, values)):
                return values
        return [self.number(cell.strip(), line, i) for i, cell in zip(self.features, cells)]

    def number(self, cell, line, position):
        """The value of one stripped cell; or the error that names it."""
        if NUMBER.fullmatch(cell) and math.isfinite(value := float(cell)):
            return value
        why, text = why_no_number(cell)
        hint = "; " + _text_hint(self.options) if text and position != self.target else ""
        name = "" if self.names is None else f" in column {show(self.names[position])}"
        raise self.error(f"the cell {show(cell)}{name} {why}{hint}", line, position + 1)


def _is_header(row, options, reader):
    """Whether the first row holds names: as the caller says, or by its feature cells."""
    named = [column for column in (options.target, *options.drop) if isinstance(column, str)]
    if named and options.header is False:
        said = options.spell("header", False)
        raise ValueError(f"{named[0]!r} is a column name, but {said} says that there are none")
    if named or options.header != "auto":
        return bool(named) or options.header
    target, features = columns(options, None, len(row), reader.path)
    filled = [i for i in features if row[i]]
    text = [i for i in filled if not (NUMBER.fullmatch(row[i]) or NOT_FINITE.fullmatch(row[i]))]
    yes, no = options.spell("header", True), options.spell("header", False)
    remedy = f"pass {yes} if this row is the header, {no} if it is data"
    if text and len(text) < len(filled):
        what = f"the cell {show(row[text[0]])} stands beside numbers in the first row"
        raise reader.error(f"{what}: {remedy}; {_text_hint(options)}", 1, text[0] + 1)
    if _counts_columns(row, target, features):
        raise reader.error(f"the first row only counts the columns: {remedy}", 1)
    return bool(text)


def _counts_columns(row, target, features):
    """Whether the row reads 0, 1, 2, ...: what pandas writes for columns without names, and hardly ever data."""
    if len(row) < 3 or any(row[i] != str(i) for i in features):
        return False
    return target is None or row[target] == str(target) or not NUMBER.fullmatch(row[target])


def _text_hint(options):
    return (f"a column of labels is named by {options.spell('target')}, other text is left out by "
            f"{options.spell('drop')}")


def guess_delimiter(line, path, among=",\t;"):
    """Tab for .tsv and .tab, else whichever of comma, tab and semicolon occurs most often in the first line."""
    if plain_name(path).endswith((".tsv", ".tab")):
        return "\t"
    return max(among, key=re.sub(r'"[^"]*+"', "", line).count)


def read_text(stream, path, options):
    """CSV, TSV and their like as a Table."""
    reader = TextReader(stream, path, options)
    blocks, cells, lines, labels = [], [], array.array("q"), {}
    for X, targets, numbers in reader:
        blocks.append(X)
        if targets is not None:
            cells += map(labels.setdefault, targets, targets)      # each label's text is kept once
            lines.extend(numbers)
    if not blocks:
        raise reader.error("the file has a header and no rows of data", 1)
    X = assemble(blocks)
    names = reader.names
    if reader.target is None:
        y, classes, target_name = None, None, None
    else:
        y, classes = target_values(reader, cells, lines, options.target_kind, reader.target + 1)
        target_name = names and names[reader.target]
    return Table(X, y, names and [names[i] for i in reader.features], target_name, classes)


