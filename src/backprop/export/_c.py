"""`bp.export.c`: a model as one file of C99."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop import _check, _dispatch, model_file
from backprop.export import _c_math, _reader

if TYPE_CHECKING:
    from backprop._types import PathLike

GOLDEN_NUMBERS = 20_000         # inputs of the golden vectors, all rows together, unless one row has more
LONGEST_STRING = 4095           # bytes of a string literal that every C99 compiler takes

_PRELUDE = """\
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __FAST_MATH__
#error "this file counts on IEEE arithmetic: compile it without -ffast-math"
#endif
#if FLT_EVAL_METHOD < 0 || FLT_EVAL_METHOD == 2
#error "this file counts on double arithmetic in double precision: compile it with -msse2 -mfpmath=sse"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define SIGN_BIT UINT64_C(0x8000000000000000)
#define EXPONENT UINT64_C(0x7ff0000000000000)
"""


def c(model: Any, path: PathLike, *, name: str | None = None) -> None:
    """Write a model as one file of C99: no allocation, no state, no library but ``fma()`` of <math.h>.

    The file computes with the operations of the library's own kernels in their order, exponentials and their kin
    included, so its outputs have the bits of `predict` (on every processor, where the library itself runs with FMA).
    With ``-DBACKPROP_TEST`` it has a ``main`` that holds it to golden vectors from `predict` and returns 0 where all
    bits agree.

    Parameters
    ----------
    model : Network, Model, Perceptron, MLPClassifier, MLPRegressor or Pipeline
        As in `backprop.export`. Scalers and labels go into the file.
    path : str or os.PathLike
        The file, written atomically.
    name : str, optional
        Prefix of the file's functions: letters, digits and underscores, beginning with a letter. By default the file's
        name without its ending, other characters as underscores.

    Raises
    ------
    ValueError
        For a parameter that is not finite, or a `name` or labels that C cannot hold.
    TypeError
        For a model of another kind.
    OSError
        As it comes; what was at `path` is unchanged then.

    Warns
    -----
    UserWarning
        Above a million parameters, of which each takes about 25 bytes of source.

    Notes
    -----
    ``int NAME_outputs(const double *x, double *y)`` takes n_0 inputs, unscaled, and gives n_L outputs; it returns 0, or
    -1 where an input or output is not finite. ``int NAME_predict(const double *x)`` of a classifier returns the index
    of the class in ``NAME_labels``, or -1; that of a multilabel classifier takes a second argument, ``int *labels``,
    and returns 0 or -1. The buffers are two arrays on the stack, as long as the widest layer.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import backprop as bp
    >>> net = bp.Network([2, 3, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "xor.c"
    ...     bp.export.c(net, path)
    ...     "int xor_outputs(const double *x, double *y);" in path.read_text()
    True
    """
    path = _check.path(path)
    name = _identifier(name, path)
    plan = _reader.read(model)
    labels = _labels(plan, name)
    _reader.warn_if_large(plan, "C")
    parts = [_banner(plan, name), _PRELUDE, _interface(plan, name, labels), _c_math.source(_needed(plan)),
             *_arrays(plan), _outputs(plan, name), *_predict(plan, name), _test(plan, name)]
    model_file.write_atomically(path, ("\n\n".join(part.strip("\n") for part in parts) + "\n").encode("ascii"))


def _identifier(name, path):
    if name is None:
        stem = os.path.splitext(os.path.basename(os.fsdecode(path)))[0]
        name = re.sub(r"[^A-Za-z0-9_]", "_", stem).lstrip("_")
        if not name:
            return "model"
        return name if re.match(r"[A-Za-z]", name) else f"model_{name}"
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError("name must be letters, digits and underscores (ASCII), beginning with a letter, "
                         f"got {_check.shown(name)}")
    return name


def _banner(plan, name):
    sizes = "-".join(str(n) for n in (plan.n_inputs, *(layer.W.shape[1] for layer in plan.layers)))
    activations = ", ".join(layer.activation for layer in plan.layers)
    return f"""\
/* A network {sizes} ({activations}), written by backprop.
 *
 * use:   cc -std=c99 -O2 -c {name}.c, and link with -lm for fma(); an option such as -march=native, where the processor
 *        has the instruction, makes it fast
 * test:  cc -std=c99 -O2 -DBACKPROP_TEST {name}.c -lm && ./a.out
 */"""


def _interface(plan, name, labels):
    n_0, n_L = plan.n_inputs, plan.n_outputs
    what = {"outputs": "the outputs", "values": "the values", "each": "one per label"}.get(plan.decision, "")
    if plan.decision == "argmax":
        what = "probabilities of the labels" if plan.probabilities else "one per label, the largest wins"
    if plan.decision == "positive":
        what = ("the probability of label 1" if plan.probabilities else "positive for label 1")
    lines = [f"enum {{ {name}_n_inputs = {n_0}, {name}_n_outputs = {n_L} }};", "",
             f"/* x ({n_0},) unscaled -> y ({n_L},), {what}. Returns 0, or -1 where x or y is not finite. */",
             f"int {name}_outputs(const double *x, double *y);"]
    if plan.decision == "each":
        lines += ["", f"/* x ({n_0},) -> labels ({n_L},), 0 or 1 each. Returns 0, or -1 as above. */",
                  f"int {name}_predict(const double *x, int *labels);"]
    elif plan.classes is not None:
        lines += ["", f"/* x ({n_0},) -> the index of its label, or -1 as above. */",
                  f"int {name}_predict(const double *x);"]
    return "\n".join([*lines, *labels])


def _labels(plan, name):
    """Definitions of the labels and of the columns' names."""
    lines = []
    if plan.classes is not None:
        kind, write = {str: ("char *const ", lambda v: _string(v, "a class label")), int: ("int64_t ", _integer),
                       bool: ("int ", lambda v: str(int(v))), float: ("double ", float.hex)}[plan.kind]
        lines += ["", f"extern const {kind}{name}_labels[{len(plan.classes)}];",
                  f"const {kind}{name}_labels[{len(plan.classes)}] = {{",
                  *(f"    {write(label)}," for label in plan.classes), "};"]
    if plan.names is not None:
        lines += ["", f"extern const char *const {name}_features[{plan.n_inputs}];",
                  f"const char *const {name}_features[{plan.n_inputs}] = {{",
                  *(f"    {_string(column, 'a feature name')}," for column in plan.names), "};"]
    return lines


def _integer(value):
    return "INT64_MIN" if value == -2**63 else f"INT64_C({value})"


def _string(text, what):
    """A C string literal of UTF-8; everything that is not plain ASCII as octal escapes, which never run on."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is no valid Unicode: {text!a}") from None
    if b"\0" in data:
        raise ValueError(f"{what} holds a NUL character, where a C string ends: {_check.shown(text)}")
    if len(data) > LONGEST_STRING:
        raise ValueError(f"{what} takes {len(data)} bytes; C has string literals of up to {LONGEST_STRING}")
    plain = set(range(32, 127)) - set(b'"\\?')           # ? might begin a trigraph
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in data) + '"'


def _numbers(declaration, values):
    """An array of doubles, exactly, as wide as a line."""
    texts = [value.hex() for value in np.ravel(values).tolist()]
    rows = ["    " + ", ".join(texts[i:i + 4]) for i in range(0, len(texts), 4)]
    return f"{declaration}[{len(texts)}] = {{\n" + ",\n".join(rows) + "};"


def _arrays(plan):
    for l, layer in enumerate(plan.layers, start=1):
        yield _numbers(f"static const double W{l}", layer.W.T if layer.eight_lanes else layer.W)
        yield _numbers(f"static const double b{l}", layer.b)
    for values, word in ((plan.shift, "shift"), (plan.scale, "width"), (plan.target_shift, "target_shift"),
                         (plan.target_scale, "target_width")):
        if values is not None:
            yield _numbers(f"static const double {word}", values)


def _needed(plan):
    """Names of the parts of `_c_math` that the plan's layers call."""
    names = ["finite"]
    for layer in plan.layers:
        names.append("units" if layer.eight_lanes else "layer")
        if layer.activation != "identity":
            names.append(layer.activation)
    return names


def _outputs(plan, name):
    widest = max(max(layer.W.shape) for layer in plan.layers)
    lines = [f"int {name}_outputs(const double *x, double *y) {{",
             f"    double in[{widest}], out[{widest}];",
             f"    if (!finite_all(x, {plan.n_inputs})) return -1;",
             f"    for (int j = 0; j < {plan.n_inputs}; j++) "
             + ("in[j] = x[j];" if plan.scale is None else "in[j] = (x[j] - shift[j]) / width[j];")]
    source, target = "in", "out"
    for l, layer in enumerate(plan.layers, start=1):
        n, m = layer.W.shape
        lines.append(f"    {'units' if layer.eight_lanes else 'layer'}({source}, W{l}, b{l}, {target}, {n}, {m});")
        if layer.activation == "softmax":
            lines.append(f"    softmax({target}, {m});")
        elif layer.activation != "identity":
            lines.append(f"    for (int i = 0; i < {m}; i++) {target}[i] = act_{layer.activation}({target}[i]);")
        source, target = target, source
    lines.append(f"    for (int i = 0; i < {plan.n_outputs}; i++) "
                 + (f"y[i] = {source}[i];" if plan.target_scale is None
                    else f"y[i] = {source}[i] * target_width[i] + target_shift[i];"))
    return "\n".join([*lines, f"    return finite_all(y, {plan.n_outputs}) ? 0 : -1;", "}"])


def _predict(plan, name):
    n_L = plan.n_outputs
    start = f"    double y[{n_L}];\n    if ({name}_outputs(x, y) != 0) return -1;\n"
    if plan.decision == "argmax":
        yield (f"int {name}_predict(const double *x) {{\n    int best = 0;\n{start}"
               f"    for (int i = 1; i < {n_L}; i++) if (y[i] > y[best]) best = i;\n    return best;\n}}")
    elif plan.decision == "positive":
        yield f"int {name}_predict(const double *x) {{\n{start}    return y[0] > {plan.threshold!r};\n}}"
    elif plan.decision == "each":
        yield (f"int {name}_predict(const double *x, int *labels) {{\n{start}"
               f"    for (int i = 0; i < {n_L}; i++) labels[i] = y[i] > {plan.threshold!r};\n    return 0;\n}}")


def _golden(plan):
    """(X, Y): inputs like those that the scaler saw, or standard normal ones, and their outputs."""
    rows = max(1, min(16, GOLDEN_NUMBERS // plan.n_inputs))
    X = np.random.default_rng(0).normal(size=(rows, plan.n_inputs))
    X[0] = 0.0
    if plan.scale is not None:
        X = X * plan.scale + plan.shift
    return X, _reader.outputs(plan, X)


def _test(plan, name):
    X, Y = _golden(plan)
    n_0, n_L, rows = plan.n_inputs, plan.n_outputs, len(X)
    fma = _dispatch.variant != "baseline"
    checks = "", ""
    if plan.classes is not None and plan.decision != "each":
        chosen = ", ".join(str(index) for index in _reader.indices(plan, Y).tolist())
        checks = (f"\nstatic const int golden_chosen[{rows}] = {{{chosen}}};",
                  f"\n        if (exact && {name}_predict(golden_x + r * {n_0}) != golden_chosen[r]) wrong++;")
    return f"""\
#ifdef BACKPROP_TEST
#include <stdio.h>

{_numbers("static const double golden_x", X)}
{_numbers("static const double golden_y", Y)}{checks[0]}

/* Golden vectors: the same bits with the same arithmetic; to 1e-9 where one side has FMA and the other has not. */
int main(void) {{
    int wrong = 0;
    double y[{n_L}];
#ifdef BACKPROP_NO_FMA
    const int exact = {int(not fma)};
#else
    const int exact = {int(fma)};
#endif
    for (int r = 0; r < {rows}; r++) {{
        if ({name}_outputs(golden_x + r * {n_0}, y) != 0) wrong++;
        for (int i = 0; i < {n_L}; i++) {{
            double want = golden_y[r * {n_L} + i], size = want < 0.0 ? -want : want;
            double off = y[i] < want ? want - y[i] : y[i] - want;
            if (exact ? to_bits(y[i]) != to_bits(want) : !(off <= 1e-9 * (1.0 + size))) wrong++;
        }}{checks[1]}
    }}
    printf("{name}: {rows} examples, %d differences\\n", wrong);
    return wrong != 0;
}}
#endif"""
