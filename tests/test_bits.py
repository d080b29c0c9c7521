"""One trajectory: the same bits from every variant with FMA, thread count, block, slice, path and process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backprop as bp
import bits
from backprop import _dispatch, network, options, training

SCRIPT = Path(bits.__file__)
FMA = [name for name in _dispatch.available() if name != "baseline"]
CONFIGURATIONS = bits.configurations()


def run(*arguments, **environment):
    """The hashes that a fresh process finds."""
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def different(found, expected):
    """Names of the configurations whose bits differ; both must have the same names."""
    assert found.keys() == expected.keys()
    return [name for name in found if found[name] != expected[name]]


@pytest.fixture(scope="module")
def here():
    """What this process computes with the variant in use, in the plainest way: one thread, everything by default."""
    return bits.hashes(CONFIGURATIONS)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """variant -> (hashes, file of the numbers), each from a process of its own."""
    folder = tmp_path_factory.mktemp("bits")
    return {name: (run(str(folder / f"{name}.npz"), BACKPROP_SIMD=name), folder / f"{name}.npz")
            for name in _dispatch.available()}


# ---- variants and golden hashes --------------------------------------------------------------------------------------

def test_every_case_trains():
    for name, configuration in CONFIGURATIONS.items():
        start, (end, _) = configuration.network().parameters, bits.results(configuration)
        assert np.isfinite(end).all() and (start != end).mean() > 0.3, name


def test_the_cases_cover_every_row_of_the_tables():
    from backprop import activations, losses, optimizers

    trained = CONFIGURATIONS.values()
    assert set(activations.NAMES) - {"step"} == {c.output for c in trained}
    assert set(activations.HIDDEN) - {"step"} == {c.hidden for c in trained}
    assert set(losses.NAMES) == {c.loss for c in trained}
    assert {*optimizers.RULES, "levenberg_marquardt"} == {c.options.get("optimizer", "sgd") for c in trained}


@pytest.mark.parametrize("variant", FMA)
def test_golden(numbers, variant):
    golden = json.loads(bits.GOLDEN.read_text(encoding="utf-8"))
    found = {name: value for name, value in numbers[variant][0].items() if not name.startswith("shuffled")}
    assert different(found, golden) == []


def test_variants_with_fma_agree(numbers):
    if len(FMA) < 2:
        pytest.skip(f"this processor and build have only {', '.join(_dispatch.available())}")
    assert different(numbers["v3"][0], numbers["v4"][0]) == []


@pytest.mark.parametrize("variant", FMA)
def test_baseline_agrees_within_rounding(numbers, variant):
    with np.load(numbers["baseline"][1]) as slow, np.load(numbers[variant][1]) as fast:
        for name in fast.files:
            tol = 1e-9 if name.startswith("levenberg_marquardt") else 1e-12      # the former solve linear systems
            np.testing.assert_allclose(slow[name], fast[name], rtol=tol, atol=tol, err_msg=name)


WIDE = """
import numpy as np, backprop as bp
rng, worst = np.random.default_rng(0), 0.0
for n, m, rows in [(70, 256, 48), (65, 257, 128), (300, 264, 150), (520, 384, 61), (784, 20, 84), (700, 45, 97)]:
    net = bp.Network([n, m], output="identity", init=([rng.normal(size=(n, m))], [rng.normal(size=m)]))
    X = rng.normal(size=(rows, n))
    P = net.predict(X)
    assert all((P[i] == net.predict_one(X[i])).all() for i in range(rows)), (n, m, rows)
    worst = max(worst, np.abs(P - (X @ net.weights[0] + net.biases[0])).max() / np.abs(P).max())
assert worst < 1e-13, worst
"""


@pytest.mark.parametrize("variant", _dispatch.available())
def test_wide_layers_have_the_bits_of_a_row_alone(variant):
    """Layers wide enough for the copied panels of narrow vectors."""
    done = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "BACKPROP_SIMD": variant})
    assert done.returncode == 0, done.stderr


LARGE = """
import numpy as np, backprop as bp
from backprop import training
training.THREAD_FLOPS = 1.0
rng = np.random.default_rng(0)
for n, m, rows in [(784, 20, 84), (700, 45, 97), (333, 130, 256), (515, 12, 300), (64, 520, 1030), (300, 260, 256)]:
    W, b = rng.normal(size=(n, m)), rng.normal(size=m)
    X, Y = rng.normal(size=(rows, n)), rng.normal(size=(rows, m))

    def trained(block, **options):
        training.MAX_BLOCK = block
        net = bp.Network([n, m], output="identity", init=([W], [b]))
        net.train(X, Y, batch_size=rows, learning_rate=0.5, epochs=1, **options)
        return net.weights[0]

    whole = trained(2000)
    expected = W - X.T @ (X @ W + b - Y) / rows
    assert np.abs(whole - expected).max() < 1e-13 * np.abs(expected).max(), (n, m, rows)
    for block, options in [(256, {}), (7, {}), (256, {"n_threads": 2}), (2000, {"n_threads": 3})]:
        assert (trained(block, **options) == whole).all(), (n, m, rows, block, options)
"""


@pytest.mark.parametrize("variant", _dispatch.available())
def test_gradients_of_large_batches_have_the_bits_of_small_blocks(variant):
    """Batches so large that narrow vectors take their gradients block by block."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "BACKPROP_SIMD": variant})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("environment", [
    {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "2", "LC_ALL": "C.UTF-8"},
])
def test_fresh_processes_agree(here, environment):
    assert different(run(BACKPROP_SIMD=_dispatch.variant, **environment), here) == []


# ---- threads, blocks, slices and paths -------------------------------------------------------------------------------

