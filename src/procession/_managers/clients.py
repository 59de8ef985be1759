"""The clients of a server, as it sees them; and those who have not yet proved that they know the key.

    pending --proof--> --challenge--> --welcome--> served

Promises: a pending client costs no thread. At most `auth.LONGEST` bytes of it are kept, and nothing is read beyond the message that it
sends.
Not here: who waits for them (`reactor.py`), who serves them (`server.py`).
"""

from __future__ import annotations

import os
import struct

from procession._channels import auth
from procession.errors import AuthenticationError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PendingClient", "ServedClient"]

HEADER = struct.Struct("!i")


class ServedClient:
    """A connection of a client that has proved that it knows the key."""

    __slots__ = ("channel", "connection", "holder", "is_bound", "is_ours", "lent", "name", "owner", "process")

    def __init__(self, connection: Any) -> None:
        self.connection: Any = connection
        self.name: str = "procession-manager-client"
        self.channel: Any = None  # the channel that it has opened, until it is served
        self.holder: tuple[str, str, int] | None = (
            None  # whose references go when this connection ends, its name and process id
        )
        self.process: tuple[str, str, int] | None = None  # the same of the process whose thread this is
        self.owner: tuple[str, str] = (
            f"connection {id(self)}",
            "",
        )  # as which it owns locks: a process and a thread of it
        self.lent: dict[str, int] = {}  # references that went with answers: object -> how many
        self.is_ours: bool = False  # does it understand what only this package says?
        self.is_bound: bool = False  # has it used an object that a thread may own?

    def lend(self, ident: str) -> None:
        """A reference goes to the client with the answer: until it has one of its own, or ends."""
        if self.is_ours:  # others may close the connection before they take theirs
            self.lent[ident] = self.lent.get(ident, 0) + 1

    def return_lent(self, ident: str) -> None:
        """The client has let go of a reference that it was lent, if it was."""
        left = self.lent.pop(ident, 0) - 1
        if left > 0:
            self.lent[ident] = left


class PendingClient:
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

        Raises AuthenticationError, OSError or EOFError: it is refused.
        """
        part = os.read(self.connection.fileno(), self._missing())
        if not part:
            raise EOFError("the client closed its connection during the handshake")
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
            raise OSError(f"a client announces a message of {length} bytes during the handshake")
        size: int = length
        return HEADER.size + size - len(self._received)

    def _judge(self, proof: bytes) -> None:
        self.connection.send_bytes(self._challenger.judge(proof))
        if self._challenger.state != "satisfied":
            raise AuthenticationError("digest received was wrong: the client has another key")

    def _answer(self, challenge: bytes) -> None:
        self.connection.send_bytes(self._answerer.answer(challenge))

    def _conclude(self, verdict: bytes) -> None:
        self._answerer.conclude(verdict)
