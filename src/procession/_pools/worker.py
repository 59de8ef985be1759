"""What a worker process does: take tasks, run them, answer.

Promises: what it has taken stands in the claims table before it is taken, and what it runs before it runs, so that its death at any
instruction harms only the task that it ran. An exception of a task, an argument that cannot be rebuilt, a result that cannot be pickled are
answers like any other. It takes several tasks at once only while tasks are short and plenty wait.
Not here: what becomes of a dead worker's tasks (`dispatch.py`).
"""

from __future__ import annotations

import time

from procession import _native
from procession._channels.pickling import ForkingPickler
from procession._pools.failures import pack_failure, pack_value
from procession._pools.functions import FunctionTable
from procession._pools.jobs import Answer, Call
from procession._primitives.sharing import Shared
from procession.errors import ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RUNNING", "Claims", "Ring", "work"]

RUNNING = 2  # the word of a row that holds 1 + the sequence of the task that is running; words 0 and 1 are the claim
BATCH = 16  # tasks taken at once, at most: past that the gain is under 5 %
SHORT_TASK = 200e-6  # seconds: a longer task is taken alone, so that no other waits behind it


class Ring(Shared, _native.Queue):
    """A queue of messages between a pool and its workers."""


class Claims(Shared, _native.Table):
    """Who has taken what: a row for each worker."""


if TYPE_CHECKING:
    WorkerEnds = tuple[
        Ring, Ring, Claims, int, int
    ]  # tasks, results, claims, its row there, how many workers there are


def work(
    ends: WorkerEnds,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    maxtasks: int | None = None,
) -> None:
    """The main function of a worker process: returns when the pool is closed, or after `maxtasks` tasks."""
    try:
        if initializer is not None:
            initializer(*initargs)
    except Exception as error:  # noqa: BLE001 - the pool tells everybody who waits
        ends[1].put_plain((0, Answer.NO_START, pack_failure(error)))
        return
    try:
        _Worker(ends).run(maxtasks)
    except KeyboardInterrupt:
        return  # the terminal interrupts the whole group: the pool's owner says so, once


class _Worker:
    """One worker's loop and what it remembers between tasks."""

    def __init__(self, ends: WorkerEnds) -> None:
        self._tasks, self._results, self._claims, self._row, self._crew_size = ends
        self._functions = FunctionTable()
        self._task_time = 1.0  # mean seconds a task; at first unknown: take one at a time

    def run(self, maxtasks: int | None) -> None:
        """Tasks until the queue is shut down and empty, or `maxtasks` are done."""
        left = maxtasks
        while left is None or left > 0:
            try:
                batch = self._tasks.get_claimed(self._claims, self._row, self._width(left))
            except ShutDown:
                return
            begun = time.perf_counter()
            for sequence, message in batch:
                self._perform(sequence, message)
            spent = (time.perf_counter() - begun) / len(batch)
            self._task_time += (spent - self._task_time) / 4
            left = None if left is None else left - len(batch)

    def _width(self, left: int | None) -> int:
        if self._task_time > SHORT_TASK:
            return 1
        width = max(1, min(BATCH, self._tasks.qsize() // (2 * self._crew_size)))
        return width if left is None else min(width, left)

    def _perform(self, sequence: int, message: Any) -> None:
        claims, row = self._claims, self._row
        claims.store(row, RUNNING, sequence + 1)
        try:
            value = self._call(message)
        except SystemExit:
            raise  # the task ends its worker, as it asked; the pool reports it
        except BaseException as error:
            self._results.put_plain((sequence, Answer.ERROR, pack_failure(error)))
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            if not self._results.put_plain((sequence, 0, value)):
                packed, payload = pack_value(value)
                self._results.put_plain((sequence, Answer.PICKLED if packed else Answer.ERROR, payload))
        claims.finish(row, 1)
        claims.store(row, RUNNING, 0)

    def _call(self, message: Any) -> Any:
        if isinstance(message, _native.Undecodable):
            raise message.error
        call, offset, generation, payload = message
        func = self._functions.load(offset, generation)
        if call & Call.PICKLED:
            payload = ForkingPickler.loads(payload)
            call &= ~Call.PICKLED
        if call == Call.ARGS:
            return func(*payload)
        if call == Call.MAP:
            return [func(item) for item in payload]
        if call == Call.STARMAP:
            return [func(*item) for item in payload]
        args, kwds = payload
        return func(*args, **kwds)
