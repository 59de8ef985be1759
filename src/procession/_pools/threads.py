"""The workers of a thread pool: the same jobs, without processes.

Not here: the books (`dispatch.py`).
"""

from __future__ import annotations

import queue
import threading

from procession._pools.jobs import Call

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._pools.dispatch import Dispatcher, Task

__all__ = ["ThreadCrew"]

TAKE = 256  # answers read at once


class ThreadCrew:
    """Worker threads over two queues."""

    failure: BaseException | None = None

    def __init__(self, size: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, Task] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, bool, Any]] = queue.SimpleQueue()
        self._stopping = False
        self._finishing = False
        self._initial = (initializer, initargs)
        self.workers = [
            threading.Thread(target=self._work, name=f"ThreadPoolWorker-{number}", daemon=True)
            for number in range(1, size + 1)
        ]
        for worker in self.workers:
            worker.start()

    def fill(self) -> None:
        """Threads do not die: the crew is always whole."""

    def check(self, dispatcher: Dispatcher) -> None:
        """Nothing but a failed initializer can have happened."""
        if self.failure is not None:
            error = dispatcher.broken = self.failure
            dispatcher.fail_all(lambda _task: error)

    def prepare(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Functions are used as they are."""
        return func

    def send(self, first: int, tasks: list[Task]) -> None:
        """Queue the tasks."""
        for sequence, task in enumerate(tasks, first):
            self._tasks.put((sequence, task))

    def receive(self, timeout: float) -> list[tuple[int, bool, Any]]:
        """Answers, waiting up to `timeout` seconds for the first."""
        answers: list[tuple[int, bool, Any]] = []
        try:
            answers.append(self._results.get(timeout > 0, timeout))
            while len(answers) < TAKE:
                answers.append(self._results.get_nowait())
        except queue.Empty:
            return answers
        return answers

    def finish(self) -> None:
        """One end mark for each thread."""
        if not self._finishing:
            self._finishing = True
            for _ in self.workers:
                self._tasks.put(None)

    def join(self) -> None:
        """Wait for the threads to end."""
        for worker in self.workers:
            if worker is not threading.current_thread():
                worker.join()

    def stop(self) -> None:
        """Drop what waits; what runs, runs on: a thread cannot be ended from outside."""
        self._stopping = True
        try:
            while True:
                self._tasks.get_nowait()
        except queue.Empty:
            self._finishing = False
            self.finish()

    def _work(self) -> None:
        initializer, initargs = self._initial
        try:
            if initializer is not None:
                initializer(*initargs)
        except Exception as error:  # noqa: BLE001 - told to everybody who waits
            self.failure = error
            return
        while not self._stopping:
            item = self._tasks.get()
            if item is None:
                return
            self._results.put((item[0], *self._perform(item[1])))
            del item  # it must not outlive its result

    @staticmethod
    def _perform(task: Task) -> tuple[bool, Any]:
        func, payload = task.func, task.payload
        try:
            if task.call == Call.ARGS:
                return True, func(*payload)
            if task.call == Call.MAP:
                return True, [func(item) for item in payload]
            if task.call == Call.STARMAP:
                return True, [func(*item) for item in payload]
            args, kwds = payload
            return True, func(*args, **kwds)
        except BaseException as error:  # noqa: BLE001 - the answer to the task, whatever it is
            return False, error
