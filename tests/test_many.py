"""train_many, Ensemble and grid: the bits of each network's own training, failures, Ctrl-C, threads."""

import argparse
import json
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
from backprop import _threads, many, model_file, training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.tanh(X @ RNG.normal(size=(3, 2)))
HOT = np.eye(2)[(Y[:, 0] > Y[:, 1]).astype(int)]
WEIGHT = RNG.random(40)


def own_loss(Y, P):
    return np.square(Y - P).sum(axis=1), 2 * (P - Y)


def squared_weights(n=1):
    """Networks, data and options of many kinds: [(make, dataset, options)]."""
    return [
        (lambda: bp.Network([3, 5, 2], seed=1), (X, Y), {}),
        (lambda: bp.Network([3, 5, 2], seed=2), (X, Y), {}),
        (lambda: bp.Network([3, 8, 4, 2], hidden="relu", seed=3), (X, Y, WEIGHT), {"batch_size": 7}),
        (lambda: bp.Network([3, 2], loss="log_loss", seed=4), (X, HOT), {"optimizer": "adam", "epochs": 17}),
        (lambda: bp.Network([3, 6, 1], seed=5), (X, Y[:, 0]), {"optimizer": "momentum", "shuffle": False}),
        (lambda: bp.Network([3, 5, 2], seed=6), (X, Y), {"dropout": 0.3, "max_norm": 1.0}),
        (lambda: bp.Network([3, 5, 2], seed=7), (X, Y), {"validation": 0.25, "early_stopping": 2, "epochs": 60}),
        (lambda: bp.Network([3, 9, 2], seed=8), (X, Y), {"validation": (X[:9], Y[:9]), "metrics": "r2", "l2": 1e-3}),
        (lambda: bp.Network([3, 5, 2], loss=own_loss, output="identity", seed=9), (X, Y), {"batch_size": 10}),
        (lambda: bp.Network([3, 5, 2], seed=10), (X, Y), {"optimizer": "levenberg_marquardt", "batch_size": "full"}),
        (lambda: bp.Network([3, 5, 2], seed=11), (X, Y), {"schedule": "step", "max_updates": 100}),
        (lambda: bp.Network([3, 5, 2], bias=False, seed=12), (X[:4], Y[:4]), {"epochs": 500}),
        (lambda: bp.Network([40, 5, 2], seed=13), (np.hstack([X, np.zeros((40, 37))]), Y), {}),
        (lambda: bp.Network([3, 5, 2], seed=14), (X, Y), {"target_loss": 0.1, "epochs": 50}),
        (lambda: bp.Network([3, 5, 2], seed=15), (X.astype(np.float32), Y.tolist()), {"clip_norm": 0.1}),
    ]


CASES = squared_weights()
COMMON = {"epochs": 9, "learning_rate": 0.02}


def options_of(case):
    common = {**COMMON, **case[2]}
    if common.get("optimizer") == "levenberg_marquardt":
        common["learning_rate"] = None
    return common


def alone(case, calls=1):
    net = case[0]()
    X, Y, *weight = case[1]
    for _ in range(calls):
        net.train(X, Y, sample_weight=weight[0] if weight else None, **options_of(case))
    return net


def state(net):
    """All that training leaves in a network, but for times."""
    history = None if net.history is None else {
        key: value for key, value in net.history.to_dict().items() if key not in ("seconds", "examples_per_second")}
    training = net._training_state
    return (net.parameters.tobytes(), net.epochs_trained, repr(net._generator.bit_generator.state), history,
            None if training is None else (training.slots.tobytes(), training.to_dict()))


# ---- results ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("long", [0.0, 1000.0, many.LONG], ids=["alone", "some alone", "side by side"])
@pytest.mark.parametrize("n_threads", [1, 2, 5, None])
def test_each_network_is_trained_as_by_its_own_train(n_threads, long, monkeypatch):
    monkeypatch.setattr(many, "LONG", long)
    nets = [case[0]() for case in CASES]
    histories = bp.train_many(nets, [case[1] for case in CASES], n_threads, options=[options_of(c) for c in CASES])
    for case, net, history in zip(CASES, nets, histories):
        assert state(net) == state(alone(case))
        assert history is net.history and history.stop_reason is not None
        assert len(history.seconds) == len(history) and all(second >= 0.0 for second in history.seconds)
    assert len({len(history) for history in histories}) > 3          # each stopped for itself


def test_a_second_call_continues():
    nets = [case[0]() for case in CASES]
    for _ in range(2):
        bp.train_many(nets, [case[1] for case in CASES], 2, options=[options_of(c) for c in CASES])
    for case, net in zip(CASES, nets):
        assert state(net) == state(alone(case, calls=2))


