"""Threads that serve callers: as many as are busy, and a few that stay with callers that will ask again.

    hired --serves--> idle --called within REST--> serves ...
                      dismissed after REST seconds

Promises: a caller never waits for a thread that another one keeps.
Not here: what serving is (`server.py`), who waits without a thread (`lobby.py`).
"""

from __future__ import annotations

import os
import queue
import socket
import threading

from procession._processes.logs import warn

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._managers.caller import Caller

__all__ = ["Attendants"]

REST = 5.0  # seconds that an idle thread stays: starting one costs about 0.1 ms
STAYING = 16  # threads that may each wait for one caller's next request; more callers than that share the rest


class Attendants:
    """The threads of one server; each runs `serve(caller)` for one caller after the other."""

    def __init__(self, serve: Callable[[Caller], None]) -> None:
        self._serve = serve
        self._calls: queue.SimpleQueue[Caller] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self.serving: set[Caller] = set()

    def call(self, caller: Caller) -> None:
        """Let a thread serve this caller. If the system has none left, the caller is hung up on."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._calls.put(caller)
                return
        try:
            threading.Thread(target=self._work, args=(caller,), name="procession-attendant", daemon=True).start()
        except RuntimeError as error:
            warn("manager cannot serve a client: %s", error)
            caller.connection.close()

    def may_stay(self) -> bool:
        """May a thread wait for its caller's next request, however long that takes?"""
        return len(self.serving) <= STAYING

    def hang_up(self) -> None:
        """Let those who wait for their callers' requests see an end."""
        with self._lock:
            serving = list(self.serving)
        for caller in serving:
            shut_both_ways(caller.connection)

    def _work(self, caller: Caller | None) -> None:
        while caller is not None:
            with self._lock:
                self.serving.add(caller)
            threading.current_thread().name = caller.name
            try:
                self._serve(caller)
            finally:
                with self._lock:
                    self.serving.discard(caller)
            caller = self._rest()

    def _rest(self) -> Caller | None:
        """The next caller; None: nobody needs this thread."""
        with self._lock:
            self._idle += 1
        while True:
            try:
                return self._calls.get(timeout=REST)
            except queue.Empty:
                with self._lock:
                    if self._calls.empty():
                        self._idle -= 1
                        return None


def shut_both_ways(connection: Any) -> None:
    """End a connection that another thread reads."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed, or the other end has gone
