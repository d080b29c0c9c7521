"""Curves and tables of training: loss over epochs, the path of gradient descent, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.descent import DescentResult
from backprop.network import Network
from backprop.plot import _style
from backprop.plot._classifiers import class_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from backprop._types import ArrayLike
    from backprop.history import History

NAMES = {"loss": "training loss", "val_loss": "validation loss"}
FEW = 30                        # up to so many epochs every one has its marker
MAX_CLASSES = 100               # of a confusion matrix; more are no labels but numbers


def history(history: History | Mapping[str, Any], ax: Axes | None = None, *, columns: Sequence[str] | None = None,
            log: bool = False, label: str | None = None) -> Axes:
    """Curves of training over the epochs: loss and validation loss, or other columns of a history.

    Parameters
    ----------
    history : History, Network, fitted estimator or mapping
        What training returned; a network stands for its last call, a `Perceptron` for its ``history_``, an estimator
        for ``loss_curve_``. A mapping has one list per column, and the epochs under "epoch" or counted from 1. Values
        of None leave gaps.
    ax : matplotlib Axes, optional
        Axes that hold curves already take further ones in further colours, to compare.
    columns : str or list of str, optional
        Names of columns; each brings its ``val_`` column where that was measured. By default loss and validation
        loss, and a perceptron's mistakes.
    log : bool, default False
        Logarithmic values.
    label : str, optional
        Put before the names in the legend: which training this is.

    Returns
    -------
    matplotlib Axes
        A dotted line marks the best epoch of early stopping, whose parameters came back.

    Raises
    ------
    ValueError, TypeError
        For a history without epochs, and for columns that it does not have.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> X, y = bp.data.digits()
    >>> net = bp.Network([64, 10], loss="log_loss", seed=0)
    >>> history = net.train(X, bp.data.one_hot(y), epochs=5, batch_size=32, validation=0.25, metrics="accuracy")
    >>> ax = bp.plot.history(history)
    >>> [line.get_label() for line in ax.get_lines()]
    ['training loss', 'validation loss']
    >>> bp.plot.history(history, columns="accuracy").get_ylabel()
    'accuracy'
    """
    table, default, best = _columns(history)
    names = _wanted(columns, table, default)
    log = _check.boolean(log, "log")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label must be a string, got {type(label).__name__}")
    curves = {name: _curve(table[name], name, len(table["epoch"])) for name in names}
    ax = _style.axes(ax, (5.4, 3.6))
    n = len(table["epoch"])
    for i, (name, values) in enumerate(curves.items(), start=len(ax.get_lines())):
        every = 1 if n <= FEW else (i % 2 * (n // 20), n // 10)      # markers of neighbouring curves side by side
        ax.plot(table["epoch"], values, color=_style.color(i), linestyle=_style.LINES[i % 4], linewidth=1.8,
                marker=_style.marker(i), markersize=5, markevery=every,
                label=f"{label}: {_title(name, curves)}" if label else _title(name, curves))
    if best is not None:
        ax.axvline(best, color=_style.INK, linestyle=":", linewidth=1.4, label=f"best epoch, {best}")
    _finish(ax, curves, log)
    return ax


def _columns(history):
    """(columns with "epoch", names to draw by default, best epoch or None)."""
    if isinstance(history, Network):
        if history.history is None:
            raise ValueError("history: this network has not been trained yet")
        history = history.history
    elif hasattr(history, "history_"):
        history = history.history_
    elif hasattr(history, "loss_curve_"):
        history = _of_sklearn(history)
    best = getattr(history, "best_epoch", None)
    table = history.to_dict() if hasattr(history, "to_dict") else history
    if not isinstance(table, Mapping):
        raise TypeError("history must be a History, a trained Network or estimator, or a mapping of columns, got "
                        f"{type(history).__name__}")
    table = {name: list(values) for name, values in table.items() if isinstance(values, (list, tuple, np.ndarray))}
    length = max((len(values) for values in table.values()), default=0)
    if not length:
        raise ValueError("history holds no epochs")
    table.setdefault("epoch", list(range(1, length + 1)))
    default = ["loss"] if "loss" in table else [name for name in ("mistakes",) if name in table]
    return table, default, best


def _of_sklearn(estimator):
    """The columns that scikit-learn's own multilayer perceptrons keep."""
    table = {"loss": estimator.loss_curve_}
    if getattr(estimator, "validation_scores_", None):
        table["val_score"] = estimator.validation_scores_
    return table


