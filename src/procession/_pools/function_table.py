"""The functions that a worker has met, each read from the arena once.

Promises: one that is found by module and name costs no pickle.
Not here: how they get there (`functions.py`).
"""

from __future__ import annotations

import importlib

from procession._primitives.memory import Memory
from procession._processes.unpacking import find_global, unpickle

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["NAMED", "SEPARATOR", "FunctionTable"]

KEPT = 64
# In place of a pickle, which begins with another byte: the module and the qualified name.
NAMED, SEPARATOR = b"N", "\0"


class FunctionTable:
    """The functions by their places in the arena."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Any] = {}

    def load(self, offset: int, generation: int) -> Any:
        """The function at a place; raises what importing or unpickling raises."""
        known = self._known.get((offset, generation))
        return self._fetch((offset, generation)) if known is None else known

    def _fetch(self, place: tuple[int, int]) -> Any:
        memory = Memory.attach(place)
        with memoryview(memory) as view:
            size = int.from_bytes(view[:8], "little")
            func = _function(bytes(view[8 : 8 + size]))
        if len(self._known) >= KEPT:
            del self._known[next(iter(self._known))]
        self._known[place] = func
        return func


def _function(written: bytes) -> Any:
    if written[:1] != NAMED:
        return unpickle(written)
    module, name = written[1:].decode().split(SEPARATOR)
    importlib.import_module(module)
    return find_global(module, name)
