"""The perceptron against hand computation, a plain NumPy twin, scikit-learn, and its theorems."""

import doctest
import importlib
import pickle
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Perceptron as SklearnPerceptron

import hypotheses
from backprop import _dispatch, _sparse, perceptron
from backprop.errors import DivergenceError
from backprop.perceptron import Perceptron

CORES = {name: importlib.import_module(_dispatch.MODULES[name]) for name in _dispatch.available()}

HAND_X = np.array([[2.0, 1.0], [1.0, 3.0], [-1.0, 1.0], [1.0, -1.0]])
HAND_Y = np.array([1, 1, -1, -1])
XOR_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = np.array([0, 1, 1, 0])


def quiet_fit(model, *args, **kwargs):
    """fit without the ConvergenceWarning that a test expects and does not look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def noisy(seed, n=80, d=5, flip=0.15):
    """Data that no hyperplane separates."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=d) > 0.1) ^ (rng.random(n) < flip)
    return X, y.astype(int)


def separable(seed, n, d, gap):
    """X, y in {-1, +1} and a unit vector (u, u_0) with y (u·x + u_0) >= gap for every row."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=d + 1)
    u /= np.linalg.norm(u)
    X = rng.uniform(-1, 1, size=(n, d))
    y = np.where(X @ u[:-1] + u[-1] > 0, 1.0, -1.0)
    distance = y * (X @ u[:-1] + u[-1])
    short = np.maximum(0, gap - distance) / max(1e-3, u[:-1] @ u[:-1])
    return X + (y * short)[:, None] * u[:-1], y, u


# ---- the twin: the definitions, in plain NumPy -----------------------------------------------------------------------

def twin(X, y, rule="stochastic", eta0=1.0, epochs=5, fit_intercept=True, weight=None):
    """Every weight vector that training passes, one problem, y in {-1, +1}, rows in their order.

    Returns w_b (updates + 1, d + 1); visits: index into w_b after each visit (stochastic) or epoch (batch);
    error and mistakes per epoch.
    """
    X = np.c_[X, np.full(len(X), float(fit_intercept))]
    c = np.ones(len(X)) if weight is None else weight
    w, passed, visits, errors, mistakes = np.zeros(X.shape[1]), [], [], [], []
    passed.append(w)
    for _ in range(epochs):
        error = count = 0
        if rule == "batch":
            margin = y * (X @ w)
            wrong = margin <= 0
            error, count = -(c * margin)[wrong].sum(), wrong.sum()
            w = w + eta0 * (c * y)[wrong] @ X[wrong]
            passed.append(w)
            visits.append(len(passed) - 1)
        else:
            for i in range(len(X)):
                margin = y[i] * (w @ X[i])
                if margin <= 0:
                    error, count = error - c[i] * margin, count + 1
                    w = w + eta0 * c[i] * y[i] * X[i]
                    passed.append(w)
                visits.append(len(passed) - 1)
        errors.append(error)
        mistakes.append(count)
        if count == 0:
            break
    return np.array(passed), visits, errors, mistakes


def parameters(model):
    return np.c_[model.coef_, model.intercept_]


# ---- by hand ---------------------------------------------------------------------------------------------------------

def test_stochastic_run_worked_by_hand():
    # x_1 = (2, 1), x_2 = (1, 3) are +1; x_3 = (-1, 1), x_4 = (1, -1) are -1; η = 1; d = y (w·x + b).
    # epoch 1, from w = (0, 0), b = 0:
    #   x_1: d =  0               mistake: w = (2, 1), b = 1
    #   x_2: d =  2 + 3 + 1 = 6
    #   x_3: d = -(-2 + 1 + 1) = 0  mistake: w = (2, 1) - (-1, 1) = (3, 0), b = 0
    #   x_4: d = -(3)             mistake, error 3: w = (3, 0) - (1, -1) = (2, 1), b = -1
    # epoch 2:
    #   x_1: d = 4 + 1 - 1 = 4;  x_2: d = 2 + 3 - 1 = 4;  x_3: d = -(-2 + 1 - 1) = 2
    #   x_4: d = -(2 - 1 - 1) = 0   mistake: w = (1, 2), b = -2
    # epoch 3: d = 2 + 2 - 2 = 2, 1 + 6 - 2 = 5, -(-1 + 2 - 2) = 1, -(1 - 2 - 2) = 3: none is a mistake.
    p = Perceptron(shuffle=False).fit(HAND_X, HAND_Y)
    assert p.coef_.tolist() == [[1.0, 2.0]] and p.intercept_.tolist() == [-2.0]
    assert p.history_.to_dict() == {"epoch": [0, 1, 2], "error": [3.0, 0.0, 0.0], "mistakes": [3, 1, 0]}
    assert (p.n_iter_, p.n_mistakes_, p.converged_, p.n_features_in_) == (3, 4, True, 2)
    assert p.margin(HAND_X, HAND_Y).tolist() == [2.0, 5.0, 1.0, 3.0]
    assert p.decision_function(HAND_X).tolist() == [2.0, 5.0, -1.0, -3.0]
    assert p.error(HAND_X, HAND_Y) == 0
    np.testing.assert_allclose(p.signed_distance(HAND_X), np.array([2, 5, -1, -3]) / np.sqrt(5), rtol=1e-15)
    # with the labels turned round, every row is a mistake and error(w, b) = 2 + 5 + 1 + 3
    assert p.error(HAND_X, -HAND_Y) == 11 and p.error(HAND_X, -HAND_Y, [1, 0, 2, 0]) == 4


def test_batch_run_worked_by_hand():
    # epoch 1, from 0: all d = 0, all four are mistakes, error 0:
    #   w = (2, 1) + (1, 3) - (-1, 1) - (1, -1) = (3, 4), b = 1 + 1 - 1 - 1 = 0
    # epoch 2: d = 10, 15, -(-3 + 4) = -1, -(3 - 4) = 1: only x_3, error 1: w = (3, 4) - (-1, 1) = (4, 3), b = -1
    # epoch 3: d = 10, 12, -(-4 + 3 - 1) = 2, -(4 - 3 - 1) = 0: only x_4, error 0: w = (4, 3) - (1, -1) = (3, 4), b = -2
    # epoch 4: d = 8, 13, 1, 3: none
    p = Perceptron(rule="batch").fit(HAND_X, HAND_Y)
    assert p.coef_.tolist() == [[3.0, 4.0]] and p.intercept_.tolist() == [-2.0]
    assert p.history_.error == [0.0, 1.0, 0.0, 0.0] and p.history_.mistakes == [4, 1, 1, 0]
    assert p.converged_ and p.n_iter_ == 4 and p.n_mistakes_ == 6


def test_average_by_hand():
    # w after the 12 visits of the stochastic run: (2, 1), (2, 1), (3, 0), (2, 1) | (2, 1) three times, (1, 2) |
    # (1, 2) four times; b: 1, 1, 0, -1 | -1, -1, -1, -2 | -2 four times.
    p = Perceptron(shuffle=False, average=True).fit(HAND_X, HAND_Y)
    np.testing.assert_allclose(p.coef_, [[(3 * 2 + 3 + 3 * 2 + 5) / 12, (3 + 0 + 3 + 5 * 2) / 12]], rtol=1e-15)
    np.testing.assert_allclose(p.intercept_, [(1 + 1 + 0 - 1 - 3 - 5 * 2) / 12], rtol=1e-15)


def test_signs_of_the_update_reduce_the_error():
    """The erratum: -∂error/∂w = Σ y x, so that a step down the gradient lowers the error that the wrong sign raises."""
    p = Perceptron(rule="batch", max_iter=1, eta0=1e-3)
    X, y = noisy(3)
    w = quiet_fit(p, X, y)
    s = np.where(y == 1, 1.0, -1.0)
    np.testing.assert_allclose(p.coef_[0], 1e-3 * s @ X, rtol=1e-12)
    np.testing.assert_allclose(p.intercept_[0], 1e-3 * s.sum(), rtol=1e-12)
    before = w.error(X, y)
    d = s * w.decision_function(X)
    np.testing.assert_allclose(before, -d[d <= 0].sum(), rtol=1e-12)
    step = 1e-6 * (s * (d <= 0)) @ X
    w.coef_ = w.coef_ + step
    assert w.error(X, y) < before
    w.coef_ = w.coef_ - 2 * step
    assert w.error(X, y) > before


# ---- kernels against the twin ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("d", [2, 20, 40])
def test_thousands_of_mistakes_are_counted_one_by_one(core, d, monkeypatch):
    monkeypatch.setattr(perceptron, "core", core)
    generator = np.random.default_rng(d)
    X, y = generator.integers(-3, 4, (4000, d)).astype(float), generator.integers(0, 2, 4000)
    p = quiet_fit(Perceptron(max_iter=1, shuffle=False), X, y)
    passed, _, _, mistakes = twin(X, 2.0 * y - 1, epochs=1)
    assert p.history_.mistakes == mistakes and mistakes[0] > 1100
    assert parameters(p)[0].tolist() == passed[-1].tolist()          # whole numbers: exactly


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("rule", perceptron.RULES)
@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 29, 64])
def test_kernels_equal_the_twin(core, rule, d, monkeypatch):
    monkeypatch.setattr(perceptron, "core", core)
    X, y = noisy(d, n=61, d=d)
    weight = np.random.default_rng(d).integers(1, 5, 61) / 2
    for fit_intercept in (True, False):
        for sample_weight in (None, weight):
            p = quiet_fit(Perceptron(rule, eta0=0.3, max_iter=7, shuffle=False, fit_intercept=fit_intercept), X, y,
                          sample_weight)
            passed, _, errors, mistakes = twin(X, 2.0 * y - 1, rule, 0.3, 7, fit_intercept, sample_weight)
            scale = np.abs(passed[-1]).max()
            assert scale > 0
            np.testing.assert_allclose(parameters(p)[0], passed[-1], rtol=1e-12, atol=1e-12 * scale)
            np.testing.assert_allclose(p.history_.error, errors, rtol=1e-10, atol=1e-12)
            assert p.history_.mistakes == mistakes and sum(mistakes) > 7
            assert fit_intercept or p.intercept_[0] == 0
            np.testing.assert_allclose(p.decision_function(X), X @ passed[-1][:-1] + passed[-1][-1] * fit_intercept,
                                       rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("rule", perceptron.RULES)
@pytest.mark.parametrize("seed", range(4))
def test_average_equals_the_mean_over_all_visits(rule, seed):
    X, y = noisy(seed)
    p = quiet_fit(Perceptron(rule, max_iter=9, shuffle=False, average=True), X, y)
    passed, visits, _, _ = twin(X, 2.0 * y - 1, rule, epochs=9)
    np.testing.assert_allclose(parameters(p)[0], passed[visits].mean(axis=0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", perceptron.RULES)
@pytest.mark.parametrize("options", [{}, {"average": True}, {"pocket": True}], ids=str)
def test_each_of_many_classes_is_the_problem_of_it_against_the_rest(rule, options):
    rng = np.random.default_rng(8)
    X, y = rng.normal(size=(80, 5)), rng.integers(0, 4, 80)
    p = quiet_fit(Perceptron(rule, max_iter=7, shuffle=False, **options), X, y)
    for c in range(4):
        alone = quiet_fit(Perceptron(rule, max_iter=7, shuffle=False, **options), X, y == c)
        assert np.abs(alone.coef_).max() > 0.1
        np.testing.assert_array_equal(p.coef_[c], alone.coef_[0])
        np.testing.assert_array_equal(p.intercept_[c], alone.intercept_[0])


@pytest.mark.parametrize("rule", perceptron.RULES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_pocket_keeps_the_first_weights_with_fewest_errors(rule, weighted, seed):
    X, y = noisy(seed, n=40, d=3, flip=0.2)
    s = 2.0 * y - 1
    weight = np.random.default_rng(seed).integers(1, 4, 40).astype(float) if weighted else None
    passed = twin(X, s, rule, epochs=6, weight=weight)[0]
    wrong = s[:, None] * (np.c_[X, np.ones(40)] @ passed.T) <= 0
    errors = (np.ones(40) if weight is None else weight) @ wrong
    p = quiet_fit(Perceptron(rule, max_iter=6, shuffle=False, pocket=True), X, y, weight)
    np.testing.assert_allclose(parameters(p)[0], passed[np.argmin(errors)], rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not {"v3", "v4"} <= set(CORES), reason="needs a processor with AVX-512")
@pytest.mark.parametrize("options", [{}, {"rule": "batch"}, {"average": True}, {"pocket": True}], ids=str)
def test_v3_and_v4_give_the_same_bits(options, monkeypatch):
    bits = {}
    for name in ("v3", "v4"):
        monkeypatch.setattr(perceptron, "core", CORES[name])
        bits[name] = []
        for d in (1, 3, 4, 8, 13, 30, 67):
            X, y = noisy(d, n=50, d=d)
            p = quiet_fit(Perceptron(eta0=0.1, max_iter=20, random_state=1, **options), X, y)
            bits[name] += [p.coef_.tobytes(), p.intercept_.tobytes(), p.decision_function(X).tobytes(),
                           np.array(p.history_.error).tobytes()]
    assert bits["v3"] == bits["v4"]


@pytest.mark.parametrize("options", [{}, {"rule": "batch"}, {"average": True}, {"pocket": True},
                                     {"pocket": True, "rule": "batch"}], ids=str)
def test_slices_and_blocks_change_no_bit(options, monkeypatch):
    """However a run is cut into kernel calls, in mid-epoch and in mid-count too; three classes and two."""
    X, y = load_iris(return_X_y=True)
    for labels in (y, y > 1):
        runs = []
        for cut, block in ((2**24, 2**16), (1, 1), (100, 2**16), (3000, 600)):
            monkeypatch.setattr(perceptron, "SLICE", cut)
            monkeypatch.setattr(perceptron, "BLOCK", block)
            p = quiet_fit(Perceptron(max_iter=9, random_state=0, **options), X, labels)
            runs.append((parameters(p).tobytes(), p.decision_function(X).tobytes(), str(p.history_)))
        assert len(set(runs)) == 1


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_features_in_registers_give_the_bits_of_many(core, fit_intercept, weighted, monkeypatch):
    """Up to 32 features have a kernel of their own; columns of zeros, which change no sum, lead to the general one."""
    monkeypatch.setattr(perceptron, "core", core)
    for d in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 24, 25, 31, 32):
        X, y = noisy(d, n=120, d=d)
        X[::7] = 0.0                                 # margin 0 or b: mistakes that change nothing but the bias
        weight = np.random.default_rng(d).integers(0, 4, len(y)) / 3.0 if weighted else None
        runs = []
        for columns in (X, np.c_[X, np.zeros((len(X), 33))]):
            p = quiet_fit(Perceptron(eta0=0.3, max_iter=25, random_state=3, fit_intercept=fit_intercept), columns, y,
                          sample_weight=weight)
            runs.append((p.coef_[:, :d].tobytes(), p.intercept_.tobytes(), p.n_mistakes_, str(p.history_)))
            assert p.n_mistakes_ > 0
            assert not p.coef_[:, d:].any()
        assert runs[0] == runs[1]


@pytest.mark.parametrize("options, count", [({}, 0), ({"average": True}, 0), ({"rule": "batch"}, 0),
                                            ({"pocket": True}, 1)], ids=str)
def test_a_call_of_the_core_ends_where_its_budget_does(options, count, monkeypatch):
    """A budget of one step: as many calls as visits, and where there is a pocket, as rows of its counts besides."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4))
    X, y = np.r_[X + 9, -X - 9], np.repeat([1, -1], 50)
    calls = []

    class Counted:
        def __getattr__(self, name):
            def call(*arguments):
                calls.append(name)
                return getattr(_dispatch.core, name)(*arguments)
            return call

    monkeypatch.setattr(perceptron, "core", Counted())
    monkeypatch.setattr(perceptron, "SLICE", 1)
    p = quiet_fit(Perceptron(max_iter=3, random_state=0, **options), X, y)
    assert len(calls) >= p.n_iter_ * len(X) + count * len(X)


