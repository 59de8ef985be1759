"""The proxies of the types that a `SyncManager` knows: which methods each has, and the few that are more than a call.

Not here: what a proxy is (`proxy.py`).
"""

from __future__ import annotations

import time
from collections.abc import MutableSet
from types import GenericAlias

from procession._managers.proxy import BaseProxy, exposing

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = [
    "AcquirerProxy", "ArrayProxy", "BarrierProxy", "BaseListProxy", "BasePoolProxy", "ConditionProxy", "DictProxy", "EventProxy",
    "IteratorProxy", "ListProxy", "NamespaceProxy", "PoolProxy", "SetProxy", "ValueProxy",
]  # fmt: skip


class IteratorProxy(BaseProxy):
    """An iterator, or a generator."""

    _exposed_: Any = ("__next__", "send", "throw", "close")

    def __iter__(self) -> Self:
        return self

    def __next__(self, *args: Any) -> Any:
        return self._callmethod("__next__", args)

    def send(self, *args: Any) -> Any:
        """Send a value into a generator."""
        return self._callmethod("send", args)

    def throw(self, *args: Any) -> Any:
        """Raise in a generator."""
        return self._callmethod("throw", args)

    def close(self, *args: Any) -> Any:
        """End a generator."""
        return self._callmethod("close", args)


class AcquirerProxy(BaseProxy):
    """A lock or a semaphore."""

    _exposed_: Any = ("acquire", "release", "locked", "recover")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> Any:
        """Take it; was it taken?"""
        return self._callmethod("acquire", (blocking,) if timeout is None else (blocking, timeout))

    def release(self) -> Any:
        """Give it back."""
        return self._callmethod("release")

    def locked(self) -> Any:
        """Can it not be taken right now?"""
        return self._callmethod("locked")

    def recover(self) -> Any:
        """If a lock's owner has died: free it. Was that so?"""
        return self._callmethod("recover")

    def __enter__(self) -> Any:
        return self._callmethod("acquire")

    def __exit__(self, *args: object) -> None:
        self._callmethod("release")


class ConditionProxy(AcquirerProxy):
    """A condition."""

    _exposed_: Any = ("acquire", "release", "wait", "notify", "notify_all", "locked", "recover")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for a notification; did it come in time?"""
        return self._callmethod("wait", (timeout,))

    def notify(self, n: int = 1) -> Any:
        """Wake n of those who wait."""
        return self._callmethod("notify", (n,))

    def notify_all(self) -> Any:
        """Wake all who wait."""
        return self._callmethod("notify_all")

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until `predicate()`, which is called here, is true; its last value."""
        deadline = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


class EventProxy(BaseProxy):
    """An event."""

    _exposed_: Any = ("is_set", "set", "clear", "wait")

    def is_set(self) -> Any:
        """Is it set?"""
        return self._callmethod("is_set")

    def set(self) -> Any:
        """Set it."""
        return self._callmethod("set")

    def clear(self) -> Any:
        """Clear it."""
        return self._callmethod("clear")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until it is set; was it in time?"""
        return self._callmethod("wait", (timeout,))


class BarrierProxy(BaseProxy):
    """A barrier."""

    _exposed_: Any = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the other parties; the index of this one."""
        return self._callmethod("wait", (timeout,))

    def abort(self) -> Any:
        """Break the barrier."""
        return self._callmethod("abort")

    def reset(self) -> Any:
        """Make the barrier whole and empty."""
        return self._callmethod("reset")

    @property
    def parties(self) -> Any:
        """How many have to arrive."""
        return self._callmethod("__getattribute__", ("parties",))

    @property
    def n_waiting(self) -> Any:
        """How many have arrived."""
        return self._callmethod("__getattribute__", ("n_waiting",))

    @property
    def broken(self) -> Any:
        """Is it broken?"""
        return self._callmethod("__getattribute__", ("broken",))


