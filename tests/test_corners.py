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
from backprop import _estimator_file, _read_table, model_file, solvers, sources, streams, training
from backprop._dispatch import core
from backprop.cli import main, tables
from backprop.columns import Column
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


def test_frames_of_complex_numbers_and_labels_of_two_columns_are_refused():
    pd = pytest.importorskip("pandas", reason="frames are pandas'")
    with pytest.raises(ValueError, match="X: column 'b' must be real: complex data is not supported"):
        network().predict(pd.DataFrame({"a": X[:, 0], "b": X[:, 1] + 1j, "c": X[:, 2]}))
    with pytest.raises(ValueError, match="y must be 1-D with one label per row, got shape .30, 2."):
        bp.data.one_hot(pd.DataFrame({"a": LABELS, "b": LABELS}))


def test_labels_of_several_kinds_of_integers_are_labels():
    mixed = np.array([np.int64(2), 1, 2], dtype=object)
    assert bp.data.one_hot(mixed).tolist() == bp.data.one_hot([2, 1, 2]).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_a_random_state_is_a_seed_that_goes_on():
    """numpy.random.RandomState draws on; both networks take the bits of its generator."""
    state = np.random.RandomState(3)
    first, second = (bp.Network([3, 2], seed=state) for _ in range(2))
    assert first.parameters.tobytes() != second.parameters.tobytes()
    assert first.parameters.tobytes() == bp.Network([3, 2], seed=np.random.RandomState(3)).parameters.tobytes()