# ---- theorems --------------------------------------------------------------------------------------------------------

@hypotheses.examples(150)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 60), d=st.integers(1, 12), gap=st.floats(0.05, 0.5),
       eta0=st.floats(0.01, 100))
def test_mistakes_are_at_most_radius_over_margin_squared(seed, n, d, gap, eta0):
    X, y, u = separable(seed, n, d, gap)
    augmented = np.c_[X, np.ones(n)]             # the bias is the weight of a constant 1
    gamma = (y * (augmented @ u)).min()
    if len(set(y)) < 2 or gamma < 1e-3:
        return
    radius = np.linalg.norm(augmented, axis=1).max()
    bound = (radius / gamma) ** 2
    p = quiet_fit(Perceptron(eta0=eta0, max_iter=int(min(bound, 20_000)) + 2, random_state=seed), X, y)
    assert p.n_mistakes_ <= bound
    if bound < 20_000:                           # each epoch but the last makes a mistake
        assert p.converged_ and p.score(X, y) == 1 and (p.margin(X, y) > 0).all() and p.error(X, y) == 0


@pytest.mark.parametrize("options", [{}, {"rule": "batch"}, {"average": True}, {"pocket": True}], ids=str)
def test_xor_is_not_learnt(options):
    with pytest.warns(ConvergenceWarning) as caught:
        p = Perceptron(max_iter=200, random_state=0, **options).fit(XOR_X, XOR_Y)
    assert len(caught) == 1 and "max_iter=200" in str(caught[0].message) and caught[0].filename == __file__
    assert not p.converged_ and p.n_iter_ == 200 and p.score(XOR_X, XOR_Y) <= 0.75
    assert min(p.history_.mistakes) > 0


