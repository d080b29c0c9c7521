"""`python cover [TESTS]`: which lines and branches of Python, and which lines of the kernels, do no tests reach?

Python is measured by coverage.py, branches among it, in every process that the tests start. The kernels are compiled
with GCC's counters and with line directives, so that gcov counts the lines of `.pyx`, `.pxi` and `.h` files at the
speed of compiled code; a line counts as reached where one of the three SIMD variants reaches it. (Cython's own tracing
takes the GIL for every line, and knows nothing of headers.)

What no test can reach says so where it stands, with its reason: `# pragma: no cover` in Python, `unreached:` in a
kernel. Everything is built and run in `build/coverage`.
"""

import collections
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import sysconfig

TREE = pathlib.Path(__file__).resolve().parent.parent
WORK = TREE / "build" / "coverage"
COPY = WORK / "tree"
EXCUSE = "unreached:"
SETUP = runpy.run_path(str(TREE / "setup.py"))
# In percent, with PyTorch installed; short of 100 for the ways that threads and processes take only now and then.
FLOORS = {"statements of Python": 99.9, "branches of Python": 99.7, "lines of the kernels": 99.9}


def build():
    """A copy of the tree with its extension modules, all variants, counted."""
    shutil.rmtree(WORK, ignore_errors=True)
    ignored = shutil.ignore_patterns(".git", "build", ".venv*", "*.so", "__pycache__", "_c*.c", ".hypothesis", "_build")
    shutil.copytree(TREE, COPY, ignore=ignored)
    common, variants, directives = (SETUP[name] for name in ("COMMON", "VARIANTS", "DIRECTIVES"))
    options = [f"-X{key}={value}" for key, value in directives.items() if key != "language_level"]
    flags = ["-O1" if flag == "-O3" else flag for flag in common if flag != "-g0"] + [
        "--coverage", "-fprofile-update=single", "-fPIC", "-w", "-Isrc/backprop/kernels",
        "-I" + sysconfig.get_paths()["include"]]
    for name, march in {**variants, "_cpu": []}.items():
        path = f"src/backprop/{name}"
        for command in ([sys.executable, "-m", "cython", "-3", "--line-directives", *options, f"{path}.pyx"],
                        ["gcc", *flags, *march, "-c", f"{path}.c", "-o", f"{path}.o"],
                        ["gcc", "--coverage", "-shared", f"{path}.o", "-o",
                         path + sysconfig.get_config_var("EXT_SUFFIX")]):
            subprocess.run(command, cwd=COPY, check=True)


def test(tests):
    """Run the tests on the copy; their exit status."""
    env = {**os.environ, "PYTHONPATH": f"{COPY}/src", "COVERAGE_FILE": f"{WORK}/data", "BACKPROP_COVERAGE": "1"}
    env.pop("BACKPROP_SIMD", None)
    coverage = [sys.executable, "-m", "coverage"]
    done = subprocess.run([*coverage, "run", "-m", "pytest", *tests], cwd=COPY, env=env)
    subprocess.run([*coverage, "combine", "--quiet"], cwd=COPY, env=env, check=True)
    subprocess.run([*coverage, "json", "--quiet", "-o", f"{WORK}/python.json"], cwd=COPY, env=env, check=True)
    return done.returncode


def python_lines():
    """[(reached, all)] of statements and branches, and what is missing, as text."""
    report = json.loads((WORK / "python.json").read_text())
    totals = report["totals"]
    missing = []
    for path, file in sorted(report["files"].items()):
        missing += [f"{path}:{line}" for line in file["missing_lines"]]
        missing += [f"{path}:{a} never goes on to {'the end' if b < 0 else b}" for a, b in file["missing_branches"]
                    if a not in file["missing_lines"]]
    return [(totals["covered_lines"], totals["num_statements"]),
            (totals["covered_branches"], totals["num_branches"])], missing


def is_code(text):
    """Whether a line may be asked for: no docstring and no head of a function, on which Cython counts its own checks of
    the arguments and its own way out after an error; the body tells whether the function was reached."""
    text = text.strip()
    head = text.startswith(("cdef ", "def ")) and text.endswith((":", ",", "("))
    return bool(text) and not head and not text.startswith('"""') and EXCUSE not in text


def kernel_lines():
    """(reached, all) of the kernels' lines, and those that are not, as text."""
    counts = collections.defaultdict(int)
    for counted in sorted((COPY / "src" / "backprop").glob("_core*.gcda")):
        out = subprocess.run(["gcov", "--json-format", "--stdout", str(counted)], cwd=COPY, check=True,
                             stdout=subprocess.PIPE).stdout
        for file in json.loads(out)["files"]:
            path = pathlib.Path(file["file"])
            path = path if path.is_absolute() else COPY / path
            if path.suffix in (".pyx", ".pxi", ".h") and path.is_relative_to(COPY / "src" / "backprop"):
                for line in file["lines"]:
                    counts[path.relative_to(COPY), line["line_number"]] += line["count"]
    texts = {path: (COPY / path).read_text(encoding="utf-8").splitlines() for path, _ in counts}
    wanted = {(path, line): count for (path, line), count in counts.items()
              if line <= len(texts[path]) and is_code(texts[path][line - 1])}        # the generated end has no line
    missing = [f"{path}:{line}: {texts[path][line - 1].strip()}" for (path, line), count in sorted(wanted.items())
               if not count]
    return (len(wanted) - len(missing), len(wanted)), missing


def main(tests):
    """Build, test and report; 1 where less was reached than `FLOORS` ask for or a test failed."""
    build()
    status = test(tests or ["tests", "bench", "--benchmark-disable", "-q"])
    (statements, branches), missing = python_lines()
    kernels, missing_there = kernel_lines()
    print(*missing, *missing_there, sep="\n")
    for (what, floor), (reached, total) in zip(FLOORS.items(), (statements, branches, kernels)):
        share = 100 * reached / max(1, total)
        status = status or share < floor
        print(f"{what}: {reached:,} of {total:,} reached, {share:.2f} %, of which {floor:g} % must be"
              + ("" if share >= floor else ": TOO FEW"))
    return int(bool(status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
