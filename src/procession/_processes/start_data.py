"""What a fresh child is given: what it must know of its parent, and its process object, as bytes.

Two parts, because the second can only be read when the first has been acted upon (module search path, main module). A part is a
tag and a body: the codec's for what it can say (then the child need not import pickle), pickle for the rest; functions and classes of
a main module that children cannot import (interactive, `-c`, standard input, `__main__.py`) travel by value.

Promises: what cannot be pickled raises here, before anything is started.
Not here: what is in the first part (`preparation.py`), how the bytes get there (`start_*.py`).
"""

from __future__ import annotations

import copyreg
import io
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from procession import _native
from procession._channels import pickling
from procession._processes import main_module, preparation
from procession._processes.lifecycle import Lifecycle
from procession._processes.process import AuthenticationString
from procession._runtime import state

if TYPE_CHECKING:
    from procession._processes.process import BaseProcess
    from procession._processes.reaper import Child

__all__ = ["pack", "pack_preparation", "unpack_preparation", "unpack_process"]

LENGTH = 8  # bytes of the first part's length
CODEC, PICKLE, SIMPLE = b"C", b"P", b"S"


def pack(process: BaseProcess, popen: Child, extra: dict[str, Any]) -> list[bytes | memoryview]:
    """All that the child gets, for `file_of`. While it is pickled, descriptors and keys may be handed over by `popen`.

    `extra` is added to what the child is told about this process.
    """
    door = state.extra.get("spawn")  # where packages replace it
    gather = preparation.gather if door is None else door.get_preparation_data
    known = {**gather(process._name), **extra}
    before, state.spawning.popen = state.spawning.popen, popen
    try:
        first = _encode(known)
        second = _encode_process(process)
    finally:
        state.spawning.popen = before
    return [*_with_length(first), *second]


def pack_preparation(known: dict[str, Any]) -> list[bytes | memoryview]:
    """The first part alone, for a process that has no process object."""
    return _with_length(_encode(known))


def _with_length(first: list[bytes | memoryview]) -> list[bytes | memoryview]:
    return [sum(map(len, first)).to_bytes(LENGTH, "little"), *first]


def unpack_preparation(received: bytearray) -> dict[str, Any]:
    """The first part."""
    known: dict[str, Any] = _decode(memoryview(received)[LENGTH : LENGTH + _first_length(received)])
    return known


def unpack_process(received: bytearray) -> BaseProcess:
    """The second part."""
    part = memoryview(received)[LENGTH + _first_length(received) :]
    process: BaseProcess = _rebuild(_decode(part)) if part[:1] == SIMPLE else _decode(part)
    return process


def _first_length(received: bytearray) -> int:
    return int.from_bytes(received[:LENGTH], "little")


def _decode(part: memoryview) -> Any:
    return pickling.ForkingPickler.loads(part[1:]) if part[:1] == PICKLE else _native.loads(part[1:])


def _encode(obj: Any) -> list[bytes | memoryview]:
    return [CODEC, _native.dumps(obj)] if _native.encodes(obj) else [PICKLE, _pickled(obj)]


def _encode_process(process: BaseProcess) -> list[bytes | memoryview]:
    simple = _simplified(process)
    if simple is not None and _native.encodes(simple):
        return [SIMPLE, _native.dumps(simple)]
    pickled = _pickled(process)
    if not main_module.is_importable() and b"__main__" in bytes(pickled):
        pickled = _pickled_by_value(process)
    return [PICKLE, pickled]


def _pickled(obj: Any) -> bytes | memoryview:
    reducer = state.extra.get("reducer")
    if reducer is None:
        found: memoryview = pickling.ForkingPickler.dumps(obj)
        return found
    buffer = io.BytesIO()
    reducer.dump(obj, buffer)
    return buffer.getvalue()


def _pickled_by_value(obj: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415 - third-party, for programs whose main module children cannot import

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table = {**copyreg.dispatch_table, **cloudpickle.Pickler.dispatch_table, **state.reducers}

    buffer = io.BytesIO()
    Pickler(buffer).dump(obj)
    return buffer.getvalue()


# ── processes that need no pickle ────────────────────────────────────────────────────────────────────────────────────────
def _simplified(process: BaseProcess) -> tuple[Any, ...] | None:
    """(class, target, the other attributes) in builtin types, if that is all there is to it; None: it takes a pickle."""
    cls = type(process)
    attributes = dict(process.__dict__)
    target = attributes.pop("_target", None)
    names = [_global_name(cls), None if target is None else _global_name(target)]
    if names[0] is None or (target is not None and (type(target) is not FunctionType or names[1] is None)):
        return None
    if not _is_plain(cls) or {cls, FunctionType, AuthenticationString} & {*copyreg.dispatch_table, *state.reducers}:
        return None
    attributes.pop("_lifecycle", None)
    config = dict(attributes.pop("_config", {}))
    config["authkey"] = bytes(config["authkey"])
    return (*names, config, attributes)


def _is_plain(cls: type) -> bool:
    """Does the class leave it to `object` how its instances are made and pickled?"""
    plain = ("__reduce_ex__", "__reduce__", "__getstate__", "__new__")
    return all(getattr(cls, name) is getattr(object, name) for name in plain) and not hasattr(cls, "__setstate__")


def _global_name(obj: Any) -> tuple[str, str] | None:
    """(module, qualified name) by which a child finds a function or class; None if it cannot be found so."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return None
    if module in ("__main__", main_module.NAME) and not main_module.is_importable():
        return None
    try:
        return (module, name) if _find(module, name) is obj else None
    except AttributeError:
        return None


def _find(module: str, name: str) -> Any:
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _rebuild(simple: tuple[Any, ...]) -> BaseProcess:
    cls, target, config, attributes = simple
    for module, _name in filter(None, (cls, target)):
        __import__(module)
    process: BaseProcess = object.__new__(_find(*cls))
    config["authkey"] = AuthenticationString(config["authkey"])
    process.__dict__.update(attributes, _config=config, _lifecycle=Lifecycle.INITIAL)
    process._target = None if target is None else _find(*target)
    return process