@pytest.mark.parametrize("table", range(1, 15))
def test_converges_if_and_only_if_separable(table):
    """Of the 14 functions of two bits that are not constant, all but XOR and its negation."""
    y = np.array([table >> i & 1 for i in range(4)])
    p = quiet_fit(Perceptron(max_iter=100, random_state=0), XOR_X, y)
    assert p.converged_ == (table not in (6, 9)) == (p.score(XOR_X, y) == 1)


@hypotheses.examples(40)
@given(seed=st.integers(0, 2**32), flip=st.floats(0, 0.4), rule=st.sampled_from(perceptron.RULES))
def test_pocket_is_never_worse_than_the_last_weights(seed, flip, rule):
    X, y = noisy(seed, flip=flip)
    if len(set(y)) < 2:
        return
    last = quiet_fit(Perceptron(rule, max_iter=5, random_state=seed), X, y)
    pocket = quiet_fit(Perceptron(rule, max_iter=5, random_state=seed, pocket=True), X, y)
    assert (pocket.margin(X, y) <= 0).sum() <= (last.margin(X, y) <= 0).sum()
    assert pocket.history_ == last.history_


@pytest.mark.parametrize("rule", perceptron.RULES)
@pytest.mark.parametrize("options", [{}, {"average": True}, {"pocket": True}], ids=str)
def test_eta0_scales_the_weights_and_nothing_else(rule, options):
    X, y = noisy(5)
    one = quiet_fit(Perceptron(rule, max_iter=8, random_state=2, **options), X, y)
    for eta0 in (2.0**-9, 4.0):                  # powers of two scale without rounding
        p = quiet_fit(Perceptron(rule, eta0, max_iter=8, random_state=2, **options), X, y)
        assert (parameters(p) == eta0 * parameters(one)).all() and p.history_.mistakes == one.history_.mistakes


