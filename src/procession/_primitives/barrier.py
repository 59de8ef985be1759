"""Barrier between processes: a fixed number of parties wait for each other.

Promises: the death of a party that has arrived breaks the barrier for the others at once; a party that has not arrived is not known,
so only a timeout notices its death.
Not here: the rounds and their repair (native/barrier.h).
"""

from __future__ import annotations

import threading
import time

from procession import _native
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["Barrier"]


class Barrier(Shared, _native.Barrier):
    """A barrier for `parties` processes or threads, with an `action` that one of them runs when all have arrived.

    `timeout` (seconds) is the default for `wait`. ValueError if `parties` is less than 1.
    """

    _parties: int
    _action: Callable[[], object] | None
    _timeout: float | None

    def __new__(
        cls, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None, *, ctx: Any = None
    ) -> Self:
        """`ctx` is accepted for compatibility."""
        made = super().__new__(cls, parties)
        made._parties, made._action, made._timeout = parties, action, timeout
        return made

    def wait(self, timeout: float | None = None) -> int:  # type: ignore[override]  # the native one waits for one node
        """Wait for the others; this party's index, 0 to parties - 1, different for each.

        Raises `threading.BrokenBarrierError` if the barrier is, or becomes, broken, reset, or the timeout runs out (which breaks it).
        """
        timeout = self._timeout if timeout is None else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        index, node = self.arrive(timeout)
        if node:
            super().wait(node, None if deadline is None else max(0.0, deadline - time.monotonic()))
        else:
            self._release_others()
        return index

    def _release_others(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self.abort()
            raise
        self.release()

    @property
    def parties(self) -> int:
        """How many have to arrive."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have arrived and wait."""
        return self.waiting()

    @property
    def broken(self) -> bool:
        """Is the barrier broken?"""
        return self.is_broken()

    def __repr__(self) -> str:
        status = "broken" if self.broken else f"waiters={self.n_waiting}/{self._parties}"
        return f"<{type(self).__qualname__} at {id(self):#x}: {status}>"


BrokenBarrierError = threading.BrokenBarrierError
