"""Faults with conditions, events and barriers."""

from __future__ import annotations

import threading
from typing import Any

from procession import _native
from procession.errors import OwnerDied
from tests.faults.scenarios.base import PATIENCE, Local, Scenario, check_lock, in_thread, joined


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Waiter(Scenario):
    """The victim waits for a condition, before others who wait."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Condition(),)

    @staticmethod
    def act(condition: Any) -> None:
        with condition:
            assert condition.wait(PATIENCE)
        with condition:
            condition.wait(0.001)

    @staticmethod
    def assist(condition: Any) -> None:
        if condition.waiting():
            try:
                with condition:
                    condition.notify_all()
            except OwnerDied:
                condition.lock.recover()

    @staticmethod
    def check(died: int, condition: Any) -> None:
        check_lock(condition.lock, died)
        told = []

        def wait() -> None:
            with condition:
                told.append(condition.wait(PATIENCE))

        waiter = in_thread(wait)
        while waiter.is_alive() and not told:
            if condition.waiting():
                with condition:
                    condition.notify_all()
        joined(waiter, "notify_all told nobody")
        assert told == [True]


class DeferringNotifier(Scenario):
    """The victim notifies one who watches it, which is woken when it lets go of the lock."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Condition(),)

    @staticmethod
    def act(condition: Any) -> None:
        def wait_twice() -> None:
            for _ in range(2):
                with condition:
                    condition.wait(PATIENCE)

        waiter = in_thread(wait_twice)
        for _ in range(2):
            while not condition.waiting() and waiter.is_alive():
                pass
            with condition:
                condition.notify()
        joined(waiter, "the second notification was lost")

    @staticmethod
    def check(died: int, condition: Any) -> None:
        Waiter.check(died, condition)


class Notifier(Scenario):
    """The victim notifies those who wait."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        condition = context.Condition()
        waiters = [in_thread(wait_until_told, condition) for _ in range(3)]
        while condition.waiting() < 3:
            pass
        return (condition, Local(waiters))

    @staticmethod
    def act(condition: Any, waiters: Any) -> None:
        with condition:
            condition.notify()
        with condition:
            condition.notify_all()

    @staticmethod
    def check(died: int, condition: Any, waiters: Any) -> None:
        while any(waiter.is_alive() for waiter in waiters.it):
            try:
                with condition:
                    condition.notify_all()
            except OwnerDied:
                assert died
                condition.lock.recover()
        for waiter in waiters.it:
            joined(waiter, "a waiter was never told")
        check_lock(condition.lock, died)


def wait_until_told(condition: Any) -> None:
    try:
        with condition:
            condition.wait(PATIENCE)
    except OwnerDied:
        condition.lock.recover()
    except AssertionError:
        pass  # another thread recovered the lock, and has it now


class NotifierOfTheDead(Notifier):
    """Some who waited are dead when the victim notifies."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        condition = context.Condition()
        dead = [context.Process(target=wait_until_told, args=(condition,)) for _ in range(2)]
        for process in dead:
            process.start()
        while condition.waiting() < 2:
            pass
        for process in dead:
            process.kill()
            process.join()
            process.close()
        waiters = [in_thread(wait_until_told, condition) for _ in range(2)]
        return (condition, Local(waiters))


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
class EventSetter(Scenario):
    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        event = context.Event()
        return (event, Local([in_thread(event.wait, PATIENCE) for _ in range(2)]))

    @staticmethod
    def act(event: Any, waiters: Any) -> None:
        event.set()
        event.clear()
        event.set()

    @staticmethod
    def check(died: int, event: Any, waiters: Any) -> None:
        event.set()
        for waiter in waiters.it:
            joined(waiter, "set() woke nobody")
        event.clear()
        assert not event.wait(0)


class EventWaiter(Scenario):
    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Event(),)

    @staticmethod
    def act(event: Any) -> None:
        assert event.wait(PATIENCE)

    @staticmethod
    def assist(event: Any) -> None:
        if any(offset == event.handle[0] for _, _, _, offset, _, _, _ in _native.waits()):
            event.set()

    @staticmethod
    def check(died: int, event: Any) -> None:
        event.set()
        assert event.wait(PATIENCE)