@pytest.mark.parametrize("rule", perceptron.RULES)
def test_permutations(rule):
    X, y = noisy(6)
    rng = np.random.default_rng(0)
    columns, rows = rng.permutation(X.shape[1]), rng.permutation(len(X))
    plain = quiet_fit(Perceptron(rule, max_iter=8, shuffle=False), X, y)
    by_column = quiet_fit(Perceptron(rule, max_iter=8, shuffle=False), X[:, columns], y)
    np.testing.assert_allclose(by_column.coef_, plain.coef_[:, columns], rtol=1e-12, atol=1e-12)
    by_row = quiet_fit(Perceptron(rule, max_iter=8, shuffle=False), X[rows], y[rows])
    same = np.allclose(by_row.coef_, plain.coef_, rtol=1e-12, atol=1e-12)
    assert same == (rule == "batch")             # a sum does not see the order; one after the other does
    np.testing.assert_array_equal(plain.decision_function(X)[rows], plain.decision_function(X[rows]))
    assert plain.decision_function(X[:1])[0] == plain.decision_function(X)[0]


def test_turning_the_labels_round_turns_the_weights_round():
    X, y = noisy(7)
    p, q = (quiet_fit(Perceptron(max_iter=5, random_state=0), X, labels) for labels in (y, 1 - y))
    assert (parameters(p) == -parameters(q)).all()


def test_weights_of_examples():
    X, y = noisy(8)
    copies = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = quiet_fit(Perceptron("batch", max_iter=9), X, y, copies)
    repeated = quiet_fit(Perceptron("batch", max_iter=9), np.repeat(X, copies, axis=0), np.repeat(y, copies))
    np.testing.assert_allclose(parameters(weighted), parameters(repeated), rtol=1e-11, atol=1e-11)
    kept = quiet_fit(Perceptron(max_iter=9, random_state=1), X, y, (copies > 0).astype(float))
    removed = quiet_fit(Perceptron(max_iter=9, random_state=1), X[copies > 0], y[copies > 0])
    assert (parameters(kept) == parameters(removed)).all() and kept.history_ == removed.history_
    doubled = quiet_fit(Perceptron(max_iter=9, random_state=1), X, y, np.full(len(X), 2.0))
    plain = quiet_fit(Perceptron(max_iter=9, random_state=1), X, y)
    assert (parameters(doubled) == 2 * parameters(plain)).all()
    with pytest.raises(ValueError, match="two classes"):
        Perceptron().fit(X, y, (y == 1).astype(float))


def test_class_weight():
    X, y = noisy(9)
    names = np.where(y == 1, "yes", "no")
    by_class = quiet_fit(Perceptron(max_iter=6, random_state=0, class_weight={"yes": 3.0}), X, names)
    by_row = quiet_fit(Perceptron(max_iter=6, random_state=0), X, names, np.where(y == 1, 3.0, 1.0))
    assert (parameters(by_class) == parameters(by_row)).all()
    balanced = quiet_fit(Perceptron(max_iter=6, random_state=0, class_weight="balanced"), X, names)
    n, share = len(y), y.sum()
    by_dict = quiet_fit(Perceptron(max_iter=6, random_state=0,
                                   class_weight={"yes": n / (2 * share), "no": n / (2 * (n - share))}), X, names)
    assert (parameters(balanced) == parameters(by_dict)).all()


# ---- several classes -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"rule": "batch"}, {"pocket": True}], ids=str)
def test_one_versus_rest_is_one_perceptron_per_class(options):
    X, y = load_iris(return_X_y=True)
    p = quiet_fit(Perceptron(max_iter=15, shuffle=False, **options), X, y)
    assert p.coef_.shape == (3, 4) and p.intercept_.shape == (3,) and p.decision_function(X).shape == (150, 3)
    mistakes = 0
    for c in range(3):
        alone = quiet_fit(Perceptron(max_iter=15, shuffle=False, **options), X, y == c)
        assert (parameters(p)[c] == parameters(alone)[0]).all()
        mistakes += alone.n_mistakes_
    assert p.n_mistakes_ == mistakes
    assert (p.predict(X) == p.decision_function(X).argmax(axis=1)).all()
    margin = p.margin(X, y)
    assert margin.shape == (150,) and ((margin > 0) == (p.predict(X) == y)).all()
    column = p.predict(X)
    distance = p.decision_function(X)[np.arange(150), column] / np.linalg.norm(p.coef_, axis=1)[column]
    np.testing.assert_allclose(p.signed_distance(X), distance, rtol=1e-13)
    d = np.where(y[:, None] == np.arange(3), 1, -1) * p.decision_function(X)
    np.testing.assert_allclose(p.error(X, y), -d[d <= 0].sum(), rtol=1e-12)


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [-1, 1], [7, 3], [5.0, -2.0], ["b", "a", "c"],
                                    np.array(["x", "y"], object)], ids=str)
