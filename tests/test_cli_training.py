"""`backprop train` as people use it: at a terminal, interrupted, killed and resumed, with every option; then trace,
plot, export, completion, and how much is loaded for all that."""

import fcntl
import importlib.util
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

import backprop as bp
from backprop import activations, cli, data
from backprop.cli.messages import in_options
from command_line import command, ok, refused, rows_of

HELP = "(see backprop train --help)"


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def waves(tmp_path):
    """y = sin(x) + 2 at 200 points."""
    path = tmp_path / "waves.csv"
    x = np.linspace(-3, 3, 200)
    path.write_text("x,y\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), (np.sin(x) + 2).tolist())))
    return path


# ---- options ---------------------------------------------------------------------------------------------------


def test_every_option_reaches_the_library(capsys, model, tmp_path):
    path = tmp_path / "data.csv"
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 3))
    y = np.where(X[:, 0] + 0.3 * rng.normal(size=120) > 0.5, "yes", "no")
    path.write_text("a,b,c,y\n" + "".join(f"{a!r},{b!r},{c!r},{label}\n" for (a, b, c), label in zip(X.tolist(), y)))
    ok(capsys, "train", path, "--target", "y", "--hidden", "6,5", "--activation", "relu,tanh", "--init", "he_normal",
       "--optimizer", "momentum:momentum=0.8", "--learning-rate", 0.05, "--schedule", "step:every=3,factor=0.7",
       "--batch-size", 7, "--epochs", 9, "--l1", 0.001, "--l2", 0.01, "--dropout", "0.1,0.3", "--max-norm", 2,
       "--clip-norm", 1.5, "--class-weight", "yes=3,no=0.5", "--validation", 0.25, "--early-stopping", 4, "--seed", 11,
       "--threads", 2, "--out", model)
    dataset = data.load(path, "y")
    X, _, y, _ = data.split(*dataset, test_size=0.2, stratify=True, seed=11)
    network = bp.Network([3, 6, 5, 2], hidden=["relu", "tanh"], output="softmax", loss="log_loss", init="he_normal",
                         seed=11)
    network.train(
        data.Standardizer().fit_transform(X), data.one_hot(y), epochs=9, batch_size=7, learning_rate=0.05,
        optimizer=bp.optimizers.Momentum(momentum=0.8), schedule=bp.schedules.step(every=3, factor=0.7), l1=0.001,
        l2=0.01, dropout=[0.1, 0.3], max_norm=2, clip_norm=1.5, class_weight={0: 0.5, 1: 3.0}, validation=0.25,
        early_stopping=4)
    saved = bp.load(model)
    assert saved.network.parameters.tobytes() == network.parameters.tobytes()
    assert saved.network.history.val_loss == network.history.val_loss


def test_every_other_option_reaches_the_library(capsys, model, tmp_path):
    rng = np.random.default_rng(6)
    table = np.column_stack([rng.normal(size=(120, 3)), rng.integers(0, 3, 120)])
    path, y = tmp_path / "data.csv", table[:, :3].sum(axis=1) + 10
    path.write_text("a,b,c,w,y\n" + "".join(",".join(map(repr, [*row, target])) + "\n" for row, target
                                            in zip(table.tolist(), y.tolist())))
    out = ok(capsys, "train", path, "--target", "y", "--sample-weight", "w", "--no-bias", "--no-shuffle", "--output",
             "tanh", "--metrics", "r2,mae", "--early-stopping", "2:monitor=val_mae,min_delta=0.01", "--validation",
             0.25, "--epochs", 50, "--seed", 3, "--out", model)
    assert "120 rows, 3 features, target 'y'" in out and "(no better val_mae since)" in out and "\n  val_r2 " in out
    X, _, y, _ = data.split(table, y, test_size=0.2, seed=3)
    network = bp.Network([3, 32, 1], output="tanh", bias=False, seed=3)
    network.train(data.Standardizer().fit_transform(X[:, :3]), data.Standardizer().fit_transform(y.reshape(-1, 1)),
                  epochs=50, batch_size=32, optimizer="adam", shuffle=False, sample_weight=X[:, 3], validation=0.25,
                  metrics=["r2", "mae"], early_stopping=bp.EarlyStopping(2, 0.01, "val_mae"))
    saved = bp.load(model)
    assert saved.network.parameters.tobytes() == network.parameters.tobytes()
    assert saved.network.history.val_mae == network.history.val_mae
    assert len(rows_of(ok(capsys, "predict", model, path))) == 121       # the weights are a column among others there
    ok(capsys, "train", path, "--target", "y", "--max-updates", 7, "--quiet", "--out", model)
    assert bp.load(model).network.history.stop_reason == "max_updates"


