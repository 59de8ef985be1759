"""Queues whose subclass sends with a thread of its own (`_start_thread` and `_feed` replaced, as loky does): what it finds in the queue.

Promises: what the subclass's thread hands to `_send_bytes` has been put. `maxsize` holds for what was put and not yet got, sent or not.
Not here: queues that send in the caller (`queue`), which is all others; the thread and how it pickles, which are the subclass's.
"""

from __future__ import annotations

import collections
import os
import threading

from procession._primitives.semaphore import Semaphore
from procession._runtime import register_after_fork

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    import weakref
    from typing import Any

__all__ = ["FeederHooks", "Unlocked", "sentinel"]

sentinel = object()  # in the buffer: nothing follows


class Unlocked:
    """Stands where a subclass expects the lock of one end: the queue in shared memory needs none."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """True, at once."""
        return True

    def release(self) -> None:
        """Nothing."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *exception: object) -> None:
        return


class FeederHooks:
    """What a subclass of `Queue` may replace or read to send by a thread of its own."""

    _fed = False  # does the subclass do so?
    _sem: Any = Unlocked()  # in a queue that is fed: what is left of `maxsize`
    _rlock = _wlock = Unlocked()
    _opid: int
    _writer: Any

    _buffer: collections.deque[Any]
    _notempty: threading.Condition
    _thread: threading.Thread | None
    _jointhread: Any  # set by `_start_thread`, as is `_close`: to be called, or cancelled
    _close: Any
    _joincancelled: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._fed = cls._start_thread is not FeederHooks._start_thread

    def _start_thread(self) -> None:
        """Start the thread that sends what is in `_buffer`; set `_thread`, and `_close` and `_jointhread` for what ends it."""
        raise NotImplementedError

    @staticmethod
    def _feed(*args: Any) -> None:
        """The thread; who replaces `_start_thread` says what it is given."""
        raise NotImplementedError

    @staticmethod
    def _finalize_close(buffer: collections.deque[Any], notempty: threading.Condition) -> None:
        with notempty:
            buffer.append(sentinel)
            notempty.notify()

    @staticmethod
    def _finalize_join(thread: weakref.ReferenceType[threading.Thread]) -> None:
        found = thread()
        if found is not None:
            found.join()

    # ── what the queue does with it ──────────────────────────────────────────────────────────────────────────────────
    def _prepare_feeding(self, room: int | None) -> None:
        """In the process that makes the queue; `room` None: no limit."""
        if room is not None:
            self._sem = Semaphore(0)  # a signal, which nobody holds: it is released by others than acquire it
            for _ in range(room):
                self._sem.release()
        self._opid = os.getpid()
        register_after_fork(self, type(self)._forget_feeding)

    def _forget_feeding(self) -> None:
        """Have no thread and nothing to send: in a new process."""
        self._buffer = collections.deque()
        self._notempty = threading.Condition()
        self._thread = self._jointhread = self._close = None
        self._joincancelled = False
        self._send_bytes = self._writer.send_bytes

    def _buffer_for_feeding(self, obj: Any, block: bool, timeout: float | None) -> bool:
        """Let the thread have it; False: there was no room in time."""
        if not self._sem.acquire(block, timeout):
            return False
        with self._notempty:
            if self._thread is None:
                self._start_thread()
            self._buffer.append(obj)
            self._notempty.notify()
        return True

    def _fed_full(self) -> bool:
        return isinstance(self._sem, Semaphore) and self._sem.get_value() == 0

    def _end_feeding(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            close()

    def _join_feeding(self) -> None:
        if self._jointhread is not None:
            self._jointhread()

    def _cancel_join_feeding(self) -> None:
        self._joincancelled = True
        if self._jointhread is not None:
            self._jointhread.cancel()
