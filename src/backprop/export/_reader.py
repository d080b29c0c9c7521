"""What every export writes, read from any kind of model: layers, labels, scalers."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from backprop import _check
from backprop._dispatch import core
from backprop.errors import sklearn_or_own

LARGE = 1_000_000               # parameters above which a text file is worth a warning
_LABELS = (str, bool, int, float)


@dataclass
class Layer:
    """z = σ(x W + b).

    Attributes
    ----------
    W, b : ndarray
        (n_in, n_out) and (n_out,), float64.
    activation : str
    eight_lanes : bool
        Whether a = b + x·w is summed in eight lanes and their tree, as the core does for a single unit, and not in one
        chain that starts from b.
    """

    W: np.ndarray
    b: np.ndarray
    activation: str
    eight_lanes: bool


@dataclass
class Plan:
    """A model as an export sees it.

    Attributes
    ----------
    layers : list of Layer
    classes : list or None
        Labels as Python values, all str, all bool, all int or all float.
    decision : str
        How the answer follows from y' = z[L]: "outputs" (y' itself), "values" (y', regression), "argmax" (the first
        of the largest), "positive" (two classes, the second where y' > `threshold`), "each" (multilabel: every class
        where its y' > `threshold`).
    threshold : float
    probabilities : bool
        Whether y' are probabilities; with "positive" those of the second class.
    shift, scale : ndarray or None
        (n_0,): the layers take (x - shift) / scale.
    target_shift, target_scale : ndarray or None
        (n_L,): the answer is y' · target_scale + target_shift.
    names : list of str or None
        Of the n_0 columns.
    """

    layers: list
    classes: list | None = None
    decision: str = "outputs"
    threshold: float = 0.0
    probabilities: bool = False
    shift: np.ndarray | None = None
    scale: np.ndarray | None = None
    target_shift: np.ndarray | None = None
    target_scale: np.ndarray | None = None
    names: list | None = field(default=None)

    @property
    def n_inputs(self):
        return self.layers[0].W.shape[0]

    @property
    def n_outputs(self):
        return self.layers[-1].W.shape[1]

    @property
    def n_parameters(self):
        return sum(layer.W.size + layer.b.size for layer in self.layers)

    @property
    def kind(self):
        """The Python type of the labels, or None."""
        return None if self.classes is None else type(self.classes[0])


def read(model):
    """The plan of a model; TypeError for a kind that cannot be exported, ValueError for one that is not finite."""
    plan = _read(model)
    for l, layer in enumerate(plan.layers, start=1):
        for values, name in ((layer.W, f"W[{l}]"), (layer.b, f"b[{l}]")):
            if not np.isfinite(values).all():
                raise ValueError(f"the model's parameters are not finite (in {name}); such a model is not exported")
    return plan


def outputs(plan, X):
    """(n, n_0) -> (n, n_L): the answer of the plan by the core, to the bit that of the model it was read from."""
    if plan.scale is not None:
        X = (X - plan.shift) / plan.scale
    if all(layer.eight_lanes for layer in plan.layers) and plan.n_outputs > 1:
        Y = _net_inputs(plan.layers[0], X)
    else:
        Y = _as_network(plan).predict(X)
    return Y if plan.target_scale is None else Y * plan.target_scale + plan.target_shift


def _as_network(plan):
    from backprop.network import Network

    names = [layer.activation for layer in plan.layers]
    network = Network([plan.n_inputs, *(layer.W.shape[1] for layer in plan.layers)], hidden=names[:-1],
                      output=names[-1], loss="squared_error", init="zeros")
    for W, b, layer in zip(network.weights, network.biases, plan.layers):
        W[...], b[...] = layer.W, layer.b                # in place: a negative zero stays one
    return network


def _net_inputs(layer, X):
    """A perceptron's."""
    out = np.empty((len(X), layer.W.shape[1]))
    core.perceptron_net_inputs(np.ascontiguousarray(X), np.ascontiguousarray(layer.W.T), layer.b, out)
    return out


def indices(plan, Y):
    """(n,) numbers of the classes that follow from outputs (n, n_L), for classes that exclude each other."""
    return Y.argmax(axis=1) if plan.decision == "argmax" else (Y[:, 0] > plan.threshold).astype(np.int64)


def warn_if_large(plan, what):
    """One warning for a text file that compilers and editors will not like."""
    if plan.n_parameters > LARGE:
        warnings.warn(f"{plan.n_parameters:,} parameters make about {plan.n_parameters * 25 / 1e6:.0f} MB of {what}; "
                      "bp.export.onnx holds them in 8 bytes each", stacklevel=3)


def _read(model):
    from backprop.model import Model
    from backprop.network import Network
    from backprop.perceptron import Perceptron

    if isinstance(model, Network):
        return Plan(_layers(model))
    if isinstance(model, Model):
        return _bundle(model)
    if isinstance(model, Perceptron):
        return _perceptron(model)
    if hasattr(model, "steps"):
        return _pipeline(model)
    return _estimator(model)


def _layers(network):
    with network._exclusive("export", within=True):
        return [Layer(W.copy(), np.zeros(W.shape[1]) if b is None else b.copy(), activation, W.shape[1] == 1)
                for W, b, activation in zip(network.weights, network.biases, network.activations)]


def _bundle(model):
    plan = Plan(_layers(model.network), decision="values", names=model.feature_names)
    if model.classes is not None:
        plan.classes, plan.decision = labels(model.classes), "argmax"
        plan.probabilities = model.network.activations[-1] == "softmax"
    for scaler, prefix in ((model.scaler, ""), (model.target_scaler, "target_")):
        if scaler is not None:
            setattr(plan, f"{prefix}shift", scaler.mean_.copy())
            setattr(plan, f"{prefix}scale", scaler.scale_.copy())
    return plan


def _perceptron(model):
    _require_fit(model, "coef_")
    W, b = np.array(model.coef_, dtype=np.float64).T, np.array(model.intercept_, dtype=np.float64)
    return Plan([Layer(np.ascontiguousarray(W), b, "identity", True)], labels(model.classes_),
                "positive" if len(model.classes_) == 2 else "argmax")


def _estimator(model):
    """A fitted estimator: this library's own by its `network_` and `classes_`, or scikit-learn's."""
    from backprop import interop

    if any(kind.__module__.startswith("backprop.") for kind in type(model).__mro__):
        _require_fit(model, "network_")
    network = getattr(model, "network_", None)
    if network is None:
        try:
            foreign = interop.from_sklearn(model)
        except TypeError as error:
            raise TypeError(f"model cannot be exported: {error}") from None
        if not hasattr(foreign, "activations"):
            return _perceptron(foreign)
        network = foreign
    plan = Plan(_layers(network), decision="values")
    if getattr(model, "classes_", None) is not None:
        _classify(plan, model)
    return plan


def _classify(plan, model):
    """Labels and decision of a classifier: with one output the second of two classes, else one output per class.

    Whether these exclude each other is in the labels of this library's estimators; of scikit-learn's, and any other
    with `network_` and `classes_`, the output activation tells.
    """
    output = plan.layers[-1].activation
    kind = getattr(getattr(model, "_labels", None), "kind", "multilabel" if output == "sigmoid" else "multiclass")
    plan.classes = labels(model.classes_)
    plan.probabilities = output in ("sigmoid", "softmax")
    plan.threshold = 0.5 if plan.probabilities else 0.0
    if len(plan.classes) == plan.n_outputs == 1:         # a single class, whatever the output says
        plan.decision, plan.probabilities = "argmax", False
    elif plan.n_outputs == 1:
        plan.decision = "positive"
    else:
        plan.decision = "each" if kind == "multilabel" else "argmax"


def _pipeline(pipeline):
    """A scikit-learn Pipeline: scalers that shift and divide every column, then an estimator."""
    *scalers, model = [step for _, step in pipeline.steps if step is not None and not isinstance(step, str)]
    plan = _read(model)
    if not scalers:
        return plan
    if len(scalers) > 1 or plan.shift is not None:
        raise TypeError("a Pipeline to export has at most one scaler before its estimator, "
                        f"got {', '.join(type(step).__name__ for step in scalers)}")
    (scaler,) = scalers
    if type(scaler).__name__ not in ("StandardScaler", "Standardizer"):
        raise TypeError(f"a Pipeline to export has a StandardScaler or Standardizer before its estimator, "
                        f"got {type(scaler).__name__}")
    _require_fit(scaler, "n_features_in_")
    mean, scale = scaler.mean_, scaler.scale_            # None under with_mean=False or with_std=False
    plan.shift = np.zeros(plan.n_inputs) if mean is None or not getattr(scaler, "with_mean", True) else mean.copy()
    plan.scale = np.ones(plan.n_inputs) if scale is None else scale.copy()
    return plan


def _require_fit(model, attribute):
    if not hasattr(model, attribute):
        raise sklearn_or_own("NotFittedError")(f"this {type(model).__name__} is not fitted yet: call fit first")


def labels(values):
    """Class labels as a list of one Python type; ValueError or TypeError for what no export can write."""
    values = _check.labels(np.asarray(values), "classes").tolist()
    kind = next((kind for kind in _LABELS if all(type(value) is kind for value in values)), None)
    if kind is None:
        raise TypeError("class labels must be all strings, all bools, all integers or all floats, "
                        f"got {_check.shown(values)}")
    if kind is int and not all(-2**63 <= value < 2**63 for value in values):
        raise ValueError(f"integer class labels must fit 64 bits with a sign, got {_check.shown(values)}")
    return values
