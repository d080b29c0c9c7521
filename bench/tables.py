"""Write the figures of bench/results into the tables of README.md and docs/performance.md: `make tables`.

python bench/tables.py [--check]

A table behind a line `<!-- table: KIND RESULTS | PATTERN; PATTERN -->` is made anew from results in bench/results; the
patterns choose cases by name, with * and ?, and without them all are shown. Kinds:

times       microseconds per example of everybody
estimators  `fit` of the estimators
figures     each figure beside what is aimed at
ratios      the same for AVX-512 and AVX2 side by side, from two results: `ratios v4 v3`
products    what the mini-batches and their aims against JAX make of the peak, by the products' arithmetic alone

What stands between `<!-- met: RESULTS -->` and `<!-- -->` is how many of the figures are met. The chart is drawn as
well. `--check` writes nothing and fails where a document says other than the results.
"""

import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src" / "backprop" / "bench"))
import report  # noqa: E402

DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "performance.md"]
TABLE = re.compile(r"<!-- table: (?P<kind>\w+) (?P<names>[^|]*?)(?: \| (?P<patterns>.*?))? -->\n+(?P<rows>(?:\|.*\n)+)")
MET = re.compile(r"<!-- met: (?P<name>\S+) -->.*?<!-- -->")


def results(name, patterns=("*",)):
    """A file of bench/results with the cases whose names match a pattern, in the order of the patterns."""
    found = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())
    kept = []
    for pattern in patterns:
        chosen = [case for case in found["cases"] if fnmatch(case["name"], pattern) and case not in kept]
        if not chosen:
            raise SystemExit(f"bench/results/{name}.json has no case {pattern}")
        kept += chosen
    return {**found, "cases": kept}


def ratios(wide, narrow):
    """The figures with AVX-512 and with AVX2: header and rows of strings."""
    tables = [{tuple(row[:2]): row[2:] for row in report.figures(found)[1:]} for found in (wide, narrow)]
    table = [["work", "against", "AVX-512", "to reach", "AVX2", "to reach"]]
    for name in tables[0]:
        cells = []
        for figures in tables:
            measured, aim, verdict = figures.get(name, ("-", "", ""))
            cells += [f"{measured} ({verdict})" if verdict not in ("", "met") else measured, aim]
        table.append([*name, *cells])
    return table


def products(results):
    """GF/s of the products in a mini-batch, ours and those that the aim would take: header and rows of strings."""
    table = [["work", "ours, GF/s", "share of the peak", "the aim against JAX", "takes, GF/s", "share of the peak"]]
    peak = results["machine"]["roof"]["fma_peak_gflops"]
    for case in results["cases"]:
        if not case["name"].startswith("batch "):
            continue
        sizes = [int(size) for size in case["name"].split()[-1].split("-")]
        weights = [m * n for m, n in zip(sizes, sizes[1:])]
        seconds = {timing["name"]: timing["seconds"] for timing in case["timings"]}
        aim = next(figure for figure in case["figures"] if figure["against"] == "jax")
        operations = (4 * sum(weights) + 2 * sum(weights[1:])) / 1e9
        ours, takes = operations / seconds["backprop"], operations / seconds["jax"] * aim["to_reach"]
        table.append(
            [
                case["name"],
                f"{ours:.1f}",
                f"{ours / peak:.0%}",
                f"{report.number(aim['to_reach'])} x ({'met' if aim['met'] else 'not met'})",
                f"{takes:.1f}",
                f"{takes / peak:.0%}",
            ]
        )
    return table


KINDS = {
    "times": report.rows,
    "estimators": report.estimators,
    "figures": report.figures,
    "ratios": ratios,
    "products": products,
}


def table(match):
    """The marker and the table behind it, made anew."""
    patterns = [pattern.strip() for pattern in (match["patterns"] or "*").split(";")]
    made = KINDS[match["kind"]](*(results(name, patterns) for name in match["names"].split()))
    return match[0][: match.start("rows") - match.start()] + report.markdown(made) + "\n"


def met(match):
    """How many of the figures of a run are met."""
    judged = [figure["met"] for case in results(match["name"])["cases"] for figure in case["figures"]]
    judged = [verdict for verdict in judged if verdict is not None]
    return f"<!-- met: {match['name']} -->{sum(judged)} of {len(judged)}<!-- -->"


def renewed(text):
    """The text of a document with the figures of the results."""
    return MET.sub(met, TABLE.sub(table, text))


def main(argv):
    stale = []
    for document in DOCUMENTS:
        text = document.read_text()
        if renewed(text) != text:
            stale.append(document)
    if argv == ["--check"]:
        for document in stale:
            print(f"{document.relative_to(ROOT)} says other than bench/results: make tables")
        return int(bool(stale))
    for document in stale:
        document.write_text(renewed(document.read_text()))
        print(f"wrote {document.relative_to(ROOT)}")
    report.chart(results("v4"), ROOT / "docs" / "benchmark.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
