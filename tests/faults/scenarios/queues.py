"""Faults with queues."""

from __future__ import annotations

import queue as stdlib_queue
import signal
from typing import Any

from procession import _native
from procession.errors import OwnerDied, ShutDown
from tests.faults.scenarios.base import (
    LARGE,
    MIDDLE,
    PATIENCE,
    Local,
    Scenario,
    check_queue,
    drain,
    dying,
    in_thread,
    joined,
    run_dying,
)

# ── queues ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
MESSAGES: list[Any] = [*range(20), MIDDLE, MIDDLE, MIDDLE, MIDDLE, LARGE, *range(20, 30), LARGE, MIDDLE]


class Put(Scenario):
    """The victim puts small and large messages, and the queue grows."""

    kind = "Queue"

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        return (getattr(context, cls.kind)(),)

    @staticmethod
    def act(queue: Any) -> None:
        for message in MESSAGES:
            queue.put(message)

    @staticmethod
    def check(died: int, queue: Any) -> None:
        got = drain(queue._shared)
        assert got == MESSAGES[: len(got)], "not what was put, in its order"
        assert died or len(got) == len(MESSAGES)
        check_queue(queue._shared)


class SimplePut(Put):
    kind = "SimpleQueue"


class PutToReader(Scenario):
    """Somebody sleeps in get() while the victim puts."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue()
        got: list[Any] = []
        return (queue, Local((in_thread(get_until_end, queue, got), got)))

    @staticmethod
    def act(queue: Any, reader: Any) -> None:
        for message in MESSAGES:
            queue.put(message)

    @staticmethod
    def check(died: int, queue: Any, reader: Any) -> None:
        queue.put("end")
        thread, got = reader.it
        joined(thread, "a reader sleeps though there is a message")
        assert got == [*MESSAGES[: len(got) - 1], "end"]
        assert died or len(got) == len(MESSAGES) + 1
        check_queue(queue)


def get_until_end(queue: Any, got: list[Any]) -> None:
    while not got or got[-1] != "end":
        got.append(queue.get(timeout=PATIENCE))


class PutToFull(Scenario):
    """The victim sleeps in put(), because the queue is full."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue(2)
        queue.put(-1)
        queue.put(-2)
        return (queue, Local([]))

    @staticmethod
    def act(queue: Any, got: Any) -> None:
        for number in range(3):
            queue.put(number, timeout=PATIENCE)

    @staticmethod
    def assist(queue: Any, got: Any) -> None:
        if any(offset == queue._shared.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            got.it.extend(drain(queue))

    @staticmethod
    def check(died: int, queue: Any, got: Any) -> None:
        got.it.extend(drain(queue))
        expected = [-1, -2, 0, 1, 2]
        assert got.it == expected[: len(got.it)]
        assert died or len(got.it) == len(expected)
        queue.put(1)
        queue.put(2)
        try:
            queue.put(3, timeout=0)
        except stdlib_queue.Full:
            assert drain(queue) == [1, 2]
        else:
            raise AssertionError("the queue takes more than its size")


class Get(Scenario):
    """The victim gets small and large messages, and leaves segments behind."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue()
        for message in MESSAGES:
            queue.put(message)
        return (queue, context.Value("i", 0, lock=False))

    @staticmethod
    def act(queue: Any, got: Any) -> None:
        for message in MESSAGES:
            assert queue.get(timeout=PATIENCE) == message
            got.value += 1

    @staticmethod
    def check(died: int, queue: Any, got: Any) -> None:
        left = drain(queue)
        in_hand = len(MESSAGES) - got.value - len(left)
        assert 0 <= in_hand <= bool(died), "more was lost than the dead one had in its hand"
        assert left == MESSAGES[len(MESSAGES) - len(left) :]
        check_queue(queue)


class GetFromEmpty(Scenario):
    """The victim sleeps in get(), because the queue is empty."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Queue(), Local([0]))

    @staticmethod
    def act(queue: Any, put: Any) -> None:
        for _ in range(3):
            queue.get(timeout=PATIENCE)

    @staticmethod
    def assist(queue: Any, put: Any) -> None:
        if put.it[0] < 3 and any(offset == queue._shared.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            queue.put(put.it[0])
            put.it[0] += 1

    @staticmethod
    def check(died: int, queue: Any, put: Any) -> None:
        left = drain(queue)
        assert left == sorted(left)
        assert died or not left
        check_queue(queue)


class GetFromFull(Scenario):
    """Somebody sleeps in put() while the victim makes room."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue(1)
        queue.put(-1)
        return (queue, Local(in_thread(put_three, queue)))

    @staticmethod
    def act(queue: Any, writer: Any) -> None:
        for _ in range(2):
            queue.get(timeout=PATIENCE)

    @staticmethod
    def check(died: int, queue: Any, writer: Any) -> None:
        got = []
        while writer.it.is_alive():
            try:
                got.append(queue.get(timeout=0.01))
            except stdlib_queue.Empty:
                continue
        got += drain(queue)
        assert got == sorted(got)
        assert got[-1] == 2


def put_three(queue: Any) -> None:
    for number in range(3):
        queue.put(number, timeout=PATIENCE)


class ShutDownQueue(Scenario):
    """The victim shuts a queue down, with what is in it."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue()
        for message in MESSAGES:
            queue.put(message)
        return (queue,)

    @staticmethod
    def act(queue: Any) -> None:
        queue.shutdown(immediate=True)

    @staticmethod
    def check(died: int, queue: Any) -> None:
        queue.shutdown(immediate=True)
        for call in (queue.get, lambda: queue.put(1)):
            try:
                call()
            except ShutDown:
                continue
            raise AssertionError("a queue that was shut down goes on")


class Claimed(Scenario):
    """A worker's way to take messages: what it takes is written down first."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue, table = _native.Queue(), _native.Table(1)
        for message in MESSAGES:
            queue.put(message)
        return (Handle(queue), Handle(table))

    @staticmethod
    def act(queue: Any, table: Any) -> None:
        for _ in range(10):
            for _, _message in queue.it.get_claimed(table.it, 0, 4):
                table.it.finish(0, 1)

    @staticmethod
    def check(died: int, queue: Any, table: Any) -> None:
        left = drain(queue.it)
        first, count, finished = table.it.claim(0)
        gone = len(MESSAGES) - len(left)
        assert not count or first + count == gone, "the claim says what was taken last"
        assert finished <= count
        assert died or finished == count
        check_queue(queue.it)


class Handle:
    """A native object on its way to a child."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __reduce__(self) -> tuple[Any, ...]:
        self.it.pin()
        return attach, (type(self.it).__name__, self.it.handle)


def attach(kind: str, handle: tuple[int, int]) -> Handle:
    found = Handle(getattr(_native, kind).attach(handle))
    found.it.unpin()
    return found


class QueueOfTheDead(Scenario):
    """A process was killed in the middle of a put, and one in the middle of a get; the victim repairs that."""

    faults = ("queue.put.after_payload", "queue.get.after_copy")

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        queue = context.Queue()
        for message in MESSAGES:
            queue.put(message)
        for target, fault in zip((put_more, get_two), cls.faults, strict=True):
            killed = context.Process(target=dying, args=(target, fault, queue))
            killed.start()
            killed.join()
            assert killed.exitcode == -signal.SIGKILL, f"{fault} was not passed"
            killed.close()
        return (queue,)

    @staticmethod
    def act(queue: Any) -> None:
        queue.put("late")
        queue.get(timeout=PATIENCE)

    @staticmethod
    def check(died: int, queue: Any) -> None:
        drain(queue)
        check_queue(queue)


def put_more(queue: Any) -> None:
    for message in MESSAGES:
        queue.put(message)


def get_two(queue: Any) -> None:
    while True:
        queue.get(timeout=0)


class QueueOfTheDeadGrowing(QueueOfTheDead):
    faults = ("queue.grow.before_jump", "queue.cross.before_head")


class QueueOfTheDeadHanding(QueueOfTheDead):
    faults = ("queue.hand.before_owner", "queue.take.before_head")


class Joinable(Scenario):
    """The victim does what was put into a joinable queue, and another waits for that."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.JoinableQueue()
        for number in range(3):
            queue.put(number)
        return (queue, Local(in_thread(join_or_be_told, queue)))

    @staticmethod
    def act(queue: Any, joiner: Any) -> None:
        for _ in range(3):
            queue.get(timeout=PATIENCE)
            queue.task_done()

    @staticmethod
    def check(died: int, queue: Any, joiner: Any) -> None:
        for _ in drain(queue):
            queue.task_done()
        queue.recover()
        while queue._shared.unfinished():
            assert died > 0, "what a killed one had in its hand is neither told nor done"
            queue.task_done()
        joined(joiner.it, "join() goes on though all is done")


def join_or_be_told(queue: Any) -> None:
    try:
        queue.join()
    except OwnerDied:
        return


class JoinableOfTheDead(Scenario):
    """A consumer was killed with a message in its hand; the victim is told, and counts it as done."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.JoinableQueue()
        for number in range(2):
            queue.put(number)
        run_dying(context, queue._shared.get, "queue.get.after_head")
        return (queue,)

    @staticmethod
    def act(queue: Any) -> None:
        queue.get()
        queue.task_done()
        try:
            queue.join()
        except OwnerDied:
            queue.recover()
        queue.join()

    @staticmethod
    def check(died: int, queue: Any) -> None:
        for _ in drain(queue):
            queue.task_done()
        queue.recover()
        while queue._shared.unfinished():
            assert died > 0, "what a killed one had in its hand is neither told nor done"
            queue.task_done()
        queue.join()


class Join(Scenario):
    """The victim waits until all is done."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.JoinableQueue()
        queue.put(1)
        return (queue,)

    @staticmethod
    def act(queue: Any) -> None:
        queue.join()

    @staticmethod
    def assist(queue: Any) -> None:
        if not queue.empty() and any(offset == queue._shared.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            queue.get()
            queue.task_done()

    @staticmethod
    def check(died: int, queue: Any) -> None:
        for _ in drain(queue):
            queue.task_done()
        queue.join()
