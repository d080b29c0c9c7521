"""`python mutate kernels|python COUNT [SEED]`: are wrong programs noticed? Mutants of the sources, tried by the tests.

A mutant is a copy of the tree in which one token of the code is another: an operator, a bound, a constant, a sign or a
condition. It is killed when it does not build, when a test fails, or when it runs far longer than the tests do. One
that lives is printed: either a test is missing, or the change changes nothing that anybody can observe
(a hint to the compiler, the size of a block, a path beside another with the same bits). Those that are known to be of
the second kind are in `equivalent.txt`, each with its reason.

Mutants of the kernels are compiled for AVX2 alone (MUTATE_VARIANT=_core_v4 takes AVX-512) and without optimization; of
one that lives it is asked whether the optimizer makes the same code of it, and then it is no other program.
"""

import ast
import collections
import io
import json
import math
import os
import pathlib
import random
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import tokenize
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent
WORK = TREE / "build" / "mutate"
VARIANT = os.environ.get("MUTATE_VARIANT", "_core_v3")   # AVX2: what every processor of today has
CPU_SECONDS = 240                    # of the processor, for a mutant's tests, which take a third of that

SETUP = runpy.run_path(str(TREE / "setup.py"))
SANITIZED = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
# Not built here, held to a clock, or too long without optimization.
NOT_HERE = " and ".join(f"not {word}" for word in (
    "baseline", "variant", "ctrl_c_is", "ctrl_c_at", "ctrl_c_while", "ctrl_c_within", "ctrl_c_and", "interrupt",
    "second", "time_ends", "budget", "gil", "fashion", "killed"))
KERNEL_TESTS = [f"tests/test_{name}.py" for name in (
    "scalar order network single training optimizers perceptron sparse solvers regularisation loop bits descent many "
    "resume stream own_loss export metrics failed_calls divergence corners").split()]
PYTHON_TESTS = [f"tests/test_{name}.py" for name in (
    "network training bad_input loop failed_calls model_file schedules optimizers metrics solvers regularisation "
    "resume checkpoint_mismatch stream many estimators perceptron sparse own_loss faults html data libsvm descent "
    "divergence process corners cli cli_tables cli_training").split()]
# The first tests to see a mutant of a file: those that look closest, in a second or two.
FIRST_OF_ALL = ["tests/test_single.py", "tests/test_network.py"]
FIRST = {
    "scalar.h": ["tests/test_scalar.py"], "scalar.pxi": ["tests/test_scalar.py"],
    "perceptron.pxi": ["tests/test_perceptron.py"], "jacobian.pxi": ["tests/test_solvers.py"],
    "splitmix.h": ["tests/test_order.py", "tests/test_regularisation.py"],
    "dropout.pxi": ["tests/test_regularisation.py"], "optimizers.pxi": ["tests/test_optimizers.py"],
    "training.pxi": ["tests/test_training.py", "tests/test_loop.py"],
}
FIRST_PYTHON = {
    "_check.py": "bad_input network failed_calls", "options.py": "bad_input loop regularisation",
    "stopping.py": "loop resume", "history.py": "loop html", "model_file.py": "model_file resume",
    "losses.py": "network", "schedules.py": "schedules", "optimizers.py": "optimizers solvers",
    "initializers.py": "network", "metrics.py": "metrics loop", "perceptron.py": "perceptron",
    "descent.py": "descent", "solvers.py": "solvers", "many.py": "many", "streams.py": "stream",
    "sources.py": "stream sparse", "data.py": "data stream", "_read_arrays.py": "data", "_read_libsvm.py": "libsvm",
    "_read_lines.py": "data", "_read_parquet.py": "stream", "_read_source.py": "data stream",
    "_read_table.py": "data stream cli_tables cli_training", "_read_text.py": "data",
    "_readers.py": "data", "_sparse.py": "sparse",
    "training.py": "training loop", "network.py": "network", "model.py": "network training",
    "_fitting.py": "estimators", "_mlp.py": "estimators", "estimators.py": "estimators",
    "_estimator_base.py": "estimators shortcuts", "_threads.py": "process many", "train.py": "cli_training",
    "tables.py": "cli_tables", "_estimator_file.py": "estimators model_file", "_frames.py": "estimators shortcuts",
    "_labels.py": "estimators", "_dispatch.py": "dispatch", "_memory.py": "network", "_order.py": "order",
    "_perceptron_validation.py": "perceptron", "activations.py": "network", "trace.py": "network cli",
    "columns.py": "data",
    "ensemble.py": "many", "search.py": "many", "errors.py": "failed_calls", "examples.py": "loop",
    "interop.py": "interop", "measure.py": "loop network", "_html.py": "html", "_config.py": "dispatch",
    "bench.py": "cli_bench",
}
OF_FOLDERS = {"plot": "plot", "export": "export", "cli": "cli cli_tables cli_training",
              "dask": "dask dask_estimators dask_failures"}

