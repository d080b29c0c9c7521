"""scikit-learn: MLPClassifier on indicator targets (sigmoids under log loss, its nearest to the task), and Perceptron.

Its MLP cannot put a sigmoid under a squared error. Log loss saves it one factor σ' per output and changes nothing else,
so the time is comparable; the result is checked against the reference for log loss.
"""

import dataclasses
import warnings

import joblib
import numpy as np
import sklearn
from sklearn.linear_model import Perceptron
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tasks import flat
from timing import Contender, fits

NAME = "sklearn"


def version():
    return sklearn.__version__


def _model(task, batch_size, X, Y):
    """An MLPClassifier with the task's weights: partial_fit builds it, then the arrays are overwritten in place."""
    model = MLPClassifier(
        task.sizes[1:-1],
        activation="logistic",
        solver="sgd",
        alpha=0.0,
        batch_size=batch_size,
        learning_rate_init=getattr(task, "learning_rate", 0.1),
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    labels = Y.astype(np.intp)
    classes = np.arange(task.sizes[-1]) if task.sizes[-1] > 1 else np.arange(2)
    labels = labels if task.sizes[-1] > 1 else labels.ravel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.partial_fit(X, labels, classes=classes)
    return model, labels


def _assign(model, task):
    for own, given in zip((*model.coefs_, *model.intercepts_), (*task.weights, *task.biases)):
        own[...] = given


def training(task, few=False):
    if task.optimizer != "sgd":
        return []
    model, labels = _model(task, task.batch_size, task.X, task.Y)

    def run(k):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(k):
                model.partial_fit(task.X, labels)

    def check():
        _assign(model, task)
        run(1)
        return flat(model.coefs_, model.intercepts_)

    return [
        Contender(
            NAME, run, check, lambda: _assign(model, task), form="MLPClassifier.partial_fit, log loss", loss="log_loss"
        )
    ]


def prediction(task):
    rng = np.random.default_rng(0)
    model, _ = _model(task, 4, rng.random((4, task.sizes[0])), np.eye(task.sizes[-1])[:4])
    _assign(model, task)
    x = task.x.reshape(1, -1)

    def run(k):
        for _ in range(k):
            model.predict_proba(x)

    return [Contender(NAME, run, lambda: model.predict_proba(x)[0], form="MLPClassifier.predict_proba")]


def separation(task):
    def fit(epochs, shuffle):
        return Perceptron(max_iter=epochs, tol=None, shuffle=shuffle, random_state=0).fit(task.X, task.y)

    def check():
        p = fit(1, False)
        return flat([p.coef_], [p.intercept_])

    return [Contender(NAME, lambda k: fit(k, True), check)]


def many(task):
    """A loop of `fit` over two processes by joblib, its own processes kept between calls.

    `fit` starts from weights of its own; the check goes the same number of epochs from the task's by `partial_fit`.
    """

    def run(k):
        for _ in range(k):
            joblib.Parallel(n_jobs=len(task.cores))(joblib.delayed(_fitted)(task, X, Y) for X, Y in data)

    def check():
        return np.concatenate([_fitted_from(task, *data[k]) for k in (0, -1)])

    data = list(zip(task.X, task.Y[:, :, 0] if task.sizes[-1] == 1 else task.Y))
    task = dataclasses.replace(task, X=task.X[:1], Y=task.Y[:1])  # what goes to the processes with every fit
    form = f"MLPRegressor.fit, joblib n_jobs={len(task.cores)}"
    return [Contender(NAME, run, check, form=form, cores=set(task.cores))]


def _regressor(task):
    return MLPRegressor(
        hidden_layer_sizes=task.sizes[1:-1],
        activation="tanh",
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=task.learning_rate,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        max_iter=task.epochs,
        n_iter_no_change=10 * task.epochs,
        random_state=0,
    )


def _fitted(task, X, Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _regressor(task).fit(X, Y)


def _fitted_from(task, X, Y):
    model = _regressor(task)
    model.partial_fit(X, Y)
    _assign(model, task)
    for _ in range(task.epochs):
        model.partial_fit(X, Y)
    return flat(model.coefs_, model.intercepts_)


def estimator(task):
    return fits(NAME, MLPClassifier, task)
