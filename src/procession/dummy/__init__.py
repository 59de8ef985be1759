"""The API of the package over threads, under the standard library's module name."""

import builtins as _builtins
import sys as _sys
from array import array as _array
from queue import Queue
from threading import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

from procession._channels.thread_pipe import thread_pipe as Pipe  # noqa: N812
from procession._pools.pool import ThreadPool as Pool
from procession._processes.thread_process import Namespace, active_children, current_process
from procession._processes.thread_process import ThreadProcess as Process
from procession._processes.thread_process import ThreadValue as Value
from procession.dummy import connection  # noqa: F401 - an attribute, as in the standard library

JoinableQueue = Queue
DummyProcess = Process
list, dict = _builtins.list, _builtins.dict  # noqa: A001 - the documented names


def Array(typecode, sequence, lock=True):  # type: ignore[no-untyped-def]  # noqa: N802
    """An array of this process."""
    return _array(typecode, sequence)


def Manager():  # type: ignore[no-untyped-def]  # noqa: N802
    """This module: its names are those of a manager."""
    return _sys.modules[__name__]


def freeze_support() -> None:
    """Nothing to do for threads."""


def shutdown() -> None:
    """Nothing to do for threads."""


__all__ = [
    "Array", "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Manager", "Namespace", "Pipe", "Pool",
    "Process", "Queue", "RLock", "Semaphore", "Value", "active_children", "current_process", "freeze_support",
]  # fmt: skip
