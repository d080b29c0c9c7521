"""What `MLPClassifier` and `MLPRegressor` share: parameters, fit, the state between calls, prediction, saving."""

from __future__ import annotations

import contextlib
import copy
import math
import numbers
import warnings

import numpy as np

from backprop import _check, _estimator_base, _fitting, activations, initializers, optimizers, schedules
from backprop._estimator_base import CallbackSupportMixin, Estimator, random_state
from backprop.errors import DivergenceError, sklearn_or_own
from backprop.examples import Examples
from backprop.network import Network

ACTIVATIONS = {"logistic": "sigmoid"}                    # scikit-learn's names for ours
OUT_ACTIVATIONS = {"sigmoid": "logistic"}
AUTO_BATCH = 200                                         # batch_size="auto", as in scikit-learn
RATES = ("constant", "invscaling", "adaptive")
RATED = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop")    # rules that `learning_rate` acts on; as in
                                                         # scikit-learn it does not act on adam


class MLP(CallbackSupportMixin, Estimator):
    """Base of the two; not to be used itself."""

    _single = False              # fitted on float32: so are the public arrays, while the network has float64

    # ---- parameters --------------------------------------------------------------------------------------------------

    def _optimizer_of_solver(self):
        """The `Optimizer` that the parameters describe."""
        rate = _check.real(self.learning_rate_init, "learning_rate_init", above=0.0)
        momentum = _check.real(self.momentum, "momentum", minimum=0.0, maximum=1.0)
        nesterov = _check.boolean(self.nesterovs_momentum, "nesterovs_momentum")
        given = {"learning_rate": rate, "beta_1": self.beta_1, "beta_2": self.beta_2, "eps": self.epsilon,
                 "momentum": momentum, "gradient_tol": _check.real(self.tol, "tol", minimum=0.0),
                 "max_evaluations": _check.integer(self.max_fun, "max_fun", minimum=1)}
        _check.real(self.beta_1, "beta_1", minimum=0.0, below=1.0)
        _check.real(self.beta_2, "beta_2", minimum=0.0, below=1.0)
        _check.real(self.epsilon, "epsilon", above=0.0)
        if isinstance(self.solver, optimizers.Optimizer):
            return self.solver
        name = _check.choice(self.solver, "solver", optimizers.NAMES)
        if name == "sgd" and momentum > 0.0:
            name = "nesterov" if nesterov else "momentum"
        name = "adam_eps_hat" if name == "adam" else name
        hyper = optimizers.TABLE[optimizers.NAMES.index(name)]["hyper"]
        taken = {key: value for key, value in given.items() if key in hyper}
        if name == "levenberg_marquardt":                # its gradient is another one: J'r of a quadratic model
            taken = {}
        return optimizers.Optimizer(name, **taken)

    def _check_solver(self):
        """Whether the solver goes batch by batch, so that partial_fit makes sense."""
        name = self.solver.name if isinstance(self.solver, optimizers.Optimizer) else self.solver
        return name not in optimizers.SOLVERS

    def _hidden(self):
        """(sizes, activations) of the hidden layers."""
        sizes = self.hidden_layer_sizes
        sizes = _check.sequence(sizes, "hidden_layer_sizes", "integers") if hasattr(sizes, "__iter__") else [sizes]
        for size in sizes:
            if isinstance(size, numbers.Integral) and not isinstance(size, bool) and size <= 0:
                raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        sizes = [_check.integer(size, "hidden_layer_sizes", minimum=1, maximum=_check.MAX_ELEMENTS) for size in sizes]
        names = self.activation
        if isinstance(names, str):
            names = [names] * len(sizes)
        if not isinstance(names, (list, tuple)) or len(names) != len(sizes):
            kind = ValueError if isinstance(names, (list, tuple)) else TypeError
            raise kind(f"activation must be a name or one name per hidden layer, got {_check.shown(self.activation)} "
                       f"for {len(sizes)} hidden layers")
        names = [_check.choice(name, "activation", (*ACTIVATIONS, *activations.HIDDEN)) for name in names]
        return sizes, [ACTIVATIONS.get(name, name) for name in names]

    def _loss(self):
        """The network's loss."""
        if isinstance(self.loss, (tuple, list, numbers.Number)):
            raise TypeError(f"loss must be a name or a function, got {_check.shown(self.loss)}; a regressor's first "
                            "parameter is loss, as in scikit-learn since 1.7: write hidden_layer_sizes=")
        if not (isinstance(self.loss, str) or callable(self.loss)):
            raise TypeError(f"loss must be a name or a function, got {_check.shown(self.loss)}")
        return "half_squared_error" if self.loss == "squared_error" else self.loss

    def _rules(self, optimizer, incremental):
        rate = self.learning_rate
        if isinstance(rate, str) and rate not in RATES:
            _check.choice(rate, "learning_rate", tuple(dict.fromkeys((*RATES, *schedules.NAMES))))
        elif rate is None or isinstance(rate, numbers.Number):
            raise TypeError(f"learning_rate must be a schedule or its name, got {_check.shown(rate)}; the rate itself "
                            "is learning_rate_init")
        elif not isinstance(rate, str):
            schedules.resolve(rate, "learning_rate")
        no_change = self.n_iter_no_change
        if not (isinstance(no_change, float) and no_change == math.inf):
            no_change = _check.integer(no_change, "n_iter_no_change", minimum=1)
        _check.real(self.validation_fraction, "validation_fraction", minimum=0.0, maximum=1.0)
        early = _check.boolean(self.early_stopping, "early_stopping")
        if early and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        return _fitting.Rules(
            tol=_check.real(self.tol, "tol", minimum=0.0), n_iter_no_change=no_change,
            early_stopping=early and not optimizer.solver,
            learning_rate=rate if isinstance(rate, str) and rate in RATES and optimizer.name in RATED else "constant",
            learning_rate_init=optimizer.learning_rate, power_t=_check.real(self.power_t, "power_t", minimum=0.0),
            verbose=_estimator_base.verbosity(self.verbose), incremental=incremental, patient=optimizer.solver)

    def _batch_size(self, optimizer, n):
        if optimizer.full_batch_only:
            return "full"
        if isinstance(self.batch_size, str):
            return n if _check.choice(self.batch_size, "batch_size", ("auto", "full")) == "full" else min(AUTO_BATCH, n)
        size = _check.integer(self.batch_size, "batch_size", minimum=1)
        if size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                          stacklevel=6)
        return min(size, n)

    # ---- construction of the network ---------------------------------------------------------------------------------

    def _new_network(self, sizes, activations, output):
        """A network with scikit-learn's initial weights, those of `init`, or the arrays that were assigned."""
        source = random_state(self.random_state)
        given = self.__dict__.get("_given", {})
        if "coefs_" in given and "intercepts_" in given:
            init = given["coefs_"], given["intercepts_"]
        elif isinstance(self.init, str) and self.init == "auto":
            init = _initial(sizes, 2.0 if self.activation == "logistic" else 6.0, source)
        else:
            init = initializers.check(self.init, sizes, True)
        seed = source.integers(2**31) if isinstance(source, np.random.Generator) else source.randint(2**31)
        return Network(sizes, hidden=activations, output=output, loss=self._loss(), init=init, seed=int(seed))

    def _network_of(self, fresh, n_inputs, n_outputs, output):
        """The network to train: a new one, or the present one where the parameters still describe it."""
        sizes, activations = self._hidden()
        sizes = [n_inputs, *sizes, n_outputs]
        if fresh or not hasattr(self, "network_"):
            return self._new_network(sizes, activations, output)
        described = sizes, activations, self._loss()
        if described != (self.network_.sizes, self.network_.activations[:-1], self.network_.loss):
            raise ValueError("hidden_layer_sizes, activation, loss and the width of y describe the network "
                             f"{described}, but the fitted one is {self.network_!r}; use fit with warm_start=False")
        return self.network_

    # ---- fit ---------------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight, validation, incremental, classes=None):
        """One call of fit or partial_fit; what fails leaves the estimator as it was, or as its last whole epoch did.

        The latter after Ctrl-C, and where an earlier fit goes on: its network is the one that is trained.
        """
        with _estimator_base.unchanged_by_failure(self) as keep:
            self._fit_unguarded(X, y, sample_weight, validation, incremental, classes, keep)
        return self

    def _fit_unguarded(self, X, y, sample_weight, validation, incremental, classes, keep):
        optimizer = self._optimizer_of_solver()
        rules = self._rules(optimizer, incremental)
        fresh = not (incremental or _check.boolean(self.warm_start, "warm_start") and self._is_fitted())
        max_iter = _check.integer(self.max_iter, "max_iter", minimum=1)
        train, network = self._training_data(X, y, sample_weight, fresh, classes)
        held = self._validation(validation, network.sizes[-1])
        if rules.early_stopping and held is None:
            train, held = self._split(train, network)
        watch = _fitting.Watch(
            rules, self._progress(fresh, optimizer), len(train),
            None if held is None else lambda net: self._validation_score(net, held), self._tell(X, y, max_iter))
        if rules.early_stopping and not fresh:
            watch.kept = [network._parameters.copy()]    # the earlier call's best, where no epoch is better
        earlier = None if fresh else network.history
        try:
            history = self._train(network, train, held, 1 if incremental else max_iter, optimizer, watch)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if interrupted and rules.early_stopping and watch.kept is not None:
                watch.restore(network)
            if watch.losses and (earlier is not None or interrupted):
                self._commit(network, network.history, earlier, watch, train)
                keep()
            else:
                network.history = earlier
            raise
        if watch.tell is not None:
            watch.tell.end(network)
        if rules.early_stopping:
            watch.restore(network)
        self._commit(network, history, earlier, watch, train)
        self._warn_of_the_end(history, watch, max_iter)

    def _training_data(self, X, y, sample_weight, fresh, classes):
        """(examples, network) of checked arguments; X may be sparse, and stays so."""
        self._loss()                                     # checked before anything compares it with a name
        if reset := fresh or not self._is_fitted():
            self._single = _estimator_base.is_single(X)
        X, y = _estimator_base.validated(self, X, y.toarray() if _estimator_base.is_sparse(y) else y, reset=reset,
                                         check_y=self._check_y, y_numeric=self._y_numeric)
        Y, output = self._targets(_estimator_base.column(y), fresh, classes)
        weight = self._with_class_weight(_estimator_base.sample_weights(sample_weight, X.shape[0]), Y)
        if weight is not None and not weight.all():      # a weight of 0 is the removal of the row
            X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
        return Examples(X, Y, weight), self._network_of(fresh, X.shape[1], Y.shape[1], output)

    def _train(self, network, train, held, epochs, optimizer, watch):
        """Train; the history of this call."""
        alpha = _check.real(self.alpha, "alpha", minimum=0.0)
        try:
            return network.train(
                train.X, train.Y, epochs=epochs, batch_size=self._batch_size(optimizer, len(train)),
                optimizer=optimizer, shuffle=_check.boolean(self.shuffle, "shuffle"), sample_weight=train.weight,
                validation=None if held is None else (held.X, held.Y, held.weight),
                schedule=self._schedule(watch), callbacks=[watch, *self._own_callbacks()], l1=self.l1,
                l2=alpha / (len(train) if train.weight is None else train.weight.sum()), dropout=self.dropout,
                clip_norm=self.clip_norm, max_norm=self.max_norm, metrics=() if self.metrics is None else self.metrics,
                max_seconds=self.max_seconds, n_threads=self.n_threads)
        except DivergenceError as error:
            raise DivergenceError("Solver produced non-finite parameter weights. The input data may contain large "
                                  f"values and need to be preprocessed. ({error})") from None

    def _progress(self, fresh, optimizer):
        rate = optimizer.learning_rate
        if fresh or "_progress_" not in vars(self):
            return _fitting.Progress(rate)
        progress = copy.copy(self._progress_)
        if self.learning_rate not in ("invscaling", "adaptive"):
            progress.learning_rate = rate
        return progress

    def _schedule(self, watch):
        """The schedule for `Network.train`: by the rules, or one of the library's."""
        if watch.rules.learning_rate != "constant":
            return watch.rate
        return None if isinstance(self.learning_rate, str) and self.learning_rate in RATES else self.learning_rate

    def _own_callbacks(self):
        if self.callbacks is None:
            return []
        if callable(self.callbacks):
            return [self.callbacks]
        return _check.sequence(self.callbacks, "callbacks", "functions")

    def _tell(self, X, y, max_iter):
        """What tells scikit-learn's callbacks about each epoch; None where there are none."""
        if not (getattr(self, "_skl_callbacks", None) or hasattr(self, "_parent_callback_ctx")):
            return None
        return _fitting.Callbacks(self, self._init_callback_context(max_subtasks=max_iter), X, y)

    def _fitted_attributes(self, network):
        """What predicts as if the fit had stopped here."""
        fitted = {key: value for key, value in vars(self).items() if key.endswith("_in_")}
        return {**fitted, **self._label_attributes(), "network_": network.copy()}

    def _split(self, train, network):
        """(examples to train on, examples to validate with); the same ones in a later call that goes on."""
        self._refuse_rare(train.Y)
        if not hasattr(self, "_split_seed_") or network is not self.__dict__.get("network_"):
            self._split_seed_ = int(copy.deepcopy(network._generator).integers(2**62))
        mask = _fitting.validation_rows(train.Y, self.validation_fraction, np.random.default_rng(self._split_seed_))
        train, held = (Examples(train.X[rows], train.Y[rows], None if train.weight is None else train.weight[rows])
                       for rows in (~mask, mask))
        return train, held

    def _refuse_rare(self, Y):
        """Refuse targets that cannot be split by class."""

    def _validation(self, validation, n_outputs):
        """`Examples` of X_val and y_val, or None."""
        X, y = validation
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val go together: give both or neither")
        with _named("X_val"):
            X = _estimator_base.inputs(self, X)
        with _named("y_val"):
            y = y.toarray() if _estimator_base.is_sparse(y) else np.asarray(
                _estimator_base.plain_targets(y, self._y_numeric))
            Y = self._encode(_estimator_base.column(y))
        if len(Y) != X.shape[0]:
            raise ValueError(f"y_val has {len(Y)} rows, but X_val has {X.shape[0]}")
        if Y.shape[1] != n_outputs:
            raise ValueError(f"y_val has {Y.shape[1]} columns, expected {n_outputs}")
        return Examples(X, Y, None)

    # ---- what a fit leaves -------------------------------------------------------------------------------------------

    def _commit(self, network, history, earlier, watch, train):
        """The attributes of a fitted estimator; `earlier`: the history that this call went on from, or None."""
        rules, progress = watch.rules, watch.progress
        if earlier is not None:
            network.history = _joined(earlier, history)
        self.__dict__.pop("_given", None)
        self.network_, self._progress_ = network, progress
        self.n_iter_, self.t_ = len(history), progress.t
        self._no_improvement_count = progress.no_improvement_count      # scikit-learn's private name
        self._describe(network)
        if earlier is None or "loss_curve_" not in vars(self):
            self.loss_curve_, self.validation_scores_ = [], None
        self.loss_curve_ += watch.losses
        if watch.score is None:
            self.validation_scores_ = None
        else:
            self.validation_scores_ = [*(self.validation_scores_ or ()), *watch.scores]
        self.best_loss_ = None if rules.early_stopping else progress.best_loss
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        if rules.patient:
            self.loss_ = network.evaluate(train.X, train.Y, train.weight) + history.penalty[-1]
        else:
            self.loss_ = self.loss_curve_[-1]

    def _describe(self, network):
        """The attributes that only repeat what the network is."""
        self.n_layers_, self.n_outputs_ = len(network.sizes), network.sizes[-1]
        self.out_activation_ = OUT_ACTIVATIONS.get(network.activations[-1], network.activations[-1])

    def _warn_of_the_end(self, history, watch, max_iter):
        rules = watch.rules
        if rules.incremental or watch.reason is not None:
            return
        category = sklearn_or_own("ConvergenceWarning")
        if rules.patient and history.stop_reason in ("epochs", "max_updates"):
            name = self.network_._training_state.optimizer.name
            warnings.warn(f"{name} failed to converge after {len(history)} iteration(s): increase max_iter "
                          f"({max_iter}) or max_fun ({self.max_fun}), or scale the data", category, stacklevel=6)
        elif history.stop_reason == "epochs":
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization hasn't "
                          "converged yet.", category, stacklevel=6)

    # ---- attributes that follow from the network ---------------------------------------------------------------------

    def _arrays(self, name):
        network = self.__dict__.get("network_")
        if network is not None:
            arrays = network.weights if name == "coefs_" else network.biases
            return _Layers([_read_only(array.astype(np.float32)) for array in arrays] if self._single else arrays,
                           self, name)
        if name in self.__dict__.get("_given", ()):
            return self._given[name]
        raise AttributeError(f"{type(self).__name__} has no {name}: it is not fitted yet")

    def _set_arrays(self, name, values, layers=slice(None)):
        network = self.__dict__.get("network_")
        if network is None:
            self.__dict__.setdefault("_given", {})[name] = values
            return
        views = (network.weights if name == "coefs_" else network.biases)[layers]
        arrays = [_check.array(value, f"{name}[{l}]", view.ndim) for l, (value, view) in enumerate(zip(values, views))]
        if [array.shape for array in arrays] != [view.shape for view in views]:
            raise ValueError(f"{name} must have the shapes {[view.shape for view in views]}")
        for view, array in zip(views, arrays):
            view[...] = array

    @property
    def coefs_(self) -> list:
        """Weights, one (n_{l-1}, n_l) array per layer: writable views on those of `network_`, or read-only copies in
        float32 after a fit on float32."""
        return self._arrays("coefs_")

    @coefs_.setter
    def coefs_(self, values):
        self._set_arrays("coefs_", values)

    @property
    def intercepts_(self) -> list:
        """Biases, one (n_l,) array per layer, likewise."""
        return self._arrays("intercepts_")

    @intercepts_.setter
    def intercepts_(self, values):
        self._set_arrays("intercepts_", values)

    @property
    def history_(self):
        """The `backprop.History` of all training since the last new start."""
        self._check_fitted()
        return self.network_.history

    @property
    def _optimizer(self):
        """scikit-learn's private name for what has the next `learning_rate`."""
        return self._progress_

    # ---- prediction --------------------------------------------------------------------------------------------------

    def _is_fitted(self):
        return "network_" in self.__dict__

    __sklearn_is_fitted__ = _is_fitted

    def _check_fitted(self):
        if "network_" not in self.__dict__:
            raise _estimator_base.not_fitted(self)

    def _outputs(self, X, net_inputs=False):
        """(n, n_L) outputs of the network, or their net inputs."""
        self._check_fitted()
        network = self.network_._of_net_inputs() if net_inputs else self.network_
        row = _estimator_base.one_row(self, X)
        if row is not None:
            with contextlib.suppress(ValueError):        # of parameters that are not finite; said below
                return network.predict_one(row).reshape(1, -1)
        return network.predict(_estimator_base.inputs(self, X))

    def _rounded(self, P, X):
        """P in float32 where the rows of the fit and these are."""
        return P.astype(np.float32) if self._single and _estimator_base.is_single(X) else P

    # ---- files -------------------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the fitted estimator to one file, atomically; `backprop.load` reads it back.

        The file holds the network with the state of its training, the labels, and the parameters, and no code. What
        cannot be written down is left out: `callbacks`, and a `random_state` that is an object.

        Parameters
        ----------
        path : str or os.PathLike
        """
        from backprop import model_file  # loaded only when a model is saved or loaded

        self._check_fitted()
        model_file.save(path, self)

    def _file_parts(self):
        from backprop import _estimator_file

        return "estimator", self.network_, _estimator_file.properties(self, self._fitted_properties())

    def _fitted_properties(self):
        """What `network_` does not know, in JSON's kinds."""
        names = self.__dict__.get("feature_names_in_")
        return {"feature_names": None if names is None else list(names), "progress": dict(vars(self._progress_)),
                "n_iter": self.n_iter_, "loss": float(self.loss_), "best_loss": self.best_loss_,
                "validation_scores": self.validation_scores_, "split_seed": self.__dict__.get("_split_seed_"),
                "loss_curve": self.loss_curve_, **({"single": True} if self._single else {})}

    def _restore(self, network, fitted):
        """The state that `_fitted_properties` described."""
        names, scores = fitted["feature_names"], fitted["validation_scores"]
        self.network_, self.n_features_in_ = network, network.sizes[0]
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        self._progress_ = _fitting.Progress(**fitted["progress"])
        self._no_improvement_count = self._progress_.no_improvement_count
        self.n_iter_, self.t_ = fitted["n_iter"], self._progress_.t
        self._describe(network)
        self.loss_, self.best_loss_, self.loss_curve_ = fitted["loss"], fitted["best_loss"], fitted["loss_curve"]
        self.validation_scores_ = scores
        self.best_validation_score_ = max(scores) if scores else None
        self._single = bool(fitted.get("single"))
        if fitted["split_seed"] is not None:
            self._split_seed_ = fitted["split_seed"]


