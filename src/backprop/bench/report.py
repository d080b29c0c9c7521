"""Tables, JSON and the chart of a run. Redraw from a file:

python src/backprop/bench/report.py bench/results/v4.json [--markdown FILE] [--chart FILE]
"""

import argparse
import json
import sys
from pathlib import Path

SCALE = {
    "µs per example": 1e6,
    "µs per call": 1e6,
    "µs per product": 1e6,
    "ns per row": 1e9,
    "s per epoch": 1.0,
    "s per fit": 1.0,
    "ms per network": 1e3,
    "µs per network": 1e6,
    "ms": 1e3,
}
TRAINING_COLUMNS = ("jax", "numba", "numpy", "sklearn", "torch", "torch.compile", "jax f32")
COLOURS = {
    "jax": "#4477aa",
    "numba": "#228833",
    "numpy": "#ccbb44",
    "sklearn": "#ee6677",
    "torch": "#aa3377",
    "torch.compile": "#66ccee",
    "jax f32": "#bbbbbb",
}
MARKERS = dict(zip(COLOURS, "os^vPXD"))  # told apart in grey print, too


def number(value):
    """Three significant digits, without an exponent."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def machine_block(machine):
    roof, versions = machine["roof"], ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {machine['date']}; "
        f"load {machine['load_average']}",
        f"backprop {machine['backprop']}: {machine['simd']} kernels, {machine['compiler']}, "
        f"Python {machine['python']}, numpy {machine['numpy']}",
        f"peers: {versions}",
    ]
    lines += [f"missing: {name}: {reason}" for name, reason in machine["missing_peers"].items()]
    if "skipped" in roof:
        return "\n".join([*lines, f"roof not measured: {roof['skipped']}"])
    return "\n".join(
        [
            *lines,
            f"one core: FMA peak {number(roof['fma_peak_gflops'])} GF/s "
            f"({number(roof['fma_peak_float32_gflops'])} in float32); read "
            + ", ".join(f"{level} {number(roof[f'read_{level}_gbs'])}" for level in ("L1", "L2", "L3", "DRAM"))
            + f" GB/s; read-update-write in L2 {number(roof['update_L2_gbs'])} GB/s, with the next product "
            f"{number(roof['update_forward_L2_gbs'])} GB/s",
        ]
    )


def case_block(record):
    """One case as it is done: every contender with spread, form and compile time, then the figures."""
    scale, lines = SCALE[record["unit"]], [f"\n{record['name']}  [{record['unit']}]"]
    for timing in record["timings"]:
        low, high = (scale * q for q in timing["quartiles"])
        compiled = f"; compiled in {timing['compile_seconds']:.1f} s" if timing["compile_seconds"] is not None else ""
        disturbed = f"; {timing['disturbed']} disturbed" if timing["disturbed"] else ""
        lines.append(
            f"  {timing['name']:22s} {number(scale * timing['seconds']):>8s}  ({number(low)} .. {number(high)}, "
            f"{timing['samples']} x {timing['repetitions']}){disturbed}{compiled}"
            + (f"  {timing['form']}" if timing["form"] else "")
        )
    lines += [f"  skipped {name}: {reason}" for name, reason in record["skipped"].items()]
    lines += [f"  {figure_line(figure)}" for figure in record["figures"]]
    return "\n".join(lines)


def figure_line(figure):
    if figure["value"] is None:
        return f"{figure['against']}: not measured"
    text = f"{figure['against']}: {number(figure['value'])} {figure['unit']}"
    if figure["to_reach"] is None:
        return text
    verdict = {True: "met", False: "NOT MET", None: f"not judged without {_without(figure)}"}[figure["met"]]
    return f"{text}, {'at most' if figure['at_most'] else 'at least'} {number(figure['to_reach'])}: {verdict}"


def _without(figure):
    """Names of the missing peers for whose sake a figure is not judged."""
    return " and ".join(figure.get("without", ()))


def rows(results):
    """The training table: header and rows of strings."""
    records = [record for record in results["cases"] if record["kind"] == "training" and record["timings"]]
    names = {timing["name"] for record in records for timing in record["timings"]}
    columns = [name for name in TRAINING_COLUMNS if name in names]
    table = [["µs per example", "backprop", *columns, "fastest / ours"]]
    for record in records:
        seconds = {timing["name"]: timing["seconds"] for timing in record["timings"]}
        if "backprop" not in seconds:
            continue
        peers = [t["seconds"] for t in record["timings"] if t["precision"] == "float64" and t["name"] != "backprop"]
        ratio = f"{number(min(peers) / seconds['backprop'])}x" if peers else ""
        table.append(
            [
                record["name"],
                number(1e6 * seconds["backprop"]),
                *[number(1e6 * seconds[name]) if name in seconds else "-" for name in columns],
                ratio,
            ]
        )
    return table


def estimators(results):
    """Change the import, nothing else: header and rows of strings."""
    table = [["fit, µs per example and epoch", "backprop", "sklearn", "sklearn / ours"]]
    for record in results["cases"]:
        seconds = {timing["name"]: timing["seconds"] for timing in record["timings"]}
        if record["kind"] == "estimator" and {"backprop", "sklearn"} <= set(seconds):
            ours, theirs = seconds["backprop"], seconds["sklearn"]
            name = record["name"].removeprefix("sklearn ")
            table.append([name, number(1e6 * ours), number(1e6 * theirs), f"{number(theirs / ours)}x"])
    return table


def swaps(results):
    """Change the import, nothing else, on real data: header and rows of strings."""
    table = [["mean test score, fit in s, epochs", "backprop", "sklearn", "apart", *["backprop", "sklearn"], "ratio"]]
    for record in results["cases"]:
        if record["kind"] != "swap" or not record["timings"]:
            continue
        mean = {name: sum(scores) / len(scores) for name, scores in record["scores"].items()}
        seconds = {timing["name"]: timing["seconds"] for timing in record["timings"]}
        table.append(
            [
                record["name"].removeprefix("change the import: "),
                *[f"{value:.4f}" for value in mean.values()],
                f"{mean['backprop'] - mean['sklearn']:+.4f}",
                *[f"{number(seconds[name])} ({record['epochs'][name]:.0f})" for name in mean],
                f"{number(seconds['sklearn'] / seconds['backprop'])}x",
            ]
        )
    return table


def figures(results):
    """The figures' table: header and rows of strings."""
    table = [["work", "against", "measured", "to reach", ""]]
    for record in results["cases"]:
        for figure in record["figures"]:
            if figure["value"] is None:
                table.append([record["name"], figure["against"], "-", "", "not measured"])
                continue
            sign = "≤" if figure["at_most"] else "≥"
            target = "" if figure["to_reach"] is None else f"{sign} {number(figure['to_reach'])} {figure['unit']}"
            verdict = {True: "met", False: "not met", None: ""}[figure["met"]]
            if _without(figure):
                verdict = f"not judged without {_without(figure)}"
            table.append(
                [record["name"], figure["against"], f"{number(figure['value'])} {figure['unit']}", target, verdict]
            )
    return table


