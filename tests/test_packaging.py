"""What an installation holds, and how it behaves when it is imported."""

import importlib.metadata
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import backprop

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def distribution():
    try:
        return importlib.metadata.distribution("backprop-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("backprop runs from the source tree: it is not installed")


def test_version(distribution):
    assert distribution.version == backprop.__version__


def test_metadata(distribution):
    assert distribution.metadata["Requires-Python"] == ">=3.11"
    assert distribution.metadata["License-Expression"] == "BSD-3-Clause"
    required = {re.match(r"[\w-]+", r).group() for r in distribution.requires if "extra ==" not in r}
    assert required == {"numpy", "safetensors", "tqdm"}


def test_no_sources_are_installed(distribution):
    names = [str(name) for name in distribution.files or []]
    if not any(name.startswith("backprop/") for name in names):
        pytest.skip("an editable installation lists no files")
    assert any(name.startswith("backprop/_core.") for name in names)
    sources = [name for name in names if name.endswith((".pyx", ".pxi", ".c", ".h"))]
    assert sources == ["backprop/bench/machine.c"]               # compiled by `backprop bench`, to measure the machine


def test_package_data():
    files = {entry.name for entry in resources.files("backprop.datasets").iterdir()}
    assert {"digits.csv.gz", "README.md"} <= files              # the data, and its source and licence
    assert resources.files("backprop").joinpath("py.typed").is_file()


def test_import_is_quiet_and_light():
    code = ("import sys, backprop\n"
            "heavy = {'sklearn', 'scipy', 'matplotlib', 'tqdm', 'pandas', 'torch', 'dask', 'argparse', 'safetensors',\n"
            "         'onnx', 'backprop.export', 'backprop.interop'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")


GLOBAL_STATE = """
import contextlib, csv, decimal, gc, importlib.util, locale, logging, multiprocessing, os, random, signal, socket, sys
import threading, warnings
import numpy as np

for number in signal.valid_signals():                            # those that the parent ignores are ignored here, too
    with contextlib.suppress(OSError):
        signal.signal(number, signal.SIG_DFL)
os.umask(0o027)

def umask():
    now = os.umask(0o027)
    os.umask(now)
    return now

def state():
    name, keys, *rest = np.random.get_state()
    return {"random": random.getstate(), "numpy.random": (name, keys.tobytes(), *rest), "floating point": np.geterr(),
            "printing": np.get_printoptions(), "locale": locale.setlocale(locale.LC_ALL),
            "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
            "threads": threading.enumerate(), "environment": dict(os.environ), "folder": os.getcwd(),
            "warnings": list(warnings.filters), "logging": (list(logging.root.handlers), logging.root.level),
            "hooks": (sys.excepthook, sys.displayhook, threading.excepthook, sys.gettrace(), sys.getprofile()),
            "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()),
            "streams": (sys.stdin, sys.stdout, sys.stderr), "path": list(sys.path),
            "numbers": (str(decimal.getcontext()), sys.get_int_max_str_digits()), "umask": umask(),
            "defaults": (csv.field_size_limit(), csv.list_dialects(), socket.getdefaulttimeout(),
                         multiprocessing.get_start_method(allow_none=True))}

def unchanged(what):
    for key, value in state().items():
        assert value == before[key], (what, key, before[key], value)

before = state()
import backprop as bp
unchanged("import backprop")
for name in ("sklearn.utils.validation", "matplotlib.figure"):   # they change what they change: environment, filters
    if importlib.util.find_spec(name.partition(".")[0]) is not None:
        importlib.import_module(name)
before = state()
for name in sorted({*dir(bp)} - {"dask"}):
    getattr(bp, name)
    unchanged(name)
net = bp.Network([2, 3, 1], seed=0)
net.train([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3, batch_size=2, n_threads=2)
bp.Perceptron(random_state=0).fit([[0.0], [1.0]], [0, 1])
unchanged("training")
net.save("model")
bp.load("model")
with open("a.csv", "w") as file:
    file.write('a,b\\n"1",2\\n')
bp.data.load("a.csv")
bp.export.c(net, "net.c")
unchanged("files")
"""


def test_import_changes_no_global_state(tmp_path):
    """Nor does what is loaded when it is first used, aside from what the other packages change that it loads.

    This process has imported it already, so that a child must not inherit what that may have changed.
    """
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.defpath}
    subprocess.run([sys.executable, "-c", GLOBAL_STATE], check=True, timeout=60, cwd=tmp_path, env=environment)


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    described = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert described == phony


def test_commands_in_the_texts_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\bmake ([a-z-]+)\b", (ROOT / name).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name} names make {target}"