# What a token becomes; the kernels are C and Cython, whose operators are alike enough.
OPERATORS = {
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["*"], "//": ["*"], "<<": [">>"], ">>": ["<<"],
    "<": ["<=", ">"], "<=": ["<", ">"], ">": [">=", "<"], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "and": ["or"], "or": ["and"], "not": [""], "+=": ["-=", "="], "-=": ["+=", "="],
    "*=": ["/=", "="], "/=": ["*=", "="], "&": ["|"], "|": ["&"], "^": ["&"], "++": ["--"], "True": ["False"],
    "False": ["True"], "min": ["max"], "max": ["min"], "break": ["continue"], "continue": ["break"],
}
C_TOKEN = re.compile(r"""
    (?P<skip>//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|^[ \t]*\#[^\n]*(?:\\\n[^\n]*)*)
    |(?P<number>\b(?:0x[0-9A-Fa-fp.+-]+|\d+\.?\d*(?:[eE][+-]?\d+)?)\b)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<operator>\+\+|--|\+=|-=|\*=|/=|&&|\|\||<<|>>|<=|>=|==|!=|->|[-+*/%<>&|^])
    """, re.X | re.M | re.S)


def other_number(text):
    """Another constant than the one that is written."""
    if re.fullmatch(r"\d+", text):
        return str(int(text) + 1)
    if re.fullmatch(r"0x[0-9A-Fa-f]+", text):
        return hex(int(text, 16) ^ 1)
    return f"({text} * 1.0009765625)" if not text.startswith("0x") else None


def c_places(source):
    """(start, end, replacement) of every mutation of C."""
    for match in C_TOKEN.finditer(source):
        yield from changes(match.lastgroup, match.group(), match.start(), match.end(), source)


def line_starts(source):
    """Offset of the start of each line."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    return lines


def python_places(source):
    """The same of Python and Cython, whose tokens are Python's."""
    lines = line_starts(source)
    kinds = {tokenize.OP: "operator", tokenize.NAME: "word", tokenize.NUMBER: "number"}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            (row, start), (_, end) = token.start, token.end
            yield from changes(kinds[token.type], token.string, lines[row - 1] + start, lines[row - 1] + end, source)


def changes(kind, text, start, end, source):
    """The mutations of one token."""
    if kind == "number":
        replacement = other_number(text)
        if replacement is not None:
            yield start, end, replacement
    elif kind == "word" and text in ("True", "False", "and", "or", "not", "min", "max", "break", "continue") \
            or kind == "operator":
        if text in "*&-+" and not re.search(r"[\w)\]]\s*$", source[max(0, start - 40):start]):
            if text in "*&" or source[end:end + 1].isspace():
                return                                   # a pointer's star, an address
        if text == "*" and re.search(r"\b(double|int|char|void|float|bp_\w+|[A-Z]\w*|const|size_t|Py_ssize_t)\s*$",
                                     source[max(0, start - 40):start]):
            return                                       # a type's
        for replacement in OPERATORS.get(text, []):
            yield start, end, replacement


