"""`MLPClassifier` and `MLPRegressor`: scikit-learn's estimators of these names, on `Network`.

Change the import and nothing else; docs/from-sklearn.md lists every difference. Loading this module loads
scikit-learn's base classes where it is installed; without it everything but scikit-learn's own tools works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from backprop import _check, _estimator_base
from backprop._estimator_base import Classifier, Regressor, available_if, with_callbacks
from backprop._labels import Labels, unique
from backprop._mlp import MLP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from backprop._types import Seed
    from backprop.optimizers import Optimizer

SMALL = 1e-200           # probabilities whose logarithm comes from the net inputs

CANCELLED = 1e-8         # below this 1 - p has lost half of its digits

_SHARED = """hidden_layer_sizes : int or sequence of int, default (100,)
        Units of the hidden layers; an empty sequence makes a linear model.
    activation : str or list of str, default "relu"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu" or another of `backprop.activations`, or
        one name per hidden layer.
    solver : str or Optimizer, default "adam"
        "lbfgs", "sgd" and "adam" as in scikit-learn; or another name or object of `backprop.optimizers`.
    alpha : float, default 0.0001
        Penalty alpha / (2 n) ‖W‖² on the weights, n being the number (or total weight) of the training rows, whatever
        the batch size.
    batch_size : int, "auto" or "full", default "auto"
        Rows per update; "auto" is min(200, n). Solvers of the whole batch do not look at it.
    learning_rate : {"constant", "invscaling", "adaptive"}, or a schedule, default "constant"
        Of solver "sgd" (adam does not look at the three names): "invscaling" is learning_rate_init / (t + 1)^power_t,
        with t the examples visited; "adaptive" divides by 5 where training would stop, and stops below 1e-6. A schedule
        of `backprop.schedules`, by name, object or function, serves every solver but those of the whole batch.
    learning_rate_init : float, default 0.001
        η.
    power_t : float, default 0.5
    max_iter : int, default 200
        Most epochs of a `fit`; iterations of a solver of the whole batch.
    shuffle : bool, default True
        Visit the rows in a new random order in each epoch.
    random_state : int, RandomState, Generator or None, default None
        Source of initial weights, order and validation rows. From an int the initial weights are scikit-learn's.
    tol : float, default 1e-4
        What counts as an improvement of the loss, or of the validation score with `early_stopping`.
    verbose : bool or int, default False
        Print the loss of each epoch.
    warm_start : bool, default False
        `fit` goes on from the last one: weights, optimizer, generator.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Hold out `validation_fraction` of the rows, unless `fit` is given X_val, and stop when their score does not
        improve; the best parameters come back.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of adam.
    n_iter_no_change : int or inf, default 10
        Epochs without an improvement that are put up with.
    max_fun : int, default 15000
        Most evaluations of the objective by solver "lbfgs".
    init : str or (weights, biases), default "auto"
        Initial weights: "auto" is scikit-learn's rule, else as in `Network`.
    l1 : float, default 0
        Penalty l1 ‖W‖₁.
    dropout, clip_norm, max_norm, max_seconds, n_threads, metrics
        As in `Network.train`.
    callbacks : callable or list of callables, optional
        As in `Network.train`; `set_callbacks` takes those of scikit-learn's protocol, where it has one."""

_ATTRIBUTES = """network_ : Network
        The network itself: gradients, trace, activations, `predict_one`.
    history_ : History
        Of all training since the last new start.
    coefs_, intercepts_ : list of ndarray
        Writable views on the network's weights (n_{l-1}, n_l) and biases (n_l,); after a fit on float32, read-only
        copies in float32.
    loss_, best_loss_ : float
        Objective (mean loss plus penalties) of the last and the best epoch; `best_loss_` is None with early stopping.
    loss_curve_ : list of float
        Objective of each epoch.
    validation_scores_, best_validation_score_ : list of float, float, or None
        Scores of the validation rows after each epoch.
    n_iter_, t_ : int
        Epochs of the last call; examples visited since the last new start.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn."""


def _documented(cls):
    cls.__doc__ = cls.__doc__.replace("{shared}", _SHARED).replace("{attributes}", _ATTRIBUTES)
    return cls


