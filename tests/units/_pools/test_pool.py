"""A pool gives the right results, and one worker's death harms one task alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import procession as mp
from procession.errors import ResultsDiscarded, WorkerDied
from procession.pool import MaybeEncodingError, Pool, RemoteTraceback, ThreadPool

METHODS = ["fork", "spawn", "forkserver"]


def square(x: int) -> int:
    return x * x


def reciprocal(x: int) -> float:
    return 1 / x


def add(x: int, y: int = 0, *, z: int = 0) -> int:
    return x + y + z


def kill_me(how: int) -> None:
    os.kill(os.getpid(), how)


def exit_now(code: int) -> None:
    os._exit(code)


def exit_politely(code: int) -> None:
    sys.exit(code)


def fail(text: str) -> None:
    raise KeyError(text)


def pid_of(_item: object) -> int:
    return os.getpid()


class Unbuildable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def fail_unbuildable() -> None:
    raise Unbuildable(1, 2)


def unpicklable_result() -> object:
    return lambda: 1


def kill_on_seven(x: int) -> int:
    if x == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with mp.get_context(request.param).Pool(2) as made:
        yield made
        made.terminate()
        made.join()


@pytest.fixture
def forked() -> Iterator[Pool]:
    with mp.get_context("fork").Pool(2) as made:
        yield made
        made.terminate()
        made.join()


def test_every_call_gives_the_results_of_the_function(pool: Pool) -> None:
    assert pool.apply(add, (1, 2), {"z": 3}) == 6
    assert pool.apply_async(square, (3,)).get(20) == 9
    assert pool.map(square, range(100)) == [x * x for x in range(100)]
    assert pool.map(square, range(100), chunksize=1) == [x * x for x in range(100)]
    assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
    assert list(pool.imap(square, iter(range(50)))) == [x * x for x in range(50)]
    assert sorted(pool.imap_unordered(square, range(50), chunksize=7)) == [x * x for x in range(50)]
    assert pool.map(square, []) == []


@pytest.mark.parametrize(
    ("func", "argument", "exitcode"),
    [(kill_me, signal.SIGKILL, -9), (kill_me, signal.SIGSEGV, -11), (exit_now, 3, 3), (exit_politely, 4, 4)],
)
def test_the_task_that_kills_its_worker_fails_and_no_other(
    forked: Pool, func: object, argument: int, exitcode: int
) -> None:
    before = [forked.apply_async(square, (x,)) for x in range(20)]
    guilty = forked.apply_async(func, (argument,))  # type: ignore[arg-type]
    after = [forked.apply_async(square, (x,)) for x in range(20)]
    with pytest.raises(WorkerDied) as told:
        guilty.get(20)
    assert told.value.exitcode == exitcode
    assert getattr(func, "__name__", "") in str(told.value)
    assert [result.get(20) for result in before + after] == [x * x for x in range(20)] * 2
    assert forked.map(square, range(10)) == [x * x for x in range(10)]


def test_a_map_with_a_deadly_item_tells_it_and_the_pool_goes_on(forked: Pool) -> None:
    with pytest.raises(WorkerDied):
        forked.map(kill_on_seven, range(20), chunksize=1)
    assert forked.map(square, range(10)) == [x * x for x in range(10)]


def work_a_moment(number: int, deadly: int) -> int:
    """Long enough for answers to come one by one, so that the pool's owner gathers them (crew.TRICKLE)."""
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    until = time.perf_counter() + 50e-6
    while time.perf_counter() < until:
        pass
    return number


@pytest.mark.slow
def test_answers_that_come_one_by_one_are_gathered_and_a_death_among_them_is_told(forked: Pool) -> None:
    with pytest.raises(WorkerDied):
        forked.starmap(work_a_moment, [(number, 1500) for number in range(2000)], chunksize=1)
    assert forked.starmap(work_a_moment, [(number, -1) for number in range(2000)], chunksize=1) == list(range(2000))


def test_a_map_that_is_being_gathered_holds_up_no_other_result(forked: Pool) -> None:
    slow = forked.starmap_async(work_a_moment, [(number, -1) for number in range(2000)], chunksize=1)
    with concurrent_get(slow) as whole:
        assert [forked.apply_async(square, (x,)).get(20) for x in range(20)] == [x * x for x in range(20)]
    assert whole == [list(range(2000))]


