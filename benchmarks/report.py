"""What a run found, as Markdown and as JSON.

Promises: every figure is a median of measurements of this run; a ratio is between two medians of this run. "-": the library has nothing
of the kind; "failed": it has, and gave a wrong result, an error, or did not end (the reason stands below the table).
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.catalogue import WORKLOADS
from benchmarks.libraries import LIBRARIES
from benchmarks.measuring import Measurement, Missing, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Row", "Run", "as_json", "heading", "line", "machine", "markdown"]

OURS, STANDARD = "procession", "stdlib"
Found = dict[str, list[Measurement] | Missing]


class Row(NamedTuple):
    """One workload's measurements."""

    workload: str
    found: Found

    def median(self, library: str) -> Measurement | None:
        return measured(self.found.get(library, Missing("was not asked")))

    @property
    def ratio(self) -> float | None:
        """How many times better than the standard library; None: one of the two has no figure."""
        ours, theirs = self.median(OURS), self.median(STANDARD)
        if ours is None or theirs is None or not ours.value or not theirs.value:
            return None
        more = WORKLOADS[self.workload].more_is_better
        return ours.value / theirs.value if more else theirs.value / ours.value

    @property
    def best_rival(self) -> tuple[str, float] | None:
        """The best of all others than the standard library."""
        rivals = [
            (name, found.value) for name in self.found if name not in {OURS, STANDARD} and (found := self.median(name))
        ]
        better = max if WORKLOADS[self.workload].more_is_better else min
        return better(rivals, key=lambda rival: rival[1]) if rivals else None


class Run(NamedTuple):
    """A run: what was measured, on what, how."""

    rows: Sequence[Row]
    libraries: list[str]
    limits: dict[str, float]
    command: str
    rounds: int
    load: tuple[float, float]  # before and after


def machine() -> dict[str, Any]:
    """Processor, number of CPUs that may be used, kernel, Python."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((text.split(":")[1].strip() for text in file if text.startswith("model name")), platform.machine())
    return {
        "processor": model,
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def number(value: float | None) -> str:
    """Three digits that matter, with thousands marked."""
    if value is None:
        return "-"
    if value >= 1e6:
        return f"{value / 1e6:,.3g} M" if value < 1e9 else f"{value / 1e6:,.0f} M"
    if value >= 1e4:
        return f"{value / 1e3:,.3g} k" if value < 1e6 else f"{value:,.0f}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


COLUMNS = ("workload", "unit", "limit", OURS, "CPU us/op", STANDARD, "CPU us/op", "ratio", "goal", "best rival")


def heading() -> str:
    """The head of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|---|---|{'--:|' * (len(COLUMNS) - 3)}---|"


def line(row: Row, limits: dict[str, float]) -> str:
    """A workload's line of the table."""
    described = WORKLOADS[row.workload]
    ours, theirs, rival = row.median(OURS), row.median(STANDARD), row.best_rival
    cells = (
        row.workload,
        described.unit,
        number(limits.get(described.limit)) if described.limit else "-",
        cell(row, OURS),
        number(ours and ours.cpu_us),
        cell(row, STANDARD),
        number(theirs and theirs.cpu_us),
        f"{row.ratio:.3g}x" if row.ratio else "-",
        goal(row, limits),
        f"{number(rival[1])} {rival[0]}" if rival else "-",
    )
    return f"| {' | '.join(cells)} |"


def cell(row: Row, library: str) -> str:
    median, found = row.median(library), row.found.get(library)
    if median is None and isinstance(found, Missing) and found.why.startswith(("failed", "did not")):
        return "failed"
    return number(median and median.value)


def goal(row: Row, limits: dict[str, float]) -> str:
    wanted, ours, limit = WORKLOADS[row.workload].goal, row.median(OURS), WORKLOADS[row.workload].limit
    if wanted is None:
        return "-"
    met = ours is None or wanted.is_met(ours.value, row.ratio, limits.get(limit) if limit else None)
    return str(wanted) if met else f"{wanted} **short**"


def markdown(run: Run) -> str:
    """The whole report."""
    named = ", ".join(f"{name} {LIBRARIES[name].version}" for name in run.libraries)
    described = ", ".join(f"{key} {value}" for key, value in machine().items())
    short = [row.workload for row in run.rows if "short" in goal(row, run.limits)]
    lacking = [
        f"- `{row.workload}`, {library}: {found.why.splitlines()[-1]}"
        for row in run.rows
        for library, found in row.found.items()
        if isinstance(found, Missing) and found.why.startswith(("failed", "did not"))
    ]
    return "\n".join(
        [
            "# Results",
            "",
            f"`{run.command}`",
            "",
            f"Machine: {described}. Load average before {run.load[0]:.1f}, after {run.load[1]:.1f}.",
            f"Libraries: {named}.",
            "",
            f"Medians of {run.rounds} rounds; the libraries alternate. Ratio: procession against the standard library; above 1 is better.",
            "Limit: a C program on the same machine (`benchmarks/limits.c`). CPU: of all processes together, for one operation.",
            "Read the ratios: the figures depend on the machine and on what else it did.",
            "",
            heading(),
            *(line(row, run.limits) for row in run.rows),
            "",
            f"Short of the goal: {', '.join(f'`{name}`' for name in short) or 'none'}.",
            "`docs/performance/README.md` says why, and how costs grow with processes, objects, sizes and tasks.",
            *(["", "What failed:", "", *lacking] if lacking else []),
            "",
            all_figures(run),
        ]
    )


def all_figures(run: Run) -> str:
    """Every library's median."""
    lines = [
        "## All libraries",
        "",
        f"| workload | unit | {' | '.join(run.libraries)} |",
        f"|---|---|{'--:|' * len(run.libraries)}",
    ]
    for row in run.rows:
        cells = " | ".join(cell(row, library) for library in run.libraries)
        lines.append(f"| {row.workload} | {WORKLOADS[row.workload].unit} | {cells} |")
    return "\n".join(lines) + "\n"


def as_json(run: Run) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "machine": machine(),
        "command": run.command,
        "load": run.load,
        "versions": {name: LIBRARIES[name].version for name in run.libraries},
        "limits": run.limits,
        "workloads": {
            row.workload: {
                "unit": WORKLOADS[row.workload].unit,
                "goal": wanted and wanted._asdict(),
                "ratio": row.ratio,
                "libraries": {
                    library: {"missing": found.why} if isinstance(found, Missing) else [one._asdict() for one in found]
                    for library, found in row.found.items()
                },
            }
            for row in run.rows
            for wanted in [WORKLOADS[row.workload].goal]
        },
    }
