"""Lines of a text file, decoded and numbered: what the readers of text formats stand on."""

import math
import re

import numpy as np

from backprop.errors import DataFormatError

MAX_LINE_BYTES = 2**24
WIDE_TEXTS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"),
              (b"\xfe\xff", "UTF-16"))                   # marks of their beginning; one of UTF-16 begins UTF-32's
MAX_LABEL = 256                 # characters; NumPy gives every label of a column the width of the longest

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


class LineReader:
    """The lines of an opened file; a subclass makes rows of them, `read(count)` by `read(count)`.

    Attributes
    ----------
    start : (int, int)
        The place of the first row, None where it is not known (compressed data); `place()` is the place reached, and
        `go_to` returns to one.
    """

    def __init__(self, stream, path, options):
        self.path, self.options = path, options
        self._stream = stream
        self._rest = self._lines(1)
        self._line = 0                          # lines taken from _rest
        self.start = (0, 0)

    def error(self, message, line, column=1):
        return DataFormatError(message, path=self.path, line=line, column=column)

    def place(self):
        """(bytes, lines) before the next row; exact where `read` has just returned."""
        return self._stream.tell(), self._line

    def go_to(self, place):
        """Read on from a place of this file."""
        offset, self._line = place
        self._stream.seek(offset)
        self._rest = self._lines(self._line + 1)

    def _lines(self, first):
        """Decoded lines, their ends included; `first` is the number of the next line."""
        for number, line in enumerate(iter(lambda: self._stream.readline(MAX_LINE_BYTES), b""), first):
            if number == 1:
                wide = next((name for mark, name in WIDE_TEXTS if line.startswith(mark)), None)
                if wide is not None:
                    raise self.error(f"the text is {wide}; save it as UTF-8", 1)
                line = line.removeprefix(b"\xef\xbb\xbf")
            if len(line) >= MAX_LINE_BYTES:
                raise self.error(f"the line is longer than {MAX_LINE_BYTES} bytes", number)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise self.error(f"byte {line[error.start]:#04x} is not UTF-8 text; save the file as UTF-8", number,
                                 self._cell_at(line, error.start)) from None
            if "\0" in text:
                raise self.error("NUL byte in a text file", number, self._cell_at(line, line.index(b"\0")))
            yield text

    def _cell_at(self, line, position):
        """Number of the cell, from 1, that holds the byte at `position` of a line."""
        raise NotImplementedError   # pragma: no cover - each reader has its own


def show(text):
    """A cell as an error quotes it."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def why_no_number(cell):
    """(why the stripped text of a cell is not the value of a number, whether it is other text altogether)."""
    if NUMBER.fullmatch(cell):
        return "is too large for a float64", False
    if not cell:
        return "is empty", False
    if NOT_FINITE.fullmatch(cell):
        return "is not finite", False
    if DECIMAL_COMMA.fullmatch(cell):
        return "is not a number: it has a comma where a number has its point", True
    return "is not a number", True


def target_values(reader, cells, lines, kind, column, hint=""):
    """Target cells as int64, float64 or strings, and their classes; each distinct text is looked at once.

    For the errors: `lines` are their lines, `column` is their column, and `hint` follows on what is no number.
    """
    distinct = dict.fromkeys(cells)
    spell = reader.options.spell

    def bad(cell, why):
        return reader.error(f"the target {show(cell)} {why}", lines[cells.index(cell)], column)

    for cell in distinct:
        if not cell:
            raise bad(cell, "is empty")
        if len(cell) > MAX_LABEL:
            raise bad(cell, f"is longer than {MAX_LABEL} characters")
    as_class, as_number = spell("target_kind", "class"), spell("target_kind", "number")
    if kind != "number" and all(map(INTEGER.fullmatch, distinct)):
        values = {cell: int(cell) for cell in distinct}
        long = [cell for cell, value in values.items() if not -2**63 <= value < 2**63]
        if not long:
            classes = np.array(sorted(set(values.values())), np.int64)
            return np.array([values[cell] for cell in cells], np.int64), classes
        if kind == "auto":
            raise bad(long[0], f"does not fit a 64-bit integer; pass {as_class} or {as_number}")
    if kind == "auto":
        text = [cell for cell in distinct if not NUMBER.fullmatch(cell)]
        missing = [cell for cell in text if NOT_FINITE.fullmatch(cell)]
        if missing:
            raise bad(missing[0], f"is not a value; pass {as_class} if it is a label")
        if text and len(text) < len(distinct):
            raise bad(text[0], f"is not a number, while others are; pass {as_class} if all are labels")
        kind = "class" if text else "number"
    if kind == "class":
        labels = sorted(distinct)
        code = {label: i for i, label in enumerate(labels)}
        classes = np.array(labels)
        return classes[[code[cell] for cell in cells]], classes
    values = {}
    for cell in distinct:
        values[cell] = float(cell) if NUMBER.fullmatch(cell) else math.nan
        if not math.isfinite(values[cell]):
            why, text = why_no_number(cell)
            raise bad(cell, why + hint if text else why)
    return np.array([values[cell] for cell in cells], np.float64), None
