"""Deaths: of the manager, of a client, in the middle of a call."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from typing import Any

import pytest

import procession as mp
from procession.errors import ManagerDied, OwnerDied, ProcessError
from procession.managers import SyncManager
from tests.units._managers.conftest import Bank

SECONDS = 20


def kill(manager: Any) -> None:
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()


@pytest.mark.parametrize("calls", [0, 100])  # by the connection, and by the channel
def test_the_managers_death_is_one_clear_error_for_every_proxy(manager: Any, calls: int) -> None:
    proxies = [manager.list(), manager.dict(), manager.Queue()]
    for _ in range(calls):
        len(proxies[0])
    pid = manager._process.pid
    kill(manager)
    for call in (proxies[0].reverse, proxies[1].copy, proxies[2].qsize, manager.list):
        with pytest.raises(ManagerDied, match=rf"Bank-.*pid {pid}.*killed by signal 9 \(SIGKILL\)") as raised:
            call()
        assert isinstance(raised.value, ProcessError)
        assert isinstance(raised.value, EOFError)
        assert isinstance(raised.value, ConnectionError)
        assert (raised.value.pid, raised.value.exitcode) == (pid, -9)


@pytest.mark.parametrize("calls", [0, 100])
def test_a_call_that_waits_is_told_of_the_managers_death_at_once(manager: Any, calls: int) -> None:
    shared, account, ready, told = manager.Queue(), manager.Account(), threading.Event(), []

    def wait() -> None:
        for _ in range(calls):
            shared.qsize()
        ready.set()
        try:
            shared.get()
        except ManagerDied:
            told.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    assert ready.wait(SECONDS)
    wait_until(lambda: account.calls() == 2)
    killed = time.monotonic()
    kill(manager)
    thread.join(SECONDS)
    assert told
    assert told[0] - killed < SECONDS / 2  # it is 1 ms: the limit is for loaded machines


def use_after_death(shared: Any, ready: Any, told: Any) -> None:
    shared.append(1)
    ready.set()
    try:
        while True:
            shared.append(1)
    except ManagerDied as error:
        told.put(str(error))


def test_a_process_that_did_not_start_the_manager_is_told_as_well(manager: Any) -> None:
    ready, told = mp.Event(), mp.Queue()
    child = mp.Process(target=use_after_death, args=(manager.list(), ready, told))
    child.start()
    assert ready.wait(SECONDS)
    kill(manager)
    assert "nobody serves at" in told.get(timeout=SECONDS)
    child.join()


def test_a_new_manager_at_the_same_address_serves_who_was_connected_before(tmp_path: Any) -> None:
    address = str(tmp_path / "manager")
    first = SyncManager(address, b"k")
    first.start()
    client = SyncManager(address, b"k")
    client.connect()
    old = client.list([1])
    first.shutdown()
    with pytest.raises(ManagerDied, match="nobody serves"):
        old.append(2)
    with SyncManager(address, b"k"):
        new = client.list([3])
        new.append(4)
        assert new[:] == [3, 4]
        del new


def hold(pipe: Any, manager: Any) -> None:
    proxies = [manager.list(), manager.dict(a=manager.list())]
    pipe.send(len(proxies))
    pipe.recv()  # for ever: it is killed here


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_killed_client_lets_go_of_what_it_referred_to(manager: Any, method: str) -> None:
    kept = manager.list()
    before = manager._number_of_objects()
    context = mp.get_context(method)
    mine, theirs = context.Pipe()
    child = context.Process(target=hold, args=(theirs, manager))
    child.start()
    assert mine.recv() == 2
    assert manager._number_of_objects() == before + 3
    child.kill()
    child.join()
    wait_until(lambda: manager._number_of_objects() == before)
    assert kept[:] == []
    mine.close()
    theirs.close()


def wait_until(is_so: Any) -> None:
    """Until it is so; the test's deadline ends it otherwise."""
    never = threading.Event()
    while not is_so():
        never.wait(0.01)


def take(shared: Any, ready: Any, calls: int) -> None:
    for _ in range(calls):
        shared.qsize()
    ready.set()
    shared.get()


