"""A worker of a process pool: take tasks, run them, answer.

Promises: what it has taken stands in the claims table before it is taken, and what it runs before it runs, so that its death at any
instruction harms only the task that it ran. An exception of a task, an argument that cannot be rebuilt, a result that cannot be pickled are
answers like any other. It takes several tasks at once only while tasks are short and plenty wait.
Not here: what becomes of a dead worker's tasks (`crew.py`).
"""

from __future__ import annotations

import importlib
import os
import sys
import time

from procession import _native, errors
from procession._os.cpus import give_way
from procession._os.faults import report_crashes_to
from procession._pools.function_table import FunctionTable
from procession._pools.words import Answer, Call
from procession._primitives.sharing import Shared
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["LATER", "READY", "RUNNING", "Claims", "Ring", "Stacks", "work"]

PACKAGE = __name__.partition(".")[0]
# They import pickle: 7 ms that many a worker does not need.
LATER = f"{PACKAGE}._pools.failures", f"{PACKAGE}._pools.parcels"
RUNNING = 2  # the word of a row that holds 1 + the sequence of the task that is running; words 0 and 1 are the claim
READY = 3  # the word of a row that is 1 when the initializer has returned
BATCH = 64  # tasks taken at once, at most
BATCH_TIME = 1e-3  # seconds that a batch may take: so long may its last task wait though others are idle
HASTY_TASK = 50e-6  # seconds: after such tasks it looks again before it sleeps
LINGERING = 20  # times, some 10 us on an idle CPU: apply_async on a busy machine 6.8 -> 3.4 us a task
SHORT_TASK = 200e-6  # seconds: a longer task is taken alone, so that no other waits behind it


class Ring(Shared, _native.Queue):
    """A queue of messages between a pool and its workers."""


class Claims(Shared, _native.Table):
    """Who has taken what: a row for each worker."""


class Stacks:
    """Where a worker writes its stack when it crashes: the descriptor of the pool's stack file (-1: nowhere) and a row in it."""

    def __init__(self, fd: Any, row: int, sent: bool = False) -> None:
        self._fd = fd  # a number, or what arrives of one
        self._row = row
        self._sent = sent

    def __reduce__(self) -> tuple[Any, ...]:
        popen = state.spawning.popen
        if self._fd < 0 or popen is None:
            return Stacks, (-1, self._row, False)
        passed = popen.duplicate_for_child(self._fd)
        wrap = getattr(popen, "DupFd", None)  # a start method that renumbers descriptors brings its own
        return Stacks, (passed if wrap is None else wrap(passed), self._row, True)

    def _told(self) -> tuple[int, int, bool] | None:
        """What to make it of in a child that inherits the descriptor under the same number, in builtin types."""
        popen = state.spawning.popen
        if self._fd >= 0 and popen is not None:
            return popen.duplicate_for_child(self._fd), self._row, True
        return -1, self._row, False

    def use(self) -> None:
        """From now on, write this process's stack there at a fatal signal."""
        fd = self._fd if isinstance(self._fd, int) else self._fd.detach()
        if fd >= 0:
            report_crashes_to(fd, self._row)
            if self._sent:
                os.close(fd)  # what was inherited belongs to the pool's copy in this process


if TYPE_CHECKING:
    WorkerEnds = tuple[
        Ring, Ring, Claims, int, int, Stacks
    ]  # tasks, results, claims, its row there, how many workers there are, where its stack goes


def work(
    ends: WorkerEnds,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    maxtasks: int | None = None,
) -> None:
    """The main function of a worker process: returns when the pool is closed, or after `maxtasks` tasks."""
    _tasks, results, claims, row, _size, stacks = ends
    _load_channels_later()
    try:
        stacks.use()
        _native.arena_spare_warm()  # what it answers may be kept; what the pool sends comes back
        _reseed()
        try:
            if initializer is not None:
                initializer(*initargs)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see below
            results.put_plain(
                (os.getpid(), Answer.NO_START, _pack_failure(error))
            )  # the pool tells everybody who waits
            return
        claims.store(row, READY, 1)
        if not _Worker(ends).run(maxtasks):
            results.put_plain((os.getpid(), Answer.LEAVING, None))
    except KeyboardInterrupt:
        return  # the terminal interrupts the whole group: the pool's owner says so, once


def _pack_failure(error: BaseException) -> bytes:
    packed: bytes = importlib.import_module(LATER[0]).pack_failure(error)
    return packed


