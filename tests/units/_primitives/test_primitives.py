"""Locks, semaphores, conditions, events and barriers do what they say, also when somebody dies."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import threading
import time
from typing import Any

import pytest

import procession as mp
from procession.errors import OwnerDied

METHODS = ["fork", "spawn", "forkserver"]


def take_and_die(lock: Any, taken: Any, how: str) -> None:
    lock.acquire()
    taken.set()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def wait_for_news(condition: Any, ready: Any) -> None:
    with condition:
        ready.release()
        condition.wait()


def arrive(barrier: Any) -> None:
    barrier.wait()


def add_up(lock: Any, value: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            value.value += 1


def forked(target: Any, *args: Any) -> Any:
    process = mp.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def reached(truth: Any, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not truth() and time.monotonic() < deadline:
        os.sched_yield()
    return bool(truth())


@pytest.mark.parametrize(
    "make", [mp.Lock, mp.RLock, lambda: mp.BoundedSemaphore(1)], ids=["Lock", "RLock", "Semaphore"]
)
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_the_death_of_a_holder_is_told_and_mended(make: Any, how: str) -> None:
    lock, taken = make(), mp.Event()
    if how == "exit" and not hasattr(lock, "owner"):
        pytest.skip("an exit without release keeps a semaphore's permit, as in the standard library")
    holder = forked(take_and_die, lock, taken, how)
    assert taken.wait(20)
    with pytest.raises(OwnerDied) as told:
        lock.acquire(timeout=20)
    assert told.value.pid == holder.pid
    assert isinstance(told.value, OSError)  # as a broken channel is: what packages expect of a lock that is of no use
    assert told.value.errno == errno.EOWNERDEAD
    assert pickle.loads(pickle.dumps(told.value)).args == told.value.args
    holder.join()
    with pytest.raises(OwnerDied):
        lock.acquire(timeout=20)
    assert lock.recover()
    assert lock.acquire(timeout=1)
    lock.release()


def test_a_lock_may_be_released_by_anybody() -> None:
    lock = mp.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert not lock.locked()
    with pytest.raises(ValueError, match="released too many times"):
        lock.release()


def test_a_recursive_lock_counts_and_knows_its_owner() -> None:
    lock = mp.RLock()
    assert lock.acquire()
    assert lock.acquire(block=False)
    lock.release()
    lock.release()
    with pytest.raises(AssertionError):
        lock.release()


@pytest.mark.parametrize("timeout", [0, -1, 0.05, -0.5])
def test_timeouts_hold(timeout: float) -> None:
    lock = mp.Lock()
    lock.acquire()
    began = time.monotonic()
    assert lock.acquire(timeout=timeout) is False
    spent = time.monotonic() - began
    assert max(0.0, timeout) <= spent < max(0.0, timeout) + 5


def test_a_bounded_semaphore_refuses_one_too_many() -> None:
    semaphore = mp.BoundedSemaphore(2)
    assert semaphore.get_value() == 2
    with semaphore, semaphore:
        assert semaphore.locked()
        assert not semaphore.acquire(block=False)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()


@pytest.mark.parametrize("value", [-1, 2**31])
def test_a_semaphore_outside_its_range_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        mp.Semaphore(value)


@pytest.mark.parametrize("method", METHODS)
def test_locks_and_values_travel_under_every_start_method(method: str) -> None:
    context = mp.get_context(method)
    lock, value = context.Lock(), context.RawValue("i", 0)
    processes = [context.Process(target=add_up, args=(lock, value, 500)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert value.value == 1000


def test_an_object_can_be_sent_to_a_process_that_runs() -> None:
    inbox, outbox = mp.Queue(), mp.Queue()
    process = forked(_use_what_comes, inbox, outbox)
    lock = mp.Lock()
    inbox.put(lock)
    assert outbox.get(timeout=20) == "taken"
    assert lock.locked()
    process.join()


def _use_what_comes(inbox: Any, outbox: Any) -> None:
    lock = inbox.get()
    lock.acquire()
    outbox.put("taken")


def test_a_pickled_object_is_the_same_object() -> None:
    event = mp.Event()
    again = pickle.loads(pickle.dumps(event))
    again.set()
    assert event.is_set()
    assert repr(event).endswith(" set>")


def test_notify_tells_as_many_as_it_says_and_skips_the_dead() -> None:
    condition, ready = mp.Condition(), mp.Semaphore(0)
    waiters = [forked(wait_for_news, condition, ready) for _ in range(3)]
    for _ in waiters:
        assert ready.acquire(timeout=20)
    assert reached(lambda: condition.waiting() == 3)
    waiters[0].kill()
    waiters[0].join()
    with condition:
        assert condition.notify(5) == 2
    for waiter in waiters[1:]:
        waiter.join(20)
        assert waiter.exitcode == 0


def test_wait_without_the_lock_is_refused() -> None:
    condition = mp.Condition(mp.Lock())
    with pytest.raises((AssertionError, RuntimeError)):
        condition.wait(0.1)
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: True, 1) is True
        assert condition.wait_for(lambda: 0, 0.01) == 0


def test_a_barrier_lets_all_through_and_runs_its_action_once() -> None:
    count = mp.Value("i", 0)

    def action() -> None:
        count.value += 1

    barrier = mp.get_context("fork").Barrier(3, action)
    others = [forked(arrive, barrier) for _ in range(2)]
    assert barrier.wait(20) in {0, 1, 2}
    for other in others:
        other.join(20)
    assert count.value == 1
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)


def test_the_death_of_an_arrived_party_breaks_the_barrier() -> None:
    barrier = mp.Barrier(3)
    dead = forked(arrive, barrier)
    assert reached(lambda: barrier.n_waiting == 1)
    threading.Thread(target=lambda: (reached(lambda: barrier.n_waiting == 2), dead.kill())).start()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(20)
    assert barrier.broken
    dead.join()
    barrier.reset()
    assert not barrier.broken


def test_many_locks_are_cheap_and_come_back() -> None:
    from procession import _native

    locks = [mp.Lock() for _ in range(20_000)]
    used = _native.arena_in_use()
    del locks
    again = [mp.Lock() for _ in range(20_000)]
    assert _native.arena_in_use() <= used + 1_000_000
    assert len(again) == 20_000
