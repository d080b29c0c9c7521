"""`DaskMLPClassifier` and `DaskMLPRegressor`: the estimators of `backprop.estimators` on dask collections."""

import dataclasses

import dask
import numpy as np

import backprop.dask
from backprop import _check, _estimator_base, _frames
from backprop.dask import _collections
from backprop.dask._cluster import Connection
from backprop.dask._worker import of_partition
from backprop.estimators import MLPClassifier, MLPRegressor

AVERAGE_BATCH = 200      # batch_size="auto" in mode "average", as in memory


class _Remote:
    """Stands for the examples that lie on a cluster where `MLP` counts them."""

    def __init__(self, X, Y, weight, n, total):
        self.X, self.Y, self.weight, self.n, self.total = X, Y, weight, n, total

    def __len__(self):
        return self.n


class _OnCluster:
    """What the two share: the data of a fit stay on the workers."""

    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None, *, mode="sync", local_epochs=1, client=None):
        """Train on partitions that lie on the workers of a Dask cluster.

        Parameters
        ----------
        X, y, sample_weight : dask array, dask dataframe or series, or list of Delayed
            Cut along the rows into the same partitions. They are computed twice, the first time for widths and labels:
            persist what is expensive to make.
        X_val, y_val : array_like, optional
            Data in memory to score after each epoch; `early_stopping` needs them.
        mode, local_epochs, client
            As in `backprop.dask.train`. `batch_size="auto"` is all rows in mode "sync" and 200 in "average".

        Returns
        -------
        The estimator itself.
        """
        self._call = mode, local_epochs, client
        if _estimator_base.is_column(y):
            _estimator_base.warn_of_column(3)
        try:
            return self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)
        finally:
            self.__dict__.pop("_call", None)

    def partial_fit(self, *args, **kwargs):
        """Refused: use `fit` with `warm_start=True`, which goes on from the last one."""
        raise NotImplementedError("partial_fit does not go with partitions: use fit with warm_start=True")

    def to_local(self):
        """The same fitted estimator for data in memory, an `MLPClassifier` or `MLPRegressor` that can be saved."""
        local = self._local()
        local.__dict__.update(self.__dict__)
        return local

    def save(self, path):
        """Write the estimator of `to_local` to one file, atomically; `backprop.load` reads that back."""
        self.to_local().save(path)

    def score(self, X, y, sample_weight=None):
        """Accuracy or R², of dask collections or of arrays in memory."""
        if not _is_dask(X):
            return self.to_local().score(X, y, sample_weight)
        def whole(each, name):
            return np.concatenate([_column(part, numeric=name != "y" or self._y_numeric)
                                   for part in dask.compute(*_collections.delayed(each, name)) if len(part)])

        weight = () if sample_weight is None else (whole(sample_weight, "sample_weight"),)
        return self._score(whole(y, "y"), whole(self.predict(X), "X"), *weight)

    def predict(self, X):
        """Predictions; of a dask collection a lazy one in the same partitions, of an array in memory an array."""
        return self._mapped("predict", X)

    def _mapped(self, method, X):
        self._check_fitted()
        local = self.to_local().set_params(callbacks=None)
        function = getattr(local, method)
        if not _is_dask(X):
            return function(X)
        if _collections.is_array(X) or _collections.is_frame(X):
            _estimator_base.check_names(local, _estimator_base.names_of(X))
        _estimator_base.keep_columns(local, self.n_features_in_, None)       # the workers see the values alone
        return backprop.dask.map_partitions(_OnArrays(function), X,
                                            function(np.zeros((1, self.network_.sizes[0])))[:0])

    def _training_data(self, X, y, sample_weight, fresh, classes):
        parts = _collections.partitions(X, y, sample_weight)
        with backprop.dask.connected(self._call[2], len(parts)) as client:
            found = Connection(client).results([dask.delayed(_describe)(number, part, self._y_numeric)
                                                for number, part in enumerate(parts)], "partition")
        found = [each for each in found if each is not None]
        if not found:
            raise ValueError("X is empty: none of its partitions holds a row")
        widths, names, rows, weights, labels = zip(*found)
        if len(set(widths)) > 1:
            raise ValueError(f"the partitions of X differ in their number of columns: {sorted(set(widths))}")
        other = next((each for each in names if each != names[0]), names[0])
        if other != names[0]:
            raise ValueError(f"the partitions of X differ in the names of their columns: {names[0]} and {other}")
        if not fresh and widths[0] != self.n_features_in_:
            raise ValueError(f"X has {widths[0]} columns, but the fit before had {self.n_features_in_}")
        own = None if names[0] is None else np.array(names[0], dtype=object)
        if not fresh:
            _estimator_base.check_names(self, own)
        targets, output = self._targets(np.concatenate(labels), fresh, classes)
        if fresh:
            _estimator_base.keep_columns(self, widths[0], own)
        encode = dask.delayed(_Encoded(self._encode_of(), self._y_numeric), pure=False)
        inputs = [dask.delayed(_inputs)(part) for part in parts]
        weight = None if sample_weight is None else _collections.delayed(sample_weight, "sample_weight")
        train = _Remote(inputs, [encode(part, targets.shape[1]) for part in parts], weight, sum(rows), sum(weights))
        return train, self._network_of(fresh, widths[0], targets.shape[1], output)

    def _encode_of(self):
        local = self._local()
        local.__dict__.update(self._label_attributes(), loss=self.loss)
        return local._encode

    def _split(self, train, network):
        raise ValueError("early_stopping needs X_val and y_val: a fraction of the partitions cannot be held out")

    def _train(self, network, train, held, epochs, optimizer, watch):
        if getattr(self, "class_weight", None) is not None:
            raise ValueError("class_weight does not go with partitions: give sample_weight")
        mode, local_epochs, client = self._call
        batch_size = "full" if optimizer.full_batch_only else self.batch_size
        if batch_size == "auto":
            batch_size = AVERAGE_BATCH if mode == "average" else "full"
        alpha = _check.real(self.alpha, "alpha", minimum=0.0)
        return backprop.dask.train(
            network, train.X, train.Y, mode, client, train.weight, local_epochs, epochs=epochs, batch_size=batch_size,
            optimizer=optimizer, shuffle=_check.boolean(self.shuffle, "shuffle"),
            validation=None if held is None else (held.X, held.Y, held.weight), schedule=self._schedule(watch),
            callbacks=[watch, *self._own_callbacks()], l1=self.l1, l2=alpha / train.total, dropout=self.dropout,
            clip_norm=self.clip_norm, max_norm=self.max_norm, metrics=self.metrics or (), max_seconds=self.max_seconds)

    def _commit(self, network, history, earlier, watch, train):
        watch.rules = dataclasses.replace(watch.rules, patient=False)        # the rows are not here to be evaluated
        super()._commit(network, history, earlier, watch, train)


