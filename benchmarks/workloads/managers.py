"""Managers: calls of one client, of four, over TCP; connecting."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, check, per_second, timed, workload

if TYPE_CHECKING:
    from benchmarks.libraries import Library


def set_and_get(proxy: Any, name: str, count: int) -> None:
    for number in range(count):
        proxy[name] = number
        check(proxy[name] == number, "a dictionary forgot")


@workload("mgr.dict.1", "/s", goal=3, limit="socket")
def dict_1(library: Library, scale: float) -> Figure:
    count = int(8000 * scale)
    with library.module.Manager() as manager:
        proxy = manager.dict()
        set_and_get(proxy, "key", 5)
        began = time.perf_counter()
        set_and_get(proxy, "key", count)
        return per_second(2 * count, began)


@workload("mgr.dict.4", "/s", goal=3)
def dict_4(library: Library, scale: float) -> Figure:
    count = int(4000 * scale)
    with library.module.Manager() as manager:
        proxy = manager.dict()
        children = [library.process(target=set_and_get, args=(proxy, f"key{i}", count)) for i in range(4)]
        began = time.perf_counter()
        for child in children:
            child.start()
        for child in children:
            child.join()
        figure = per_second(8 * count, began)
        check(dict(proxy) == {f"key{i}": count - 1 for i in range(4)}, "a client failed")
        return figure


@workload("mgr.queue.1", "/s", goal=3, limit="socket")
def queue_1(library: Library, scale: float) -> Figure:
    count = int(8000 * scale)
    with library.module.Manager() as manager:
        queue = manager.Queue()
        queue.put(0)
        queue.get()
        began = time.perf_counter()
        for number in range(count):
            queue.put(number)
            check(queue.get() == number, "a queue forgot")
        return per_second(2 * count, began)


@workload("mgr.lock.1", "/s", goal=3, limit="socket")
def lock_1(library: Library, scale: float) -> Figure:
    count = int(8000 * scale)
    with library.module.Manager() as manager:
        lock = manager.Lock()
        with lock:
            pass
        began = time.perf_counter()
        for _ in range(count):
            lock.acquire()
            lock.release()
        return per_second(2 * count, began)


def remote(library: Library) -> Any:
    """A started manager on a TCP port of the loopback, and a function that makes a client of it."""
    managers = __import__(f"{library.module_name}.managers", fromlist=["SyncManager"])
    server = managers.SyncManager(address=("127.0.0.1", 0), authkey=b"benchmark")
    server.start()

    def connect() -> Any:
        client = managers.SyncManager(address=server.address, authkey=b"benchmark")
        client.connect()
        return client

    return server, connect


@workload("mgr.remote_tcp.call", "us", goal=1.5)
def remote_call(library: Library, scale: float) -> Figure:
    count = int(8000 * scale)
    server, connect = remote(library)
    with server:
        proxy = connect().dict()
        set_and_get(proxy, "key", 5)
        began = time.perf_counter()
        set_and_get(proxy, "key", count)
        return timed("us", 2 * count, began)


@workload("mgr.remote_tcp.connect", "us", goal=50)
def remote_connect(library: Library, scale: float) -> Figure:
    """A client connects, makes an object and asks it something."""
    count = max(3, int(10 * scale))
    server, connect = remote(library)
    with server:
        began = time.perf_counter()
        for _ in range(count):
            check(len(connect().dict()) == 0, "a new dictionary is not empty")
        return timed("us", count, began)
