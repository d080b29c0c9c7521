"""Over and over: threads on one object and on many, Ctrl-C at any moment, and cycles that must not grow."""

import ctypes
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import backprop as bp

rng = np.random.default_rng(2)
X, Y = rng.normal(size=(60, 6)), rng.normal(size=(60, 2))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's /proc")


def network(seed=1):
    return bp.Network([6, 5, 2], seed=seed)


def together(n_threads, work):
    """Run `work(i)` in threads that start at the same time; what they raised."""
    start, raised = threading.Barrier(n_threads), []

    def run(i):
        start.wait()
        try:
            work(i)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


# ---- threads ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_threads", [2, 5, 16])
def test_threads_on_one_network_and_on_many_change_no_bit(n_threads):
    shared = network()
    expected = [shared.predict(X).tobytes(), shared.predict_one(X[0]).tobytes(), shared.evaluate(X, Y),
                shared.gradients(X, Y).weights[0].tobytes()]
    alone = [network(i) for i in range(n_threads)]
    for net in alone:
        net.train(X, Y, epochs=20, batch_size=7, optimizer="adam")
    many, wrong = [network(i) for i in range(n_threads)], []

    def work(i):
        for _ in range(20):
            found = [shared.predict(X).tobytes(), shared.predict_one(X[0]).tobytes(), shared.evaluate(X, Y),
                     shared.gradients(X, Y).weights[0].tobytes()]
            wrong.extend([i] * (found != expected))
            many[i].train(X, Y, batch_size=7, optimizer="adam", n_threads=1 + i % 2)

    assert together(n_threads, work) == [] and wrong == []
    assert [net.parameters.tobytes() for net in many] == [net.parameters.tobytes() for net in alone]


@pytest.mark.parametrize("n_threads", [2, 8])
def test_of_all_that_train_one_network_each_trains_whole_calls_or_is_refused(n_threads):
    net = network()
    done = []

    def work(i):
        for _ in range(30):
            try:
                net.train(X, Y, epochs=2, batch_size=7)
                done.append(i)
            except bp.errors.ConcurrentUseError:
                pass

    assert together(n_threads, work) == [] and done
    whole = network()
    whole.train(X, Y, epochs=2 * len(done), batch_size=7)
    assert net.epochs_trained == 2 * len(done) and net.parameters.tobytes() == whole.parameters.tobytes()


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    {}, {"batch_size": 7, "optimizer": "adam"}, {"batch_size": 7, "n_threads": 2},
    {"validation": 0.25, "metrics": "r2"}, {"batch_size": "full", "optimizer": "levenberg_marquardt"}],
    ids=["online", "adam", "threads", "listening", "solver"])
def test_ctrl_c_at_any_moment_leaves_whole_epochs_with_the_bits_of_an_uninterrupted_training(options):
    """Signals at random times, from before the first epoch to the middle of any."""
    net, moments, interrupted = network(), np.random.default_rng(3), 0
    rate = None if "optimizer" in options else 1e-3
    for wait in [*moments.uniform(0.0, 0.03, 8), *moments.uniform(0.0, 0.6, 3), 0.8]:    # a call of the core: 0.5 s
        timer = threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            net.train(X, Y, epochs=10**7, learning_rate=rate, **options)
            time.sleep(10.0)                                    # where the training ended by itself
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        assert np.isfinite(net.parameters).all() and np.isfinite(net.predict(X)).all()
    assert interrupted == 12 and net.epochs_trained > 0
    if "validation" in options or "optimizer" in options and options["batch_size"] == "full":
        return                            # a split of each call's own, and damping that each call starts anew
    whole = network()
    whole.train(X, Y, epochs=net.epochs_trained, learning_rate=rate, **{**options, "n_threads": 1})
    assert whole.parameters.tobytes() == net.parameters.tobytes()


# ---- memory ----------------------------------------------------------------------------------------------------------

