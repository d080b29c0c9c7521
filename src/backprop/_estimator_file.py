"""What a model file keeps of an estimator beside its network: class, parameters, fitted state, in JSON's kinds."""

import importlib
import math

import numpy as np

from backprop import optimizers, schedules
from backprop.errors import ModelFormatError

CLASSES = {"MLPClassifier": "backprop.estimators", "MLPRegressor": "backprop.estimators",
           "Perceptron": "backprop.perceptron"}
LEFT_OUT = ("callbacks", "metrics")      # functions; the state of random_state is in the network's generator


def properties(estimator, fitted):
    """The properties of the file for an estimator; ValueError for a parameter that cannot be written down."""
    name = next((base.__name__ for base in type(estimator).__mro__ if base.__name__ in CLASSES), None)
    if name is None or type(estimator).__name__ != name:
        raise TypeError(f"a model file holds {', '.join(CLASSES)}, got {type(estimator).__name__}")
    parameters = {}
    for key, value in estimator.get_params(deep=False).items():
        if key in LEFT_OUT or isinstance(value, (np.random.RandomState, np.random.Generator)):
            value = None
        parameters[key] = _written(value, key)
    return {"class": name, "parameters": parameters, "fitted": fitted}


def _written(value, key):
    """A parameter in JSON's kinds; what JSON has not is an object with one entry that says what it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_written(each, key) for each in value]
    if isinstance(value, tuple):
        return {"tuple": [_written(each, key) for each in value]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": _written(value.tolist(), key)}
    if isinstance(value, dict):
        return {"items": [[_written(k, key), _written(v, key)] for k, v in value.items()]}
    if isinstance(value, optimizers.Optimizer):
        return {"optimizer": {"name": value.name, **value.hyper}}
    if isinstance(value, schedules.Schedule) and value.to_dict() is not None:
        return {"schedule": value.to_dict()}
    raise ValueError(f"the parameter {key} is a {type(value).__name__}, which a model file cannot hold")


def _read(value):
    """What `_written` wrote."""
    if isinstance(value, list):
        return [_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ModelFormatError(f"a parameter has the form {sorted(value)}")
    (kind, content), = value.items()
    kinds = {"float": float, "tuple": lambda c: tuple(_read(c)), "array": lambda c: np.array(_read(c)),
             "items": lambda c: {_read(k): _read(v) for k, v in c}, "schedule": schedules.from_dict,
             "optimizer": lambda c: optimizers.Optimizer(**c)}
    if kind not in kinds:
        raise ModelFormatError(f"a parameter has the form {kind!r}, expected one of {', '.join(kinds)}")
    return kinds[kind](content)


def estimator(network, properties):
    """The estimator of a file; ModelFormatError, ValueError or TypeError for what describes none."""
    if set(properties) != {"class", "parameters", "fitted"}:
        raise ModelFormatError(f"the properties of an estimator are class, fitted and parameters, and the file has "
                               f"{', '.join(sorted(properties))}")
    name, parameters, fitted = properties["class"], properties["parameters"], properties["fitted"]
    if name not in CLASSES or not isinstance(parameters, dict) or not isinstance(fitted, dict):
        raise ModelFormatError(f"the estimator is {name!r}, expected one of {', '.join(CLASSES)} with objects of "
                               "parameters and fitted state")
    found = getattr(importlib.import_module(CLASSES[name]), name)()
    try:
        found.set_params(**{key: _read(value) for key, value in parameters.items()})
        found._restore(network, fitted)
    except (KeyError, AttributeError, IndexError) as error:
        raise ModelFormatError(f"the file describes no possible {name}: {error!r}") from None
    return found
