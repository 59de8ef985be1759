"""Taking connections from a listening socket, with or without a proof of the key; many clients at once, none held up by another.

    waiting --accepted--> pending --proved--> handed out
                             |--wrong key, nonsense, end, deadline, crowd--> closed; accept() raises

Promises: a client that knows the key is handed out at once, whatever others do that say nothing, dribble or lie. At most `MOST_PENDING`
clients that have not proved themselves are kept, each for at most `patience` seconds of waiting; each that fails is told to the
caller. `close` ends the waits of other threads. Connections are taken from the backlog only as they are needed, since other processes
that share the socket may be free to take them.
Not here: the handshake of one client (`pending`), binding addresses (`listener`).
"""

from __future__ import annotations

import errno
import os
import threading
import time

from procession._channels.pending import PendingClient
from procession._os import descriptors
from procession.errors import AuthenticationError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import Any

__all__ = ["PATIENCE", "Acceptor"]

PATIENCE = 20.0  # seconds of accept() for the whole handshake, which takes three round trips
MOST_PENDING = 128  # an eighth of the descriptors that a process usually has
GRACE = 0.05  # seconds that a client has for itself if no other is pending: mostly it needs no more, and one system call waits and reads
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Takes connections from `listening`, a bound socket that listens, and closes it in the end.

    `authkey` None: without a proof. `own_user_only`: refuse processes of other users (Unix sockets only).
    """

    def __init__(self, listening: socket.socket, authkey: bytes | None = None, own_user_only: bool = False) -> None:
        listening.setblocking(False)
        self.socket = listening
        self.authkey = authkey
        self.patience = PATIENCE
        self.last_address: Any = None  # of the client that the last accept() told of
        self._own_user_only = own_user_only
        self._is_open = True
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal handler may close the listener, too
        self._turn = threading.RLock()  # who has it, waits for all pending clients
        self._inside = 0  # threads in accept()
        self._wakeup: descriptors.Wakeup | None = None
        self._pending: dict[int, PendingClient] = {}  # by descriptor, oldest first
        self._paused_at = 0.0  # when nobody was in accept() any more: their time does not run

    def accept(self) -> int:
        """The descriptor of the next client's socket, blocking; with a key: of the next that has proved it.

        Raises AuthenticationError, EOFError or OSError for each client that has failed, and OSError if the listener is closed.
        """
        wakeup = self._enter().fileno()
        try:
            return self._accept_plainly(wakeup) if self.authkey is None else self._accept_proved(self.authkey, wakeup)
        finally:
            self._leave()

    @property
    def is_open(self) -> bool:
        """Has nobody closed it?"""
        return self._is_open

    def close(self) -> None:
        """Close the socket, and those of all pending clients; end all waits. Idempotent."""
        self._leave_parent()
        with self._lock:
            self._is_open = False
            if self._wakeup is not None:
                self._wakeup.set()
            self._tidy()

    # ── who is inside ────────────────────────────────────────────────────────────────────────────────────────────────
    def _enter(self) -> descriptors.Wakeup:
        self._leave_parent()
        with self._lock:
            self._check_open()
            if self._wakeup is None:
                self._wakeup = descriptors.Wakeup()
            self._inside += 1
            return self._wakeup

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            self._tidy()

    def _tidy(self) -> None:
        """After the end, once nobody waits any more: give all descriptors back."""
        if self._is_open or self._inside:
            return
        self.socket.close()
        if self._wakeup is not None:
            self._wakeup.close()
        for client in self._pending.values():
            client.close()
        self._pending.clear()

    def _leave_parent(self) -> None:
        """In a forked child: pending clients and waiting threads are the parent's."""
        if self._pid == os.getpid():
            return
        pending = self._pending
        self._reset()
        for client in pending.values():
            client.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise OSError("listener is closed")

    # ── without a proof ──────────────────────────────────────────────────────────────────────────────────────────────
    def _accept_plainly(self, wakeup: int) -> int:
        while True:
            accepted = self._try_accept()
            if accepted is not None:
                fd, self.last_address = accepted
                return fd
            self._wait({wakeup, self.socket.fileno()}, None)

    def _try_accept(self) -> tuple[int, Any] | None:
        """A connection, if one waits."""
        try:
            fd, address = self.socket._accept()  # type: ignore[attr-defined]  # accept() without a socket object: 5 us
        except (BlockingIOError, ConnectionAbortedError):  # another process was faster; the client has gone again
            return None
        if self._own_user_only:
            self._check_user(fd)
        return fd, address

    def _check_user(self, fd: int) -> None:
        user = descriptors.peer_user(fd)
        if user in (os.geteuid(), 0):
            return
        os.close(fd)
        raise AuthenticationError(
            f"a process of user {user} has connected and was refused: without a key, a socket that has no file is for its own user"
        )

    def _wait(self, fds: set[int], timeout: float | None) -> set[int]:
        ready = descriptors.wait_readable(fds, timeout)
        self._check_open()
        return ready

    # ── with a proof ─────────────────────────────────────────────────────────────────────────────────────────────────
    def _accept_proved(self, authkey: bytes, wakeup: int) -> int:
        with self._turn:
            self._resume()
            try:
                ready = set(self._pending)  # what came while nobody waited
                while True:
                    self._check_open()
                    proved = self._proceed(ready)
                    if proved is not None:
                        return proved
                    accepted = self._try_accept_sparing()
                    if accepted is not None:
                        proved = self._begin(PendingClient(*accepted, authkey))
                        if proved is not None:
                            return proved
                        ready = self._wait({wakeup, *self._pending}, 0)
                    else:
                        ready = self._wait({wakeup, self.socket.fileno(), *self._pending}, self._time_left())
            finally:
                self._paused_at = time.monotonic()

    def _resume(self) -> None:
        away = time.monotonic() - self._paused_at
        for client in self._pending.values():
            client.deadline += away

    def _proceed(self, ready: Iterable[int]) -> int | None:
        """The first of the ready clients that has proved itself; raises what the first to fail did wrong."""
        for client in [self._pending[fd] for fd in ready if fd in self._pending]:
            try:
                is_proved = client.proceed()
            except BaseException:
                self._drop(client)
                raise
            if is_proved:
                del self._pending[client.fd]
                self.last_address = client.address
                return client.fd
        self._drop_late()
        return None

    def _drop_late(self) -> None:
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None and oldest.deadline <= time.monotonic():
            self._refuse_oldest(f"did not prove that it knows the key within {self.patience:g} s")

    def _drop(self, client: PendingClient) -> None:
        self._pending.pop(client.fd, None)
        self.last_address = client.address
        client.close()

    def _refuse_oldest(self, why: str) -> None:
        client = next(iter(self._pending.values()))
        self._drop(client)
        raise AuthenticationError(f"the client at {client.address or 'a Unix socket'} {why}: its connection was closed")

    def _time_left(self) -> float | None:
        """Until the oldest client's deadline; None: there is no client."""
        oldest = next(iter(self._pending.values()), None)
        return None if oldest is None else max(0.0, oldest.deadline - time.monotonic())

    def _try_accept_sparing(self) -> tuple[int, Any] | None:
        """As `_try_accept`; if there is no descriptor left, the oldest pending client makes room."""
        try:
            return self._try_accept()
        except OSError as error:
            if error.errno in EXHAUSTED and self._pending:
                self._refuse_oldest("had not proved the key when descriptors or memory ran out")
            raise

    def _begin(self, client: PendingClient) -> int | None:
        """Challenge a client, and hear it out if it is quick: then its socket; else it is pending."""
        try:
            is_proved = client.begin(GRACE if not self._pending else 0)
        except BaseException:
            self._drop(client)
            raise
        if is_proved:
            self.last_address = client.address
            return client.fd
        client.deadline = time.monotonic() + self.patience
        self._pending[client.fd] = client
        if len(self._pending) > MOST_PENDING:
            self._refuse_oldest(f"had not proved the key when {MOST_PENDING} others had come")
        return None