def test_labels_of_any_kind(labels):
    labels = np.asarray(labels)
    X = np.eye(len(labels))
    p = Perceptron(random_state=0).fit(np.tile(X, (3, 1)), np.tile(labels, 3))
    assert p.classes_.tolist() == sorted(labels.tolist())
    assert p.predict(X).tolist() == labels.tolist() and p.predict(X).dtype == np.array(labels.tolist()).dtype
    assert p.score(X, labels) == 1 and p.score(X, np.roll(labels, 1)) == 0
    if len(labels) == 2:
        assert (p.decision_function(X) > 0).tolist() == [label == p.classes_[1] for label in labels]


# ---- scikit-learn as oracle ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("eta0", [1.0, 0.1])
@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_same_weights_as_scikit_learn(load, eta0):
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    p = quiet_fit(Perceptron(eta0=eta0, max_iter=12, shuffle=False), X, y)
    peer = quiet_fit(SklearnPerceptron(eta0=eta0, max_iter=12, shuffle=False, tol=None), X, y)
    np.testing.assert_allclose(p.coef_, peer.coef_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(p.intercept_, peer.intercept_, rtol=1e-9, atol=1e-9)
    assert (p.predict(X) == peer.predict(X)).all() and p.score(X, y) == peer.score(X, y) > 0.5


# ---- runs ------------------------------------------------------------------------------------------------------------

def test_the_same_seed_gives_the_same_bits():
    X, y = noisy(10)
    fits = [quiet_fit(Perceptron(max_iter=6, random_state=seed), X, y)
            for seed in (3, 3, np.random.default_rng(3), 4)]
    bits = [parameters(p).tobytes() for p in fits]
    assert bits[0] == bits[1] == bits[2] != bits[3]
    assert parameters(quiet_fit(fits[0], X, y)).tobytes() == bits[0]


def test_shorter_training_is_the_start_of_longer_training():
    X, y = noisy(11)
    long = quiet_fit(Perceptron(max_iter=50, random_state=0), X, y).history_
    short = quiet_fit(Perceptron(max_iter=13, random_state=0), X, y).history_
    assert long.mistakes[:13] == short.mistakes and long.error[:13] == short.error


@pytest.mark.parametrize("options", [{}, {"rule": "batch"}, {"average": True}, {"pocket": True}], ids=str)
def test_partial_fit_epoch_by_epoch_is_fit(options):
    X, y = noisy(12)
    whole = quiet_fit(Perceptron(max_iter=7, random_state=0, **options), X, y)
    parts = Perceptron(random_state=0, **options)
    for _ in range(7):
        assert parts.partial_fit(X, y, classes=[0, 1]) is parts
    np.testing.assert_array_equal(parameters(whole), parameters(parts))
    assert (whole.n_iter_, whole.n_mistakes_, whole.history_) == (parts.n_iter_, parts.n_mistakes_, parts.history_)


def test_partial_fit_learns_a_class_it_has_not_seen_yet():
    p = Perceptron(shuffle=False).partial_fit([[1.0], [2.0]], ["up", "up"], classes=["up", "down", "flat"])
    assert p.classes_.tolist() == ["down", "flat", "up"] and p.predict([[3.0]]) == ["up"]
    p.partial_fit([[-2.0]] * 2, ["down", "down"])
    assert p.predict([[-2.0]]) == ["down"]


def test_partial_fit_refuses_and_changes_nothing():
    X, y = noisy(13)
    p = Perceptron(random_state=0)
    with pytest.raises(ValueError, match="classes"):
        p.partial_fit(X, y)
    with pytest.raises(ValueError, match="unknown label 2 at row 0"):
        p.partial_fit(X[:1], [2], classes=[0, 1])
    assert not hasattr(p, "coef_")
    p.partial_fit(X, y, classes=[0, 1])
    before = pickle.dumps(p)
    for arguments, message in (((X[:2], [0, 5]), "unknown label 5 at row 1"), ((X[:2], ["a", "b"]), "unknown label"),
                               ((X[:2], [0, 1], [0, 1, 2]), "classes"), ((X[:2, :3], [0, 1]), "expecting 5 features"),
                               ((X[:2], [0, 1], None, [-1, 1]), "negative")):
        with pytest.raises(ValueError, match=message):
            p.partial_fit(*arguments)
        assert pickle.dumps(p) == before
    p.set_params(class_weight="balanced")
    with pytest.raises(ValueError, match="balanced"):
        p.partial_fit(X, y)


def test_warm_start_goes_on():
    X, y = noisy(14)
    order = np.random.default_rng(0)
    p = Perceptron(max_iter=4, random_state=order, warm_start=True)
    quiet_fit(quiet_fit(p, X, y), X, y)
    whole = quiet_fit(Perceptron(max_iter=8, random_state=np.random.default_rng(0)), X, y)
    assert (parameters(p) == parameters(whole)).all() and p.n_iter_ == 4
    assert p.history_.mistakes == whole.history_.mistakes[4:]
    with pytest.raises(ValueError, match="warm_start"):
        p.fit(X, y + 1)
    with pytest.raises(ValueError, match="expecting 5 features"):
        p.fit(X[:, :2], y)


@pytest.mark.parametrize("rule", perceptron.RULES)
def test_tol_stops_without_a_warning(rule):
    X, y = noisy(15)
    p = Perceptron(rule, tol=0.0, random_state=0).fit(X, y)
    assert not p.converged_ and p.n_iter_ < 1000
    counted = [error for error in p.history_.error if error > 0]
    best = np.minimum.accumulate(counted)
    assert best[-6] == best[-1]                  # five epochs without a better one
    assert all(best[i + 5] < best[i] for i in range(len(best) - 6))
    assert Perceptron(rule, tol=1e300, random_state=0).fit(X, y).n_iter_ <= 7


def test_the_gil_is_released():
    X, y = noisy(0, n=200_000, d=20)
    stop, counted = threading.Event(), [0]

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)

    p = Perceptron("batch", max_iter=30)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        counted[0], start = 0, time.perf_counter()
        quiet_fit(p, X, y)
        seconds, seen = time.perf_counter() - start, counted[0]
    finally:
        stop.set()
        thread.join()
    assert seconds > 0.05 and seen > 2000 * seconds    # a held GIL would let it in once per kernel call