def plain(table):
    widths = [max(len(row[c]) for row in table) for c in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if c == 0 or not _numeric(cell) else cell.rjust(w)
            for c, (cell, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in table
    )


def _numeric(cell):
    return cell[:1].isdigit()


def markdown(table):
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def all_tables(results):
    """Those that have a row."""
    made = (rows(results), estimators(results), swaps(results), figures(results))
    return [table for table in made if len(table) > 1]


def tables(results):
    met = [figure["met"] for record in results["cases"] for figure in record["figures"] if figure["met"] is not None]
    parts = [plain(table) for table in all_tables(results)]
    return "\n\n".join(
        ["", *parts, f"{sum(met)} of {len(met)} figures met ({results['machine']['simd']}); {results['seconds']:.0f} s"]
    )


def write(results, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"wrote {path}")


def chart(results, path):
    """Training time of each peer as a multiple of ours, one row per case, logarithmic; skipped without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        print(f"no chart: {error}")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = [
        r for r in results["cases"] if r["kind"] == "training" and any(t["name"] == "backprop" for t in r["timings"])
    ]
    if not records:
        print("no chart: no training case was run")
        return
    plt.rcParams["svg.hashsalt"] = "backprop"  # the same file for the same numbers
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.32 * len(records)), layout="constrained")
    for row, record in enumerate(records):
        seconds = {timing["name"]: timing["seconds"] for timing in record["timings"]}
        for name, colour in COLOURS.items():
            if name in seconds:
                axes.plot(
                    seconds[name] / seconds["backprop"],
                    row,
                    MARKERS[name],
                    color=colour,
                    ms=6,
                    label=name if name not in axes.get_legend_handles_labels()[1] else None,
                )
    axes.axvline(1.0, color="black", lw=1.5, label="backprop")
    axes.set(
        xscale="log",
        yticks=range(len(records)),
        xlabel="time per example, multiples of backprop's (right is slower)",
        title=f"Training in float64 on one core, {results['machine']['simd']} kernels (plain SGD unless said)",
    )
    axes.set_yticklabels([f"{r['name']}   {number(1e6 * r['timings'][0]['seconds'])} µs" for r in records], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    machine = results["machine"]
    figure.text(
        0.01,
        -0.02,
        f"{machine['processor']}, {machine['date']}; " + ", ".join(f"{n} {v}" for n, v in machine["peers"].items()),
        fontsize=6,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    print(f"wrote {path}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables for a README")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="PNG or SVG")
    arguments = parser.parse_args(argv)
    results = json.loads(arguments.results.read_text())
    print(machine_block(results["machine"]) + "\n" + tables(results))
    if arguments.markdown is not None:
        tables_of_run = all_tables(results)
        arguments.markdown.write_text("\n\n".join(markdown(table) for table in tables_of_run) + "\n")
    if arguments.chart is not None:
        chart(results, arguments.chart)


if __name__ == "__main__":
    sys.exit(main())