def _wanted(columns, table, default):
    """The names of the columns to draw, each followed by its validation column where that has values."""
    columns = [columns] if isinstance(columns, str) else default if columns is None else list(columns)
    if not columns:
        raise ValueError(f"columns must name some of {', '.join(name for name in table if name != 'epoch')}")
    names = []
    for name in columns:
        if not isinstance(name, str):
            raise TypeError(f"columns must be names, got {type(name).__name__}")
        if name not in table or all(value is None for value in table[name]):
            measured = [key for key in table if key != "epoch" and any(v is not None for v in table[key])]
            raise ValueError(f"columns: {_check.shown(name)} was not measured; the history has {', '.join(measured)}")
        validation = f"val_{name}"
        names += [name, *([validation] if any(v is not None for v in table.get(validation, ())) else [])]
    return list(dict.fromkeys(names))


def _curve(values, name, length):
    """Floats with NaN for what was not measured."""
    if len(values) != length:
        raise ValueError(f"history: column {_check.shown(name)} has {len(values)} values for {length} epochs")
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"history: column {_check.shown(name)} must hold numbers or None") from None


def _title(name, curves):
    """A curve's name in the legend."""
    if name in NAMES:
        return NAMES[name]
    if name.startswith("val_"):
        return f"validation {_words(name[4:])}"
    return f"training {_words(name)}" if f"val_{name}" in curves else _words(name)


def _words(name):
    return name.replace("_", " ")


def _finish(ax, curves, log):
    from matplotlib.ticker import MaxNLocator

    quantities = list(dict.fromkeys(_words(name.removeprefix("val_")) for name in curves))
    ax.set_xlabel("epoch")
    if not ax.get_ylabel():
        ax.set_ylabel(" / ".join(quantities))
    if log:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))      # as there is room for
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)


def descent(path: Any, f: Callable | None = None, ax: Axes | None = None, *, limits: tuple | None = None,
            levels: int = 14, resolution: int = 120) -> Axes:
    """The path of gradient descent: over the contours of f for two variables, on its curve for one.

    Parameters
    ----------
    path : DescentResult or array_like
        What `gradient_descent` returned with ``record_path=True``, or the points themselves, (n, 2) or (n, 1).
    f : callable, optional
        f(w) -> float, as `gradient_descent` takes it. Without it, only the path is drawn; for one variable it is
        needed, unless `path` is a DescentResult, which knows the values along the path.
    ax : matplotlib Axes, optional
    limits : ((low, high), ...), optional
        One pair per variable; by default the range of the path and room around it.
    levels : int, default 14
        Contours. Their values grow with the cube of their number, from the least to the greatest seen, so that they
        are dense near the minimum.
    resolution : int, default 120
        Points per axis at which f is asked.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        For a result without a path, a path of more than two variables, or arguments that do not fit.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> def f(w):
    ...     return (w[0] - 3) ** 2 + 10 * (w[1] + 1) ** 2
    >>> r = bp.gradient_descent(f, [0.0, 0.0], learning_rate=0.08, record_path=True, max_iter=20)
    >>> ax = bp.plot.descent(r, f)
    >>> ax.get_lines()[0].get_xydata().shape
    (21, 2)
    """
    points, values = _path(path)
    if f is not None and not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")
    levels = _check.integer(levels, "levels", minimum=2, maximum=1000)
    resolution = _check.integer(resolution, "resolution", minimum=2, maximum=4096)
    box = _style.limits(limits, points, columns=points.shape[1], margin=0.2)
    if points.shape[1] == 1:
        return _descent_on_curve(points[:, 0], values, f, box[0], ax, resolution)
    surface = None if f is None else _surface(f, box, resolution)
    ax = _style.axes(ax, (5.6, 4.2))
    if surface is not None:
        _contours(ax, *surface, levels)
    _draw_path(ax, points, "black" if surface is None else "white")
    ax.set(xlim=box[0], ylim=box[1], xlabel="$w_1$", ylabel="$w_2$")
    return ax


