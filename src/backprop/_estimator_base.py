"""What makes a class an estimator: scikit-learn's base classes where it is installed, small stand-ins elsewhere.

Only the modules of the estimators import this one, so that `import backprop` never loads scikit-learn. With
scikit-learn 1.6 or newer its own validation is the gate for the data of a call, with its messages and the names of
columns; without, it is `_check`.
"""

import contextlib
import functools
import inspect
import numbers
import warnings

import numpy as np

from backprop import _check, _frames, _labels, _sparse, metrics
from backprop._dispatch import core
from backprop._sparse import is_sparse
from backprop.errors import sklearn_or_own

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.validation import validate_data
except ImportError:                                      # absent, or older than 1.6
    validate_data = None
try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks  # scikit-learn 1.9
except ImportError:
    def with_callbacks(method):
        """The method itself: there are no callbacks to tear down."""
        return method

    class CallbackSupportMixin:                          # type: ignore[no-redef]
        """No callbacks of scikit-learn's protocol."""

if validate_data is None:
    class BaseEstimator:                                 # type: ignore[no-redef]
        """Parameters by name, as scikit-learn's class of this name has them."""

        @classmethod
        def _get_param_names(cls):
            return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

        def get_params(self, deep=True):
            """The constructor's parameters as a dict; `deep` is there for scikit-learn, nothing is nested."""
            return {name: getattr(self, name) for name in self._get_param_names()}

        def set_params(self, **params):
            """Set constructor parameters by name; they are checked by the next `fit`. Returns the estimator."""
            names = self._get_param_names()
            for name in params:
                if name not in names:
                    raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {names}.")
            for name, value in params.items():
                setattr(self, name, value)
            return self

        def __repr__(self):
            defaults = {name: p.default for name, p in inspect.signature(type(self).__init__).parameters.items()}
            changed = (f"{name}={getattr(self, name)!r}" for name in self._get_param_names()
                       if repr(getattr(self, name)) != repr(defaults[name]))
            return f"{type(self).__name__}({', '.join(changed)})"

    class ClassifierMixin:                               # type: ignore[no-redef]
        """What a classifier is told by."""

        _estimator_type = "classifier"

    class RegressorMixin:                                # type: ignore[no-redef]
        """What a regressor is told by."""

        _estimator_type = "regressor"


class Classifier(ClassifierMixin):
    """A classifier's `score`, with the library's own checks of what it is given."""

    def score(self, X, y, sample_weight=None):
        """Share of the rows, or of their weight, that are predicted right; of whole rows in multilabel."""
        P = self.predict(X)
        given = y.toarray() if is_sparse(y) else y
        y = _labels.checked(given)
        if y.shape != P.shape:
            raise ValueError(f"y has shape {np.shape(given)}, expected {P.shape}")
        if y.dtype == object:
            _labels.unique(y, "y")                       # TypeError for kinds that cannot be sorted
        if (y.dtype.kind == "U") != (P.dtype.kind == "U"):       # text and something else: none would be right
            raise ValueError(f"y has labels such as {y.tolist()[0]!r}, and classes_ is {self.classes_}")
        weight = None if sample_weight is None else _check.weights(sample_weight, "sample_weight", rows=len(P))
        right = y == P
        return float(np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weight))


class Regressor(RegressorMixin):
    """A regressor's `score`, with the library's own checks of what it is given."""

    def score(self, X, y, sample_weight=None):
        """The coefficient of determination R², its mean over outputs."""
        P = self.predict(X)
        Y = _check.targets(y, "y", rows=len(P), columns=1 if P.ndim == 1 else P.shape[1])
        weight = None if sample_weight is None else _check.weights(sample_weight, "sample_weight", rows=len(P))
        return r2(Y, P.reshape(Y.shape), weight)


class Estimator(BaseEstimator):
    """What our estimators add to scikit-learn's: a `set_params` that changes all or nothing."""

    def set_params(self, **params):
        """Set constructor parameters by name; they are checked by the next `fit`. Returns the estimator.

        A name that is unknown raises ValueError, and nothing is set.
        """
        names = self._get_param_names()
        unknown = next((name for name in params if name.partition("__")[0] not in names), None)
        return super().set_params(**(params if unknown is None else {unknown: None}))


