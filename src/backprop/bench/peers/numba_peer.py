"""numba: loops as a good programmer writes them, in both layouts of the weights.

The source is generated for the network's depth; with literal sizes LLVM can unroll, which helps only small layers.
"""

import time

import numba
import numpy as np

from tasks import flat
from timing import Contender

NAME = "numba"


def version():
    return numba.__version__


def _compiled(source, fastmath, *arguments):
    """(function, compile seconds) of the source's `train`; the call with `arguments` compiles it."""
    scope = {"np": np}
    exec(source, scope)
    function = numba.njit(fastmath=fastmath)(scope["train"])
    start = time.perf_counter()
    function(*arguments)
    return function, time.perf_counter() - start


def _head(sizes, literal):
    """(lines, size of layer l as source text): the sizes are literals, or read from the arrays at run time."""
    layers = range(1, len(sizes))
    lines = [
        f"def train(X, Y, epochs, eta, {', '.join(f'W{l}, b{l}' for l in layers)}):",
        "    n0 = X.shape[1]",
        *[f"    n{l} = b{l}.shape[0]" for l in layers],
        *[f"    z{l}, d{l} = np.empty(n{l}), np.empty(n{l})" for l in layers],
        "    for _ in range(epochs):",
        "        for k in range(X.shape[0]):",
        "            z0, y = X[k], Y[k]",
    ]
    return lines, (lambda l: str(sizes[l])) if literal else (lambda l: f"n{l}")


def _output_delta(last, size):
    return [
        f"            for i in range({size(last)}):",
        f"                v = z{last}[i]",
        f"                d{last}[i] = 2.0 * (v - y[i]) * v * (1.0 - v)",
    ]


def _inputs_source(sizes, literal, skip):
    """W (n_in, n_out), input by input: forward by axpy, then in one pass per layer the delta below and the update.

    `skip` leaves out inputs of the first layer that are 0.
    """
    layers, last = range(1, len(sizes)), len(sizes) - 1
    out, size = _head(sizes, literal)
    zero = ["                if v == 0.0:", "                    continue"] if skip else []
    for l in layers:
        out += [
            f"            for i in range({size(l)}):",
            f"                z{l}[i] = b{l}[i]",
            f"            for j in range({size(l - 1)}):",
            f"                v = z{l - 1}[j]",
            *(zero if l == 1 else []),
            f"                for i in range({size(l)}):",
            f"                    z{l}[i] += v * W{l}[j, i]",
            f"            for i in range({size(l)}):",
            f"                z{l}[i] = 1.0 / (1.0 + np.exp(-z{l}[i]))",
        ]
    out += _output_delta(last, size)
    for l in reversed(layers):
        out += [
            f"            for j in range({size(l - 1)}):",
            f"                v = z{l - 1}[j]",
            *(zero if l == 1 else []),
            "                e = eta * v",
            *(["                s = 0.0"] if l > 1 else []),
            f"                for i in range({size(l)}):",
            *([f"                    s += W{l}[j, i] * d{l}[i]"] if l > 1 else []),
            f"                    W{l}[j, i] -= e * d{l}[i]",
            *([f"                d{l - 1}[j] = s * v * (1.0 - v)"] if l > 1 else []),
            f"            for i in range({size(l)}):",
            f"                b{l}[i] -= eta * d{l}[i]",
        ]
    return "\n".join(out)


def _units_source(sizes, literal):
    """W (n_out, n_in), unit by unit: long dot products, and again one pass per layer for delta and update."""
    layers, last = range(1, len(sizes)), len(sizes) - 1
    out, size = _head(sizes, literal)
    for l in layers:
        out += [
            f"            for i in range({size(l)}):",
            f"                s = b{l}[i]",
            f"                for j in range({size(l - 1)}):",
            f"                    s += z{l - 1}[j] * W{l}[i, j]",
            f"                z{l}[i] = 1.0 / (1.0 + np.exp(-s))",
        ]
    out += _output_delta(last, size)
    for l in reversed(layers):
        out += [
            *([f"            for j in range({size(l - 1)}):", f"                d{l - 1}[j] = 0.0"] if l > 1 else []),
            f"            for i in range({size(l)}):",
            f"                d = d{l}[i]",
            "                e = eta * d",
            f"                b{l}[i] -= e",
            f"                for j in range({size(l - 1)}):",
            *([f"                    d{l - 1}[j] += W{l}[i, j] * d"] if l > 1 else []),
            f"                    W{l}[i, j] -= e * z{l - 1}[j]",
        ]
        if l > 1:
            out += [
                f"            for j in range({size(l - 1)}):",
                f"                d{l - 1}[j] *= z{l - 1}[j] * (1.0 - z{l - 1}[j])",
            ]
    return "\n".join(out)


