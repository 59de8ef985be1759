"""Functions on their way to workers: pickled once, and kept in the arena.

Promises: a function that is found by module and name (the usual case) is written down once for a pool; anything else (methods, partials,
callables with state) once for each job, so that its state is that of the call. What pickle cannot name goes by value (cloudpickle),
and so does what it names in a main module that workers cannot import (interactive, `-c`, standard input).
Not here: arguments, workers (`function_table.py`).
"""

from __future__ import annotations

import io
import types

from procession._channels.pickling import ForkingPickler
from procession._pools.function_table import NAMED, SEPARATOR
from procession._primitives.memory import Memory
from procession._processes import main_module
from procession._processes.start_data import global_name
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

__all__ = ["FunctionRef", "FunctionStore", "dumps_function"]

KEPT = 256  # functions that a pool keeps pickled; past that the oldest is pickled again


def dumps_function(func: Any) -> bytes:
    """A callable, by its name if it has one, else pickled; raises what pickle raised if neither is possible."""
    found = _name(func)
    if found is not None:
        return NAMED + SEPARATOR.join(found).encode()
    try:
        named = bytes(ForkingPickler.dumps(func))
    except Exception as error:  # noqa: BLE001 - pickle raises many; the second try decides
        try:
            return _by_value(func)
        except Exception:  # noqa: BLE001 - the first error is the one that the user knows
            raise error from None
    if b"__main__" in named and not main_module.is_importable():
        return _by_value(func)
    return named


def _name(func: Any) -> tuple[str, str] | None:
    """(module, qualified name) of a plain function that workers find by them; None: it takes a pickle."""
    if type(func) is not types.FunctionType or types.FunctionType in state.reducers:
        return None
    return global_name(func)


def _by_value(func: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415 - loaded only for functions that workers cannot find by a name

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = {
            **cloudpickle.Pickler.dispatch_table,
            **state.reducers,
        }  # as ForkingPickler has it

    buffer = io.BytesIO()
    Pickler(buffer).dump(func)
    return buffer.getvalue()


class FunctionRef:
    """A pickled function in the arena; `place` is what task messages name it by. It stays there as long as this object lives."""

    def __init__(self, func: Any) -> None:
        packed = dumps_function(func)
        self._memory = Memory(len(packed) + 8)
        with memoryview(self._memory) as view:
            view[:8] = len(packed).to_bytes(8, "little")
            view[8 : 8 + len(packed)] = packed
        self.place = self._memory.handle


class FunctionStore:
    """The functions of a pool, in the process that owns it."""

    def __init__(self) -> None:
        self._refs: dict[types.FunctionType, FunctionRef] = {}

    def ref(self, func: Callable[..., Any]) -> FunctionRef:
        """The reference of a function, made if need be; raises what pickling raises."""
        if type(func) is not types.FunctionType or func.__closure__ is not None:
            return FunctionRef(func)
        ref = self._refs.get(func)
        if ref is None:
            if len(self._refs) >= KEPT:
                del self._refs[next(iter(self._refs))]
            ref = self._refs[func] = FunctionRef(func)
        return ref
