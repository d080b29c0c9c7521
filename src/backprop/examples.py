"""Which examples train and which validate, and what each weighs."""

import copy
import numbers
from dataclasses import dataclass

import numpy as np

from backprop import _check, _sparse, losses


@dataclass(slots=True)
class Examples:
    """Inputs (n, n_0), dense or sparse, targets (n, n_L) and weights (n,) or None, all checked."""

    X: np.ndarray | _sparse.SparseRows
    Y: np.ndarray
    weight: np.ndarray | None

    def __len__(self):
        return self.X.shape[0]

    def rows(self, index):
        """The examples of an index array or slice."""
        sparse = isinstance(self.X, _sparse.SparseRows)
        return Examples(self.X.rows(index) if sparse else np.ascontiguousarray(self.X[index]),
                        np.ascontiguousarray(self.Y[index]), None if self.weight is None else self.weight[index])

    def copy(self):
        """The same examples, of which nothing is a view of a larger array."""
        sparse = isinstance(self.X, _sparse.SparseRows)
        return Examples(self.X if sparse else self.X.copy(), self.Y.copy(),
                        None if self.weight is None else self.weight.copy())


def class_indices(Y):
    """(n,) class of each row of targets, or None where the targets are not classes.

    Classes are one-hot rows of {0, 1} or {-1, 1}; a single column of them has class 1 where it is 1.
    """
    hot = Y == 1
    if not ((hot | (Y == 0)).all() or (hot | (Y == -1)).all()):
        return None
    if Y.shape[1] == 1:
        return hot[:, 0].astype(np.intp)
    return hot.argmax(axis=1) if (hot.sum(axis=1) == 1).all() else None


def split(network, examples, validation, shuffle, seed):
    """(training examples, validation examples or None, seed of the split or None) for the `validation` of `train`.

    A fraction is held out at random (stratified for class targets) by a generator of its own, whose seed comes from the
    network's generator without moving it on and is kept in the training state, so that the next call holds out the
    same.
    """
    if validation is None:
        return examples, None, seed
    if isinstance(validation, (tuple, list)):
        return examples, _pair(network, validation), seed
    if not isinstance(validation, numbers.Real) or isinstance(validation, bool):
        raise TypeError("validation must be (X, Y), (X, Y, weights) or a fraction, "
                        f"got {type(validation).__name__} {_check.shown(validation)}")
    fraction = _check.real(validation, "validation", above=0.0, below=1.0)
    n = len(examples)
    held = int(n * fraction + 0.5)
    if not 0 < held < n:
        raise ValueError(f"validation={fraction:g} of {n} examples leaves {n - held} to train on and {held} to "
                         "validate with")
    if not shuffle:
        parts = slice(0, n - held), slice(n - held, n)
    else:
        seed = int(copy.deepcopy(network._generator).integers(2**62)) if seed is None else seed
        mask = held_out(examples.Y, held, np.random.default_rng(seed))
        parts = np.flatnonzero(~mask), np.flatnonzero(mask)
    train, valid = (examples.rows(part) for part in parts)
    for part, name in ((train, "training"), (valid, "validation")):
        if part.weight is not None and not part.weight.any():
            raise ValueError(f"sample_weight is all zero in the {name} part that validation={fraction:g} makes")
    return train, valid, seed


def _pair(network, validation):
    if len(validation) not in (2, 3):
        raise ValueError(f"validation must be (X, Y), (X, Y, weights) or a fraction, got {len(validation)} items")
    X = _sparse.inputs(validation[0], "validation X", network.sizes[0], "the network's inputs")
    Y = _check.targets(validation[1], "validation Y", rows=X.shape[0], columns=network.sizes[-1])
    losses.check_targets(Y, network._loss_number, "validation Y")
    weight = None
    if len(validation) == 3 and validation[2] is not None:
        weight = _check.weights(validation[2], "validation weights", rows=X.shape[0])
    return Examples(X, Y, weight)


def held_out(Y, held, generator):
    """Mask of `held` random rows; each class has its share of them, as near as whole rows allow.

    Rows stand class by class, in random order within each, and evenly spaced ones are taken.
    """
    n = Y.shape[0]
    order = generator.permutation(n)
    classes = class_indices(Y)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    position = np.arange(n)
    mask = np.zeros(n, dtype=bool)
    mask[order] = ((position + 1) * held) // n > (position * held) // n
    return mask


def weighted_by_class(examples, class_weight):
    """The examples with `class_weight` multiplied into their weights.

    "balanced" gives class c the weight Σw / (k Σw_c), for k classes that occur: all weigh the same in sum.
    """
    if class_weight is None:
        return examples
    classes = class_indices(examples.Y)
    if classes is None:
        raise ValueError("class_weight needs class targets: one-hot rows of {0, 1} or {-1, 1}, or one such output")
    n_classes = max(2, examples.Y.shape[1])
    if isinstance(class_weight, str):
        _check.choice(class_weight, "class_weight", ["balanced"])
        count = np.bincount(classes, examples.weight, n_classes)
        factor = np.divide(count.sum(), count * np.count_nonzero(count), out=np.zeros(n_classes), where=count > 0)
    else:
        factor = _class_factors(class_weight, n_classes)
    weight = factor[classes] if examples.weight is None else examples.weight * factor[classes]
    if not weight.any():
        raise ValueError("class_weight makes every weight zero: nothing to train on")
    return Examples(examples.X, examples.Y, weight)


def _class_factors(class_weight, n_classes):
    if not hasattr(class_weight, "items"):
        raise TypeError(f"class_weight must be 'balanced' or a mapping from class numbers to weights, "
                        f"got {type(class_weight).__name__}")
    factor = np.ones(n_classes)
    for key, value in class_weight.items():
        key = _check.integer(key, "class_weight's class", minimum=0, maximum=n_classes - 1)
        factor[key] = _check.real(value, f"class_weight[{key}]", minimum=0.0)
    return factor
