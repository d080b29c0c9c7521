"""The command line: results agree with the library, errors are one line with the right exit code, nothing is lost."""

import fcntl
import gzip
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
import zipfile

import numpy as np
import pytest

import backprop as bp
from backprop import cli, data, training
from backprop.cli import info
from backprop.errors import DivergenceError
from command_line import command, ok, refused, rows_of, run


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def flowers(tmp_path):
    """Two features with names and far scales, an identifier, and three species far apart; 60 rows."""
    rng = np.random.default_rng(3)
    path = tmp_path / "flowers.csv"
    lines = ["id,length,species,width"]
    for i in range(60):
        kind = i % 3
        length, width = 1000 + 100 * kind + rng.normal(), 0.001 * kind + 1e-5 * rng.normal()
        lines.append(f"row{i},{length!r},{['setosa', 'virginica', 'a, b'][kind]!r},{width!r}".replace("'", '"'))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def houses(tmp_path):
    """A price far from 1 that is linear in two features; 200 rows."""
    rng = np.random.default_rng(4)
    X = rng.uniform(50, 250, (200, 2))
    path = tmp_path / "houses.tsv.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("area\tage\tprice\n")
        stream.writelines(f"{a!r}\t{b!r}\t{5000.0 * a - 1000.0 * b!r}\n" for a, b in X.tolist())
    return path


# ---- train, predict, evaluate, info ----------------------------------------------------------------------------


def test_digits_are_learned(capsys, model, tmp_path):
    out = ok(capsys, "train", "digits", "--hidden", "64,32", "--epochs", 30, "--out", model)
    found = re.search(r"^  test accuracy    (0\.\d{4}) \((\d+) of 359\)$", out, re.MULTILINE)
    assert float(found[1]) >= 0.95
    matrix = [[int(cell) for cell in line.split()[1:]] for line in out.split("confusion matrix")[1].splitlines()[2:12]]
    assert np.sum(matrix) == 359 and np.trace(matrix) == int(found[2])
    assert out.endswith(f"saved to {model}\n")

    saved, (X, y) = bp.load(model), data.digits()
    assert saved.network.sizes == [64, 64, 32, 10] and saved.network.activations == ["tanh", "tanh", "softmax"]
    written = tmp_path / "predictions.csv"
    assert ok(capsys, "predict", model, "digits", "--proba", "--out", written) == ""
    header, *rows = rows_of(written.read_text())
    assert header == ["prediction", *[f"probability_{digit}" for digit in range(10)]]
    table = np.array(rows, float)
    assert table[:, 0].tolist() == saved.predict(X).tolist()
    probabilities = saved.network.predict(saved.scaler.transform(X))
    assert table[:, 1:].tobytes() == probabilities.tobytes()

    scores = json.loads(ok(capsys, "evaluate", model, "digits", "--json"))
    assert scores["accuracy"] == (saved.predict(X) == y).mean() and scores["rows"] == 1797
    out = ok(capsys, "evaluate", model, "digits")
    assert f"  accuracy  {scores['accuracy']:.4f} ({scores['right']:,} of 1,797)\n" in out


def test_the_same_command_trains_the_same_network(capsys, tmp_path):
    for name, seed, threads in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
        ok(capsys, "train", "digits", "--epochs", 1, "--seed", seed, "--threads", threads, "--out", tmp_path / name)
    a, b, c = (bp.load(tmp_path / name).network.parameters.tobytes() for name in "abc")
    assert a == b != c


def test_training_is_the_library_s_own(capsys, model, houses):
    ok(capsys, "train", houses, "--target", "price", "--hidden", "7,5", "--activation", "relu", "--optimizer",
       "momentum", "--learning-rate", 0.02, "--batch-size", 8, "--epochs", 4, "--l2", 0.01, "--seed", 9,
       "--test-size", 0.1, "--validation", 0, "--max-seconds", 60, "--out", model)
    X, y = data.load(houses, "price")
    X, _, y, _ = data.split(X, y, test_size=0.1, seed=9)
    X, y = data.Standardizer().fit_transform(X), data.Standardizer().fit_transform(y.reshape(-1, 1))
    network = bp.Network([2, 7, 5, 1], hidden="relu", seed=9)
    network.train(X, y, epochs=4, batch_size=8, optimizer="momentum", learning_rate=0.02, l2=0.01)
    assert bp.load(model).network.parameters.tobytes() == network.parameters.tobytes()


