"""Exact resume: a training that is saved, checkpointed or killed goes on elsewhere to the bits of an unbroken one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import backprop as bp
import resumable
from backprop import model_file
from backprop.errors import ConcurrentUseError

KILLS = 20
PROGRAM = str(Path(__file__).with_name("resumable.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(bp.__file__).parents[1])}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


# ---- save, a new process, load ---------------------------------------------------------------------------------


def test_seventeen_epochs_and_twenty_three_elsewhere_are_forty(tmp_path):
    X, Y = resumable.examples()
    expected = {}
    for name in resumable.CONFIGURATIONS:
        network = resumable.network()
        history = network.train(X, Y, epochs=40, **resumable.options(name))
        expected[name] = resumable.result(network, history)
        part = resumable.network()
        part.train(X, Y, epochs=17, **resumable.options(name))
        part.save(tmp_path / f"{name}.safetensors")
    subprocess.run([sys.executable, PROGRAM, "second", tmp_path], check=True, env=ENVIRONMENT, timeout=120)
    assert len(expected) == 9 * 9 * 2 * 2
    assert len({each["parameters"] for each in expected.values()}) > 200        # the configurations are different ones
    for name, whole in expected.items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == whole, name


# ---- checkpoints -----------------------------------------------------------------------------------------------


def unbroken(**options):
    network = resumable.network()
    history = network.train(*resumable.examples(), **options)
    return resumable.result(network, history)


@pytest.mark.parametrize("options", [{}, {"validation": 0.25, "early_stopping": 50}], ids=["many epochs a call", "one"])
def test_checkpoints_come_every_so_many_epochs_of_the_networks_life(path, monkeypatch, options):
    saved, save = [], model_file.save

    def record(target, network):
        saved.append(network.epochs_trained)
        save(target, network)

    monkeypatch.setattr(model_file, "save", record)
    network = resumable.network()
    network.train(*resumable.examples(), epochs=4, **options)
    assert saved == [] and not path.exists()
    network.train(*resumable.examples(), epochs=19, checkpoint_path=path, checkpoint_every=5, **options)
    assert saved == [5, 10, 15, 20]
    assert bp.load(path).epochs_trained == 20
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("options", [
    {"epochs": 20}, {"epochs": 20, "l1": 1e-3, "optimizer": "adam", "batch_size": 3}, {"epochs": 0},
    {"epochs": 20, "schedule": "cosine", "metrics": "gradient_norm"},
    {"epochs": 20, "max_updates": 100}, {"epochs": 20, "target_loss": 2.0},
    {"epochs": 20, "callbacks": lambda state: state.epoch == 9},
], ids=range(7))
def test_a_checkpoint_changes_no_bit(path, options):
    assert unbroken(**options) == unbroken(checkpoint_path=path, checkpoint_every=2, **options)


@pytest.mark.parametrize("options", [{"optimizer": "adam", "schedule": "cosine"},
                                     {"validation": 0.25, "early_stopping": 25, "schedule": "reduce_on_plateau"}])
def test_a_training_that_raised_goes_on_from_its_checkpoint(path, options):
    def fail(state):
        if state.epoch == 13:
            raise OSError("no more")

    network = resumable.network()
    with pytest.raises(OSError, match="no more"):
        network.train(*resumable.examples(), epochs=30, callbacks=fail, checkpoint_path=path, checkpoint_every=5,
                      **options)
    again = bp.load(path)
    assert again.epochs_trained == 10 and again.history.epoch == list(range(1, 11))
    assert again.history.stop_reason is None
    history = again.history + again.train(*resumable.examples(), epochs=20, **options)
    assert resumable.result(again, history) == unbroken(epochs=30, **options)


def test_a_checkpoint_holds_the_history_from_the_first_epoch_over_any_number_of_resumes(path):
    X, Y = resumable.examples()

    def stop_at(epoch):
        def fail(state):
            if state.epoch == epoch:
                raise OSError("no more")
        return fail

    network = resumable.network()
    for epoch in (4, 9, 15):
        with pytest.raises(OSError, match="no more"):
            network.train(X, Y, epochs=20 - network.epochs_trained, checkpoint_path=path, checkpoint_every=2,
                          callbacks=stop_at(epoch))
        network = bp.load(path)
    assert network.history.epoch == list(range(1, 15))
    history = network.history + network.train(X, Y, epochs=6)
    assert resumable.result(network, history) == unbroken(epochs=20)
    assert network._earlier_history is None and network.history.epoch == list(range(15, 21))


def early_stopping(monitor="val_loss"):
    return {"epochs": 200, "validation": 0.25, "learning_rate": 0.1, "optimizer": "momentum", "batch_size": 2,
            "metrics": "r2", "early_stopping": bp.EarlyStopping(5, monitor=monitor, min_delta=1e-3)}


@pytest.mark.parametrize("monitor", ["val_loss", "val_r2"])
def test_early_stopping_goes_on_with_its_patience_and_its_best_epoch(tmp_path, monitor):
    options = early_stopping(monitor)
    network = resumable.network()
    history = network.train(*resumable.examples(), **options, callbacks=lambda state: state.network.save(
        tmp_path / str(state.epoch)))
    whole = resumable.result(network, history)
    assert history.stop_reason == "early_stopping" and 5 < len(history) < 200 and network._stopping_state is None
    assert history.best_epoch < len(history)
    for epoch in history.epoch:                          # the last too, after which it stopped
        again = bp.load(tmp_path / str(epoch))
        first = again.history
        second = again.train(*resumable.examples(), **{**options, "epochs": 200 - epoch})
        assert resumable.result(again, first + second) == whole, epoch
    without = bp.load(tmp_path / str(len(history) - 1))
    assert without._stopping_state.waited == 4
    without.train(*resumable.examples(), **{**options, "epochs": 3, "early_stopping": None})
    assert without.history.stop_reason == "epochs" and without._stopping_state is None


@pytest.mark.parametrize("changed", [{"early_stopping": 2}, {"optimizer": "sgd"}])
def test_another_rule_starts_with_a_patience_of_its_own(tmp_path, changed):
    options, saved = early_stopping(), {}

    def keep(state):
        saved[state.epoch] = state.network.copy()

    history = resumable.network().train(*resumable.examples(), **options, callbacks=keep)
    again = saved[len(history) - 1]
    assert again._stopping_state.waited == 4
    after = again.train(*resumable.examples(), **{**options, **changed})
    assert len(after) >= 2 and after.best_epoch >= len(history)


@pytest.mark.parametrize("wrong, error, message", [
    ({"checkpoint_path": 3}, TypeError, "checkpoint_path must be str, bytes or os.PathLike, got int 3"),
    ({"checkpoint_path": "a", "checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
    ({"checkpoint_path": "a", "checkpoint_every": 1.5}, TypeError, "checkpoint_every must be an integer"),
    ({"checkpoint_path": "nowhere/a"}, FileNotFoundError, "nowhere"),
    ({"checkpoint_path": "."}, IsADirectoryError, "directory"),
    ({"checkpoint_path": os.devnull}, ValueError, "^checkpoint_path must be a regular file"),
])
def test_a_checkpoint_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch, wrong, error, message):
    monkeypatch.chdir(tmp_path)
    network = resumable.network()
    before = network.parameters.tobytes()
    with pytest.raises(error, match=message):
        network.train(*resumable.examples(), **wrong)
    assert network.parameters.tobytes() == before and network.history is None and os.listdir() == []


def test_a_loss_of_ones_own_has_no_checkpoints(path):
    network = bp.Network([3, 2], loss=lambda Y, P: (((P - Y)**2).sum(axis=1), 2 * (P - Y)), seed=3)
    with pytest.raises(ValueError, match="loss is a function, which a model file cannot hold"):
        network.train(*resumable.examples(), checkpoint_path=path)
    assert network.history is None


# ---- kill -9 ---------------------------------------------------------------------------------------------------


def kill_at_random(path, kills, seed):
    """Start the training and kill it, again and again; returns how many kills came while it ran."""
    rng, counted, trained, longest = np.random.default_rng(seed), 0, 0, 0.02
    for _ in range(kills):
        command = [sys.executable, PROGRAM, "killed", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as run:
            assert run.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.0, longest))
            run.send_signal(signal.SIGKILL)
        counted += run.returncode == -signal.SIGKILL
        before = trained
        if os.path.exists(path):
            saved = bp.load(path)
            assert saved.epochs_trained >= trained and saved.history.epoch == list(range(1, saved.epochs_trained + 1))
            trained = saved.epochs_trained
        longest *= 1.0 if trained > before else 1.2      # a busy machine may be slow to come to the next checkpoint
    return counted, trained


def test_a_training_killed_again_and_again_ends_in_the_same_bits(path):
    counted, trained = kill_at_random(path, KILLS, seed=5)
    assert counted == KILLS and 0 < trained < resumable.LONG
    network = bp.load(path)
    first = network.history
    history = first + network.train(*resumable.examples(), epochs=resumable.LONG - trained, **resumable.long_options())
    assert resumable.result(network, history) == unbroken(epochs=resumable.LONG, **resumable.long_options())


# ---- saving while another thread trains ------------------------------------------------------------------------


def in_a_thread(action):
    """The exception that `action` raises in a thread of its own, or None."""
    raised = []

    def run():
        try:
            action()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_another_thread_cannot_save_during_training_and_a_callback_can(path):
    raised = []

    def callback(state):
        raised.append(in_a_thread(lambda: state.network.save(path)))
        assert not path.exists()
        state.network.save(path)
        raised.append(in_a_thread(lambda: state.network.save(path)))         # saving has not given the network free
        with pytest.raises(ConcurrentUseError, match="train: "):
            state.network.train(*resumable.examples())

    network = resumable.network()
    network.train(*resumable.examples(), callbacks=callback)
    assert [type(error) for error in raised] == [ConcurrentUseError] * 2
    assert "save: another thread is training or saving this network" in str(raised[0])
    assert bp.load(path).epochs_trained == 1
    path.unlink()
    assert in_a_thread(lambda: network.save(path)) is None and path.exists()


def test_another_thread_cannot_train_while_the_network_is_saved(path, monkeypatch):
    raised, encode = [], model_file.encode

    def slow(kind, network, properties):
        raised.append(in_a_thread(lambda: network.train(*resumable.examples())))
        raised.append(in_a_thread(lambda: network.learn_one([0.0] * 3, [0.0] * 2, 0.1)))
        return encode(kind, network, properties)

    monkeypatch.setattr(model_file, "encode", slow)
    network = resumable.network()
    network.save(path)
    assert [type(error) for error in raised] == [ConcurrentUseError] * 2
    assert bp.load(path).parameters.tobytes() == network.parameters.tobytes()
    network.train(*resumable.examples())


def test_a_failed_save_gives_the_network_free(path):
    network = resumable.network()
    network.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        network.save(path)
    network.reset().train(*resumable.examples())
