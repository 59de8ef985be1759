"""What a manager can make: a table typeid -> how, with which methods, seen through which proxy.

Not here: making it (`server.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Entry", "all_methods", "public_methods"]


class Entry(NamedTuple):
    """One registered type."""

    callable: Callable[..., Any] | None
    exposed: tuple[str, ...] | list[str] | None
    method_to_typeid: dict[str, str] | None
    proxytype: Any


def all_methods(obj: object) -> list[str]:
    """The names of what can be called on an object."""
    return [name for name in dir(obj) if callable(getattr(obj, name, None))]


def public_methods(obj: object) -> list[str]:
    """The same without those that begin with an underscore."""
    return [name for name in all_methods(obj) if not name.startswith("_")]