@pytest.mark.parametrize("slice_seconds", [0.0, 1e-4, 0.1])
def test_hundreds_of_networks_on_one_array_in_any_slices(monkeypatch, slice_seconds):
    monkeypatch.setattr(training, "SLICE_SECONDS", slice_seconds)
    nets = [bp.Network([3, 4, 2], seed=k) for k in range(150)]
    bp.train_many(iter(nets), (X, Y, WEIGHT), 3, epochs=3, batch_size=8)
    for k in (0, 1, 77, 149):
        own = bp.Network([3, 4, 2], seed=k)
        own.train(X, Y, epochs=3, batch_size=8, sample_weight=WEIGHT)
        assert state(nets[k]) == state(own)


def test_a_random_part_held_out_is_each_networks_own():
    nets = [bp.Network([3, 4, 2], seed=k) for k in range(5)]
    bp.train_many(nets, (X, Y), epochs=3, validation=0.3)
    assert len({tuple(net.history.val_loss) for net in nets}) == 5
    own = bp.Network([3, 4, 2], seed=3)
    own.train(X, Y, epochs=3, validation=0.3)
    assert state(nets[3]) == state(own)


def test_networks_trained_before_keep_their_own_seed_of_the_split():
    nets = [bp.Network([3, 4, 2], seed=k) for k in range(3)]
    bp.train_many(nets, (X, Y), validation=0.3)
    seeds = [net._training_state.split_seed for net in nets]
    bp.train_many(nets, (X, Y))
    assert [net._training_state.split_seed for net in nets] == seeds and len(set(seeds)) == 3


def test_nothing_to_do():
    assert bp.train_many([], (X, Y)) == [] and bp.train_many([], []) == []
    net = bp.Network([3, 2], seed=0)
    assert len(bp.train_many([net], [(X, Y)], epochs=0)[0]) == 0


def test_shared_arrays_are_checked_once(monkeypatch):
    calls = []
    monkeypatch.setattr(bp.Network, "_examples",
                        lambda self, *data, real=bp.Network._examples: calls.append(1) or real(self, *data))
    bp.train_many([bp.Network([3, 4, 2], seed=k) for k in range(20)], (X, Y))
    assert len(calls) == 1
    bp.train_many([bp.Network([3, 4 + k % 2, 2], seed=k) for k in range(20)], [(X, Y)] * 20)
    assert len(calls) == 3


def test_callbacks_belong_to_their_network():
    seen = [[], []]
    nets = [bp.Network([3, 2], seed=k) for k in range(2)]
    histories = bp.train_many(nets, (X, Y), epochs=9, options=[
        {"callbacks": lambda state: seen[0].append(state.network) or len(seen[0]) == 4},
        {"callbacks": lambda state: seen[1].append(state.network)}])
    assert [h.stop_reason for h in histories] == ["callback", "epochs"]
    assert seen == [[nets[0]] * 4, [nets[1]] * 9]


def test_checkpoints_of_each(tmp_path):
    nets = [bp.Network([3, 2], seed=k) for k in range(3)]
    bp.train_many(nets, (X, Y), epochs=2, options=[{"checkpoint_path": tmp_path / f"{k}"} for k in range(3)])
    for k, net in enumerate(nets):
        assert bp.load(tmp_path / f"{k}").parameters.tobytes() == net.parameters.tobytes()


# ---- failures --------------------------------------------------------------------------------------------------------

def failing(k, bad):
    return {"learning_rate": 1e200} if k in bad else {"learning_rate": 0.01}


@pytest.mark.parametrize("n_threads", [1, 3])
def test_failures_are_reported_at_the_end_and_lose_nothing(n_threads):
    nets = [bp.Network([3, 4, 2], hidden="identity", seed=k) for k in range(40)]
    options = [failing(k, (7, 33)) for k in range(40)]
    with pytest.raises(bp.errors.TrainingErrors, match="2 of 40 networks .* network 7: DivergenceError") as caught:
        bp.train_many(nets, (X, Y), n_threads, epochs=5, options=options)
    error = caught.value
    assert error.indices == (7, 33) and {type(each) for each in error.exceptions} == {bp.errors.DivergenceError}
    assert [k for k, history in enumerate(error.histories) if history is None] == [7, 33]
    for k, net in enumerate(nets):
        assert np.isfinite(net.parameters).all() and net._lock.acquire(blocking=False)
        net._lock.release()
        if k not in error.indices:
            own = bp.Network([3, 4, 2], hidden="identity", seed=k)
            own.train(X, Y, epochs=5, learning_rate=0.01)
            assert state(net) == state(own) and error.histories[k] == net.history
    again = pickle.loads(pickle.dumps(error))
    assert again.indices == (7, 33) and len(again.histories) == 40 and str(again) == str(error)
    _, rest = error.split(lambda each: each is error.exceptions[0])
    assert rest.indices == (33,)


