"""Networks as diagrams: units and weights, one example's way through them, and first-layer weights as images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.network import Network
from backprop.plot import _style
from backprop.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from backprop._types import ArrayLike

RADIUS = 0.36                   # of a unit, where neighbours in a layer are 1 apart
SMALLEST = 4.5                  # points; smaller text is left out
MAX_LABELLED_EDGES = 15         # in `trace`: more numbers cannot be told apart
BACKGROUND = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}     # of numbers
STATEMENT = 9.0                 # in `trace`: the length of the text below, in distances of units


@dataclass(frozen=True)
class _Layout:
    """Where units stand.

    Attributes
    ----------
    units : list of ndarray
        Numbers of the units shown, per layer 0..L.
    places : list of ndarray
        (m, 2) their centres.
    gaps : list of ((x, y) or None)
        Per layer the place of the dots that stand for units not shown.
    width, height : float
        Extent of the centres.
    """

    units: list
    places: list
    gaps: list
    width: float
    height: float


def _layout(sizes, max_units, spread=1.0, steps=None):
    """Layers from left to right, each centred; of more than max_units units the first and last are shown.

    `steps` are the distances between the layers, by default all the same.
    """
    rows = [min(n, max_units) + (n > max_units) for n in sizes]
    height = spread * (max(rows) - 1)
    steps = [max(2.4, 0.5 * height)] * (len(sizes) - 1) if steps is None else steps
    xs = np.concatenate([[0.0], np.cumsum(steps)])
    units, places, gaps = [], [], []
    for x, n, count in zip(xs, sizes, rows):
        ys = spread * ((count - 1) / 2 - np.arange(count))
        shown, gap = np.arange(n), None
        if n > max_units:
            head = (max_units + 1) // 2
            shown = np.concatenate([np.arange(head), np.arange(n - (max_units - head), n)])
            gap = (x, ys[head])
            ys = np.delete(ys, head)
        units.append(shown)
        places.append(np.column_stack([np.full(len(ys), x), ys]))
        gaps.append(gap)
    return _Layout(units, places, gaps, float(xs[-1]), height)


def _canvas(ax, layout, bars, *, above, below=0.9, sides=0.9, inches=0.62):
    """(Axes without ticks, with limits around the layout and equal aspect; points per unit of length).

    `bars` are the colour bars to put beside it, (mappable, label) each: they take their room before it is measured.
    """
    width, height = layout.width + 2 * sides, layout.height + above + below
    inches *= min(1.0, 12 / (inches * width), 9 / (inches * height))
    own = ax is None
    ax = _style.axes(ax, (inches * width + 1.0 * len(bars), inches * height))
    ax.set(xlim=(-sides, layout.width + sides), ylim=(-layout.height / 2 - below, layout.height / 2 + above))
    ax.set_aspect("equal")
    ax.set_axis_off()
    for mappable, label in bars:
        ax.figure.colorbar(mappable, ax=ax, label=label, shrink=0.8, aspect=25, pad=0.03)
    if own:                                              # a caller's figure is laid out when it is drawn
        ax.figure.get_layout_engine().execute(ax.figure)
    box = ax.get_window_extent()
    return ax, 72 / ax.figure.dpi * min(box.width / width, box.height / height)


def _edges(ax, layout, matrices, norm, points):
    """Lines between layers: colour and width by value, dashed where it is negative; a collection per layer."""
    from matplotlib.collections import LineCollection

    for l, values in enumerate(matrices):
        shown = values[np.ix_(layout.units[l], layout.units[l + 1])]
        segments = [(a, b) for a in layout.places[l] for b in layout.places[l + 1]]
        flat = shown.ravel()
        size = np.abs(flat) / norm.vmax
        lines = LineCollection(segments, array=flat, cmap=_style.diverging(lines=True), norm=norm, zorder=1,
                               linewidths=(0.6 + 2.6 * size) * float(np.clip(points / 36, 0.5, 1.4)),
                               linestyles=["-" if value >= 0 else (0, (4, 1.5)) for value in flat])
        ax.add_collection(lines, autolim=False)


def _symmetric(matrices):
    from matplotlib.colors import Normalize

    largest = max(float(np.abs(matrix).max()) for matrix in matrices) or 1.0
    return Normalize(-largest, largest)


def _nodes(ax, layout, values, norm, size):
    """Circles, coloured by `values` (one array per layer, None: white), with the numbers in them where they fit."""
    from matplotlib import colormaps
    from matplotlib.patches import Circle

    cmap = colormaps[_style.VALUES]
    for l, (units, places) in enumerate(zip(layout.units, layout.places)):
        for unit, place in zip(units, places):
            face = "white" if values is None else cmap(norm(values[l][unit]))
            ax.add_patch(Circle(place, RADIUS, facecolor=face, edgecolor=_style.INK, linewidth=1.1, zorder=2))
            if values is not None and size >= SMALLEST:
                text = _number(values[l][unit])
                ax.text(*place, text, ha="center", va="center", fontsize=size * min(1.0, 4.4 / len(text)), zorder=3,
                        color=_style.ink_on(face))         # as wide as four figures and a point
        if layout.gaps[l] is not None:
            ax.text(*layout.gaps[l], "⋮", ha="center", va="center", fontsize=max(10, 2 * size), color=_style.INK)


def _number(value):
    """At most five characters or so."""
    if value == 0 or 0.01 <= abs(value) < 100:
        text = f"{value:.2f}"
    elif 100 <= abs(value) < 1e4:
        text = f"{value:.0f}"
    else:
        text = f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "−")


def _digits(value):
    """Four significant digits."""
    return f"{value:.4g}".replace("-", "−")


def _headings(ax, layout, sizes, activations, size, above=0.58):
    last = len(sizes) - 1
    for l, n in enumerate(sizes):
        name = "input" if l == 0 else "output" if l == last else f"layer {l}"
        kind = "" if l == 0 else f"\n{activations[l - 1]}"
        ax.text(layout.places[l][0][0], layout.height / 2 + above, f"{name}\n{n} unit{'s' if n > 1 else ''}{kind}",
                ha="center", va="bottom", fontsize=size, color=_style.INK, linespacing=1.15)


def network(network: Any, ax: Axes | None = None, *, x: ArrayLike | None = None, max_units: int = 12,
            colorbar: bool = True) -> Axes:
    """A network as units and edges: weights by colour, width and line style, activations of an example by colour.

    Parameters
    ----------
    network : Network
    ax : matplotlib Axes, optional
        Its aspect is set to equal and its frame is hidden.
    x : array_like, optional
        (n_0,) an example: the units are coloured by their activations z[l], with the numbers in them where they fit.
    max_units : int, default 12
        Of a larger layer, the first and last units are shown and dots between them.
    colorbar : bool, default True
        Show the scale of the weights, and of the activations.

    Returns
    -------
    matplotlib Axes
        Orange solid lines are positive weights, blue dashed lines negative ones; the wider, the larger.

    Raises
    ------
    ValueError, TypeError
        For what is no network, and an x that does not fit.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> net = bp.Network([2, 3, 1], output="sigmoid", seed=0)
    >>> ax = bp.plot.network(net, x=[1.0, 0.0])
    >>> len(ax.patches), [text.get_text() for text in ax.texts][:2]
    (6, ['1.00', '0.00'])
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}")
    max_units = _check.integer(max_units, "max_units", minimum=2, maximum=200)
    colorbar = _check.boolean(colorbar, "colorbar")
    z = None
    if x is not None:
        x = _check.vector(x, "x", length=network.sizes[0], of="the network's inputs")
        z = [layer[0] for layer in network.forward(x.reshape(1, -1))]
    _style.require()
    layout = _layout(network.sizes, max_units)
    norm, shown = _symmetric(network.weights), None if z is None else _range(z, layout)
    bars = []
    if colorbar:
        bars = [_bar(_style.diverging(lines=True), norm, "weight (dashed: negative)")]
        bars += [] if z is None else [_bar(_style.VALUES, shown, "activation z")]
    ax, points = _canvas(ax, layout, bars, above=1.9)
    _edges(ax, layout, network.weights, norm, points)
    _nodes(ax, layout, z, shown, min(10.0, 0.26 * points))
    _headings(ax, layout, network.sizes, network.activations, float(np.clip(0.28 * points, 6, 10)))
    return ax


