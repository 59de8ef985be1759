"""The objects that a server holds for proxies, each with the number of proxies that refer to it.

Promises: an object lives as long as a proxy refers to it, also from inside another object of the same server, and LINGER seconds longer
if a proxy was sent to somebody who has not received it yet. A process that dies lets go of what its proxies referred to. A name is never
used again, and tells which server gave it.
Not here: calling their methods (`server.py`).
"""

from __future__ import annotations

import array
import os
import queue
import threading
import time
from collections import deque

from procession._managers import sync_locks, sync_types
from procession._managers.registry import public_methods
from procession._managers.sync_barrier import Barrier
from procession._managers.sync_semaphores import BoundedSemaphore, Semaphore

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from procession._managers.registry import Entry

__all__ = ["ObjectTable", "Referent", "server_mark"]

LINGER = 30.0  # seconds

# Exactly these types do not care which thread calls them, and their methods never change.
STEADY = frozenset(
    {
        dict, list, set, frozenset, array.array, queue.Queue, threading.Event, threading.Barrier, threading.Semaphore,
        threading.BoundedSemaphore, type(threading.Lock()), type(iter({})), type(iter([])), type(iter(())), type(iter(set())),
        sync_locks.Lock, sync_locks.RLock, sync_locks.Condition,
        sync_types.Value, sync_types.Queue, Semaphore, BoundedSemaphore, Barrier,
    }
)  # fmt: skip
ORPHANED = (sync_locks.Lock, sync_locks.Condition, Semaphore, Barrier)  # what has to know that a client is gone


class Referent:
    """An object that the server holds, with what is known about it."""

    __slots__ = (
        "calls",
        "deadline",
        "exposed",
        "in_transit",
        "is_steady",
        "may_be_owned",
        "method_to_typeid",
        "obj",
        "refs",
        "typeid",
    )

    def __init__(self, typeid: str, obj: Any, exposed: tuple[str, ...], method_to_typeid: dict[str, str]) -> None:
        self.typeid: str = typeid
        self.obj: Any = obj
        self.exposed: frozenset[str] = frozenset(exposed)
        self.method_to_typeid: dict[str, str] = method_to_typeid
        self.refs: int = 0
        self.in_transit: int = 0  # how many proxies were sent and not received yet, as far as their senders are gone
        self.deadline: float = 0.0  # when it goes though proxies are on the way
        self.is_steady: bool = type(obj) in STEADY
        self.may_be_owned: bool = not self.is_steady and (hasattr(obj, "acquire") or hasattr(obj, "__enter__"))
        self.calls: dict[str, Any] = {}  # methods of a steady object that were called, if their results are copied


def exposed_methods(entry: Entry, obj: Any) -> tuple[str, ...]:
    """What proxies of this object may call."""
    exposed = public_methods(obj) if entry.exposed is None else entry.exposed
    return (*exposed, *(entry.method_to_typeid or ()))


def server_mark(ident: Any) -> str:
    """Which server gave this name: the part that all its names share; empty for names of other makers' servers."""
    return ident.rpartition(".")[0] if isinstance(ident, str) else ""