def test_no_others_are_told_of_where_all_have_failed():
    nets = [bp.Network([3, 4, 2], hidden="identity", seed=k) for k in range(3)]
    with pytest.raises(bp.errors.TrainingErrors, match="^3 of 3 networks failed; the first is network 0: Divergence"):
        bp.train_many(nets, (X, Y), epochs=5, learning_rate=1e200)


def test_failures_can_stand_among_the_results():
    nets = [bp.Network([3, 2], seed=k) for k in range(5)]
    data = [(X, Y), (np.full((2, 3), np.nan), Y[:2]), (X, Y), (X, Y[:7]), ([(X, Y)], None)]

    def broken(state):
        raise ZeroDivisionError

    results = bp.train_many(nets, data, on_error="return", options=[{}, {}, {"callbacks": broken}, {}, {}])
    assert [type(each) for each in results] == [bp.History, ValueError, ZeroDivisionError, ValueError, TypeError]
    assert "NaN at row 0, column 0" in str(results[1]) and nets[1].history is None
    assert nets[2].history.stop_reason is None and len(nets[2].history) == 1


def test_a_network_in_training_elsewhere_is_a_failure_of_its_own():
    nets = [bp.Network([3, 2], seed=k) for k in range(3)]
    with nets[1]._exclusive("test"):
        results = bp.train_many(nets, (X, Y), on_error="return")
    assert [type(result) for result in results] == [bp.History, bp.errors.ConcurrentUseError, bp.History]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_ends_all_trainings(error):
    def end(state):
        if state.epoch == 3:
            raise error

    nets = [bp.Network([3, 2], seed=k) for k in range(8)]
    options = [{"callbacks": end} if k == 1 else {} for k in range(8)]
    with pytest.raises(error):
        bp.train_many(nets, (X, Y), 2, epochs=10**7, options=options)
    assert nets[1].epochs_trained == 3
    for net in nets:
        net.train(X, Y)


NETS = [bp.Network([3, 2], seed=k) for k in range(3)]
GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("change, error, message", [
    ({"networks": NETS[0]}, TypeError, "networks must be a list"),
    ({"networks": 3}, TypeError, "networks must be a list"),
    ({"networks": [NETS[0], "net"]}, TypeError, r"networks\[1\] must be a Network, got str"),
    ({"networks": [NETS[0], NETS[1], NETS[0]]}, ValueError, r"networks\[2\] is networks\[0\]"),
    ({"networks": [bp.Network([3, 2], seed=GENERATOR), bp.Network([3, 2], seed=GENERATOR)]}, ValueError,
     r"networks\[0\] and networks\[1\] draw from one Generator"),
    ({"datasets": X}, TypeError, "datasets must be a tuple"),
    ({"datasets": {"X": X}}, TypeError, "datasets must be a tuple"),
    ({"datasets": None}, TypeError, "datasets must be a tuple"),
    ({"datasets": [(X, Y)]}, ValueError, "datasets has 1 items for 3 networks"),
    ({"datasets": (X,)}, ValueError, "datasets must be .* got 1 items"),
    ({"datasets": ((X, Y),) * 3}, TypeError, "datasets is a tuple of tuples, .* a list of one for each network"),
    ({"datasets": ([X, Y], [X, Y])}, TypeError, "datasets is a tuple of lists"),
    ({"datasets": ([(X, Y)], None)}, TypeError, "network 0: X is a stream or an iterable of chunks"),
    ({"datasets": [(X, Y), (iter([(X, Y)]), None), (X, Y)]}, TypeError, "network 1: X is a stream or an iterable"),
    ({"datasets": [(X, Y), X, (X, Y)]}, TypeError, r"datasets\[1\] must be \(X, Y\)"),
    ({"datasets": [(X, Y), (X, Y[:5]), (X, Y)]}, ValueError, "network 1: Y has 5 rows, but X has 40"),
    ({"datasets": [(X, Y), (X, Y), (X[:, :2], Y)]}, ValueError, "network 2: X has 2 columns, expected 3"),
    ({"datasets": [(X, Y), (X, Y), (X, Y, -WEIGHT)]}, ValueError, "network 2: sample_weight must not be negative"),
    ({"datasets": [(X, Y), ("abc", Y), (X, Y)]}, TypeError, "network 1: X must be an array"),
    ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
    ({"n_threads": 1.0}, TypeError, "n_threads must be an integer"),
    ({"on_error": "ignore"}, ValueError, "unknown on_error 'ignore'"),
    ({"progress": 1}, TypeError, "progress must be True or False"),
    ({"epochs": -1}, ValueError, "epochs must be at least 0"),
    ({"learning_rate": "high"}, TypeError, "learning_rate must be a real number"),
    ({"momentum": 0.9}, TypeError, "unexpected option 'momentum'; options are epochs, "),
    ({"sample_weight": WEIGHT}, TypeError, "'sample_weight'; the data's weights are the third"),
    ({"options": {"epochs": 3}}, TypeError, "options must be a list of one dict for each network, got dict"),
    ({"options": [{}]}, ValueError, "options has 1 items for 3 networks"),
    ({"options": [{}, 3, {}]}, TypeError, r"options\[1\] must be a dict"),
    ({"options": [{}, {}, {"n_threads": 2}]}, TypeError, r"options\[2\] got an unexpected option 'n_threads'"),
    ({"options": [{}, {}, {"epochs": True}]}, TypeError, r"options\[2\]: epochs must be an integer"),
    ({"options": [{}, {"dropout": 0.5}, {}]}, ValueError, "network 1: dropout=0.5 needs hidden layers"),
    ({"options": [{}, {"validation": 2.0}, {}]}, ValueError, "network 1: validation must be less than 1"),
    ({"checkpoint_path": "model"}, ValueError, "checkpoint_path would be one file"),
    ({"early_stopping": 3}, ValueError, "network 0: early_stopping monitors 'val_loss'"),
])
def test_bad_arguments_are_named_before_anything_changes(change, error, message):
    arguments = {"networks": NETS, "datasets": (X, Y), **change}
    before = [state(net) for net in NETS]
    with pytest.raises(error, match=message):
        bp.train_many(**arguments)
    assert [state(net) for net in NETS] == before