@pytest.mark.parametrize("calls", [0, 20])  # by the connection, and by the channel
@pytest.mark.parametrize("address", [None, ("127.0.0.1", 0)])
def test_what_a_client_had_not_received_when_it_was_killed_is_not_lost(address: Any, calls: int) -> None:
    with Bank(address) as manager:
        shared, account, ready = manager.Queue(), manager.Account(), mp.Event()  # type: ignore[attr-defined]
        child = mp.Process(target=take, args=(shared, ready, calls))
        child.start()
        assert ready.wait(SECONDS)
        wait_until(lambda: account.calls() == 2)
        child.kill()
        child.join()
        shared.put("first")
        shared.put("second")
        assert [shared.get(timeout=SECONDS), shared.get(timeout=SECONDS)] == ["first", "second"]


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_a_lock_is_not_given_to_a_client_that_was_killed_while_it_waited(manager: Any, kind: str) -> None:
    lock, account = getattr(manager, kind)(), manager.Account()
    lock.acquire()
    child = mp.Process(target=lock.acquire)
    child.start()
    wait_until(lambda: account.calls() == 2)
    child.kill()
    child.join()
    lock.release()
    assert lock.acquire(True, SECONDS)
    lock.release()


def acquire_and_exit(lock: Any) -> None:
    lock.acquire()


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
def test_who_wants_the_lock_of_a_dead_client_is_told_who_died(manager: Any, kind: str) -> None:
    lock = getattr(manager, kind)()
    child = mp.Process(target=acquire_and_exit, args=(lock,), name="owner")
    child.start()
    child.join()
    wait_until(lambda: not is_healthy(lock))
    with pytest.raises(OwnerDied, match=rf"a manager's R?Lock was held by owner \(pid {child.pid}\)"):
        lock.acquire()
    assert lock.recover()
    assert lock.acquire()
    assert not lock.recover()
    lock.release()


def acquire_and_be_killed(semaphore: Any, times: int) -> None:
    for _ in range(times):
        semaphore.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_who_wants_the_permits_of_a_killed_client_is_told_who_died(manager: Any, kind: str) -> None:
    semaphore = getattr(manager, kind)(3)
    child = mp.Process(target=acquire_and_be_killed, args=(semaphore, 2), name="holder")
    child.start()
    child.join()
    assert semaphore.acquire()  # there is one
    wait_until(lambda: not is_healthy(semaphore))
    with pytest.raises(OwnerDied, match=rf"a manager's {kind} was held by holder \(pid {child.pid}\)"):
        semaphore.acquire()
    assert semaphore.recover()
    assert not semaphore.recover()
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]
    for _ in range(3):
        semaphore.release()
    if kind == "BoundedSemaphore":
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()


def test_a_release_gives_back_the_permit_of_a_killed_client(manager: Any) -> None:
    semaphore = manager.Semaphore(1)
    child = mp.Process(target=acquire_and_be_killed, args=(semaphore, 1))
    child.start()
    child.join()
    wait_until(lambda: not is_healthy(semaphore))
    semaphore.release()
    assert semaphore.acquire()
    assert not semaphore.acquire(False)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_client_that_exits_takes_its_permits_along(manager: Any, method: str) -> None:
    semaphore = manager.Semaphore(1)
    before = manager._debug_info()
    child = mp.get_context(method).Process(target=acquire_and_exit, args=(semaphore,))
    child.start()
    child.join()
    wait_until(lambda: manager._debug_info() != before)
    assert not semaphore.acquire(True, 0.2)
    semaphore.release()
    assert semaphore.acquire(False)


def test_a_semaphore_that_began_at_zero_is_nobodys(manager: Any) -> None:
    semaphore = manager.Semaphore(0)
    semaphore.release()
    child = mp.Process(target=acquire_and_be_killed, args=(semaphore, 1))
    child.start()
    child.join()
    assert not semaphore.acquire(True, 0.2)
    semaphore.release()
    assert semaphore.acquire(False)