def own_metric(Y, P):
    return float(np.abs(Y - P).max())


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
    (lambda: bp.Model(network(), classes=np.array(["2020-01-01", "2021-01-01"], "M8[D]")), TypeError,
     "classes must be strings, integers, bools or floats, got dtype datetime64"),
    (lambda: classifier(max_iter=200, tol=1.0).fit(X, LABELS.astype("M8[D]")).save("x"), TypeError,
     "classes must be strings, integers, bools or floats, got dtype datetime64"),
    (lambda: bp.Model._from_file(*bp.Model(network())._file_parts()[1:-1], {**bp.Model(network())._file_parts()[2],
                                                                        "columns": {}}),
     ModelFormatError, "the columns must be a list"),
    (lambda: bp.grid([3, 2], X, Y, {"epochs": [1]}, metrics=(own_metric,), score="own_metric", validation=0.2),
     ValueError, "score='own_metric' is a metric without a direction"),
    (lambda: bp.gradient_descent(lambda w: w[0], [1.0, 2.0], gradient=lambda w: [[1.0], [1.0, 2.0]]), ValueError,
     "gradient.w. is ragged"),
    (lambda: bp.Perceptron(early_stopping=True, validation_fraction=0.2, random_state=0).fit(X[:10], [0] * 9 + [1]),
     ValueError, "validation_fraction=0.2 leaves a class without rows to train on"),
], ids=range(19))
def test_refusals(call, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        call()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_is_no_argument_keeps_its_kind_and_names_the_network(tmp_path):
    nets = [network(), network()]
    with pytest.raises(FileNotFoundError) as caught:
        bp.train_many(nets, (X, Y), options=[{}, {"checkpoint_path": tmp_path / "none" / "net"}])
    assert caught.value.__notes__ == ["network 1 of train_many"]
    assert all(net.parameters.tobytes() == network().parameters.tobytes() for net in nets)


def test_parameters_without_biases_are_set_in_their_order():
    net = network(bias=False)
    net.set_parameters(np.arange(20.0))
    np.testing.assert_array_equal(np.concatenate([W.ravel() for W in net.weights]), np.arange(20.0))
    assert net.parameters.tolist() == list(range(20))


def test_a_descent_whose_step_is_lost_in_rounding_says_so():
    result = bp.gradient_descent(lambda w: w[0], [1e300], gradient=lambda w: np.ones(1))
    assert result.stop_reason == "step" and result.w.tolist() == [1e300]


def test_one_output_of_log_loss_is_a_sigmoid():
    assert bp.Network([3, 1], loss="log_loss").activations == ["sigmoid"]


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
warnings.simplefilter("ignore")
both = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
model = bp.MLPClassifier(hidden_layer_sizes=(2,), max_iter=2, random_state=0).fit(frame, both)
print(model.score(frame, model.predict(frame)))
try:
    model.score(frame, both[:, :1])
except ValueError as error:
    print(error)
"""


def test_names_of_columns_and_scores_without_scikit_learn():
    pytest.importorskip("pandas", reason="frames are pandas'")
    done = subprocess.run([sys.executable, "-c", WITHOUT_SKLEARN], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert done.returncode == 0, done.stderr
    names, refused, unnamed, warned, *scores = done.stdout.splitlines()
    assert names == "['a', 'b'] (4,)" and refused.startswith("The feature names should match") and unnamed == "False"
    assert warned == "UserWarning True" and scores == ["1.0", "y has shape (4, 1), expected (4, 2)"]


# ---- what is shown ---------------------------------------------------------------------------------------------------

def test_names_and_reprs():
    assert {"Network", "MLPClassifier", "data"} <= set(dir(bp))
    ensemble = bp.Ensemble([network(), network()], seed=0)
    assert repr(bp.Model(network(), target="y")) == f"Model({network()!r}, target='y')"
    assert repr(ensemble).startswith("Ensemble(2 networks, bootstrap=True, first: Network(3-4-2")
    check = network().check_gradients(X, Y)
    assert repr(check).startswith("GradientCheck(max_relative_error=") and "parameters=26" in repr(check)


def test_a_trace_without_biases_has_none():
    with_bias, without = (str(network(bias=bias).trace(X[0], Y[0], 0.1)) for bias in (True, False))
    assert "∂C/∂b[1]" in with_bias and "b[1]" not in without and "∂C/∂W[1]" in without


def test_a_fit_that_goes_on_and_gets_no_better_keeps_the_best():
    """The score to beat is the earlier call's, and so are the parameters that come back."""
    labels = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    model = classifier(warm_start=True, early_stopping=True, validation_fraction=0.3, solver="sgd", n_iter_no_change=2,
                       max_iter=200, learning_rate_init=0.1).fit(X, labels)
    best, score, epochs = model.network_.parameters, model.best_validation_score_, len(model.loss_curve_)
    model.set_params(learning_rate_init=30.0).fit(X, labels)
    assert len(model.loss_curve_) > epochs and max(model.validation_scores_[epochs:]) <= score
    assert model.best_validation_score_ == score and model.network_.parameters.tobytes() == best.tobytes()


def test_names_of_columns_come_back_with_a_model(tmp_path):
    frame = pytest.importorskip("pandas", reason="frames are pandas'").DataFrame(X, columns=["a", "b", "c"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".*converge")
        model = classifier().fit(frame, LABELS)
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    assert again.feature_names_in_.tolist() == ["a", "b", "c"]
    assert again.predict(frame).tolist() == model.predict(frame).tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame[["b", "a", "c"]])


def test_a_fit_that_goes_on_with_other_metrics_has_one_history():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".*converge")
        model = classifier(warm_start=True).fit(X, LABELS)
        model.set_params(metrics=("accuracy",)).fit(X, LABELS)
    history = model.network_.history
    assert list(history.epoch) == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(np.add(history.loss, history.penalty), model.loss_curve_, rtol=1e-15)
    assert history["accuracy"][:3] == [None] * 3 and all(0 <= value <= 1 for value in history["accuracy"][3:])


# ---- solvers ---------------------------------------------------------------------------------------------------------

