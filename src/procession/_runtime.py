"""The only process-wide mutable state: this process, its children, its context, what runs at its end and after a fork.

Promises: every other module of the package is without state of its own, so that a forked or spawned child is put right by
changing this module alone. Finalizers run at most once, in the process that made them, newest first within a stage.
Not here: how a process is started or reaped (`_processes`), what a context offers (`_context`).
"""

from __future__ import annotations

import itertools
import os
from _weakref import ref  # what `weakref` itself gives on; that module costs every child 1 ms

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import RLock, local
    from typing import Any
    from weakref import WeakValueDictionary
else:  # what `threading` itself gives on; that module costs every child 3 ms
    from _thread import RLock
    from _thread import _local as local

__all__ = [
    "Finalizer",
    "Lifeline",
    "Living",
    "MainModule",
    "RLock",
    "Runtime",
    "Serving",
    "Spawning",
    "register_after_fork",
    "run_after_forkers",
    "run_finalizers",
    "state",
]


class Living:
    """A set of objects that forgets those which are gone."""

    def __init__(self, objects: Iterable[Any] = ()) -> None:
        self._refs: set[Any] = set()
        for obj in objects:
            self.add(obj)

    def add(self, obj: Any) -> None:
        """Put an object in."""
        self._refs.add(ref(obj, self._refs.discard))

    def discard(self, obj: Any) -> None:
        """Take an object out, if it is there."""
        self._refs.discard(ref(obj))

    def copy(self) -> Living:
        """Another set of the same objects."""
        return Living(self)

    def __iter__(self) -> Iterator[Any]:
        return iter([obj for reference in list(self._refs) if (obj := reference()) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, obj: object) -> bool:
        return ref(obj) in self._refs


class Spawning(local):
    """What this thread is starting right now: while it is set, pickling hands descriptors and secrets to that child."""

    popen: Any = None  # the start-method object with duplicate_for_child(fd) -> int; None: nothing is being started
    by_others = False  # is it another package's, which knows nothing of the arena?
    arena: int | None = (
        None  # by others: the descriptor under which that child inherits the arena; None: it does not yet
    )


class Serving(local):
    """For whom this thread works, if it is one of a manager's server."""

    owner: Any = None  # who owns the locks that it takes: a client's process and thread
    connection: Any = None  # by which the client asks


class MainModule:
    """What is known about the program's main module."""

    def __init__(self) -> None:
        self.directory: str | None = None  # the working directory when the program began; None: it was gone already
        self.importing = False  # is this a child that is still importing its parent's main module?
        self.unguarded = False  # has a child failed because the module starts processes when it is imported?
        self.former: list[Any] = []  # main modules that such an import replaced
        self.guarded: dict[tuple[str, int], bool] = {}  # its lines that were looked at: is it guarded there?


class Lifeline:
    """What ties daemonic children to this process, while there are any."""

    def __init__(self) -> None:
        self.ends: tuple[int, int] | None = None  # descriptors: the children's, and ours
        self.users = 0  # daemonic children that may need it
        self.lock = RLock()  # a signal handler may start a process, too


class Runtime:
    """All that one process remembers. There is one instance, `state`."""

    def __init__(self) -> None:
        self.current: Any = None  # the Process object of this process; set by _processes.process
        self.parent: Any = None  # the ParentProcess object, in a child
        self.children: set[Any] = set()  # started, not yet joined
        self.dangling = Living()  # every Process object alive
        self.process_counter = itertools.count(1)
        self.spawning = Spawning()
        self.interrupts_held = False  # this process was born with SIGINT blocked, and is not ready yet
        self.serving = Serving()
        self.default_context: Any = None  # the DefaultContext; set by _context
        self.late: dict[str, Any] = {}  # what _context has loaded at its first use
        self.start_method: str | None = None  # what set_start_method() chose
        self.main_path: str | None = None
        self.main = MainModule()
        self.executable: Any = None  # set_executable(); None: sys.executable
        self.forkserver: Any = None
        self.lifeline = Lifeline()
        self.received: list[int] = []  # descriptors that the fork server was given for this process
        self.sharer: Any = None  # the thread that hands descriptors to other processes
        self.logger: Any = None
        self.log_to_stderr = False
        self.null_stdin: Any = None  # what stands for stdin in a child
        self.names_records = False  # do the records of all loggers carry our process name?
        self.temp_dir: str | None = None
        self.installed = False  # does the name `multiprocessing` mean us?
        self.exiting = False
        self.finalizers: dict[tuple[int | None, int], Finalizer] = {}
        self.finalizer_counter = itertools.count()
        self._after_fork: Any = None
        self.after_fork_counter = itertools.count()
        self.reducers: dict[
            type, Callable[[Any], tuple[Any, ...]]
        ] = {}  # how our own objects are pickled, beside copyreg's
        self.ledger: Any = None  # names of the segments that the program has to remove; set by _memory.ledger
        self.extra: dict[str, Any] = {}  # for doors whose names other packages reach into

    @property
    def after_fork(self) -> WeakValueDictionary[Any, Any]:
        """What is to be done in a forked child: (number, id of the object, function): the object."""
        if self._after_fork is None:
            import weakref  # noqa: PLC0415 - most children register nothing

            self._after_fork = weakref.WeakValueDictionary()
        found: WeakValueDictionary[Any, Any] = self._after_fork
        return found


state = Runtime()


class Finalizer:
    """A callback that runs once: when called, when `obj` is collected, or at exit in the order of `exitpriority`.

    `exitpriority` None: not at exit. Zero and more run before daemons are ended and children joined; negative ones after.
    In a process other than the one that made it, it does nothing.
    """

    def __init__(
        self,
        obj: object | None,
        callback: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        exitpriority: int | None = None,
    ) -> None:
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"Exitpriority ({exitpriority!r}) must be None or int, not {type(exitpriority)}")
        if obj is None and exitpriority is None:
            raise ValueError("Without object, exitpriority cannot be None")
        self._callback: Callable[..., Any] | None = callback
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self._key = (exitpriority, next(state.finalizer_counter))
        self._pid = os.getpid()
        self._weakref = None if obj is None else ref(obj, self)
        state.finalizers[self._key] = self

    def __call__(self, _wr: object = None) -> Any:
        """Run the callback, if it has not run and was not cancelled; its result, or None."""
        if state.finalizers.pop(self._key, None) is None:
            return None
        callback, args, kwargs, pid = self._callback, self._args, self._kwargs, self._pid
        self._forget()
        if pid != os.getpid() or callback is None:
            return None
        return callback(*args, **kwargs)

    def cancel(self) -> None:
        """Never run the callback."""
        if state.finalizers.pop(self._key, None) is not None:
            self._forget()

    def still_active(self) -> bool:
        """Has it neither run nor been cancelled?"""
        return self._key in state.finalizers

    def _forget(self) -> None:
        self._weakref = self._callback = None
        self._args, self._kwargs = (), {}

    def __repr__(self) -> str:
        if self._callback is None:
            return "<Finalize object, dead>"
        name = getattr(self._callback, "__name__", repr(self._callback))
        parts = [f"callback={name}"]
        parts += [f"args={self._args!r}"] if self._args else []
        parts += [f"kwargs={self._kwargs!r}"] if self._kwargs else []
        parts += [f"exitpriority={self._key[0]}"] if self._key[0] is not None else []
        return f"<Finalize object, {', '.join(parts)}>"


