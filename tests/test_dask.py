"""backprop.dask on real clusters of processes: one machine's trajectory, bits for any workers, lost workers."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import backprop as bp

distributed = pytest.importorskip("distributed", reason="needs Dask, the extra `dask`")
da = pytest.importorskip("dask.array", reason="needs Dask's arrays, the extra `dask`")
dask = pytest.importorskip("dask")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning",
                                        "ignore::pytest.PytestUnraisableExceptionWarning")
CHUNKS = (70, 1, 130, 99)
N = sum(CHUNKS)


def problem():
    generator = np.random.default_rng(5)
    X = generator.normal(size=(N, 6))
    Y = np.tanh(X @ generator.normal(size=(6, 2))) + 0.1 * generator.normal(size=(N, 2))
    return X, Y, generator.uniform(0.5, 2.0, N)


X, Y, WEIGHT = problem()
DX, DY, DW = (da.from_array(array, chunks=(CHUNKS, *array.shape[1:])) for array in (X, Y, WEIGHT))


def network():
    return bp.Network([6, 5, 2], seed=3)


@pytest.fixture(scope="module")
def client():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with distributed.Client(cluster) as client:
            yield client


def test_without_a_client_a_cluster_of_its_own_starts_and_ends():
    """The first test here: `client` is not made yet, and none is active."""
    net, here = network(), network()
    with pytest.raises(ValueError):
        distributed.get_client()
    bp.dask.train(net, DX, DY, epochs=2)
    here.train(X, Y, batch_size="full", epochs=2)
    np.testing.assert_allclose(net.parameters, here.parameters, rtol=0, atol=1e-10)
    with pytest.raises(ValueError):
        distributed.get_client()


CASES = [
    {"optimizer": "sgd", "epochs": 6}, {"optimizer": "adam", "epochs": 6, "l1": 0.01, "l2": 0.1, "clip_norm": 0.5},
    {"optimizer": "rprop", "epochs": 6, "max_norm": 1.0}, {"optimizer": "nesterov", "epochs": 6, "schedule": "cosine"},
    {"optimizer": "lbfgs", "epochs": 12, "l2": 0.01},
]


@pytest.mark.parametrize("options", CASES, ids=lambda options: options["optimizer"])
@pytest.mark.parametrize("weighted", [False, True])
def test_synchronous_steps_are_those_of_one_machine(client, options, weighted):
    there, here = network(), network()
    history = bp.dask.train(there, DX, DY, client=client, sample_weight=DW if weighted else None, **options)
    expected = here.train(X, Y, batch_size="full", sample_weight=WEIGHT if weighted else None, **options)
    assert np.abs(there.parameters - network().parameters).max() > 1e-3
    np.testing.assert_allclose(there.parameters, here.parameters, rtol=0, atol=1e-10)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-10)
    assert history.learning_rate == expected.learning_rate
    np.testing.assert_allclose(history.penalty, expected.penalty, rtol=1e-10)


ANY_WORKERS = [{"optimizer": "adam", "epochs": 4, "batch_size": 64}, {"optimizer": "lbfgs", "epochs": 6},
               {"mode": "average", "optimizer": "momentum", "epochs": 3, "batch_size": 8, "dropout": 0.1,
                "local_epochs": 2}]


def bits(client):
    out = []
    for options in ANY_WORKERS:
        net = network()
        history = bp.dask.train(net, DX, DY, client=client, sample_weight=DW, **options)
        out.append((net.parameters.tobytes(), history.loss))
    return out


@pytest.mark.slow
def test_the_number_of_workers_and_their_threads_change_no_bit(client):
    expected = bits(client)
    for workers, threads in ((1, 2), (3, 1)):
        with distributed.LocalCluster(n_workers=workers, threads_per_worker=threads, dashboard_address=":0") as cluster:
            with distributed.Client(cluster) as other:
                assert bits(other) == expected


def test_empty_partitions_frames_and_delayed_change_nothing(client):
    expected = network()
    bp.dask.train(expected, DX, DY, client=client, epochs=3)
    edges = np.cumsum([0, *CHUNKS])
    parts = [(X[a:b], Y[a:b]) for a, b in zip(edges, edges[1:])]
    parts.insert(1, (X[:0], Y[:0]))
    net = network()
    bp.dask.train(net, *([dask.delayed(part[k]) for part in parts] for k in (0, 1)), client=client, epochs=3)
    assert net.parameters.tobytes() == expected.parameters.tobytes()


def frame_of_rows(npartitions=3):
    pd = pytest.importorskip("pandas", reason="needs pandas for frames")
    dd = pytest.importorskip("dask.dataframe", reason="needs Dask's frames: pandas, pyarrow")
    table = pd.DataFrame(np.column_stack([X, Y, WEIGHT]), columns=[f"x{j}" for j in range(6)] + ["y0", "y1", "w"])
    table["name"] = np.where(X[:, 0] > 0, "plus", "minus")
    return table, dd.from_pandas(table, npartitions=npartitions)


INPUTS, TARGETS = [f"x{j}" for j in range(6)], ["y0", "y1"]


def test_frames(client):
    """Frames, the arrays of unknown length that they make, their delayed partitions, and one that is filtered: the same
    rows, the same bits; with a partition left without rows."""
    table, frame = frame_of_rows()
    form = frame[INPUTS], frame[TARGETS], frame["w"]
    forms = [form, [each.values for each in form], [each.to_delayed() for each in form]]
    ends = []
    for form in forms:
        net = network()
        bp.dask.train(net, *form[:2], sample_weight=form[2], client=client, epochs=3)
        ends.append(net.parameters.tobytes())
    assert len(set(ends)) == 1
    here = network()
    here.train(X, Y, batch_size="full", epochs=3, sample_weight=WEIGHT)
    np.testing.assert_allclose(net.parameters, here.parameters, rtol=0, atol=1e-10)
    there, here, rows = network(), network(), frame.divisions[2]
    some = frame.map_partitions(lambda part: part[part.index < rows])        # nothing is left of the third
    bp.dask.train(there, some[INPUTS], some[TARGETS], client=client, epochs=3)
    here.train(X[:rows], Y[:rows], batch_size="full", epochs=3)
    np.testing.assert_allclose(there.parameters, here.parameters, rtol=0, atol=1e-10)
    P = bp.dask.predict(there, frame[INPUTS])
    assert P.compute(scheduler=client).tobytes() == there.predict(X).tobytes()


@pytest.mark.parametrize("change, error, words", [
    (lambda f: (f[INPUTS[:5] + ["name"]], f[TARGETS]), TypeError, "partition 0: X: column 'name' must hold numbers"),
    (lambda f: (f[INPUTS], f[["y0", "name"]]), TypeError, "partition 0: Y: column 'name' must hold numbers"),
    (lambda f: (f[INPUTS].where(f["x0"] < 5), f[TARGETS].where(f["x0"] < -1)), ValueError,
     "partition 0: Y: column 'y0' has a missing value at row"),
    (lambda f: (f[INPUTS], f[TARGETS].repartition(npartitions=2)), ValueError, "Y has 2 partitions, but X has 3"),
    (lambda f: (f[INPUTS].values, DY.rechunk((150, -1))), ValueError, "Y has 2 partitions, but X has 3"),
    (lambda f: (f[INPUTS].values, DY.rechunk(((150, 50, 100), -1))), ValueError, "partition 0: Y has 150 rows"),
    (lambda f: (dask.bag.from_sequence([1, 2]), f[TARGETS]), TypeError, "X must be a dask array, a dask dataframe"),
    (lambda f: (f[INPUTS].compute(), f[TARGETS]), TypeError, "X must be a dask array, a dask dataframe"),
])
def test_bad_frames_are_named_by_partition_and_column(client, change, error, words):
    import dask.bag  # noqa: F401

    net, (_, frame) = network(), frame_of_rows()
    with pytest.raises(error, match=words):
        bp.dask.train(net, *change(frame), client=client)
    assert net.parameters.tobytes() == network().parameters.tobytes() and net.history is None


def test_progress_is_one_bar_over_the_epochs(client, capfd):
    pytest.importorskip("tqdm")
    bp.dask.train(network(), DX, DY, client=client, epochs=7, validation=(X[:9], Y[:9]), progress=True)
    shown = capfd.readouterr().err
    assert "7/7" in shown and "val_loss=" in shown and "epoch" in shown
    bp.dask.train(network(), DX, DY, client=client, epochs=2)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_client_that_is_not_the_active_one(client):
    """Actors bind to the current client: that must be the one that was given, whichever else there is."""
    expected = network()
    bp.dask.train(expected, DX, DY, client=client, epochs=3)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, \
            distributed.Client(cluster, set_as_default=False) as other:
        for given in (other, client):
            net = network()
            bp.dask.train(net, DX, DY, client=given, epochs=3)
            assert net.parameters.tobytes() == expected.parameters.tobytes()
        assert other.run(lambda dask_worker: len(dask_worker.state.actors))      # they lay there, not elsewhere


@pytest.mark.slow
def test_a_client_that_is_closed_ends_the_training_and_none_is_begun():
    net, seen = network(), []
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        client = distributed.Client(cluster)

        def close(state):
            seen.append(state.network.parameters)
            if state.epoch == 3:
                client.close()

        started = time.monotonic()
        with pytest.raises(RuntimeError, match="connection to the Dask scheduler is lost"):
            bp.dask.train(net, DX, DY, client=client, epochs=50, callbacks=close)
        with pytest.raises(RuntimeError, match="no connection to a Dask scheduler: it is closed"):
            bp.dask.train(net, DX, DY, client=client)
        assert time.monotonic() - started < 60.0
    assert net.epochs_trained == len(net.history) == 3 and net.parameters.tobytes() == seen[-1].tobytes()


def test_steps_of_an_epoch_visit_every_row_once(client):
    net = network()
    history = bp.dask.train(net, DX, DY, client=client, epochs=1, batch_size=50, optimizer="sgd", learning_rate=1e-12)
    assert history.loss[0] == pytest.approx(network().evaluate(X, Y), rel=1e-9)
    assert net._training_state is not None
    again = network()
    bp.dask.train(again, DX, DY, client=client, epochs=4, batch_size=50, max_updates=3)
    assert len(again.history) == 1 and again.history.stop_reason == "max_updates"


def test_averaging_one_partition_is_training_on_it_and_two_are_the_mean(client):
    options = {"optimizer": "adam", "batch_size": 16, "shuffle": False, "epochs": 1}
    one, two = bp.dask.train, network()
    ends = []
    for part in (slice(0, 200), slice(200, 300)):
        alone = network()
        alone.train(X[part], Y[part], **options)
        there = network()
        one(there, da.from_array(X[part], chunks=-1), da.from_array(Y[part], chunks=-1), mode="average", client=client,
            **options)
        assert there.parameters.tobytes() == alone.parameters.tobytes()
        ends.append(alone.parameters)
    chunks = ((200, 100), -1)
    one(two, da.from_array(X[:300], chunks=chunks), da.from_array(Y[:300], chunks=chunks), mode="average",
        client=client, **options)
    np.testing.assert_allclose(two.parameters, (2 * ends[0] + ends[1]) / 3, rtol=0, atol=1e-14)


def test_continuing_is_training_in_one_call(client):
    options = {"optimizer": "adam", "batch_size": 100, "client": client}
    once, twice = network(), network()
    bp.dask.train(once, DX, DY, epochs=5, **options)
    bp.dask.train(twice, DX, DY, epochs=2, **options)
    bp.dask.train(twice, DX, DY, epochs=3, **options)
    assert once.parameters.tobytes() == twice.parameters.tobytes()


@pytest.mark.parametrize("mode", ["sync", "average"])
def test_what_stands_around_the_epochs(client, mode):
    net, seen = network(), []
    history = bp.dask.train(net, DX, DY, mode=mode, client=client, epochs=30, validation=(X[:50], Y[:50]),
                            metrics="r2", early_stopping=bp.EarlyStopping(patience=30), progress=False,
                            callbacks=lambda state: seen.append(state.epoch) or state.epoch == 4)
    assert seen == [1, 2, 3, 4] and history.stop_reason == "callback"
    assert history.val_loss[history.best_epoch - 1] == min(history.val_loss) == net.evaluate(X[:50], Y[:50])
    assert len(history["val_r2"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"optimizer": "sgd", "batch_size": 40}, {"optimizer": "lbfgs"},
                                     {"mode": "average", "batch_size": 10}], ids=["sync", "lbfgs", "average"])
def test_a_killed_worker_changes_no_bit(options):
    """SIGKILL in the middle of a training: its partitions are computed again, the trajectory is the same."""
    expected = network()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with distributed.Client(cluster) as client:
            bp.dask.train(expected, DX, DY, client=client, epochs=8, **options)
            net, started = network(), time.monotonic()

            def kill(state):
                if state.epoch == 3:
                    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

            history = bp.dask.train(net, DX, DY, client=client, epochs=8, callbacks=kill, **options)
            assert time.monotonic() - started < 60.0
    assert len(history) == 8
    assert net.parameters.tobytes() == expected.parameters.tobytes()


@pytest.mark.slow
def test_partitions_that_are_lost_for_good_are_an_error():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with distributed.Client(cluster) as client:
            addresses = list(client.nthreads())
            scattered = [client.scatter(array, workers=[addresses[0]]) for array in (X, Y)]
            parts = [[dask.delayed(lambda value: value, pure=False)(future)] for future in scattered]

            def kill(state):
                os.kill(client.run(os.getpid)[addresses[0]], signal.SIGKILL)

            started, net = time.monotonic(), network()
            with pytest.raises((RuntimeError, distributed.client.FutureCancelledError)):
                bp.dask.train(net, *parts, client=client, epochs=50, callbacks=kill)
            assert time.monotonic() - started < 60.0
            assert np.isfinite(net.parameters).all()


class Interrupt:
    """A callback that raises SIGINT in the main thread a moment later, within the next epoch."""

    def __init__(self):
        self.parameters = None

    def __call__(self, state):
        self.parameters = state.network.parameters
        if state.epoch == 2:
            threading.Timer(0.005, lambda: os.kill(os.getpid(), signal.SIGINT)).start()


def test_ctrl_c_leaves_the_last_whole_epoch(client):
    net, watch = network(), Interrupt()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bp.dask.train(net, DX, DY, client=client, epochs=10**6, batch_size=4, callbacks=watch)
    assert time.monotonic() - started < 30.0
    assert net.history.stop_reason == "interrupted" and net.epochs_trained == len(net.history) >= 2
    assert net.parameters.tobytes() == watch.parameters.tobytes()
    bp.dask.train(net, DX, DY, client=client)


def bad(array, value):
    return array.map_blocks(lambda block: np.where(np.arange(block.shape[0])[:, None] == 0, value, block))


@pytest.mark.parametrize("arguments, options, error, words", [
    ((DX, DY), {"mode": "both"}, ValueError, "mode"),
    ((DX, DY), {"local_epochs": 0}, ValueError, "local_epochs"),
    ((DX, DY), {"local_epochs": 2}, ValueError, "local_epochs"),
    ((DX, DY), {"dropout": 0.5}, ValueError, "dropout"),
    ((DX, DY), {"optimizer": "levenberg_marquardt"}, ValueError, "levenberg_marquardt"),
    ((DX, DY), {"optimizer": "lbfgs", "mode": "average"}, ValueError, "lbfgs"),
    ((DX, DY), {"validation": 0.1}, ValueError, "validation"),
    ((DX, DY), {"class_weight": "balanced"}, ValueError, "class_weight"),
    ((DX, DY), {"epoch": 1}, TypeError, "epoch"),
    ((X, DY), {}, TypeError, "X must be a dask array"),
    ((DX, DY[:50]), {}, ValueError, "Y has 50 rows"),
    ((DX[:, :4], DY), {}, ValueError, "partition 0: X has 4 columns"),
    ((bad(DX, np.nan), DY), {}, ValueError, "partition 0: X holds NaN at row 0"),
    ((DX[:0], DY[:0]), {}, ValueError, "X is empty"),
])
def test_bad_arguments_change_nothing(client, arguments, options, error, words):
    net = network()
    with pytest.raises(error, match=words):
        bp.dask.train(net, *arguments, client=client, **options)
    assert net.parameters.tobytes() == network().parameters.tobytes()
    assert net.history is None and net._training_state is None and net.epochs_trained == 0


def test_divergence_keeps_the_last_whole_epoch(client):
    net = network()
    with pytest.raises(bp.errors.DivergenceError):
        bp.dask.train(net, DX, DY, client=client, epochs=500, learning_rate=1e200, optimizer="sgd")
    assert np.isfinite(net.parameters).all()


def test_prediction_maps_over_partitions(client):
    net = network()
    P = bp.dask.predict(net, DX)
    assert P.chunks[0] == CHUNKS
    assert P.compute(scheduler=client).tobytes() == net.predict(X).tobytes()
    with pytest.raises(TypeError, match="network must be a Network, got Ensemble"):
        bp.dask.predict(bp.Ensemble([net]), DX)


def threads_available():
    from backprop import _threads, training

    return _threads.available(), _threads._threads_of_the_dask_worker(), training.processors()


@pytest.mark.slow
def test_threads_of_a_worker_share_the_processors(client):
    """A task of a worker with T threads takes its share of the processors, where the environment does not say 1."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        with distributed.Client(cluster) as other:
            def free():
                for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "LOKY_MAX_CPU_COUNT"):
                    os.environ.pop(name, None)

            other.run(free)
            available, of_the_worker, processors = other.submit(threads_available).result()
            assert (available, of_the_worker) == (max(1, processors // 2), 2)
    assert threads_available()[1] == 1
