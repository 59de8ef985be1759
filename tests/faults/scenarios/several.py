"""Faults that take several processes: repairs after repairs, interruptions, crowds."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from procession import _native
from procession.errors import OwnerDied
from tests.faults.scenarios.base import (
    KEPT_STOPPED,
    PATIENCE,
    Local,
    Scenario,
    check_lock,
    check_queue,
    drain,
    dying,
    in_thread,
    joined,
    run_dying,
    waits_on,
)
from tests.faults.scenarios.locks import SemaphoreOfTheDead
from tests.faults.scenarios.programs import create_all
from tests.faults.scenarios.waiting import Waiter, check_barrier, pass_barrier, wait_until_told


# ── what takes several processes ─────────────────────────────────────────────────────────────────────────────────────────
class Interrupted(Scenario):
    """A signal handler raises while the victim waits for a condition, and for a barrier."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Condition(), context.Barrier(2))

    @staticmethod
    def act(condition: Any, barrier: Any) -> None:
        def interrupt(*_: Any) -> None:
            raise InterruptedError

        signal.signal(signal.SIGALRM, interrupt)
        for wait in (lambda: wait_until_told(condition), barrier.wait):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            try:
                wait()
            except InterruptedError:
                continue
            raise AssertionError("the wait was not interrupted")

    @staticmethod
    def check(died: int, condition: Any, barrier: Any) -> None:
        Waiter.check(died, condition)
        check_barrier(barrier)


class Crowd(Scenario):
    """More threads of the victim wait than there are nodes, some of which the dead occupy: told, or not yet told."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        condition = context.Condition()
        told = [
            context.Process(target=dying, args=(wait_until_told, "condition.wait.before_free", condition))
            for _ in range(2)
        ]
        dead = [context.Process(target=wait_until_told, args=(condition,)) for _ in range(2)]
        for process in told:
            process.start()
        while condition.waiting() < 2:
            pass
        with condition:
            condition.notify_all()
        for process in told:
            process.join()
        for process in dead:
            process.start()
        while condition.waiting() < 2:
            pass
        for process in dead:
            process.kill()
            process.join()
        return (condition,)

    @staticmethod
    def act(condition: Any) -> None:
        crowd = [in_thread(wait_until_told, condition) for _ in range(20)]
        while condition.waiting() < sum(thread.is_alive() for thread in crowd):
            pass
        while any(thread.is_alive() for thread in crowd):
            with condition:
                condition.notify_all()

    @staticmethod
    def check(died: int, condition: Any) -> None:
        Waiter.check(died, condition)


class ConditionOfTheDead(Scenario):
    """A process was killed while it entered itself into the list of those who wait."""

    fault = "waiters.add.before_state"

    @classmethod
    def make(cls, context: Any) -> tuple[Any, ...]:
        condition = context.Condition()
        run_dying(context, wait_until_told, cls.fault, condition)
        return (condition,)

    @staticmethod
    def act(condition: Any) -> None:
        check_lock(condition.lock, died=1)
        with condition:
            condition.wait(0.001)

    @staticmethod
    def check(died: int, condition: Any) -> None:
        Waiter.check(1, condition)


class BarrierOfTheArriving(Scenario):
    """A process was killed while it arrived."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        barrier = context.Barrier(2)
        run_dying(context, pass_barrier, "waiters.add.before_state", barrier, [])
        return (barrier,)

    @staticmethod
    def act(barrier: Any) -> None:
        try:
            barrier.wait(0.001)
        except threading.BrokenBarrierError:
            barrier.reset()

    @staticmethod
    def check(died: int, barrier: Any) -> None:
        check_barrier(barrier)


class BarrierActing(Scenario):
    """The victim arrives for the next round while the action of this one runs."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        go = context.Event()
        barrier = context.Barrier(2, action=go.wait)
        ended: list[Any] = []
        return (barrier, go, Local(([in_thread(pass_barrier, barrier, ended) for _ in range(2)], ended)))

    @staticmethod
    def act(barrier: Any, go: Any, others: Any) -> None:
        try:
            barrier.wait(0.05)
        except threading.BrokenBarrierError:
            pass

    @staticmethod
    def assist(barrier: Any, go: Any, others: Any) -> None:
        if waits_on(barrier) >= 2:
            go.set()

    @staticmethod
    def check(died: int, barrier: Any, go: Any, others: Any) -> None:
        go.set()
        for thread in others.it[0]:
            joined(thread, "a party waits for the dead one for ever")
        assert len(others.it[1]) == 2
        check_barrier(barrier)


class SemaphoreInside(Scenario):
    """A process was killed inside acquire()."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        semaphore = context.Semaphore(2)
        run_dying(context, semaphore.acquire, "semaphore.acquire.after_count")
        return (semaphore,)

    @staticmethod
    def act(semaphore: Any) -> None:
        semaphore.acquire()
        semaphore.release()

    @staticmethod
    def check(died: int, semaphore: Any) -> None:
        SemaphoreOfTheDead.check(died, semaphore)


