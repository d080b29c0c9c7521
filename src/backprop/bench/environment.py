"""One core, one thread: what must be set before numpy and the peers are imported."""

import os

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)
XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def prepare(core, simd=None):
    """Pin this process to one core and tell every library to use one thread; `simd` forces our kernels' variant."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    os.environ["XLA_FLAGS"] = XLA_FLAGS
    os.environ["JAX_PLATFORMS"] = "cpu"
    if simd is not None:
        os.environ["BACKPROP_SIMD"] = simd
    os.sched_setaffinity(0, {core})


class Cores:
    """The calling thread, and the threads it starts, on these cores for a while; a no-op for None."""

    def __init__(self, cores):
        self.cores = cores

    def __enter__(self):
        self.before = os.sched_getaffinity(0)
        if self.cores is not None:
            os.sched_setaffinity(0, self.cores)

    def __exit__(self, *_):
        os.sched_setaffinity(0, self.before)
