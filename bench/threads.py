"""One thread beside two in mini-batches, small steps as well: `python bench/threads.py [PROCESSES]`.

The library gives a step with little arithmetic to one thread (THREAD_FLOPS of training.py); here that bound is taken
away, to see where it belongs. Each cell is the time of one thread over that of two, medians of interleaved epochs,
beside so many other processes that want a processor all the time (0 unless said).
"""

import multiprocessing
import statistics
import sys
import time

import numpy as np

import backprop as bp
from backprop import training

NETWORKS = [[64, 32, 10], [64, 256, 10], [256, 128, 10], [784, 128, 10], [784, 256, 128, 10]]
BATCHES = (32, 64, 128, 256)
ROWS, SECONDS, ROUNDS = 2048, 0.02, 15


def ratio(sizes, batch_size):
    """Time of one thread over that of two."""
    rng = np.random.default_rng(0)
    X, Y = rng.random((ROWS, sizes[0])), np.eye(sizes[-1])[rng.integers(0, sizes[-1], ROWS)]
    net = bp.Network(sizes, seed=0)

    def seconds(n_threads, epochs):
        started = time.perf_counter()
        net.train(X, Y, epochs=epochs, batch_size=batch_size, learning_rate=1e-6, n_threads=n_threads)
        return time.perf_counter() - started

    epochs = 1 + int(SECONDS / seconds(1, 1))
    samples = [(seconds(1, epochs), seconds(2, epochs)) for _ in range(ROUNDS)]
    one, two = (statistics.median(times) for times in zip(*samples))
    return one / two


def spin():
    while True:
        pass


def main(beside=0):
    if training.processors() < 2:
        print("one processor only: there is nothing to compare")
        return 1
    training.THREAD_FLOPS = 1.0
    for _ in range(beside):
        multiprocessing.Process(target=spin, daemon=True).start()
    print("| batch |", " | ".join(map(str, BATCHES)), "|\n|---|" + "---|" * len(BATCHES))
    for sizes in NETWORKS:
        cells = [f"{ratio(sizes, batch_size):.2f}" for batch_size in BATCHES]
        print("|", "-".join(map(str, sizes)), "|", " | ".join(cells), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
