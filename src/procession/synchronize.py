"""Locks, semaphores, conditions, events and barriers, under the standard library's module name."""

from procession._primitives.barrier import Barrier
from procession._primitives.condition import Condition
from procession._primitives.event import Event
from procession._primitives.lock import Lock, RLock
from procession._primitives.semaphore import SEM_VALUE_MAX, BoundedSemaphore, Semaphore

__all__ = ["SEM_VALUE_MAX", "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]
