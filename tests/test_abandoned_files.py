"""Temporary files of saves that were killed: the next save deletes them, and never one that is being written."""

import os
import signal
import subprocess
import sys
import time

import pytest

import backprop as bp
from backprop import model_file

KILLED = """
import os, sys
import backprop as bp
from backprop import model_file

def ready(descriptor, real=os.fsync):
    print("ready", flush=True)
    sys.stdin.read()
os.fsync = ready
bp.Network([2, 1], seed=0).save(sys.argv[1])
"""


def network():
    return bp.Network([2, 1], seed=1)


def temporaries(folder):
    return [path for path in folder.iterdir() if path.suffix == ".tmp"]


@pytest.fixture
def writing(tmp_path):
    """A process in the middle of a save, whose temporary file is old."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "model")], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    (temporary,) = temporaries(tmp_path)
    os.utime(temporary, (time.time() - 1000,) * 2)
    yield process
    process.kill()
    process.communicate()


def test_a_save_clears_what_a_killed_one_left(tmp_path, writing):
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    assert len(temporaries(tmp_path)) == 1 and not (tmp_path / "model").exists()
    network().save(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]
    assert bp.load(tmp_path / "model").parameters.tobytes() == network().parameters.tobytes()


def test_a_save_leaves_what_another_process_is_writing(tmp_path, writing):
    network().save(tmp_path / "other")
    assert len(temporaries(tmp_path)) == 1
    writing.communicate(b"")                             # it writes on, and its file appears whole
    assert sorted(os.listdir(tmp_path)) == ["model", "other"]
    assert bp.load(tmp_path / "model").parameters.tobytes() == bp.Network([2, 1], seed=0).parameters.tobytes()


@pytest.mark.parametrize("name, age", [
    (".backprop-0123.tmp", 0), (".backprop-0123.tmp", -1000), (".backprop-0123", 1000), ("backprop-0123.tmp", 1000),
    ("notes.tmp", 1000), (".backprop-0123.tmp.txt", 1000)])
def test_nothing_else_is_deleted(tmp_path, name, age):
    """Young files, which may have no lock yet, and files of other names stay."""
    (tmp_path / name).write_text("kept")
    os.utime(tmp_path / name, (time.time() - age,) * 2)
    network().save(tmp_path / "model")
    assert sorted(os.listdir(tmp_path)) == sorted([name, "model"])


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("elsewhere"),
                                  lambda path: os.mkfifo(path)])
def test_what_is_no_file_stays_and_does_not_keep_anybody_from_saving(tmp_path, monkeypatch, make):
    monkeypatch.setattr(model_file, "ABANDONED_SECONDS", -1000)
    make(tmp_path / ".backprop-0123.tmp")
    network().save(tmp_path / "model")
    assert bp.load(tmp_path / "model").parameters.tobytes() == network().parameters.tobytes()
    assert len(temporaries(tmp_path)) <= 1
