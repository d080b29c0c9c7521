"""What all plots share: colours, markers, the gate for `ax` and for limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backprop import _check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

# Okabe and Ito's palette, in an order in which neighbours differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
INK = "#222222"
ACCENT = "#C44A00"              # a dark vermilion: text of it on white has a contrast of 5 to 1
VALUES = "cividis"              # from low to high

# Values around 0. Lightness (CIELAB) is about 30, 63, 97, 79, 54: even steps along each arm, and the arms differ. Thin
# lines on white have a grey middle instead.
_DIVERGING = ("#084A73", "#5A9FCB", "#F7F7F7", "#F0BB4E", "#B86E00")
_DIVERGING_LINES = ("#084A73", "#4D88AB", "#C4C4C4", "#DCA13C", "#B86E00")


def require() -> None:
    """ImportError that names the extra where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("backprop.plot needs matplotlib: pip install 'backprop-core[plot]'") from error


def axes(ax: Axes | None, size: tuple[float, float] | None = None) -> Axes:
    """`ax` itself, checked, or the Axes of a new figure of `size` inches."""
    require()
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}")
    return ax


def diverging(lines: bool = False) -> Colormap:
    """Blue, white (for lines grey), orange: for values around 0."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("backprop_diverging", _DIVERGING_LINES if lines else _DIVERGING)


def shares() -> Colormap:
    """White to dark blue in even steps of lightness: for shares from 0, which need no ink."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("backprop_shares", ("#FFFFFF", *_DIVERGING[1::-1]))


def color(i: int) -> str:
    """The colour of class or line i."""
    return PALETTE[i % len(PALETTE)]


def marker(i: int) -> str:
    """The marker of class or line i; colour and marker together are unique for 64."""
    return MARKERS[(i + i // len(PALETTE)) % len(MARKERS)]


def tint(i: int) -> str:
    """The colour of class i's region: its colour, mixed with white."""
    from matplotlib.colors import to_hex, to_rgb

    return to_hex(0.4 * np.array(to_rgb(color(i))) + 0.6)


def ink_on(rgba: tuple) -> str:
    """Black or white, whichever can be read on this colour (relative luminance, WCAG 2)."""
    channels = np.asarray(rgba[:3], dtype=float)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def limits(value, X: np.ndarray | None, columns: int = 2, margin: float = 0.12) -> list[tuple[float, float]]:
    """((low, high), ...) of each axis: `value`, checked, or the range of X and a margin around it."""
    if value is not None:
        box = _check.array(value, "limits", 2)
        if box.shape != (columns, 2) or (box[:, 0] >= box[:, 1]).any():
            raise ValueError(f"limits must be {columns} pairs (low, high) with low < high, got {_check.shown(value)}")
        return [(float(low), float(high)) for low, high in box]
    if X is None:
        raise ValueError("limits must be given where X is not")
    low, high = X.min(axis=0), X.max(axis=0)
    room = margin * np.where(high > low, high - low, np.maximum(1.0, np.abs(high)))
    return [(float(a), float(b)) for a, b in zip(low - room, high + room)]


def legend_beside(ax: Axes, **options) -> None:
    """A legend to the right of the Axes, where it hides nothing."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False, **options)
