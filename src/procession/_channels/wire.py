"""Short messages over a socket, with a deadline for all of them together.

Promises: a message is received whole or an exception says why not. Framed as connections frame theirs: `!i` length, then the bytes.
Whoever is at the other end cannot make this one wait beyond the deadline: TimeoutError.
Not here: connections, which wait as long as their user likes and read in the native core (`pipe`).
"""

from __future__ import annotations

import struct
import time

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from typing import Self

__all__ = ["Frames"]

HEADER = struct.Struct("!i")


class Frames:
    """Sends and receives messages over a connected stream socket, which it closes in the end, within `patience` seconds."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self.sock = sock
        self._deadline = time.monotonic() + patience

    def send_bytes(self, message: bytes) -> None:
        """Send one message; OSError if the other end is gone."""
        self._limit()
        self.sock.sendall(HEADER.pack(len(message)) + message)

    def recv_bytes(self, maxlength: int) -> bytes:
        """Receive one message; EOFError at the end, OSError if it is longer than `maxlength` bytes."""
        (length,) = HEADER.unpack(self._receive(HEADER.size))
        if not 0 <= length <= maxlength:
            raise OSError("bad message length")
        return self._receive(length)

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            self._limit()
            part = self.sock.recv(size - len(received))
            if not part:
                raise EOFError("the other end closed the connection")
            received += part
        return received

    def _limit(self) -> None:
        self.sock.settimeout(max(0.001, self._deadline - time.monotonic()))

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()
