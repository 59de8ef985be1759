"""`ResourceTracker`: what packages know of the standard library's tracker process, over the ledgers of this package.

Promises: what is registered is removed when the program ends, and what is unregistered is not; both may be said by any process of it.
Not here: how it is done (`ledger.py`).
"""

from __future__ import annotations

import os
import threading

from procession import _native
from procession._memory import ledger
from procession._memory.leftovers import KINDS
from procession._os import ledgers, segments

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLEANUP", "ProgramTracker", "ResourceTracker"]

LONGEST = 512  # bytes of a request, as in the standard library


def _nothing(name: str) -> None:
    """There is nothing of the system behind the name."""


# Kinds of resources -> what removes one by its name.
CLEANUP: dict[str, Callable[[str], None]] = {"noop": _nothing, "shared_memory": segments.remove}


class ResourceTracker:
    """A ledger of its own, with a process that removes what it names when `_stop` is called or nobody has the tracker any more."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._fd: int | None = None
        self._pid: int | None = None
        self._exitcode: int | None = None
        self._ledger: ledger.Ledger | None = None

    def getfd(self) -> int | None:
        """The descriptor by which the process knows that somebody is left; it may be inherited."""
        self.ensure_running()
        return self._fd

    def ensure_running(self) -> None:
        """Have the process running, if it is not."""
        with self._lock:
            self._ledger = self._open()
            self._ledger.ensure_kept()
            self._pid = self._ledger.keeper

    def _open(self) -> ledger.Ledger:
        if self._ledger is not None:
            return self._ledger
        self._fd = lifeline = ledgers.new_lifeline()
        return ledger.Ledger(os.urandom(16).hex(), lambda: lifeline)

    def register(self, name: str, rtype: str) -> None:
        """Have a resource removed at the end. ValueError if there is no such type, or nothing of that name can be removed."""
        self._send("REGISTER", name, rtype)

    def unregister(self, name: str, rtype: str) -> None:
        """Do not have it removed. A name that is not registered is no error."""
        self._send("UNREGISTER", name, rtype)

    def _send(self, cmd: str, name: str, rtype: str) -> None:
        message = f"{cmd}:{name}:{rtype}\n".encode()
        if len(message) > LONGEST:
            raise ValueError("name too long")
        if self._ledger is None and self._fd is not None:
            os.write(self._fd, message)  # a subclass has started a process of its own, which listens there
            return
        key = _key(name, rtype)
        if cmd == "REGISTER":
            self.ensure_running()
            self._opened().add(rtype, key, _identity(name, rtype))
        elif cmd == "UNREGISTER":
            self._opened().discard(rtype, key)

    def _opened(self) -> ledger.Ledger:
        if self._ledger is None:
            self._ledger = self._open()
        return self._ledger

    def _check_alive(self) -> bool:
        if self._ledger is None:
            try:
                self._send("PROBE", "0", "noop")
            except OSError:
                return False
            return self._fd is not None
        return self._ledger.is_kept()

    def _stop(self) -> None:
        """Have everything removed that is registered; `_exitcode` is 1 if there was something."""
        with self._lock:
            self._let_go()
            if self._pid is not None:
                self._exitcode = ledgers.exit_code_of_keeper(self._pid)
            self._pid = None

    def _let_go(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        if self._ledger is not None:
            self._let_go()


class ProgramTracker(ResourceTracker):
    """The tracker of the program that this process belongs to: all its processes have the same.

    Who holds `_fd` belongs to the program. Packages that start interpreters by their own means let them inherit it, and set it there.
    """

    _inherited: int | None = None

    @property
    def _fd(self) -> int | None:
        if self._inherited is None:
            self._inherited = os.dup(ledger.of_program().lifeline())
        return self._inherited

    @_fd.setter
    def _fd(self, fd: int | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # made when it is asked for
        self._inherited = fd
        if fd is not None and _native.arena_fd() < 0:
            _native.arena_attach(os.dup(fd))

    def _open(self) -> ledger.Ledger:
        return ledger.of_program()

    def _opened(self) -> ledger.Ledger:
        self._ledger = self._open()
        return self._ledger

    def _send(self, cmd: str, name: str, rtype: str) -> None:
        self._opened()  # whatever other packages have written to `_fd`, it is the program's ledger
        super()._send(cmd, name, rtype)

    def _stop(self) -> None:
        """End the process if nothing is registered, `_exitcode` 0 says so; else it goes with the program."""
        self._exitcode = None
        if self._ledger is None or self._ledger.retire():
            self._pid, self._exitcode = None, 0

    def __del__(self) -> None:
        """Nothing: what is registered is removed at the end of the program."""


def _key(name: str, rtype: str) -> str:
    """The name as it is written down."""
    if rtype not in KINDS:
        raise ValueError(f"unknown type of resource {rtype!r}: there are {', '.join(KINDS)}")
    key = name.lstrip("/")
    if key in ("", ".", "..") or "/" in key or "\0" in key or len(os.fsencode(key)) > segments.LONGEST:
        raise ValueError(f"there can be no {rtype} called {name!r}")
    return key


def _identity(name: str, rtype: str) -> str | None:
    try:
        return segments.identity(segments.path_of(name)) if rtype == "shared_memory" else None
    except FileNotFoundError:
        return None  # it may come to be, and is known by its name alone
