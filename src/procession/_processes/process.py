"""Process objects, for the program's children, its main process and a child's parent.

Promises: what a call may not do in the state that the object is in is said by `lifecycle.py`, and changes nothing. Only the process
that made an object may start it and wait for it. An object that was not started holds no resource of the system.
Not here: how a process is started (`start_*.py`, chosen by the context's `_Popen`), what runs in it (`bootstrap.py`).
"""

from __future__ import annotations

import atexit
import os

from procession._os import pidfd, signals
from procession._processes import bootstrap
from procession._processes import exit as ending
from procession._processes.lifecycle import Lifecycle, after
from procession._processes.reaper import reap_ended, wait_for_any
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar, NoReturn

    from procession._processes.reaper import Child

__all__ = [
    "AuthenticationString",
    "BaseProcess",
    "active_children",
    "current_process",
    "parent_process",
]


def current_process() -> BaseProcess:
    """The process object of this process."""
    current: BaseProcess = state.current
    return current


def parent_process() -> _ParentProcess | None:
    """The process object of the parent; None in the main process."""
    parent: _ParentProcess | None = state.parent
    return parent


def active_children() -> list[BaseProcess]:
    """The children of this process that run; those that have ended are joined by this call."""
    reap_ended()
    return list(state.children)


class AuthenticationString(bytes):
    """A key that is pickled for nobody but a child that is being started."""

    def __reduce__(self) -> tuple[type[AuthenticationString], tuple[bytes]]:
        if state.spawning.popen is None:
            raise TypeError(
                f"Pickling an {type(self).__name__} object is disallowed for security reasons: it would leave the program "
                "in the clear. Children inherit it; other programs have to be given the key by themselves."
            )
        return AuthenticationString, (bytes(self),)


