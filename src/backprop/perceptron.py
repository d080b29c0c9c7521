"""The perceptron: a hyperplane learnt from its mistakes."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, _estimator_base, _order, _sparse
from backprop._dispatch import core
from backprop._estimator_base import ClassifierMixin, Estimator
from backprop._labels import refuse_continuous, unique
from backprop._perceptron_validation import SLICE, Validation, chosen, net_inputs, split
from backprop.errors import DivergenceError, sklearn_or_own

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop._types import ArrayLike, FloatArray, PathLike, Seed

RULES = ("stochastic", "batch")
EARLY_TOL = 1e-3                # tol of early stopping where none is given: scikit-learn's
BLOCK = 2**16                   # visits of the epochs that share one kernel call where epochs are tiny

_DONE, _MORE, _CONVERGED = 0, 1, 2              # status of a kernel call, kernels/perceptron.pxi


@dataclass
class PerceptronHistory:
    """What each epoch of training did; lists of equal length.

    Attributes
    ----------
    epoch : list of int
        0, 1, 2, ...
    error : list of float
        error(w, b) = -Σ_M c_i y_i (w·x_i + b) over the mistakes M of the epoch, each taken before its update, with
        c_i the weight of the example; summed over the one-versus-rest problems.
    mistakes : list of int
        Number of mistakes, summed likewise.
    """

    epoch: list = field(default_factory=list)
    error: list = field(default_factory=list)
    mistakes: list = field(default_factory=list)

    def _extend(self, error, mistakes):
        self.epoch.extend(range(len(self.epoch), len(self.epoch) + len(error)))
        self.error.extend(error.tolist())
        self.mistakes.extend(mistakes.tolist())

    def to_dict(self) -> dict[str, list]:
        """The lists as a dict."""
        return {"epoch": list(self.epoch), "error": list(self.error), "mistakes": list(self.mistakes)}


@dataclass
class _Weights:
    """What training carries from one call to the next: the weights and what average and pocket have gathered."""

    W: np.ndarray               # (k, d)
    b: np.ndarray               # (k,)
    drift_W: np.ndarray         # (k, d) Σ (t - 1) Δ_t of the steps Δ_t, for the average
    drift_b: np.ndarray         # (k,)
    visits: np.ndarray          # (1,) number T of weight vectors in the average
    pocket_W: np.ndarray        # (k, d)
    pocket_b: np.ndarray        # (k,)

    @classmethod
    def zeros(cls, k, d):
        return cls(np.zeros((k, d)), np.zeros(k), np.zeros((k, d)), np.zeros(k), np.zeros(1), np.zeros((k, d)),
                   np.zeros(k))

    def copy(self):
        return _Weights(**{name: value.copy() for name, value in vars(self).items()})

    def restart(self):
        """The weights alone, with a new average and a pocket that holds them."""
        fresh = _Weights.zeros(*self.W.shape)
        fresh.W[:], fresh.b[:], fresh.pocket_W[:], fresh.pocket_b[:] = self.W, self.b, self.W, self.b
        return fresh

    def result(self, average, pocket):
        """(coef, intercept) that the variant hands out."""
        if average and self.visits[0]:
            return self.W - self.drift_W / self.visits[0], self.b - self.drift_b / self.visits[0]
        if pocket:
            return self.pocket_W.copy(), self.pocket_b.copy()
        return self.W.copy(), self.b.copy()


@dataclass
class _Examples:
    """Checked training data; rows of weight 0 are not among `rows`."""

    X: np.ndarray | _sparse.SparseRows      # (n, d)
    label: np.ndarray           # (n,) intp, index into the classes
    weight: np.ndarray          # (n,) class weight times sample weight
    rows: np.ndarray            # (m,) intp, ascending


class _Run:
    """The arrays of one training call under the names that `perceptron_plan` in the core reads."""

    def __init__(self, options, examples, weights):
        k, d = weights.W.shape
        self.rows = examples.rows
        self.m = len(examples.rows)
        self.X, self.label, self.weight = examples.X, examples.label, examples.weight
        self.eta0, self.fit_intercept = options.eta0, options.fit_intercept
        self.average, self.pocket = options.average, options.pocket
        self.W, self.b, self.visits = weights.W, weights.b, weights.visits
        self.drift_W, self.drift_b = weights.drift_W, weights.drift_b
        self.pocket_W, self.pocket_b = weights.pocket_W, weights.pocket_b
        self.G, self.g, self.wrong = np.zeros((k, d)), np.zeros(k), np.zeros(k)
        self.fewest = np.full(k, np.inf)
        self.scan = np.tile(self.rows, (k, 1)) if self.pocket else np.zeros((1, 1), np.intp)
        self.counted = np.zeros(1)
        self.at = np.array([0, 0, 0, -1], np.intp)
        self.error, self.mistakes = np.zeros(1), np.zeros(1, np.intp)

    def offer(self):
        """Put the present weights into the pocket where they make fewer errors."""
        _to_the_end(core.perceptron_offer, self)

    def open_pocket(self):
        """Count the pocket's errors on these examples, then those of the weights that training starts from."""
        start = self.W.copy(), self.b.copy()
        self.W[:], self.b[:] = self.pocket_W, self.pocket_b
        self.offer()
        self.W[:], self.b[:] = start
        self.offer()

    def epochs(self, count, rule, generator):
        """Run up to `count` epochs; the status of the last slice. `error` and `mistakes` hold what they did."""
        self.error, self.mistakes = np.zeros(count), np.zeros(count, np.intp)
        self.at[:] = 0, 0, 0, -1
        if rule == "stochastic":
            orders = self._orders(count, generator)
            if isinstance(self.X, _sparse.SparseRows):
                return self._sparse_epochs(orders)
            return _to_the_end(core.perceptron_stochastic, self, orders)
        if isinstance(self.X, _sparse.SparseRows):
            return self._sparse_epochs(np.tile(self.rows, (count, 1)), batch=True)
        return _to_the_end(core.perceptron_batch, self, self.rows, count)

    def _sparse_epochs(self, orders, batch=False):
        """Epochs over sparse rows, made dense block by block in the order of their visits: the same bits."""
        for epoch, order in enumerate(orders):
            for start in range(0, self.m, self.X.block):
                block = self._block(order[start:start + self.X.block], epoch)
                visits = np.arange(block.m, dtype=np.intp)
                if batch:
                    _to_the_end(core.perceptron_gather_part, block, visits)
                else:
                    _to_the_end(core.perceptron_stochastic, block, visits.reshape(1, -1))
            if batch:
                core.perceptron_step(block)
            self.at[0] = epoch + 1
            if self.mistakes[epoch] == 0:
                return _CONVERGED
        return _DONE

    def _block(self, rows, epoch):
        """This run with dense copies of some rows and the counts of one epoch; all else is shared."""
        block = copy.copy(self)
        block.m, block.at = len(rows), np.array([0, 0, 0, -1], np.intp)
        block.X, block.label, block.weight = self.X[rows], self.label[rows], self.weight[rows]
        block.error, block.mistakes = self.error[epoch:epoch + 1], self.mistakes[epoch:epoch + 1]
        return block

    def _orders(self, count, generator):
        orders = np.tile(self.rows, (count, 1))
        return orders if generator is None else _order.shuffle(orders, generator)


