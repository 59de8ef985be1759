"""Queues give what was put, once and in order, and say what is wrong where it is wrong."""

from __future__ import annotations

import os
import pickle
import queue as threads_queue
import signal
import threading
from typing import Any

import pytest

import procession as mp
from procession._channels.pickling import ForkingPickler
from procession._channels.queue import JoinableQueue, Queue, SimpleQueue
from procession._channels.select import wait
from procession.errors import ShutDown
from tests.units._channels.forked import child

KINDS: list[Any] = [Queue, JoinableQueue, SimpleQueue]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise AttributeError("not this one")


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_all_sorts_go_to_another_process_and_back_in_order(kind: Any) -> None:
    there, back = kind(), kind()
    messages = [
        None,
        1,
        "x",
        [1, {2: 3}],
        os.path.join,
        Exception("e"),
        b"x" * 100_000,
        {"k": (1.5, True)},
        2**80,
        kind,
    ]

    def echo() -> None:
        for _ in messages:
            back.put(there.get())

    with child(echo):
        for message in messages:
            there.put(message)
        for message in messages:
            received = back.get()
            assert type(received) is type(message)
            assert isinstance(message, Exception) or received == message
    assert there.empty()


@pytest.mark.parametrize("kind", [Queue, JoinableQueue])
def test_a_full_queue_refuses_and_an_empty_one_too(kind: Any) -> None:
    queue = kind(2)
    queue.put(1)
    queue.put(2, True, None)
    assert queue.full()
    for put in (
        lambda: queue.put(3, False),
        lambda: queue.put(3, False, 5),
        lambda: queue.put_nowait(3),
        lambda: queue.put(3, True, 0.01),
        lambda: queue.put(3, timeout=-1),
    ):
        with pytest.raises(threads_queue.Full):
            put()
    assert (queue.get(True, None), queue.get(timeout=1)) == (1, 2)
    assert queue.empty()
    for get in (
        lambda: queue.get(False),
        lambda: queue.get(False, 5),
        queue.get_nowait,
        lambda: queue.get(True, 0.01),
        lambda: queue.get(timeout=-1),
    ):
        with pytest.raises(threads_queue.Empty):
            get()


def test_a_queue_counts_its_messages() -> None:
    queue: Queue[int] = Queue()
    assert queue.qsize() == 0
    for number in range(5):
        queue.put(number)
    assert queue.qsize() == 5
    queue.get()
    assert queue.qsize() == 4
    assert not queue.full()


@pytest.mark.parametrize("maxsize", [0, -1, 2**40])
def test_a_queue_without_a_limit_is_never_full(maxsize: int) -> None:
    queue: Queue[int] = Queue(maxsize)
    for number in range(10_000):
        queue.put(number)
    assert not queue.full()
    assert [queue.get() for _ in range(10_000)] == list(range(10_000))
    assert queue._maxsize == 2**31 - 1


@pytest.mark.parametrize("maxsize", ["3", 2.5, None])
def test_a_limit_must_be_a_number(maxsize: Any) -> None:
    with pytest.raises(TypeError):
        Queue(maxsize)


@pytest.mark.parametrize("kind", KINDS)
def test_put_raises_what_pickling_raises_and_puts_nothing(kind: Any) -> None:
    queue = kind()
    with pytest.raises(AttributeError, match="not this one"):
        queue.put(Unpicklable())
    with pytest.raises((pickle.PicklingError, AttributeError)):
        queue.put(lambda: None)
    assert queue.empty()
    queue.put("next")
    assert queue.get() == "next"


def test_a_subclass_that_wants_to_be_told_of_errors_is_told_instead() -> None:
    told = []

    class Telling(Queue[Any]):
        def _on_queue_feeder_error(self, e: Exception, obj: Any) -> None:  # type: ignore[override]
            told.append((type(e), obj))

    queue = Telling(ctx=mp.get_context())
    bad = Unpicklable()
    queue.put(bad)
    queue.put([1, os.path.join])
    assert told == [(AttributeError, bad)]
    assert queue.get() == [1, os.path.join]
    bounded = Telling(1, ctx=None)
    bounded.put(1)
    with pytest.raises(threads_queue.Full):
        bounded.put(2, False)
    bounded.close()
    with pytest.raises(ValueError, match="is closed"):
        bounded.put(3)
    assert told == [(AttributeError, bad)]


