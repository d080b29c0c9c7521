"""The benchmark: backprop and its peers in one run, interleaved, on one core, checked for agreement before timing.

    backprop bench [--only PATTERN] [--skip PATTERN] [--quick] [--repeats N] [--simd v3|v4] [--out FILE] [--chart FILE]

Every contender of a case gets the same arrays, initial weights and order, must agree with plain formulas after an epoch
(1e-9 in float64), and is then timed round by round with the others; the table shows medians. Compilation is not timed.
`backprop bench`, and `make bench` in the source tree, run this as a script in an environment of its own, with the peers
of requirements.txt: the files of this folder are scripts beside each other and no modules of the package.
"""

import argparse
import fnmatch
import os
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))
import environment  # noqa: E402

AGREEING_ROWS = 5000
TEAM_ROUNDS = 25  # of a case with threads: samples take some 20 ms, and neighbours slow a core for 50 to 500 ms
RESULTS = os.environ.get("BACKPROP_BENCH_RESULTS", "backprop-bench-{simd}.json")


def options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose name contains this (or matches it, with * and ?)"
    )
    parser.add_argument("--skip", metavar="PATTERN", help="leave these cases out")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds: under two minutes")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds per case (default 9; 5 with --quick)")
    parser.add_argument("--simd", choices=("baseline", "v3", "v4"), help="our kernels' variant (default: the best)")
    parser.add_argument(
        "--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on (default: the last)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="results as JSON (default backprop-bench-<simd>.json)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="chart as PNG or SVG")
    arguments = parser.parse_args(argv)
    if arguments.core not in os.sched_getaffinity(0):
        cores = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        print(f"backprop: error: argument --core: {arguments.core} is none of the cores {cores}", file=sys.stderr)
        sys.exit(2)
    return arguments


def matches(name, pattern):
    """Whether a case's name contains the pattern, or matches it where that has * or ?."""
    pattern = pattern if any(c in pattern for c in "*?") else f"*{pattern}*"
    return fnmatch.fnmatch(name.lower(), pattern.lower())


def selected(cases, arguments):
    """The cases that the arguments ask for."""
    if arguments.only is not None:
        cases = [case for case in cases if matches(case.name, arguments.only)]
    else:
        cases = [case for case in cases if not case.long and (case.quick or not arguments.quick)]
    return [case for case in cases if arguments.skip is None or not matches(case.name, arguments.skip)]


