"""Lines: how a thread of a client asks a manager's server.

A line is a connection on which the server takes calls. If both ends belong to one program, calls that follow each other go through
two queues in shared memory instead, while the connection only shows that the other end lives:

    connected --8 calls--> channel --the server closes it after a second of silence--> connected

Promises: each thread has a line of its own to each server, shared by its proxies. A call made while another is on its way (by a signal
handler, by the end of an object) goes apart. A line whose answer was not received (Ctrl-C) is not used again. The server's death is
`ManagerDied`, within half a second, also in the middle of a call.
Not here: connecting (`dialling.py`), the other end (`server.py`, `channel.py`), what proxies do with answers (`proxy.py`).
"""

from __future__ import annotations

import queue
import threading

from procession import _native
from procession._channels.pipe import Connection
from procession._channels.queue import SharedQueue
from procession._managers.protocol import GREETING, PICKLED, RETURN, dispatch, encode, to_error
from procession._os import creation, descriptors
from procession._processes.process import current_process
from procession._runtime import state
from procession.errors import ManagerDied, ProcessError, ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Line", "Lines", "forget", "key_for", "lines_to", "remember"]

CALLS_BEFORE_CHANNEL = 8  # a channel costs about as much as four calls by socket, and 9 KiB
LOOK = 0.5  # seconds between looks whether a server that does not answer lives


class Line:
    """One thread's line to one server."""

    def __init__(self, address: Any, client: Callable[..., Any], authkey: bytes | None) -> None:
        self._address = address
        self._client = client
        self._authkey = authkey
        self._connection: Any = None
        self._put: Any = None  # while there is a channel: the methods of its two queues
        self._get: Any = None
        self._busy = False
        self._late: list[str] = []  # objects that ended during a call
        self._calls = 0
        self.connect()

    @property
    def is_connected(self) -> bool:
        """Has it connected, and not hung up since?"""
        return self._connection is not None

    def connect(self) -> None:
        """Connect (again). ManagerDied if nobody listens there."""
        try:
            connection = self._client(self._address, authkey=self._authkey)
            try:
                greeting = dispatch(connection, None, "accept_connection", (own_name(),))
            except BaseException:
                connection.close()
                raise
        except (OSError, EOFError) as error:
            raise died(self._address) from error
        self.is_ours = isinstance(greeting, str) and greeting.startswith(GREETING)
        self._may_have_channel = self.is_ours and isinstance(connection, Connection) and is_this_arena(greeting)
        self._connection = connection

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def ask(self, ident: str | None, method: str, args: Any = (), kwds: Any = None) -> tuple[str, Any]:
        """One request and its answer (kind, result). ManagerDied if the server is gone."""
        if self._busy:
            return self._ask_apart(ident, method, args, kwds)
        self._busy = True
        try:
            put = self._put
            if put is None:
                answer = self._ask_by_socket(ident, method, args, kwds)
            else:
                try:
                    put((ident, method, args, kwds) if kwds else (ident, method, args))
                except (ShutDown, MemoryError):  # silent for too long; or there is no room
                    self._put = self._get = None
                    answer = self._ask_by_socket(ident, method, args, kwds)
                else:
                    answer = self._receive()
        finally:
            self._busy = False
        if answer[0] == PICKLED:
            answer = _native.loads(answer[1])  # it may hold proxies, which use this line
        if self._late:
            self._release_late()
        return answer

    def _receive(self) -> Any:
        try:
            while True:
                try:
                    return self._get(True, LOOK)
                except queue.Empty:
                    if descriptors.wait_readable((self._connection.fileno(),), 0):
                        return self._receive_last()
        except BaseException:
            self.close()  # the answer may still come: nobody may take it for another's
            raise

    def _receive_last(self) -> Any:
        """The server is gone: what it answered before, if it did."""
        try:
            return self._get(False)
        except queue.Empty:
            raise died(self._address) from None

    def _ask_by_socket(self, ident: str | None, method: str, args: Any, kwds: Any) -> Any:
        if self._connection is None:
            self.connect()
        answer = self._exchange((ident, method, args) if self.is_ours and not kwds else (ident, method, args, kwds or {}))
        if self._may_have_channel:
            self._calls += 1
            if self._calls >= CALLS_BEFORE_CHANNEL:
                self._try_channel()  # for the calls to come
        return answer

    def _exchange(self, request: Any) -> Any:
        connection = self._connection
        if not isinstance(connection, Connection):
            return self._exchange_otherwise(request)
        message = encode(request, self.is_ours)
        try:
            connection.send_bytes(message)
            answer = connection.recv_bytes()
        except (OSError, EOFError) as error:
            self.close()
            raise died(self._address) from error
        except BaseException:
            self.close()
            raise
        return PICKLED, answer

    def _exchange_otherwise(self, request: Any) -> Any:
        try:
            self._connection.send(request)
            return self._connection.recv()
        except (OSError, EOFError) as error:
            self.close()
            raise died(self._address) from error
        except BaseException:
            self.close()
            raise

    def _try_channel(self) -> None:
        self._calls = 0
        self._may_have_channel = False
        try:
            requests, replies = SharedQueue(), SharedQueue()
            _kind, answer = self._exchange((None, "#channel", (requests.handle, replies.handle)))
        except (ManagerDied, MemoryError):
            return  # it goes without; if the server is gone, the next call says so
        kind, is_open = _native.loads(answer)
        if kind == RETURN and is_open:
            self._put, self._get = requests.put, replies.get
            self._may_have_channel = True

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _ask_apart(self, ident: str | None, method: str, args: Any, kwds: Any) -> tuple[str, Any]:
        line = Line(self._address, self._client, self._authkey)
        try:
            return line.ask(ident, method, args, kwds)
        finally:
            line.close()

    def release(self, ident: str) -> None:
        """A proxy is gone; tell the server now, or after the call that is on its way."""
        if self._busy:
            self._late.append(ident)
        else:
            self.ask(None, "decref", (ident,))

    def _release_late(self) -> None:
        while self._late:
            self.ask(None, "decref", (self._late.pop(),))

    def close(self) -> None:
        """Hang up; the next call connects again. Idempotent."""
        connection, self._connection = self._connection, None
        self._put = self._get = None
        if connection is not None:
            connection.close()