class BaseProcess:
    """A process: `start()` runs `run()` in it."""

    _lifecycle: Lifecycle | None = None  # set by __init__
    _popen: Child | None = None
    _may_have_children = False  # though daemonic: a pool's worker
    _is_quiet = False  # says nothing when Ctrl-C ends it: a pool's worker
    _settles_later = False  # `start()` need not wait until it exists, since `settle()` of `settling.py` will
    _start_method: ClassVar[str | None] = None

    def __init__(  # noqa: PLR0913 - the documented signature
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        """Describe a process that is to call `target(*args, **kwargs)`.

        `name` is for people; None: made from the class's name and the numbers of its ancestors. `daemon` None: as the current process.
        """
        if group is not None:
            raise AssertionError("group argument must be None: there are no process groups of this kind")
        self._identity = (*state.current._identity, next(state.process_counter))
        self._config = dict(state.current._config)
        self._parent_pid: int | None = os.getpid()
        self._parent_name = state.current.name
        self._lifecycle = Lifecycle.INITIAL
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self._name = name or f"{type(self).__name__}-{':'.join(map(str, self._identity))}"
        if daemon is not None:
            self.daemon = daemon
        state.dangling.add(self)

    # ── what it does ─────────────────────────────────────────────────────────────────────────────────────────────────
    def run(self) -> None:
        """What happens in the process: calls the target. Subclasses may do anything else here."""
        if self._target:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """Start the process; once for each object, by the process that made it, unless that is daemonic.

        Raises AssertionError or ValueError where that is not so, what pickling the arguments raises, OSError where the system has no
        room for a process, RuntimeError for an unguarded main module, StartError if the fork server cannot be used.
        """
        following = self._after("start")
        if self._parent_pid != os.getpid():
            raise AssertionError("can only start a process object created by current process: make a new one here")
        if state.current._config.get("daemon") and not state.current._may_have_children:
            raise AssertionError(
                "daemonic processes are not allowed to have children, which would be orphans when it is terminated: "
                "start them from a process that is not daemonic"
            )
        reap_ended()
        self._popen = self._Popen(self)
        self._lifecycle = following
        # The child has them. Kept here, they could keep this very object, or a queue, alive.
        del self._target, self._args, self._kwargs
        if self._popen.sentinel >= 0:  # else `settle()` does
            state.children.add(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process ends, at most `timeout` seconds (None: for ever)."""
        self._after("join") if self._is_own else self._refuse_others("join")
        if self._child.wait(timeout) is not None:
            self._note_end()

    def terminate(self) -> None:
        """Send SIGTERM to the process: neither its exit handlers nor `finally` clauses run."""
        self._child_to_signal().terminate()

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        self._child_to_signal().kill()

    def interrupt(self) -> None:
        """Send SIGINT to the process: KeyboardInterrupt in it, so that `finally` and `with` run; uncaught, its exit code is 1."""
        self._child_to_signal().interrupt()

    def close(self) -> None:
        """Release what the object holds; ValueError while the process runs. Most other calls raise ValueError from then on."""
        if self is state.current:
            raise ValueError("cannot close the current process: it is still running")
        if self._lifecycle is Lifecycle.STARTED and self._is_own and self._child.poll() is not None:
            self._note_end()
        self._lifecycle = self._after("close")
        if self._popen is not None:
            self._popen.close()
            self._popen = None
        state.children.discard(self)

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────────────────────
    def is_alive(self) -> bool:
        """Does the process run? Its end is noticed, and it is joined, by this call."""
        if self is state.current:
            return True
        self._after("ask") if self._is_own else self._refuse_others("test")
        return self._lifecycle is not Lifecycle.INITIAL and self.exitcode is None

    @property
    def name(self) -> str:
        """Its name: for people, without a meaning."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise AssertionError(f"name must be a string, not {type(name).__name__}")
        self._name = name

    @property
    def daemon(self) -> bool:
        """Is it terminated when its parent ends, and forbidden to have children? To be set before `start()`."""
        daemon: bool = self._config.get("daemon", False)
        return daemon

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        if self._popen is not None or self._lifecycle is not Lifecycle.INITIAL:
            raise AssertionError("process has already started: daemon has to be set before start()")
        self._config["daemon"] = daemonic

    @property
    def authkey(self) -> bytes:
        """The key with which it and its children prove themselves to each other."""
        key: AuthenticationString = self._config["authkey"]
        return key

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self) -> int | None:
        """The exit code; None: it is not started, or it runs; negative: the signal that killed it."""
        if self is state.current:
            return None
        self._after("ask")
        if self._popen is None:
            return None
        code = self._popen.poll()
        if code is not None:
            self._note_end()
        return code

    @property
    def ident(self) -> int | None:
        """The process id; None before `start()`."""
        if self is state.current:
            return os.getpid()
        self._after("ask")
        return None if self._popen is None else self._popen.pid

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process ends, even while its own children live."""
        self._after("watch")
        return self._child.sentinel

    def __repr__(self) -> str:
        code, status = None, "unknown"
        if self is state.current:
            status = Lifecycle.STARTED.value
        elif self._lifecycle is not None and (self._is_own or self._lifecycle is Lifecycle.CLOSED):
            code = None if self._lifecycle is Lifecycle.CLOSED else self.exitcode
            status = self._lifecycle.value
        parts = [f"name={self._name!r}"] if self._lifecycle else ["without Process.__init__()"]
        parts += [f"pid={self._popen.pid}"] if self._popen is not None else []
        parts += [f"parent={self._parent_pid}"] if self._lifecycle else []
        parts += [status]
        parts += [f"exitcode={_exit_text(code)}"] if code is not None else []
        parts += ["daemon"] if self._lifecycle and self.daemon else []
        return f"<{type(self).__name__} {' '.join(parts)}>"

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Child:  # noqa: N802 - the standard name
        raise NotImplementedError(
            "a process of no context cannot be started: use procession.Process or a context's Process"
        )

    @property
    def _is_own(self) -> bool:
        return self._parent_pid == os.getpid()

    # Other packages' children set this while they import the main module, and delete it then.
    @property
    def _inheriting(self) -> bool:
        return bool(state.main.importing)

    @_inheriting.setter
    def _inheriting(self, importing: bool) -> None:
        state.main.importing = importing

    @_inheriting.deleter
    def _inheriting(self) -> None:
        state.main.importing = False

    @property
    def _child(self) -> Child:
        if self._popen is None:
            raise ValueError("process not started")
        return self._popen

    def _child_to_signal(self) -> Child:
        if self._popen is None and not self._is_own:
            self._refuse_others("signal")
        self._after("signal")
        return self._child

    def _after(self, event: str) -> Lifecycle:
        """The state after `event`, or the exception for it."""
        if self._lifecycle is None:
            raise RuntimeError("Process.__init__() was not called: a subclass's constructor has to call it first")
        return after(self._lifecycle, event)

    def _refuse_others(self, verb: str) -> NoReturn:
        raise AssertionError(f"can only {verb} a child process: this one was not started by the current process")

    def _note_end(self) -> None:
        now = self._lifecycle
        if now is Lifecycle.STARTED:  # other threads may note it, too
            self._lifecycle = after(now, "end")
            state.children.discard(self)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        """In the child: be this process, from its beginning to its exit code. Packages replace this method to see that moment."""
        if parent_sentinel is not None:
            state.parent = _ParentProcess(self._parent_name, self._parent_pid, parent_sentinel)
        bootstrap.begin(self)
        return bootstrap.live(self)


def _exit_text(code: int) -> str:
    """`0`, or `-SIGTERM` for -15."""
    name = signals.name_of(-code) if code < 0 else None
    return f"-{name}" if name else str(code)


class _ParentProcess(BaseProcess):
    """A child's parent: it can be asked about and waited for, and nothing else."""

    _sentinel = -1

    def __init__(self, name: str, pid: int | None, sentinel: int) -> None:
        self._identity = ()
        self._config = {}
        self._name = name
        self._pid = pid
        self._parent_pid = None
        self._parent_name = ""
        self._lifecycle = Lifecycle.STARTED
        self._sentinel = sentinel

    def is_alive(self) -> bool:
        """Does the parent run?"""
        return not pidfd.has_ended(self._sentinel)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the parent ends, at most `timeout` seconds (None: for ever)."""
        wait_for_any((self._sentinel,), timeout)

    @property
    def ident(self) -> int | None:
        """The parent's process id."""
        return self._pid

    pid = ident

    @property
    def exitcode(self) -> None:
        """None: a parent's exit code is not its child's to know."""
        return

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the parent ends."""
        return self._sentinel

    def close(self) -> None:
        """Nothing: the parent is watched as long as this process lives."""

    def __reduce__(self) -> Any:  # a copy would close a descriptor that is another's
        raise TypeError("a parent process cannot be pickled, it is watched by its child: send its pid or name")

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # by then the interpreter may have cleared `os`
        sentinel, self._sentinel = self._sentinel, -1
        if sentinel >= 0:
            close(sentinel)


class _MainProcess(BaseProcess):
    """The process that the program began as."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None
        self._parent_name = ""
        self._lifecycle = Lifecycle.STARTED
        self._config = {"authkey": AuthenticationString(os.urandom(32))}

    def start(self) -> None:
        """AssertionError: it runs."""
        raise AssertionError("can only start a process object created by current process: this is the main process")

    def close(self) -> None:
        """Nothing: it ends with the program."""


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


if state.current is None:
    state.main.directory = _working_directory()
    state.current = _MainProcess()
    state.dangling.add(state.current)
    atexit.register(ending.end_process)