def _load_channels_later() -> None:
    """Let the core find what it needs for messages beyond the codec's, if one arrives."""
    channels = f"{PACKAGE}._channels"
    if channels not in sys.modules:
        _native.configure(
            fallback_loads=lambda data: importlib.import_module(f"{channels}.pickling").fallback_loads(data),
            fallback_unpack=lambda block: importlib.import_module(channels).unpack(block),
        )


def _reseed() -> None:
    """Give numpy's global generator a seed of its own, if it is there: forked workers would all draw the same numbers.

    The standard library's `random` does so by itself. Whoever wants fixed seeds sets them in the initializer.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


class _Worker:
    """One worker's loop and what it remembers between tasks."""

    def __init__(self, ends: WorkerEnds) -> None:
        self._tasks, self._results, self._claims, self._row, self._crew_size, _stacks = ends
        self._functions = FunctionTable()
        self._last = 0  # the sequence of the last task that was taken
        self._task_time = 1.0  # mean seconds a task; at first unknown: take one at a time

    def run(self, maxtasks: int | None) -> bool:
        """Tasks until the queue is shut down and empty (True), or `maxtasks` are done (False)."""
        left = maxtasks
        while left is None or left > 0:
            if self._task_time < HASTY_TASK:
                self._linger()
            try:
                batch = self._tasks.get_claimed(self._claims, self._row, self._width(left))
            except errors.ShutDown:  # looked up then only
                return True
            _native.fault_point("pool.worker.taken")
            begun = time.perf_counter()
            self._perform(batch)
            _native.fault_point("pool.worker.answered")
            spent = (time.perf_counter() - begun) / len(batch)
            self._task_time += (spent - self._task_time) / 4
            left = None if left is None else left - len(batch)
            del batch  # its arrays are not kept while it waits for more
        return False

    def _linger(self) -> None:
        """Stay awake a moment: where tasks are as short as these, falling asleep and being woken costs more than they do."""
        waiting = self._tasks.qsize
        for _ in range(LINGERING):
            if waiting():
                return
            give_way()

    def _width(self, left: int | None) -> int:
        task_time = self._task_time
        if task_time > SHORT_TASK:
            return 1
        width = min(BATCH, self._tasks.qsize() // (2 * self._crew_size), int(BATCH_TIME / task_time))
        return max(1, width) if left is None else max(1, min(width, left))

    def _perform(self, batch: list[tuple[int, Any]]) -> None:
        claims, row, call, answer = self._claims, self._row, self._call, self._results.answer
        self._last = batch[-1][0]
        claims.store(
            row, RUNNING, batch[0][0] + 1
        )  # the others are noted by `answer`, each when the one before it is answered
        for sequence, message in batch:
            try:
                value = call(message)
            except SystemExit:
                raise  # the task ends its worker, as it asked; the pool reports it
            except BaseException as error:
                answer(claims, row, sequence, Answer.ERROR, _pack_failure(error))
                if isinstance(error, KeyboardInterrupt):
                    raise
            else:
                try:
                    if not answer(claims, row, sequence, 0, value):
                        self._answer_pickled(sequence, value)
                except MemoryError as error:
                    answer(claims, row, sequence, Answer.ERROR, _pack_failure(error))

    def _answer_pickled(self, sequence: int, value: Any) -> None:
        packed, payload = importlib.import_module(LATER[0]).pack_value(value)
        answer = Answer.PICKLED if packed else Answer.ERROR
        if self._results.answer(self._claims, self._row, sequence, answer, payload):
            return
        self._results.put((sequence, answer, payload))  # with large buffers
        self._claims.finish(self._row, 1)
        self._claims.store(self._row, RUNNING, sequence + 2 if sequence < self._last else 0)

    def _call(self, message: Any) -> Any:
        if isinstance(message, _native.Undecodable):
            raise message.error
        call, offset, generation, payload = message
        func = self._functions.load(offset, generation)
        if call & Call.PICKLED:
            payload = importlib.import_module(LATER[1]).unpack(payload)
            call &= ~Call.PICKLED
        if call == Call.ARGS:
            return func(*payload)
        if call == Call.MAP:
            return [func(item) for item in payload]
        if call == Call.STARMAP:
            return [func(*item) for item in payload]
        args, kwds = payload
        return func(*args, **kwds)