# ── barriers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class BarrierParty(Scenario):
    parties = 3

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        barrier = context.Barrier(cls.parties)
        ended: list[Any] = []
        return (barrier, Local((in_thread(pass_barrier, barrier, ended), ended)))

    @staticmethod
    def act(barrier: Any, others: Any) -> None:
        pass_barrier(barrier, [])

    @staticmethod
    def assist(barrier: Any, others: Any) -> None:
        if barrier.n_waiting == 2 and len(others.it) == 2 and others.it[0].is_alive():
            pass_barrier(barrier, others.it[1])

    @staticmethod
    def check(died: int, barrier: Any, others: Any) -> None:
        waiter, ended = others.it
        if waiter.is_alive() and died:
            barrier.abort()  # who died before it arrived is not known to the barrier
        joined(waiter, "a party waits for the dead one for ever")
        assert died or ended in ([2, 1], [1, 2], [0, 2], [2, 0], [0, 1], [1, 0])
        check_barrier(barrier)


def pass_barrier(barrier: Any, ended: list[Any]) -> None:
    try:
        ended.append(barrier.wait(PATIENCE))
    except threading.BrokenBarrierError:
        ended.append("broken")


def check_barrier(barrier: Any) -> None:
    barrier.reset()
    ended: list[Any] = []
    parties = [in_thread(pass_barrier, barrier, ended) for _ in range(barrier.parties)]
    for party in parties:
        joined(party, "the barrier is no use after reset()")
    assert sorted(ended) == list(range(barrier.parties))


class BarrierLast(BarrierParty):
    """The victim comes last, and lets the others go."""

    parties = 2

    @staticmethod
    def act(barrier: Any, others: Any) -> None:
        while barrier.n_waiting < 1:
            pass
        pass_barrier(barrier, [])

    @staticmethod
    def assist(barrier: Any, others: Any) -> None:
        """Nothing."""

    @staticmethod
    def check(died: int, barrier: Any, others: Any) -> None:
        waiter, ended = others.it
        if waiter.is_alive() and died and barrier.n_waiting == 1:
            barrier.abort()
        joined(waiter, "a party waits for the dead one for ever")
        assert len(ended) == 1
        check_barrier(barrier)


class BarrierAfterALull(BarrierLast):
    """The party that waits has settled, and is told of the victim (native/barrier.h)."""

    @staticmethod
    def act(barrier: Any, others: Any) -> None:
        while not has_settled(barrier):
            pass
        pass_barrier(barrier, [])


def has_settled(barrier: Any) -> bool:
    """Somebody sleeps on it for longer than PN_SETTLE, 2 ms."""
    return any(
        offset == barrier.handle[0] and (left is None or left > 0.05) for _, _, _, offset, _, left, _ in _native.waits()
    )


class BarrierWithdrawal(Scenario):
    """The victim runs out of time, which breaks the barrier; then aborts, and resets it."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Barrier(2),)

    @staticmethod
    def act(barrier: Any) -> None:
        try:
            barrier.wait(0.001)
        except threading.BrokenBarrierError:
            barrier.reset()
        barrier.abort()
        barrier.reset()

    @staticmethod
    def check(died: int, barrier: Any) -> None:
        check_barrier(barrier)


class BarrierOfTheDead(Scenario):
    """A party died while it waited; the victim finds out."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        barrier = context.Barrier(2)
        dead = context.Process(target=pass_barrier, args=(barrier, []))
        dead.start()
        while barrier.n_waiting < 1:
            pass
        dead.kill()
        dead.join()
        dead.close()
        return (barrier,)

    @staticmethod
    def act(barrier: Any) -> None:
        pass_barrier(barrier, [])
        barrier.reset()

    @staticmethod
    def check(died: int, barrier: Any) -> None:
        check_barrier(barrier)
