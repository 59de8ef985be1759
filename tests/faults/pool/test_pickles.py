"""What cannot be pickled, or not be rebuilt, is an error where it belongs; the pool goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from procession.errors import WorkerDied
from procession.pool import MaybeEncodingError, Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole

UNPICKLABLE = [
    pytest.param(threading.Lock, TypeError, id="lock"),
    pytest.param(tasks.RaisesWhenPickled, ZeroDivisionError, id="raises"),
]


@pytest.mark.parametrize(("make", "error"), UNPICKLABLE)
def test_an_argument_that_cannot_be_pickled_is_an_error_of_the_call(
    forked: Pool, make: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        forked.apply_async(tasks.same, (make(),))
    with pytest.raises(error):
        forked.map_async(tasks.same, [1, make()], chunksize=1)
    results = forked.imap(tasks.same, [1, make(), 3])
    assert results.next(SOON) == 1
    with pytest.raises(error):
        results.next(SOON)
    assert results.next(SOON) == 3
    check_whole(forked)


def test_a_function_that_cannot_be_pickled_is_an_error_of_the_call(forked: Pool) -> None:
    lock = threading.Lock()
    for call in (forked.apply_async, forked.map_async, forked.imap, forked.imap_unordered):
        with pytest.raises((TypeError, AttributeError)):
            call(lambda *_: lock, [1])  # type: ignore[operator]
    check_whole(forked)


@pytest.mark.slow
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit("no")])
def test_an_argument_that_cannot_be_rebuilt_is_an_error_of_its_task(pool: Pool, error: BaseException) -> None:
    results = pool.imap(tasks.same, [1, tasks.RaisesWhenRebuilt(error), 3])
    assert results.next(SOON) == 1
    with pytest.raises((type(error), WorkerDied)):
        results.next(SOON)
    assert results.next(SOON) == 3
    check_whole(pool)


@pytest.mark.slow
def test_an_argument_that_kills_who_rebuilds_it_harms_its_task_alone(pool: Pool) -> None:
    items = [1, 2, 3, tasks.KillsWhenRebuilt(), *range(60)]
    results = pool.imap(tasks.same, items)
    got: list[object] = []
    for _ in items:
        try:
            got.append(results.next(SOON))
        except WorkerDied as error:
            got.append(error.exitcode)
    assert got == [1, 2, 3, 9, *range(60)]
    check_whole(pool)


@pytest.mark.slow
def test_a_result_that_cannot_be_pickled_is_told(pool: Pool) -> None:
    with pytest.raises(MaybeEncodingError, match="lock"):
        pool.apply_async(tasks.make_unpicklable).get(SOON)
    with pytest.raises(MaybeEncodingError):
        pool.apply_async(tasks.RaisesWhenPickled).get(SOON)
    check_whole(pool)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit("no")])
def test_a_result_that_cannot_be_rebuilt_is_told(forked: Pool, error: BaseException) -> None:
    with pytest.raises(type(error)):
        forked.apply_async(tasks.make_raising, (error,)).get(SOON)
    check_whole(forked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("func", "words"),
    [
        (tasks.raise_unbuildable, "Unbuildable"),
        (tasks.raise_holding_lock, "HoldingLock"),
        (tasks.raise_unprintable, "Unprintable"),
    ],
)
def test_an_exception_that_cannot_travel_is_told_with_its_traceback(pool: Pool, func: Any, words: str) -> None:
    with pytest.raises(Exception, match=words) as told:
        pool.apply_async(func).get(SOON)
    assert func.__name__ in str(told.value.__cause__)
    check_whole(pool)


def test_a_base_exception_is_handed_on(forked: Pool) -> None:
    with pytest.raises(GeneratorExit, match="odd"):
        forked.apply_async(tasks.raise_base).get(SOON)
    check_whole(forked)


@pytest.mark.slow
def test_a_keyboard_interrupt_in_a_task_is_handed_on_and_its_worker_replaced(forked: Pool) -> None:
    with pytest.raises(KeyboardInterrupt):
        forked.apply_async(tasks.raise_it, (KeyboardInterrupt(),)).get(SOON)
    check_whole(forked)
