"""A client that has connected, and has not yet proved that it knows the key.

Promises: nothing here waits but `begin`, for as long as it is told. At most `auth.LONGEST` bytes of the client are kept, and none is
read beyond the handshake: what follows is the connection's.
Not here: who waits for them, and for how long (`accepting`), what is said (`auth`).
"""

from __future__ import annotations

import math
import time

from procession._channels import auth
from procession._channels.wire import HEADER, Assembly, frame
from procession._os import descriptors
from procession.errors import AuthenticationError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from typing import Any

__all__ = ["PendingClient"]


class PendingClient:
    """A connected, blocking socket on which the handshake goes on: it `begin`s, then `proceed`s whenever something has come."""

    def __init__(self, sock: socket.socket, address: Any, authkey: bytes) -> None:
        sock.setblocking(True)
        self.sock = sock
        self.address = address
        self.deadline = 0.0  # kept by whoever waits
        self._proof = auth.ListenerProof(authkey)
        self._assembly = Assembly(auth.LONGEST)

    def begin(self, patience: float) -> bool:
        """Send the challenge, and wait at most `patience` seconds for what the client says; has it proved itself?

        Raises what `proceed` does.
        """
        self._send(self._proof.begin())
        if not patience:
            self.sock.setblocking(False)
            return False
        end = time.monotonic() + patience
        descriptors.limit_receiving(self.sock, patience)
        is_proved = self._converse(end)
        if not is_proved:
            self.sock.setblocking(False)
        descriptors.limit_receiving(self.sock, 0)
        return is_proved

    def proceed(self) -> bool:
        """Take whatever has come; has the client proved itself?

        Raises AuthenticationError, EOFError or OSError: it has failed.
        """
        return self._converse(math.inf)

    def _converse(self, end: float) -> bool:
        while not self._proof.is_complete:
            try:
                part = self.sock.recv(HEADER.size + self._proof.room)  # exactly the verdict, or more than can come
            except BlockingIOError:
                return False
            if not part:
                raise EOFError("the client closed the connection before it had proved that it knows the key")
            message = self._assembly.add(part)
            if message is not None:
                self._hear(message)
            if time.monotonic() > end:
                return self._proof.is_complete
        return True

    def _hear(self, message: bytes) -> None:
        if not self._assembly.is_empty:
            raise AuthenticationError("the client does not wait for answers: it does not speak the handshake")
        reply = self._proof.hear(message)
        if reply is not None:
            self._send(reply)
        self._proof.check()

    def _send(self, message: bytes) -> None:
        """All at once: the handshake is shorter than any socket's buffer, so that who leaves no room does not read."""
        framed = frame(message)
        if self.sock.send(framed) != len(framed):
            raise OSError("the client does not read what the handshake says")

    def close(self) -> None:
        """Break off. Idempotent."""
        self.sock.close()
