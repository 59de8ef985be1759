"""Contexts: the whole API as methods, each context with its start method. The one importer of all the floors.

Promises: a context made by `get_context(method)` never changes its method, nor anybody else's. What is not used is not imported:
the table `PLACES` says where each name lives, and `late(name)` loads it at its first use.
Not here: any work; each method hands its arguments on to the floor that does it.
"""

from __future__ import annotations

import importlib
import os
import sys

from procession import errors
from procession._processes import process
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar

    from procession._channels.pipe import Connection
    from procession._channels.queue import JoinableQueue, Queue, SimpleQueue
    from procession._managers.sync_manager import SyncManager
    from procession._pools.pool import Pool
    from procession._primitives import lock as locks
    from procession._primitives.arrays import SharedArray
    from procession._primitives.barrier import Barrier
    from procession._primitives.condition import Condition
    from procession._primitives.event import Event
    from procession._primitives.lock import Lock, RLock
    from procession._primitives.semaphore import BoundedSemaphore, Semaphore

__all__ = [
    "BaseContext",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "SpawnContext",
    "SpawnProcess",
    "default_context",
    "get_context",
]

PLACES = {
    "Array": "_primitives.values", "Barrier": "_primitives.barrier", "BoundedSemaphore": "_primitives.semaphore",
    "Condition": "_primitives.condition", "Event": "_primitives.event", "JoinableQueue": "_channels.queue",
    "Lock": "_primitives.lock", "Pipe": "_channels.pipe", "Pool": "_pools.pool", "Queue": "_channels.queue",
    "RLock": "_primitives.lock", "RawArray": "_primitives.raw_values", "RawValue": "_primitives.raw_values",
    "Semaphore": "_primitives.semaphore", "SimpleQueue": "_channels.queue", "SyncManager": "_managers.sync_manager",
    "Value": "_primitives.values", "empty": "_primitives.arrays", "zeros": "_primitives.arrays",
    "usable_cpus": "_os.cpus", "get_logger": "_processes.logs",
    "log_to_stderr": "_processes.logs", "pickling": "_channels.pickling", "start_fork": "_processes.start_fork",
    "start_forkserver": "_processes.start_forkserver", "start_spawn": "_processes.start_spawn",
}  # fmt: skip


def late(name: str) -> Any:
    """What `PLACES` names (a module of that name, or a name in it), imported at its first use."""
    found = state.late.get(name)
    if found is None:
        module = importlib.import_module(f"procession.{PLACES[name]}")
        found = state.late[name] = module if PLACES[name].endswith("." + name) else getattr(module, name)
    return found


