"""`backprop bench`: the benchmark of an installed package, without the peers that take minutes to install."""

import json
import os
import subprocess
import sys

import pytest

import backprop as bp
from backprop.cli import bench, main
from command_line import command, refused


def test_list_names_the_cases():
    done = subprocess.run(command("bench", "--list"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    names = done.stdout.splitlines()
    assert "online 64-32-10" in names and "batch 32 784-30-10" in names
    line = " ".join(map(str, command("bench", "--list")))
    done = subprocess.run(["sh", "-c", f"{line} | head -1"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{names[0]}\n", "")


@pytest.mark.slow
def test_streams_are_measured_in_processes_of_their_own(tmp_path):
    """On a small file: the bits of memory, which the script asserts, the rates and the memory."""
    script = bench.PACKAGE / "bench" / "streaming.py"
    argv = [sys.executable, str(script), "--rows", "2000", "--csv-rows", "200", "--features", "3", "--repeats", "1"]
    environment = {**os.environ, "PYTHONPATH": str(bench.PACKAGE.parent)}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and lines[2].startswith("1 at a time, sgd") and lines[4].count("%") == 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "average"])
def test_rounds_on_dask_are_measured_with_one_and_two_workers(mode):
    pytest.importorskip("distributed", reason="needs Dask, the extra `dask`")
    argv = [sys.executable, str(bench.PACKAGE / "bench" / "cluster.py"), "8-4-1", "400", mode, "2"]
    environment = {**os.environ, "PYTHONPATH": str(bench.PACKAGE.parent)}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    seconds = json.loads(done.stdout)
    assert set(seconds) == {"backprop", "one worker", "Network.train"}
    assert all(len(each) == 2 and min(each) > 0 for each in seconds.values())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the benchmark needs Linux")
def test_a_case_without_peers_is_timed_and_missing_peers_are_named(tmp_path):
    """A peer that cannot be imported does not end the run."""
    for name in ("jax", "numba", "torch", "sklearn", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{bench.PACKAGE.parent}"}
    argv = command("bench", "--no-install", "--only", "online 2-8-1", "--quick", "--repeats", 1, "--out", "out.json")
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert all(f"missing: {name}: not here\n" in done.stdout for name in ("jax", "numba", "torch"))
    results = json.loads((tmp_path / "out.json").read_text())
    assert [case["name"] for case in results["cases"]] == ["online 2-8-1"]
    assert {timing["name"] for timing in results["cases"][0]["timings"]} == {"backprop", "numpy"}
    assert results["machine"]["command"].startswith("backprop bench --only")
    assert [figure["met"] for figure in results["cases"][0]["figures"]] == [None]     # the fastest of all is not known
    assert done.stdout.count("not judged without jax and numba") == 2 and "0 of 0 figures met" in done.stdout


def test_an_environment_is_made_once(tmp_path, monkeypatch):
    """pip is told what requirements.txt pins; a peer that cannot be installed is skipped by name."""
    calls, said = [], []

    def run(argv, **options):
        calls.append(argv[1:])
        if argv[1:3] == ["-m", "venv"]:
            bench._python(tmp_path).parent.mkdir(parents=True)
            bench._python(tmp_path).symlink_to(sys.executable)
        failed = any(word.startswith("torch") for word in argv)
        return subprocess.CompletedProcess(argv, int(failed), stdout=str(tmp_path / "site"), stderr="")

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "warn", said.append)
    bench._install(tmp_path, bench._python(tmp_path))
    assert calls[0] == ["-m", "venv", str(tmp_path)] and list(calls[1][-3:]) == list(bench.OURS)
    assert any(argv[-1].startswith("jax==") for argv in calls)
    assert len(said) == 2 and said[1].startswith("backprop: torch==") and said[1].endswith("is skipped")
    assert (tmp_path / "site" / "backprop" / "cli" / "bench.py").exists()
    assert not list((tmp_path / "site").rglob("*.pyx"))
    count = len(calls)
    bench._install(tmp_path, bench._python(tmp_path))
    assert len(calls) == count + 1                       # the place for a fresh copy of the package, and no pip


def test_an_environment_of_other_pins_is_brought_up_to_date(tmp_path, monkeypatch):
    """Nothing is made anew, and where pip installs all at once nothing is tried one by one."""
    calls, said = [], []
    (tmp_path / "peers").write_text("of old")
    python = bench._python(tmp_path)
    python.parent.mkdir()
    python.symlink_to(sys.executable)

    def run(argv, **options):
        calls.append(argv[1:])
        return subprocess.CompletedProcess(argv, 0, stdout=str(tmp_path / "site"), stderr="")

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "warn", said.append)
    bench._install(tmp_path, python)
    assert [argv[:3] for argv in calls[:2]] == [["-m", "pip", "install"]] * 2 and len(calls) == 3 and len(said) == 1
    assert (tmp_path / "peers").read_text() != "of old" and (tmp_path / "site" / "backprop" / "cli").is_dir()


@pytest.mark.parametrize("stderr, reason", [("first\nno network\n", "no network"), ("", "no reason given")])
def test_an_environment_that_cannot_be_made(capsys, tmp_path, monkeypatch, stderr, reason):
    monkeypatch.setattr(bench.subprocess, "run",
                        lambda argv, **options: subprocess.CompletedProcess(argv, 1, "", stderr))
    assert main(["bench", "--env", str(tmp_path / "env")]) == 1
    assert capsys.readouterr().err.endswith(f"no environment can be made in {tmp_path / 'env'}: {reason}\n")
    assert not (tmp_path / "env" / "peers").exists()


def test_the_benchmark_runs_in_the_environment_with_the_copy_that_it_has(tmp_path, monkeypatch):
    made, ran = [], []

    def run(argv, **options):
        ran.append((argv, options))
        return subprocess.CompletedProcess(argv, 2)

    monkeypatch.setattr(bench, "_install", lambda *places: made.append(places))
    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert main(["bench", "--env", str(tmp_path), "--quick"]) == 2
    python = tmp_path / "bin" / "python"
    (argv, options), = ran
    assert made == [(tmp_path, python)] and argv == [str(python), str(bench.BENCH / "run.py"), "--quick"]
    assert "PYTHONPATH" not in options["env"]


def test_what_is_refused(capsys, tmp_path):
    assert refused(capsys, 2, "bench", "--repeats", 0) == "argument --repeats: must be at least 1, got 0"
    assert refused(capsys, 2, "bench", "--env", tmp_path, "--no-install") == (
        f"argument --env: there is no environment in {tmp_path}")
    assert refused(capsys, 2, "bench", "--chart", "chart.bmp") == "argument --chart: chart.bmp must end in .png or .svg"
    assert refused(capsys, 2, "bench", "--frob") == "unrecognized arguments: --frob (see backprop --help)"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the benchmark needs Linux")
@pytest.mark.parametrize("option, value, message", [
    ("--only", "no such case", "--only and --skip leave no case; --list names them all"),
    ("--core", 9999, "argument --core: 9999 is none of the cores "),
])
def test_what_the_script_refuses(tmp_path, option, value, message):
    argv = command("bench", "--no-install", option, value)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(bench.PACKAGE.parent)}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(f"backprop: error: {message}")
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_swaps_show_no_times_where_the_classes_do_not_agree(monkeypatch):
    monkeypatch.syspath_prepend(str(bench.BENCH))
    before = set(sys.modules)
    import swaps

    swap = swaps.swap("wine", None, {"max_iter": 1, "hidden_layer_sizes": (3,), "solver": "lbfgs"})
    monkeypatch.setattr(swaps, "SEEDS", 2)
    timings, learnt = swaps.learn(swap)
    assert [timing.contender.name for timing in timings] == ["backprop", "sklearn"]
    assert all(len(timing.samples) == 2 for timing in timings) and set(learnt["scores"]) == {"backprop", "sklearn"}

    class Other(bp.MLPClassifier):
        """Starts elsewhere."""

        def fit(self, X, y):
            self.init = "he_normal"
            return super().fit(X, y)

    class Worse(bp.MLPClassifier):
        """Learns the same, and is told to have learnt less."""

        def score(self, X, y, sample_weight=None):
            return super().score(X, y, sample_weight) - 0.02

    theirs = swap.classes()["sklearn"]
    for ours, message in ((Other, "one epoch.* differs by"), (Worse, "the mean test scores are -0.02")):
        with pytest.raises(swaps.Disagreement, match=message):
            monkeypatch.setattr(swaps.Swap, "classes", lambda self, ours=ours: {"backprop": ours, "sklearn": theirs})
            swaps.learn(swap)
    for name in set(sys.modules) - before:               # scripts beside each other, with names of their own
        if str(bench.BENCH) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