class NamespaceProxy(BaseProxy):
    """A namespace: its attributes are those of the object; names that begin with an underscore are the proxy's own."""

    _exposed_: Any = ("__getattribute__", "__setattr__", "__delattr__")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        return object.__getattribute__(self, "_callmethod")("__getattribute__", (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            object.__getattribute__(self, "_callmethod")("__setattr__", (name, value))

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            object.__delattr__(self, name)
        else:
            object.__getattribute__(self, "_callmethod")("__delattr__", (name,))


class ValueProxy(BaseProxy):
    """A value."""

    _exposed_: Any = ("get", "set")

    def get(self) -> Any:
        """The value."""
        return self._callmethod("get")

    def set(self, value: Any) -> Any:
        """Set the value."""
        return self._callmethod("set", (value,))

    value: property = property(get, set, doc="The value.")
    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__len__", "__getitem__", "__setitem__",
)  # fmt: skip
class ArrayProxy(BaseProxy):
    """An array."""


def plain(operand: Any) -> Any:
    """What an operator is given: a proxy cannot stand for a container there, so a copy goes instead."""
    return operand._getvalue() if isinstance(operand, BaseProxy) else operand


def operator(name: str) -> Any:
    """A binary operator of a container."""

    def operate(self: BaseProxy, other: Any, /) -> Any:
        return self._callmethod(name, (plain(other),))

    operate.__name__ = name
    operate.__doc__ = f"The container's `{name}`."
    return operate


def set_in_place(name: str) -> Any:
    """An operator that changes a set, by its method `name`."""

    def operate(self: BaseProxy, other: Any, /) -> Any:
        other = plain(other)
        if not isinstance(other, set | frozenset):
            return NotImplemented
        self._callmethod(name, (other,))
        return self

    operate.__doc__ = f"The set's `{name}` for another set."
    return operate


@exposing(
    "__add__", "__contains__", "__delitem__", "__getitem__", "__imul__", "__len__", "__mul__", "__reversed__", "__rmul__",
    "__setitem__", "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
)  # fmt: skip
class BaseListProxy(BaseProxy):
    """A list, without the operators in place."""


class ListProxy(BaseListProxy):
    """A list."""

    __add__: Any = operator("__add__")

    def __iadd__(self, value: Any) -> Self:  # type: ignore[misc]  # it returns this proxy, the other a list
        self._callmethod("extend", (value,))
        return self

    def __imul__(self, value: Any) -> Self:
        self._callmethod("__imul__", (value,))
        return self

    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__contains__", "__delitem__", "__getitem__", "__ior__", "__iter__", "__len__", "__or__", "__reversed__", "__ror__",
    "__setitem__", "clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
)  # fmt: skip
class _BaseDictProxy(BaseProxy):
    """A dictionary, without the operators."""


class DictProxy(_BaseDictProxy):
    """A dictionary."""

    _method_to_typeid_ = {"__iter__": "Iterator"}  # noqa: RUF012 - never changed
    _proxytypes_ = {"Iterator": IteratorProxy}  # noqa: RUF012 - as above
    __or__: Any = operator("__or__")
    __ror__: Any = operator("__ror__")

    def __ior__(self, value: Any) -> Self:  # type: ignore[misc]  # it returns this proxy, the other a dictionary
        self._callmethod("update", (value,))
        return self

    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__and__", "__contains__", "__eq__", "__ge__", "__gt__", "__iand__", "__ior__", "__isub__", "__iter__", "__ixor__", "__le__",
    "__len__", "__lt__", "__ne__", "__or__", "__rand__", "__ror__", "__rsub__", "__rxor__", "__sub__", "__xor__", "add", "clear",
    "copy", "difference", "difference_update", "discard", "intersection", "intersection_update", "isdisjoint", "issubset",
    "issuperset", "pop", "remove", "symmetric_difference", "symmetric_difference_update", "union", "update",
)  # fmt: skip
class _BaseSetProxy(BaseProxy):
    """A set, without the operators."""


class SetProxy(_BaseSetProxy):
    """A set: a `collections.abc.MutableSet`."""

    _method_to_typeid_ = {"__iter__": "Iterator"}  # noqa: RUF012 - never changed
    _proxytypes_ = {"Iterator": IteratorProxy}  # noqa: RUF012 - as above
    __hash__: Any = None  # as a set's
    __ior__: Any = set_in_place("update")
    __iand__: Any = set_in_place("intersection_update")
    __isub__: Any = set_in_place("difference_update")
    __ixor__: Any = set_in_place("symmetric_difference_update")
    __class_getitem__: Any = classmethod(GenericAlias)


for _name in (
    "__and__", "__eq__", "__ge__", "__gt__", "__le__", "__lt__", "__ne__", "__or__", "__rand__", "__ror__", "__rsub__", "__rxor__",
    "__sub__", "__xor__",
):  # fmt: skip
    setattr(SetProxy, _name, operator(_name))
MutableSet.register(SetProxy)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - an ABC


@exposing(
    "apply", "apply_async", "close", "imap", "imap_unordered", "join", "map", "map_async", "starmap", "starmap_async", "terminate",
)  # fmt: skip
class BasePoolProxy(BaseProxy):
    """A pool, not as a context manager."""


class PoolProxy(BasePoolProxy):
    """A pool."""

    _method_to_typeid_ = {  # noqa: RUF012 - never changed
        "apply_async": "AsyncResult",
        "map_async": "AsyncResult",
        "starmap_async": "AsyncResult",
        "imap": "Iterator",
        "imap_unordered": "Iterator",
    }
    _proxytypes_ = {"Iterator": IteratorProxy}  # noqa: RUF012 - never changed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._callmethod("terminate")
