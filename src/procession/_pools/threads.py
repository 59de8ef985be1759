"""The workers of a thread pool: the same jobs, without processes.

Not here: the books (`dispatch.py`).
"""

from __future__ import annotations

import queue
import threading

from procession._pools.words import Answer, Call

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from procession._pools.books import Block, Task
    from procession._pools.dispatch import Answers, Dispatcher
    from procession._pools.results import AsyncResult

__all__ = ["ThreadCrew"]

TAKE = 256  # answers read at once


class ThreadCrew:
    """Worker threads over two queues."""

    failure: BaseException | None = None

    def __init__(self, size: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, int, Any, Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, int, Any]] = queue.SimpleQueue()
        self._sent = 0
        self._answered = [0] * size
        self._stopping = False
        self._finishing = False
        self._initial = (initializer, initargs)
        self.workers = [
            threading.Thread(target=self._work, args=(number,), name=f"ThreadPoolWorker-{number}", daemon=True)
            for number in range(1, size + 1)
        ]
        for worker in self.workers:
            worker.start()

    def fill(self) -> None:
        """Threads do not die: the crew is always whole."""

    def check(self, dispatcher: Dispatcher) -> None:
        """Nothing but a failed initializer can have happened."""
        if self.failure is not None:
            dispatcher.broken = self.failure
            dispatcher.fail_all(self.failure)

    def prepare(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Functions are used as they are."""
        return func

    def send(self, first: int, task: Task | AsyncResult[Any]) -> None:
        """Queue the task."""
        self._sent += 1
        self._tasks.put((first, task.call, task.func, task.payload))

    def send_block(self, block: Block) -> None:
        """Queue the tasks."""
        self._sent += len(block.payloads)
        for sequence, payload in enumerate(block.payloads, block.first):
            self._tasks.put((sequence, block.call, block.func, payload))

    def ahead(self, _payloads: Sequence[Any], _count: int) -> int | None:
        """All: nothing is copied."""
        return None

    def position(self, at_most: int) -> int:
        """A number that certainly was not used."""
        return at_most

    def receive(self, inbox: list[Answers], timeout: float, many_come: bool = False) -> None:
        """Answers, waiting up to `timeout` seconds for the first."""
        answers: Answers = []
        try:
            answers.append(self._results.get(timeout > 0, timeout))
            while len(answers) < TAKE:
                answers.append(self._results.get_nowait())
        except queue.Empty:
            pass
        finally:
            if answers:
                inbox.append(answers)

    def open(self, _answer: int, payload: Any, _sequence: int) -> tuple[bool, Any] | None:
        """What an answer that is not a value says."""
        return False, payload

    def all_answered(self) -> bool:
        """Has every task been taken and answered?"""
        return sum(self._answered) >= self._sent

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

    def _work(self, number: int) -> None:
        initializer, initargs = self._initial
        try:
            if initializer is not None:
                initializer(*initargs)
        except BaseException as error:  # noqa: BLE001 - told to everybody who waits
            self.failure = error
            return
        while not self._stopping:
            item = self._tasks.get()
            if item is None:
                return
            self._results.put((item[0], *self._perform(*item[1:])))
            self._answered[number - 1] += 1
            del item  # it must not outlive its result

    @staticmethod
    def _perform(call: int, func: Callable[..., Any], payload: Any) -> tuple[int, Any]:
        try:
            if call == Call.ARGS:
                return Answer.VALUE, func(*payload)
            if call == Call.MAP:
                return Answer.VALUE, [func(item) for item in payload]
            if call == Call.STARMAP:
                return Answer.VALUE, [func(*item) for item in payload]
            args, kwds = payload
            return Answer.VALUE, func(*args, **kwds)
        except BaseException as error:  # noqa: BLE001 - the answer to the task, whatever it is
            return Answer.ERROR, error
