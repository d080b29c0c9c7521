"""Plots: what is drawn, compared with the numbers it stands for; what is refused; what is left alone.

Figures are rendered by Agg. Structure is compared (data of lines, colours, levels, texts, places), and no two texts may
overlap or leave the figure.
"""

import functools
import itertools
import math
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import backprop as bp

matplotlib = pytest.importorskip("matplotlib", reason="plots need the extra `plot`: matplotlib")
Image = pytest.importorskip("PIL.Image", reason="animations need the extra `plot`: pillow")

from matplotlib import colors as mpl_colors  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import LineCollection  # noqa: E402
from matplotlib.contour import QuadContourSet  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from backprop.plot import _style  # noqa: E402

XOR_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = np.array([0, 1, 1, 0])
BOX = [(-2.0, 2.0), (-1.5, 1.5)]


def linear(w=(1.0, 2.0), b=-0.5, output="sigmoid"):
    """A network of one unit: its boundary is the line w·x + b = 0 (for tanh and sigmoid)."""
    return bp.Network([2, 1], output=output, init=([np.reshape(w, (2, 1))], [[b]]))


def clouds(k=3, n=40, seed=0):
    """k clouds of points around a circle."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    angle = 2 * np.pi * y / k
    return 3 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.5, (n, 2)), y


def quietly(fit, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*args)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(axes):
    """The texts of Axes that can be seen: not those of ticks outside the limits."""
    hidden = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        hidden += [label for tick in axis.get_major_ticks() + axis.get_minor_ticks()
                   for label in (tick.label1, tick.label2) if not low <= tick.get_loc() <= high]
    return [text for text in axes.findobj(matplotlib.text.Text) if text.get_text().strip() and text.get_visible()
            and (axes.axison or text in axes.texts) and not any(text is other for other in hidden)]


def assert_readable(ax, slack=2.0):
    """Every text is inside the figure, and no two of them overlap by more than `slack` pixels."""
    figure = ax.figure
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for axes in figure.axes for text in drawn(axes)]
    assert len(boxes) > 2
    whole = figure.bbox.padded(2)
    for word, box in boxes:
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, word
    for (word, a), (other, b) in itertools.combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= slack or high <= slack, f"{word!r} and {other!r} overlap"


def assert_numbers_fit(ax):
    """The numbers of units are no wider than their circles; the share of circles that have one."""
    circles = {tuple(patch.center): patch.get_window_extent() for patch in ax.patches if hasattr(patch, "center")}
    numbers = [text for text in drawn(ax) if text.get_position() in circles]
    assert all(text.get_window_extent().width < circles[text.get_position()].width for text in numbers)
    return len(numbers) / len(circles)


# ---- history ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def trained():
    X, y = bp.data.digits()
    net = bp.Network([64, 16, 10], loss="log_loss", seed=0)
    history = net.train(X[:600], bp.data.one_hot(y[:600]), epochs=12, batch_size=16, learning_rate=0.3,
                        validation=0.25, metrics="accuracy", early_stopping=4)
    return net, history


def test_history_draws_loss_and_validation_loss(trained):
    net, history = trained
    ax = bp.plot.history(history)
    training, validation, best = ax.get_lines()
    np.testing.assert_array_equal(training.get_xydata(), np.column_stack([history.epoch, history.loss]))
    np.testing.assert_array_equal(validation.get_ydata(), history.val_loss)
    assert list(best.get_xdata()) == [history.best_epoch] * 2
    assert legend(ax) == ["training loss", "validation loss", f"best epoch, {history.best_epoch}"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "linear")
    for kind in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(training, kind)() != getattr(validation, kind)(), kind
    assert_readable(ax)
    assert len(bp.plot.history(net).get_lines()) == 3           # a network stands for its last call


def test_history_of_a_metric_and_on_one_axes_with_another(trained):
    _, history = trained
    ax = bp.plot.history(history, columns="accuracy")
    assert (legend(ax)[:2], ax.get_ylabel()) == (["training accuracy", "validation accuracy"], "accuracy")
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), history.val_accuracy)
    ax = bp.plot.history({"loss": [3.0, 2.0, 1.0]}, label="first", log=True)
    assert bp.plot.history({"loss": [2.0, 1.0]}, ax, label="second") is ax
    assert legend(ax) == ["first: training loss", "second: training loss"]
    first, second = ax.get_lines()
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(second.get_xdata(), [1, 2])


def test_history_leaves_gaps_for_what_was_not_measured():
    ax = bp.plot.history({"epoch": [5, 6, 7], "loss": [1.0, 0.5, 0.25], "val_loss": [None, 0.75, None]})
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), [np.nan, 0.75, np.nan])
    assert bp.plot.history({"loss": [1.0], "val_loss": [None]}).get_legend_handles_labels()[1] == ["training loss"]


def test_history_of_a_perceptron_and_of_sklearn():
    p = bp.Perceptron(shuffle=False).fit(XOR_X, [0, 0, 0, 1])
    ax = bp.plot.history(p)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), p.history_.mistakes)
    assert ax.get_ylabel() == "mistakes"

    class Fitted:
        loss_curve_ = [3.0, 2.0]
        validation_scores_ = [0.5, 0.75]

    ax = bp.plot.history(Fitted(), columns=["loss", "val_score"])
    assert legend(ax) == ["training loss", "validation score"]
    Fitted.validation_scores_ = None                     # as without early stopping
    assert legend(bp.plot.history(Fitted())) == ["training loss"]


def test_long_histories_have_few_markers():
    ax = bp.plot.history({"loss": list(np.linspace(1, 0.1, 200)), "val_loss": list(np.linspace(1, 0.2, 200))})
    for line in ax.get_lines():
        start, step = line.get_markevery()
        assert 5 <= len(range(start, 200, step)) <= 12


# ---- decision boundary -----------------------------------------------------------------------------------------------

def boundary_points(ax):
    """Vertices of the black contours."""
    lines = [c for c in ax.collections if isinstance(c, QuadContourSet) and not c.filled]
    return np.vstack([path.vertices for c in lines for path in c.get_paths()])


def offsets(ax):
    """Points drawn, over all classes."""
    return np.vstack([c.get_offsets() for c in ax.collections if len(c.get_offsets()) and c.get_zorder() == 3])


@pytest.mark.parametrize("output, y", [("sigmoid", [0, 1]), ("tanh", [-1, 1]), ("tanh", None)])
def test_boundary_of_one_output_is_where_it_is_half_way(output, y):
    net = linear(output=output)
    X = np.array([[0.0, -1.0], [1.0, 1.0]])
    ax = bp.plot.decision_boundary(net, X if y else None, y, limits=BOX)
    points = boundary_points(ax)
    assert len(points) > 50
    np.testing.assert_allclose(points @ [1.0, 2.0] - 0.5, 0, atol=1e-3)
    assert legend(ax) == (["0", "1"] if output == "sigmoid" else ["-1", "1"])
    assert (ax.get_xlim(), ax.get_ylim()) == tuple(BOX)


def test_boundary_shades_by_the_output_and_marks_what_is_wrong():
    net = linear()
    X = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    ax = bp.plot.decision_boundary(net, X, [1, 0, 0, 0])
    filled = next(c for c in ax.collections if isinstance(c, QuadContourSet) and c.filled)
    np.testing.assert_allclose(filled.levels, np.linspace(-1, 1, 11))
    zero, one = (c for c in ax.collections if c.get_zorder() == 3)
    np.testing.assert_array_equal(zero.get_offsets(), X[1:])
    np.testing.assert_array_equal(one.get_offsets(), X[:1])
    black = mpl_colors.to_rgba("black")
    assert [tuple(edge) == black for edge in zero.get_edgecolors()] == [False, True, False]     # (1, 1) is wrong
    assert zero.get_sizes()[1] > zero.get_sizes()[0]
    assert zero.get_paths()[0].vertices.shape != one.get_paths()[0].vertices.shape              # another marker
    low, high = X.min(axis=0), X.max(axis=0)
    assert ax.get_xlim()[0] < low[0] and ax.get_xlim()[1] > high[0] and ax.get_ylim()[1] > high[1]
    assert_readable(ax)


@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_boundaries_of_several_classes(form):
    X, y = clouds()
    net = bp.Network([2, 8, 3], loss="log_loss", seed=0)
    net.train(X, np.eye(3)[y], epochs=100, batch_size=4, learning_rate=0.1)
    ax = bp.plot.decision_boundary(net, X, y if form == "labels" else np.eye(3)[y])
    outputs = np.sort(net.predict(boundary_points(ax)), axis=1)
    np.testing.assert_allclose(outputs[:, 2], outputs[:, 1], atol=0.02)          # the two largest are equal there
    np.testing.assert_array_equal(np.sort(offsets(ax), axis=0), np.sort(X, axis=0))
    mesh = ax.collections[0]
    assert len({tuple(row) for row in mesh.get_facecolors()} if mesh.get_array() is None
               else np.unique(mesh.get_array())) == 3
    assert legend(ax) == ["0", "1", "2"]


class Votes:
    """A classifier with nothing but predict and classes_."""

    classes_ = np.array(["left", "right"])

    def predict(self, X):
        return self.classes_[(np.asarray(X)[:, 0] > 0).astype(int)]


def test_boundary_of_any_classifier():
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = clouds(2)
    names = np.array(["no", "yes"])[y]
    for model in (LogisticRegression(), RidgeClassifier(), make_pipeline(StandardScaler(), LogisticRegression()),
                  bp.Perceptron(random_state=0)):
        model.fit(X, names)
        ax = bp.plot.decision_boundary(model, X, names)
        assert legend(ax) == ["no", "yes"]
        np.testing.assert_allclose(model.decision_function(boundary_points(ax)), 0, atol=0.05)
        plt.close(ax.figure)
    ax = bp.plot.decision_boundary(Votes(), [[-1.0, 0.0], [1.0, 0.5]], ["left", "right"])
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0, atol=0.01)
    X, y = clouds(3)
    ax = bp.plot.decision_boundary(RidgeClassifier().fit(X, y), X, y)
    assert len([c for c in ax.collections if isinstance(c, QuadContourSet)]) == 3


def test_boundary_of_votes_between_pairs_of_classes():
    from sklearn.svm import SVC

    X, y = clouds(4)
    model = SVC(decision_function_shape="ovo").fit(X, y)
    assert model.decision_function(X).shape == (40, 6)          # no score per class: the boundary follows predict
    ax = bp.plot.decision_boundary(model, X, y, resolution=80)
    xs, ys = (np.linspace(*limits, 80) for limits in (ax.get_xlim(), ax.get_ylim()))
    expected = model.predict(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2))
    np.testing.assert_array_equal(np.ravel(ax.collections[0].get_array()), expected)


def test_boundary_of_a_model_has_its_names():
    model = bp.Model(bp.Network([2, 2], loss="log_loss", seed=0), classes=["cat", "dog"],
                     feature_names=["weight", "height"])
    ax = bp.plot.decision_boundary(model, limits=BOX, legend=False)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_legend()) == ("weight", "height", None)


def test_points_without_labels_and_a_class_that_wins_nowhere():
    ax = bp.plot.decision_boundary(linear(b=100.0), XOR_X)
    np.testing.assert_array_equal(offsets(ax), XOR_X)
    assert not [c for c in ax.collections if isinstance(c, QuadContourSet) and not c.filled]    # no boundary in sight
    constant = bp.Network([2, 3], loss="log_loss", init=([np.eye(2, 3)], [[0.0, 0.0, -100.0]]))
    ax = bp.plot.decision_boundary(constant, limits=BOX)                 # class 2 wins nowhere
    assert np.unique(ax.collections[0].get_array()).tolist() == [0, 1]
    np.testing.assert_allclose(boundary_points(ax) @ [1, -1], 0, atol=1e-6)


# ---- hyperplane ------------------------------------------------------------------------------------------------------

def test_hyperplane_with_its_margin():
    X = np.array([[2.0, 1.0], [1.0, 3.0], [-1.0, 1.0], [1.0, -1.0]])
    y = np.array([1, 1, -1, -1])
    p = bp.Perceptron(shuffle=False).fit(X, y)
    gamma = (y * p.signed_distance(X)).min()
    ax = bp.plot.hyperplane(p, X, y)
    plane, below, above = ax.get_lines()
    np.testing.assert_allclose(p.decision_function(plane.get_xydata()), 0, atol=1e-9)
    np.testing.assert_allclose(p.signed_distance(below.get_xydata()), -gamma, rtol=1e-9)
    np.testing.assert_allclose(p.signed_distance(above.get_xydata()), gamma, rtol=1e-9)
    assert (below.get_linestyle(), plane.get_linestyle()) == ("--", "-")
    arrow, = ax.texts
    direction = np.subtract(arrow.xy, arrow.xyann)
    assert np.cross(np.append(direction, 0), np.append(p.coef_[0], 0))[2] == pytest.approx(0, abs=1e-12)
    assert direction @ p.coef_[0] > 0
    assert ax.get_aspect() == 1.0
    assert legend(ax) == ["-1", "1", "w·x + b = 0", "normal vector w", f"margin γ = {gamma:.3g}"]
    ends = plane.get_xydata()
    assert (ends.min(axis=0) <= [ax.get_xlim()[0], np.inf]).all()
    assert_readable(ax)


def test_hyperplane_shows_the_distance_of_mistakes():
    X, y = XOR_X, XOR_Y
    p = quietly(bp.Perceptron(max_iter=50, average=True, random_state=0).fit, X, y)
    distance = np.where(y == 1, 1, -1) * p.signed_distance(X)
    wrong = distance <= 0
    assert 0 < wrong.sum() < 4
    ax = bp.plot.hyperplane(p, X, y)
    lines = ax.get_lines()[1:]
    assert len(lines) == wrong.sum()
    lengths = [np.hypot(*np.diff(line.get_xydata(), axis=0)[0]) for line in lines]
    np.testing.assert_allclose(lengths, -distance[wrong], rtol=1e-9)
    for line in lines:
        assert p.decision_function(line.get_xydata()[1:]) == pytest.approx(0, abs=1e-12)
    assert legend(ax)[-1] == f"{wrong.sum()} of 4 on the wrong side"


def test_hyperplanes_of_several_classes_and_without_examples():
    X, y = clouds(3)
    p = quietly(bp.Perceptron(max_iter=20, random_state=0).fit, X, y)
    ax = bp.plot.hyperplane(p, X, y)
    assert len(ax.get_lines()) == 3
    for line, w, b in zip(ax.get_lines(), p.coef_, p.intercept_):
        np.testing.assert_allclose(line.get_xydata() @ w + b, 0, atol=1e-9)
    assert len({line.get_linestyle() for line in ax.get_lines()}) == 3
    ax = bp.plot.hyperplane(bp.Perceptron(shuffle=False).fit(XOR_X, [0, 0, 0, 1]), limits=BOX)
    assert len(ax.get_lines()) == 1


# ---- descent ---------------------------------------------------------------------------------------------------------

def bowl(w):
    return (w[0] - 3) ** 2 + 10 * (w[1] + 1) ** 2


def test_descent_draws_the_path_over_contours():
    r = bp.gradient_descent(bowl, [0.0, 0.0], learning_rate=0.08, record_path=True, max_iter=20)
    ax = bp.plot.descent(r, bowl, levels=9)
    path, start, end = ax.get_lines()
    np.testing.assert_array_equal(path.get_xydata(), r.path)
    np.testing.assert_array_equal(start.get_xydata()[0], r.path[0])
    np.testing.assert_array_equal(end.get_xydata()[0], r.path[-1])
    assert path.get_marker() == "o" and start.get_marker() != end.get_marker()
    filled, lines = (c for c in ax.collections if isinstance(c, QuadContourSet))
    assert len(filled.levels) == 10 and (np.diff(filled.levels, 2) > 0).all()    # ever wider apart
    for level, contour in zip(lines.levels, lines.get_paths()):
        if len(contour.vertices):
            np.testing.assert_allclose([bowl(v) for v in contour.vertices], level, rtol=0.05, atol=0.1)
    assert legend(ax) == ["20 steps", "start", "end"]
    assert_readable(ax)


def test_descent_of_one_variable_and_without_f():
    def f(w):
        return w[0] ** 2

    r = bp.gradient_descent(f, [1.0], lambda w: 2 * w, learning_rate=0.25, max_iter=3, record_path=True)
    for path, function in ((r, f), (r.path, f), (r, None)):
        lines = bp.plot.descent(path, function).get_lines()
        np.testing.assert_allclose(lines[0].get_xydata(), [[1, 1], [0.5, 0.25], [0.25, 0.0625], [0.125, 0.015625]])
        if function is not None:
            np.testing.assert_allclose(lines[3].get_ydata(), lines[3].get_xdata() ** 2)
    ax = bp.plot.descent([[0.0, 0.0], [1.0, 1.0]])
    assert not ax.collections and len(ax.get_lines()) == 3


def test_descent_where_f_is_not_defined_everywhere():
    def f(w):
        return np.log(w[0]) + w[1] ** 2

    ax = bp.plot.descent([[1.0, 1.0], [0.5, 0.5]], f, limits=[(-1, 2), (-1, 2)])
    filled = next(c for c in ax.collections if isinstance(c, QuadContourSet))
    assert np.isfinite(filled.levels).all()
    assert min(path.vertices[:, 0].min() for path in filled.get_paths() if len(path.vertices)) > -0.05
    steep = bp.plot.descent([[1.0, 1.0], [0.5, 0.5]], lambda w: math.exp(1000 * (w[0] - 1)), limits=[(-1, 2), (-1, 2)])
    assert np.isfinite(next(c for c in steep.collections if isinstance(c, QuadContourSet)).levels).all()
    flat = bp.plot.descent([[1.0, 1.0], [0.5, 0.5]], lambda w: 1.0)
    assert not flat.collections


# ---- diagrams --------------------------------------------------------------------------------------------------------

def test_network_draws_every_unit_and_weight():
    net = bp.Network([2, 3, 1], output="sigmoid", seed=0)
    ax = bp.plot.network(net)
    centres = np.array([patch.center for patch in ax.patches])
    assert len(centres) == 6 and [(centres[:, 0] == x).sum() for x in np.unique(centres[:, 0])] == [2, 3, 1]
    edges = [c for c in ax.collections if isinstance(c, LineCollection)]
    for lines, W in zip(edges, net.weights):
        np.testing.assert_array_equal(lines.get_array(), W.ravel())
        widths = np.array(lines.get_linewidths())
        assert (np.argsort(widths) == np.argsort(np.abs(W.ravel()))).all()
        dashed = [style[1] is not None for style in lines.get_linestyles()]
        assert dashed == (W.ravel() < 0).tolist()
        assert lines.norm.vmin == -lines.norm.vmax and lines.norm.vmax >= np.abs(W).max()
    assert len(edges[0].get_segments()) == 6 and len(edges[1].get_segments()) == 3
    np.testing.assert_array_equal(edges[0].get_segments()[1], centres[[0, 3]])   # from unit 0 to unit 1
    assert texts(ax) == ["input\n2 units", "layer 1\n3 units\ntanh", "output\n1 unit\nsigmoid"]
    assert len(ax.figure.axes) == 2 and ax.get_aspect() == 1.0
    assert_readable(ax)


def test_network_with_the_activations_of_an_example():
    net = bp.Network([2, 3, 1], output="sigmoid", seed=0)
    ax = bp.plot.network(net, x=[1.0, -0.5], colorbar=False)
    z = np.concatenate([layer[0] for layer in net.forward([[1.0, -0.5]])])
    numbers = [float(text.replace("−", "-")) for text in texts(ax)[:6]]
    np.testing.assert_allclose(numbers, z, atol=0.0051)
    faces = [patch.get_facecolor() for patch in ax.patches]
    norm = mpl_colors.Normalize(z.min(), z.max())
    np.testing.assert_allclose(faces, matplotlib.colormaps["cividis"](norm(z)))
    assert len(ax.figure.axes) == 1
    assert_readable(ax)


@pytest.mark.parametrize("value, words", [(0.0, "0.00"), (-1.234, "−1.23"), (250.0, "250"), (0.0012, "1e−3"),
                                          (-3.4e7, "−3e7"), (12.0, "12.00"), (100.0, "100"),
                                          (0.01, "0.01"), (-1e4, "−1e4")])
def test_activations_are_short_numbers(value, words):
    net = bp.Network([1, 1], output="identity", init=([[[1.0]]], None))
    assert texts(bp.plot.network(net, x=[value], colorbar=False))[:2] == [words, words]


def test_large_layers_are_cut():
    net = bp.Network([64, 30, 10], loss="log_loss", seed=0)
    ax = bp.plot.network(net, max_units=7)
    assert len(ax.patches) == 21
    assert texts(ax).count("⋮") == 3
    shown = [0, 1, 2, 3, 27, 28, 29]
    first = next(c for c in ax.collections if isinstance(c, LineCollection))
    np.testing.assert_array_equal(first.get_array(), net.weights[0][np.ix_([0, 1, 2, 3, 61, 62, 63], shown)].ravel())
    assert_readable(ax)


@pytest.mark.parametrize("sizes, rate, bias", [([2, 2, 1], 0.5, True), ([2, 3, 1], None, True), ([3, 3, 2], 0.1, True),
                                               ([2, 1], 0.1, False), ([1, 4, 1], 0.1, True), ([1, 1], None, True),
                                               ([2, 4, 1], 0.1, True), ([2, 5, 1], 0.1, True), ([4, 3, 1], 0.1, True),
                                               ([5, 2, 1], 0.1, True), ([2, 2, 2, 2], 0.1, True), ([1, 7, 1], 1, True)])
def test_trace_shows_every_number_and_none_overlaps(sizes, rate, bias):
    net = bp.Network(sizes, output="sigmoid", bias=bias, seed=0)
    t = net.trace(np.linspace(-1, 1, sizes[0]), np.ones(sizes[-1]), learning_rate=rate)
    ax = bp.plot.trace(t)
    words = "\n".join(texts(ax)).replace("−", "-")
    for l in range(1, len(sizes)):
        for i in range(sizes[l]):
            assert f"a = {t.a[l][i]:.4g}" in words and f"δ = {t.deltas[l][i]:.4g}" in words
            assert (f"b = {t.biases[l][i]:.4g}" in words) if bias else ("b = " not in words)
        for (j, i), w in np.ndenumerate(t.weights[l]):
            edge = f"w = {w:.4g}\ng = {t.weight_gradients[l][j, i]:.4g}"
            if rate is not None:
                edge += f"\nw → {w + t.weight_updates[l][j, i]:.4g}"
            assert edge in words
    assert f"C = {t.loss:.4g} (squared_error)" in words
    assert ("η = " in words) == (rate is not None)
    assert_readable(ax, slack=4.0)


@pytest.mark.parametrize("sizes", [[2, 2, 1], [2, 8, 1], [64, 30, 10]])
def test_diagrams_fit_into_axes_of_any_figure(sizes):
    net = bp.Network(sizes, output="sigmoid", seed=0)
    x, y = np.linspace(-1, 1, sizes[0]), np.ones(sizes[-1])
    for size, draw in (((8, 6), lambda ax: bp.plot.network(net, ax, x=x)),
                       ((10, 6), lambda ax: bp.plot.trace(net.trace(x, y, learning_rate=0.1), ax)),
                       ((4, 3), lambda ax: bp.plot.network(net, ax, x=x, colorbar=False))):
        figure = Figure(size, layout="constrained")
        FigureCanvasAgg(figure)
        ax = draw(figure.subplots())
        assert_readable(ax, slack=4.0)
        assert assert_numbers_fit(ax) == (0 if size == (4, 3) and sum(sizes) > 5 else 1)         # too small to be read


def test_trace_of_a_large_network_has_gradients_as_colours_only():
    X, y = bp.data.digits()
    net = bp.Network([64, 30, 10], loss="log_loss", seed=0)
    t = net.trace(X[0], np.eye(10)[y[0]], learning_rate=0.1)
    ax = bp.plot.trace(t, max_units=6)
    assert not any("g = " in word and "w = " in word for word in texts(ax))
    first = next(c for c in ax.collections if isinstance(c, LineCollection))
    rows, columns = [0, 1, 2, 61, 62, 63], [0, 1, 2, 27, 28, 29]
    np.testing.assert_array_equal(first.get_array(), t.weight_gradients[1][np.ix_(rows, columns)].ravel())
    assert_readable(ax, slack=4.0)


def test_weights_are_images_of_the_columns():
    net = bp.Network([12, 5, 2], seed=0)
    ax = bp.plot.weights(net, shape=(3, 4))
    mosaic = ax.images[0].get_array()
    tiles = [np.asarray(mosaic[top:top + 3, left:left + 4]).ravel() for top in range(1, mosaic.shape[0], 4)
             for left in range(1, mosaic.shape[1], 5)][:5]
    np.testing.assert_array_equal(tiles, net.weights[0].T)
    assert mosaic.mask[0].all() and mosaic.mask[:, 0].all() and mosaic.count() == 60
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax == -np.abs(net.weights[0]).max()
    square = bp.plot.weights(bp.Network([9, 1], seed=0), colorbar=False)
    assert square.images[0].get_array().shape == (5, 5)
    named = bp.plot.weights(net, names=[f"input {j}" for j in range(12)])
    np.testing.assert_array_equal(named.images[0].get_array(), net.weights[0])
    assert [label.get_text() for label in named.get_yticklabels()] == [f"input {j}" for j in range(12)]
    assert (named.get_xlabel(), named.get_title()) == ("unit", "weights into the 5 units of layer 1")
    some = bp.plot.weights(net, shape=[4, 3], max_units=2, colorbar=False)
    assert some.get_title() == "weights into the first 2 of 5 units of layer 1"
    assert some.images[0].get_array().count() == 24 and len(some.figure.axes) == 1


# ---- confusion matrix ------------------------------------------------------------------------------------------------

def test_confusion_matrix_agrees_with_sklearn():
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(0)
    y, predicted = (np.array(["ant", "bee", "caterpillar"])[rng.integers(3, size=50)] for _ in range(2))
    expected = confusion_matrix(y, predicted)
    ax = bp.plot.confusion_matrix(y, predicted)
    assert texts(ax) == [str(count) for count in expected.ravel()]
    np.testing.assert_allclose(ax.images[0].get_array(), expected / expected.sum(axis=1, keepdims=True))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["ant", "bee", "caterpillar"]
    assert ax.get_title() == f"accuracy {(y == predicted).mean():.3f}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert_readable(ax)
    shares = bp.plot.confusion_matrix(y, predicted, classes=["bee", "ant", "caterpillar"], normalize=True)
    assert texts(shares)[0] == f"{expected[1, 1] / expected[1].sum():.2f}"


def test_confusion_matrix_of_outputs_and_every_number_can_be_read():
    X, y = bp.data.digits()
    net = bp.Network([64, 10], loss="log_loss", seed=0)
    net.train(X, bp.data.one_hot(y), epochs=1, batch_size=10, learning_rate=0.02)
    P = net.predict(X)
    ax = bp.plot.confusion_matrix(y, P)
    same = bp.plot.confusion_matrix(bp.data.one_hot(y), P)
    assert texts(ax) == texts(same) and sum(int(word) for word in texts(ax)) == len(y)
    image = ax.images[0]
    for text in ax.texts:
        column, row = (int(round(v)) for v in text.get_position())
        face = image.cmap(image.norm(image.get_array()[row, column]))
        assert contrast(mpl_colors.to_rgb(text.get_color()), face) >= 4.5, (row, column)
    assert_readable(ax)


# ---- animation -------------------------------------------------------------------------------------------------------

def test_animation_of_a_network_that_learns(tmp_path):
    net = bp.Network([2, 4, 1], output="sigmoid", seed=3)
    film = bp.plot.BoundaryAnimation(XOR_X, XOR_Y, every=20)
    history = net.train(XOR_X, XOR_Y, epochs=60, learning_rate=0.5, callbacks=film)
    titles = [f"epoch {e}: loss {history.loss[e - 1]:.3g}" for e in (1, 20, 40, 60)]
    assert [title for _, title in film.frames] == titles
    np.testing.assert_array_equal(film.frames[-1][0].parameters, net.parameters)
    assert (film.frames[0][0].parameters != net.parameters).any()
    opened = plt.get_fignums()
    film.save(tmp_path / "xor.gif", fps=5, hold=1, size=(4, 3), dpi=50)
    assert plt.get_fignums() == opened
    with Image.open(tmp_path / "xor.gif") as gif:
        assert (gif.format, gif.n_frames, gif.size, gif.info["loop"]) == ("GIF", 4, (200, 150), 0)
        pictures, durations = [], []
        for frame in range(4):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
            durations.append(gif.info["duration"])
    assert durations == [200, 200, 200, 1200]
    assert all(np.abs(a - b).max() > 100 for a, b in itertools.pairwise(pictures))


def test_animation_of_a_hyperplane(tmp_path):
    p = bp.Perceptron(shuffle=False)
    film = bp.plot.BoundaryAnimation(XOR_X, [0, 0, 0, 1],
                                     draw=functools.partial(bp.plot.hyperplane, limits=BOX, legend=False))
    for epoch in range(3):
        film.add(p.partial_fit(XOR_X, [0, 0, 0, 1], classes=[0, 1]), f"epoch {epoch}")
    film.save(os.fspath(tmp_path / "p.gif"), size=(3, 2), dpi=40)
    with Image.open(tmp_path / "p.gif") as gif:
        assert gif.n_frames == 3


def test_an_animation_that_fails_writes_nothing(tmp_path):
    def fail(model, X, y, ax):
        raise RuntimeError("no")

    film = bp.plot.BoundaryAnimation(XOR_X, XOR_Y, draw=fail)
    film.add(linear())
    with pytest.raises(RuntimeError, match="no"):
        film.save(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        good = bp.plot.BoundaryAnimation(XOR_X, XOR_Y)
        good.add(linear())
        good.save(tmp_path / "nowhere" / "a.gif")


# ---- colours ---------------------------------------------------------------------------------------------------------

def linear_rgb(rgb):
    rgb = np.asarray(rgb, dtype=float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    return linear_rgb(rgb[:3]) @ (0.2126, 0.7152, 0.0722)


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    """CIELAB of sRGB (D65)."""
    xyz = linear_rgb(rgb) @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz = xyz / [0.9505, 1.0, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def seen(rgb, kind):
    out = np.clip(linear_rgb(rgb) @ np.array(BLINDNESS[kind]).T, 0, 1)
    return np.where(out <= 0.0031308, 12.92 * out, 1.055 * out ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_classes_differ_for_colour_blind_readers(kind):
    palette = lab(seen([mpl_colors.to_rgb(c) for c in _style.PALETTE], kind))
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(palette, 2)]
    assert min(distances) > 10                               # about 2.3 is just noticeable; and markers differ too
    assert np.linalg.norm(palette[0] - palette[1]) > 40


def test_the_first_classes_differ_in_grey_and_64_in_colour_and_marker():
    lightness = lab([mpl_colors.to_rgb(c) for c in _style.PALETTE[:2]])[:, 0]
    assert abs(lightness[0] - lightness[1]) > 20
    assert len({(_style.color(i), _style.marker(i)) for i in range(64)}) == 64


def test_the_diverging_colours_have_even_steps_and_arms_of_different_lightness():
    L = lab(_style.diverging()(np.linspace(0, 1, 101))[:, :3])[:, 0]
    assert (np.diff(L[:51]) > 0).all() and (np.diff(L[50:]) < 0).all()
    for arm in (np.diff(L[:51]), -np.diff(L[50:])):
        assert arm.max() < 2.5 * arm.mean()
    assert L[-1] - L[0] > 15 and L[75] - L[25] > 10
    assert contrast(_style.diverging(lines=True)(0.5), (1, 1, 1)) > 1.6          # a weight near 0 can still be seen
    assert contrast(mpl_colors.to_rgb(_style.ACCENT), (1, 1, 1)) > 4.5
    assert contrast(mpl_colors.to_rgb(_style.PALETTE[0]), (1, 1, 1)) > 4.5


# ---- manners ---------------------------------------------------------------------------------------------------------

NET = bp.Network([2, 3, 1], output="sigmoid", seed=0)
P = bp.Perceptron(shuffle=False).fit(XOR_X, [0, 0, 0, 1])
CALLS = {
    "history": lambda ax: bp.plot.history({"loss": [2.0, 1.0]}, ax),
    "decision_boundary": lambda ax: bp.plot.decision_boundary(NET, XOR_X, XOR_Y, ax, resolution=20),
    "hyperplane": lambda ax: bp.plot.hyperplane(P, XOR_X, [0, 0, 0, 1], ax),
    "descent": lambda ax: bp.plot.descent([[0.0, 0.0], [1.0, 1.0]], bowl, ax, resolution=20),
    "network": lambda ax: bp.plot.network(NET, ax),
    "trace": lambda ax: bp.plot.trace(NET.trace([1.0, 0.0], 1.0), ax),
    "weights": lambda ax: bp.plot.weights(NET, ax, shape=(1, 2)),
    "confusion_matrix": lambda ax: bp.plot.confusion_matrix([0, 1], [1, 1], ax),
}


def test_every_function_is_called_below():
    assert set(CALLS) | {"BoundaryAnimation"} == set(bp.plot.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_ax_is_taken_and_returned_and_nothing_else_changes(name):
    before = (dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums())
    ax = Figure().add_subplot()                              # a figure that pyplot knows nothing of
    assert CALLS[name](ax) is ax
    assert (dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()) == before
    own = CALLS[name](None)
    assert plt.get_fignums() == [*before[2], own.figure.number]
    assert dict(matplotlib.rcParams) == before[0]
    own.figure.canvas.draw()


@pytest.mark.parametrize("name", CALLS)
def test_ax_that_is_none_is_refused(name):
    opened = plt.get_fignums()
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, got Figure"):
        CALLS[name](Figure())
    assert plt.get_fignums() == opened


UNTRAINED = bp.Network([2, 1])
REGRESSION = bp.Model(bp.Network([2, 1]))
NO_PATH = bp.gradient_descent(bowl, [0.0, 0.0], max_iter=1)
BAD = [
    (lambda: bp.plot.history(3), TypeError, "history must be a History"),
    (lambda: bp.plot.history(UNTRAINED), ValueError, "history: this network has not been trained"),
    (lambda: bp.plot.history({"loss": []}), ValueError, "history holds no epochs"),
    (lambda: bp.plot.history({"loss": [1.0]}, columns="f1"), ValueError, "columns: 'f1' was not measured.* loss"),
    (lambda: bp.plot.history({"loss": [1.0]}, columns=[]), ValueError, "columns must name some of loss"),
    (lambda: bp.plot.history({"loss": [1.0]}, columns=[1]), TypeError, "columns must be names, got int"),
    (lambda: bp.plot.history({"loss": [1.0], "epoch": [1, 2]}), ValueError, "history: column 'loss' has 1 values"),
    (lambda: bp.plot.history({"loss": ["x"]}), TypeError, "history: column 'loss' must hold numbers"),
    (lambda: bp.plot.history({"loss": [1.0]}, log=1), TypeError, "log must be True or False"),
    (lambda: bp.plot.history({"loss": [1.0]}, label=1), TypeError, "label must be a string"),
    (lambda: bp.plot.decision_boundary("net", XOR_X), TypeError, "model must be a Network.*got str"),
    (lambda: bp.plot.decision_boundary(bp.Perceptron(), XOR_X), ValueError, "model, a Perceptron, has no classes_"),
    (lambda: bp.plot.decision_boundary(REGRESSION, XOR_X), ValueError, "model is a regression"),
    (lambda: bp.plot.decision_boundary(bp.Network([3, 1]), XOR_X), ValueError, "model has 3 features"),
    (lambda: bp.plot.decision_boundary(NET), ValueError, "limits must be given where X is not"),
    (lambda: bp.plot.decision_boundary(NET, y=[0, 1], limits=BOX), ValueError, "y is given without X"),
    (lambda: bp.plot.decision_boundary(NET, [[1.0, 2.0, 3.0]]), ValueError, "X has 3 columns, expected 2"),
    (lambda: bp.plot.decision_boundary(NET, [[1.0, np.nan]]), ValueError, "X holds NaN at row 0, column 1"),
    (lambda: bp.plot.decision_boundary(NET, XOR_X, [0, 1]), ValueError, "y has 2 labels, but X has 4 rows"),
    (lambda: bp.plot.decision_boundary(NET, XOR_X, [0, 1, 2, 0]), ValueError, "y holds the unknown label 2 at row 2"),
    (lambda: bp.plot.decision_boundary(NET, XOR_X, list("abcd")), ValueError, "y must hold the network's targets"),
    (lambda: bp.plot.decision_boundary(bp.Network([2, 3]), XOR_X, np.eye(4)), ValueError, r"y has shape \(4, 4\)"),
    (lambda: bp.plot.decision_boundary(NET, limits=[(0, 1)]), ValueError, "limits must be 2 pairs"),
    (lambda: bp.plot.decision_boundary(NET, limits=[(0, 1), (1, 1)]), ValueError, "limits must be 2 pairs"),
    (lambda: bp.plot.decision_boundary(NET, XOR_X, resolution=1), ValueError, "resolution must be at least 2"),
    (lambda: bp.plot.decision_boundary(NET, XOR_X, legend=None), TypeError, "legend must be True or False"),
    (lambda: bp.plot.hyperplane(NET, XOR_X), TypeError, "model must be a Perceptron"),
    (lambda: bp.plot.hyperplane(bp.Perceptron(), XOR_X), ValueError, "model, a Perceptron, has no coef_: fit it first"),
    (lambda: bp.plot.hyperplane(bp.Perceptron(shuffle=False).fit([[1.0], [-1.0]], [1, 0])), ValueError,
     r"model has coef_ of shape \(1, 1\)"),
    (lambda: bp.plot.hyperplane(quietly(bp.Perceptron(rule="batch", max_iter=1).fit, [[1.0, 0], [1.0, 0]], [0, 1]),
                                XOR_X), ValueError, "model has w = 0"),
    (lambda: bp.plot.hyperplane(P, XOR_X, [0, 0, 0, 5]), ValueError, "y holds the unknown label 5 at row 3"),
    (lambda: bp.plot.descent(NO_PATH), ValueError, "path: this result has none.* record_path=True"),
    (lambda: bp.plot.descent([[1.0, 2.0, 3.0]], bowl), ValueError, "path has 3 variables"),
    (lambda: bp.plot.descent([[1.0, 2.0]], 3), TypeError, "f must be callable, got int"),
    (lambda: bp.plot.descent([[1.0, 2.0]], lambda w: w), ValueError, "f must return one number"),
    (lambda: bp.plot.descent([[1.0, 2.0]], lambda w: "x"), TypeError, "f must return a number, got str"),
    (lambda: bp.plot.descent([[1.0, 2.0]], lambda w: np.nan), ValueError, "f has no finite value"),
    (lambda: bp.plot.descent([[1.0], [2.0]]), ValueError, "f must be given"),
    (lambda: bp.plot.descent([[1.0, 2.0]], bowl, levels=1), ValueError, "levels must be at least 2"),
    (lambda: bp.plot.network(P), TypeError, "network must be a Network, got Perceptron"),
    (lambda: bp.plot.network(NET, x=[1.0]), ValueError, "x has 1 values, expected 2"),
    (lambda: bp.plot.network(NET, max_units=1), ValueError, "max_units must be at least 2"),
    (lambda: bp.plot.trace(NET), TypeError, "trace must be what Network.trace returned"),
    (lambda: bp.plot.weights(None), TypeError, "network must be a Network, got NoneType"),
    (lambda: bp.plot.weights(NET), ValueError, "shape must be given: 2 inputs are no square image"),
    (lambda: bp.plot.weights(NET, shape=(2, 2)), ValueError, "shape 2 x 2 has 4 pixels, and the network 2 inputs"),
    (lambda: bp.plot.weights(NET, names=["a"]), ValueError, "names has 1 names, and the network 2 inputs"),
    (lambda: bp.plot.weights(NET, names="ab"), TypeError, "names must be a sequence of 2 names, got 'ab'"),
    (lambda: bp.plot.weights(NET, names=["a", "b"], shape=(1, 2)), ValueError, "give shape or names"),
    (lambda: bp.plot.weights(NET, shape=3), ValueError, r"shape must be \(rows, columns\), got 3"),
    (lambda: bp.plot.confusion_matrix([0, 1], [0]), ValueError, "y has 2 rows, but y_predicted has 1"),
    (lambda: bp.plot.confusion_matrix([0, 1], [0, 2], classes=[0, 1]), ValueError,
     "y_predicted holds the unknown label 2 at row 1"),
    (lambda: bp.plot.confusion_matrix(np.arange(200), np.arange(200)), ValueError, "hold 200 different labels"),
    (lambda: bp.plot.confusion_matrix(np.array([1, "a"], object), [1, 2]), TypeError, "no common order"),
    (lambda: bp.plot.weights(NET, shape="ab"), ValueError, r"shape must be \(rows, columns\)"),
    (lambda: bp.plot.confusion_matrix([], []), ValueError, "y is empty"),
    (lambda: bp.plot.confusion_matrix([0, 1], np.eye(2), classes=["a"]), ValueError, "classes has 1 labels"),
    (lambda: bp.plot.BoundaryAnimation([[1.0]], [0]), ValueError, "X has 1 columns, expected 2"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, [0]), ValueError, "y has 1 rows, but X has 4"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, 3), ValueError, "y must be 1-D with one label per row"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y, every=0), ValueError, "every must be at least 1"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y, draw="x"), TypeError, "draw must be callable"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y).save("a.gif"), ValueError, "the animation has no frames"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y).save("a.png"), ValueError, "path must end with .gif, got 'a.png'"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y).save("a.gif", fps=0), ValueError, "fps must be greater than 0"),
    (lambda: bp.plot.BoundaryAnimation(XOR_X, XOR_Y).save("a.gif", size=3), ValueError, "size must be"),
]


@pytest.mark.parametrize("call, error, message", BAD, ids=[message for _, _, message in BAD])
def test_bad_input_is_named_and_draws_nothing(call, error, message):
    opened = plt.get_fignums()
    with pytest.raises(error, match=message):
        call()
    assert plt.get_fignums() == opened


def test_matplotlib_is_loaded_by_the_first_plot_and_its_absence_is_explained():
    code = ("import sys, backprop as bp\n"
            "assert 'backprop.plot' not in sys.modules\n"
            "bp.plot; assert not {'matplotlib', 'PIL'} & set(sys.modules)\n"
            "sys.modules['matplotlib'] = None\n"
            "try: bp.plot.history({'loss': [1.0]})\n"
            "except ImportError as error: print(error)")
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("backprop.plot needs matplotlib: pip install 'backprop-core[plot]'\n", "")