def test_a_parameter_that_is_not_finite_is_found_in_every_network():
    nets = [bp.Network([3, 2], seed=k) for k in range(3)]
    nets[2].weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="network 2: the network's parameters are not finite"):
        bp.train_many(nets, (X, Y))
    assert nets[0].history is None


# ---- Ctrl-C, threads, forks ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("long", [many.LONG, np.inf], ids=["alone", "side by side"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_is_heard_and_leaves_whole_epochs(n_threads, long, monkeypatch):
    monkeypatch.setattr(many, "LONG", long)
    nets = [bp.Network([3, 4, 2], seed=k) for k in range(70)]
    sent, threads = [], threading.active_count()

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        bp.train_many(nets, (X, Y), n_threads, epochs=10**8, learning_rate=1e-3)
    assert time.perf_counter() - sent[0] < 0.5
    timer.join()
    assert threading.active_count() == threads, threading.enumerate()
    reasons = [None if net.history is None else net.history.stop_reason for net in nets]
    most = n_threads if long < np.inf else many.SIDE_BY_SIDE * n_threads
    assert set(reasons) == {None, "interrupted"} and 0 < reasons.count("interrupted") <= most
    assert all(net.epochs_trained == (0 if net.history is None else len(net.history)) for net in nets)
    net = next(net for net in nets if net.history is not None and net.epochs_trained)
    own = bp.Network([3, 4, 2], seed=nets.index(net))
    own.train(X, Y, epochs=net.epochs_trained, learning_rate=1e-3)
    assert own.parameters.tobytes() == net.parameters.tobytes()


def test_ctrl_c_within_long_epochs_validations_and_solvers():
    big = RNG.normal(size=(200_000, 3)), RNG.normal(size=(200_000, 2))
    nets = [bp.Network([3, 30, 2], seed=k) for k in range(4)]
    options = [{}, {"validation": big}, {"optimizer": "levenberg_marquardt", "batch_size": "full"},
               {"batch_size": "full"}]
    sent = []
    timer = threading.Timer(0.5, lambda: (sent.append(time.perf_counter()), os.kill(os.getpid(), signal.SIGINT)))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        bp.train_many(nets, big, 2, epochs=1000, options=options)
    assert time.perf_counter() - sent[0] < 1.0           # two threads on what may be one free core
    timer.join()
    assert all(np.isfinite(net.parameters).all() for net in nets)


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("long", [0.0, many.LONG], ids=["alone", "side by side"])
def test_no_network_stays_locked_where_the_core_has_no_memory(error, at, long, monkeypatch):
    monkeypatch.setattr(many, "LONG", long)
    nets, calls, core = [bp.Network([3, 4, 2], seed=k) for k in range(5)], [], many.core

    class Failing:
        def __getattr__(self, name):
            return getattr(core, name)

        def work_all(self, jobs):
            calls.append(len(jobs))
            if len(calls) == at:
                raise error
            return core.work_all(jobs)

    monkeypatch.setattr(many, "core", Failing())
    before = [net.parameters.tobytes() for net in nets]
    with pytest.raises(error):
        bp.train_many(nets, (X, Y), 1)
    for net, parameters in zip(nets, before):
        assert (net.parameters.tobytes() == parameters) == (net.epochs_trained == 0)
        net.train(X, Y)                                  # each may be trained again
    assert sum(net.epochs_trained for net in nets) < 10


