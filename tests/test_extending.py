"""The recipes of docs/extending.md, carried out in a copy of the library, which is built and tried."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPE = re.compile(r"^<!-- into: (\S+) -->\n```cython\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BASELINE_ONLY = ("import platform, runpy, sys; platform.machine = lambda: 'other'; "
                 "sys.argv = ['setup.py', 'build_ext', '--inplace']; runpy.run_path('setup.py', run_name='__main__')")
CHECK = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import backprop as bp
import reference
from backprop import activations, losses, optimizers

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(21, 3)), rng.normal(size=(21, 2))
sizes, W = [3, 5, 2], lambda: [rng.normal(size=(m, n)) for m, n in ((3, 5), (5, 2))]
b = lambda: [rng.normal(size=n) for n in (5, 2)]

reference.ACTIVATIONS["softsign"] = lambda a: a / (1 + abs(a)), lambda a: 1 / (1 + abs(a)) ** 2
reference.LOSSES["log_cosh"] = (lambda y, p: np.log(np.cosh(y - p)).sum(axis=1), lambda y, p: -np.tanh(y - p))
assert activations.NAMES[-1] == "softsign" and losses.TABLE[-1]["name"] == "log_cosh" and optimizers.RULES[-1] == "lion"
weights, biases = W(), b()
net = bp.Network(sizes, hidden="softsign", output="softsign", loss="log_cosh", init=(weights, biases))
twin = reference.Reference(weights, biases, ["softsign"], "softsign", "log_cosh")
assert abs(net.evaluate(X, Y) / twin.loss(X, Y) - 1) < 1e-12
assert net.check_gradients(X, Y).max_relative_error < 1e-6
assert net.copy().evaluate(1e4 * X, 1e4 * Y) < 1e6                    # nothing overflows

w, m, eta, betas = net.parameters, 0.0, 0.01, (0.9, 0.99)
for step in range(3):                                                 # Lion, from the gradients of the network itself
    found = net.copy()
    found.set_parameters(w)
    g = found.gradients(X, Y)
    g = np.concatenate([np.ravel(p) for pair in zip(g.weights, g.biases) for p in pair])
    w = w - eta * np.sign(betas[0] * m + (1 - betas[0]) * g)
    m = betas[1] * m + (1 - betas[1]) * g
trained = [net.copy() for _ in range(2)]
trained[0].train(X, Y, epochs=3, batch_size="full", optimizer="lion", learning_rate=eta)
assert np.abs(trained[0].parameters - w).max() < 1e-12
trained[1].train(X, Y, epochs=2, batch_size="full", optimizer="lion", learning_rate=eta)
trained[1].save("lion.safetensors")
resumed = bp.load("lion.safetensors")
resumed.train(X, Y, epochs=1, batch_size="full", optimizer="lion", learning_rate=eta)
assert np.array_equal(resumed.parameters, trained[0].parameters)
print("right")
"""


def recipes():
    return RECIPE.findall((ROOT / "docs" / "extending.md").read_text(encoding="utf-8"))


def follow(source, recipe):
    """The source of a table with a recipe's kernels before its count, the count raised, the row behind the last one."""
    start = re.search(r"^[A-Z]+\[(\d+)\] = ", recipe, re.MULTILINE)
    kernels, row, number = recipe[:start.start()], recipe[start.start():], int(start[1])
    before, rest = source.split("cdef enum:\n", 1)
    rest, raised = re.subn(rf"^(    N_[A-Z]+ = ){number}$", rf"\g<1>{number + 1}", rest, flags=re.MULTILINE)
    assert raised == 1, f"row {number} does not come next"
    rows, functions = rest.split("\n\n\ndef ", 1)
    return f"{before}{kernels}\n\ncdef enum:\n{rows}\n{row}\n\ndef {functions}"


def test_recipes_fit_the_tables():
    found = recipes()
    assert [path.rsplit("/", 1)[1] for path, _ in found] == ["activations.pxi", "losses.pxi", "optimizers.pxi"]
    for path, recipe in found:
        assert recipe.splitlines()[0] in follow((ROOT / path).read_text(encoding="utf-8"), recipe)


@pytest.mark.slow
def test_recipes_work(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "_c*.c", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for path, recipe in recipes():
        source = tmp_path / path
        source.write_text(follow(source.read_text(encoding="utf-8"), recipe), encoding="utf-8")
    subprocess.run([sys.executable, "-c", BASELINE_ONLY], cwd=tmp_path, check=True, capture_output=True, timeout=600)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "BACKPROP_SIMD": "baseline"}
    done = subprocess.run([sys.executable, "-c", CHECK, str(ROOT / "tests")], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("right\n", "")