def _range(z, layout):
    from matplotlib.colors import Normalize

    values = np.concatenate([layer[units] for layer, units in zip(z, layout.units)])
    low, high = float(values.min()), float(values.max())
    return Normalize(low, high if high > low else low + 1)


def _bar(cmap, norm, label):
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, cmap), label


def trace(trace: Trace, ax: Axes | None = None, *, max_units: int = 8) -> Axes:
    """One example's way forward and backward through a network, with every number of one step of backpropagation.

    Parameters
    ----------
    trace : Trace
        What `Network.trace` returned.
    ax : matplotlib Axes, optional
        Its aspect is set to equal and its frame is hidden.
    max_units : int, default 8
        Of a larger layer, the first and last units are shown and dots between them.

    Returns
    -------
    matplotlib Axes
        In each unit its activation z, above it its bias b and net input a, below it its delta δ, which is the bias's
        gradient too. On each edge the weight w, its gradient g = ∂C/∂w and, where the trace has a learning rate, the
        weight after the step; with many edges only their colour, by the gradient. Orange solid edges have positive
        gradients, blue dashed ones negative.

    Raises
    ------
    TypeError
        For what is no trace.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> net = bp.Network([2, 2, 1], output="sigmoid", seed=0)
    >>> ax = bp.plot.trace(net.trace([1.0, 0.0], 1.0, learning_rate=0.5))
    >>> sum(text.get_text().startswith("w = ") for text in ax.texts)
    6
    """
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be what Network.trace returned, a Trace, got {type(trace).__name__}")
    max_units = _check.integer(max_units, "max_units", minimum=2, maximum=200)
    _style.require()
    sizes = [len(z) for z in trace.z]
    layout, labelled = _trace_layout(sizes, max_units)
    gradients = trace.weight_gradients[1:]
    norm = _symmetric(gradients)
    ax, points = _canvas(ax, layout, [_bar(_style.diverging(lines=True), norm, "gradient ∂C/∂w (dashed: negative)")],
                         above=2.6, below=1.9, sides=max(1.2, (STATEMENT - layout.width) / 2), inches=0.7)
    _edges(ax, layout, gradients, norm, points)
    size = min(10.0, 0.26 * points)
    _nodes(ax, layout, trace.z, _range(trace.z, layout), size)
    if size >= SMALLEST:
        _nets_and_deltas(ax, layout, trace, size, biases=labelled)
        if labelled:
            _edge_labels(ax, layout, trace, 0.85 * size)
    _headings(ax, layout, sizes, trace.activations, float(np.clip(size, 6, 10)), above=1.25)
    _statement(ax, layout, trace, float(np.clip(size, 6, 10)))
    return ax


