"""The parts of a training step alone (limits.c), compiled for each variant as setup.py does: `python bench/limits.py`.

docs/performance.md reads the limits of what is not reached off these numbers.
"""

import ast
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent


def flags_of_setup():
    """The names in setup.py that are plain values: running it would build the package."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body
            if isinstance(node, ast.Assign) and node.targets[0].id in ("COMMON", "VARIANTS")}


def side_by_side(program, cores):
    """GF/s of a product on one core, and on each of two cores at once: how much of a second core is left to win."""

    def rates(where):
        running = [subprocess.Popen(["taskset", "-c", str(core), program, "product"], stdout=subprocess.PIPE, text=True)
                   for core in where]
        return [statistics.median(float(line.split()[-2]) for line in p.communicate()[0].splitlines()) for p in running]

    alone, together = rates(cores[:1])[0], statistics.mean(rates(cores[:2]))
    print(f"a product on one core {alone:.1f} GF/s, on two cores at once {together:.1f} GF/s each: "
          f"{2 * together / alone:.2f} x at most\n")


def main():
    setup = flags_of_setup()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        sys.exit("bench/limits.py knows the variants of x86-64 only")
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in setup["VARIANTS"].items():
            program = Path(folder) / name
            subprocess.run(["cc", *setup["COMMON"], *flags, "-I", str(ROOT / "src/backprop/kernels"),
                            str(BENCH / "limits.c"), "-o", str(program), "-lm"], check=True)
            print(f"{name}, {' '.join(flags) or 'baseline'}")
            try:
                print(subprocess.run([program], check=True, capture_output=True, text=True).stdout, end="")
                if len(cores) > 1:
                    side_by_side(program, cores)
            except subprocess.CalledProcessError:
                print("this processor does not run it\n")


if __name__ == "__main__":
    main()
