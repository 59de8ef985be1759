"""Memory: plain bytes in the arena.

Promises: a memory is zeroed, is seen by every process that has a handle of it, and lives as long as somebody uses it.
Not here: C types over it (`values`), allocation (the native heap).
"""

from __future__ import annotations

from procession import _native
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Self

__all__ = ["Memory"]


class Memory(Shared, _native.Memory):
    """Bytes in the arena, zeroed, as a writable buffer."""

    def __new__(cls, size: int) -> Self:
        """`size` in bytes; ValueError if it is negative, MemoryError if the arena is full."""
        return super().__new__(cls, size)
