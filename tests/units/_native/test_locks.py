"""Lock, RLock and Semaphore: the documented behaviour, and who learns of a death."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from typing import Any

import pytest

import procession as mp
from procession import _native
from procession.errors import OwnerDied
from tests.units._native.children import child, sleepers, thread, until_asleep

MAKERS = [_native.Lock, _native.RLock, lambda: _native.Semaphore(1), lambda: _native.Condition(_native.RLock())]
NAMES = ["Lock", "RLock", "Semaphore", "Condition"]
every_lock = pytest.mark.parametrize("make", MAKERS, ids=NAMES)


def take(lock: Any, taken: _native.Event, done: _native.Event) -> None:
    lock.acquire()
    taken.set()
    done.wait()
    lock.release()


def take_for_ever(lock: Any, taken: _native.Event) -> None:
    lock.acquire()
    taken.set()
    _native.Event().wait()


@every_lock
def test_a_free_lock_is_taken_and_given_back(make: Any) -> None:
    lock = make()
    for _ in range(2):
        assert lock.acquire() is True
        assert lock.release() is None
        with lock as entered:
            assert entered is True
        assert lock.acquire(False) is True
        lock.release()
        assert lock.acquire(block=True, timeout=1.5) is True
        lock.release()


@every_lock
def test_a_held_lock_is_refused_to_others(make: Any) -> None:
    lock, taken, done = make(), _native.Event(), _native.Event()
    with child(take, lock, taken, done):
        assert taken.wait(20)
        assert lock.acquire(False) is False
        assert lock.acquire(False, 100) is False
        for timeout in (0, 0.0, -1, -1e300, -math.inf, 1e-9, 0.001):
            assert lock.acquire(True, timeout) is False
            assert lock.acquire(timeout=timeout) is False
        done.set()
        assert lock.acquire() is True
    lock.release()


@every_lock
def test_a_timeout_lasts_as_long_as_asked_and_not_much_longer(make: Any) -> None:
    lock, taken, done = make(), _native.Event(), _native.Event()
    with child(take, lock, taken, done):
        assert taken.wait(20)
        began = time.monotonic()
        assert lock.acquire(timeout=0.1) is False
        assert 0.1 <= time.monotonic() - began < 10
        done.set()


@every_lock
@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, 2**63, 1e10], ids=str)
def test_a_huge_timeout_waits_for_ever(make: Any, timeout: float) -> None:
    lock, taken, done = make(), _native.Event(), _native.Event()
    with child(take, lock, taken, done):
        assert taken.wait(20)
        with thread(lambda: lock.acquire(True, timeout) and lock.release()):
            until_asleep(getattr(lock, "lock", lock))
            done.set()
    assert lock.acquire(False) is True


@every_lock
def test_wrong_arguments_are_said_and_change_nothing(make: Any) -> None:
    lock = make()
    with pytest.raises(ValueError, match="NaN"):
        lock.acquire(True, math.nan)
    with pytest.raises(TypeError, match="real number"):
        lock.acquire(True, "soon")
    with pytest.raises(TypeError, match="at most 2 positional"):
        lock.acquire(True, 1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'blocking'"):
        lock.acquire(blocking=True)
    with pytest.raises(TypeError, match="multiple values for argument 'block'"):
        lock.acquire(True, block=True)
    assert lock.acquire(**{"blo" + "ck": 1, "time" + "out": 1}) is True


def test_a_free_lock_is_not_released() -> None:
    with pytest.raises(ValueError, match="released too many times"):
        _native.Lock().release()
    with pytest.raises(ValueError, match="released too many times"):
        _native.BoundedSemaphore(2).release()
    with pytest.raises(AssertionError, match="not owned by thread"):
        _native.RLock().release()


def test_anybody_may_release_a_lock() -> None:
    lock = _native.Lock()
    lock.acquire()
    with child(lock.release):
        assert lock.acquire() is True
    with thread(lock.release):
        assert lock.acquire() is True


def test_only_its_holder_releases_an_rlock() -> None:
    lock = _native.RLock()
    lock.acquire()

    def refused() -> None:
        with pytest.raises(AssertionError):
            lock.release()

    with child(refused), thread(refused):
        pass
    assert lock.is_mine()


def test_an_rlock_is_free_after_as_many_releases() -> None:
    lock = _native.RLock()
    for depth in range(1, 6):
        lock.acquire(timeout=0)
        assert lock.count() == depth
    for depth in range(5, 0, -1):
        assert lock.locked()
        assert lock.count() == depth
        lock.release()
    assert not lock.locked()
    assert lock.owner() == 0


def test_a_lock_names_its_holder() -> None:
    lock, taken, done = _native.Lock(), _native.Event(), _native.Event()
    assert (lock.owner(), lock.is_mine(), lock.count(), lock.locked()) == (0, False, 0, False)
    with lock:
        assert lock.owner() == _native.thread_owner()
        assert (lock.is_mine(), lock.count(), lock.locked()) == (True, 1, True)
    with child(take, lock, taken, done) as holder:
        assert taken.wait(20)
        record = _native.owner_record(lock.owner())
        assert record is not None
        assert record[0] == holder.pid
        assert not lock.is_mine()
        assert _native.owner_is_alive(lock.owner())
        done.set()


def test_semaphores_count() -> None:
    semaphore = _native.Semaphore(2)
    assert semaphore.get_value() == 2
    assert semaphore.acquire()
    assert semaphore.acquire()
    assert not semaphore.acquire(False)
    assert semaphore.locked()
    semaphore.release()
    semaphore.release()
    semaphore.release()
    assert semaphore.get_value() == 3


@pytest.mark.parametrize("value", [-1, 2**31, 2**100, -(2**100)], ids=str)
def test_a_semaphore_out_of_range_is_a_value_error(value: int) -> None:
    with pytest.raises(ValueError, match="semaphore's value"):
        _native.Semaphore(value)
    with pytest.raises(TypeError):
        _native.Semaphore(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", MAKERS[:3], ids=NAMES[:3])
def test_sleepers_learn_at_once_that_the_holder_was_killed(make: Any) -> None:
    lock, taken = make(), _native.Event()
    told: list[float] = []

    def wait() -> None:
        with pytest.raises(OwnerDied) as caught:
            lock.acquire()
        told.append(time.monotonic())
        assert caught.value.exitcode in (None, -signal.SIGKILL)

    with child(take_for_ever, lock, taken) as holder:
        assert taken.wait(20)
        with thread(wait), thread(wait):
            until_asleep(lock, 2)
            began = time.monotonic()
            holder.kill()
    assert len(told) == 2
    assert max(told) - began < 5
    with pytest.raises(OwnerDied):
        lock.acquire(False)
    assert lock.recover()
    assert not lock.recover()
    assert lock.acquire(False)
    lock.release()


def test_a_killed_waiter_holds_nobody_up() -> None:
    lock = _native.Lock()
    lock.acquire()
    with child(lock.acquire) as waiter:
        until_asleep(lock)
        waiter.kill()
        lock.release()
        assert lock.acquire(timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS[:3], ids=NAMES[:3])
def test_no_two_are_inside_at_once(make: Any) -> None:
    lock, memory = make(), _native.Memory(16)
    counter = memoryview(memory).cast("Q")

    def count() -> None:
        for _ in range(5_000):
            with lock:
                counter[0] += 1

    with child(count), child(count), thread(count), thread(count):
        pass
    assert counter[0] == 20_000


def test_ctrl_c_ends_a_wait_at_once() -> None:
    for make in MAKERS:
        lock = make()
        ready = _native.Event()

        def wait(lock: Any = lock, ready: Any = ready) -> None:
            with pytest.raises(KeyboardInterrupt):
                take_for_ever_twice(lock, ready)

        with child(wait) as waiter:
            assert ready.wait(20)
            until_asleep(getattr(lock, "lock", lock))
            began = time.monotonic()
            os.kill(waiter.pid, signal.SIGINT)
            assert waiter.wait() == 0
            assert time.monotonic() - began < 5


def take_for_ever_twice(lock: Any, ready: _native.Event) -> None:
    """Sleeps on a lock that a thread of this process holds."""
    holder = threading.Thread(target=lock.acquire)
    holder.start()
    holder.join()
    ready.set()
    lock.acquire()


@every_lock
def test_signals_do_not_move_the_deadline(make: Any) -> None:
    lock, taken, done = make(), _native.Event(), _native.Event()
    ticks = 0

    def tick(signum: int, frame: Any) -> None:
        nonlocal ticks
        ticks += 1

    before = signal.signal(signal.SIGALRM, tick)
    with child(take, lock, taken, done):
        assert taken.wait(20)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        began = time.monotonic()
        try:
            assert lock.acquire(timeout=0.2) is False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert 0.2 <= time.monotonic() - began < 10
        done.set()
    assert ticks > 3


def test_a_sleeping_thread_does_not_hold_the_interpreter() -> None:
    lock = _native.Lock()
    lock.acquire()
    with thread(lambda: lock.acquire() and lock.release()):
        until_asleep(lock)
        assert sleepers(lock) == 1
        lock.release()


def test_a_child_made_by_fork_uses_what_it_inherited() -> None:
    lock = _native.RLock()

    def inside() -> None:
        with lock:
            assert lock.is_mine()
        again = type(lock).attach(lock.handle)
        with again:
            assert lock.is_mine()

    lock.acquire()
    with child(inside):
        until_asleep(lock)
        lock.release()
    assert lock.acquire(False)


def test_what_a_child_drops_stays_with_its_parent() -> None:
    locks = [_native.Lock() for _ in range(100)]
    in_use = _native.arena_in_use()

    def drop() -> None:
        locks.clear()
        extra = [_native.Lock() for _ in range(10)]
        extra.clear()

    with child(drop):
        pass
    for lock in locks:
        assert lock.acquire(False)
    assert _native.arena_in_use() <= in_use + 64 * 1024  # the child's own ledger, at most


def test_locks_are_given_back() -> None:
    def some() -> int:
        made = [_native.Lock() for _ in range(1000)]
        del made
        return _native.arena_in_use()

    first = some()
    assert all(some() <= first for _ in range(5))


def test_a_subclass_may_have_its_own_arguments() -> None:
    class Named(_native.Lock):
        def __init__(self, name: str, *, number: int = 0) -> None:
            self.name, self.number = name, number

    class Guarded(_native.Semaphore):
        def __new__(cls, name: str, value: int) -> Guarded:
            return super().__new__(cls, value)

    lock = Named("index", number=3)
    with lock:
        assert (lock.name, lock.number) == ("index", 3)
    assert Guarded("x", 5).get_value() == 5
    assert type(Named.attach(lock.handle)) is Named
    with pytest.raises(TypeError, match="no arguments"):
        _native.Lock(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        _native.Object()


def test_a_stale_handle_is_refused() -> None:
    lock = _native.Lock()
    handle = lock.handle
    with pytest.raises(mp.errors.StaleHandle):
        _native.RLock.attach(handle)
    del lock
    for wrong in (handle, (handle[0] + 64, 1), (0, 1), (1, 1), (2**63, 1), (handle[0] + 8, handle[1])):
        with pytest.raises(mp.errors.StaleHandle):
            _native.Lock.attach(wrong)
    for nonsense in (None, 5, (1,), ("a", "b"), (1, 2**40)):
        with pytest.raises(TypeError, match="pair of integers"):
            _native.Lock.attach(nonsense)  # type: ignore[arg-type]
