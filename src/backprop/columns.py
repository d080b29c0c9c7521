"""Columns of a table as inputs of a network: numbers as they are, categories as one-hot columns.

What `backprop train` learns about a file's columns and keeps in the model, so that new rows are encoded as those that
the network was trained on.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np

from backprop._read_lines import DECIMAL_COMMA, NOT_FINITE, NUMBER
from backprop.errors import ModelFormatError

MISSING = ("", "?", "na", "n/a", "nan", "null")          # in any case: what tables write where a value is missing
UNKNOWN = ("error", "zeros")
NO_NUMBER = "is not a number"


class BadCell(ValueError):
    """A cell that its column does not take; `row` counts from 0 among those given."""

    def __init__(self, row, cell, why):
        super().__init__(f"row {row}: the cell {quoted(cell)} {why}")
        self.row, self.cell, self.why = row, cell, why


def is_missing(cell: object) -> bool:
    """Whether a cell says that there is no value: one of `MISSING`, None or NaN."""
    if isinstance(cell, str):
        return cell.lower() in MISSING
    return cell is None or isinstance(cell, float) and math.isnan(cell)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str or None
        None in a table without names.
    categories : tuple of str or None
        The texts that the column may hold, each an input that is 1 where the cell is this text and else 0. None: the
        column holds numbers and is one input. An empty text stands for missing cells.
    fill : float or None
        What a missing number counts as; None refuses it.
    """

    name: str | None
    categories: tuple | None = None
    fill: float | None = None

    @property
    def width(self) -> int:
        """Inputs that the column makes."""
        return 1 if self.categories is None else len(self.categories)

    def input_names(self, position: int) -> list[str]:
        """Names of these inputs; a column without a name goes by its position."""
        name = f"column {position}" if self.name is None else self.name
        return [name] if self.categories is None else [f"{name}={category}" for category in self.categories]

    def encode(self, cells, unknown: str = "error") -> np.ndarray:
        """(n, width) of n cells, texts or numbers; `BadCell` for one that the column does not take.

        With ``unknown="zeros"`` a text that is no category is none of them: a row of zeros.
        """
        if self.categories is None:
            return self._numbers(cells).reshape(-1, 1)
        code = {category: k for k, category in enumerate(self.categories)}
        out = np.zeros((len(cells), len(code)))
        for row, cell in enumerate(cells):
            k = code.get("" if is_missing(cell) else str(cell).strip())
            if k is not None:
                out[row, k] = 1.0
            elif unknown == "error":
                raise BadCell(row, cell, self._is_no_category(cell))
        return out

    def _is_no_category(self, cell):
        if is_missing(cell):
            return "is missing, and the model was trained without missing cells here"
        listed = ", ".join(map(str, self.categories[:10])) + (", ..." if len(self.categories) > 10 else "")
        return f"is none of the model's categories, {listed}"

    def _numbers(self, cells):
        values = plain_numbers(cells)
        if values is None:
            values = np.array([self._number(row, cell) for row, cell in enumerate(cells)])
        return values

    def _number(self, row, cell):
        if is_missing(cell):
            if self.fill is None:
                raise BadCell(row, cell, "is missing, and the model has no value to put there")
            return self.fill
        return number(row, cell)

    def to_dict(self) -> dict:
        """The fields in kinds that JSON has."""
        categories = None if self.categories is None else list(self.categories)
        return {"name": self.name, "categories": categories, "fill": self.fill}

    @classmethod
    def from_dict(cls, document: object) -> "Column":
        """The column that `to_dict` described; ModelFormatError for anything else."""
        if not isinstance(document, dict) or set(document) != {"name", "categories", "fill"}:
            raise ModelFormatError("a column must have a name, categories and fill")
        name, categories, fill = document["name"], document["categories"], document["fill"]
        if not isinstance(name, (str, type(None))):
            raise ModelFormatError("a column's name must be a string or null")
        if categories is not None:
            if not isinstance(categories, list) or not categories or not all(isinstance(c, str) for c in categories):
                raise ModelFormatError("a column's categories must be null or a list of strings")
            if len(set(categories)) < len(categories):
                raise ModelFormatError("a column has a category twice")
            categories = tuple(categories)
        if fill is not None:
            if isinstance(fill, bool) or not isinstance(fill, (int, float)) or not math.isfinite(fill):
                raise ModelFormatError("a column's fill must be null or a number")
            fill = float(fill)
        return cls(name, categories, fill)


def plain_numbers(cells):
    """(n,) values where every cell is text that is a finite number; else None."""
    if not all(isinstance(cell, str) for cell in cells):
        return None
    text = "".join(cells)
    if not text.isascii() or "_" in text:                # float() takes 1_000 and digits of other scripts
        return None
    try:
        values = np.array(list(map(float, cells)), np.float64)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def number(row, cell):
    """The finite value of one cell that is not missing; `BadCell` says why there is none."""
    if isinstance(cell, numbers.Real):
        value = float(cell)
    elif NUMBER.fullmatch(str(cell).strip()):
        value = float(cell)
    elif NOT_FINITE.fullmatch(str(cell).strip()):
        value = math.inf
    elif DECIMAL_COMMA.fullmatch(str(cell).strip()):
        raise BadCell(row, cell, "is not a number: it has a comma where a number has its point")
    else:
        raise BadCell(row, cell, NO_NUMBER)
    if not math.isfinite(value):
        why = "is not finite" if NOT_FINITE.fullmatch(str(cell).strip()) else "is too large for a float64"
        raise BadCell(row, cell, why)
    return value


def quoted(cell):
    """A cell as a message shows it."""
    text = str(cell)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def encode(columns, table, unknown: str = "error") -> np.ndarray:
    """(n, Σ width) inputs of a table's rows.

    Parameters
    ----------
    columns : sequence of Column
    table : array_like of shape (n, len(columns))
        Cells: numbers and texts.
    unknown : {"error", "zeros"}
        What becomes of a text that is no category.

    Raises
    ------
    ValueError
        For a cell that its column does not take, with row and column.

    Examples
    --------
    >>> from backprop.columns import Column, encode
    >>> encode([Column("area"), Column("colour", ("blue", "red"))], [[70.5, "red"], [12, "blue"]])
    array([[70.5,  0. ,  1. ],
           [12. ,  1. ,  0. ]])
    """
    rows = np.asarray(table, dtype=object)
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise ValueError(f"X must be a table of {len(columns)} columns, got shape {rows.shape}")
    parts = []
    for position, column in enumerate(columns):
        try:
            parts.append(column.encode(rows[:, position].tolist(), unknown))
        except BadCell as error:
            name = "" if column.name is None else f" ({column.name})"
            raise ValueError(f"X: row {error.row}, column {position}{name}: the cell {quoted(error.cell)} "
                             f"{error.why}") from None
    return np.hstack(parts)


def input_names(columns) -> list[str] | None:
    """Names of all inputs; None for a table without names that has numbers only."""
    if all(column.name is None and column.categories is None for column in columns):
        return None
    return [name for position, column in enumerate(columns) for name in column.input_names(position)]