def test_time_spent_on_others_is_not_a_networks_own():
    """Side by side in one thread: the budget counts each network's own seconds."""
    nets = [bp.Network([3, 4, 2], seed=k) for k in range(10)]
    started = time.perf_counter()
    histories = bp.train_many(nets, (X, Y), 1, epochs=10**7, max_seconds=0.05)
    total = time.perf_counter() - started
    assert {history.stop_reason for history in histories} == {"max_seconds"}
    assert all(sum(history.seconds) < 0.5 * total for history in histories)
    assert total > 0.4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_trains_after_its_parent():
    code = ("import os, sys, numpy as np, backprop as bp\n"
            "X, Y = np.ones((5, 2)), np.ones((5, 1))\n"
            "def trained():\n"
            "    nets = [bp.Network([2, 3, 1], seed=k) for k in range(9)]\n"
            "    bp.train_many(nets, (X, Y), 2, epochs=5)\n"
            "    return b''.join(net.parameters.tobytes() for net in nets)\n"
            "expected = trained()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    os._exit(0 if trained() == expected else 1)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(bp.__file__))})


@pytest.mark.parametrize("variables, expected", [
    ({}, 8), ({"OMP_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "2,4"}, 2), ({"OMP_NUM_THREADS": "64"}, 8),
    ({"OMP_NUM_THREADS": "0"}, 8), ({"OMP_NUM_THREADS": "many"}, 8), ({"OMP_NUM_THREADS": ""}, 8),
    ({"OMP_THREAD_LIMIT": "5"}, 5), ({"OMP_THREAD_LIMIT": "5", "OMP_NUM_THREADS": "6"}, 5),
    ({"LOKY_MAX_CPU_COUNT": "2"}, 2),
])
def test_the_environment_limits_the_threads(monkeypatch, variables, expected):
    monkeypatch.setattr(training, "processors", lambda: 8)
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _threads.available() == expected


def test_threads_used_and_asked_for(monkeypatch):
    used = []
    monkeypatch.setattr(many._Pool, "run", lambda self, n_threads, shown, real=many._Pool.run: (
        used.append(n_threads), real(self, n_threads, shown)))
    monkeypatch.setattr(training, "processors", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for n_threads in (None, 1, 4, 100):
        bp.train_many([bp.Network([3, 2], seed=k) for k in range(9)], (X, Y), n_threads)
    assert used == [2, 1, 4, 9]


def test_joblibs_threads_are_not_multiplied(monkeypatch):
    joblib = pytest.importorskip("joblib", reason="joblib comes with scikit-learn")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    within = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(_threads.available)() for _ in range(4))
    assert within == [1] * 4 and _threads.available() > 1


def test_what_a_process_of_joblibs_was_told_is_its_share(monkeypatch):
    """As loky's are; its main thread is in a task, too."""
    parallel = pytest.importorskip("joblib.parallel", reason="joblib comes with scikit-learn")
    monkeypatch.setattr(parallel, "get_active_backend", lambda: (argparse.Namespace(nesting_level=1), 1))
    monkeypatch.setattr(training, "processors", lambda: 8)
    for name in _threads._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert _threads.available() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _threads.available() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delitem(sys.modules, "joblib.parallel")  # who never imported it runs in none of its tasks
    assert _threads.available() == 8


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_joblibs_processes_share_the_processors(backend):
    """Loky tells its processes by OMP_NUM_THREADS, multiprocessing does not."""
    pytest.importorskip("joblib", reason="joblib comes with scikit-learn")
    code = ("import joblib, os\nfrom backprop import _threads\n"
            "jobs = max(2, len(os.sched_getaffinity(0)))\n"
            f"found = joblib.Parallel(n_jobs=jobs, backend={backend!r})(\n"
            "    joblib.delayed(_threads.available)() for _ in range(jobs))\n"
            "assert found == [1] * jobs and _threads.available() == len(os.sched_getaffinity(0)), found")
    environment = {name: value for name, value in os.environ.items() if name not in _threads._VARIABLES}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60,
                   env={**environment, "PYTHONPATH": os.path.dirname(os.path.dirname(bp.__file__))})


@pytest.mark.parametrize("seconds", [many.REFRESH_SECONDS, 1e-4])
def test_one_progress_bar(capfd, monkeypatch, seconds):
    """Shown at the end, and before it where that takes longer than until it is refreshed."""
    monkeypatch.setattr(many, "REFRESH_SECONDS", seconds)
    bp.train_many([bp.Network([3, 2], seed=k) for k in range(50)], (X, Y), 2, progress=True, epochs=100)
    out, err = capfd.readouterr()
    assert out == "" and "50/50" in err and "network" in err and "epoch" not in err


# ---- Ensemble --------------------------------------------------------------------------------------------------------

def members():
    return [bp.Network([3, 4, 2], seed=k) for k in range(6)]


def test_an_ensemble_is_mean_and_spread_of_networks_trained_on_their_rows():
    ensemble = bp.Ensemble(members(), seed=3)
    histories = ensemble.train(X, Y, sample_weight=WEIGHT, epochs=4, learning_rate=0.02)
    each = []
    for k, own in enumerate(members()):
        rows = ensemble.rows(k, len(X))
        own.train(X[rows], Y[rows], sample_weight=WEIGHT[rows], epochs=4, learning_rate=0.02)
        assert state(own) == state(ensemble.networks[k]) and histories[k] is ensemble.networks[k].history
        each.append(own.predict(X))
    np.testing.assert_array_equal(ensemble.predict_each(X), each)
    np.testing.assert_allclose(ensemble.predict(X), np.mean(each, axis=0), rtol=1e-15)
    np.testing.assert_allclose(ensemble.spread(X), np.std(each, axis=0), rtol=1e-12)
    assert ensemble(X).shape == (40, 2) and ensemble.spread(X).min() > 0 and len(ensemble) == 6


def test_bootstrap_samples():
    ensemble = bp.Ensemble(members(), seed=3)
    rows = [ensemble.rows(k, 10_000) for k in range(6)]
    assert all(0.62 < len(np.unique(each)) / 10_000 < 0.645 for each in rows)        # 1 - 1/e = 0.632
    assert len({each.tobytes() for each in rows}) == 6
    assert np.array_equal(rows[2], bp.Ensemble(members(), seed=3).rows(2, 10_000))
    assert not np.array_equal(rows[2], bp.Ensemble(members(), seed=4).rows(2, 10_000))


def test_an_ensemble_without_bootstrap_trains_on_all_rows():
    ensemble, nets = bp.Ensemble(members(), bootstrap=False), members()
    ensemble.train(X, Y, epochs=3)
    bp.train_many(nets, (X, Y), epochs=3)
    assert [state(net) for net in ensemble.networks] == [state(net) for net in nets]


@pytest.mark.parametrize("networks, error, message", [
    ([], ValueError, "networks is empty"), ([1], TypeError, r"networks\[0\] must be a Network"),
    ([bp.Network([3, 2]), bp.Network([3, 1])], ValueError, r"networks\[1\] has sizes .3, 1., expected 3 inputs and 2"),
])
def test_bad_ensembles(networks, error, message):
    with pytest.raises(error, match=message):
        bp.Ensemble(networks)


def saved_ensemble(tmp_path):
    ensemble = bp.Ensemble([bp.Network([3, k + 1, 2], seed=k, bias=k != 1) for k in range(12)], seed=3)
    ensemble.train(X, Y, epochs=3, optimizer="adam")
    ensemble.save(tmp_path / "e.safetensors")
    return ensemble, tmp_path / "e.safetensors"


def test_a_saved_ensemble_predicts_and_goes_on_training_as_if_it_had_never_been_saved(tmp_path):
    ensemble, path = saved_ensemble(tmp_path)
    again = bp.load(path)
    assert isinstance(again, bp.Ensemble) and len(again) == 12 and again.bootstrap is True
    assert again.predict(X).tobytes() == ensemble.predict(X).tobytes()
    assert [net.history.loss for net in again.networks] == [net.history.loss for net in ensemble.networks]
    for each in (ensemble, again):
        each.train(X, Y, epochs=2, optimizer="adam")
    assert [state(net) for net in again.networks] == [state(net) for net in ensemble.networks]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_every_flipped_byte_of_a_saved_ensemble_is_refused_or_harmless(tmp_path):
    bp.Ensemble([bp.Network([1, 1], seed=k) for k in range(2)], bootstrap=False, seed=1).save(tmp_path / "small")
    raw = (tmp_path / "small").read_bytes()
    expected = bp.load(tmp_path / "small").predict([[0.7]]).tobytes()
    refused, damaged = 0, tmp_path / "damaged"
    for place in range(len(raw)):
        damaged.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1:])
        try:
            assert bp.load(damaged).predict([[0.7]]).tobytes() == expected
        except bp.errors.ModelFormatError:
            refused += 1
    assert refused > len(raw) - 8
    for length in range(0, len(raw), 7):
        damaged.write_bytes(raw[:length])
        with pytest.raises(bp.errors.ModelFormatError):
            bp.load(damaged)


