"""Lock and RLock between processes.

Promises: a free lock is taken without a system call. A holder that dies without releasing is told to whoever waits or comes later
as `OwnerDied`; `recover()` makes the lock usable again. A waiter that dies holds nobody up.
Not here: the types themselves (native/face/lock_type.c; no class of Python's stands above them, because it would cost each call 10 ns),
the lock word and its protocol (native/lock.h), what `repr` says and how they travel (`plain.py`).
"""

from __future__ import annotations

from procession._native import Lock, RLock
from procession._primitives import plain  # noqa: F401 - gives the types their repr and their pickling

__all__ = ["Lock", "RLock"]
