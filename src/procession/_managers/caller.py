"""Callers: the clients of a server, as it sees them; and newcomers, who have not proved yet that they know the key.

    newcomer --proof--> --challenge--> --welcome--> caller

Promises: a newcomer costs no thread. At most `auth.LONGEST` bytes of it are kept, and nothing is read beyond the message that it sends.
Not here: who waits for them (`lobby.py`), who serves them (`server.py`).
"""

from __future__ import annotations

import os
import struct

from procession._channels import auth
from procession.errors import AuthenticationError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Caller", "Newcomer"]

HEADER = struct.Struct("!i")


class Caller:
    """A client that has proved that it knows the key."""

    __slots__ = ("channel", "connection", "is_bound", "is_ours", "name")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.name = "procession-manager-caller"
        self.channel: Any = None  # the channel that it has opened, until it is served
        self.is_ours = False  # does it understand what only this package says?
        self.is_bound = False  # has it used an object that cares which thread calls it?


class Newcomer:
    """A connection on which the handshake goes on."""

    def __init__(self, connection: Any, authkey: bytes) -> None:
        self.connection = connection
        self._challenger = auth.Challenger(authkey)
        self._answerer = auth.Answerer(authkey)
        self._received = b""
        self._steps = [self._judge, self._answer, self._conclude]
        connection.send_bytes(self._challenger.demand())

    def proceed(self) -> bool:
        """Take what has come: there must be something. Has it proved everything?

        Raises AuthenticationError, OSError or EOFError: it is not let in.
        """
        part = os.read(self.connection.fileno(), self._missing())
        if not part:
            raise EOFError("the newcomer hung up")
        self._received += part
        if self._missing() == 0:
            message, self._received = self._received[HEADER.size :], b""
            self._steps.pop(0)(message)
        return not self._steps

    def _missing(self) -> int:
        """How many bytes the message lacks, as far as that is known."""
        if len(self._received) < HEADER.size:
            return HEADER.size - len(self._received)
        (length,) = HEADER.unpack_from(self._received)
        if not 0 <= length <= auth.LONGEST:
            raise OSError(f"a newcomer announces a message of {length} bytes")
        size: int = length
        return HEADER.size + size - len(self._received)

    def _judge(self, proof: bytes) -> None:
        self.connection.send_bytes(self._challenger.judge(proof))
        if self._challenger.state != "satisfied":
            raise AuthenticationError("digest received was wrong: the newcomer has another key")

    def _answer(self, challenge: bytes) -> None:
        self.connection.send_bytes(self._answerer.answer(challenge))

    def _conclude(self, verdict: bytes) -> None:
        self._answerer.conclude(verdict)
