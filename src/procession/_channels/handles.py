"""Sending open descriptors over connections and Unix sockets: what `procession.reduction` offers under the standard library's names.

Promises: a descriptor that is received is closed at exec. What comes without descriptors, or with another number of them, is an error,
and nothing that came with it stays open.
Not here: descriptors in pickles (`sharer`), the system calls (`_os.descriptors`).
"""

from __future__ import annotations

from procession._os import descriptors

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Protocol

    class HasFileno(Protocol):
        """A connection or socket."""

        def fileno(self) -> int:
            """Its descriptor."""
            ...


__all__ = ["recv_handle", "recvfds", "send_handle", "sendfds"]


def sendfds(sock: socket.socket, fds: Sequence[int]) -> None:
    """Send open descriptors over a Unix socket. OSError if one is not open, or the other end is gone."""
    descriptors.send_descriptors(sock.fileno(), list(fds))


def recvfds(sock: socket.socket, size: int) -> list[int]:
    """Receive `size` descriptors over a Unix socket from `sendfds`.

    EOFError if the other end is closed, RuntimeError if what comes is not from `sendfds`, or are not `size` descriptors.
    """
    received = descriptors.receive_descriptors(sock.fileno(), size)
    if len(received) != size:
        descriptors.close_all(received)
        raise RuntimeError(f"received {len(received)} descriptors where {size} were expected")
    return received


def send_handle(conn: HasFileno, handle: int, destination_pid: int | None = None) -> None:
    """Send an open descriptor over a duplex connection of this machine. `destination_pid` is of no use here."""
    descriptors.send_descriptors(conn.fileno(), [handle])


def recv_handle(conn: HasFileno) -> int:
    """Receive a descriptor over a duplex connection of this machine; the caller closes it.

    RuntimeError if what comes is not from `send_handle`, EOFError if the other end is closed.
    """
    return descriptors.receive_descriptors(conn.fileno(), 1)[0]
