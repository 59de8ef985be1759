"""The locks that a `SyncManager` makes: like those of threads, but they know which client holds them.

    free --acquire--> held --release--> free
                       |  `--its owner's process ends--> orphaned --recover, or release--> free

Promises: a thread of a client owns what it has acquired, whichever thread of the server works for it. Who wants an orphaned lock is told
by `OwnerDied`, at once, also while it waits.
Not here: semaphores (`sync_semaphores.py`); which client a thread works for (`server.py`).
"""

from __future__ import annotations

import threading
import time

from procession._runtime import state
from procession.errors import OwnerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    Owner = tuple[str, str]  # a client's process, as it calls itself, and its thread

__all__ = ["Condition", "Lock", "RLock"]


def current_owner() -> Owner:
    """For whom this thread acquires: the client's thread that it serves, or itself."""
    owner: Owner | None = state.serving.owner
    return ("", str(threading.get_ident())) if owner is None else owner


class Lock:
    """A lock that anybody may release."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._owner: Owner | None = None
        self._death: tuple[str, int, float] | None = None  # of the owner: its name, its process id, when it was noticed

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; was it taken in time? OwnerDied if who holds it is gone. ValueError for a timeout that makes no sense."""
        if timeout != -1 and (timeout < 0 or not blocking):
            raise ValueError("timeout value must be a non-negative number, and only of a call that blocks")
        with self._mutex:
            return self._take(current_owner(), timeout if blocking else 0)

    def _take(self, owner: Owner, timeout: float) -> bool:
        deadline = time.monotonic() + timeout if timeout > 0 else None
        while self._owner is not None:
            if self._death is not None:
                name, pid, noticed = self._death
                raise OwnerDied(f"a manager's {type(self).__name__}", pid, name, None, time.monotonic() - noticed)
            left = timeout if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0:
                return False
            self._changed.wait(None if left < 0 else left)
        self._owner = owner
        return True

    def release(self) -> None:
        """Let go of the lock, whoever holds it. RuntimeError if nobody does."""
        with self._mutex:
            if self._owner is None:
                raise RuntimeError("release unlocked lock")
            self._free()

    def _free(self) -> None:
        self._owner = self._death = None
        self._changed.notify()

    def take_back(self) -> None:
        """Undo an `acquire` of this thread's client, which has gone since; unless that was seen already, and the lock freed."""
        with self._mutex:
            if self._owner == current_owner():
                self._undo()

    def _undo(self) -> None:
        self._free()

    def locked(self) -> bool:
        """Does anybody hold it?"""
        return self._owner is not None

    def recover(self) -> bool:
        """If the lock is orphaned: free it. Was it?"""
        with self._mutex:
            was_orphaned = self._death is not None
            if was_orphaned:
                self._free()
            return was_orphaned

    def orphan(self, process: str, name: str, pid: int) -> None:
        """This client's process is gone: tell who wants the lock, if it was its own."""
        with self._mutex:
            if self._owner is not None and self._owner[0] == process:
                self._death = (name, pid, time.monotonic())
                self._changed.notify_all()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *args: object) -> None:
        self.release()


class RLock(Lock):
    """A lock that its owner can acquire again, and nobody else can release."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def _take(self, owner: Owner, timeout: float) -> bool:
        if self._owner != owner and not super()._take(owner, timeout):
            return False
        self._count += 1
        return True

    def release(self) -> None:
        """Undo one `acquire`. RuntimeError if somebody else holds the lock, or nobody."""
        with self._mutex:
            if self._owner != current_owner():
                raise RuntimeError("cannot release un-acquired lock")
            self._undo()

    def _undo(self) -> None:
        self._count -= 1
        if not self._count:
            self._free()

    def _free(self) -> None:
        self._count = 0
        super()._free()

    # ── what a condition of threads wants of its lock ────────────────────────────────────────────────────────────────
    def _is_owned(self) -> bool:
        return self._owner == current_owner()

    def _release_save(self) -> int:
        with self._mutex:
            count = self._count
            self._free()
            return count

    def _acquire_restore(self, count: int) -> None:
        with self._mutex:
            self._take(current_owner(), -1)
            self._count = count


class Condition(threading.Condition):
    """A condition over `lock`, or over a new recursive lock."""

    def __init__(self, lock: Any = None) -> None:
        taken: Any = RLock() if lock is None else lock
        super().__init__(taken)
        self.lock: Any = taken

    def locked(self) -> bool:
        """Does anybody hold its lock?"""
        locked: bool = self.lock.locked()
        return locked

    def take_back(self) -> None:
        """Undo an `acquire` of this thread's client, which has gone since."""
        if isinstance(self.lock, Lock):
            self.lock.take_back()
        else:
            self.lock.release()

    def recover(self) -> bool:
        """If its lock is orphaned: free it. Was it?"""
        was_orphaned: bool = self.lock.recover()
        return was_orphaned

    def orphan(self, process: str, name: str, pid: int) -> None:
        """This client's process is gone: tell who wants the lock, if it was its own."""
        if isinstance(self.lock, Lock):
            self.lock.orphan(process, name, pid)
