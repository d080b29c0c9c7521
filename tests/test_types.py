"""Type hints: every public signature has them, the stubs say what the compiled modules and the lazy names are."""

import ast
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backprop as bp
from backprop import _core, _dispatch

PACKAGE = Path(bp.__file__).parent
PUBLIC = ["backprop._config", "backprop.data", "backprop.descent", "backprop.ensemble", "backprop.errors",
          "backprop.estimators", "backprop.export", "backprop.history", "backprop.interop", "backprop.many",
          "backprop.metrics", "backprop.model", "backprop.model_file", "backprop.network", "backprop.optimizers",
          "backprop.perceptron", "backprop.plot", "backprop.schedules", "backprop.search", "backprop.stopping",
          "backprop.streams", "backprop.trace"]


def stub(name):
    return ast.parse((PACKAGE / name).read_text())


def functions(cls):
    """(name, function) of the public functions that the class itself defines, its properties' included."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
        if inspect.isfunction(function) and function.__module__ == cls.__module__ and (
                not name.startswith("_") or name == "__init__" and "__init__" in function.__qualname__):
            yield f"{cls.__qualname__}.{name}", function


def public_functions():
    """The functions and methods of what `backprop` and its public modules offer."""
    offered = [getattr(bp, name) for name in bp.__all__]
    offered += [getattr(module, name) for module in map(importlib.import_module, PUBLIC)
                for name in getattr(module, "__all__", [])]
    offered += [bp.schedules.Schedule, *bp.schedules.TABLE.values()]
    for value in offered:
        if inspect.isclass(value) and value.__module__.startswith("backprop"):
            yield from functions(value)
        elif inspect.isfunction(value):
            yield value.__qualname__, value


def test_every_public_signature_has_hints():
    seen = dict(public_functions())
    assert {"Network.train", "Network.weights", "train_many", "load", "MLPClassifier.__init__",
            "cosine.rate"} <= set(seen)
    bare = [f"{name}: {parameter.name}" for name, function in seen.items()
            for parameter in inspect.signature(function).parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")]
    bare += [name for name, function in seen.items() if inspect.signature(function).return_annotation is inspect._empty
             and not name.endswith("__init__")]
    assert bare == []


def test_the_stub_of_the_core_names_its_functions_and_their_parameters():
    declared = {node.name: node for node in stub("_core.pyi").body if isinstance(node, ast.FunctionDef)}
    for module in {_core, _dispatch.core}:
        compiled = {name: value for name, value in vars(module).items()
                    if type(value).__name__ == "cython_function_or_method" and not name.startswith("_")}
        assert set(declared) == set(compiled)
        for name, function in compiled.items():
            parameters = [(p.name, None if p.default is p.empty else repr(p.default))
                          for p in inspect.signature(function).parameters.values()]
            arguments = declared[name].args
            defaults = [*map(ast.unparse, arguments.defaults)]
            defaults = [None] * (len(arguments.args) - len(defaults)) + defaults
            assert [(a.arg, default) for a, default in zip(arguments.args, defaults)] == parameters, name


def test_the_stub_of_the_package_names_what_it_loads_lazily():
    imported = {alias.asname: node.module for node in stub("__init__.pyi").body if isinstance(node, ast.ImportFrom)
                for alias in node.names}
    modules = {name: "backprop" if module == f"backprop.{name}" else module for name, module in bp._LAZY.items()}
    assert imported == {**modules, "Network": "backprop.network", "show_config": "backprop._config"}


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()


USER = '''
import numpy as np
import backprop as bp

net = bp.Network([2, 8, 1], hidden="tanh", seed=0)
history = net.train([[0.0, 1.0]], [[1.0]], epochs=3, validation=0.5, early_stopping=bp.EarlyStopping(patience=2))
reveal_type(history)
reveal_type(net.predict_one([0.0, 1.0]))
reveal_type(net.learn_one([0.0, 1.0], [1.0], 0.1))
reveal_type(net([[0.0, 1.0]]))
reveal_type(net.biases)
reveal_type(history.val_loss)
reveal_type(bp.train_many([net], ([[0.0, 1.0]], [[1.0]])))
reveal_type(bp.Perceptron().fit([[0.0], [1.0]], ["no", "yes"]))
reveal_type(bp.data.digits())
reveal_type(bp.gradient_descent(lambda w: float(w @ w), np.ones(2)))
bp.Network("2-8-1")
bp.Network([2, 1], seed="zero")
net.train([[0.0, 1.0]], [[1.0]], epoch=3)
net.learn_one([0.0], [1.0])
bp.nowhere
'''
REVEALED = ["backprop.history.History", "numpy.ndarray", "float", "numpy.ndarray", "list[", "list[float | None]",
            "list[", "backprop.perceptron.Perceptron", "backprop.data.Dataset", "backprop.descent.DescentResult"]
# Where the package lies in the source tree, mypy is told so; where it is installed, mypy finds it by itself.
PATHS = {} if importlib.util.find_spec("numpy").origin.startswith(str(PACKAGE.parent)) else {
    "MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)}
REFUSED = {"arg-type": 'incompatible type "str"', "call-arg": "epoch", "attr-defined": "nowhere"}


@pytest.mark.slow
def test_mypy_sees_the_public_names_of_the_installed_package(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed (the extra `dev`)")
    (tmp_path / "user.py").write_text(USER)
    out = subprocess.run([sys.executable, "-m", "mypy", "--follow-imports", "silent", "--cache-dir", tmp_path / "cache",
                          "user.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                         env={**PATHS, "PATH": ""})
    lines = out.stdout.splitlines()
    revealed = [line.split("Revealed type is ")[1] for line in lines if "Revealed type" in line]
    assert len(revealed) == len(REVEALED), out.stdout + out.stderr
    for found, expected in zip(revealed, REVEALED):
        assert expected in found
    errors = [line for line in lines if "user.py" in line and ": error:" in line]
    assert len(errors) == 5, out.stdout
    for code, words in REFUSED.items():
        assert any(f"[{code}]" in line and words in line for line in errors), code


@pytest.mark.slow
def test_the_stubs_agree_with_the_compiled_modules(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed (the extra `dev`)")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\ndisable_error_code = import-untyped, import-not-found\n")
    allowed = tmp_path / "allowed"
    allowed.write_text("backprop\\._(core|cpu)\\.__test__\n")          # Cython's, for doctest
    out = subprocess.run([sys.executable, "-m", "mypy.stubtest", "--mypy-config-file", config, "backprop._core",
                          "backprop._cpu", "--allowlist", allowed], capture_output=True, text=True, timeout=120,
                         cwd=tmp_path, env={**os.environ, **PATHS})
    assert out.returncode == 0, out.stdout + out.stderr