def test_inputs_and_targets_as_they_are(capsys, model, houses):
    ok(capsys, "train", houses, "--target", "price", "--hidden", "none", "--no-standardize", "--test-size", 0,
       "--validation", 0, "--epochs", 2, "--out", model)
    network = bp.Network([2, 1], seed=0)
    network.train(*data.load(houses, "price"), epochs=2, batch_size=32, optimizer="adam")
    saved = bp.load(model)
    assert saved.network.parameters.tobytes() == network.parameters.tobytes()
    assert saved.scaler is None and saved.target_scaler is None


def test_labels_of_text_and_columns_by_name(capsys, model, flowers, tmp_path):
    out = ok(capsys, "train", flowers, "--target", "species", "--drop", "id", "--epochs", 60, "--out", model)
    assert "60 rows, 2 features, target 'species'\n  48 rows to train on, 0 to validate, 12 to test\n" in out
    assert "  test accuracy  1.0000 (12 of 12)\n" in out
    rows = rows_of(ok(capsys, "predict", model, flowers, "--proba"))
    assert rows[0] == ["prediction", "probability_a, b", "probability_setosa", "probability_virginica"]
    assert [row[0] for row in rows[1:]] == [row[2] for row in rows_of(flowers.read_text())[1:]]
    # other columns in another order, and no target
    other = tmp_path / "other.csv"
    other.write_text("note,width,length\nx,0.0,1000.0\ny,0.002,1200.0\n")
    assert ok(capsys, "predict", model, other) == 'prediction\nsetosa\n"a, b"\n'
    assert "  accuracy  1.0000 (60 of 60)\n" in ok(capsys, "evaluate", model, flowers)


def test_regression_in_the_target_s_units(capsys, model, houses):
    out = ok(capsys, "train", houses, "--target", "price", "--hidden", "none", "--epochs", 300, "--out", model,
             "--learning-rate", 0.01)
    assert ("\nregression by Network(2-1, activations=identity, loss=squared_error, parameters=3), adam with "
            "learning rate 0.01, batches of 32\n") in out
    X, y = data.load(houses, "price")
    predicted = bp.load(model).predict(X)
    assert np.abs(predicted - y).max() < 1000.0          # prices reach a million
    header, *rows = rows_of(ok(capsys, "predict", model, houses))
    assert header == ["prediction"]
    assert np.array(rows, float)[:, 0].tobytes() == predicted.tobytes()
    scores = json.loads(ok(capsys, "evaluate", model, houses, "--json"))
    assert scores["mae"] == pytest.approx(np.abs(predicted - y).mean(), rel=1e-12)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.square(predicted - y).mean()), rel=1e-12)
    assert scores["r2"] == pytest.approx(1 - np.square(predicted - y).sum() / np.square(y - y.mean()).sum(), rel=1e-12)
    out = ok(capsys, "evaluate", model, houses)
    assert f"  MAE   {scores['mae']:.6g}\n  RMSE  {scores['rmse']:.6g}\n  R2    {scores['r2']:.4f}\n" in out


def test_files_without_names_know_their_target_by_position(capsys, model, tmp_path):
    path, bare = tmp_path / "xor.csv", tmp_path / "bare.csv"
    path.write_text("0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n")
    bare.write_text("0,0\n0,1\n1,0\n1,1\n")
    out = ok(capsys, "train", path, "--target", "-1", "--hidden", 8, "--epochs", 500, "--batch-size", "full",
             "--test-size", 0, "--learning-rate", 0.05, "--out", model)
    assert "4 rows to train on, 0 to validate, 0 to test" in out and "accuracy" not in out
    expected = "prediction\nno\nyes\nyes\nno\n"
    assert ok(capsys, "predict", model, path) == ok(capsys, "predict", model, bare) == expected
    assert "  accuracy  1.0000 (4 of 4)\n" in ok(capsys, "evaluate", model, path)
    wide = tmp_path / "wide.csv"
    wide.write_text("0,0,1,1\n")
    assert "columns of features, and the model takes 2" in refused(capsys, 2, "predict", model, wide)


