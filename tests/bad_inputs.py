"""Some sixty bad inputs and every public call that takes arguments: what tests/test_bad_input.py makes a matrix of."""

import datetime
import decimal
import functools
import inspect
import pickle

import numpy as np

import backprop as bp

ROWS, INPUTS, OUTPUTS = 8, 3, 2


class Unfriendly:
    """An object that refuses to be looked at."""

    def __array__(self, *args, **kwargs):
        raise ValueError("no array")

    def __float__(self):
        raise ValueError("no number")

    __index__ = __int__ = __float__


class Short:
    """A sequence that promises more than it has."""

    def __len__(self):
        return 10**5

    def __getitem__(self, index):
        raise IndexError(index)


def matrix(value, dtype=float, shape=(ROWS, INPUTS)):
    """A matrix of the good shape that holds `value` once."""
    out = np.ones(shape, dtype)
    out[-1, -1] = value
    return out


def recursive():
    out = []
    out.append(out)
    return out


INPUTS_BY_NAME = {
    # scalars
    "None": None, "True": True, "np.True_": np.True_, "zero": 0, "minus one": -1, "2**70": 2**70, "10**400": 10**400,
    "1.5": 1.5, "-0.5": -0.5, "nan": float("nan"), "np.nan": np.float64("nan"), "inf": float("inf"),
    "-inf": float("-inf"), "complex": 1j, "Decimal nan": decimal.Decimal("nan"), "date": datetime.date(2020, 1, 1),
    # text
    "text": "nonsense", "empty text": "", "digit": "1", "control text": "a\0b\n", "long text": "x" * 100_000,
    "surrogate": "\ud800", "bytes": b"nonsense", "bytearray": bytearray(b"1"),
    # things
    "object": object(), "class": int, "function": len, "module": np, "Ellipsis": ..., "slice": slice(None),
    "exception": ValueError("X"), "unfriendly": Unfriendly(), "short": Short(), "dtype": np.dtype(float),
    # containers
    "[]": [], "[[]]": [[]], "()": (), "{}": {}, "mapping": {"a": 1}, "set": {1, 2}, "iterator": iter([1.0]),
    "[None]": [None], "[text]": ["a"], "[nan]": [float("nan")], "ragged": [[1.0, 2.0, 3.0], [4.0]],
    "mixed": [[1.0, "a", 2.0]] * ROWS, "recursive": recursive(), "[object]": [object()], "deep": [[[[[[1.0]]]]]],
    # arrays
    "0-D": np.array(1.5), "1-D": np.ones(ROWS + 1), "3-D": np.ones((ROWS, INPUTS, 1)), "no rows": np.ones((0, INPUTS)),
    "no columns": np.ones((ROWS, 0)), "too wide": np.ones((ROWS, INPUTS + 4)), "nan in": matrix(np.nan),
    "inf in": matrix(np.inf), "-inf in float32": matrix(-np.inf, np.float32), "complex in": matrix(1j, complex),
    "None in": matrix(None, object), "text in": matrix("a", object), "texts": matrix("a", "U1"),
    "bytes in": matrix(b"a", "S1"), "dates": np.ones((ROWS, INPUTS), "M8[s]"), "durations": np.ones(ROWS, "m8[s]"),
    "dates in a list": [[np.datetime64(1, "ns")] * INPUTS] * ROWS, "date in": matrix(np.datetime64(1, "ns"), object),
    "masked row": [*np.ones((ROWS - 1, INPUTS)), np.ma.masked_equal([1.0, 2.0, 3.0], 2.0)],
    "signalling NaN in": matrix(decimal.Decimal("snan"), object),
    "records": np.ones(ROWS, [("a", float), ("b", float)]), "voids": np.zeros((ROWS, INPUTS), "V8"),
    "huge integer in": matrix(10**400, object), "masked": np.ma.masked_equal(matrix(7.0), 7.0),
    "negative": -np.ones(ROWS), "zeros": np.zeros(ROWS),
}


# ---- the calls: name -> (function of nothing that gives (receiver or None, call, good arguments), arguments to spoil)

X, Y = np.arange(24.0).reshape(ROWS, INPUTS) % 5.0, np.arange(16.0).reshape(ROWS, OUTPUTS) % 3.0
x, y = X[1], Y[1]
WEIGHT = np.arange(1.0, ROWS + 1.0)
LABELS = np.arange(ROWS) % 2


def network(**options):
    net = bp.Network([INPUTS, 4, OUTPUTS], seed=1, **options)
    net.train(X, Y, epochs=1, optimizer="adam")
    return net


def classifier():
    return bp.MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, tol=10.0, n_iter_no_change=1, random_state=0)


def regressor():
    return bp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, tol=10.0, n_iter_no_change=1, random_state=0)


