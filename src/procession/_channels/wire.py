"""Messages from bytes as they come; and short messages over a socket, with a deadline for all of them together.

    | !i length | bytes |    or    | !i -1 | !Q length | bytes |

Promises: nothing is asked for beyond the message that is being read, and nothing is kept of one that says it is longer than allowed.
Whoever is at the other end of `Frames` cannot make this one wait beyond the deadline: TimeoutError.
Not here: connections, which wait as long as their user likes and read in the native core (`pipe`).
"""

from __future__ import annotations

import struct
import time

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from typing import Self

__all__ = ["Assembly", "Frames", "frame"]

HEADER = struct.Struct("!i")
LONG_HEADER = struct.Struct("!iQ")


def frame(message: bytes) -> bytes:
    """A short message with its length before it."""
    return HEADER.pack(len(message)) + message


class Assembly:
    """Puts one message after the other together from the bytes of a stream; does no I/O.

    Read at most `missing` bytes, hand them to `add`, and so on. Who knows that the other end waits for an answer may read more at once:
    what follows the message is kept, and `is_empty` tells.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._received = bytearray()
        self._whole = HEADER.size  # bytes of header and body, as far as that is known
        self._body = 0  # where the body begins; 0: the length is not known yet

    @property
    def missing(self) -> int:
        """How many bytes to read next: at least one, and none of another message."""
        return self._whole - len(self._received)

    @property
    def is_empty(self) -> bool:
        """Has nothing come of the next message?"""
        return not self._received

    def add(self, part: bytes) -> bytes | None:
        """Take bytes; the message, if it is whole now. OSError if it is longer than allowed."""
        if not self._received and len(part) > HEADER.size:  # mostly one message comes as a whole
            (length,) = HEADER.unpack_from(part)
            if length == len(part) - HEADER.size and length <= self._longest:
                return part[HEADER.size :]
        self._received += part
        while not self._body and len(self._received) >= self._whole:
            self._measure()
        if len(self._received) < self._whole or not self._body:
            return None
        message = bytes(self._received[self._body : self._whole])
        del self._received[: self._whole]
        self._whole, self._body = HEADER.size, 0
        return message

    def _measure(self) -> None:
        (length,) = HEADER.unpack_from(self._received)
        if length == -1:
            if self._whole == HEADER.size:
                self._whole = LONG_HEADER.size
                return
            length = LONG_HEADER.unpack_from(self._received)[1]
        if not 0 <= length <= self._longest:
            raise OSError(f"bad message length: {length} bytes are announced where at most {self._longest} are allowed")
        self._body = self._whole
        self._whole += length


class Frames:
    """Sends and receives messages over a connected stream socket, which it closes in the end, within `patience` seconds."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self.sock = sock
        self._deadline = time.monotonic() + patience

    def send_bytes(self, message: bytes) -> None:
        """Send one message; OSError if the other end is gone."""
        self.write(frame(message))

    def write(self, framed: bytes) -> None:
        """Send messages that have their lengths before them already."""
        self._limit()
        self.sock.sendall(framed)

    def recv_bytes(self, maxlength: int) -> bytes:
        """Receive one message; EOFError at the end, OSError if it is longer than `maxlength` bytes."""
        assembly = Assembly(maxlength)
        while True:
            self._limit()
            part = self.sock.recv(assembly.missing)
            if not part:
                raise EOFError("the other end closed the connection")
            message = assembly.add(part)
            if message is not None:
                return message

    def _limit(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the other end did not answer in time")
        self.sock.settimeout(left)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()