def _path(path):
    """(points (n, d), values (n,) or None)."""
    values = None
    if isinstance(path, DescentResult):
        if path.path is None:
            raise ValueError("path: this result has none; run gradient_descent with record_path=True")
        path, values = path.path, path.values
    points = _check.matrix(path, "path")
    if points.shape[1] > 2:
        raise ValueError(f"path has {points.shape[1]} variables, and a plot shows 1 or 2: pass two columns of it")
    return points, values


def _value(f, w):
    """f(w) as a float; NaN where it is not defined."""
    try:
        with np.errstate(all="ignore"):
            value = f(w)
    except (OverflowError, ZeroDivisionError):
        return np.nan
    if np.shape(value) != ():
        raise ValueError(f"f must return one number, got an array of shape {np.shape(value)}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"f must return a number, got {type(value).__name__}") from None


def _surface(f, box, resolution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    xs, ys = (np.linspace(low, high, resolution) for low, high in box)
    values = np.array([[_value(f, np.array([x, y])) for x in xs] for y in ys])
    if not np.isfinite(values).any():
        raise ValueError("f has no finite value within the limits")
    return xs, ys, np.ma.masked_invalid(values)


def _contours(ax, xs, ys, values, levels) -> None:
    from matplotlib.colors import BoundaryNorm

    low, high = float(values.min()), float(values.max())
    if not low < high:
        return
    edges = low + (high - low) * np.linspace(0, 1, levels + 1) ** 3
    norm = BoundaryNorm(edges, 256)
    filled = ax.contourf(xs, ys, values, levels=edges, cmap=_style.VALUES, norm=norm, zorder=0)
    ax.contour(xs, ys, values, levels=edges[1:-1], colors="white", linewidths=0.5, alpha=0.6, zorder=1)
    bar = ax.figure.colorbar(filled, ax=ax, label="f(w)", ticks=edges[::2])
    bar.ax.set_yticklabels([f"{edge:.3g}" for edge in edges[::2]])
    bar.ax.minorticks_off()


def _draw_path(ax, points, color):
    from matplotlib import patheffects

    outline = [patheffects.Stroke(linewidth=3.2, foreground="black"), patheffects.Normal()] if color == "white" else []
    ax.plot(*points.T, color=color, linewidth=1.4, marker="o", markersize=4.5, markeredgecolor="black",
            markeredgewidth=0.8, path_effects=outline, zorder=3, label=f"{len(points) - 1} steps")
    for point, marker, name, size in ((points[0], "s", "start", 9), (points[-1], "*", "end", 16)):
        ax.plot(*point, linestyle="none", marker=marker, markersize=size, color=_style.PALETTE[1],
                markeredgecolor="black", zorder=4, label=name)
    ax.legend(loc="best", framealpha=0.95, edgecolor="none")


def _descent_on_curve(w, values, f, box, ax, resolution):
    """One variable: the curve of f and the path on it."""
    if f is None and values is None:
        raise ValueError("f must be given where path is an array of one variable")
    if values is None:
        values = np.array([_value(f, np.array([x])) for x in w])
    curve = None
    if f is not None:
        xs = np.linspace(*box, 4 * resolution)
        curve = xs, np.array([_value(f, np.array([x])) for x in xs])
    ax = _style.axes(ax, (5.4, 3.6))
    _draw_path(ax, np.column_stack([w, values]), _style.ACCENT)
    if curve is not None:
        ax.plot(*curve, color=_style.PALETTE[0], linewidth=1.8, zorder=1, label="f")
        ax.legend(loc="best", frameon=False)
    ax.set(xlim=box, xlabel="$w$", ylabel="f(w)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def confusion_matrix(y: ArrayLike, y_predicted: ArrayLike, ax: Axes | None = None, *, classes: ArrayLike | None = None,
                     normalize: bool = False) -> Axes:
    """Counts of true against predicted classes, one row per true class.

    Parameters
    ----------
    y, y_predicted : array_like
        (n,) true and predicted labels of any kind that can be sorted; or (n, k) one-hot targets and a network's (n, k)
        outputs, of which the largest is the class.
    ax : matplotlib Axes, optional
    classes : array_like, optional
        The labels in the order of rows and columns; by default those that occur, sorted. For (n, k) arrays the names
        of the k columns.
    normalize : bool, default False
        Shares of each true class instead of counts.

    Returns
    -------
    matplotlib Axes
        The title has the accuracy. The colour of a cell is its share of the row in any case.

    Raises
    ------
    ValueError, TypeError
        For labels that are not among `classes`, or arrays that do not fit together.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> ax = bp.plot.confusion_matrix(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    >>> [text.get_text() for text in ax.texts], ax.get_title()
    (['1', '0', '1', '1'], 'accuracy 0.667')
    """
    true, predicted, names = _true_and_predicted(y, y_predicted, classes)
    normalize = _check.boolean(normalize, "normalize")
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (true, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.48 * len(names), 2.4, 12))
    ax = _style.axes(ax, (side + 1.6, side + 1.0))
    image = ax.imshow(shares, cmap=_style.shares(), vmin=0.0, vmax=1.0)
    for (i, j), count in np.ndenumerate(counts):
        ax.text(j, i, f"{shares[i, j]:.2f}" if normalize else str(count), ha="center", va="center",
                fontsize=10 if len(names) <= 12 else 7,
                color=_style.ink_on(image.cmap(image.norm(shares[i, j]))) if count else "#767676")
    words = [str(name) for name in names]
    slanted = max(map(len, words)) > 3
    ax.set_xticks(range(len(names)), words, rotation=45 if slanted else 0, ha="right" if slanted else "center",
                  rotation_mode="anchor" if slanted else "default")
    ax.set_yticks(range(len(names)), words)
    ax.set(xlabel="predicted", ylabel="true", title=f"accuracy {np.trace(counts) / counts.sum():.3f}")
    ax.figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.85)
    return ax


