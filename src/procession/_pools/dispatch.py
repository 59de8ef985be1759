"""Tasks out, answers in: the books of a pool, kept by whoever waits.

Promises: a result goes straight to the thread that waits for it: one waiting thread at a time (the leader) reads answers for all, the
others (followers) are woken by it. Every task ends: answered, lost with the worker that ran it, or discarded with the pool.
A task that a dead worker had taken but not begun is given out again.
Not here: starting and replacing workers (`crew.py`), what a result looks like to users (`results.py`).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from procession._pools.jobs import TaskState, advance_task
from procession.errors import ResultsDiscarded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Crew", "Dispatcher", "Feeding", "Job", "Task"]

SLICE = 0.1  # seconds: the longest sleep between two looks at the workers' lives


class Job(Protocol):
    """What the dispatcher needs of a job: somewhere to put the outcome of its tasks."""

    done: bool

    def settle(self, index: int, success: bool, value: Any) -> None:
        """Task number `index` ended; the last one makes the job done."""


class Feeding(Protocol):
    """An input that is read ahead."""

    ended: bool

    def feed(self) -> bool:
        """Submit what is wanted; did anything happen?"""
        ...

    def fail(self, error: BaseException) -> None:
        """End the input with an error."""


class Task:
    """One task that has been submitted and not answered."""

    __slots__ = ("call", "func", "index", "job", "payload", "state")

    def __init__(self, job: Job, index: int, call: int, func: Any, payload: Any) -> None:
        self.job = job
        self.index = index
        self.call = call
        self.func = func  # what the crew's `prepare` made of the function
        self.payload = payload
        self.state = TaskState.WAITING


class Crew(Protocol):
    """Workers, seen from the dispatcher."""

    def prepare(self, func: Callable[..., Any]) -> Any:
        """What goes with each task in place of the function."""

    def send(self, first: int, tasks: list[Task]) -> None:
        """Give tasks, numbered from `first`, to the workers: all of them, or raise and none."""

    def receive(self, timeout: float) -> list[tuple[int, bool, Any]]:
        """Answers (sequence, success, value or exception) as soon as there are any; empty after `timeout` seconds."""
        ...

    def check(self, dispatcher: Dispatcher) -> None:
        """Look for dead workers: report their tasks to `dispatcher.lose` and `dispatcher.give_again`, and replace them."""

    def finish(self) -> None:
        """No more tasks will come: workers may leave once they have none."""


class Dispatcher:
    """The tasks of one pool that are not answered yet, and the threads that wait for them."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.tasks: dict[int, Task] = {}
        self.broken: BaseException | None = None  # why no worker can be had
        self.closing: bool = False
        self._next = 0
        self._submitting = threading.Lock()
        self._baton = threading.Lock()  # held by the leader
        self._news = threading.Condition(threading.Lock())
        self._followers = 0
        self._attendant: threading.Thread | None = None
        self._attended = 0  # jobs that need somebody to read answers though nobody waits
        self._attending = threading.Lock()
        self._stir = threading.Event()
        self._feeds: list[Feeding] = []

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def submit(self, tasks: list[Task]) -> None:
        """Number and send tasks; raises, and sends none, if one of them cannot be pickled."""
        with self._submitting:
            if self.broken is not None:
                raise self.broken
            first = self._next
            numbered = dict(zip(range(first, first + len(tasks)), tasks, strict=True))
            self.tasks.update(numbered)
            try:
                self.crew.send(first, tasks)
            except BaseException:
                for sequence in numbered:
                    del self.tasks[sequence]
                raise
            self._next = first + len(tasks)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def wait(self, job: Job, timeout: float | None) -> bool:
        """Wait until the job is done, reading answers meanwhile; was it done in time?"""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not job.done:
            left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
            if left <= 0 and timeout:
                break
            self.advance(job, max(0.0, left))
            if timeout is not None and timeout <= 0:
                break
        return job.done

    def advance(self, job: Job | None, timeout: float) -> None:
        """Read answers for at most `timeout` seconds, as the leader; or let the leader do it and wait for news."""
        if self._baton.acquire(blocking=False):
            try:
                if (job is None or not job.done) and not self.drain(timeout):
                    self.crew.check(self)
            finally:
                self._baton.release()
                self._tell_followers()
        elif timeout > 0:
            self._follow(job, timeout)

    def _follow(self, job: Job | None, timeout: float) -> None:
        with self._news:
            if job is not None and job.done:
                return
            self._followers += 1
            try:
                self._news.wait(timeout)
            finally:
                self._followers -= 1

    def _tell_followers(self) -> None:
        if self._followers:
            with self._news:
                self._news.notify_all()

    def drain(self, timeout: float) -> int:
        """Settle the answers that there are, waiting up to `timeout` seconds for the first; how many. Only with the baton."""
        answers = self.crew.receive(timeout)
        for sequence, success, value in answers:
            self.answer(sequence, success, value)
        if answers:
            self._tell_followers()
        return len(answers)

    def answer(self, sequence: int, success: bool, value: Any) -> None:
        """An answer arrived; one for a task that is settled already is dropped."""
        task = self.tasks.pop(sequence, None)
        if task is not None:
            task.state = advance_task(task.state, "answered")
            task.job.settle(task.index, success, value)

    # ── what a crew reports of its dead ──────────────────────────────────────────────────────────────────────────────
    def lose(self, sequence: int, error: BaseException) -> None:
        """The worker that ran this task died."""
        task = self.tasks.pop(sequence, None)
        if task is not None:
            task.state = advance_task(task.state, "lost")
            task.job.settle(task.index, False, error)

    def give_again(self, sequence: int, error: BaseException) -> None:
        """The worker that had taken this task died before it began: give it out again, once."""
        task = self.tasks.get(sequence)
        if task is None:
            return
        if advance_task(task.state, "orphaned") is TaskState.LOST:
            self.lose(sequence, error)
            return
        task.state = TaskState.RESUBMITTED
        del self.tasks[sequence]
        self.submit([task])

    def fail_all(self, make_error: Callable[[Task], BaseException]) -> None:
        """End every task that is not answered with an error."""
        while self.tasks:
            try:
                _sequence, task = self.tasks.popitem()
            except KeyError:
                break
            task.job.settle(task.index, False, make_error(task))
        self._tell_followers()

    def discard(self) -> None:
        """The pool was terminated: whoever waits, or asks later, is told."""
        for feed in self._feeds:
            if not feed.ended:
                feed.fail(_discarded())
        self.fail_all(lambda _task: _discarded())

    # ── the helper thread: only while something must go on though nobody waits ────────────────────────────────────────
    def attend(self, job_needs_answers: bool = False) -> None:
        """Have somebody look after the workers until all tasks are answered; if the job has callbacks, read answers too."""
        with self._attending:
            self._attended += job_needs_answers
            if self._attendant is None:
                self._attendant = threading.Thread(target=self._attend, name="procession-pool", daemon=True)
                self._attendant.start()
        if job_needs_answers:
            self._stir.set()

    def attend_lightly(self) -> None:
        """As `attend`, unless somebody does already."""
        if self._attendant is None and self.tasks:
            self.attend()

    def attend_feed(self, feed: Feeding) -> None:
        """Have an input read ahead."""
        with self._attending:
            self._feeds.append(feed)
        self.attend()
        self._stir.set()

    def unattend(self) -> None:
        """A job that needed answers to be read is done."""
        with self._attending:
            self._attended -= 1

    def _attend(self) -> None:
        while True:
            if self._feeds:
                self._feed_all()
            elif self._attended > 0:
                self.advance(None, SLICE)
            else:
                self._stir.wait(SLICE)
                self._stir.clear()
                self.look_after()
            with self._attending:
                if not self.tasks and self._attended <= 0 and not self._feeds:
                    self._attendant = None
                    break
        if self.closing:
            self.crew.finish()

    def _feed_all(self) -> None:
        moved = [feed.feed() for feed in self._feeds]
        self._feeds = [feed for feed in self._feeds if not feed.ended]
        if not any(moved):
            self.advance(None, SLICE)
        else:
            self._tell_followers()

    def look_after(self) -> None:
        """Look for dead workers, unless somebody reads answers at this moment (and so will look)."""
        if self._baton.acquire(blocking=False):
            try:
                self.crew.check(self)
            finally:
                self._baton.release()
                self._tell_followers()

    def close(self) -> None:
        """No more tasks: the workers may leave when all are answered."""
        self.closing = True
        if self.tasks or self._attended > 0 or self._feeds:
            self.attend()
        else:
            self.crew.finish()

    def wait_all(self) -> None:
        """Wait until every task is answered."""
        while self.tasks or self._attended > 0 or self._feeds:
            self.advance(None, SLICE)


def _discarded() -> ResultsDiscarded:
    return ResultsDiscarded(
        "the pool was terminated (or left its `with` block) before this task had a result: call close() and join() before, "
        "or get() the result inside the block"
    )
