"""Perceptrons and feedforward networks trained by backpropagation: fast, reproducible to the bit, readable."""

import importlib as _importlib

from backprop._config import show_config
from backprop.network import Network

__version__ = "0.1.0"

# Loaded when first touched, so that `import backprop` costs little more than `import numpy`: name -> module.
_LAZY = {
    "dask": "backprop.dask",
    "data": "backprop.data",
    "EarlyStopping": "backprop.stopping",
    "Ensemble": "backprop.ensemble",
    "errors": "backprop.errors",
    "export": "backprop.export",
    "from_sklearn": "backprop.interop",
    "from_torch": "backprop.interop",
    "gradient_descent": "backprop.descent",
    "grid": "backprop.search",
    "History": "backprop.history",
    "load": "backprop.model_file",
    "metrics": "backprop.metrics",
    "MLPClassifier": "backprop.estimators",
    "MLPRegressor": "backprop.estimators",
    "Model": "backprop.model",
    "model_file": "backprop.model_file",
    "optimizers": "backprop.optimizers",
    "Perceptron": "backprop.perceptron",
    "plot": "backprop.plot",
    "schedules": "backprop.schedules",
    "to_sklearn": "backprop.interop",
    "train_many": "backprop.many",
}
__all__ = ["Network", "show_config", *_LAZY]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module 'backprop' has no attribute {name!r}")
    module = _importlib.import_module(_LAZY[name])
    value = module if module.__name__ == f"backprop.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
