"""Class labels as a network's targets and back, by scikit-learn's conventions."""

from dataclasses import dataclass

import numpy as np

from backprop import _check, _frames


@dataclass
class Labels:
    """Two classes are one output; more are one each; multilabel is a column of {0, 1} for each output.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel"}
    classes : ndarray
        (k,) labels, sorted; the numbers of the columns in multilabel. A single class is "binary" with k = 1.
    """

    kind: str
    classes: np.ndarray

    @property
    def n_outputs(self):
        return 1 if self.kind == "binary" else len(self.classes)

    @classmethod
    def of(cls, y):
        """The labels that y holds: (n,) of any kind that can be sorted, or (n, k) of {0, 1}."""
        y = checked(y)
        if y.ndim == 2:
            return cls("multilabel", np.arange(y.shape[1]))
        classes = unique(y, "y")
        return cls("binary" if len(classes) <= 2 else "multiclass", classes)

    def encode(self, y):
        """(n, n_outputs) zeros and ones; ValueError for a label that is not among the classes."""
        y = checked(y)
        if (y.ndim == 2) != (self.kind == "multilabel") or y.ndim == 2 and y.shape[1] != len(self.classes):
            raise ValueError(f"y has shape {y.shape}, which are other labels than those of the first fit: "
                             f"{self.kind} with the classes {self.classes.tolist()}")
        if y.ndim == 2:
            return y.astype(np.float64)
        index = self.index(y)
        if (index < 0).any():
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. "
                             f"'y' has {unique(y, 'y')}.")
        if self.kind == "binary":
            return (index == 1).astype(np.float64).reshape(-1, 1)
        return np.eye(len(self.classes))[index]

    def index(self, y):
        """(n,) the number of each label among the classes, -1 for an unknown one."""
        try:
            place = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        except TypeError:                            # labels of a kind that cannot be compared with the classes
            return np.full(len(y), -1, np.intp)
        return np.where(self.classes[place] == y, place, -1).astype(np.intp)

    def decode(self, P, threshold):
        """Labels of (n, n_outputs) outputs: of the largest, or of each above the threshold."""
        if self.kind == "multilabel":
            return (P > threshold).astype(np.intp)
        if self.kind == "multiclass":
            return self.classes[P.argmax(axis=1)]
        return self.classes[np.minimum((P[:, 0] > threshold).astype(np.intp), len(self.classes) - 1)]


def unique(y, name):
    """The sorted labels in y."""
    if y.dtype.kind in "iufb" and y.size:                # two numbers, the common case, without sorting or hashing
        ends = np.array([y.min(), y.max()])
        if ((y == ends[0]) | (y == ends[1])).all():
            return ends[:1] if ends[0] == ends[1] else ends
    try:
        return np.unique(y)
    except TypeError as error:
        raise TypeError(f"{name} mixes labels that cannot be sorted ({error})") from None


def checked(y):
    """(n,) labels or an (n, k) indicator matrix; what are no labels is refused in scikit-learn's words."""
    y = _check.unmasked(y, "y")
    try:
        y = _check.label_array(y, "y")
    except ValueError as error:
        if _frames.is_frame(y):
            raise
        raise ValueError(f"y is ragged ({error})") from None
    if y.ndim == 2 and y.shape[1] > 1:
        if y.dtype.kind not in "biuf" or not ((y == 0) | (y == 1)).all():
            raise ValueError("Multioutput target data is not supported by a classifier: y with several columns must "
                             f"be a multilabel indicator of zeros and ones, got dtype {y.dtype}")
        return y
    y = _check.labels(y, "y")
    refuse_continuous(y)
    return y


def refuse_continuous(y):
    """ValueError, in scikit-learn's words, for targets that are no labels."""
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise ValueError("Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects "
                         "discrete classes on a regression target with continuous values; y holds such.")
