"""Rare inputs and refusals, each of which is a way through the code that no other test takes."""

import os
import struct
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import backprop as bp
from backprop import _estimator_file, model_file, sources, training
from backprop._dispatch import core
from backprop.cli import main
from backprop.errors import ConvergenceWarning, DataFormatError, DivergenceError, ModelFormatError

rng = np.random.default_rng(21)
X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
LABELS = np.arange(30) % 3


def network(**options):
    return bp.Network([3, 4, 2], seed=1, **options)


def classifier(**options):
    return bp.MLPClassifier(**{"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, **options})


# ---- inputs ----------------------------------------------------------------------------------------------------------

class Plain(np.ndarray):
    """A subclass that adds nothing."""


class Cross:
    """An object whose conversion to an array is a TypeError."""

    def __array__(self, *args, **kwargs):
        raise TypeError("cross")


def test_a_subclass_of_arrays_is_its_numbers():
    net = network()
    assert type(net.predict(X.view(Plain))) is np.ndarray
    assert net.predict(X.view(Plain)).tobytes() == net.predict(X).tobytes()


def test_objects_are_their_numbers_and_text_among_them_is_none():
    net = network()
    mixed = np.array([[np.float32(0.5), np.int8(2), 3]], dtype=object)
    assert net.predict(mixed).tobytes() == net.predict([[0.5, 2.0, 3.0]]).tobytes()
    with pytest.raises(TypeError, match="X must hold numbers, got str at row 0, column 1"):
        net.predict(np.array([[0.5, "2", 3]], dtype=object))
    with pytest.raises(TypeError, match="X must be an array of numbers, got Cross .cross."):
        net.predict(Cross())


def test_a_random_state_is_a_seed_that_goes_on():
    """numpy.random.RandomState draws on; both networks take the bits of its generator."""
    state = np.random.RandomState(3)
    first, second = (bp.Network([3, 2], seed=state) for _ in range(2))
    assert first.parameters.tobytes() != second.parameters.tobytes()
    assert first.parameters.tobytes() == bp.Network([3, 2], seed=np.random.RandomState(3)).parameters.tobytes()


BOTH = np.eye(3, dtype=int)[LABELS] | np.eye(3, dtype=int)[LABELS[::-1]]         # one label of a row or two


@pytest.mark.parametrize("call, error, message", [
    (lambda: bp.Network([3, 1], output="softmax"), ValueError, "softmax' needs at least 2 outputs"),
    (lambda: bp.Network([3, 2], bias=False, init=([np.ones((3, 2))], [np.ones(2)])), ValueError, "without bias"),
    (lambda: bp.grid([3, 2], X, Y, {"epochs": [1]}, score=lambda Y, P: 0.0, validation=0.2), TypeError, "score"),
    (lambda: bp.gradient_descent(lambda w: w[0], [1.0], gradient=lambda w: ["a"]), TypeError, "gradient.w. must hold"),
    (lambda: bp.gradient_descent(lambda w: -w[0], [1e308], gradient=lambda w: [-1e308], learning_rate=1e3),
     DivergenceError, "learning_rate"),
    (lambda: classifier(class_weight={0: 1.0, 1: 2.0}).fit(X, BOTH), ValueError, "does not go with a multilabel y"),
    (lambda: classifier(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(X, LABELS), ValueError, "makes every weight zero"),
    (lambda: bp.Perceptron().save("x"), bp.errors.NotFittedError, "not fitted"),
    (lambda: classifier().coefs_, AttributeError, "MLPClassifier has no coefs_: it is not fitted yet"),
    (lambda: bp.MLPRegressor(max_iter=2).fit(X, Y, X_val=X, y_val=X), ValueError, "y_val has 3 columns, expected 2"),
    (lambda: core.plan([2, 1], [0], 0, True, np.zeros(3)), ValueError, "the layout's length"),
    (lambda: bp.Model(network(), classes=np.array([1 + 1j, 2 + 0j])), ValueError, "classes"),
    (lambda: _estimator_file._read({"a": 1, "b": 2}), ModelFormatError, "a parameter has the form"),
], ids=range(13))
def test_refusals(call, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        call()
    assert list(tmp_path.iterdir()) == []


def test_no_epochs_have_no_orders():
    assert core.orders(5, 0).size == 0


@pytest.mark.parametrize("learning_rate", [1e299, 0.1])
def test_an_example_whose_update_is_not_finite_changes_nothing(learning_rate):
    """By way of lists, which the checked path takes."""
    net = bp.Network([2, 2], output="identity", seed=1)
    before = net.parameters.tobytes()
    with pytest.raises(DivergenceError, match="the network is unchanged"):
        net.learn_one([1e200, 1e200], [1e200, -1e200], learning_rate)
    assert net.parameters.tobytes() == before


WITHOUT_SKLEARN = """
import sys
sys.modules["sklearn"] = None
import warnings, numpy as np, pandas as pd, backprop as bp
warnings.simplefilter("ignore")
frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
model = bp.MLPClassifier(hidden_layer_sizes=(2,), max_iter=2, random_state=0).fit(frame, [0, 1, 0, 1])
print(model.feature_names_in_.tolist(), model.predict(frame).shape)
try:
    model.predict(frame[["b", "a"]])
except ValueError as error:
    print(str(error).splitlines()[0])
other = bp.MLPClassifier(hidden_layer_sizes=(2,), max_iter=2, random_state=0)
other.fit(pd.DataFrame(frame.to_numpy()), [0, 1, 0, 1])
print(hasattr(other, "feature_names_in_"))
warnings.simplefilter("error")
try:
    other.fit(frame, np.array([[0], [1], [0], [1]]))
except UserWarning as warning:
    print(type(warning).__name__, "column-vector" in str(warning))
"""


def test_names_of_columns_without_scikit_learn():
    pytest.importorskip("pandas", reason="frames are pandas'")
    done = subprocess.run([sys.executable, "-c", WITHOUT_SKLEARN], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert done.returncode == 0, done.stderr
    names, refused, unnamed, warned = done.stdout.splitlines()
    assert names == "['a', 'b'] (4,)" and refused.startswith("The feature names should match") and unnamed == "False"
    assert warned == "UserWarning True"


# ---- what is shown ---------------------------------------------------------------------------------------------------

def test_names_and_reprs():
    assert {"Network", "MLPClassifier", "data"} <= set(dir(bp))
    ensemble = bp.Ensemble([network(), network()], seed=0)
    assert repr(ensemble).startswith("Ensemble(2 networks, bootstrap=True, first: Network(3-4-2")
    check = network().check_gradients(X, Y)
    assert repr(check).startswith("GradientCheck(max_relative_error=") and "parameters=26" in repr(check)


def test_a_trace_without_biases_has_none():
    with_bias, without = (str(network(bias=bias).trace(X[0], Y[0], 0.1)) for bias in (True, False))
    assert "∂C/∂b[1]" in with_bias and "b[1]" not in without and "∂C/∂W[1]" in without


@pytest.mark.parametrize("options, words", [
    ({"early_stopping": True, "validation_fraction": 0.3}, "Validation score: "),
    ({"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 9},
     "Setting learning rate to ")])
def test_verbose_estimators_tell(capsys, options, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".*converge")
        classifier(verbose=True, **options).fit(X, LABELS)
    assert words in capsys.readouterr().out


# ---- files -----------------------------------------------------------------------------------------------------------

def test_files_without_locks_are_written_whole(monkeypatch, tmp_path):
    """As on Windows, which has no fcntl: an open file is not renamed, and temporary files of others are left alone."""
    monkeypatch.setattr(model_file, "fcntl", None)
    net, path = network(), tmp_path / "net"
    net.save(path)
    net.train(X, Y)
    net.save(path)
    assert bp.load(path).parameters.tobytes() == net.parameters.tobytes() and list(tmp_path.iterdir()) == [path]


def test_parameters_that_are_arrays_come_back(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".*converge")
        model = classifier(hidden_layer_sizes=np.array([3, 2])).fit(X, LABELS)
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    np.testing.assert_array_equal(again.hidden_layer_sizes, [3, 2])
    assert again.predict(X).tolist() == model.predict(X).tolist()


def test_classes_that_are_objects_are_saved_as_the_text_they_are(tmp_path):
    model = bp.Model(network(loss="log_loss"), classes=np.array(["no", "yes"], dtype=object))
    model.save(tmp_path / "model")
    assert bp.load(tmp_path / "model").predict(X).tolist() == model.predict(X).tolist()


def test_a_best_epoch_that_is_not_yet_is_saved_too(tmp_path):
    """Early stopping whose monitored value was never finite has no best epoch."""
    net = network()
    with pytest.raises(DivergenceError):
        net.train(X, Y, epochs=3, learning_rate=1e200, validation=0.2, early_stopping=2)
    net.save(tmp_path / "net")
    assert bp.load(tmp_path / "net").parameters.tobytes() == net.parameters.tobytes()


def test_a_file_that_changes_while_it_is_read_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "net"
    made = bp.Network([60, 60, 2], seed=1)                   # larger than what is read at a time
    made.save(path)
    size = path.stat().st_size
    for cut, message in ((-8, "shrank"), (8, "grew")):
        def changed(stream, shape, cut=cut, values=model_file._values):
            os.truncate(path, size + cut)
            return values(stream, shape)

        with monkeypatch.context() as patch:
            patch.setattr(model_file, "_values", changed)
            with pytest.raises(ModelFormatError, match=f"net: the file {message} while it was read"):
                bp.load(path)
        made.save(path)


def test_the_checksum_of_a_damaged_file_names_it(tmp_path):
    (tmp_path / "net").write_bytes(b"nonsense")
    with pytest.raises(ModelFormatError, match="net: "):
        model_file.checksum(tmp_path / "net")


def test_a_perceptrons_file_fits_together(tmp_path):
    frame = pytest.importorskip("pandas", reason="frames are pandas'").DataFrame(X, columns=["a", "b", "c"])
    model = bp.Perceptron(random_state=0, max_iter=5, tol=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, LABELS)
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    assert again.feature_names_in_.tolist() == ["a", "b", "c"]
    assert again.predict(frame).tolist() == model.predict(frame).tolist()
    _, net, properties = model._file_parts()
    fitted = properties["fitted"]
    for change, message in (({"classes": {"kind": "int", "labels": [0, 1]}}, "2 classes do not belong to 3"),
                            ({"weights": {**fitted["weights"], "W": [[1.0]]}}, "the perceptron's W must have shape")):
        with pytest.raises(ValueError, match=message):
            bp.Perceptron()._restore(net, {**fitted, **change})


# ---- streams ---------------------------------------------------------------------------------------------------------

def test_without_a_thread_a_stream_is_read_and_trained_by_turns(monkeypatch):
    chunks = [(X[:10], Y[:10]), (X[10:], Y[10:])]
    with_threads, without = network(), network()
    monkeypatch.setattr(sources, "BESIDE_SECONDS", 0.0)
    with_threads.train(chunks, epochs=2, batch_size=5)

    def refused(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    without.train(chunks, epochs=2, batch_size=5)
    assert without.parameters.tobytes() == with_threads.parameters.tobytes()


def test_a_clock_that_stands_still_is_no_pace(monkeypatch):
    """Windows' clocks may show the same time before and after a short call."""
    monkeypatch.setattr(training, "_work", lambda job, n_threads: core.work(job))
    monkeypatch.setattr(training.time, "perf_counter", lambda: 1.0)
    net, other = network(), network()
    net.train(X, Y, epochs=3)
    monkeypatch.undo()
    other.train(X, Y, epochs=3)
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_targets_of_streams_that_do_not_fit(tmp_path):
    images, labels = tmp_path / "x.idx", tmp_path / "y.idx"
    images.write_bytes(struct.pack(">HBB2I", 0, 8, 2, 3, 2) + bytes(6))
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 2) + bytes(2))
    with pytest.raises(ValueError, match="is IDX: target names the file of labels, got target=1"):
        bp.data.stream(images, target=1)
    with pytest.raises(DataFormatError, match="one label for each of 3 examples is wanted"):
        bp.data.stream(images, target=str(labels))


# ---- the command line ------------------------------------------------------------------------------------------------

@pytest.fixture
def regression(tmp_path):
    path = tmp_path / "regression"
    bp.Model(network()).save(path)
    return path


@pytest.mark.parametrize("arguments, message", [
    (["boundary", "DATA"], "a boundary is drawn for a classification of two inputs"),
    (["history"], "holds no history of a training"),
    (["confusion-matrix", "DATA"], "is a regression and has no classes"),
    (["weights", "--shape", "2,2"], "argument --shape: 2 x 2 is not 3"),
    (["weights", "--shape", "3"], "expected ROWS,COLUMNS as in 28,28, got '3'"),
])
def test_pictures_that_cannot_be(regression, tmp_path, capsys, arguments, message):
    pytest.importorskip("matplotlib", reason="pictures need Matplotlib")
    data = tmp_path / "data.csv"
    data.write_text("a,b,c,y,z\n1,2,3,4,5\n")
    kind, *rest = arguments
    reading = [str(data), "--target", "y", "--drop", "z"] if rest == ["DATA"] else rest
    command = ["plot", kind, str(regression), *reading]
    try:
        status = main([*command, "--out", str(tmp_path / "out.png")])
    except SystemExit as end:
        status = end.code
    assert status not in (0, None) and message in capsys.readouterr().err


@pytest.mark.parametrize("command, message", [
    (["predict", "PERCEPTRON", "DATA", "--out", "OUT"], "holds a Perceptron; the command line works with networks"),
    (["train", "EMPTY", "--out", "OUT"], "has no target"),
    (["evaluate", "MODEL", "HEAD", "--target", "y", "--drop", "z"], "no rows of data"),
    (["train", "ONE", "--target", "y", "--out", "OUT"], "has one row, too few to hold out a test part"),
    (["plot", "network", "MODEL", "FIVE", "--target", "y", "--drop", "z", "--row", "7", "--out", "OUT.png"],
     "argument --row: "),
])
def test_commands_that_cannot_be_done(regression, tmp_path, capsys, command, message):
    pytest.importorskip("matplotlib", reason="one of them is a picture")
    bp.Perceptron(random_state=0).fit([[0.0], [1.0]], [0, 1]).save(tmp_path / "PERCEPTRON")
    regression.rename(tmp_path / "MODEL")
    for name, text in (("DATA", "a,b,c\n1,2,3\n4,5,6\n"), ("HEAD", "a,b,c,y,z\n"), ("ONE", "a,y\n1,2\n"),
                       ("EMPTY", "1,2\n3,4\n"), ("FIVE", "a,b,c,y,z\n1,2,3,4,5\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).rename(tmp_path / f"{name}.csv")
    places = {name: str(tmp_path / name) for name in ("PERCEPTRON", "MODEL", "OUT", "OUT.png")}
    places |= {name: str(tmp_path / f"{name}.csv") for name in ("DATA", "HEAD", "ONE", "EMPTY", "FIVE")}
    assert main([places.get(word, word) for word in command]) != 0
    assert message in capsys.readouterr().err


def test_weights_of_a_shape_are_drawn(regression, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need Matplotlib")
    out = tmp_path / "out.png"
    assert main(["plot", "weights", str(regression), "--shape", "1,3", "--out", str(out)]) == 0
    assert out.stat().st_size > 1000