class BaseContext:
    """The API of the package, for one start method."""

    ProcessError = errors.ProcessError
    BufferTooShort = errors.BufferTooShort
    TimeoutError = errors.TimeoutError
    AuthenticationError = errors.AuthenticationError
    OwnerDied = errors.OwnerDied
    WorkerDied = errors.WorkerDied

    @property
    def ShutDown(self) -> type[errors.ShutDown]:  # noqa: N802
        """What `put` and `get` raise after `Queue.shutdown()`."""
        return errors.ShutDown

    @staticmethod
    def current_process() -> process.BaseProcess:
        """The process object of this process."""
        return process.current_process()

    @staticmethod
    def parent_process() -> process.BaseProcess | None:
        """The process object of the parent; None in the program's first process."""
        return process.parent_process()

    @staticmethod
    def active_children() -> list[process.BaseProcess]:
        """The children of this process that are alive; joins those that have ended."""
        return process.active_children()

    _name: ClassVar[str | None] = None
    Process: type[process.BaseProcess]

    @staticmethod
    def empty(shape: Any, dtype: Any = float, order: Any = "C") -> SharedArray:
        """A numpy array that processes share, its contents undefined: sent to others, it is not copied. Needs numpy."""
        array: SharedArray = late("empty")(shape, dtype, order)
        return array

    @staticmethod
    def zeros(shape: Any, dtype: Any = float, order: Any = "C") -> SharedArray:
        """A numpy array of zeros that processes share: sent to others, it is not copied. Needs numpy."""
        array: SharedArray = late("zeros")(shape, dtype, order)
        return array

    def cpu_count(self) -> int:
        """The number of CPUs of the machine; `os.process_cpu_count()` or `len(os.sched_getaffinity(0))` tells the usable ones."""
        count = os.cpu_count()
        if count is None:
            raise NotImplementedError("cannot determine number of cpus")
        return count

    def Manager(self) -> SyncManager:  # noqa: N802
        """A started `SyncManager`: a server process whose objects others use through proxies."""
        manager: SyncManager = late("SyncManager")(ctx=self.get_context())
        manager.start()
        return manager

    def Pipe(self, duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802
        """Two connected connections; with `duplex` False the first only receives and the second only sends."""
        pair: tuple[Connection, Connection] = late("Pipe")(duplex)
        return pair

    def Lock(self) -> Lock:  # noqa: N802
        """A new lock."""
        made: Lock = late("Lock")()
        return made

    def RLock(self) -> RLock:  # noqa: N802
        """A new recursive lock."""
        made: RLock = late("RLock")()
        return made

    def Condition(self, lock: locks.Lock | locks.RLock | None = None) -> Condition:  # noqa: N802
        """A new condition over `lock`, or over a new RLock."""
        made: Condition = late("Condition")(lock)
        return made

    def Semaphore(self, value: int = 1) -> Semaphore:  # noqa: N802
        """A new semaphore."""
        made: Semaphore = late("Semaphore")(value)
        return made

    def BoundedSemaphore(self, value: int = 1) -> BoundedSemaphore:  # noqa: N802
        """A new bounded semaphore."""
        made: BoundedSemaphore = late("BoundedSemaphore")(value)
        return made

    def Event(self) -> Event:  # noqa: N802
        """A new event."""
        made: Event = late("Event")()
        return made

    def Barrier(  # noqa: N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> Barrier:
        """A new barrier."""
        made: Barrier = late("Barrier")(parties, action, timeout)
        return made

    def Queue(self, maxsize: int = 0) -> Queue[Any]:  # noqa: N802
        """A new queue; `maxsize` 0 or less: no limit but memory."""
        made: Queue[Any] = late("Queue")(maxsize, ctx=self.get_context())
        return made

    def JoinableQueue(self, maxsize: int = 0) -> JoinableQueue[Any]:  # noqa: N802
        """A new queue with `task_done` and `join`."""
        made: JoinableQueue[Any] = late("JoinableQueue")(maxsize, ctx=self.get_context())
        return made

    def SimpleQueue(self) -> SimpleQueue[Any]:  # noqa: N802
        """A new simple queue."""
        made: SimpleQueue[Any] = late("SimpleQueue")(ctx=self.get_context())
        return made

    def Pool(  # noqa: N802
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Pool:
        """A new pool of worker processes."""
        made: Pool = late("Pool")(processes, initializer, initargs, maxtasksperchild, context=self.get_context())
        return made

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:  # noqa: N802
        """A ctypes object in shared memory, without a lock."""
        return late("RawValue")(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:  # noqa: N802
        """A ctypes array in shared memory, without a lock."""
        return late("RawArray")(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:  # noqa: N802
        """A value in shared memory, with a lock."""
        return late("Value")(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:  # noqa: N802
        """An array in shared memory, with a lock."""
        return late("Array")(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def freeze_support(self) -> None:
        """In a frozen program's child: become that child. Otherwise nothing."""
        if getattr(sys, "frozen", False):
            late("start_spawn").freeze_support()

    def get_logger(self) -> Any:
        """The package's logger; it has no handler of its own."""
        return late("get_logger")()

    def log_to_stderr(self, level: int | str | None = None) -> Any:
        """The package's logger, writing to stderr from now on."""
        return late("log_to_stderr")(level)

    def allow_connection_pickling(self) -> None:
        """Connections and sockets can be pickled: here always."""
        late("pickling")

    def set_executable(self, executable: str | bytes | os.PathLike[str]) -> None:
        """The Python interpreter to start children with."""
        state.executable = os.fsdecode(executable)

    def set_forkserver_preload(self, module_names: list[str], *, on_error: str = "ignore") -> None:
        """What the fork server imports before it forks; `on_error`: 'ignore', 'warn' or 'fail'."""
        late("start_forkserver").set_forkserver_preload(module_names, on_error=on_error)

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of a start method; this one for None. ValueError if there is no such method."""
        if method is None:
            return self
        try:
            context = concrete_contexts[method]
        except KeyError:
            known = ", ".join(concrete_contexts)
            raise ValueError(f"cannot find context for {method!r}: use one of {known}") from None
        context._check_available()
        return context

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """The name of the start method."""
        return self._name

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Only the default context's method can be set."""
        raise ValueError("cannot set start method of concrete context")

    @property
    def reducer(self) -> Any:
        """The module that pickles for this package."""
        return state.extra.get("reducer") or late("pickling")

    @reducer.setter
    def reducer(self, reduction: Any) -> None:
        state.extra["reducer"] = reduction

    def _check_available(self) -> None:
        """Raise ValueError where the start method does not exist."""


class Process(process.BaseProcess):
    """A process that is started by the default start method."""

    _start_method: ClassVar[str | None] = None

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802
        return default_context.get_context().Process._Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        """Nothing of the context has to be mended in a child."""


class DefaultContext(BaseContext):
    """The context behind the functions of the package: its method is chosen once, at the latest at its first use."""

    Process: type[process.BaseProcess] = Process

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of `method`, or the one in use (which is fixed by this call)."""
        if method is not None:
            return super().get_context(method)
        if state.start_method is None:
            state.start_method = default_method()
        return concrete_contexts[state.start_method]

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method, once for a program; RuntimeError if it is chosen already, unless `force`."""
        if state.start_method is not None and not force:
            raise RuntimeError("context has already been set")
        state.start_method = None if method is None and force else self.get_context(method)._name

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """The start method's name; None if it is not chosen yet and `allow_none`."""
        if state.start_method is None and allow_none:
            return None
        return self.get_context()._name

    def get_all_start_methods(self) -> list[str]:
        """The names of the start methods of this system, the default first."""
        first = default_method()
        return [first, *(name for name in concrete_contexts if name != first)]


class ForkProcess(process.BaseProcess):
    """A process that is started by fork."""

    _start_method: ClassVar[str | None] = "fork"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802
        return late("start_fork").Popen(process_obj)


class SpawnProcess(process.BaseProcess):
    """A process that is started in a fresh interpreter."""

    _start_method: ClassVar[str | None] = "spawn"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802
        return late("start_spawn").Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        """Nothing of the context has to be mended in a child."""


class ForkServerProcess(process.BaseProcess):
    """A process that a fork server starts."""

    _start_method: ClassVar[str | None] = "forkserver"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802
        return late("start_forkserver").Popen(process_obj)


class ForkContext(BaseContext):
    """The API with the start method fork."""

    _name = "fork"
    Process: type[process.BaseProcess] = ForkProcess


class SpawnContext(BaseContext):
    """The API with the start method spawn."""

    _name = "spawn"
    Process: type[process.BaseProcess] = SpawnProcess


class ForkServerContext(BaseContext):
    """The API with the start method forkserver."""

    _name = "forkserver"
    Process: type[process.BaseProcess] = ForkServerProcess


concrete_contexts: dict[str, BaseContext] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


def default_method() -> str:
    """The running interpreter's default: fork before Python 3.14, forkserver from then on."""
    return "forkserver" if sys.version_info >= (3, 14) else "fork"


def get_context(method: str | None = None) -> BaseContext:
    """The default context's `get_context`."""
    return default_context.get_context(method)


default_context: DefaultContext = DefaultContext()
state.default_context = default_context
