"""Sessions: how one thread of a client talks to a manager's server.

A session is a connection on which the server takes calls. If both ends belong to one program, calls that follow each other go through
two queues in shared memory instead, while the connection only shows that the other end lives:

    connected --8 calls--> channel --the server closes it after a second of silence--> connected

Promises: a request made while another is on its way (by a signal handler, by the end of an object) goes on a connection of its own. A
session whose answer was not received (Ctrl-C) is not used again. The server's death is `ManagerDied` at once, also during a call.
Not here: which session a thread uses (`remote.py`), connecting (`connecting.py`), the other end (`server.py`, `channel.py`).
"""

from __future__ import annotations

import queue
import threading

from procession import _native
from procession._channels.pipe import Connection
from procession._channels.queue import SharedQueue
from procession._channels.select import wait
from procession._managers.protocol import GREETING, PICKLED, RETURN, dispatch, encode
from procession._processes.process import current_process
from procession.errors import ManagerDied, ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from procession._managers.remote import RemoteServer

__all__ = ["Session"]

CALLS_BEFORE_CHANNEL = 8  # a channel costs about as much as four calls by socket, and 9 KiB
SHORT = 0.02  # seconds that a call may take before the server's life is watched, too: that costs 0.1 ms


class Session:
    """One thread's session with one server; connects at once."""

    def __init__(self, remote: RemoteServer) -> None:
        self._remote = remote
        self._connection: Any = None
        self._put: Any = None  # while there is a channel: the methods of its two queues
        self._get: Any = None
        self._replies: Any = None
        self._busy = False
        self._calls = 0
        self.late: list[tuple[str, int, bool]] = []  # references to let go of after the request that is on its way
        self.connect()

    @property
    def is_connected(self) -> bool:
        """Has it connected, and not closed since?"""
        return self._connection is not None

    @property
    def is_busy(self) -> bool:
        """Is a request on its way?"""
        return self._busy

    def connect(self) -> None:
        """Connect (again). ManagerDied if nobody listens there."""
        try:
            connection = self._remote.connect()
            try:
                greeting = dispatch(connection, None, "accept_connection", (own_name(),))
                self._remote.greeted(greeting)
                self.is_ours = isinstance(greeting, str) and greeting.startswith(GREETING)
                if self.is_ours:
                    dispatch(connection, None, "#identify", (*self._remote.hold(), str(threading.get_ident())))
            except BaseException:
                connection.close()
                raise
        except (OSError, EOFError) as error:
            raise self._remote.died() from error
        self._may_have_channel = self.is_ours and isinstance(connection, Connection) and is_this_arena(greeting)
        self._connection = connection

    def ask(self, ident: str | None, method: str, args: Any = (), kwds: Any = None) -> tuple[str, Any]:
        """One request and its answer (kind, result). ManagerDied if the server is gone."""
        if self._busy:
            return self._ask_separately(ident, method, args, kwds)
        self._busy = True
        answer: tuple[str, Any]
        try:
            put = self._put
            if put is None:
                answer = self._ask_by_socket(ident, method, args, kwds)
            else:
                try:
                    put((ident, method, args, kwds) if kwds else (ident, method, args))
                except (ShutDown, MemoryError):  # silent for too long; or there is no room
                    self._close_channel()
                    answer = self._ask_by_socket(ident, method, args, kwds)
                else:
                    answer = self._receive()
        finally:
            self._busy = False
        if answer[0] == PICKLED:
            answer = _native.loads(answer[1])  # it may hold proxies, which use this session
        while self.late:
            self._remote.decref(*self.late.pop())
        return answer

    def _ask_separately(self, ident: str | None, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        session = Session(self._remote)
        try:
            return session.ask(ident, method, args, kwds)
        finally:
            session.close()

    # ── by the channel ───────────────────────────────────────────────────────────────────────────────────────────────
    def _receive(self) -> Any:
        try:
            try:
                return self._get(True, SHORT)
            except queue.Empty:
                wait([self._replies, self._connection])
            try:
                return self._get(False)
            except queue.Empty:
                raise self._remote.died() from None  # only the end of the connection can have come
        except BaseException:
            self.close()  # the answer may still come: nobody may take it for another's
            raise

    def _open_channel(self) -> None:
        """For the calls to come; without memory it goes without, and if the server is gone, the next call says so."""
        self._calls = 0
        self._may_have_channel = False
        try:
            requests, replies = SharedQueue(), SharedQueue()
            _kind, answer = self._exchange((None, "#channel", (requests.handle, replies.handle)))
        except (ManagerDied, MemoryError):
            return
        kind, is_open = _native.loads(answer)
        if kind == RETURN and is_open:
            self._put, self._get, self._replies = requests.put, replies.get, replies
            self._may_have_channel = True

    def _close_channel(self) -> None:
        self._put = self._get = self._replies = None

    # ── by the connection ────────────────────────────────────────────────────────────────────────────────────────────
    def _ask_by_socket(self, ident: str | None, method: str, args: Any, kwds: Any) -> Any:
        if self._connection is None:
            self.connect()
        short = self.is_ours and not kwds
        answer = self._exchange((ident, method, args) if short else (ident, method, args, kwds or {}))
        if self._may_have_channel:
            self._calls += 1
            if self._calls >= CALLS_BEFORE_CHANNEL:
                self._open_channel()
        return answer

    def _exchange(self, request: Any) -> Any:
        connection = self._connection
        is_plain = isinstance(connection, Connection)
        message = encode(request, self.is_ours) if is_plain else request
        try:
            if not is_plain:
                connection.send(message)
                return connection.recv()
            connection.send_bytes(message)
            return PICKLED, connection.recv_bytes()
        except (OSError, EOFError) as error:
            self.close()
            raise self._remote.died() from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next call connects again. Idempotent."""
        connection, self._connection = self._connection, None
        self._close_channel()
        if connection is not None:
            connection.close()


def own_name() -> str:
    """What a server may call this thread's connection."""
    thread = threading.current_thread().name
    return current_process().name if thread == "MainThread" else f"{current_process().name}|{thread}"


def is_this_arena(greeting: str) -> bool:
    """Does the server that greets belong to this program?"""
    return _native.arena_fd() >= 0 and greeting.endswith(_native.arena_uuid().hex())
