"""What the processor can do: FMA peak and bandwidths of one core, measured by a small C helper compiled at run time."""

import ctypes
import datetime
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("machine.c")
TARGETS = {
    "v4": (["-march=x86-64-v4", "-mprefer-vector-width=512", "-DWIDTH=64"], 64),  # flags, bytes per vector
    "v3": (["-march=x86-64-v3", "-DWIDTH=32"], 32),
    "baseline": (["-DWIDTH=16"], 16),
}
READ_SIZES = {"L1": 16 * 2**10, "L2": 384 * 2**10, "L3": 6 * 2**20, "DRAM": 128 * 2**20}
PASS_BYTES = 64 * 2**20
UPDATE_BYTES = 200 * 2**10  # about the weights of 784-30-10: they live in L2


def processor():
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe(config, peer_versions):
    """The block that stands over every table: processor, variant, compiler, versions, date."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "simd": config["simd"],
        "compiler": config["compiler"],
        "backprop": config["version"],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "peers": peer_versions,
        "load_average": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def measure(simd_available, rounds=40):
    """FMA peak (GF/s) and bandwidths (GB/s) of the present core.

    The roof is the hardware's, not a variant's: each figure is the best over the vector widths that the processor has,
    and over many short rounds, since a peak is what remains when nobody disturbs.

    Returns a dict, or {"skipped": reason} without a C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return {"skipped": "no C compiler (cc, gcc, clang) on the path"}
    roof = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in simd_available:
            library = Path(folder) / f"machine_{variant}.so"
            command = [
                compiler,
                "-O3",
                "-ffp-contract=fast",
                "-shared",
                "-fPIC",
                *TARGETS[variant][0],
                str(SOURCE),
                "-o",
                str(library),
            ]
            built = subprocess.run(command, capture_output=True, text=True)
            if built.returncode == 0:
                for key, value in _measure(_bind(library), TARGETS[variant][1], rounds).items():
                    roof[key] = max(value, roof.get(key, 0.0))
    return {key: round(value, 2) for key, value in roof.items()} or {"skipped": built.stderr.strip()[:200]}


def _bind(library):
    c = ctypes.CDLL(str(library))
    c.fma_double.restype = c.fma_float.restype = c.read_pass.restype = ctypes.c_double
    c.fma_double.argtypes = [ctypes.c_long, ctypes.c_double, ctypes.c_double]
    c.fma_float.argtypes = [ctypes.c_long, ctypes.c_float, ctypes.c_float]
    c.read_pass.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
    c.update_forward_pass.restype = ctypes.c_double
    for function in (c.update_pass, c.update_forward_pass):
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long, ctypes.c_double]
    return c


def _measure(c, width, rounds):
    turns = 100_000
    flops = turns * 10 * 2 * width
    result = {
        "fma_peak_gflops": flops / 8 / _best(lambda: c.fma_double(turns, 0.5, 0.25), rounds) / 1e9,
        "fma_peak_float32_gflops": flops / 4 / _best(lambda: c.fma_float(turns, 0.5, 0.25), rounds) / 1e9,
    }
    for name, size in READ_SIZES.items():
        memory = _aligned(size)
        passes = max(1, PASS_BYTES // size)
        seconds = _best(lambda m=memory, p=passes: c.read_pass(m.ctypes.data, m.size, p), rounds)
        result[f"read_{name}_gbs"] = memory.nbytes * passes / seconds / 1e9
    memory = _aligned(UPDATE_BYTES)
    passes = PASS_BYTES // UPDATE_BYTES
    for name in ("update", "update_forward"):
        one_pass = getattr(c, f"{name}_pass")
        seconds = _best(lambda f=one_pass: f(memory.ctypes.data, memory.size, passes, 1.0), rounds)
        result[f"{name}_L2_gbs"] = memory.nbytes * passes / seconds / 1e9
    return result


def _best(action, rounds):
    """A peak is the best of several rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _aligned(size):
    raw = np.ones(size // 8 + 8)
    start = (-raw.ctypes.data % 64) // 8
    return raw[start : start + size // 8]