def one_epoch(every, batch_sizes=(1, 7, "full")):
    """Every so-many-th configuration, and what one epoch of one thread makes of it.

    Not every one: teams larger than the machine are slow.
    """
    chosen = {name: c for name, c in CONFIGURATIONS.items() if c.options["batch_size"] in batch_sizes}
    chosen = dict(list(chosen.items())[::every])
    return chosen, bits.hashes(chosen, epochs=1)


@pytest.mark.parametrize("n_threads, every", [(2, 1), (3, 4), (7, 16)])
def test_threads(n_threads, every):
    """With more than one thread, batches of one take the batch kernels: this holds the fused paths to them as well."""
    chosen, alone = one_epoch(every)
    assert different(bits.hashes(chosen, epochs=1, n_threads=n_threads), alone) == []


@pytest.mark.parametrize("n_threads, every", [(1, 1), (2, 8)])
@pytest.mark.parametrize("block", [1, 3, 8])
def test_blocks_of_a_batch(monkeypatch, block, n_threads, every):
    chosen, whole = one_epoch(every, (7, "full"))
    monkeypatch.setattr(training, "MAX_BLOCK", block)
    assert different(bits.hashes(chosen, epochs=1, n_threads=n_threads), whole) == []


@pytest.mark.parametrize("block", [1, 5])
def test_blocks_of_prediction(here, monkeypatch, block):
    monkeypatch.setattr(network, "BLOCK", block)
    assert different(bits.hashes(CONFIGURATIONS), here) == []


def test_slices(here, monkeypatch):
    """Every call of the core trains one batch: the pending update is made at its end, none at the next start."""
    monkeypatch.setattr(training, "SLICE_SECONDS", 0.0)
    assert different(bits.hashes(CONFIGURATIONS), here) == []


@pytest.mark.parametrize("density", [-1.0, 1.0])
def test_sparse_and_dense_rows(here, monkeypatch, density):
    """All inputs taken as dense, or all through the lists of non-zeros, down to one input."""
    monkeypatch.setattr(training, "SPARSE_MAX_DENSITY", density)
    monkeypatch.setattr(training, "SPARSE_MIN_INPUTS", 1)
    chosen = {name: c for name, c in CONFIGURATIONS.items() if c.options["batch_size"] == 1}
    assert different(bits.hashes(chosen), {name: here[name] for name in chosen}) == []


def test_columns_of_the_lists_fit_their_integers(monkeypatch):
    """A row wider than int32 can number takes the dense kernel, whose bits are the same."""
    assert training.SPARSE_MAX_INPUTS - 1 == np.iinfo(np.int32).max
    X, Y = np.zeros((6, 40)), np.ones((6, 1))
    X[np.arange(6), np.arange(34, 40)] = 1.0             # the last columns among them
    listed, found = [], []
    monkeypatch.setattr(training, "_nonzero", lambda X, nonzero=training._nonzero: listed.append(1) or nonzero(X))
    for most, lists in ((40, 1), (39, 1)):
        monkeypatch.setattr(training, "SPARSE_MAX_INPUTS", most)
        monkeypatch.setattr(options, "_last", ((), None))                # what it knows was made with the other limit
        net = bp.Network([40, 3, 1], seed=1)
        net.train(X, Y, epochs=2, batch_size=1)
        assert len(listed) == lists
        found.append(net.parameters.tobytes())
    assert found[0] == found[1]


def test_learn_one_is_online_training():
    chosen = {name: c for name, c in CONFIGURATIONS.items() if c.plain_online()}
    assert len(chosen) > 80
    for name, c in chosen.items():
        trained, history = c.trained()
        net = c.network()
        for epoch in range(c.options["epochs"]):
            loss = 0.0
            for x, y in zip(c.X, c.Y):
                loss += net.learn_one(x, y, c.options["learning_rate"])
            assert loss / bits.ROWS == history.loss[epoch], name
        assert net.parameters.tobytes() == trained.parameters.tobytes(), name


@pytest.mark.parametrize("batch_size", [1, 7, "full"])
def test_the_generic_step_agrees_with_the_fused_one(batch_size):
    """Without momentum, momentum's step is plain descent, by way of the gradient: the same but for rounding."""
    for name, c in CONFIGURATIONS.items():
        if c.options["batch_size"] == batch_size and "optimizer" not in c.options and not name.startswith("shuffled"):
            fused, _ = bits.results(c)
            generic, _ = bits.results(c, optimizer=bp.optimizers.Momentum(momentum=0.0))
            np.testing.assert_allclose(generic, fused, rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"])
def test_weights_beyond_the_near_caches_one_by_one(rule):
    """Their passes take wider panels; a team of two takes the batch kernels."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(7, 300)), rng.normal(size=(7, 3))
    found = []
    for n_threads in (1, 2):
        net = bp.Network([300, 250, 3], seed=1)
        net.train(X, Y, epochs=2, batch_size=1, optimizer=rule, learning_rate=1e-3, n_threads=n_threads)
        found.append(net.parameters.tobytes())
    assert found[0] == found[1]


# ---- prediction ------------------------------------------------------------------------------------------------------

def test_a_row_predicts_the_same_alone_and_in_any_batch():
    for name, c in CONFIGURATIONS.items():
        net = c.network()
        whole = net.predict(c.X)
        assert whole.tobytes() == np.array([net.predict_one(x) for x in c.X]).tobytes(), name
        assert whole.tobytes() == np.vstack([net.predict(c.X[i:i + 5]) for i in range(0, bits.ROWS, 5)]).tobytes(), name
        assert whole[::-1].tobytes() == net.predict(c.X[::-1]).tobytes(), name
        assert whole.tobytes() == net.forward(c.X)[-1].tobytes(), name