def test_validation_by_a_file_of_its_own(capsys, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(8)
    tables = {}
    for name, n in (("train.csv", 80), ("valid.csv", 30)):
        X = rng.normal(size=(n, 2))
        tables[name] = X, np.where(X.sum(axis=1) > 0, "up", "down")
        head, order = ("a,b,y", [0, 1]) if name == "train.csv" else ("b,a,y", [1, 0])
        (tmp_path / name).write_text(f"{head}\n" + "".join(f"{row[order[0]]!r},{row[order[1]]!r},{label}\n"
                                                           for row, label in zip(X.tolist(), tables[name][1])))
    argv = ("train", "train.csv", "--target", "y", "--test-size", 0, "--epochs", 30, "--out", model, "--validation")
    assert "80 rows to train on, 30 of valid.csv to validate, 0 to test\n" in ok(capsys, *argv, "valid.csv")
    scaler = data.Standardizer()
    X, y = tables["train.csv"]
    network = bp.Network([2, 32, 2], loss="log_loss", seed=0)
    held = scaler.fit(X).transform(tables["valid.csv"][0]), data.one_hot(tables["valid.csv"][1])
    network.train(scaler.transform(X), data.one_hot(y), epochs=30, batch_size=32, optimizer="adam", validation=held,
                  early_stopping=20)
    saved = bp.load(model)
    assert saved.network.parameters.tobytes() == network.parameters.tobytes()
    assert saved.network.history.val_loss == network.history.val_loss
    assert refused(capsys, 2, *argv, "nothing.csv") == "nothing.csv: No such file or directory"
    (tmp_path / "valid.csv").write_text("a,b,y\n1,2,sideways\n")
    assert refused(capsys, 2, *argv, "valid.csv") == (
        "valid.csv, line 2, column 3: the target 'sideways' is none of the model's classes, down, up")
    (tmp_path / "valid.csv").write_text("a,b,y\n1,2,up\n")
    assert "was trained with validation valid.csv, SHA-256 " in refused(capsys, 2, *argv, "valid.csv", "--resume")


def test_weights_are_checked_and_follow_their_rows(capsys, model, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,w,y\n" + "".join(f"{'' if i % 3 else i},{i % 3},{i % 2}.5\n" for i in range(30)))
    argv = ("train", path, "--target", "y", "--sample-weight", "w", "--missing", "drop", "--out", model)
    assert refused(capsys, 2, *argv) == "argument --sample-weight: the rows to train on have no weight but 0"
    path.write_text("x,w,y\n1,1,1.5\n2,-1,2.5\n")
    assert refused(capsys, 2, *argv) == (
        f"{path}, line 3, column 2: the cell '-1' in column 'w' is negative, and weights are not")
    np.save(tmp_path / "x.npy", np.ones((4, 3)))
    assert refused(capsys, 2, "train", tmp_path / "x.npy", "--target", 2, "--sample-weight", 1, "--out", model) == (
        f"--categorical, --missing and --sample-weight are for text files, and {tmp_path / 'x.npy'} is not one")


def test_training_rows_from_a_pipe(model, waves, capsys, tmp_path):
    ok(capsys, "train", waves, "--target", "y", "--epochs", 3, "--quiet", "--out", model)
    piped = tmp_path / "piped.safetensors"
    done = subprocess.run(command("train", "-", "--target", "y", "--epochs", 3, "--out", piped),
                          input=waves.read_bytes(), capture_output=True, check=True)
    assert done.stdout.startswith(b"standard input: 200 rows, 1 features, target 'y'\n")
    assert bp.load(piped).network.parameters.tobytes() == bp.load(model).network.parameters.tobytes()
    assert bp.load(piped).record["data"] == "standard input"
    done = subprocess.run(command("train", "-", "--target", "z", "--out", piped), input=b"x,y\n1,2\n",
                          capture_output=True)
    assert (done.returncode, done.stderr) == (
        2, b"backprop: error: --target z is not a column of standard input; its columns are x, y\n")


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error", "absolute_error", "huber", "poisson"])
def test_losses_of_regression(capsys, model, waves, loss):
    ok(capsys, "train", waves, "--target", "y", "--loss", loss, "--learning-rate", 0.02, "--out", model)
    assert bp.load(model).network.loss == loss
    assert json.loads(ok(capsys, "evaluate", model, waves, "--json"))["rmse"] < 0.2


def test_budgets(capsys, model, waves):
    report = json.loads(ok(capsys, "train", waves, "--target", "y", "--target-loss", 0.5, "--out", model, "--json"))
    assert report["stop_reason"] == "target_loss" and report["loss"] <= 0.5
    report = json.loads(ok(capsys, "train", waves, "--target", "y", "--epochs", 10**6, "--early-stopping", 3,
                           "--learning-rate", 0.1, "--out", model, "--json"))
    assert report["stop_reason"] == "early_stopping" and report["best_epoch"] == report["epochs"] - 3


@pytest.mark.parametrize("options, message", [
    ("--optimizer adamm", f"argument --optimizer: unknown optimizer 'adamm'; expected one of "
                          f"{', '.join(bp.optimizers.NAMES)} {HELP}"),
    ("--optimizer adam:beta_1=2", f"argument --optimizer: beta_1 must be less than 1.0, got 2.0 {HELP}"),
    ("--optimizer adam:beta_3=2", "argument --optimizer: optimizer 'adam' has no parameter 'beta_3'; it has "
                                  f"learning_rate, beta_1, beta_2, eps {HELP}"),
    ("--optimizer adam:beta_1", f"argument --optimizer: expected NAME or NAME:KEY=VALUE,..., got 'adam:beta_1' {HELP}"),
    ("--optimizer rprop --batch-size 3", "argument --batch-size: rprop needs all examples at once; leave it out"),
    ("--optimizer lbfgs --learning-rate 1", "--learning-rate does not go with --optimizer lbfgs: a solver chooses the "
                                            "length of its steps itself"),
    ("--schedule stepp", f"argument --schedule: unknown schedule 'stepp'; expected one of "
                         f"{', '.join(bp.schedules.NAMES)} {HELP}"),
    ("--schedule step:evry=3", f"argument --schedule: step has no parameter 'evry' {HELP}"),
    ("--schedule step:every=0", f"argument --schedule: every must be at least 1, got 0 {HELP}"),
    ("--activation sinus", f"argument --activation: 'sinus' is none of {', '.join(activations.HIDDEN)} {HELP}"),
    ("--activation relu,tanh", "argument --activation: 2 names for 1 hidden layers"),
    ("--dropout 1", "--dropout must be less than 1.0, got 1.0"),
    ("--dropout 0.1,0.2", "argument --dropout: 2 rates for 1 hidden layers"),
    ("--dropout 0.1 --hidden none", "argument --dropout: there are no hidden layers"),
    ("--dropout x", f"argument --dropout: expected a number, or numbers as in 0.2,0.5, got 'x' {HELP}"),
    ("--validation 1", "--validation must be less than 1.0, got 1.0"),
    ("--early-stopping -1", f"argument --early-stopping: patience must be at least 1, got -1 {HELP}"),
    ("--early-stopping x", f"argument --early-stopping: expected a whole number, or N:KEY=VALUE,..., got 'x' {HELP}"),
    ("--early-stopping 3:delta=1", f"argument --early-stopping: early stopping has no parameter 'delta' {HELP}"),
    ("--early-stopping 3:monitor=val_r2", "argument --early-stopping: val_r2 is not measured; give --metrics r2"),
    ("--early-stopping 3:monitor=val_r3", "argument --early-stopping: monitor=val_r3 is none of loss, gradient_norm, "
                                          f"{', '.join(bp.metrics.NAMES)}, nor one of these after val_"),
    ("--early-stopping 3:monitor=val_r2 --metrics r2 --validation 0",
     "argument --early-stopping: it watches val_r2, and --validation is 0"),
    ("--metrics r3", f"argument --metrics: 'r3' is none of {', '.join(bp.metrics.NAMES)} {HELP}"),
    ("--max-updates 0", "--max-updates must be at least 1, got 0"),
    ("--loss poisson --output tanh", "--loss poisson does not go with --output tanh; it needs output = exp"),
    ("--target kind --output tanh",
     "argument --output: tanh gives no probabilities of classes; softmax and sigmoid do"),
    ("--sample-weight z", "--sample-weight z is not a column of waves.csv; its columns are x, y, kind"),
    ("--sample-weight y", "--sample-weight y is the target column"),
    ("--sample-weight x --drop kind", "no feature column is left of the 3 of waves.csv"),
    ("--sample-weight kind", "waves.csv, line 2, column 3: the cell 'low' in column 'kind' is not a number"),
    ("--early-stopping 3 --validation 0", "argument --early-stopping: it watches the validation loss, and --validation "
                                          "is 0"),
    ("--class-weight balanced", "argument --class-weight: the task is regression and has no classes"),
    ("--class-weight yes", f"argument --class-weight: expected 'balanced' or LABEL=WEIGHT,..., got 'yes' {HELP}"),
    ("--target kind --class-weight x=2", "argument --class-weight: 'x' is none of the classes, high, low"),
    ("--loss log_loss", "argument --loss: 'log_loss' is none of squared_error, half_squared_error, absolute_error, "
                        "huber, poisson, the losses for regression"),
    ("--checkpoint-every 0", "--checkpoint-every must be at least 1, got 0"),
    ("--resume", "argument --resume: there is neither m.safetensors.checkpoint nor m.safetensors"),
    ("--max-norm 0", "--max-norm must be greater than 0.0, got 0.0"),
    ("--delimiter ab", "--delimiter must be one character that is not part of a number or a quote, got 'ab'"),
    ("--drop z", "--drop z is not a column of waves.csv; its columns are x, y, kind"),
    ("--drop y", "--drop y is the target column"),
    ("--drop x,kind", "no feature column is left of the 3 of waves.csv"),
    ("--categorical z", "--categorical z is not a column of waves.csv; its columns are x, y, kind"),
])
def test_options_that_are_refused(capsys, waves, monkeypatch, options, message):
    monkeypatch.chdir(waves.parent)
    waves.write_text("x,y,kind\n1,1.5,low\n2,2.5,high\n3,3.5,low\n4,5.5,high\n")
    argv = ["train", "waves.csv", "--target", "y", "--out", "m.safetensors", *options.split()]
    assert refused(capsys, 2, *argv) == message
    assert os.listdir() == ["waves.csv"]


@pytest.mark.parametrize("message, expected", [
    ("target='a b' is not a column", "--target 'a b' is not a column"),
    ("pass header=True if this row is the header, header=False if it is data",
     "pass --header yes if this row is the header, --header no if it is data"),
    ("pass target_kind='class' or 'number'", "pass --task classification or regression"),
    ("is not a value; pass target_kind='class' if it is a label",
     "is not a value; pass --task classification if it is a label"),
    ("is read when its delimiter= is given", "is read when its --delimiter is given"),
    ("n_threads must be at most 256", "--threads must be at most 256"),
    ("a column of labels is named by target=, other text is left out by drop=",
     "a column of labels is named by --target, other text is left out by --drop"),
    ("pass zero_based=True or zero_based=False", "pass --index-base 0 or --index-base 1"),
    ("the target 'x' is none", "the target 'x' is none"),
])
def test_errors_of_the_library_name_options(message, expected):
    assert in_options(message) == expected


# ---- at a terminal ---------------------------------------------------------------------------------------------


class Terminal:
    """A process at a terminal of its own; `screen` is what it has written so far."""

    def __init__(self, *argv):
        self.main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.process = subprocess.Popen(command(*argv), stdin=terminal, stdout=terminal, stderr=terminal,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(terminal)
        self.screen = ""

    def read(self, until=None, seconds=30):
        """Read until a text appears, or to the end."""
        end = time.monotonic() + seconds
        while (until is None or until not in self.screen) and time.monotonic() < end:
            try:
                part = os.read(self.main, 4096)
            except OSError:                              # the other end is closed
                break
            if not part:
                break
            self.screen += part.decode(errors="replace")
        return self.screen

    def close(self):
        self.read()
        os.close(self.main)
        return self.process.wait(timeout=30)


def test_a_terminal_shows_progress_and_the_summary(model):
    terminal = Terminal("train", "digits", "--epochs", 30, "--out", model)
    assert terminal.close() == 0
    screen = terminal.screen.replace("\r\n", "\n")
    assert "1,294 rows to train on, 144 to validate, 359 to test" in screen
    assert re.search(r"30/30 .*loss=0\.\d+.*val_loss=0\.\d+", screen)
    assert re.search(r"\n  epochs +30 of at most 30 \(all done.*\)\n", screen)
    assert re.search(r"\n  validation loss +\d\.\d+ -> 0\.\d+, best 0\.\d+ in epoch \d+\n", screen)
    assert re.search(r"\n  test accuracy +0\.\d+ \(\d+ of 359\)\n", screen)
    assert screen.endswith(f"saved to {model}\n")


def test_ctrl_c_at_a_terminal_keeps_the_best_so_far(model):
    terminal = Terminal("train", "digits", "--epochs", 10**9, "--early-stopping", 10**9, "--out", model)
    terminal.read(until="val_loss=")
    os.write(terminal.main, b"\x03")
    assert terminal.close() == 130
    saved = bp.load(model)
    history = saved.network.history
    assert history.stop_reason == "interrupted" and history.best_epoch is not None
    assert f"backprop: interrupted after {len(history)} epochs; the best so far is in {model}" in terminal.screen
    assert "Traceback" not in terminal.screen
    assert "(interrupted)" in terminal.screen and re.search(r"\n  test accuracy +0\.\d+", terminal.screen)
    X, y = data.digits()
    assert (saved.predict(X) == y).mean() > 0.5


def test_quiet_and_json_show_no_progress(model):
    terminal = Terminal("train", "digits", "--epochs", 3, "--quiet", "--out", model)
    assert (terminal.close(), terminal.screen) == (0, "")
    terminal = Terminal("train", "digits", "--epochs", 3, "--json", "--out", model)
    assert terminal.close() == 0 and json.loads(terminal.screen)["epochs"] == 3


# ---- checkpoints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--optimizer", "adam", "--dropout", 0.1),
                                     ("--schedule", "reduce_on_plateau:patience=2", "--validation", 0)])
def test_killed_and_resumed_is_as_never_killed(capsys, tmp_path, waves, options):
    if "--validation" not in options:
        options += ("--early-stopping", 10**6)
    argv = ("train", waves, "--target", "y", "--hidden", "8", "--seed", 3, "--checkpoint-every", 25, *options)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    checkpoint = tmp_path / "killed.checkpoint"
    with subprocess.Popen(command(*argv, "--epochs", 10**7, "--out", killed), stdout=subprocess.DEVNULL) as process:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL and not killed.exists()
    done = bp.load(checkpoint).network.epochs_trained
    assert done % 25 == 0
    epochs = done + 40
    out = ok(capsys, *argv, "--epochs", epochs, "--out", killed, "--resume")
    assert f"\nresumed after {done:,} epochs\n" in out and f" {epochs:,} of at most {epochs:,} " in out
    ok(capsys, *argv, "--epochs", epochs, "--out", whole)
    a, b = bp.load(killed), bp.load(whole)
    assert a.network.parameters.tobytes() == b.network.parameters.tobytes()
    assert a.network.history.loss == b.network.history.loss and len(a.network.history) == epochs
    assert a.network.history.best_epoch == b.network.history.best_epoch
    assert a.record["test"] == b.record["test"]
    assert not any(name.endswith(".checkpoint") for name in os.listdir(tmp_path))


def test_a_finished_model_can_be_trained_further(capsys, model, waves):
    argv = ("train", waves, "--target", "y", "--validation", 0, "--out", model)
    ok(capsys, *argv, "--epochs", 30)
    ok(capsys, *argv, "--epochs", 70, "--resume")
    further = bp.load(model).network
    ok(capsys, *argv, "--epochs", 70)
    assert further.parameters.tobytes() == bp.load(model).network.parameters.tobytes()
    assert len(further.history) == 70


def test_resuming_something_else_is_refused(capsys, model, waves):
    ok(capsys, "train", waves, "--target", "y", "--epochs", 3, "--out", model)
    before = model.read_bytes()
    assert refused(capsys, 2, "train", waves, "--target", "y", "--l2", 0.5, "--out", model, "--resume") == (
        f"argument --resume: {model} was trained with l2 0.0, not 0.5")
    assert refused(capsys, 2, "train", waves, "--target", "y", "--seed", 1, "--out", model, "--resume") == (
        f"argument --resume: {model} was trained on other data")       # the seed draws the test part
    assert model.read_bytes() == before


# ---- trace, plot, export ---------------------------------------------------------------------------------------


def test_trace_explains_a_row(capsys, model, waves):
    ok(capsys, "train", waves, "--target", "y", "--hidden", 3, "--out", model)
    out = ok(capsys, "trace", model, waves, "--row", 7, "--learning-rate", 0.5)
    X, y = data.load(waves, "y")
    saved = bp.load(model)
    found = saved.network.trace(saved.scaler.transform(X[7:8])[0],
                                saved.target_scaler.transform(y[7:8].reshape(1, 1))[0], 0.5)
    assert out.startswith(f"{waves}, row 7: target {y[7]:g}, prediction {saved.predict(X[7:8])[0]:.6g}\n")
    assert out.endswith(f"{found}\n") and out.count("\n1. Feedforward") == out.count("\n5. Update") == 1
    document = json.loads(ok(capsys, "trace", model, waves, "--row", -193, "--learning-rate", 0.5, "--json"))
    assert document["row"] == 7 and document["loss"] == found.loss
    assert document["weight_updates"][1] == found.weight_updates[1].tolist()
    assert refused(capsys, 2, "trace", model, waves, "--row", 200) == (
        f"argument --row: {waves} has 200 rows, from 0 to 199, got 200")


def test_trace_of_a_class(capsys, model):
    ok(capsys, "train", "digits", "--epochs", 5, "--out", model)
    X, y = data.digits()
    document = json.loads(ok(capsys, "trace", model, "digits", "--row", 3, "--json"))
    assert document["y"] == np.eye(10)[y[3]].tolist()
    assert document["prediction"] == str(bp.load(model).predict(X[3:4])[0])


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None or importlib.util.find_spec("backprop.plot") is None,
                    reason="matplotlib is not installed, or there is no backprop.plot")
