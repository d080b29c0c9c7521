"""Where the time of `MLPClassifier.fit` goes one by one, on real data: `python bench/steps.py` (needs scikit-learn).

Microseconds an example, the least of some runs: plain gradient descent and Adam's step in `Network.train`, what the
estimator adds around it (arguments, labels, initial weights, and Python after each epoch), and scikit-learn's `fit`.
"""

import os
import time
import warnings

import numpy as np
from sklearn import datasets, neural_network
from sklearn.preprocessing import StandardScaler

import backprop as bp

EPOCHS, RUNS = 20, 7
OPTIONS = {"batch_size": 1, "max_iter": EPOCHS, "tol": 0.0, "n_iter_no_change": EPOCHS, "random_state": 0}


def least(call, runs=RUNS):
    """Seconds of the quickest run."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def examples(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[: int(0.7 * len(X))]
    return StandardScaler().fit_transform(X[order]), y[order]


def row(name):
    """A row of the table: the data set, parameters, and the parts of a visit in microseconds."""
    X, y = examples(name)
    model = bp.MLPClassifier(**OPTIONS).fit(X, y)
    Y, network = np.ascontiguousarray(np.eye(len(model.classes_))[np.searchsorted(model.classes_, y)]), model.network_
    Y = Y[:, 1:] if network.sizes[-1] == 1 else Y
    common = {"epochs": EPOCHS, "l2": model.alpha / len(X)}

    def train(optimizer):
        net = bp.Network(network.sizes, hidden="relu", output=network.activations[-1], loss="log_loss", seed=0)
        return least(lambda: net.train(X, Y, optimizer=optimizer, learning_rate=0.001, **common))

    plain, adam, fit = train("sgd"), train("adam_eps_hat"), least(lambda: bp.MLPClassifier(**OPTIONS).fit(X, y))
    theirs = least(lambda: neural_network.MLPClassifier(**OPTIONS).fit(X, y), 1)
    us = 1e6 / (EPOCHS * len(X))
    return (f"| {name.replace('_', ' ')} | {len(X)} | {network.n_parameters:,} | {plain * us:.2f} | "
            f"{(adam - plain) * us:.2f} | {max(fit - adam, 0.0) * us:.2f} | {fit * us:.2f} | {theirs * us:.0f} | "
            f"{theirs / fit:.1f}x |")


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")                      # ConvergenceWarning: max_iter ends them all
    columns = ["µs an example", "rows", "parameters", "plain descent", "Adam's step", "around it", "fit", "theirs"]
    print(f"| {' | '.join(columns)} | ratio |", f"|{'---|' * (len(columns) + 1)}", sep="\n")
    for name in ("wine", "breast_cancer", "digits"):
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