class Benchmark:
    """One run over the cases, with what all of them share."""

    def __init__(self, arguments, cores):
        import machine
        import ours
        import peers

        self.arguments, self.cores, self.ours = arguments, cores, ours
        self.repeats = arguments.repeats or (5 if arguments.quick else 9)
        self.seconds = 0.01 if arguments.quick else 0.02  # least duration of one sample
        self.peers, self.missing = peers.load()
        config = _quietly(ours.bp.show_config)
        self.simd = config["simd"]
        self.machine = machine.describe(config, {peer.NAME: peer.version() for peer in self.peers})
        self.machine["missing_peers"] = self.missing
        self.machine["command"] = " ".join(["backprop", "bench", *sys.argv[1:]])
        self.machine["roof"] = machine.measure(config["simd_available"])

    def run(self, case):
        """The case's record for the report: timings, what was skipped and why, figures."""
        started, skipped = time.perf_counter(), dict(self.missing)
        try:
            task = case.task() if case.task is not None else None
            apart = self._apart(task, skipped) if case.kind == "apart" else None
        except (FileNotFoundError, ImportError, RuntimeError) as error:
            return {
                "name": case.name,
                "kind": case.kind,
                "unit": case.unit,
                "timings": [],
                "skipped": {"case": _first_line(error)},
                "figures": [],
            }
        if apart is not None:
            timings = apart
        elif case.kind == "import":
            timings = self._imports()
        elif case.kind == "headline":
            timings = self._headline(task, skipped)
        elif case.kind == "swap":
            return self._swap(case, task, skipped, started)
        else:
            timings = self._time(case, task, skipped)
        return self._record(case, task, timings, skipped, time.perf_counter() - started)

    def _imports(self):
        import import_time
        from timing import Contender, Timing

        samples = import_time.measure(max(self.repeats, 7))
        return [Timing(Contender(name, None, None), 1, samples[name]) for name in ("backprop", "numpy")]

    def _apart(self, task, skipped):
        """Contenders that are processes of their own, on all cores."""
        from timing import Contender, Timing

        skipped.clear()  # no peer has a part in it
        with environment.Cores(self.cores):
            measured = task.measure(min(self.repeats, 3))
        return [
            Timing(Contender(name, None, None, form=form), 1, samples) for name, (form, samples) in measured.items()
        ]

    def _swap(self, case, task, skipped, started):
        import swaps

        sklearn = next((peer for peer in self.peers if peer.NAME == "sklearn"), None)
        timings, learnt = ([], {}) if sklearn is None else swaps.learn(task)
        return {**self._record(case, task, timings, skipped, time.perf_counter() - started), **learnt}

    def _time(self, case, task, skipped):
        import timing

        contenders = self._agreeing(self._contenders(case, task, skipped), task, skipped)
        contenders = timing.fastest_forms(contenders, self.seconds)
        alone = all(contender.cores is None for contender in contenders)
        return timing.best(timing.interleave(contenders, self.repeats if alone else TEAM_ROUNDS, self.seconds))

    def _headline(self, task, skipped):
        """A whole epoch of real data; agreement is checked on its first rows, for rounding grows to anything later."""
        import dataclasses

        import timing

        def contenders(task):
            found = [
                *self.ours.training(task, shuffle=True, form="shuffled"),
                *self.ours.training(task, name="backprop, file order"),
            ]
            for peer in self.peers:
                if peer.NAME in ("jax", "numba"):
                    found += self._forms(peer, "training", task, skipped, few=True)
            return found

        first = dataclasses.replace(task, X=task.X[:AGREEING_ROWS], Y=task.Y[:AGREEING_ROWS])
        good = self._agreeing(contenders(first), first, skipped)
        labels = {(contender.name, contender.form) for contender in timing.fastest_forms(good, self.seconds)}
        whole = [contender for contender in contenders(task) if (contender.name, contender.form) in labels]
        return timing.best(timing.interleave(whole, min(self.repeats, 5), self.seconds))

    def _contenders(self, case, task, skipped):
        if case.kind == "threads":
            return self._threads(task, skipped)
        if case.kind == "many":
            import dataclasses

            others = sorted(self.cores - {self.arguments.core})[: task.threads - 1]
            task = dataclasses.replace(task, cores=frozenset({self.arguments.core, *others}))
        found = self._forms(self.ours, case.kind, task, skipped)
        few = {"few": True} if case.kind == "training" and self.arguments.quick else {}
        for peer in self.peers:
            found += self._forms(peer, case.kind, task, skipped, **few)
            if case.compiled and not self.arguments.quick:
                found += self._forms(peer, "compiled", task, skipped)
        return found

    @staticmethod
    def _forms(module, kind, task, skipped, **options):
        """What the module's function of that name makes of the task; nothing where it has none or breaks."""
        if not hasattr(module, kind):
            return []
        try:
            return getattr(module, kind)(task, **options)
        except Exception as error:  # a peer that breaks must not end the run; the report names it
            skipped[f"{module.NAME}.{kind}"] = _first_line(error)
            return []

    def _threads(self, task, skipped):
        import numpy as np

        if not self.ours.has_threads() or len(self.cores) < 2:
            skipped["two threads"] = "one core only" if len(self.cores) < 2 else "Network.train has no n_threads"
            return []
        if not np.array_equal(self.ours.parameters_with(task, 1), self.ours.parameters_with(task, 2)):
            raise AssertionError("two threads do not give the same bits as one")
        import dataclasses

        two = dataclasses.replace(task, n_threads=2)
        pair = {self.arguments.core, min(self.cores - {self.arguments.core})}
        return [*self.ours.training(two, cores=pair, form="two threads"), *self.ours.training(task, name="one thread")]

    def _agreeing(self, contenders, task, skipped):
        """The contenders whose result is the reference's; ours must be."""
        import tasks
        import timing

        reference = {
            tasks.Training: tasks.trained,
            tasks.Prediction: tasks.predicted,
            tasks.Separation: tasks.separated,
            tasks.Fit: tasks.fitted,
            tasks.Product: lambda task: task.X @ task.W,
            tasks.Many: tasks.first_and_last_trained,
        }[type(task)]
        expected, good = {}, []
        for contender in contenders:
            if contender.loss not in expected:
                expected[contender.loss] = (
                    reference(task, contender.loss) if isinstance(task, tasks.Training) else reference(task)
                )
            try:
                timing.agree(contender, expected[contender.loss])
                good.append(contender)
            except timing.Disagreement as error:
                if contender.name == self.ours.NAME:
                    raise
                skipped[contender.name] = f"does not agree: {error}"
            except Exception as error:
                if contender.name == self.ours.NAME:
                    raise
                skipped[contender.name] = _first_line(error)
        return good

    def _record(self, case, task, timings, skipped, seconds):
        from cases import Result

        units = case.units(task)
        medians = {timing.contender.name: timing.median / units for timing in timings}
        double = [
            t.contender.name
            for t in timings
            if t.contender.precision == "float64" and not t.contender.name.startswith("backprop")
        ]
        result = Result(task, medians, double, self.machine["roof"])
        return {
            "name": case.name,
            "kind": case.kind,
            "unit": case.unit,
            "skipped": skipped,
            "seconds": round(seconds, 1),
            "timings": [_timing_record(timing, units) for timing in timings],
            "figures": [self._figure_record(figure, result) for figure in case.figures if "backprop" in medians],
        }

    def _figure_record(self, figure, result):
        value = figure.measure(result)
        target = figure.v3 if self.simd == "v3" else figure.v4
        met, without = None, [name for name in figure.of if name in self.missing]
        if value is not None and target is not None and not without:
            met = bool(value <= target) if figure.at_most else bool(value >= target)
        return {
            "against": figure.text,
            "value": value,
            "to_reach": target,
            "unit": figure.unit,
            "at_most": figure.at_most,
            "met": met,
            "without": without,
        }


