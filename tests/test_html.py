"""What notebooks show: well-formed, self-contained, escaped, and the numbers of the object."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import backprop as bp


class Reader(HTMLParser):
    """Texts of the cells; refuses a page that is not well-formed, or that loads or runs anything."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag in {"table", "caption", "thead", "tbody", "tr", "th", "td", "pre"}
        assert {name for name, _ in attributes} <= {"style"}
        self.open.append(tag)
        if tag in ("th", "td", "pre", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        assert self.open[-1] in ("th", "td", "pre", "caption")
        self.cells[-1] += data


HOSTILE = "<script>alert('&amp;')</script>"


@pytest.fixture
def network():
    return bp.Network([2, 3, 1], output="sigmoid", loss="log_loss", seed=0)


def test_a_network_shows_its_layers_and_totals(network):
    cells = Reader(network._repr_html_()).cells
    assert cells[0] == "Network; loss: log_loss; parameters: 13; epochs trained: 0"
    assert cells[1:6] == ["layer", "units", "activation", "weights", "biases"]
    assert cells[-5:] == ["2 (output)", "1", "sigmoid", "3 x 1 = 3", "1"]
    assert network.summary().splitlines()[0].split() == cells[1:6]


def test_a_loss_of_ones_own_is_escaped():
    def loss(Y, P):
        return ((Y - P) ** 2).sum(axis=1), 2.0 * (P - Y)

    loss.__name__ = HOSTILE
    page = bp.Network([1, 1], loss=loss)._repr_html_()
    assert "<script" not in page and any(HOSTILE in cell for cell in Reader(page).cells)


def test_a_history_shows_what_its_table_prints(network):
    history = network.train([[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0], epochs=40, metrics="accuracy")
    cells = Reader(history._repr_html_()).cells
    assert cells[0] == "40 epochs; stop_reason: epochs"
    assert cells[1:] == " ".join(str(history).splitlines()[:-1]).split()
    assert "no epochs" in Reader(bp.History()._repr_html_()).cells[0]


def test_a_metrics_name_is_escaped():
    history = bp.History([HOSTILE])
    history.extend({"epoch": [1], "loss": [0.5], HOSTILE: [1.0]}, 1)
    assert HOSTILE in Reader(history._repr_html_()).cells


def test_a_trace_shows_the_five_steps(network):
    trace = network.trace([0.0, 1.0], 1.0, learning_rate=0.1)
    assert Reader(trace._repr_html_()).cells == [str(trace)]


def test_a_model_shows_its_parts_and_none_of_its_arrays():
    network = bp.Network([2, 2], loss="log_loss", seed=0)
    scaler = bp.data.Standardizer().fit([[0.0, 1.0], [1.0, 3.0]])
    model = bp.Model(network, classes=["no", HOSTILE], scaler=scaler, target=HOSTILE, feature_names=["a", HOSTILE])
    page = model._repr_html_()
    cells = Reader(page).cells
    assert cells[0].startswith("Network;")
    assert cells[cells.index("target") + 1] == repr(HOSTILE)
    assert cells[cells.index("scaler") + 1] == "Standardizer(2 features)"
    text = repr(bp.Model(network, classes=["no", "yes"], scaler=scaler))
    assert text == f"Model({network!r}, classes=['no', 'yes'], scaler=Standardizer(2 features))"


def test_a_data_set_shows_its_first_rows():
    digits = bp.data.digits()
    cells = Reader(digits._repr_html_()).cells
    assert cells[0] == repr(digits)
    assert cells.count("...") == 1 + 5 + 14 and cells[14] == "digit"
    row = cells[15:29]
    assert row == [*(f"{value:.6g}" for value in digits.X[0, :12]), "...", "0"]
    small = bp.data.Dataset(np.eye(2), np.array([HOSTILE, "b"]), ["x", HOSTILE], None, None)
    assert Reader(small._repr_html_()).cells[1:] == ["x", HOSTILE, "y", "1", "0", HOSTILE, "0", "1", "b"]
    full = Reader(bp.data.Dataset(np.ones((1, 12)))._repr_html_()).cells
    assert "..." not in full and "..." in Reader(bp.data.Dataset(np.ones((1, 13)))._repr_html_()).cells
    assert "..." not in Reader(bp.data.Dataset(np.ones((1, 1)))._repr_html_()).cells
    assert Reader(bp.data.Dataset(np.eye(2))._repr_html_()).cells[1:3] == ["X[:, 0]", "X[:, 1]"]


def test_short_words_for_the_console():
    network = bp.Network([2, 3, 2], loss="log_loss", seed=0)
    trace, gradients = network.trace([1, 2], [1, 0], 0.5), network.gradients([[1, 2], [3, 4]], [[1, 0], [0, 1]])
    assert repr(trace) == f"Trace(2-3-2, loss={trace.loss:.6g}, learning_rate=0.5; print() shows its five steps)"
    assert str(trace).startswith("1. Feedforward") and "\n5. Update" in str(trace)
    assert repr(gradients) == (f"Gradients(loss={gradients.loss:.6g}, weights of shapes [(2, 3), (3, 2)], biases "
                               "[(3,), (2,)], inputs (2, 2))")
    assert "biases [None, None]" in repr(bp.Network([2, 3, 2], bias=False).gradients([[1, 2]], [[1, 0]]))


@pytest.mark.parametrize("labels, error, words", [
    ([0, 2], ValueError, "Y has one value per row, and the network has 3 outputs; labels become 3 columns by "
                         "bp.data.one_hot(Y)"),
    (["a", "b"], TypeError, "Y must hold numbers, got text at row 0; labels become columns by bp.data.one_hot(Y)"),
])
def test_labels_as_targets_are_told_what_to_become(labels, error, words):
    with pytest.raises(error, match=f"^{re.escape(words)}$"):
        bp.Network([2, 3], loss="log_loss", seed=0).train([[1, 2], [3, 4]], labels)