def r2(Y, P, weight=None):
    """R² of (n, n_L) targets and predictions, its mean over outputs."""
    return float(metrics.r2(Y, P, weight))


_REAL = "?bBhHiIlLqQefd"                    # kinds of numbers that become float64 without a warning


# ---- data in ---------------------------------------------------------------------------------------------------------

def validated(estimator, X, y, *, reset, check_y, y_numeric=False):
    """(X, y) of a fit: X finite float64 (n, d), dense or CSR; y a dense array. Keeps width and names of the columns.

    `check_y(y)` raises our own error for targets that cannot be.
    """
    X, y = _gathered(X, "X"), plain_targets(y, y_numeric)
    if _is_scikit_learns(X):
        if _is_plain(X) and _is_plain_target(y, len(X), y_numeric) and (reset or _is_as_fitted(estimator, X)):
            if reset:
                keep_columns(estimator, X.shape[1], None)
            return X, y
        try:
            return validate_data(estimator, X, y, accept_sparse="csr", dtype=np.float64, order="C", multi_output=True,
                                 y_numeric=y_numeric, reset=reset)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _in_our_words(error, lambda: _sparse.checked(X, "X") if is_sparse(X) else _check.matrix(X),
                                lambda: y is None or check_y(y),
                                lambda: y is None or _check_shape(y, np.shape(X)[0])) from None
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    X = _rows_without_sklearn(estimator, X, reset)
    if not y_numeric:
        check_y(y)
    y = _check._float64(y, "y") if y_numeric else np.asarray(y)
    if y.dtype.kind == "f":
        _check.finite(y, "y")
    _check_shape(y, X.shape[0])
    return X, y


def inputs(estimator, X):
    """X of a prediction, checked against the columns of the fit: finite float64 (n, d), dense or CSR."""
    X = _gathered(X, "X")
    if _is_scikit_learns(X):
        if _is_plain(X) and _is_as_fitted(estimator, X):
            return X
        try:
            return validate_data(estimator, X, accept_sparse="csr", dtype=np.float64, order="C", reset=False)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _in_our_words(error, lambda: _sparse.checked(X, "X") if is_sparse(X) else _check.matrix(X)) from None
    return _rows_without_sklearn(estimator, X, False)


def _gathered(value, name):
    """A list or tuple as the array that it becomes, which tells its kind; anything else, and what becomes none, as it
    is. ValueError where something is masked."""
    value = _check.unmasked(value, name)
    if isinstance(value, (list, tuple)):
        with contextlib.suppress(ValueError, TypeError):         # what is wrong with it is told by the gate
            return np.asarray(value)
    return value


def plain_targets(y, y_numeric):
    """Targets before scikit-learn's gate, which takes dates for numbers and turns labels that a list or a series of
    pandas holds into floats or texts."""
    _check.not_sparse(y, "y")
    if y_numeric:
        y = _gathered(y, "y")
        if isinstance(y, np.ndarray) and _check.holds_dates(y):
            _check.array(y, "y", y.ndim)                 # raises
        return y
    if isinstance(y, (list, tuple)) or _frames.is_frame(y) and not hasattr(y, "columns") or _is_text(y):
        with contextlib.suppress(ValueError, TypeError):
            return _check.label_array(y, "y")
    return _check.unmasked(y, "y")


def _is_text(y):
    """Whether y is an array of NumPy's strings of any length."""
    return isinstance(y, np.ndarray) and y.dtype.kind == "T"


def _is_scikit_learns(X):
    """Whether scikit-learn's validation is the gate for X: not for dates, which it takes for numbers, nor for frames of
    polars, whose names its older releases do not see."""
    if validate_data is None or _frames.is_polars(X) or isinstance(X, np.ndarray) and _check.holds_dates(X):
        return False
    kinds = [X.dtype] if hasattr(X, "dtype") else getattr(X, "dtypes", ())
    return not any(getattr(kind, "kind", None) in ("m", "M") for kind in kinds)


