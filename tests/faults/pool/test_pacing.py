"""Maps whose arguments are large: they are sent as they are answered, and are maps like any other for all that happens meanwhile."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import procession as mp
from procession import _native
from procession._pools.sending import AHEAD
from procession.errors import ResultsDiscarded, WorkerDied
from procession.pool import Pool
from tests.faults.pool.conftest import SOON, check_whole, wait_until

SIZE = 1 << 20
COUNT = 2 * (AHEAD // SIZE) + 8
INHERITED: dict[str, Any] = {}  # by forked workers


class Large:
    """Offers its buffer beside the pickle, as arrays do."""

    def __init__(self, number: int, content: Any = None) -> None:
        self.number = number
        self.content = bytearray(SIZE) if content is None else content

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Large, (self.number, pickle.PickleBuffer(self.content))


class Unpicklable(Large):
    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        raise LookupError(f"number {self.number} cannot be pickled")


def number_of(large: Large) -> int:
    return large.number


def first_of(content: bytes) -> int:
    return content[0]


def sum_of(large: Large, number: int) -> int:
    return large.number + number


def bytes_in_use(_large: Large) -> int:
    return _native.arena_in_use()


def die_at_nine(large: Large) -> int:
    if large.number == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return large.number


def wait_at_the_gate(large: Large) -> int:
    INHERITED["gate"].wait(SOON)
    return large.number


def interrupt_the_owner(large: Large) -> int:
    if large.number == COUNT // 2:
        os.kill(os.getppid(), signal.SIGINT)
    return large.number


@pytest.fixture
def gated() -> Iterator[Pool]:
    """A pool of two, and the event that its workers wait for."""
    INHERITED["gate"] = mp.Event()
    with mp.get_context("fork").Pool(2) as made:
        yield made
    made.join()


def larges(count: int = COUNT) -> list[Large]:
    return [Large(number) for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("chunksize", [1, 3])
def test_results_come_in_order(forked: Pool, chunksize: int) -> None:
    assert forked.map(number_of, larges(), chunksize) == list(range(COUNT))
    pairs = [(large, 1) for large in larges()]
    assert forked.starmap(sum_of, pairs, chunksize) == [number + 1 for number in range(COUNT)]
    contents = [bytes([number]) * SIZE for number in range(COUNT)]
    assert forked.map(first_of, contents, chunksize) == list(range(COUNT))


@pytest.mark.slow
def test_a_few_arguments_lie_in_memory_at_once(forked: Pool) -> None:
    before = _native.arena_in_use()
    assert max(forked.map(bytes_in_use, larges(4 * COUNT), 1)) - before < 2 * AHEAD
    assert max(forked.map_async(bytes_in_use, larges(4 * COUNT), 1).get(SOON)) - before > 2 * AHEAD


@pytest.mark.slow
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_a_stream_of_large_arguments_is_read_a_few_at_a_time(forked: Pool, method: str) -> None:
    before = _native.arena_in_use()
    taken: list[int] = []

    def numbered() -> Iterator[Large]:
        for number in range(4 * COUNT):
            taken.append(number)
            yield Large(number)

    used = list(getattr(forked, method)(bytes_in_use, numbered()))
    assert len(used) == len(taken) == 4 * COUNT
    assert max(used) - before < 2 * AHEAD


@pytest.mark.slow
def test_idle_workers_keep_no_arguments(forked: Pool) -> None:
    before = _native.arena_in_use()
    assert forked.map(number_of, larges(8), 1) == list(range(8))
    wait_until(lambda: _native.arena_in_use() < before + SIZE)


@pytest.mark.slow
def test_an_argument_that_cannot_be_pickled_fails_the_map_and_nothing_else(forked: Pool) -> None:
    with pytest.raises(LookupError, match="number 5 "):
        forked.map(number_of, [*larges(5), Unpicklable(5), Unpicklable(6), *larges()], 1)
    check_whole(forked)


@pytest.mark.slow
def test_a_worker_that_dies_fails_the_map_and_nothing_else(forked: Pool) -> None:
    with pytest.raises(WorkerDied):
        forked.map(die_at_nine, larges(), 1)
    check_whole(forked)
    assert forked.map(number_of, larges(), 1) == list(range(COUNT))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["terminate", "close"])
def test_a_pool_that_another_thread_ends_meanwhile(gated: Pool, end: str) -> None:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(gated.map(wait_at_the_gate, larges(), 1))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: gated._crew._tasks.counts()[0] >= AHEAD // SIZE)
    getattr(gated, end)()
    INHERITED["gate"].set()
    thread.join(SOON)
    assert not thread.is_alive()
    if end == "close":
        assert outcome == [list(range(COUNT))]
    else:
        assert [type(error) for error in outcome] == [ResultsDiscarded]
    assert not gated._dispatcher.busy()


@pytest.mark.slow
def test_an_interrupt_ends_the_map_and_sends_no_more(forked: Pool) -> None:
    with pytest.raises(KeyboardInterrupt):
        forked.map(interrupt_the_owner, larges(), 1)
    assert forked._crew._tasks.counts()[0] < COUNT
    check_whole(forked)
    assert not forked._dispatcher._feeds


@pytest.mark.slow
def test_a_callback_may_map_large_arguments(forked: Pool) -> None:
    results: list[Any] = []
    forked.apply_async(abs, (1,), callback=lambda _: results.append(forked.map(number_of, larges(), 1)))
    wait_until(lambda: results != [])
    assert results == [list(range(COUNT))]
