"""A client that has connected, and has not yet proved that it knows the key.

Promises: nothing here waits but `begin`, for as long as it is told. At most `auth.LONGEST` bytes of the client are kept, and none is
read beyond the handshake: what follows is the connection's.
Not here: who waits for them, and for how long (`accepting`), what is said (`auth`).
"""

from __future__ import annotations

import os
import time

from procession import _native
from procession._channels import auth
from procession._channels.wire import HEADER, Assembly, frame
from procession.errors import AuthenticationError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PendingClient"]


class PendingClient:
    """A connected socket on which the handshake goes on: it `begin`s, then `proceed`s whenever something has come.

    `fd` is closed by `close`, unless somebody takes it.
    """

    def __init__(self, fd: int, address: Any, authkey: bytes) -> None:
        self.fd = fd
        self.address = address
        self.deadline = 0.0  # kept by whoever waits
        self._proof = auth.ListenerProof(authkey)
        self._assembly = Assembly(auth.LONGEST)

    def begin(self, patience: float) -> bool:
        """Send the challenge, and wait at most `patience` seconds for what the client says; has it proved itself?

        Raises what `proceed` does.
        """
        self._send(frame(self._proof.begin()))
        self._proof.expect()
        return patience > 0 and self._converse(patience)

    def proceed(self) -> bool:
        """Take whatever has come; has the client proved itself?

        Raises AuthenticationError, EOFError or OSError: it has failed.
        """
        return self._converse(0)

    def _converse(self, patience: float) -> bool:
        end = time.monotonic() + patience
        while not self._proof.is_complete:
            # Exactly the verdict, or more than can come.
            part = _native.recv_part(self.fd, HEADER.size + self._proof.room, patience)
            if part is None:
                return False
            if not part:
                raise EOFError("the client closed the connection before it had proved that it knows the key")
            self._take(part)
            patience = end - time.monotonic()
        return True

    def _take(self, part: bytes) -> None:
        """Hear all messages that are whole now; one system call for what is said to them."""
        replies = b""
        message = self._assembly.add(part)
        while message is not None:
            if not self._assembly.is_empty and not self._proof.may_be_followed:
                raise AuthenticationError("the client does not wait for answers: it does not speak the handshake")
            reply = self._proof.hear(message)
            if reply is not None:
                replies += frame(reply)
            message = None if self._assembly.is_empty or self._proof.is_refused else self._assembly.add(b"")
        if replies:
            self._send(replies)
        self._proof.check()

    def _send(self, framed: bytes) -> None:
        """All at once: the handshake is shorter than any socket's buffer, so that who leaves no room does not read."""
        if os.write(self.fd, framed) != len(framed):
            raise OSError("the client does not read what the handshake says")

    def close(self) -> None:
        """Break off. Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