class SemaphoreOfTheStopped(Scenario):
    """Two sleep for permits and are stopped; one permit comes, and the victim takes it."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        semaphore = context.Semaphore(2)
        semaphore.acquire()
        semaphore.acquire()
        stopped = [context.Process(target=acquire_and_release, args=(semaphore,), name=KEPT_STOPPED) for _ in range(2)]
        for process in stopped:
            process.start()
        while waits_on(semaphore) < 2:
            pass
        for process in stopped:
            os.kill(process.pid, signal.SIGSTOP)
        semaphore.release()
        return (semaphore, Local(stopped))

    @staticmethod
    def act(semaphore: Any, stopped: Any) -> None:
        semaphore.acquire(timeout=PATIENCE)
        semaphore.release()

    @staticmethod
    def check(died: int, semaphore: Any, stopped: Any) -> None:
        semaphore.release()
        for process in stopped.it:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
        for process in stopped.it:
            process.join(PATIENCE)
            assert process.exitcode == 0
            process.close()
        SemaphoreOfTheDead.check(died, semaphore)


def acquire_and_release(semaphore: Any) -> None:
    try:
        semaphore.acquire()
    except OwnerDied:
        return
    semaphore.release()


class SectionTaken(Scenario):
    """Another process was stopped inside put(); the victim puts, too, and lets it go on."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        queue = context.Queue()
        inside = context.Process(target=stopping, args=(queue.put, "queue.put.entered", "inside"), name=KEPT_STOPPED)
        inside.start()
        while not is_stopped(inside.pid):
            pass
        return (queue, Local(inside))

    @staticmethod
    def act(queue: Any, inside: Any) -> None:
        queue.put("victim")

    @staticmethod
    def check(died: int, queue: Any, inside: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(inside.it.pid, signal.SIGCONT)
        inside.it.join(PATIENCE)
        assert inside.it.exitcode == 0
        inside.it.close()
        got = drain(queue)
        assert "inside" in got
        assert died or sorted(got) == ["inside", "victim"]
        check_queue(queue)


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def stopping(function: Any, fault: str, *args: Any) -> None:
    from procession import testing

    testing.Faulty(function, fault, "SIGSTOP")(*args)


class Travel(Scenario):
    """The victim sends objects, and receives them."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return (context.Queue(), context.Lock())

    @staticmethod
    def act(queue: Any, lock: Any) -> None:
        import procession as mp

        event = mp.Event()
        queue.put((lock, event))
        event.set()
        del event
        received, event = queue.get(timeout=PATIENCE)
        with received:
            assert event.is_set()

    @staticmethod
    def check(died: int, queue: Any, lock: Any) -> None:
        drain(queue)
        check_lock(lock, died)
        queue.put(lock)
        assert queue.get(timeout=PATIENCE).handle == lock.handle
        check_queue(queue)


class Quarantine(Scenario):
    """The victim drops what a child of its own has inherited; then the child ends."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return ()

    @staticmethod
    def act() -> None:
        import procession as mp

        stop = mp.Event()
        locks = [mp.Lock() for _ in range(300)]
        child = mp.get_context("fork").Process(target=stop.wait, daemon=True)
        child.start()
        del locks
        stop.set()
        child.join()
        locks = [mp.Lock() for _ in range(600)]
        del locks

    @staticmethod
    def check(died: int) -> None:
        create_all()


class UnpinnedByHeir(Scenario):
    """A child of the victim is the last to have an object, which it has inherited and not counted."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        return ()

    @staticmethod
    def act() -> None:
        import procession as mp

        lock, go = _native.Lock(), mp.Event()
        lock.pin()
        child = mp.get_context("fork").Process(target=unpin, args=(lock, go), daemon=True)
        child.start()
        del lock
        gc.collect()
        go.set()
        child.join()

    @staticmethod
    def check(died: int) -> None:
        create_all()


def unpin(lock: Any, go: Any) -> None:
    go.wait()
    lock.unpin()


class SemaphoreWatched(Scenario):
    """The victim gives up, while others sleep who have seen all holders."""

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        semaphore = context.Semaphore(1)
        semaphore.acquire()
        sleeper = in_thread(acquire_and_release, semaphore)
        until = time.monotonic() + SETTLED
        while waits_on(semaphore) < 1 or time.monotonic() < until:
            os.sched_yield()
        return (semaphore, Local(sleeper))

    @staticmethod
    def act(semaphore: Any, sleeper: Any) -> None:
        semaphore.acquire(timeout=0)

    @staticmethod
    def check(died: int, semaphore: Any, sleeper: Any) -> None:
        semaphore.release()
        joined(sleeper.it, "a release woke nobody")
        assert [semaphore.acquire(timeout=0) for _ in range(2)] == [True, False]


SETTLED = 0.05  # seconds; more than PN_SETTLE