def skipped(path, source, start):
    """Whether a place is in a declaration, a comment's neighbour or an import, where a change says nothing."""
    line = source[source.rfind("\n", 0, start) + 1:source.find("\n", start)].strip()
    if "_mm512" in line or "__builtin_prefetch" in line:     # is not compiled for AVX2, or a hint that changes nothing
        return True
    return line.startswith(("cdef extern", "cimport", "from ", "import ", "#", "@", "include", '"""')) \
        or path.suffix == ".py" and re.match(r"(def|class) .*(->|: )", line) is not None


def mutants(target):
    """[(path, start, end, replacement)] of all mutations of the kernels or of the Python sources."""
    package = TREE / "src" / "backprop"
    if target == "kernels":
        paths = [package / "_core.pyx", *sorted((package / "kernels").iterdir())]
    else:
        paths = sorted(p for p in package.rglob("*.py") if "bench" not in p.parts)
    found = []
    for path in paths:
        source = path.read_text()
        places = c_places(source) if path.suffix == ".h" else python_places(source)
        hints = list(annotations(source)) if path.suffix == ".py" else []
        found += [(path.relative_to(TREE), *place) for place in places if not skipped(path, source, place[0])
                  and not any(start <= place[0] < end for start, end in hints)]
    return found


def annotations(source):
    """(start, end) of what is an annotation in Python: nobody evaluates it."""
    lines = line_starts(source)
    for node in ast.walk(ast.parse(source)):
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if hint is not None:                         # columns are bytes, and an annotation stands behind ASCII only
                yield lines[hint.lineno - 1] + hint.col_offset, lines[hint.end_lineno - 1] + hint.end_col_offset


def copy_tree(folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TREE, folder, ignore=shutil.ignore_patterns(".git", "build", ".venv*", "*.so", "__pycache__",
                                                                "_c*.c", ".hypothesis", "results", "_build"))