@pytest.mark.parametrize("kind", [Queue, JoinableQueue])
def test_a_closed_queue_says_so(kind: Any) -> None:
    queue = kind()
    with pytest.raises(ValueError, match="not closed"):
        queue.join_thread()
    queue.close()
    queue.close()
    queue.join_thread()
    queue.cancel_join_thread()
    assert queue.empty()
    calls = (
        lambda: queue.put(1),
        queue.get,
        queue.get_nowait,
        lambda: queue.put_nowait(1),
        lambda: queue.put_many([1]),
        lambda: queue.get_many(1),
    )
    for call in calls:
        with pytest.raises(ValueError, match="is closed"):
            call()
    used = kind()
    used.put(1)
    used.close()
    with pytest.raises(OSError, match="is closed"):
        used.empty()


def test_closing_is_this_processs_affair() -> None:
    queue: Queue[str] = Queue()

    def put_and_close() -> None:
        queue.put("from the child")
        queue.close()

    with child(put_and_close):
        assert queue.get() == "from the child"
    queue.put("still open")
    assert queue.get() == "still open"


def test_a_closed_simple_queue_says_so() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    queue.close()
    queue.close()
    for call in (lambda: queue.put(1), queue.get, queue.empty, lambda: pickle.dumps(queue)):
        with pytest.raises(OSError, match="is closed"):
            call()
    assert queue._reader.closed
    assert queue._writer.closed


@pytest.mark.parametrize("kind", KINDS)
def test_queues_travel_through_queues_and_connections(kind: Any) -> None:
    carrier: SimpleQueue[Any] = SimpleQueue()
    ours, theirs = mp.Pipe()

    def other() -> None:
        first, second = carrier.get(), theirs.recv()
        assert type(first) is type(second) is kind
        second.put(first.get() + 1)

    first, second = kind(), kind()
    with ours, theirs, child(other):
        carrier.put(first)
        ours.send(second)
        first.put(41)
        assert second.get() == 42


def test_the_limit_travels_with_the_queue() -> None:
    queue: Queue[int] = Queue(1)
    again = pickle.loads(pickle.dumps(queue))
    again.put(1)
    assert queue.full()
    assert again._maxsize == 1
    assert queue.get() == 1


def test_bound_methods_of_queues_travel() -> None:
    queue: Queue[int] = Queue()
    put = pickle.loads(pickle.dumps(queue.put))
    put(5)
    assert queue.get() == 5


def test_a_subclass_may_replace_put_and_carry_a_state_of_its_own() -> None:
    counting = Counting(3)
    again = ForkingPickler.loads(ForkingPickler.dumps(counting))
    again.put("x")
    counting.put("y")
    assert (counting.get(), again.get_nowait()) == ("x", "y")
    assert counting.count.value == 2


