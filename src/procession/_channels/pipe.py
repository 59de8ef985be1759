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

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Connection", "Pipe", "rebuild_connection", "reduce_connection"]

LONGEST = 2**63 - 1  # bytes: no message is longer
MOST_BESIDE = 1 << 20  # messages: never reached, as senders wait long before; with a limit, receivers tell them


class Beside(Shared, _native.Queue):
    """What large messages of a pipe go through, in one direction: the stream carries a notice of each."""


class Connection:
    """One end of a connection, over a descriptor that it closes in the end.

    `Connection(handle, readable=True, writable=True)` takes over an open descriptor. ValueError if it is negative, or if the connection
    would be good for nothing. Every method raises OSError if the connection is closed or does not work in that direction.
    """

    _handle: int | None = None
    _beside_in: Beside | None = None  # the queues of a pipe of ours
    _beside_out: Beside | None = None
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

    def send(self, obj: Any) -> None:
        """Send an object; what cannot be pickled raises here, and nothing is sent."""
        _native.send_object(self._sending(), obj, self._beside_out)

    def recv(self) -> Any:
        """Receive an object. EOFError if nothing is left and the other end is closed."""
        return _native.recv_object(self._receiving(), self._beside_in)

    def send_bytes(self, buf: ReadableBuffer, offset: int = 0, size: int | None = None) -> None:
        """Send `size` bytes (None: all) of a contiguous buffer from byte `offset` on, as one message.

        ValueError if they do not lie within the buffer.
        """
        handle = self._sending()
        if offset == 0 and size is None:
            _native.send_frame(handle, buf, self._beside_out)
        else:
            _native.send_frame(handle, _part(_flat(buf), offset, size), self._beside_out)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receive a message. EOFError if nothing is left and the other end is closed.

        If the message is longer than `maxlength` bytes: OSError, and the connection can no longer be read. ValueError if it is negative.
        """
        handle = self._receiving()
        if maxlength is None:
            return _native.recv_frame(handle, -1, self._beside_in)
        if maxlength < 0:
            raise ValueError(f"maxlength cannot be negative, and is {maxlength}")
        try:
            return _native.recv_frame(handle, int(min(maxlength, LONGEST)), self._beside_in)
        except OSError as error:
            if error.errno is None:  # the message is too long, and still there: nothing behind it can be read
                self._stop_reading()
            raise

    def recv_bytes_into(self, buf: WriteableBuffer, offset: int = 0) -> int:
        """Receive a message into a writable buffer, from byte `offset` on; its length in bytes.

        BufferTooShort if it does not fit: its `args[0]` is the message. ValueError if `offset` is not within the buffer.
        """
        handle = self._receiving()
        room = _part(_flat(buf), offset, None)
        message = _native.recv_frame(handle, -1, self._beside_in)
        if len(message) > room.nbytes:
            raise BufferTooShort(message)
        room[: len(message)] = message
        return len(message)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Is there something to receive, or the end? Waits for it at most `timeout` seconds (None: for ever; negative: not at all)."""
        return bool(descriptors.wait_readable((self._receiving(),), timeout))

    def _sending(self) -> int:
        if self._handle is None:
            raise OSError("handle is closed")
        if not self._writable:
            raise OSError("connection is read-only")
        return self._handle

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
    _send_bytes = send_bytes
    _recv_bytes = recv_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_connection(self)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}, handle {self._handle}>"


def _flat(buf: ReadableBuffer) -> memoryview:
    """A buffer as bytes."""
    view = memoryview(buf)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _part(view: memoryview, offset: int, size: int | None) -> memoryview:
    """`size` bytes from `offset` on; ValueError if they are not all there."""
    if offset < 0:
        raise ValueError(f"offset is negative: {offset}")
    if view.nbytes < offset:
        raise ValueError(f"buffer length < offset: {view.nbytes} < {offset}")
    if size is None:
        return view[offset:]
    if size < 0:
        raise ValueError(f"size is negative: {size}")
    if view.nbytes < offset + size:
        raise ValueError(f"buffer length < offset + size: {view.nbytes} < {offset} + {size}")
    return view[offset : offset + size]


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