class _Layers(list):
    """`coefs_` or `intercepts_`: what is assigned to an item becomes the network's."""

    def __init__(self, arrays, estimator, name):
        super().__init__(arrays)
        self._estimator, self._name = estimator, name

    def __setitem__(self, layer, value):
        if isinstance(layer, slice):
            self._estimator._set_arrays(self._name, value, layer)
        else:
            layer = range(len(self))[layer]
            self._estimator._set_arrays(self._name, [value], slice(layer, layer + 1))
        super().__setitem__(slice(None), self._estimator._arrays(self._name))

    def __reduce__(self):
        return list, (list(self),)


def _read_only(array):
    array.flags.writeable = False
    return array


@contextlib.contextmanager
def _named(argument):
    """Errors of checks that speak of X or y tell which argument it was."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{argument}: {error}") from None


def _initial(sizes, factor, source):
    """scikit-learn's initial weights and biases, in its order of drawing: uniform within √(factor / (n_in + n_out))."""
    weights, biases = [], []
    for n_in, n_out in zip(sizes, sizes[1:]):
        bound = np.sqrt(factor / (n_in + n_out))
        weights.append(source.uniform(-bound, bound, (n_in, n_out)))
        biases.append(source.uniform(-bound, bound, n_out))
    return weights, biases


def _joined(earlier, history):
    """One history of two calls, made in place where both have the same columns."""
    if set(earlier.keys()) != set(history.keys()):
        return earlier + history
    earlier.extend(history.to_dict(columns_only=True), len(history))
    earlier.stop_reason, earlier.best_epoch = history.stop_reason, history.best_epoch
    return earlier
