"""backprop as a contender, through its public interface only: input checks, history and all."""

import inspect
import warnings

import numpy as np

import backprop as bp
from tasks import flat
from timing import Contender, fits

NAME = "backprop"


def _network(task):
    return bp.Network(
        task.sizes, hidden="sigmoid", output="sigmoid", loss="squared_error", init=(task.weights, task.biases), seed=0
    )


def has_threads():
    return "n_threads" in inspect.signature(bp.Network.train).parameters


def training(task, shuffle=False, **labels):
    net = _network(task)
    options = {"batch_size": task.batch_size, "optimizer": task.optimizer, "learning_rate": task.learning_rate}
    if task.n_threads != 1:
        options["n_threads"] = task.n_threads

    def run(k):
        net.train(task.X, task.Y, epochs=k, shuffle=shuffle, **options)

    def check():
        net.reset()
        net.train(task.X, task.Y, epochs=1, shuffle=False, **options)
        return net.parameters

    return [Contender(**{"name": NAME, **labels}, run=run, check=check, reset=net.reset)]


def many(task):
    """`train_many` with a thread on each core that the task has, and with one."""
    nets = [
        bp.Network(
            task.sizes, hidden="tanh", loss="half_squared_error", init=(task.weights, task.biases), seed=k
        )
        for k in range(len(task))
    ]
    data = list(zip(task.X, task.Y))
    options = {"epochs": task.epochs, "batch_size": task.batch_size, "learning_rate": task.learning_rate}

    def contender(name, cores, form):
        def run(k):
            for _ in range(k):
                bp.train_many(nets, data, len(cores), shuffle=False, **options)

        def reset():
            for net in nets:
                net.reset()

        def check():
            reset()
            run(1)
            return np.concatenate([nets[0].parameters, nets[-1].parameters])

        return Contender(name, run, check, reset, form=form, cores=set(cores) if task.threads > 1 else None)

    found = [contender(NAME, task.cores, f"train_many(n_threads={len(task.cores)})")]
    if len(task.cores) > 1:
        found.append(contender("one thread", sorted(task.cores)[:1], "train_many(n_threads=1)"))
    return found


def parameters_with(task, n_threads):
    """All parameters after one epoch with this many threads."""
    net = _network(task)
    net.train(
        task.X,
        task.Y,
        epochs=1,
        batch_size=task.batch_size,
        learning_rate=task.learning_rate,
        shuffle=False,
        n_threads=n_threads,
    )
    return net.parameters


def prediction(task):
    net = _network(task)
    x, predict_one = task.x, net.predict_one

    def run(k):
        for _ in range(k):
            predict_one(x)

    return [Contender(NAME, run, lambda: predict_one(x))]


def separation(task):
    if not hasattr(bp, "Perceptron"):
        return []

    def fit(epochs, shuffle):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ConvergenceWarning: the classes overlap
            return bp.Perceptron(max_iter=epochs, shuffle=shuffle, random_state=0).fit(task.X, task.y)

    def check():
        p = fit(1, False)
        return flat([p.coef_], [p.intercept_])

    return [Contender(NAME, lambda k: fit(k, True), check)]


def product(task):
    n = task.X.shape[0]
    net = bp.Network([n, n], output="identity", bias=False, init=([task.W], [None]))

    def run(k):
        for _ in range(k):
            net.predict(task.X)

    return [Contender(NAME, run, lambda: net.predict(task.X), form="predict of a linear layer, checks included")]


def estimator(task):
    return fits(NAME, bp.MLPClassifier, task)
