"""Who holds what, in words: the exceptions that the native core raises through this module.

Not here: how a death is noticed (the native core).
"""

from __future__ import annotations

import os
import sys
from _queue import Empty  # that of `queue`, which takes a child 2 ms with all that it imports

from procession import _native, errors
from procession._runtime import state
from procession.errors import OwnerDied, StaleHandle

__all__ = ["describe", "holder_name", "process_name"]


def describe(obj: object) -> str:
    """What messages call a shared object: its class, with its name or its place in the arena."""
    kind = type(obj).__name__
    name = getattr(obj, "name", None)
    if name:
        return f"{kind} {name!r}"
    handle = getattr(obj, "handle", None)
    return f"{kind} at offset {handle[0]:#x}" if handle else kind


def process_name() -> str:
    """The name of this process, with the thread's where it is not the main one."""
    name = state.current.name if state.current is not None else f"pid {os.getpid()}"
    threading = sys.modules.get("threading")  # where nobody has imported it, there is no other thread
    thread = "MainThread" if threading is None else threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


def holder_name(obj: _native.Lock | _native.RLock) -> str:
    """Who holds a lock, in the words of the standard library's `repr`."""
    if obj.is_mine():
        return process_name()
    owner = obj.owner()
    if not owner:
        return "None"
    return "SomeOtherThread" if owner >> 32 == _native.thread_owner() >> 32 else "SomeOtherProcess"


def _owner_died(obj: object, owner: int) -> BaseException:
    record = _native.owner_record(owner)
    if record is None:
        return OwnerDied(describe(obj), None, None)
    pid, name, exitcode, seconds = record
    return OwnerDied(describe(obj), pid, name, exitcode, seconds)


def _broken_barrier() -> type[BaseException]:
    import threading  # noqa: PLC0415 - 2 ms that a child which breaks no barrier need not pay

    return threading.BrokenBarrierError


def _full() -> type[BaseException]:
    import queue  # noqa: PLC0415 - as above

    return queue.Full


_native.configure(
    owner_died=_owner_died,
    stale=StaleHandle,
    broken_barrier=_broken_barrier,
    shut_down=lambda: errors.ShutDown,
    empty=Empty,
    full=_full,
)
