"""Values and arrays of C types in shared memory: `Value`, `Array`, their raw forms, and wrappers with a lock.

Promises: a value lives in the arena: it can be inherited, passed as an argument under every start method, and sent through queues.
A raw object is a ctypes object; an array offers the buffer protocol, so that `numpy.frombuffer` sees it without a copy.
Not here: named segments (`shared_memory`), allocation (the native heap).
"""

from __future__ import annotations

import ctypes

from procession import _native
from procession._primitives.lock import RLock
from procession._primitives.sharing import Shared
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = [
    "Array",
    "Memory",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
    "typecode_to_type",
]

typecode_to_type: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}  # fmt: skip


class Memory(Shared, _native.Memory):
    """Bytes in the arena, zeroed, as a writable buffer."""

    def __new__(cls, size: int) -> Self:
        """`size` in bytes; ValueError if it is negative, MemoryError if the arena is full."""
        return super().__new__(cls, size)


def _ctype(typecode_or_type: Any) -> Any:
    if isinstance(typecode_or_type, str):
        try:
            return typecode_to_type[typecode_or_type]
        except KeyError:
            known = ", ".join(sorted(typecode_to_type))
            raise TypeError(f"bad typecode {typecode_or_type!r} (must be a ctypes type, or one of: {known})") from None
    if not (isinstance(typecode_or_type, type) and hasattr(typecode_or_type, "from_buffer")):
        raise TypeError(f"a typecode or a ctypes type is needed, not {typecode_or_type!r}")
    return typecode_or_type


def _place(ctype: Any, memory: Memory) -> Any:
    """A ctypes object of `ctype` over `memory`, which lives as long as it does."""
    state.reducers.setdefault(ctype, _reduce)
    placed = ctype.from_buffer(memory)
    placed._wrapper = memory
    return placed


def _make(ctype: Any) -> Any:
    return _place(ctype, Memory(ctypes.sizeof(ctype)))


def _reduce(obj: Any) -> tuple[Any, ...]:
    memory = getattr(obj, "_wrapper", None)
    if memory is None:  # an ordinary object of the same type, not one of ours: by value, as ctypes does
        return obj.__reduce__()  # type: ignore[no-any-return]
    if isinstance(obj, ctypes.Array):
        return rebuild_array, (obj._type_, len(obj), memory)
    return rebuild_value, (type(obj), memory)


def rebuild_value(ctype: Any, memory: Memory) -> Any:
    """The raw value over memory that arrived in a pickle."""
    return _place(ctype, memory)


def rebuild_array(ctype: Any, length: int, memory: Memory) -> Any:
    """The raw array over memory that arrived in a pickle."""
    return _place(ctype * length, memory)


def RawValue(typecode_or_type: Any, *args: Any) -> Any:  # noqa: N802 - the documented name
    """A ctypes object in shared memory, without a lock, initialised with `args` (zero if there are none)."""
    ctype = _ctype(typecode_or_type)
    value = _make(ctype)
    value.__init__(*args)
    return value


def RawArray(typecode_or_type: Any, size_or_initializer: Any) -> Any:  # noqa: N802 - the documented name
    """A ctypes array in shared memory, without a lock: of so many zeros, or with the items of a sequence."""
    ctype = _ctype(typecode_or_type)
    if isinstance(size_or_initializer, int):
        if size_or_initializer < 0:
            raise ValueError(f"an array cannot have {size_or_initializer} items")
        return _make(ctype * size_or_initializer)
    items = size_or_initializer if hasattr(size_or_initializer, "__len__") else tuple(size_or_initializer)
    array = _make(ctype * len(items))
    array.__init__(*items)
    return array


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:  # noqa: N802
    """A value in shared memory with a lock: `lock` True (a new RLock), False (the raw value), or a lock to use."""
    return _locked(RawValue(typecode_or_type, *args), lock, ctx)


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:  # noqa: N802
    """An array in shared memory with a lock: `lock` True (a new RLock), False (the raw array), or a lock to use."""
    return _locked(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def _locked(raw: Any, lock: Any, ctx: Any) -> Any:
    if lock is False:
        return raw
    if lock in (True, None):
        lock = ctx.RLock() if ctx is not None else RLock()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire': lock must be True, False or a lock")
    return synchronized(raw, lock, ctx)


def copy(obj: Any) -> Any:
    """A copy of a ctypes object in shared memory, raw."""
    made = _make(type(obj))
    ctypes.pointer(made)[0] = obj
    return made


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """A wrapper of a ctypes object that takes `lock` (default: a new RLock) for each access."""
    if isinstance(obj, SynchronizedBase):
        raise TypeError("object already synchronized")
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return SynchronizedString(obj, lock, ctx) if obj._type_ is ctypes.c_char else SynchronizedArray(obj, lock, ctx)
    return _structure_class(type(obj))(obj, lock, ctx)


def _structure_class(ctype: Any) -> Any:
    """The wrapper class of a structure: one property a field, each taking the lock."""
    found = state.extra.setdefault("structures", {}).get(ctype)
    if found is None:
        fields = {field[0]: _field(field[0]) for base in ctype.__mro__ for field in base.__dict__.get("_fields_", ())}
        found = type("Synchronized" + ctype.__name__, (SynchronizedBase,), fields)
        state.extra["structures"][ctype] = found
    return found


def _field(name: str) -> property:
    def read(self: SynchronizedBase) -> Any:
        with self._lock:
            return getattr(self._obj, name)

    def write(self: SynchronizedBase, value: Any) -> None:
        with self._lock:
            setattr(self._obj, name, value)

    return property(read, write, doc=f"The field {name!r}, under the lock.")


class SynchronizedBase:
    """A ctypes object in shared memory with its lock; `with wrapper:` holds the lock over several accesses."""

    acquire: Callable[..., bool]  # the lock's own
    release: Callable[[], None]

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        self._obj = obj
        self._lock = lock or (ctx.RLock() if ctx is not None else RLock())
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> Any:
        return self._lock.__exit__(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return synchronized, (self._obj, self._lock)

    def get_obj(self) -> Any:
        """The ctypes object itself."""
        return self._obj

    def get_lock(self) -> Any:
        """The lock."""
        return self._lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._obj}>"


class Synchronized(SynchronizedBase):
    """A simple value: `value` reads and writes it under the lock."""

    value: Any = _field("value")


class SynchronizedArray(SynchronizedBase):
    """An array: items and slices under the lock; also a buffer, for `numpy.frombuffer`."""

    def __len__(self) -> int:
        return len(self._obj)

    def __getitem__(self, index: Any) -> Any:
        with self._lock:
            return self._obj[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        with self._lock:
            self._obj[index] = value

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._obj)


class SynchronizedString(SynchronizedArray):
    """An array of characters: `value` up to the first NUL, `raw` all of it."""

    value: Any = _field("value")
    raw: Any = _field("raw")
