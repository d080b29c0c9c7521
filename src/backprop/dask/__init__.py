"""Training and prediction on the workers of a Dask cluster (the extra `dask`); docs/scale.md has the mathematics."""

import contextlib
import inspect

import numpy as np

from backprop.history import History
from backprop.network import Network

__all__ = ["DaskMLPClassifier", "DaskMLPRegressor", "predict", "train"]

_DATA = ("self", "X", "Y", "sample_weight")
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(Network.train).parameters.items()
             if name not in _DATA}


def __getattr__(name):
    """The estimators, which load scikit-learn's base classes, only when they are asked for."""
    if name not in ("DaskMLPClassifier", "DaskMLPRegressor"):
        raise AttributeError(f"module 'backprop.dask' has no attribute {name!r}")
    _require()
    from backprop.dask import _estimators

    return getattr(_estimators, name)


def train(network: Network, X, Y, mode: str = "sync", client=None, sample_weight=None, local_epochs: int = 1,
          **train_options) -> History:
    """Train a network in place on partitions that lie on the workers of a Dask cluster.

    Results depend on the partitions, and on nothing else: the same partitions give the same bits on any number of
    workers, because what the partitions contribute is added in their order.

    Parameters
    ----------
    network : Network
    X, Y : dask array, dask dataframe or series, or list of Delayed
        (n, n_0) inputs and (n, n_L) targets, cut along the rows into the same partitions. Empty partitions are passed
        over. Each worker holds its partitions in memory during the call.
    mode : {"sync", "average"}
        "sync": each step is taken on the gradient over all partitions, so that the trajectory is, to rounding, that of
        one machine. `batch_size` is "full" by default, one step per epoch; B rows make n / B steps, each on an even
        share of the rows of every partition. Any rule of descent, or "lbfgs"; no dropout.
        "average": in each epoch every partition is trained on for `local_epochs` from the same parameters, with batches
        of `batch_size` rows, and the results are averaged with the partitions' weights. Far fewer messages, another
        trajectory. Any rule of descent.
    client : distributed.Client, optional
        By default the client that is active in this process, else a `LocalCluster` with a process for each processor,
        which ends with the call (a script then needs ``if __name__ == "__main__":``).
    sample_weight : like Y, optional
        (n,) weights, divided by their mean over all partitions.
    local_epochs : int, default 1
        Of mode "average".
    **train_options
        As in `Network.train`, but for `class_weight`; `validation` is (X, Y) or (X, Y, weights) in memory. `n_threads`
        is the workers' own number.

    Returns
    -------
    History
        `loss` in mode "average" is that of the last local epoch.

    Raises
    ------
    ImportError
        Without the extra `dask`.
    ValueError, TypeError
        For bad arguments and, with the number of the partition, bad data; the network is unchanged.
    RuntimeError
        Where workers are lost and their partitions cannot be made again, where a worker stops answering, or the
        scheduler is gone. A worker that is lost otherwise changes no bit: its partitions are computed again elsewhere.
    DivergenceError, KeyboardInterrupt
        As in `Network.train`; the network is as the last whole epoch left it.

    Examples
    --------
    >>> import backprop as bp
    >>> import dask.array as da                                              # doctest: +SKIP
    >>> X, Y = da.random.random((10_000, 8)), da.ones((10_000, 1))           # doctest: +SKIP
    >>> history = bp.dask.train(bp.Network([8, 4, 1]), X, Y, epochs=50, optimizer="lbfgs")    # doctest: +SKIP
    """
    _require()
    from backprop.dask import _collections
    from backprop.dask._cluster import Cluster
    from backprop.dask._training import Elsewhere, Plan

    _check_network(network)
    unknown = [name for name in train_options if name not in _DEFAULTS]
    if unknown:
        raise TypeError(f"train() got an unexpected keyword argument {unknown[0]!r}")
    arguments = {**_DEFAULTS, **({"batch_size": "full"} if mode == "sync" else {}), **train_options}
    plan = Plan(mode, local_epochs, arguments)
    parts = _collections.partitions(X, Y, sample_weight)
    from backprop import training

    with connected(client, len(parts)) as client:
        cluster = Cluster(client, _kind(network), parts)
        try:
            examples = Elsewhere(cluster, plan)
            return training.run(network, plan.options(network, examples), examples)
        finally:
            cluster.close()


def predict(network: Network, X):
    """Outputs for a dask collection, partition by partition; computed when they are asked for.

    Parameters
    ----------
    network : Network
    X : dask array, dask dataframe or list of Delayed

    Returns
    -------
    dask array or list of Delayed
        (n, n_L) outputs in the partitions of X; of a list of Delayed, a list.
    """
    _require()
    _check_network(network)
    return map_partitions(_kind(network).predict, X, np.empty((0, network.sizes[-1])))


def map_partitions(function, X, empty):
    """`function` over the partitions of X; `empty`: what it makes of no rows."""
    import dask

    from backprop.dask import _collections

    call = _OnRows(function, empty)
    parts = _collections.delayed(X, "X")
    results = [dask.delayed(call, pure=False)(part) for part in parts]
    if not (_collections.is_array(X) or _collections.is_frame(X)):
        return results
    import dask.array as da

    rows = X.chunks[0] if _collections.is_array(X) else [np.nan] * len(parts)
    return da.concatenate([da.from_delayed(result, (n, *empty.shape[1:]), dtype=empty.dtype, meta=empty)
                           for result, n in zip(results, rows)], allow_unknown_chunksizes=True)


class _OnRows:
    """A function of a partition that is not called without rows."""

    def __init__(self, function, empty):
        self.function, self.empty = function, empty

    def __call__(self, X):
        return self.function(X) if X.shape[0] else self.empty


def _check_network(network):
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}")


def _kind(network):
    """A copy without the state of its training: what is sent to the workers."""
    twin = network.copy()
    twin._training_state = twin._stopping_state = twin._earlier_history = twin.history = None
    return twin


def _require():
    try:
        import dask.array  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError("backprop.dask needs Dask: pip install 'backprop-core[dask]'") from error


@contextlib.contextmanager
def connected(client=None, at_most=1):
    """The client to use, as the current one: the given one, the active one, or one of a `LocalCluster` that ends here.

    That has a process for each processor that the surroundings leave us, and for `at_most` partitions. What the client
    receives, actors above all, belongs to the current client, whichever was asked.
    """
    import distributed

    from backprop import _threads

    if client is not None and not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, got {type(client).__name__}")
    if client is None:
        try:
            client = distributed.get_client()
        except ValueError:
            pass
    if client is not None:
        if client.asynchronous:
            raise ValueError("client is asynchronous, and training waits for its results: give one that is not")
        if client.status != "running":
            raise RuntimeError(f"client has no connection to a Dask scheduler: it is {client.status}")
        with client.as_current():
            yield client
        return
    workers = min(_threads.available(), at_most)
    with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as own:
        with distributed.Client(own, direct_to_workers=True) as client, client.as_current():
            yield client