def _trace_layout(sizes, max_units):
    """(layout, whether there is room for numbers on the edges)."""
    layout = _layout(sizes, max_units, spread=1.75)
    shown = [len(units) for units in layout.units]
    if sum(a * b for a, b in zip(shown, shown[1:])) > MAX_LABELLED_EDGES:
        return layout, False
    steps = [5.6 if 1 in pair else max(7.0, 3.0 * pair[1]) for pair in zip(shown, shown[1:])]
    return _layout(sizes, max_units, spread=2.3, steps=steps), True


def _nets_and_deltas(ax, layout, trace, size, biases):
    """Net input (and bias) above each unit, delta below."""
    style = {"ha": "center", "fontsize": 0.9 * size, "zorder": 2.2, "bbox": BACKGROUND}
    for l in range(1, len(layout.units)):
        for unit, (x, y) in zip(layout.units[l], layout.places[l]):
            net = f"a = {_digits(trace.a[l][unit])}"
            if biases and trace.biases[l] is not None:
                net = f"b = {_digits(trace.biases[l][unit])}\n{net}"
            ax.text(x, y + RADIUS + 0.08, net, va="bottom", color=_style.PALETTE[0], **style)
            ax.text(x, y - RADIUS - 0.08, f"δ = {_digits(trace.deltas[l][unit])}", va="top", color=_style.ACCENT,
                    **style)


