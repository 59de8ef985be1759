"""Condition between processes: a lock, and those who wait for news about what it guards.

Promises: `notify(n)` tells exactly n of those who wait, oldest first, or all if there are fewer; a waiter that was killed takes no
notification with it unless it had already been told.
Not here: the list of waiters (native/condition.h).
"""

from __future__ import annotations

import time

from procession import _native
from procession._primitives.lock import Lock, RLock
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar

    T = TypeVar("T")

__all__ = ["Condition"]


class Condition(Shared, _native.Condition):
    """A condition variable over a `Lock` or an `RLock` of this package (by default a new `RLock`).

    `wait(timeout=None)` returns False if it ran out of time; `notify(n=1)` and `notify_all()` need the lock: AssertionError else.
    """

    _lock: Lock | RLock

    def __new__(cls, lock: Lock | RLock | None = None, *, ctx: Any = None) -> Self:
        """`ctx` is accepted for compatibility. TypeError if `lock` is not a lock of this package."""
        lock = RLock() if lock is None else lock
        if not isinstance(lock, (_native.Lock, _native.RLock)):
            raise TypeError(f"Condition needs a Lock or an RLock of procession, not {type(lock).__name__}")
        made = super().__new__(cls, lock)
        made._lock = lock
        return made

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until `predicate()` is true; its last value, also when `timeout` (seconds) ran out."""
        result = predicate()
        if result:
            return result
        deadline = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    @classmethod
    def _arrive(cls, handle: tuple[int, int], attributes: dict[str, Any]) -> Self:
        arrived = cls.attach_with(handle, attributes["_lock"])
        arrived.__dict__.update(attributes)
        return arrived

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self.waiting()})>"

    # What the standard library's own test-suite counts sleepers with.
    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self.waiting)

    @property
    def _woken_count(self) -> _Count:
        return _Count(int)

    @property
    def _wait_semaphore(self) -> _Count:
        return _Count(int)


class _Count:
    """A number that is read like a semaphore's value."""

    def __init__(self, get_value: Callable[[], int]) -> None:
        self.get_value = get_value
