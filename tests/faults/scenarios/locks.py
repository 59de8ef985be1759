"""Faults with locks and semaphores."""

from __future__ import annotations

from typing import Any

from procession import _native
from procession.connection import wait
from procession.errors import OwnerDied
from tests.faults.scenarios.base import PATIENCE, Local, Scenario, check_lock, in_thread, joined, take


# ── locks ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
class Lock(Scenario):
    make_lock = "Lock"

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        lock = getattr(context, cls.make_lock)()
        lock.acquire()
        return (lock, context.Event())

    @staticmethod
    def act(lock: Any, event: Any) -> None:
        lock.acquire()
        event.set()
        lock.release()
        assert lock.acquire(timeout=PATIENCE)
        lock.release()

    @staticmethod
    def assist(lock: Any, event: Any) -> None:
        if lock.is_mine() and any(offset == lock.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            lock.release()

    @staticmethod
    def check(died: int, lock: Any, event: Any) -> None:
        if lock.is_mine():
            lock.release()
        check_lock(lock, died)


class RLock(Lock):
    make_lock = "RLock"

    @staticmethod
    def act(lock: Any, event: Any) -> None:
        for _ in range(2):
            lock.acquire()
        event.set()
        for _ in range(2):
            lock.release()


class LockWanted(Scenario):
    """The victim holds a lock that others wait for."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Lock(), context.Event())

    @staticmethod
    def act(lock: Any, event: Any) -> None:
        lock.acquire()
        event.set()
        while not any(offset == lock.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            pass
        lock.release()

    @staticmethod
    def assist(lock: Any, event: Any) -> None:
        if event.is_set() and not lock.is_mine():
            take(lock, died=1)
            lock.release()

    @staticmethod
    def check(died: int, lock: Any, event: Any) -> None:
        check_lock(lock, died)


# ── semaphores ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Semaphore(Scenario):
    kind = "Semaphore"

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        semaphore = getattr(context, cls.kind)(2)
        semaphore.acquire()
        semaphore.acquire()
        return (semaphore, context.Event())

    @staticmethod
    def act(semaphore: Any, event: Any) -> None:
        semaphore.acquire()
        event.set()
        semaphore.release()
        semaphore.acquire()
        semaphore.acquire(timeout=0)
        semaphore.release()

    @staticmethod
    def assist(semaphore: Any, event: Any) -> None:
        waited = any(offset == semaphore.handle[0] for _, _, _, offset, _, _, _ in _native.waits())
        if waited and not event.is_set() and semaphore.get_value() == 0:
            semaphore.release()

    @staticmethod
    def check(died: int, semaphore: Any, event: Any) -> None:
        semaphore.recover()
        taken = 0
        while semaphore.acquire(timeout=0):
            taken += 1
            assert taken <= 2, "there are more permits than there were"
        # Those of a process that exits by itself are taken for given away.
        assert taken >= 1 or died > 0 or not event.is_set(), "a killed one's permits are lost"


class BoundedSemaphore(Semaphore):
    kind = "BoundedSemaphore"


class SemaphoreOfTheDead(Scenario):
    """Who held permits is dead; the victim gets them back, or waits for them."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        semaphore = context.Semaphore(2)
        killed = context.Process(target=hold_two, args=(semaphore, held := context.Event()))
        killed.start()
        assert held.wait(PATIENCE)
        killed.kill()
        killed.join()
        killed.close()
        return (semaphore,)

    @staticmethod
    def act(semaphore: Any) -> None:
        try:
            semaphore.acquire(timeout=PATIENCE)
        except OwnerDied:
            semaphore.recover()
            semaphore.acquire()
        semaphore.release()

    @staticmethod
    def check(died: int, semaphore: Any) -> None:
        semaphore.recover()
        taken = [semaphore.acquire(timeout=0) for _ in range(3)]
        assert taken == [True, True, False] or (died > 0 and taken == [True, False, False])


def hold_two(semaphore: Any, held: Any) -> None:
    semaphore.acquire()
    semaphore.acquire()
    held.set()
    _native.Event().wait()


class Signal(Scenario):
    """A semaphore that begins at 0: released by one, acquired by another."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        semaphore = context.Semaphore(0)
        waiter = in_thread(semaphore.acquire)
        return (semaphore, Local(waiter))

    @staticmethod
    def act(semaphore: Any, waiter: Any) -> None:
        semaphore.release()
        semaphore.release()
        semaphore.acquire()

    @staticmethod
    def check(died: int, semaphore: Any, waiter: Any) -> None:
        semaphore.release()
        joined(waiter.it, "a release woke nobody")
        while semaphore.acquire(timeout=0):
            pass


class LosingPatience(Scenario):
    """The victim waits for a lock, and gives up."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        lock = context.Lock()
        lock.acquire()
        return (lock,)

    @staticmethod
    def act(lock: Any) -> None:
        assert not lock.acquire(timeout=0.01)

    @staticmethod
    def check(died: int, lock: Any) -> None:
        lock.release()
        check_lock(lock, 0)


class WatchingASemaphore(Scenario):
    """The victim waits for a semaphore among other things."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Semaphore(0),)

    @staticmethod
    def act(semaphore: Any) -> None:
        assert wait([semaphore], 0.01) == []

    @staticmethod
    def check(died: int, semaphore: Any) -> None:
        semaphore.release()
        assert wait([semaphore], PATIENCE) == [semaphore]
        assert semaphore.acquire(timeout=PATIENCE)
        assert semaphore.get_value() == 0
