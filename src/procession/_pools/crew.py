"""The workers of a process pool: started, watched, replaced.

Promises: a dead worker is replaced, and each task that it had taken is either reported as lost (the one that it ran) or given out again.
Workers that cannot start (their initializer fails, or kills them) are tried again a bounded number of times; if none is left then,
everybody who waits is told why.
Not here: the books (`books.py`), the worker's own loop (`worker.py`), what is said of the dead (`obituary.py`).
"""

from __future__ import annotations

import queue
import threading
import time

from procession import _native
from procession._channels.select import wait
from procession._os.faults import StackFile, memory_kills
from procession._os.pausing import pause
from procession._pools.failures import open_value, unpack_failure
from procession._pools.functions import FunctionRef, FunctionStore
from procession._pools.obituary import describe_task, no_worker_starts, starting_failed, worker_died
from procession._pools.sending import put_block, put_pickled, tasks_ahead
from procession._pools.words import Answer
from procession._pools.worker import READY, RUNNING, Claims, Ring, Stacks, work
from procession._processes.settling import settle, withdraw
from procession.errors import StartError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from procession._pools.books import Block, Task
    from procession._pools.dispatch import Answers, Dispatcher
    from procession._pools.results import AsyncResult
    from procession._processes.process import BaseProcess

__all__ = ["ProcessCrew"]

Initial = tuple["Callable[..., object] | None", "tuple[Any, ...]", "int | None"]  # initializer, initargs, maxtasks
AT_ONCE = 8  # starts under way: each holds three descriptors, and several on their way to the fork server
TAKE = 256  # answers read at once
# Once so many times in a row only a few answers have come at a time, and while many are still to come, the owner rests for so many seconds
# between two looks: to be woken for each of them, or to spin, takes a CPU from the workers.
TRICKLE, FEW, GATHER = 16, 4, 0.0003
GRACE = 0.5  # seconds that a terminated worker has before it is killed
TRIES = 8  # starts that fail in a row, at least, before the crew gives up: an initializer that fails half the time gets through


