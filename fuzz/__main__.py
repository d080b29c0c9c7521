"""`python fuzz SECONDS`: the coverage-guided fuzzer (atheris, that is libFuzzer) on each reader in turn.

The bytecode of `backprop` is instrumented, its edges and comparisons, and guides the fuzzer; the readers are Python.
What compiled code does below them (`csv`, `json`, zlib, NumPy, the core) is executed without being seen. New inputs are
kept in `build/fuzz/`; a finding is written there, too, and belongs into `corpus/` with its repair:
tests/test_corpus.py replays that.
"""

import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FOUND = HERE.parent / "build" / "fuzz"
LIMITS = ["-timeout=10", "-rss_limit_mb=512", "-malloc_limit_mb=512", "-max_len=4096"]


def one(name, arguments):
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["backprop"]):
        import targets
    atheris.Setup([sys.argv[0], *arguments], lambda content: targets.replay(name, content))
    atheris.Fuzz()


def fuzz(name, seconds):
    """(executions, return code) of a target fuzzed for some seconds in a process of its own."""
    grown = FOUND / name
    grown.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--target", name, str(grown), str(HERE / "corpus" / name), *LIMITS,
               f"-max_total_time={seconds}", f"-artifact_prefix={FOUND}/{name}-", "-print_final_stats=1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    (FOUND / f"{name}.log").write_text(done.stdout)
    executions = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
    return int(executions.group(1)) if executions else 0, done.returncode


def main(seconds):
    """Fuzz every target; 1 where one of them found something or did not run."""
    names = sorted(p.name for p in (HERE / "corpus").iterdir())
    failed = []
    for name in names:
        start = time.monotonic()
        executions, code = fuzz(name, max(1, seconds // len(names)))
        print(f"{name:8} {executions:>10,} executions in {time.monotonic() - start:4.0f} s"
              + (f"  FINDING, see {FOUND}/{name}.log" if code or not executions else ""), flush=True)
        if code or not executions:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        one(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(int(sys.argv[1])))