class Counting(Queue[Any]):
    """As programs do that want to know the size where the system cannot tell."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, ctx=mp.get_context(), **options)
        self.count = mp.Value("i", 0)

    def __getstate__(self) -> Any:
        return {"parent": super().__getstate__(), "count": self.count}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state["parent"])
        self.count = state["count"]

    def put(self, *args: Any, **options: Any) -> None:
        super().put(*args, **options)
        with self.count.get_lock():
            self.count.value += 1


def test_every_message_is_got_once_and_in_the_order_of_its_sender() -> None:
    queue: Queue[Any] = Queue(50)
    results: SimpleQueue[Any] = SimpleQueue()
    senders, receivers, each = 3, 3, 400

    def send(name: int) -> None:
        for number in range(each):
            queue.put((name, number))

    def receive() -> None:
        got = []
        while (message := queue.get()) is not None:
            got.append(message)
        results.put(got)

    pids = []
    for target in [*[lambda name=name: send(name) for name in range(senders)], *[receive] * receivers]:
        pid = os.fork()
        if not pid:
            target()
            os._exit(0)
        pids.append(pid)
    for pid in pids[:senders]:
        assert os.waitpid(pid, 0)[1] == 0
    for _ in range(receivers):
        queue.put(None)
    got = [results.get() for _ in range(receivers)]
    for pid in pids[senders:]:
        assert os.waitpid(pid, 0)[1] == 0
    assert sorted(message for part in got for message in part) == [(n, i) for n in range(senders) for i in range(each)]
    for part in got:
        for name in range(senders):
            mine = [number for sender, number in part if sender == name]
            assert mine == sorted(mine)


def test_what_a_killed_process_had_put_is_there() -> None:
    queue: Queue[int] = Queue()

    def put_and_die() -> None:
        for number in range(1000):
            queue.put(number)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        put_and_die()
    os.waitpid(pid, 0)
    assert [queue.get(timeout=10) for _ in range(1000)] == list(range(1000))
    assert queue.empty()


def test_several_messages_are_put_and_got_at_once() -> None:
    queue: Queue[Any] = Queue(3)
    with pytest.raises(threads_queue.Full) as caught:
        queue.put_many([1, 2, 3, 4, 5], timeout=0)
    assert caught.value.unsent == [4, 5]  # type: ignore[attr-defined]
    assert queue.get_many(10) == [1, 2, 3]
    with pytest.raises(AttributeError):
        queue.put_many([1, Unpicklable()])
    assert queue.empty()
    with pytest.raises(threads_queue.Empty):
        queue.get_many(5, False)
    queue.put_many(iter("ab"))
    assert queue.get_many(1) == ["a"]


def test_a_queue_that_was_shut_down_is_emptied_and_then_says_so() -> None:
    queue: Queue[int] = Queue()
    queue.put(1)
    with child(queue.shutdown):
        pass
    with pytest.raises(ShutDown):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(ShutDown):
        queue.get()


def test_an_immediate_shutdown_drops_what_is_left_and_wakes_those_who_wait() -> None:
    queue: JoinableQueue[int] = JoinableQueue()

    def wait_for_message() -> None:
        with pytest.raises(ShutDown):
            queue.get(timeout=30)

    with child(wait_for_message):
        queue.shutdown(immediate=True)
    full: JoinableQueue[int] = JoinableQueue(1)
    full.put(1)
    full.shutdown(immediate=True)
    full.join()
    with pytest.raises(ShutDown):
        full.get()


def test_join_ends_when_all_has_been_dealt_with() -> None:
    queue: JoinableQueue[int] = JoinableQueue()

    def work() -> None:
        for _ in range(10):
            queue.get()
            queue.task_done()

    with child(work):
        for number in range(10):
            queue.put(number)
        queue.join()
    assert queue.empty()
    with pytest.raises(ValueError, match="task_done"):
        queue.task_done()


@pytest.mark.parametrize("kind", [Queue, SimpleQueue])
def test_the_ends_of_a_queue_look_like_connections(kind: Any) -> None:
    queue = kind()
    reader, writer = queue._reader, queue._writer
    assert not reader.poll()
    queue.put([1, 2])
    assert reader.poll()
    assert wait([reader], 0) == [reader]
    assert pickle.loads(reader.recv_bytes()) == [1, 2]
    writer.send_bytes(pickle.dumps("pickled elsewhere"))
    writer.send("by send")
    assert queue.get() == "pickled elsewhere"
    assert reader.recv() == "by send"
    replaced = object()
    queue._reader = replaced
    assert queue._reader is replaced


def test_the_descriptor_of_a_queue_can_be_read_when_there_is_a_message() -> None:
    import select

    queue: Queue[int] = Queue()
    reader = queue._reader
    try:
        assert select.select([reader], [], [], 0)[0] == []
        with child(queue.put, 1):
            assert select.select([reader], [], [], 30)[0] == [reader]
        assert queue.get() == 1
        assert select.select([reader], [], [], 0)[0] == []
        queue.put(2)
        assert select.select([reader], [], [], 30)[0] == [reader]
    finally:
        reader.close()


def test_a_process_pool_of_the_standard_library_gets_what_it_needs() -> None:
    class SafeQueue(Queue[Any]):
        def __init__(self, max_size: int = 0, *, ctx: Any, pending: dict[int, Any]) -> None:
            self.pending = pending
            super().__init__(max_size, ctx=ctx)

    queue = SafeQueue(max_size=3, ctx=mp.get_context(), pending={1: threading.Lock()})
    queue._ignore_epipe = True
    queue.put(1)
    assert queue.get() == 1
    assert queue._closed is False
    queue._terminate_broken()
    assert queue._closed is True
    queue.join_thread()


def test_queue_classes_take_a_type_in_brackets() -> None:
    for kind in KINDS:
        assert kind[int].__origin__ is kind


def test_the_native_methods_are_called_without_a_frame_between() -> None:
    queue: Queue[int] = Queue()
    assert type(queue.put).__name__ == "builtin_function_or_method"
    assert type(queue.get).__name__ == "builtin_function_or_method"
    queue.close()
    assert type(queue.put).__name__ == "method"