def test_a_kernel_call_is_short_enough_for_ctrl_c(monkeypatch):
    """No kernel call lasts longer than a fraction of the 0.5 s within which an interrupt must land."""
    class Timed:
        longest = 0.0

        def __getattr__(self, name):
            def call(*args):
                start = time.thread_time()
                status = getattr(_dispatch.core, name)(*args)
                self.longest = max(self.longest, time.thread_time() - start)
                return status
            return call

    timed = Timed()
    monkeypatch.setattr(perceptron, "core", timed)
    X, y = noisy(0, n=100_000, d=100, flip=0.02)
    quiet_fit(Perceptron(pocket=True, max_iter=1, random_state=0), X[:4000], y[:4000])
    quiet_fit(Perceptron("batch", max_iter=3), X, y).predict(X)
    assert 0 < timed.longest < 0.25


@pytest.mark.parametrize("options", [{}, {"pocket": True}, {"rule": "batch"}], ids=str)
def test_an_interrupted_fit_changes_nothing(options, monkeypatch):
    X, y = noisy(16)
    generator = np.random.default_rng(0)
    p = quiet_fit(Perceptron(max_iter=5, random_state=generator, **options), X, y)
    before = pickle.dumps(p)

    class Interrupted:
        calls = 0

        def __getattr__(self, name):
            self.calls += 1
            if self.calls > 4:
                raise KeyboardInterrupt
            return getattr(_dispatch.core, name)

    monkeypatch.setattr(perceptron, "core", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        p.set_params(max_iter=1000).fit(X, y)
    assert pickle.dumps(p.set_params(max_iter=5)) == before


@pytest.mark.parametrize("X", [[[1e200], [-1e200]], [[1e308, 1e308], [-1e308, 1e308]]], ids=["square", "sum"])
@pytest.mark.parametrize("rule", perceptron.RULES)
def test_overflow_raises_and_changes_nothing(X, rule):
    p = Perceptron(rule, eta0=1e200)
    with pytest.raises(DivergenceError, match="epoch 0"):
        p.fit(X, [0, 1])
    assert not hasattr(p, "coef_")


# ---- the estimator ---------------------------------------------------------------------------------------------------

def test_parameters_are_stored_unchanged_and_cloned():
    weights = {0: 2.0}
    p = Perceptron("batch", 0.5, class_weight=weights, max_iter=3)
    assert p.class_weight is weights and p.get_params()["class_weight"] is weights and len(p.get_params()) == 19
    copy = clone(p)
    assert copy.get_params() == p.get_params() and copy is not p
    assert p.set_params(eta0=2) is p and p.eta0 == 2
    with pytest.raises(ValueError, match="Invalid parameter 'eta'"):
        p.set_params(tol=1.0, eta=1)
    assert p.tol is None
    assert repr(p) == "Perceptron(class_weight={0: 2.0}, eta0=2, max_iter=3, rule='batch')"
    assert repr(Perceptron()) == "Perceptron()"


def test_pickle_goes_on_where_it_was():
    X, y = noisy(17)
    p = quiet_fit(Perceptron(max_iter=3, random_state=0, average=True), X, y)
    q = pickle.loads(pickle.dumps(p))
    assert (parameters(p.partial_fit(X, y)) == parameters(q.partial_fit(X, y))).all()


@pytest.mark.parametrize("call", ["predict", "decision_function", "signed_distance"])
def test_not_fitted(call):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(Perceptron(), call)([[1.0]])


def test_no_hyperplane_no_distance():
    p = quiet_fit(Perceptron(max_iter=2), [[0.0], [0.0]], [0, 1])
    with pytest.raises(ValueError, match="all zero"):
        p.signed_distance([[1.0]])


def test_distance_of_huge_and_tiny_weights():
    p = Perceptron(shuffle=False).fit([[3.0, 4.0], [-3.0, -4.0]], [1, 0])
    for scale in (1e200, 1e-200):
        p.coef_, p.intercept_ = np.array([[3.0, 4.0]]) * scale, np.array([1.0]) * scale
        np.testing.assert_allclose(p.signed_distance([[3.0, 4.0]]), [5.2], rtol=1e-14)


PARAMETERS = [("rule", "online", ValueError), ("rule", None, TypeError), ("eta0", 0, ValueError),
              ("eta0", -1.0, ValueError), ("eta0", np.nan, ValueError), ("eta0", "1", TypeError),
              ("max_iter", 0, ValueError), ("max_iter", 2.0, TypeError), ("max_iter", True, TypeError),
              ("tol", -1e-3, ValueError), ("tol", np.inf, ValueError), ("tol", "no", TypeError),
              ("shuffle", 1, TypeError), ("fit_intercept", None, TypeError), ("random_state", -1, ValueError),
              ("random_state", 1.5, TypeError), ("average", "yes", TypeError), ("pocket", 0, TypeError),
              ("warm_start", "no", TypeError), ("class_weight", "even", ValueError), ("class_weight", 3, TypeError),
              ("class_weight", {9: 1.0}, ValueError), ("class_weight", {0: -1.0}, ValueError),
              ("class_weight", {0: "1"}, TypeError), ("class_weight", {0: 0.0, 1: 0.0}, ValueError)]

DATA = [("X", [[1.0, np.nan], [0, 1]], [0, 1], ValueError, "row 0, column 1"),
        ("X", [[1.0, 2.0], [0, np.inf]], [0, 1], ValueError, "row 1, column 1"),
        ("X", [1.0, 2.0], [0, 1], ValueError, "2-D"), ("X", [[[1.0]]], [0], ValueError, "2-D"),
        ("X", np.empty((0, 2)), [], ValueError, "empty"), ("X", np.empty((2, 0)), [0, 1], ValueError, "empty"),
        ("X", [[1, 2], [3]], [0, 1], ValueError, "ragged"), ("X", [[1j], [2]], [0, 1], ValueError, "complex"),
        ("X", [["a"], ["b"]], [0, 1], TypeError, "numbers"), ("X", None, [0, 1], TypeError, "None"),
        ("y", np.eye(2), [0, 1, 1], ValueError, "3 labels"), ("y", np.eye(2), [3, 3], ValueError, "two classes"),
        ("y", np.eye(2), [0, np.nan], ValueError, "NaN"), ("y", np.eye(2), ["a", None], ValueError, "missing"),
        ("y", np.eye(2), [[0, 1], [1, 0]], ValueError, "1-D"), ("y", np.eye(2), [1j, 2], ValueError, "complex"),
        ("y", np.eye(2), np.array(["a", 1], object), TypeError, "sorted")]


@pytest.mark.parametrize("name, value, error", PARAMETERS, ids=str)
def test_bad_parameter(name, value, error):
    p = quiet_fit(Perceptron(max_iter=2, random_state=0), *noisy(0))
    before = pickle.dumps((p.coef_, p.intercept_, p.history_, p._weights))
    p.set_params(**{name: value})
    with pytest.raises(error, match=name):
        p.fit(*noisy(1))
    assert pickle.dumps((p.coef_, p.intercept_, p.history_, p._weights)) == before


def test_average_and_pocket_exclude_each_other():
    with pytest.raises(ValueError, match="average.*pocket"):
        Perceptron(average=True, pocket=True).fit(HAND_X, HAND_Y)


@pytest.mark.parametrize("name, X, y, error, message", DATA, ids=str)
@pytest.mark.parametrize("fitted", [False, True])
def test_bad_data(name, X, y, error, message, fitted):
    p = Perceptron(random_state=0)
    if fitted:
        p.fit(HAND_X, HAND_Y)
    before = pickle.dumps(p)
    with pytest.raises(error, match=f"(?s){name}.*{message}"):
        p.fit(X, y)
    if message in ("two classes", "sorted"):     # in a part of the data such labels are merely unknown
        error, message = ValueError, "unknown"
    with pytest.raises(error, match=f"(?s){name}.*{message}"):
        p.partial_fit(X, y, classes=[-1, 1])
    assert pickle.dumps(p) == before


@pytest.mark.parametrize("weight, error, message", [([1], ValueError, "1 values"), ([-1, 1, 1, 1], ValueError, "row 0"),
                                                    ([0] * 4, ValueError, "all zero"), ("four", TypeError, "str"),
                                                    ([1, 1, np.nan, 1], ValueError, "NaN at row 2")], ids=str)
def test_bad_sample_weight(weight, error, message):
    with pytest.raises(error, match=f"sample_weight.*{message}"):
        Perceptron().fit(HAND_X, HAND_Y, weight)
    fitted = Perceptron().fit(HAND_X, HAND_Y)
    for call in (fitted.score, fitted.error):
        with pytest.raises(error, match=f"sample_weight.*{message}"):
            call(HAND_X, HAND_Y, weight)


def test_bad_data_in_use():
    p = Perceptron().fit(HAND_X, HAND_Y)
    for call in (p.predict, p.decision_function, p.signed_distance):
        with pytest.raises(ValueError, match="X has 3 features, but Perceptron is expecting 2"):
            call([[1.0, 2.0, 3.0]])
        with pytest.raises(ValueError, match="row 0, column 1"):
            call([[1.0, np.nan]])
    for call in (p.margin, p.error):
        with pytest.raises(ValueError, match="unknown label 0 at row 1"):
            call(HAND_X, [1, 0, 1, -1])
    assert p.score(HAND_X, ["no", "such", "label", "x"]) == 0


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda X: X.astype(np.float32).astype(">f8"),
                                    lambda X: np.repeat(X, 2, axis=1)[:, ::2], lambda X: X[::-1].copy()[::-1],
                                    lambda X: X.tolist()], ids=["F", "swapped", "strided", "reversed", "list"])
