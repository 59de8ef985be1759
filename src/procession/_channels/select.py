"""Waiting until one of several objects is ready: connections, sockets, descriptors, processes, queues, events, locks, semaphores.

Promises: a result says which objects are ready now, in the order in which they were given. A wait ends at its deadline. Where all
objects have descriptors, it is one poll(); for shared objects a native thread beside it sleeps on their words.
Not here: how a shared object becomes a descriptor (native, `Watcher`).
"""

from __future__ import annotations

import time

from procession import _native
from procession._os import descriptors

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

__all__ = ["wait"]


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Those of `object_list` that are ready, in that order; an empty list if none is after `timeout` seconds (None: no limit).

    Ready is: a connection or socket with something to receive or at its end; a process, or its `sentinel`, that has ended; a descriptor
    that can be read; a queue that is not empty, or shut down; an event that is set; a lock or semaphore that can be taken, or whose holder
    is dead, so that taking it raises `OwnerDied`. Any other object has a method `_watchable()`, which returns one of these.
    ValueError for an empty list without a timeout (it would wait for ever) and for a closed object; TypeError for what nobody can wait for.
    """
    objects = list(object_list)
    if not objects and timeout is None:
        raise ValueError("nothing to wait for, and no timeout: this would wait for ever")
    targets = [_target(obj) for obj in objects]
    fds = {target for target in targets if isinstance(target, int)}
    natives = list({target for target in targets if not isinstance(target, int)})
    ready = _ready(fds, natives)
    if not ready and (timeout is None or timeout > 0):
        ready = _sleep(fds, natives, None if timeout is None else time.monotonic() + timeout)
    return [obj for obj, target in zip(objects, targets, strict=True) if target in ready]


def _target(obj: Any) -> Any:
    """The descriptor or native object behind what can be waited for."""
    if isinstance(obj, int):
        found: Any = obj
    elif hasattr(obj, "_watchable"):
        found = obj._watchable()
    elif isinstance(obj, _native.Queue | _native.Event | _native.Semaphore | _native.Lock | _native.RLock):
        found = obj
    elif hasattr(obj, "fileno"):
        found = obj.fileno()
    elif hasattr(obj, "sentinel"):
        found = obj.sentinel
    else:
        raise TypeError(
            f"cannot wait for {obj!r}: it has no fileno(), and is no queue, event, lock, semaphore or process"
        )
    if isinstance(found, int) and found < 0:
        raise ValueError(f"cannot wait for {obj!r}: it is closed")
    return found


def _is_ready(native: Any) -> bool:
    if isinstance(native, _native.Queue):
        return not native.empty() or native.is_shut_down()
    if isinstance(native, _native.Event):
        return native.is_set()
    return not native.locked()


def _ready(fds: set[int], natives: Sequence[Any]) -> set[Any]:
    """What is ready now."""
    found: set[Any] = {native for native in natives if _is_ready(native)}
    return found | descriptors.wait_readable(fds, 0) if fds else found


def _sleep(fds: set[int], natives: Sequence[Any], deadline: float | None) -> set[Any]:
    """What is ready at last; empty if nothing is at the deadline."""
    if not natives:
        return descriptors.wait_readable(fds, _left(deadline))
    while True:
        watcher = _native.Watcher(natives)
        try:
            ready = _ready(fds, natives)  # after the watcher has begun to look: nothing can come between unseen
            if not ready and not descriptors.wait_readable({*fds, watcher.fileno()}, _left(deadline)):
                return set()
        finally:
            watcher.close()
        ready = ready or _ready(fds, natives) or {native for native in natives if _is_orphaned(native)}
        if ready:
            return ready


def _is_orphaned(native: Any) -> bool:
    """Would taking this lock or semaphore not block, though it is held: because its holder is dead?"""
    watcher = _native.Watcher([native])
    try:
        return bool(descriptors.wait_readable((watcher.fileno(),), 0))
    finally:
        watcher.close()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
