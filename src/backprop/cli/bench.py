"""``backprop bench``: the benchmark against other libraries, in an environment of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from backprop.cli.arguments import RunError, UsageError
from backprop.cli.output import check_path, warn

BENCH = Path(__file__).resolve().parent.parent / "bench"       # scripts, which run in that environment
PACKAGE = Path(__file__).resolve().parent.parent
OURS = ("numpy", "safetensors", "tqdm")                        # what backprop itself needs there
EXAMPLES = """\
examples:
  backprop bench --quick
  backprop bench --only "batch 32" --repeats 5
  backprop bench --only online --no-install --out online.json --chart online.png
  backprop bench --list

The first run installs the peers (JAX, numba, PyTorch, scikit-learn, onnxruntime: some GB) with pip into an environment
of their own, which later runs use again. A peer that is missing is skipped by name.
"""


def arguments(parser):
    parser.add_argument("--env", metavar="FOLDER", help="the environment of the peers (default: a folder in the cache, "
                                                        "~/.cache/backprop)")
    parser.add_argument("--no-install", action="store_true",
                        help="install nothing: the environment as it is, or this one where there is none")
    run_ = parser.add_argument_group("passed on to the benchmark")
    run_.add_argument("--only", metavar="PATTERN", help="cases whose name contains this (or matches it, with * and ?)")
    run_.add_argument("--skip", metavar="PATTERN", help="leave these cases out")
    run_.add_argument("--list", action="store_true", help="name the cases and stop")
    run_.add_argument("--quick", action="store_true", help="fewer cases and rounds: under two minutes")
    run_.add_argument("--repeats", type=int, metavar="N", help="rounds per case (default: 9; 5 with --quick)")
    run_.add_argument("--simd", choices=("baseline", "v3", "v4"), help="our kernels' variant (default: the best)")
    run_.add_argument("--core", type=int, metavar="N", help="the core to run on (default: the last)")
    run_.add_argument("--out", metavar="FILE", help="results as JSON (default: backprop-bench-<simd>.json)")
    run_.add_argument("--chart", metavar="FILE", help="chart as PNG or SVG")


def run(args):
    if args.repeats is not None and args.repeats < 1:
        raise UsageError(f"argument --repeats: must be at least 1, got {args.repeats}")
    check_path(args.out)
    if args.chart is not None and not args.chart.lower().endswith((".png", ".svg")):
        raise UsageError(f"argument --chart: {args.chart} must end in .png or .svg")
    folder = Path(args.env) if args.env else _cache()
    python = _python(folder)
    if args.list or args.no_install:                     # the list of cases needs no peer
        if args.no_install and args.env and not python.exists():
            raise UsageError(f"argument --env: there is no environment in {folder}")
        python = Path(sys.executable) if args.list or not python.exists() else python
    else:
        _install(folder, python)
    command = [str(python), str(BENCH / "run.py"), *_passed_on(args)]
    done = subprocess.run(command, env=_environment(python), stdout=subprocess.PIPE if args.list else None, text=True)
    if args.list:
        print(done.stdout, end="")                       # here, where a reader that has seen enough is no error
    return done.returncode if done.returncode in (0, 2) else 1


def _cache():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "backprop" / f"bench-python{sys.version_info.major}.{sys.version_info.minor}"


def _python(folder):
    return folder / "bin" / "python"


def _environment(python):
    """The process's environment; this interpreter finds this package, another one has its own copy."""
    environment = dict(os.environ)
    if python == Path(sys.executable):
        paths = [environment.get("PYTHONPATH"), str(PACKAGE.parent)]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    else:
        environment.pop("PYTHONPATH", None)
    return environment


def _passed_on(args):
    options = []
    for name in ("only", "skip", "repeats", "simd", "core", "out", "chart"):
        if getattr(args, name) is not None:
            options += [f"--{name}", str(getattr(args, name))]
    return options + [f"--{name}" for name in ("list", "quick") if getattr(args, name)]


def _install(folder, python):
    """An environment with the peers, as requirements.txt pins them, and this very build of backprop."""
    requirements = [line.split("#")[0].strip() for line in (BENCH / "requirements.txt").read_text().splitlines()]
    requirements = [line for line in requirements if line]
    ready, wanted = folder / "peers", hashlib.sha256("\n".join(requirements).encode()).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        warn(f"backprop: installing the peers into {folder}: some minutes")
        if not python.exists():
            _call([sys.executable, "-m", "venv", str(folder)], f"no environment can be made in {folder}")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, *OURS], "numpy cannot be installed")
        if subprocess.run([*pip, *requirements], stdout=sys.stderr, stderr=subprocess.DEVNULL).returncode != 0:
            for requirement in requirements:             # one by one, so that only what cannot be installed is missing
                if subprocess.run([*pip, requirement], stdout=sys.stderr, stderr=subprocess.DEVNULL).returncode != 0:
                    warn(f"backprop: {requirement} cannot be installed and is skipped")
        ready.write_text(wanted)
    _copy_package(python)


def _call(command, failure):
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RunError(f"{failure}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def _copy_package(python):
    """This package, as it is installed here, into the environment: the benchmark times what the user has."""
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    site = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    target = Path(site) / "backprop"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyx", "*.pxi", "_c*.c", "*.h"))
