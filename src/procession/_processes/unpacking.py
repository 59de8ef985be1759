"""What a fresh child makes of the bytes that it is given.

    length of the first part (8 bytes, little-endian) | what it must know of its parent | its process object

Two parts, because the second can only be read when the first has been acted upon (module search path, main module). A part is
    C body                   the codec's
    S body                   the codec's: (class, target, configuration, the other attributes, objects among the arguments) of a
                             process that needs no pickle; an object is (its place, and those in tuples; what makes it; of which class,
                             or None; of what)
    P module name NUL body   a pickle, which the named module reads, unless it is a plain one

Promises: pickle is imported only for a part that is one, and not for a plain one.
Not here: who writes it (`start_data.py`).
"""

from __future__ import annotations

import importlib
import sys

from procession import _native
from procession._processes.lifecycle import Lifecycle
from procession._processes.process import AuthenticationString

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from procession._processes.process import BaseProcess

__all__ = [
    "CODEC",
    "LENGTH",
    "PICKLE",
    "SCANNED",
    "SIMPLE",
    "find_global",
    "unpack_preparation",
    "unpack_process",
    "unpickle",
]

LENGTH = 8
CODEC, PICKLE, SIMPLE = b"C", b"P", b"S"
FORKING = f"{__name__.partition('.')[0]}._channels.pickling"
PEER = b"multiprocessing"  # names of this package are read as ours, by the named module's unpickler
SCANNED = 64 << 10  # bytes that are looked through for it


def unpack_preparation(received: bytearray) -> dict[str, Any]:
    """The first part."""
    known: dict[str, Any] = _decode(memoryview(received)[LENGTH : LENGTH + _first_length(received)])
    return known


def unpack_process(received: bytearray) -> BaseProcess:
    """The second part."""
    part = memoryview(received)[LENGTH + _first_length(received) :]
    process: BaseProcess = _rebuild(_native.loads(part[1:])) if part[:1] == SIMPLE else _decode(part)
    return process


def _first_length(received: bytearray) -> int:
    return int.from_bytes(received[:LENGTH], "little")


def _decode(part: memoryview) -> Any:
    if part[:1] == CODEC:
        return _native.loads(part[1:])
    module, _, _ = bytes(part[1:64]).partition(b"\0")
    return unpickle(part[len(module) + 2 :], module.decode())


def unpickle(pickled: bytes | memoryview, module: str = FORKING) -> Any:
    """The object in a pickle; unless it is a plain one, by the `ForkingPickler` of a module."""
    if len(pickled) <= SCANNED and PEER not in bytes(pickled):
        from _pickle import loads  # noqa: PLC0415 - what `pickle` itself reads with, without the 4 ms that `pickle` takes

        return loads(pickled)
    return importlib.import_module(module).ForkingPickler.loads(pickled)


def find_global(module: str, name: str) -> Any:
    """The function or class of this qualified name; its module has to be imported already."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _make(makes: tuple[str, str], kind: tuple[str, str] | None, told: tuple[Any, ...]) -> Any:
    for module, _name in filter(None, (kind, makes)):
        importlib.import_module(module)
    return find_global(*makes)(*told) if kind is None else find_global(*makes)(find_global(*kind), *told)


def _with(args: tuple[Any, ...], places: tuple[int, ...], obj: Any) -> tuple[Any, ...]:
    """The arguments with an object at its place in them, or in tuples among them."""
    place, *inner = places
    found = _with(args[place], tuple(inner), obj) if inner else obj
    return (*args[:place], found, *args[place + 1 :])


def _rebuild(simple: tuple[Any, ...]) -> BaseProcess:
    cls, target, config, attributes, objects = simple
    for module, _name in filter(None, (cls, target)):
        importlib.import_module(module)
    for places, makes, kind, told in objects:
        attributes["_args"] = _with(attributes["_args"], places, _make(makes, kind, told))
    process: BaseProcess = object.__new__(find_global(*cls))
    config["authkey"] = AuthenticationString(config["authkey"])
    process.__dict__.update(attributes, _config=config, _lifecycle=Lifecycle.INITIAL)
    process._target = None if target is None else find_global(*target)
    return process
