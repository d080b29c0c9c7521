"""The cartesian product of options, trained and scored."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop import _check, examples, metrics
from backprop.errors import TrainingErrors
from backprop.history import COLUMNS, History, cell
from backprop.many import defaults, train_many
from backprop.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from backprop._types import ArrayLike

_OF_NETWORK = tuple(inspect.signature(Network).parameters)


@dataclass
class Point:
    """One point of a grid.

    Attributes
    ----------
    parameters : dict
        What was tried.
    score : float or None
        None where the training failed or did not measure it.
    network : Network
        Trained.
    history : History
    error : Exception or None
        Why the training failed.
    """

    parameters: dict
    score: float | None
    network: Network
    history: History | None
    error: Exception | None


class Grid:
    """The points of a grid, the best first: a sequence of `Point`; prints as a table.

    Attributes
    ----------
    points : list of Point
    score : str
        The column of the histories that they are sorted by.
    """

    def __init__(self, points: list[Point], score: str) -> None:
        self.points, self.score = points, score

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Point:
        return self.points[index]

    @property
    def best(self) -> Point:
        """The point with the best score."""
        return self.points[0]

    def rows(self) -> list:
        """One dict a point, as pandas.DataFrame takes them: parameters, score, epochs, seconds and error, if any."""
        return [{**point.parameters, self.score: point.score, "epochs": len(point.history or ()),
                 "seconds": sum(point.history.seconds) if point.history else 0.0,
                 "error": None if point.error is None else f"{type(point.error).__name__}: {point.error}"}
                for point in self.points]

    def __str__(self):
        rows = self.rows()
        names = [name for name in dict.fromkeys(itertools.chain(*rows))
                 if name not in ("seconds", "error")]          # a table of one seed prints the same every time
        cells = [names, *[[_text(row.get(name)) for name in names] for row in rows]]
        widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
        return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths)) for line in cells)

    def __repr__(self):
        return f"Grid({len(self)} points, best {self.score} {_text(self.best.score)} with {self.best.parameters})"


def grid(sizes: Sequence[int], X: ArrayLike, Y: ArrayLike, parameters: Mapping[str, Sequence],
         validation: tuple | float = 0.25, sample_weight: ArrayLike | None = None, score: str = "val_loss",
         seed: int = 0, n_threads: int | None = None, progress: bool = False, **common: Any) -> Grid:
    """Train a network for every combination of options and sort them by their validation score.

    Parameters
    ----------
    sizes : list of int
        Of the networks, unless `parameters` has sizes.
    X, Y, sample_weight
        As in `Network.train`.
    parameters : dict or list of dicts
        Name to the list of values to try, for names of options of `Network` and of `Network.train`. Of a list of dicts,
        each is a product of its own.
    validation : (Xv, Yv), (Xv, Yv, weights) or float, default 0.25
        What the score is measured on: data, or the fraction of X, Y to hold out, the same rows for all points, with the
        share of every class for class targets.
    score : str, default "val_loss"
        The column of the history to sort by: its value at the end, or in the best epoch with early stopping. Which way
        is better follows from its name, or from the `Metric`'s direction.
    seed : int, default 0
        Of the random part held out and of every network, so that the points differ by what is tried alone.
    n_threads, progress
        As in `backprop.train_many`.
    **common
        Options of `Network` and `Network.train` for all points.

    Returns
    -------
    Grid
        Of all points, the best first; those whose training failed stand last, with their error.

    Raises
    ------
    ValueError, TypeError
        For a bad argument or value, before anything is trained.

    Examples
    --------
    >>> import numpy as np
    >>> import backprop as bp
    >>> X = np.linspace(-1, 1, 80).reshape(-1, 1)
    >>> found = bp.grid([1, 8, 1], X, X**2, {"learning_rate": [1e-9, 0.03], "hidden": ["tanh", "relu"]},
    ...                 optimizer="adam", epochs=50)
    >>> len(found), found.best.parameters["learning_rate"]
    (4, 0.03)
    """
    if not isinstance(score, str):
        raise TypeError(f"score must be the name of a column of the history, got {_check.shown(score)}")
    combinations = _combinations(parameters)
    for name in {**dict.fromkeys(common), **dict.fromkeys(itertools.chain(*combinations))}:
        if name not in _OF_NETWORK and name not in defaults():
            raise TypeError(f"grid got an unexpected option {name!r}; options are those of Network, "
                            f"{', '.join(_OF_NETWORK)}, and of train, {', '.join(defaults())}")
    chosen = [{"sizes": sizes, "seed": seed, **common, **combination} for combination in combinations]
    networks = [Network(**{name: value for name, value in each.items() if name in _OF_NETWORK}) for each in chosen]
    options = [{name: value for name, value in each.items() if name not in _OF_NETWORK} for each in chosen]
    train, held = _split(networks[0], X, Y, sample_weight, validation, _check.integer(seed, "seed", minimum=0))
    sign = _direction(score, chosen, train)
    try:
        results = train_many(networks, (train.X, train.Y, train.weight), n_threads, progress=progress,
                             options=[{"validation": held, **each} for each in options])
    except TrainingErrors as errors:
        results = list(errors.histories)
        for i, error in zip(errors.indices, errors.exceptions):
            results[i] = error
    points = [_point(*each, score) for each in zip(combinations, networks, results)]
    points.sort(key=lambda point: (point.score is None, sign * (point.score or 0.0)))
    return Grid(points, score)


def _combinations(parameters):
    """The dicts of a product, or of several."""
    grids = [parameters] if hasattr(parameters, "items") else parameters
    if not isinstance(grids, (list, tuple)) or not all(hasattr(each, "items") for each in grids):
        raise TypeError(f"parameters must be a dict of lists or a list of such dicts, got {type(parameters).__name__}")
    for each in grids:
        for name, values in each.items():
            if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
                raise TypeError(f"parameters[{name!r}] must be a list of values, got {_check.shown(values)}")
            if name == "validation":
                raise ValueError("parameters: validation is the same for all points")
    found = [dict(zip(each, values)) for each in grids for values in itertools.product(*each.values())]
    if not found:
        raise ValueError("parameters has a name without values: there is nothing to try")
    return found


def _split(network, X, Y, sample_weight, validation, seed):
    """(training examples, `validation` for all networks)."""
    whole = examples.Examples(*network._examples(X, Y, sample_weight))
    if isinstance(validation, (tuple, list)):
        return whole, validation
    if validation is None:
        raise ValueError("validation is None: a grid needs data to score its points on")
    train, held, _ = examples.split(network, whole, validation, True, seed)
    return train, (held.X, held.Y, held.weight)


def _direction(score, chosen, train):
    """1.0 where smaller is better, -1.0 where larger is; every point's history must have the column."""
    for names in {id(names): names for each in chosen for names in [each.get("metrics", ())]}.values():
        measured = metrics.Metrics(names, train.Y, soft=True)
        columns = [name for name in COLUMNS if name != metrics.GRADIENT_NORM or measured.gradient_norm]
        columns += [*measured.names, *(f"val_{name}" for name in measured.names)]
        if score not in columns:
            raise ValueError(f"score={score!r} is no column of the history; it has {', '.join(columns)}")
        direction = measured.direction(score)
        if direction is None:
            raise ValueError(f"score={score!r} is a metric without a direction: give it one by bp.metrics.Metric")
    return 1.0 if direction == "min" else -1.0


def _point(parameters, network, result, score):
    if isinstance(result, Exception):
        return Point(parameters, None, network, network.history, result)
    at = -1 if result.best_epoch is None else result.epoch.index(result.best_epoch)
    return Point(parameters, result[score][at] if len(result) else None, network, result, None)


def _text(value):
    return value if isinstance(value, str) else cell(value) if isinstance(value, (int, float, type(None))) else (
        _check.shown(value))
