"""The estimators by themselves: what they promise beyond scikit-learn's, and without it."""

import copy
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import backprop as bp
from backprop import _estimator_file, _sparse, model_file, training
from backprop.errors import DivergenceError, ModelFormatError

rng = np.random.default_rng(1)
X, REAL = rng.normal(size=(60, 4)), rng.normal(size=60)
CLASSES = np.digitize(X @ [1.0, -1.0, 0.5, 0.0] + 0.1 * rng.normal(size=60), [-0.6, 0.6])
BITS = (X[:, :3] > 0).astype(int)
NAMES = np.array(["no", "perhaps", "yes"])[CLASSES]
BOTH = [(bp.MLPClassifier, CLASSES), (bp.MLPRegressor, REAL)]
both = pytest.mark.parametrize("cls, y", BOTH, ids=["classifier", "regressor"])
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "batch_size": 16, "max_iter": 8, "tol": 0.0}


def fit(model, *args, **kwargs):
    """fit without the ConvergenceWarning that a test expects and does not look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def state(model):
    """What a failed call must leave as it is."""
    return pickle.dumps(model)


# ---- on the network --------------------------------------------------------------------------------------------------

@both
def test_it_is_the_network_that_the_parameters_describe(cls, y):
    model = fit(cls(**{**SMALL, "hidden_layer_sizes": (5, 4)}, activation=["gelu", "logistic"]), X, y)
    net = model.network_
    assert net.sizes[:3] == [4, 5, 4] and net.activations[:2] == ["gelu", "sigmoid"]
    assert len(net.gradients(X, model._encode(y)).weights) == 3 and len(net.forward(X)) == 4
    model.coefs_[0][...] = 0.25
    assert (net.weights[0] == 0.25).all()
    model.coefs_ = [np.zeros_like(W) for W in model.coefs_]
    assert not any(W.any() for W in net.weights)
    with pytest.raises(ValueError, match="coefs_ must have the shapes"):
        model.coefs_ = [np.zeros((1, 1))] * 3
    assert len(model.history_) == model.n_iter_ == len(model.loss_curve_) == 8 and model.t_ == 8 * 60


@both
def test_a_fit_on_float32_hands_out_float32_and_trains_in_float64(cls, y, tmp_path):
    single = X.astype(np.float32)
    double, model = fit(cls(**SMALL), single.astype(np.float64), y), fit(cls(**SMALL), single, y)
    model.save(tmp_path / "model")
    for each in (model, bp.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        for mine, other in zip([*each.coefs_, *each.intercepts_], [*double.coefs_, *double.intercepts_], strict=True):
            assert mine.dtype == np.float32 and not mine.flags.writeable
            np.testing.assert_array_equal(mine, other.astype(np.float32))
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            if hasattr(each, method):
                for rows in (single, single[:1], sparse.csr_array(single)):
                    found, exact = getattr(each, method)(rows), getattr(double, method)(rows.astype(np.float64))
                    labels = method == "predict" and cls is bp.MLPClassifier
                    np.testing.assert_array_equal(found, exact if labels else exact.astype(np.float32), strict=True)
                    np.testing.assert_array_equal(getattr(each, method)(rows.astype(np.float64)), exact, strict=True)
    np.testing.assert_array_equal(model.network_.weights[0], double.network_.weights[0], strict=True)
    model.coefs_ = [2.0 * W for W in double.coefs_]
    np.testing.assert_array_equal(model.network_.weights[0], 2.0 * double.network_.weights[0])
    assert fit(model, X, y).coefs_[0].dtype == np.float64 and model.coefs_[0].flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_assigned_layers_are_the_networks(dtype):
    model = fit(bp.MLPRegressor(**SMALL), X.astype(dtype), REAL)
    weights, biases, kept = model.coefs_, model.intercepts_, model.network_.weights[0].copy()
    weights[-1], biases[0] = np.full((6, 1), 1 / 3), np.arange(6) / 7
    for mine, net in ((weights, model.network_.weights), (biases, model.network_.biases)):
        for array, view in zip(mine, net, strict=True):
            np.testing.assert_array_equal(array, view.astype(dtype), strict=True)
    assert (model.network_.weights[1] == 1 / 3).all() and (model.network_.biases[0] == np.arange(6) / 7).all()
    np.testing.assert_array_equal(model.network_.weights[0], kept)
    weights[:] = [np.zeros((4, 6)), np.ones((6, 1))]
    assert not model.network_.weights[0].any() and (model.network_.weights[1] == 1).all()
    for index, value, error, message in ((0, np.zeros((1, 1)), ValueError, "must have the shapes"),
                                         (5, np.zeros((4, 6)), IndexError, "out of range"),
                                         (0, np.full((4, 6), np.nan), ValueError, "NaN"),
                                         (slice(1), [], ValueError, "must have the shapes")):
        with pytest.raises(error, match=message):
            weights[index] = value
    assert not model.network_.weights[0].any() and type(pickle.loads(pickle.dumps(weights))) is list


def test_float32_of_frames():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X.astype(np.float32), columns=list("abcd"))
    for given, dtype in ((frame, np.float32), (frame.assign(a=X[:, 0]), np.float64), (frame.assign(a=1), np.float64)):
        model = fit(bp.MLPRegressor(**SMALL), given, REAL)
        assert all(array.dtype == dtype for array in (*model.coefs_, model.predict(given), model.predict(given[:1])))


@pytest.mark.parametrize("solver", [name for name in bp.optimizers.NAMES if name != "levenberg_marquardt"])
def test_every_optimizer_is_a_solver(solver):
    before = fit(bp.MLPClassifier(**{**SMALL, "max_iter": 1}, learning_rate_init=1e-300, solver="sgd"), X, CLASSES)
    model = fit(bp.MLPClassifier(**{**SMALL, "max_iter": 60}, solver=solver, learning_rate_init=0.02), X, CLASSES)
    assert model.network_._training_state.optimizer.name == {"adam": "adam_eps_hat", "sgd": "nesterov"}.get(
        solver, solver)
    assert model.network_.evaluate(X, np.eye(3)[CLASSES]) < before.network_.evaluate(X, np.eye(3)[CLASSES]) - 0.01


def test_a_solver_may_be_an_object_and_a_rate_a_schedule():
    optimizer = bp.optimizers.RMSprop(0.01, rho=0.9)
    model = fit(bp.MLPRegressor(**SMALL, solver=optimizer, learning_rate=bp.schedules.step(every=2)), X, REAL)
    assert model.history_.learning_rate == [0.01 * 0.5 ** (epoch // 2) for epoch in range(8)]
    squares = fit(bp.MLPRegressor(**SMALL, solver="levenberg_marquardt"), X, REAL)
    assert squares.loss_ < 0.5 * fit(bp.MLPRegressor(**SMALL), X, REAL).loss_


@pytest.mark.parametrize("loss", ["half_squared_error", "absolute_error", "huber", "poisson"])
def test_losses_of_the_regressor(loss):
    model = fit(bp.MLPRegressor(**SMALL, loss=loss, alpha=0.0), X, np.abs(REAL))
    assert model.network_.loss == loss and model.out_activation_ == ("exp" if loss == "poisson" else "identity")
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("loss", ["hinge", "squared_error", "huber"])
@pytest.mark.parametrize("y", [CLASSES, NAMES, CLASSES > 0, BITS], ids=["numbers", "names", "bools", "multilabel"])
def test_losses_of_the_classifier(loss, y):
    model = fit(bp.MLPClassifier(**{**SMALL, "max_iter": 400}, loss=loss, learning_rate_init=0.05), X, y)
    assert (model.predict(X) == y).mean() > 0.8 and model.predict(X).shape == y.shape
    assert hasattr(model, "predict_proba") == (loss != "hinge")
    if y.ndim == 1 and y.dtype == bool:
        assert ((model.decision_function(X) > 0) == model.predict(X)).all()


def test_own_loss():
    def squares(Y, P):
        return ((Y - P) ** 2).sum(axis=1) / 2, P - Y

    options = {**SMALL, "shuffle": False}
    np.testing.assert_allclose(fit(bp.MLPRegressor(squares, **options), X, REAL).loss_,
                               fit(bp.MLPRegressor(**options), X, REAL).loss_, rtol=1e-12)


@both
def test_regularisers_reach_the_network(cls, y):
    plain = fit(cls(**SMALL), X, y)
    for options in ({"dropout": 0.3}, {"l1": 0.01}, {"alpha": 5.0}, {"clip_norm": 1e-3}, {"max_norm": 0.1}):
        model = fit(cls(**SMALL, **options), X, y)
        assert np.abs(model.coefs_[0] - plain.coefs_[0]).max() > 1e-6, options
    assert max(np.linalg.norm(W, axis=0).max() for W in model.coefs_) <= 0.1 * (1 + 1e-12)
    arrays = plain.coefs_, plain.intercepts_
    again = fit(cls(**{**SMALL, "max_iter": 1}, init=arrays, learning_rate_init=1e-300), X, y)
    np.testing.assert_array_equal(again.coefs_[0], plain.coefs_[0])


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_the_penalty_is_the_same_for_every_batch_size(batch_size):
    model = fit(bp.MLPRegressor(**{**SMALL, "batch_size": batch_size}, alpha=3.0), X, REAL)
    penalty = 3.0 / (2 * 60) * sum((W**2).sum() for W in model.coefs_)
    assert model.loss_ - model.history_.loss[-1] == pytest.approx(penalty, rel=1e-12)


def test_class_weights_are_sample_weights():
    weight = np.where(NAMES == "yes", 5.0, 1.0)
    by_class = fit(bp.MLPClassifier(**SMALL, class_weight={"yes": 5.0}), X, NAMES)
    by_row = fit(bp.MLPClassifier(**SMALL), X, NAMES, sample_weight=weight)
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
    rows = np.r_[np.flatnonzero(CLASSES == 0)[:4], np.flatnonzero(CLASSES != 0)]
    counts = np.bincount(CLASSES[rows])
    balanced = fit(bp.MLPClassifier(**SMALL, class_weight="balanced"), X[rows], CLASSES[rows])
    explicit = fit(bp.MLPClassifier(**SMALL, class_weight={c: len(rows) / 3 / counts[c] for c in range(3)}), X[rows],
                   CLASSES[rows])
    np.testing.assert_allclose(balanced.coefs_[0], explicit.coefs_[0], rtol=1e-9)


@both
def test_weight_zero_is_removal_and_a_number_is_no_weight(cls, y):
    weight = np.ones(60)
    weight[::5] = 0.0
    removed = fit(cls(**SMALL), X[weight > 0], y[weight > 0], sample_weight=np.ones(48))
    np.testing.assert_array_equal(fit(cls(**SMALL), X, y, sample_weight=weight).coefs_[0], removed.coefs_[0])
    np.testing.assert_allclose(fit(cls(**SMALL), X, y, sample_weight=1.0).coefs_[0], fit(cls(**SMALL), X, y).coefs_[0])


# ---- stopping --------------------------------------------------------------------------------------------------------

@both
def test_validation_data_of_the_caller(cls, y):
    model = fit(cls(**{**SMALL, "max_iter": 60}, early_stopping=True, n_iter_no_change=3, learning_rate_init=0.01),
                X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert model.t_ == model.n_iter_ * 40                # nothing was held out
    assert model.best_validation_score_ == max(model.validation_scores_) and model.best_loss_ is None
    assert model.score(X[40:], y[40:]) == pytest.approx(model.best_validation_score_, abs=1e-12)
    assert len(model.validation_scores_) == model.n_iter_ and model.history_.measured().count("val_loss") == 1
    shown = fit(cls(**SMALL), X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert len(shown.validation_scores_) == 8 and shown.best_loss_ is not None
    np.testing.assert_array_equal(shown.coefs_[0], fit(cls(**SMALL), X[:40], y[:40]).coefs_[0])
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        model.fit(X, y, X_val=X)


def test_held_out_rows_have_every_class_and_the_best_parameters_come_back():
    model = fit(bp.MLPClassifier(**{**SMALL, "max_iter": 40}, early_stopping=True, validation_fraction=0.2,
                                 n_iter_no_change=5, learning_rate_init=0.05), X, NAMES)
    assert model.t_ == model.n_iter_ * 48 and max(model.validation_scores_) == model.best_validation_score_
    at_best = 1 + int(np.argmax(model.validation_scores_))
    shorter = fit(bp.MLPClassifier(**{**SMALL, "max_iter": at_best}, early_stopping=True, validation_fraction=0.2,
                                   n_iter_no_change=50, learning_rate_init=0.05), X, NAMES)
    np.testing.assert_array_equal(model.coefs_[0], shorter.coefs_[0])
    with pytest.raises(ValueError, match=r"least populated class in y .*: \['yes'\] \(.*\['True'\]\)"):
        fit(bp.MLPClassifier(early_stopping=True), X[:30], np.r_[["yes"], ["no"] * 29])
    with pytest.raises(ValueError, match="leaves none to train on"):
        fit(bp.MLPClassifier(early_stopping=True, validation_fraction=1.0), X, NAMES)


@both
def test_callbacks_budgets_metrics_and_words(cls, y, capsys):
    seen = []
    model = cls(**SMALL, callbacks=lambda s: seen.append(s.epoch) or s.epoch == 3, metrics=("gradient_norm",),
                verbose=True).fit(X, y)
    assert seen == [1, 2, 3] and model.n_iter_ == 3 and model.history_.gradient_norm[0] > 0
    assert capsys.readouterr().out.count("Iteration") == 3
    long = cls(**{**SMALL, "max_iter": 10**6}, n_iter_no_change=np.inf, max_seconds=0.05).fit(X, y)
    assert long.history_.stop_reason == "max_seconds" and sum(long.history_.seconds) < 5
    loose = cls(**{**SMALL, "tol": 1e9, "max_iter": 100}, n_iter_no_change=2, verbose=True,
                learning_rate_init=1e-6).fit(X, y)
    assert loose.n_iter_ == 4 and "Training loss did not improve" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"solver": "lbfgs", "max_fun": 3}], ids=str)
@both
def test_the_end_without_convergence_warns_once(cls, y, options):
    with pytest.warns(ConvergenceWarning) as caught:
        model = cls(**{**SMALL, "tol": 1e-9, **options}).fit(X, y)
    assert len(caught) == 1 and model.n_iter_ <= options.get("max_fun", 8)


# ---- going on --------------------------------------------------------------------------------------------------------

GOING_ON = [{}, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
            {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
            {"dropout": 0.2, "solver": "rmsprop", "learning_rate": bp.schedules.reduce_on_plateau(patience=1)}]


@pytest.mark.parametrize("options", GOING_ON, ids=str)
@both
def test_five_epochs_a_file_and_seven_more_are_twelve(cls, y, options, tmp_path):
    options = {**SMALL, "warm_start": True, **options}
    whole = fit(cls(**{**options, "max_iter": 12}), X, y)
    part = fit(cls(**{**options, "max_iter": 5}), X, y)
    part.save(tmp_path / "model")
    part = fit(bp.load(tmp_path / "model").set_params(max_iter=7), X, y)
    np.testing.assert_array_equal(part.network_.parameters, whole.network_.parameters)
    assert part.loss_curve_ == whole.loss_curve_ and part.t_ == whole.t_ and len(part.history_) == 12
    steps = cls(**options)
    for _ in range(12):
        steps.partial_fit(X, y, **({"classes": [0, 1, 2]} if cls is bp.MLPClassifier else {}))
    np.testing.assert_array_equal(steps.network_.parameters, whole.network_.parameters)
    assert steps.loss_curve_ == whole.loss_curve_ and steps.n_iter_ == 1


@both
def test_a_new_fit_starts_anew(cls, y):
    model = fit(cls(**SMALL), X, y)
    first, parameters = model.network_, model.network_.parameters
    assert fit(model, X, y).network_ is not first and len(model.loss_curve_) == len(model.history_) == 8
    np.testing.assert_array_equal(model.network_.parameters, parameters)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.set_params(warm_start=True, hidden_layer_sizes=(3,)).fit(X, y)


@both
def test_ctrl_c_is_raised_and_what_was_learnt_is_kept(cls, y):
    def stop(seen):
        if seen.epoch == 3:
            raise KeyboardInterrupt

    model = cls(**SMALL, callbacks=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.history_.stop_reason == "interrupted" and np.isfinite(model.predict(X[:2] * 1.0)).all()


@both
def test_ctrl_c_and_early_stopping_leave_the_best_parameters(cls, y, monkeypatch):
    """Whenever it comes: between epochs, and within one."""
    calls, seen, work = [], [], training._work
    monkeypatch.setattr(training, "SLICE_SECONDS", 1e-9)

    def stop_at(last):
        def counted(job, n_threads):
            if len(calls) == last:
                raise KeyboardInterrupt
            calls.append(n_threads)
            return work(job, n_threads)
        return counted

    options = {**SMALL, "early_stopping": True, "validation_fraction": 0.4, "learning_rate_init": 0.5,
               "max_iter": 10**6, "n_iter_no_change": 10**6}
    for last in range(20, 60, 3):
        model = cls(**options, callbacks=lambda state: seen.append(state.network.parameters))
        monkeypatch.setattr(training, "_work", stop_at(last))
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        best = int(np.argmax(model.validation_scores_))
        assert model.network_.parameters.tobytes() == seen[best].tobytes(), last
        calls.clear()
        seen.clear()


FAILURES = [
    ({"alpha": -1.0}, ValueError, "alpha"), ({"solver": "newton"}, ValueError, "solver"),
    ({"activation": "step"}, ValueError, "step"), ({"activation": ["tanh"] * 3}, ValueError, "one name per hidden"),
    ({"hidden_layer_sizes": (3, 0)}, ValueError, "hidden_layer_sizes must be > 0"),
    ({"hidden_layer_sizes": 2.5}, TypeError, "hidden_layer_sizes"), ({"batch_size": 0}, ValueError, "batch_size"),
    ({"learning_rate": "fast"}, ValueError, "learning_rate"), ({"learning_rate_init": 0.0}, ValueError, "rate_init"),
    ({"learning_rate": 0.1}, TypeError, "learning_rate must be a schedule.*0.1; .* learning_rate_init"),
    ({"learning_rate": None}, TypeError, "learning_rate must"), ({"learning_rate": [1]}, TypeError, "^learning_rate "),
    ({"momentum": 1.5}, ValueError, "momentum"), ({"beta_1": 1.0}, ValueError, "beta_1"),
    ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change"), ({"max_iter": 0}, ValueError, "max_iter"),
    ({"max_fun": 0}, ValueError, "max_fun"), ({"random_state": "x"}, TypeError, "random_state"),
    ({"verbose": "x"}, TypeError, "verbose"), ({"shuffle": 1}, TypeError, "shuffle"),
    ({"dropout": 1.0}, ValueError, "dropout"), ({"loss": "cosine"}, ValueError, "loss"),
    ({"loss": (30, 10)}, TypeError, "loss must be a name or a function, got .30, 10.; .* write hidden_layer_sizes="),
    ({"tol": -1.0}, ValueError, "tol"), ({"epsilon": 0.0}, ValueError, "epsilon"),
]


@pytest.mark.parametrize("options, error, message", FAILURES, ids=lambda v: str(v)[:40])
@both
def test_a_bad_parameter_is_named_and_changes_nothing(cls, y, options, error, message):
    model = fit(cls(**SMALL), X, y).set_params(**options)
    for warm_start in (False, *([True] if "random_state" not in options else [])):      # which is not looked at then
        model.set_params(warm_start=warm_start)
        before = state(model)
        with pytest.raises(error, match=message):
            model.fit(X, y)
        assert state(model) == before


@both
def test_bad_data_is_named_and_changes_nothing(cls, y):
    model = fit(cls(**SMALL), X, y)
    before = state(model)
    holed = X.copy()
    holed[3, 2] = np.nan
    for arguments, message in (
            ((holed, y), "X holds NaN at row 3, column 2"), ((X, y[:-1]), "inconsistent|labels|rows"),
            ((X, y, -np.ones(60)), "sample_weight must not be negative"), ((X, y, np.zeros(60)), "sample_weight.*zero"),
            ((X, y, np.ones(3)), "sample_weight"), ((X, None), "requires y"), ((X[0], y), "2-D"),
            ((X, 1j * y), "omplex"), ((sparse.csr_array(holed), y), "X holds NaN at row 3, column 2"),
            ((np.ma.masked_invalid(holed), y), "X has masked values"),
            ((X, np.ma.masked_array(y, y == y[0])), "y has masked values"),
            ((X, y, None, X[:, :3], y), "X_val: X has 3 features"), ((X, y, None, holed, y), "X_val: X holds NaN"),
            ((X, y, None, X[:0], y[:0]), "X_val: X is empty"), ((X, y, None, X, y[:9]), "y_val has 9 rows"),
            ((X, y, None, X, y * np.nan), "y_val: ")):
        with pytest.raises(ValueError, match=message):
            model.fit(*arguments)
        assert state(model) == before, message
    masked = np.ma.masked_array(X, np.zeros(X.shape, dtype=bool))
    np.testing.assert_array_equal(model.predict(masked), model.predict(X))       # nothing is masked
    for rows, message in ((X[:, :3], "X has 3 features.*expecting 4"), (holed, "row 3, column 2"),
                          (sparse.csr_array(holed), "row 3, column 2"), (np.ma.masked_invalid(holed), "masked values"),
                          (holed[3:4], "row 0, column 2"), (X[:1, :3].copy(), "X has 3 features")):
        with pytest.raises(ValueError, match=message):
            model.predict(rows)


def test_divergence_is_an_error_that_leaves_the_estimator_as_it_was():
    model = fit(bp.MLPRegressor(**SMALL), X, REAL)
    before = state(model)
    with pytest.raises(DivergenceError, match="Solver produced non-finite parameter weights.*preprocessed"):
        model.set_params(solver="sgd", learning_rate_init=1e200).fit(X, REAL)
    assert state(model.set_params(solver="adam", learning_rate_init=0.001)) == before


@pytest.mark.parametrize("ending", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_what_fails_while_an_earlier_fit_goes_on_leaves_its_last_whole_epoch(solver, ending):
    def end(training):
        if len(training.history) == 3:
            raise ending

    options = {**SMALL, "solver": solver, "warm_start": True, "n_iter_no_change": 100}
    model, plain = fit(bp.MLPClassifier(**options), X, NAMES), fit(bp.MLPClassifier(**options), X, NAMES)
    with pytest.raises(ending):
        fit(model.set_params(callbacks=end, max_iter=9), X, NAMES)
    fit(plain.set_params(max_iter=3), X, NAMES)
    assert model.n_iter_ == plain.n_iter_ == 3 and model.t_ == plain.t_
    for _ in range(2):                                   # and both go on alike
        assert model.loss_curve_ == plain.loss_curve_ and len(model.history_) == len(model.loss_curve_)
        np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
        fit(model.set_params(callbacks=None, max_iter=2), X, NAMES)
        fit(plain.set_params(max_iter=2), X, NAMES)


# ---- labels ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("labels", [["b", "a"], [True, False], [7, -3], [2.0, 1.0], ["x", "z", "y"], [5, 2, 9]],
                         ids=str)
@pytest.mark.parametrize("given", [None, object], ids=["array", "objects"])
def test_labels_of_any_kind_come_back(labels, given, tmp_path):
    plain = np.array(labels)
    y = plain.astype(given or plain.dtype)[CLASSES % len(labels)]
    model = fit(bp.MLPClassifier(**{**SMALL, "max_iter": 300}, learning_rate_init=0.05), X, y)
    assert model.classes_.tolist() == sorted(labels) and (model.predict(X) == y).mean() > 0.8
    assert [model.predict(x.reshape(1, -1))[0] for x in X] == model.predict(X).tolist()
    P, A = model.predict_proba(X), model.decision_function(X)
    np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(P), rtol=1e-9)
    assert A.shape == ((60,) if len(labels) == 2 else (60, 3))
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert again.classes_.dtype == model.predict(X).dtype == plain.dtype


def test_probabilities_far_from_even():
    two = bp.MLPClassifier((), init=([[[1.0]]], [[0.0]]), learning_rate_init=1e-300, max_iter=1)
    two = fit(two, [[1.0], [-1.0]], [1, 0])
    P, log_P = two.predict_proba([[50.0], [-50.0], [800.0]]), two.predict_log_proba([[50.0], [-50.0], [800.0]])
    np.testing.assert_allclose(P[:2], [[np.exp(-50), 1.0], [1.0, np.exp(-50)]], rtol=1e-12)
    np.testing.assert_allclose(log_P, [[-50.0, 0.0], [0.0, -50.0], [-800.0, 0.0]], atol=1e-12)
    three = bp.MLPClassifier((), init=([[[1.0, 0.0, -1.0]]], [[0.0] * 3]), learning_rate_init=1e-300, max_iter=1)
    log_P = fit(three, [[1.0], [-1.0], [0.0]], [0, 1, 2]).predict_log_proba([[1000.0]])
    np.testing.assert_allclose(log_P, [[0.0, -1000.0, -2000.0]], atol=1e-9)


def test_one_class_is_a_constant():
    model = fit(bp.MLPClassifier(**SMALL), X, ["only"] * 60)
    assert set(model.predict(X)) == {"only"} and (model.predict_proba(X) == 1.0).all()
    assert model.predict_proba(X).shape == (60, 1) == model.predict_log_proba(X).shape


def test_partial_fit_and_its_classes():
    options = {**SMALL, "batch_size": "auto"}
    model = bp.MLPClassifier(**options)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(X, NAMES)
    model.partial_fit(X[:2], ["yes", "yes"], classes=["yes", "no", "perhaps"])
    before = state(model)
    for y, classes, message in ((NAMES, ["a", "b"], "not the same as on last call"), (["never"] * 60, None, "never"),
                                (BITS, None, "other labels")):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, y, classes=classes)
        assert state(model) == before
    multilabel = bp.MLPClassifier(**options)
    for row in range(4):                                 # single rows, in which a column may be constant
        multilabel.partial_fit(X[row:row + 1], BITS[row:row + 1])
    assert multilabel.predict(X).shape == (60, 3) and multilabel.n_outputs_ == 3
    assert not hasattr(bp.MLPClassifier(solver="lbfgs"), "partial_fit")


@pytest.mark.parametrize("y, message", [(REAL, "Unknown label type: continuous"), (BITS + 1, "Multioutput")], ids=str)
def test_what_are_no_labels(y, message):
    with pytest.raises(ValueError, match=message):
        bp.MLPClassifier().fit(X, y)


@pytest.mark.parametrize("estimator", [bp.MLPClassifier(), bp.Perceptron()], ids=str)
def test_bytes_are_no_labels(estimator):
    with pytest.raises(TypeError, match="y holds bytes.*decode them"):
        estimator.fit(X, NAMES.astype("S"))


@pytest.mark.parametrize("parameters, message", [
    ({"activation": "foo"}, "unknown activation 'foo'; expected one of logistic, identity"),
    ({"activation": ["relu"], "hidden_layer_sizes": (2, 2)}, "activation must be a name or one name per hidden layer"),
    ({"learning_rate": "foo"}, "unknown learning_rate 'foo'; expected one of constant, invscaling, adaptive, step,")])
def test_messages_name_the_estimators_own_parameter(parameters, message):
    with pytest.raises(ValueError, match=message):
        bp.MLPClassifier(**parameters).fit(X, CLASSES)


def test_validation_targets_may_be_sparse():
    Y = np.c_[CLASSES > 0, CLASSES > 1].astype(int)
    model = fit(bp.MLPClassifier(**SMALL), X, sparse.csr_array(Y), X_val=X, y_val=sparse.csr_array(Y))
    assert model.validation_scores_[-1] == model.score(X, Y)


# ---- kinds of rows ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("model", [
    bp.MLPClassifier(**SMALL), bp.MLPRegressor(**SMALL, early_stopping=True),
    bp.MLPClassifier(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=3, random_state=0),
    bp.Perceptron(random_state=0, max_iter=30), bp.Perceptron(random_state=0, average=True, max_iter=4),
    bp.Perceptron(random_state=0, pocket=True, max_iter=4), bp.Perceptron(rule="batch", max_iter=9),
    bp.Perceptron(rule="batch", average=True, max_iter=9), bp.Perceptron(rule="batch", pocket=True, max_iter=9),
], ids=lambda m: " ".join(repr(m).split()))
def test_sparse_rows_give_the_bits_of_dense_ones(container, model, monkeypatch):
    monkeypatch.setattr(_sparse, "BLOCK_BYTES", 8 * X.shape[1] * 7)
    monkeypatch.setattr(_sparse, "MIN_BLOCK", 1)
    rows, weight = np.where(np.abs(X) < 0.7, 0.0, X), np.arange(len(X)) % 4 / 2
    dense = fit(copy.deepcopy(model), rows, CLASSES, sample_weight=weight)
    other = fit(copy.deepcopy(model), container(rows), CLASSES, sample_weight=weight)
    np.testing.assert_array_equal(other.coef_ if hasattr(other, "coef_") else other.coefs_[0],
                                  dense.coef_ if hasattr(dense, "coef_") else dense.coefs_[0])
    assert other.history_.to_dict()["epoch"] == dense.history_.to_dict()["epoch"]
    for use in ("predict", "decision_function"):
        if hasattr(model, use):
            np.testing.assert_array_equal(getattr(other, use)(container(rows)), getattr(dense, use)(rows))


@pytest.mark.parametrize("model", [
    bp.MLPClassifier((4,), max_iter=1, early_stopping=True),
    bp.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=1), bp.Perceptron(max_iter=2),
    bp.Perceptron(rule="batch", max_iter=2),
], ids=lambda m: " ".join(repr(m).split()))
def test_sparse_rows_are_dense_some_at_a_time(model):
    """The dense rows are 320 MB."""
    rows = sparse.random(20_000, 2000, density=1e-3, format="csr", random_state=np.random.default_rng(0))
    y = np.arange(rows.shape[0]) % 2
    tracemalloc.start()
    try:
        fit(copy.deepcopy(model), rows, y).predict(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("rows", [X.tolist(), np.asfortranarray(X), X[::-1][::-1], X.astype(">f8")], ids=type)
def test_layouts_give_the_same_bits(rows):
    plain = fit(bp.MLPClassifier(**SMALL), X, CLASSES)
    model = fit(bp.MLPClassifier(**SMALL), rows, CLASSES)
    np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(model.predict_proba(rows), plain.predict_proba(X))


def test_one_row_is_the_row_of_a_batch():
    model = fit(bp.MLPRegressor(**SMALL), X, np.c_[REAL, -REAL])
    np.testing.assert_array_equal(np.vstack([model.predict(x.reshape(1, -1)) for x in X]), model.predict(X))
    np.testing.assert_array_equal(model.predict(X[:1].astype(np.float32)).shape, (1, 2))


# ---- files -----------------------------------------------------------------------------------------------------------

PARAMETERS = {"hidden_layer_sizes": [3, 2], "activation": ("tanh", "elu"), "n_iter_no_change": np.inf, "alpha": 0,
              "solver": bp.optimizers.AdamW(0.01), "learning_rate": bp.schedules.warm_up(2, then="cosine"),
              "class_weight": {0: 2.0, 1: 1.0, 2: 0.5}, "max_iter": np.int64(4), "clip_norm": np.float64(2.5)}


def test_parameters_come_back_from_a_file(tmp_path):
    model = fit(bp.MLPClassifier(**PARAMETERS, random_state=np.random.RandomState(0), callbacks=[lambda s: None]), X,
                CLASSES)
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    assert type(again) is bp.MLPClassifier
    assert again.get_params() == {**model.get_params(), "random_state": None, "callbacks": None}
    assert type(again.activation) is tuple and type(again.hidden_layer_sizes) is list
    assert vars(again).keys() == vars(model).keys() and again.history_ == model.history_
    model.class_weight = {0: print}
    with pytest.raises(ValueError, match="class_weight is a builtin_function"):
        model.save(tmp_path / "other")


def test_the_perceptron_goes_on_from_a_file(tmp_path):
    options = {"random_state": 0, "max_iter": 3, "average": True}
    model, whole = fit(bp.Perceptron(**options), X, NAMES), fit(bp.Perceptron(**options), X, NAMES)
    model.save(tmp_path / "model")
    again = bp.load(tmp_path / "model")
    assert vars(again).keys() == vars(model).keys() and again.get_params() == model.get_params()
    assert (again.n_iter_, again.n_mistakes_, again.converged_) == (model.n_iter_, model.n_mistakes_, model.converged_)
    for _ in range(3):
        again.partial_fit(X, NAMES)
        whole.partial_fit(X, NAMES)
    np.testing.assert_array_equal(again.coef_, whole.coef_)
    np.testing.assert_array_equal(again.intercept_, whole.intercept_)


@pytest.mark.parametrize("change", [
    lambda p: p.update({"class": "Network"}), lambda p: p.pop("fitted"), lambda p: p["fitted"].pop("loss"),
    lambda p: p["parameters"].update(alpha={"code": "1"}), lambda p: p["parameters"].update(eta=1),
    lambda p: p["fitted"].update(labels="fuzzy"), lambda p: p["fitted"].update(classes=None),
    lambda p: p["fitted"].update(classes={"kind": "int", "labels": [1, 2]}),
    lambda p: p["fitted"].update(progress={"learning_rate": 1.0, "code": 1}),
    lambda p: p["parameters"].update(solver={"optimizer": {"name": "newton"}}),
], ids=range(10))
def test_a_file_that_describes_no_estimator(change, tmp_path):
    model = fit(bp.MLPClassifier(**SMALL), X, CLASSES)
    kind, network, properties = model._file_parts()
    change(properties)
    (tmp_path / "model").write_bytes(model_file.encode(kind, network, properties))
    with pytest.raises(ModelFormatError):
        bp.load(tmp_path / "model")


def test_a_subclass_is_not_saved_as_what_it_is_not(tmp_path):
    class Own(bp.MLPClassifier):
        pass

    with pytest.raises(TypeError, match="got Own"):
        fit(Own(**SMALL), X, CLASSES).save(tmp_path / "model")
    assert set(_estimator_file.CLASSES) == {"MLPClassifier", "MLPRegressor", "Perceptron"}
    with pytest.raises(ValueError, match="not fitted"):
        bp.MLPClassifier().save(tmp_path / "model")


# ---- without scikit-learn --------------------------------------------------------------------------------------------

WITHOUT = """
import sys, warnings
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sklearn", "scipy", "pandas", "polars", "joblib"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
warnings.simplefilter("ignore")
import numpy as np, pickle
import backprop as bp
X, y = bp.data.digits()
X, classes = X[:300], y[:300]
options = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.01, "random_state": 0}
for model in (bp.MLPClassifier(**options), bp.MLPRegressor(**options, activation="tanh", early_stopping=True),
              bp.Perceptron(max_iter=5, random_state=0)):
    before = repr(model)
    y = X[:, 20] + X[:, 30] if "Regressor" in before else classes
    assert model.fit(X, y) is model and repr(model) == before and model.get_params()["random_state"] == 0
    score = model.score(X, y)
    assert abs(model.score(X, y, sample_weight=np.ones(300)) - score) < 1e-12 and score > 0.3, score
    model.save("model")
    for other in (bp.load("model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict(X), model.predict(X)), before
    for targets in ([[1.0, 2.0, 3.0], [4.0]], np.ones((300, 0)), np.ones((300, 2, 1)), "texts", [None] * 300):
        for call in (model.fit, model.score):
            try:
                call(X, targets)
            except (TypeError, ValueError) as error:
                assert str(error).startswith("y "), error
                continue
            raise AssertionError(targets)
    for call, error in ((lambda: type(model)().predict(X), bp.errors.NotFittedError),
                        (lambda: model.set_params(speed=1), ValueError), (lambda: model.predict(X[:, 1:]), ValueError),
                        (lambda: model.fit(X, None), ValueError), (lambda: model.fit(X, y[1:]), ValueError),
                        (lambda: model.score(X, y[1:]), ValueError),
                        (lambda: model.score(X, y, sample_weight=[1.0]), ValueError)):
        try:
            call()
        except error:
            continue
        raise AssertionError(error)
    assert np.array_equal(model.predict(X), other.predict(X))
assert not hasattr(bp.MLPClassifier(solver="lbfgs"), "partial_fit")
assert "sklearn" not in sys.modules
"""


def test_without_scikit_learn(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(bp.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, env=environment, capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stderr


def test_importing_the_library_does_not_import_scikit_learn():
    environment = {**os.environ, "PYTHONPATH": str(Path(bp.__file__).parents[1])}
    code = "import sys, backprop; assert not {'sklearn', 'backprop._estimator_base'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


# ---- accuracy --------------------------------------------------------------------------------------------------------

def accuracies(load, cls_name, seeds, **options):
    """Mean test scores of ours and of scikit-learn's over seeds, of the same splits."""
    from sklearn import neural_network
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, y = load(return_X_y=True)
    scores = []
    for seed in range(seeds):
        A, B, a, b = train_test_split(data, y, test_size=0.3, random_state=seed)
        scores.append([fit(make_pipeline(StandardScaler(), getattr(module, cls_name)(random_state=seed, **options)), A,
                           a).score(B, b) for module in (bp, neural_network)])
    return np.mean(scores, axis=0)


TASKS = [("load_digits", "MLPClassifier", {"max_iter": 40}), ("load_breast_cancer", "MLPClassifier", {}),
         ("load_wine", "MLPClassifier", {}),
         ("load_diabetes", "MLPRegressor", {"solver": "sgd", "learning_rate_init": 1e-3, "hidden_layer_sizes": (20,)})]


@pytest.mark.slow
@pytest.mark.parametrize("name, cls_name, options", TASKS, ids=[task[0] for task in TASKS])
def test_ten_seeds_score_as_scikit_learn(name, cls_name, options):
    from sklearn import datasets

    ours, theirs = accuracies(getattr(datasets, name), cls_name, 10, **options)
    assert abs(ours - theirs) <= 0.01 and ours > 0.3


@pytest.mark.parametrize("name, cls_name", [("load_wine", "MLPClassifier")])
def test_three_seeds_score_as_scikit_learn(name, cls_name):
    from sklearn import datasets

    ours, theirs = accuracies(getattr(datasets, name), cls_name, 3, max_iter=60)
    assert abs(ours - theirs) <= 0.01 and ours > 0.9


FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.exists(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_fashion_mnist_scores_as_scikit_learn():
    from sklearn.neural_network import MLPClassifier

    train, test = (bp.data.load(FASHION / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k"))
    scores = [[fit(cls((30,), max_iter=6, random_state=seed), train.X / 255, train.y).score(test.X / 255, test.y)
               for cls in (bp.MLPClassifier, MLPClassifier)] for seed in range(10)]
    ours, theirs = np.mean(scores, axis=0)
    assert abs(ours - theirs) <= 0.01 and ours > 0.8


def test_slices_of_time_change_no_bit(monkeypatch):
    whole = fit(bp.MLPClassifier(**SMALL), X, CLASSES)
    monkeypatch.setattr(training, "SLICE_SECONDS", 1e-9)
    np.testing.assert_array_equal(fit(bp.MLPClassifier(**SMALL), X, CLASSES).coefs_[0], whole.coefs_[0])
