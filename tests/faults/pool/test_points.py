"""A worker killed at each named point of the queues harms the task that it ran, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import procession as mp
from procession.errors import WorkerDied
from procession.pool import AsyncResult, Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole

NATIVE = Path(__file__).parents[3] / "native"
NOT_MET = re.compile(r"queue\.(create|destroy|drain|repair_\w+|shut_down|task_done|claim\.announced$^)")
POINTS = sorted(
    point
    for path in NATIVE.glob("queue*.c")
    for point in re.findall(r'PN_FAULT\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    if not NOT_MET.match(point)
)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_in_the_core_costs_one_task_at_most(forked: Pool, point: str) -> None:
    results = [forked.apply_async(tasks.arm, (point, "kill"))]
    results += [forked.apply_async(tasks.same, (bytes(size),)) for size in [10] * 300 + [50_000] * 20]
    assert len([result for result in results if was_lost(result)]) <= 1
    was_lost(forked.map_async(tasks.square, range(200), chunksize=1))  # if it was not met before, it may be now
    check_whole(forked)


def was_lost(result: AsyncResult[object]) -> bool:
    try:
        result.get(SOON)
    except WorkerDied:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("point", ["queue.put.after_commit", "queue.get.after_copy", "queue.get.after_head"])
def test_no_task_runs_twice(point: str) -> None:
    context = mp.get_context("fork")
    counts = context.Array("i", 100)
    with context.Pool(2, tasks.keep, ("counts", counts)) as pool:
        pool.apply_async(tasks.arm, (point, "kill"))
        results = [pool.apply_async(count, (x,)) for x in range(100)]
        for result in results:
            result.wait(SOON)
        assert all(result.ready() for result in results)
        check_whole(pool)
    pool.join()
    assert max(counts) == 1
    assert list(counts).count(0) <= 1  # whoever is killed in mid-task may not have counted


def count(x: int) -> None:
    tasks.TABLE["counts"][x] += 1
