"""How much memory a program may share: the soft cap on its arena.

Promises: what would go beyond it raises MemoryError, in the call that asked for it, and changes nothing; a process that has memory
already never gets SIGBUS for using it, as its pages exist.
Not here: the heap (native/heap.h); named shared memory, which the system limits.
"""

from __future__ import annotations

from procession import _native

__all__ = ["memory_limit", "memory_used", "set_memory_limit"]


def memory_limit() -> int:
    """The most bytes that the program's processes may share at a time: queues, values, arrays, locks.

    At first: half of the machine's memory, or of what the control group allows; or the environment's `PROCESSION_MEMORY_LIMIT`
    (bytes, or such as `512M`, `2G`).
    """
    _native.arena_open()
    return _native.arena_cap()


def set_memory_limit(limit: int) -> None:
    """Set `memory_limit()`, for all processes of the program and at once.

    What exists stays, if it is more than that. ValueError if `limit` is negative; TypeError if it is no int.

        procession.set_memory_limit(512 << 20)
    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit must be an int, a number of bytes, not {type(limit).__name__}")
    if limit < 0:
        raise ValueError(f"limit must not be negative: it is {limit} bytes")
    _native.arena_open()
    _native.arena_cap(min(limit, 2**63))


def memory_used() -> int:
    """The bytes that the program's processes share now, of `memory_limit()`."""
    _native.arena_open()
    return _native.arena_in_use()
