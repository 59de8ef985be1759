"""Listeners and clients."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, check, per_second, workload

if TYPE_CHECKING:
    from benchmarks.libraries import Library


def connections_of(library: Library) -> Any:
    return __import__(f"{library.module_name}.connection", fromlist=["Client"])


def call(client: Any, address: Any, count: int) -> None:
    for number in range(count):
        with client(address, authkey=b"benchmark") as connection:
            connection.send(number)
            check(connection.recv() == number, "an answer was wrong")


@workload("mgr.listener.unix", "/s", goal=1.5)
def listener_unix(library: Library, scale: float) -> Figure:
    """Connect with a key, send, receive, close: so many in a second, one after the other."""
    count, module = int(3000 * scale), connections_of(library)
    with module.Listener(family="AF_UNIX", authkey=b"benchmark") as listener:
        child = library.process(target=call, args=(module.Client, listener.address, count))
        child.start()
        began = time.perf_counter()
        for _ in range(count):
            with listener.accept() as connection:
                connection.send(connection.recv())
        figure = per_second(count, began)
        child.join()
        check(child.exitcode == 0, "the client failed")
        return figure
