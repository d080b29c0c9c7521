"""A model of what a round of `bp.dask.train` costs, fitted on one worker, checked on two, and asked about many.

python bench/machines.py        (needs the extra `dask`; a minute or two)

A synchronous step on C partitions and W workers takes about

    T = c n p / W  +  λ + μ W  +  β 8 p (W + C)

with n examples and p parameters: c seconds of a core per example and parameter; λ + μ W for asking W workers and
hearing them, whatever they do; β seconds per byte for the parameters that go to each worker and the sums that come
back for each partition, all through the caller. c, λ and β are measured with one worker, μ with two workers that have
next to nothing to do. What two workers take on other work is then predicted and measured. All workers share this
machine's cores and memory; the lines for more workers than it has cores are computed, nothing else.
"""

import argparse
import statistics

import numpy as np

import backprop as bp

PARTITIONS = 4
SMALL, LARGE = [8, 4, 1], [784, 256, 128, 10]          # next to no parameters; 235,146 of them
CASES = [([64, 256, 10], 40_000), ([20, 64, 64, 1], 40_000), ([784, 128, 10], 8_000), ([64, 256, 10], 4_000)]


def seconds(client, sizes, rows, rounds, mode="sync"):
    """Median seconds of a round."""
    import dask.array as da

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
    X, Y = (da.from_array(a, chunks=(-(-rows // PARTITIONS), -1)) for a in (X, Y))
    options = {"batch_size": "full"} if mode == "sync" else {"batch_size": 32}
    history = bp.dask.train(bp.Network(sizes, seed=0), X, Y, mode=mode, client=client, epochs=rounds,
                            learning_rate=1e-4, **options)
    return statistics.median(history.seconds[1:])


def parameters(sizes):
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from distributed import Client, LocalCluster

    measured = {}
    for workers in (1, 2):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster, \
                Client(cluster) as client:
            measured[workers, "idle"] = seconds(client, SMALL, PARTITIONS * 2, 200)
            measured[workers, "bytes"] = seconds(client, LARGE, PARTITIONS * 2, 40)
            for k, (sizes, rows) in enumerate(CASES):
                measured[workers, k] = seconds(client, sizes, rows, 15)
                measured[workers, k, "average"] = seconds(client, sizes, rows, 5, "average")
    mu = max(0.0, measured[2, "idle"] - measured[1, "idle"])
    latency = measured[1, "idle"] - mu
    beta = (measured[1, "bytes"] - measured[1, "idle"]) / (8 * parameters(LARGE) * (1 + PARTITIONS))
    print(f"idle round: 1 worker {1e3 * measured[1, 'idle']:.2f} ms, 2 workers {1e3 * measured[2, 'idle']:.2f} ms; "
          f"λ = {1e3 * latency:.2f} ms, μ = {1e3 * mu:.2f} ms a worker, 1/β = {1e-6 / beta:.0f} MB/s\n")

    def cost(compute, p, workers, partitions):
        return compute / workers + latency + mu * workers + beta * 8 * p * (workers + partitions)

    print("| network | rows | parameters | 1 worker, ms | 2 workers, ms | predicted, ms | rounds/s | efficiency "
          "| average, 2 workers, ms | its efficiency |\n" + "|---" * 10 + "|")
    computes = []
    for k, (sizes, rows) in enumerate(CASES):
        p, one, two = parameters(sizes), measured[1, k], measured[2, k]
        compute = one - cost(0.0, p, 1, PARTITIONS)
        computes.append((sizes, p, compute / rows))
        one_average, two_average = measured[1, k, "average"], measured[2, k, "average"]
        print(f"| {'-'.join(map(str, sizes))} | {rows:,} | {p:,} | {1e3 * one:.1f} | {1e3 * two:.1f} "
              f"| {1e3 * cost(compute, p, 2, PARTITIONS):.1f} | {1 / two:.1f} | {one / two / 2:.0%} "
              f"| {1e3 * two_average:.1f} | {one_average / two_average / 2:.0%} |")
    print("\nComputed, not measured: efficiency of a synchronous step with one partition for each worker, and the rows "
          "per worker\nfor which it is 80 %\n\n| network | rows in all | 10 workers | 1,000 workers "
          "| rows per worker for 80 %, 10 | 1,000 |\n" + "|---" * 6 + "|")
    for sizes, p, each in computes[:3]:
        for rows in (10**6, 10**8):
            shares = [each * rows / w / cost(each * rows, p, w, w) for w in (10, 1000)]
            needed = [4 * cost(0.0, p, w, w) / each for w in (10, 1000)]
            print(f"| {'-'.join(map(str, sizes))} | {rows:,} | {shares[0]:.0%} | {shares[1]:.0%} | {needed[0]:,.0f} "
                  f"| {needed[1]:,.0f} |")


if __name__ == "__main__":
    main()
