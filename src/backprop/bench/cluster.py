"""Rounds of `bp.dask.train` with one and with two workers, and of `Network.train` on the same rows in this process.

python src/backprop/bench/cluster.py 64-256-10 40000 sync 5        (what `Rounds` runs, as a process on all cores)

Both clusters have processes for workers, with one thread each, and stand side by side; they take turns. Bits of one and
two workers must be equal, and in mode "sync" the parameters those of one machine to 1e-10.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np

PARTITIONS = 4
EPOCHS = 10


@dataclass
class Rounds:
    """A case of the benchmark: seconds of a round, by number of workers."""

    sizes: list
    rows: int
    mode: str
    versions: dict = field(default_factory=dict)

    def measure(self, repeats):
        """{name: (form, [seconds of a round])}"""
        import distributed

        command = [sys.executable, __file__, "-".join(map(str, self.sizes)), str(self.rows), self.mode, str(repeats)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError((run.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        form = f"{self.rows:,} rows in {PARTITIONS} partitions, distributed {distributed.__version__}"
        return {name: (form, samples) for name, samples in json.loads(run.stdout).items()}


def main(sizes, rows, mode, repeats):
    import dask.array as da
    from distributed import Client, LocalCluster

    import backprop as bp

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
    DX, DY = (da.from_array(each, chunks=(-(-rows // PARTITIONS), -1)) for each in (X, Y))
    options = {"epochs": EPOCHS, "learning_rate": 1e-3, "batch_size": "full" if mode == "sync" else 32}
    samples = {"backprop": [], "one worker": [], "Network.train": []}

    def train(client=None):
        net = bp.Network(sizes, seed=0)
        if client is None:
            history = net.train(X, Y, **options)
        else:
            history = bp.dask.train(net, DX, DY, mode=mode, client=client, **options)
        return net.parameters, statistics.median(history.seconds)

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as one, \
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as two, \
            Client(one, set_as_default=False) as first, Client(two, set_as_default=False) as second:
        for _ in range(repeats + 1):                    # the first round warms up
            found = {"backprop": train(second), "one worker": train(first), "Network.train": train()}
            for name, (_, seconds) in found.items():
                samples[name].append(seconds)
            parameters = [each for each, _ in found.values()]
            assert parameters[0].tobytes() == parameters[1].tobytes(), "the number of workers changed bits"
            if mode == "sync":
                assert np.abs(parameters[0] - parameters[2]).max() < 1e-10, "not the trajectory of one machine"
    print(json.dumps({name: each[1:] for name, each in samples.items()}))


if __name__ == "__main__":
    sizes, rows, mode, repeats = sys.argv[1:]
    main([int(n) for n in sizes.split("-")], int(rows), mode, int(repeats))
