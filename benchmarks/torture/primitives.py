"""What locks, queues and managers are put through: one process is killed, and the others go on, or do not.

Each scenario gets the fork context of a library that has the API of `multiprocessing`, runs in a process of its own, and says step by step
what happened. Not here: pools (`scenarios.py`); starting, timing out and killing those processes (`__main__.py`, `cell.py`).
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.torture.scenarios import attempt

LIBRARIES = {
    "procession": "procession",
    "stdlib": "multiprocessing",
    "billiard": "billiard",
    "multiprocess": "multiprocess",
}
PRIMITIVES: dict[str, tuple[str, Callable[[Any], None]]] = {}
ASLEEP = 0.3  # seconds after which a process that has begun to wait does so
WRITERS_KILLED = 10
LARGE = b"x" * (1 << 20)


def context(library: str) -> Any:
    return importlib.import_module(LIBRARIES[library]).get_context("fork")


def primitive(title: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
        PRIMITIVES[run.__name__] = (title, run)
        return run

    return register


def killed(api: Any, what: Callable[..., Any], *args: Any) -> None:
    """A process does something for ever, or waits, and is killed there."""
    begun = api.Event()
    process = api.Process(target=lambda: (begun.set(), what(*args), signal.pause()))
    process.start()
    begun.wait()
    time.sleep(ASLEEP)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def taken(lock: Any) -> None:
    """Take a lock, let go of it."""
    lock.acquire()
    lock.release()


def recovered(lock: Any) -> None:
    """What a user can do to go on."""
    if hasattr(lock, "recover"):
        lock.recover()
    taken(lock)


@primitive("the holder of a lock is killed: `acquire()`")
def lock_holder(api: Any) -> None:
    lock = api.Lock()
    killed(api, lock.acquire)
    attempt("acquire", lambda: taken(lock))
    attempt("after recover()", lambda: recovered(lock))


@primitive("the holder of the lock of a `Value` is killed: its value")
def value_holder(api: Any) -> None:
    value = api.Value("i", 5)
    killed(api, value.get_lock().acquire)
    attempt("value", lambda: value.value and None)
    attempt("after recover()", lambda: recovered(value.get_lock()))


@primitive("the holder of the last permit of a semaphore is killed: `acquire()`")
def semaphore_holder(api: Any) -> None:
    semaphore = api.Semaphore(1)
    killed(api, semaphore.acquire)
    attempt("acquire", lambda: taken(semaphore))


@primitive("a waiter is killed: `Condition.notify_all()`")
def condition_waiter(api: Any) -> None:
    condition = api.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    def notify() -> None:
        with condition:
            condition.notify_all()

    killed(api, wait)
    attempt("notify_all", notify)
    attempt("again", notify)


@primitive("a waiter is killed: `Event.set()`")
def event_waiter(api: Any) -> None:
    event = api.Event()
    killed(api, event.wait)
    attempt("set", event.set)


@primitive("a party is killed: `Barrier.wait(3)` of another")
def barrier_party(api: Any) -> None:
    barrier = api.Barrier(3)
    killed(api, barrier.wait)
    attempt("wait", lambda: barrier.wait(3) and None)


@primitive("a process is killed that waits in `Queue.get()`: another's `get(timeout=5)`")
def queue_reader(api: Any) -> None:
    queue = api.Queue()
    killed(api, queue.get)
    attempt("put", lambda: queue.put(1))
    attempt("get", lambda: queue.get(timeout=5) and None)


@primitive("a process is killed that waits in `SimpleQueue.get()`: another's `get()`")
def simple_queue_reader(api: Any) -> None:
    queue = api.SimpleQueue()
    killed(api, queue.get)
    queue.put(1)
    attempt("get", lambda: queue.get() and None)


@primitive(f"{WRITERS_KILLED} producers are killed in `Queue.put()`: then one put and get")
def queue_writer(api: Any) -> None:
    queue = api.Queue(100)
    dice = random.Random(1)

    def put() -> None:
        while True:
            queue.put(b"x" * 2000)

    for _ in range(WRITERS_KILLED):
        process = api.Process(target=put)
        process.start()
        end = time.monotonic() + 0.05 + 0.05 * dice.random()
        while time.monotonic() < end:
            try:
                queue.get(timeout=0.01)
            except Exception:  # noqa: BLE001 - empty: what counts comes afterwards
                continue
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    def empty() -> None:
        try:
            while True:
                queue.get(timeout=1)
        except Exception as error:
            if type(error).__name__ != "Empty":
                raise

    attempt("drain", empty)
    attempt("put", lambda: queue.put("last", timeout=3))
    attempt("get", lambda: queue.get(timeout=3) and None)


@primitive("`put()` of what cannot be pickled: then `get(timeout=2)`")
def unpicklable(api: Any) -> None:
    queue = api.Queue()
    attempt("put", lambda: queue.put(threading.Lock()))
    attempt("get", lambda: queue.get(timeout=2) and None)


@primitive("`join()` of a process that has put 1 MiB, before `get()`")
def join_before_get(api: Any) -> None:
    queue = api.Queue()
    process = api.Process(target=queue.put, args=(LARGE,))
    process.start()
    attempt("join", process.join)
    attempt("get", lambda: queue.get(timeout=3) and None)


@primitive("a consumer is killed before `task_done()`: `JoinableQueue.join()`")
def joinable_consumer(api: Any) -> None:
    queue = api.JoinableQueue()
    queue.put(1)
    killed(api, queue.get)
    attempt("join", queue.join)


@primitive("the manager is killed: a proxy's call")
def manager_killed(api: Any) -> None:
    manager = api.Manager()
    shared = manager.dict(a=1)
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()
    attempt("call", lambda: shared["a"] and None)


@primitive("a client that holds a manager's lock is killed: `acquire()`")
def manager_lock_holder(api: Any) -> None:
    manager = api.Manager()
    lock = manager.Lock()
    killed(api, lock.acquire)
    attempt("acquire", lambda: taken(lock))
