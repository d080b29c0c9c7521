"""The benchmark of the source tree: `python bench --help`; results go to bench/results. `make bench` runs it.

The benchmark itself lies in the package (src/backprop/bench), where `backprop bench` finds it too.
"""

import os
import runpy
from pathlib import Path

BENCH = Path(__file__).resolve().parent

os.environ["BACKPROP_BENCH_RESULTS"] = str(BENCH / "results" / "{simd}.json")
runpy.run_path(str(BENCH.parent / "src" / "backprop" / "bench" / "run.py"), run_name="__main__")
