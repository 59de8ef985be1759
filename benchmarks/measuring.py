"""A measurement is a process: started, given a time limit, its figure read, its CPU time taken from the kernel.

Promises: within a round the libraries alternate, and every round turns the order round, so that a busy minute hits all of them.
What a measurement started is ended with it. Not here: medians and tables (`report`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.catalogue import Figure
from benchmarks.one import EMPTY, LACKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Measurement", "Missing", "figures", "measure", "measured", "rounds"]

LIMIT = 120  # seconds for one measurement; more is reported as a hang


class Measurement(NamedTuple):
    """A workload's figure, and the CPU time of all processes for one operation, in microseconds."""

    value: float
    cpu_us: float


class Missing(NamedTuple):
    """Why there is no figure."""

    why: str


def measure(workload: str, library: str, scale: float) -> Measurement | Missing:
    """One measurement in a fresh process."""
    found, cpu = _run(workload, library, scale)
    if isinstance(found, Missing):
        return found
    _, idle = _run(EMPTY, library, scale)
    return Measurement(found.value, max(0.0, cpu - idle) / found.operations * 1e6)


def figures(workload: str, library: str, scale: float) -> Figure | Missing:
    """One measurement in a fresh process, without its CPU time."""
    return _run(workload, library, scale)[0]


def _run(workload: str, library: str, scale: float) -> tuple[Figure | Missing, float]:
    command = [sys.executable, "-m", "benchmarks.one", workload, library, str(scale)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, start_new_session=True)
        status, cpu = _wait(process)
        _end_session(process.pid)
        output.seek(0)
        errors.seek(0)
        if status is None:
            return Missing(f"did not end in {LIMIT} s"), cpu
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == LACKING:
            return Missing("has nothing of the kind"), cpu
        if status != 0:
            return Missing(f"failed: {errors.read().decode(errors='replace').strip()[-600:]}"), cpu
        return Figure(*json.loads(output.read().split(b"\n")[-2])), cpu


def _wait(process: subprocess.Popen[bytes]) -> tuple[int | None, float]:
    """Its wait status (None: it had to be killed) and the CPU seconds of it and of the children that it waited for."""
    until = time.monotonic() + LIMIT
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return status, usage.ru_utime + usage.ru_stime
        if time.monotonic() > until:
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            return None, usage.ru_utime + usage.ru_stime
        time.sleep(0.005)


def _end_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def rounds(workload: str, libraries: list[str], count: int, scale: float) -> dict[str, list[Measurement] | Missing]:
    """`count` measurements of each library, alternating. One that fails or lacks it is not asked again."""
    found: dict[str, list[Measurement] | Missing] = {library: [] for library in libraries}
    for library in _alternating(libraries, count):
        so_far = found[library]
        if isinstance(so_far, Missing):
            continue
        one = measure(workload, library, scale)
        if isinstance(one, Missing):
            found[library] = one
        else:
            so_far.append(one)
    return found


def _alternating(libraries: list[str], count: int) -> Iterator[str]:
    for number in range(count):
        yield from libraries if number % 2 == 0 else reversed(libraries)


def measured(found: list[Measurement] | Missing) -> Measurement | None:
    """The medians; None if there is no figure."""
    if isinstance(found, Missing) or not found:
        return None
    return Measurement(statistics.median(one.value for one in found), statistics.median(one.cpu_us for one in found))
