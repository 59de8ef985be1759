"""`python -m benchmarks [--rounds N] [--only PART] [--json FILE] [--markdown FILE]`.

Every figure is the median of `rounds` measurements, each in a process of its own; the libraries alternate within a round.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from benchmarks.workloads import WORKLOADS

LIBRARIES = {
    "procession": "procession",
    "stdlib": "multiprocessing",
    "billiard": "billiard",
    "multiprocess": "multiprocess",
}
LIMIT = 120  # seconds for one measurement; more is reported as a hang


def measure(workload: str, library: str) -> float | None:
    """One measurement in a fresh process; None if it failed or hung."""
    command = [sys.executable, "-m", "benchmarks", "--measure", workload, "--library", library]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        print(f"{workload}: {library} did not end in {LIMIT} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print(f"{workload}: {library} failed:\n{done.stderr[-800:]}", file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def installed(names: list[str]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(LIBRARIES[name]) is not None]


def run(workloads: list[str], libraries: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    figures: dict[str, dict[str, list[float]]] = {}
    for workload in workloads:
        figures[workload] = {library: [] for library in libraries}
        for _ in range(rounds):
            for library in libraries:
                figure = measure(workload, library)
                if figure is not None:
                    figures[workload][library].append(figure)
        print(row(workload, figures[workload], libraries), flush=True)
    return figures


def row(workload: str, figures: dict[str, list[float]], libraries: list[str]) -> str:
    unit, more = WORKLOADS[workload].unit, WORKLOADS[workload].more_is_better
    medians = {library: statistics.median(figures[library]) if figures[library] else None for library in libraries}
    cells = [f"{medians[library]:,.4g}" if medians[library] is not None else "-" for library in libraries]
    ours, theirs = medians.get("procession"), medians.get("stdlib")
    ratio = "-" if not ours or not theirs else f"{(ours / theirs if more else theirs / ours):.2f}x"
    return f"| {workload} | {unit} | {' | '.join(cells)} | {ratio} |"


def machine() -> dict[str, object]:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=["procession", "stdlib"])
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--library", default="procession", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(WORKLOADS[options.measure].run(importlib.import_module(LIBRARIES[options.library])))
        return
    libraries = installed(options.libraries)
    head = f"| workload | unit | {' | '.join(libraries)} | procession / stdlib |\n|{'---|' * (len(libraries) + 3)}"
    print(f"{machine()}\n{head}")
    figures = run([name for name in WORKLOADS if options.only in name], libraries, options.rounds)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(), "figures": figures}, file, indent=1)
    if options.markdown:
        rows = "\n".join(row(name, figures[name], libraries) for name in figures)
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(
                f"Machine: {machine()}\n\nMedians of {options.rounds}; ratio: how many times better.\n\n{head}\n{rows}\n"
            )


if __name__ == "__main__":
    main()
