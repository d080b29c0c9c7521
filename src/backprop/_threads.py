"""How many threads a call takes that is not told, no more than the processors, nor than the surroundings leave it; and
how it waits for its own."""

import os
import sys
import threading
import time

# The first is what joblib's processes and Dask's nannies set for their workers, and what users set; "4,2" is one number
# for each level of nesting.
_VARIABLES = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "LOKY_MAX_CPU_COUNT")
START_SECONDS = 2.0          # a thread that has not begun by then was never made


def available():
    """Threads for a call with ``n_threads=None``, at least 1.

    The processors that this process may run on, no more than the environment's OMP_NUM_THREADS, OMP_THREAD_LIMIT and
    LOKY_MAX_CPU_COUNT; in a task of joblib's that these do not bound 1, and in a worker of Dask's its share of the
    processors.
    """
    from backprop import training

    if _in_a_task_of_joblib():
        return 1
    processors = training.processors()
    return max(1, min([processors // _threads_of_the_dask_worker(), *_limits()]))


def _limits():
    for name in _VARIABLES:
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            yield int(first)


def _in_a_task_of_joblib():
    """Whether this is one of several tasks of a joblib.Parallel at once, in a thread or in an untold process.

    Processes of the backend "loky" are told their share by OMP_NUM_THREADS, those of "multiprocessing" are not.
    """
    parallel = sys.modules.get("joblib.parallel")        # nobody who did not import it runs in its tasks
    if parallel is None:
        return False
    if threading.current_thread() is threading.main_thread() and "OMP_NUM_THREADS" in os.environ:
        return False
    backend, _ = parallel.get_active_backend()
    return (getattr(backend, "nesting_level", 0) or 0) > 0


def _threads_of_the_dask_worker():
    """Threads of the Dask worker that this is a task of; 1 elsewhere."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return 1
    try:
        return distributed.get_worker().state.nthreads
    except ValueError:                                   # not in a task
        return 1


def join(threads):
    """Wait until none of the threads is left, through any number of Ctrl-C, of which the last is raised then.

    The start of one may have failed, or Ctrl-C may have ended it with the thread on its way: that is not alive yet, or,
    where it came a moment earlier, never will be. Before Python 3.13 one is not alive whose join Ctrl-C broke into,
    however long it still runs.
    """
    interrupted, late = None, time.monotonic() + START_SECONDS
    while True:
        try:
            for thread in threads:
                _wait_for(thread, late)
            break
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _wait_for(thread, late):
    while thread in threading.enumerate() and (thread.ident is not None or time.monotonic() < late):
        if thread.is_alive():
            thread.join()
        else:
            time.sleep(1e-4)