def _batch_source(sizes, batch_size):
    """Mini-batches: the products by np.dot into buffers, everything else in fused loops."""
    layers = range(1, len(sizes))
    names = ", ".join(f"W{l}, b{l}" for l in layers)
    out = [f"def train(X, Y, epochs, eta, {names}):", f"    scale = eta / {batch_size}"]
    for l in layers:
        out += [
            f"    z{l}, d{l} = np.empty(({batch_size}, {sizes[l]})), np.empty(({batch_size}, {sizes[l]}))",
            f"    G{l} = np.empty(({sizes[l - 1]}, {sizes[l]}))",
        ]
    out += [
        "    for _ in range(epochs):",
        f"        for start in range(0, X.shape[0], {batch_size}):",
        f"            z0, y = X[start:start + {batch_size}], Y[start:start + {batch_size}]",
    ]
    for l in layers:
        out += [
            f"            np.dot(z{l - 1}, W{l}, z{l})",
            f"            for r in range({batch_size}):",
            f"                for i in range({sizes[l]}):",
            f"                    z{l}[r, i] = 1.0 / (1.0 + np.exp(-z{l}[r, i] - b{l}[i]))",
        ]
    last = len(sizes) - 1
    out += [
        f"            for r in range({batch_size}):",
        f"                for i in range({sizes[last]}):",
        f"                    v = z{last}[r, i]",
        f"                    d{last}[r, i] = 2.0 * (v - y[r, i]) * v * (1.0 - v)",
    ]
    for l in reversed(layers):
        if l > 1:
            out += [
                f"            np.dot(d{l}, W{l}.T, d{l - 1})",
                f"            for r in range({batch_size}):",
                f"                for i in range({sizes[l - 1]}):",
                f"                    d{l - 1}[r, i] *= z{l - 1}[r, i] * (1.0 - z{l - 1}[r, i])",
            ]
        out += [
            f"            np.dot(z{l - 1}.T, d{l}, G{l})",
            f"            for j in range({sizes[l - 1]}):",
            f"                for i in range({sizes[l]}):",
            f"                    W{l}[j, i] -= scale * G{l}[j, i]",
            f"            for r in range({batch_size}):",
            f"                for i in range({sizes[l]}):",
            f"                    b{l}[i] -= scale * d{l}[r, i]",
        ]
    return "\n".join(out)


def training(task, few=False):
    """Forms online: both layouts, sizes as literals or not, fastmath on or off (off: dot products do not vectorise, so
    one layout only); `few`: fastmath on only. With many zeros also loops that skip them, a contender of its own.
    Mini-batches: BLAS by np.dot.
    """
    if task.optimizer != "sgd" or len(task.X) % task.batch_size:
        return []
    if task.batch_size > 1:
        return [_contender(task, NAME, _batch_source(task.sizes, task.batch_size), "np.dot", True)]
    forms = []
    for literal in (True, False):
        sizes = "literal sizes" if literal else "any sizes"
        forms.append(_contender(task, NAME, _units_source(task.sizes, literal), f"unit by unit, {sizes}", True, True))
        for fastmath in (True,) if few else (True, False):
            forms.append(
                _contender(task, NAME, _inputs_source(task.sizes, literal, False), f"input by input, {sizes}", fastmath)
            )
            if (task.X[:256] == 0.0).mean() > 0.5:
                forms.append(
                    _contender(
                        task,
                        "numba, zeros skipped",
                        _inputs_source(task.sizes, literal, True),
                        f"input by input, {sizes}",
                        fastmath,
                    )
                )
    return forms


def _contender(task, name, source, form, fastmath, transposed=False):
    weights = [np.ascontiguousarray(W.T) for W in task.weights] if transposed else task.weights
    start = [part for pair in zip(weights, task.biases) for part in pair]
    parts = [part.copy() for part in start]
    rows = task.batch_size
    train, seconds = _compiled(source, fastmath, task.X[:rows], task.Y[:rows], 1, 0.0, *parts)

    def reset():
        for part, first in zip(parts, start):
            part[...] = first

    def run(k):
        train(task.X, task.Y, k, task.learning_rate, *parts)

    def check():
        reset()
        run(1)
        return flat([W.T for W in parts[::2]] if transposed else parts[::2], parts[1::2])

    return Contender(
        name, run, check, reset, form=f"{form}, fastmath {'on' if fastmath else 'off'}", compile_seconds=seconds
    )


def separation(task):
    """Stochastic perceptron over a permutation drawn anew each epoch."""
    forms = []
    for fastmath in (True, False):

        @numba.njit(fastmath=fastmath)
        def train(X, y, epochs, shuffle, w):
            b, d = 0.0, X.shape[1]
            order = np.arange(X.shape[0])
            for _ in range(epochs):
                if shuffle:
                    np.random.shuffle(order)  # noqa: NPY002 - numba knows no Generator argument here
                for k in range(X.shape[0]):
                    r = order[k]
                    a = b
                    for i in range(d):
                        a += X[r, i] * w[i]
                    if y[r] * a <= 0.0:
                        for i in range(d):
                            w[i] += y[r] * X[r, i]
                        b += y[r]
            return b

        w = np.zeros(task.X.shape[1])
        start = time.perf_counter()
        train(task.X[:1], task.y[:1], 1, True, w)
        seconds = time.perf_counter() - start

        def reset(w=w):
            w[:] = 0.0

        def check(train=train, w=w):
            w[:] = 0.0
            return _with_bias(train, task, w)

        forms.append(
            Contender(
                NAME,
                lambda k, train=train, w=w: train(task.X, task.y, k, True, w),
                check,
                reset,
                form=f"loop, fastmath {'on' if fastmath else 'off'}",
                compile_seconds=seconds,
            )
        )
    return forms


def _with_bias(train, task, w):
    b = train(task.X, task.y, 1, False, w)
    return np.append(w, b)
