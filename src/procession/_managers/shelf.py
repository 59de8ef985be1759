"""The objects that a server holds for proxies, each with the number of proxies that refer to it.

Promises: an object lives as long as a proxy refers to it, also from inside another object of the same server. A name is never used
again, and tells which server gave it.
Not here: calling their methods (`server.py`).
"""

from __future__ import annotations

import array
import os
import queue
import threading

from procession._managers import referents
from procession._managers.registry import public_methods

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from procession._managers.registry import Entry

__all__ = ["Held", "Shelf", "server_mark"]

# Exactly these types do not care which thread calls them, and their methods never change.
STEADY = frozenset(
    {
        dict, list, set, frozenset, array.array, queue.Queue, threading.Event, threading.Barrier, threading.Semaphore,
        threading.BoundedSemaphore, type(threading.Lock()), type(iter({})), type(iter([])), type(iter(())), type(iter(set())),
        referents.Value, referents.Queue, referents.Semaphore, referents.BoundedSemaphore,
    }
)  # fmt: skip


class Held:
    """An object on the shelf."""

    __slots__ = ("calls", "exposed", "is_steady", "method_to_typeid", "obj", "refs", "typeid")

    def __init__(self, typeid: str, obj: Any, exposed: tuple[str, ...], method_to_typeid: dict[str, str]) -> None:
        self.typeid = typeid
        self.obj = obj
        self.exposed = frozenset(exposed)
        self.method_to_typeid = method_to_typeid
        self.refs = 0
        self.is_steady = type(obj) in STEADY
        self.calls: dict[str, Any] = {}  # methods of a steady object that were called, if their results are copied


def exposed_methods(entry: Entry, obj: Any) -> tuple[str, ...]:
    """What proxies of this object may call."""
    exposed = public_methods(obj) if entry.exposed is None else entry.exposed
    return (*exposed, *(entry.method_to_typeid or ()))


def server_mark(ident: Any) -> str:
    """Which server gave this name: the part that all its names share; empty for names of other makers' servers."""
    return ident.rpartition(".")[0] if isinstance(ident, str) else ""


class Shelf:
    """The objects of one server, by name."""

    def __init__(self) -> None:
        self.mark = os.urandom(8).hex()
        self.mutex = threading.RLock()  # recursive: an object's end may bring about another's
        self.held: dict[str, Held] = {}
        self._names: dict[tuple[int, str], str] = {}  # (id(object), typeid) -> name: one object has one name for each type
        self._last = 0

    def put(self, typeid: str, entry: Entry, obj: Any) -> tuple[str, tuple[str, ...]]:
        """Hold an object, with one reference for whoever asked: (its name, its exposed methods)."""
        exposed = exposed_methods(entry, obj)
        with self.mutex:
            ident = self._names.get((id(obj), typeid))
            if ident is None:
                self._last += 1
                ident = self._names[id(obj), typeid] = f"{self.mark}.{self._last:x}"
                self.held[ident] = Held(typeid, obj, exposed, dict(entry.method_to_typeid or {}))
            self.held[ident].refs += 1
        return ident, exposed

    def find(self, ident: Any) -> Held:
        """The object of this name; KeyError that says what may have happened if there is none."""
        held = self.held.get(ident) if isinstance(ident, str) else None
        if held is None:
            raise KeyError(f"{ident!r} is no object of this manager, or not any more: no proxy referred to it")
        return held

    def incref(self, ident: str) -> None:
        """One more proxy refers to an object."""
        with self.mutex:
            self.find(ident).refs += 1

    def decref(self, ident: str) -> None:
        """One proxy less; without any, the object goes."""
        with self.mutex:
            held = self.find(ident)
            held.refs -= 1
            if held.refs > 0:
                return
            del self.held[ident]
            del self._names[id(held.obj), held.typeid]
        del held  # outside the mutex: what the object's end does may take long

    def describe(self) -> str:
        """Two lines for each object."""
        with self.mutex:
            rows = sorted(self.held.items())
        return "\n".join(f"  {ident}:       refcount={held.refs}\n    {_brief(held.obj)}" for ident, held in rows)


def _brief(obj: Any) -> str:
    try:
        return str(obj)[:75]
    except Exception as error:  # noqa: BLE001 - told in the text
        return f"<{type(obj).__name__}, whose str raised {type(error).__name__}>"
