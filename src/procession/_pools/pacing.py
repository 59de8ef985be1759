"""A map whose arguments are large: its tasks are sent as earlier ones are answered.

Sent all at once, each would be copied to pages that nobody has used yet, which costs ten times a copy; and all of them would lie in memory
together. A few ahead of the workers use the same blocks again and again.
Promises: results, errors and deaths as in any other map; an argument that cannot be pickled fails its own task. The caller, who waits for
the results anyway, sends; so does the helper thread, if there is one.
Not here: `map_async`, which copies its arguments before it returns; how large a task is (`sending.py`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from procession._pools.books import Task
from procession._pools.dispatch import SLICE
from procession._pools.failures import discarded
from procession._pools.results import MapResult
from procession.errors import ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession._pools.books import Block
    from procession._pools.dispatch import Dispatcher

__all__ = ["PacedMap", "PacedResult"]

T = TypeVar("T")


class PacedResult(MapResult[T]):
    """The results of a map of which not all tasks may have been sent."""

    def __init__(
        self, dispatcher: Dispatcher, function: Callable[..., Any], chunk_count: int, pool: object = None
    ) -> None:
        self._is_settled = bytearray(chunk_count)
        super().__init__(dispatcher, function, chunk_count, pool=pool)

    def settle(self, index: int, success: bool, value: Any) -> None:
        """One chunk was answered."""
        if not self._is_settled[index]:
            super().settle(index, success, value)
            self._is_settled[index] = 1

    def conclude(self) -> None:
        """Some chunks were answered."""
        if 0 not in self._is_settled:
            super().conclude()

    def unanswered(self, sent: int) -> int:
        """Of so many chunks that were sent, how many have no answer yet. Counted anew: an interrupt cannot falsify it."""
        return sent - self._is_settled.count(1)


class PacedMap:
    """What sends the tasks of a block, at most `ahead` of them beyond the answers."""

    def __init__(self, dispatcher: Dispatcher, result: PacedResult[Any], block: Block, ahead: int) -> None:
        self._dispatcher = dispatcher
        self._result = result
        self._block = block
        self._ahead = ahead
        self._sent = 0
        self._lock = threading.RLock()  # the caller and the helper thread may both feed
        self.ended = False

    def run(self) -> None:
        """Send, and read answers, until all have come."""
        try:
            self._dispatcher.add_feed(self)
            while not self._result.done:
                self.feed()
                self._dispatcher.advance(self._result, SLICE)
        finally:
            self.ended = True
            self._dispatcher.drop_ended_feeds()

    def feed(self) -> bool:
        """Send what is wanted; did anything happen?"""
        with self._lock:
            before = self._sent
            while not self.ended and self._result.unanswered(self._sent) < self._ahead:
                self._send_next()
            return self._sent > before

    def _send_next(self) -> None:
        index, block = self._sent, self._block
        self._sent += 1  # first: an interrupt ends the map, and must not send a task twice
        self.ended = self._sent == len(block.payloads)
        try:
            self._dispatcher.submit(Task(self._result, index, block.call, block.func, block.payloads[index]))
        except ShutDown:
            self._sent = index
            self.fail(discarded())  # the pool was terminated just now
        except Exception as error:  # noqa: BLE001 - it cannot be pickled, say: so it fails
            self._result.settle(index, False, error)
            self._result.conclude()

    def fail(self, error: BaseException) -> None:
        """End all that was not sent with an error."""
        with self._lock:
            self.ended = True
            for index in range(self._sent, len(self._block.payloads)):
                self._result.settle(index, False, error)
            self._result.conclude()
