"""Where the time of a thousand networks goes: `python bench/many.py`, half a minute on one core.

For networks 20-32-1 on 500 rows, as in `make bench BENCH='--only "1000 *"'`: microseconds of a core per network, those
of them in the kernels, and nanoseconds per example there, with tanh and with relu, whose difference is what tanh takes.
docs/performance.md has the numbers.
"""

import os
import time

import numpy as np

import backprop as bp
from backprop import many

NETWORKS, ROWS, SIZES, REPEATS = 200, 500, [20, 32, 1], 7
CASES = [(1, 1), (10, 10), (50, 20), (200, 20)]      # batch size, epochs


class Timed:
    """The core, with a clock around the calls of `train_many`."""

    def __init__(self, core):
        self.core, self.seconds = core, 0.0

    def __getattr__(self, name):
        return getattr(self.core, name)

    def work_all(self, jobs):
        started = time.perf_counter()
        try:
            return self.core.work_all(jobs)
        finally:
            self.seconds += time.perf_counter() - started


def seconds(data, hidden, batch_size, epochs):
    """(seconds of a call of `train_many` in one thread, those of them in the core), the fastest of some."""
    found = []
    for _ in range(REPEATS):
        networks = [bp.Network(SIZES, hidden=hidden, seed=k) for k in range(NETWORKS)]
        many.core.seconds, started = 0.0, time.perf_counter()
        bp.train_many(networks, data, 1, shuffle=False, epochs=epochs, batch_size=batch_size, learning_rate=1e-3)
        found.append((time.perf_counter() - started, many.core.seconds))
    return min(found)


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=(ROWS, SIZES[0])), rng.normal(size=(ROWS, SIZES[-1]))) for _ in range(NETWORKS)]
    many.core = Timed(many.core)
    print("batch  epochs  µs per network  in the core  around it  ns per example, tanh   relu")
    for batch_size, epochs in CASES:
        (whole, inside), (_, without) = (seconds(data, hidden, batch_size, epochs) for hidden in ("tanh", "relu"))
        visits = NETWORKS * ROWS * epochs
        print(f"{batch_size:5}  {epochs:6}  {whole / NETWORKS * 1e6:14.0f}  {inside / NETWORKS * 1e6:11.0f}  "
              f"{(whole - inside) / NETWORKS * 1e6:9.0f}  {inside / visits * 1e9:20.1f}  {without / visits * 1e9:5.1f}")


if __name__ == "__main__":
    main()
