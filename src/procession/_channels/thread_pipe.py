"""Connections and listeners between threads: what `procession.dummy.connection` offers.

Promises: objects arrive as they are, uncopied, in order.
Not here: anything between processes.
"""

from __future__ import annotations

import queue
import time

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["ThreadClient", "ThreadConnection", "ThreadListener", "thread_pipe"]


class _Closing:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing has to be given back."""


class ThreadConnection(_Closing):
    """One end of a pipe between threads."""

    send: Callable[[Any], None]
    send_bytes: Callable[[Any], None]
    recv: Callable[[], Any]
    recv_bytes: Callable[[], Any]

    def __init__(self, incoming: queue.Queue[Any], outgoing: queue.Queue[Any]) -> None:
        self._in = incoming
        self._out = outgoing
        self.send = self.send_bytes = outgoing.put
        self.recv = self.recv_bytes = incoming.get

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Is there something to receive, now or within `timeout` seconds (None: wait for ever)?"""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._in.not_empty:
            while not self._in._qsize():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._in.not_empty.wait(left)
            return True


def thread_pipe(duplex: bool = True) -> tuple[ThreadConnection, ThreadConnection]:
    """Two connected connections."""
    one: queue.Queue[Any] = queue.Queue()
    two: queue.Queue[Any] = queue.Queue()
    return ThreadConnection(one, two), ThreadConnection(two, one)


class ThreadListener(_Closing):
    """Takes connections from threads of this process; its address is the object that clients connect to."""

    def __init__(self, address: object = None, family: object = None, backlog: int = 1) -> None:
        self._waiting: queue.Queue[Any] | None = queue.Queue(backlog)

    def accept(self) -> ThreadConnection:
        """The next connection. OSError once the listener is closed."""
        if self._waiting is None:
            raise OSError("Listener is closed")
        return ThreadConnection(*self._waiting.get())

    def close(self) -> None:
        """Take no more connections."""
        self._waiting = None

    @property
    def address(self) -> Any:
        """What clients connect to."""
        return self._waiting


def ThreadClient(address: Any) -> ThreadConnection:  # noqa: N802 - the documented name is Client
    """A connection to a listener's address."""
    one: queue.Queue[Any] = queue.Queue()
    two: queue.Queue[Any] = queue.Queue()
    address.put((one, two))
    return ThreadConnection(two, one)
