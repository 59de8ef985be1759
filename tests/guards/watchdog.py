"""The process that ends a test which does not end: it outlives whatever the test does to its own process.

Reads lines `<seconds>` (arm; 0 disarms) from standard input. When the time is over it sends the first signal, whose
handler fails the test; when that does not help within the grace, it kills all that pytest had started and lets
pytest die with its tracebacks (SIGABRT under faulthandler). A thread could not do this: it would need the GIL, and
would make a fork in the test a fork with threads.
"""

from __future__ import annotations

import os
import select
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import proc  # type: ignore[import-not-found]


def end_everything(pytest_pid: int) -> None:
    """Kill all descendants of pytest but this process, then pytest itself."""
    for pid in proc.descendants(pytest_pid) - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.kill(pytest_pid, signal.SIGABRT)


def watch(pytest_pid: int, first_signal: int, grace: float) -> None:
    """Until pytest closes the pipe."""
    timeout, warned, pending = None, False, b""
    while True:
        ready, _, _ = select.select([0], [], [], timeout)
        if ready:
            received = os.read(0, 4096)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            if lines:
                seconds = float(lines[-1])
                timeout, warned = (seconds or None), False
        elif not warned:
            os.kill(pytest_pid, first_signal)
            timeout, warned = grace, True
        else:
            end_everything(pytest_pid)
            return


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