def test_arrays_of_numpy(capsys, model, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    np.savez(tmp_path / "train.npz", X=X, y=np.where(X[:, 0] > 0, "up", "down"))
    np.save(tmp_path / "new.npy", X)
    ok(capsys, "train", tmp_path / "train.npz", "--out", model, "--epochs", 100)
    new = ok(capsys, "predict", model, tmp_path / "new.npy")
    assert new == ok(capsys, "predict", model, tmp_path / "train.npz")
    assert [row[0] for row in rows_of(new)[1:]] == bp.load(model).predict(X).tolist()
    np.savez(tmp_path / "two.npz", X=X, y=X[:, :2] * 3.0)
    ok(capsys, "train", tmp_path / "two.npz", "--out", model)
    table = rows_of(ok(capsys, "predict", model, tmp_path / "two.npz"))
    assert table[0] == ["prediction_0", "prediction_1"]
    assert np.array(table[1:], float).tobytes() == bp.load(model).predict(X).tobytes()


@pytest.mark.parametrize("values, task, expected", [
    (["a", "b"], "auto", "classification"), (list(range(20)), "auto", "classification"),
    (list(range(21)), "auto", "regression"), ([0.5, 1.5], "auto", "regression"),
    ([1, 2], "regression", "regression"), (list(range(30)), "classification", "classification"),
])
def test_the_task_follows_the_target(capsys, model, tmp_path, values, task, expected):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n" + "".join(f"{i},{values[i % len(values)]}\n" for i in range(60)))
    out = ok(capsys, "train", path, "--target", "y", "--task", task, "--epochs", 1, "--out", model)
    assert f"\n{expected} by Network(" in out


@pytest.mark.parametrize("optimizer", [*bp.optimizers.RULES, "lbfgs"])
def test_every_optimizer_runs(capsys, model, optimizer):
    out = ok(capsys, "train", "digits", "--optimizer", optimizer, "--epochs", 2, "--out", model, "--json")
    report = json.loads(out)
    assert report["epochs"] == 2 and report["stop_reason"] == "epochs" and report["model"] == str(model)
    assert report["test"]["rows"] == 359 and np.sum(report["test"]["confusion_matrix"]) == 359
    saved = bp.load(model)
    assert saved.network._training_state.optimizer.name == optimizer
    assert saved.network.history.loss[-1] == report["loss"]


def test_quiet_is_quiet_and_max_seconds_ends(capsys, model):
    assert ok(capsys, "train", "digits", "--quiet", "--epochs", 10**9, "--max-seconds", 0.2, "--out", model) == ""
    assert bp.load(model).network.history.stop_reason == "max_seconds"


def test_info_tells_architecture_record_and_checksum(capsys, model):
    ok(capsys, "train", "digits", "--epochs", 2, "--out", model)
    text, told = ok(capsys, "info", model), json.loads(ok(capsys, "info", model, "--json"))
    assert text.startswith(bp.load(model).network.summary())
    for part in ("  classes   0, 1, 2", "  target    digit", "  inputs    standardized", "  training  2 epochs, loss ",
                 "rows 1438", f"  sha256    {told['sha256']}"):
        assert part in text
    assert told["sizes"] == [64, 32, 10] and told["epochs_trained"] == 2
    assert told["record"]["options"]["batch_size"] == 32
    assert told["sha256"] == bp.model_file.checksum(model) and len(told["sha256"]) == 64


def test_a_network_saved_from_python_serves_too(capsys, model, tmp_path):
    network = bp.Network([2, 3, 2], seed=0)
    network.save(model)
    (tmp_path / "x.csv").write_text("0.5,1.5\n-1,2\n")
    table = rows_of(ok(capsys, "predict", model, tmp_path / "x.csv"))
    assert np.array(table[1:], float).tobytes() == network.predict([[0.5, 1.5], [-1, 2]]).tobytes()
    assert "epochs trained: 0" in ok(capsys, "info", model)
    assert json.loads(ok(capsys, "info", model, "--json"))["classes"] is None


# ---- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv, message", [
    (["train"], "the following arguments are required: DATA, --out (see backprop train --help)"),
    (["train", "digits"], "the following arguments are required: --out (see backprop train --help)"),
    (["info"], "the following arguments are required: MODEL (see backprop info --help)"),
    (["info", "m", "--frob"], "unrecognized arguments: --frob (see backprop --help)"),
    (["train", "digits", "--out", "m", "--hid", "3"], "unrecognized arguments: --hid 3 (see backprop --help)"),
    (["train", "digits", "--out", "m", "--hidden", "64;32"],
     "argument --hidden: expected whole numbers of at least 1 as in 64,32, got '64;32' (see backprop train --help)"),
    (["train", "digits", "--out", "m", "--hidden", "3,0"],
     "argument --hidden: expected whole numbers of at least 1 as in 64,32, got '3,0' (see backprop train --help)"),
    (["train", "digits", "--out", "m", "--batch-size", "x"],
     "argument --batch-size: expected a whole number or 'full', got 'x' (see backprop train --help)"),
    (["train", "digits", "--out", "m", "--batch-size", "0"], "--batch-size must be at least 1, got 0"),
    (["train", "digits", "--out", "m", "--epochs", "-1"], "--epochs must be at least 0, got -1"),
    (["train", "digits", "--out", "m", "--learning-rate", "nan"], "--learning-rate must be finite, got nan"),
    (["train", "digits", "--out", "m", "--l2", "-1"], "--l2 must be at least 0.0, got -1.0"),
    (["train", "digits", "--out", "m", "--seed", "-1"], "--seed must be at least 0, got -1"),
    (["train", "digits", "--out", "m", "--threads", "0"], "--threads must be at least 1, got 0"),
    (["train", "digits", "--out", "m", "--max-seconds", "0"], "--max-seconds must be greater than 0.0, got 0.0"),
    (["train", "digits", "--out", "m", "--test-size", "1"], "--test-size must be less than 1.0, got 1.0"),
    (["train", "digits", "--out", "m", "--target", "x"],
     "the bundled digits have the target 'digit', and no column of them is left out"),
    (["train", "digits", "--out", "nowhere/m"], "argument --out: there is no folder {folder}/nowhere"),
    (["train", "digits", "--out", "."], "argument --out: . is a folder"),
    (["train", "digits", "--out", "/dev/null"],
     "argument --out: /dev/null is a device, a pipe or a socket, not a file that can be replaced"),
    (["train", "nothing.csv", "--out", "m"], "nothing.csv: No such file or directory"),
    (["train", ".", "--out", "m"], ".: Is a directory"),
    (["predict", "nothing", "digits"], "nothing: No such file or directory"),
    (["info", "torn"], "torn: not a whole model file: it promises a header of "),
    (["train", "bad.csv", "--target", "y", "--out", "m"], "bad.csv, line 3, column 1: the cell 'frob' "),
    (["train", "bad.csv", "--target", "z", "--out", "m"],
     "--target z is not a column of bad.csv; its columns are x, y"),
    (["train", "one.csv", "--target", "y", "--out", "m"],
     "the target has the one class 'a': there is nothing to tell apart"),
    (["train", "one.csv", "--target", "y", "--out", "one.csv"],
     "argument --out: one.csv is the file that is read, and would be overwritten"),
    (["predict", "bad.csv", "m"], "bad.csv is no model but looks like data: MODEL stands before DATA"),
    (["train", "book.xlsx", "--target", "y", "--out", "m"],
     "book.xlsx, offset 0: an Excel workbook, which is not read; save the sheet as CSV"),
    (["train", "latin.csv", "--target", "y", "--out", "m"],
     "latin.csv, line 2, column 2: byte 0xe9 is not UTF-8 text; save the file as UTF-8"),
    (["train", "words.csv", "--out", "m"],
     "words.csv has no target; name its column with --target; the columns are id, y"),
    (["train", "numbers.csv", "--out", "m"], "numbers.csv has no target; name its column with --target"),
])
def test_usage_and_data_errors(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("x,y\n1,a\nfrob,b\n2,a\n")
    (tmp_path / "torn").write_text("x,y\n1,a\nfrob,b\n2,a\n")
    (tmp_path / "one.csv").write_text("x,y\n1,a\n2,a\n3,a\n")
    (tmp_path / "numbers.csv").write_text("1,2\n3,4\n")
    (tmp_path / "words.csv").write_text("id,y\na,1\nb,2\nc,1\n")
    (tmp_path / "latin.csv").write_bytes("x,y\n1,é\n".encode("latin-1"))
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    before = sorted(os.listdir(tmp_path))
    assert refused(capsys, 2, *argv).startswith(message.replace("{folder}", str(tmp_path)))
    assert sorted(os.listdir(tmp_path)) == before


def test_no_arguments_show_the_help(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("usage: backprop [-h] [--version] COMMAND") and "backprop train iris.csv" in err


def test_a_model_and_data_that_do_not_fit(capsys, model, flowers, houses, tmp_path):
    ok(capsys, "train", flowers, "--target", "species", "--drop", "id", "--epochs", 1, "--out", model)
    bad = tmp_path / "bad.csv"
    bad.write_text("length,species\n1,setosa\n")
    assert refused(capsys, 2, "predict", model, bad) == (
        f"{bad}: no column 'width', which the model takes; the columns are length, species")
    bad.write_text("length,width,species\n1,2,setosa\n1,2,rosa\n")
    assert refused(capsys, 2, "evaluate", model, bad) == (
        f"{bad}, line 3, column 3: the target 'rosa' is none of the model's classes, a, b, setosa, virginica")
    bad.write_text("length,width\n1,2\n")
    assert "--target species is not a column of" in refused(capsys, 2, "evaluate", model, bad)
    assert refused(capsys, 2, "predict", model, flowers, "--out", flowers) == (
        f"argument --out: {flowers} is the file that is read, and would be overwritten")
    bad.write_text("a,b,c\n1,2,3\n")
    assert refused(capsys, 2, "predict", model, bad) == (
        f"{bad}: 3 columns of features, and the model takes 2: length, width")
    assert refused(capsys, 2, "predict", model, "digits") == "digits: 64 columns of features, and the model takes 2"
    ok(capsys, "train", houses, "--target", "price", "--epochs", 1, "--out", model)
    assert refused(capsys, 2, "predict", model, houses, "--proba") == (
        "argument --proba: the model is a regression and has no classes")


def test_a_damaged_model_is_refused(capsys, model):
    ok(capsys, "train", "digits", "--epochs", 1, "--out", model)
    raw = bytearray(model.read_bytes())
    raw[-1] ^= 1
    model.write_bytes(raw)
    assert refused(capsys, 2, "evaluate", model, "digits").startswith(f"{model}: the file is damaged: its content has")


def test_divergence_is_a_failed_run(capsys, model, houses):
    code, _, err = run(capsys, "train", houses, "--target", "price", "--optimizer", "sgd", "--learning-rate", 10,
                       "--no-standardize", "--activation", "identity", "--out", model)
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("backprop: error: the loss or a parameter became infinite")
    assert err.endswith("Try a smaller --learning-rate, or leave out --no-standardize\n")
    code, _, err = run(capsys, "train", houses, "--target", "price", "--optimizer", "sgd", "--learning-rate", 1e9,
                       "--activation", "identity", "--out", model)
    assert code == 1 and err.endswith("Try a smaller --learning-rate\n")      # it was not given
    assert not model.exists()


def test_a_full_disk_is_a_failed_run(capsys, model, monkeypatch):
    ok(capsys, "train", "digits", "--epochs", 1, "--out", model)
    before = model.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run(capsys, "train", "digits", "--epochs", 2, "--out", model)
    assert (code, err) == (1, "backprop: error: cannot write the model: No space left on device\n")
    assert refused(capsys, 1, "predict", model, "digits", "--out", model.with_name("out.csv")) == (
        "cannot write the predictions: No space left on device")
    assert model.read_bytes() == before and os.listdir(model.parent) == [model.name]


def interrupted_import(path):
    """What Python 3.11 makes of Ctrl-C while a module makes a class."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__ on 'cached_property' instance") from error


def test_what_nobody_foresaw_is_one_line_too_and_debug_shows_where(capsys, monkeypatch):
    def broken(path):
        raise KeyError("foreseen\nby nobody")

    monkeypatch.setattr(info, "open_model", broken)
    assert refused(capsys, 1, "info", "x") == "unexpected KeyError: 'foreseen\\nby nobody' (--debug shows where)"
    code, _, err = run(capsys, "info", "x", "--debug")
    assert code == 1 and "Traceback" in err and "in broken" in err
    monkeypatch.setattr(info, "open_model", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    assert refused(capsys, 130, "info", "x") == "interrupted"
    monkeypatch.setattr(info, "open_model", interrupted_import)
    assert refused(capsys, 130, "info", "x") == "interrupted"
    monkeypatch.setattr(info, "open_model", lambda path: (_ for _ in ()).throw(DivergenceError("a\nb")))
    assert refused(capsys, 1, "info", "x") == "a b"


@pytest.mark.parametrize("name", [*cli.COMMANDS])
def test_help_of_every_command_has_examples(capsys, name):
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, "--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert out.startswith(f"usage: backprop {name} ") and f"examples:\n  backprop {name} " in out and "--debug" in out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0 and "  backprop train iris.csv --target species --out iris.safetensors\n" in out
    assert all(re.search(rf"^    {name} +\w", out, re.MULTILINE) for name in cli.COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert (exit_.value.code, capsys.readouterr().out) == (0, f"backprop {bp.__version__}\n")


# ---- as a process ----------------------------------------------------------------------------------------------


def test_as_a_module(model):
    done = subprocess.run(command("train", "digits", "--epochs", 1, "--out", model), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")     # no progress bar, for stderr is no terminal
    assert done.stdout.endswith(f"saved to {model}\n")
    done = subprocess.run(command("predict", model, "nothing.csv"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "backprop: error: nothing.csv: No such file or directory\n"


def test_interrupt_keeps_the_model_so_far(model):
    argv = command("train", "digits", "--epochs", 10**9, "--early-stopping", 0, "--checkpoint-every", 5, "--out", model)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not os.path.exists(f"{model}.checkpoint"):     # by then it has trained, however slow the machine
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, err = process.communicate(timeout=20)
    assert time.monotonic() - sent < 5.0
    saved = bp.load(model)
    epochs = saved.network.epochs_trained
    assert process.returncode == 130 and epochs > 0, err
    assert err == f"backprop: interrupted after {epochs} epochs; the model so far is in {model}\n"
    X, y = data.digits()
    assert (saved.predict(X) == y).mean() > 0.5


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_an_interrupt_before_training_has_begun_leaves_the_model_that_was_there(capsys, monkeypatch, model, options):
    argv = ("train", "digits", "--early-stopping", 0, "--out", model)
    ok(capsys, *argv, "--epochs", 2)
    before = model.read_bytes()

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_training_state", interrupted)
    code, _, err = run(capsys, *argv, "--epochs", 3, *options)
    assert (code, err) == (130, "backprop: error: interrupted\n")
    assert model.read_bytes() == before


def test_an_interrupt_after_training_keeps_what_was_trained(capsys, monkeypatch, model):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("backprop.cli.train.scores", interrupted)
    code, _, err = run(capsys, "train", "digits", "--epochs", 2, "--out", model)
    assert (code, err) == (130, "backprop: error: interrupted\n")
    assert bp.load(model).network.epochs_trained == 2
    monkeypatch.setattr(bp.Model, "save", lambda model, path: (_ for _ in ()).throw(OSError(28, "no space left")))
    code, _, err = run(capsys, "train", "digits", "--epochs", 2, "--out", model)
    assert (code, err) == (1, "backprop: error: cannot write the model: no space left\n")


def test_a_reader_that_closes_early_is_no_error(model):
    bp.Network([64, 3], seed=0).save(model)
    argv = command("predict", model, "digits")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_full_output_is_a_failed_run(model):
    bp.Network([64, 3], seed=0).save(model)
    with open("/dev/full", "w") as full:
        done = subprocess.run(command("predict", model, "digits"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "backprop: error: [Errno 28] No space left on device\n")


def with_closed(stream, *argv):
    """The finished command, started by a shell with a stream closed."""
    return subprocess.run(["sh", "-c", f'exec "$@" {stream}', "sh", *command(*argv)], capture_output=True, text=True)


def test_closed_streams(model):
    bp.Network([64, 3], seed=0).save(model)
    done = with_closed(">&-", "predict", model, "digits")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("backprop: error: stdout is closed")
    done = with_closed(">&-", "info", model)
    assert (done.returncode, done.stderr) == (0, "")
    done = with_closed("2>&-", "info", "nothing.safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    done = with_closed("<&-", "predict", model, "digits")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1798)


def test_a_terminal_gets_a_progress_bar(model):
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    argv = command("train", "digits", "--epochs", 20, "--out", model)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:                              # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(main)
    assert process.returncode == 0
    assert b"20/20" in shown and b"loss=" in shown


def test_importing_the_library_loads_none_of_this():
    code = ("import sys, backprop; print(sorted({'argparse', 'tqdm', 'safetensors', 'matplotlib', 'sklearn', "
            "'backprop.model_file', 'backprop.cli'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