def test_layouts_give_the_same_bits_and_inputs_stay(layout):
    X, y = noisy(18)
    X = X.astype(np.float32).astype(np.float64)
    X.flags.writeable = False
    plain = quiet_fit(Perceptron(max_iter=4, random_state=0), X, y)
    given = layout(X)
    other = quiet_fit(Perceptron(max_iter=4, random_state=0), given, y)
    assert (parameters(plain) == parameters(other)).all() and np.array_equal(np.asarray(given), X)
    weight = np.ones(len(X))
    quiet_fit(Perceptron(max_iter=2, class_weight={0: 5.0}), X, y, weight)
    assert (weight == 1).all()


# ---- what scikit-learn's class takes ---------------------------------------------------------------------------------

@pytest.mark.parametrize("classes", [2, 3])
def test_start_from_given_weights_as_scikit_learn(classes):
    X, y = noisy(31)
    y = y if classes == 2 else np.digitize(X[:, 0], [-0.5, 0.5])
    k = 1 if classes == 2 else 3
    start = {"coef_init": np.linspace(-1, 1, k * X.shape[1]).reshape(k, -1), "intercept_init": np.linspace(-1, 1, k)}
    ours = quiet_fit(Perceptron(max_iter=3, shuffle=False), X, y, **start)
    theirs = quiet_fit(SklearnPerceptron(max_iter=3, shuffle=False, tol=None), X, y, **start)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-12)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-12)
    assert not np.allclose(ours.coef_, quiet_fit(Perceptron(max_iter=3, shuffle=False), X, y).coef_)


@pytest.mark.parametrize("options", [{"tol": 1e-3}, {"tol": 1e-2, "n_iter_no_change": 3}, {"tol": 0.0},
                                     {"tol": 1e-3, "eta0": 0.1}], ids=str)
def test_tol_stops_after_the_epoch_of_scikit_learns(options):
    for seed in range(40, 46):
        X, y = noisy(seed, n=50 * (seed - 38))
        ours = quiet_fit(Perceptron(shuffle=False, **options), X, y)
        theirs = quiet_fit(SklearnPerceptron(shuffle=False, **options), X, y)
        assert ours.n_iter_ == theirs.n_iter_ < 1000
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-9)


