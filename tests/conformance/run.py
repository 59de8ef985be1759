"""Run CPython's own suite on procession: `python -m tests.conformance.run --method fork [--only PATTERN] [--report]`.

    --python PROGRAM   whose suite and interpreter (default: the one that runs this)
    --method METHOD    fork, spawn, forkserver; may be given several times; default: all three
    --only PATTERN     only tests whose `Class.test` matches, e.g. 'WithProcessesTestQueue.*'; may be repeated
    --report           no verdict: counts, and each failing test with the end of its traceback
    --stdlib           on the interpreter's own multiprocessing instead: the baseline
    --json FILE        write all results there
    -j N               classes at once (default: the number of cores)

Ends with 1 when a test fails that exceptions.toml does not list, or one passes that it lists.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance import jobs, prefix, verdict
from tests.conformance.jobs import Limits, Result


@dataclass
class Run:
    """The suite under one start method: what was asked, and what came of it."""

    interpreter: prefix.Interpreter
    method: str
    target: str
    whole: bool
    results: dict[str, Result]
    lacking: str
    left_behind: dict[str, list[str]]
    seconds: float

    @property
    def title(self) -> str:
        return f"{self.target} on {self.interpreter.version}, {self.method}"


def run_suite(
    interpreter: prefix.Interpreter,
    method: str,
    *,
    target: str = "procession",
    only: list[str] | None = None,
    site: Path | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Run:
    """Build a prefix, run the suite of `interpreter` for `method` in it, and remove it."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="pc-"))
    exceptions = verdict.Exceptions.load(method, interpreter.series)
    try:
        program = prefix.build(folder / "prefix", interpreter, target, site)
        classes = jobs.list_classes(program, method)
        for case in classes:
            case.waiting = [test for test in case.waiting if wanted(f"{case.name}.{test}", only, exceptions)]
        chosen = [case for case in classes if case.waiting]
        results, left = dict[str, Result](), dict[str, list[str]]()
        for case in jobs.run(program, chosen, workers or os.cpu_count() or 1, limits or Limits()):
            results.update({f"{case.name}.{test}": result for test, result in case.results.items()})
            if case.left_behind:
                left[case.name] = case.left_behind
        lacking = next(folder.glob("prefix/lib/*/multiprocessing/lacking.txt"), None)
        return Run(
            interpreter,
            method,
            target,
            not only,
            results,
            lacking.read_text() if lacking else "",
            left,
            time.monotonic() - began,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wanted(test: str, only: list[str] | None, exceptions: verdict.Exceptions) -> bool:
    return not exceptions.is_never_run(test) and (not only or any(fnmatchcase(test, pattern) for pattern in only))


def summary(run: Run) -> str:
    numbers = ", ".join(f"{n} {status}" for status, n in verdict.counts(run.results.values()).items() if n)
    return f"{run.title}: {numbers or 'no test'}; {run.seconds:.0f} s"


def complaints(run: Run) -> list[str]:
    """Every reason to fail the run; none when all is as exceptions.toml says."""
    exceptions = verdict.Exceptions.load(run.method, run.interpreter.series)
    return verdict.complaints(run.results, exceptions, run.whole) + verdict.complaints_beside(
        run.lacking.splitlines(), run.left_behind, exceptions
    )


def report(run: Run) -> str:
    """What a developer wants to know: counts, what fails and how, what is lacking."""
    lines = []
    for test, result in sorted(run.results.items()):
        if result.status in verdict.BAD:
            tail = [line for line in result.detail.splitlines() if line.strip()][-6:]
            lines += [
                f"{result.status.upper()} {test} ({result.seconds:.1f} s)",
                *("    " + line for line in tail),
            ]
    lines += [f"left behind by {name}: {what}" for name, what in run.left_behind.items()]
    lines += [f"lacking: {name}" for name in run.lacking.splitlines()]
    return "\n".join([*lines, summary(run)])


def telling_lines(detail: str) -> list[str]:
    """The end of a traceback; of a process that hung or crashed, where its main thread was."""
    lines = [line for line in detail.splitlines() if line.strip()]
    stacks = [number for number, line in enumerate(lines) if "(most recent call first)" in line]
    return lines[stacks[-1] : stacks[-1] + 8] if stacks else lines[-6:]


def as_json(runs: list[Run]) -> str:
    return json.dumps(
        [
            {
                "python": run.interpreter.version,
                "method": run.method,
                "target": run.target,
                "seconds": round(run.seconds, 1),
                "counts": verdict.counts(run.results.values()),
                "lacking": run.lacking.splitlines(),
                "left_behind": run.left_behind,
                "tests": {test: asdict(result) for test, result in sorted(run.results.items())},
            }
            for run in runs
        ],
        indent=1,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.run",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--method", action="append", choices=prefix.METHODS)
    parser.add_argument("--only", action="append")
    parser.add_argument("--site", type=Path, help="the folder that procession is installed in")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--stdlib", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("-j", dest="workers", type=int)
    parser.add_argument("--test-limit", type=float, default=Limits.test, help="seconds for one test")
    parser.add_argument("--class-limit", type=float, default=Limits.class_, help="seconds for one class")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    interpreter, runs, failed = prefix.Interpreter.of(asked.python), list[Run](), False
    for method in asked.method or prefix.METHODS:
        run = run_suite(
            interpreter,
            method,
            target="standard" if asked.stdlib else "procession",
            only=asked.only,
            site=asked.site,
            workers=asked.workers,
            limits=Limits(asked.test_limit, asked.class_limit),
        )
        runs.append(run)
        if asked.report or asked.stdlib:
            print(report(run), flush=True)
        else:
            said = complaints(run)
            print(*said, summary(run), sep="\n", flush=True)
            failed = failed or bool(said)
    if asked.json:
        asked.json.write_text(as_json(runs))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
