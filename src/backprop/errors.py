"""The library's own exceptions and warnings.

Each is a subclass of the built-in that a caller would catch anyway: bad values are `ValueError`, bad kinds `TypeError`,
wrong state `RuntimeError`. `NotFittedError` and `ConvergenceWarning` are scikit-learn's classes of these names, too,
where scikit-learn is imported (`sklearn_or_own`).
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


class DataFormatError(ValueError):
    """A data file does not hold what its format or the reader demands.

    Parameters
    ----------
    message : str
        What is wrong and what was expected.
    path : str or None
        The file.
    line, column : int or None
        Position in a text file, both counted from 1.
    offset : int or None
        Position in a binary file, in bytes from 0.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None, column: int | None = None,
                 offset: int | None = None) -> None:
        self.message, self.path, self.line, self.column, self.offset = message, path, line, column, offset
        where = [] if path is None else [str(path)]
        where += [f"{word} {value}" for word, value in (("line", line), ("column", column), ("offset", offset))
                  if value is not None]
        super().__init__(f"{', '.join(where)}: {message}" if where else message)

    def __reduce__(self):
        return _data_format_error, (self.message, self.path, self.line, self.column, self.offset)


def _data_format_error(message, path, line, column, offset):
    return DataFormatError(message, path=path, line=line, column=column, offset=offset)


class ModelFormatError(ValueError):
    """A file is not a whole and undamaged model file."""


class ModelVersionError(ModelFormatError):
    """A model file was written by a newer format than this version reads."""


class CheckpointMismatchError(ValueError):
    """Training was to go on from a checkpoint with other data or options, and to replace the checkpoint."""


class DivergenceError(ValueError, ArithmeticError):
    """Training produced a non-finite loss or parameter; the last finite parameters were kept."""


class ConcurrentUseError(RuntimeError):
    """Two threads tried to train one network at the same time."""


class TrainingErrors(ExceptionGroup):
    """Some of the networks of `backprop.train_many` failed; the others are trained.

    Attributes
    ----------
    indices : tuple of int
        Which networks failed.
    exceptions : tuple of Exception
        What each of them raised.
    histories : tuple
        Of all networks, None for those that failed; what those did before is in their `history`.
    """

    indices: tuple[int, ...]
    histories: tuple

    def __new__(cls, message: str, exceptions: Sequence[Exception], indices: Iterable[int] = (),
                histories: Iterable = ()) -> TrainingErrors:
        self = super().__new__(cls, message, exceptions)
        self.indices, self.histories = tuple(indices), tuple(histories)
        return self

    def derive(self, exceptions: Sequence[Any]) -> TrainingErrors:       # type: ignore[override]
        indices = [i for i, error in zip(self.indices, self.exceptions) if error in exceptions]
        return TrainingErrors(self.message, exceptions, indices, self.histories)


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before `fit` (scikit-learn's class of this name, too, where that is imported)."""


class ConvergenceWarning(UserWarning):
    """Training ended before it converged (scikit-learn's class of this name, too, where that is imported)."""


def sklearn_or_own(name: str) -> type:
    """`NotFittedError` or `ConvergenceWarning` as it is raised: a class that is scikit-learn's of that name, too, where
    scikit-learn is imported.

    Nobody can name scikit-learn's class without having imported it, so that nothing is imported here.
    """
    exceptions = sys.modules.get("sklearn.exceptions")
    theirs = getattr(exceptions, name, None)
    return globals()[name] if theirs is None else _joined(globals()[name], theirs)


@functools.cache
def _joined(own, theirs):
    return type(own.__name__, (own, theirs), {"__doc__": own.__doc__, "__module__": own.__module__,
                                              "__reduce__": lambda self: (_again, (own.__name__, self.args))})


def _again(name, args):
    return sklearn_or_own(name)(*args)
