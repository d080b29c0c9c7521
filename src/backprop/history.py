"""History: what training did, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop import _check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

COLUMNS = ("epoch", "loss", "penalty", "val_loss", "learning_rate", "gradient_norm", "seconds", "examples_per_second")
TABLE_ROWS = 12          # a longer history prints its first and last epochs


class History:
    """What training did, epoch by epoch, as lists of equal length; a value that was not measured is None, never NaN.

    Each call of `Network.train` returns its own history; `first + second` joins them, and `network.history` is the
    last. Columns are attributes and items: ``history.val_loss`` is ``history["val_loss"]``.

    Parameters
    ----------
    metrics : iterable of str
        Names of further columns.

    Attributes
    ----------
    epoch : list of int
        Number of the epoch over the network's life, from 1.
    loss : list of float
        Mean data loss of the epoch as it was trained: each example before its update, penalties excluded.
    penalty : list of float
        l1 ‖W‖₁ + (l2/2) ‖W‖² at the end of the epoch; `loss` + `penalty` is the objective.
    val_loss : list of (float or None)
        Loss on the validation data at the end of the epoch; None without validation.
    learning_rate : list of float
        η of the epoch.
    gradient_norm : list of (float or None)
        Euclidean norm of the gradient of the objective over all training data at the end of the epoch; measured only
        where `metrics` asks for "gradient_norm".
    seconds : list of float
        Training time of the epoch, without validation, metrics and callbacks; epochs trained in one call of the core
        share it evenly.
    examples_per_second : list of float
        Examples trained on in a second of that time.
    stop_reason : str or None
        "epochs", "early_stopping", "max_seconds", "max_updates", "target_loss", "converged", "callback" or
        "interrupted" (by Ctrl-C); None while training, and after any other exception.
    best_epoch : int or None
        With early stopping: the epoch whose parameters came back.

    Examples
    --------
    >>> import backprop as bp
    >>> net = bp.Network([1, 1], output="identity", init="zeros")
    >>> history = net.train([[1.0]], [[1.0]], epochs=3, learning_rate=0.125)
    >>> history.loss
    [1.0, 0.25, 0.0625]
    >>> history.stop_reason
    'epochs'
    """

    epoch: list[int]
    loss: list[float]
    penalty: list[float]
    val_loss: list[float | None]
    learning_rate: list[float | None]
    gradient_norm: list[float | None]
    seconds: list[float]
    examples_per_second: list[float]
    stop_reason: str | None
    best_epoch: int | None

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        self._names = (*COLUMNS, *metrics) if metrics else COLUMNS
        self._waiting: list[tuple] = []      # what `extend_later` has promised; lists are made when first looked at
        self.stop_reason = None
        self.best_epoch = None

    def __getattr__(self, name: str) -> Any:     # called for what is not there yet: the columns, at first
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._made()[name]

    def _made(self):
        """The attributes, with all columns among them."""
        if "epoch" not in self.__dict__:
            columns: dict[str, list] = {column: [] for column in self._names}
            for make, arguments, count in self._waiting:
                _extend(columns, self._names, make(*arguments), count)
            self.__dict__.update(columns)
        return self.__dict__

    def keys(self) -> list[str]:
        """Names of the columns; with `history[name]` this makes ``dict(history)`` the columns.

        Returns
        -------
        list of str
        """
        return list(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> list:
        if name not in self._names:
            raise KeyError(name)
        return getattr(self, name)

    def __len__(self) -> int:
        if "epoch" not in self.__dict__:
            return sum(count for *_, count in self._waiting)
        return len(self.epoch)

    def __eq__(self, other):
        return self.to_dict() == other.to_dict() if isinstance(other, History) else NotImplemented

    __hash__ = None         # type: ignore[assignment]

    def measured(self) -> list[str]:
        """Names of the columns that hold a value.

        Returns
        -------
        list of str
        """
        return [name for name in self._names if any(value is not None for value in self[name])]

    def last(self) -> dict[str, Any]:
        """The last epoch's measured values.

        Returns
        -------
        dict
        """
        columns = self._made()
        if not columns["epoch"]:
            return {}
        return {name: columns[name][-1] for name in self._names if columns[name][-1] is not None}

    def to_dict(self, columns_only: bool = False) -> dict[str, Any]:
        """The history as plain lists, numbers and strings, as JSON takes them.

        Parameters
        ----------
        columns_only : bool, default False
            Leave `stop_reason` and `best_epoch` out: ``pandas.DataFrame(history.to_dict(columns_only=True))``.

        Returns
        -------
        dict
        """
        out = {name: list(self[name]) for name in self._names}
        return out if columns_only else {**out, "stop_reason": self.stop_reason, "best_epoch": self.best_epoch}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """The history that `to_dict` wrote.

        Parameters
        ----------
        values : dict

        Returns
        -------
        History
        """
        if not isinstance(values, dict):
            raise TypeError(f"values must be a dict of lists, got {type(values).__name__}")
        columns = {name: _check.sequence(column, f"values[{name!r}]", "numbers") for name, column in values.items()
                   if name not in ("stop_reason", "best_epoch")}
        history = cls(name for name in columns if name not in COLUMNS)
        length = len(columns.get("epoch", ()))
        history.extend({name: columns.get(name, [None] * length) for name in history._names}, length)
        history.stop_reason, history.best_epoch = values.get("stop_reason"), values.get("best_epoch")
        return history

    def __add__(self, other: History) -> History:
        """This history continued by `other`; a column that one of them lacks is None there."""
        if not isinstance(other, History):
            return NotImplemented
        joined = History(dict.fromkeys(name for part in (self, other) for name in part._names if name not in COLUMNS))
        for part in (self, other):
            joined.extend(part.to_dict(columns_only=True), len(part))
        joined.stop_reason, joined.best_epoch = other.stop_reason, other.best_epoch
        return joined

    def extend(self, columns: Mapping[str, Iterable], count: int) -> None:
        """Append `count` epochs: an iterable of values per column; a column left out gets None.

        Parameters
        ----------
        columns : dict
        count : int
        """
        _extend(self._made(), self._names, columns, count)

    def extend_later(self, make: Callable, arguments: tuple, count: int) -> None:
        """`extend` by ``make(*arguments)``, when a column is looked at: most of many networks' histories never are.

        Parameters
        ----------
        make : callable
            A function of a module, so that the history can be pickled.
        arguments : tuple
        count : int
        """
        if "epoch" in self.__dict__:
            self.extend(make(*arguments), count)
        else:
            self._waiting.append((make, arguments, count))

    def trim(self) -> None:
        """Drop the epoch that an interruption left half written, so that all columns are equally long again."""
        if "epoch" not in self.__dict__:         # what waits is whole, and making lists of it takes its time
            return
        length = min(len(self[name]) for name in self._names)
        for name in self._names:
            del self[name][length:]

    def __repr__(self):
        if not len(self):
            return f"History(no epochs, stop_reason={self.stop_reason!r})"
        val = "" if self.val_loss[-1] is None else f", val_loss {self.val_loss[-1]:.6g}"
        return (f"History({len(self)} epochs, loss {self.loss[0]:.6g} -> {self.loss[-1]:.6g}{val}, "
                f"{sum(self.seconds):.3g} s, stop_reason={self.stop_reason!r})")

    def _cells(self):
        """The table as texts, its header first; a long history's first and last epochs."""
        names = [name for name in self.measured() if name != "penalty" or any(self.penalty)]
        rows = range(len(self))
        if len(self) > TABLE_ROWS:
            rows = [*rows[:TABLE_ROWS // 2], None, *rows[-TABLE_ROWS // 2:]]
        return [names, *[["..." if row is None else cell(self[name][row]) for name in names] for row in rows]]

    def _end(self):
        best = "" if self.best_epoch is None else f"; best_epoch: {self.best_epoch}"
        return f"stop_reason: {self.stop_reason}{best}"

    def __str__(self):
        cells = self._cells()
        if not cells[0]:
            return repr(self)
        widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells]
        return "\n".join([*lines, self._end()])

    def _repr_html_(self):
        from backprop import _html

        header, *rows = self._cells()
        if not header:
            return _html.preformatted(repr(self))
        return _html.table(header, rows, f"{len(self)} epochs; {self._end()}")


def _extend(lists, names, columns, count):
    nothing = [None] * count
    for name in names:
        lists[name].extend(columns.get(name, nothing))


def cell(value):
    """A value of a column as a table shows it."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.6g}"
