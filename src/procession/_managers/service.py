"""Serving one client: its requests in, the answers out, by its connection or by the channel that it has opened.

Promises: what a client sends after it has proved that it knows the key cannot end the thread that serves it, nor harm others: it is
told what was wrong. A client that dies while it waits takes nothing with it, as far as that can be undone.
Not here: what requests mean (`server.py`), who waits for a client that says nothing (`reactor.py`).
"""

from __future__ import annotations

import time
import traceback

from procession import _native
from procession._channels.pipe import Connection
from procession._managers.protocol import RETURN, TRACEBACK, UNSERIALIZABLE, encode
from procession._managers.sync_types import take_back
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from procession._managers.clients import ServedClient
    from procession._managers.server import Server

__all__ = ["Service"]

LINGER = 0.05  # seconds that a thread waits for the next request when there are more clients than dedicated threads
LONG = 0.001  # seconds: after a call that took longer it costs little to see whether the client is still there


class Service:
    """What a thread of a server does for one client."""

    def __init__(self, server: Server, client: ServedClient) -> None:
        self._server = server
        self._client = client
        self._connection = client.connection
        self._is_plain = isinstance(client.connection, Connection)  # or XML-RPC

    def run(self) -> None:
        """Serve until the client says nothing, or is gone."""
        state.serving.owner, state.serving.connection = self._client.owner, self._connection
        is_here = True
        try:
            while is_here and not self._server.stop_event.is_set():
                is_here = self._serve_once()
        except (EOFError, OSError, SystemExit):
            pass  # it went away, in the middle or at the end; or it has asked to shut down
        finally:
            state.serving.connection = None
            if is_here:
                self._server.part_with(self._client)
        if not is_here:
            self._server.reactor.park(self._client)

    def _serve_once(self) -> bool:
        """Answer the next request. False: the client says nothing, and this thread is needed elsewhere."""
        client = self._client
        if not client.is_bound and not self._server.threads.may_stay() and not self._connection.poll(LINGER):
            return False
        self._reply(self._hear())
        channel, client.channel = client.channel, None
        if channel is not None:
            channel.serve(self._answer)
        return True

    def _hear(self) -> tuple[str, Any]:
        """The answer to the next request."""
        try:
            request = _native.loads(self._connection.recv_bytes()) if self._is_plain else self._connection.recv()
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001 - it cannot be read: the client is told, and may go on
            return TRACEBACK, traceback.format_exc()
        return self._answer(request)

    def _answer(self, request: Any) -> tuple[str, Any]:
        """The answer to a request. EOFError if the client has gone meanwhile: then nothing was given to it."""
        began = time.monotonic()
        answer = self._server.answer(self._client, request)
        # A client that waits for an answer says nothing: what can be read then is its end.
        if time.monotonic() - began > LONG and self._connection.poll(0):
            referent = self._server.objects.referents.get(request[0])
            if referent is not None and answer[0] == RETURN:
                take_back(referent.obj, request[1], answer[1])
            raise EOFError("the client was gone before it could be answered")
        return answer

    def _reply(self, message: tuple[str, Any]) -> None:
        try:
            written = self._encode(message)
        except Exception:  # noqa: BLE001 - the result cannot be said: the client is told that instead
            written = self._encode((UNSERIALIZABLE, traceback.format_exc()))
        self._connection.send_bytes(written)

    def _encode(self, message: tuple[str, Any]) -> bytes:
        written: bytes = encode(message, self._client.is_ours) if self._is_plain else self._connection.encode(message)
        return written
