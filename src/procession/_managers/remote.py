"""A manager's server as a client's process sees it: where it is, its key, which process it is, a session for each thread.

Promises: there is one `RemoteServer` for an address, kept by the managers and proxies that use it; with the last of them its connections
close. The references that this process holds are held in its name: if it dies, the server lets go of them.
Not here: what a session does (`session.py`), proxies (`proxy.py`).
"""

from __future__ import annotations

import os
import threading
import weakref

from procession._managers.connecting import listener_client
from procession._managers.protocol import RETURN, dispatch, to_error
from procession._managers.session import Session
from procession._os import creation
from procession._processes.process import current_process
from procession._runtime import state
from procession.errors import ManagerDied, ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RemoteServer", "remote_server"]

REAPING = 0.5  # seconds: a server closes its connections a moment before it can be reaped


class Sessions(threading.local):
    """Each thread's session with one server."""

    mine: Session | None = None


class RemoteServer:
    """A server at `address` that takes `authkey`."""

    def __init__(self, address: Any, serializer: str, authkey: bytes) -> None:
        self.address = address
        self.client = listener_client[serializer][1]
        self.authkey = authkey
        self.process: Any = None  # if this process has started it
        self.sessions = Sessions()
        self._greeting: Any = None
        self._life: Any = None  # the connection whose end is our death for the server
        self._life_lock = threading.RLock()  # a signal handler may want it, too
        self._holder = ""  # the name under which this process holds references

    def connect(self) -> Any:
        """A new connection. OSError if nobody listens there, AuthenticationError if it has another key."""
        return self.client(self.address, authkey=self.authkey)

    def session(self) -> Session:
        """This thread's session. ManagerDied if nobody listens there any more."""
        session = self.sessions.mine
        if session is None:
            session = self.sessions.mine = Session(self)
        return session

    # ── requests to the server itself ────────────────────────────────────────────────────────────────────────────────
    def request(self, method: str, args: Any = (), kwds: Any = None) -> Any:
        """The result of a request to the server itself."""
        was_connected = self.sessions.mine is not None and self.sessions.mine.is_connected
        session = self.session()
        if not session.is_ours:
            return self._request_separately(method, args, kwds)
        try:
            answer = session.ask(None, method, args, kwds)
        except ManagerDied:
            if not was_connected:
                raise
            answer = session.ask(None, method, args, kwds)  # another server may be there by now
        if answer[0] == RETURN:
            return answer[1]
        try:
            raise to_error(*answer)
        finally:
            del answer  # an exception must not refer to the frame that refers to it

    def _request_separately(self, method: str, args: Any = (), kwds: Any = None) -> Any:
        """The same on a connection of its own, as servers of the standard library's module want it."""
        try:
            with self.connect() as connection:
                return dispatch(connection, None, method, args, kwds)
        except (OSError, EOFError) as error:
            raise self.died() from error

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────
    def incref(self, ident: str, was_received: bool = False) -> None:
        """Hold a reference to an object, until `decref` or until this process ends."""
        if self.session().is_ours:
            self.request("incref", (ident, self.hold()[0], was_received))
        else:
            self._request_separately("incref", (ident,))

    def decref(self, ident: str, sent: int = 0, is_lent: bool = False) -> None:
        """Let go of a reference. `is_lent`: one that came with an answer; `sent`: how many times the proxy was sent to somebody.

        Does nothing if the server has gone before, and the object with it. During a request of this thread: after it.
        """
        session = self.sessions.mine
        if session is not None and session.is_busy:
            session.late.append((ident, sent, is_lent))
            return
        args = (ident, self._holder, sent) if self._holder and not is_lent else (ident,)
        try:
            if session is not None and session.is_ours and session.is_connected:
                session.ask(None, "decref", args)
            else:
                self._request_separately("decref", args)
        except (OSError, EOFError, ProcessError):
            return

    def hold(self) -> tuple[str, str, int]:
        """What this process is for the server, which lets go of its references when a connection ends: a mark, a name, a process id."""
        with self._life_lock:
            if self._life is None:
                life, holder = self.connect(), os.urandom(8).hex()
                try:
                    dispatch(life, None, "#hold", (holder, current_process().name, os.getpid()))
                except BaseException:
                    life.close()
                    raise
                self._life, self._holder = life, holder
            return self._holder, current_process().name, os.getpid()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def died(self) -> ManagerDied:
        """What to raise when the server does not answer any more."""
        process = self.process
        if process is None:
            return ManagerDied(self.address)
        process.join(REAPING)
        return ManagerDied(self.address, process.name, process.pid, process.exitcode)

    def after_fork(self) -> None:
        """In a forked child: the connections are the parent's, and so is a server that it started."""
        self.process = None
        self._life_lock = threading.RLock()
        self.forget()

    def greeted(self, greeting: Any) -> None:
        """The server at the address has said who it is: if it is another than before, what the former one knew is gone."""
        if greeting != self._greeting:
            self._greeting = greeting
            self._close_life()

    def forget(self) -> None:
        """Close all connections; the next request connects anew."""
        sessions, self.sessions = self.sessions, Sessions()
        if sessions.mine is not None:
            sessions.mine.close()  # those of other threads when they are collected
        self._close_life()

    def _close_life(self) -> None:
        life, self._life, self._holder = self._life, None, ""
        if life is not None:
            life.close()


def _known() -> weakref.WeakValueDictionary[Any, RemoteServer]:
    found: weakref.WeakValueDictionary[Any, RemoteServer] | None = state.extra.get("managers' servers")
    if found is None:
        found = state.extra["managers' servers"] = weakref.WeakValueDictionary()
    return found


def remote_server(address: Any, serializer: str, authkey: bytes | None = None) -> RemoteServer:
    """The server at `address`; a new one takes `authkey`, or this process's own key."""
    known = _known()
    remote = known.get((address, serializer))
    if remote is None:
        key = current_process().authkey if authkey is None else authkey
        remote = known.setdefault((address, serializer), RemoteServer(address, serializer, key))
    return remote


def _forget_all() -> None:
    for remote in list(_known().values()):
        remote.after_fork()


creation.in_forked_children(_forget_all)