def _timing_record(timing, units):
    contender, (low, high) = timing.contender, timing.quartiles
    return {
        "name": contender.name,
        "form": contender.form,
        "precision": contender.precision,
        "seconds": timing.median / units,
        "quartiles": [low / units, high / units],
        "samples": len(timing.samples),
        "repetitions": timing.repetitions,
        "disturbed": timing.disturbed,
        "compile_seconds": contender.compile_seconds,
    }


def _first_line(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def _quietly(function):
    """The value of a function that also prints."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        return function()


def main(argv=None):
    arguments = options(argv)
    cores = os.sched_getaffinity(0)
    environment.prepare(arguments.core, arguments.simd)
    import apart
    import report
    from cases import all_cases

    every = [*all_cases(), *apart.all_cases()]
    cases = selected(every, arguments)
    if arguments.list:
        print("\n".join(case.name for case in every))
        return 0
    if not cases:
        print("backprop: error: --only and --skip leave no case; --list names them all", file=sys.stderr)
        return 2
    started = time.perf_counter()
    benchmark = Benchmark(arguments, cores)
    print(report.machine_block(benchmark.machine), flush=True)
    records = []
    for case in cases:
        records.append(benchmark.run(case))
        print(report.case_block(records[-1]), flush=True)
    results = {"machine": benchmark.machine, "seconds": round(time.perf_counter() - started, 1), "cases": records}
    print(report.tables(results))
    report.write(results, arguments.out or Path(RESULTS.format(simd=benchmark.simd)))
    if arguments.chart is not None:
        report.chart(results, arguments.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
