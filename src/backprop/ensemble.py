"""Several networks as one: the mean of their predictions, and how far they spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, model_file
from backprop.errors import ModelFormatError
from backprop.examples import Examples
from backprop.many import check_networks, train_many

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from backprop._types import ArrayLike, PathLike, Seed
    from backprop.network import Network


class Ensemble:
    """Networks that are trained each on its own sample of the data and predict together (bagging, Breiman 1996).

    Parameters
    ----------
    networks : iterable of Network
        The members: any kinds with equal numbers of inputs and of outputs, each with a seed of its own.
    bootstrap : bool, default True
        Train each member on n rows drawn with replacement from the n rows; False: all on all rows, so that they differ
        by their initial weights and orders alone.
    seed : int, numpy Generator or None, default None
        Source of the draws. A member draws the same rows in every call of `train` on as many.

    Attributes
    ----------
    networks : list of Network
    bootstrap : bool

    Examples
    --------
    >>> import numpy as np
    >>> import backprop as bp
    >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
    >>> ensemble = bp.Ensemble([bp.Network([1, 8, 1], seed=k) for k in range(5)], seed=0)
    >>> histories = ensemble.train(X, X**2, epochs=100, batch_size=10, optimizer="adam", learning_rate=0.02)
    >>> far = ensemble.spread([[3.0]]) > ensemble.spread([[0.5]])       # beyond the data they disagree
    >>> bool(np.abs(ensemble.predict(X) - X**2).mean() < 0.05), bool(far.all())
    (True, True)
    """

    def __init__(self, networks: Iterable[Network], bootstrap: bool = True, seed: Seed = None) -> None:
        self.networks = check_networks(networks)
        if not self.networks:
            raise ValueError("networks is empty")
        first = self.networks[0].sizes
        for i, network in enumerate(self.networks):
            if (network.sizes[0], network.sizes[-1]) != (first[0], first[-1]):
                raise ValueError(f"networks[{i}] has sizes {network.sizes}, expected {first[0]} inputs and {first[-1]} "
                                 "outputs as networks[0]")
        self.bootstrap = _check.boolean(bootstrap, "bootstrap")
        self._seed = int(_check.generator(seed).integers(2**62))

    def rows(self, member: int, n: int) -> np.ndarray:
        """Rows that a member is trained on.

        Parameters
        ----------
        member : int
            From 0.
        n : int
            Rows of the data.

        Returns
        -------
        ndarray of int
            (n,) indices; of a bootstrap sample about 1/e of the rows are missing, the others stand there once or more.
        """
        member = _check.integer(member, "member", minimum=0, maximum=len(self.networks) - 1)
        n = _check.integer(n, "n", minimum=1, maximum=_check.MAX_ELEMENTS)
        return np.random.default_rng([self._seed, member]).integers(n, size=n) if self.bootstrap else np.arange(n)

    def train(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None, n_threads: int | None = None,
              progress: bool = False, **options: Any) -> list:
        """Train all members by `backprop.train_many`; calling again continues.

        Parameters
        ----------
        X, Y, sample_weight
            As in `Network.train`. Bootstrap samples are copies: they take as many times the memory of the data as there
            are members.
        n_threads, progress
            As in `backprop.train_many`.
        **options
            Of `Network.train`. A fraction as `validation` is held out of each member's own sample, of whose rows the
            other part may hold copies: give (Xv, Yv).

        Returns
        -------
        list of History

        Raises
        ------
        As `backprop.train_many`.
        """
        X, Y, weight = self.networks[0]._examples(X, Y, sample_weight)
        datasets: tuple | list[tuple] = (X, Y, weight)
        if self.bootstrap:
            whole = Examples(X, Y, weight)
            samples = [whole.rows(self.rows(k, len(whole))) for k in range(len(self.networks))]
            datasets = [(sample.X, sample.Y, sample.weight) for sample in samples]
        return train_many(self.networks, datasets, n_threads, progress=progress, **options)

    def predict_each(self, X: ArrayLike) -> np.ndarray:
        """(k, n, n_L): the outputs of each of the k members for (n, n_0) inputs."""
        return np.stack([network.predict(X) for network in self.networks])

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The mean of the members' outputs.

        Parameters
        ----------
        X : array_like
            (n, n_0) inputs.

        Returns
        -------
        ndarray
            (n, n_L). Means of probabilities are probabilities.
        """
        return self.predict_each(X).mean(axis=0)

    __call__ = predict

    def spread(self, X: ArrayLike) -> np.ndarray:
        """The standard deviation of the members' outputs, √(Σ_k (y'_k - mean)² / k).

        Parameters
        ----------
        X : array_like
            (n, n_0) inputs.

        Returns
        -------
        ndarray
            (n, n_L).
        """
        return self.predict_each(X).std(axis=0)

    def save(self, path: PathLike) -> None:
        """Write all members to one model file, atomically; `backprop.load` reads it back.

        Each member goes on training as if it had never been saved, to the last bit, on the same rows.

        Parameters
        ----------
        path : str or os.PathLike

        Raises
        ------
        As `backprop.model_file.save`.

        Examples
        --------
        >>> import os, tempfile
        >>> import backprop as bp
        >>> ensemble = bp.Ensemble([bp.Network([1, 3, 1], seed=k) for k in range(4)], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "ensemble.safetensors")
        ...     ensemble.save(path)
        ...     again = bp.load(path)
        >>> len(again), bool((again.predict([[0.5]]) == ensemble.predict([[0.5]])).all())
        (4, True)
        """
        model_file.save(path, self)

    def _file_parts(self):
        """(kind, networks, properties) for the model file."""
        return "ensemble", check_networks(self.networks), {"bootstrap": self.bootstrap, "seed": self._seed}

    @classmethod
    def _from_file(cls, networks, properties):
        """The ensemble of a model file."""
        if set(properties) != {"bootstrap", "seed"}:
            raise ModelFormatError("the properties of an ensemble are bootstrap and seed, and the file has "
                                   f"{', '.join(sorted(properties)) or 'none'}")
        seed = properties["seed"]
        if type(seed) is not int or not 0 <= seed < 2**62:
            raise ModelFormatError(f"the seed of an ensemble must be a whole number from 0 to 2**62 - 1, got {seed!r}")
        ensemble = cls(networks, properties["bootstrap"])
        ensemble._seed = seed
        return ensemble

    def __len__(self) -> int:
        return len(self.networks)

    def __repr__(self):
        return f"Ensemble({len(self)} networks, bootstrap={self.bootstrap}, first: {self.networks[0]!r})"