class DaskMLPClassifier(_OnCluster, MLPClassifier):
    """`MLPClassifier` for dask collections: the same parameters, but for `class_weight` and `n_threads`.

    `fit` trains on the workers by `backprop.dask.train`; `predict` and `predict_proba` map over partitions.
    `loss_` after solver "lbfgs" is the objective before its last iteration: the rows are not here to be evaluated.

    Examples
    --------
    >>> import backprop as bp
    >>> classifier = bp.dask.DaskMLPClassifier((16,), random_state=0)        # doctest: +SKIP
    >>> classifier.fit(X, y, client=client).predict(X).compute()             # doctest: +SKIP
    """

    _local = MLPClassifier

    def predict_proba(self, X):
        """Probabilities of the classes; of a dask collection a lazy one in the same partitions."""
        return self._mapped("predict_proba", X)

    def _score(self, y, P, weight=None):
        right = y == P
        return float(np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weight))


class DaskMLPRegressor(_OnCluster, MLPRegressor):
    """`MLPRegressor` for dask collections: the same parameters, but for `n_threads`.

    `fit` trains on the workers by `backprop.dask.train`; `predict` maps over partitions.
    `loss_` after solver "lbfgs" is the objective before its last iteration: the rows are not here to be evaluated.

    Examples
    --------
    >>> import backprop as bp
    >>> regressor = bp.dask.DaskMLPRegressor(hidden_layer_sizes=(16,))     # doctest: +SKIP
    >>> regressor.fit(X, y, client=client).predict(X).compute()              # doctest: +SKIP
    """

    _local = MLPRegressor

    def _score(self, y, P, weight=None):
        return _estimator_base.r2(y.reshape(len(y), -1), P.reshape(len(P), -1), weight)


class _OnArrays:
    """A method of an estimator on the values of a partition, the names of whose columns have been checked."""

    def __init__(self, function):
        self.function = function

    def __call__(self, X):
        return self.function(_values(X))


class _Encoded:
    """The targets of a partition (X, y, weight)."""

    def __init__(self, encode, numeric):
        self.encode, self.numeric = encode, numeric

    def __call__(self, part, n_outputs):
        y = _column(part[1], self.numeric) if len(part[1]) else ()
        return self.encode(y) if len(y) else np.empty((0, n_outputs))


def _inputs(part):
    return _values(part[0])


def _values(table):
    """The array of a frame or series; an array as it is."""
    return table.to_numpy() if hasattr(table, "to_numpy") else table


def _describe(number, part, numeric):
    """(columns, their names or None, rows, sum of weights, labels that y holds) of a partition; None without rows."""
    X, _, weight = (_values(each) for each in part)
    if X.shape[0] == 0:
        return None
    try:
        labels = _labels(part[1], numeric)
    except (ValueError, TypeError) as error:
        raise of_partition(number, error) from None
    names, total = _estimator_base.names_of(part[0]), X.shape[0] if weight is None else weight.sum()
    return X.shape[1], None if names is None else names.tolist(), X.shape[0], float(total), labels


def _labels(y, numeric):
    """The labels that a partition's y holds; of numbers and of many columns the first row, which tells their kind."""
    y = _column(y, numeric)
    return y[:1] if numeric or y.ndim == 2 else np.unique(_check.labels(y))


def _column(y, numeric):
    """A partition's y as an array, which `MLPClassifier` or `MLPRegressor` would make of it in memory."""
    y = _frames.labels(y, "y") if _frames.is_frame(y) and not numeric else np.asarray(_values(y))
    return y[:, 0] if _estimator_base.is_column(y) else y


def _is_dask(X):
    from dask.delayed import Delayed

    return (_collections.is_array(X) or _collections.is_frame(X)
            or isinstance(X, (list, tuple)) and any(isinstance(each, Delayed) for each in X))
