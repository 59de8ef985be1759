"""Event between processes: a flag that can be waited for.

Promises: `is_set` is one load. A wait that began before `set()` ends with it, even when `clear()` follows at once.
"""

from __future__ import annotations

from procession import _native
from procession._primitives.sharing import Shared

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["Event"]


class Event(Shared, _native.Event):
    """A flag, at first not set. `wait(timeout=None)` returns whether it was set in time."""

    def __new__(cls, *, ctx: Any = None) -> Self:
        """`ctx` is accepted for compatibility."""
        return super().__new__(cls)

    def _watchable(self) -> _native.Event:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"
