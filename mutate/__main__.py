"""`python mutate kernels|python COUNT [SEED]`: are wrong programs noticed? Mutants of the sources, tried by the tests.

A mutant is a copy of the tree in which one token of the code is another: an operator, a bound, a constant, a sign or a
condition. It is killed when it does not build, when a test fails, or when it runs far longer than the tests do. One
that lives is printed: either a test is missing, or the change changes nothing that anybody can observe
(a hint to the compiler, the size of a block, a path beside another with the same bits). Those that are known to be of
the second kind are in `equivalent.txt`, each with its reason.

Mutants of the kernels are compiled for the one variant that this processor runs, without the optimizer's dearer passes.
"""

import io
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import tokenize
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent
WORK = TREE / "build" / "mutate"
VARIANT = "_core_v3"                 # AVX2: what every processor of today has, and the code of all others
SECONDS = 300                        # for a mutant's tests, which take a third of that

# The tests that reach the core, those that fail soonest first.
PYTHON_TESTS = ["tests", "--ignore=tests/test_packaging.py", "--ignore=tests/test_types.py",
                "--ignore=tests/test_dispatch.py"]
KERNEL_TESTS = [f"tests/test_{name}.py" for name in (
    "scalar order network single training optimizers perceptron sparse solvers regularisation loop bits descent many "
    "resume stream own_loss export").split()] + [
    "-k", "not baseline and not ctrl_c and not second and not interrupt"]      # not built; held to a clock

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


def python_places(source):
    """The same of Python and Cython, whose tokens are Python's."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
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
    if "_mm512" in line:                                 # is not compiled for AVX2
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
        found += [(path.relative_to(TREE), *place) for place in places if not skipped(path, source, place[0])]
    return found


def copy_tree(folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TREE, folder, ignore=shutil.ignore_patterns(".git", "build", ".venv*", "*.so", "__pycache__",
                                                                "_c*.c", ".hypothesis", "results", "_build"))


def build(folder):
    """Compile the core of a copy, for one variant; None, or what went wrong."""
    for made in (folder / "src" / "backprop").glob("_c*.c"):
        made.unlink()
    setup = folder / "setup.py"
    text = setup.read_text()
    for name in ("_core", "_core_v3", "_core_v4"):
        if name != VARIANT:
            text = re.sub(rf'^    "{name}": \[.*\],\n', "", text, flags=re.M)
    setup.write_text(text.replace('"-O3"', '"-O1"'))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS)
    if done.returncode != 0:
        return done.stdout
    return None


def test(folder, tests, limit):
    """(exit status, seconds, the test that failed) of the tests on a copy."""
    env = {**os.environ, "PYTHONPATH": str(folder / "src"), "BACKPROP_SIMD": VARIANT.removeprefix("_core_"),
           "PYTHONDONTWRITEBYTECODE": "1"}
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    process = subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=limit)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, status = process.communicate()[0], None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", out, flags=re.M)
    return status, time.monotonic() - started, failed.group(1) if failed else out[-200:]


def verdict(folder, target, mutant, limit):
    """(whether it is killed, what by, seconds) of one mutant."""
    path, start, end, replacement = mutant
    file = folder / path
    source = file.read_text()
    file.write_text(source[:start] + replacement + source[end:])
    started = time.monotonic()
    try:
        if target == "kernels":
            try:
                if build(folder) is not None:
                    return True, "the compiler", time.monotonic() - started
            except subprocess.TimeoutExpired:
                return True, "the compiler's time", time.monotonic() - started
        status, _, what = test(folder, KERNEL_TESTS if target == "kernels" else PYTHON_TESTS, limit)
        return status != 0, "its time" if status is None else what, time.monotonic() - started
    finally:
        file.write_text(source)


def name(mutant):
    """A mutant as it is shown, and as equivalent.txt has it: file, line as it was, what became what."""
    path, start, end, replacement = mutant
    source = (TREE / path).read_text()
    line = source[source.rfind("\n", 0, start) + 1:source.find("\n", start)].strip()
    return f"{path.name}: {line}: {source[start:end]} -> {replacement or '(nothing)'}"


def equivalent():
    """{name: reason} of the mutants that nobody can tell from the original."""
    lines = (HERE / "equivalent.txt").read_text().splitlines()
    pairs = [line.rsplit(" # ", 1) for line in lines if line and not line.startswith("#")]
    return {mutant.strip(): reason for mutant, reason in pairs}


def main(target, count, seed):
    """Try `count` mutants drawn at random; 1 where one lives that is not known to be equivalent."""
    chosen = mutants(target)
    total = len(chosen)
    random.Random(seed).shuffle(chosen)
    known, done, lock = equivalent(), [], threading.Lock()
    waiting = [mutant for mutant in chosen if name(mutant) not in known][:count][::-1]
    folders = [WORK / f"{target}-{i}" for i in range(os.cpu_count() or 1)]

    def work(folder):
        copy_tree(folder)
        fault = build(folder)
        status, seconds, what = (1, 0, fault) if fault else test(
            folder, KERNEL_TESTS if target == "kernels" else PYTHON_TESTS, 10 * SECONDS)
        if status != 0:
            raise SystemExit(f"the tests fail without a mutation: {what}")
        while True:
            with lock:
                if not waiting:
                    return
                mutant = waiting.pop()
            killed, what, took = verdict(folder, target, mutant, max(SECONDS, 3 * seconds))
            with lock:
                done.append((killed, what))
                print(f"{len(done):4} {'killed' if killed else 'LIVES '} {took:4.0f} s  {name(mutant)}"
                      + (f"  [{what.strip()}]" if killed else ""), flush=True)

    with ThreadPoolExecutor(len(folders)) as pool:
        for future in [pool.submit(work, folder) for folder in folders]:
            future.result()
    killed = sum(k for k, _ in done)
    print(f"{target}: {killed} of {len(done)} mutants killed, {100 * killed / max(1, len(done)):.1f} %; "
          f"{total} are possible, {len(known)} known to be equivalent; seed {seed}")
    return 0 if killed == len(done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