def test_a_step_of_levenberg_marquardt_that_is_not_finite_is_not_taken(monkeypatch):
    """The damping grows as after any step that does not lower the loss."""
    original, solved = solvers.LevenbergMarquardt._solve, []

    def solve(self, mu):
        solved.append(mu)
        step = original(self, mu)
        if len(solved) == 1:
            step[np.abs(self.gradient[:step.size]).argmax()] *= np.inf
        return step

    monkeypatch.setattr(solvers.LevenbergMarquardt, "_solve", solve)
    net = network()
    history = net.train(X, Y, epochs=2, optimizer="levenberg_marquardt", batch_size="full")
    assert solved[1] > solved[0] and np.isfinite(net.parameters).all()
    assert net.evaluate(X, Y) < history.loss[1] < history.loss[0]


def test_a_point_of_lbfgs_that_is_not_finite_is_a_divergence(monkeypatch):
    original = solvers._minimize

    def astray():
        def minimise(function, start, **options):
            function(start)
            return function(np.full_like(start, np.nan))
        return minimise

    monkeypatch.setattr(solvers, "_minimize", astray)
    net = network()
    with pytest.raises(DivergenceError):
        net.train(X, Y, epochs=2, optimizer="lbfgs", batch_size="full")
    assert net.parameters.tobytes() == network().parameters.tobytes()
    monkeypatch.setattr(solvers, "_minimize", original)
    net.train(X, Y, epochs=2, optimizer="lbfgs", batch_size="full")
    assert net.evaluate(X, Y) < network().evaluate(X, Y)


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
    other = tmp_path / (model_file._PREFIX + b"1" + model_file._SUFFIX).decode()
    net.save(path)
    other.touch()
    os.utime(other, (0, 0))
    net.train(X, Y)
    net.save(path)
    assert bp.load(path).parameters.tobytes() == net.parameters.tobytes()
    assert sorted(tmp_path.iterdir()) == sorted([path, other])


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


