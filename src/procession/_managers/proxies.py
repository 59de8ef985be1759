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
    from typing import Any, Generic, Self, TypeVar

    from procession._managers.exposed import ArrayMethods, DictMethods, ListMethods, PoolMethods, SetMethods

    T = TypeVar("T")
    K = TypeVar("K")
    V = TypeVar("V")

    class _OfType(Generic[T]):
        pass

else:

    class _Methods:
        """Stands where type checkers see the methods of `exposed.pyi`."""

        def __class_getitem__(cls, _item):
            return cls

    _OfType = ArrayMethods = DictMethods = ListMethods = PoolMethods = SetMethods = _Methods
    T = K = V = None

__all__ = [
    "AcquirerProxy", "ArrayProxy", "BarrierProxy", "BaseListProxy", "BasePoolProxy", "ConditionProxy", "DictProxy", "EventProxy",
    "IteratorProxy", "ListProxy", "NamespaceProxy", "PoolProxy", "SetProxy", "ValueProxy",
]  # fmt: skip


class IteratorProxy(BaseProxy, _OfType[T]):
    """An iterator, or a generator."""

    _exposed_: Any = ("__next__", "send", "throw", "close")

    def __iter__(self) -> Self:
        return self

    def __next__(self, *args: Any) -> T:
        value: T = self._callmethod("__next__", args)
        return value

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

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it; was it taken?"""
        taken: bool = self._callmethod("acquire", (blocking,) if timeout is None else (blocking, timeout))
        return taken

    def release(self) -> None:
        """Give it back."""
        self._callmethod("release")

    def locked(self) -> bool:
        """Can it not be taken right now?"""
        locked: bool = self._callmethod("locked")
        return locked

    def recover(self) -> bool:
        """Free a lock whose owner has died; give a semaphore what killed processes held. Was there any?"""
        recovered: bool = self._callmethod("recover")
        return recovered

    def __enter__(self) -> bool:
        taken: bool = self._callmethod("acquire")
        return taken

    def __exit__(self, *args: object) -> None:
        self._callmethod("release")


class ConditionProxy(AcquirerProxy):
    """A condition."""

    _exposed_: Any = ("acquire", "release", "wait", "notify", "notify_all", "locked", "recover")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification; did it come in time?"""
        in_time: bool = self._callmethod("wait", (timeout,))
        return in_time

    def notify(self, n: int = 1) -> None:
        """Wake n of those who wait."""
        self._callmethod("notify", (n,))

    def notify_all(self) -> None:
        """Wake all who wait."""
        self._callmethod("notify_all")

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
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

    def is_set(self) -> bool:
        """Is it set?"""
        is_set: bool = self._callmethod("is_set")
        return is_set

    def set(self) -> None:
        """Set it."""
        self._callmethod("set")

    def clear(self) -> None:
        """Clear it."""
        self._callmethod("clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; was it in time?"""
        in_time: bool = self._callmethod("wait", (timeout,))
        return in_time


class BarrierProxy(BaseProxy):
    """A barrier."""

    _exposed_: Any = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other parties; the index of this one."""
        index: int = self._callmethod("wait", (timeout,))
        return index

    def abort(self) -> None:
        """Break the barrier."""
        self._callmethod("abort")

    def reset(self) -> None:
        """Make the barrier whole and empty."""
        self._callmethod("reset")

    @property
    def parties(self) -> int:
        """How many have to arrive."""
        parties: int = self._callmethod("__getattribute__", ("parties",))
        return parties

    @property
    def n_waiting(self) -> int:
        """How many have arrived."""
        count: int = self._callmethod("__getattribute__", ("n_waiting",))
        return count

    @property
    def broken(self) -> bool:
        """Is it broken?"""
        broken: bool = self._callmethod("__getattribute__", ("broken",))
        return broken


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


class ValueProxy(BaseProxy, _OfType[T]):
    """A value."""

    _exposed_: Any = ("get", "set")

    def get(self) -> T:
        """The value."""
        value: T = self._callmethod("get")
        return value

    def set(self, value: T) -> None:
        """Set the value."""
        self._callmethod("set", (value,))

    value: Any = property(get, set, doc="The value.")
    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__len__", "__getitem__", "__setitem__",
)  # fmt: skip
class ArrayProxy(BaseProxy, ArrayMethods[T]):
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
class BaseListProxy(BaseProxy, ListMethods[T]):
    """A list, without the operators in place."""


class ListProxy(BaseListProxy[T]):
    """A list."""

    if not TYPE_CHECKING:
        __add__ = operator("__add__")

    def __iadd__(self, value: Any) -> Self:  # type: ignore[misc, override]  # it returns this proxy, the other a list
        self._callmethod("extend", (value,))
        return self

    def __imul__(self, value: Any) -> Self:  # type: ignore[misc, override]  # as above
        self._callmethod("__imul__", (value,))
        return self

    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__contains__", "__delitem__", "__getitem__", "__ior__", "__iter__", "__len__", "__or__", "__reversed__", "__ror__",
    "__setitem__", "clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
)  # fmt: skip
class _BaseDictProxy(BaseProxy, DictMethods[K, V]):
    """A dictionary, without the operators."""


class DictProxy(_BaseDictProxy[K, V]):
    """A dictionary."""

    _method_to_typeid_ = {"__iter__": "Iterator"}  # noqa: RUF012 - never changed
    _proxytypes_ = {"Iterator": IteratorProxy}  # noqa: RUF012 - as above
    if not TYPE_CHECKING:
        __or__ = operator("__or__")
        __ror__ = operator("__ror__")

    def __ior__(self, value: Any) -> Self:  # type: ignore[misc, override]  # it returns this proxy, the other a dictionary
        self._callmethod("update", (value,))
        return self

    __class_getitem__: Any = classmethod(GenericAlias)


@exposing(
    "__and__", "__contains__", "__eq__", "__ge__", "__gt__", "__iand__", "__ior__", "__isub__", "__iter__", "__ixor__", "__le__",
    "__len__", "__lt__", "__ne__", "__or__", "__rand__", "__ror__", "__rsub__", "__rxor__", "__sub__", "__xor__", "add", "clear",
    "copy", "difference", "difference_update", "discard", "intersection", "intersection_update", "isdisjoint", "issubset",
    "issuperset", "pop", "remove", "symmetric_difference", "symmetric_difference_update", "union", "update",
)  # fmt: skip
class _BaseSetProxy(BaseProxy, SetMethods[T]):
    """A set, without the operators."""


class SetProxy(_BaseSetProxy[T]):
    """A set: a `collections.abc.MutableSet`."""

    _method_to_typeid_ = {"__iter__": "Iterator"}  # noqa: RUF012 - never changed
    _proxytypes_ = {"Iterator": IteratorProxy}  # noqa: RUF012 - as above
    __hash__: Any = None  # as a set's
    if not TYPE_CHECKING:
        __ior__ = set_in_place("update")
        __iand__ = set_in_place("intersection_update")
        __isub__ = set_in_place("difference_update")
        __ixor__ = set_in_place("symmetric_difference_update")
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
class BasePoolProxy(BaseProxy, PoolMethods):
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