@dataclass
class _Options:
    """The constructor's parameters, checked."""

    rule: str
    eta0: float
    max_iter: int
    tol: float | None
    shuffle: bool
    fit_intercept: bool
    average: bool
    pocket: bool
    n_iter_no_change: int
    early_stopping: bool
    validation_fraction: float
    verbose: bool


class Perceptron(ClassifierMixin, Estimator):
    """Linear classifier trained by the perceptron rule.

    Labels y_i are mapped to {-1, +1}, ``classes_[1]`` to +1. With the margin d_i = y_i (w·x_i + b), an example is a
    mistake where d_i <= 0. Training descends

        error(w, b) = -Σ_M y_i (w·x_i + b)        M: the mistakes

    whose gradients are ∂error/∂w = -Σ_M y_i x_i and ∂error/∂b = -Σ_M y_i. From w = 0, b = 0,

    - ``rule="stochastic"`` (Rosenblatt) takes one example after the other, and on each mistake
      w := w + η y_i x_i, b := b + η y_i;
    - ``rule="batch"`` is gradient descent proper, once per epoch: w := w + η Σ_M y_i x_i, b := b + η Σ_M y_i.

    Training stops when an epoch makes no mistake (``converged_``). On data that a hyperplane separates the stochastic
    rule gets there: it makes at most (R/γ)² mistakes, where R is the greatest length of an example (x, 1) and γ the
    greatest distance at which a hyperplane through the origin holds them all on their right sides (Novikoff 1962). On
    other data it never does, and ``average`` or ``pocket`` choose better weights than the last ones.

    With k > 2 classes, k problems "class c against the rest" are trained side by side on the same visits; each is
    exactly what it would be alone, except that the average counts the visits after it has converged.

    Parameters
    ----------
    rule : {"stochastic", "batch"}, default "stochastic"
    eta0 : float, default 1.0
        Learning rate η > 0. As the weights start at 0, it only scales them: but for rounding, it
        changes no mistake and no prediction.
    max_iter : int, default 1000
        Most epochs of a `fit`.
    tol : float or None, default None
        Also stop once `n_iter_no_change` epochs in a row have not brought the epoch's mean error (``history_.error``
        over the total weight of the examples) more than `tol` below the best before; an epoch whose error is 0 in spite
        of mistakes, which is that from w = 0, does not count.
        None: never.
    shuffle : bool, default True
        Visit the examples in a new random order in each epoch (stochastic rule only); False: in the order of the rows.
    fit_intercept : bool, default True
        False: b stays 0.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default None
        Seed of the order. The same integer gives the same bits on every run; None a new order each time.
    average : bool, default False
        Hand out the mean of the weights as they stand after each visit (after each epoch under the batch rule), over
        all visits. It is computed from the updates alone, so it costs nothing where nothing is learnt.
    pocket : bool, default False
        Hand out the weights with the fewest training errors (d_i <= 0, weighted) of all that training passed, the
        earliest of equals. Checked exactly, after every single update (under the batch rule that is every epoch): an
        update of the stochastic rule then costs the counting of errors until they are as many as the best so far.
        With few errors that is next to nothing; with a fifth of 20,000 rows wrong, an epoch takes about a second
        instead of a millisecond. Not together with `average`.
    class_weight : dict, "balanced" or None, default None
        Factor on the weights of the examples of each class, 1 for those not named. "balanced": (total weight) / (number
        of classes · weight of the class).
    warm_start : bool, default False
        `fit` goes on from the weights of the last one (before averaging or pocket); classes and features must be the
        same.
    n_iter_no_change : int, default 5
        See `tol`.
    early_stopping : bool, default False
        Hold out `validation_fraction` of the rows, score them after each epoch, and stop once `n_iter_no_change` epochs
        in a row have not brought the score to `tol` (0.001 where that is None) above the best before; the weights of
        the best score come back. Not for `partial_fit`.
    validation_fraction : float, default 0.1
        Share of the rows, of each class alike, that `early_stopping` holds out.
    verbose : bool or int, default 0
        Print error and mistakes of each epoch.
    penalty : None
        The perceptron rule descends error(w, b), which has no penalty: any other value is refused.
    alpha, l1_ratio : float, default 0.0001, 0.15
        Of `penalty`, and therefore without effect, as in scikit-learn where that is None.
    n_jobs : int or None, default None
        Without effect: the problems of several classes share one pass over the rows.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d), or (k, d) for k > 2 classes
        Weights w.
    intercept_ : ndarray of shape (1,) or (k,)
        Biases b.
    classes_ : ndarray of shape (k,)
        The labels, sorted.
    n_iter_ : int
        Epochs run, the one without a mistake included; `partial_fit` adds one each time.
    n_mistakes_ : int
        Mistakes over all of training, summed over the one-versus-rest problems.
    history_ : PerceptronHistory
        ``epoch``, ``error`` and ``mistakes``: one value per epoch.
    converged_ : bool
        Whether the last epoch made no mistake.
    n_features_in_ : int

    Notes
    -----
    The lecture's slides drop the minus of the gradient and write x_i for y_i in the step of the bias;
    following them, each mistake would push the hyperplane further to the wrong side. Above are the right signs. They
    also call d_i a distance: d_i is the margin, which is non-negative only where x_i is on its right side. The signed
    distance from the hyperplane is (w·x + b)/‖w‖, see `signed_distance`.

    Weights of examples multiply the steps as they are: the error is a sum and not a mean, so that weight k is k
    copies for the batch rule. A common factor of all weights scales (w, b) and changes no prediction. Rows of weight
    0 are left out as if they were not there.

    References
    ----------
    F. Rosenblatt, "The perceptron", Psychological Review 65, 1958. A. Novikoff, "On convergence
    proofs for perceptrons", 1962. S. Gallant, "Perceptron-based learning algorithms", 1990 (pocket). Y. Freund and R.
    Schapire, "Large margin classification using the perceptron algorithm", 1999 (average).

    Examples
    --------
    >>> from backprop.perceptron import Perceptron
    >>> X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> y = ["no", "no", "no", "yes"]
    >>> p = Perceptron(shuffle=False).fit(X, y)
    >>> p.coef_, p.intercept_
    (array([[3., 2.]]), array([-4.]))
    >>> p.converged_, p.n_iter_, p.history_.mistakes
    (True, 9, [2, 3, 3, 2, 2, 3, 2, 1, 0])
    >>> p.predict([[2.0, 2.0], [-1.0, 0.0]]).tolist()
    ['yes', 'no']
    """

    def __init__(self, rule: str = "stochastic", eta0: float = 1.0, max_iter: int = 1000, tol: float | None = None,
                 shuffle: bool = True, fit_intercept: bool = True, random_state: Seed = None, average: bool = False,
                 pocket: bool = False, class_weight: str | Mapping | None = None, warm_start: bool = False,
                 n_iter_no_change: int = 5, early_stopping: bool = False, validation_fraction: float = 0.1,
                 verbose: int = 0, penalty: None = None, alpha: float = 0.0001, l1_ratio: float = 0.15,
                 n_jobs: int | None = None) -> None:
        self.rule = rule
        self.eta0 = eta0
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.fit_intercept = fit_intercept
        self.random_state = random_state
        self.average = average
        self.pocket = pocket
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.verbose = verbose
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.n_jobs = n_jobs

    def _options(self):
        options = _Options(
            rule=_check.choice(self.rule, "rule", RULES),
            eta0=_check.real(self.eta0, "eta0", above=0),
            max_iter=_check.integer(self.max_iter, "max_iter", minimum=1),
            tol=None if self.tol is None else _check.real(self.tol, "tol", minimum=0),
            n_iter_no_change=_check.integer(self.n_iter_no_change, "n_iter_no_change", minimum=1),
            validation_fraction=_check.real(self.validation_fraction, "validation_fraction", above=0, below=1),
            verbose=_estimator_base.verbosity(self.verbose),
            **{name: _check.boolean(getattr(self, name), name)
               for name in ("shuffle", "fit_intercept", "average", "pocket", "early_stopping")})
        _check.boolean(self.warm_start, "warm_start")
        self._check_what_has_no_effect()
        if options.average and options.pocket:
            raise ValueError("average=True and pocket=True exclude each other: choose one")
        return options

    def _check_what_has_no_effect(self):
        if self.penalty is not None:
            raise ValueError(f"penalty must be None, got {_check.shown(self.penalty)}: the perceptron rule descends "
                             "error(w, b), which has no penalty (MLPClassifier has alpha and l1)")
        _check.real(self.alpha, "alpha", minimum=0)
        _check.real(self.l1_ratio, "l1_ratio", minimum=0, maximum=1)
        if self.n_jobs is not None:
            _check.integer(self.n_jobs, "n_jobs")

    # ---- training -------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
            coef_init: ArrayLike | None = None, intercept_init: ArrayLike | None = None) -> Perceptron:
        """Train until an epoch makes no mistake, `tol` says so, or `max_iter` epochs are done.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (n, d)
            Examples, one per row. Sparse rows become dense some at a time, except under `pocket`.
        y : array_like of shape (n,)
            Labels of any kind that can be sorted, of two classes or more.
        sample_weight : array_like of shape (n,) or None
            Weights c_i >= 0 of the examples; a step is multiplied by c_i.
        coef_init : array_like of shape (1, d) or (d,), or (k, d) for k > 2 classes, optional
            Weights to start from, instead of 0 or of the last ones under `warm_start`.
        intercept_init : array_like of shape (1,) or a number, or (k,) for k > 2 classes, optional
            Biases likewise.

        Returns
        -------
        Perceptron
            The perceptron itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data cannot be used; the message names it.
        DivergenceError
            If weights or error overflow.

        Warns
        -----
        ConvergenceWarning
            Once, where `max_iter` epochs did not suffice.

        Notes
        -----
        A fit that fails, or that Ctrl-C ends, leaves the perceptron as it was.
        """
        with _estimator_base.unchanged_by_failure(self):
            self._fit(X, y, sample_weight, coef_init, intercept_init)
        return self

    def _fit(self, X, y, sample_weight, coef_init, intercept_init):
        options = self._options()
        generator = _check.generator(self.random_state, "random_state")
        goes_on = self.warm_start and hasattr(self, "coef_")
        X, y, weight = self._data(X, y, sample_weight, reset=not goes_on)
        classes = _classes(y[weight > 0], "y")
        weights = self._start(classes, X.shape[1], coef_init, intercept_init)
        examples = _examples(X, y, weight, classes, self.class_weight)
        history = PerceptronHistory()
        stopped = self._train(options, examples, weights, generator, history, options.max_iter)
        self._commit(options, classes, weights, history, stopped == "converged")
        self._generator = generator
        if stopped == "max_iter":
            warnings.warn(
                f"the perceptron still made {history.mistakes[-1]} mistakes in epoch {options.max_iter}, the last of "
                f"max_iter={options.max_iter}: raise max_iter, or take average=True or pocket=True where no hyperplane "
                "separates the classes", sklearn_or_own("ConvergenceWarning"), stacklevel=3)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None,
                    sample_weight: ArrayLike | None = None) -> Perceptron:
        """Train for one epoch on a part of the data, going on from the present weights.

        Parameters
        ----------
        X : array_like of shape (n, d)
        y : array_like of shape (n,)
        classes : array_like or None
            All labels that will ever come; needed at the first call, and the same ones, or None, later.
        sample_weight : array_like of shape (n,) or None
            As in `fit`.

        Returns
        -------
        Perceptron
            The perceptron itself.

        Raises
        ------
        ValueError
            If a label is not among the classes, and as in `fit`; then nothing is changed.

        Notes
        -----
        The average goes on over all calls. The pocket goes on too, but its errors are counted anew on the examples of
        each call.

        Examples
        --------
        >>> from backprop.perceptron import Perceptron
        >>> p = Perceptron(shuffle=False).partial_fit([[1.0], [2.0]], [1, 1], classes=[0, 1])
        >>> p.partial_fit([[-1.0]], [0]).coef_
        array([[2.]])
        """
        with _estimator_base.unchanged_by_failure(self):
            self._partial_fit(X, y, classes, sample_weight)
        return self

    def _partial_fit(self, X, y, classes, sample_weight):
        options = self._options()
        if options.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: score the rows you hold out yourself")
        if isinstance(self.class_weight, str):
            _check.choice(self.class_weight, "class_weight", ("balanced",))
            raise ValueError('class_weight="balanced" needs all data at once: use fit, or pass a dict')
        fitted = hasattr(self, "coef_")
        X, y, weight = self._data(X, y, sample_weight, reset=not fitted)
        classes = self._partial_classes(classes)
        weights = self._weights.copy() if fitted else _Weights.zeros(_problems(classes), X.shape[1])
        examples = _examples(X, y, weight, classes, self.class_weight)
        generator = self._generator if fitted else _check.generator(self.random_state, "random_state")
        history = PerceptronHistory(**self.history_.to_dict()) if fitted else PerceptronHistory()
        stopped = self._train(options, examples, weights, generator, history, 1)
        self._commit(options, classes, weights, history, stopped == "converged")
        self._generator = generator

    def _data(self, X, y, sample_weight, reset):
        """Checked (X, y, weights); X may be `SparseRows`."""
        X, y = _estimator_base.validated(self, X, y, reset=reset,
                                         check_y=lambda y: _check.labels(y, rows=np.shape(X)[0]))
        if _estimator_base.is_sparse(X):
            X = _sparse.inputs(X, "X", X.shape[1], "as they came")
        n = X.shape[0]
        y = _check.labels(_estimator_base.column(np.asarray(y)), rows=n)
        refuse_continuous(y)
        weight = _estimator_base.sample_weights(sample_weight, n)
        return X, y, np.ones(n) if weight is None else np.array(weight)

    def _partial_classes(self, classes):
        if classes is not None:
            classes = _classes(_check.labels(classes, "classes"), "classes")
        if not hasattr(self, "coef_"):
            if classes is None:
                raise ValueError("classes must be given at the first call of partial_fit: all labels that will come")
            return classes
        if classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(f"classes {classes.tolist()} are not those of the first fit, {self.classes_.tolist()}")
        return self.classes_

    def _start(self, classes, d, coef_init, intercept_init):
        """Weights to start a fit from: zeros, the last ones under warm_start, or those that `fit` was given."""
        weights = _Weights.zeros(_problems(classes), d)
        if self.warm_start and hasattr(self, "coef_"):
            if not np.array_equal(classes, self.classes_):
                raise ValueError(f"warm_start: y has the classes {classes.tolist()}, expected {self.classes_.tolist()}")
            weights = self._weights.restart()
        for start, value, name in ((weights.W, coef_init, "coef_init"), (weights.b, intercept_init, "intercept_init")):
            if value is not None:
                start[...] = _initial(value, name, start.shape)
        return weights if coef_init is None and intercept_init is None else weights.restart()

    def _train(self, options, examples, weights, generator, history, max_iter):
        """Train `weights` and `history` in place: "converged", "tol" or "max_iter". A failure rewinds the generator."""
        if not options.average:                      # an average starts with the call that asks for it
            weights.visits[:], weights.drift_W[:], weights.drift_b[:] = 0, 0, 0
        if isinstance(examples.X, _sparse.SparseRows) and options.pocket:
            examples.X = examples.X[:]               # it goes through all rows after each update
        order = generator if options.shuffle and options.rule == "stochastic" else None
        rewind = generator.bit_generator.state
        try:
            validation = _hold_out(options, examples, generator) if options.early_stopping else None
            run = _Run(options, examples, weights)
            if options.pocket:
                run.open_pocket()
            stopped = _epochs(run, options, order, history, max_iter,
                              None if validation is None else
                              lambda: validation.look(weights, options.average, options.pocket))
            if options.pocket and options.rule == "batch":
                run.offer()                          # the weights after the last step
            if validation is not None:
                validation.restore(weights)
        except BaseException:                        # Ctrl-C too
            generator.bit_generator.state = rewind
            raise
        return stopped

    def _commit(self, options, classes, weights, history, converged):
        self._weights = weights
        self.coef_, self.intercept_ = weights.result(options.average, options.pocket)
        self.classes_ = classes
        self.history_ = history
        self.n_iter_ = len(history.epoch)
        self.n_mistakes_ = sum(history.mistakes)
        self.converged_ = converged

    # ---- files ----------------------------------------------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Write the fitted perceptron to one file, atomically; `backprop.load` reads it back, and training goes on.

        The file is that of a network with one layer, the net inputs, whose weights are `coef_` transposed. A
        `random_state` that is an object is left out; the state of the generator is kept.

        Parameters
        ----------
        path : str or os.PathLike
        """
        from backprop import model_file  # loaded only when a model is saved or loaded

        if not hasattr(self, "coef_"):
            raise _estimator_base.not_fitted(self)
        model_file.save(path, self)

    def _file_parts(self):
        from backprop import _estimator_file
        from backprop.model import labels_document
        from backprop.network import Network

        k, d = self.coef_.shape
        network = Network([d, k], output="identity", init=([self.coef_.T], [self.intercept_]))
        network._generator = self._generator
        names = self.__dict__.get("feature_names_in_")
        return "estimator", network, _estimator_file.properties(self, {
            "feature_names": None if names is None else list(names), "classes": labels_document(self.classes_),
            "converged": bool(self.converged_), "history": self.history_.to_dict(),
            "weights": {name: values.tolist() for name, values in vars(self._weights).items()}})

    def _restore(self, network, fitted):
        """The state that `_file_parts` described."""
        from backprop.model import labels_of

        self.coef_, self.intercept_ = np.ascontiguousarray(network.weights[0].T), network.biases[0].copy()
        k, d = self.coef_.shape
        self._weights = _Weights(**{name: np.array(values, np.float64) for name, values in fitted["weights"].items()})
        for name, shape in {name: values.shape for name, values in vars(_Weights.zeros(k, d)).items()}.items():
            if getattr(self._weights, name).shape != shape:
                raise ValueError(f"the perceptron's {name} must have shape {shape}")
        self.classes_ = labels_of(fitted["classes"])
        if _problems(self.classes_) != k:
            raise ValueError(f"{len(self.classes_)} classes do not belong to {k} hyperplanes")
        if fitted["feature_names"] is not None:
            self.feature_names_in_ = np.array(fitted["feature_names"], dtype=object)
        self.history_, self._generator = PerceptronHistory(**fitted["history"]), network._generator
        self.n_iter_, self.n_mistakes_ = len(self.history_.epoch), sum(self.history_.mistakes)
        self.converged_, self.n_features_in_ = bool(fitted["converged"]), d

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- use ------------------------------------------------------------------------------------------------------

    def _scores(self, X):
        """Net inputs (n, number of problems)."""
        if not hasattr(self, "coef_"):
            raise _estimator_base.not_fitted(self)
        row = _estimator_base.one_row(self, X)
        if row is not None:
            return net_inputs(row.reshape(1, -1), self.coef_, self.intercept_)
        X = _sparse.inputs(_estimator_base.inputs(self, X), "X", self.n_features_in_, "the features of the fit")
        return net_inputs(X, self.coef_, self.intercept_)

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Net inputs w·x + b.

        Parameters
        ----------
        X : array_like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, k) for k > 2 classes
            Positive on the side of ``classes_[1]``, or of the column's class.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels: ``classes_[1]`` where w·x + b > 0, else ``classes_[0]``; the class of the largest net input of k > 2.

        Parameters
        ----------
        X : array_like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,)
        """
        predicted = chosen(self._scores(X))                  # first, as it tells where there are no classes yet
        return self.classes_[predicted]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of the rows, or of their weight, whose label is predicted; a label unknown to `fit` counts as wrong.

        Parameters
        ----------
        X : array_like of shape (n, d)
        y : array_like of shape (n,)
        sample_weight : array_like of shape (n,) or None

        Returns
        -------
        float
        """
        predicted = chosen(self._scores(X))
        y = _check.labels(y, rows=len(predicted))
        if y.dtype == object:
            unique(y, "y")                                   # TypeError for kinds that cannot be sorted
        right = _index(y, self.classes_) == predicted
        return float(np.average(right, weights=_weight(sample_weight, len(predicted))))

    def signed_distance(self, X: ArrayLike) -> FloatArray:
        """Signed Euclidean distance of each example from the hyperplane, (w·x + b)/‖w‖.

        Parameters
        ----------
        X : array_like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,)
            Positive on the side of ``classes_[1]``. For k > 2 classes from the hyperplane of the predicted class.

        Raises
        ------
        ValueError
            If w = 0, which is no hyperplane.

        Examples
        --------
        >>> from backprop.perceptron import Perceptron
        >>> p = Perceptron(shuffle=False).fit([[3.0, 4.0], [-3.0, -4.0]], [1, 0])
        >>> p.coef_, p.intercept_
        (array([[3., 4.]]), array([1.]))
        >>> p.signed_distance([[3.0, 4.0], [0.0, 0.0]])
        array([5.2, 0.2])
        """
        scores = self._scores(X)
        largest = np.abs(self.coef_).max(axis=1)
        if not largest.all():
            raise ValueError("the weights w are all zero: there is no hyperplane to be distant from")
        norm = np.sqrt(((self.coef_ / largest[:, None]) ** 2).sum(axis=1))       # scaled, so that no square overflows
        column = np.zeros(len(scores), np.intp) if scores.shape[1] == 1 else chosen(scores)
        return scores[np.arange(len(scores)), column] / largest[column] / norm[column]

    def margin(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Margins d_i = y_i (w·x_i + b): positive where the example is on its right side.

        Parameters
        ----------
        X : array_like of shape (n, d)
        y : array_like of shape (n,)

        Returns
        -------
        ndarray of shape (n,)
            For k > 2 classes the net input of the right class less the largest of the others: again positive where the
            prediction is right.
        """
        scores = self._scores(X)
        label = self._known(y, len(scores))
        if scores.shape[1] == 1:
            return np.where(label == 1, scores[:, 0], -scores[:, 0])
        rows = np.arange(len(scores))
        own = scores[rows, label]
        scores[rows, label] = -np.inf
        return own - scores.max(axis=1)

    def error(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """error(w, b) = -Σ_M c_i y_i (w·x_i + b) over the mistakes M: what training descends; 0 without mistakes.

        Parameters
        ----------
        X : array_like of shape (n, d)
        y : array_like of shape (n,)
        sample_weight : array_like of shape (n,) or None
            The c_i, by default 1 (class weights are not applied).

        Returns
        -------
        float
            For k > 2 classes the sum over the one-versus-rest problems.
        """
        scores = self._scores(X)
        label = self._known(y, len(scores))
        weight = _weight(sample_weight, len(scores))
        positive = np.array([1]) if scores.shape[1] == 1 else np.arange(scores.shape[1])
        margins = np.where(label[:, None] == positive, scores, -scores)
        return float((weight[:, None] * np.maximum(-margins, 0.0)).sum())

    def _known(self, y, rows):
        """Index of each label among the classes, or ValueError."""
        return _known(_check.labels(y, rows=rows), self.classes_)


def _to_the_end(kernel, *arguments):
    """Call a kernel, slice after slice, until there is no more to do; its last status."""
    while (status := kernel(*arguments, SLICE)) == _MORE:
        pass
    return status


def _hold_out(options, examples, generator):
    """Take the rows of early stopping away from `examples`; their `Validation`."""
    examples.rows, held = split(examples.label, examples.rows, options.validation_fraction, generator)
    X = examples.X.rows(held) if isinstance(examples.X, _sparse.SparseRows) else examples.X[held]
    return Validation(X, examples.label[held], examples.weight[held], EARLY_TOL if options.tol is None else options.tol,
                      options.n_iter_no_change)


def _initial(value, name, shape):
    """Weights or biases that a caller starts from, in `shape`; those of one problem may lack its dimension."""
    value = np.asarray(_check._float64(value, name))
    if shape[0] == 1 and value.ndim == len(shape) - 1:
        value = value.reshape(1, *value.shape)
    value = _check.array(value, name, len(shape))
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    return value


def _epochs(run, options, generator, history, max_iter, no_better=None):
    """Train epoch by epoch; tiny epochs share kernel calls, in blocks that double, where nobody looks between them.

    `no_better` is asked after each epoch under early stopping; where it says True, that was the last.
    """
    done, block, quiet, best = 0, 1, 0, np.inf
    enough = None if options.tol is None else options.tol * run.weight[run.rows].sum()
    looked_at = options.tol is not None or options.verbose or no_better is not None
    while done < max_iter:
        count = 1 if looked_at else min(block, max_iter - done)
        status = run.epochs(count, options.rule, generator)
        history._extend(run.error[:run.at[0]], run.mistakes[:run.at[0]])
        _refuse_overflow(run, len(history.epoch) - int(run.at[0]))
        if options.verbose:
            print(f"Epoch {len(history.epoch)}: error = {history.error[-1]:.8g}, mistakes = {history.mistakes[-1]}")
        patience_ends = no_better is not None and no_better()
        if status == _CONVERGED:
            return "converged"
        if patience_ends:
            return "early_stopping"
        error = history.error[-1]
        if options.tol is not None and no_better is None and error > 0:
            quiet = 0 if best - error > enough else quiet + 1
            best = min(best, error)
            if quiet >= options.n_iter_no_change:
                return "tol"
        done += count
        block = max(1, min(2 * block, BLOCK // run.m))
    return "max_iter"


def _refuse_overflow(run, first):
    """DivergenceError if an error of the epochs just run, from number `first` on, or a weight is not finite."""
    finite = np.isfinite(run.error[:run.at[0]])
    if finite.all() and all(np.isfinite(a).all() for a in (run.W, run.b, run.drift_W, run.drift_b)):
        return
    epoch = first + (int(np.argmin(finite)) if not finite.all() else len(finite) - 1)
    raise DivergenceError(f"the perceptron's weights or error overflowed in epoch {epoch}, counted from 0: scale X, or "
                          "take a smaller eta0 or smaller weights")


def _weight(sample_weight, rows):
    """One weight per row, an array of its own."""
    if sample_weight is None:
        return np.ones(rows)
    return np.array(_check.weights(sample_weight, "sample_weight", rows=rows))


def _problems(classes):
    return 1 if len(classes) == 2 else len(classes)


def _classes(labels, name):
    """The sorted labels, two or more."""
    classes = unique(labels, name)
    if len(classes) < 2:
        raise ValueError(f"{name} must hold two classes or more, got 1 class only: {classes.tolist()}")
    return classes


def _index(labels, classes):
    """Index of each label among the sorted classes, -1 for an unknown one."""
    if len(classes) == 2 and labels.dtype.kind in "iufb" and classes.dtype.kind in "iufb":     # ten times as fast
        second = labels == classes[1]
        return np.where(second | (labels == classes[0]), second, -1).astype(np.intp)
    try:
        place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    except TypeError:                                # labels of a kind that cannot be compared with the classes
        return np.full(len(labels), -1, np.intp)
    return np.where(classes[place] == labels, place, -1).astype(np.intp)


def _known(labels, classes):
    """Index of each label among the sorted classes; ValueError for an unknown one."""
    index = _index(labels, classes)
    if (index < 0).any():
        row = int(np.argmax(index < 0))
        raise ValueError(f"y holds the unknown label {labels[row:].tolist()[0]!r} at row {row}; the classes are "
                         f"{classes.tolist()}")
    return index


def _examples(X, y, weight, classes, class_weight):
    """Labels as indices, weights with the class weights in them, and the rows that count; `weight` is changed."""
    rows = np.flatnonzero(weight > 0)
    if len(rows) == len(y) and class_weight is None:
        return _Examples(X, _known(y, classes), weight, rows)
    label = np.full(len(y), -1, np.intp)
    label[rows] = _known(y[rows], classes)
    weight[rows] *= _class_factors(class_weight, classes, label[rows], weight[rows])[label[rows]]
    rows = rows[weight[rows] > 0]
    if not len(rows):
        raise ValueError("class_weight leaves no example of positive weight")
    _check.finite(weight, "sample_weight times class_weight")
    return _Examples(X, label, weight, rows)


def _class_factors(class_weight, classes, label, weight):
    """One factor per class."""
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        _check.choice(class_weight, "class_weight", ("balanced",))
        return weight.sum() / (len(classes) * np.bincount(label, weight, len(classes)))
    if not isinstance(class_weight, dict):
        raise TypeError(f'class_weight must be a dict, "balanced" or None, got {type(class_weight).__name__}')
    factors, names = np.ones(len(classes)), classes.tolist()
    for key, value in class_weight.items():
        if key not in names:
            raise ValueError(f"class_weight names {key!r}, which is not among the classes {names}")
        factors[names.index(key)] = _check.real(value, f"class_weight[{key!r}]", minimum=0)
    return factors
