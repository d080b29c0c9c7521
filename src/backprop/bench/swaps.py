"""Change the import, nothing else: how well and how fast our estimators and scikit-learn's learn the same real data.

A swap is two classes with the same parameters, fitted ten times: seed k splits the data, scales it, and is the
`random_state`. Before anything is timed, an epoch in the order of the rows without penalty must leave both with the
same parameters (1e-9); before the times are shown, the mean test scores must lie within a point of each other.
"""

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from timing import Contender, Disagreement, Timing, agree, sample

SEEDS = 10
POINT = 0.01  # of accuracy or R²
AGREEING_ROWS = 1000
IMAGES = 10_000  # of Fashion-MNIST's 60,000 to train on, others for each seed


@dataclass
class Swap:
    """`data(seed)` gives X_train, X_test, y_train, y_test; `estimator` is the class's name, here and there."""

    estimator: str
    data: Callable
    options: dict  # of the constructor

    def classes(self):
        from sklearn import neural_network

        import backprop

        return {"backprop": getattr(backprop, self.estimator), "sklearn": getattr(neural_network, self.estimator)}

    def fitted(self, cls, seed, X, y, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ConvergenceWarning: max_iter ends some of them, for both alike
            return cls(random_state=seed, **{**self.options, **more}).fit(X, y)


def swap(name, fashion, options):
    """A `Swap` on the data set of that name; FileNotFoundError where Fashion-MNIST is not in its folder."""
    if name == "Fashion-MNIST":
        import backprop as bp

        train, test = (bp.data.load(fashion / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
        return Swap("MLPClassifier", partial(_images, train, test), options)
    data = partial(_bundled, name.replace(" ", "_"))
    return Swap("MLPRegressor" if name == "diabetes" else "MLPClassifier", data, options)


def _bundled(name, seed):
    """A data set of scikit-learn's, 30 % of it for the test, scaled to mean 0 and variance 1."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    A, B, a, b = train_test_split(X, y, test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(A)
    return scaler.transform(A), scaler.transform(B), a, b


def _images(train, test, seed):
    part = np.random.default_rng(seed).permutation(len(train.y))[:IMAGES]
    return train.X[part] / 255.0, test.X / 255.0, train.y[part], test.y


def learn(swap):
    """(`Timing` of each class, its scores and mean epochs by name); Disagreement where the two do not agree."""
    classes = swap.classes()
    _same_epoch(swap, classes)
    timings = [Timing(Contender(name, None, None, form=f"fit, {SEEDS} seeds"), 1) for name in classes]
    scores, epochs = {name: [] for name in classes}, {name: [] for name in classes}
    for seed in range(SEEDS):
        A, B, a, b = swap.data(seed)
        for timing in timings[:: 1 if seed % 2 else -1]:
            name, made = timing.contender.name, []
            run = partial(_fit, swap, classes[name], seed, A, a, made)
            seconds, disturbed = sample(Contender(name, run, None), 1)
            timing.samples.append(seconds)
            timing.disturbed += disturbed
            scores[name].append(float(made[0].score(B, b)))
            epochs[name].append(int(made[0].n_iter_))
    apart = statistics.mean(scores["backprop"]) - statistics.mean(scores["sklearn"])
    if not abs(apart) <= POINT:
        raise Disagreement(f"the mean test scores are {apart:+.4f} apart: {scores}")
    return timings, {"scores": scores, "epochs": {name: statistics.mean(each) for name, each in epochs.items()}}


def _fit(swap, cls, seed, X, y, made, repetitions):
    made.append(swap.fitted(cls, seed, X, y))


def _same_epoch(swap, classes):
    X, _, y, _ = swap.data(0)

    def parameters(name):
        model = swap.fitted(
            classes[name], 0, X[:AGREEING_ROWS], y[:AGREEING_ROWS], max_iter=1, shuffle=False, alpha=0.0
        )
        return np.concatenate([part.ravel() for pair in zip(model.coefs_, model.intercepts_) for part in pair])

    agree(Contender("backprop", None, partial(parameters, "backprop"), form="one epoch"), parameters("sklearn"))
