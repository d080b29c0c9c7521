"""Early stopping of a perceptron by the score of rows that are held out."""

import math

import numpy as np

from backprop import _sparse
from backprop._dispatch import core
from backprop.examples import held_out

SLICE = 2**24                   # multiply-adds of one kernel call


def net_inputs(X, W, b):
    """(n, k) net inputs of checked rows X (n, d), dense or `SparseRows`."""
    return _sparse.by_blocks(lambda rows: _of_dense(rows, W, b), X)


def _of_dense(X, W, b):
    scores = np.empty((len(X), len(W)))
    step = max(1, SLICE // (W.size + 16))
    for start in range(0, len(X), step):
        core.perceptron_net_inputs(X[start:start + step], W, b, scores[start:start + step])
    return scores


def chosen(scores):
    """Index of the predicted class from net inputs (n, problems)."""
    return (scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)


def split(label, rows, fraction, generator):
    """(rows to train on, ⌈fraction m⌉ rows to hold out) of m; each class gives its share.

    Raises ValueError where that leaves a class, or either part, without rows.
    """
    held = math.ceil(fraction * len(rows))
    label = label[rows]
    classes = np.unique(label)
    if held < len(classes) or len(rows) - held < len(classes):
        raise ValueError(f"validation_fraction={fraction:g} of {len(rows)} rows are {held}: too few to hold out, or to "
                         f"train on, {len(classes)} classes")
    mask = held_out((label[:, None] == classes).astype(np.float64), held, generator)
    if len(np.unique(label[~mask])) < len(classes):
        raise ValueError(f"validation_fraction={fraction:g} leaves a class without rows to train on")
    return rows[~mask], rows[mask]


class Validation:
    """What `early_stopping` looks at after each epoch: the share of held-out rows that are predicted right.

    Parameters
    ----------
    X : ndarray or SparseRows
        (m, d) rows held out.
    label, weight : ndarray
        (m,) index of the class, weight.
    tol : float
        What counts as an improvement.
    patience : int
        Epochs in a row without one that are put up with.
    """

    def __init__(self, X, label, weight, tol, patience):
        self.X, self.label, self.weight, self.tol, self.patience = X, label, weight, tol, patience
        self.scores, self.quiet, self.best = [], 0, None

    def look(self, weights, average, pocket):
        """Score the weights that would be handed out, keep the best; True where it is time to stop."""
        right = chosen(net_inputs(self.X, *weights.result(average, pocket))) == self.label
        score, best = float(np.average(right, weights=self.weight)), max(self.scores, default=-np.inf)
        self.quiet = self.quiet + 1 if score < best + self.tol else 0
        if score > best:
            self.best = weights.copy()
        self.scores.append(score)
        return self.quiet >= self.patience

    def restore(self, weights):
        """Bring back the weights of the best score, the earliest of equals."""
        for name, values in vars(self.best).items():
            getattr(weights, name)[...] = values