def limited():
    """In a child: time of the processor and memory, so that a mutant that never ends or fills all memory fails."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command, folder, limit=300, **environment):
    """(exit status or None for out of time, output) of a command in a session of its own."""
    env = {**os.environ, "PYTHONPATH": str(folder / "src"), "BACKPROP_SIMD": VARIANT.removeprefix("_core_"),
           "PYTHONDONTWRITEBYTECODE": "1", **environment}
    process = subprocess.Popen(command, cwd=folder, env=env, text=True, errors="replace", stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True,
                               preexec_fn=None if "LD_PRELOAD" in environment else limited)
    try:
        out, _ = process.communicate(timeout=limit)
        return process.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]


def compile_module(folder, name, again=True, optimize="-O0"):
    """Make one extension module of a copy: what went wrong, or None. Cython runs only where `again` asks for it."""
    common, variants, directives = (SETUP[name] for name in ("COMMON", "VARIANTS", "DIRECTIVES"))
    package = folder / "src" / "backprop"
    generated = package / f"{name}.c"
    if again:
        options = [f"-X{key}={value}" for key, value in directives.items() if key != "language_level"]
        status, out = run([sys.executable, "-m", "cython", "-3", *options, f"{package}/{name}.pyx"], folder)
        if status != 0:
            return out
    include = sysconfig.get_paths()["include"]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    flags = [flag for flag in common if flag != "-O3"] + variants.get(name, []) + optimize.split()
    status, out = run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-w", *flags, "-I", include, "-I",
                       f"{package}/kernels", str(generated), "-o", f"{package}/{name}{suffix}"], folder)
    return None if status == 0 else out


def code(folder):
    """The module of the variant, byte for byte: a mutant with the same bytes is no other program."""
    return (folder / "src" / "backprop" / (VARIANT + sysconfig.get_config_var("EXT_SUFFIX"))).read_bytes()


def test(folder, tests, leave=()):
    """(exit status, the test that failed) of the tests on a copy, some left out."""
    status, out = run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0",
                       "-k", NOT_HERE, *(f"--deselect={name}" for name in leave), *tests], folder, 20 * CPU_SECONDS)
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", out, flags=re.M)
    return status, failed.group(1) if failed else out[-200:].strip()


class Clean:
    """The tree without a mutation, where a test that killed must pass; one that does not is left out from then on."""

    def __init__(self, folder):
        self.folder, self.passes, self.broken, self.lock = folder, {}, [], threading.Lock()

    def kills(self, folder, tests):
        """The test that fails on the mutant and passes here, or None."""
        while True:
            status, name = test(folder, tests, self.broken)
            if status == 0:
                return None
            if "::" not in name:                         # it ended before a test could fail, or there was no end
                return name or "its time"
            with self.lock:
                if name not in self.passes:
                    self.passes[name] = test(self.folder, [name])[0] == 0
                if self.passes[name]:
                    return name
                print(f"left out, for it fails without a mutation: {name}", flush=True)
                self.broken.append(name)


def libraries():
    """What must be loaded first where ASan and UBSan are compiled in."""
    compiler = os.environ.get("CC", "cc")
    return " ".join(subprocess.run([compiler, f"-print-file-name=lib{name}.so"], capture_output=True, text=True,
                                   check=True).stdout.strip() for name in ("asan", "ubsan", "stdc++"))


def golden(folder, **environment):
    """Whether the copy trains to the golden bits: most mutants do not, and it takes a second to see."""
    status, out = run([sys.executable, "tests/bits.py"], folder, **environment)
    if status != 0:
        return False
    found, known = json.loads(out), json.loads((folder / "tests" / "golden_bits.json").read_text())
    return all(found.get(name) == value for name, value in known.items())


def suites(target, path):
    """The tests most likely to notice a change of a file, then all others that could."""
    if target == "kernels":
        return [FIRST.get(path.name, FIRST_OF_ALL), KERNEL_TESTS]
    names = FIRST_PYTHON.get(path.name) or OF_FOLDERS.get(path.parent.name, "network training")
    own = [f"tests/test_{name}.py" for name in names.split()]
    return [own, list(dict.fromkeys([*own, *PYTHON_TESTS]))]


def verdict(folder, target, mutant, clean, codes, last):
    """("killed", "same", "waits" or "lives", what by) of one mutant: by the nearest tests, or at last by all."""
    path, start, end, replacement = mutant
    file = folder / path
    source = file.read_text()
    file.write_text(source[:start] + replacement + source[end:])
    generated = folder / "src" / "backprop" / f"{VARIANT}.c"
    try:
        if target == "kernels":
            if compile_module(folder, VARIANT, path.suffix != ".h" or not generated.exists()) is not None:
                return "killed", "the compiler"
            if code(folder) == codes["-O0"]:
                return "same", "the compiler makes the same code of it"
            if not golden(folder):
                return "killed", "tests/golden_bits.json"
        if target == "kernels" and last:                 # what nobody sees may still be outside of an array
            compile_module(folder, VARIANT, not generated.exists(), SANITIZED)
            if not golden(folder, LD_PRELOAD=libraries(), ASAN_OPTIONS="detect_leaks=0"):
                return "killed", "tests/golden_bits.json under ASan and UBSan"
            compile_module(folder, VARIANT, False)
        killer = clean.kills(folder, suites(target, path)[last])
        if killer is not None:
            return "killed", killer
        if target == "kernels" and not last:
            compile_module(folder, VARIANT, False, "-O2")
            if code(folder) == codes["-O2"]:
                return "same", "the optimizer makes the same code of it"
        return ("lives", "") if last else ("waits", "the nearest tests pass")
    finally:
        file.write_text(source)
        if target == "kernels" and path.suffix != ".h":
            generated.unlink(missing_ok=True)            # made of the mutant; one of a header takes it as it is


def name(mutant):
    """A mutant as it is shown, and as equivalent.txt has it: file, line as it was, what became what."""
    path, start, end, replacement = mutant
    source = (TREE / path).read_text()
    line_start = source.rfind("\n", 0, start) + 1
    line = source[line_start:source.find("\n", start)]
    before = line[:start - line_start]
    which = len(re.findall(re.escape(source[start:end]), before)) + 1
    place = [each.split() for each in source[:line_start].splitlines()].count(line.split()) + 1
    return (f"{path.name}: {' '.join(line.split())}: {source[start:end]}"
            + (f" (no. {which})" if which > 1 else "") + (f" (line no. {place})" if place > 1 else "")
            + f" -> {replacement or '(nothing)'}")


def equivalent():
    """{name: reason} of the mutants that nobody can tell from the original."""
    lines = (HERE / "equivalent.txt").read_text().splitlines()
    pairs = [line.rsplit(" # ", 1) for line in lines if line and not line.startswith("#")]
    return {mutant.strip(): reason for mutant, reason in pairs}


def interval(killed, tried):
    """Wilson's 95 % interval of a share, in percent."""
    if tried == 0:
        return 0.0, 100.0
    z, p = 1.959964, killed / tried
    middle, half = p + z * z / (2 * tried), z * math.sqrt(p * (1 - p) / tried + z * z / (4 * tried * tried))
    return 100 * (middle - half) / (1 + z * z / tried), 100 * (middle + half) / (1 + z * z / tried)


