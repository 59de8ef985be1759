"""Locks, events, conditions and barriers beside plain counts: any sequence of calls of several actors.

An actor is a thread, of this process or of a second one, that does what it is told: one call at a time, which may wait. Whether somebody
waits, the shared object says, so that no test depends on time.
"""

from __future__ import annotations

import queue as stdlib_queue
import threading
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import procession as mp
from procession import _native
from tests.properties import examples
from tests.units._native.children import until

ACTORS = 4  # two threads here, two there
actors = st.integers(0, ACTORS - 1)


class Actor:
    """A thread that calls: `tell` gives it a call, `answer` waits for what that gave."""

    def __init__(self, calls: Any, answers: Any) -> None:
        self.calls, self.answers = calls, answers

    def tell(self, method: Any, *args: Any) -> None:
        self.calls.put((method, args))

    def answer(self) -> Any:
        result = self.answers.get(timeout=30)
        if isinstance(result, BaseException):
            raise result
        return result

    def __call__(self, method: Any, *args: Any) -> Any:
        self.tell(method, *args)
        return self.answer()


def act(objects: dict[str, Any], calls: Any, answers: Any) -> None:
    while (call := calls.get()) is not None:
        (name, method), args = call
        try:
            answers.put(getattr(objects[name], method)(*args))
        except Exception as error:
            answers.put(error)