@contextlib.contextmanager
def concurrent_get(result: Any) -> Iterator[list[Any]]:
    """`result.get()` in a thread; what it returned, once the block is left."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(result.get(20)))
    thread.start()
    yield found
    thread.join(30)


def test_idle_workers_that_are_killed_are_replaced(forked: Pool) -> None:
    for worker in list(forked._pool):
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    assert forked.map(square, range(10)) == [x * x for x in range(10)]


def test_an_exception_comes_with_the_traceback_of_the_worker(pool: Pool) -> None:
    with pytest.raises(KeyError, match="lost") as told:
        pool.apply(fail, ("lost",))
    assert isinstance(told.value.__cause__, RemoteTraceback)
    assert "raise KeyError(text)" in str(told.value.__cause__)


def test_an_exception_that_cannot_be_rebuilt_is_told(forked: Pool) -> None:
    with pytest.raises(MaybeEncodingError):
        forked.apply(fail_unbuildable)
    assert forked.apply(square, (4,)) == 16


def test_a_result_that_cannot_be_pickled_is_told(forked: Pool) -> None:
    with pytest.raises(MaybeEncodingError):
        forked.apply(unpicklable_result)
    assert forked.apply(square, (4,)) == 16


def test_an_argument_that_cannot_be_pickled_is_an_error_of_the_call(forked: Pool) -> None:
    with pytest.raises((TypeError, AttributeError)):
        forked.apply_async(square, (threading.Lock(),))
    with pytest.raises((TypeError, AttributeError)):
        forked.map(square, [1, threading.Lock()], chunksize=1)
    assert forked.map(square, range(4)) == [0, 1, 4, 9]


def test_a_lambda_is_sent_by_value(forked: Pool) -> None:
    offset = 5
    assert forked.map(lambda x: x + offset, range(4)) == [5, 6, 7, 8]


def test_callbacks_run_though_nobody_waits(forked: Pool) -> None:
    got: queue.Queue[object] = queue.Queue()
    forked.apply_async(square, (5,), callback=got.put)
    assert got.get(timeout=20) == 25
    forked.apply_async(fail, ("x",), error_callback=got.put)
    assert isinstance(got.get(timeout=20), KeyError)
    forked.map_async(square, [1, 2], callback=got.put)
    assert got.get(timeout=20) == [1, 4]


def test_results_discarded_by_terminate_are_an_error() -> None:
    with mp.get_context("fork").Pool(1) as pool:
        results = [pool.apply_async(time.sleep, (5,)) for _ in range(5)]
    for result in results:
        with pytest.raises(ResultsDiscarded):
            result.get(20)
    pool.join()


def test_close_and_join_finish_all_tasks() -> None:
    pool = mp.get_context("fork").Pool(3, maxtasksperchild=1)
    results = [pool.apply_async(square, (x,)) for x in range(30)]
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply_async(square, (1,))
    pool.join()
    assert [result.get(0) for result in results] == [x * x for x in range(30)]


def test_a_worker_is_replaced_after_its_tasks() -> None:
    with mp.get_context("fork").Pool(1, maxtasksperchild=2) as pool:
        pids = pool.map(pid_of, range(6), chunksize=1)
        assert len(set(pids)) == 3
        pool.close()
        pool.join()


def test_a_failing_initializer_is_told_to_everybody() -> None:
    with mp.get_context("fork").Pool(2, fail, ("no database",)) as pool:
        with pytest.raises(KeyError, match="no database"):
            pool.map(square, range(4))
        pool.terminate()
        pool.join()


def test_imap_with_a_buffer_takes_no_more_than_it_may(forked: Pool) -> None:
    taken = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    results = forked.imap(square, endless(), buffersize=4)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 7


@pytest.mark.parametrize("call", ["imap", "imap_unordered"])
def test_loops_and_next_share_the_items_of_a_chunked_imap(forked: Pool, call: str) -> None:
    results = getattr(forked, call)(square, range(20), chunksize=5)
    begun = list(itertools.islice(results, 3))
    rest = [next(results), results.next(timeout=30), *results]
    assert sorted(begun + rest) == [x * x for x in range(20)]
    assert list(results) == []
    with pytest.raises(StopIteration):
        next(results)


def test_a_chunk_that_fails_is_one_error_and_the_others_come(forked: Pool) -> None:
    results = forked.imap(reciprocal, [1, 1, 1, 0, 1, 1], chunksize=2)
    assert list(itertools.islice(results, 2)) == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(iter(results))
    assert list(results) == [1, 1]


def test_a_buffer_of_chunks_is_refilled_by_loops(forked: Pool) -> None:
    taken = 0

    def counted() -> Iterator[int]:
        nonlocal taken
        for number in range(400):
            taken += 1
            yield number

    for number, result in enumerate(forked.imap(square, counted(), chunksize=10, buffersize=3)):
        assert result == number * number
        assert taken <= number + 4 * 10  # what is being handed out counts as a whole


def test_imap_hands_on_the_error_of_its_input(forked: Pool) -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise LookupError("input")

    results = forked.imap(square, broken())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(LookupError, match="input"):
        next(results)


def test_many_threads_may_wait_at_once(forked: Pool) -> None:
    sums: queue.Queue[int] = queue.Queue()

    def ask(start: int) -> None:
        sums.put(sum(forked.apply(square, (x,)) for x in range(start, start + 50)))

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert sum(sums.get(timeout=1) for _ in threads) == sum(x * x for x in range(200))


@pytest.mark.parametrize("wrong", [0, -1, 0.5, "12"])
def test_a_wrong_number_of_tasks_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild"):
        mp.Pool(2, maxtasksperchild=wrong)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        mp.Pool(0)
    with pytest.raises(TypeError, match="callable"):
        mp.Pool(1, initializer=1)  # type: ignore[arg-type]


def test_a_thread_pool_has_the_same_calls() -> None:
    with ThreadPool(3) as pool:
        assert pool.map(lambda x: x + 1, range(10)) == list(range(1, 11))
        assert list(pool.imap(square, range(5))) == [0, 1, 4, 9, 16]
        with pytest.raises(KeyError):
            pool.apply(fail, ("x",))
        pool.close()
        pool.join()


def test_the_messages_of_tasks_need_no_pickle() -> None:
    from procession import _native
    from procession._pools.words import Answer, Call

    words = [value for cls in (Call, Answer) for name, value in vars(cls).items() if name.isupper()]
    assert len(words) == 10
    assert all(_native.encodes((word, 1, 1, (1, "x"))) for word in words)


@pytest.mark.slow
def test_results_that_nobody_asks_for_keep_no_thread(forked: Pool) -> None:
    results = forked.imap_unordered(abs, range(100), 10)
    assert next(results) >= 0
    del results
    helpers = [thread for thread in threading.enumerate() if thread.name == "procession-pool"]
    forked.apply_async(abs, (-1,))
    for thread in helpers or [thread for thread in threading.enumerate() if thread.name == "procession-pool"]:
        thread.join(20)
        assert not thread.is_alive()
