"""How objects become bytes: `ForkingPickler`, who registers reductions with it, and what the native codec falls back on.

Promises: pickle itself is imported when an object first needs it, not before: importing it takes 2 to 3 ms, which every spawned
child would pay. A pickle that names a module `multiprocessing…` (a standard-library peer sent it) finds ours.
Not here: the codec for builtin types (native), how descriptors travel (`sharer`).
"""

from __future__ import annotations

import copyreg
import io
import sys

from procession._channels import handles
from procession._channels.sharer import duplicate, reduce_socket
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable
    from typing import Any, Final

    from _typeshed import ReadableBuffer, SupportsWrite

__all__ = [
    "AbstractReducer",
    "ForkingPickler",
    "assert_spawning",
    "dump",
    "fallback_dumps",
    "fallback_loads",
    "get_spawning_popen",
    "loads",
    "register",
    "set_spawning_popen",
]

PEER = "multiprocessing"  # what standard-library peers call the modules that are ours
OURS = "procession"
ON_THE_WIRE = {"multiprocessing.managers"}  # ours even in a program that uses the standard library's module too
SCANNED = 64 << 10  # bytes: up to here looking for PEER costs less than an unpickler of our own (about 1 us)

_here: Any = sys.modules[__name__]  # asked for the classes below, it defines them


class _Forking:
    """What `ForkingPickler` has beyond a pickler, which is mixed in when pickle is first needed."""

    _extra_reducers = state.reducers

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dispatch_table: Any = _dispatch_table()

    @classmethod
    def register(cls, type: type, reduce: Callable[[Any], Any]) -> None:
        """From now on reduce objects of exactly this type by `reduce(obj)`, which returns what `__reduce__` would."""
        state.reducers[type] = reduce

    @classmethod
    def dumps(cls, obj: Any, protocol: int | None = None) -> memoryview:
        """The pickle of `obj`, as a buffer."""
        buffer = io.BytesIO()
        cls(buffer, protocol).dump(obj)  # type: ignore[attr-defined]  # the pickler's
        return buffer.getbuffer()

    @staticmethod
    def loads(data: ReadableBuffer, /, **options: Any) -> Any:
        """The object in a pickle; `options` are those of `pickle.loads`."""
        if memoryview(data).nbytes <= SCANNED:
            plain = bytes(data)
            if PEER.encode() not in plain:
                return _here._pickle_loads(plain, **options)
        return _here._PeerUnpickler(io.BytesIO(data), **options).load()


def _dispatch_table() -> dict[type, Callable[[Any], Any]]:
    """copyreg's table with ours over it; made anew for each pickle, as both may have grown."""
    sockets = sys.modules.get("socket")
    if sockets is not None:
        state.reducers.setdefault(sockets.socket, reduce_socket)
    return {**copyreg.dispatch_table, **state.reducers}


def _find_class(unpickler: Any, module: str, name: str) -> Any:
    """What a pickle names, with the standard library's module names read as ours."""
    find = super(_here._PeerUnpickler, unpickler).find_class
    if not (module == PEER or module.startswith(PEER + ".")):
        return find(module, name)
    if module in sys.modules and module not in ON_THE_WIRE:
        return find(module, name)  # both are in this program, or the name is ours already
    return find(OURS + module.removeprefix(PEER), name)


def __getattr__(name: str) -> Any:
    if name not in ("ForkingPickler", "_PeerUnpickler", "_pickle_loads"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pickle  # noqa: PLC0415 - see the promise above

    about = {
        "__module__": __name__,
        "__doc__": "The package's pickler: `register` teaches it how to reduce further types.",
    }
    _here._pickle_loads = pickle.loads
    _here._PeerUnpickler = type("_PeerUnpickler", (pickle.Unpickler,), {"find_class": _find_class})
    _here.ForkingPickler = type("ForkingPickler", (_Forking, pickle.Pickler), about)
    return getattr(_here, name)


if TYPE_CHECKING:

    class ForkingPickler(_Forking, pickle.Pickler):
        """The package's pickler: `register` teaches it how to reduce further types."""

        dispatch_table: Any


register: Final = _Forking.register
loads: Final = _Forking.loads


def dump(obj: Any, file: SupportsWrite[bytes], protocol: int | None = None) -> None:
    """Write the pickle of `obj` to a binary file."""
    _here.ForkingPickler(file, protocol).dump(obj)


def fallback_dumps(obj: Any) -> memoryview:
    """The pickle of an object that the native codec cannot say."""
    pickled: memoryview = _here.ForkingPickler.dumps(obj)
    return pickled


def fallback_loads(data: memoryview) -> Any:
    """The object in a message that is not the native codec's."""
    return _Forking.loads(data)


class AbstractReducer:
    """Base class for replacements of the module behind `context.reducer`."""

    ForkingPickler: Any
    register: Callable[[type, Callable[[Any], Any]], None] = register
    DupFd: Any = staticmethod(duplicate)
    send_handle: Any = staticmethod(handles.send_handle)
    recv_handle: Any = staticmethod(handles.recv_handle)
    sendfds: Any = staticmethod(handles.sendfds)
    recvfds: Any = staticmethod(handles.recvfds)

    def __init__(self) -> None:
        self.ForkingPickler = _here.ForkingPickler

    @staticmethod
    def dump(obj: Any, file: SupportsWrite[bytes], protocol: int | None = None) -> None:
        """Write the pickle of `obj` to a binary file."""
        dump(obj, file, protocol)


def get_spawning_popen() -> Any:
    """What this thread is starting right now; None: nothing."""
    return state.spawning.popen


def set_spawning_popen(popen: Any) -> None:
    """Say what this thread is starting: while it is set, pickling hands descriptors to that child.

    Packages with start methods of their own call this: the child inherits the arena with the first shared object.
    """
    state.spawning.popen = popen
    state.spawning.by_others = popen is not None
    state.spawning.arena = None


def assert_spawning(obj: object) -> None:
    """RuntimeError unless this thread is starting a process."""
    if state.spawning.popen is None:
        raise RuntimeError(
            f"{type(obj).__name__} objects should only be shared between processes through inheritance: "
            "pass it as an argument of the Process"
        )
