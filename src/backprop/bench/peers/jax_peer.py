"""JAX: a whole epoch under jit and lax.scan, data on the device, buffers donated."""

import time
from functools import partial

import jax
import jax.numpy as jnp

from tasks import flat
from timing import Contender

jax.config.update("jax_enable_x64", True)
NAME = "jax"


def version():
    return jax.__version__


def _by_hand(eta):
    """One step in vectors (batch 1) or matrices, the deltas written out."""

    def step(parameters, example):
        x, y = example
        z = [x]
        for W, b in parameters:
            z.append(jax.nn.sigmoid(z[-1] @ W + b))
        delta = (2.0 / (x.shape[0] if x.ndim == 2 else 1)) * (z[-1] - y) * z[-1] * (1.0 - z[-1])
        new = []
        for l in range(len(parameters) - 1, -1, -1):
            W, b = parameters[l]
            if x.ndim == 1:
                dW, db, back = z[l][:, None] * delta, delta, lambda W=W, delta=delta: W @ delta
            else:
                dW, db, back = z[l].T @ delta, delta.sum(axis=0), lambda W=W, delta=delta: delta @ W.T
            new.append((W - eta * dW, b - eta * db))
            if l > 0:
                delta = back() * z[l] * (1.0 - z[l])
        return new[::-1], None

    return step


def _by_grad(eta):
    """One step by jax.grad."""

    def loss(parameters, x, y):
        z = x
        for W, b in parameters:
            z = jax.nn.sigmoid(z @ W + b)
        return jnp.square(z - y).sum() / (x.shape[0] if x.ndim == 2 else 1)

    def step(parameters, example):
        gradient = jax.grad(loss)(parameters, *example)
        return jax.tree.map(lambda w, g: w - eta * g, parameters, gradient), None

    return step


def training(task, few=False):
    """Forms: deltas by hand or by grad, scan plain or unrolled by 4, float64 and float32; `few`: by hand in float64."""
    if task.optimizer != "sgd" or len(task.X) % task.batch_size:
        return []
    steps = {"by hand": _by_hand(task.learning_rate)}
    if not few:
        steps["by grad"] = _by_grad(task.learning_rate)
    unrolls = [unroll for unroll in (1, 4) if unroll * task.batch_size <= len(task.X)]
    return [
        _contender(task, step, f"{how}, unroll {unroll}", unroll, dtype)
        for dtype in ((jnp.float64,) if few else (jnp.float64, jnp.float32))
        for how, step in steps.items()
        for unroll in unrolls
    ]


def _contender(task, step, form, unroll, dtype):
    shape = (len(task.X) // task.batch_size, task.batch_size) if task.batch_size > 1 else (len(task.X),)
    X = jnp.asarray(task.X.reshape(*shape, -1), dtype)
    Y = jnp.asarray(task.Y.reshape(*shape, -1), dtype)
    state = {}

    @partial(jax.jit, donate_argnums=0)
    def epoch(parameters, X, Y):
        return jax.lax.scan(step, parameters, (X, Y), unroll=unroll)[0]

    def reset():
        state["p"] = jax.block_until_ready(
            [(jnp.array(W, dtype), jnp.array(b, dtype)) for W, b in zip(task.weights, task.biases)]
        )

    def run(k):
        parameters = state["p"]
        for _ in range(k):
            parameters = compiled(parameters, X, Y)
        state["p"] = jax.block_until_ready(parameters)

    def check():
        reset()
        run(1)
        return flat([W for W, _ in state["p"]], [b for _, b in state["p"]])

    reset()
    start = time.perf_counter()
    compiled = epoch.lower(state["p"], X, Y).compile()
    seconds = time.perf_counter() - start
    double = dtype == jnp.float64
    return Contender(
        NAME if double else "jax f32",
        run,
        check,
        reset,
        form=form,
        compile_seconds=seconds,
        precision="float64" if double else "float32",
        tolerance=1e-9 if double else 1e-2,
    )
