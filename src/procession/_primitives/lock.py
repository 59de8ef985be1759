"""Lock and RLock between processes.

Promises: a free lock is taken without a system call. A holder that dies without releasing is told to whoever waits or comes later
as `OwnerDied`; `recover()` makes the lock usable again. A waiter that dies holds nobody up.
Not here: the lock word and its protocol (native/lock.h).
"""

from __future__ import annotations

from procession import _native
from procession._primitives.owner import holder_name
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["Lock", "RLock"]


class Lock(Shared, _native.Lock):
    """A lock that any process or thread may release, whoever took it.

    `acquire(block=True, timeout=None)` returns whether the lock was taken; a negative timeout is 0, None waits for ever.
    `release()` of a free lock raises ValueError. Both raise `OwnerDied` or free the lock, respectively, when its holder is dead.
    """

    def __new__(cls, *, ctx: Any = None) -> Self:
        """`ctx`, the context that makes the lock, is accepted for compatibility: a lock fits every start method."""
        return super().__new__(cls)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={holder_name(self)})>"


class RLock(Shared, _native.RLock):
    """A lock that the thread which holds it may take again; it is free after as many releases.

    `release()` by anybody else raises AssertionError.
    """

    def __new__(cls, *, ctx: Any = None) -> Self:
        """`ctx` is accepted for compatibility."""
        return super().__new__(cls)

    def __repr__(self) -> str:
        holder = holder_name(self)
        count = "nonzero" if holder.startswith("SomeOther") else str(self.count())
        return f"<{type(self).__name__}({holder}, {count})>"
