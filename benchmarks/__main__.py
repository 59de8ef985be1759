"""`python -m benchmarks`: the table of us beside the standard library and the rivals; see `--help`."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path

from benchmarks.catalogue import WORKLOADS
from benchmarks.libraries import LIBRARIES
from benchmarks.limits import limits
from benchmarks.measuring import Missing, rounds
from benchmarks.picture import draw
from benchmarks.report import OURS, STANDARD, Row, Run, as_json, heading, line, markdown
from benchmarks.workloads import load

QUICK = 0.1  # of the normal length; the whole takes less than two minutes with two libraries


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each workload and library (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="length of each measurement (1: about a second)")
    parser.add_argument("--quick", action="store_true", help="one short round of us and the standard library")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="workloads, as in 'pool.*'")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, help="who is measured (all that are installed)")
    parser.add_argument("--output", type=Path, help="a folder for RESULTS.md, results.json and ratios.svg")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.scale = 1, QUICK
        options.libraries = options.libraries or [OURS, STANDARD]
    return options


def chosen(patterns: list[str]) -> list[str]:
    names = [name for name in WORKLOADS if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        raise SystemExit(f"no workload matches {' '.join(patterns)}; there are: {' '.join(WORKLOADS)}")
    if importlib.util.find_spec("numpy") is None:
        print("numpy is not installed: workloads with arrays are left out", file=sys.stderr)
        names = [name for name in names if "numpy" not in name]
    return names


def measure_all(options: argparse.Namespace) -> Run:
    libraries = options.libraries or [name for name, library in LIBRARIES.items() if library.is_installed]
    names, before, rows = chosen(options.only), os.getloadavg()[0], []
    allowed = limits()
    print(heading())
    for name in names:
        asked = [library for library in libraries if WORKLOADS[name].needs in LIBRARIES[library].has]
        row = Row(name, rounds(name, asked, options.rounds, options.scale))
        rows.append(row)
        print(line(row, allowed), flush=True)
        for library, found in row.found.items():
            if isinstance(found, Missing) and found.why != "has nothing of the kind":
                print(f"{name}: {library} {found.why}", file=sys.stderr)
    command = f"python -m benchmarks {shlex.join(sys.argv[1:])}".strip()
    return Run(rows, libraries, allowed, command, options.rounds, (before, os.getloadavg()[0]))


def write(run: Run, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RESULTS.md").write_text(markdown(run), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(as_json(run), indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print("matplotlib is not installed: no picture", file=sys.stderr)
        return
    draw(run.rows, str(folder / "ratios.svg"))


def main() -> None:
    options = arguments()
    load()
    run = measure_all(options)
    if options.output:
        write(run, options.output)
    failed = [row.workload for row in run.rows if OURS in row.found and row.median(OURS) is None]
    if failed:
        raise SystemExit(f"procession has no figure for {', '.join(failed)}")


if __name__ == "__main__":
    main()
