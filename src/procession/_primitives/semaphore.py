"""Semaphore and BoundedSemaphore between processes, with a record of who holds permits.

Promises: permits of a process that was killed are not lost in silence: whoever waits for one is told `OwnerDied`, and `recover()`
gives them back. A semaphore that begins at 0 is a signal, which nobody holds: it is never orphaned.
Not here: the types themselves (native/face/semaphore_type.c), the ledger (native/semaphore.h), what `repr` says and how they travel
(`plain.py`).
"""

from __future__ import annotations

from procession._native import BoundedSemaphore, Semaphore
from procession._primitives import plain  # noqa: F401 - gives the types their repr and their pickling

__all__ = ["SEM_VALUE_MAX", "BoundedSemaphore", "Semaphore"]

SEM_VALUE_MAX = 2**31 - 1  # as POSIX's SEM_VALUE_MAX on Linux
