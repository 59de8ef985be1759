"""The reactor of a server: one thread that waits for new connections, for handshakes, and for the next requests of idle clients.

    connects -> pending --proved--> idle --request--> a thread serves it --silent--> idle
                dropped when it errs, disconnects or takes longer than PATIENCE

Promises: a silent connection costs no thread. Nobody's silence or garbage keeps others waiting. However many pending
clients there are, at most CROWD of them are kept, the latest.
Not here: the handshake (`clients.py`), the threads (`threads.py`).
"""

from __future__ import annotations

import errno
import os
import selectors
import threading
import time
from collections import deque

from procession._managers.clients import PendingClient, ServedClient
from procession._os import descriptors
from procession._processes.logs import info
from procession.errors import ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Reactor"]

PATIENCE = 20.0  # seconds that a handshake may take: a client on a loaded machine may take several
CROWD = 1000  # pending clients at once: beyond, somebody floods us
PAUSE = 0.1  # seconds without accepting when no descriptor is left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Reactor:
    """Waits for those whom nobody serves, and hands them to `serve(client)` when they speak."""

    patience = PATIENCE

    def __init__(self, listener: Any, authkey: bytes, serve: Callable[[ServedClient], None]) -> None:
        self._listener = listener
        self._authkey = authkey
        self._serve = serve
        self._selector = selectors.DefaultSelector()
        self._pending: dict[PendingClient, float] = {}  # until when, the oldest first
        self._returning: deque[ServedClient] = deque()
        self._idle: set[ServedClient] = set()
        self._woken, self._waker = descriptors.pipe()
        self._resume = 0.0  # when to accept again; 0: now
        self._lock = threading.Lock()  # over the two below, and the pipe that wakes
        self._is_open = True
        self._has_ended = False
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)
        self._selector.register(listener_fd(listener), selectors.EVENT_READ, self._accept)

    # ── from other threads ───────────────────────────────────────────────────────────────────────────────────────────
    def park(self, client: ServedClient) -> None:
        """Wait for this client to speak; disconnect it if the server ends."""
        with self._lock:
            if not self._has_ended:
                self._returning.append(client)
                os.write(self._waker, b"!")
                return
        client.connection.close()

    def watch(self, sentinel: int, ended: Callable[[], None]) -> None:
        """Call `ended()` when this descriptor becomes readable; before `run`."""
        self._selector.register(sentinel, selectors.EVENT_READ, lambda: self._seen(sentinel, ended))

    def close(self) -> None:
        """Let `run` end."""
        with self._lock:
            self._is_open = False
            if not self._has_ended:
                os.write(self._waker, b"!")

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────────
    def run(self) -> None:
        """Wait until `close`; then disconnect everybody here."""
        while self._is_open:
            for key, _events in self._selector.select(self._timeout()):
                key.data()
            self._drop_late()
            if self._resume and time.monotonic() >= self._resume:
                self._resume = 0.0
                self._selector.register(listener_fd(self._listener), selectors.EVENT_READ, self._accept)
        self._end()

    def _timeout(self) -> float | None:
        points = [next(iter(self._pending.values()))] if self._pending else []
        points += [self._resume] if self._resume else []
        return max(0.0, min(points) - time.monotonic()) if points else None

    def _wake(self) -> None:
        os.read(self._woken, 4096)
        self._receive_all()

    def _receive_all(self) -> None:
        while self._returning:
            self._receive(self._returning.popleft())

    def _receive(self, client: ServedClient) -> None:
        self._idle.add(client)
        self._selector.register(client.connection.fileno(), selectors.EVENT_READ, lambda: self._speaks(client))

    def _seen(self, sentinel: int, ended: Callable[[], None]) -> None:
        self._selector.unregister(sentinel)
        ended()

    def _speaks(self, client: ServedClient) -> None:
        self._selector.unregister(client.connection.fileno())
        self._idle.discard(client)
        self._serve(client)

    def _accept(self) -> None:
        try:
            connection = self._listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED and self._pending:
                for pending in list(self._pending)[
                    : 1 + len(self._pending) // 4
                ]:  # some to spare: serving takes some, too
                    self._drop(pending, "no descriptor or memory left")
            elif error.errno in EXHAUSTED:
                info("manager out of descriptors or memory: accepts no connection for %s s", PAUSE)
                self._resume = time.monotonic() + PAUSE
                self._selector.unregister(listener_fd(self._listener))
            return  # else: a client that was gone before it was accepted
        try:
            client = PendingClient(connection, self._authkey)
        except OSError:
            connection.close()
            return
        if len(self._pending) >= CROWD:
            self._drop(next(iter(self._pending)), "crowded out")
        self._pending[client] = time.monotonic() + self.patience
        self._selector.register(connection.fileno(), selectors.EVENT_READ, lambda: self._proceed(client))

    def _proceed(self, client: PendingClient) -> None:
        if client not in self._pending:
            return  # dropped since its event was reported
        try:
            is_client = client.proceed()
        except (OSError, EOFError, ProcessError) as error:
            self._drop(client, error)
            return
        if is_client:
            del self._pending[client]
            self._selector.unregister(client.connection.fileno())
            self._receive(ServedClient(client.connection))

    def _drop(self, client: PendingClient, why: object) -> None:
        info("manager refused a connection: %s", why)
        del self._pending[client]
        self._selector.unregister(client.connection.fileno())
        client.connection.close()

    def _drop_late(self) -> None:
        now = time.monotonic()
        while self._pending:
            client, deadline = next(iter(self._pending.items()))
            if deadline > now:
                return
            self._drop(client, f"no proof within {self.patience:g} s")

    def _end(self) -> None:
        with self._lock:
            self._has_ended = True
            os.close(self._woken)
            os.close(self._waker)
        self._receive_all()
        for pending in list(self._pending):
            self._drop(pending, "the server ends")
        for client in self._idle:
            client.connection.close()
        self._selector.close()


def listener_fd(listener: Any) -> int:
    """The descriptor of a listener's socket."""
    fd: int = listener._listener._socket.fileno()
    return fd
