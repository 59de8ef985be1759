"""What a manager can make: a table typeid -> how, with which methods, seen through which proxy.

Promises: what a caller of `register` did wrong is said there.
Not here: making it (`server.py`).
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Entry", "all_methods", "check_methods", "is_another", "public_methods"]


class Entry:
    """One registered type."""

    __slots__ = ("callable", "exposed", "method_to_typeid", "proxytype")

    def __init__(
        self,
        callable: Callable[..., Any] | None,
        exposed: Iterable[str] | None,
        method_to_typeid: dict[str, str] | None,
        proxytype: Any,
    ) -> None:
        self.callable: Any = callable
        self.exposed: Any = None if exposed is None else tuple(exposed)
        self.method_to_typeid: Any = method_to_typeid
        self.proxytype: Any = proxytype

    def __getstate__(self) -> tuple[Any, ...]:
        return self.callable, self.exposed, self.method_to_typeid, self.proxytype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.callable, self.exposed, self.method_to_typeid, self.proxytype = state


def check_methods(exposed: Any, method_to_typeid: Any) -> None:
    """TypeError unless these are names of methods, and a mapping of such names to typeids."""
    if isinstance(exposed, str):
        raise TypeError(f"exposed must be a sequence of method names, not the string {exposed!r}: write [{exposed!r}]")
    for name in exposed or ():
        if not isinstance(name, str):
            raise TypeError(f"exposed must hold names of methods, not {name!r}")
    for name, kind in dict(method_to_typeid or {}).items():
        if not isinstance(name, str) or not isinstance(kind, str):
            raise TypeError(f"method_to_typeid must map names to typeids, both strings, not {name!r} to {kind!r}")


def is_another(old: Callable[..., Any] | None, new: Callable[..., Any] | None) -> bool:
    """Do two registrations contradict each other? Not if one is without callable (a client's), or the same source ran again."""
    if old is None or new is None or old is new:
        return False
    return _source(old) != _source(new)


def _source(callable_: Any) -> tuple[Any, Any]:
    cls = type(callable_)
    return getattr(callable_, "__module__", cls.__module__), getattr(callable_, "__qualname__", cls.__qualname__)


def all_methods(obj: object) -> list[str]:
    """The names of what can be called on an object."""
    return [name for name in dir(obj) if callable(getattr(obj, name, None))]


def public_methods(obj: object) -> list[str]:
    """The same without those that begin with an underscore."""
    return [name for name in all_methods(obj) if not name.startswith("_")]
