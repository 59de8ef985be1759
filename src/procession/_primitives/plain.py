"""What the native Lock, RLock, Semaphore, BoundedSemaphore and Event say of themselves, and how they travel.

Promises: importing this module gives the native types their `repr` and their pickling.
Not here: the types (native/face), the other shared classes (`sharing.py`).
"""

from __future__ import annotations

from procession import _native
from procession._primitives.owner import holder_name
from procession._primitives.sharing import reduce_pinned

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []


def _represent(obj: object) -> str:
    """In the words of the standard library's."""
    name = type(obj).__name__
    if isinstance(obj, _native.RLock):
        holder = holder_name(obj)
        count = "nonzero" if holder.startswith("SomeOther") else str(obj.count())
        return f"<{name}({holder}, {count})>"
    if isinstance(obj, _native.Lock):
        return f"<{name}(owner={holder_name(obj)})>"
    if isinstance(obj, _native.BoundedSemaphore):
        return f"<{name}(value={obj.get_value()}, maxvalue={obj._maxvalue})>"
    if isinstance(obj, _native.Semaphore):
        return f"<{name}(value={obj.get_value()})>"
    if isinstance(obj, _native.Event):
        return f"<{type(obj).__qualname__} at {id(obj):#x} {'set' if obj.is_set() else 'unset'}>"
    return object.__repr__(obj)


def _reduce(obj: _native.Object, attributes: dict[str, Any] | None) -> tuple[Any, ...]:
    obj.pin()
    return reduce_pinned(obj, dict(attributes or {}))


_native.configure(represent=_represent, reduce=_reduce)