def own_name() -> str:
    """What a server may call this thread's connection."""
    thread = threading.current_thread().name
    return current_process().name if thread == "MainThread" else f"{current_process().name}|{thread}"


def is_this_arena(greeting: str) -> bool:
    """Does the server that greets belong to this program?"""
    return _native.arena_fd() >= 0 and greeting.endswith(_native.arena_uuid().hex())


class Lines(threading.local):
    """This thread's line to one server; its first call connects."""

    line: Line | None = None

    def __init__(self, address: Any) -> None:
        self.address = address

    def open(self, client: Callable[..., Any], authkey: bytes | None) -> Line:
        """The line. ManagerDied if nobody listens there any more."""
        line = self.line
        if line is None:
            line = self.line = Line(self.address, client, authkey)
        return line

    def request(
        self, client: Callable[..., Any], authkey: bytes | None, method: str, args: Any = (), kwds: Any = None
    ) -> Any:
        """The result of a request to the server itself."""
        was_connected = self.line is not None and self.line.is_connected
        line = self.open(client, authkey)
        if not line.is_ours:
            return self.request_apart(client, authkey, method, args, kwds)
        try:
            answer = line.ask(None, method, args, kwds)
        except ManagerDied:
            if not was_connected:
                raise
            answer = line.ask(None, method, args, kwds)  # another server may be there by now
        if answer[0] == RETURN:
            return answer[1]
        try:
            raise to_error(*answer)
        finally:
            del answer  # an exception must not refer to the frame that refers to it

    def request_apart(
        self, client: Callable[..., Any], authkey: bytes | None, method: str, args: Any = (), kwds: Any = None
    ) -> Any:
        """The same on a connection of its own, as the standard library does it."""
        try:
            with client(self.address, authkey=authkey) as connection:
                return dispatch(connection, None, method, args, kwds)
        except (OSError, EOFError) as error:
            raise died(self.address) from error

    def release(self, client: Callable[..., Any], authkey: bytes | None, ident: str) -> None:
        """A proxy is gone: tell the server, if there still is one."""
        line = self.line
        try:
            if line is not None and line.is_ours and line.is_connected:
                line.release(ident)
            else:
                self.request_apart(client, authkey, "decref", (ident,))
        except (OSError, EOFError, ProcessError):
            return  # the server has gone before, and the object with it

    def forget(self) -> None:
        """Hang up."""
        line, self.line = self.line, None
        if line is not None:
            line.close()


def lines_to(address: Any) -> Lines:
    """The lines to the server at `address`."""
    table: dict[Any, Lines] = state.extra.setdefault("manager_lines", {})
    found = table.get(address)
    return found if found is not None else table.setdefault(address, Lines(address))


def remember(address: Any, authkey: bytes, process: Any = None) -> None:
    """Which key a server takes, and which process it is if this one has started it."""
    state.extra.setdefault("manager_keys", {})[address] = authkey
    if process is not None:
        state.extra.setdefault("manager_processes", {})[address] = process


def key_for(address: Any) -> bytes:
    """The key for a server; the process's own if nothing else is known."""
    key: bytes | None = state.extra.get("manager_keys", {}).get(address)
    return current_process().authkey if key is None else key


def forget(address: Any) -> None:
    """The server at `address` is no more."""
    for table in ("manager_keys", "manager_processes", "manager_lines"):
        state.extra.get(table, {}).pop(address, None)


def _hang_up() -> None:
    """In a forked child: the lines are the parent's, and so are the managers that it started."""
    for lines in state.extra.get("manager_lines", {}).values():
        lines.forget()
    state.extra.pop("manager_processes", None)


creation.in_forked_children(_hang_up)


def died(address: Any) -> ManagerDied:
    """What to raise when the server at `address` does not answer any more."""
    process = state.extra.get("manager_processes", {}).get(address)
    if process is None:
        return ManagerDied(address)
    process.join(LOOK)  # it closes its connections a moment before it can be reaped
    return ManagerDied(address, process.name, process.pid, process.exitcode)