def act_there(objects: dict[str, Any], ways: list[Any]) -> None:
    threads = [threading.Thread(target=act, args=(objects, *way)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Cast:
    """The actors, which share objects."""

    def __init__(self, **objects: Any) -> None:
        here = [(stdlib_queue.Queue[Any](), stdlib_queue.Queue[Any]()) for _ in range(ACTORS // 2)]
        there = [(mp.Queue(), mp.Queue()) for _ in range(ACTORS - len(here))]
        self.process = mp.get_context("fork").Process(target=act_there, args=(objects, there), daemon=True)
        self.process.start()
        self.threads = [threading.Thread(target=act, args=(objects, *way), daemon=True) for way in here]
        for thread in self.threads:
            thread.start()
        self.actors = [Actor(*way) for way in [*here, *there]]

    def close(self) -> None:
        for actor in self.actors:
            actor.calls.put(None)
        for thread in self.threads:
            thread.join(30)
        self.process.join(30)
        assert self.process.exitcode == 0
        self.process.close()


class UnderLock:
    """Calls of a condition's methods by who takes its lock, and gives it back at once: those who are told take it in any order."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def wait(self, timeout: float) -> bool:
        with self.condition:
            return bool(self.condition.wait(timeout))

    def notify(self, n: int | None) -> None:
        with self.condition:
            if n is None:
                self.condition.notify_all()
            else:
                self.condition.notify(n)


class WithActors(RuleBasedStateMachine):
    def begin(self, shared: Any) -> None:
        self.shared = shared
        self.cast = Cast(it=shared, under_lock=UnderLock(shared))

    def call(self, actor: int, method: str, *args: Any) -> Any:
        return self.cast.actors[actor](("it", method), *args)

    def tell(self, actor: int, method: str, *args: Any) -> None:
        self.cast.actors[actor].tell(("it", method), *args)

    def teardown(self) -> None:
        self.cast.close()


class LockBesideFlag(WithActors):
    """Anybody may release a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Lock())
        self.holder: int | None = None

    @rule(actor=actors)
    def acquire(self, actor: int) -> None:
        assert self.call(actor, "acquire", True, 0) == (self.holder is None)
        self.holder = actor if self.holder is None else self.holder

    @rule(actor=actors)
    def release(self, actor: int) -> None:
        if self.holder is None:
            with pytest.raises(ValueError, match="too many times"):
                self.call(actor, "release")
        else:
            self.call(actor, "release")
            self.holder = None

    @invariant()
    def held(self) -> None:
        assert self.shared.locked() == (self.holder is not None)
        assert not self.shared.is_mine()


class RLockBesideCounters(WithActors):
    """Its owner is a thread, not a process."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.RLock())
        self.holder, self.count = -1, 0

    @rule(actor=actors)
    def acquire(self, actor: int) -> None:
        taken = self.holder in (-1, actor)
        assert self.call(actor, "acquire", True, 0) == taken
        if taken:
            self.holder, self.count = actor, self.count + 1

    @rule(actor=actors)
    def release(self, actor: int) -> None:
        if self.holder != actor:
            with pytest.raises(AssertionError):
                self.call(actor, "release")
            return
        self.call(actor, "release")
        self.count -= 1
        self.holder = actor if self.count else -1

    @rule(actor=actors)
    def look(self, actor: int) -> None:
        assert self.call(actor, "count") == (self.count if self.holder == actor else 0)


class EventBesideFlag(WithActors):
    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Event())
        self.is_set = False
        self.waiting: list[int] = []

    def free(self, actor: int) -> bool:
        return actor not in self.waiting

    @rule(actor=actors)
    def wait_briefly(self, actor: int) -> None:
        if self.free(actor):
            assert self.call(actor, "wait", 0) == self.is_set

    @precondition(lambda self: not self.is_set)
    @rule(actor=actors)
    def wait(self, actor: int) -> None:
        if self.free(actor):
            self.tell(actor, "wait", 30)
            self.waiting.append(actor)
            until(lambda: sleepers(self.shared) == len(self.waiting))

    @rule(actor=actors)
    def set(self, actor: int) -> None:
        if self.free(actor):
            self.call(actor, "set")
            self.is_set = True
            self.end_waits()

    def end_waits(self) -> None:
        for actor in self.waiting:
            assert self.cast.actors[actor].answer() is True
        self.waiting = []

    @rule(actor=actors)
    def clear(self, actor: int) -> None:
        if self.free(actor):
            self.call(actor, "clear")
            self.is_set = False

    @invariant()
    def flag(self) -> None:
        assert self.shared.is_set() == self.is_set

    def teardown(self) -> None:
        self.shared.set()
        self.end_waits()
        super().teardown()


def sleepers(shared: Any) -> int:
    return sum(1 for wait in _native.waits() if wait[3] == shared.handle[0])


class ConditionBesideList(WithActors):
    """`notify(n)` wakes the n that have waited longest, no more and no fewer."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Condition())
        self.waiting: list[int] = []

    @rule(actor=actors)
    def wait(self, actor: int) -> None:
        if actor in self.waiting or len(self.waiting) == ACTORS - 1:
            return
        self.cast.actors[actor].tell(("under_lock", "wait"), 30)
        self.waiting.append(actor)
        until(lambda: self.shared.waiting() == len(self.waiting))

    @rule(n=st.integers(1, 5) | st.just(None))
    def notify(self, n: int | None) -> None:
        free = next(actor for actor in range(ACTORS) if actor not in self.waiting)
        self.cast.actors[free](("under_lock", "notify"), n)
        told, self.waiting = (self.waiting, []) if n is None else (self.waiting[:n], self.waiting[n:])
        for actor in told:
            assert self.cast.actors[actor].answer() is True

    @rule(actor=actors)
    def wait_briefly(self, actor: int) -> None:
        if actor not in self.waiting:
            assert self.cast.actors[actor](("under_lock", "wait"), 0) is False

    @rule(actor=actors, method=st.sampled_from(["wait", "notify", "notify_all"]))
    def without_lock(self, actor: int, method: str) -> None:
        if actor not in self.waiting:
            with pytest.raises((AssertionError, RuntimeError)):
                self.call(actor, method)

    @invariant()
    def who_waits(self) -> None:
        assert self.shared.waiting() == len(self.waiting)

    def teardown(self) -> None:
        if self.waiting:
            self.notify(None)
        super().teardown()


class BarrierBesideCount(WithActors):
    """Three parties."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Barrier(3))
        self.waiting: list[int] = []
        self.broken = False

    @rule(actor=actors)
    def wait(self, actor: int) -> None:
        if actor in self.waiting:
            return
        if self.broken:
            with pytest.raises(threading.BrokenBarrierError):
                self.call(actor, "wait")
            return
        self.tell(actor, "wait", 30)
        self.waiting.append(actor)
        if len(self.waiting) < 3:
            until(lambda: self.shared.n_waiting == len(self.waiting))
            return
        assert sorted(self.cast.actors[one].answer() for one in self.waiting) == [0, 1, 2]
        self.waiting = []

    @rule(method=st.sampled_from(["abort", "reset"]), chance=st.integers(0, 2))
    def end(self, method: str, chance: int) -> None:
        if chance:
            return
        getattr(self.shared, method)()
        self.broken = method == "abort"
        for actor in self.waiting:
            with pytest.raises(threading.BrokenBarrierError):
                self.cast.actors[actor].answer()
        self.waiting = []

    @rule(actor=actors)
    def wait_briefly(self, actor: int) -> None:
        """Who gives up breaks it for all."""
        if actor in self.waiting or self.broken or len(self.waiting) == 2:
            return
        with pytest.raises(threading.BrokenBarrierError):
            self.call(actor, "wait", 0)
        self.broken = True
        for other in self.waiting:
            with pytest.raises(threading.BrokenBarrierError):
                self.cast.actors[other].answer()
        self.waiting = []

    @invariant()
    def counts(self) -> None:
        assert self.shared.n_waiting == len(self.waiting)
        assert self.shared.broken == self.broken

    def teardown(self) -> None:
        self.shared.abort()
        for actor in self.waiting:
            with pytest.raises(threading.BrokenBarrierError):
                self.cast.actors[actor].answer()
        super().teardown()


def as_test(machine: type[RuleBasedStateMachine]) -> Any:
    case = machine.TestCase
    case.settings = examples(15, steps=30)
    return pytest.mark.slow(pytest.mark.deadline(40)(case))


TestLock = as_test(LockBesideFlag)
TestRLock = as_test(RLockBesideCounters)
TestEvent = as_test(EventBesideFlag)
TestCondition = as_test(ConditionBesideList)
TestBarrier = as_test(BarrierBesideCount)