class ProcessCrew:
    """Worker processes over two queues and a table of claims."""

    def __init__(self, size: int, make_process: Callable[..., BaseProcess], initial: Initial) -> None:
        self.workers: list[BaseProcess] = []
        self._leaving: list[BaseProcess] = []  # that have done their tasks, and are on their way out
        self._rows: dict[BaseProcess, int] = {}
        self._size = size
        self._initial = initial
        self._make_process = make_process
        self._tasks, self._results, self._claims = Ring(), Ring(), Claims(size)
        self._trickle = 0  # how often in a row only a few answers came
        self._functions = FunctionStore()
        self._finishing = False
        self._stopping = self._checking = False
        self._watch = threading.RLock()  # one thread at a time looks after them; a callback may end the pool meanwhile
        self._stacks = StackFile(size)
        self._kills = memory_kills()
        self._unready: set[BaseProcess] = set()  # not yet known to be through with the initializer
        self._failed_starts = 0  # in a row
        self._start_errors: dict[int | None, BaseException] = {}  # process id -> what its initializer raised
        self.failure: BaseException | None = None  # why there can be no workers
        try:
            self.fill()
        except BaseException:
            self.stop()
            raise

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def fill(self) -> None:
        """Start workers until the crew is whole: several at once, so that one does not wait until the one before it exists."""
        taken = set(self._rows.values())
        # All made before the first starts: what this process writes between two forks it copies again, page by page.
        lacking = [(row, self._make_worker(row)) for row in range(self._size) if row not in taken]
        begun: list[tuple[int, BaseProcess]] = []
        try:
            for row, worker in lacking:
                if len(begun) >= AT_ONCE:
                    self._settle(*begun.pop(0))
                self._begin(worker, begun)
                begun.append((row, worker))
        finally:
            self._settle_all(begun)

    def _begin(self, worker: BaseProcess, begun: list[tuple[int, BaseProcess]]) -> None:
        try:
            try:
                worker.start()
            except OSError:
                if not begun:
                    raise
                self._settle_all(begun)  # each holds descriptors until then
                worker.start()
        except BaseException:  # an interrupt, too
            self._undo_start(worker)
            raise

    def _settle_all(self, begun: list[tuple[int, BaseProcess]]) -> None:
        """One that cannot be started takes no other with it; an interrupt takes all."""
        errors = []
        try:
            while begun:
                try:
                    self._settle(*begun.pop(0))
                except Exception as error:  # noqa: BLE001 - raised below
                    errors.append(error)
        finally:
            for _row, worker in begun:
                self._undo_start(worker)
        if errors:
            raise errors[0]

    def _make_worker(self, row: int) -> BaseProcess:
        for word in (0, 1, RUNNING, READY):
            self._claims.store(row, word, 0)
        ends = (self._tasks, self._results, self._claims, row, self._size, Stacks(self._stacks.fd, row))
        worker = self._make_process(target=work, args=(ends, *self._initial))
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.daemon = True
        worker._is_quiet = True  # at Ctrl-C the pool's owner says so, once
        worker._may_have_children = True  # daemonic ones: they go with it, as it goes with this process
        worker._settles_later = True
        return worker

    def _settle(self, row: int, worker: BaseProcess) -> None:
        try:
            settle(worker)
            _native.fault_point("pool.start.after")
            self._rows[worker] = row
            self._unready.add(worker)
            self.workers.append(worker)
        except BaseException:  # an interrupt, too
            self._undo_start(worker)
            raise

    def _undo_start(self, worker: BaseProcess) -> None:
        self._rows.pop(worker, None)
        self._unready.discard(worker)
        if worker in self.workers:
            self.workers.remove(worker)
        withdraw(worker)

    def check(self, dispatcher: Dispatcher) -> None:
        """Settle what dead workers had taken, and replace them."""
        with self._watch:
            if not self._stopping and not self._checking:
                self._checking = True  # what the dead have answered may have callbacks
                try:
                    self._check(dispatcher)
                finally:
                    self._checking = False

    def _check(self, dispatcher: Dispatcher) -> None:
        self._tasks.nudge()  # a worker that was woken may be dead or stopped: the others would sleep on
        self._note_ready()
        self._reap_leaving()
        dead = [worker for worker in self.workers if worker.exitcode is not None]
        for worker in dead:
            if worker in self.workers:  # what another one answered may have said that this one leaves
                self._bury(worker, dispatcher)
        lacking = len(self.workers) < self._size
        if lacking and self.failure is None and (not self._finishing or dispatcher.books):
            self._refill()
        if self.failure is not None:
            dispatcher.broken = self.failure
            dispatcher.fail_all(self.failure)

    def _note_ready(self) -> None:
        for worker in list(self._unready):
            if self._claims.load(self._rows[worker], READY):
                self._unready.discard(worker)
                self._failed_starts = 0

    def _reap_leaving(self) -> None:
        for worker in [worker for worker in self._leaving if worker.exitcode is not None]:
            self._leaving.remove(worker)
            worker.join()
            worker.close()

    def _refill(self) -> None:
        if self._failed_starts >= max(TRIES, self._size):
            if not self.workers:
                self.failure = no_worker_starts(self._last_error, self._failed_starts)
            return  # the others go on without
        try:
            self.fill()
        except (OSError, StartError, MemoryError) as error:
            if not self.workers:  # else the others go on; the next look tries again
                self.failure = no_worker_starts(error, 1)

    def _bury(self, worker: BaseProcess, dispatcher: Dispatcher) -> None:
        row = self._rows[worker]
        taken = self._tasks.counts()[1]  # first: this also repairs the dead one's claim, if it was writing it
        first, count, finished = self._claims.claim(row)
        running = self._claims.load(row, RUNNING) - 1
        others = [self._claims.claim(other) for other in self._rows.values() if other != row]
        while dispatcher.drain(0):
            pass  # all that it answered before it died
        if worker not in self.workers:
            return  # a callback ended the pool, or looked after it
        self._dismiss(worker)
        error = self._error_of(worker, row, describe_task(running, dispatcher.books.find(running)))
        for sequence in range(first + finished, min(first + count, taken)):
            if any(start <= sequence < start + many for start, many, _ in others):
                continue  # this claim was written, but another worker was faster
            if sequence == running:
                dispatcher.lose(sequence, error)
            else:
                dispatcher.give_again(sequence, error, was_alone=count == 1)
        worker.join()
        worker.close()

    def _dismiss(self, worker: BaseProcess) -> None:
        self.workers.remove(worker)
        del self._rows[worker]

    def _error_of(self, worker: BaseProcess, row: int, task: str) -> BaseException:
        """Why the tasks of a dead worker fail; a start that failed is counted."""
        kills, before = memory_kills() if worker.exitcode == -9 else self._kills, self._kills
        self._kills = kills
        raised = self._start_errors.pop(worker.pid, None)
        ready = raised is None and self._claims.load(row, READY)
        self._unready.discard(worker)
        task = task if ready else "the initializer, or was starting"
        error: BaseException = worker_died(worker, task, self._stacks.take(row), kills > before)
        if ready:
            self._failed_starts = 0
        elif worker.exitcode != 0 or raised is not None:
            self._failed_starts += 1
            self._last_error: BaseException = error if raised is None else starting_failed(raised, worker)
        return error

    # ── tasks and answers ────────────────────────────────────────────────────────────────────────────────────────────
    def prepare(self, func: Callable[..., Any]) -> FunctionRef:
        """The function's place in the arena; raises what pickling raises."""
        return self._functions.ref(func)

    def send(self, _first: int, task: Task | AsyncResult[Any]) -> None:
        """Put the task in the queue, which numbers tasks as the books do."""
        offset, generation = task.func.place
        if not self._tasks.put_call(task.call, offset, generation, task.payload):
            put_pickled(self._tasks, task)

    def send_block(self, block: Block) -> None:
        """Put the tasks in the queue."""
        put_block(self._tasks, block)

    def ahead(self, payloads: Sequence[Any], count: int) -> int | None:
        """As many as workers, and some to come, or as fit into a few megabytes; None: all."""
        return tasks_ahead(payloads, count, self._size)

    def position(self, _at_most: int) -> int:
        """How many tasks the queue has numbered."""
        return self._tasks.counts()[0]

    def receive(self, inbox: list[Answers], timeout: float, many_come: bool = False) -> None:
        """Answers, waiting up to `timeout` seconds for the first. No signal handler runs between the queue and `inbox`."""
        gathers = many_come and timeout > 0 and self._trickle >= TRICKLE and self._results.empty()
        if gathers:
            pause(GATHER)
        try:
            inbox.extend(map(self._results.get_many, (TAKE,), (timeout > 0,), (timeout,)))
        except queue.Empty:
            return
        if not gathers:
            self._trickle = self._trickle + 1 if len(inbox[-1]) <= FEW else 0
        elif len(inbox[-1]) <= FEW:
            self._trickle = 0  # they come too slowly for that

    def open(self, answer: int, payload: Any, sequence: int) -> tuple[bool, Any] | None:
        """What an answer says."""
        if answer == Answer.PICKLED:
            return open_value(payload)
        if answer == Answer.ERROR:
            return False, unpack_failure(payload)
        if answer == Answer.NO_START:
            self._start_errors[sequence] = unpack_failure(payload)
        else:
            self._let_go(sequence)
        return None

    def _let_go(self, pid: int) -> None:
        """This worker has done its tasks, and leaves."""
        with self._watch:
            for worker in list(self.workers):
                if worker.pid == pid and not self._stopping:
                    self._unready.discard(worker)
                    self._failed_starts = 0
                    self._dismiss(worker)
                    self._leaving.append(worker)

    def all_answered(self) -> bool:
        """Has every task been taken and answered?"""
        put, got = self._tasks.counts()
        claims = [self._claims.claim(row) for row in range(self._size)]
        return put == got and all(finished >= count for _first, count, finished in claims)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def finish(self) -> None:
        """Let the workers leave when the queue is empty."""
        self._finishing = True
        if not self._tasks.is_shut_down():
            self._tasks.shut_down()

    def join(self) -> None:
        """Wait for the workers to leave."""
        with self._watch:
            self._stopping = True
            leaving, self.workers, self._leaving = self.workers + self._leaving, [], []
        for worker in leaving:
            worker.join()
            worker.close()
        self._stacks.close()

    def stop(self) -> None:
        """End the workers now: asked, and after half a second killed."""
        with self._watch:
            self._stopping = self._finishing = True
        alive = [worker for worker in self.workers + self._leaving if worker.exitcode is None]
        for worker in alive:
            worker.terminate()
        for worker in _still_alive(alive, GRACE):
            worker.kill()
        for worker in alive:
            worker.join()  # `join` closes them: until then they can be looked at
        if (
            not self._tasks.is_shut_down()
        ):  # only now: no worker that was stopped in the queue can hold this up any more
            self._tasks.shut_down(immediate=True)


def _still_alive(workers: list[BaseProcess], timeout: float) -> list[BaseProcess]:
    """Those that have not ended within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    running = {worker.sentinel: worker for worker in workers if hasattr(worker, "sentinel")}
    while running:
        ended = wait(list(running), max(0.0, deadline - time.monotonic()))
        if not ended:
            break
        for sentinel in ended:
            del running[sentinel]
    return list(running.values())
