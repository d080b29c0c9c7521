"""What befalls a cluster in the middle of a training: it goes on with the same bits, or ends soon and goes on later."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

import backprop as bp

distributed = pytest.importorskip("distributed", reason="needs Dask, the extra `dask`")
da = pytest.importorskip("dask.array", reason="needs Dask's arrays, the extra `dask`")
dask = pytest.importorskip("dask")
_cluster, _worker = (pytest.importorskip(f"backprop.dask.{name}") for name in ("_cluster", "_worker"))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:.*onverge",
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


# ---- workers in this process: what befalls them can be told to the moment, and costs no time -------------------------

@pytest.fixture
def inside():
    """A cluster of three workers that are threads here, and a client of it."""
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=False,
                                  dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def lose_one(client):
    """Close a worker with partitions."""
    held = client.run(lambda dask_worker: len(dask_worker.state.actors))
    address = next(address for address, actors in held.items() if actors)
    client.cluster.sync(next(w for w in client.cluster.workers.values() if w.address == address).close)


def same(net, history, expected):
    return history.loss == expected[0] and net.parameters.tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_workers_that_go_change_no_bit(inside, expected, mode, caplog):
    net, loss = network(), Break(lambda: lose_one(inside))
    history = bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS, callbacks=loss, **MODES[mode])
    assert same(net, history, expected[mode]) and len(inside.nthreads()) == 2
    assert "is lost" in caplog.text and "its partitions are computed again" in caplog.text


def test_workers_that_go_one_after_the_other_are_reported(inside, monkeypatch):
    """As where a partition does not fit into the memory of any."""
    place = _cluster.Cluster._place

    def placed(self):
        place(self)
        lose_one(inside)

    monkeypatch.setattr(_cluster, "MAX_LOSSES", 1)
    monkeypatch.setattr(_cluster.Cluster, "_place", placed)
    net = network()
    with pytest.raises(RuntimeError, match="2 workers in a row were lost.*too little memory for their partitions"):
        bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS)
    assert net.parameters.tobytes() == network().parameters.tobytes() and net.history is None


class Once:
    """A method of `Partitions` that does something else in the third round, on the first worker to come there."""

    def __init__(self, monkeypatch, action, name="gradients"):
        self.rounds, self.action, self.lock = {}, action, threading.Lock()
        self.original, self.done = getattr(_worker.Partitions, name), threading.Event()
        monkeypatch.setattr(_worker.Partitions, name, lambda partitions, *arguments: self(partitions, *arguments))

    def __call__(self, partitions, *arguments):
        with self.lock:
            count = self.rounds[id(partitions)] = self.rounds.get(id(partitions), 0) + 1
            first = count == BREAK and not self.done.is_set()
            if first:
                self.done.set()
        if first:
            self.action()
        return self.original(partitions, *arguments)


def fail(error):
    raise error


def test_a_worker_that_computes_for_long_is_waited_for_while_it_answers(inside, expected, monkeypatch):
    monkeypatch.setattr(_cluster, "SILENCE_SECONDS", 0.8)
    monkeypatch.setattr(_cluster, "TURN_SECONDS", 0.05)
    Once(monkeypatch, lambda: time.sleep(1.0))
    net = network()
    history = bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS, **MODES["sync"])
    assert same(net, history, expected["sync"])


def test_a_worker_that_computes_for_long_and_does_not_answer_is_reported(inside, monkeypatch):
    async def silent(self):
        await asyncio.sleep(5.0)

    monkeypatch.setattr(_cluster, "SILENCE_SECONDS", 0.8)
    monkeypatch.setattr(_cluster, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(_worker.Partitions, "alive", silent)
    Once(monkeypatch, lambda: time.sleep(1.1))
    net = network()
    with pytest.raises(RuntimeError, match="worker inproc://.* has not answered for 0.4 s; is its process stopped"):
        bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS)
    assert net.epochs_trained == len(net.history) == BREAK - 1


@pytest.mark.parametrize("error", [lambda: time.sleep(0.3), lambda: fail(OSError("no route"))],
                         ids=["slow", "broken off"])
def test_a_worker_that_the_scheduler_misses_is_replaced(inside, expected, monkeypatch, error):
    """While it is waited for, and after its answer has been lost on the way."""
    once, found, missed = Once(monkeypatch, error), _cluster.Cluster._workers, []

    def workers(self):
        there = found(self)
        if once.done.is_set() and not missed:
            missed.extend(self.actors)
            return {address: n for address, n in there.items() if address not in missed}
        return there

    monkeypatch.setattr(_cluster, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(_cluster.Cluster, "_workers", workers)
    net = network()
    history = bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS, **MODES["sync"])
    assert missed and same(net, history, expected["sync"])


@pytest.mark.parametrize("error, words", [(OSError("no route"), "worker inproc://.* cannot be reached: no route"),
                                          (RuntimeError("a fault"), "^a fault$")], ids=["unreachable", "fault"])
def test_a_failure_of_a_worker_that_stays_is_reported(inside, monkeypatch, error, words):
    monkeypatch.setattr(_cluster, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_cluster, "TURN_SECONDS", 0.05)
    Once(monkeypatch, lambda: fail(error))
    net = network()
    with pytest.raises(RuntimeError, match=words):
        bp.dask.train(net, DX, DY, client=inside, epochs=EPOCHS)
    assert net.epochs_trained == len(net.history) == BREAK - 1


def test_a_scheduler_that_breaks_off_is_reported(inside, monkeypatch):
    sync, net = inside.sync, network()

    def broken(function, *arguments, **options):
        return (fail(OSError("reset by peer")) if "callback_timeout" in options else
                sync(function, *arguments, **options))

    with monkeypatch.context() as patch:
        patch.setattr(inside, "sync", broken)
        with pytest.raises(RuntimeError, match="the connection to the Dask scheduler is lost .reset by peer."):
            bp.dask.train(net, DX, DY, client=inside)
    assert net.parameters.tobytes() == network().parameters.tobytes() and net.history is None
    bp.dask.train(net, DX, DY, client=inside, epochs=1)


class Done:
    """A future whose value went between the look at it and its fetching."""

    status = "finished"

    def done(self):
        return True

    def result(self, timeout):
        raise CancelledError


class Cancelled:
    """A future that is cancelled while it is waited for."""

    status = "cancelled"

    def done(self):
        return False


class Late:
    """An answer that comes as one stops waiting for it: a number, or itself the error."""

    def __init__(self, answer):
        self.answer, self.waited = answer, False

    def done(self):
        return self.waited

    def result(self, timeout=None):
        if not self.waited:
            self.waited = True
            raise TimeoutError
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def cancelled(future, timeout):
    raise CancelledError


def test_an_answer_that_comes_as_one_stops_waiting_is_taken(inside, monkeypatch):
    result = _cluster.Cluster._result
    assert result(None, "inproc://x", Late(3.0)) == 3.0
    with pytest.raises(TimeoutError, match="its own"):
        result(None, "inproc://x", Late(TimeoutError("its own")))
    monkeypatch.setattr(_cluster.distributed, "wait", cancelled)
    with pytest.raises(RuntimeError, match="partition 2: cancelled"):
        _cluster.Connection(inside)._value(Cancelled(), "partition 2")


def test_what_is_waited_for_and_does_not_come(inside, monkeypatch):
    """Cancelled meanwhile, gone meanwhile, on a worker that is gone, and too much for every worker."""
    monkeypatch.setattr(_cluster, "TURN_SECONDS", 0.02)
    connection = _cluster.Connection(inside)
    future = inside.submit(time.sleep, 0.5, pure=False)
    timer = threading.Timer(0.1, lambda: inside.cancel([future], force=True))
    timer.start()
    with pytest.raises(RuntimeError, match="partition 2: cancelled, as by client.cancel"):
        connection._value(future, "partition 2")
    timer.join()
    with pytest.raises(RuntimeError, match="partition 2: cancelled, as by client.cancel"):
        connection._value(Done(), "partition 2")
    with pytest.raises(_cluster._Lost, match="the worker inproc://gone is lost"):
        connection._value(inside.submit(time.sleep, 0.2, pure=False), "partition 2", "inproc://gone")
    last = next(iter(inside.cluster.scheduler.workers.values())).clean()
    parts = [dask.delayed(fail)(distributed.scheduler.KilledWorker("x", last, 3))]
    with pytest.raises(RuntimeError, match="partition 0: Attempted to run task 'x' on 4 different workers"):
        bp.dask.train(network(), parts, parts, client=inside)


def test_clients_that_cannot_train(inside, monkeypatch):
    net = network()
    with pytest.raises(TypeError, match="client must be a distributed.Client, got str"):
        bp.dask.train(net, DX, DY, client="tcp://127.0.0.1:8786")
    with monkeypatch.context() as patch:
        patch.setattr(distributed.Client, "asynchronous", True)
        with pytest.raises(ValueError, match="client is asynchronous"):
            bp.dask.train(net, DX, DY, client=inside)
    inside.close()
    with pytest.raises(RuntimeError, match="client has no connection to a Dask scheduler: it is closed"):
        bp.dask.train(net, DX, DY, client=inside)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        with pytest.raises(ImportError, match=r"pip install 'backprop-core\[dask\]'"):
            bp.dask.train(net, DX, DY)
    assert net.parameters.tobytes() == network().parameters.tobytes() and net.history is None


# ---- ways that data and options take on the workers ------------------------------------------------------------------

def quartic(Y, P):
    return ((Y - P)**4).sum(axis=1), -4 * (Y - P)**3


def test_ways_of_averaging_and_of_steps(inside, capfd):
    """Weights in local epochs, a loss of one's own, steps in order, steps without a row: as on one machine."""
    weight = RNG.uniform(0.5, 2.0, len(X))
    near = {"rtol": 0, "atol": 1e-10}
    whole = [da.from_array(each, chunks=-1) for each in (X, Y, weight)]
    there, here = network(), network()
    bp.dask.train(there, *whole[:2], sample_weight=whole[2], mode="average", client=inside, epochs=1, batch_size=16,
                  shuffle=False)
    here.train(X, Y, sample_weight=weight, epochs=1, batch_size=16, shuffle=False)
    np.testing.assert_allclose(there.parameters, here.parameters, **near)
    assert capfd.readouterr() == ("", "")                # the workers' epochs are not shown
    there, here = (bp.Network([6, 5, 2], seed=3, loss=quartic) for _ in range(2))
    history = bp.dask.train(there, DX, DY, client=inside, epochs=3)
    assert history.loss == pytest.approx(here.train(X, Y, batch_size="full", epochs=3).loss, rel=1e-10)
    np.testing.assert_allclose(there.parameters, here.parameters, **near)
    for batch_size in (50, len(X) // 2):
        there, here = network(), network()
        bp.dask.train(there, *whole[:2], client=inside, epochs=2, batch_size=batch_size, shuffle=False)
        here.train(X, Y, epochs=2, batch_size=batch_size, shuffle=False)
        np.testing.assert_allclose(there.parameters, here.parameters, **near)
    there, here, few = network(), network(), [da.from_array(each[:3], chunks=(1, -1)) for each in (X, Y)]
    bp.dask.train(there, *few, client=inside, epochs=2, batch_size=1, optimizer="sgd")           # all rows in one step
    here.train(X[:3], Y[:3], epochs=2, batch_size="full", optimizer="sgd")
    np.testing.assert_allclose(there.parameters, here.parameters, **near)


def test_arrays_cut_otherwise(inside):
    """Along the columns, and Y elsewhere than X."""
    there, expected = network(), network()
    bp.dask.train(expected, DX, DY, client=inside, epochs=2)
    bp.dask.train(there, DX.rechunk((CHUNKS, 2)), DY.rechunk((150, 1)), client=inside, epochs=2)
    assert there.parameters.tobytes() == expected.parameters.tobytes()
    parts = bp.dask.predict(there, list(DX.to_delayed().ravel()))
    assert np.concatenate(dask.compute(*parts)).tobytes() == there.predict(X).tobytes()
    for arguments, options, words in (
            ((DX, None), {}, "there is no Y to train on"),
            ((DX, DY), {"optimizer": "rprop", "batch_size": 10}, "needs batch_size='full'"),
            ((DX, DY), {"sample_weight": da.zeros(len(X), chunks=(CHUNKS,))}, "sample_weight are all zero")):
        with pytest.raises(ValueError, match=words):
            bp.dask.train(there, *arguments, client=inside, **options)
    assert there.parameters.tobytes() == expected.parameters.tobytes() and there.epochs_trained == 2


def test_a_checkpoint_goes_on_and_binds_the_partitions(inside, expected, tmp_path):
    path, options = tmp_path / "net", {"client": inside, "checkpoint_path": tmp_path / "net", **MODES["sync"]}
    with pytest.raises(KeyError):
        bp.dask.train(network(), DX, DY, epochs=EPOCHS, callbacks=lambda state: state.epoch == BREAK and {}["stop"],
                      **options)
    again = bp.load(path)
    with pytest.raises(bp.errors.CheckpointMismatchError, match="differs from this one in X"):
        bp.dask.train(bp.load(path), DX[:200], DY[:200], epochs=1, **options)
    done = again.epochs_trained
    assert 0 < done < EPOCHS
    bp.dask.train(again, DX, DY, epochs=EPOCHS - done, **options)
    assert again.parameters.tobytes() == expected["sync"][1].tobytes()


def test_estimators_refuse_what_their_partitions_cannot_be(inside):
    far = bp.dask.DaskMLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0, warm_start=True)
    far.fit(DX, DY, client=inside)
    before = far.network_.parameters
    wide = [dask.delayed(X[:100]), dask.delayed(X[100:, :4])]
    for arguments, error, words in (
            ((DX[:0], DY[:0]), ValueError, "X is empty: none of its partitions holds a row"),
            ((wide, [dask.delayed(Y[:100]), dask.delayed(Y[100:])]), ValueError,
             r"differ in their number of columns: \[4, 6\]"),
            ((DX[:, :4], DY), ValueError, "X has 4 columns, but the fit before had 6")):
        with pytest.raises(error, match=words):
            far.fit(*arguments, client=inside)
        assert far.network_.parameters.tobytes() == before.tobytes()
    with pytest.raises(NotImplementedError, match="use fit with warm_start=True"):
        far.partial_fit(DX, DY)
    far.fit(DX, DY, client=inside)
    assert far.network_.epochs_trained == 4 and len(far.loss_curve_) == 4
    parts = far.predict(list(DX.to_delayed().ravel()))
    assert np.concatenate(dask.compute(*parts)).tobytes() == far.predict(X).tobytes()
