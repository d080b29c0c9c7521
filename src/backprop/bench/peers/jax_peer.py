"""JAX: a whole epoch under jit and lax.scan, data on the device, buffers donated."""

import threading
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


def many(task):
    """All epochs of all networks in one compiled call, vmap over networks of scan over batches, or a part a thread."""
    parts = len(task.cores)
    return [_vmapped(task, 1), *([_vmapped(task, parts)] if parts > 1 and len(task) % parts == 0 else [])]


def _vmapped(task, parts):
    k, n, batches = len(task), task.X.shape[1], task.X.shape[1] // task.batch_size
    if n % task.batch_size:
        raise ValueError("batches of unequal size")
    X = jnp.asarray(task.X.reshape(parts, k // parts, batches, task.batch_size, -1))
    Y = jnp.asarray(task.Y.reshape(parts, k // parts, batches, task.batch_size, -1))

    def step(parameters, example):
        x, y = example
        z = [x]
        for l, (W, b) in enumerate(parameters, 1):
            z.append(z[-1] @ W + b if l == len(parameters) else jnp.tanh(z[-1] @ W + b))
        delta, new = (z[-1] - y) / x.shape[0], []
        for l in range(len(parameters) - 1, -1, -1):
            W, b = parameters[l]
            new.append((W - task.learning_rate * z[l].T @ delta, b - task.learning_rate * delta.sum(axis=0)))
            delta = (delta @ W.T) * (1.0 - z[l] ** 2) if l > 0 else None
        return new[::-1], None

    def one(parameters, X, Y):
        def epoch(parameters, _):
            return jax.lax.scan(step, parameters, (X, Y))[0], None

        return jax.lax.scan(epoch, parameters, None, length=task.epochs)[0]

    state = [None] * parts

    def reset():
        initial = [(jnp.array(W), jnp.array(b)) for W, b in zip(task.weights, task.biases)]
        for part in range(parts):
            state[part] = jax.block_until_ready(jax.tree.map(lambda w: jnp.stack([w] * (k // parts)), initial))

    def work(part, repetitions):
        for _ in range(repetitions):
            state[part] = compiled(state[part], X[part], Y[part])
        jax.block_until_ready(state[part])

    def run(repetitions):
        threads = [threading.Thread(target=work, args=(part, repetitions)) for part in range(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def check():
        reset()
        run(1)
        return jnp.concatenate([
            flat([W[at] for W, _ in state[part]], [b[at] for _, b in state[part]]) for part, at in ((0, 0), (-1, -1))
        ])

    reset()
    X, Y = [X[part] for part in range(parts)], [Y[part] for part in range(parts)]
    start = time.perf_counter()
    compiled = jax.jit(jax.vmap(one), donate_argnums=0).lower(state[0], X[0], Y[0]).compile()
    seconds = time.perf_counter() - start
    form = "vmap of scan" if parts == 1 else f"vmap of scan, {parts} threads with a part of the networks each"
    return Contender(NAME, run, check, reset, form=form, compile_seconds=seconds, cores=set(task.cores))
