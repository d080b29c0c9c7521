"""The parts of a training step alone (limits.c), compiled for each variant as setup.py does: `python bench/limits.py`.

docs/performance.md reads the limits of what is not reached off these numbers.
"""

import ast
import os
import platform
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


def main():
    setup = flags_of_setup()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        sys.exit("bench/limits.py knows the variants of x86-64 only")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in setup["VARIANTS"].items():
            program = Path(folder) / name
            subprocess.run(["cc", *setup["COMMON"], *flags, "-I", str(ROOT / "src/backprop/kernels"),
                            str(BENCH / "limits.c"), "-o", str(program), "-lm"], check=True)
            print(f"{name}, {' '.join(flags) or 'baseline'}")
            try:
                print(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
            except subprocess.CalledProcessError:
                print("this processor does not run it\n")


if __name__ == "__main__":
    main()
