"""How long `import backprop` takes beside `import numpy`, each in a process of its own, interleaved.

python src/backprop/bench/import_time.py [repeats]
"""

import statistics
import subprocess
import sys

PROGRAM = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measure(repeats, modules=("numpy", "backprop")):
    """Seconds of each import, {module: samples}; one uncounted round warms the file cache."""
    samples = {module: [] for module in modules}
    for round_ in range(repeats + 1):
        for module in modules:
            seconds = float(
                subprocess.run(
                    [sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True
                ).stdout
            )
            if round_ > 0:
                samples[module].append(seconds)
    return samples


if __name__ == "__main__":
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    for name, seconds in result.items():
        print(f"import {name:10s} {1e3 * statistics.median(seconds):7.1f} ms")