def test_an_ensemble_that_cannot_be_saved_leaves_the_old_file(tmp_path):
    ensemble, path = saved_ensemble(tmp_path)
    before = path.read_bytes()
    ensemble.networks[4].weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"networks\[4\]: the network's parameters are not finite"):
        ensemble.save(path)
    ensemble.networks[4] = None
    with pytest.raises(TypeError, match=r"networks\[4\] must be a Network"):
        ensemble.save(path)
    assert path.read_bytes() == before and len(bp.load(path)) == 12


@pytest.mark.parametrize("change, message", [
    (lambda d, t: d["members"].pop(), "members.2.* belongs to nothing"),
    (lambda d, t: d.update(members=[]), "belongs to nothing"),
    (lambda d, t: d.update(members={}), "members has the wrong kind"),
    (lambda d, t: d["members"].append(1), r"members\[3\] must be a JSON object"),
    (lambda d, t: d["members"][1].pop("history"), r"members\[1\] lacks the key 'history'"),
    (lambda d, t: d["members"][1]["network"].update(sizes=[4, 2]), r"members\[1\]: the tensor layers.1.weight"),
    (lambda d, t: d["members"].__setitem__(1, d["members"][0]) or t.pop("members.1.layers.1.bias"), "is missing"),
    (lambda d, t: t.update({"members.01.layers.1.weight": np.zeros((3, 2))}), "belongs to nothing"),
    (lambda d, t: t.update({"members.0.more": np.zeros(3)}), "members.0.more belongs to nothing"),
    (lambda d, t: d["properties"].update(seed=-1), "seed of an ensemble"),
    (lambda d, t: d["properties"].update(seed=True), "seed of an ensemble"),
    (lambda d, t: d["properties"].update(bootstrap=1), "bootstrap"),
    (lambda d, t: d["properties"].update(more=1), "properties of an ensemble"),
    (lambda d, t: d.update(network={}), "unknown key 'network'"),
])
def test_files_that_hold_no_ensemble_are_refused(tmp_path, change, message):
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors: dict = {}
    networks = [bp.Network([3, 2], seed=k) for k in range(3)]
    document = {"format": "backprop", "version": 1, "library": "0", "kind": "ensemble",
                "properties": {"bootstrap": True, "seed": 5},
                "members": [model_file._member_sections(net, tensors, k) for k, net in enumerate(networks)]}
    change(document, tensors)
    document["sha256"] = model_file._digest(document, {name: (each.shape, each) for name, each in tensors.items()})
    (tmp_path / "bad").write_bytes(safetensors.save(tensors, {"backprop": json.dumps(document)}))
    with pytest.raises(bp.errors.ModelFormatError, match=message):
        bp.load(tmp_path / "bad")


