"""`bp.export.python`: a model as one file of plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop import _check, model_file
from backprop.export import _reader

if TYPE_CHECKING:
    from backprop._types import PathLike

_ACTIVATIONS = {
    "identity": "",
    "sigmoid": '''\
def sigmoid(a):
    e = math.exp(-abs(a))
    return 1.0 / (1.0 + e) if a >= 0.0 else e / (1.0 + e)
''',
    "tanh": '''\
def tanh(a):
    return math.tanh(a)
''',
    "relu": '''\
def relu(a):
    return a if a > 0.0 else 0.0
''',
    "leaky_relu": '''\
def leaky_relu(a):
    return a if a > 0.0 else 0.01 * a
''',
    "elu": '''\
def elu(a):
    return a if a > 0.0 else math.expm1(a)
''',
    "softplus": '''\
def softplus(a):
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))
''',
    "silu": '''\
def silu(a):
    e = math.exp(-abs(a))
    return a / (1.0 + e) if a >= 0.0 else a * e / (1.0 + e)
''',
    "gelu": '''\
def gelu(a):
    return 0.5 * a * math.erfc(-a * math.sqrt(0.5))
''',
    "exp": '''\
def exp(a):
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf
''',
    "softmax": '''\
def softmax(a):
    top = max(a)
    e = [math.exp(each - top) for each in a]
    total = math.fsum(e)
    return [each / total for each in e]
''',
}


def python(model: Any, path: PathLike) -> None:
    """Write a model as one Python file that needs nothing but the standard library (Python 3.8 and later).

    Parameters
    ----------
    model : Network, Model, Perceptron, MLPClassifier, MLPRegressor or Pipeline
        As in `backprop.export`. Scalers and labels go into the file.
    path : str or os.PathLike
        The file, written atomically.

    Raises
    ------
    ValueError
        For a parameter that is not finite.
    TypeError
        For a model of another kind.
    OSError
        As it comes; what was at `path` is unchanged then.

    Warns
    -----
    UserWarning
        Above a million parameters, of which each takes about 20 bytes of source.

    Notes
    -----
    ``predict(row)`` takes n_0 numbers, unscaled, and gives what `predict` of the model gives for this row: a label, a
    number, or a list. ``outputs(row)`` gives the n_L outputs, ``predict_proba(row)`` of a classifier its probabilities,
    in the order of ``CLASSES``. They agree with the library to rounding, not to the bit: Python's sums and its C
    library's exponentials are others. A row of the wrong length, or with NaN or infinity, is a ValueError.

    Examples
    --------
    >>> import os, runpy, tempfile
    >>> import backprop as bp
    >>> network = bp.Network([1, 2], loss="log_loss", init=([[[1.0, -1.0]]], None))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "answer.py")
    ...     bp.export.python(bp.Model(network, classes=["no", "yes"]), path)
    ...     runpy.run_path(path)["predict"]([-3.0])
    'yes'
    """
    path = _check.path(path)
    plan = _reader.read(model)
    _reader.warn_if_large(plan, "Python")
    used = [layer.activation for layer in plan.layers]
    parts = [_banner(plan), *_constants(plan),
             *(_ACTIVATIONS[name] for name in dict.fromkeys(used) if _ACTIVATIONS[name]), _layers(plan),
             _outputs(plan), *_answers(plan)]
    model_file.write_atomically(path, ("\n\n".join(part.strip("\n") + "\n" for part in parts)).encode("ascii"))


def _banner(plan):
    sizes = "-".join(str(n) for n in (plan.n_inputs, *(layer.W.shape[1] for layer in plan.layers)))
    return f'''\
"""A network {sizes}, written by backprop. It needs Python's standard library only."""

import math
from operator import mul
'''


def _numbers(values):
    """A tuple of floats in parentheses, several to a line."""
    texts = [repr(value) for value in np.ravel(values).tolist()]
    rows = ["    " + ", ".join(texts[i:i + 5]) + "," for i in range(0, len(texts), 5)]
    return "(\n" + "\n".join(rows) + "\n)"


def _constants(plan):
    if plan.names is not None:
        yield f"FEATURES = {_ascii_list(plan.names)}"
    if plan.classes is not None:
        yield f"CLASSES = {_ascii_list(plan.classes)}"
    for values, word in ((plan.shift, "SHIFT"), (plan.scale, "SCALE"), (plan.target_shift, "TARGET_SHIFT"),
                         (plan.target_scale, "TARGET_SCALE")):
        if values is not None:
            yield f"{word} = {_numbers(values)}"
    for l, layer in enumerate(plan.layers, start=1):
        yield f"W{l} = {_numbers(layer.W.T)}  # the weights into unit 1, into unit 2, ...\nb{l} = {_numbers(layer.b)}"


def _ascii_list(values):
    """A list of labels or names; whatever they hold, it stays inside an ASCII literal."""
    return "[\n" + "".join(f"    {value!a},\n" for value in values) + "]"


def _layers(plan):
    return '''\
def net_inputs(x, W, b):
    """W x + b, one sum per unit."""
    n = len(x)
    return [sum(map(mul, x, W[i * n:i * n + n]), bias) for i, bias in enumerate(b)]
'''


def _outputs(plan):
    lines = ["def outputs(row):", f'    """The {plan.n_outputs} outputs for {plan.n_inputs} inputs, unscaled."""',
             "    x = [float(value) for value in row]", f"    if len(x) != {plan.n_inputs}:",
             f'        raise ValueError("row must have {plan.n_inputs} numbers, got %d" % len(x))',
             "    if not all(map(math.isfinite, x)):", '        raise ValueError("row holds NaN or infinity")']
    if plan.scale is not None:
        lines.append("    x = [(value - shift) / scale for value, shift, scale in zip(x, SHIFT, SCALE)]")
    for l, layer in enumerate(plan.layers, start=1):
        call = f"net_inputs(x, W{l}, b{l})"
        if layer.activation == "softmax":
            call = f"softmax({call})"
        elif layer.activation != "identity":
            call = f"[{layer.activation}(a) for a in {call}]"
        lines.append(f"    x = {call}")
    if plan.target_scale is not None:
        lines.append("    x = [value * scale + shift for value, shift, scale in zip(x, TARGET_SHIFT, TARGET_SCALE)]")
    return "\n".join([*lines, "    return x"])


def _answers(plan):
    if plan.probabilities:
        both = "[1.0 - y[0], y[0]]" if plan.decision == "positive" else "y"
        yield ('def predict_proba(row):\n    """Probabilities in the order of CLASSES."""\n    y = outputs(row)\n'
               f"    return {both}\n")
    doc, answer = {
        "outputs": ("The outputs, as a list.", "y"),
        "values": ("The value.", "y[0]") if plan.n_outputs == 1 else ("The values, as a list.", "y"),
        "argmax": ("The label.", "CLASSES[y.index(max(y))]"),
        "positive": ("The label.", f"CLASSES[1 if y[0] > {plan.threshold!r} else 0]"),
        "each": ("1 for every class of CLASSES that is predicted, else 0.",
                 f"[int(value > {plan.threshold!r}) for value in y]"),
    }[plan.decision]
    yield f'def predict(row):\n    """{doc}"""\n    y = outputs(row)\n    return {answer}\n'
