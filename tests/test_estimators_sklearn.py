"""Our estimators beside scikit-learn's: the same trajectories, its checks, its own tests, its tools."""

import functools
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn import config_context, neural_network
from sklearn.base import ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import backprop as bp
from backprop import _estimator_base

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
N = 26                                                   # 26 = 3 * 7 + 5: the last batch is ragged
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 5))
CLASSES = rng.permutation(np.arange(N) % 3)
REAL = rng.normal(size=(N, 3))
TARGETS = {
    "two classes": ("MLPClassifier", np.where(CLASSES == 1, "yes", "no"), {}),
    "three classes": ("MLPClassifier", CLASSES, {}),
    "multilabel": ("MLPClassifier", (REAL > 0).astype(int), {}),
    "one output": ("MLPRegressor", REAL[:, 0], {}),
    "three outputs": ("MLPRegressor", REAL, {}),
    **({"counts": ("MLPRegressor", np.floor(np.exp(REAL[:, 0])), {"loss": "poisson"})} if VERSION >= (1, 7) else {}),
}
SOLVERS = {
    "sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.02},
    "nesterov": {"solver": "sgd", "momentum": 0.8, "learning_rate_init": 0.02},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.03,
                 "n_iter_no_change": 1},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "adam, other numbers": {"solver": "adam", "learning_rate_init": 0.01, "beta_1": 0.8, "beta_2": 0.99,
                            "epsilon": 1e-3},
}


def quiet(call, *args, **kwargs):
    """The call without the ConvergenceWarning that the test expects and does not look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DeprecationWarning)              # old scikit-learn, new SciPy
        return call(*args, **kwargs)


def both(target, fit_options=None, **options):
    """(ours, theirs) fitted with the same parameters from the same random_state."""
    name, y, own = TARGETS[target]
    common = {"hidden_layer_sizes": (7, 4), "activation": "tanh", "alpha": 0.0, "batch_size": 7, "shuffle": False,
              "random_state": 3, "max_iter": 15, "tol": 0.0, **own, **options}
    return [quiet(getattr(module, name)(**common).fit, X, y, **(fit_options or {})) for module in (bp, neural_network)]


def assert_same(ours, theirs, tolerance=1e-10):
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance)


# ---- the same trajectory ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target, solver", [
    (target, solver) for target in TARGETS for solver in SOLVERS
    if (target, solver) != ("three outputs", "adaptive")])               # tol is compared with the loss, see below
def test_trajectories_are_scikit_learns(target, solver):
    ours, theirs = both(target, **SOLVERS[solver])
    start = both(target, **{**SOLVERS[solver], "learning_rate_init": 1e-300})[0]
    assert max(np.abs(a - b).max() for a, b in zip(ours.coefs_, start.coefs_)) > 0.01
    assert_same(ours, theirs)
    outputs = REAL.shape[1] if target == "three outputs" else 1          # whose mean is the loss there, their sum here
    np.testing.assert_allclose(ours.loss_curve_, outputs * np.array(theirs.loss_curve_), rtol=1e-10)
    assert (ours.n_iter_, ours.t_, ours.n_layers_, ours.n_outputs_, ours.out_activation_) == (
        theirs.n_iter_, theirs.t_, theirs.n_layers_, theirs.n_outputs_, theirs.out_activation_)
    if "tol" not in SOLVERS[solver]:
        assert ours._no_improvement_count == theirs._no_improvement_count
    assert ours.best_loss_ == pytest.approx(outputs * theirs.best_loss_, rel=1e-10)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_activations_and_initial_weights_are_scikit_learns(activation):
    assert_same(*both("three classes", activation=activation, learning_rate_init=1e-300), tolerance=1e-17)
    assert_same(*both("three classes", activation=activation, learning_rate_init=0.01))


@pytest.mark.parametrize("target", TARGETS)
def test_the_penalty_of_a_full_batch_is_scikit_learns(target):
    ours, theirs = both(target, alpha=0.7, batch_size=N, learning_rate_init=0.01)
    assert_same(ours, theirs)
    assert ours.loss_ > both(target, batch_size=N, learning_rate_init=0.01)[0].loss_


@pytest.mark.skipif(VERSION < (1, 7), reason="scikit-learn 1.6 has no sample_weight here")
def test_weights_of_a_full_batch_are_scikit_learns():
    weight = {"sample_weight": rng.uniform(0.1, 3.0, size=N)}
    ours, theirs = both("three classes", weight, batch_size=N, learning_rate_init=0.01, alpha=0.3)
    assert_same(ours, theirs)
    assert max(np.abs(a - b).max() for a, b in zip(ours.coefs_, both("three classes", batch_size=N)[0].coefs_)) > 1e-4


@pytest.mark.parametrize("target", ["two classes", "three classes", "multilabel", "one output"])
def test_lbfgs_goes_scikit_learns_way(target):
    ours, theirs = both(target, solver="lbfgs", alpha=0.1, max_iter=8)
    assert ours.n_iter_ == theirs.n_iter_ == 8
    assert_same(ours, theirs, tolerance=1e-8)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)


def test_lbfgs_of_several_outputs_minimises_what_it_says():
    """scikit-learn's loss is the mean over outputs, its gradient that of the sum; ours end where the gradient is 0."""
    model = bp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-10, random_state=0).fit(X, REAL)
    exact = np.linalg.lstsq(np.c_[X, np.ones(N)], REAL, rcond=None)[0]
    np.testing.assert_allclose(np.r_[model.coefs_[0], model.intercepts_], exact, atol=1e-5)
    assert model.loss_ == pytest.approx(0.5 * ((REAL - model.predict(X)) ** 2).sum(axis=1).mean(), rel=1e-12)


