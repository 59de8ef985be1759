"""Processes, queues, locks and pools on shared memory: the API of the standard library's `multiprocessing`.

Every name below is a method, a class or an exception of the default context (`procession._context`); it is loaded at its first use, so
that importing the package costs little. `install()` makes the name `multiprocessing` mean this package in a whole program.
"""

from __future__ import annotations

import importlib

from procession.errors import (
    AuthenticationError,
    BufferTooShort,
    OwnerDied,
    ProcessError,
    ResultsDiscarded,
    StaleHandle,
    StartError,
    TimeoutError,  # noqa: A004 - the documented name
    WorkerDied,
)

TYPE_CHECKING = False  # importing typing would cost 3 ms
if TYPE_CHECKING:
    from typing import Any, Final

    from procession._cli.drop_in import install as install
    from procession._context import Process as Process
    from procession._context import default_context
    from procession._memory.limit import memory_limit as memory_limit
    from procession._memory.limit import memory_used as memory_used
    from procession._memory.limit import set_memory_limit as set_memory_limit
    from procession.errors import ShutDown as ShutDown

    active_children: Final = default_context.active_children
    allow_connection_pickling: Final = default_context.allow_connection_pickling
    Array: Final = default_context.Array
    Barrier: Final = default_context.Barrier
    BoundedSemaphore: Final = default_context.BoundedSemaphore
    Condition: Final = default_context.Condition
    cpu_count: Final = default_context.cpu_count
    current_process: Final = default_context.current_process
    empty: Final = default_context.empty
    Event: Final = default_context.Event
    freeze_support: Final = default_context.freeze_support
    get_all_start_methods: Final = default_context.get_all_start_methods
    get_context: Final = default_context.get_context
    get_logger: Final = default_context.get_logger
    get_start_method: Final = default_context.get_start_method
    JoinableQueue: Final = default_context.JoinableQueue
    Lock: Final = default_context.Lock
    log_to_stderr: Final = default_context.log_to_stderr
    Manager: Final = default_context.Manager
    parent_process: Final = default_context.parent_process
    Pipe: Final = default_context.Pipe
    Pool: Final = default_context.Pool
    Queue: Final = default_context.Queue
    RawArray: Final = default_context.RawArray
    RawValue: Final = default_context.RawValue
    reducer: Any = default_context.reducer
    RLock: Final = default_context.RLock
    Semaphore: Final = default_context.Semaphore
    set_executable: Final = default_context.set_executable
    set_forkserver_preload: Final = default_context.set_forkserver_preload
    set_start_method: Final = default_context.set_start_method
    SimpleQueue: Final = default_context.SimpleQueue
    Value: Final = default_context.Value
    zeros: Final = default_context.zeros

__all__ = [
    "Array", "AuthenticationError", "Barrier", "BoundedSemaphore", "BufferTooShort", "Condition", "Event", "JoinableQueue", "Lock",
    "Manager", "OwnerDied", "Pipe", "Pool", "Process", "ProcessError", "Queue", "RLock", "RawArray", "RawValue", "ResultsDiscarded",
    "Semaphore", "ShutDown", "SimpleQueue", "StaleHandle", "StartError", "TimeoutError", "Value", "WorkerDied", "active_children",
    "allow_connection_pickling", "cpu_count", "current_process", "freeze_support", "get_all_start_methods", "get_context",
    "get_logger", "get_start_method", "install", "log_to_stderr", "memory_limit", "memory_used", "parent_process", "reducer",
    "set_executable", "set_forkserver_preload", "set_memory_limit", "set_start_method",
]  # fmt: skip

del TYPE_CHECKING  # `dir()` shows the API

_MEMORY = ("memory_limit", "memory_used", "set_memory_limit")
_ARRAYS = ("empty", "zeros")  # not in __all__: they would hide numpy's from whoever imports * from both

_DOORS = (
    "connection", "context", "managers", "pool", "process", "queues", "reduction", "shared_memory", "sharedctypes", "synchronize",
    "testing", "util",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "install":
        from procession._cli.drop_in import install as found  # noqa: PLC0415 - late loading: see the docstring
    elif name in _MEMORY:
        from procession._memory import limit  # noqa: PLC0415 - late loading: see the docstring

        found = getattr(limit, name)
    elif name in __all__ or name in _ARRAYS:
        from procession._context import default_context  # noqa: PLC0415 - late loading: see the docstring

        found = getattr(default_context, name)
    elif name in _DOORS:
        return importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "reducer":
        globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ARRAYS})