class ObjectTable:
    """The objects of one server, by name."""

    def __init__(self) -> None:
        self.mark: str = os.urandom(8).hex()
        self.mutex: Any = threading.RLock()  # recursive: an object's end may bring about another's
        self.referents: dict[str, Referent] = {}
        self._names: dict[tuple[int, str], str] = {}  # (id(object), typeid) -> name: one object has one for each type
        self._last = 0
        self._holders: dict[str, dict[str, int]] = {}  # processes: which references each holds, object -> how many
        self._lingering: deque[tuple[float, str]] = deque()  # references, until when

    def put(self, typeid: str, entry: Entry, obj: Any) -> tuple[str, tuple[str, ...]]:
        """Hold an object, with one reference for whoever asked: (its name, its exposed methods)."""
        exposed = exposed_methods(entry, obj)
        with self.mutex:
            ident = self._names.get((id(obj), typeid))
            if ident is None:
                self._last += 1
                ident = self._names[id(obj), typeid] = f"{self.mark}.{self._last:x}"
                self.referents[ident] = Referent(typeid, obj, exposed, dict(entry.method_to_typeid or {}))
            self.referents[ident].refs += 1
        return ident, exposed

    def find(self, ident: Any) -> Referent:
        """The object of this name; KeyError that says what may have happened if there is none."""
        referent = self.referents.get(ident) if isinstance(ident, str) else None
        if referent is None:
            raise KeyError(f"{ident!r} is no object of this manager, or not any more: no proxy referred to it")
        return referent

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────
    def incref(self, ident: str, holder: str = "", was_received: bool = False) -> None:
        """One more proxy refers to an object; of the process `holder` if that is known. Was it sent by somebody?"""
        with self.mutex:
            referent = self.find(ident)
            if holder:
                held = self._holders.get(holder)
                if held is None:
                    return  # it is dead: this request is what it left
                held[ident] = held.get(ident, 0) + 1
            referent.refs += 1
            referent.in_transit -= was_received

    def send(self, ident: str) -> None:
        """A proxy is on its way to somebody who will take a reference of his own."""
        with self.mutex:
            self.find(ident).in_transit += 1

    def decref(self, ident: str, holder: str = "", sent: int = 0) -> None:
        """One proxy less, which was sent so many times; without any here or on the way, the object goes."""
        self.let_go()
        with self.mutex:
            referent = self.find(ident)
            if holder and not self._take_from(holder, ident):
                return
            referent.refs -= 1
            referent.in_transit += sent
            if referent.refs > 0:
                return
            if referent.in_transit > 0:
                referent.deadline = time.monotonic() + LINGER
                self._lingering.append((referent.deadline, ident))
                return
            self._forget(ident, referent)
        del referent  # outside the mutex: what the object's end does may take long

    def _take_from(self, holder: str, ident: str) -> bool:
        """One reference less in the ledger of a process. False: it holds none, or it is dead, and has let go of them all."""
        held = self._holders.get(holder, {})
        count = held.pop(ident, 0)
        if count > 1:
            held[ident] = count - 1
        return count > 0

    def _forget(self, ident: str, referent: Referent) -> None:
        del self.referents[ident]
        del self._names[id(referent.obj), referent.typeid]

    def let_go(self) -> None:
        """Forget what nobody has received in time."""
        now = time.monotonic() if self._lingering else 0.0
        gone = []
        while self._lingering and self._lingering[0][0] <= now:
            with self.mutex:
                deadline, ident = self._lingering.popleft()
                referent = self.referents.get(ident)
                if referent is not None and referent.refs <= 0 and referent.deadline == deadline:
                    self._forget(ident, referent)
                    gone.append(referent)  # until outside the mutex, as above

    def hold(self, holder: str, name: str, pid: int) -> None:
        """Remember from now on which references this process holds."""
        with self.mutex:
            self._holders[holder] = {}

    def release_all(self, holder: str, name: str, pid: int) -> None:
        """The process is gone, and its proxies; who wants its locks is told."""
        with self.mutex:
            held = self._holders.pop(holder, {})
        self.orphan_locks(holder, name, pid, held)
        self.release(held)

    def orphan_locks(self, holder: str, name: str, pid: int, held: Container[str] | None = None) -> None:
        """Who wants a lock, or a permit, of this process, or waits for it at a barrier, is told that it is gone, unless it lives.

        `held`: the objects to which it still referred. It lets go of them when it exits, so that it was killed. None: of all.
        """
        with self.mutex:
            if holder in self._holders:
                return
            found = [(ident, one.obj) for ident, one in self.referents.items() if isinstance(one.obj, ORPHANED)]
        for ident, obj in found:
            if isinstance(obj, Barrier):
                obj.orphan(holder)
            elif isinstance(obj, Semaphore):
                obj.orphan(holder, name, pid, was_killed=held is None or ident in held)
            else:
                obj.orphan(holder, name, pid)

    def release(self, held: dict[str, int]) -> None:
        """Let go of these references, as far as the objects are still there."""
        for ident, count in held.items():
            for _ in range(count):
                if ident in self.referents:
                    self.decref(ident)

    # ── for people ───────────────────────────────────────────────────────────────────────────────────────────────────
    def count(self) -> int:
        """How many objects there are to which proxies refer."""
        with self.mutex:
            return sum(referent.refs > 0 for referent in self.referents.values())

    def describe(self) -> str:
        """Two lines for each object."""
        with self.mutex:
            rows = [(ident, referent.refs, referent.obj) for ident, referent in sorted(self.referents.items())]
        return "\n".join(f"  {ident}:       refcount={refs}\n    {_brief(obj)}" for ident, refs, obj in rows)


def _brief(obj: Any) -> str:
    try:
        return str(obj)[:75]
    except Exception as error:  # noqa: BLE001 - told in the text
        return f"<{type(obj).__name__}, whose str raised {type(error).__name__}>"
