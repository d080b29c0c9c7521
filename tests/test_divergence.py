"""Whichever way a training goes, numbers that leave the finite ones end it, and predictions are never NaN."""

import pickle

import numpy as np
import pytest
from scipy import sparse

import backprop as bp

rng = np.random.default_rng(8)
X, Y = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))
LABELS = np.arange(40) % 3
HUGE, RATES = 1e180, ("learning_rate_init", "eta0")


def network(**options):
    return bp.Network([6, 5, 2], hidden="relu", seed=2, **options)


def squared(T, P):
    with np.errstate(over="ignore"):
        return ((T - P) ** 2).sum(axis=1), 2.0 * (P - T)


def trained(data=lambda scale: (X * scale, Y * scale), made=None, **options):
    """A path through `Network.train`: (new object, what trains it on data of a scale)."""
    return lambda: network(**made or {}), lambda net, scale: net.train(*data(scale), epochs=3, **options)


def estimator(cls, targets, method, **options):
    options = {"hidden_layer_sizes": (5,), "activation": "relu", "max_iter": 3, "tol": 10.0, "n_iter_no_change": 1,
               "random_state": 0, **options}

    def train(model, scale):
        rate = 0.001 if scale == 1.0 else 1e300              # a classifier's net inputs may be as large as its inputs
        getattr(model.set_params(learning_rate_init=rate), method)(X * scale, targets)

    return lambda: cls(**options).fit(X, targets), train


def many(net, scale):
    bp.train_many([net, network()], [(X * scale, Y * scale), (X, Y)], n_threads=2, epochs=3)


def ensemble(model, scale):
    model.train(X * scale, Y * scale, epochs=3)


PATHS = {f"{rule}, {batch_size}": trained(optimizer=rule, batch_size=batch_size)
         for rule in bp.optimizers.RULES for batch_size in (1, 7, "full") if rule != "rprop" or batch_size == "full"}
PATHS |= {
    "solver levenberg_marquardt": trained(optimizer="levenberg_marquardt", batch_size="full"),
    "solver lbfgs": trained(optimizer="lbfgs", batch_size="full"),
    "threads": trained(batch_size=7, n_threads=3),
    "dropout": trained(batch_size=7, dropout=0.3),
    "penalties": trained(batch_size=7, l1=0.1, l2=0.1),
    "clipping": trained(batch_size=7, clip_norm=1.0),
    "max-norm": trained(batch_size=7, max_norm=1.0),
    "weights": trained(batch_size=7, sample_weight=np.arange(40.0)),
    "validation": trained(batch_size=7, validation=0.2, metrics="r2"),
    "early stopping": trained(batch_size=7, validation=0.2, early_stopping=2),
    "own loss": trained(made={"loss": squared}, batch_size=7),
    "budget": trained(batch_size=7, max_updates=100),
    "listener": trained(callbacks=lambda state: None),
    "sparse rows": trained(lambda scale: (sparse.csr_array(X * scale), Y * scale), batch_size=7),
    "stream": trained(lambda scale: ([(X[:20] * scale, Y[:20] * scale), (X[20:] * scale, Y[20:] * scale)],),
                      batch_size=7),
    "train_many": (network, many),
    "Ensemble": (lambda: bp.Ensemble([network(), network()], seed=0), ensemble),
    "perceptron": (lambda: bp.Perceptron(max_iter=100, random_state=0).fit(X, X[:, 0] > 0),
                   lambda model, scale: model.set_params(eta0=scale).fit(X * scale, X[:, 1] > 0)),
}
PATHS |= {f"{name} {method}, {solver}": estimator(cls, targets, method, solver=solver)
          for name, cls, targets, solvers in (("regressor", bp.MLPRegressor, Y, ("adam", "sgd", "lbfgs")),
                                              ("classifier", bp.MLPClassifier, LABELS, ("adam", "sgd")))
          for solver in solvers for method in ("fit", "partial_fit") if (solver, method) != ("lbfgs", "partial_fit")}


def untouched(found):
    """What a failed training leaves as it was."""
    nets = found.networks if isinstance(found, bp.Ensemble) else [found]
    if not isinstance(nets[0], bp.Network):
        return pickle.dumps({name: value for name, value in vars(found).items() if name not in RATES})
    return pickle.dumps([(net.parameters, net._training_state, net._stopping_state, net._generator, net.epochs_trained)
                         for net in nets])


@pytest.mark.filterwarnings("ignore::backprop.errors.ConvergenceWarning", "ignore:.*converge")
@pytest.mark.parametrize("path", PATHS)
def test_every_path_ends_in_an_error_and_goes_on_afterwards(path):
    make, train = PATHS[path]
    found = make()
    before = untouched(found)
    with pytest.raises((bp.errors.DivergenceError, bp.errors.TrainingErrors)) as caught:
        train(found, HUGE)
    reasons = getattr(caught.value, "exceptions", [caught.value])
    assert reasons and all(isinstance(reason, bp.errors.DivergenceError) for reason in reasons)
    assert untouched(found) == before
    predicted = found.predict(X)
    assert predicted.dtype.kind in "bi" or np.isfinite(predicted).all()
    train(found, 1.0)


@pytest.mark.parametrize("batch_size", [1, 7, "full"])
@pytest.mark.parametrize("rule", ["adam", "adamw", "adam_eps_hat", "rmsprop", "adagrad"])
def test_a_mean_square_that_overflows_is_divergence_too(rule, batch_size):
    """The loss and the parameters stay finite, but a parameter with an infinite mean square would never move again."""
    net = bp.Network([6, 5, 3], hidden="relu", loss="log_loss", seed=2)
    before, targets = untouched(net), bp.data.one_hot(LABELS)
    with pytest.raises(bp.errors.DivergenceError):
        net.train(X * 1e170, targets, optimizer=rule, batch_size=batch_size, learning_rate=1e-180)
    assert untouched(net) == before
    net.train(X * 1e140, targets, optimizer=rule, batch_size=batch_size, learning_rate=1e-180)
    assert np.isfinite(net._training_state.slots).all()


# ---- predictions -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh", "relu", "softmax", "exp"])
@pytest.mark.parametrize("hidden", ["identity", "relu", "tanh", "softplus"])
def test_a_prediction_is_never_nan(hidden, output):
    """Parameters and inputs near the largest numbers, whose products and sums overflow: no NaN, or an error."""
    net = bp.Network([3, 4, 2], hidden=hidden, output=output, loss="log_loss" if output == "softmax" else squared)
    inputs = rng.choice([-1.0, 1.0], (70, 3)) * rng.choice([1e-300, 1.0, 1e154, 1e308], (70, 3))
    refused = 0
    for scale in (1.0, 1e154, 1e308):
        net.set_parameters(scale * rng.choice([-1.0, 1.0], net.n_parameters))
        for rows in (inputs, *inputs[:, None]):
            for call, given in ((net.predict, rows), (net, rows), (net.predict, sparse.csr_array(rows)),
                                (net.predict_one, rows[0])):
                try:
                    assert not np.isnan(call(given)).any()
                except ValueError as error:
                    refused += "so large that its output is NaN" in str(error)
    assert refused or (hidden, output) not in (("identity", "identity"), ("relu", "softmax"))
