"""The workers of a process pool: started, watched, replaced.

Promises: a dead worker is replaced, and each task that it had taken is either reported as lost (the one that it ran) or given out again.
If the initializer fails, no worker is started any more and everybody who waits is told why.
Not here: the books (`dispatch.py`), the worker's own loop (`worker.py`).
"""

from __future__ import annotations

import queue
import threading
import time

from procession._channels.pickling import ForkingPickler
from procession._channels.select import wait
from procession._pools.failures import unpack_failure
from procession._pools.functions import FunctionRef, FunctionStore
from procession._pools.jobs import Answer, Call
from procession._pools.worker import RUNNING, Claims, Ring, work
from procession.errors import InternalError, StartError, WorkerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._pools.dispatch import Dispatcher, Task
    from procession._processes.process import BaseProcess

__all__ = ["ProcessCrew"]

Initial = tuple["Callable[..., object] | None", "tuple[Any, ...]", "int | None"]  # initializer, initargs, maxtasks
TAKE = 256  # answers read at once
GRACE = 1.0  # seconds that a terminated worker has before it is killed


class ProcessCrew:
    """Worker processes over two queues and a table of claims."""

    def __init__(self, size: int, make_process: Callable[..., BaseProcess], initial: Initial) -> None:
        self.workers: list[BaseProcess] = []
        self._rows: dict[BaseProcess, int] = {}
        self._size = size
        self._initial = initial
        self._make_process = make_process
        self._tasks, self._results, self._claims = Ring(), Ring(), Claims(size)
        self._functions = FunctionStore()
        self._finishing = False
        self._stopping = False
        self._watch = (
            threading.RLock()
        )  # one thread at a time looks after the workers; a callback may end the pool meanwhile
        self.failure: BaseException | None = None  # the initializer's
        try:
            self.fill()
        except BaseException:
            self.stop()
            raise

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def fill(self) -> None:
        """Start workers until the crew is whole."""
        free = [row for row in range(self._size) if row not in self._rows.values()]
        for row in free:
            ends = (self._tasks, self._results, self._claims, row, self._size)
            worker = self._make_process(target=work, args=(ends, *self._initial))
            worker.name = worker.name.replace("Process", "PoolWorker")
            worker.daemon = True
            worker.start()
            self._rows[worker] = row
            self.workers.append(worker)

    def check(self, dispatcher: Dispatcher) -> None:
        """Settle what dead workers had taken, and replace them."""
        with self._watch:
            if not self._stopping:
                self._check(dispatcher)

    def _check(self, dispatcher: Dispatcher) -> None:
        dead = [worker for worker in self.workers if worker.exitcode is not None]
        for worker in dead:
            self._bury(worker, dispatcher)
        if self.failure is not None:
            dispatcher.broken = self.failure
            dispatcher.fail_all(lambda _task: self._failure_for_task())
        elif dead and (not self._finishing or dispatcher.tasks):
            self._refill(dispatcher)

    def _refill(self, dispatcher: Dispatcher) -> None:
        try:
            self.fill()
        except (OSError, StartError, MemoryError) as error:
            if self.workers:
                return  # the others go on; the next look tries again
            dispatcher.broken = self.failure = error
            dispatcher.fail_all(lambda _task: self._failure_for_task())

    def _bury(self, worker: BaseProcess, dispatcher: Dispatcher) -> None:
        row = self._rows[worker]
        taken = self._tasks.counts()[1]
        first, count, finished = self._claims.claim(row)
        running = self._claims.load(row, RUNNING) - 1
        others = [self._claims.claim(other) for other in self._rows.values() if other != row]
        while dispatcher.drain(0):
            pass  # all that it answered before it died
        error = WorkerDied(worker.name, worker.pid, worker.exitcode, self._describe(dispatcher.tasks.get(running)))
        for sequence in range(first + finished, min(first + count, taken)):
            if any(start <= sequence < start + many for start, many, _ in others):
                continue  # this claim was written, but another worker was faster
            if sequence == running:
                dispatcher.lose(sequence, error)
            else:
                dispatcher.give_again(sequence, error)
        for word in (0, 1, RUNNING):
            self._claims.store(row, word, 0)
        self.workers.remove(worker)
        del self._rows[worker]
        worker.join()
        worker.close()

    @staticmethod
    def _describe(task: Task | None) -> str:
        if task is None:
            return "a task"
        func = getattr(task.job, "function", None)
        name = getattr(func, "__qualname__", None) or repr(func)
        text = repr(task.payload)
        return f"{name} with {text if len(text) <= 200 else text[:200] + '…'}"

    def _failure_for_task(self) -> BaseException:
        return self.failure or InternalError("a crew without failure failed")

    # ── tasks and answers ────────────────────────────────────────────────────────────────────────────────────────────
    def prepare(self, func: Callable[..., Any]) -> FunctionRef:
        """The function's place in the arena; raises what pickling raises."""
        return self._functions.ref(func)

    def send(self, first: int, tasks: list[Task]) -> None:
        """Put the tasks in the queue, which numbers them as the dispatcher does."""
        if len(tasks) == 1:
            task = tasks[0]
            offset, generation = task.func.place
            if not self._tasks.put_plain((task.call, offset, generation, task.payload)):
                self._tasks.put_plain(self._pickled(task))
            return
        self._tasks.put_many([self._message(task) for task in tasks])

    @staticmethod
    def _message(task: Task) -> tuple[Any, ...]:
        return (task.call, *task.func.place, task.payload)

    @staticmethod
    def _pickled(task: Task) -> tuple[Any, ...]:
        return (task.call | Call.PICKLED, *task.func.place, bytes(ForkingPickler.dumps(task.payload)))

    def receive(self, timeout: float) -> list[tuple[int, bool, Any]]:
        """Answers, waiting up to `timeout` seconds for the first."""
        try:
            messages = self._results.get_many(TAKE, timeout > 0, timeout)
        except queue.Empty:
            return []
        return [self._opened(message) for message in messages]

    def _opened(self, message: tuple[int, int, Any]) -> tuple[int, bool, Any]:
        sequence, answer, payload = message
        if answer == 0:
            return sequence, True, payload
        if answer == Answer.PICKLED:
            try:
                return sequence, True, ForkingPickler.loads(payload)
            except Exception as error:  # noqa: BLE001 - told to the one who waits for this result
                return sequence, False, error
        failure = unpack_failure(payload)
        if answer == Answer.NO_START:
            self.failure = failure
            return -1, False, failure
        return sequence, False, failure

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
            leaving, self.workers = self.workers, []
        for worker in leaving:
            worker.join()
            worker.close()

    def stop(self) -> None:
        """End the workers now: asked, and after a second killed."""
        with self._watch:
            self._stopping = self._finishing = True
        if not self._tasks.is_shut_down():
            self._tasks.shut_down(immediate=True)
        alive = [worker for worker in self.workers if worker.exitcode is None]
        for worker in alive:
            worker.terminate()
        for worker in _still_alive(alive, GRACE):
            worker.kill()
        for worker in alive:
            worker.join()  # `join` closes them: until then they can be looked at


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