def _is_plain(X):
    """Whether X needs no conversion and has no names: one pass over it, where scikit-learn's gate makes several."""
    return _check.is_ready(X) and X.ndim == 2 and X.size > 0 and core.is_finite(X.reshape(-1))


def _is_as_fitted(estimator, X):
    """Whether a plain X has the width of the fit, which was without names, too."""
    return X.shape[1] == estimator.n_features_in_ and "feature_names_in_" not in estimator.__dict__


def keep_columns(estimator, width, names):
    """What later calls are compared with; names is None where X has none."""
    estimator.n_features_in_ = width
    estimator.__dict__.pop("feature_names_in_", None)
    if names is not None:
        estimator.feature_names_in_ = names


def _is_plain_target(y, rows, y_numeric):
    """Whether y is a flat array of finite numbers, float64 where targets must be."""
    return (type(y) is np.ndarray and y.shape == (rows,) and y.dtype.kind in ("f" if y_numeric else "iufb")
            and y.dtype.isnative and (y.dtype.kind != "f" or bool(np.isfinite(y).all())))


def one_row(estimator, X):
    """(d,) finite float64 values of an X that is one row with the width and the names of the fit; None for any other.

    scikit-learn's gate costs more than the network, so what is plainly right goes past it: an array of real numbers, a
    nested list, a frame of pandas or polars. Where the fit had names and X has none, the gate's warning is given here.
    """
    names = estimator.__dict__.get("feature_names_in_")
    if type(X) is np.ndarray:
        row = X[0] if X.ndim == 2 and len(X) == 1 else None
    elif type(X) in (list, tuple):
        row = _listed(X[0]) if len(X) == 1 else None
    elif names is not None and _frames.is_frame(X):
        row, names = _listed(_frames.one_row(X, names.tolist())), None
    else:
        row = None
    if row is None or row.ndim != 1 or len(row) != estimator.n_features_in_ or row.dtype.char not in _REAL:
        return None
    if not _check.is_ready(row):
        row = row.astype(np.float64)
    if not core.is_finite(row):
        return None
    if names is not None:
        _warn_of_names(estimator, missing=True)
    return row


def _listed(row):
    """A row of numbers as an array; None for what cannot be one."""
    if type(row) is np.ndarray:
        return row
    try:
        return np.array(row) if type(row) in (list, tuple) else None
    except (ValueError, TypeError, OverflowError):
        return None


def _warn_of_names(estimator, missing, stacklevel=5):
    """scikit-learn's warnings: of rows without the names that the fit had, and the other way round."""
    name = type(estimator).__name__
    warnings.warn(f"X does not have valid feature names, but {name} was fitted with feature names" if missing else
                  f"X has feature names, but {name} was fitted without feature names", stacklevel=stacklevel)


def is_single(X):
    """Whether X is float32 throughout."""
    dtype = getattr(X, "dtype", None)
    if dtype is None:
        kinds = getattr(X, "dtypes", ())
        return len(kinds) > 0 and all(kind == np.float32 for kind in kinds)
    return dtype == np.float32


def _check_shape(y, rows):
    shape = np.shape(y)
    if len(shape) not in (1, 2):
        raise ValueError(f"y must be 1-D or 2-D, one row per row of X, got shape {shape}")
    if shape[0] != rows:
        raise ValueError(f"y has {shape[0]} rows, but X has {rows}")
    if 0 in shape:
        raise ValueError(f"y is empty: shape {shape}")


def _in_our_words(error, *checks):
    """The error of the first of our own checks that raises, which names the place, with scikit-learn's words behind it;
    scikit-learn's error itself where none does."""
    for check in checks:
        try:
            check()
        except (ValueError, TypeError) as ours:
            return type(ours)(f"{ours} ({' '.join(str(error).split())})")
    return error


def _rows_without_sklearn(estimator, X, reset):
    names = names_of(X)
    out = _sparse.checked(X, "X") if is_sparse(X) else _check.matrix(X)
    if reset:
        keep_columns(estimator, out.shape[1], names)
        return out
    if out.shape[1] != estimator.n_features_in_:
        raise ValueError(f"X has {out.shape[1]} features, but {type(estimator).__name__} is expecting "
                         f"{estimator.n_features_in_} features as input")
    check_names(estimator, names, 6)
    return out


