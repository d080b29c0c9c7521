"""What importing and training leave behind in the process: floating-point flags, threads, forks."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import backprop as bp
import bits
from backprop import _threads, sources, training

LINUX = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
ONLINE = bits.Configuration((33, 12, 4), batch_size=1)
BATCHES = bits.Configuration((33, 12, 4), batch_size=7)
SHORT = {"epochs": 3, "batch_size": 7}
CALLS = {
    "train, online": lambda: ONLINE.trained(),
    "train, in registers": lambda: bits.Configuration((2, 8, 1), batch_size=1).trained(),
    "train, sparse": lambda: bits.Configuration((40, 8, 1), batch_size=1, sparse=True).trained(),
    "train, batches": lambda: BATCHES.trained(),
    "train, adam": lambda: bits.Configuration((33, 12, 4), batch_size=7, optimizer="adam").trained(),
    "train, threads": lambda: BATCHES.trained(n_threads=3, epochs=1),
    "train, diverging": lambda: diverge(),
    "learn_one": lambda: ONLINE.network().learn_one(ONLINE.X[0], ONLINE.Y[0], 0.1),
    "predict": lambda: ONLINE.network().predict(ONLINE.X),
    "predict_one": lambda: ONLINE.network().predict_one(ONLINE.X[0]),
    "evaluate": lambda: ONLINE.network().evaluate(ONLINE.X, ONLINE.Y),
    "gradients": lambda: ONLINE.network().gradients(ONLINE.X, ONLINE.Y),
    "trace": lambda: ONLINE.network().trace(ONLINE.X[0], ONLINE.Y[0], 0.1),
    "Perceptron": lambda: bp.Perceptron(random_state=0).fit(ONLINE.X, ONLINE.X[:, 0] > 0),
}


def diverge():
    with pytest.raises(bp.errors.DivergenceError):
        bits.Configuration((33, 12, 4), hidden="identity", batch_size=7, learning_rate=1e6, epochs=200).trained()


def subnormals_count():
    """Whether this thread computes with subnormals: neither flushed to zero as results nor taken as zero."""
    tiny, smallest = np.array([2.0**-1022]), np.array([5e-324])
    return bool((tiny * 0.5)[0] != 0.0 and (smallest * 2.0**60)[0] != 0.0 and (smallest + smallest)[0] != 0.0)


# ---- subnormals ------------------------------------------------------------------------------------------------------

def test_import_keeps_the_floating_point_flags():
    code = ("import numpy as np\ndef subnormals(): return bool((np.array([2.0**-1022]) * 0.5)[0] != 0)\n"
            "assert subnormals()\nimport backprop\nassert subnormals()")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("call", CALLS)
def test_calls_keep_the_floating_point_flags(call):
    assert subnormals_count()
    CALLS[call]()
    assert subnormals_count()


def test_threads_keep_their_floating_point_flags(monkeypatch):
    """In a thread of the user's and in a team's workers, whose flags are looked at when the kernel has returned."""
    seen, real = [], training.core

    def work(*arguments):
        seen.append(subnormals_count())
        result = real.work(*arguments)
        seen.append(subnormals_count())
        return result

    class Core:
        def __getattr__(self, name):
            return work if name == "work" else getattr(real, name)

    monkeypatch.setattr(training, "core", Core())

    def user():
        BATCHES.trained(n_threads=3, epochs=1)
        seen.append(subnormals_count())

    thread = threading.Thread(target=user)
    thread.start()
    thread.join()
    assert len(seen) >= 7 and all(seen)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("scale_W, scale_X", [(1.0, 1e-310), (1e-310, 1.0), (1e-310, 1e-310)])
def test_subnormal_numbers_train_like_zeros(scale_W, scale_X, batch_size, optimizer):
    def losses(scale_W, scale_X):
        net, X, Y = ONLINE.network(), ONLINE.X * scale_X, ONLINE.Y
        net.set_parameters(net.parameters * scale_W)
        history = net.train(X, Y, epochs=5, batch_size=batch_size, optimizer=optimizer, learning_rate=0.01,
                            shuffle=False)
        assert np.isfinite(net.parameters).all() and np.isfinite(net.predict(X)).all()
        return [*history.loss, net.learn_one(X[0], Y[0], 0.01)]

    zeros = losses(*(scale if scale == 1.0 else 0.0 for scale in (scale_W, scale_X)))
    np.testing.assert_allclose(losses(scale_W, scale_X), zeros, rtol=1e-12)


def test_learn_one_takes_subnormals_as_training_does():
    X = np.where(bits.uniform(9, *ONLINE.X.shape) > 0, ONLINE.X, ONLINE.X * 1e-310)
    one, all_at_once = ONLINE.network(), ONLINE.network()
    all_at_once.train(X, ONLINE.Y, learning_rate=0.1, shuffle=False)
    for x, y in zip(X, ONLINE.Y):
        one.learn_one(x, y, 0.1)
    assert one.parameters.tobytes() == all_at_once.parameters.tobytes()


# ---- threads and forks -----------------------------------------------------------------------------------------------

@LINUX
@pytest.mark.parametrize("train", [
    lambda: BATCHES.trained(n_threads=4, epochs=1), CALLS["train, diverging"],
    lambda: pytest.raises(ZeroDivisionError, BATCHES.trained, n_threads=4, callbacks=[lambda state: 1 // 0]),
], ids=["done", "diverged", "failed"])
def test_no_thread_outlives_the_call(train):
    threads, tasks = threading.enumerate(), set(os.listdir("/proc/self/task"))
    train()
    assert threading.enumerate() == threads
    deadline = time.monotonic() + 5.0    # before Python 3.13, join returns a moment before the kernel's thread is gone
    while set(os.listdir("/proc/self/task")) - tasks and time.monotonic() < deadline:
        time.sleep(0.001)
    assert set(os.listdir("/proc/self/task")) - tasks == set()


def train_in_a_team(net):
    net.train(BATCHES.X, BATCHES.Y, **SHORT, n_threads=4)


def train_side_by_side(net):
    bp.train_many([net, BATCHES.network(), BATCHES.network()], [(BATCHES.X, BATCHES.Y)] * 3, n_threads=3, **SHORT)


def train_on_a_stream(net):
    net.train([(BATCHES.X[:14], BATCHES.Y[:14]), (BATCHES.X[14:], BATCHES.Y[14:])], **SHORT)


STARTS = [(train, name) for train, names in (
    (train_in_a_team, ["backprop-1", "backprop-2", "backprop-3"]), (train_on_a_stream, ["backprop-stream"]),
    (train_side_by_side, ["backprop-many-0", "backprop-many-1", "backprop-many-2"])) for name in names]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("train, name", STARTS, ids=[name for _, name in STARTS])
def test_no_thread_is_left_where_ctrl_c_comes_as_one_is_started(monkeypatch, train, name, moment):
    net, start, threads = BATCHES.network(), threading.Thread.start, threading.enumerate()
    monkeypatch.setattr(sources, "BESIDE_SECONDS", 0.0)

    def pressed(thread):
        if moment == "after" or thread.name != name:
            start(thread)
        if thread.name == name:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", pressed)
        with pytest.raises(KeyboardInterrupt):
            train(net)
    assert threading.enumerate() == threads and np.isfinite(net.parameters).all()
    net.reset(0)
    train(net)                                               # nothing is locked
    assert net.epochs_trained == SHORT["epochs"]


@pytest.mark.parametrize("train, name", [start for start in STARTS if start[0] is not train_on_a_stream],
                         ids=[name for train, name in STARTS if train is not train_on_a_stream])
def test_a_thread_that_the_system_refuses_is_an_error(monkeypatch, train, name):
    net, start, threads = BATCHES.network(), threading.Thread.start, threading.enumerate()
    before = pickle.dumps((net.parameters, net._generator, net.epochs_trained))

    def refused(thread):
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            train(net)
    assert threading.enumerate() == threads
    if name not in ("backprop-many-1", "backprop-many-2"):   # where the threads before it have begun with the networks
        assert pickle.dumps((net.parameters, net._generator, net.epochs_trained)) == before
    train(net.reset(0))


def test_threads_are_waited_for_through_any_number_of_ctrl_c():
    """Before Python 3.13 the first of them makes join take the thread for dead."""
    raised = 0

    def interrupt(number, frame):
        nonlocal raised
        while frame is not None and frame.f_code is not _threads.join.__code__:
            frame = frame.f_back
        if frame is not None:                            # within the call, however late the signal comes
            raised += 1
            raise KeyboardInterrupt

    thread = threading.Thread(target=time.sleep, args=(0.5,))
    thread.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            _threads.join([thread])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert thread not in threading.enumerate() and raised > 1


def test_a_thread_on_its_way_is_waited_for_and_one_that_was_never_made_is_not(monkeypatch):
    """Python counts both among all threads, and neither is alive."""
    class Coming:
        ident, looks = None, 0

        def is_alive(self):
            self.looks += 1
            return False

    coming, never = Coming(), Coming()
    monkeypatch.setattr(threading, "enumerate", lambda: [never] if coming.looks > 20 else [coming, never])
    monkeypatch.setattr(_threads, "START_SECONDS", 0.1)
    _threads.join([coming, never])
    assert coming.looks == 21 and never.looks > 0


@LINUX
def test_a_forked_child_trains_after_its_parent_trained_with_threads():
    code = ("import os, sys; sys.path.insert(0, sys.argv[1])\nimport bits\n"
            "from backprop import training\n"
            "training.THREAD_FLOPS, training.processors = 1e-9, lambda: 64          # a real team\n"
            "case = bits.Configuration((33, 12, 4), batch_size=7)\n"
            "expected = case.trained(n_threads=2)[0].parameters.tobytes()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    same = all(case.trained(n_threads=t)[0].parameters.tobytes() == expected for t in (1, 2))\n"
            "    os._exit(0 if same else 1)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    subprocess.run([sys.executable, "-c", code, os.path.dirname(bits.__file__)], check=True, timeout=60)


def test_concurrent_predictions_agree():
    net = ONLINE.network()
    X = np.tile(ONLINE.X, (40, 1))
    expected, one, wrong = net.predict(X), net.predict_one(X[0]), []
    start = threading.Barrier(2)

    def predict():
        start.wait()
        for _ in range(50):
            if not (np.array_equal(net.predict(X), expected) and np.array_equal(net.predict_one(X[0]), one)):
                wrong.append(1)

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
