"""Queue: messages whole, in order, once; who waits is told; what is wrong is raised where it is wrong."""

from __future__ import annotations

import os
import queue as stdlib_queue
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from procession import _native
from procession.errors import ShutDown
from tests.units._native.children import child, thread, until, until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_what_is_put_is_got_in_order() -> None:
    queue = _native.Queue()
    values: list[Any] = [
        1,
        "two",
        {"three": [3, (3.0,)]},
        None,
        b"",
        "x" * 5_000,
        b"y" * 40_000,
        b"z" * 3_000_000,
        {1, 2},
        2**100,
    ]
    for value in values:
        assert queue.put(value) is None
    assert queue.qsize() == len(values)
    assert queue.counts() == (len(values), 0)
    assert [queue.get() for _ in values] == values
    assert queue.empty()
    assert queue.counts() == (len(values), len(values))


def test_a_waiting_reader_gets_what_another_process_puts() -> None:
    queue = _native.Queue()

    def put_when_asleep() -> None:
        until_asleep(queue)
        queue.put({"from": os.getpid()})

    with child(put_when_asleep) as writer:
        assert queue.get(timeout=20) == {"from": writer.pid}


def test_an_empty_queue_is_said_so() -> None:
    queue = _native.Queue()
    for arguments in ((False,), (False, 100), (True, 0), (True, -1), (True, 0.01)):
        with pytest.raises(stdlib_queue.Empty):
            queue.get(*arguments)
        with pytest.raises(stdlib_queue.Empty):
            queue.get_bytes(*arguments)
        with pytest.raises(stdlib_queue.Empty):
            queue.get_many(5, *arguments)


def test_a_full_queue_is_said_so_and_waited_for() -> None:
    queue = _native.Queue(2)
    assert queue.maxsize == 2
    queue.put(1)
    assert not queue.full()
    queue.put(2, timeout=0)
    assert queue.full()
    for arguments in ((False,), (False, 100), (True, 0), (True, -1), (True, 0.01)):
        with pytest.raises(stdlib_queue.Full):
            queue.put(3, *arguments)
    with thread(queue.put, 3):
        until_asleep(queue)
        assert queue.get() == 1
    assert [queue.get(), queue.get()] == [2, 3]


def test_wrong_arguments_are_said() -> None:
    queue = _native.Queue()
    with pytest.raises(TypeError, match="misses its argument 'obj'"):
        queue.put()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword"):
        queue.put(1, blok=True)  # type: ignore[call-arg]
    queue.put(obj=5, timeout=None)
    assert queue.get(block=True, timeout=1) == 5
    with pytest.raises(ValueError, match="at least 1"):
        queue.get_many(0)
    with pytest.raises(ValueError, match="max_items"):
        queue.get_many(-1)
    with pytest.raises(TypeError):
        queue.put_bytes("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tag"):
        queue.put_bytes(b"", 2**31)
    assert _native.Queue(-5).maxsize == 0
    assert _native.Queue(10**30).maxsize == 2**32 - 1


def test_what_cannot_be_pickled_is_raised_by_put_and_puts_nothing() -> None:
    queue = _native.Queue()
    for value in (lambda: None, [threading.Lock()]):
        with pytest.raises(Exception, match=r"(?i)pickle"):
            queue.put(value)
        with pytest.raises(Exception, match=r"(?i)pickle"):
            queue.put_many([1, 2, value])
        assert queue.put_plain(value) is False
    assert queue.empty()
    assert queue.put_plain([1, "a"]) is True
    assert queue.get() == [1, "a"]


def test_many_go_in_and_out_at_once() -> None:
    queue = _native.Queue()
    queue.put_many(range(10_000))
    queue.put_many(iter(["a", {2, 3}, "b"]))
    queue.put_many([])
    got = queue.get_many(100)
    assert got == list(range(100))
    got += queue.get_many(2**40)
    assert got == [*range(10_000), "a", {2, 3}, "b"]


def test_what_was_not_put_is_handed_back() -> None:
    queue = _native.Queue(3)
    with pytest.raises(stdlib_queue.Full) as caught:
        queue.put_many("abcde", timeout=0.01)
    assert caught.value.unsent == ["d", "e"]  # type: ignore[attr-defined]
    assert queue.get_many(10) == ["a", "b", "c"]
    queue.shut_down()
    with pytest.raises(ShutDown) as shut:
        queue.put_many([1])
    assert shut.value.unsent == [1]  # type: ignore[attr-defined]


class Broken:
    """Pickled in peace, never unpickled."""

    def __reduce__(self) -> Any:
        return fail, ()


def fail() -> None:
    raise RuntimeError("broken on arrival")


def test_what_cannot_be_unpickled_takes_no_other_with_it() -> None:
    queue, table = _native.Queue(), _native.Table(1)
    queue.put(Broken())
    with pytest.raises(RuntimeError, match="broken on arrival"):
        queue.get()
    queue.put_many([1, Broken(), 2])
    with pytest.raises(RuntimeError, match="broken on arrival") as caught:
        queue.get_many(10)
    assert caught.value.received == [1, 2]  # type: ignore[attr-defined]
    queue.put_many([3, Broken(), 4])
    claimed = queue.get_claimed(table, 0, 10)
    assert [sequence for sequence, _obj in claimed] == [4, 5, 6]
    assert (claimed[0][1], claimed[2][1]) == (3, 4)
    assert isinstance(claimed[1][1], _native.Undecodable)
    assert str(claimed[1][1].error) == "broken on arrival"