def test_a_class_weight_acts_in_all_problems_as_the_same_sample_weight():
    X, _ = noisy(31)
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    factors = {0: 2.0, 1: 0.5, 2: 3.0}
    ours = quiet_fit(Perceptron(max_iter=5, shuffle=False, class_weight=factors), X, y)
    rows = np.array([factors[label] for label in y])
    theirs = quiet_fit(SklearnPerceptron(max_iter=5, shuffle=False, tol=None), X, y, sample_weight=rows)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-12)


def test_start_of_one_problem_may_be_flat_and_wins_over_warm_start():
    p = quiet_fit(Perceptron(max_iter=2, shuffle=False, warm_start=True), XOR_X, XOR_Y)
    given = np.array([0.5, -0.25])
    p = quiet_fit(p, XOR_X, XOR_Y, coef_init=given, intercept_init=0.125)
    cold = quiet_fit(Perceptron(max_iter=2, shuffle=False), XOR_X, XOR_Y, coef_init=[given], intercept_init=[0.125])
    assert (parameters(p) == parameters(cold)).all() and (given == [0.5, -0.25]).all()


@pytest.mark.parametrize("start, message", [({"coef_init": [1.0, 2.0, 3.0]}, r"coef_init must have shape \(1, 2\)"),
                                            ({"coef_init": [[1.0, np.nan]]}, "coef_init holds NaN"),
                                            ({"intercept_init": [1.0, 2.0]}, r"intercept_init must have shape \(1,\)")])
def test_start_of_wrong_shape_is_refused_and_changes_nothing(start, message):
    p = Perceptron()
    with pytest.raises(ValueError, match=message):
        p.fit(HAND_X, HAND_Y, **start)
    assert not hasattr(p, "coef_")


@pytest.mark.parametrize("variant", [{}, {"average": True}, {"pocket": True}, {"rule": "batch"}], ids=str)
def test_early_stopping_hands_out_the_best_held_out_score(variant, monkeypatch):
    X, y = noisy(32, n=300)
    looked = []
    hold_out = perceptron._hold_out
    monkeypatch.setattr(perceptron, "_hold_out", lambda *a: looked.append(hold_out(*a)) or looked[-1])
    p = Perceptron(early_stopping=True, random_state=3, n_iter_no_change=4, **variant).fit(X, y)
    validation, = looked
    right = p.predict(validation.X) == p.classes_[validation.label]
    assert right.mean() == max(validation.scores) and len(right) == 30
    assert len(validation.scores) == p.n_iter_ < 1000                    # patience ended it, without a warning
    last_gain = max(i for i, score in enumerate(validation.scores)
                    if score >= max(validation.scores[:i], default=-1) + 1e-3)
    assert p.n_iter_ == last_gain + 1 + 4
    again = Perceptron(early_stopping=True, random_state=3, n_iter_no_change=4, **variant).fit(X, y)
    assert (parameters(again) == parameters(p)).all()


def test_early_stopping_trains_on_none_of_the_rows_held_out():
    X, y = noisy(33, n=100)
    label = y.astype(np.intp)
    train, held = perceptron.split(label, np.arange(0, 100, 2), 0.21, np.random.default_rng(0))
    assert len(held) == 11 and sorted([*train, *held]) == list(range(0, 100, 2))
    assert abs(label[held].mean() - label[::2].mean()) < 0.1             # each class gives its share
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    options = {"early_stopping": True, "random_state": 0, "max_iter": 5, "tol": 0.0}
    dense = quiet_fit(Perceptron(**options), X, y)
    assert (parameters(quiet_fit(Perceptron(**options), sparse.csr_array(X), y)) == parameters(dense)).all()


@pytest.mark.parametrize("rule", ["stochastic", "batch"])
def test_sparse_rows_in_blocks_end_with_the_epoch_without_a_mistake(monkeypatch, rule):
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    X, y, _ = separable(3, 60, 4, 0.5)
    monkeypatch.setattr(_sparse, "BLOCK_BYTES", 8 * 4 * 7)
    monkeypatch.setattr(_sparse, "MIN_BLOCK", 1)
    dense, blocks = (Perceptron(rule=rule, random_state=0).fit(each, y) for each in (X, sparse.csr_array(X)))
    assert dense.history_.mistakes[-1] == 0 and blocks.history_.mistakes == dense.history_.mistakes
    assert (parameters(blocks) == parameters(dense)).all()


def test_early_stopping_refuses_too_few_rows():
    with pytest.raises(ValueError, match="validation_fraction=0.1 of 4 rows are 1: too few"):
        Perceptron(early_stopping=True).fit(HAND_X, HAND_Y)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        Perceptron(early_stopping=True).partial_fit(HAND_X, HAND_Y, classes=[-1, 1])


def test_verbose_prints_each_epoch(capsys):
    p = Perceptron(shuffle=False, verbose=1).fit(HAND_X, HAND_Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == p.n_iter_ and lines[-1].endswith("error = 0, mistakes = 0")
    assert [int(line.rpartition(" ")[2]) for line in lines] == p.history_.mistakes
    quiet = Perceptron(shuffle=False).fit(HAND_X, HAND_Y)
    assert capsys.readouterr().out == "" and (parameters(quiet) == parameters(p)).all()


@pytest.mark.parametrize("options, error, message", [
    ({"penalty": "l2"}, ValueError, "penalty must be None, got 'l2'"), ({"alpha": -1.0}, ValueError, "alpha must"),
    ({"l1_ratio": 2.0}, ValueError, "l1_ratio must"), ({"n_jobs": 1.5}, TypeError, "n_jobs must"),
    ({"verbose": -1}, TypeError, "verbose must"), ({"early_stopping": 1}, TypeError, "early_stopping must"),
    ({"validation_fraction": 1.0}, ValueError, "validation_fraction must")])
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Perceptron(**options).fit(HAND_X, HAND_Y)


def test_every_parameter_of_scikit_learn_is_one_of_ours():
    theirs = SklearnPerceptron().get_params()
    assert set(theirs) <= set(Perceptron().get_params())
    p = Perceptron(**{**theirs, "n_jobs": 2, "alpha": 0.01}).fit(HAND_X, HAND_Y)
    assert p.score(HAND_X, HAND_Y) == 1.0


def test_doctests():
    result = doctest.testmod(perceptron)
    assert result.failed == 0 and result.attempted > 5
