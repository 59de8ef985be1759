"""Initializers that fail, workers that are replaced by the thousand, pools in workers, random numbers."""

from __future__ import annotations

import collections
import importlib.util
import os
import signal
from typing import Any

import pytest

import procession as mp
from procession.errors import ResultsDiscarded, WorkerDied
from procession.pool import Pool, ThreadPool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole, wait_until


@pytest.mark.slow
def test_an_initializer_that_always_raises_is_told_to_all_who_wait_and_ask_later(context: Any) -> None:
    with context.Pool(2, tasks.fail_to_start, ("no database",)) as pool:
        results = [pool.apply_async(tasks.square, (x,)) for x in range(5)]
        for result in results:
            with pytest.raises(KeyError, match="no database") as told:
                result.get(SOON)
        notes = "\n".join(told.value.__notes__)
        assert "initializer" in notes
        assert "starts in a row failed" in notes
        with pytest.raises(KeyError, match="no database"):
            pool.map(tasks.square, range(4))
    pool.join()


@pytest.mark.slow
def test_an_initializer_that_kills_its_worker_ends_the_pool_with_an_error(context: Any) -> None:
    with context.Pool(2, tasks.kill_at_start) as pool, pytest.raises(WorkerDied, match="initializer"):
        pool.apply_async(tasks.square, (3,)).get(SOON * 2)
    pool.join()


@pytest.mark.slow
def test_an_initializer_that_fails_at_times_is_tried_again(context: Any) -> None:
    with context.Pool(2, tasks.fail_at_times, (context.Value("i", 0),)) as pool:
        check_whole(pool)
    pool.join()


@pytest.mark.parametrize("error", [SystemExit(3), KeyError("x")])
def test_an_initializer_that_fails_in_threads_is_told(error: BaseException) -> None:
    with ThreadPool(2, tasks.raise_it, (error,)) as pool, pytest.raises(type(error)):
        pool.apply_async(tasks.square, (3,)).get(SOON)


@pytest.mark.slow
@pytest.mark.stress
def test_workers_of_one_task_each_do_thousands(storm_factor: int) -> None:
    count = 300 * storm_factor
    with mp.get_context("fork").Pool(4, maxtasksperchild=1) as pool:
        pids = pool.map(tasks.pid_after, range(count), chunksize=1)
        pool.close()
        pool.join()
    assert len(pids) == count
    assert len(set(pids)) > count * 0.9  # process ids may come again


@pytest.mark.slow
def test_workers_of_few_tasks_are_replaced_under_every_start_method(context: Any) -> None:
    with context.Pool(2, maxtasksperchild=3) as pool:
        assert pool.map_async(tasks.square, range(30), chunksize=1).get(30) == [x * x for x in range(30)]
        pool.close()
    pool.join()


@pytest.mark.slow
def test_a_worker_may_have_a_pool_of_its_own(pool: Pool) -> None:
    assert pool.map_async(tasks.nested_sum, [5, 10], chunksize=1).get(30) == [30, 285]


@pytest.mark.slow
def test_the_pool_of_a_killed_worker_goes_with_it(forked: Pool) -> None:
    places = mp.SimpleQueue()
    with mp.get_context("fork").Pool(1, tasks.keep, ("places", places)) as pool:
        guilty = pool.apply_async(stay)
        grandchildren = places.get()
        os.kill(pool._pool[0].pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            guilty.get(SOON)
        wait_until(lambda: not any(runs(pid) for pid in grandchildren))
    pool.join()


def stay() -> None:
    tasks.nested_pool_that_stays(tasks.TABLE["places"])


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_pool_that_a_worker_inherited_says_whose_it_is() -> None:
    context = mp.get_context("fork")
    with context.Pool(1) as outer:
        tasks.keep("outer", outer)
        with context.Pool(1) as inner, pytest.raises(RuntimeError, match="belongs to process"):
            inner.apply_async(use_inherited).get(SOON)
        inner.join()
        tasks.TABLE.clear()
    outer.join()


def use_inherited() -> None:
    tasks.TABLE["outer"].apply(tasks.square, (1,))


@pytest.mark.slow
def test_forked_workers_draw_different_random_numbers(forked: Pool) -> None:
    assert len(set(forked.map(tasks.draw, range(20), chunksize=1))) == 20


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed")
def test_forked_workers_draw_different_random_numbers_from_numpy() -> None:
    import numpy as np

    np.random.seed(1)
    with mp.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(tasks.numpy_draw, range(20), chunksize=1))) == 20
    pool.join()


@pytest.mark.slow
def test_results_that_nobody_waits_for_are_discarded_with_an_error(pool: Pool) -> None:
    results = [pool.apply_async(tasks.square, (x,)) for x in range(1000)]
    lazy = pool.imap(tasks.square, range(1000))
    pool.terminate()
    for result in results:
        try:
            result.get(SOON)
        except ResultsDiscarded:
            continue
    with pytest.raises(ResultsDiscarded):
        collections.deque(lazy, maxlen=0)