def _true_and_predicted(y, y_predicted, classes):
    """Class numbers (n,) of both, and the names of the classes."""
    if np.ndim(y_predicted) == 2 and np.shape(y_predicted)[1] > 1:
        P = _check.matrix(y_predicted, "y_predicted")
        names = np.arange(P.shape[1]) if classes is None else _check.labels(classes, "classes")
        if len(names) != P.shape[1]:
            raise ValueError(f"classes has {len(names)} labels, but y_predicted has {P.shape[1]} columns")
        if np.ndim(y) == 2:
            Y = _check.matrix(y, "y", columns=P.shape[1], of="as y_predicted")
            true = Y.argmax(axis=1)
        else:
            true = class_numbers(_check.labels(y, "y"), names, "y")
        predicted = P.argmax(axis=1)
    else:
        y, y_predicted = _check.labels(y, "y"), _check.labels(y_predicted, "y_predicted")
        names = _all_classes(y, y_predicted) if classes is None else _check.labels(classes, "classes")
        true, predicted = class_numbers(y, names, "y"), class_numbers(y_predicted, names, "y_predicted")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"y and y_predicted hold {len(names)} different labels, more than the {MAX_CLASSES} that can "
                         "be shown; are they numbers?")
    if len(true) != len(predicted):
        raise ValueError(f"y has {len(true)} rows, but y_predicted has {len(predicted)}")
    return true, predicted, names.tolist()


def _all_classes(y, y_predicted):
    try:
        return np.unique(np.concatenate([y, y_predicted]))
    except TypeError:
        raise TypeError("y and y_predicted hold labels of kinds that have no common order") from None