def perceptron():
    return bp.Perceptron(max_iter=2, tol=1.0, random_state=0)


def fitted(make, targets):
    return make().fit(X, targets)


def method(make, name, **good):
    """A call of a method of a new object."""
    def entry():
        receiver = make()
        return receiver, getattr(receiver, name), dict(good)
    return entry, tuple(good)


def function(call, *names, **good):
    """A call of a function; `names` are spoilt, or all of `good`."""
    return (lambda: (None, call, dict(good))), names or tuple(good)


def parameters(cls, data, names):
    """Parameters of an estimator, which are checked when it is fitted."""
    def fit(**given):
        return cls().set_params(**{**small(cls), **given}).fit(**data)
    return (lambda: (None, fit, {})), names


def small(cls):
    return {"max_iter": 2, "tol": 1.0} | ({} if cls is bp.Perceptron else {"hidden_layer_sizes": (3,),
                                                                           "n_iter_no_change": 1})


def square(w):
    return float((w * w).sum())


TRAIN = {"epochs": 1, "batch_size": 2, "optimizer": "sgd", "learning_rate": 0.01, "shuffle": True,
         "sample_weight": WEIGHT, "validation": 0.25, "early_stopping": 2, "schedule": "constant", "l1": 0.0, "l2": 0.0,
         "dropout": 0.0, "clip_norm": 1.0, "max_norm": 1.0, "class_weight": None, "metrics": (), "max_seconds": 10.0,
         "max_updates": 10, "target_loss": 0.0, "callbacks": (), "progress": False, "n_threads": 1,
         "checkpoint_path": None, "checkpoint_every": 1}
PERCEPTRON = ("rule", "eta0", "max_iter", "tol", "shuffle", "fit_intercept", "random_state", "average", "pocket",
              "class_weight", "warm_start", "n_iter_no_change")
MLP = ("hidden_layer_sizes", "activation", "solver", "alpha", "batch_size", "learning_rate", "learning_rate_init",
       "power_t", "max_iter", "shuffle", "random_state", "tol", "verbose", "warm_start", "momentum",
       "nesterovs_momentum", "early_stopping", "validation_fraction", "beta_1", "beta_2", "epsilon",
       "n_iter_no_change", "max_fun", "loss", "init", "l1", "dropout", "clip_norm", "max_norm", "max_seconds",
       "n_threads", "metrics", "callbacks")


