"""`python -m benchmarks.crowded`: what spinning before a sleep is worth, on idle and on crowded CPUs; see `--help`.

Beside the workloads run busy loops: none, one for each CPU, two for each. The same package without spinning (plain futex waits) alternates
with it; "of plain waits" above 1 is what spinning gains, and it should never be below 0.8.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import WORKLOADS
from benchmarks.measuring import measured, rounds
from benchmarks.report import OURS, STANDARD, machine, number
from benchmarks.workloads import load

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEPING = "procession-sleeping"
LEAST = 0.8  # of what plain waits reach
MEASURED = (
    "msg.queue_1p1c_int",
    "msg.queue_4p1c_int",
    "msg.queue_1p4c_int",
    "msg.queue_4p4c_int",
    "msg.queue_1p1c_dict1k",
    "msg.queue_pingpong.same",
    "msg.queue_pingpong.cross",
    "sync.event_pingpong.cross",
    "sync.condition_pingpong.cross",
    "sync.lock_contended.4",
    "pool.apply",
    "pool.map_chunk1_100k",
)
COLUMNS = ("busy loops", "workload", "unit", OURS, "plain waits", "of plain waits", STANDARD, "ratio")


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that want a CPU each, all the time."""
    started = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def better(name: str, ours: float, theirs: float) -> float:
    return ours / theirs if WORKLOADS[name].more_is_better else theirs / ours


def compare(loops: int, name: str, count: int, scale: float) -> dict[str, Any]:
    """One line of the table."""
    found = rounds(name, [OURS, SLEEPING, STANDARD], count, scale)
    figures = {library: figure and figure.value for library, figure in ((one, measured(found[one])) for one in found)}
    ours, sleeping, standard = figures[OURS], figures[SLEEPING], figures[STANDARD]
    return {
        "busy loops": loops,
        "workload": name,
        "unit": WORKLOADS[name].unit,
        OURS: ours,
        "plain waits": sleeping,
        "of plain waits": better(name, ours, sleeping) if ours and sleeping else None,
        STANDARD: standard,
        "ratio": better(name, ours, standard) if ours and standard else None,
    }


def line(row: dict[str, Any]) -> str:
    cells = [row[column] if isinstance(row[column], str) else number(row[column]) for column in COLUMNS]
    return f"| {' | '.join(cells)} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowded", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--only", nargs="+", choices=MEASURED, default=MEASURED, metavar="WORKLOAD")
    parser.add_argument("--output", type=Path, help="a folder for crowded.md and crowded.json")
    return parser.parse_args()


def main() -> None:
    options, cpus, rows = arguments(), len(os.sched_getaffinity(0)), []
    load()
    head = f"| {' | '.join(COLUMNS)} |\n|--:|---|---|{'--:|' * (len(COLUMNS) - 3)}"
    print(head)
    for loops in (0, cpus, 2 * cpus):
        with busy(loops):
            for name in options.only:
                rows.append(compare(loops, name, options.rounds, options.scale))
                print(line(rows[-1]), flush=True)
    lost = [row for row in rows if (row["of plain waits"] or 0) < LEAST]
    named = ", ".join(f"{row['workload']} ({row['busy loops']} loops)" for row in lost) or "none"
    ending = f"Below {LEAST} of plain waits: {named}."
    print(f"\n{ending}")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        described = ", ".join(f"{key} {value}" for key, value in machine().items())
        text = (
            f"Machine: {described}. Medians of {options.rounds}.\n\n{head}\n"
            + "\n".join(map(line, rows))
            + f"\n\n{ending}\n"
        )
        (options.output / "crowded.md").write_text(text, encoding="utf-8")
        (options.output / "crowded.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