@pytest.mark.parametrize("kind", ["history", "boundary", "weights", "network", "confusion-matrix", "trace"])
@pytest.mark.parametrize("suffix, start", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_plots(capsys, model, tmp_path, kind, suffix, start):
    path, out = tmp_path / "points.csv", tmp_path / f"plot.{suffix}"
    rng = np.random.default_rng(2)
    path.write_text("a,b,y\n" + "".join(f"{a!r},{b!r},{'in' if a * a + b * b < 1 else 'out'}\n"
                                        for a, b in rng.normal(size=(80, 2)).tolist()))
    ok(capsys, "train", path, "--target", "y", "--hidden", 5, "--epochs", 20, "--out", model)
    ok(capsys, "plot", kind, model, path, "--out", out)
    assert out.read_bytes().startswith(start) and out.stat().st_size > 2000
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_weights_of_named_inputs_are_a_table(capsys, model, tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "w.svg"
    path.write_text("hp,maker,y\n" + "".join(f"{i},{'BMW' if i % 3 else 'Fiat'},{i % 2}.5\n" for i in range(20)))
    ok(capsys, "train", path, "--target", "y", "--epochs", 1, "--out", model)
    ok(capsys, "plot", "weights", model, "--out", out)
    assert all(f"<!-- {name} -->" in out.read_text() for name in ("hp", "maker=BMW", "maker=Fiat", "unit"))


def test_plots_that_are_refused(capsys, model, waves, tmp_path):
    bp.Network([1, 1], seed=0).save(model)
    assert refused(capsys, 2, "plot", "history", model, "--out", tmp_path / "a.gif") == (
        f"argument --out: {tmp_path / 'a.gif'} ends in none of .png, .svg, .pdf")
    assert refused(capsys, 2, "plot", "boundary", model, "--out", tmp_path / "a.png") == (
        "a plot of the kind boundary needs DATA")
    assert refused(capsys, 2, "plot", "histry", model, "--out", "a.png").startswith(
        "argument KIND: invalid choice: 'histry' (choose from ")


@pytest.mark.skipif(importlib.util.find_spec("backprop.export") is None, reason="there is no backprop.export")
@pytest.mark.parametrize("name", ["c", "python"])
def test_export(capsys, model, waves, tmp_path, name):
    ok(capsys, "train", waves, "--target", "y", "--epochs", 3, "--out", model)
    out = tmp_path / f"exported.{ {'c': 'c', 'python': 'py'}[name]}"
    assert ok(capsys, "export", model, "--out", out) == f"saved to {out}\n"
    assert out.stat().st_size > 500


def test_exports_that_are_refused(capsys, model, tmp_path):
    bp.Network([1, 1], seed=0).save(model)
    assert refused(capsys, 2, "export", model, "--out", tmp_path / "m.txt") == (
        f"argument --out: {tmp_path / 'm.txt'} ends in none of .onnx, .c, .py; give --format")
    assert refused(capsys, 2, "export", model, "--out", model, "--format", "c") == (
        f"argument --out: {model} is the file that is read, and would be overwritten")


# ---- what is loaded, and how soon ------------------------------------------------------------------------------

HEAVY = ("matplotlib", "sklearn", "dask", "tqdm", "pandas", "scipy", "torch", "argcomplete", "safetensors")


def loaded_by(code):
    """Names of the modules that a fresh process has loaded after `code`."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("code", ["import backprop", "import backprop.cli; backprop.cli.main(['train', '--help'])",
                                  "import backprop.cli; backprop.cli.main(['--help'])"])
def test_nothing_heavy_is_loaded(code):
    found = loaded_by(code)
    assert {"numpy", "backprop"} <= found and not found & set(HEAVY)


def test_help_loads_one_command_only():
    code = ("import sys\nfrom backprop import cli\ntry: cli.main(['info', '--help'])\n"
            "except SystemExit: print(*(name for name in sys.modules if name.startswith('backprop.cli.')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {f"backprop.cli.{name}" for name in cli.COMMANDS} == {"backprop.cli.info"}


def test_completion(tmp_path):
    pytest.importorskip("argcomplete", reason="argcomplete is not installed")

    def completed(line):
        answer = tmp_path / "answer"
        environment = {**os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\013", "COMP_LINE": line,
                       "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
        subprocess.run([sys.executable, "-m", "backprop"], env=environment, check=True)
        return answer.read_text().split("\013")

    assert {"train ", "plot "} <= {word.strip() + " " for word in completed("backprop ")}
    assert "--hidden" in [word.strip() for word in completed("backprop train --hid")]
    assert "regression" in [word.strip() for word in completed("backprop train --task r")]
