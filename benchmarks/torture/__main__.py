"""`python -m benchmarks.torture`: what pools do when something goes wrong, as a Markdown table; see `--help`.
With `--primitives`: what locks, queues and managers do.

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
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.torture.pools import ADAPTERS
from benchmarks.torture.primitives import LIBRARIES, PRIMITIVES
from benchmarks.torture.scenarios import SCENARIOS

LIMIT = 14.0  # seconds for one cell


def installed(libraries: Iterable[str]) -> list[str]:
    return [name for name in libraries if name in {"stdlib", "concurrent.futures"} or importlib.util.find_spec(name)]


def version(library: str) -> str:
    if library in {"stdlib", "concurrent.futures"}:
        return platform.python_version()
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "of this tree"


class Cell:
    """One scenario with one library: its process, and what it wrote to files (a pipe would stay open in orphans)."""

    def __init__(self, scenario: str, library: str) -> None:
        self._files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes them
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.torture.cell", scenario, library],
            stdout=self._files[0],
            stderr=self._files[1],
            start_new_session=True,
        )

    def ended(self, limit: float) -> bool:
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return False
        return True

    def steps(self) -> list[list[object]]:
        self._files[0].seek(0)
        return [json.loads(line) for line in self._files[0].read().splitlines() if line.startswith("[")]

    def errors(self) -> list[str]:
        self._files[1].seek(0)
        return self._files[1].read().strip().splitlines()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + LIMIT
        while not self.steps() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)

    def close(self) -> None:
        for pid in {self.process.pid, *group(self.process.pid)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        for file in self._files:
            file.close()


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


def interrupted(made: Cell) -> str:
    made.wait_ready()
    began = time.monotonic()
    os.killpg(made.process.pid, signal.SIGINT)
    ended = made.ended(LIMIT - 2)
    return f"{time.monotonic() - began:.1f} s, {len(made.errors())} lines" if ended else "**HANG**"


def orphaned(made: Cell) -> str:
    made.wait_ready()
    workers = set(group(made.process.pid)) - {made.process.pid}
    made.process.kill()
    made.process.wait()
    time.sleep(3)
    return f"{len(workers & set(group(made.process.pid)))} of {len(workers)}"


def cell(scenario: str, library: str) -> str:
    made = Cell(scenario, library)
    try:
        if scenario == "ctrl_c":
            return interrupted(made)
        if scenario == "parent_killed":
            return orphaned(made)
        ended = made.ended(LIMIT)
        return told(made.steps(), not ended, made.errors())
    finally:
        made.close()


def told(steps: list[list[object]], hung: bool, errors: list[str]) -> str:
    """`ERR WorkerDied 0.1 s; the next: ok`: the first step, and of the others those that went wrong."""
    if not steps:
        return "**HANG**" if hung else f"BRK ({errors[-1][:60] if errors else 'no word'})"
    if steps[0][1] == "n/a":
        return "n/a"
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
    parser.add_argument("--primitives", action="store_true", help="locks, queues and managers, instead of pools")
    parser.add_argument("--only", nargs="+", choices=[*SCENARIOS, *PRIMITIVES])
    parser.add_argument("--libraries", nargs="+", choices=ADAPTERS)
    parser.add_argument("--output", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    scenarios = PRIMITIVES if options.primitives else SCENARIOS
    options.libraries = options.libraries or installed(LIBRARIES if options.primitives else ADAPTERS)
    workers = "" if options.primitives else "; two workers"
    lines = [
        f"CPython {platform.python_version()}, Linux {platform.release()}; limit {LIMIT:.0f} s a cell{workers}.",
        "",
        f"| what happens | {' | '.join(f'{name} {version(name)}' for name in options.libraries)} |",
        f"|---|{'---|' * len(options.libraries)}",
    ]
    print("\n".join(lines), flush=True)
    for name in options.only or scenarios:
        cells = [cell(name, library) for library in options.libraries]
        lines.append(f"| {scenarios[name][0]} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
