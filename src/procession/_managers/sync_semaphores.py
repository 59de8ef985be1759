"""The semaphores that a `SyncManager` makes: like those of threads, but they know which clients hold how many permits.

    free --acquire--> held --release, by anybody--> free
                       |  `--its holder is killed--> orphaned --recover, or release--> free
                       `--its holder exits--> taken along, as the standard library's are

Promises: who wants a permit while none is free and a killed client holds one is told by `OwnerDied`, at once, also while it waits.
A semaphore that began at 0 is a signal, which nobody holds.
Not here: locks (`sync_locks.py`); how it is known that a client was killed (`objects.py`).
"""

from __future__ import annotations

import threading
import time

from procession._managers.sync_locks import current_owner
from procession.errors import OwnerDied

__all__ = ["BoundedSemaphore", "Semaphore"]


class Semaphore:
    """A semaphore of `value` permits. ValueError if that is negative."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._changed = threading.Condition()
        self._value = value
        self._is_signal = value == 0
        self._held: dict[str, int] = {}  # permits, by process
        self._dead: dict[str, tuple[str, int, float]] = {}  # of the killed in `_held`: name, process id, when noticed

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; was there one in time? OwnerDied if none is free and who holds one was killed.

        ValueError for a timeout of a call that does not block.
        """
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._value:
                self._tell_of_the_dead()
                left = None if deadline is None else deadline - time.monotonic()
                if not blocking or (left is not None and left <= 0):
                    return False
                self._changed.wait(left)
            self._value -= 1
            if not self._is_signal:
                process, _thread = current_owner()
                self._held[process] = self._held.get(process, 0) + 1
            return True

    def _tell_of_the_dead(self) -> None:
        for name, pid, noticed in self._dead.values():
            raise OwnerDied(f"a manager's {type(self).__name__}", pid, name, None, time.monotonic() - noticed)

    def release(self, n: int = 1) -> None:
        """Give `n` permits back, whoever holds them: this client, the dead, or who holds most. ValueError if `n` is less than 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        with self._changed:
            self._give(n)

    def _give(self, n: int) -> None:
        self._value += n
        for _ in range(min(n, sum(self._held.values()))):
            self._take_from(self._giver())
        self._changed.notify(n)

    def _giver(self) -> str:
        process, _thread = current_owner()
        if process in self._held:
            return process
        return next(iter(self._dead), "") or max(self._held, key=lambda each: self._held[each])

    def _take_from(self, process: str) -> None:
        self._held[process] -= 1
        if not self._held[process]:
            del self._held[process]
            self._dead.pop(process, None)

    def take_back(self) -> None:
        """Undo an `acquire` of this thread's client, which has gone since; unless that was seen already."""
        process, _thread = current_owner()
        with self._changed:
            if process in self._held or self._is_signal:
                self._give(1)

    def locked(self) -> bool:
        """Would `acquire` have to wait?"""
        return not self._value

    def recover(self) -> bool:
        """Give the permits of killed clients back. Were there any?"""
        with self._changed:
            lost = sum(self._held.pop(process) for process in self._dead)
            self._dead.clear()
            self._value += lost
            self._changed.notify(lost)
            return lost > 0

    def orphan(self, process: str, name: str, pid: int, *, was_killed: bool) -> None:
        """This client's process is gone: tell who wants its permits, unless it took them along."""
        with self._changed:
            if process not in self._held or process in self._dead:
                return
            if not was_killed:
                del self._held[process]
                return
            self._dead[process] = (name, pid, time.monotonic())
            self._changed.notify_all()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *args: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: value={self._value}>"


class BoundedSemaphore(Semaphore):
    """A semaphore that never has more free permits than it began with."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._initial_value = value

    def _give(self, n: int) -> None:
        if self._value + n > self._initial_value:
            raise ValueError("Semaphore released too many times")
        super()._give(n)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}/{self._initial_value}>"
