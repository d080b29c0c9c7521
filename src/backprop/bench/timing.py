"""Interleaved timing: every contender once per round, medians and quartiles over the rounds.

A contender on one core is busy all the time, so its wall time and its processor time (all threads) agree to a per mille
while nobody else wants the core. Where they do not, the core was given away, and the processor time is what counts; the
report says how many samples that were. Contenders with threads of their own are timed by the wall.
"""

import gc
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from environment import Cores

DISTURBED = 0.02  # share of a sample's wall time during which the core belonged to somebody else
SLOW = 200  # times the least duration of a sample: a contender that has taken so long, in at least three
# samples, takes no more


@dataclass
class Contender:
    """One implementation of one piece of work, in one form.

    Attributes
    ----------
    name, form : str
        Who ("jax") and how ("by hand, unroll 4"); of several forms of one name the fastest is timed.
    run : callable
        run(k) does the work k times; for training, k epochs.
    check : callable
        check() does the work once from the start and returns what is to agree with the reference.
    reset : callable
        Before each sample, outside its time: back to the initial weights.
    cores : set of int or None
        Cores for a contender that uses threads; None is the one core of the whole run.
    """

    name: str
    run: Callable[[int], None]
    check: Callable[[], np.ndarray]
    reset: Callable[[], None] = lambda: None
    form: str = ""
    precision: str = "float64"
    tolerance: float = 1e-9
    loss: str = "squared_error"
    compile_seconds: float | None = None
    cores: set | None = None


@dataclass
class Timing:
    """Seconds per repetition of one contender."""

    contender: Contender
    repetitions: int
    samples: list = field(default_factory=list)
    disturbed: int = 0

    @property
    def median(self):
        return statistics.median(self.samples)

    @property
    def quartiles(self):
        return tuple(float(q) for q in np.quantile(self.samples, (0.25, 0.75)))


class Disagreement(AssertionError):
    """A contender did not compute what the reference computes."""


def fits(name, cls, task):
    """`cls` as a contender for a `tasks.Fit`: the same code for everybody, only the class differs."""
    common = {"hidden_layer_sizes": (task.hidden,), "random_state": 0, "tol": 0.0, **task.options}

    def fit(max_iter, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ConvergenceWarning: it is told how many epochs to make
            return cls(max_iter=max_iter, n_iter_no_change=max_iter, **{**common, **options}).fit(task.X, task.y)

    def run(k):
        for _ in range(k):
            fit(task.epochs)

    def check():
        model = fit(1, shuffle=False, alpha=0.0)
        return np.concatenate([part.ravel() for pair in zip(model.coefs_, model.intercepts_) for part in pair])

    return [Contender(name, run, check, form=f"fit, {task.epochs} epochs")]


def agree(contender, expected):
    """Raise `Disagreement` unless the contender's result is the expected one; returns the largest difference."""
    result = np.asarray(contender.check(), dtype=np.float64)
    if result.shape != expected.shape:
        raise Disagreement(f"{contender.name} ({contender.form}): shape {result.shape} instead of {expected.shape}")
    error = float(np.max(np.abs(result - expected)) / max(1.0, np.max(np.abs(expected))))
    if not error <= contender.tolerance:
        raise Disagreement(
            f"{contender.name} ({contender.form}) differs by {error:.2g}, allowed {contender.tolerance:.0e}"
        )
    return error


def sample(contender, repetitions):
    """(seconds, whether the core was taken away meanwhile) of run(repetitions)."""
    contender.reset()
    with Cores(contender.cores):
        cpu, wall = time.process_time(), time.perf_counter()
        contender.run(repetitions)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if contender.cores is not None:
        return wall, False
    disturbed = wall - cpu > DISTURBED * wall
    return (cpu if disturbed else wall), disturbed


def calibrate(contender, seconds):
    """Repetitions that last at least `seconds`, after one run to warm up."""
    contender.reset()
    contender.run(1)
    repetitions = 1
    while True:
        lasted, _ = sample(contender, repetitions)
        if lasted >= seconds:
            return repetitions
        repetitions = max(repetitions + 1, min(repetitions * 16, int(repetitions * 1.1 * seconds / lasted) + 1))


def fastest_forms(contenders, seconds):
    """Of the forms of each name, the two with the smallest time per repetition in a short trial."""
    by_name = {}
    for contender in contenders:
        by_name.setdefault(contender.name, []).append(contender)
    kept = []
    for forms in by_name.values():
        if len(forms) > 2:
            forms.sort(key=lambda form: _trial(form, seconds))
        kept += forms[:2]
    return kept


def best(timings):
    """Of the timings of each name, the one with the smallest median."""
    least = {}
    for timing in timings:
        name = timing.contender.name
        if name not in least or timing.median < least[name].median:
            least[name] = timing
    return list(least.values())


def _trial(contender, seconds):
    repetitions = calibrate(contender, seconds / 4)
    return min(sample(contender, repetitions)[0] for _ in range(4)) / repetitions


def interleave(contenders, repeats, least):
    """`Timing` of each contender: rounds in which each takes one sample of at least `least` seconds."""
    timings = []
    for contender in contenders:
        timings.append(Timing(contender, calibrate(contender, least)))
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for timing in timings:
                if len(timing.samples) < 3 or sum(timing.samples) * timing.repetitions < SLOW * least:
                    seconds, disturbed = sample(timing.contender, timing.repetitions)
                    timing.samples.append(seconds / timing.repetitions)
                    timing.disturbed += disturbed
            gc.collect()
    finally:
        if enabled:
            gc.enable()
    return timings
