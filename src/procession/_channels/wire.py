"""A descriptor that carries whole messages, for those parts of this floor that stand below `Connection`.

Promises: a message is received whole or an exception says why not. Framing as the standard library's: `!i` length, or `!i` -1 and
`!Q` for messages over 2 GiB.
Not here: objects (`pipe`), the framing itself (native).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procession import _native

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer

__all__ = ["Frames"]


class Frames:
    """Sends and receives messages over a stream descriptor, which it closes in the end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send_bytes(self, message: ReadableBuffer) -> None:
        """Send one message; OSError if the other end is gone."""
        _native.send_frame(self.fd, message)

    def recv_bytes(self, maxlength: int = -1) -> bytes:
        """Receive one message; EOFError at the end, OSError if it is longer than `maxlength` bytes (negative: no limit)."""
        return _native.recv_frame(self.fd, maxlength)

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()
