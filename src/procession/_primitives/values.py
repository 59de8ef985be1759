"""Values and arrays of C types in shared memory with a lock: `Value`, `Array`, and the wrappers that hold object and lock.

Promises: each access through a wrapper holds the lock; a holder that dies is told to whoever comes next as `OwnerDied`, as with any
lock. A wrapper can be inherited, passed as an argument under every start method, and sent through queues and pipes: it arrives with
the same memory and the same lock. An array offers the buffer protocol, so that `numpy.frombuffer` sees it without a copy.
Not here: the objects without a lock (`raw_values`), access under the lock (native/face/synchronized_type.c).
"""

from __future__ import annotations

import ctypes
from weakref import WeakKeyDictionary

from procession import _native
from procession._native import Synchronized, SynchronizedArray, SynchronizedBase, SynchronizedString
from procession._primitives.c_types import field_names, plain_code, spell, typecode_to_type
from procession._primitives.lock import RLock
from procession._primitives.raw_values import Handed, Placed, RawArray, RawValue, copy, memory_of, place, rebuild_raw
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "place",
    "synchronized",
    "typecode_to_type",
]


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:  # noqa: N802
    """A ctypes object in shared memory, initialised with `args`, in a wrapper that takes a lock for each access.

    `lock`: True (a new RLock), False (no wrapper, as `RawValue`), or the lock to use: a Lock, RLock or anything with `acquire` and
    `release` (AttributeError if it has not). `ctx` is accepted for compatibility. Errors as of `RawValue`.

        counter = Value("i", 0)
        with counter.get_lock():
            counter.value += 1
    """
    return _locked(RawValue(typecode_or_type, *args), lock, ctx)


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:  # noqa: N802
    """A ctypes array in shared memory in a wrapper that takes a lock for each access; `lock` as for `Value`, the rest as for `RawArray`.

        numbers = Array("d", 1000)
        numbers[0] = 3.5
        numpy.frombuffer(numbers)[1:] = 7      # the same memory, without the lock: hold `numbers.get_lock()` meanwhile
    """  # fmt: skip
    return _locked(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def _locked(raw: Any, lock: Any, ctx: Any) -> Any:
    if lock is False:
        return raw
    return synchronized(raw, None if lock is True or lock == 1 else lock, ctx)


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """A wrapper of a ctypes object that takes `lock` (default: a new RLock) for each access.

    TypeError: no ctypes object, or a wrapper already; AttributeError: no lock.
    """
    if isinstance(obj, SynchronizedBase):
        raise TypeError("object already synchronized")
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return SynchronizedString(obj, lock, ctx) if obj._type_ is ctypes.c_char else SynchronizedArray(obj, lock, ctx)
    if isinstance(obj, (ctypes.Structure, ctypes.Union)):
        return _structure_class(type(obj))(obj, lock, ctx)
    raise TypeError(f"a ctypes object is needed, not {obj!r}")


def _structure_class(ctype: Any) -> Any:
    """The wrapper class of a structure or union: one property a field, each taking the lock."""
    classes = state.extra.setdefault("structures", WeakKeyDictionary())
    found = classes.get(ctype)
    if found is None:
        found = type(
            "Synchronized" + ctype.__name__, (SynchronizedBase,), {name: _field(name) for name in field_names(ctype)}
        )
        classes[ctype] = found
    return found


def _field(name: str) -> property:
    def read(self: SynchronizedBase) -> Any:
        with self:
            return getattr(self._obj, name)

    def write(self: SynchronizedBase, value: Any) -> None:
        with self:
            setattr(self._obj, name, value)

    return property(read, write, doc=f"The field {name!r}, under the lock.")


# ── what the native wrappers ask ────────────────────────────────────────────────────────────────
def _synchronize(obj: Any, lock: Any, ctx: Any) -> tuple[Any, str]:
    """The lock of a new wrapper, and the code by which the native face reads the object; "": through ctypes."""
    if lock is None:
        lock = ctx.RLock() if ctx is not None else RLock()
    elif isinstance(lock, type) or not (hasattr(lock, "acquire") and hasattr(lock, "release")):
        lacking = "release" if hasattr(lock, "acquire") else "acquire"
        what = "is a class" if isinstance(lock, type) else f"has no method {lacking!r}"
        raise AttributeError(f"{lock!r} {what}: lock must be True, False or a lock")
    return lock, "" if memory_of(obj) is None else plain_code(type(obj))


def _reduce_synchronized(wrapper: SynchronizedBase) -> tuple[Any, ...]:
    obj = wrapper.get_obj()
    memory = memory_of(obj)
    if memory is None:
        raise RuntimeError(
            f"{wrapper!r} cannot be passed on: its object lies in the memory of this process alone, and would arrive as a copy. "
            "Make it with RawValue, RawArray or sharedctypes.copy()"
        )
    return rebuild_synchronized, (spell(type(obj)), wrapper.get_lock(), Handed(memory))


def rebuild_synchronized(spelled: Any, lock: Any, memory: Placed | Handed) -> Any:
    """The wrapper of an object over memory that arrived in a pickle."""
    return synchronized(rebuild_raw(spelled, memory), lock)


_native.configure(synchronize=_synchronize, reduce_synchronized=_reduce_synchronized)