def _edge_labels(ax, layout, trace, size):
    """Weight, gradient and new weight, on the edge; edges that cross are labelled near their start, in turn."""
    for l in range(1, len(layout.units)):
        for j, start in zip(layout.units[l - 1], layout.places[l - 1]):
            for i, end in zip(layout.units[l], layout.places[l]):
                w, g = trace.weights[l][j, i], trace.weight_gradients[l][j, i]
                text = f"w = {_digits(w)}\ng = {_digits(g)}"
                if trace.weight_updates[l] is not None:
                    text += f"\nw → {_digits(w + trace.weight_updates[l][j, i])}"
                share = _label_share(layout, l, start, end)
                ax.text(*(start + share * (end - start)), text, ha="center", va="center", fontsize=size, zorder=2.5,
                        color=_style.INK, linespacing=1.1, bbox=BACKGROUND)


def _label_share(layout, l, start, end):
    """Where on its edge a label stands: between 0 at the source and 1 at the target, so that labels do not meet."""
    targets = layout.places[l]
    if len(targets) == 1:
        return 0.45
    if len(layout.places[l - 1]) == 1:
        return 0.55
    rank = int(np.argmin(np.abs(targets[:, 1] - end[1])))
    return 0.22 + 0.43 * rank / (len(targets) - 1)


def _statement(ax, layout, trace, size):
    """Loss and learning rate, and the formulas of the two directions, below the diagram."""
    bottom = -layout.height / 2 - 1.0
    rate = "" if trace.learning_rate is None else f"      η = {trace.learning_rate:g}: w → w − η g"
    targets = ", ".join(_digits(value) for value in trace.y[:6]) + (", ..." if len(trace.y) > 6 else "")
    ax.text(layout.width / 2, bottom, f"target y = {targets}      C = {_digits(trace.loss)} ({trace.loss_name}){rate}",
            ha="center", va="top", fontsize=size, color=_style.INK)
    ax.text(layout.width / 2, bottom - 0.42, "forward →  a = z W + b,  z = σ(a)", ha="right", va="top", fontsize=size,
            color=_style.PALETTE[0])
    ax.text(layout.width / 2, bottom - 0.42, "      ← backward  δ = σ'(a) (δ Wᵀ),  g = z δ", ha="left", va="top",
            fontsize=size, color=_style.ACCENT)


