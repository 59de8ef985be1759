"""Results as users see them: `AsyncResult`, and the iterators of `imap`.

Promises: a result that will never come is an exception, never a silent wait. Callbacks run before `get` returns.
Not here: where answers come from (`dispatch.py`).
"""

from __future__ import annotations

import collections
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from procession._pools.jobs import TaskState
from procession.errors import TimeoutError as ProcessTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procession._pools.dispatch import Dispatcher

__all__ = ["AsyncResult", "IMapIterator", "IMapUnorderedIterator", "MapResult"]

T = TypeVar("T")


class AsyncResult(Generic[T]):
    """The result of one call that a worker makes; in the books it stands for the call itself, as their one task of it."""

    comes_whole = True
    index = 0
    block = None
    state = TaskState.WAITING
    call: int
    func: Any
    payload: Any = None

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
        self._attended = callback is not None or error_callback is not None
        self._calling_back = False
        self._success = True
        self._value: Any = None
        self._pool = pool  # keeps the pool alive until there is a result

    @property
    def has_callbacks(self) -> bool:
        """Must answers be read though nobody waits?"""
        return self._attended

    @property
    def job(self) -> AsyncResult[T]:
        """Itself, as a task's job."""
        return self

    def settle(self, index: int, success: bool, value: Any) -> None:
        """The answer to the call."""
        if not self.done:
            self._success, self._value = success, value

    def conclude(self) -> None:
        """The call has ended. Once more, from within: its callback uses the pool, and so reads the same answers again."""
        if self._calling_back:
            return
        if self._attended:
            self._run_callback()
        self.done = True
        self._pool = self.payload = None

    def _run_callback(self) -> None:
        """Run the user's callback, once; what it raises goes where errors of threads go, and harms nobody else."""
        callback = self._callback if self._success else self._error_callback
        self._callback = self._error_callback = None
        try:
            self._calling_back = True
            if callback is not None:
                self._dispatcher.call_back(callback, self._value)
        except BaseException as error:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
        finally:
            self._calling_back = False
            self.done = True
            if self._attended:
                self._attended = False
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
        self._chunks: list[Any] = [()] * chunk_count
        if chunk_count == 0:
            self.conclude()

    def settle(self, index: int, success: bool, value: Any) -> None:
        """One chunk was answered."""
        if success:
            self._chunks[index] = value
        elif self._success:
            self._success, self._value = False, value

    def conclude(self) -> None:
        """All chunks were answered."""
        if self._success and self._value is None:
            self._value = list(itertools.chain.from_iterable(self._chunks))
        self._chunks = []
        if not self.done:
            super().conclude()


class IMapIterator(Generic[T]):
    """The results of `imap`, in the order of the items; `next(timeout=None)` raises `TimeoutError` when time runs out."""

    comes_whole = False

    def __init__(
        self, dispatcher: Dispatcher, function: Callable[..., Any], pool: object = None, chunksize: int = 1
    ) -> None:
        self.function = function
        self._dispatcher = dispatcher
        self._pool = pool
        self._is_chunked = chunksize > 1
        self._lock = threading.RLock()
        self._chunks: collections.deque[Iterator[Any]] = collections.deque()  # the first is being handed out
        self._early: dict[int, Iterator[Any]] = {}
        self._index = 0  # the next chunk to hand out
        self._length: int | None = None  # chunks; None while the input is not at its end
        self._settled: int = 0  # chunks
        self._feed: Callable[[], object] | None = None
        self._pull: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Is there an answer that has not been handed out, or none left to come?"""
        return bool(self._chunks) or self._ended()

    def _ended(self) -> bool:
        return self._length is not None and self._settled >= self._length

    # ── filled by the dispatcher and the feeder ──────────────────────────────────────────────────────────────────────
    def settle(self, index: int, success: bool, value: Any) -> None:
        """One chunk was answered."""
        with self._lock:
            self._accept(index, iter(value) if success else _Failure(value))
            self._settled += 1
            if self._ended():
                self._pool = None

    def conclude(self) -> None:
        """A block of tasks is answered: there is nothing to do."""

    def _accept(self, index: int, chunk: Iterator[Any]) -> None:
        early = self._early
        if index != self._index:
            early[index] = chunk
            return
        self._chunks.append(chunk)
        self._index += 1
        while early and self._index in early:
            self._chunks.append(early.pop(self._index))
            self._index += 1

    def set_length(self, chunks: int) -> None:
        """The input ended after so many chunks."""
        with self._lock:
            self._length = chunks
            if self._ended():
                self._pool = None

    def unanswered(self, submitted: int) -> int:
        """Of so many submitted chunks, how many have no answer yet."""
        return submitted - self._settled

    def unread(self, submitted: int) -> int:
        """Of so many submitted chunks, how many have not been handed out to the end. Counted anew: an interrupt cannot falsify it."""
        with self._lock:
            return submitted - self._settled + len(self._early) + len(self._chunks)

    def set_feed(self, feed: Callable[[], object] | None, pull: Callable[[], None] | None = None) -> None:
        """What to call when a chunk was handed out, so that more of the input is submitted (`buffersize`), and before waiting."""
        self._feed = feed
        self._pull = pull

    # ── read by the user ─────────────────────────────────────────────────────────────────────────────────────────────
    def __iter__(self) -> Iterator[T]:
        return self._read() if self._is_chunked else self

    def _read(self) -> Iterator[T]:
        """As `next`, again and again, without a call for each item; both hand out of the same chunks."""
        while True:
            chunk = self._first_chunk(None)
            if chunk is None:
                return
            yield from chunk
            self._drop(chunk)

    def next(self, timeout: float | None = None) -> T:
        """The next result; raises what its call raised, StopIteration at the end, `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            chunk = self._first_chunk(deadline)
            if chunk is None:
                raise StopIteration
            for value in chunk:
                if not chunk.__length_hint__():  # type: ignore[attr-defined]
                    self._drop(chunk)
                result: T = value
                return result
            self._drop(chunk)

    __next__ = next

    def _first_chunk(self, deadline: float | None) -> Iterator[T] | None:
        """What is being handed out, waiting for it; None at the end. It stays there until it is empty: no interrupt loses it."""
        chunks = self._chunks
        while True:
            try:
                return chunks[0]
            except IndexError:
                if self._ended() and not chunks:  # in this order: what ends it may be the last item
                    return None
            if self._pull is not None:
                self._pull()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._dispatcher.wait(self, left):
                raise ProcessTimeoutError("no result in the given time")

    def _drop(self, chunk: Iterator[Any]) -> None:
        """All of this chunk was handed out."""
        with self._lock:
            if self._chunks and self._chunks[0] is chunk:  # else another thread was faster
                self._chunks.popleft()
        if self._feed is not None:
            self._feed()


class IMapUnorderedIterator(IMapIterator[T]):
    """The results of `imap_unordered`, as they come."""

    def _accept(self, index: int, chunk: Iterator[Any]) -> None:
        self._chunks.append(chunk)


class _Failure:
    """A chunk that failed: raises, once."""

    def __init__(self, error: BaseException) -> None:
        self._errors = [error]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._errors:
            raise self._errors.pop()
        raise StopIteration

    def __length_hint__(self) -> int:
        return len(self._errors)
