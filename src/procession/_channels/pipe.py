"""Connections: two ends that send each other objects or bytes, as whole messages, over a pipe or a socket.

Promises: a message is received whole, or an exception says why not. A connection can be sent to another process, under every start
method, and through queues and connections. Framing and pickles are those of the standard library's connections; but messages of 64 KiB
and more go from one end of a `Pipe` to the other through shared memory, once and as long as only connections that know of it receive
(`Beside`; native/face/carriage.h draws it): arrays by one copy. Whoever asks for a connection's `fileno()` gets all through the stream.
Not here: framing (native), who connects to whom (`listener`), waiting for several (`select`).
"""

from __future__ import annotations

import os

from procession import _native
from procession._channels.sharer import duplicate
from procession._os import descriptors
from procession._primitives.sharing import Shared
from procession.errors import BufferTooShort

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

    from _typeshed import WriteableBuffer

__all__ = ["Connection", "Pipe", "rebuild_connection", "reduce_connection"]

MOST_BESIDE = 1 << 20  # messages: never reached, as senders wait long before; with a limit, receivers tell them


class Beside(Shared, _native.Queue):
    """What large messages of a pipe go through, in one direction: the stream carries a notice of each."""


class Connection(_native.Stream):
    """One end of a connection, over a descriptor that it closes in the end.

    `Connection(handle, readable=True, writable=True)` takes over an open descriptor. ValueError if it is negative, or if the connection
    would be good for nothing. Every method raises OSError if the connection is closed or does not work in that direction.
    """

    _close_handle = staticmethod(
        os.close
    )  # bound here: when the interpreter ends, `os` may be gone before the last connection

    def __init__(self, handle: int, readable: bool = True, writable: bool = True) -> None:
        handle = handle.__index__()
        if handle < 0:
            raise ValueError(f"invalid handle {handle}: a connection needs an open descriptor")
        if not readable and not writable:
            raise ValueError("at least one of `readable` and `writable` must be True")
        self._handle = handle
        self._readable = readable
        self._writable = writable

    def __del__(self) -> None:
        if self._handle is not None:
            self.close()

    @property
    def closed(self) -> bool:
        """Is the connection closed?"""
        return self._handle is None

    @property
    def readable(self) -> bool:
        """Can it receive?"""
        return self._readable

    @property
    def writable(self) -> bool:
        """Can it send?"""
        return self._writable

    def fileno(self) -> int:
        """The descriptor. Who knows it may read from it, so that from now on the other end writes everything into it."""
        handle = self._watchable()
        if self._beside_in is not None:
            _native.unattended(self._beside_in)
        return handle

    def _watchable(self) -> int:
        """What `wait` waits for."""
        if self._handle is None:
            raise OSError("handle is closed")
        return self._handle

    def close(self) -> None:
        """Close the connection. Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._close_handle(handle)

    def recv_bytes_into(self, buf: WriteableBuffer, offset: int = 0) -> int:
        """Receive a message into a writable buffer, from byte `offset` on; its length in bytes.

        BufferTooShort if it does not fit: its `args[0]` is the message. ValueError if `offset` is not within the buffer.
        """
        self._receiving()
        room = _room(buf, offset)
        message = super().recv_bytes()
        if len(message) > room.nbytes:
            raise BufferTooShort(message)
        room[: len(message)] = message
        return len(message)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Is there something to receive, or the end? Waits for it at most `timeout` seconds (None: for ever; negative: not at all)."""
        return bool(descriptors.wait_readable((self._receiving(),), timeout))

    def _receiving(self) -> int:
        if self._handle is None:
            raise OSError("handle is closed")
        if not self._readable:
            raise OSError("connection is write-only")
        return self._handle

    def _stop_reading(self) -> None:
        if self._writable:
            self._readable = False
        else:
            self.close()

    # The names under which others replace the transport of the bytes.
    _send_bytes = _native.Stream.send_bytes
    _recv_bytes = _native.Stream.recv_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_connection(self)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}, handle {self._handle}>"


def _room(buf: WriteableBuffer, offset: int) -> memoryview:
    """A buffer from byte `offset` on, as bytes; ValueError if that is not within it."""
    view = memoryview(buf)
    view = view if view.format == "B" and view.ndim == 1 else view.cast("B")
    if offset < 0:
        raise ValueError(f"offset is negative: {offset}")
    if view.nbytes < offset:
        raise ValueError(f"buffer length < offset: {view.nbytes} < {offset}")
    return view[offset:]


def reduce_connection(connection: Connection) -> tuple[Any, ...]:
    """How a connection is pickled."""
    told = duplicate(connection._watchable()), connection.readable, connection.writable
    beside = connection._beside_in, connection._beside_out
    return rebuild_connection, told if beside == (None, None) else (*told, *beside)


def rebuild_connection(
    ticket: Any, readable: bool, writable: bool, beside_in: Beside | None = None, beside_out: Beside | None = None
) -> Connection:
    """The connection that arrived in a pickle."""
    connection = Connection(ticket.detach(), readable, writable)
    connection._beside_in, connection._beside_out = beside_in, beside_out
    return connection


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802 - the documented name
    """Two connected connections; with `duplex` False the first can only receive, and the second only send."""
    fds = descriptors.socketpair() if duplex else descriptors.pipe()
    first, second = Connection(fds[0], writable=duplex), Connection(fds[1], readable=duplex)
    first._beside_in = second._beside_out = Beside(MOST_BESIDE)
    if duplex:
        first._beside_out = second._beside_in = Beside(MOST_BESIDE)
    return first, second
