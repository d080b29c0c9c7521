"""A boundary being learned, frame by frame, as a GIF."""
from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.plot import _style
from backprop.plot.boundary import decision_boundary

if TYPE_CHECKING:
    from typing import Any

    from backprop._types import ArrayLike, PathLike

COLORS = 64                     # of a frame: lines, points and shades need no more


class BoundaryAnimation:
    """Records a model while it learns, and draws its boundary as an animation.

    A network's training calls it after each epoch, as a callback; for other models call `add` whenever there is
    something new to see.

    Parameters
    ----------
    X : array_like
        (n, 2) examples.
    y : array_like
        (n,) labels, or the network's targets.
    every : int, default 1
        Record every so many epochs of a callback; the first is always recorded.
    draw : callable, optional
        draw(model, X, y, ax=ax), as `decision_boundary` (the default) or `hyperplane`; it draws each frame, and options
        go through ``functools.partial``.

    Attributes
    ----------
    frames : list of (model, title)
        Copies of what was recorded.

    Raises
    ------
    ImportError
        Without matplotlib: the extra `plot`.

    Examples
    --------
    >>> import os, tempfile
    >>> import backprop as bp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = bp.Network([2, 8, 1], output="sigmoid", seed=1)
    >>> film = bp.plot.BoundaryAnimation(X, y, every=100)
    >>> history = net.train(X, y, epochs=300, learning_rate=0.5, callbacks=film)
    >>> [title for model, title in film.frames]
    ['epoch 1: loss 0.34', 'epoch 100: loss 0.0165', 'epoch 200: loss 0.00338', 'epoch 300: loss 0.00176']
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     film.save(os.path.join(folder, "xor.gif"))
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, *, every: int = 1, draw: Callable = decision_boundary) -> None:
        self.X = np.array(_check.matrix(X, columns=2, of="the two axes"))
        one_hot = np.ndim(y) == 2 and np.shape(y)[1] > 1
        self.y = np.array(_check.matrix(y, "y") if one_hot else _check.labels(y))
        if len(self.y) != len(self.X):
            raise ValueError(f"y has {len(self.y)} rows, but X has {len(self.X)}")
        self.every = _check.integer(every, "every", minimum=1)
        if not callable(draw):
            raise TypeError(f"draw must be callable, got {type(draw).__name__}")
        self.draw = draw
        self.frames: list = []

    def __call__(self, state: Any) -> None:
        """Record the network of a training callback, with epoch and loss as the title."""
        if not self.frames or state.epoch % self.every == 0:
            self.add(state.network, f"epoch {state.epoch}: loss {state.logs['loss']:.3g}")

    def add(self, model: Any, title: str = "") -> None:
        """Record a copy of a model.

        Parameters
        ----------
        model : Network, Perceptron or what `draw` takes
        title : str, default ""
            Of the frame.
        """
        self.frames.append((copy.deepcopy(model), str(title)))

    def save(self, path: PathLike, *, fps: float = 10, hold: float = 2.0, size: tuple[float, float] = (5.6, 4.2),
             dpi: int = 90) -> None:
        """Write the frames as an animated GIF, by Pillow; it runs in a loop.

        Parameters
        ----------
        path : str or os.PathLike
            Ends with ``.gif``.
        fps : float, default 10
            Frames per second.
        hold : float, default 2
            Seconds that the last frame stays longer.
        size : (width, height), default (5.6, 4.2)
            Inches.
        dpi : int, default 90
            Pixels per inch.

        Raises
        ------
        ValueError, TypeError
            Without a frame, and for arguments that cannot be used; then nothing is written.
        OSError
            Where the file cannot be written.
        """
        path = os.fsdecode(_check.path(path))
        if not path.lower().endswith(".gif"):
            raise ValueError(f"path must end with .gif, got {_check.shown(path)}")
        fps = _check.real(fps, "fps", above=0, maximum=50)
        hold = _check.real(hold, "hold", minimum=0, maximum=60)
        width, height = (_check.real(side, "size", above=0, maximum=50) for side in _pair(size))
        dpi = _check.integer(dpi, "dpi", minimum=10, maximum=1000)
        if not self.frames:
            raise ValueError("the animation has no frames: pass it to train as a callback, or call add")
        _style.require()
        pictures = list(self._pictures((width, height), dpi))
        durations = [1000 / fps] * len(pictures)
        durations[-1] += 1000 * hold
        gif = io.BytesIO()
        pictures[0].save(gif, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
        with open(path, "wb") as file:
            file.write(gif.getvalue())

    def _pictures(self, size, dpi):
        """Each frame as a Pillow image, of few colours, so that the file stays small."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        figure = Figure(size, dpi, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        for model, title in self.frames:
            figure.clear()
            ax = figure.add_subplot()
            self.draw(model, self.X, self.y, ax=ax)
            ax.set_title(title)
            canvas.draw()
            yield Image.fromarray(np.array(canvas.buffer_rgba())[:, :, :3]).quantize(COLORS)


def _pair(size):
    if isinstance(size, (str, bytes)) or not hasattr(size, "__iter__") or len(pair := list(size)) != 2:
        raise ValueError(f"size must be (width, height) in inches, got {_check.shown(size)}")
    return pair
