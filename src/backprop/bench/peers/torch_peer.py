"""PyTorch, eager and compiled, on one thread in float64."""

import time

import torch

from tasks import flat
from timing import Contender

torch.set_num_threads(1)
torch.set_num_interop_threads(1)
NAME = "torch"


def version():
    return torch.__version__


def _model(task):
    layers = []
    for n_in, n_out in zip(task.sizes, task.sizes[1:]):
        layers += [torch.nn.Linear(n_in, n_out, dtype=torch.float64), torch.nn.Sigmoid()]
    model = torch.nn.Sequential(*layers)
    _assign(model, task)
    return model


@torch.no_grad()
def _assign(model, task):
    for layer, W, b in zip(list(model)[::2], task.weights, task.biases):
        layer.weight.copy_(torch.from_numpy(W.T))
        layer.bias.copy_(torch.from_numpy(b))


def _parameters(model):
    linear = list(model)[::2]
    return flat(
        [layer.weight.detach().numpy().T for layer in linear], [layer.bias.detach().numpy() for layer in linear]
    )


def _batches(task):
    X, Y, B = torch.from_numpy(task.X), torch.from_numpy(task.Y), task.batch_size
    return [(X[k : k + B], Y[k : k + B]) for k in range(0, len(X), B)]


def training(task, few=False):
    """Forms: torch.optim's step, and autograd with one in-place update of all parameters."""
    return [
        _contender(task, _optimizer_step, "autograd, torch.optim"),
        *([_contender(task, _in_place_step, "autograd, foreach update")] if task.optimizer == "sgd" else []),
    ]


def compiled(task):
    """torch.compile of the whole step: forward, backward and update in one graph."""
    return [_contender(task, _compiled_step, "whole step", name="torch.compile")]


def _contender(task, make_step, form, name=NAME):
    model, batches, state = _model(task), _batches(task), {}

    def reset():
        _assign(model, task)
        state["step"] = state["make"](model)

    def run(k):
        step = state["step"]
        for _ in range(k):
            for x, y in batches:
                step(x, y)

    def check():
        reset()
        run(1)
        return _parameters(model)

    state["make"] = make_step(task)
    start = time.perf_counter()
    if name != NAME:
        reset()
        state["step"](*batches[0])
    return Contender(
        name, run, check, reset, form=form, compile_seconds=time.perf_counter() - start if name != NAME else None
    )


def _loss(model, x, y):
    return (model(x) - y).square().sum() / len(x)


def _optimizer_step(task):
    def make(model):
        if task.optimizer == "adam":
            optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
        else:
            optimizer = torch.optim.SGD(model.parameters(), lr=task.learning_rate, fused=True)

        def step(x, y):
            optimizer.zero_grad()
            _loss(model, x, y).backward()
            optimizer.step()

        return step

    return make


def _in_place_step(task):
    def make(model):
        parameters = list(model.parameters())

        def step(x, y):
            gradients = torch.autograd.grad(_loss(model, x, y), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-task.learning_rate)

        return step

    return make


def _compiled_step(task):
    """The deltas by hand: one graph without autograd's bookkeeping."""
    eta = task.learning_rate

    @torch.compile(fullgraph=True, dynamic=False)
    def update(parameters, x, y):
        z = [x]
        for W, b in zip(parameters[::2], parameters[1::2]):
            z.append(torch.sigmoid(torch.addmm(b, z[-1], W.t())))
        delta = (2.0 / x.shape[0]) * (z[-1] - y) * z[-1] * (1.0 - z[-1])
        for l in range(len(z) - 2, -1, -1):
            W, b = parameters[2 * l], parameters[2 * l + 1]
            below = (delta @ W) * z[l] * (1.0 - z[l]) if l > 0 else None
            W.sub_(eta * (delta.t() @ z[l]))
            b.sub_(eta * delta.sum(0))
            delta = below

    def make(model):
        parameters = [p.detach() for p in model.parameters()]

        def step(x, y):
            with torch.inference_mode():
                update(parameters, x, y)

        return step

    return make


def prediction(task):
    model = _model(task).eval()
    x = torch.from_numpy(task.x).reshape(1, -1)

    def run(k):
        with torch.inference_mode():
            for _ in range(k):
                model(x)

    def check():
        with torch.inference_mode():
            return model(x).numpy()[0]

    return [Contender(NAME, run, check, form="eager, inference_mode")]
