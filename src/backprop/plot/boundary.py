"""Plots in the plane of two features: regions of classes, and a perceptron's hyperplane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.errors import sklearn_or_own
from backprop.plot import _classifiers, _style

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes

    from backprop._types import ArrayLike

SHADES = np.linspace(-1.0, 1.0, 11)     # edges of the bands of a graded score


def decision_boundary(model: Any, X: ArrayLike | None = None, y: ArrayLike | None = None, ax: Axes | None = None, *,
                      limits: tuple | None = None, resolution: int = 200, legend: bool = True) -> Axes:
    """The regions in which a model answers with each class, the boundaries between them, and the examples.

    Parameters
    ----------
    model : Network, Model, Perceptron or fitted classifier
        Of two features. A network with one output has the classes 0 and 1, or -1 and 1 where `y` says so or, without
        `y`, the output is tanh or the loss hinge; its boundary is half-way between. One with n_L > 1 outputs has the
        classes 0 to n_L - 1. Other classifiers need ``predict`` and ``classes_``; ``predict_proba`` or
        ``decision_function`` make the boundary smooth.
    X : array_like, optional
        (n, 2) examples, drawn as points; they also set the limits.
    y : array_like, optional
        (n,) labels of X, or the network's targets, which give the points their colours and markers. Points that the
        model answers wrongly are larger and have a black rim.
    ax : matplotlib Axes, optional
    limits : ((x_low, x_high), (y_low, y_high)), optional
        By default the range of X with an eighth of it around.
    resolution : int, default 200
        Points per axis at which the model is asked.
    legend : bool, default True
        Show which class has which colour and marker, to the right of the Axes.

    Returns
    -------
    matplotlib Axes
        Of two classes with a graded answer (a probability, or one output) the region is the lighter, the less sure the
        answer: bands of a tenth of its range.

    Raises
    ------
    ValueError, TypeError
        For a model that is no classifier of two features, or arguments that do not fit.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = bp.Network([2, 8, 1], output="sigmoid", seed=1)
    >>> history = net.train(X, y, epochs=2000, learning_rate=0.5)
    >>> ax = bp.plot.decision_boundary(net, X, y)
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_legend().get_texts()]
    ('$x_1$', ['0', '1'])
    """
    classifier = _classifiers.of(model, y)
    X, labels = _examples(classifier, X, y)
    box = _style.limits(limits, X)
    resolution = _check.integer(resolution, "resolution", minimum=2, maximum=4096)
    legend = _check.boolean(legend, "legend")
    points, xs, ys = _grid(box, resolution)
    scores = np.asarray(classifier.scores(points))
    ax = _style.axes(ax, (5.4, 4.2))
    if scores.ndim == 1:
        _two_regions(ax, xs, ys, scores.reshape(len(ys), len(xs)), classifier.graded)
    else:
        _many_regions(ax, xs, ys, scores.reshape(len(ys), len(xs), -1))
    wrong = None if labels is None else _predicted(classifier, X) != labels
    _scatter(ax, X, labels, wrong)
    _frame(ax, box, classifier.feature_names)
    if legend:
        _legend(ax, classifier.classes)
    return ax


def _examples(classifier, X, y) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Checked (X or None, class numbers or None) in the plane."""
    if classifier.n_features not in (None, 2):
        raise ValueError(f"model has {classifier.n_features} features, and a plane shows 2: train it on two of them")
    if X is None:
        if y is not None:
            raise ValueError("y is given without X")
        return None, None
    X = _check.matrix(X, columns=2, of="the two axes")
    return X, None if y is None else _classifiers.labels(y, classifier, len(X))


def _grid(box, resolution):
    xs, ys = (np.linspace(low, high, resolution) for low, high in box)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2), xs, ys


def _predicted(classifier, X):
    scores = np.asarray(classifier.scores(X))
    return (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)


def _two_regions(ax, xs, ys, score, graded):
    from matplotlib.colors import ListedColormap

    if graded:
        colors = _style.diverging()(np.linspace(0.3, 0.7, len(SHADES) - 1))
        ax.contourf(xs, ys, np.clip(score, -1, 1), levels=SHADES, cmap=ListedColormap(colors), zorder=0)
    else:
        ax.contourf(xs, ys, np.sign(score), levels=[-1.5, 0, 1.5], colors=[_style.tint(0), _style.tint(1)], zorder=0)
    if score.min() < 0 < score.max():
        ax.contour(xs, ys, score, levels=[0], colors="black", linewidths=1.6, zorder=1)


