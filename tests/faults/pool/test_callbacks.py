"""Callbacks may raise, use the pool, and end it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession.errors import ResultsDiscarded
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """What reaches threading.excepthook."""
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.put(args.exc_value))
    return seen


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_callback_that_raises_is_reported_and_harms_nobody(
    forked: Pool, reported: queue.SimpleQueue[Any], error: BaseException
) -> None:
    def complain(_value: object) -> None:
        raise error

    done = threading.Event()
    forked.apply_async(tasks.square, (3,), callback=complain)
    forked.apply_async(tasks.raise_base, error_callback=complain)
    forked.map_async(tasks.square, [1, 2], callback=complain)
    forked.apply_async(tasks.square, (3,), callback=lambda _: done.set())
    assert done.wait(SOON)
    assert [reported.get(timeout=SOON) for _ in range(3)] == [error] * 3
    check_whole(forked)


def test_a_callback_that_raises_in_the_waiting_thread_lets_the_result_through(
    forked: Pool, reported: queue.SimpleQueue[Any]
) -> None:
    def complain(_value: object) -> None:
        raise ValueError("mine")

    for _ in range(50):
        assert forked.apply_async(tasks.square, (3,), callback=complain).get(SOON) == 9
    assert reported.qsize() == 50


@pytest.mark.parametrize("how", ["apply", "map", "imap", "apply_async with a callback"])
def test_a_callback_may_use_the_pool(forked: Pool, how: str) -> None:
    got: queue.SimpleQueue[object] = queue.SimpleQueue()
    uses = {
        "apply": lambda x: got.put(forked.apply(tasks.square, (x,))),
        "map": lambda x: got.put(forked.map(tasks.square, [x])[0]),
        "imap": lambda x: got.put(next(forked.imap(tasks.square, [x]))),
        "apply_async with a callback": lambda x: forked.apply_async(tasks.square, (x,), callback=got.put),
    }
    others = [forked.apply_async(tasks.square, (x,)) for x in range(50)]
    forked.apply_async(tasks.square, (3,), callback=uses[how])
    assert got.get(timeout=SOON) == 81
    assert [result.get(SOON) for result in others] == [x * x for x in range(50)]


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_a_callback_may_end_the_pool(forked: Pool, end: str) -> None:
    ended = threading.Event()

    def finish(_value: object) -> None:
        getattr(forked, end)()
        ended.set()

    others = [forked.apply_async(tasks.square, (x,)) for x in range(100)]
    forked.apply_async(tasks.square, (3,), callback=finish)
    assert ended.wait(SOON)
    for x, result in enumerate(others):
        try:
            assert result.get(SOON) == x * x
        except ResultsDiscarded:
            assert end == "terminate"
    forked.join()


def test_join_in_a_callback_is_refused(forked: Pool) -> None:
    got: queue.SimpleQueue[object] = queue.SimpleQueue()

    def join(_value: object) -> None:
        forked.close()
        try:
            forked.join()
        except RuntimeError as error:
            got.put(str(error))

    forked.apply_async(tasks.square, (3,), callback=join)
    assert "callback" in str(got.get(timeout=SOON))


def test_callbacks_have_run_when_get_returns(forked: Pool) -> None:
    seen: list[int] = []
    for x in range(100):
        assert forked.apply_async(tasks.square, (x,), callback=seen.append).get(SOON) == seen[-1]


@pytest.mark.parametrize("call", ["apply_async", "map_async", "map_async by chunks"])
def test_a_callback_that_uses_the_pool_has_run_when_get_returns(forked: Pool, call: str) -> None:
    ends: list[bool] = []
    calls = {
        "apply_async": lambda callback: forked.apply_async(tasks.square, (3,), callback=callback),
        "map_async": lambda callback: forked.map_async(tasks.square, [3, 4], 1, callback),
        "map_async by chunks": lambda callback: forked.map_async(tasks.square, [3, 4], 2, callback),
    }

    def use(_value: object) -> None:
        forked.map(tasks.square, range(10))
        ends.append(result.ready())

    for turn in range(20):
        result = calls[call](use)
        assert result.get(SOON) == (9 if call == "apply_async" else [9, 16])
        assert len(ends) == turn + 1, "the callback has not come to its end"
    assert not any(ends), "it is ready while its callback runs"
