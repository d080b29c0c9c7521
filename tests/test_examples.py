"""The examples run, say what they should, and make their figures; their percent format opens as a notebook."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backprop as bp

pytest.importorskip("matplotlib", reason="the examples draw, and need the extra `plot`: matplotlib")
Image = pytest.importorskip("PIL.Image", reason="the examples draw, and need the extra `plot`: pillow")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples"
FASHION = Path("/usr/share/datasets/fashion-mnist")
MADE = {                        # example: the files that it makes
    "concept_drift": ["concept_drift.png"],
    "digits": ["digits-model.safetensors", "digits.png"],
    "fashion_mnist": ["fashion_mnist.png"],
    "grid_search": ["grid_search.png"],
    "levenberg_marquardt": ["levenberg_marquardt.png"],
    "perceptron": ["perceptron.gif", "perceptron.png"],
    "web_service": ["web_service.png"],
    "xor": ["xor.gif", "xor.png"],
}


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(bp.__file__).parents[1]), "PYTHONWARNINGS": "error",
            "PYTHONIOENCODING": "utf-8"}


def run(name, out, *options):
    """What the example prints; it must end well and make its files."""
    needs(name)
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--out", str(out), "--quick", *options], cwd=out,
                          capture_output=True, text=True, encoding="utf-8", timeout=120, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == MADE[name]
    for path in out.glob("*.[pg][ni][gf]"):
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) >= 300 and len(picture.convert("RGB").getcolors(1 << 24)) > 20
    return done.stdout


def needs(name):
    if name == "fashion_mnist" and not FASHION.exists():
        pytest.skip("Fashion-MNIST is not installed: Debian's dataset-fashion-mnist")
    if name == "grid_search":
        pytest.importorskip("sklearn", reason="the grid search is scikit-learn's")
        if not hasattr(bp, "MLPClassifier"):
            pytest.skip("this build has no MLPClassifier")


def number(pattern, text):
    return float(re.search(pattern, text).group(1))


def test_every_example_is_tested():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*MADE, "common"}


def test_xor(tmp_path):
    printed = run("xor", tmp_path)
    assert number(r"perceptron: (\d) of 4", printed) == 3
    assert number(r"network: (\d) of 4", printed) == 4


def test_perceptron_keeps_to_novikoffs_bound(tmp_path):
    printed = run("perceptron", tmp_path)
    mistakes = number(r"(\d+) mistakes in all", printed)
    assert 2 <= mistakes <= number(r"= (\d+) are possible", printed)
    assert json.loads(re.search(r"each epoch: (\[.*\])", printed).group(1))[-1] == 0
    with Image.open(tmp_path / "perceptron.gif") as gif:
        assert gif.n_frames == mistakes


def test_digits(tmp_path):
    printed = run("digits", tmp_path)
    assert number(r"Test accuracy: ([\d.]+)", printed) > 0.95
    assert bp.load(tmp_path / "digits-model.safetensors").sizes == [64, 32, 10]


def test_fashion_mnist(tmp_path):
    assert number(r"accuracy on the test images: ([\d.]+)", run("fashion_mnist", tmp_path)) > 0.75


def test_fashion_mnist_tells_how_to_get_the_data(tmp_path):
    command = [sys.executable, str(FOLDER / "fashion_mnist.py"), "--out", str(tmp_path), "--data", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("Fashion-MNIST is not in nowhere.")
    assert "apt-get install dataset-fashion-mnist" in done.stderr and "Traceback" not in done.stderr


def test_levenberg_marquardt(tmp_path):
    printed = run("levenberg_marquardt", tmp_path)
    assert number(r"levenberg_marquardt .*error ([\d.]+)", printed) < number(r"adam .*error ([\d.]+)", printed)


def test_grid_search(tmp_path):
    assert number(r"on the test part ([\d.]+)", run("grid_search", tmp_path)) > 0.9


def test_concept_drift_is_followed_by_the_network_that_goes_on_learning(tmp_path):
    printed = run("concept_drift", tmp_path)
    before, abrupt, gradual = re.findall(r"learning on: ([\d.]+) right; frozen: ([\d.]+)", printed)
    assert before[0] == before[1]
    for online, frozen in (abrupt, gradual):
        assert float(online) > float(frozen) + 0.15


def test_web_service_measures_its_latency(tmp_path):
    printed = run("web_service", tmp_path)
    assert "a bad request: 400 x has 63 values, expected 64 (the network's inputs)" in printed
    assert number(r"requests, ([\d.]+) of the digits right", printed) > 0.9
    rows = {name.strip(): (float(p50), float(p99)) for name, p50, p99 in
            re.findall(r"^(.*?) p50 +([\d.]+) µs +p99 +([\d.]+) µs", printed, re.MULTILINE)}
    alone, request = rows["predict_one of an array"], rows["the whole request"]
    assert len(rows) == 3 and all(p50 <= p99 for p50, p99 in rows.values())
    assert alone[0] < request[0]


# ---- notebooks -------------------------------------------------------------------------------------------------------

def cells(path):
    """(kind, lines) of each cell of a percent script."""
    parts = re.split(r"^# %%(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert parts[0] == "", f"{path.name} does not start with a cell"
    return [(kind.strip() or "code", body) for kind, body in zip(parts[1::2], parts[2::2])]


@pytest.mark.parametrize("name", MADE)
def test_percent_format(name):
    found = cells(FOLDER / f"{name}.py")
    assert {kind for kind, _ in found} == {"code", "[markdown]"}
    assert found[0][0] == "[markdown]" and found[0][1].startswith("# # ")       # a title comes first
    assert len(found) >= 5
    for kind, body in found:
        if kind == "code":
            assert ast.parse(body).body                     # each cell is whole statements, as a notebook runs them
        else:
            assert all(line.startswith("#") for line in body.strip().splitlines())


def notebook(name):
    jupytext = pytest.importorskip("jupytext", reason="notebooks need the extra `notebooks`: jupytext")
    return jupytext.read(FOLDER / f"{name}.py")


@pytest.mark.parametrize("name", MADE)
def test_notebooks_have_the_cells_of_the_scripts(name):
    made = notebook(name)
    assert [cell.cell_type for cell in made.cells] == [kind.strip("[]") for kind, _ in cells(FOLDER / f"{name}.py")]


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_notebooks_run(name, monkeypatch):
    needs(name)
    made = notebook(name)
    nbclient = pytest.importorskip("nbclient", reason="notebooks run by nbclient, of the extra `notebooks`")
    pytest.importorskip("ipykernel", reason="notebooks run in ipykernel, of the extra `notebooks`")
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("PYTHONWARNINGS")                    # Jupyter's own are not ours to fix
    monkeypatch.delenv("MPLBACKEND", raising=False)         # the kernel shows figures in the notebook
    monkeypatch.setenv("BACKPROP_QUICK", "1")
    client = nbclient.NotebookClient(made, timeout=300, kernel_name="python3",
                                     resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    outputs = [output for cell in made.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