def _many_regions(ax, xs, ys, scores):
    from matplotlib.colors import ListedColormap

    k = scores.shape[2]
    ax.pcolormesh(xs, ys, scores.argmax(axis=2), vmin=-0.5, vmax=k - 0.5, shading="nearest", rasterized=True, zorder=0,
                  cmap=ListedColormap([_style.tint(i) for i in range(k)]))
    for i in range(k if k > 1 else 0):
        margin = scores[:, :, i] - np.delete(scores, i, axis=2).max(axis=2)
        if margin.min() < 0 < margin.max():
            ax.contour(xs, ys, margin, levels=[0], colors="black", linewidths=1.3, zorder=1)


def _scatter(ax, X, labels, wrong):
    """Examples, one collection per class."""
    if X is None:
        return
    size = float(np.clip(400 / np.sqrt(len(X)), 14, 60))
    if labels is None:
        ax.scatter(*X.T, s=size, color=_style.INK, edgecolors="white", linewidths=0.7, zorder=3)
        return
    for i in np.unique(labels):
        rows = labels == i
        rim = np.zeros(rows.sum(), bool) if wrong is None else wrong[rows]
        ax.scatter(*X[rows].T, s=np.where(rim, 1.8 * size, size), color=_style.color(i), marker=_style.marker(i),
                   edgecolors=np.where(rim, "black", "white"), linewidths=np.where(rim, 1.5, 0.6), zorder=3)


def _frame(ax, box, names):
    ax.set(xlim=box[0], ylim=box[1], xlabel=names[0] if names else "$x_1$", ylabel=names[1] if names else "$x_2$")


def _legend(ax, classes, handles=()):
    """One entry per class: its marker on its region's colour; then `handles`."""
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], linestyle="none", marker=_style.marker(i), markersize=8, markerfacecolor=_style.color(i),
                      markeredgecolor="white", label=str(label)) for i, label in enumerate(classes.tolist())]
    _style.legend_beside(ax, handles=[*entries, *handles])


def hyperplane(model: Any, X: ArrayLike | None = None, y: ArrayLike | None = None, ax: Axes | None = None, *,
               limits: tuple | None = None, legend: bool = True) -> Axes:
    """A perceptron's hyperplane w·x + b = 0 in the plane, with its normal vector, its margin and its mistakes.

    Parameters
    ----------
    model : Perceptron or fitted linear classifier
        Two features; ``coef_``, ``intercept_`` and ``classes_``. With k > 2 classes, the k hyperplanes "class c
        against the rest" are drawn, without margins.
    X : array_like, optional
        (n, 2) examples; they also set the limits.
    y : array_like, optional
        (n,) labels of X. Where all examples are on their right sides, dashed lines show the margin γ, the smallest
        distance y_i (w·x_i + b) / ‖w‖; otherwise a line leads from every mistake to the hyperplane, as long as its
        distance.
    ax : matplotlib Axes, optional
        Its aspect is set to equal, so that right angles and distances are what they are.
    limits : ((x_low, x_high), (y_low, y_high)), optional
    legend : bool, default True

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        For w = 0, which is no hyperplane, a model that is not linear in two features, or arguments that do not fit.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1]
    >>> ax = bp.plot.hyperplane(bp.Perceptron(shuffle=False).fit(X, y), X, y)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['0', '1', 'w·x + b = 0', 'normal vector w', 'margin γ = 0.277']
    """
    w, b = _linear(model)
    classifier = _classifiers.of(model)
    X, labels = _examples(classifier, X, y)
    box = _style.limits(limits, X)
    legend = _check.boolean(legend, "legend")
    (left, right), (low, high) = box
    ax = _style.axes(ax, (6.4, float(np.clip(4.0 * (high - low) / (right - left), 2.2, 6.0)) + 0.6))
    distances = None
    if labels is not None and len(w) == 1:
        distances = np.where(labels == 1, 1, -1) * _signed_distance(w[0], b[0], X)
    _scatter(ax, X, labels, None if distances is None else distances <= 0)
    if len(w) == 1:
        handles = _one_hyperplane(ax, w[0], b[0], box, X, labels, distances)
    else:
        handles = [_line(ax, normal, offset, box, color=_style.color(i), linestyle=_style.LINES[i % 4], linewidth=2,
                         label=f"{classifier.classes.tolist()[i]} against the rest")
                   for i, (normal, offset) in enumerate(zip(w, b))]
    _frame(ax, box, classifier.feature_names)
    ax.set_aspect("equal")
    if legend:
        _legend(ax, classifier.classes, handles)
    return ax


