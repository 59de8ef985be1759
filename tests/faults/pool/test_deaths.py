"""A worker that dies, however, harms the task that it ran; whoever waits for that is told who died, how, and while doing what."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from procession.errors import OwnerDied, WorkerDied
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole

DEATHS = [
    pytest.param(tasks.kill, signal.SIGKILL, -9, "SIGKILL", id="SIGKILL"),
    pytest.param(tasks.kill, signal.SIGTERM, -15, "SIGTERM", id="SIGTERM"),
    pytest.param(tasks.leave, 3, 3, "exited with code 3", id="_exit 3"),
    pytest.param(tasks.leave, 0, 0, "exited with code 0", id="_exit 0"),
    pytest.param(tasks.exit_with, 4, 4, "exited with code 4", id="sys.exit(4)"),
    pytest.param(tasks.exit_with, None, 0, "exited with code 0", id="sys.exit()"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("func", "argument", "exitcode", "words"), DEATHS)
def test_only_the_guilty_task_fails_and_the_pool_is_whole_again(
    pool: Pool, func: Any, argument: object, exitcode: int, words: str
) -> None:
    innocent = [pool.apply_async(tasks.square, (x,)) for x in range(20)]
    guilty = pool.apply_async(func, (argument,))
    innocent += [pool.apply_async(tasks.square, (x,)) for x in range(20)]
    with pytest.raises(WorkerDied) as told:
        guilty.get(SOON)
    assert told.value.exitcode == exitcode
    assert words in str(told.value)
    assert f"task 20: {func.__name__}(" in str(told.value)
    assert told.value.name in str(told.value)
    assert f"pid {told.value.pid}" in str(told.value)
    assert [result.get(SOON) for result in innocent] == [x * x for x in range(20)] * 2
    check_whole(pool)


@pytest.mark.slow
def test_a_segfault_comes_with_its_stack(pool: Pool) -> None:
    with pytest.raises(WorkerDied, match="SIGSEGV") as told:
        pool.apply_async(tasks.crash_in_here).get(SOON)
    assert "crash_in_here" in told.value.stack
    assert "Segmentation fault" in str(told.value)
    check_whole(pool)


@pytest.mark.slow
def test_each_crash_comes_with_its_own_stack(forked: Pool) -> None:
    for func in (tasks.crash_in_here, tasks.abort_in_here, tasks.crash_in_here):
        with pytest.raises(WorkerDied) as told:
            forked.apply_async(func).get(SOON)
        assert told.value.stack.count("File") > 2
        assert [name for name in ("crash_in_here", "abort_in_here") if name in told.value.stack] == [func.__name__]


@pytest.mark.slow
def test_an_endless_recursion_is_an_error_of_its_task(pool: Pool) -> None:
    with pytest.raises(RecursionError):
        pool.apply_async(tasks.exhaust_stack).get(SOON)
    check_whole(pool)


@pytest.mark.slow
def test_a_memory_limit_is_a_memory_error_of_its_task(pool: Pool) -> None:
    with pytest.raises(MemoryError):
        pool.apply_async(tasks.allocate_beyond_limit, (4 << 20,)).get(SOON)
    check_whole(pool)


@pytest.mark.slow
def test_a_lock_that_a_killed_worker_held_is_told_to_who_takes_it(context: Any) -> None:
    lock = context.Lock()
    with context.Pool(2, tasks.keep, ("lock", lock)) as pool:
        with pytest.raises(WorkerDied):
            pool.apply_async(kill_with_own_lock).get(SOON)
        with pytest.raises(OwnerDied):
            pool.apply_async(take_own_lock).get(SOON)
        check_whole(pool)
        lock.recover()
        assert pool.apply_async(take_own_lock).get(SOON)
    pool.join()


def kill_with_own_lock() -> None:
    tasks.kill_with_lock(tasks.TABLE["lock"])


def take_own_lock() -> bool:
    return tasks.take_lock(tasks.TABLE["lock"])


@pytest.mark.slow
def test_idle_workers_that_are_killed_are_replaced(pool: Pool) -> None:
    check_whole(pool)
    for worker in list(pool._pool):
        os.kill(worker.pid, signal.SIGKILL)
    check_whole(pool)


@pytest.mark.slow
def test_a_death_is_told_though_other_answers_keep_coming(forked: Pool) -> None:
    stream = forked.imap_unordered(tasks.square, iter(range(200_000)))
    next(stream)
    guilty = forked.apply_async(tasks.kill, (signal.SIGKILL,))
    told = False
    for _ in stream:
        told = guilty.done
        if told:
            break
    assert told, "the stream ended before the death was told"
    with pytest.raises(WorkerDied):
        guilty.get(0)


@pytest.mark.slow
@pytest.mark.stress
def test_of_many_tasks_exactly_the_deadly_ones_fail(forked: Pool, storm_factor: int) -> None:
    deadly = range(
        5, 400 * storm_factor, 25
    )  # near enough to each other for a task to lose two workers that had taken it
    results = [
        forked.apply_async(tasks.kill, (signal.SIGKILL,))
        if number in deadly
        else forked.apply_async(tasks.square, (number,))
        for number in range(400 * storm_factor)
    ]
    failed = []
    for number, result in enumerate(results):
        try:
            assert result.get(20) == number * number
        except WorkerDied:
            failed.append(number)
    assert failed == list(deadly)
    check_whole(forked)


@pytest.mark.slow
def test_a_deadly_item_of_a_map_is_told(pool: Pool) -> None:
    with pytest.raises(WorkerDied, match=r"kill\(9\)"):
        pool.map_async(tasks.kill, [0, 0, 0, 9, 0, 0], chunksize=1).get(SOON)
    check_whole(pool)


@pytest.mark.slow
def test_a_deadly_item_of_imap_costs_that_item(pool: Pool) -> None:
    results = pool.imap(tasks.kill, [0, 0, 9, 0, 0])
    got: list[object] = []
    for _ in range(5):
        try:
            got.append(results.next(SOON))
        except WorkerDied as error:
            got.append(error.exitcode)
    assert got == [None, None, -9, None, None]
    check_whole(pool)


@pytest.mark.slow
def test_an_argument_whose_repr_fails_or_is_long_is_told_all_the_same(forked: Pool) -> None:
    with pytest.raises(WorkerDied) as told:
        forked.apply_async(leave_with, (3, ["x" * 10_000] * 1000, Shy())).get(SOON)
    assert len(str(told.value)) < 1000
    assert "Shy" in str(told.value)


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def leave_with(code: int, *_rest: object) -> None:
    os._exit(code)
