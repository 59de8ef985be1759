"""`python -m benchmarks.torture`: what pools do when something goes wrong, as a Markdown table; see `--help`.

Each cell is a process group of its own that is killed after 14 seconds. A cell tells the steps in their order.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.torture.pools import ADAPTERS
from benchmarks.torture.scenarios import SCENARIOS

LIMIT = 14.0  # seconds for one cell


def installed() -> list[str]:
    return [name for name in ADAPTERS if name in {"stdlib", "concurrent.futures"} or importlib.util.find_spec(name)]


def version(library: str) -> str:
    if library in {"stdlib", "concurrent.futures"}:
        return platform.python_version()
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "of this tree"


def start(scenario: str, library: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.torture.cell", scenario, library]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, errors="replace"
    )


def group(leader: int) -> list[int]:
    """The processes of a group that run."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, _parent, its_group = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            )
        except OSError:
            continue
        if int(its_group) == leader and state not in "ZX":
            found.append(int(pid))
    return found


def end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.kill()
    process.communicate()


def interrupted(process: subprocess.Popen[str]) -> str:
    time.sleep(0.5)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        _out, err = process.communicate(timeout=LIMIT - 2)
    except subprocess.TimeoutExpired:
        return "**HANG**"
    return f"{time.monotonic() - began:.1f} s, {len(err.splitlines())} lines"


def orphaned(process: subprocess.Popen[str]) -> str:
    time.sleep(0.5)
    workers = set(group(process.pid)) - {process.pid}
    process.kill()
    process.wait()
    time.sleep(3)
    return f"{len(workers & set(group(process.pid)))} of {len(workers)}"


def cell(scenario: str, library: str) -> str:
    process = start(scenario, library)
    try:
        if scenario in {"ctrl_c", "parent_killed"}:
            assert process.stdout is not None
            return interrupted(process) if process.stdout.readline() and scenario == "ctrl_c" else orphaned(process)
        try:
            out, err = process.communicate(timeout=LIMIT)
            hung = False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            hung = True
        return told([json.loads(line) for line in out.splitlines() if line.startswith("[")], hung, err)
    finally:
        end(process)


def told(steps: list[list[object]], hung: bool, err: str) -> str:
    """`ERR WorkerDied 0.1 s; the next: ok`: the first step, and of the others those that went wrong."""
    if not steps:
        return "**HANG**" if hung else f"BRK ({err.strip().splitlines()[-1][:60] if err.strip() else 'no word'})"
    parts = []
    for number, (step, outcome, seconds) in enumerate(steps):
        slow = f" {seconds} s" if isinstance(seconds, float) and seconds >= 1 else ""
        if number == 0:
            parts.append(f"{outcome}{slow}")
        elif outcome != "ok" or slow:
            parts.append(f"{step}: {'BRK' if str(outcome).startswith('ERR') else outcome}{slow}")
    if hung:
        parts.append("then **HANG**")
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--libraries", nargs="+", choices=ADAPTERS, default=installed())
    parser.add_argument("--output", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    lines = [
        f"CPython {platform.python_version()}, Linux {platform.release()}; limit {LIMIT:.0f} s a cell; two workers.",
        "",
        f"| what happens | {' | '.join(f'{name} {version(name)}' for name in options.libraries)} |",
        f"|---|{'---|' * len(options.libraries)}",
    ]
    print("\n".join(lines), flush=True)
    for name in options.only:
        cells = [cell(name, library) for library in options.libraries]
        lines.append(f"| {SCENARIOS[name][0]} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
