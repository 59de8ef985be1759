"""Queues between processes: `Queue`, `JoinableQueue`, `SimpleQueue`, over a log of messages in shared memory.

Promises: a message is got once, whole, and in the order of its sender. When `put` returns, the message has been put: what cannot be
pickled raises there, no thread sends later, and a sender may exit or be killed at any moment. A queue can be sent to another process at
any time. `put` and `get` of an open queue are the native methods themselves: attributes of the instance, which `close()` takes away, so
that the methods of the class are found, which complain.
Not here: the log (native/queue.h), pickling (`pickling`), waiting for several queues (`select`).
"""

from __future__ import annotations

from queue import Full

from procession import _native
from procession._channels.queue_ends import QueueEnd
from procession._channels.queue_feeding import FeederHooks, Unlocked
from procession._primitives.semaphore import SEM_VALUE_MAX
from procession._primitives.sharing import Shared
from procession.errors import OwnerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Generic, TypeVar

    T = TypeVar("T")

    class _Subscriptable(Generic[T]):
        pass

else:
    T = None

    class _Subscriptable:
        __class_getitem__ = classmethod(type(list[int]))


__all__ = ["JoinableQueue", "Queue", "SharedQueue", "SimpleQueue"]

PICKLED = 0  # PN_TAG_PICKLE of native/queue.h: `get` unpickles the message


class SharedQueue(Shared, _native.Queue):
    """The queue in shared memory itself, which processes share; `Queue` and `SimpleQueue` are one process's access to it."""


class _Access(_Subscriptable[T]):
    """One process's access to a shared queue: what `Queue` and `SimpleQueue` have in common."""

    _shared: SharedQueue
    _closed = False

    def _take(self, shared: SharedQueue) -> None:
        self._shared = shared
        self._bind()

    def _bind(self) -> None:
        """Let the native methods shadow those of the class that no subclass has replaced."""
        for name in ("put", "get"):
            if getattr(type(self), name) in (getattr(Queue, name), getattr(SimpleQueue, name)):
                setattr(self, name, getattr(self._shared, name))

    def _unbind(self) -> None:
        for name in ("put", "get"):
            self.__dict__.pop(name, None)

    def _watchable(self) -> SharedQueue:
        return self._shared

    def _end(self, name: str, reads: bool) -> QueueEnd:
        end: QueueEnd = self.__dict__.setdefault(name, QueueEnd(self._shared, reads))
        return end

    # Other packages read these, and some put their own in their place.
    @property
    def _reader(self) -> Any:
        return self._end("_reader_end", reads=True)

    @_reader.setter
    def _reader(self, end: Any) -> None:
        self.__dict__["_reader_end"] = end
        if isinstance(end, QueueEnd) and isinstance(end.shared, SharedQueue) and "_shared" not in self.__dict__:
            self._take(end.shared)  # a subclass that pickles the two ends has arrived

    @property
    def _writer(self) -> Any:
        return self._end("_writer_end", reads=False)

    @_writer.setter
    def _writer(self, end: Any) -> None:
        self.__dict__["_writer_end"] = end


