"""Condition, Event and Barrier: who is woken, who is told of a death, what a signal leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

import procession as mp
from procession import _native
from procession.errors import OwnerDied
from tests.units._native.children import child, sleepers, thread, until, until_asleep

# ── Event ──


def test_an_event_is_seen_by_all_processes() -> None:
    event = _native.Event()
    assert not event.is_set()
    assert event.wait(0) is False
    assert event.wait(0.01) is False
    with child(event.set):
        assert event.wait() is True
    assert event.wait(timeout=0) is True
    event.clear()
    assert not event.is_set()


def test_a_wait_ends_with_a_set_that_is_cleared_at_once() -> None:
    event = _native.Event()

    def wait() -> None:
        assert event.wait(20)

    with child(wait), child(wait), thread(wait):
        until_asleep(event, 3)
        event.set()
        event.clear()


def test_a_killed_waiter_does_not_hold_up_set() -> None:
    event = _native.Event()
    with child(event.wait) as waiter:
        until_asleep(event)
        waiter.kill()
        event.set()
        assert event.wait(0)


# ── Condition ──


def waiter(condition: _native.Condition, woken: _native.Semaphore, timeout: float | None = 20) -> None:
    with condition:
        if condition.wait(timeout):
            woken.release()


def test_notify_wakes_as_many_as_asked() -> None:
    condition, woken = _native.Condition(_native.RLock()), _native.Semaphore(0)
    with child(waiter, condition, woken), child(waiter, condition, woken), thread(waiter, condition, woken):
        until(lambda: condition.waiting() == 3)
        with condition:
            assert condition.notify(0) == 0
            assert condition.notify(2) == 2
        until(lambda: woken.get_value() == 2)
        assert condition.waiting() == 1
        with condition:
            assert condition.notify_all() == 1
            assert condition.notify() == 0
            assert condition.notify(n=10**30) == 0
    assert woken.get_value() == 3


def test_notify_passes_over_the_dead() -> None:
    condition, woken = _native.Condition(_native.Lock()), _native.Semaphore(0)
    with child(waiter, condition, woken) as first:
        until(lambda: condition.waiting() == 1)
        with child(waiter, condition, woken):
            until(lambda: condition.waiting() == 2)
            first.kill()
            with condition:
                assert condition.notify(1) == 1
    assert woken.get_value() == 1


def test_a_wait_that_runs_out_of_time_holds_the_lock_again() -> None:
    for lock in (_native.Lock(), _native.RLock()):
        condition = _native.Condition(lock)
        assert condition.lock is lock
        with condition:
            began = time.monotonic()
            assert condition.wait(0.05) is False
            assert time.monotonic() - began >= 0.05
            assert condition.wait(0) is False
            assert lock.is_mine()
        assert not lock.locked()


def test_a_recursive_lock_is_let_go_of_entirely() -> None:
    lock = _native.RLock()
    condition, woken = _native.Condition(lock), _native.Semaphore(0)

    def notify() -> None:
        with condition:
            condition.notify()

    with lock, lock, condition:
        with thread(notify):
            assert condition.wait(20)
        assert lock.count() == 3
    assert woken.get_value() == 0


def test_the_lock_must_be_held() -> None:
    condition = _native.Condition(_native.RLock())
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(AssertionError, match="with condition"):
            call()
    with pytest.raises(TypeError, match="needs a Lock or an RLock"):
        _native.Condition(threading.Lock())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="attach_with"):
        _native.Condition.attach(condition.handle)
    again = _native.Condition.attach_with(condition.handle, condition.lock)
    assert again.handle == condition.handle


@pytest.mark.parametrize("make", [_native.Lock, _native.RLock])
def test_an_exception_in_a_wait_leaves_with_the_lock_and_loses_no_notification(make: Any) -> None:
    condition, woken = _native.Condition(make()), _native.Semaphore(0)

    class Alarm(Exception):
        pass

    def ring(signum: int, frame: Any) -> None:
        raise Alarm

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with thread(waiter, condition, woken), condition:
            until(lambda: condition.waiting() == 1)
            with child(interrupt_when_asleep, condition), pytest.raises(Alarm):
                condition.wait(20)
            assert condition.lock.is_mine()
            assert condition.notify() == 1
        assert woken.get_value() == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def interrupt_when_asleep(condition: _native.Condition) -> None:
    until(lambda: condition.waiting() == 2)
    os.kill(os.getppid(), signal.SIGUSR1)


def test_a_waiter_learns_that_the_lock_died_with_its_holder() -> None:
    condition = _native.Condition(_native.RLock())

    def die_inside() -> None:
        until(lambda: condition.waiting() == 1)
        condition.acquire()
        condition.notify()
        os.kill(os.getpid(), signal.SIGKILL)

    with child(die_inside) as dying:
        with pytest.raises(OwnerDied), condition:
            condition.wait(20)
        assert dying.wait() == -signal.SIGKILL
    assert condition.lock.recover()


def test_a_condition_in_a_cycle_is_collected() -> None:
    import gc
    import weakref

    class Own(_native.Condition):
        pass

    condition = Own(_native.Lock())
    condition.me = condition  # type: ignore[attr-defined]
    gone = weakref.ref(condition)
    del condition
    gc.collect()
    assert gone() is None


# ── Barrier ──


def arrive_and_wait(barrier: _native.Barrier, timeout: float | None = 20) -> int:
    index, node = barrier.arrive(timeout)
    if node:
        barrier.wait(node, timeout)
    else:
        barrier.release()
    return index


def test_all_parties_meet_round_after_round() -> None:
    barrier, memory = _native.Barrier(3), _native.Memory(8)
    count = memoryview(memory).cast("Q")
    lock = _native.Lock()

    def rounds() -> None:
        for round_number in range(1, 101):
            with lock:
                count[0] += 1
            arrive_and_wait(barrier)
            assert count[0] >= 3 * round_number
            arrive_and_wait(barrier)

    with child(rounds), child(rounds), thread(rounds):
        pass
    assert count[0] == 300
    assert barrier.waiting() == 0


def test_a_timeout_breaks_the_barrier_for_all() -> None:
    barrier = _native.Barrier(3)

    def broken() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            arrive_and_wait(barrier)

    with child(broken):
        until(lambda: barrier.waiting() == 1)
        with pytest.raises(threading.BrokenBarrierError):
            arrive_and_wait(barrier, 0.02)
    assert barrier.is_broken()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.arrive()
    barrier.reset()
    assert not barrier.is_broken()


def test_a_party_that_is_killed_breaks_the_barrier() -> None:
    barrier = _native.Barrier(3)

    def broken() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            arrive_and_wait(barrier)

    with child(arrive_and_wait, barrier) as victim:
        until(lambda: barrier.waiting() == 1)
        with child(broken):
            until_asleep(barrier, 2)
            victim.kill()
        record = _native.owner_record(barrier.culprit())
        assert record is not None
        assert record[0] == victim.pid


def test_an_interrupted_party_breaks_the_barrier() -> None:
    barrier = _native.Barrier(3)

    def interrupted() -> None:
        with pytest.raises(KeyboardInterrupt):
            arrive_and_wait(barrier)

    def broken() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            arrive_and_wait(barrier)

    with child(interrupted) as guilty, child(broken):
        until_asleep(barrier, 2)
        os.kill(guilty.pid, signal.SIGINT)


def test_the_last_one_runs_the_action_and_may_abort() -> None:
    barrier = _native.Barrier(2)

    def broken() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            arrive_and_wait(barrier)

    with child(broken):
        until(lambda: barrier.waiting() == 1)
        assert barrier.arrive() == (1, 0)
        barrier.abort()
    assert barrier.is_broken()


@pytest.mark.parametrize("parties", [0, -1, 2**40, 2**70])
def test_impossible_parties_are_a_value_error(parties: int) -> None:
    with pytest.raises(ValueError, match="part"):
        _native.Barrier(parties)


def test_a_node_of_nobody_is_refused() -> None:
    barrier = _native.Barrier(2)
    for node in (0, 1, 2**63, 12345):
        with pytest.raises(ValueError, match="node"):
            barrier.wait(node)


# ── the wait table ──


def test_a_sleep_is_in_the_wait_table_with_reason_and_holder() -> None:
    lock = _native.Lock()
    lock.acquire()
    with thread(lambda: lock.acquire(timeout=60) and lock.release()) as sleeper:
        until_asleep(lock)
        row = next(row for row in _native.waits() if row[3] == lock.handle[0])
        assert row[:2] == (os.getpid(), sleeper.native_id)
        assert _native.WAIT_REASONS[row[2]] == "lock"
        assert 0 <= row[4] < 60
        assert row[5] is not None
        assert 0 < row[5] <= 60
        assert row[6] == _native.thread_owner()
        lock.release()
    assert sleepers(lock) == 0


def test_waits_of_the_floors_above_are_in_the_table_too() -> None:
    row = _native.wait_begin(10, 4711, 2.5, 0)
    try:
        assert (os.getpid(), 10, 4711) in [
            (pid, reason, offset) for pid, _tid, reason, offset, *_rest in _native.waits()
        ]
    finally:
        _native.wait_end(row)
    assert not [wait for wait in _native.waits() if wait[3] == 4711]
    with pytest.raises(ValueError, match="wait_begin"):
        _native.wait_end(100)


def test_the_process_table_knows_the_dead() -> None:
    event = _native.Event()

    def live() -> None:
        _native.process_register("lively")
        event.set()
        _native.Event().wait()

    with child(live) as lively:
        assert event.wait(20)
        assert ("lively", True) in [
            (name, alive) for _slot, pid, name, alive in _native.processes() if pid == lively.pid
        ]
        lively.kill()
        _native.process_reaped(lively.pid, -9)
    assert not [alive for _slot, pid, _name, alive in _native.processes() if pid == lively.pid and alive]
    assert _native.owner_record(2**63) is None
    assert mp.current_process().name
