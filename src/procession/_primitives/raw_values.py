"""ctypes objects in shared memory, without a lock: `RawValue`, `RawArray`, `copy`, and how they travel.

Promises: an object lies in the arena, and its memory is freed when its last user in any process is gone: views and arrays made over
it count as users. It travels as a handle, with the package's pickler, never as its contents; a plain pickle of it is refused.
Not here: which types can be shared (`c_types`), locks (`values`), allocation (the native heap).
"""

from __future__ import annotations

import ctypes
from weakref import WeakSet

from procession._primitives.c_types import shareable, spell, unspell
from procession._primitives.memory import Memory
from procession._primitives.sharing import Shared
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Handed", "Placed", "RawArray", "RawValue", "copy", "memory_of", "place"]

CTYPES: Any = ctypes.Structure.__mro__[-2]  # what every ctypes object is an instance of; it has no public name


class Placed(Memory):
    """The memory under a ctypes object."""

    address = 0  # where the object begins, in this process

    def _travelling(self) -> dict[str, Any]:
        return {}

    def __reduce__(self) -> NoReturn:
        # ctypes pickles its objects by value, and what hangs on them: this is where such a copy ends.
        raise RuntimeError(
            "a raw shared object cannot be pickled by itself: it would arrive as a copy. Pass it as an argument of a Process or "
            "through a queue or pipe of this package (whose pickler is ForkingPickler), or use a Value or Array with a lock"
        )


class Handed:
    """What stands for a memory while it travels: pickled last, so that it is pinned only if all else could be pickled."""

    __slots__ = ("memory",)

    def __init__(self, memory: Placed) -> None:
        self.memory = memory

    def __reduce__(self) -> tuple[Any, ...]:
        return Shared.__reduce__(self.memory)


class ArrayTypes:
    """Which array types have a reducer: each length is a type of its own, so those without an object are forgotten now and then."""

    def __init__(self) -> None:
        self.users: dict[Any, WeakSet[Placed]] = {}
        self.limit = 64

    def add(self, ctype: Any, memory: Placed) -> None:
        """Note an object of the type."""
        users = self.users.get(ctype)
        if users is None:
            users = self.users.setdefault(ctype, WeakSet())
        users.add(memory)  # before the reducer is set: forget() removes that first, and looks at the users again
        state.reducers.setdefault(ctype, _reduce)
        if len(self.users) > self.limit:
            self.forget()

    def forget(self) -> None:
        """Forget the types that have no object any more."""
        for ctype in [ctype for ctype, users in self.users.copy().items() if not users]:
            users = self.users.pop(ctype, None)
            reducer = state.reducers.pop(ctype, None)
            if users or reducer not in (_reduce, None):  # taken up meanwhile, or the user's own
                state.reducers[ctype] = reducer or _reduce
        self.limit = max(64, 2 * len(self.users))


def place(ctype: Any, memory: Placed) -> Any:
    """A ctypes object of `ctype` over `memory`, which lives as long as the object, its parts and views of it do."""
    placed = ctype.from_buffer(memory)
    try:
        placed._wrapper = memory
    except AttributeError:
        raise TypeError(
            f"{ctype.__name__} cannot be shared: its objects take no attributes; remove its __slots__"
        ) from None
    memory.address = ctypes.addressof(placed)
    if issubclass(ctype, ctypes.Array):
        state.extra.setdefault("array types", ArrayTypes()).add(ctype, memory)
    else:
        state.reducers.setdefault(ctype, _reduce)
    return placed


def memory_of(obj: Any) -> Placed | None:
    """The memory in the arena that a ctypes object lies in; None: it lies elsewhere, or is a part or a copy of one that does."""
    memory = getattr(obj, "_wrapper", None)
    return memory if isinstance(memory, Placed) and memory.address == ctypes.addressof(obj) else None


def _make(ctype: Any) -> Any:
    return place(ctype, Placed(ctypes.sizeof(ctype)))


def _reduce(obj: Any) -> tuple[Any, ...]:
    memory = memory_of(obj)
    if memory is not None:
        return rebuild_raw, (spell(type(obj)), Handed(memory))
    function, (ctype, (attributes, contents)) = (
        obj.__reduce__()
    )  # an ordinary object of the type: by value, as ctypes does
    own = {name: value for name, value in attributes.items() if name != "_wrapper"}
    return function, (ctype, (own, contents))


def rebuild_raw(spelled: Any, memory: Placed | Handed) -> Any:
    """The raw object over memory that arrived in a pickle, or (copy.copy() gives it as it is) that did not travel."""
    return place(unspell(spelled), memory.memory if isinstance(memory, Handed) else memory)


def RawValue(typecode_or_type: Any, *args: Any) -> Any:  # noqa: N802 - the documented name
    """A ctypes object in shared memory, without a lock, initialised with `args` (zero if there are none).

    TypeError: no typecode or ctypes type, or one that means nothing in another process (pointers, Python objects).

        RawValue("i", 7).value      RawValue(ctypes.c_double, 2.4)      RawValue(Point, 1.0, 2.0).x
    """
    value = _make(shareable(typecode_or_type))
    if args:
        value.__init__(*args)
    return value


def RawArray(typecode_or_type: Any, size_or_initializer: Any) -> Any:  # noqa: N802 - the documented name
    """A ctypes array in shared memory, without a lock: of so many zeros, or with the items of a sequence (or any iterable).

    TypeError: as for `RawValue`, or neither a size nor items; ValueError: a negative size; MemoryError: no shared memory left.

        RawArray("i", 10)      RawArray(ctypes.c_short, (9, 2, 8))      RawArray(Point, [(1.0, 2.0), (3.0, 4.0)])
    """
    ctype = shareable(typecode_or_type)
    if hasattr(size_or_initializer, "__index__"):
        return _make(_array_type(ctype, size_or_initializer.__index__()))
    try:
        items = tuple(size_or_initializer)
    except TypeError:
        raise TypeError(f"an array needs a size or its items, not {size_or_initializer!r}") from None
    array = _make(_array_type(ctype, len(items)))
    array.__init__(*items)
    return array


def _array_type(ctype: Any, length: int) -> Any:
    if length < 0:
        raise ValueError(f"an array cannot have {length} items")
    try:
        return ctype * length
    except OverflowError:
        raise MemoryError(f"no memory has room for {length} items of {ctypes.sizeof(ctype)} bytes") from None


def copy(obj: Any) -> Any:
    """A copy of a ctypes object in shared memory, without a lock; TypeError for anything else, and as for `RawValue`."""
    if not isinstance(obj, CTYPES):
        raise TypeError(
            f"a ctypes object is needed, not {obj!r}" + ("; copy its get_obj()" if hasattr(obj, "get_obj") else "")
        )
    made = _make(shareable(type(obj)))
    ctypes.memmove(ctypes.addressof(made), ctypes.addressof(obj), ctypes.sizeof(made))
    return made
