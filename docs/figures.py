"""Make the figures of the pages in docs/_build/figures: by the programs in examples/, by code of pages, by bp.plot.

``make docs`` calls it. What is there and younger than the library, the program and this file is kept.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

import backprop as bp  # noqa: E402

HERE = Path(__file__).parent
FOLDER = HERE / "_build" / "figures"
EXAMPLES = HERE.parent / "examples"
BY_EXAMPLE = {                  # program: the figures that it makes in seconds, from what is bundled
    "concept_drift": ["concept_drift.png"],
    "digits": ["digits.png"],
    "levenberg_marquardt": ["levenberg_marquardt.png"],
    "perceptron": ["perceptron.png", "perceptron.gif"],
    "web_service": ["web_service.png"],
    "xor": ["xor.png", "xor.gif"],
}
QUICK = ("perceptron", "xor")   # their films are short then


def lecture_descent():
    """Section 4 of lecture.md: fixed steps of several sizes, and the line search, over the contours of f."""
    def f(w):
        return (w[0] - 3) ** 2 + 10 * (w[1] + 1) ** 2

    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")
    cases = (0.01, "too small: η = 0.01"), (0.095, "nearly too large: η = 0.095"), (None, "line search")
    for ax, (eta, words) in zip(axes, cases):
        path = bp.gradient_descent(f, [0.0, 0.0], learning_rate=eta, max_iter=60, record_path=True)
        bp.plot.descent(path, f, ax=ax)
        ax.set_title(f"{words}, {path.n_iter} steps")
    return figure


def lecture_activations():
    """Section 6 of lecture.md: σ and σ', the slope by central differences of what the core computes."""
    a, h = np.linspace(-4, 4, 401), 1e-5
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", sharex=True)
    for name, line in (("sigmoid", "-"), ("tanh", "--"), ("relu", ":"), ("gelu", "-.")):
        unit = bp.Network([1, 1], output=name, init=([[[1.0]]], [[0.0]]))
        axes[0].plot(a, unit.predict(a[:, None]), line, label=name)
        axes[1].plot(a, (unit.predict(a[:, None] + h) - unit.predict(a[:, None] - h)) / (2 * h), line, label=name)
    axes[0].set(xlabel="a", ylabel="σ(a)")
    axes[1].set(xlabel="a", ylabel="σ'(a)")
    axes[0].legend()
    return figure


def lecture_trace():
    """Section 11 of lecture.md: the step that is worked by hand there, number by number."""
    W, b = [[[0.5, -1.0], [0.0, 0.25]], [[1.0], [-1.0]]], [[0.0, 0.5], [0.0]]
    network = bp.Network([2, 2, 1], hidden="sigmoid", output="sigmoid", init=(W, b))
    return bp.plot.trace(network.trace([1, 2], 1, learning_rate=0.5)).figure


def code_of(page, blocks):
    """The first Python blocks of a page, run where figures go: they save what the page shows."""
    code = re.findall(r"^```python\n(.*?)^```$", (HERE / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    with contextlib.chdir(FOLDER), contextlib.redirect_stdout(io.StringIO()):
        exec("\n".join(code[:blocks]), {})
    plt.close("all")


BY_PAGE = {"start.md": (2, ["moons.png", "curves.png"])}        # page: (how many of its blocks, the figures they save)
DRAWN = {"lecture-descent.png": lecture_descent, "lecture-activations.png": lecture_activations,
         "lecture-trace.png": lecture_trace}


def make():
    """Make what is missing or older than its sources."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    library = Path(bp.__file__)
    for program, names in BY_EXAMPLE.items():
        source = EXAMPLES / f"{program}.py"
        if _stale(names, library, source):
            _run(source)
    for page, (blocks, names) in BY_PAGE.items():
        if _stale(names, library, HERE / page):
            code_of(page, blocks)
    for name, draw in DRAWN.items():
        if _stale([name], library, Path(__file__)):
            figure = draw()
            figure.savefig(FOLDER / name, dpi=110, bbox_inches="tight")
            plt.close(figure)


def _stale(names, *sources):
    made = [FOLDER / name for name in names]
    return not all(path.exists() for path in made) or (
        min(path.stat().st_mtime for path in made) < max(path.stat().st_mtime for path in sources))


def _run(source):
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(Path(bp.__file__).parents[1])}
    options = ["--quick"] if source.stem in QUICK else []
    done = subprocess.run([sys.executable, str(source), "--out", str(FOLDER), *options], env=environment,
                          capture_output=True, text=True, cwd=FOLDER)
    if done.returncode:
        raise RuntimeError(f"{source.name} failed:\n{done.stderr}")