def check_names(estimator, names, stacklevel=5):
    """Hold the names of columns, None where there are none, against those of the fit."""
    known = getattr(estimator, "feature_names_in_", None)
    if (known is None) != (names is None):
        _warn_of_names(estimator, names is None, stacklevel)
    elif known is not None and not np.array_equal(known, names):
        raise ValueError("The feature names should match those that were passed during fit: "
                         f"{known.tolist()}, got {names.tolist()}")


def names_of(X):
    """Names of a frame's columns where all are strings, else None."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.array(list(columns), dtype=object)


def column(y):
    """y with a single column as 1-D, with the warning that scikit-learn gives; anything else as it is."""
    if is_column(y):
        warn_of_column(6)
        return y[:, 0]
    return y


def is_column(y):
    """Whether y is two-dimensional with a single column."""
    return getattr(y, "ndim", 1) == 2 and y.shape[1] == 1


def warn_of_column(stacklevel):
    """scikit-learn's warning."""
    warnings.warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                  "(n_samples,), for example using ravel().", _conversion_warning(), stacklevel=stacklevel)


def _conversion_warning():
    try:
        from sklearn.exceptions import DataConversionWarning
    except ImportError:
        return UserWarning
    return DataConversionWarning


def sample_weights(value, rows):
    """(rows,) weights from an array or a number, not negative, not all zero; None stays None."""
    if value is None:
        return None
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = np.full(rows, _check.real(value, "sample_weight"))
    return _check.weights(value, "sample_weight", rows=rows)


def verbosity(value):
    """`verbose` as a bool; TypeError for what is neither a bool nor an integer >= 0."""
    if not isinstance(value, numbers.Integral | np.bool_) or value < 0:
        raise TypeError(f"verbose must be True, False or an integer >= 0, got {_check.shown(value)}")
    return bool(value)


@contextlib.contextmanager
def unchanged_by_failure(estimator):
    """Whatever is raised within leaves the estimator's attributes as they were, or as the last call of what this gives
    found them."""
    before = {}

    def keep():
        before.clear()
        before.update(vars(estimator))

    keep()
    try:
        yield keep
    except BaseException:
        kept = {key: value for key, value in vars(estimator).items() if "callback" in key}    # torn down by others
        estimator.__dict__.clear()
        estimator.__dict__.update({**before, **kept})
        raise


# ---- state and methods -----------------------------------------------------------------------------------------------

def not_fitted(estimator):
    """scikit-learn's NotFittedError for this estimator."""
    name = type(estimator).__name__
    return sklearn_or_own("NotFittedError")(f"This {name} instance is not fitted yet. Call 'fit' with appropriate "
                                            "arguments before using this estimator.")


class available_if:
    """A method that an instance has only where `check(instance)` is true; elsewhere its AttributeError is raised."""

    def __init__(self, check):
        self.check = check

    def __call__(self, function):
        self.function = function
        functools.update_wrapper(self, function)
        return self

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.function
        if not self.check(instance):
            raise AttributeError(f"this {type(instance).__name__} has no method {self.function.__name__!r}")
        return self.function.__get__(instance, owner)


def random_state(seed):
    """NumPy's RandomState or Generator from what scikit-learn and this library take as one.

    An int seeds a RandomState, so that initial weights are scikit-learn's; None is NumPy's global one.
    """
    if seed is None or seed is np.random:
        return np.random.mtrand._rand
    if isinstance(seed, (np.random.RandomState, np.random.Generator)):
        return seed
    source = np.random.RandomState(np.random.MT19937(_NoEntropy()))
    source.seed(_check.integer(seed, "random_state", minimum=0, maximum=2**32 - 1))
    return source


class _NoEntropy(np.random.bit_generator.ISeedSequence):
    """For a Mersenne Twister that is seeded at once: RandomState(seed) takes 90 µs to gather entropy and drop it."""

    def generate_state(self, n_words, dtype=np.uint32):
        return np.zeros(n_words, dtype)
