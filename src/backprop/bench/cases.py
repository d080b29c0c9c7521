"""What is measured, and the figures to reach."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import swaps
import tasks

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian package dataset-fashion-mnist
DEEP = [784, 256, 128, 10]


@dataclass
class Figure:
    """One number to reach: at least (or at most) `v4` with the AVX-512 kernels, `v3` with AVX2.

    `measure(result)` takes a `Result` and gives the number, or None where a part of it was not measured.
    """

    text: str
    measure: Callable
    v4: float | None
    v3: float | None
    unit: str = "x"
    at_most: bool = False
    of: tuple = ()  # peers without which it is not judged: the fastest of the others is not the fastest


@dataclass
class Result:
    """Medians of one case, by contender; what figures are computed from."""

    task: object
    seconds: dict  # {name: seconds per unit of work}
    double: list  # names of the peers that compute in float64
    machine: dict

    def against(self, name):
        """How many times slower than we `name` is."""
        ours, theirs = self.seconds.get("backprop"), self.seconds.get(name)
        return theirs / ours if ours and theirs else None

    def against_fastest(self, without=()):
        ratios = [self.against(name) for name in self.double if name not in without]
        return min((ratio for ratio in ratios if ratio is not None), default=None)

    def share_of_peak(self):
        peak, ours = self.machine.get("fma_peak_gflops"), self.seconds.get("backprop")
        return self.task.flops / ours / 1e9 / peak * 100.0 if peak and ours else None

    def share_of_update_bandwidth(self):
        """Bytes of the parameters, each read, updated and written once per example."""
        roof, ours = self.machine.get("update_L2_gbs"), self.seconds.get("backprop")
        size = 8 * sum((n_in + 1) * n_out for n_in, n_out in zip(self.task.sizes, self.task.sizes[1:]))
        return size / ours / 1e9 / roof * 100.0 if roof and ours else None


@dataclass
class Case:
    """One row of the table: `task()` builds the work, `units` of it make one repetition."""

    name: str
    kind: str  # training, threads, many, prediction, separation, product, estimator, swap, headline, import
    task: Callable | None
    unit: str = "µs per example"
    units: Callable = len
    figures: tuple = ()
    quick: bool = False
    compiled: bool = False  # torch.compile takes half a minute per network, so only some cases have it
    long: bool = False  # minutes: it is run where --only asks for it


def fastest(v4, v3, without=(), text="the fastest peer in float64", of=("jax", "numba")):
    return Figure(text, lambda r: r.against_fastest(without), v4, v3, of=of)


def against(name, v4, v3):
    return Figure(name, lambda r: r.against(name), v4, v3)


def name_of(sizes):
    return "-".join(map(str, sizes))


def _training(sizes, batch_size, n, figures, zeros=0.0, note="", **options):
    what = "online" if batch_size == 1 else f"batch {batch_size}"
    return Case(
        f"{what} {name_of(sizes)}{note}",
        "training",
        lambda: tasks.training(sizes, batch_size, n, zeros),
        units=lambda task: len(task.X),
        figures=tuple(figures),
        **options,
    )


def _mini_batches():
    v4 = {10: (3.0, 2.3, 1.7, 1.5), 32: (2.0, 1.7, 1.4, 1.3), 256: (1.5, 1.4, 1.2, 1.15)}
    v3 = {10: 1.2, 32: 1.05, 256: 1.0}
    n = {10: 1000, 32: 1024, 256: 1024}
    for batch_size in v4:
        for sizes, least in zip(([64, 32, 10], [784, 30, 10], [784, 128, 10], DEEP), v4[batch_size]):
            figures = [against("jax", least, v3[batch_size]), fastest(1.0, 1.0)]
            if sizes == DEEP and batch_size > 10:
                figures.append(Figure("share of FMA peak, whole step", Result.share_of_peak, 80.0, 65.0, "%"))
            yield _training(
                sizes,
                batch_size,
                n[batch_size],
                figures,
                quick=sizes != [784, 128, 10] and batch_size == 32,
                compiled=batch_size == 32,
            )


def all_cases():
    """Every case, in the order of the report."""
    online = [
        _training([2, 8, 1], 1, 2000, [fastest(2.2, 2.0)], quick=True),
        _training([20, 64, 64, 1], 1, 1000, [fastest(2.5, 2.3)]),
        _training(
            [64, 32, 10],
            1,
            1000,
            [fastest(2.5, 2.3), against("sklearn", 100.0, 100.0), against("torch", 250.0, 250.0)],
            quick=True,
            compiled=True,
        ),
        _training(
            [784, 30, 10],
            1,
            1000,
            [
                fastest(2.5, 2.3),
                Figure("share of read-update-write bandwidth", Result.share_of_update_bandwidth, 80.0, 75.0, "%"),
            ],
            quick=True,
        ),
        _training([784, 128, 10], 1, 1000, [fastest(1.9, 1.6)]),
        _training(
            [784, 30, 10],
            1,
            1000,
            [
                fastest(4.5, 3.7, ("numba, zeros skipped",), "the fastest peer that visits every input"),
                against("numba, zeros skipped", 1.0, 1.0),
            ],
            zeros=0.8,
            note=", 80 % zeros",
            quick=True,
        ),
    ]
    return [*online, *_mini_batches(), *_estimators(), *_swaps(), *_others()]


def _swaps():
    """Change the import, nothing else: test scores and times of `fit` on real data, minutes each.

    scikit-learn's defaults but for what stands here: 400 steps of its default rate leave the diabetes far from learnt,
    and one by one its 200 epochs of the digits would take a minute for each seed.
    """
    least = {200: 3.0, 1: 60.0}
    for name, options, few in (
        ("digits", {}, 20),
        ("breast cancer", {}, 20),
        ("wine", {}, 20),
        ("diabetes", {"learning_rate_init": 0.01}, 20),
        ("Fashion-MNIST", {"max_iter": 10}, 3),
    ):
        for batch_size, more in ((200, options), (1, {"batch_size": 1, "max_iter": few})):
            fit = against("sklearn", *[least[batch_size] if name == "digits" else None] * 2)
            yield Case(
                f"change the import: {name}, batch {batch_size}",
                "swap",
                partial(swaps.swap, name, FASHION, more),
                unit="s per fit",
                units=lambda task: 1,
                figures=(fit,),
                long=True,
            )


def _estimators():
    """Change the import, nothing else: `fit` of an MLPClassifier on the digits.

    With scikit-learn's defaults (alpha 0.0001, Nesterov's momentum 0.9) but for what the name says; "plain sgd" is
    without penalty and momentum, which the one-example kernels are made for.
    """
    for hidden in (32, 100):
        for text, least, epochs, options in (
            ("batch 200, adam", 3.0, 30, {}),
            ("batch 200, sgd", 3.0, 30, {"solver": "sgd"}),
            ("batch 1, adam", 60.0, 5, {"batch_size": 1}),
            ("batch 1, sgd", 60.0, 5, {"batch_size": 1, "solver": "sgd"}),
            ("batch 1, plain sgd", 60.0, 5, {"batch_size": 1, "solver": "sgd", "momentum": 0.0, "alpha": 0.0}),
        ):
            yield Case(
                f"sklearn MLPClassifier 64-{hidden}-10, {text}",
                "estimator",
                lambda hidden=hidden, epochs=epochs, options=options: tasks.fit(hidden, epochs, **options),
                units=lambda task: len(task.X) * task.epochs,
                figures=(against("sklearn", least, least),),
                quick=hidden == 32 and not text.endswith("sgd"),
            )


def _others():
    rows = {"unit": "ns per row", "units": lambda task: len(task.X)}
    call = {"unit": "µs per call", "units": lambda task: 1}
    return [
        Case(
            "threads: batch 256 " + name_of(DEEP),
            "threads",
            lambda: tasks.training(DEEP, 256, 1024),
            units=lambda task: len(task.X),
            figures=(Figure("one thread / two threads", lambda r: r.against("one thread"), 1.8, 1.5),),
        ),
        Case(
            "predict_one 64-32-10",
            "prediction",
            lambda: tasks.prediction([64, 32, 10]),
            quick=True,
            **call,
            figures=(
                against("onnxruntime", 10.0, 10.0),
                fastest(1.0, 1.0, of=("onnxruntime",)),
                Figure("µs per call", lambda r: 1e6 * r.seconds["backprop"], 1.0, None, "µs", at_most=True),
            ),
        ),
        Case(
            "Adam online 784-128-10",
            "training",
            lambda: tasks.training([784, 128, 10], 1, 100, optimizer="adam", learning_rate=0.001),
            units=lambda task: len(task.X),
            figures=(against("numpy", 8.0, 8.0), fastest(1.0, 1.0, of=("numpy", "torch"))),
            quick=True,
        ),
        *[
            Case(
                f"Perceptron {d} features, shuffled",
                "separation",
                lambda n=n, d=d: tasks.separation(n, d),
                quick=d == 20,
                figures=(against("sklearn", 4.0, 4.0), against("numba", 1.0, 1.0)),
                **rows,
            )
            for n, d in ((50_000, 20), (10_000, 784))
        ],
        *_many(),
        *[
            Case(
                f"product {n} wide",
                "product",
                lambda n=n: tasks.product(n),
                unit="µs per product",
                units=lambda task: 1,
                figures=(against("np.matmul", 0.95, 0.85),),
                quick=n == 512,
            )
            for n in (512, 1024)
        ],
        Case(
            "Fashion-MNIST epoch 784-30-10, online",
            "headline",
            fashion,
            unit="s per epoch",
            units=lambda task: 1,
            quick=True,
            figures=(
                Figure("seconds per epoch", lambda r: r.seconds["backprop"], 0.3, None, "s", at_most=True),
                fastest(1.0, 1.0),
            ),
        ),
        Case(
            "import",
            "import",
            None,
            unit="ms",
            units=lambda task: 1,
            quick=True,
            figures=(
                Figure(
                    "import backprop / import numpy",
                    lambda r: 1.0 / r.against("numpy") if r.against("numpy") else None,
                    1.2,
                    None,
                    at_most=True,
                ),
            ),
        ),
    ]


def _many():
    """Many networks in one call, on two cores."""
    speed = Figure("networks per second", lambda r: 1.0 / r.seconds["backprop"], None, None, "")
    threads = Figure("one thread / two threads", lambda r: r.against("one thread"), 1.8, 1.8)
    each, jax = {"kind": "many", "unit": "ms per network"}, (against("jax", 1.0, 1.0),)     # of equal batches alone
    for batch_size, epochs in ((1, 1), (10, 10), (50, 20), (200, 20)):
        yield Case(
            f"1000 networks 20-32-1, 500 rows, batch {batch_size}, {epochs} epochs",
            task=lambda batch_size=batch_size, epochs=epochs: tasks.many([20, 32, 1], batch_size, epochs, 1000, 500),
            figures=(against("sklearn", 50.0, 50.0), *(jax if 500 % batch_size == 0 else ()), threads, speed),
            **each,
        )
    yield Case(
        "64 networks 64-32-10, 500 rows, online, 10 epochs",
        task=lambda: tasks.many([64, 32, 10], 1, 10, 64, 500),
        figures=(threads, against("jax", 1.0, 1.0), speed),
        quick=True,
        **each,
    )
    yield Case(
        "around a network: 2000 networks 2-8-1, 4 rows",
        "many",
        lambda: tasks.many([2, 8, 1], 1, 1, 2000, 4, threads=1),
        unit="µs per network",
        quick=True,
        figures=(Figure("µs per network", lambda r: 1e6 * r.seconds["backprop"], 20.0, 20.0, "µs", at_most=True),),
    )


def fashion():
    """The 60,000 training images as a `Training`; FileNotFoundError without the Debian package."""
    images = _idx(FASHION / "train-images-idx3-ubyte.gz", 16).reshape(60_000, 784)
    labels = _idx(FASHION / "train-labels-idx1-ubyte.gz", 8)
    weights, biases = tasks.initial([784, 30, 10], np.random.default_rng(0))
    return tasks.Training([784, 30, 10], 1, images / 255.0, np.eye(10)[labels], weights, biases)


def _idx(path, header):
    if not path.exists():
        raise FileNotFoundError(f"{path} is absent: install the Debian package dataset-fashion-mnist")
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