# ---- grid ------------------------------------------------------------------------------------------------------------

def test_a_grid_is_the_product_sorted_by_its_score():
    parameters = {"hidden": ["tanh", "relu"], "learning_rate": [0.001, 0.02, 0.05], "batch_size": [1, 8]}
    found = bp.grid([3, 6, 2], X, Y, parameters, epochs=6, seed=4)
    assert len(found) == 12 and len({str(point.parameters) for point in found}) == 12
    scores = [point.score for point in found]
    assert scores == sorted(scores) and found.best is found[0]
    assert [point.history.val_loss[-1] for point in found] == scores
    assert [row["val_loss"] for row in found.rows()] == scores
    assert {row["learning_rate"] for row in found.rows()} == {0.001, 0.02, 0.05}


def test_points_are_trained_as_alone_on_one_split():
    held = (X[:10], Y[:10])
    found = bp.grid([3, 6, 2], X[10:], Y[10:], {"optimizer": ["sgd", "adam"]}, held, epochs=6, output="tanh", seed=2)
    for point in found:
        own = bp.Network([3, 6, 2], output="tanh", seed=2)
        own.train(X[10:], Y[10:], epochs=6, validation=held, **point.parameters)
        assert state(point.network) == state(own)
    random = bp.grid([3, 6, 2], X, Y, [{"seed": [1, 2]}, {"epochs": [3]}], validation=0.5, learning_rate=1e-12)
    again = bp.grid([3, 6, 2], X, Y, [{"seed": [1, 2]}, {"epochs": [3]}], validation=0.5, learning_rate=1e-12)
    assert [point.score for point in random] == [point.score for point in again] and len(random) == 3
    alone = bp.grid([3, 6, 2], X, Y, {"seed": [1]}, validation=0.5, epochs=1, learning_rate=1e-12)
    assert len(alone) == 1 and alone[0].score in [point.score for point in random]


