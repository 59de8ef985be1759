"""The API of the package over threads, under the standard library's module name."""

from __future__ import annotations

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

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

JoinableQueue = Queue
DummyProcess = Process
list: type[_builtins.list[Any]] = _builtins.list  # noqa: A001 - the documented name
dict: type[_builtins.dict[Any, Any]] = _builtins.dict  # noqa: A001 - the documented name


def Array(typecode: str, sequence: Iterable[Any], lock: object = True) -> _array[Any]:  # noqa: N802
    """An array of this process."""
    made: _array[Any] = _array(typecode, sequence)
    return made


def Manager() -> ModuleType:  # noqa: N802
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
