"""The feedforward network: construction, feedforward, gradients, trace, and training by backpropagation."""

from __future__ import annotations

import copy
import numbers
import threading
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, _memory, _sparse, activations, initializers, losses
from backprop._dispatch import core
from backprop.errors import ConcurrentUseError, DivergenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from backprop._types import ArrayLike, FloatArray, PathLike, Seed
    from backprop.history import History
    from backprop.optimizers import Optimizer
    from backprop.schedules import Schedule
    from backprop.stopping import EarlyStopping
    from backprop.trace import GradientCheck, Gradients, Trace

BLOCK = 64          # rows that prediction and evaluation feed forward at a time; it changes no bit
FAR = 2**18         # parameters that no near cache holds: they are worth fetching for four times as many rows


class Network:
    """A feedforward network of any depth, trained by backpropagation.

    Layer l = 1..L computes z[l] = σ_l(z[l-1] W[l] + b[l]) from z[0] = x; the output is z[L].

    Parameters
    ----------
    sizes : list of int
        Units per layer, n_0 (inputs) to n_L (outputs); at least two, each at least 1.
    hidden : str or list of str, default "tanh"
        Activation of the hidden layers: one name, or one per hidden layer.
    output : str, optional
        Activation of the output layer; by default the loss's natural one (identity, softmax, exp).
    loss : str or callable, default "squared_error"
        The loss C(y, y') of one example. "squared_error" is the lecture's Σ (y - y')², without ½. A function of your
        own, f(Y, Y_predicted) -> (losses, derivatives), takes (B, n_L) targets and outputs of a batch and returns C of
        each example, (B,), and ∂C/∂y', (B, n_L); it is called for every batch, which is slower.
    bias : bool, default True
        Whether layers have biases b[l].
    init : str or (weights, biases), default "auto"
        Initial weights: a name of `backprop.initializers`, or lists of arrays (n_{l-1}, n_l) and (n_l,). "auto" takes
        Glorot's for sigmoid, tanh, identity and softmax layers and He's for the relu family. Biases start at 0.
    seed : int, numpy Generator or None, default None
        Source of the initial weights and of every shuffle. The network owns its generator.

    Attributes
    ----------
    sizes, activations, loss, bias
        As constructed; `activations` has one name per layer, l = 1..L.
    weights, biases : list of ndarray
        Writable views on the parameters: weights[l-1] is W[l], (n_{l-1}, n_l), and biases[l-1] is b[l], (n_l,), or None
        in a network without bias. An array assigned to an item is copied into it.
    n_parameters : int
    epochs_trained : int
        Epochs over all calls of `train` since construction or `reset`.
    history : History or None
        What the last call of `train` returned.

    Raises
    ------
    ValueError, TypeError
        For sizes, names or arrays that do not fit; the message says what does.

    Examples
    --------
    The lecture's network for exclusive or:

    >>> import backprop as bp
    >>> net = bp.Network([2, 8, 1], hidden="tanh", output="sigmoid", seed=1)
    >>> X = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> history = net.train(X, [[0], [1], [1], [0]], epochs=2000, learning_rate=0.5)
    >>> net.predict(X).round().ravel()
    array([0., 1., 1., 0.])
    """

    def __init__(self, sizes: Sequence[int], hidden: str | Sequence[str] = "tanh", output: str | None = None,
                 loss: str | Callable = "squared_error", bias: bool = True, init: str | tuple = "auto",
                 seed: Seed = None) -> None:
        self._sizes = _checked_sizes(sizes)
        self._bias = _check.boolean(bias, "bias")
        if output is not None:
            output = activations.output(output)
        self._loss_number, output = losses.resolve(loss, output, self._sizes[-1])
        self._activations = [*activations.hidden(hidden, len(self._sizes) - 2), output]
        self._own_loss = losses.OwnLoss(loss) if callable(loss) else None
        self._loss: Any = loss if self._own_loss is None else self._own_loss.name
        self._init = initializers.check(init, self._sizes, self._bias)
        generator = _check.generator(seed)
        self._seed = seed if isinstance(seed, (int, np.integer)) else None
        n_padded = core.layout(self._sizes)[0]
        try:
            self._parameters = _memory.zeros(n_padded)
        except MemoryError:
            raise MemoryError(f"sizes {self._sizes} need {8 * n_padded:,} bytes for their parameters") from None
        self._bind()
        self._start(generator)

    # ---- construction and state ----------------------------------------------------------------------------------

    def _bind(self):
        """Everything that follows from the parameter vector: the views, the core's plan, the buffer for one example."""
        # Networks of one kind may share their options.
        self._kind = tuple(self._sizes), tuple(self._activations), self._loss_number, self._bias, self._own_loss is None
        numbers = [activations.number(name) for name in self._activations]
        self._n_parameters = sum((n_in + self._bias) * n_out for n_in, n_out in zip(self._sizes, self._sizes[1:]))
        self._weights, self._biases = self._split(self._parameters)
        self._plan = core.plan(self._sizes, numbers, self._loss_number, self._bias, self._parameters)
        self._memory_one = _memory.zeros(core.work_size(self._plan, 1))
        core.bind_memory(self._plan, self._memory_one)
        self._lock, self._owner = threading.Lock(), None         # the owner: the thread inside `_exclusive`
        self._twin = None                                        # see `_of_net_inputs`

    def _start(self, generator):
        weights, biases = initializers.draw(self._init, self._sizes, self._activations, generator)
        self._assign(weights, biases)
        self._generator = generator
        self._training_state = self._stopping_state = self._earlier_history = None
        self.epochs_trained = 0
        self.history = None

    def _assign(self, weights, biases):
        for view, W in zip(self._weights, weights):
            view[...] = W + 0.0                          # + 0.0: no negative zeros among the parameters
        for view, b in zip(self._biases, biases):
            if view is not None:
                view[...] = b + 0.0

    @property
    def sizes(self) -> list[int]:
        return list(self._sizes)

    @property
    def activations(self) -> list[str]:
        return list(self._activations)

    @property
    def loss(self) -> str | Callable:
        return self._loss if self._own_loss is None else self._own_loss.function

    @property
    def bias(self) -> bool:
        return self._bias

    @property
    def weights(self) -> list[FloatArray]:
        return _Views(self._weights, "weights")

    @property
    def biases(self) -> list[FloatArray | None]:
        return _Views(self._biases, "biases")

    @property
    def n_parameters(self) -> int:
        return self._n_parameters

    @property
    def parameters(self) -> FloatArray:
        """All parameters as one vector, a copy: W[1], b[1], W[2], ... each in C order, without padding.

        Returns
        -------
        ndarray
            (n_parameters,).
        """
        return self._compact(self._parameters)

    def _compact(self, padded):
        """The parameters' order without padding, from a vector with the layout of the parameters."""
        parts = [part for pair in zip(*self._split(padded)) for part in pair]
        return np.concatenate([part.ravel() for part in parts if part is not None])

    def _split(self, padded):
        """Lists of views (weights, biases) on a vector with the layout of the parameters."""
        _, layers = core.layout(self._sizes)
        weights, biases = [], []
        for (n_in, n_out), (W_start, b_start, ld) in zip(zip(self._sizes, self._sizes[1:]), layers):
            weights.append(padded[W_start:W_start + n_in * ld].reshape(n_in, ld)[:, :n_out])
            biases.append(padded[b_start:b_start + n_out] if self._bias else None)
        return weights, biases

    def set_parameters(self, vector: ArrayLike) -> None:
        """Set all parameters from one vector in the order of `parameters`.

        Parameters
        ----------
        vector : array_like
            (n_parameters,), finite.
        """
        vector = _check.vector(vector, "vector", length=self.n_parameters, of="the network's parameters")
        with self._exclusive("set_parameters"):
            position = 0
            for W, b in zip(self._weights, self._biases):
                for view in (W, b):
                    if view is not None:
                        view[...] = vector[position:position + view.size].reshape(view.shape) + 0.0
                        position += view.size

    def reset(self, seed: Seed = None) -> Network:
        """Start again: new initial weights, no optimizer state, no epochs.

        Parameters
        ----------
        seed : int, numpy Generator or None
            None takes the seed of the construction again if it was an integer, so that the network is as new; otherwise
            the generator goes on.

        Returns
        -------
        Network
            The network itself.
        """
        if seed is not None:
            generator = _check.generator(seed)
            self._seed = seed if isinstance(seed, (int, np.integer)) else None
        else:
            generator = self._generator if self._seed is None else _check.generator(self._seed)
        with self._exclusive("reset"):
            self._start(generator)
        return self

    def copy(self) -> Network:
        """An independent copy: parameters, optimizer state, generator and epoch count.

        Returns
        -------
        Network
        """
        return copy.deepcopy(self)

    def save(self, path: PathLike) -> None:
        """Write the network to one file, atomically; `backprop.load` reads it back.

        The file holds everything that training goes on from: parameters, optimizer state, generator, epoch count, and
        the last history. It is a safetensors file of numbers and JSON, without code (`backprop.model_file`).

        Parameters
        ----------
        path : str or os.PathLike
            Any name; ``.safetensors`` is the custom.

        Raises
        ------
        ConcurrentUseError
            When another thread is training this network. A callback of the training may save it.
        """
        from backprop import model_file  # loaded only when a model is saved or loaded

        model_file.save(path, self)

    def to_torch(self) -> Any:
        """A `torch.nn.Sequential` in float64 with a copy of the weights: the same outputs, to rounding.

        Linear layers, each followed by its activation (none for identity). `backprop.from_torch` is the way back.

        Returns
        -------
        torch.nn.Sequential

        Raises
        ------
        ImportError
            Without PyTorch, the extra `torch`.
        """
        from backprop import interop

        return interop.to_torch(self)

    def _file_parts(self):
        """(kind, network, properties) for the model file."""
        return "network", self, {}

    def __getstate__(self):
        derived = ("_kind", "_weights", "_biases", "_n_parameters", "_plan", "_memory_one", "_lock", "_owner",
                   "_twin")
        return {key: value for key, value in self.__dict__.items() if key not in derived}

    def __setstate__(self, state):
        self.__dict__.update(state)
        parameters = self._parameters
        self._parameters = _memory.zeros(parameters.size)        # aligned again, whatever the copy was
        self._parameters[...] = parameters
        self._bind()

    def __copy__(self):
        return self.copy()                                       # a network shares no state with another

    def _exclusive(self, action, within=False):
        return _Exclusive(self, action, within)

    def _enter(self, action):
        """Take the lock of `_exclusive`, which refuses instead of waiting; `_leave` gives it back."""
        if not self._lock.acquire(blocking=False):
            mine = self._owner == threading.get_ident()          # within a callback, that is
            raise ConcurrentUseError(f"{action}: this network is in training" if mine else
                                     f"{action}: another thread is training or saving this network")
        self._owner = threading.get_ident()

    def _leave(self):
        self._owner = None
        self._lock.release()

    # ---- feedforward ---------------------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> FloatArray:
        """Outputs of the network.

        Parameters
        ----------
        X : array_like or sparse array
            (n, n_0) inputs.

        Returns
        -------
        ndarray
            (n, n_L) outputs z[L]. A row's output has the same bits in any batch, and from `predict_one`.

        Raises
        ------
        ValueError
            For a wrong width or NaN or inf in X (with row and column), or if the parameters give NaN.
        """
        X = _sparse.inputs(X, "X", self._sizes[0], "the network's inputs")
        out = _sparse.by_blocks(self._outputs, X)
        if np.isnan(out).any():
            raise ValueError("the network's parameters are not finite, or so large that its output is NaN")
        return out

    __call__ = predict

    if TYPE_CHECKING:
        def predict_one(self, x: ArrayLike) -> FloatArray: ...
    else:
        predict_one = core.predict_one          # a method of the core: no Python frame around a microsecond

    def _predict_one_checked(self, x):
        x = _check.vector(x, "x", length=self._sizes[0], of="the network's inputs")
        return self.predict(x.reshape(1, -1))[0]

    def _of_net_inputs(self):
        """A network on the same parameters, not copies, with the identity at its output: it predicts a[L]."""
        if self._twin is None:
            twin = Network(self._sizes, hidden=self._activations[:-1] or "tanh", output="identity",
                           loss="half_squared_error", bias=self._bias, init="zeros")
            twin._parameters = self._parameters
            twin._bind()
            self._twin = twin
        return self._twin

    def forward(self, X: ArrayLike) -> list[FloatArray]:
        """Activations of every layer.

        Parameters
        ----------
        X : array_like
            (n, n_0) inputs.

        Returns
        -------
        list of ndarray
            [z[0], ..., z[L]], z[l] of shape (n, n_l); z[0] is a copy of X.
        """
        X = self._inputs(X)
        z = [X.copy(), *[np.empty((X.shape[0], n)) for n in self._sizes[1:]]]
        self._feed(X, z)
        return z

    def _inputs(self, X) -> FloatArray:
        return _check.matrix(X, "X", columns=self._sizes[0], of="the network's inputs")

    def _outputs(self, X):
        """(n, n_L) z[L] of dense inputs."""
        out = np.empty((X.shape[0], self._sizes[-1]))
        self._feed(X, [None] * (len(self._sizes) - 1) + [out])
        return out

    def _losses(self, X, Y):
        """(n,) C of dense, checked examples."""
        _, each = self._own(X, Y)
        if each is None:
            each = np.empty(X.shape[0])
            block = self._block(X.shape[0])
            core.evaluate(self._plan, X, Y, each, _memory.zeros(core.work_size(self._plan, block)), block)
        return each

    def _block(self, n):
        return min(n, BLOCK if self._parameters.size < FAR else 4 * BLOCK)

    def _feed(self, X, outputs):
        block = self._block(X.shape[0])
        core.forward(self._plan, X, outputs, _memory.zeros(core.work_size(self._plan, block)), block)

    def _examples(self, X, Y, sample_weight) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Checked (X, Y, weights): X dense or `SparseRows`, used as an array is; the weights None or (n,)."""
        if sample_weight is None and core.are_examples(X, Y, self._sizes[0], self._sizes[-1]):
            losses.check_targets(Y, self._loss_number)
            return X, Y, None
        _check.row_counts(X, Y)
        X = _sparse.inputs(X, "X", self._sizes[0], "the network's inputs")
        Y = _check.targets(Y, "Y", rows=X.shape[0], columns=self._sizes[-1])
        losses.check_targets(Y, self._loss_number)
        if sample_weight is not None:
            sample_weight = _check.weights(sample_weight, "sample_weight", rows=X.shape[0])
        return X, Y, sample_weight

    def _own(self, X, Y):
        """(targets for the core, losses or None): with a user's loss its derivatives, which the core takes for targets,
        and its values; else Y itself."""
        if self._own_loss is None:
            return Y, None
        P = np.empty(Y.shape)
        self._feed(X, [None] * (len(self._sizes) - 1) + [P])
        each, derivative = self._own_loss(Y, P)
        return derivative, each

    def evaluate(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss at the present parameters, penalties excluded.

        Parameters
        ----------
        X, Y : array_like
            (n, n_0) inputs, also sparse, and (n, n_L) targets; (n,) targets serve a network with one output.
        sample_weight : array_like, optional
            (n,) weights, not negative, not all zero: the result is Σ w_i C_i / Σ w_i.

        Returns
        -------
        float
        """
        X, Y, weight = self._examples(X, Y, sample_weight)
        each = _sparse.by_blocks(self._losses, X, Y)
        return float(each.mean() if weight is None else (weight * each).sum() / weight.sum())

    # ---- gradients -----------------------------------------------------------------------------------------------

    def gradients(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Gradients:
        """Gradients of the mean loss by backpropagation, as the training kernels compute them.

        Parameters
        ----------
        X, Y, sample_weight
            As in `evaluate`.

        Returns
        -------
        Gradients
            loss, weights, biases and inputs; ∂C/∂W[l] = z[l-1]ᵀ δ[l], ∂C/∂b[l] = Σ δ[l].
        """
        X, Y, weight = self._examples(X, Y, sample_weight)
        X, n = X[:], X.shape[0]
        loss, padded = self._gradient(X, Y, weight)
        inputs = np.empty(X.shape)
        self._backpropagate(X, Y, np.ones(n), np.zeros_like(padded), inputs)
        weights, biases = self._split(padded)
        from backprop.trace import Gradients  # as GradientCheck, Trace and training: loaded when first wanted

        return Gradients(loss, [W.copy() for W in weights], [None if b is None else b.copy() for b in biases], inputs)

    def _gradient(self, X, Y, weight=None):
        """(weighted mean loss, its gradient in the parameters' layout) for checked arguments."""
        n = X.shape[0]
        scale = np.full(n, 1.0 / n) if weight is None else weight / weight.mean() / n
        gradient = _memory.zeros(self._parameters.size)
        each = self._backpropagate(X, Y, scale, gradient, None)
        return float(each.mean() if weight is None else (weight * each).sum() / weight.sum()), gradient

    def _backpropagate(self, X, Y, scale, gradient, inputs):
        Y, own = self._own(X, Y)
        each = np.empty(X.shape[0])
        block = self._block(X.shape[0])
        core.gradients(self._plan, X, Y, scale, gradient, inputs, each,
                       _memory.zeros(core.work_size(self._plan, block)), block)
        return each if own is None else own

    def check_gradients(self, X: ArrayLike, Y: ArrayLike, step: float | None = None,
                        max_parameters: int | None = 1000) -> GradientCheck:
        """Backpropagation's gradient against central differences (C(w + h) - C(w - h)) / 2h of `evaluate`.

        Parameters
        ----------
        X, Y : array_like
            As in `evaluate`; a few examples suffice.
        step : float, optional
            h for a parameter of size 1; by default the cube root of the machine epsilon, 6e-6.
        max_parameters : int, default 1000
            A larger network is checked at this many evenly spread parameters.

        Returns
        -------
        GradientCheck
            `max_relative_error` is about 1e-7 or less for a right gradient, except at kinks (relu at 0).
        """
        X, Y, _ = self._examples(X, Y, None)
        X = X[:]
        h = np.cbrt(np.finfo(float).eps) if step is None else _check.real(step, "step", above=0.0)
        limit = _check.integer(max_parameters, "max_parameters", minimum=1)
        probe = self.copy()
        w = probe.parameters
        indices = np.unique(np.linspace(0, w.size - 1, min(w.size, limit)).astype(np.int64))
        numeric = np.empty(indices.size)
        for k, i in enumerate(indices):
            here, d = w[i], h * max(1.0, abs(w[i]))
            values = []
            for moved in (here + d, here - d):
                w[i] = moved
                probe.set_parameters(w)
                values.append(probe.evaluate(X, Y))
            w[i] = here
            numeric[k] = (values[0] - values[1]) / ((here + d) - (here - d))
        analytic = self._compact(self._gradient(X, Y)[1])
        floor = 1e-4 * np.abs(analytic).max()
        analytic = analytic[indices]
        size = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), max(floor, np.finfo(float).tiny))
        from backprop.trace import GradientCheck

        return GradientCheck(float((np.abs(analytic - numeric) / size).max()), analytic, numeric, indices, float(h))

    def trace(self, x: ArrayLike, y: ArrayLike, learning_rate: float | None = None) -> Trace:
        """One example's net inputs, activations, deltas, gradients and updates; prints as the lecture's five steps.

        The numbers are those of the training kernels; the network is not changed.

        Parameters
        ----------
        x, y : array_like
            (n_0,) input and (n_L,) target; a number serves a network with one output.
        learning_rate : float, optional
            η; without it there are no updates.

        Returns
        -------
        Trace
        """
        x, y = self._example(x, y)
        eta = None if learning_rate is None else _check.real(learning_rate, "learning_rate", above=0.0, below=1e300)
        no_layer: list[Any] = [None]
        a, z, deltas = (no_layer + [np.empty(n) for n in self._sizes[1:]] for _ in range(3))
        memory = _memory.zeros(core.work_size(self._plan, 1))
        Y, own = self._own(x.reshape(1, -1), y.reshape(1, -1))
        loss = core.example(self._plan, x.reshape(1, -1), Y, a, z, deltas, memory)
        loss = loss if own is None else float(own[0])
        z[0] = x.copy()
        none: list[Any] = [None] * len(self._sizes)
        dW, db, uW, ub = (none.copy() for _ in range(4))
        for l in range(1, len(self._sizes)):
            dW[l], db[l] = np.outer(z[l - 1], deltas[l]), deltas[l].copy() if self._bias else None
            if eta is not None:
                step = -eta * deltas[l]
                uW[l], ub[l] = np.outer(z[l - 1], step), step if self._bias else None
        from backprop.trace import Trace

        return Trace(x.copy(), y.copy(), a, z, deltas, dW, db, uW, ub, [None, *[W.copy() for W in self._weights]],
                     [None, *[None if b is None else b.copy() for b in self._biases]], loss, eta, self.activations,
                     self._loss)

    def _example(self, x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
        x = _check.vector(x, "x", length=self._sizes[0], of="the network's inputs")
        if self._sizes[-1] == 1 and (isinstance(y, numbers.Real) or isinstance(y, np.ndarray) and y.ndim == 0):
            y = np.reshape(np.asarray(y), 1)
        y = _check.vector(y, "y", length=self._sizes[-1], of="the network's outputs")
        losses.check_targets(y.reshape(1, -1), self._loss_number, "y")
        return x, y

    # ---- training ------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        def learn_one(self, x: ArrayLike, y: ArrayLike, learning_rate: float) -> float: ...
    else:
        learn_one = core.learn_one

    def _learn_one_checked(self, x, y, learning_rate):
        if not self._lock.acquire(blocking=False):
            raise ConcurrentUseError("learn_one: another thread is training or saving this network")
        try:
            x, y = self._example(x, y)
            learning_rate = _check.real(learning_rate, "learning_rate", above=0.0, below=1e300)
            Y, own = self._own(x.reshape(1, -1), y.reshape(1, -1))
            loss = core.learn_checked(self._plan, x, Y[0], learning_rate)
            loss = loss if own is None or loss != loss else float(own[0])
        finally:
            self._lock.release()
        if loss != loss:
            raise DivergenceError(f"the loss or the update of this example is not finite at learning_rate="
                                  f"{learning_rate:g}; the network is unchanged")
        return loss

    def train(self, X: ArrayLike | Iterable, Y: ArrayLike | None = None, epochs: int = 1, batch_size: int | str = 1,
              optimizer: str | Optimizer = "sgd", learning_rate: float | None = None, shuffle: bool = True,
              sample_weight: ArrayLike | None = None, validation: tuple | float | None = None,
              early_stopping: int | EarlyStopping | None = None, schedule: str | Schedule | Callable | None = None,
              l1: float = 0.0, l2: float = 0.0, dropout: float | Sequence[float] = 0.0, clip_norm: float | None = None,
              max_norm: float | None = None, class_weight: str | Mapping[int, float] | None = None, metrics: Any = (),
              max_seconds: float | None = None, max_updates: int | None = None, target_loss: float | None = None,
              callbacks: Callable | Iterable[Callable] = (), progress: bool = False, n_threads: int = 1,
              checkpoint_path: PathLike | None = None, checkpoint_every: int = 1) -> History:
        """Train by backpropagation; calling again continues.

        With the defaults this is the lecture's algorithm: example by example in random order, feedforward, deltas,
        gradients, update. The loss that is minimised is the (weighted) mean of C plus l1 ‖W‖₁ + (l2/2) ‖W‖².

        Optimizer state, schedule state, generator and epoch count belong to the network: 17 epochs in one call and 23
        in the next give the bits of 40 in one, with the same data and options.

        Parameters
        ----------
        X, Y : array_like
            (n, n_0) inputs, also sparse (SciPy's), and (n, n_L) targets; (n,) targets serve a network with one output.
            Never changed. Or X alone: a `backprop.data.stream`, an iterable of chunks (X, Y) or (X, Y, weights) of any
            number of rows, or a function that gives one for an epoch; chunks are read while the ones before are trained
            on. Batches run across the borders of chunks. The order is the stream's, whatever `shuffle` says; weights
            are used as they are.
        epochs : int, default 1
            Passes over the data.
        batch_size : int or "full", default 1
            Examples per update.
        optimizer : str or Optimizer, default "sgd"
            The rule of descent; see `backprop.optimizers`. Its state belongs to the network and goes on with the next
            call, unless another rule is asked for. "lbfgs" (SciPy's, the extra `scipy`) and "levenberg_marquardt"
            (squared errors only) are solvers: an epoch is one iteration over all examples, without a learning rate.
        learning_rate : float, optional
            η; by default the optimizer's.
        shuffle : bool, default True
            Visit the examples in a new random order every epoch, drawn from the network's generator.
        sample_weight : array_like, optional
            (n,) weights of the examples, not negative; divided by their mean. In a full batch weight k is k copies of
            the example and weight 0 its removal.
        validation : (Xv, Yv), (Xv, Yv, weights) or float, optional
            Data that `history.val_loss` is measured on after every epoch, or the fraction of X, Y to hold out for it:
            the last part with ``shuffle=False``, else at random, with every class's share for class targets, and the
            same rows in a later call on as many. Weights of held-out rows go with them.
        early_stopping : int or EarlyStopping, optional
            Epochs without a better validation loss after which to stop, or a `backprop.EarlyStopping`. The best
            parameters come back however the call ends, with the optimizer's state that belongs to them.
        schedule : str, Schedule or callable, optional
            The learning rate over the epochs: a name or an object of `backprop.schedules`, or
            f(epoch, learning_rate) -> learning rate, with epochs over the network's life from 0 and the optimizer's
            learning rate.
        l1, l2 : float, default 0
            Penalties on the weights, biases excluded.
        dropout : float or list of float, default 0
            Rate in [0, 1) at which units of the hidden layers are dropped, or one rate per hidden layer. In every visit
            of an example a unit's z[l] is 0 with this probability and otherwise z[l] / (1 - rate) (inverted dropout,
            Srivastava et al. 2014), so that its mean is z[l]. In training only: prediction, validation, metrics and
            `gradients` use the whole network; the history's loss is that of the thinned ones.
        clip_norm : float, optional
            Largest Euclidean norm of a batch's gradient; a longer one is shortened to it.
        max_norm : float, optional
            Largest Euclidean norm of the weights that enter a unit, W[l][:, i], in every layer, biases excluded; longer
            ones are shortened to it after each update.
        class_weight : "balanced" or mapping, optional
            Factors of the examples' weights by class number, 1 for a class not named, for class targets: one-hot rows,
            or one output with classes 0 and 1. "balanced" lets all classes weigh the same. Validation does not know of
            it.
        metrics : str, callable, Metric or list of these, optional
            What else to measure after every epoch, on the training data and on the validation data: names of
            `backprop.metrics`, f(Y, Y_predicted) -> number, or "gradient_norm". Costs a pass over the data.
        max_seconds : float, optional
            Stop after this time, if need be within an epoch.
        max_updates : int, optional
            Stop after this many updates (batches) of this call, if need be within an epoch.
        target_loss : float, optional
            Stop when the loss of an epoch is no more than this.
        callbacks : callable or list of callables
            Each is called after every epoch with a `backprop.training.State` (`epoch`, `network`, `history`, `logs`);
            one that returns True stops the training. What one raises ends the training and reaches the caller.
        progress : bool, default False
            Show a progress bar.
        n_threads : int, default 1
            Threads that share each batch of a larger network; they change no bit.
        checkpoint_path : str or os.PathLike, optional
            Save the network to this file during the training, atomically, after every `checkpoint_every`-th epoch.
            A training that is killed goes on from there: load the file and train the epochs that are left with the
            same data and options; others are refused where they would replace the file.
        checkpoint_every : int, default 1
            Epochs between checkpoints, counted over the network's life.

        Returns
        -------
        History
            Also kept as `history`. An epoch that a budget cuts short is recorded with the mean loss of the examples
            that it visited; one that Ctrl-C or an exception cuts short is not.

        Raises
        ------
        ValueError, TypeError
            For a bad argument, with nothing changed. A bad chunk of a stream, and whatever else reading it raises,
            leaves the network as the last whole epoch did.
        CheckpointMismatchError
            When the network comes from a checkpoint, the file `checkpoint_path` is there, and data or options are not
            those of the checkpoint's training; the message says which.
        ImportError
            Where ``optimizer="lbfgs"`` misses SciPy.
        DivergenceError
            When the loss, a parameter or a running square of the optimizer is not finite; the last finite parameters
            are kept.
        ConcurrentUseError
            When another thread is training this network.
        KeyboardInterrupt
            On Ctrl-C, within 0.5 s; parameters are finite and the history ends with the last whole epoch.

        Examples
        --------
        >>> import backprop as bp
        >>> net = bp.Network([2, 8, 1], output="sigmoid", loss="log_loss", seed=1)
        >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> history = net.train(X, Y, epochs=5000, optimizer="adam", learning_rate=0.01, target_loss=0.01)
        >>> history.stop_reason, net.predict(X).round().ravel().tolist()
        ('target_loss', [0.0, 1.0, 1.0, 0.0])
        """
        from backprop import options, training

        checked, examples = options.check(self, X, Y, sample_weight, {
            "epochs": epochs, "batch_size": batch_size, "optimizer": optimizer, "learning_rate": learning_rate,
            "shuffle": shuffle, "class_weight": class_weight, "validation": validation,
            "early_stopping": early_stopping, "schedule": schedule, "metrics": metrics, "l1": l1, "l2": l2,
            "dropout": dropout, "clip_norm": clip_norm, "max_norm": max_norm, "max_seconds": max_seconds,
            "max_updates": max_updates, "target_loss": target_loss, "callbacks": callbacks, "progress": progress,
            "n_threads": n_threads, "checkpoint_path": checkpoint_path, "checkpoint_every": checkpoint_every})
        return training.run(self, checked, examples)

    # ---- words ---------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """A table of the layers.

        Returns
        -------
        str
        """
        rows = self._layers()
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "-" * max(len(line) for line in lines))
        return "\n".join([*lines, self._totals()])

    def _layers(self):
        """The table of `summary` as texts, its header first."""
        rows = [("layer", "units", "activation", "weights", "biases"), ("0 (input)", str(self._sizes[0]), "", "", "")]
        for l, (n_in, n_out) in enumerate(zip(self._sizes, self._sizes[1:]), start=1):
            name = f"{l} (output)" if l == len(self._sizes) - 1 else str(l)
            rows.append((name, str(n_out), self._activations[l - 1], f"{n_in} x {n_out} = {n_in * n_out:,}",
                         f"{n_out:,}" if self._bias else "none"))
        return rows

    def _totals(self):
        return f"loss: {self._loss}; parameters: {self.n_parameters:,}; epochs trained: {self.epochs_trained:,}"

    def _repr_html_(self):
        from backprop import _html

        header, *rows = self._layers()
        return _html.table(header, rows, f"Network; {self._totals()}")

    def __repr__(self):
        return (f"Network({'-'.join(str(n) for n in self._sizes)}, activations={'/'.join(self._activations)}, "
                f"loss={self._loss}, parameters={self.n_parameters:,})")


class _Views(list):
    """`weights` or `biases`: an array that is assigned to an item is copied into the network, after a check."""

    __slots__ = ("_name",)

    def __init__(self, views, name):
        super().__init__(views)
        self._name = name

    def __setitem__(self, layer, value):
        layers = range(len(self))[layer] if isinstance(layer, slice) else [range(len(self))[layer]]
        values = list(value) if isinstance(layer, slice) else [value]
        if len(values) != len(layers):
            raise ValueError(f"{self._name} needs {len(layers)} arrays here, got {len(values)}")
        arrays = [self._checked(l, each) for l, each in zip(layers, values)]
        for l, array in zip(layers, arrays):
            self[l][...] = array + 0.0

    def _checked(self, l, value):
        name, view = f"{self._name}[{l}]", self[l]
        if view is None:
            raise ValueError(f"{name} cannot be set: the network has no biases")
        array = _check.array(value, name, view.ndim, copy=True)          # it may be one of the views
        if array.shape != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}")
        return array

    def __reduce__(self):
        return list, (list(self),)


class _Exclusive:
    """A lock that refuses instead of waiting: one thread at a time changes a network.

    An action that may run `within` another of the same thread (saving, in a callback of training) passes.
    """

    def __init__(self, network, action, within):
        self._network, self._action = network, action
        self._passes = within and network._owner == threading.get_ident()

    def __enter__(self):
        if not self._passes:
            self._network._enter(self._action)

    def __exit__(self, *_):
        if not self._passes:
            self._network._leave()


def _checked_sizes(sizes):
    sizes = _check.sequence(sizes, "sizes", "integers")
    sizes = [_check.integer(n, f"sizes[{l}]", minimum=1) for l, n in enumerate(sizes)]
    if len(sizes) < 2:
        raise ValueError(f"sizes needs at least an input and an output layer, got {sizes}")
    total = sum((n_in + 1) * (n_out + 8) for n_in, n_out in zip(sizes, sizes[1:]))
    if total > _check.MAX_ELEMENTS:
        raise ValueError(f"sizes {sizes} make about {total:.3g} parameters, more than this library addresses")
    return sizes