def test_scores_go_the_right_way_and_take_the_best_epoch():
    found = bp.grid([3, 2], X, HOT, {"learning_rate": [1e-6, 0.1]}, score="val_accuracy", metrics="accuracy",
                    loss="log_loss", epochs=20)
    assert found[0].score >= found[1].score and found.best.parameters == {"learning_rate": 0.1}
    found = bp.grid([3, 4, 2], X, Y, {"learning_rate": [0.05, 0.1]}, early_stopping=3, epochs=100)
    for point in found:
        assert point.score == min(point.history.val_loss)


def test_points_that_fail_stand_last_with_their_error():
    found = bp.grid([3, 2], X, Y, {"learning_rate": [1e200, 0.01]}, epochs=3)
    assert [point.score is None for point in found] == [False, True]
    assert isinstance(found[1].error, bp.errors.DivergenceError) and found.rows()[1]["error"].startswith("Divergence")
    assert "1e+200" in str(found)


def test_a_grid_prints_as_a_table():
    found = bp.grid([3, 2], X, Y, [{"learning_rate": [0.01]}, {"hidden": ["relu"], "sizes": [[3, 4, 2]]}], epochs=2)
    lines = str(found).splitlines()
    assert lines[0].split() == ["learning_rate", "val_loss", "epochs", "hidden", "sizes"] or (
        lines[0].split() == ["hidden", "sizes", "val_loss", "epochs", "learning_rate"])
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1 and "2 points" in repr(found)


@pytest.mark.parametrize("change, error, message", [
    ({"parameters": 3}, TypeError, "parameters must be a dict of lists"),
    ({"parameters": {"epochs": 3}}, TypeError, r"parameters\['epochs'\] must be a list of values, got 3"),
    ({"parameters": {"hidden": "relu"}}, TypeError, r"parameters\['hidden'\] must be a list"),
    ({"parameters": {"epochs": []}}, ValueError, "a name without values"),
    ({"parameters": {"validation": [0.1]}}, ValueError, "validation is the same for all points"),
    ({"parameters": {"epochs": [1, -1]}}, ValueError, r"options\[1\]: epochs must be at least 0"),
    ({"parameters": {"nonsense": [1]}}, TypeError,
     "grid got an unexpected option 'nonsense'; options are those of Network, sizes, .* and of train, epochs, "),
    ({"parameters": [{"epochs": [1]}, {"momentum": [1]}]}, TypeError, "grid got an unexpected option 'momentum'"),
    ({"parameters": {"n_threads": [1, 2]}}, TypeError, "grid got an unexpected option 'n_threads'"),
    ({"hiden": "relu"}, TypeError, "grid got an unexpected option 'hiden'"),
    ({"validation": None}, ValueError, "a grid needs data to score its points on"),
    ({"validation": 2.0}, ValueError, "validation must be less than 1"),
    ({"score": "val_r2"}, ValueError, "score='val_r2' is no column of the history; it has epoch, loss, "),
    ({"score": "gradient_norm"}, ValueError, "score='gradient_norm' is no column"),
    ({"score": "r2", "parameters": {"metrics": ["r2", "mae"]}}, ValueError, "score='r2' is no column .*, mae, val_mae"),
    ({"score": "own", "metrics": bp.metrics.Metric("own", lambda Y, P: 0.0)}, ValueError, "without a direction"),
    ({"seed": None}, TypeError, "seed must be an integer"),
])
def test_bad_grids(change, error, message, monkeypatch):
    monkeypatch.setattr(many._Pool, "run", lambda *_: pytest.fail("something has been trained"))
    with pytest.raises(error, match=message):
        bp.grid(**{"sizes": [3, 2], "X": X, "Y": Y, "parameters": {"epochs": [1, 2]}, **change})
