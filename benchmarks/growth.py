"""`python -m benchmarks.growth`: how each cost grows, as tables and curves; see `--help`."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import statistics
from pathlib import Path

from benchmarks.libraries import LIBRARIES
from benchmarks.measuring import Missing, figures
from benchmarks.report import OURS, STANDARD, machine, number
from benchmarks.workloads.growth import SERIES, Series

Curve = dict[int, float | None]
Curves = dict[str, Curve]


def measure(one: Series, libraries: list[str], rounds: int, most: int) -> Curves:
    """A curve ends where a library has no figure any more: at its limit, at an error, or when it takes too long."""
    curves: Curves = {library: {} for library in libraries}
    for x in (x for x in one.over if x <= most):
        found: dict[str, list[float]] = {library: [] for library in libraries}
        for _ in range(rounds):
            for library in libraries:
                if None in curves[library].values():
                    continue
                figure = figures(one.name, library, x)
                if isinstance(figure, Missing):
                    curves[library][x] = None
                else:
                    found[library].append(figure.value)
        for library, values in found.items():
            if values and x not in curves[library]:
                curves[library][x] = statistics.median(values)
    return curves


def table(one: Series, curves: Curves) -> str:
    xs = [x for x in one.over if any(x in curve for curve in curves.values())]
    lines = [
        f"### {one.title} ({one.unit})",
        "",
        f"| {one.axis} | {' | '.join(f'{x >> 20} Mi' if one.axis == 'bytes' and x >= 1 << 20 else number(x) for x in xs)} |",
        f"|---|{'--:|' * len(xs)}",
    ]
    for library, curve in curves.items():
        cells = (number(curve[x]) if curve.get(x) is not None else "fails" if x in curve else "-" for x in xs)
        lines.append(f"| {library} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, Curves], path: Path) -> None:
    """All curves in one picture, logarithmic on both axes. Needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "procession"
    columns = 3
    lines = (len(found) + columns - 1) // columns
    picture, axes = pyplot.subplots(lines, columns, figsize=(11, 2.7 * lines), squeeze=False)
    for place, (name, curves) in zip(axes.flat, found.items(), strict=False):
        for library, color in ((OURS, "#2f6f9f"), (STANDARD, "#c0562f")):
            points = [(x, y) for x, y in curves.get(library, {}).items() if y]
            place.loglog([x for x, _ in points], [y for _, y in points], "o-", markersize=3, color=color, label=library)
        place.set_title(f"{name} ({SERIES[name].unit})", fontsize=8)
        place.set_xlabel(SERIES[name].axis, fontsize=7)
        if SERIES[name].over[-1] <= 64:
            place.set_xscale("log", base=2)
            place.set_xticks(SERIES[name].over, [str(x) for x in SERIES[name].over])
        low, high = place.get_ylim()
        if high / low < 30:  # a narrow axis would draw noise as mountains
            middle = (low * high) ** 0.5
            place.set_ylim(middle / 30**0.5, middle * 30**0.5)
        place.minorticks_off()
        place.tick_params(labelsize=6)
        place.grid(alpha=0.3)
    for place in list(axes.flat)[len(found) :]:
        place.remove()
    axes.flat[0].legend(fontsize=7)
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="curves, as in 'objects.*'")
    parser.add_argument("--most", type=int, default=1 << 62, help="no point beyond this")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=[OURS, STANDARD])
    parser.add_argument("--output", type=Path, help="a folder for growth.md, growth.json and growth.svg")
    return parser.parse_args()


def main() -> None:
    options, found = arguments(), {}
    for name, one in SERIES.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.only):
            found[name] = measure(one, options.libraries, options.rounds, options.most)
            print(table(one, found[name]), end="\n\n", flush=True)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        described = ", ".join(f"{key} {value}" for key, value in machine().items())
        head = f"Machine: {described}. Load average at the end {os.getloadavg()[0]:.1f}. Medians of {options.rounds}.\n"
        tables = "\n\n".join(table(SERIES[name], curves) for name, curves in found.items())
        (options.output / "growth.md").write_text(f"{head}\n{tables}\n", encoding="utf-8")
        (options.output / "growth.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        draw(found, options.output / "growth.svg")


if __name__ == "__main__":
    main()
