"""A storm: clients of one manager are killed at random instants, and nothing of them stays."""

from __future__ import annotations

import queue
import random
import threading
from typing import Any

import pytest

import procession as mp
from procession.errors import OwnerDied

CLIENTS = 5
KILLS = 60


def use(table: Any, items: Any, lock: Any, outer: Any) -> None:
    """Use everything, for ever."""
    number = 0
    while True:
        number += 1
        try:
            with lock:
                table["key"] = number
                assert table["key"] == number, "another client was in the lock, too"
        except OwnerDied:
            lock.recover()
        items.put(number)
        try:
            items.get(timeout=0.01)
        except queue.Empty:
            pass  # another client has taken it
        outer[0].append(number)
        outer[0].pop()


def wait_until(is_so: Any) -> None:
    """Until it is so; the test's deadline ends it otherwise."""
    never = threading.Event()
    while not is_so():
        never.wait(0.01)


def acquire(lock: Any) -> bool:
    try:
        return bool(lock.acquire(True, 1))
    except OwnerDied:
        lock.recover()
        return False


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_killed_clients_leave_no_lock_no_object_no_thread_no_descriptor(
    manager: Any, kind: str, storm_factor: int
) -> None:
    table, items, lock, account = manager.dict(), manager.Queue(), getattr(manager, kind)(), manager.Account()
    outer = manager.list([manager.list()])
    objects, descriptors = manager._number_of_objects(), account.descriptors()
    chance, crowd = random.Random(1), []
    for _ in range(KILLS * storm_factor):
        while len(crowd) < CLIENTS:
            child = mp.Process(target=use, args=(table, items, lock, outer))
            child.start()
            crowd.append(child)
        threading.Event().wait(chance.random() * 0.03)  # the instant is what is random here
        child = crowd.pop(chance.randrange(CLIENTS))
        child.kill()
        child.join()
    for child in crowd:
        child.kill()
        child.join()
    wait_until(lambda: manager._number_of_objects() == objects)
    wait_until(lambda: account.descriptors() == descriptors)
    wait_until(lambda: acquire(lock))
    lock.release()
    wait_until(lambda: account.threads() < 2 * CLIENTS)