def weights(network: Any, ax: Axes | None = None, *, shape: tuple | None = None, names: Sequence[str] | None = None,
            max_units: int = 64, colorbar: bool = True) -> Axes:
    """The weights into each unit of the first layer as an image: what the unit looks for in the input.

    Inputs that are no pixels have `names`: then the weights are one table of colours.

    Parameters
    ----------
    network : Network
    ax : matplotlib Axes, optional
    shape : (rows, columns), optional
        Of an input image, with rows · columns = n_0; by default square where n_0 is.
    names : sequence of str, optional
        Of the n_0 inputs, in place of `shape`.
    max_units : int, default 64
        Show at most so many units, the first ones.
    colorbar : bool, default True

    Returns
    -------
    matplotlib Axes
        One image of all tiles, numbered from 0 in reading order; with `names` a row for each input and a column for
        each unit. White is 0, orange positive, blue negative.

    Raises
    ------
    ValueError, TypeError
        For a shape or names that do not fit, or neither where n_0 is no square.
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import backprop as bp
    >>> ax = bp.plot.weights(bp.Network([64, 6, 10], seed=0))
    >>> ax.images[0].get_array().shape, ax.get_title()
    ((19, 28), 'weights into the 6 units of layer 1')
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}")
    W = network.weights[0]
    names = _names(names, shape, len(W))
    rows, columns = (1, len(W)) if names else _image_shape(shape, len(W))
    max_units = _check.integer(max_units, "max_units", minimum=1)
    colorbar = _check.boolean(colorbar, "colorbar")
    n = min(W.shape[1], max_units)
    image = _named(W[:, :n], names, ax) if names else _tiles(W[:, :n], rows, columns, ax)
    ax = image.axes
    ax.set_title(f"weights into {'the' if n == W.shape[1] else f'the first {n} of'} {W.shape[1]} units of layer 1",
                 fontsize=10)
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.85)
    return ax


def _names(names, shape, n):
    """A list of n names, or None."""
    if names is None:
        return None
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        raise TypeError(f"names must be a sequence of {n} names, got {_check.shown(names)}")
    names = [str(name) for name in names]
    if len(names) != n:
        raise ValueError(f"names has {len(names)} names, and the network {n} inputs")
    if shape is not None:
        raise ValueError("shape is of pixels, which have no names: give shape or names")
    return names


def _named(W, names, ax):
    """(n_0, n) weights as a table of colours, a named row for each input."""
    n_0, n = W.shape
    ax = _style.axes(ax, (float(np.clip(0.25 * n, 2, 9)) + 2.6, float(np.clip(0.25 * n_0, 1.2, 12)) + 1.2))
    image = ax.imshow(W, cmap=_style.diverging(), norm=_symmetric([W]), interpolation="nearest", aspect="auto")
    ax.set_yticks(range(n_0), names, fontsize=9 if n_0 <= 40 else 6)
    ax.set_xlabel("unit")
    return image


def _tiles(W, rows, columns, ax):
    """(n_0, n) weights as n images."""
    n = W.shape[1]
    across = math.ceil(math.sqrt(n * rows / columns))
    down = math.ceil(n / across)
    across = math.ceil(n / down)
    mosaic = np.full((down * (rows + 1) + 1, across * (columns + 1) + 1), np.nan)
    corners = [(k // across * (rows + 1) + 1, k % across * (columns + 1) + 1) for k in range(n)]
    for k, (top, left) in enumerate(corners):
        mosaic[top:top + rows, left:left + columns] = W[:, k].reshape(rows, columns)
    ax = _style.axes(ax, (float(np.clip(0.8 * across, 3, 9)) + 1, float(np.clip(0.8 * down, 2.4, 9))))
    cmap = _style.diverging().with_extremes(bad="#A6A6A6")
    image = ax.imshow(np.ma.masked_invalid(mosaic), cmap=cmap, norm=_symmetric([W]), interpolation="nearest")
    ax.set_axis_off()
    return image


def _image_shape(shape, n):
    if shape is None:
        side = math.isqrt(n)
        if side * side != n:
            raise ValueError(f"shape must be given: {n} inputs are no square image; other inputs than pixels take "
                             "names")
        return side, side
    if isinstance(shape, (str, bytes)) or not hasattr(shape, "__iter__") or len(shape := list(shape)) != 2:
        raise ValueError(f"shape must be (rows, columns), got {_check.shown(shape)}")
    rows, columns = (_check.integer(size, f"shape[{i}]", minimum=1) for i, size in enumerate(shape))
    if rows * columns != n:
        raise ValueError(f"shape {rows} x {columns} has {rows * columns} pixels, and the network {n} inputs")
    return rows, columns
