"""Cases whose contenders are processes of their own, on all cores: streams larger than memory, and Dask.

A task has `measure(repeats)`, which checks the results and gives {name: (form, [seconds])}.
"""

from cases import Case, Figure
from cluster import Rounds
from streaming import Streams


def all_cases():
    """They come last: the others have the machine to themselves before."""
    return [*_streams(), *_dask()]


def _streams():
    for case in ("1 at a time, sgd", "batches of 32, adam"):
        yield Case(
            f"stream: 10 million rows x 20, 20-32-1, {case}",
            "apart",
            lambda case=case: Streams(case),
            unit="ns per row",
            units=lambda task: task.rows,
            figures=(
                Figure("share of the rate in memory", _share("backprop"), 70.0, 70.0, "%"),
                Figure("shuffled: share of the rate in memory", _share("backprop, shuffled"), 70.0, 70.0, "%"),
                Figure("resident memory", lambda r: r.task.resident["backprop"], 400.0, 400.0, "MB", at_most=True),
                Figure("shuffled: resident memory", lambda r: r.task.resident["backprop, shuffled"], 400.0, 400.0, "MB",
                       at_most=True),
                Figure("million rows per second", lambda r: 1e-6 / r.seconds["backprop"], None, None, ""),
            ),
        )


def _share(name):
    return lambda r: 100.0 * r.seconds["in memory"] / r.seconds[name]


def _dask():
    for sizes, rows, mode in (([64, 256, 10], 40_000, "sync"), ([64, 256, 10], 40_000, "average")):
        text = "full batch" if mode == "sync" else "batches of 32"
        yield Case(
            f"Dask: {mode} rounds, {'-'.join(map(str, sizes))}, {rows:,} rows, {text}",
            "apart",
            lambda sizes=sizes, rows=rows, mode=mode: Rounds(sizes, rows, mode),
            unit="ms",
            units=lambda task: 1,
            figures=(
                Figure("rounds per second, 2 workers", lambda r: 1.0 / r.seconds["backprop"], None, None, ""),
                Figure("efficiency on 2 workers", lambda r: 50.0 * r.against("one worker"), None, None, "%"),
            ),
        )
