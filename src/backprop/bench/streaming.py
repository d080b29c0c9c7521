"""Training from a file that is larger than memory could be, beside training on the same rows in memory.

python src/backprop/bench/streaming.py [--rows 10000000] [--features 20] [--csv-rows 1000000]     (make streams)

An NPY file (and a CSV file of the first rows) is written to a temporary folder; so it lies in the page cache. Each
contender is a process of its own, in every round one after the other; medians over the rounds count. The stream in the
file's order must end with the parameters of the training in memory, bit for bit. Resident memory is the most that the
process ever had (VmHWM).
"""

import argparse
import functools
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

BATCHES = {
    "1 at a time, sgd": {"batch_size": 1, "learning_rate": 0.001},
    "batches of 32, adam": {"batch_size": 32, "optimizer": "adam"},
    "batches of 256, adam": {"batch_size": 256, "optimizer": "adam"},
}
BLOCK = 250_000


def write(folder, rows, features, csv_rows):
    """rows.npy and rows.csv: inputs and, last, a target that depends on them."""
    rng, w = np.random.default_rng(0), np.random.default_rng(1).normal(size=features)
    array = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float64, (rows, features + 1))
    for start in range(0, rows, BLOCK):
        X = rng.normal(size=(min(BLOCK, rows - start), features))
        array[start : start + len(X), :-1], array[start : start + len(X), -1] = X, np.tanh(X @ w)
    array.flush()
    np.savetxt(folder / "rows.csv", array[:csv_rows], delimiter=",", fmt="%.9g")


def contender(kind, folder, case, hidden, rows):
    """Train one epoch; {rate, resident MB, digest of the parameters}."""
    import backprop as bp

    if kind == "memory":
        table = np.load(folder / "rows.npy")
        X, Y = np.ascontiguousarray(table[:, :-1]), table[:, -1].copy()
        del table
        arguments, options = (X, Y), {"shuffle": False}
    else:
        name = "rows.csv" if kind == "csv" else "rows.npy"
        arguments, options = (bp.data.stream(folder / name, -1, shuffle=kind == "npy shuffled", seed=0),), {}
        width = arguments[0].n_features
    width = X.shape[1] if kind == "memory" else width
    net = bp.Network([width, hidden, 1], seed=0)
    started = time.perf_counter()
    net.train(*arguments, epochs=1, **options, **BATCHES[case])
    seconds = time.perf_counter() - started
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "rate": rows / seconds / 1e6,
        "resident": int(resident.split()[1]) / 1000,
        "digest": hashlib.sha256(net.parameters.tobytes()).hexdigest()[:16],
    }


def rounds(kinds, folder, case, hidden, repeats):
    """{kind: [what `contender` tells, of each round]} for kinds {kind: rows}, one after the other in every round."""
    found = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, rows in kinds.items():
            command = [sys.executable, __file__, "--contender", kind, str(folder), case, str(hidden), str(rows)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            found[kind].append(json.loads(run.stdout))
    assert all(len({result["digest"] for result in results}) == 1 for results in found.values())
    same = {found[kind][0]["digest"] for kind in ("memory", "npy")}
    assert len(same) == 1, "a stream's epoch must have the bits of memory's"
    return found


@dataclass
class Streams:
    """A case of the benchmark: an epoch from an NPY file in the page cache, in its order and shuffled, and in memory.

    Attributes
    ----------
    resident : dict
        MB of resident memory at most, by contender, once measured.
    """

    case: str
    rows: int = 10_000_000
    features: int = 20
    hidden: int = 32
    resident: dict = field(default_factory=dict)

    names = {"npy": "backprop", "npy shuffled": "backprop, shuffled", "memory": "in memory"}

    def measure(self, repeats):
        """{name: (form, [seconds of an epoch])}"""
        folder = _file(self.rows, self.features)
        found = rounds({kind: self.rows for kind in self.names}, Path(folder.name), self.case, self.hidden, repeats)
        self.resident = {self.names[kind]: max(result["resident"] for result in results)
                         for kind, results in found.items()}
        return {self.names[kind]: (f"{self.resident[self.names[kind]]:.0f} MB resident",
                                   [self.rows / result["rate"] / 1e6 for result in results])
                for kind, results in found.items()}


@functools.cache
def _file(rows, features):
    """The folder of rows.npy, which ends with this process."""
    folder = tempfile.TemporaryDirectory()
    size, free = 8 * rows * (features + 1), os.statvfs(folder.name)
    if free.f_bavail * free.f_frsize < 2 * size:
        raise FileNotFoundError(f"{folder.name} has no room for a file of {size:,} bytes")
    write(Path(folder.name), rows, features, 1000)
    return folder


def main(arguments):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, arguments.rows, arguments.features, arguments.csv_rows)
        size = (folder / "rows.npy").stat().st_size / 2**20
        print(f"{arguments.rows:,} rows of {arguments.features} features, {size:,.0f} MiB; one epoch of "
              f"{arguments.features}-{arguments.hidden}-1; rates in million rows a second")
        print(f"{'':24}{'memory':>8}{'npy':>8}{'share':>7}{'shuffled':>10}{'share':>7}{'csv':>8}   resident, MB: "
              "memory, npy, shuffled, csv")
        for case in BATCHES:
            kinds = {kind: arguments.rows for kind in ("memory", "npy", "npy shuffled")}
            found = rounds({**kinds, "csv": arguments.csv_rows}, folder, case, arguments.hidden, arguments.repeats)
            memory, npy, shuffled, csv = (statistics.median(result["rate"] for result in results)
                                          for results in found.values())
            resident = ", ".join(format(max(result["resident"] for result in results), ".0f")
                                 for results in found.values())
            print(f"{case:24}{memory:8.2f}{npy:8.2f}{npy / memory:7.0%}{shuffled:10.2f}{shuffled / memory:7.0%}"
                  f"{csv:8.2f}   {resident}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        kind, folder, case, hidden, rows = sys.argv[2:]
        print(json.dumps(contender(kind, Path(folder), case, int(hidden), int(rows))))
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        for option, default in (("rows", 10_000_000), ("features", 20), ("hidden", 32), ("csv-rows", 1_000_000),
                                ("repeats", 3)):
            parser.add_argument(f"--{option}", type=int, default=default)
        main(parser.parse_args())
