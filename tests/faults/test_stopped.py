"""Whoever is stopped (SIGSTOP), at any fault point, nobody else waits beyond a timeout, or is deaf to Ctrl-C.

Each operation is done by two processes: one is stopped at one of the points that the operation passes; the other must be done with it,
in success or by its timeout. Not here: stops that somebody ends (test_matrix.py), workers of pools (pool/test_stopped.py).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full
from typing import Any

import pytest

import procession as mp
from procession import testing

SHORT = 0.05  # seconds: the timeouts
LATE = 1.0  # seconds: who takes longer was held up (whoever is stopped in a section goes on after 20 ms)
LARGE = b"x" * 100_000


def semaphore() -> Callable[[], None]:
    it = mp.Semaphore(1)

    def use() -> None:
        if it.acquire(timeout=SHORT):
            it.release()

    return use


def condition() -> Callable[[], None]:
    it = mp.Condition()

    def use() -> None:
        if it.acquire(timeout=SHORT):
            it.notify_all()
            it.wait(SHORT)
            it.release()

    return use


def event() -> Callable[[], None]:
    it = mp.Event()

    def use() -> None:
        it.wait(SHORT)
        it.set()
        it.clear()

    return use


def barrier() -> Callable[[], None]:
    it = mp.Barrier(2)

    def use() -> None:
        with suppress(threading.BrokenBarrierError):
            it.wait(SHORT)
        it.reset()

    return use


def put() -> Callable[[], None]:
    it = mp.Queue(3)

    def use() -> None:
        with suppress(Full):
            it.put("small", timeout=SHORT)
            it.put(LARGE, timeout=SHORT)

    return use


def get() -> Callable[[], None]:
    it = mp.Queue()
    for _ in range(3):
        it.put("small")
        it.put(LARGE)

    def use() -> None:
        with suppress(Empty):
            for _ in range(3):
                it.get(timeout=SHORT)

    return use


def create() -> Callable[[], None]:
    def use() -> None:
        mp.Queue(), mp.Lock(), mp.Condition(), mp.Event(), mp.Value("i")

    return use


OPERATIONS = (semaphore, condition, event, barrier, put, get, create)


def points_of(use: Callable[[], None]) -> list[str]:
    """The points of the core that it passes, when nobody is in the way."""
    return sorted(set(testing.passed_points(use)) & set(testing.fault_points()))


def is_stopped_at(point: str, use: Callable[[], None]) -> Any:
    """A process that uses it, too, and is stopped at the point; None: it did not pass there."""
    process = mp.get_context("fork").Process(target=testing.Faulty(use, point, "SIGSTOP"), daemon=True)
    process.start()
    how = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert how is not None
    if how.si_code == os.CLD_STOPPED:
        return process
    end(process)
    return None


def end(process: Any) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0
    process.close()


def times(make: Callable[[], Callable[[], None]]) -> dict[str, float]:
    """How long another takes while a process is stopped, in seconds, by point."""
    took = {}
    for point in points_of(make()):
        print(point, flush=True)
        use = make()
        process = is_stopped_at(point, use)
        if process is None:
            continue
        begun = time.monotonic()
        use()
        took[point] = time.monotonic() - begun
        end(process)
    return took


@pytest.mark.slow
@pytest.mark.parametrize("make", OPERATIONS)
def test_a_timeout_holds_whoever_is_stopped_wherever(make: Callable[[], Callable[[], None]]) -> None:
    took = testing.run_isolated(times, make, timeout=50).check()
    assert len(took) >= 3, "it passes no points"
    assert not {point: seconds for point, seconds in took.items() if seconds > LATE}
