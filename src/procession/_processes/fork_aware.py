"""Locks between threads and thread-local attributes that a forked child finds free and empty.

Promises: a child does not find locked what a thread of its parent held at the fork.
Not here: what is shared between processes (`_primitives`).
"""

from __future__ import annotations

import threading

from procession._runtime import register_after_fork

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ForkAwareLocal", "ForkAwareThreadLock"]


class ForkAwareThreadLock:
    """A lock between threads, which is free in forked children."""

    acquire: Callable[..., bool]  # those of the lock at this time
    release: Callable[[], None]

    def __init__(self) -> None:
        self._renew()
        register_after_fork(self, ForkAwareThreadLock._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> None:
        self._lock.release()


class ForkAwareLocal(threading.local):
    """Thread-local attributes, which are gone in forked children."""

    def __init__(self) -> None:
        register_after_fork(self, lambda local: local.__dict__.clear())

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()