def cycle(path):
    """A fit, a prediction, a file, a failure of each kind, an estimator and a perceptron."""
    net = network()
    net.train(X, Y, epochs=2, batch_size=7, optimizer="adam", validation=0.2, early_stopping=2, metrics="r2")
    net.predict(X)
    net.save(path)
    bp.load(path).train(X, Y, epochs=1)
    for wrong in ({"batch_size": 0}, {"sample_weight": -np.ones(60)}, {"optimizer": "none"}):
        with pytest.raises(ValueError):
            net.train(X, Y, **wrong)
    with pytest.raises(bp.errors.DivergenceError):
        net.train(X * 1e160, Y * 1e160)
    with pytest.raises(bp.errors.ModelFormatError):
        bp.load(__file__)
    net.gradients(X, Y)
    net.trace(X[0], Y[0], 0.1)
    bp.Perceptron(max_iter=100, random_state=0).fit(X, X[:, 0] > 0).predict(X)


def growth(path, cycles):
    """Bytes that a thousand cycles add to the process once it has warmed up: the lower median of four quarters.

    A leak adds to each; a heap that takes some pages more, now and then, does not.
    """
    def resident():
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)   # of glibc: gives back what is free, not to be counted
        if trim is not None:
            trim(0)
        with open("/proc/self/smaps_rollup") as stream:      # exact, where statm is not; and without pages of files
            return 1024 * int(re.search(r"^Anonymous:\s+(\d+)", stream.read(), flags=re.M)[1])

    for _ in range(cycles // 2):
        cycle(path)
    rates = []
    for _ in range(4):
        before = resident()
        for _ in range(cycles // 4):
            cycle(path)
        rates.append(1000.0 * (resident() - before) / (cycles // 4))
    return sorted(rates)[1]


def objects(path):
    """Objects that 25 cycles leave behind, in each of sixteen windows: it takes some until all caches are filled."""
    added = []
    for _ in range(16):
        before = sys.getallocatedblocks()
        for _ in range(25):
            cycle(path)
        gc.collect()
        added.append(sys.getallocatedblocks() - before)
    return added


SOAK = """
import sys
sys.path.insert(0, sys.argv[1])
import test_soak
print(eval(sys.argv[3], {"path": sys.argv[2], **vars(test_soak)}))
"""


def soak(path, expression):
    """What an expression gives in a process that has done nothing else."""
    done = subprocess.run([sys.executable, "-c", SOAK, os.path.dirname(__file__), path / "net", expression],
                          capture_output=True, text=True, env=ENVIRONMENT, timeout=1800)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cycles_leave_no_object_behind(tmp_path):
    """A leak adds to every window of cycles; caches and free lists settle in some of them."""
    added = soak(tmp_path, "min(objects(path))")
    assert int(added) < 25                                  # one object a cycle


@LINUX
@pytest.mark.slow
def test_twenty_thousand_cycles_add_less_than_a_kibibyte_per_thousand(tmp_path):
    """A leak shows in every process; pages that a heap takes for itself, some more than that, in one of many."""
    assert any(float(soak(tmp_path, "growth(path, 20_000)")) < 1024 for _ in range(2))


STREAMED = """
import sys, numpy as np, backprop as bp

def peak():
    with open("/proc/self/status") as stream:
        return int(next(line for line in stream if line.startswith("VmHWM")).split()[1]) * 1024

chunk = 100_000
def chunks():
    for i in range(100):
        X = np.full((chunk, 8), 0.5)
        yield X, X[:, :1]

net = bp.Network([8, 4, 1], seed=0)
net.train([(np.ones((9, 8)), np.ones(9))])
before = peak()
net.train(chunks(), batch_size=100)
print(peak() - before)
"""


@LINUX
@pytest.mark.slow
def test_ten_million_rows_are_streamed_in_bounded_memory():
    done = subprocess.run([sys.executable, "-c", STREAMED], capture_output=True, text=True, env=ENVIRONMENT,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * 100_000 * 9 * 8 + 2**26           # three chunks and 64 MiB


def test_a_failed_call_takes_less_than_a_second():
    begin = time.process_time()
    with pytest.raises(ValueError):
        network().train(np.full((100_000, 6), np.nan), np.ones((100_000, 2)))
    assert time.process_time() - begin < 1.0
