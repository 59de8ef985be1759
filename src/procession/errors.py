"""Every exception of the package.

Promises: all are under `ProcessError`; each also inherits what the standard library raises in that place, so that old `except`
clauses still catch it; all can be pickled with their attributes. A message says what, to whom, why, and what now.
Not here: exceptions that other modules of Python define and that are raised as they are (`queue.Empty`, `queue.Full`,
`threading.BrokenBarrierError`, `pickle.PicklingError`).
"""

from __future__ import annotations

import errno as _errno

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AuthenticationError",
    "BufferTooShort",
    "InternalError",
    "ManagerDied",
    "OwnerDied",
    "ProcessError",
    "ResultsDiscarded",
    "ShutDown",
    "StaleHandle",
    "StartError",
    "TimeoutError",
    "WorkerDied",
]


class ProcessError(Exception):
    """The base class of all exceptions of this package."""


class BufferTooShort(ProcessError):
    """A message is longer than the buffer that `Connection.recv_bytes_into` was given; `args[0]` is the whole message."""


class TimeoutError(ProcessError):  # noqa: A001 - the documented name
    """A timeout with a result (`AsyncResult.get`) or a connection ran out."""


class AuthenticationError(ProcessError):
    """The other end of a connection did not prove that it knows the key."""


class InternalError(ProcessError, RuntimeError):
    """A rule of the package itself was broken: our bug, please report it."""


class StartError(ProcessError, RuntimeError):
    """A process could not be started, or ended before it could say that it had started."""


class StaleHandle(ProcessError, RuntimeError):
    """A shared object is gone, or belongs to another program.

    Attributes: `kind` (what it was), `offset` (where it was in the arena, bytes).
    """

    def __init__(self, kind: str, offset: int) -> None:
        super().__init__(kind, offset)
        self.kind = kind
        self.offset = offset

    def __str__(self) -> str:
        return (
            f"the {self.kind} at offset {self.offset} no longer exists, or belongs to another program: "
            "keep the object alive in the process that sends it until the receiver has it"
        )


class OwnerDied(ProcessError, OSError):
    """Who held this lock (or semaphore) died without releasing it.

    What it guarded may be half written: repair it, then call `recover()` on the object.
    It is an OSError, as from a channel that broke, with the errno of the system's own robust mutexes: EOWNERDEAD.
    Attributes: `what` (the object's description), `pid`, `name` (the process, None if no longer known), `exitcode` (as
    `Process.exitcode`, None if not known), `seconds` (since the death was noticed, None if not known).
    """

    def __init__(
        self, what: str, pid: int | None, name: str | None, exitcode: int | None = None, seconds: float | None = None
    ) -> None:
        super().__init__(_errno.EOWNERDEAD, what)
        self.args: tuple[Any, ...] = (what, pid, name, exitcode, seconds)
        self.what = what
        self.pid = pid
        self.name = name
        self.exitcode = exitcode
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __str__(self) -> str:
        who = f"{self.name} (pid {self.pid})" if self.pid else "a process that is no longer known"
        how = describe_exit(self.exitcode)
        when = "" if self.seconds is None else f" {self.seconds:.1f} s ago"
        return (
            f"{self.what} was held by {who}, which {how}{when}. "
            "What it guarded may be half written: repair it, then call recover()."
        )


class WorkerDied(ProcessError, RuntimeError):
    """A worker of a pool died while it ran a task.

    Attributes: `pid`, `name`, `exitcode` (negative: the signal), `task` (what it was running, as text), `stack` (after a crash: its Python
    stack as text; else empty), `out_of_memory` (True: the kernel killed a process for lack of memory at that time).
    """

    def __init__(  # noqa: PLR0913 - who, how, and while doing what
        self,
        name: str,
        pid: int | None,
        exitcode: int | None,
        task: str,
        stack: str = "",
        out_of_memory: bool = False,
    ) -> None:
        super().__init__(name, pid, exitcode, task, stack, out_of_memory)
        self.name = name
        self.pid = pid
        self.exitcode = exitcode
        self.task = task
        self.stack = stack
        self.out_of_memory = out_of_memory

    def __str__(self) -> str:
        why = " because memory ran out" if self.out_of_memory else ""
        stack = f"\nIts stack was:\n{self.stack}" if self.stack else ""
        return (
            f"worker {self.name} (pid {self.pid}) {describe_exit(self.exitcode)}{why} while it ran {self.task}. "
            f"Only this task is lost: the pool has replaced the worker.{stack}"
        )


class ManagerDied(
    ProcessError, BrokenPipeError, ConnectionResetError, ConnectionRefusedError, FileNotFoundError, EOFError
):
    """The manager that a proxy speaks to is gone, and the objects that it held with it; or the connection to it is.

    Attributes: `address`, and where this process started the manager (else None): `name`, `pid`, `exitcode` (as `Process.exitcode`).
    """

    def __init__(
        self, address: object, name: str | None = None, pid: int | None = None, exitcode: int | None = None
    ) -> None:
        super().__init__(_errno.EPIPE, "the manager is gone")
        self.address = address
        self.name = name
        self.pid = pid
        self.exitcode = exitcode

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.address, self.name, self.pid, self.exitcode)

    def __str__(self) -> str:
        if self.pid is None:
            gone = f"nobody serves at {self.address!r} any more: the manager has ended, or the connection to it is lost"
        elif self.exitcode is None:
            gone = f"the manager {self.name} (pid {self.pid}) closed the connection"
        else:
            gone = f"the manager {self.name} (pid {self.pid}) {describe_exit(self.exitcode)}"
        return f"{gone}. The objects that it held are gone: start a new manager and make them again."


class ResultsDiscarded(ProcessError, RuntimeError):
    """The pool was terminated before this task had a result."""


if TYPE_CHECKING:

    class ShutDown(ProcessError):  # its bases depend on the Python version: __getattr__ makes it
        """The queue was shut down: nothing can be put, or nothing is left to get."""


def describe_exit(exitcode: int | None) -> str:
    """How a process ended, in words, from its `Process.exitcode` (negative: killed by that signal)."""
    if exitcode is None:
        return "died"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    return f"was killed by signal {-exitcode}{_SIGNALS.get(-exitcode, '')}"


_SIGNALS = {1: " (SIGHUP)", 2: " (SIGINT)", 3: " (SIGQUIT)", 4: " (SIGILL)", 6: " (SIGABRT)", 7: " (SIGBUS)", 8: " (SIGFPE)",
            9: " (SIGKILL)", 11: " (SIGSEGV)", 13: " (SIGPIPE)", 14: " (SIGALRM)", 15: " (SIGTERM)"}  # fmt: skip


def __getattr__(name: str) -> Any:
    """`ShutDown` is made when it is first asked for: the standard library's module `queue` takes 3 ms that most children do not need."""
    if name != "ShutDown":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import queue  # noqa: PLC0415 - see the docstring

    found: Any = getattr(queue, "ShutDown", None)  # Python 3.13 has it; before, ours stands alone
    base = found if isinstance(found, type) and issubclass(found, Exception) else Exception
    doc = "The queue was shut down: nothing can be put, or nothing is left to get."
    made = type(name, (ProcessError, base), {"__module__": __name__, "__doc__": doc})
    return globals().setdefault(name, made)
