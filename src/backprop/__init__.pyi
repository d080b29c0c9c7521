# What `__init__.py` loads when it is first touched, for type checkers. tests/test_types.py compares the two.

from backprop import dask as dask
from backprop import data as data
from backprop import errors as errors
from backprop import export as export
from backprop import metrics as metrics
from backprop import model_file as model_file
from backprop import optimizers as optimizers
from backprop import plot as plot
from backprop import schedules as schedules
from backprop._config import show_config as show_config
from backprop.descent import gradient_descent as gradient_descent
from backprop.ensemble import Ensemble as Ensemble
from backprop.estimators import MLPClassifier as MLPClassifier
from backprop.estimators import MLPRegressor as MLPRegressor
from backprop.history import History as History
from backprop.interop import from_sklearn as from_sklearn
from backprop.interop import from_torch as from_torch
from backprop.interop import to_sklearn as to_sklearn
from backprop.many import train_many as train_many
from backprop.model import Model as Model
from backprop.model_file import load as load
from backprop.network import Network as Network
from backprop.perceptron import Perceptron as Perceptron
from backprop.search import grid as grid
from backprop.stopping import EarlyStopping as EarlyStopping

__version__: str
__all__: list[str]

def __dir__() -> list[str]: ...
