"""The barrier that a `SyncManager` makes: like that of threads, but the death of a client that has arrived breaks it for the others.

    filling --the last one arrives--> passed (the next round is filling)
       `--timeout, abort, reset, a failing action, a party's death--> broken

Promises: what was true of a round stays true of it, however late its parties look. After `reset` the barrier is whole, and empty.
Not here: parties that have not arrived, which nobody knows.
"""

from __future__ import annotations

import threading
import time

from procession._managers.sync_locks import current_owner

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Barrier"]


class Round:
    """The parties that wait for each other once."""

    def __init__(self) -> None:
        self.arrived: list[str] = []  # processes, in the order of their arrival
        self.outcome = ""  # "passed" or "broken"; empty: it is filling


class Barrier:
    """A barrier for `parties` threads of whatever clients, with an `action` that one of them runs when all have arrived.

    `timeout` (seconds) is the default for `wait`. ValueError if `parties` is less than 1.
    """

    def __init__(self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._changed = threading.Condition()
        self._parties = parties
        self._action = action
        self._timeout = timeout
        self._round = Round()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others; this party's index, different for each. BrokenBarrierError if the barrier is, or becomes, broken."""
        timeout = self._timeout if timeout is None else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            mine = self._round
            index = len(mine.arrived)
            if not mine.outcome:
                mine.arrived.append(current_owner()[0])
                if index + 1 == self._parties:
                    self._pass(mine)
            while not mine.outcome:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    self._end(mine, "broken")
                else:
                    self._changed.wait(left)
        if mine.outcome == "broken":
            raise threading.BrokenBarrierError
        return index

    def _pass(self, full: Round) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._end(full, "broken")
            raise
        self._end(full, "passed")
        self._round = Round()

    def _end(self, ended: Round, outcome: str) -> None:
        ended.outcome = ended.outcome or outcome
        self._changed.notify_all()

    def abort(self) -> None:
        """Break the barrier."""
        with self._changed:
            self._end(self._round, "broken")

    def reset(self) -> None:
        """Make the barrier whole and empty; for those who wait it is broken."""
        with self._changed:
            self._end(self._round, "broken")
            self._round = Round()

    def orphan(self, process: str) -> None:
        """This client's process is gone: if it has arrived, the others wait in vain."""
        with self._changed:
            if process in self._round.arrived:
                self._end(self._round, "broken")

    @property
    def parties(self) -> int:
        """How many have to arrive."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have arrived."""
        return 0 if self._round.outcome else len(self._round.arrived)

    @property
    def broken(self) -> bool:
        """Is it broken?"""
        return self._round.outcome == "broken"

    def __repr__(self) -> str:
        status = "broken" if self.broken else f"waiters={self.n_waiting}/{self._parties}"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: {status}>"