def _linear(model):
    """(w (k, 2), b (k,)) of a fitted linear classifier."""
    if not hasattr(model, "coef_"):
        if hasattr(model, "fit") and hasattr(model, "partial_fit"):
            raise sklearn_or_own("NotFittedError")(f"model, a {type(model).__name__}, has no coef_: fit it first")
        raise TypeError("model must be a Perceptron or another linear classifier with coef_, got "
                        f"{type(model).__name__}")
    w, b = (np.atleast_1d(np.asarray(getattr(model, name), dtype=float)) for name in ("coef_", "intercept_"))
    if w.ndim != 2 or w.shape[1] != 2:
        raise ValueError(f"model has coef_ of shape {w.shape}, and a plane shows 2 features: train it on two of them")
    if not np.abs(w).max(axis=1).all():
        raise ValueError("model has w = 0: there is no hyperplane to draw")
    return w, np.broadcast_to(b, len(w))


def _signed_distance(w, b, X):
    return (X @ w + b) / np.hypot(*w)


def _foot(w, b, X):
    """The nearest point of the hyperplane for each row of X."""
    return X - _signed_distance(w, b, X)[:, None] * w / np.hypot(*w)


def _line(ax, w, b, box, **style):
    """Draw w·x + b = 0 through the box; the line's handle."""
    (left, right), (low, high) = box
    middle = np.array([[(left + right) / 2, (low + high) / 2]])
    along = np.array([-w[1], w[0]]) / np.hypot(*w)
    ends = _foot(w, b, middle) + np.array([[-1.0], [1.0]]) * along * np.hypot(right - left, high - low)
    return ax.plot(*ends.T, zorder=2, **style)[0]


def _one_hyperplane(ax, w, b, box, X, labels, distances):
    """Line, normal vector, and either the margin or the distances of the mistakes; their handles."""
    norm = np.hypot(*w)
    handles = [_line(ax, w, b, box, color="black", linewidth=2, label="w·x + b = 0"), _arrow(ax, w, b, box, X)]
    if distances is None:
        return handles
    wrong = distances <= 0
    if wrong.any():
        stacked = np.stack([X[wrong], _foot(w, b, X[wrong])], axis=1)
        for k, pair in enumerate(stacked):
            handle, = ax.plot(*pair.T, color=_style.ACCENT, linestyle=":", linewidth=1.6, zorder=2,
                              label=f"{wrong.sum()} of {len(X)} on the wrong side" if k == 0 else "_")
            if k == 0:
                handles.append(handle)
    else:
        gamma = distances.min()
        for side in (-1, 1):
            handle = _line(ax, w, b - side * gamma * norm, box, color=_style.INK, linestyle="--", linewidth=1.2,
                           label=f"margin γ = {gamma:.3g}" if side == 1 else "_")
        handles.append(handle)
    return handles


def _arrow(ax, w, b, box, X):
    """The direction of w, from the point of the hyperplane next to the middle of what is seen; a handle for legends."""
    from matplotlib.lines import Line2D

    (left, right), (low, high) = box
    middle = np.array([[(left + right) / 2, (low + high) / 2]])
    start = np.clip(_foot(w, b, middle)[0], (left, low), (right, high))
    end = start + 0.16 * min(right - left, high - low) * w / np.hypot(*w)
    ax.annotate("", xy=end, xytext=start, zorder=4,
                arrowprops={"arrowstyle": "-|>", "color": _style.ACCENT, "linewidth": 2, "shrinkA": 0, "shrinkB": 0,
                            "mutation_scale": 16})
    return Line2D([], [], color=_style.ACCENT, linewidth=2, marker=">", markevery=[-1], label="normal vector w")