@_documented
class MLPClassifier(Classifier, MLP):
    """A feedforward network as a classifier: scikit-learn's class of this name, and more.

    Parameters
    ----------
    {shared}
    loss : str or callable, default "log_loss"
        Or another loss of `backprop.losses`; "hinge" puts the identity at the output, all others softmax (several
        classes) or sigmoid (two classes, multilabel).
    class_weight : dict, "balanced" or None, default None
        Factors of the examples' weights by label, 1 for a label not named.

    Attributes
    ----------
    classes_ : ndarray
        (k,) labels, sorted.
    {attributes}

    Examples
    --------
    >>> import backprop as bp
    >>> X, y = bp.data.digits()
    >>> classifier = bp.MLPClassifier((32,), learning_rate_init=0.01, tol=0.001, random_state=0)
    >>> bool(classifier.fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.9)
    True
    """

    _y_numeric = False
    _check_y = staticmethod(Labels.of)

    def __init__(self, hidden_layer_sizes: int | Sequence[int] = (100,), activation: str | Sequence[str] = "relu", *,
                 solver: str | Optimizer = "adam", alpha: float = 0.0001, batch_size: int | str = "auto",
                 learning_rate: Any = "constant", learning_rate_init: float = 0.001, power_t: float = 0.5,
                 max_iter: int = 200, shuffle: bool = True, random_state: Seed = None, tol: float = 1e-4,
                 verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
                 nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: int = 10,
                 max_fun: int = 15000, loss: str | Callable = "log_loss", class_weight: str | Mapping | None = None,
                 init: str | tuple = "auto", l1: float = 0.0, dropout: float | Sequence[float] = 0.0,
                 clip_norm: float | None = None, max_norm: float | None = None, max_seconds: float | None = None,
                 n_threads: int = 1, metrics: Any = None, callbacks: Any = None) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.class_weight = class_weight
        self.init = init
        self.l1 = l1
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.max_norm = max_norm
        self.max_seconds = max_seconds
        self.n_threads = n_threads
        self.metrics = metrics
        self.callbacks = callbacks

    # ---- training ----------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, X_val: ArrayLike | None = None,
            y_val: ArrayLike | None = None) -> MLPClassifier:
        """Train.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)
        y : array_like of shape (n,) or (n, k)
            Labels, or a multilabel indicator of zeros and ones.
        sample_weight : array_like of shape (n,), optional
            Weights, not negative.
        X_val, y_val : array_like, optional
            Data to score after each epoch; with `early_stopping` they decide, and nothing is held out.

        Returns
        -------
        MLPClassifier
            The classifier itself.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)

    @available_if(MLP._check_solver)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
                    classes: ArrayLike | None = None) -> MLPClassifier:
        """Train for one epoch on the given rows, going on from the present state.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like, optional
            All labels that will come; needed at the first call, but for a multilabel y.

        Returns
        -------
        MLPClassifier
            The classifier itself.
        """
        return self._fit(X, y, sample_weight, (None, None), incremental=True, classes=classes)

    def _targets(self, y, fresh, classes):
        """(n, n_outputs) targets and the output activation; sets the labels of a new start."""
        known = "_labels" in vars(self)
        if fresh or not known:
            labels = Labels.of(y)
            if classes is not None and labels.kind != "multilabel":
                classes = unique(_check.labels(classes, "classes"), "classes")
                labels = Labels("binary" if len(classes) <= 2 else "multiclass", classes)
            elif not fresh and labels.kind != "multilabel" and not self.warm_start:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._labels, self.classes_ = labels, labels.classes
        elif classes is not None and self._labels.kind != "multilabel" and not np.array_equal(
                unique(_check.labels(classes, "classes"), "classes"), self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                             f"{self.classes_!r}")
        elif self.warm_start:
            found = Labels.of(y).classes
            if not np.array_equal(found, self.classes_):
                raise ValueError("warm_start can only be used where `y` has the same classes as in the previous call "
                                 f"to fit. Previously got {self.classes_}, `y` has {found}")
        output = "identity" if self.loss == "hinge" else "softmax" if self._labels.kind == "multiclass" else "sigmoid"
        return self._encode(y), output

    def _encode(self, y):
        Y = self._labels.encode(y)
        return 2.0 * Y - 1.0 if self.loss == "hinge" else Y

    def _with_class_weight(self, weight, Y):
        if self.class_weight is None:
            return weight
        if self._labels.kind == "multilabel":
            raise ValueError("class_weight does not go with a multilabel y, whose rows have no class")
        classes = (Y[:, 0] > 0).astype(np.intp) if Y.shape[1] == 1 else Y.argmax(axis=1)
        ones = np.ones(len(Y)) if weight is None else weight
        if isinstance(self.class_weight, str):
            _check.choice(self.class_weight, "class_weight", ("balanced",))
            count = np.bincount(classes, ones, max(2, Y.shape[1]))
            factor = np.divide(count.sum(), count * np.count_nonzero(count), out=np.zeros(len(count)), where=count > 0)
        else:
            factor = self._class_factors()
        weight = ones * factor[classes]
        if not weight.any():
            raise ValueError("class_weight makes every weight zero: nothing to train on")
        return weight

    def _class_factors(self):
        if not hasattr(self.class_weight, "items"):
            raise TypeError(f'class_weight must be a dict, "balanced" or None, got {type(self.class_weight).__name__}')
        factor, names = np.ones(max(2, len(self.classes_))), self.classes_.tolist()
        for key, value in self.class_weight.items():
            if key not in names:
                raise ValueError(f"class_weight names {key!r}, which is not among the classes {names}")
            factor[names.index(key)] = _check.real(value, f"class_weight[{key!r}]", minimum=0.0)
        return factor

    def _refuse_rare(self, Y):
        if self._labels.kind == "binary" and len(self.classes_) == 2:
            ones = int((Y[:, 0] > 0).sum())
            rare = [value for value, count in ((False, len(Y) - ones), (True, ones)) if count < 2]
            if rare:                                     # our words, those of scikit-learn 1.6 in them, those of 1.9
                raise ValueError("The least populated class in y has only 1 member, too few to hold out a part of it: "
                                 f"{[self.classes_.tolist()[value] for value in rare]} (The least populated classes in "
                                 "y have only 1 member. Classes with too few members are: "
                                 f"{[str(value) for value in rare]})")

    def _validation_score(self, network, held):
        P = network.predict(held.X)
        if self._labels.kind == "multiclass":
            right = P.argmax(axis=1) == held.Y.argmax(axis=1)
        else:
            right = ((P > self._threshold) == (held.Y > self._threshold)).all(axis=1)
        return float(np.average(right, weights=held.weight))

    # ---- prediction --------------------------------------------------------------------------------------------------

    @property
    def _threshold(self):
        return 0.0 if self.loss == "hinge" else 0.5

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, k) of zeros and ones for a multilabel y
        """
        P = self._outputs(X)                                 # first, as it tells where there are no labels yet
        return self._labels.decode(P, self._threshold)

    def _has_probabilities(self):
        return self.loss != "hinge"

    @available_if(_has_probabilities)
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)

        Returns
        -------
        ndarray of shape (n, k)
        """
        return self._rounded(self._probabilities(X), X)

    def _probabilities(self, X):
        P = self._outputs(X)
        if self._labels.kind != "binary":
            return P
        if len(self.classes_) == 1:
            return np.ones((len(P), 1))
        out = np.column_stack([1.0 - P[:, 0], P[:, 0]])
        close = out[:, 0] < CANCELLED
        if close.any():                                  # 1 - σ(a) = σ(-a), which keeps its digits
            a = self._outputs(X, net_inputs=True)[close, 0]
            out[close, 0] = np.exp(-a) / (1.0 + np.exp(-a))
        return out

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Logarithms of `predict_proba`; finite, from the net inputs, where a probability underflows.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)

        Returns
        -------
        ndarray of shape (n, k)
        """
        P = self._probabilities(X)
        small = P < SMALL
        with np.errstate(divide="ignore"):
            out = np.log(P)
        if small.any():
            A = self._outputs(X, net_inputs=True)
            if self._labels.kind == "binary":
                A = np.column_stack([-A, A])
            if self._labels.kind == "multiclass":        # log e^a / Σ e^a; of a small sigmoid it is a itself
                largest = A.max(axis=1, keepdims=True)
                A = A - largest - np.log(np.exp(A - largest).sum(axis=1, keepdims=True))
            out[small] = A[small]
        return self._rounded(out, X)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Net inputs a[L] of the output layer: what softmax, sigmoid or, for "hinge", the sign is taken of.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)

        Returns
        -------
        ndarray of shape (n,) for two classes, else (n, k)
        """
        A = self._rounded(self._outputs(X, net_inputs=True), X)
        return A[:, 0] if self._labels.kind == "binary" else A

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def _label_attributes(self):
        return {"_labels": self._labels, "classes_": self.classes_}

    def _fitted_properties(self):
        from backprop.model import labels_document

        return {**super()._fitted_properties(), "labels": self._labels.kind, "classes": labels_document(self.classes_)}

    def _restore(self, network, fitted):
        from backprop.model import labels_of

        super()._restore(network, fitted)
        kind = _check.choice(fitted["labels"], "labels", ("binary", "multiclass", "multilabel"))
        self._labels = Labels(kind, labels_of(fitted["classes"]))
        self.classes_ = self._labels.classes
        if self._labels.n_outputs != network.sizes[-1]:
            raise ValueError(f"{len(self.classes_)} classes do not belong to {network.sizes[-1]} outputs")


@_documented
class MLPRegressor(Regressor, MLP):
    """A feedforward network as a regressor: scikit-learn's class of this name, and more.

    Parameters
    ----------
    loss : str or callable, default "squared_error"
        "squared_error" is ½ Σ_j (y_j - y'_j)², as in scikit-learn but for several outputs, whose sum it is here and
        whose mean there; "poisson" has an exp output; or another loss of `backprop.losses`.
    {shared}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> import backprop as bp
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> regressor = bp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0)
    >>> regressor.fit(X, [1.0, 3.0, 5.0, 7.0]).predict([[10.0]]).round(3)
    array([21.])
    """

    _y_numeric = True
    _check_y = staticmethod(lambda y: _check.finite(_check._float64(y, "y"), "y"))

    def __init__(self, loss: str | Callable = "squared_error", hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: str | Sequence[str] = "relu", *, solver: str | Optimizer = "adam", alpha: float = 0.0001,
                 batch_size: int | str = "auto", learning_rate: Any = "constant", learning_rate_init: float = 0.001,
                 power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True, random_state: Seed = None,
                 tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
                 nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: int = 10,
                 max_fun: int = 15000, init: str | tuple = "auto", l1: float = 0.0,
                 dropout: float | Sequence[float] = 0.0, clip_norm: float | None = None, max_norm: float | None = None,
                 max_seconds: float | None = None, n_threads: int = 1, metrics: Any = None,
                 callbacks: Any = None) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.l1 = l1
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.max_norm = max_norm
        self.max_seconds = max_seconds
        self.n_threads = n_threads
        self.metrics = metrics
        self.callbacks = callbacks

    @with_callbacks
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, X_val: ArrayLike | None = None,
            y_val: ArrayLike | None = None) -> MLPRegressor:
        """Train.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)
        y : array_like of shape (n,) or (n, n_outputs)
        sample_weight : array_like of shape (n,), optional
            Weights, not negative.
        X_val, y_val : array_like, optional
            Data to score after each epoch; with `early_stopping` they decide, and nothing is held out.

        Returns
        -------
        MLPRegressor
            The regressor itself.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)

    @available_if(MLP._check_solver)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Train for one epoch on the given rows, going on from the present state.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        MLPRegressor
            The regressor itself.
        """
        return self._fit(X, y, sample_weight, (None, None), incremental=True)

    def _targets(self, y, fresh, classes):
        return self._encode(y), None

    def _encode(self, y):
        Y = _check._float64(y, "y")
        _check.finite(Y, "y")
        return Y.reshape(-1, 1) if Y.ndim == 1 else Y

    def _with_class_weight(self, weight, Y):
        return weight

    def _validation_score(self, network, held):
        return _estimator_base.r2(held.Y, network.predict(held.X), held.weight)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Values.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, n_outputs) for several
        """
        P = self._rounded(self._outputs(X), X)
        return P[:, 0] if P.shape[1] == 1 else P

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def _label_attributes(self):
        return {}
