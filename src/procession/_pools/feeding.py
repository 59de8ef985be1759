"""The input of `imap`: taken bit by bit, given to the workers, and its errors handed to whoever reads the results.

Promises: with a `buffersize` no more items are taken than were handed out plus the buffer, by the reader's own calls; without one the
input is read ahead by the pool's helper thread, at most `AHEAD` tasks beyond the answers, and a few megabytes. What the input raises comes
out of the iterator in its place.
Not here: the results (`results.py`).
"""

from __future__ import annotations

import itertools
import threading

from procession._pools.books import Block, Task
from procession._pools.words import Call

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from procession._pools.dispatch import Dispatcher
    from procession._pools.results import IMapIterator

__all__ = ["Feed"]

AHEAD = 2048  # tasks submitted and not answered, at most: enough to keep 64 workers busy between two looks
REFILL = 8  # a buffer is filled again when an eighth of it is free: one by one costs four times as much
AT_ONCE = 256  # tasks submitted in one go
FIRST = 64  # as AHEAD, until it is known how large the tasks are


class Feed:
    """One `imap`'s input."""

    def __init__(  # noqa: PLR0913 - an input, where it goes, and how
        self,
        dispatcher: Dispatcher,
        results: IMapIterator[Any],
        iterable: Iterable[Any],
        func: Any,
        chunksize: int,
        buffersize: int | None,
    ) -> None:
        self._dispatcher = dispatcher
        self._results = results
        self._source = iter(iterable)
        self._func = func  # what the crew's `prepare` made of the function
        self._chunksize = chunksize
        self._buffersize = buffersize
        self._ahead = FIRST
        self._submitted = 0
        self._lock = threading.RLock()  # the reader and the helper thread may both feed
        self._taking = False
        self.ended = False

    def more_wanted(self) -> int:
        """How many tasks may be submitted now."""
        if self.ended:
            return 0
        if self._buffersize is not None:
            room = self._buffersize - self._results.unread(self._submitted)
            return room if room * REFILL >= self._buffersize else 0
        room = self._ahead - self._results.unanswered(self._submitted)
        portion = max(1, self._ahead * AT_ONCE // AHEAD)
        return portion if room >= portion else 0

    def feed_from_callback(self) -> None:
        """The reader waits in a callback, so in the thread that would have fed otherwise."""
        if self._dispatcher.in_callback():
            self.feed()

    def feed(self) -> bool:
        """Submit what is wanted; did anything happen?"""
        with self._lock:
            return self._feed_locked()

    def _feed_locked(self) -> bool:
        wanted = self.more_wanted()
        if wanted <= 0 or self._taking:
            return False
        chunks: list[tuple[Any, ...]] = []
        error: BaseException | None = None
        self._taking = True  # an input that reads the results would come back to here
        try:
            while len(chunks) < wanted and not self.ended:
                chunk = tuple(itertools.islice(self._source, self._chunksize))
                if chunk:
                    chunks.append(chunk)
                else:
                    self.ended = True
        except BaseException as raised:  # noqa: BLE001 - it comes out of the iterator, in its place
            error = raised
        finally:
            self._taking = False
        self._submit(chunks)
        if error is not None:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise error  # Ctrl-C: at once, too
        elif self.ended:
            self._results.set_length(self._submitted)
        return True

    def _submit(self, chunks: list[tuple[Any, ...]]) -> None:
        first = self._submitted
        self._submitted += len(chunks)
        if chunks and self._buffersize is None:
            self._weigh(chunks)
        if len(chunks) > 1:
            try:
                self._dispatcher.submit_block(Block(self._results, first, Call.MAP, self._func, chunks))
            except Exception:  # noqa: BLE001 - one of them cannot be pickled: find out which; the others go
                self._submit_each(first, chunks)
        else:
            self._submit_each(first, chunks)

    def _weigh(self, chunks: list[tuple[Any, ...]]) -> None:
        """Large ones are sent a few at a time (`pacing.py` says why)."""
        try:
            self._ahead = min(AHEAD, self._dispatcher.crew.ahead(chunks, AHEAD) or AHEAD)
        except Exception:  # noqa: BLE001 - it cannot be pickled: told when it is sent
            self._ahead = FIRST

    def _submit_each(self, first: int, chunks: list[tuple[Any, ...]]) -> None:
        for index, chunk in enumerate(chunks, first):
            self._submit_alone(Task(self._results, index, Call.MAP, self._func, chunk))

    def _submit_alone(self, task: Task) -> None:
        try:
            self._dispatcher.submit(task)
        except Exception as error:  # noqa: BLE001 - it comes out of the iterator, in its place
            task.job.settle(task.index, False, error)

    def fail(self, error: BaseException) -> None:
        """End the input with an error."""
        self.ended = True
        place = self._submitted
        self._submitted += 1
        self._results.settle(place, False, error)
        self._results.set_length(self._submitted)
