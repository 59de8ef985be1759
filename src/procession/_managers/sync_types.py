"""What a `SyncManager` makes: the standard library's classes for threads, with their newer methods on every Python version.

Promises: queues can be shut down, and whatever can be taken tells whether it is `locked()`, also on the Pythons whose own classes do not
have that yet.
Not here: locks, semaphores, barriers (`sync_*.py`); semaphores and queues of processes (`_primitives`, `_channels`), which need no manager.
"""

from __future__ import annotations

import array
import queue
import threading
import time

from procession._managers.sync_locks import Condition, Lock
from procession._managers.sync_semaphores import Semaphore
from procession._processes.thread_process import Namespace as _Namespace
from procession._processes.thread_process import ThreadValue
from procession._runtime import state
from procession.errors import ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    _Queue = queue.Queue[Any]
else:
    _Queue = queue.Queue

__all__ = [
    "Namespace",
    "Queue",
    "Value",
    "make_array",
    "take_back",
]


class Namespace(_Namespace):
    """An object for attributes; its repr shows those that do not begin with an underscore."""


class Value(ThreadValue):
    """An object with a writable attribute `value`."""


def make_array(typecode: str, sequence: Iterable[Any], lock: object = True) -> array.array[Any]:
    """An array; `lock` is of no use here."""
    return array.array(typecode, sequence)


class Queue(_Queue):
    """A queue of threads that can be shut down, as Python's own from 3.13 on; raises this package's `ShutDown`."""

    unfinished_tasks: int

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.is_shutdown: bool = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item. Full if there is no room (within `timeout` seconds), ShutDown if the queue is shut down."""
        with self.not_full:
            if self.is_shutdown:
                raise ShutDown("the queue was shut down: nothing can be put")
            if 0 < self.maxsize <= self._qsize():
                self._wait(self.not_full, self._is_full, queue.Full, timeout if block else 0.0)
                if self.is_shutdown:
                    raise ShutDown("the queue was shut down while this item waited for room: it was not put")
            self._put(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take an item. Empty if there is none (within `timeout` seconds), ShutDown if there never will be."""
        with self.not_empty:
            if not self._qsize():
                self._wait(self.not_empty, self._is_empty, queue.Empty, timeout if block else 0.0)
                if not self._qsize():
                    raise ShutDown("the queue was shut down, and nothing is left in it")
                if (
                    _is_forsaken()
                ):  # seen only later, the item could be put back only behind those that others got meanwhile
                    self.not_empty.notify()
                    raise EOFError("the client was gone before there was an item")
            item = self._get()
            self.not_full.notify()
            return item

    def put_back(self, item: Any) -> None:
        """Put an item that was got in front of all others, whatever the limit: whoever got it is gone."""
        with self.mutex:
            self.queue.appendleft(item)
            self.not_empty.notify()

    def _is_full(self) -> bool:
        return self._qsize() >= self.maxsize

    def _is_empty(self) -> bool:
        return not self._qsize()

    def _wait(
        self,
        changed: threading.Condition,
        is_unfit: Callable[[], bool],
        failure: type[Exception],
        timeout: float | None,
    ) -> None:
        """Wait until the queue is fit, or shut down."""
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else time.monotonic() + timeout
        while is_unfit() and not self.is_shutdown:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise failure
            changed.wait(left)

    def shutdown(self, immediate: bool = False) -> None:
        """From now on `put` raises ShutDown, and `get` when nothing is left. `immediate`: what is left goes, as if done."""
        with self.mutex:
            self.is_shutdown = True
            if immediate:
                while self._qsize():
                    self._get()
                    self.unfinished_tasks = max(0, self.unfinished_tasks - 1)
                self.all_tasks_done.notify_all()
            self.not_empty.notify_all()
            self.not_full.notify_all()


def _is_forsaken() -> bool:
    """Is the client gone for which this thread has waited? A client that waits says nothing: what can be read is its end."""
    connection: Any = state.serving.connection
    return connection is not None and connection.poll(0)


def take_back(obj: Any, method: str, result: Any) -> None:
    """Undo, as far as possible, a call whose result nobody receives: the client has died while it waited."""
    if method == "get" and isinstance(obj, Queue):
        obj.put_back(result)
    elif method == "acquire" and result:
        if isinstance(obj, Lock | Condition | Semaphore):
            obj.take_back()
    elif method == "wait" and isinstance(obj, Condition):
        if result and obj._is_owned():  # type: ignore[attr-defined]  # typeshed has it not
            obj.notify()  # another one takes its place
        obj.take_back()
