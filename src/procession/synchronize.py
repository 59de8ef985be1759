"""Locks, semaphores, conditions, events and barriers, under the standard library's module name."""

from __future__ import annotations

import abc
import os

from procession._primitives.barrier import Barrier
from procession._primitives.condition import Condition
from procession._primitives.event import Event
from procession._primitives.lock import Lock, RLock
from procession._primitives.semaphore import SEM_VALUE_MAX, BoundedSemaphore, Semaphore

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SEM_VALUE_MAX",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "SemLock",
    "Semaphore",
]


class SemLock(metaclass=abc.ABCMeta):  # noqa: B024 - others register with it
    """What `Lock`, `RLock`, `Semaphore` and `BoundedSemaphore` are, for `isinstance`. Those of this package have no names in the system."""

    _rand: Iterator[str] = iter(lambda: os.urandom(6).hex(), "")

    def __init__(self) -> None:
        raise TypeError("SemLock is for isinstance() alone: make a Lock, an RLock or a Semaphore")

    @staticmethod
    def _make_name() -> str:
        """A name that is not in use, for packages that have named semaphores of their own."""
        return f"/procession-{os.getpid()}-{next(SemLock._rand)}"


_ARE_LOCKS = (
    SemLock.register(Lock),
    SemLock.register(RLock),
    SemLock.register(Semaphore),
    SemLock.register(BoundedSemaphore),
)
