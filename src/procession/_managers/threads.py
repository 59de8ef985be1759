"""The threads of a server: as many as are busy, and a few that stay with clients that will ask again.

    started --serves a client--> idle --another within IDLE seconds--> serves ...
                                      --none--> ended

Promises: a client never waits for a thread that another one keeps.
Not here: what serving is (`server.py`), who waits without a thread (`reactor.py`).
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

    from procession._managers.clients import ServedClient

__all__ = ["ServerThreads"]

IDLE = 5.0  # seconds that an idle thread stays: starting one costs about 0.1 ms
DEDICATED = 16  # so many threads may each wait for one client's next request; more clients than that share the others


class ServerThreads:
    """The threads of one server; each runs `serve(client)` for one client after the other."""

    def __init__(self, serve: Callable[[ServedClient], None]) -> None:
        self._serve = serve
        self._waiting: queue.SimpleQueue[ServedClient | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._is_open = True
        self.serving: set[ServedClient] = set()

    def serve(self, client: ServedClient) -> None:
        """Let a thread serve this client. If the system has none left, the client is disconnected."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._waiting.put(client)
                return
        try:
            threading.Thread(target=self._work, args=(client,), name="procession-manager-thread", daemon=True).start()
        except RuntimeError as error:
            warn("manager cannot serve a client: %s", error)
            client.connection.close()

    def may_stay(self) -> bool:
        """May a thread wait for its client's next request, however long that takes?"""
        return len(self.serving) <= DEDICATED

    def close(self) -> None:
        """Let idle threads end, and those who wait for their clients' requests see an end."""
        with self._lock:
            self._is_open = False
            serving = list(self.serving)
            while self._idle:
                self._idle -= 1
                self._waiting.put(None)
        for client in serving:
            shut_both_ways(client.connection)

    def _work(self, client: ServedClient | None) -> None:
        while client is not None:
            with self._lock:
                self.serving.add(client)
            threading.current_thread().name = client.name
            try:
                self._serve(client)
            finally:
                with self._lock:
                    self.serving.discard(client)
            client = self._wait_next()

    def _wait_next(self) -> ServedClient | None:
        """The next client; None: nobody needs this thread."""
        with self._lock:
            if not self._is_open:
                return None
            self._idle += 1
        while True:
            try:
                return self._waiting.get(timeout=IDLE)
            except queue.Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._idle -= 1
                        return None


def shut_both_ways(connection: Any) -> None:
    """End a connection that another thread reads."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed, or the other end has gone
