"""Results as users see them: `AsyncResult`, and the iterators of `imap`.

Promises: a result that will never come is an exception, never a silent wait. Callbacks run before `get` returns.
Not here: where answers come from (`dispatch.py`).
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from procession.errors import TimeoutError as ProcessTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession._pools.dispatch import Dispatcher

__all__ = ["AsyncResult", "IMapIterator", "IMapUnorderedIterator", "MapResult"]

T = TypeVar("T")


def _call_back(callback: Callable[[Any], object], value: Any) -> None:
    """Run a user's callback; what it raises goes where errors of threads go, and harms nobody else."""
    try:
        callback(value)
    except Exception:  # noqa: BLE001 - reported through threading.excepthook
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


class AsyncResult(Generic[T]):
    """The result of one call that a worker makes."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        function: Callable[..., Any],
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        pool: object = None,
    ) -> None:
        self.done: bool = False
        self.function = function
        self._dispatcher = dispatcher
        self._callback = callback
        self._error_callback = error_callback
        self._success = True
        self._value: Any = None
        self._pool = pool  # keeps the pool alive until there is a result

    @property
    def has_callbacks(self) -> bool:
        """Must answers be read though nobody waits?"""
        return self._callback is not None or self._error_callback is not None

    def settle(self, index: int, success: bool, value: Any) -> None:
        """The answer to the call."""
        self._success, self._value = success, value
        self._conclude()

    def _conclude(self) -> None:
        callback = self._callback if self._success else self._error_callback
        attended = self.has_callbacks
        if callback is not None:
            _call_back(callback, self._value)
        self.done = True
        self._callback = self._error_callback = self._pool = None
        if attended:
            self._dispatcher.unattend()

    def ready(self) -> bool:
        """Has the call ended?"""
        return self.done or self._dispatcher.wait(self, 0)

    def successful(self) -> bool:
        """Has the call ended without raising? ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call has ended, or for `timeout` seconds."""
        if not self.done:
            self._dispatcher.wait(self, timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result; raises what the call raised, or `TimeoutError` after `timeout` seconds."""
        if not self.done and not self._dispatcher.wait(self, timeout):
            raise ProcessTimeoutError(f"no result after {timeout} s")
        if self._success:
            result: T = self._value
            return result
        raise self._value

    @classmethod
    def __class_getitem__(cls, _item: Any) -> Any:
        return cls


class MapResult(AsyncResult[list[T]]):
    """The results of a map: a list, in the order of the items, complete or an exception (that of the first task that failed)."""

    def __init__(  # noqa: PLR0913 - as its base, and how many chunks
        self,
        dispatcher: Dispatcher,
        function: Callable[..., Any],
        chunk_count: int,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        pool: object = None,
    ) -> None:
        super().__init__(dispatcher, function, callback, error_callback, pool)
        self._chunks: list[list[T]] = [[]] * chunk_count
        self._left = chunk_count
        if chunk_count == 0:
            self._value = []
            self._finish_map()

    def settle(self, index: int, success: bool, value: Any) -> None:
        """One chunk was answered."""
        if success:
            self._chunks[index] = value
        elif self._success:
            self._success, self._value = False, value
        self._left -= 1
        if self._left == 0:
            self._finish_map()

    def _finish_map(self) -> None:
        if self._success:
            self._value = [item for chunk in self._chunks for item in chunk]
        self._chunks = []
        self._conclude()


class IMapIterator(Generic[T]):
    """The results of `imap`, in the order of the items; `next(timeout=None)` raises `TimeoutError` when time runs out."""

    def __init__(self, dispatcher: Dispatcher, function: Callable[..., Any], pool: object = None) -> None:
        self.done: bool = False  # an answer is there that has not been handed out
        self.function = function
        self._dispatcher = dispatcher
        self._pool = pool
        self._lock = threading.Lock()
        self._items: collections.deque[tuple[bool, Any]] = collections.deque()
        self._early: dict[int, tuple[bool, Any]] = {}
        self._index = 0  # the next chunk to hand out
        self._length: int | None = None  # chunks; None while the input is not at its end
        self._settled = 0
        self._feed: Callable[[], None] | None = None

    # ── filled by the dispatcher and the feeder ──────────────────────────────────────────────────────────────────────
    def settle(self, index: int, success: bool, value: Any) -> None:
        """One chunk was answered."""
        with self._lock:
            self._settled += 1
            self._accept(index, success, value)
            self._refresh()

    def _accept(self, index: int, success: bool, value: Any) -> None:
        self._early[index] = (success, value)
        while self._index in self._early:
            self._hand_out(*self._early.pop(self._index))
            self._index += 1

    def _hand_out(self, success: bool, value: Any) -> None:
        if success:
            self._items.extend((True, item) for item in value)
        else:
            self._items.append((False, value))

    def set_length(self, chunks: int) -> None:
        """The input ended after so many chunks."""
        with self._lock:
            self._length = chunks
            self._refresh()

    def unanswered(self, submitted: int) -> int:
        """Of so many submitted chunks, how many have no answer yet."""
        return submitted - self._settled

    def set_feed(self, feed: Callable[[], None] | None) -> None:
        """What to call when an item was handed out, so that more of the input is submitted (`buffersize`)."""
        self._feed = feed

    def _refresh(self) -> None:
        ended = self._length is not None and self._settled >= self._length
        self.done = bool(self._items) or ended
        if ended:
            self._pool = None

    # ── read by the user ─────────────────────────────────────────────────────────────────────────────────────────────
    def __iter__(self) -> IMapIterator[T]:
        return self

    def next(self, timeout: float | None = None) -> T:
        """The next result; raises what its call raised, StopIteration at the end, `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                if self._items:
                    success, value = self._items.popleft()
                    self._refresh()
                    break
                if self.done:
                    raise StopIteration
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._dispatcher.wait(self, left):
                raise ProcessTimeoutError(f"no result after {timeout} s")
        if self._feed is not None:
            self._feed()
        if success:
            result: T = value
            return result
        raise value

    def __next__(self) -> T:
        return self.next()


class IMapUnorderedIterator(IMapIterator[T]):
    """The results of `imap_unordered`, as they come."""

    def _accept(self, index: int, success: bool, value: Any) -> None:
        self._hand_out(success, value)