@pytest.mark.parametrize("calls", [0, 100])
def test_a_barrier_breaks_when_a_client_dies_that_has_arrived(manager: Any, calls: int) -> None:
    barrier = manager.Barrier(3)

    def arrive() -> None:
        for _ in range(calls):
            barrier.n_waiting  # noqa: B018 - a call
        barrier.wait()

    child = mp.Process(target=arrive)
    child.start()
    broken: list[BaseException] = []

    def wait() -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError as error:
            broken.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: barrier.n_waiting == 2)
    child.kill()
    child.join()
    thread.join(SECONDS)
    assert broken
    assert barrier.broken
    barrier.reset()
    assert (barrier.broken, barrier.n_waiting) == (False, 0)


def test_a_barrier_serves_round_after_round_whoever_has_left_it(manager: Any) -> None:
    barrier = manager.Barrier(2)

    def arrive() -> None:
        barrier.wait()

    for _ in range(5):
        child = mp.Process(target=arrive)
        child.start()
        assert barrier.wait(SECONDS) in (0, 1)
        child.join()
        assert not barrier.broken


def is_healthy(lock: Any) -> bool:
    try:
        return not lock.acquire(False)
    except OwnerDied:
        return False


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_who_waits_for_what_a_client_holds_that_dies_is_told_at_once(manager: Any, kind: str) -> None:
    lock, account, mine = getattr(manager, kind)(), manager.Account(), mp.Event()
    child = mp.Process(target=lambda: (lock.acquire(), mine.set(), signal.pause()))
    child.start()
    assert mine.wait(SECONDS)
    told: list[BaseException] = []

    def want() -> None:
        try:
            lock.acquire()
        except OwnerDied as error:
            told.append(error)

    thread = threading.Thread(target=want)
    thread.start()
    wait_until(lambda: account.calls() == 2)
    child.kill()
    child.join()
    thread.join(SECONDS)
    assert told
    lock.release()  # as with locks of threads, anybody may
    assert lock.acquire(False)


def test_a_recursive_lock_belongs_to_a_thread_of_a_client(manager: Any) -> None:
    lock, refused = manager.RLock(), []
    lock.acquire()
    lock.acquire()

    def release() -> None:
        try:
            lock.release()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=release)
    thread.start()
    thread.join()
    assert refused
    lock.release()
    lock.release()
    assert not lock.locked()


def test_a_condition_is_waited_for_and_notified_with_its_recursive_lock_held_twice(manager: Any) -> None:
    condition, account = manager.Condition(), manager.Account()

    def wait() -> None:
        with condition, condition:
            condition.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: account.calls() == 2 and not condition.locked())
    with condition:
        condition.notify()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert not condition.locked()


def send_and_end(results: Any, manager: Any) -> None:
    results.put(manager.list([1, 2]))


def test_a_proxy_that_was_sent_keeps_its_object_until_it_is_received(manager: Any) -> None:
    results: Any = mp.Queue()
    before = manager._number_of_objects()
    child = mp.Process(target=send_and_end, args=(results, manager))
    child.start()
    child.join()
    received = results.get(timeout=SECONDS)
    assert received[:] == [1, 2]
    del received
    gc.collect()
    assert manager._number_of_objects() == before


def test_a_proxy_that_is_popped_out_of_the_server_keeps_its_object(manager: Any) -> None:
    outer = manager.list([manager.list([1])])
    inner = outer.pop()
    assert inner[:] == [1]
    del inner, outer
    assert manager._number_of_objects() == 0


def test_proxies_nested_in_each_other_leak_nothing(manager: Any) -> None:
    for _ in range(20):
        outer = manager.dict()
        for number in range(5):
            outer[number] = manager.list([manager.dict()])
            outer[number][0]["x"] = number
        assert outer[3][0]["x"] == 3
    del outer
    assert manager._number_of_objects() == 0


def test_calls_after_a_ctrl_c_are_answered_rightly(manager: Any) -> None:
    shared, numbers = manager.Queue(), manager.list(range(3))
    for _ in range(20):
        len(numbers)
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        shared.get()
    timer.join()
    assert len(numbers) == 3
    shared.put("x")  # the interrupted call does not take it
    assert shared.get(timeout=SECONDS) == "x"
    assert numbers[:] == [0, 1, 2]
