"""`bp.export.onnx`: a model as an ONNX graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop import _check, model_file
from backprop.export import _reader
from backprop.export._c_math import table
from backprop.interop import _import

if TYPE_CHECKING:
    from backprop._types import PathLike

OPSET, IR_VERSION = 17, 8       # of 2022: runtimes since then read it, and it has every operator that is used
LIMIT = 2**31 - 1               # bytes of a protobuf message


def onnx(model: Any, path: PathLike, *, dtype: str = "float64") -> None:
    """Write a model as an ONNX graph of standard operators.

    The input is ``X``, (n, n_0), unscaled. The outputs are ``label``, (n,), and ``probabilities``, (n, k), of a
    classifier (``scores``, (n, n_L), where its outputs are no probabilities), and otherwise ``output``, (n, n_L). There
    is no ZipMap.

    Parameters
    ----------
    model : Network, Model, Perceptron, MLPClassifier, MLPRegressor or Pipeline
        As in `backprop.export`. Scalers and labels go into the graph.
    path : str or os.PathLike
        The file, written atomically.
    dtype : {"float64", "float32"}, default "float64"
        Of weights, inputs and outputs. The scalers compute in float64 in both.

    Raises
    ------
    ImportError
        Without the package onnx, the extra `onnx`.
    ValueError
        For a parameter that is not finite (in float32), or a model beyond the 2 GB of an ONNX file.
    TypeError
        For a model of another kind.
    OSError
        As it comes; what was at `path` is unchanged then.

    Notes
    -----
    In float64 the graph agrees with `predict` to 1e-12, in float32 to 1e-5, relative to the larger of 1 and the output.
    onnxruntime has no float64 kernels of Elu, Softplus and Erf, its LeakyRelu rounds the slope to float32, and its
    Sigmoid has no correct digit left at -40: in float64 these functions are built from operators that keep the digits
    (the normal distribution function from the core's own polynomials).
    """
    _check.choice(dtype, "dtype", ("float64", "float32"))
    path = _check.path(path)
    package = _import("onnx", "onnx", "onnx")
    plan = _reader.read(model)
    graph = _Graph(package, np.dtype(dtype))
    x = graph.cast_scaled("X", plan.shift, plan.scale, divide=True)
    for layer in plan.layers:
        x = graph.layer(x, layer)
    x = graph.cast_scaled(x, plan.target_shift, plan.target_scale, divide=False)
    _answers(graph, plan, x)
    size = sum(each.ByteSize() for each in graph.constants)
    if size > LIMIT - 2**20:
        raise ValueError(f"the model's {size:,} bytes are beyond the 2 GB of an ONNX file")
    data = _proto(package, graph, plan).SerializeToString()
    model_file.write_atomically(path, data)


class _Graph:
    """Nodes and constants in the order of their making."""

    def __init__(self, package, dtype):
        self.helper, self.numpy, self.dtype = package.helper, package.numpy_helper, dtype
        self.element = package.helper.np_dtype_to_tensor_dtype
        self.nodes, self.constants, self.outputs = [], [], []
        self._known = {}

    def constant(self, array):
        """The name of a constant, shared where it comes again."""
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 and array.dtype != object else None
        if key is None or key not in self._known:
            name = f"c{len(self.constants)}"
            self.constants.append(self.numpy.from_array(array, name))
            if key is None:
                return name
            self._known[key] = name
        return self._known[key]

    def number(self, value):
        """A scalar of the graph's type."""
        return self.constant(np.array(value, self.dtype))

    def add(self, operator, *inputs, output=None, **attributes):
        """A node; returns the name of its output. Numbers among the inputs become constants."""
        names = [self.number(each) if isinstance(each, (int, float)) else each for each in inputs]
        output = f"t{len(self.nodes)}" if output is None else output
        self.nodes.append(self.helper.make_node(operator, names, [output], **attributes))
        return output

    def cast(self, x, dtype):
        return self.add("Cast", x, to=self.element(np.dtype(dtype)))

    def cast_scaled(self, x, shift, scale, divide):
        """(x - shift) / scale, or x scale + shift, in float64 whatever the graph's type."""
        if scale is None:
            return x
        double = x if self.dtype == np.float64 else self.cast(x, np.float64)
        if divide:
            out = self.add("Div", self.add("Sub", double, self.constant(shift)), self.constant(scale))
        else:
            out = self.add("Add", self.add("Mul", double, self.constant(scale)), self.constant(shift))
        return out if self.dtype == np.float64 else self.cast(out, self.dtype)

    def layer(self, x, layer):
        W, b = (self._exact(values) for values in (layer.W, layer.b))
        a = self.add("Add", self.add("MatMul", x, self.constant(W)), self.constant(b))
        return _ACTIVATIONS[layer.activation](self, a)

    def _exact(self, values):
        with np.errstate(over="ignore"):
            out = values.astype(self.dtype)
        if not np.isfinite(out).all():
            raise ValueError(f"a parameter of {np.abs(values).max():.6g} is beyond float32; use dtype='float64'")
        return out

    def output(self, name, dtype, columns):
        """Declare a graph output: (n,) or (n, columns)."""
        shape = ["n"] if columns is None else ["n", columns]
        element = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.outputs.append(self.helper.make_tensor_value_info(name, element, shape))


# ---- activations: f(graph, name of a) -> name of z -----------------------------------------------------------------


def _leaky_relu(g, a):
    return g.add("Max", a, g.add("Mul", a, 0.01))


def _elu(g, a):
    """e^a - 1 = 2 t / (1 - t) with t = tanh(a / 2), which keeps the digits near 0."""
    if g.dtype == np.float32:
        return g.add("Elu", a, alpha=1.0)
    t = g.add("Tanh", g.add("Mul", g.add("Min", a, 0.0), 0.5))
    below = g.add("Div", g.add("Mul", t, 2.0), g.add("Sub", 1.0, t))
    return g.add("Add", g.add("Relu", a), below)


def _softplus(g, a):
    """max(a, 0) + log1p(E) with E = e^-|a|, and log1p(E) = E log(u) / (u - 1) with u = 1 + E rounded (Kahan)."""
    if g.dtype == np.float32:
        return g.add("Softplus", a)
    E = g.add("Exp", g.add("Neg", g.add("Abs", a)))
    u = g.add("Add", E, 1.0)
    rest = g.add("Sub", u, 1.0)
    lost = g.add("Equal", rest, 0.0)                     # E below half an ulp of 1: log1p(E) = E
    ratio = g.add("Div", g.add("Log", u), g.add("Where", lost, 1.0, rest))
    return g.add("Add", g.add("Relu", a), g.add("Mul", E, g.add("Where", lost, 1.0, ratio)))


def _sigmoid(g, a):
    """1 / D or E / D with E = e^-|a| and D = 1 + E."""
    if g.dtype == np.float32:
        return g.add("Sigmoid", a)
    E = g.add("Exp", g.add("Neg", g.add("Abs", a)))
    above = g.add("Where", g.add("Less", a, 0.0), E, 1.0)
    return g.add("Div", above, g.add("Add", E, 1.0))


def _gelu(g, a):
    """a Phi(a): by Erf in float32, by the core's two polynomials in float64."""
    if g.dtype == np.float32:
        half = g.add("Mul", a, 0.5)
        return g.add("Mul", half, g.add("Add", g.add("Erf", g.add("Mul", a, float(np.sqrt(0.5)))), 1.0))
    t = g.add("Min", g.add("Abs", a), 39.0)
    far = g.add("Max", t, 1.0)
    w = g.add("Div", g.add("Sub", far, 5.0), g.add("Add", far, 5.0))
    bell = g.add("Exp", g.add("Mul", g.add("Mul", far, far), -0.5))
    lower = g.add("Div", g.add("Mul", bell, _horner(g, "NORMAL_TAIL", w)), g.add("Add", far, 5.0))
    tail = g.add("Where", g.add("Less", a, 0.0), lower, g.add("Sub", 1.0, lower))
    near = g.add("Max", g.add("Min", a, 1.0), -1.0)
    u = g.add("Mul", near, near)
    slope = g.add("Add", g.add("Mul", u, _horner(g, "NORMAL_CENTRE", u)), float(1 / np.sqrt(2 * np.pi)))
    centre = g.add("Add", g.add("Mul", near, slope), 0.5)
    return g.add("Mul", a, g.add("Where", g.add("Less", t, 1.0), centre, tail))


def _horner(g, name, x):
    *rest, total = table(name)
    for coefficient in reversed(rest):
        total = g.add("Add", g.add("Mul", total, x), coefficient)
    return total


_ACTIVATIONS = {
    "identity": lambda g, a: a,
    "sigmoid": _sigmoid,
    "tanh": lambda g, a: g.add("Tanh", a),
    "relu": lambda g, a: g.add("Relu", a),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "silu": lambda g, a: g.add("Mul", a, _sigmoid(g, a)),
    "gelu": _gelu,
    "exp": lambda g, a: g.add("Exp", a),
    "softmax": lambda g, a: g.add("Softmax", a, axis=-1),
}


# ---- outputs -------------------------------------------------------------------------------------------------------


def _answers(graph, plan, y):
    """The nodes and declarations behind the network's outputs y."""
    if plan.classes is None:
        graph.add("Identity", y, output="output")
        return graph.output("output", graph.dtype, plan.n_outputs)
    if plan.decision == "each":
        graph.nodes.append(graph.helper.make_node("Cast", [graph.add("Greater", y, plan.threshold)], ["label"],
                                                  to=graph.element(np.dtype(np.int64))))
        graph.output("label", np.int64, plan.n_outputs)
    else:
        _label(graph, plan, y)
    if plan.probabilities and plan.decision == "positive":
        graph.add("Concat", graph.add("Sub", 1.0, y), y, axis=1, output="probabilities")
        return graph.output("probabilities", graph.dtype, 2)
    name = "probabilities" if plan.probabilities else "scores"
    graph.add("Identity", y, output=name)
    return graph.output(name, graph.dtype, plan.n_outputs)


def _label(graph, plan, y):
    """label = classes[index]; the first of equals."""
    kind = {str: object, int: np.int64, bool: np.bool_, float: np.float64}[plan.kind]
    if plan.decision == "argmax":
        index = graph.add("ArgMax", y, axis=1, keepdims=0)
    else:
        above = graph.cast(graph.add("Greater", y, plan.threshold), np.int64)
        index = graph.add("Squeeze", above, graph.constant(np.array([1], np.int64)))
    graph.add("Gather", graph.constant(np.array(plan.classes, kind)), index, output="label")
    graph.output("label", kind, None)


def _proto(package, graph, plan):
    from backprop import __version__

    helper = package.helper
    x = helper.make_tensor_value_info("X", graph.element(graph.dtype), ["n", plan.n_inputs])
    proto = helper.make_model(helper.make_graph(graph.nodes, "backprop", [x], graph.outputs, graph.constants),
                              opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="backprop", producer_version=__version__)
    if plan.names is not None:
        helper.set_model_props(proto, {"feature_names": json.dumps(plan.names)})
    package.checker.check_model(proto)
    return proto
