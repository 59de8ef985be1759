"""A worker that is stopped (SIGSTOP) is not dead: its task waits with it, others go on, timeouts hold, and the pool can be ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

import procession as mp
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole, wait_until


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid))


def stop_one_at(pool: Pool, point: str) -> int:
    """One of its workers stops itself at this point of the core, when it next comes by; its process id."""
    pool.apply_async(tasks.arm, (point, "stop"))
    stopped: list[int] = []

    def look() -> bool:
        stopped[:] = [worker.pid for worker in pool._pool if is_stopped(worker.pid)]
        return bool(stopped)

    wait_until(look, lambda: pool.apply_async(tasks.square, (1,)).wait(0.01))
    return stopped[0]


class Ends:
    """A pool, and the ends of what its tasks say and wait for."""

    def __init__(self, context: Any) -> None:
        self.begun, self.release = context.SimpleQueue(), context.Event()
        self.pool: Pool = context.Pool(2, tasks.keep_ends, (self.begun, self.release))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends(mp.get_context("fork"))
    with made.pool:
        yield made
    made.pool.join()


@pytest.mark.slow
def test_an_idle_one_holds_up_nobody(ends: Ends) -> None:
    check_whole(ends.pool)
    stop(ends.pool._pool[0].pid)
    for x in range(20):
        assert ends.pool.apply_async(tasks.square, (x,)).get(SOON) == x * x
    os.kill(ends.pool._pool[0].pid, signal.SIGCONT)
    check_whole(ends.pool)


@pytest.mark.slow
def test_one_in_a_task_holds_up_that_task_alone(ends: Ends) -> None:
    held = ends.pool.apply_async(tasks.begin_and_wait)
    pid = ends.begun.get()
    stop(pid)
    ends.release.set()
    assert [ends.pool.apply_async(tasks.square, (x,)).get(SOON) for x in range(20)] == [x * x for x in range(20)]
    with pytest.raises(mp.TimeoutError):
        held.get(0.05)
    os.kill(pid, signal.SIGCONT)
    assert held.get(SOON) == pid
    check_whole(ends.pool)


POINTS = ["queue.put.entered", "queue.put.after_payload", "queue.put.after_commit", "queue.put.before_wake"]


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_one_that_writes_a_result_holds_up_nobody(ends: Ends, point: str) -> None:
    pid = stop_one_at(ends.pool, point)
    assert ends.pool.apply_async(tasks.square, (7,)).get(SOON) == 49
    os.kill(pid, signal.SIGCONT)
    check_whole(ends.pool)


@pytest.mark.slow
@pytest.mark.parametrize("point", [None, *POINTS, "queue.get.after_copy"])
def test_a_pool_with_stopped_workers_can_be_terminated(point: str | None) -> None:
    pool = mp.get_context("fork").Pool(2)
    if point is None:
        for worker in pool._pool:
            stop(worker.pid)
    else:
        stop_one_at(pool, point)
    began = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - began < SOON
