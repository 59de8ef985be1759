"""Gives every test a hard deadline: 60 s, or what its mark `deadline(seconds)` says; a longer storm has as many times as much.

Promises: when it passes, the test fails with the tracebacks of all threads, those of the processes that it forked too, and what it
started is killed. If the test's own process does not answer, all of pytest ends, with the same tracebacks: CI never hangs.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.guards import proc

DEFAULT = 60.0
SIGNAL = signal.SIGRTMAX - 1  # nobody else's: tests use SIGALRM and SIGUSR1 themselves
TELL = signal.SIGRTMAX - 2  # a forked process prints its tracebacks; another dies of it, as it is about to anyway
TELLING = 0.5  # seconds that they have for it
WATCHDOG = pytest.StashKey[subprocess.Popen[bytes]]()
PIDS = pytest.StashKey[set[int]]()


class DeadlineExceeded(BaseException):
    """The test took too long. No `except Exception` of the code under test shall catch it."""


def on_deadline(signum: int, frame: FrameType | None) -> None:
    faulthandler.dump_traceback(all_threads=True)
    raise DeadlineExceeded("the test did not end before its deadline; see the tracebacks above")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not proc.SUPPORTED:
        return
    proc.adopt_orphans()
    signal.signal(SIGNAL, on_deadline)
    faulthandler.register(TELL, all_threads=True)
    session.config.stash[WATCHDOG] = subprocess.Popen(
        [
            sys.executable,
            "-S",
            "-E",
            str(Path(__file__).with_name("watchdog.py")),
            str(os.getpid()),
            str(int(SIGNAL)),
            os.environ.get("PROCESSION_TEST_GRACE", "20"),  # a loaded machine takes seconds
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    watchdog = session.config.stash.get(WATCHDOG, None)
    if watchdog is not None:
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        watchdog.wait(5)


def arm(config: pytest.Config, seconds: float) -> None:
    watchdog = config.stash.get(WATCHDOG, None)
    if watchdog is not None and watchdog.poll() is None:
        assert watchdog.stdin is not None
        watchdog.stdin.write(b"%r\n" % seconds)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("deadline")
    seconds = float(mark.args[0]) if mark else DEFAULT
    if item.get_closest_marker("stress"):
        seconds *= int(os.environ.get("PROCESSION_STORM", "1"))
    arm(item.config, seconds)
    try:
        return (yield)
    finally:
        arm(item.config, 0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = proc.children() if proc.SUPPORTED else set()
    try:
        return (yield)
    except DeadlineExceeded as late:
        started = proc.children() - before
        names = ", ".join(map(proc.describe, started)) or "none"
        for pid in started:
            os.kill(pid, TELL)  # ours until it is reaped, so the number is its own
        proc.wait_ended(started, TELLING)
        proc.kill(started)
        pytest.fail(f"{late}; killed processes: {names}")
