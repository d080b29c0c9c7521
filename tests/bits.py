"""The bits of training: what every kernel computes on data that depends on nothing but integer arithmetic.

    python tests/bits.py [FILE] [--only PART]    print the hashes as JSON; the numbers themselves go to FILE (.npz)
    python tests/bits.py --write                 write tests/golden_bits.json anew (from v3 or v4): a change of the bits
                                                 is a change that the changelog names

Data and initial weights come from a formula and the rows are visited in their order, so that no release of NumPy can
change them: other bits mean other kernels. (The key of dropout is one raw output of PCG64, whose stream NumPy
guarantees.) Names that begin with "shuffled" do use NumPy's generator and are not
golden.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

import backprop as bp
from cases import HIDDEN, PAIRS

GOLDEN = Path(__file__).parent / "golden_bits.json"
ROWS = 23                                     # batches of 7 leave a ragged batch of 2
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "rprop", "adam_eps_hat")
SMALL = ("identity", "sigmoid", "tanh", "relu")          # the activations of networks that are held in registers


def uniform(seed, *shape):
    """Doubles in [-0.5, 0.5), multiples of 2^-24, by the splitmix64 hash of seed and position."""
    k = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.array(seed * 1_000_003 + 1, dtype=np.uint64)
    k *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        k = (k ^ (k >> np.uint64(shift))) * np.uint64(factor)
    k ^= k >> np.uint64(31)
    return ((k >> np.uint64(40)).astype(np.float64) * 2.0**-24 - 0.5).reshape(shape)


def targets(output, loss, n, width):
    """(n, width) targets from the domain of `loss`; every one a multiple of 2^-24."""
    t = uniform(77, n, width)
    if loss == "hinge":
        return np.where(t > 0, 1.0, -1.0)
    if loss == "poisson":
        return np.floor(8.0 * (t + 0.5))
    if loss == "log_loss" and output == "softmax":
        Y = np.eye(width)[np.argmax(t, axis=1)]
        Y[::3] = 0.75 * Y[::3] + 0.25 * np.roll(Y[::3], 1, axis=1)
        return Y
    return t + 0.5 if loss == "log_loss" else 2.0 * t


def inputs(n, width, sparse):
    X = 2.0 * uniform(5, n, width)
    return np.where(uniform(6, n, width) > 0.3, X, 0.0) if sparse else X


class Configuration:
    """One network, its data and the options of its training."""

    def __init__(self, sizes, hidden="tanh", output="identity", loss="squared_error", bias=True, sparse=False,
                 weighted=False, learning_rate=2.0**-5, shuffle=False, epochs=3, **options):
        self.sizes, self.bias, self.loss = sizes, bias, loss
        self.hidden, self.output = hidden, output
        n = ROWS
        self.X, self.Y = inputs(n, sizes[0], sparse), targets(output, loss, n, sizes[-1])
        weight = np.arange(n) % 4 * 1.0 if weighted else None               # every fourth example weighs nothing
        self.options = dict(epochs=epochs, learning_rate=learning_rate, shuffle=shuffle, sample_weight=weight,
                            **options)

    def plain_online(self):
        """Whether this is the lecture's algorithm: plain gradient descent, one example at a time, in order."""
        return self.options["batch_size"] == 1 and not set(self.options) - {
            "epochs", "learning_rate", "shuffle", "sample_weight", "batch_size"} \
            and self.options["sample_weight"] is None and not self.options["shuffle"]

    def network(self):
        pairs = list(zip(self.sizes, self.sizes[1:]))
        scale = [2.0 ** -(int(m).bit_length() // 2) for m, _ in pairs]
        weights = [2.0 * s * uniform(10 + l, m, n) for l, ((m, n), s) in enumerate(zip(pairs, scale))]
        biases = [0.5 * uniform(50 + l, n) if self.bias else None for l, (_, n) in enumerate(pairs)]
        return bp.Network(list(self.sizes), hidden=self.hidden, output=self.output, loss=self.loss, bias=self.bias,
                          init=(weights, biases), seed=3)

    def trained(self, **changed):
        """(network, history) after training, with some options changed."""
        net = self.network()
        return net, net.train(self.X, self.Y, **{**self.options, **changed})


def configurations():
    """All of them by name."""
    found = {}

    def add(name, *sizes, **options):
        found[f"{name}, {'-'.join(map(str, sizes))}, batch {options['batch_size']}"] = Configuration(sizes, **options)

    for batch_size in (1, 7, "full"):
        for hidden in HIDDEN:
            add(f"hidden {hidden}", 6, 11, 5, 3, hidden=hidden, batch_size=batch_size)
        for output, loss in PAIRS:
            add(f"{output} {loss}", 5, 9, 3, hidden="sigmoid", output=output, loss=loss, batch_size=batch_size)
        for name in OPTIMIZERS:
            if name != "rprop" or batch_size == "full":
                add(name, 6, 11, 4, optimizer=name, batch_size=batch_size, learning_rate=2.0**-7)
                add(f"{name} l1 l2 clip_norm", 6, 11, 4, optimizer=name, batch_size=batch_size, l1=2.0**-8, l2=2.0**-6,
                    clip_norm=0.5, learning_rate=2.0**-7)
        shapes(add, batch_size)
        around(add, batch_size)
    return found


def shapes(add, batch_size):
    """Shapes that have a kernel, an edge or a block of their own, and what else bears on the choice of a kernel."""
    for sizes in ((3, 1), (1, 1, 1), (7, 1, 4), (9, 16, 1), (2, 3, 1, 1, 2), (4, 8), (17, 33, 10), (64, 32, 10),
                  (40, 24, 1), (130, 70, 40, 10)):
        add("shape", *sizes, batch_size=batch_size)
    for hidden in SMALL:
        for output in SMALL:
            add(f"in registers {hidden} {output}", 2, 8, 1, hidden=hidden, output=output, batch_size=batch_size)
    for n_in, units in ((1, 5), (3, 2), (4, 7)):
        add("in registers", n_in, units, 1, loss="half_squared_error", batch_size=batch_size)
        add("in registers weighted", n_in, units, 1, bias=False, weighted=True, batch_size=batch_size)
    for sizes in ((40, 10, 4), (100, 30, 1), (33, 1), (64, 5)):
        add("sparse", *sizes, sparse=True, batch_size=batch_size)
        add("sparse weighted", *sizes, sparse=True, weighted=True, batch_size=batch_size)
    add("weighted", 6, 11, 4, weighted=True, batch_size=batch_size)
    add("without bias", 6, 11, 4, bias=False, batch_size=batch_size)
    add("adam weighted", 6, 11, 4, optimizer="adam", weighted=True, batch_size=batch_size)
    add("softmax log_loss weighted", 12, 11, 10, output="softmax", loss="log_loss", weighted=True,
        batch_size=batch_size)
    if batch_size != "full":
        add("shuffled", 6, 11, 4, shuffle=True, batch_size=batch_size)
        add("shuffled sparse", 40, 10, 4, sparse=True, shuffle=True, batch_size=batch_size)


def around(add, batch_size):
    """Dropout, max-norm and Levenberg-Marquardt. L-BFGS is left out, whose bits are SciPy's."""
    for sizes, rate in (((6, 11, 4), 0.5), ((40, 24, 10, 3), 0.25), ((5, 1, 3), 0.5), ((6, 3), 0.0)):
        if rate > 0.0:
            add("dropout", *sizes, dropout=rate, batch_size=batch_size)
            add("dropout adam", *sizes, dropout=rate, optimizer="adam", batch_size=batch_size)
        add("max_norm", *sizes, max_norm=0.5, batch_size=batch_size)
        add("dropout max_norm" if rate else "max_norm weighted", *sizes, dropout=rate, max_norm=0.5, weighted=True,
            batch_size=batch_size)
    if batch_size == "full":
        for sizes in ((6, 11, 4), (3, 1), (2, 8, 1), (20, 30, 5, 2)):
            for loss in ("squared_error", "half_squared_error"):
                add(f"levenberg_marquardt {loss}", *sizes, loss=loss, optimizer="levenberg_marquardt", l2=2.0**-10,
                    learning_rate=None, batch_size="full")
        add("levenberg_marquardt sigmoid, softmax, weighted", 6, 11, 4, hidden="sigmoid", output="softmax",
            optimizer="levenberg_marquardt", weighted=True, learning_rate=None, batch_size="full")
        add("levenberg_marquardt without bias", 6, 11, 4, bias=False, optimizer="levenberg_marquardt",
            learning_rate=None, batch_size="full")


def digest(*arrays):
    """The first 16 hexadecimal digits of the SHA-256 of the arrays' bytes."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays)).hexdigest()[:16]


def results(configuration, **changed):
    """(all parameters after training, what the network then predicts and the epochs' losses)."""
    net, history = configuration.trained(**changed)
    return net.parameters, np.concatenate([net.predict(configuration.X).ravel(), history.loss])


def hashes(chosen=None, **changed):
    """name -> "hash of the parameters, hash of predictions and losses"."""
    chosen = configurations() if chosen is None else chosen
    return {name: ", ".join(map(digest, results(c, **changed))) for name, c in chosen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="a .npz file for the numbers")
    parser.add_argument("--only", default="", help="only the configurations whose names hold this")
    parser.add_argument("--write", action="store_true", help="write the golden hashes anew")
    arguments = parser.parse_args()
    chosen = {name: c for name, c in configurations().items() if arguments.only in name}
    numbers = {name: results(c) for name, c in chosen.items()}
    found = {name: ", ".join(map(digest, parts)) for name, parts in numbers.items()}
    if arguments.file:
        np.savez(arguments.file, **{name: np.concatenate(parts) for name, parts in numbers.items()})
    if arguments.write:
        golden = {name: value for name, value in found.items() if not name.startswith("shuffled")}
        GOLDEN.write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")
    else:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