class Queue(_Access[T], FeederHooks):
    """A queue for any number of senders and receivers, in any processes.

    `Queue(maxsize)` holds at most that many messages; 0 or less: as many as memory holds. The exceptions are those of the standard
    library's module `queue`: `Empty`, `Full`; and `ShutDown` after `shutdown()`. After `close()`: ValueError.
    """

    _joinable = False
    _ignore_epipe = False  # read and written by others; there is no pipe

    def __init__(self, maxsize: int = 0, *, ctx: Any = None) -> None:
        """`ctx` is accepted for compatibility: a queue fits every start method."""
        bounded = 0 < maxsize < SEM_VALUE_MAX
        self._maxsize = maxsize if bounded else SEM_VALUE_MAX
        self._take(SharedQueue(maxsize if bounded and not self._fed else 0, joinable=self._joinable))
        if self._fed:
            self._prepare_feeding(maxsize if bounded else None)
            self._reset()

    def _bind(self) -> None:
        super()._bind()
        if self._fed:
            self._unbind()
        elif self._tells_errors():
            self.__dict__.pop("put", None)

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put a message; if the queue is full, wait for room.

        `Full` if `timeout` seconds (None: no limit) were not enough, or at once if `block` is False. What pickling raises, `put` raises.
        """
        shared = self._open()
        if self._fed:
            if not self._buffer_for_feeding(obj, block, timeout):
                raise Full
            return
        if not self._tells_errors():
            shared.put(obj, block, timeout)
            return
        try:
            pickled = _native.dumps(obj)
        except Exception as error:  # noqa: BLE001 - the subclass has asked to be told, in place of the caller
            self._on_queue_feeder_error(error, obj)
        else:
            shared.put_bytes(pickled, PICKLED, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next message; if there is none, wait for one.

        `Empty` if none came within `timeout` seconds (None: no limit), or at once if `block` is False.
        """
        message: T = self._open().get(block, timeout)
        if self._fed:
            self._sem.release()
        return message

    def put_nowait(self, obj: T) -> None:
        """`put(obj, False)`."""
        self.put(obj, False)

    def get_nowait(self) -> T:
        """`get(False)`."""
        return self.get(False)

    def put_many(self, objs: Iterable[T], block: bool = True, timeout: float | None = None) -> None:
        """Put several messages at once, next to each other.

        All are pickled first: if that raises, none is put. `Full` if not all found room in time: its `unsent` lists the others.
        """
        self._open().put_many(objs, block, timeout)

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take the next messages, at most `max_items`, and at least one: waits for it as `get` does."""
        return self._open().get_many(max_items, block, timeout)

    def qsize(self) -> int:
        """How many messages are in the queue; others may put and get at the same time."""
        return self._shared.qsize()

    def empty(self) -> bool:
        """Is the queue empty? Others may put at the same time. OSError if it was used and then closed here."""
        if self._closed and self._shared.counts()[0]:
            raise OSError(f"{self!r} is closed")
        return self._shared.empty()

    def full(self) -> bool:
        """Is there no room for another message? Others may get at the same time."""
        return self._fed_full() if self._fed else self._shared.full()

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more: `put` raises `ShutDown` in every process, `get` does so once the queue is empty.

        With `immediate` what is in the queue is dropped, so that `get` raises at once; for `join`, it counts as done.
        """
        self._shared.shut_down(immediate)

    def close(self) -> None:
        """Stop using the queue in this process: `put` and `get` raise ValueError from now on. Idempotent."""
        self._closed = True
        self._unbind()
        if self._fed:
            self._end_feeding()

    def join_thread(self) -> None:
        """Wait until everything put here has been sent: it has. ValueError if the queue is not closed."""
        if not self._closed:
            raise ValueError(f"{self!r} is not closed: call close() before join_thread()")
        if self._fed:
            self._join_feeding()

    def cancel_join_thread(self) -> None:
        """Let this process end without waiting for what it has put: it never has to wait, and nothing is lost."""
        if self._fed:
            self._cancel_join_feeding()

    def _open(self) -> SharedQueue:
        if self._closed:
            raise ValueError(f"{self!r} is closed")
        return self._shared

    def __getstate__(self) -> tuple[SharedQueue, int]:
        return self._shared, self._maxsize

    def __setstate__(self, state: tuple[SharedQueue, int]) -> None:
        shared, self._maxsize = state
        self._take(shared)

    # What subclasses of other packages replace or call.
    def _tells_errors(self) -> bool:
        return type(self)._on_queue_feeder_error is not Queue._on_queue_feeder_error

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: Any) -> None:
        """A subclass that replaces this is told of messages that cannot be pickled; otherwise `put` raises."""
        raise e

    def _reset(self, after_fork: bool = False) -> None:
        if self._fed:
            self._forget_feeding()
        if not self._closed:
            self._bind()

    def _after_fork(self) -> None:
        self._reset(after_fork=True)

    def _terminate_broken(self) -> None:
        self.close()


class JoinableQueue(Queue[T]):
    """A queue that knows how many of its messages have not been dealt with: `task_done` and `join`."""

    _joinable = True

    def task_done(self) -> None:
        """Say that one message that was got has been dealt with. ValueError if that was said for all messages already."""
        self._shared.task_done()

    def join(self) -> None:
        """Wait until every message that was put has been dealt with.

        `OwnerDied` if a process was killed that had taken messages and not yet said that they are done: these are lost. `recover()`
        counts them as done. (A process that exits is taken to have left that to another one.)
        """
        try:
            self._shared.join()
        except OwnerDied as error:
            _, *who = error.args
            lost = self._shared.lost()
            what = f"{lost} message{'' if lost == 1 else 's'} of a {type(self).__name__}"
            raise OwnerDied(what, *who) from None

    def recover(self) -> int:
        """Count the messages that killed processes have taken with them as dealt with: how many they were."""
        return self._shared.recover()


class SimpleQueue(_Access[T]):
    """A queue without limit, with `put`, `get` and `empty`. After `close()` they raise OSError."""

    _rlock = _wlock = Unlocked()  # for subclasses that lock an end

    def __init__(self, *, ctx: Any = None) -> None:
        """`ctx` is accepted for compatibility: a queue fits every start method."""
        self._take(SharedQueue())

    def put(self, obj: T) -> None:
        """Put a message. What pickling raises, `put` raises."""
        self._open().put(obj)

    def get(self) -> T:
        """Take the next message; waits for one."""
        message: T = self._open().get()
        return message

    def empty(self) -> bool:
        """Is the queue empty? Others may put at the same time."""
        return self._open().empty()

    def close(self) -> None:
        """Stop using the queue in this process. Idempotent."""
        self._closed = True
        self._unbind()
        self._reader.close()
        self._writer.close()

    def _open(self) -> SharedQueue:
        if self._closed:
            raise OSError(f"{self!r} is closed")
        return self._shared

    def __getstate__(self) -> SharedQueue:
        return self._open()

    def __setstate__(self, state: SharedQueue) -> None:
        self._take(state)