def verdicts(path):
    """{name: (verdict, what by)} of a log, but for mutants that lived: of those there may be more to say."""
    records = [] if path is None else [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    return {record["name"]: (record["verdict"], record["by"]) for record in records
            if record["verdict"] in ("killed", "same")}


def main(target, count, seed, log=None):
    """Try `count` mutants drawn at random; 1 where one lives that is not known to be equivalent.

    Every verdict is also a line of build/mutate/TARGET-SEED.jsonl. `log` is such a file of an earlier run of the same
    sources: what it found killed is not tried again. Mutants that the nearest tests leave alive wait for the others.
    """
    chosen = mutants(target)
    total = len(chosen)
    random.Random(seed).shuffle(chosen)
    earlier = {**verdicts(log), **{name: ("equivalent", reason) for name, reason in equivalent().items()}}
    waiting, done, lock = collections.deque((mutant, False) for mutant in chosen[:count]), [], threading.Lock()
    folders = [WORK / f"{target}-{seed}-{i}" for i in range(int(os.environ.get("WORKERS", os.cpu_count() or 1)))]
    WORK.mkdir(parents=True, exist_ok=True)
    kept = open(WORK / f"{target}-{seed}.jsonl", "w")
    clean = Clean(WORK / f"{target}-{seed}-clean")
    copy_tree(clean.folder)
    fault = compile_module(clean.folder, "_cpu") or compile_module(clean.folder, VARIANT)
    if fault is not None or not golden(clean.folder):
        raise SystemExit(f"the sources do not build or have other bits without a mutation: {fault}")

    def work(folder):
        copy_tree(folder)
        codes = {}
        for optimize in ("-O2", "-O0"):
            for module in ("_cpu", VARIANT):
                compile_module(folder, module, optimize=optimize)
            codes[optimize] = code(folder)
        while True:
            with lock:
                if not waiting:
                    return
                mutant, last = waiting.popleft()
            started = time.monotonic()
            found, what = earlier.get(name(mutant)) or verdict(folder, target, mutant, clean, codes, last)
            with lock:
                if found == "waits":
                    waiting.append((mutant, True))
                else:
                    done.append(found)
                print(f"{len(done):4} {found:10} {time.monotonic() - started:4.0f} s  {name(mutant)}  [{what}]",
                      flush=True)
                print(json.dumps({"name": name(mutant), "verdict": found, "by": what}), file=kept, flush=True)

    with ThreadPoolExecutor(len(folders)) as pool:
        for future in [pool.submit(work, folder) for folder in folders]:
            future.result()
    killed, lives = done.count("killed"), done.count("lives")
    low, high = interval(killed, killed + lives)
    print(f"{target}: {len(done)} mutants drawn of {total} with seed {seed}: {killed} killed, {lives} live, "
          f"{done.count('equivalent')} known to be equivalent, {done.count('same')} compiled to the same code; "
          f"{100 * killed / max(1, killed + lives):.1f} % killed (95 % interval {low:.1f} to {high:.1f})")
    return 0 if lives == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0,
                  sys.argv[4] if len(sys.argv) > 4 else None))