def run_finalizers(minpriority: int | None = None) -> list[BaseException]:
    """Run those of at least `minpriority` (None: all with a priority), highest and newest first; what they raised."""
    errors: list[BaseException] = []

    def ready() -> list[tuple[int, int]]:
        keys = [key for key in list(state.finalizers) if key[0] is not None]
        return sorted([key for key in keys if minpriority is None or key[0] >= minpriority], reverse=True)  # type: ignore[misc,operator]

    pending = ready()
    while pending:
        for key in pending:
            finalizer = state.finalizers.get(key)
            if finalizer is None:
                continue
            try:
                finalizer()
            except Exception as error:  # noqa: BLE001 - handed to the caller, who reports them
                errors.append(error)
        pending = ready()
    if minpriority is None:
        state.finalizers.clear()
    return errors


def register_after_fork(obj: Any, func: Callable[[Any], Any]) -> None:
    """Call `func(obj)` in every forked child of ours, as long as `obj` lives; oldest registration first."""
    state.after_fork[(next(state.after_fork_counter), id(obj), func)] = obj


def run_after_forkers() -> list[BaseException]:
    """In a forked child: run what was registered; what they raised."""
    errors: list[BaseException] = []
    if state._after_fork is None:  # nothing ever was
        return errors
    for (_index, _ident, func), obj in sorted(state.after_fork.items(), key=lambda item: item[0][0]):
        try:
            func(obj)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who reports them
            errors.append(error)
    return errors