def test_a_nudge_wakes_a_claiming_reader_whom_a_killed_sender_has_not_woken() -> None:
    queue, table = _native.Queue(), _native.Table(1)
    claimed: list[Any] = []

    def put_and_die() -> None:
        _native.fault_arm("queue.wake.before_futex", "kill")
        queue.put("left")

    with thread(lambda: claimed.extend(queue.get_claimed(table, 0, 1))) as reader:
        until_asleep(queue)
        with child(put_and_die) as writer:
            assert writer.wait() == -signal.SIGKILL
        assert queue.qsize() == 1
        assert claimed == []
        queue.nudge()
        reader.join(3)  # of its own accord it looks again 5 s after it fell asleep
        assert claimed == [(0, "left")]


def test_bytes_travel_as_they_are() -> None:
    queue = _native.Queue()
    queue.put_bytes(b"plain")
    queue.put_bytes(memoryview(b"_view")[1:], tag=7)
    queue.put_bytes(bytearray(1_000_000), 2)
    queue.put_bytes(b"")
    assert queue.get_bytes() == (b"plain", 1)
    assert queue.get_bytes() == (b"view", 7)
    assert queue.get_bytes() == (bytes(1_000_000), 2)
    assert queue.get() == b""
    queue.put_bytes(_native.dumps([1, 2]), 0)
    assert queue.get() == [1, 2]


def test_what_is_taken_is_claimed_first() -> None:
    queue, table = _native.Queue(), _native.Table(4)
    queue.put_many("abc")
    assert queue.get_claimed(table, 2, 2) == [(0, "a"), (1, "b")]
    assert table.claim(2) == (0, 2, 0)
    table.finish(2, 1)
    assert table.claim(2) == (0, 2, 1)
    assert queue.get_claimed(table, 2, 2) == [(2, "c")]
    assert table.claim(2) == (2, 1, 0)
    with pytest.raises(ValueError, match="row"):
        queue.get_claimed(table, 4, 1)
    with pytest.raises(TypeError, match="Table"):
        queue.get_claimed(queue, 0, 1)  # type: ignore[arg-type]


def test_tasks_are_counted_until_done() -> None:
    queue = _native.Queue(joinable=True)
    queue.put_many("ab")
    assert queue.unfinished() == 2
    assert queue.join(0.01) is False

    def work() -> None:
        for _ in range(2):
            queue.get()
            queue.task_done()

    with child(work):
        assert queue.join(20) is True
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_shutting_down_ends_all_waits() -> None:
    queue, full = _native.Queue(), _native.Queue(1)
    full.put(1)

    def get() -> None:
        with pytest.raises(ShutDown):
            queue.get()

    def put() -> None:
        with pytest.raises(ShutDown):
            full.put(2)

    with child(get), child(put), thread(get):
        until_asleep(queue, 2)
        until_asleep(full)
        queue.shut_down()
        full.shut_down()
    assert queue.is_shut_down()
    assert full.get() == 1
    with pytest.raises(ShutDown):
        full.get()
    again = _native.Queue()
    again.put(1)
    again.shut_down(immediate=True)
    with pytest.raises(ShutDown):
        again.get()


def test_ctrl_c_ends_get_and_put() -> None:
    for queue, operation in (
        (_native.Queue(), lambda q: q.get()),
        (_native.Queue(1), lambda q: [q.put(1) for _ in range(2)]),
    ):

        def wait(queue: Any = queue, operation: Any = operation) -> None:
            with pytest.raises(KeyboardInterrupt):
                operation(queue)

        with child(wait) as waiter:
            until_asleep(queue)
            os.kill(waiter.pid, signal.SIGINT)


def test_a_reader_that_was_killed_asleep_takes_nothing() -> None:
    queue = _native.Queue()
    with child(queue.get) as reader:
        until_asleep(queue)
        reader.kill()
        queue.put("for the living")
        assert queue.get(timeout=10) == "for the living"


@pytest.fixture(params=[False, True], ids=["spins", "sleeps at once"])
def spinning_or_not(request: pytest.FixtureRequest) -> Iterator[None]:
    _native.forbid_spinning(request.param)
    yield
    _native.forbid_spinning(False)


@pytest.mark.slow
@pytest.mark.usefixtures("spinning_or_not")
def test_each_message_arrives_once_among_many_processes() -> None:
    queue, results = _native.Queue(), _native.Queue()
    writers, each = 3, 2_000

    def write(number: int) -> None:
        for i in range(each):
            queue.put((number, i, "x" * (i % 700)))

    def read() -> None:
        seen = []
        while (message := queue.get()) is not None:
            assert len(message[2]) == message[1] % 700
            seen.append(message[:2])
        results.put(seen)

    readers = [child(read) for _ in range(3)]
    with readers[0], readers[1], readers[2]:
        with child(write, 0), child(write, 1), child(write, 2):
            pass
        queue.put_many([None] * 3)
        seen = [results.get(timeout=30) for _ in range(3)]
    for part in seen:
        for number in range(writers):
            mine = [i for writer, i in part if writer == number]
            assert mine == sorted(mine)
    assert sorted(message for part in seen for message in part) == [(w, i) for w in range(writers) for i in range(each)]


@pytest.mark.slow
def test_threads_share_a_queue() -> None:
    queue = _native.Queue(10)
    got: list[int] = []

    def read() -> None:
        for _ in range(1_000):
            got.append(queue.get(timeout=20))

    def write() -> None:
        for i in range(1_000):
            queue.put(i, timeout=20)

    with thread(read), thread(read), thread(write), thread(write):
        pass
    assert sorted(got) == sorted([*range(1_000)] * 2)


def test_a_queue_gives_its_memory_back() -> None:
    def use() -> int:
        queue = _native.Queue()
        queue.put_many([b"x" * 30_000] * 50)
        queue.put(b"y" * 5_000_000)
        queue.get_many(20)
        del queue
        return _native.arena_in_use()

    first = use()
    until(lambda: use() <= first)
