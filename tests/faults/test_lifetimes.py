"""Who goes with whom: daemons and pools with their parent, however it ends; nothing is left after thousands of starts; timeouts hold."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession as mp
from procession import testing
from procession.connection import wait
from tests.guards import proc

METHODS = ("fork", "spawn", "forkserver")
PATIENCE = 30.0


def tell_pid_and_wait(pids: Any, stubborn: bool) -> None:
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids.put(os.getpid())
    mp.Event().wait()


def be_parent(method: str, stubborn: bool, pids: Any, ends: bool) -> None:
    context = mp.get_context(method)
    daemons = [context.Process(target=tell_pid_and_wait, args=(pids, stubborn), daemon=True) for _ in range(2)]
    for daemon in daemons:
        daemon.start()
    if not ends:
        mp.Event().wait()
    while pids.qsize() < 2:
        os.sched_yield()


def be_parent_of_pool(method: str, pids: Any) -> None:
    pool = mp.get_context(method).Pool(2, initializer=tell_pid, initargs=(pids,))
    pool.map(hang, range(4))


def tell_pid(pids: Any) -> None:
    pids.put(os.getpid())


def hang(_item: object) -> None:
    mp.Event().wait()


def gone(pids: list[int]) -> bool:
    return not proc.wait_ended(set(pids), PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["killed", "exits"])
def test_daemons_go_with_their_parent(method: str, how: str) -> None:
    pids: Any = mp.Queue()
    parent = mp.get_context("fork").Process(target=be_parent, args=(method, False, pids, how == "exits"))
    parent.start()
    daemons = [pids.get(timeout=PATIENCE) for _ in range(2)] if how == "killed" else []
    if how == "killed":
        parent.kill()
    parent.join()
    assert gone(daemons or pids.get_many(2))
    proc.reap(set(daemons))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ignores SIGTERM", "is stopped"])
def test_a_daemon_that_cannot_be_told_goes_with_a_parent_that_is_killed(how: str) -> None:
    pids: Any = mp.Queue()
    args = (how == "ignores SIGTERM", pids, False)
    parents = [mp.get_context("fork").Process(target=be_parent, args=(method, *args)) for method in METHODS]
    for parent in parents:
        parent.start()
    daemons = [pids.get(timeout=PATIENCE) for _ in range(2 * len(parents))]
    for daemon in daemons if how == "is stopped" else ():
        os.kill(daemon, signal.SIGSTOP)
    for parent in parents:
        parent.kill()
        parent.join()
    assert gone(daemons)
    proc.reap(set(daemons))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_pool_workers_go_with_a_parent_that_is_killed_in_mid_task(method: str) -> None:
    pids: Any = mp.Queue()
    parent = mp.get_context("fork").Process(target=be_parent_of_pool, args=(method, pids))
    parent.start()
    workers = [pids.get(timeout=PATIENCE) for _ in range(2)]
    parent.kill()
    parent.join()
    assert gone(workers)
    proc.reap(set(workers))


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.deadline(600)
@pytest.mark.parametrize(("method", "starts"), [("fork", 200), ("forkserver", 60), ("spawn", 20)])
def test_nothing_is_left_after_many_starts(method: str, starts: int, storm_factor: int) -> None:
    context = mp.get_context(method)
    queue: Any = context.Queue()

    def start(count: int) -> None:
        for _ in range(count // 5):
            processes = [context.Process(target=queue.put, args=(1,)) for _ in range(5)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            assert queue.get_many(5) == [1] * 5

    def held() -> tuple[int, int, int]:
        gc.collect()
        return len(proc.descriptors()), len(proc.threads()), len(proc.children())

    start(20)
    before, used = held(), mp.memory_used()
    start(starts * storm_factor)
    assert held() == before
    assert mp.memory_used() < used + (1 << 20)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_children_of_workers_and_nested_pools_work(method: str) -> None:
    with mp.get_context(method).Pool(2) as pool:
        assert pool.map(nested, [2, 3]) == [[0, 1], [0, 1, 4]]


def nested(count: int) -> list[int]:
    with mp.get_context("fork").Pool(2) as pool:
        return list(pool.map(square, range(count)))


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("method", METHODS)
def test_join_before_get_of_a_large_message(method: str) -> None:
    queue: Any = mp.Queue()
    process = mp.get_context(method).Process(target=queue.put, args=(b"x" * (1 << 20),))
    process.start()
    process.join()
    assert queue.get() == b"x" * (1 << 20)


@pytest.fixture
def _storm_of_signals() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


WAITS: dict[str, Callable[[float], Any]] = {
    "lock": lambda timeout: held_lock().acquire(timeout=timeout),
    "semaphore": lambda timeout: mp.Semaphore(0).acquire(timeout=timeout),
    "event": mp.Event().wait,
    "queue": lambda timeout: bool(mp.connection.wait([mp.Queue()], timeout)),
    "pipe": lambda timeout: poll_quiet_pipe(timeout),  # noqa: PLW0108 - it stands below
}


def poll_quiet_pipe(timeout: float) -> bool:
    ours, theirs = mp.Pipe()
    with ours, theirs:
        return bool(ours.poll(timeout))


def held_lock() -> Any:
    lock = mp.Lock()
    taker = threading.Thread(target=lock.acquire)
    taker.start()
    taker.join()
    return lock


@pytest.mark.usefixtures("_storm_of_signals")
@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_timeouts_hold_while_signals_storm_in(name: str, timeout: float) -> None:
    began = time.monotonic()
    assert not WAITS[name](timeout)
    assert time.monotonic() - began >= timeout


@pytest.mark.slow
def test_a_fork_while_another_thread_holds_everything_inherits_no_locked_lock() -> None:
    """The child of a fork can put, get, lock, start children, though threads of its parent were inside of all that."""
    queue: Any = mp.Queue()
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            queue.put(b"x" * 5000)
            queue.get()
            mp.Lock()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            outcome = testing.run_isolated(use_everything, timeout=PATIENCE)
            assert outcome.check() == "used"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def use_everything() -> str:
    queue: Any = mp.Queue()
    process = mp.get_context("fork").Process(target=queue.put, args=("used",))
    process.start()
    process.join()
    with mp.RLock():
        found: str = queue.get()
    return found


def test_an_object_outlives_the_process_that_made_it() -> None:
    things: Any = mp.Queue()
    maker = mp.get_context("fork").Process(target=make_and_send, args=(things,))
    maker.start()
    maker.kill() if not things.empty() else maker.join()
    lock, queue, event = things.get(timeout=PATIENCE)
    maker.join()
    with lock:
        queue.put(event)
    received = queue.get()
    received.set()
    assert event.is_set()


def make_and_send(things: Any) -> None:
    things.put((mp.Lock(), mp.Queue(), mp.Event()))


def test_wait_sees_a_child_that_was_stopped_and_goes_on() -> None:
    queue: Any = mp.Queue()
    process = mp.get_context("fork").Process(target=queue.put, args=(1,))
    with testing.fault("queue.put.after_payload", "SIGSTOP"):
        process.start()
    os.waitid(os.P_PID, process.pid or 0, os.WSTOPPED)
    assert not wait([process.sentinel, queue], 0)
    os.kill(process.pid or 0, signal.SIGCONT)
    assert wait([queue], PATIENCE) == [queue]
    process.join()
    assert queue.get() == 1
