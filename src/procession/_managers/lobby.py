"""The lobby of a server: one thread that waits for new connections, for newcomers' proofs, and for callers that say nothing now.

    connect -> newcomer --proved--> caller --speaks--> a thread serves it --silent--> caller
               dropped when it errs, hangs up or takes longer than PATIENCE

Promises: a silent connection costs no thread. Nobody's silence, garbage or hanging up keeps others waiting. However many newcomers
there are, at most CROWD of them are kept, the latest.
Not here: the handshake (`caller.py`), the threads (`attendants.py`).
"""

from __future__ import annotations

import errno
import os
import selectors
import time
from collections import deque

from procession._managers.caller import Caller, Newcomer
from procession._os import descriptors
from procession._processes.logs import info
from procession.errors import ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Lobby"]

PATIENCE = 20.0  # seconds that a newcomer has: a client on a loaded machine may take several
CROWD = 1000  # newcomers at once: beyond, somebody floods us
PAUSE = 0.1  # seconds without accepting when no descriptor is left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Lobby:
    """Waits for those whom nobody serves, and hands them to `serve(caller)` when they speak."""

    patience = PATIENCE

    def __init__(self, listener: Any, authkey: bytes, serve: Callable[[Caller], None]) -> None:
        self._listener = listener
        self._authkey = authkey
        self._serve = serve
        self._selector = selectors.DefaultSelector()
        self._newcomers: dict[Newcomer, float] = {}  # until when, the oldest first
        self._entering: deque[Caller] = deque()
        self._waiting: set[Caller] = set()
        self._woken, self._waker = descriptors.pipe()
        self._resume = 0.0  # when to accept again; 0: now
        self._is_open = True
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)
        self._selector.register(listener_fd(listener), selectors.EVENT_READ, self._accept)

    # ── from other threads ───────────────────────────────────────────────────────────────────────────────────────────
    def park(self, caller: Caller) -> None:
        """Wait for this caller to speak."""
        self._entering.append(caller)
        os.write(self._waker, b"!")

    def watch(self, sentinel: int, ended: Callable[[], None]) -> None:
        """Call `ended()` when this descriptor becomes readable; before `run`."""
        self._selector.register(sentinel, selectors.EVENT_READ, lambda: self._seen(sentinel, ended))

    def close(self) -> None:
        """Let `run` end."""
        self._is_open = False
        os.write(self._waker, b"!")

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────────
    def run(self) -> None:
        """Wait until `close`; then hang up on everybody here."""
        while self._is_open:
            for key, _events in self._selector.select(self._timeout()):
                key.data()
            self._drop_late()
            if self._resume and time.monotonic() >= self._resume:
                self._resume = 0.0
                self._selector.register(listener_fd(self._listener), selectors.EVENT_READ, self._accept)
        self._end()

    def _timeout(self) -> float | None:
        points = [next(iter(self._newcomers.values()))] if self._newcomers else []
        points += [self._resume] if self._resume else []
        return max(0.0, min(points) - time.monotonic()) if points else None

    def _wake(self) -> None:
        os.read(self._woken, 4096)
        self._receive_all()

    def _receive_all(self) -> None:
        while self._entering:
            self._receive(self._entering.popleft())

    def _receive(self, caller: Caller) -> None:
        self._waiting.add(caller)
        self._selector.register(caller.connection.fileno(), selectors.EVENT_READ, lambda: self._speaks(caller))

    def _seen(self, sentinel: int, ended: Callable[[], None]) -> None:
        self._selector.unregister(sentinel)
        ended()

    def _speaks(self, caller: Caller) -> None:
        self._selector.unregister(caller.connection.fileno())
        self._waiting.discard(caller)
        self._serve(caller)

    def _accept(self) -> None:
        try:
            connection = self._listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                info("manager out of descriptors or memory: accepts no connection for %s s", PAUSE)
                self._resume = time.monotonic() + PAUSE
                self._selector.unregister(listener_fd(self._listener))
            return  # else: a client that was gone before it was accepted
        try:
            newcomer = Newcomer(connection, self._authkey)
        except OSError:
            connection.close()
            return
        if len(self._newcomers) >= CROWD:
            self._drop(next(iter(self._newcomers)), "crowded out")
        self._newcomers[newcomer] = time.monotonic() + self.patience
        self._selector.register(connection.fileno(), selectors.EVENT_READ, lambda: self._proceed(newcomer))

    def _proceed(self, newcomer: Newcomer) -> None:
        if newcomer not in self._newcomers:
            return  # dropped since its event was reported
        try:
            is_caller = newcomer.proceed()
        except (OSError, EOFError, ProcessError) as error:
            self._drop(newcomer, error)
            return
        if is_caller:
            del self._newcomers[newcomer]
            self._selector.unregister(newcomer.connection.fileno())
            self._receive(Caller(newcomer.connection))

    def _drop(self, newcomer: Newcomer, why: object) -> None:
        info("manager refused a connection: %s", why)
        del self._newcomers[newcomer]
        self._selector.unregister(newcomer.connection.fileno())
        newcomer.connection.close()

    def _drop_late(self) -> None:
        now = time.monotonic()
        while self._newcomers:
            newcomer, deadline = next(iter(self._newcomers.items()))
            if deadline > now:
                return
            self._drop(newcomer, f"no proof within {self.patience:g} s")

    def _end(self) -> None:
        self._receive_all()
        for newcomer in list(self._newcomers):
            self._drop(newcomer, "the server ends")
        for caller in self._waiting:
            caller.connection.close()
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)


def listener_fd(listener: Any) -> int:
    """The descriptor of a listener's socket."""
    fd: int = listener._listener._socket.fileno()
    return fd
