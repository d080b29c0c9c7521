"""The SIMD variant that is picked at import, what cannot run, other processors, old compilers, and `show_config`."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import backprop as bp
import bits
from backprop import _cpu, _dispatch, training

ROOT = Path(__file__).parent.parent
QEMU = shutil.which("qemu-x86_64")
PICK = "from backprop import _dispatch; print(_dispatch.variant)"

# A package that has the files and not yet run a line: what `_dispatch` imports can be changed before it does.
STUB = (f"import sys, types; package = types.ModuleType('backprop'); package.__path__ = {list(bp.__path__)!r}; "
        "sys.modules['backprop'] = package; ")


def python(*arguments, before=(), **environment):
    """A fresh Python; `before` goes in front of the command."""
    inherited = {key: value for key, value in os.environ.items() if key != "BACKPROP_SIMD"}
    return subprocess.run([*before, sys.executable, *arguments], capture_output=True, text=True, timeout=120,
                          env={**inherited, **environment})


def refusal(code, **environment):
    """The last line of the traceback of a process that must fail, having printed nothing."""
    done = python("-c", code, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1]


# ---- the pick --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", _dispatch.available())
def test_each_variant_can_be_forced(name):
    code = "import backprop as bp; bp.show_config(); from backprop._dispatch import core; print(core.__name__)"
    done = python("-c", code, BACKPROP_SIMD=name)
    assert f"simd: {name}\n" in done.stdout and done.stdout.endswith(f"{_dispatch.MODULES[name]}\n"), done.stderr


def test_the_best_variant_is_picked():
    assert python("-c", PICK).stdout == f"{_dispatch.available()[-1]}\n"


@pytest.mark.parametrize("name", ["", "V3", "avx2", "v5", " v3"])
def test_unknown_names_are_refused(name):
    assert refusal("import backprop", BACKPROP_SIMD=name) == \
        f"RuntimeError: BACKPROP_SIMD={name!r} is unknown: expected one of baseline, v3, v4"


def test_what_the_processor_lacks_is_refused_or_passed_over():
    small = STUB + "from backprop import _cpu; _cpu.supported = lambda: ['baseline']; "
    assert refusal(small + "import backprop._dispatch", BACKPROP_SIMD="v4") == \
        "RuntimeError: BACKPROP_SIMD='v4' cannot run on this processor, which supports baseline"
    assert python("-c", small + PICK).stdout == "baseline\n"


MISSING = STUB + ("import importlib.abc\n"
                  "class Missing(importlib.abc.MetaPathFinder):\n"
                  "    def find_spec(self, name, path, target=None):\n"
                  "        if name in {names!r}: raise {error}\n"
                  "sys.meta_path.insert(0, Missing())\n")


def without(*variants, error="ModuleNotFoundError(name, name=name)"):
    names = [_dispatch.MODULES[name] for name in variants]
    return MISSING.replace("{names!r}", repr(names)).replace("{error}", error)


@pytest.mark.parametrize("name", _dispatch.available())
def test_what_was_not_built_is_refused(name):
    assert refusal(without(name) + "import backprop._dispatch", BACKPROP_SIMD=name) == \
        f"RuntimeError: BACKPROP_SIMD={name!r} was not built: the compiler that built this package lacked it"


def test_what_was_not_built_is_passed_over():
    assert python("-c", without("v3", "v4") + PICK).stdout == "baseline\n"
    assert refusal(without("baseline", "v3", "v4") + PICK) == \
        "RuntimeError: backprop's compiled core is missing: install the package again (pip install .)"


def test_a_broken_variant_is_no_missing_one():
    best = _dispatch.available()[-1]
    broken = without(best, error="ImportError('undefined symbol: bp_wait')")
    assert refusal(broken + PICK) == "ImportError: undefined symbol: bp_wait"
    incomplete = without(best, error="ModuleNotFoundError('No module named numpy', name='numpy')")
    assert refusal(incomplete + PICK) == "ModuleNotFoundError: No module named numpy"


# ---- other processors ------------------------------------------------------------------------------------------------

needs_qemu = pytest.mark.skipif(QEMU is None or "baseline" == _dispatch.available()[-1],
                                reason="needs qemu-x86_64 (Debian: qemu-user) and an x86-64 build")


@needs_qemu
def test_haswell_runs_v3_with_the_golden_bits():
    """Emulated without AVX-512, instruction by instruction: the hashes are those of the silicon."""
    code = (f"import runpy, sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom backprop import _dispatch\n"
            "assert _dispatch.variant == 'v3', _dispatch.variant\nsys.argv = ['bits.py']\n"
            f"runpy.run_path({bits.__file__!r}, run_name='__main__')")
    done = python("-c", code, before=(QEMU, "-cpu", "Haswell"))
    assert done.returncode == 0, done.stderr
    found, golden = json.loads(done.stdout), json.loads(bits.GOLDEN.read_text(encoding="utf-8"))
    assert [name for name in golden if found[name] != golden[name]] == []


@needs_qemu
def test_nehalem_runs_the_baseline():
    code = ("import backprop as bp\nfrom backprop import _dispatch\nassert _dispatch.available() == ['baseline']\n"
            "bp.Network([2, 8, 1], seed=1).train([[0, 1], [1, 0]], [1, 0], epochs=3)\nprint(_dispatch.variant)")
    done = python("-c", code, before=(QEMU, "-cpu", "Nehalem"))
    assert (done.returncode, done.stdout) == (0, "baseline\n"), done.stderr
    done = python("-c", PICK, before=(QEMU, "-cpu", "Nehalem"), BACKPROP_SIMD="v3")
    assert done.returncode == 1 and "cannot run on this processor, which supports baseline" in done.stderr


# ---- old compilers ---------------------------------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.skipif("v3" not in _cpu.supported(), reason="the processor has only the baseline")
@pytest.mark.parametrize("refused, best", [("v4", "v3"), ("v[34]", "baseline")])
def test_a_variant_that_the_compiler_lacks_is_left_out(tmp_path, refused, best):
    """A compiler of old, which refuses some -march, builds the rest, says what is left out, and the library works."""
    pytest.importorskip("Cython")
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info", ".*", "build")
    shutil.copytree(ROOT, source, ignore=ignore)
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nfor word in "$@"; do\n    case $word in -march=x86-64-' + refused + ') '
                        'echo "cc: error: bad value for -march= switch" >&2; exit 1;; esac\ndone\nexec cc "$@"\n')
    compiler.chmod(0o755)
    done = subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=source, capture_output=True,
                          text=True, timeout=500, env={**os.environ, "CC": str(compiler), "BACKPROP_CFLAGS": "-O1"})
    assert done.returncode == 0, done.stderr
    suffix, left_out = sysconfig.get_config_var("EXT_SUFFIX"), {"v4"} if best == "v3" else {"v3", "v4"}
    for name in ("v3", "v4"):
        warning = f"warning: backprop._core_{name} is left out: this compiler does not take -march=x86-64-{name}"
        assert (warning in done.stderr) == (name in left_out)
        assert (source / f"src/backprop/_core_{name}{suffix}").exists() == (name not in left_out)
    code = "import backprop as bp; bp.Network([2, 3, 1]).train([[0, 1]], [1]); from backprop import _dispatch; " \
           "print(bp.__file__, _dispatch.variant, _dispatch.available()[-1], *_dispatch.not_built())"
    done = python("-c", code, PYTHONPATH=str(source / "src"))
    missing = [name for name in _cpu.supported() if name in left_out]
    assert done.stdout.split() == [str(source / "src/backprop/__init__.py"), best, best, *missing], done.stderr


# ---- show_config -----------------------------------------------------------------------------------------------------

def test_show_config(capsys):
    config = bp.show_config()
    assert capsys.readouterr().out == "".join(f"{key}: {value}\n" for key, value in config.items())
    assert config["version"] == bp.__version__
    assert config["simd"] == _dispatch.variant and config["simd"] in config["simd_available"]
    assert config["simd_available"] == _dispatch.available() and config["simd_not_built"] == _dispatch.not_built()
    assert config["simd_width"] == {"baseline": 2, "v3": 4, "v4": 8}.get(_dispatch.variant)
    assert "GCC" in config["compiler"].upper() or "CLANG" in config["compiler"].upper()
    assert config["threads"] == 1
    assert config["processors"] == training.processors() >= 1


def test_show_config_names_what_was_not_built(monkeypatch, capsys):
    monkeypatch.setattr(_dispatch, "_is_built", lambda name: name == "baseline")
    config = bp.show_config()
    assert config["simd_available"] == ["baseline"] and config["simd_not_built"] == _cpu.supported()[1:]
    assert f"simd_not_built: {_cpu.supported()[1:]!r}\n" in capsys.readouterr().out
