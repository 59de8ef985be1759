"""Faults with values, the heap, and processes that have processes."""

from __future__ import annotations

import os
import signal
from typing import Any

from procession import _native
from tests.faults.scenarios.base import HEIR_DIED, Scenario, check_lock, check_queue, drain, dying, in_thread, take
from tests.faults.scenarios.queues import MESSAGES
from tests.faults.scenarios.waiting import wait_until_told


# ── values, creation, processes ──────────────────────────────────────────────────────────────────────────────────────────
class Value(Scenario):
    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Value("i", 0), context.Array("i", 100))

    @staticmethod
    def act(value: Any, array: Any) -> None:
        with value.get_lock():
            value.value += 1
        _native.fault_point("lock.acquire.after_cas")
        with array.get_lock():
            array[:] = range(100)

    @staticmethod
    def check(died: int, value: Any, array: Any) -> None:
        check_lock(value.get_lock(), died)
        check_lock(array.get_lock(), died)
        assert value.value == 1 or (died and value.value == 0)
        assert died or list(array) == list(range(100))


class Creation(Scenario):
    """The victim makes one of each kind, and drops it."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return ()

    @staticmethod
    def act() -> None:
        create_all()
        create_all()
        _native.arena_trim()

    @staticmethod
    def check(died: int) -> None:
        create_all()


def create_all() -> None:
    lock = _native.Lock()
    made = [
        _native.RLock(), _native.Semaphore(2), _native.Condition(lock), _native.Event(), _native.Barrier(2), _native.Table(4),
        _native.Memory(100), _native.Memory(300_000),
    ]  # fmt: skip
    queue = _native.Queue(joinable=True)
    for message in MESSAGES:
        queue.put(message)
    made.append(queue)
    del made, queue
    for size in (40, 100, 5000, 1 << 20):
        _native.Memory(size)


class HeapOfTheDead(Creation):
    """A process was killed in the middle of an allocation; the victim repairs that."""

    fault = "heap.alloc.unlinked"

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        killed = context.Process(target=dying, args=(create_all, cls.fault))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL, f"{cls.fault} was not passed"
        killed.close()
        return ()


class HeapOfTheDeadFreeing(HeapOfTheDead):
    fault = "heap.free.cleared"


class Parent(Scenario):
    """The victim starts processes of its own, gives them an object, and waits for them."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Queue(),)

    @staticmethod
    def act(queue: Any) -> None:
        import procession as mp

        lock = mp.Lock()
        children = [
            mp.get_context("fork").Process(target=hold_and_put, args=(lock, queue), daemon=True) for _ in range(2)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        del lock
        if any(child.exitcode for child in children):
            raise SystemExit(HEIR_DIED)

    @staticmethod
    def check(died: int, queue: Any) -> None:
        got = drain(queue)
        assert died or got == ["held", "held"]
        check_queue(queue)


def hold_and_put(lock: Any, queue: Any) -> None:
    with lock:
        queue.put("held")


class Sweeper(Scenario):
    """A dead process has left locks, permits and blocks: the victim is the one who finds out, and clears up."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Queue(),)

    @staticmethod
    def act(queue: Any) -> None:
        import procession as mp

        forking = mp.get_context("fork")
        lock, condition = mp.Lock(), mp.Condition()
        ready = mp.Event()
        holder = forking.Process(target=hold_for_ever, args=(lock, ready), daemon=True)
        waiter = forking.Process(target=wait_until_told, args=(condition,), daemon=True)
        for child in (holder, waiter):
            child.start()
        while (not ready.is_set() and holder.is_alive()) or (not condition.waiting() and waiter.is_alive()):
            os.sched_yield()
        asker = in_thread(take_and_release, lock)
        for child in (holder, waiter):
            child.kill()
            child.join()
        asker.join()
        check_lock(condition.lock, died=1)
        with condition:
            condition.notify_all()

    @staticmethod
    def check(died: int, queue: Any) -> None:
        check_queue(queue)


def take_and_release(lock: Any) -> None:
    take(lock, died=1)
    lock.release()


def hold_for_ever(lock: Any, ready: Any) -> None:
    kept = [_native.Memory(100) for _ in range(300)]
    lock.acquire()
    ready.set()
    _native.Event().wait()
    del kept
