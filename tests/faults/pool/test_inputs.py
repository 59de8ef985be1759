"""Inputs of imap that raise, never end, or use the pool themselves."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator

import pytest

import procession as mp
from procession.errors import ResultsDiscarded
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, check_whole


def broken(error: BaseException) -> Iterator[int]:
    yield from range(3)
    raise error


@pytest.mark.parametrize("buffersize", [None, 1, 10])
@pytest.mark.parametrize("error", [LookupError("input"), SystemExit(3), GeneratorExit("input")])
def test_what_an_input_raises_comes_out_in_its_place(
    forked: Pool, buffersize: int | None, error: BaseException
) -> None:
    results = forked.imap(tasks.square, broken(error), buffersize=buffersize)
    assert [results.next(SOON) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(type(error)):
        results.next(SOON)
    with pytest.raises(StopIteration):
        results.next(SOON)
    check_whole(forked)


def test_an_iterable_that_is_none_is_an_error_of_the_call(forked: Pool) -> None:
    for call in (forked.map, forked.imap, forked.imap_unordered, forked.starmap):
        with pytest.raises(TypeError):
            call(tasks.square, 5)  # type: ignore[operator]
    check_whole(forked)


@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_an_endless_input_is_taken_no_further_than_the_buffer(forked: Pool, method: str, chunksize: int) -> None:
    taken = itertools.count()
    results = getattr(forked, method)(tasks.square, taken, chunksize=chunksize, buffersize=4)
    for read in range(1, 50):
        results.next(SOON)
        assert next(taken) - (read - 1) <= read + 4 * chunksize + chunksize  # what this line itself takes included
    check_whole(forked)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["terminate", "garbage"])
def test_an_endless_input_without_buffer_ends_with_the_pool(end: str) -> None:
    pool = mp.get_context("fork").Pool(2)
    results = pool.imap(tasks.square, itertools.count())
    assert [results.next(SOON) for _ in range(3)] == [0, 1, 4]
    if end == "garbage":
        del results
    pool.terminate()
    pool.join()
    if end == "terminate":
        with pytest.raises(ResultsDiscarded):
            collections.deque(results, maxlen=0)


@pytest.mark.parametrize("end", ["close", "terminate"])
@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_pool_ends_though_a_buffered_input_was_read_in_part(end: str, read: int) -> None:
    pool = mp.get_context("fork").Pool(2)
    results = pool.imap(tasks.square, range(100), buffersize=4)
    for _ in range(read):
        results.next(SOON)
    getattr(pool, end)()
    pool.join()


def test_an_input_may_use_the_pool(forked: Pool) -> None:
    source = (forked.apply(tasks.square, (x,)) for x in range(5))
    assert [*forked.imap(tasks.square, source)] == [x**4 for x in range(5)]
    source = (forked.apply(tasks.square, (x,)) for x in range(5))
    assert [*forked.imap(tasks.square, source, buffersize=2)] == [x**4 for x in range(5)]


def test_an_imap_may_feed_another(forked: Pool) -> None:
    chained = forked.imap(tasks.square, forked.imap(tasks.square, range(300)))
    assert [*chained] == [x**4 for x in range(300)]
