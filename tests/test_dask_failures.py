"""What befalls a cluster in the middle of a training: it goes on with the same bits, or ends soon and goes on later."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import backprop as bp

distributed = pytest.importorskip("distributed", reason="needs Dask, the extra `dask`")
da = pytest.importorskip("dask.array", reason="needs Dask's arrays, the extra `dask`")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning",
                                        "ignore::pytest.PytestUnraisableExceptionWarning")
CHUNKS = (70, 1, 130, 99)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(sum(CHUNKS), 6))
Y = np.tanh(X @ RNG.normal(size=(6, 2)))
DX, DY = (da.from_array(array, chunks=(CHUNKS, array.shape[1])) for array in (X, Y))
MODES = {"sync": {"optimizer": "adam", "batch_size": 40}, "lbfgs": {"optimizer": "lbfgs"},
         "average": {"mode": "average", "optimizer": "momentum", "batch_size": 10}}
EPOCHS, BREAK = 8, 3


def network():
    return bp.Network([6, 5, 2], seed=3)


def cluster_of(n_workers):
    return distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected(cluster):
    """{mode: (parameters, losses)} of trainings that nothing befell."""
    ends = {}
    with distributed.Client(cluster) as client:
        for mode, options in MODES.items():
            net = network()
            ends[mode] = bp.dask.train(net, DX, DY, client=client, epochs=EPOCHS, **options).loss, net.parameters
    return ends


class Break:
    """A callback that acts after an epoch: at once, between two rounds, or a moment later, within one."""

    def __init__(self, action, within=False):
        self.action, self.within, self.seen, self.thread = action, within, [], None

    def __call__(self, state):
        self.seen.append(state.network.parameters)
        if state.epoch == BREAK:
            self.started = time.monotonic()
            if self.within:
                self.thread = threading.Timer(0.005, self.action)
                self.thread.start()
            else:
                self.action()

    def ends(self, client, words, epochs=EPOCHS, **options):
        """The network of a training that the break ends, soon, with an error, as its last whole epoch left it."""
        net = network()
        with pytest.raises(RuntimeError, match=words):
            bp.dask.train(net, DX, DY, client=client, epochs=epochs, callbacks=self, **options)
        assert time.monotonic() - self.started < 60.0
        if self.thread is not None:
            self.thread.join()
        assert BREAK <= net.epochs_trained == len(net.history) == len(self.seen) and net.history.stop_reason is None
        assert net.parameters.tobytes() == self.seen[-1].tobytes()
        return net


def nothing_is_left(client):
    """Whether the workers forget the partitions, which takes a moment."""
    deadline = time.monotonic() + 5.0
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not client.futures and not any(client.run(lambda dask_worker: len(dask_worker.state.actors)).values())


def goes_on(net, cluster, expected, options):
    """Train what is left of the epochs by another client: the bits of a training that nothing befell."""
    earlier = net.history.loss
    with distributed.Client(cluster) as client:
        history = bp.dask.train(net, DX, DY, client=client, epochs=EPOCHS - net.epochs_trained, **options)
    if options.get("optimizer") == "lbfgs":      # which forgets its curvature between two calls
        assert history.loss[0] < earlier[0]
        return
    assert earlier + history.loss == expected[0]
    assert net.parameters.tobytes() == expected[1].tobytes()


def cancel(client):
    client.cancel([distributed.Future(key, client) for key in list(client.futures)], force=True)


ENDS = {"cancel": (cancel, "cancelled, as by client.cancel"),
        "close": (lambda client: client.close(), "connection to the Dask scheduler is lost"),
        "restart": (lambda client: client.restart(), "cancelled, as by client.cancel or client.restart")}


def ways(*names):
    """A restart, which takes seconds, in one mode; in the others with the slow tests."""
    return [pytest.param(name, mode, id=f"{name}-{mode}",
                         marks=pytest.mark.slow if name == "restart" and mode != "sync" else ())
            for name in names for mode in MODES]


@pytest.mark.parametrize("name, mode", ways(*ENDS))
def test_what_ends_a_training_between_two_rounds(cluster, expected, name, mode):
    action, words = ENDS[name]
    with distributed.Client(cluster) as client:
        net = Break(lambda: action(client)).ends(client, words, **MODES[mode])
        assert name != "cancel" or nothing_is_left(client)
    assert net.epochs_trained == BREAK
    goes_on(net, cluster, expected[mode], MODES[mode])


@pytest.mark.parametrize("name, mode", ways("cancel", "close"))
def test_what_ends_a_training_within_a_round(cluster, name, mode):
    action, words = ENDS[name]
    options = {**MODES[mode], **({} if mode == "lbfgs" else {"learning_rate": 1e-9})}
    with distributed.Client(cluster) as client:
        Break(lambda: action(client), within=True).ends(client, words, epochs=10**6, **options)


def test_workers_told_to_retire_change_no_bit(cluster, expected):
    """Dask keeps a worker that holds actors; it may go when the training has ended, of which nothing is left there."""
    with distributed.Client(cluster) as client:
        there = list(client.nthreads())
        for mode, options in MODES.items():
            net, retirement = network(), Break(lambda: client.retire_workers(there))
            history = bp.dask.train(net, DX, DY, client=client, epochs=EPOCHS, callbacks=retirement, **options)
            assert time.monotonic() - retirement.started < 60.0
            assert history.loss == expected[mode][0] and net.parameters.tobytes() == expected[mode][1].tobytes()
            assert nothing_is_left(client)
        client.retire_workers(there[:1])
        assert list(client.nthreads()) == there[1:]


class Apart:
    """A scheduler and a worker as processes of their own, which signals reach one by one."""

    def __init__(self, folder):
        self.file, self.processes = folder / "scheduler.json", {}

    def __enter__(self):
        self.start("scheduler", "--port", "0", "--no-dashboard")
        while not self.file.exists():
            time.sleep(0.05)
        self.start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        return self

    def start(self, kind, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(self.file), *options]
        self.processes[kind] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def send(self, number, kind="scheduler"):
        self.processes[kind].send_signal(number)

    def __exit__(self, *error):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


@pytest.mark.parametrize("mode", ["sync", pytest.param("average", marks=pytest.mark.slow)])
def test_a_scheduler_that_is_stopped_and_one_that_is_killed(tmp_path, expected, monkeypatch, mode):
    """The first does not answer, and the training goes on when it does again; the second is gone."""
    monkeypatch.setattr("backprop.dask._cluster.SILENCE_SECONDS", 1.0)
    options = MODES[mode]
    with Apart(tmp_path) as apart, distributed.Client(scheduler_file=str(apart.file)) as client:
        client.wait_for_workers(1, timeout=60)
        net = Break(lambda: apart.send(signal.SIGSTOP)).ends(client, "scheduler has not answered for 1 s", **options)
        apart.send(signal.SIGCONT)
        loss = net.history.loss
        loss += bp.dask.train(net, DX, DY, client=client, epochs=EPOCHS - BREAK, **options).loss
        assert loss == expected[mode][0] and net.parameters.tobytes() == expected[mode][1].tobytes()
        Break(lambda: apart.send(signal.SIGKILL)).ends(client, "connection to the Dask scheduler is lost", **options)


@pytest.mark.parametrize("call", [
    lambda net, client: bp.dask.train(net, DX, DY, client=client),
    lambda net, client: bp.dask.DaskMLPRegressor(hidden_layer_sizes=(5,)).fit(DX, DY, client=client),
], ids=["train", "fit"])
def test_a_cluster_without_workers_is_an_error(call, monkeypatch):
    monkeypatch.setattr("backprop.dask._cluster.EMPTY_SECONDS", 0.5)
    net = network()
    with cluster_of(0) as cluster, distributed.Client(cluster) as client:
        with pytest.raises(RuntimeError, match="the Dask cluster has had no workers for 0.5 s"):
            call(net, client)
    assert net.parameters.tobytes() == network().parameters.tobytes() and net.history is None