def entries(folder):
    """{name: (entry, names)}; files are written in `folder`."""
    made = {
        "Network": function(bp.Network, sizes=[3, 4, 2], hidden="tanh", output="identity", loss="squared_error",
                            bias=True, init="auto", seed=0),
        "Network.predict": method(network, "predict", X=X),
        "Network.__call__": method(network, "__call__", X=X),
        "Network.predict_one": method(network, "predict_one", x=x),
        "Network.forward": method(network, "forward", X=X),
        "Network.evaluate": method(network, "evaluate", X=X, Y=Y, sample_weight=WEIGHT),
        "Network.gradients": method(network, "gradients", X=X, Y=Y, sample_weight=WEIGHT),
        "Network.check_gradients": method(network, "check_gradients", X=X, Y=Y, step=1e-5, max_parameters=10),
        "Network.trace": method(network, "trace", x=x, y=y, learning_rate=0.1),
        "Network.learn_one": method(network, "learn_one", x=x, y=y, learning_rate=0.1),
        "Network.set_parameters": method(network, "set_parameters", vector=np.ones(26)),
        "Network.reset": method(network, "reset", seed=0),
        "Network.save": method(network, "save", path=folder / "network"),
        "Network.train": method(network, "train", X=X, Y=Y, **TRAIN),
        "Perceptron": parameters(bp.Perceptron, {"X": X, "y": LABELS}, PERCEPTRON),
        "MLPClassifier": parameters(bp.MLPClassifier, {"X": X, "y": LABELS}, (*MLP, "class_weight")),
        "MLPRegressor": parameters(bp.MLPRegressor, {"X": X, "y": Y}, MLP),
        "gradient_descent": function(bp.gradient_descent, f=square, w0=np.ones(2), gradient=lambda w: 2 * w,
                                     learning_rate=0.1, tol=1e-3, max_iter=5, record_path=False, callback=None,
                                     random_state=None),
        "EarlyStopping": function(bp.EarlyStopping, patience=1, min_delta=0.0, monitor="val_loss", mode="auto"),
        "load": function(bp.load, path=folder / "network"),
        "data.load": function(bp.data.load, "path", "target", "header", "delimiter", "drop", "target_kind",
                              "zero_based", "n_features", "sparse", path=folder / "data.csv", header=True),
        "data.stream": function(bp.data.stream, "path", "target", "chunk_rows", "shuffle", "seed", "classes", "header",
                                "delimiter", "drop", "zero_based", "n_features", "sparse", path=folder / "data.csv"),
        "data.split": function(bp.data.split, X=X, y=LABELS, test_size=0.25, stratify=False, seed=0),
        "data.one_hot": function(bp.data.one_hot, y=LABELS, classes=[0, 1]),
        "Standardizer.fit": method(standardizer, "fit", X=X),
        "Standardizer.transform": method(standardizer, "transform", X=X),
        "Standardizer.inverse_transform": method(standardizer, "inverse_transform", X=X),
        "Standardizer.from_dict": function(bp.data.Standardizer.from_dict, state=standardizer().to_dict()),
        "train_many": function(bp.train_many, "networks", "datasets", "n_threads", "options", "on_error", "progress",
                               networks=[network()], datasets=[(X, Y)], n_threads=1),
        "Ensemble": function(bp.Ensemble, networks=[network()], bootstrap=True, seed=0),
        "Ensemble.train": method(ensemble, "train", X=X, Y=Y, sample_weight=WEIGHT, n_threads=1, progress=False),
        "Ensemble.predict": method(ensemble, "predict", X=X),
        "Ensemble.predict_each": method(ensemble, "predict_each", X=X),
        "Ensemble.spread": method(ensemble, "spread", X=X),
        "Ensemble.rows": method(ensemble, "rows", member=0, n=4),
        "grid": function(bp.grid, sizes=[3, 2], X=X, Y=Y, parameters={"learning_rate": [0.1]}, validation=0.25,
                         sample_weight=WEIGHT, score="val_loss", seed=0, n_threads=1, progress=False),
        "Model": function(bp.Model, "network", "classes", "scaler", "target_scaler", "feature_names", "target",
                          "columns", network=network()),
        "Model.predict": method(model, "predict", X=X),
        "Model.predict_proba": method(model, "predict_proba", X=X),
        "Model.save": method(model, "save", path=folder / "model"),
        "export.c": function(bp.export.c, model=network(), path=folder / "export.c", name="net"),
        "export.python": function(bp.export.python, model=network(), path=folder / "export.py"),
        "History.from_dict": function(bp.History.from_dict, values=network().history.to_dict()),
    }
    for make, targets in ((classifier, LABELS), (regressor, Y), (perceptron, LABELS)):
        ready, name = functools.partial(fitted, make, targets), type(make()).__name__
        made[f"{name}.fit"] = method(ready, "fit", X=X, y=targets, sample_weight=WEIGHT)
        made[f"{name}.partial_fit"] = method(ready, "partial_fit", X=X, y=targets, sample_weight=WEIGHT)
        made[f"{name}.predict"] = method(ready, "predict", X=X)
        made[f"{name}.score"] = method(ready, "score", X=X, y=targets, sample_weight=WEIGHT)
        made[f"{name}.save"] = method(ready, "save", path=folder / name)
    for name in ("predict_proba", "predict_log_proba", "decision_function"):
        made[f"MLPClassifier.{name}"] = method(functools.partial(fitted, classifier, LABELS), name, X=X)
    ready = functools.partial(fitted, perceptron, LABELS)
    made["Perceptron.decision_function"] = method(ready, "decision_function", X=X)
    made["Perceptron.signed_distance"] = method(ready, "signed_distance", X=X)
    made["Perceptron.margin"] = method(ready, "margin", X=X, y=LABELS)
    made["Perceptron.error"] = method(ready, "error", X=X, y=LABELS, sample_weight=WEIGHT)
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamEpsHat", "AdamW", "Rprop", "LBFGS",
                 "LevenbergMarquardt"):
        made[f"optimizers.{name}"] = of_signature(getattr(bp.optimizers, name))
    for name in ("step", "exponential", "cosine", "inverse_scaling", "reduce_on_plateau", "warm_up", "function"):
        made[f"schedules.{name}"] = of_signature(getattr(bp.schedules, name))
    return made


def of_signature(call):
    """A call whose defaults are good, each of its parameters spoilt in turn."""
    names = tuple(inspect.signature(call).parameters)
    return function(call, *names)


def standardizer():
    return bp.data.Standardizer().fit(X)


def ensemble():
    return bp.Ensemble([network(), network()], seed=0)


def model():
    return bp.Model(bp.Network([INPUTS, 4, OUTPUTS], loss="log_loss", seed=1), classes=np.array([0, 1]))


def state(receiver):
    """Everything that the receiver of a call is made of."""
    if receiver is None:
        return None
    if isinstance(receiver, bp.Network):                 # aside from a history that is not written out yet
        return pickle.dumps((receiver.parameters, receiver._training_state, receiver._stopping_state,
                             receiver._generator, receiver.epochs_trained))
    return pickle.dumps(receiver)
