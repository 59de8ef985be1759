"""How the standard library calls our classes: in a message to one of its ends they stand under its names.

The other direction, its names to our classes, is `_channels.pickling`'s, for all pickles.
Promises: what is written can be read where this package is not installed, as far as its classes have counterparts there; a text that
merely looks like a name of ours arrives as it is.
Not here: which end is whose (`protocol.py`).
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType

from procession._channels.pickling import ForkingPickler

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PACKAGE", "dumps", "has_counterpart"]

PACKAGE = b"procession"
PROTOCOL = 4  # what Python 3.8 writes itself
MANAGERS = "procession._managers."
CONTEXT, POOL = "multiprocessing.context", "multiprocessing.pool"
COUNTERPARTS = {
    ("procession.errors", "ProcessError"): (CONTEXT, "ProcessError"),
    ("procession.errors", "BufferTooShort"): (CONTEXT, "BufferTooShort"),
    ("procession.errors", "TimeoutError"): (CONTEXT, "TimeoutError"),
    ("procession.errors", "AuthenticationError"): (CONTEXT, "AuthenticationError"),
    ("procession.errors", "ShutDown"): ("queue", "ShutDown"),
    ("procession._pools.failures", "MaybeEncodingError"): (POOL, "MaybeEncodingError"),
    ("procession._pools.failures", "RemoteTraceback"): (POOL, "RemoteTraceback"),
}


def _counterpart(obj: Any) -> tuple[str, str] | None:
    """Module and name that a class or function of ours has in the standard library; None if it is not ours, or has none."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if module.startswith(MANAGERS):
        return "multiprocessing.managers", name
    return COUNTERPARTS.get((module, name))


def has_counterpart(cls: type) -> bool:
    """Can an end that is not ours know this class? True for classes that are not ours, too."""
    return not cls.__module__.startswith("procession.") or _counterpart(cls) is not None


# Pickle's own writer looks a name up before it writes it. The one in Python leaves that step to a method; it is slow, and only
# messages that mention the package come here.
_Pickler: Any = pickle._Pickler


class _PeerPickler(_Pickler):  # type: ignore[misc]  # typeshed lacks most of its methods
    """A pickler that writes our classes under the standard library's names."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, PROTOCOL)
        self.dispatch_table = ForkingPickler(io.BytesIO()).dispatch_table

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and _counterpart(obj) is not None:
            return obj.__qualname__
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        counterpart = _counterpart(obj)
        if counterpart is None:
            super().save_global(obj, name)
            return
        for word in counterpart:
            self.save(word)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


def dumps(message: Any) -> bytes:
    """The pickle of a message for an end that is the standard library's."""
    buffer = io.BytesIO()
    _PeerPickler(buffer).dump(message)
    return buffer.getvalue()
