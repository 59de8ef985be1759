"""What a fresh child is given, as bytes: what it must know of its parent, and its process object. (`unpacking.py` draws the format.)

The codec says what it can, so that the child need not import pickle; pickle says the rest. Functions and classes of a main module
that children cannot import (interactive, `-c`, standard input, `__main__.py`) travel by value.

Promises: what cannot be pickled raises here, before anything is started.
Not here: what is in the first part (`preparation.py`), how the bytes get there (`start_*.py`).
"""

from __future__ import annotations

import copyreg
import io
import sys
from types import FunctionType

from procession import _native
from procession._channels import pickling
from procession._primitives import sharing
from procession._processes import main_module, preparation
from procession._processes.process import AuthenticationString
from procession._processes.unpacking import CODEC, LENGTH, PICKLE, SCANNED, SIMPLE, find_global
from procession._runtime import state
from procession.errors import StartError

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from procession._processes.process import BaseProcess
    from procession._processes.reaper import Child

__all__ = ["global_name", "own_modules", "pack", "pack_preparation"]

OWN = f"{__name__.partition('.')[0]}._"
MOST_MODULES = 50  # so that their names fit a packet
REBUILD = (sharing.__name__, sharing.rebuild.__name__)
PICKLED = [PICKLE, pickling.__name__.encode(), b"\0"]


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


def own_modules(packed: list[bytes | memoryview]) -> list[bytes]:
    """The modules of this package, of those loaded here, that the process object needs: their names stand in its pickle."""
    pickled = bytes(packed[-1])
    if packed[-2] == SIMPLE or len(pickled) > SCANNED:
        return []
    names = [name.encode() for name in list(sys.modules) if name.startswith(OWN)]
    return [name for name in names if name in pickled][:MOST_MODULES]


def pack_preparation(known: dict[str, Any]) -> list[bytes | memoryview]:
    """The first part alone, for a process that has no process object."""
    return _with_length(_encode(known))


def _with_length(first: list[bytes | memoryview]) -> list[bytes | memoryview]:
    return [sum(map(len, first)).to_bytes(LENGTH, "little"), *first]


def _encode(obj: Any) -> list[bytes | memoryview]:
    return [CODEC, _native.dumps(obj)] if _native.encodes(obj) else [*PICKLED, _pickled(obj)]


def _encode_process(process: BaseProcess) -> list[bytes | memoryview]:
    simple = _simplified(process)
    if simple is not None:
        objects = _take_out(simple[-1])
        simple = (*simple, [(places, *_told(obj)) for places, obj in objects])
        if _native.encodes(simple):
            encoded = _native.dumps(simple)
            for _places, obj in objects:
                if isinstance(obj, _native.Object):
                    obj.pin()  # until it has arrived: its copy here may be gone by then
            return [SIMPLE, encoded]
    pickled = _pickled(process)
    if not main_module.is_importable() and b"__main__" in bytes(pickled):
        pickled = _pickled_by_value(process)
    return [*PICKLED, pickled]


def _pickled(obj: Any) -> bytes | memoryview:
    reducer = state.extra.get("reducer")
    if reducer is None:
        found: memoryview = pickling.ForkingPickler.dumps(obj)
        return found
    buffer = io.BytesIO()
    reducer.dump(obj, buffer)
    return buffer.getvalue()


def _pickled_by_value(obj: Any) -> bytes:
    try:
        import cloudpickle  # noqa: PLC0415 - third-party, for programs whose main module children cannot import
    except ImportError as error:
        raise StartError(
            "the process needs a function or class of a main module that children cannot import (it is interactive, or from "
            "standard input, -c or a __main__.py): install cloudpickle, or move the function to a module"
        ) from error

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[dict[type, Any]] = {
            **copyreg.dispatch_table,
            **cloudpickle.Pickler.dispatch_table,
            **state.reducers,
        }

    buffer = io.BytesIO()
    Pickler(buffer).dump(obj)
    return buffer.getvalue()


# ── processes that need no pickle ────────────────────────────────────────────────────────────────────────────────────────
def _simplified(process: BaseProcess) -> tuple[Any, ...] | None:
    """(class, target, configuration, the other attributes) in builtin types, if that is all there is to it; None: it takes a pickle."""
    cls = type(process)
    attributes = dict(process.__dict__)
    target = attributes.pop("_target", None)
    if not _is_plain(cls) or "_kwargs" not in attributes or (target is not None and type(target) is not FunctionType):
        return None
    names = (global_name(cls), None if target is None else global_name(target))
    reduced = {*copyreg.dispatch_table, *state.reducers}
    if (
        names[0] is None
        or (target is not None and names[1] is None)
        or reduced & {cls, FunctionType, AuthenticationString}
    ):
        return None
    attributes.pop("_lifecycle", None)
    attributes["_kwargs"] = dict(attributes["_kwargs"])  # the codec refuses what others refer to, too
    config = dict(attributes.pop("_config", {}))
    config["authkey"] = bytes(config["authkey"])
    return (*names, config, attributes)


def _take_out(attributes: dict[str, Any]) -> list[tuple[tuple[int, ...], Any]]:
    """(places, object) of those among the arguments that can tell in builtin types what they are; leaves None in their places.

    Only for children that inherit descriptors under the same number. None are taken if one is there twice: it has to stay one.
    """
    found: list[tuple[tuple[int, ...], Any]] = []
    if getattr(state.spawning.popen, "method", None) != "spawn":
        return found
    args = _without_objects(attributes["_args"], (), found)
    objects = [obj for _places, obj in found]
    if len({*map(id, objects)}) < len(objects) or not all(map(_told, objects)):
        return []
    attributes["_args"] = args
    return found


def _told(obj: Any) -> tuple[Any, ...]:
    """(what makes it, of which class or None, of what); empty if it takes a pickle."""
    cls, name = type(obj), global_name(type(obj))
    if name is None or cls in copyreg.dispatch_table or cls in state.reducers:
        return ()
    if not isinstance(obj, _native.Object):
        return name, None, obj._told()
    told = sharing.told(obj)
    return () if told is None else (REBUILD, name, told)


def _without_objects(
    args: tuple[Any, ...], places: tuple[int, ...], found: list[tuple[tuple[int, ...], Any]]
) -> tuple[Any, ...]:
    rest: list[Any] = []
    for place, arg in enumerate(args):
        here = (*places, place)
        if type(arg) is tuple:
            rest.append(_without_objects(arg, here, found))
        elif isinstance(arg, _native.Object) or hasattr(type(arg), "_told"):
            found.append((here, arg))
            rest.append(None)
        else:
            rest.append(arg)
    return tuple(rest)


def _is_plain(cls: type) -> bool:
    """Does the class leave it to `object` how its instances are made and pickled?"""
    plain = ("__reduce_ex__", "__reduce__", "__getstate__", "__new__")
    return all(getattr(cls, name) is getattr(object, name) for name in plain) and not hasattr(cls, "__setstate__")


def global_name(obj: Any) -> tuple[str, str] | None:
    """(module, qualified name) by which a child finds a function or class; None if it cannot be found so."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return None
    if module in ("__main__", main_module.NAME) and not main_module.is_importable():
        return None
    try:
        return (module, name) if find_global(module, name) is obj else None
    except AttributeError:
        return None
