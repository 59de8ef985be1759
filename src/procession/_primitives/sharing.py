"""How a shared object travels: as a handle (arena, offset, generation), never as its contents.

Promises: an object may be inherited, passed as an argument under every start method, and sent through queues and pipes to a process
of the same program that already runs. While a handle is on its way, the object is pinned, so that it outlives its sender's copy.
A handle of another program is refused with `StaleHandle`.
Not here: how the arena itself reaches a child (`_processes`).
"""

from __future__ import annotations

from types import MethodDescriptorType

import procession._primitives.owner  # noqa: F401 - it tells the core which exceptions to raise, for objects of every kind
from procession import _native
from procession._runtime import state
from procession.errors import StaleHandle

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self, TypeVar

    T = TypeVar("T", bound=_native.Object)

__all__ = ["Shared", "rebuild", "reduce_pinned", "told"]


class Shared(_native.Object):
    """Mixin of every shared class, before its native base: pickling by handle."""

    name: str | None = None  # what messages call it; None: its class and place

    def _travelling(self) -> dict[str, Any]:
        """What goes along with the handle: the attributes of this wrapper."""
        return dict(self.__dict__)

    @classmethod
    def _arrive(cls, handle: tuple[int, int], attributes: dict[str, Any]) -> Self:
        return _attach(cls, handle, attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        self.pin()
        return reduce_pinned(self, self._travelling())


def told(obj: _native.Object) -> tuple[Any, ...] | None:
    """What `rebuild` takes after the class, for who pins the object; None: it travels in a way of its own."""
    cls = type(obj)
    if cls.__reduce_ex__ is not object.__reduce_ex__:
        return None
    if isinstance(obj, Shared):
        return (_native.arena_uuid(), obj.handle, obj._travelling()) if cls.__reduce__ is Shared.__reduce__ else None
    native = isinstance(cls.__reduce__, MethodDescriptorType) and cls.__reduce__ is not object.__reduce__
    return (_native.arena_uuid(), obj.handle, dict(obj.__dict__)) if native else None


def reduce_pinned(obj: _native.Object, attributes: dict[str, Any]) -> tuple[Any, ...]:
    """What stands in a pickle for an object that was pinned for it."""
    told = (type(obj), _native.arena_uuid(), obj.handle, attributes)
    return rebuild, ((*told, _inherited_arena()) if state.spawning.by_others else told)


def _attach(cls: type[T], handle: tuple[int, int], attributes: dict[str, Any]) -> T:
    arrived = cls.attach(handle)
    if attributes:
        arrived.__dict__.update(attributes)
    return arrived


def _inherited_arena() -> int:
    """The descriptor of the arena in a child that another package starts."""
    spawning = state.spawning
    inherited: int | None = spawning.arena
    if inherited is None:
        inherited = spawning.arena = int(spawning.popen.duplicate_for_child(_native.arena_open()))
    return inherited


def rebuild(
    cls: type[T], arena: bytes, handle: tuple[int, int], attributes: dict[str, Any], inherited: int | None = None
) -> T:
    """The object behind a handle that arrived in a pickle; raises `StaleHandle` if it is gone or not of this program.

    `inherited` is the descriptor of the arena, in a process that was started by another package and may not have joined the program.
    """
    if inherited is not None and _native.arena_fd() < 0:
        _native.arena_attach(inherited)
    if _native.arena_fd() < 0 or _native.arena_uuid() != arena:
        raise StaleHandle(cls.__name__, handle[0])
    arrived = cls._arrive(handle, attributes) if issubclass(cls, Shared) else _attach(cls, handle, attributes)
    arrived.unpin()
    return arrived