# ---- the checks ------------------------------------------------------------------------------------------------------

CHECKED = [
    bp.MLPClassifier(max_iter=20),
    bp.MLPClassifier(solver="lbfgs", alpha=0.1, max_iter=30, hidden_layer_sizes=(10,)),
    bp.MLPClassifier(solver="sgd", learning_rate_init=0.2, max_iter=50, learning_rate="adaptive"),
    bp.MLPClassifier(loss="hinge", hidden_layer_sizes=(20, 10), activation=["gelu", "tanh"]),
    bp.MLPRegressor(max_iter=20),
    bp.MLPRegressor(solver="lbfgs", activation="tanh"),
    bp.MLPRegressor(loss="huber", solver="rprop", hidden_layer_sizes=(8,)),
    bp.Perceptron(rule="batch"),
    bp.Perceptron(rule="batch", average=True),
    bp.Perceptron(rule="batch", pocket=True),
]
# The stochastic rule visits examples in an order and scales the step by the weight: k visits are not one step of size
# k. scikit-learn's own Perceptron is excused from the same two checks.
ORDER_MATTERS = {f"check_sample_weight_equivalence_on_{kind}_data": "the stochastic rule depends on the order"
                 for kind in ("dense", "sparse")}


@pytest.mark.slow
@pytest.mark.parametrize("estimator", CHECKED, ids=lambda e: " ".join(repr(e).split()))
def test_check_estimator(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                  # ConvergenceWarning, and SkipTestWarning of missing packages
        results = check_estimator(estimator)
    assert len(results) > 50 and all(result["status"] in ("passed", "skipped") for result in results)


@pytest.mark.parametrize("estimator", [CHECKED[0], CHECKED[4], CHECKED[8]], ids=lambda e: " ".join(repr(e).split()))
def test_check_estimator_of_the_defaults(estimator):
    test_check_estimator(estimator)


@pytest.mark.parametrize("options", [{}, {"average": True}, {"pocket": True, "eta0": 0.1}], ids=str)
def test_check_estimator_of_the_stochastic_rule(options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(bp.Perceptron(**options), expected_failed_checks=ORDER_MATTERS)
    failed = {result["check_name"] for result in results if result["status"] not in ("passed", "skipped")}
    assert failed == set(ORDER_MATTERS)


def test_scikit_learns_own_tests():
    here, package = Path(__file__).parent, Path(bp.__file__).parents[1]
    run = subprocess.run([sys.executable, str(here / "run_sklearn_tests.py"), "-rf"], capture_output=True, text=True,
                         timeout=300, env={**os.environ, "PYTHONPATH": str(package)}, cwd=here)
    found = re.search(r"(\d+) passed", run.stdout)
    assert run.returncode == 0 and found and int(found[1]) >= 50, run.stdout[-3000:] + run.stderr[-2000:]
    left_out = (here / "run_sklearn_tests.py").read_text().count('    "test_')
    assert f"{left_out} deselected" in run.stdout                        # every name in the list is still a test


# ---- scikit-learn's tools --------------------------------------------------------------------------------------------

EACH = [bp.MLPClassifier(hidden_layer_sizes=(8,), max_iter=5, random_state=0),
        bp.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), bp.Perceptron(max_iter=5, random_state=0)]
each = pytest.mark.parametrize("estimator", EACH, ids=lambda e: type(e).__name__)


@each
def test_pipeline_clone_pickle_joblib(estimator, tmp_path):
    pipeline = quiet(make_pipeline(StandardScaler(), clone(estimator)).fit, X, CLASSES)
    expected = pipeline.predict(X)
    joblib.dump(pipeline, tmp_path / "pipeline")
    for other in (joblib.load(tmp_path / "pipeline"), quiet(clone(pipeline).fit, X, CLASSES)):
        np.testing.assert_array_equal(other.predict(X), expected)
    assert clone(estimator).get_params() == estimator.get_params()
    assert type(estimator).__name__ in pipeline._repr_html_() and type(estimator).__name__ in repr(pipeline)


@each
def test_training_goes_on_from_a_memory_map(estimator, tmp_path):
    """joblib hands the arrays of a fitted estimator to other processes as read-only maps of a file."""
    model = quiet(clone(estimator).fit, X, CLASSES)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(mapped.predict(X), model.predict(X))
    for each_one in (mapped, model):
        quiet(each_one.partial_fit, X, CLASSES)
    np.testing.assert_array_equal(mapped.predict(X), model.predict(X))


@pytest.mark.parametrize("estimator, grid", [(EACH[0], {"alpha": [1e-4, 1.0], "dropout": [0.0, 0.2]}),
                                             (EACH[1], {"activation": ["relu", ["tanh"]]}),
                                             (EACH[2], {"rule": ["stochastic", "batch"]})], ids=lambda v: str(v)[:13])
def test_grid_search_in_two_processes_on_read_only_memory(estimator, grid, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    big = np.tile(X, (2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with joblib.parallel_config("loky", max_nbytes=1000):            # smaller arrays are mapped, too
            search = GridSearchCV(estimator, grid, cv=2, n_jobs=2).fit(big, np.tile(CLASSES, 2))
            scores = cross_val_score(search.best_estimator_, big, np.tile(CLASSES, 2), cv=2, n_jobs=2)
    assert set(search.best_params_) == set(grid) and np.isfinite(scores).all() and len(scores) == 2


@each
def test_metadata_routing(estimator):
    weight = np.arange(N) % 2 + 0.0
    with config_context(enable_metadata_routing=True):
        routed = clone(estimator).set_fit_request(sample_weight=True)
        pipeline = quiet(make_pipeline(routed).fit, X, CLASSES, sample_weight=weight)
    np.testing.assert_array_equal(pipeline.predict(X), quiet(clone(estimator).fit, X, CLASSES, weight).predict(X))


@each
def test_names_of_features(estimator):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = quiet(clone(estimator).fit, frame, CLASSES)
    assert model.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(model.predict(frame), quiet(clone(estimator).fit, X, CLASSES).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("edcba")])
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(X[:1])


@each
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_mixed_columns_and_series_of_labels(estimator, library):
    frames = pytest.importorskip(library, reason=f"{library} is not installed")
    columns = {"count": np.arange(N), "real": X[:, 0], "member": X[:, 1] > 0}
    rows = np.column_stack(list(columns.values())).astype(float)
    classifier = isinstance(estimator, ClassifierMixin)
    y = np.array(["no", "perhaps", "yes"])[CLASSES] if classifier else REAL[:, 0]
    frame, series = frames.DataFrame(columns), frames.Series(y.tolist())
    model = quiet(clone(estimator).fit, frame, series, sample_weight=frames.Series(np.arange(N) % 3))
    plain = quiet(clone(estimator).fit, rows, y, sample_weight=np.arange(N) % 3)
    assert model.feature_names_in_.tolist() == list(columns)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(rows))
    assert model.score(frame, series) == plain.score(rows, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["member", "real", "count"]])


@each
def test_not_fitted_is_scikit_learns(estimator):
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        clone(estimator).predict(X)


@each
def test_a_column_of_targets_warns(estimator):
    with pytest.warns(DataConversionWarning):
        quiet(clone(estimator).fit, X, CLASSES.reshape(-1, 1))


@pytest.mark.skipif(VERSION < (1, 9), reason="scikit-learn's callbacks came with 1.9")
def test_callbacks_of_scikit_learns_protocol():
    class Counts:
        def __init__(self):
            self.calls = []

        def setup(self, estimator, context):
            self.calls.append("setup")

        def teardown(self, estimator, context):
            self.calls.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            self.calls.append("begin")

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            self.calls.append(None if fitted_estimator is None else fitted_estimator.predict(X[:1]).shape)
            return len([call for call in self.calls if call == (1,)]) == 3

    counts = Counts()
    model = bp.MLPClassifier((4,), max_iter=50, random_state=0).set_callbacks(counts).fit(X, CLASSES)
    assert model.n_iter_ == 3 and model.history_.stop_reason == "callback"
    assert counts.calls[:4] == ["setup", "begin", "begin", (1,)] and counts.calls[-1] == "teardown"
    assert counts.calls.count("begin") == len([call for call in counts.calls if call is None or call == (1,)])


# ---- one row ---------------------------------------------------------------------------------------------------------

ROWS = {
    "float64": lambda X: X, "float32": lambda X: X.astype(np.float32), "float16": lambda X: X.astype(np.float16),
    "long double": lambda X: X.astype(np.longdouble), "big-endian": lambda X: X.astype(">f8"),
    "int": lambda X: X.astype(int), "uint8": lambda X: X.astype(np.uint8), "bool": lambda X: X > 0,
    "dates": lambda X: X.astype("M8[s]"), "times": lambda X: X.astype("m8[s]"),
    "objects": lambda X: X.astype(object), "strings": lambda X: X.astype(str), "complex": lambda X: X + 1j,
    "columns": np.asfortranarray, "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[:, ::-1],
    "unaligned": lambda X: np.frombuffer(b"." + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape),
    "list": lambda X: X.tolist(), "tuple": lambda X: tuple(map(tuple, X.tolist())), "list of arrays": list,
    "list of objects": lambda X: X.astype(object).tolist(), "list with None": lambda X: [[None, *X[0, 1:]]],
    "list with text": lambda X: [["a", *X[0, 1:]]], "list with a huge number": lambda X: [[10**400, *X[0, 1:]]],
    "ragged": lambda X: [[[1.0], *X[0, 1:].tolist()]], "deep": lambda X: [X.tolist()], "flat": lambda X: X[0],
    "narrow": lambda X: X[:, 1:], "narrow list": lambda X: X[:, 1:].tolist(),
    "no rows": lambda X: X[:0], "empty": lambda X: [],
    "NaN": lambda X: X * np.nan, "infinity": lambda X: (X + np.inf).tolist(),
    "masked": lambda X: np.ma.masked_array(X), "masked value": lambda X: np.ma.masked_array(X, np.eye(*X.shape)),
}
FRAMES = {
    "as fitted": lambda frame: frame, "mixed": lambda frame: {**frame, "a": [3], "b": [True]},
    "whole numbers": lambda frame: dict.fromkeys(frame, [2]), "text": lambda frame: {**frame, "a": ["x"]},
    "wrong order": lambda frame: dict(reversed(frame.items())),
    "other names": lambda frame: {name.upper(): frame[name] for name in frame},
    "missing": lambda frame: {**frame, "a": [None]}, "NaN": lambda frame: {**frame, "c": [float("nan")]},
    "narrow": lambda frame: {name: frame[name] for name in "abcd"},
    "no rows": lambda frame: {name: [] for name in frame},
}


def answers(model, row):
    """What each method gives for a row: the array, or the error, with the warnings."""
    found = {}
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                result = getattr(model, method, lambda row: None)(row)
                result = None if result is None else (result.dtype, result.shape, result.tolist())
            except (ValueError, TypeError) as error:
                result = type(error), str(error)
        found[method] = result, {(each.category, str(each.message)) for each in told}
    return found


def assert_same_answers(model, row, monkeypatch):
    """The short way of one row tells what the way through scikit-learn's gate does."""
    short = answers(model, row)
    with monkeypatch.context() as patch:
        patch.setattr(_estimator_base, "one_row", lambda estimator, X: None)
        assert short == answers(model, row)


@each
@pytest.mark.parametrize("named", [False, True], ids=["", "fitted with names"])
@pytest.mark.parametrize("form", ROWS)
def test_one_row_of_any_form_is_what_the_general_path_says(estimator, named, form, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = pandas.DataFrame(X, columns=list("abcde")) if named else X
    for y in (CLASSES, CLASSES > 0):
        for given in (rows, rows.astype(np.float32)):
            assert_same_answers(quiet(clone(estimator).fit, given, y), ROWS[form](X[3:4].copy()), monkeypatch)


@each
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("form", FRAMES)
def test_a_frame_of_one_row_is_what_the_general_path_says(estimator, library, form, monkeypatch):
    frames = pytest.importorskip(library, reason=f"{library} is not installed")
    columns = {name: X[:, j] for j, name in enumerate("abcde")}
    row = frames.DataFrame(FRAMES[form]({name: values[3:4].tolist() for name, values in columns.items()}))
    for rows in (frames.DataFrame(columns), X):
        assert_same_answers(quiet(clone(estimator).fit, rows, CLASSES), row, monkeypatch)


@each
def test_frames_of_dates_are_no_numbers(estimator):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = quiet(clone(estimator).fit, frame, CLASSES)
    for kind in ("M8[s]", "m8[s]"):
        times = frame.astype(np.int64).astype(kind)
        for call, *arguments in ((clone(estimator).fit, times, CLASSES), (model.predict, times),
                                 (model.predict, times[:1])):
            with pytest.raises(TypeError, match="X: column 'a' must hold numbers"):
                call(*arguments)


def outcome(call):
    """What a call gives, or the class of its error."""
    try:
        return call().tolist()
    except (ValueError, TypeError) as error:
        return ValueError if isinstance(error, ValueError) else TypeError


@each
@pytest.mark.parametrize("form", [form for form in ROWS if form != "strings"])       # of which theirs reads numbers
def test_scikit_learns_gate_lets_nothing_through_that_ours_refuses(estimator, form, monkeypatch):
    rows, y = ROWS[form](X.copy()), CLASSES

    def outcomes():
        model = quiet(clone(estimator).fit, X, y)
        return [outcome(lambda: model.predict(rows)),
                outcome(lambda: quiet(clone(estimator).fit, rows, y).predict(rows))]

    with_theirs = outcomes()
    monkeypatch.setattr(_estimator_base, "validate_data", None)
    assert with_theirs == outcomes()


@each
def test_sparse_targets_and_what_only_looks_like_data(estimator):
    bits = sparse.csr_array((REAL > 0).astype(int))
    if isinstance(estimator, bp.Perceptron):
        with pytest.raises(TypeError, match=r"y is a sparse matrix; pass y.toarray\(\)"):
            quiet(clone(estimator).fit, X, bits)
    else:
        np.testing.assert_array_equal(quiet(clone(estimator).fit, X, bits).predict(X),
                                      quiet(clone(estimator).fit, X, bits.toarray()).predict(X))
    model = quiet(clone(estimator).fit, X, CLASSES)
    for value in (object(), lambda: X, {"a": 1.0}, 3.0, None):
        with pytest.raises((TypeError, ValueError), match="X must be"):
            model.predict(value)


def python_calls(call):
    """How many Python functions a call enters, once it has been made: what a row costs, without a clock."""
    entered = []
    call()
    sys.setprofile(lambda frame, event, arg: entered.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(entered)


@each
def test_one_row_goes_past_the_gates(estimator):
    digits, y = bp.data.digits()
    row = digits[:1].copy()
    rows = [row, row.astype(np.float32), row.astype(int), np.asfortranarray(digits)[:1], row.tolist()]
    for target in (y, y > 4):
        model = quiet(clone(estimator).set_params(max_iter=1).fit, digits, target)
        for method in ("predict", "predict_proba", "decision_function"):
            if hasattr(model, method):
                for given in rows:
                    assert python_calls(functools.partial(getattr(model, method), given)) < 25, (method, type(given))
    assert python_calls(functools.partial(model.predict, digits[:2].astype(int))) > 100         # scikit-learn's gate


@each
def test_a_frame_of_one_row_goes_past_the_gates(estimator):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    digits, y = bp.data.digits()
    frame = pandas.DataFrame(digits, columns=[f"p{j}" for j in range(64)])
    model = quiet(clone(estimator).set_params(max_iter=1).fit, frame, y)
    assert python_calls(functools.partial(model.predict, frame.iloc[[0]])) < 120     # 25, with pyarrow's strings 63
    assert python_calls(functools.partial(model.predict, frame.iloc[:2])) > 500