def test_a_checkpoint_before_any_best_epoch_goes_on(tmp_path):
    """A metric that is NaN so far leaves early stopping and a plateau without a value, and patience is counted."""
    never, path = bp.metrics.Metric("never", lambda Y, P: float("nan"), "min"), tmp_path / "net"
    options = {"validation": 0.2, "metrics": (never,), "checkpoint_path": path,
               "schedule": bp.schedules.reduce_on_plateau(patience=2, monitor="val_never", mode="min"),
               "early_stopping": bp.EarlyStopping(5, monitor="val_never", mode="min")}

    def broken_off(state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    whole = network()
    history = whole.train(X, Y, epochs=9, **options)
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        network().train(X, Y, epochs=9, callbacks=broken_off, **options)
    again = bp.load(path)
    done = again.epochs_trained
    assert 0 < done < 5
    rest = again.train(X, Y, epochs=9 - done, **options)
    assert history.stop_reason == rest.stop_reason == "early_stopping"
    assert whole.epochs_trained == again.epochs_trained == 5
    assert again.parameters.tobytes() == whole.parameters.tobytes()
    assert history.learning_rate[-1] < history.learning_rate[0]


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


def test_chunks_of_more_rows_than_are_read_at_a_time(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    expected = list(bp.data.stream(tmp_path / "x.csv", "y", 12))
    monkeypatch.setattr(streams, "BLOCK_CELLS", 10)
    found = list(bp.data.stream(tmp_path / "x.csv", "y", 12))
    assert [len(A) for A, _ in found] == [12, 8]
    for (A, B), (C, D) in zip(found, expected, strict=True):
        assert A.tobytes() == C.tobytes() and B.tobytes() == D.tobytes()


def test_classes_that_are_fractions_are_read_as_numbers(tmp_path):
    (tmp_path / "x.csv").write_text("a,y\n1,1.0\n2,2.5\n3,1\n")
    (_, B), = bp.data.stream(tmp_path / "x.csv", "y", classes=[1.0, 2.5])
    assert B.tolist() == [[1, 0], [0, 1], [1, 0]]
    with pytest.raises(DataFormatError, match="line 3, column 2: the target '2.5' is none of the classes 1, 2"):
        list(bp.data.stream(tmp_path / "x.csv", "y", classes=[1, 2]))


def test_a_libsvm_file_that_becomes_wider_under_a_stream(tmp_path):
    (tmp_path / "x.svm").write_text("1 1:1 2:1\n0 1:2\n")
    stream = bp.data.stream(tmp_path / "x.svm", zero_based=False)
    (tmp_path / "x.svm").write_text("1 1:1 2:1\n0 3:2\n")
    with pytest.raises(DataFormatError, match="line 2.*more features than 2"):
        list(stream)


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


@pytest.fixture
def arrays(tmp_path):
    """Files of 3, 4 and 5 columns, the fourth of them the target."""
    table = np.column_stack([X, LABELS, X[:, 0]])
    for width in (3, 4, 5):
        np.save(tmp_path / f"{width}.npy", table[:, :width])
    return tmp_path


def test_arrays_and_the_place_of_their_target(regression, arrays, capsys):
    """A model that remembers its target's place reads files with and without that column; others are told apart."""
    one = bp.Network([3, 1], seed=1)
    path, classes = arrays / "one", arrays / "classes"
    bp.Model(one, target=3).save(path)
    bp.Model(network(loss="log_loss"), classes=np.array([0, 1]), target=3).save(classes)
    outs = []
    for width in (3, 4):
        assert main(["predict", str(path), str(arrays / f"{width}.npy")]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] and len(outs[0].splitlines()) == 31
    columns = arrays / "columns"
    bp.Model(one, columns=[Column(name) for name in "abc"], feature_names=list("abc")).save(columns)
    for command, message in (
            (["predict", path, "5.npy"], "5 columns of features, and the model takes 3"),
            (["predict", columns, "3.npy"], "3.npy holds numbers alone, and the model takes columns of a text file"),
            (["evaluate", path, "3.npy"], "target"),
            (["evaluate", regression, "3.npy"], "has no target to compare with; name its column with --target"),
            (["evaluate", regression, "4.npy", "--target", "3"], "1 targets per row, and the model gives 2"),
            (["evaluate", classes, "4.npy"], "4.npy, row 2: the target 2 is none of the model's classes, 0, 1"),
            (["train", "3.npy", "--out", arrays / "out"], "3.npy has no target; name its column with --target")):
        assert main([str(arrays / word) if str(word).endswith(".npy") else str(word) for word in command]) == 2
        assert message in capsys.readouterr().err


def test_a_target_by_its_place_in_a_table_with_names(arrays, capsys):
    named, bare = arrays / "named", arrays / "bare"
    bp.Model(bp.Network([2, 1], seed=1), feature_names=["a", "b"]).save(named)
    bp.Model(bp.Network([2, 1], seed=1), target=9).save(bare)
    (arrays / "x.csv").write_text("b,y,a\n1,2,3\n4,5,6\n7,9,8\n")
    (arrays / "y.csv").write_text("1,2\n4,5\n")
    outs = []
    for target in ("1", "-2", "y"):
        assert main(["evaluate", str(named), str(arrays / "x.csv"), "--target", target, "--json"]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] == outs[2] and '"rows": 3' in outs[0]
    assert main(["evaluate", str(named), str(arrays / "x.csv")]) == 2
    assert "x.csv has no target to compare with" in capsys.readouterr().err
    assert main(["predict", str(bare), str(arrays / "y.csv")]) == 0         # it has no tenth column, nor needs one
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_columns_that_are_empty_where_they_begin(tmp_path, capsys, monkeypatch):
    """Of numbers, of texts, and all the way; the file is read in blocks."""
    monkeypatch.setattr(_read_table, "BLOCK_CELLS", 8)
    cells = [("" if i < 6 else str(i), "" if i < 6 else "rs"[i % 2], str(i)) for i in range(24)]
    path, out = tmp_path / "x.csv", tmp_path / "out"
    path.write_text("size,kind,y\n" + "".join(",".join(row) + "\n" for row in cells))
    command = ["train", str(path), "--target", "y", "--missing", "fill", "--epochs", "1", "--out", str(out)]
    assert main([*command, "--test-size", "0"]) == 0
    size, kind = bp.load(out).columns
    assert size == Column("size", None, pytest.approx(14.5)) and kind == Column("kind", ("", "r", "s"))
    path.write_text("size,kind,y\n" + "".join(f"{i},,{i}\n" for i in range(9)))
    capsys.readouterr()
    assert main(command) == 2
    assert "column 'kind' has no value in any row; leave it out by --drop" in capsys.readouterr().err


def test_the_inputs_of_an_exported_model_of_categories_are_told(tmp_path, capsys):
    model, out = tmp_path / "model", tmp_path / "net.c"
    bp.Model(bp.Network([3, 1], seed=1), columns=[Column("a"), Column("b", ("x", "y"))], target="z",
             feature_names=["a", "b=x", "b=y"]).save(model)
    assert main(["export", str(model), "--out", str(out)]) == 0
    assert "it takes 3 inputs, a category being one that is 0 or 1: a, b=x, b=y\n" in capsys.readouterr().out
    assert out.stat().st_size > 100


def test_a_folder_that_is_not_ours_and_data_that_vanish(regression, arrays, capsys, monkeypatch):
    def gone(model, args):
        yield X[:2], {}
        raise OSError(5, "Input/output error", args.data)

    data, out = str(arrays / "3.npy"), arrays / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr(tables, "blocks", gone)
        assert main(["predict", str(regression), data, "--out", str(out)]) == 2      # bad data, and no failed writing
        assert data in (message := capsys.readouterr().err) and "cannot write" not in message
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)            # as for anybody but root
        assert main(["predict", str(regression), data, "--out", str(out)]) == 2
        assert f"the folder {arrays} cannot be written to" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert main(["train", "-", "--target", "y", "--out", str(out)]) == 2
        assert "DATA is - and stdin is closed" in capsys.readouterr().err
    assert not out.exists()


def test_without_argcomplete_the_command_line_works(regression, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["info", str(regression)]) == 0 and "epochs trained: 0" in capsys.readouterr().out


def test_validation_of_the_command_line(tmp_path, capsys):
    """A file of its own for a regression, and early stopping on a part of too few rows."""
    rows = [f"{a!r},{b!r},{1000 * a - 500 * b!r}\n" for a, b, _ in X.tolist()]
    train, held, out = tmp_path / "train.csv", tmp_path / "held.csv", tmp_path / "out"
    train.write_text("a,b,y\n" + "".join(rows[:20]))
    held.write_text("a,b,y\n" + "".join(rows[20:]))
    command = ["train", str(train), "--target", "y", "--hidden", "none", "--test-size", "0", "--seed", "0",
               "--out", str(out)]
    assert main([*command, "--validation", str(held), "--epochs", "300", "--learning-rate", "0.05"]) == 0
    history = bp.load(out).network.history
    assert min(history.val_loss) < 1e-3 * history.val_loss[0]                # in units of the targets' spread
    capsys.readouterr()
    assert main([*command, "--early-stopping", "3"]) == 2
    message = "it watches the validation loss, and of 20 rows none are held out; give --validation"
    assert message in capsys.readouterr().err


def test_a_model_without_its_history_is_resumed(tmp_path, capsys):
    data, out = tmp_path / "x.csv", tmp_path / "out"
    data.write_text("a,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20)))
    command = ["train", str(data), "--target", "y", "--epochs", "4", "--seed", "0", "--out", str(out)]
    assert main(command) == 0
    model = bp.load(out)
    model.network.history = None
    model.save(out)
    assert main([*command, "--epochs", "6", "--resume"]) == 0
    assert bp.load(out).network.epochs_trained == 6


def test_weights_of_a_shape_are_drawn(regression, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need Matplotlib")
    out = tmp_path / "out.png"
    assert main(["plot", "weights", str(regression), "--shape", "1,3", "--out", str(out)]) == 0
    assert out.stat().st_size > 1000
