"""Semaphore and BoundedSemaphore between processes, with a record of who holds permits.

Promises: permits of a process that was killed are not lost in silence: whoever waits for one is told `OwnerDied`, and `recover()`
gives them back. A semaphore that begins at 0 is a signal, which nobody holds: it is never orphaned.
Not here: the ledger (native/semaphore.h).
"""

from __future__ import annotations

from procession import _native
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["SEM_VALUE_MAX", "BoundedSemaphore", "Semaphore"]

SEM_VALUE_MAX = 2**31 - 1  # as POSIX's SEM_VALUE_MAX on Linux


class Semaphore(Shared, _native.Semaphore):
    """A counter of permits: `acquire` waits while it is 0, `release` adds one.

    `Semaphore(value)` raises ValueError for a value below 0 or above `SEM_VALUE_MAX`.
    """

    def __new__(cls, value: int = 1, *, ctx: Any = None) -> Self:
        """`ctx` is accepted for compatibility."""
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"


class BoundedSemaphore(Shared, _native.Semaphore):
    """A semaphore that may not be released more often than it was acquired: `release` raises ValueError."""

    _maxvalue: int

    def __new__(cls, value: int = 1, *, ctx: Any = None) -> Self:
        """`ctx` is accepted for compatibility."""
        made = super().__new__(cls, value, bounded=True)
        made._maxvalue = value
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maxvalue})>"
