"""The input of `imap`: taken bit by bit, given to the workers, and its errors handed to whoever reads the results.

Promises: with a `buffersize` no more items are taken than were handed out plus the buffer, by the reader's own calls;
without one the input is read ahead by the pool's helper thread, at most `AHEAD` tasks beyond the answers. What the input raises
comes out of the iterator in its place.
Not here: the results (`results.py`).
"""

from __future__ import annotations

import itertools
import threading

from procession._pools.dispatch import Task

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from procession._pools.dispatch import Dispatcher
    from procession._pools.results import IMapIterator

__all__ = ["Feed"]

AHEAD = 2048  # tasks submitted and not answered, at most: enough to keep 64 workers busy between two looks
AT_ONCE = 256  # tasks submitted in one go


class Feed:
    """One `imap`'s input."""

    def __init__(  # noqa: PLR0913 - an input, where it goes, and how
        self,
        dispatcher: Dispatcher,
        results: IMapIterator[Any],
        iterable: Iterable[Any],
        make: Callable[[int, tuple[Any, ...]], Task],
        chunksize: int,
        buffersize: int | None,
    ) -> None:
        self._dispatcher = dispatcher
        self._results = results
        self._source = iter(iterable)
        self._make = make
        self._chunksize = chunksize
        self._buffersize = buffersize
        self._submitted = 0
        self._handed_out = 0
        self._lock = threading.Lock()  # the reader and the helper thread may both feed
        self.ended = False

    def more_wanted(self) -> int:
        """How many tasks may be submitted now."""
        if self.ended:
            return 0
        if self._buffersize is not None:
            return self._buffersize - (self._submitted - self._handed_out // self._chunksize)
        return min(AT_ONCE, AHEAD - self._results.unanswered(self._submitted))

    def handed_out(self) -> None:
        """The reader took one item: submit what the buffer has room for."""
        with self._lock:
            self._handed_out += 1
            self._feed_locked()

    def feed(self) -> bool:
        """Submit what is wanted; did anything happen?"""
        with self._lock:
            return self._feed_locked()

    def _feed_locked(self) -> bool:
        wanted = self.more_wanted()
        if wanted <= 0:
            return False
        tasks: list[Task] = []
        error: BaseException | None = None
        try:
            while len(tasks) < wanted and not self.ended:
                chunk = tuple(itertools.islice(self._source, self._chunksize))
                if chunk:
                    tasks.append(self._make(self._submitted + len(tasks), chunk))
                else:
                    self.ended = True
        except Exception as raised:  # noqa: BLE001 - it comes out of the iterator, in its place
            error = raised
        self._submit(tasks)
        if error is not None:
            self.fail(error)
        elif self.ended:
            self._results.set_length(self._submitted)
        return True

    def _submit(self, tasks: list[Task]) -> None:
        try:
            if tasks:
                self._dispatcher.submit(tasks)
        except Exception:  # noqa: BLE001 - one of them cannot be pickled: find out which, the others go
            for task in tasks:
                self._submit_alone(task)
        self._submitted += len(tasks)

    def _submit_alone(self, task: Task) -> None:
        try:
            self._dispatcher.submit([task])
        except Exception as error:  # noqa: BLE001 - it comes out of the iterator, in its place
            task.job.settle(task.index, False, error)

    def fail(self, error: BaseException) -> None:
        """End the input with an error."""
        self.ended = True
        self._results.settle(self._submitted, False, error)
        self._submitted += 1
        self._results.set_length(self._submitted)
