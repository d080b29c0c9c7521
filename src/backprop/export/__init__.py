"""Trained models for elsewhere: ONNX, one file of C99, one file of plain Python.

A model is a `Network`, a `Model`, a `Perceptron`, a fitted `MLPClassifier` or `MLPRegressor` of this library or of
scikit-learn, or a scikit-learn `Pipeline` of a `StandardScaler` and one of these.
"""

from backprop.export._c import c
from backprop.export._onnx import onnx
from backprop.export._python import python

FORMATS = {"onnx": onnx, "c": c, "python": python}      # name -> f(model, path)

__all__ = ["FORMATS", "c", "onnx", "python"]
