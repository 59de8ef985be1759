"""Tasks out, answers in: who waits, who reads, and the helper thread.

Promises: a result goes straight to the thread that waits for it: one waiting thread at a time (the leader) reads answers for all, the
others (followers) are woken by it. Every task ends: answered, lost with the worker that ran it, or discarded with the pool; also when the
leader is interrupted at any instruction, or a callback raises, or uses the pool. A leader looks at the workers' lives ten times a second.
Not here: which task is whose (`books.py`), starting and replacing workers (`crew.py`), what a result looks like to users (`results.py`).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from procession._pools.books import Books
from procession._pools.failures import discarded, swallowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procession._pools.books import Block, Job, Task
    from procession._pools.results import AsyncResult

__all__ = ["Crew", "Dispatcher", "Feeding"]

UNREAD = 5  # slices after which answers that nobody waits for are read: of an iterator that was given up, say
SLICE = 0.1  # seconds: the longest time between two looks at the workers' lives
Answers = list[tuple[int, int, Any]]  # as they came: (sequence, Answer, payload)


class Feeding(Protocol):
    """An input that is read ahead."""

    ended: bool

    def feed(self) -> bool:
        """Submit what is wanted; did anything happen?"""
        ...

    def fail(self, error: BaseException) -> None:
        """End the input with an error."""


class Crew(Protocol):
    """Workers, seen from the dispatcher."""

    def prepare(self, func: Callable[..., Any]) -> Any:
        """What goes with each task in place of the function."""

    def send(self, first: int, task: Task | AsyncResult[Any]) -> None:
        """Give a task to the workers, or raise."""

    def send_block(self, block: Block) -> None:
        """Give a block of tasks to the workers: all of them, or raise and none."""

    def receive(self, inbox: list[Answers], timeout: float, many_come: bool = False) -> None:
        """Append the answers that there are to `inbox`, waiting up to `timeout` seconds for the first; for several, if many come."""

    def open(self, answer: int, payload: Any, sequence: int) -> tuple[bool, Any] | None:
        """(success, value or exception); None: it was a word about the worker, not about a task."""
        ...

    def ahead(self, payloads: Sequence[Any], count: int) -> int | None:
        """How many of `count` tasks such as these may be sent before one of them is answered; None: all of them."""
        ...

    def check(self, dispatcher: Dispatcher) -> None:
        """Look for dead workers: report their tasks to `dispatcher.lose` and `dispatcher.give_again`, and replace them."""

    def position(self, at_most: int) -> int:
        """The number that the next task will have, if that is in doubt."""
        ...

    def finish(self) -> None:
        """No more tasks will come: workers may leave once they have none."""

    def all_answered(self) -> bool:
        """Has every task been taken and answered?"""
        ...


class Dispatcher:
    """The tasks of one pool that are not answered yet, and the threads that wait for them."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.books: Books = Books()
        self.broken: BaseException | None = None  # why no worker can be had
        self.closing: bool = False
        self._submitting = threading.RLock()  # a callback, or the garbage collector, may come back to any of these
        self._sending = 0  # tasks that are being sent, or were when sending was interrupted
        self._seat: dict[int, tuple[int]] = {}  # 0: the leader's (thread,); taken and left by one call each
        self._calling: set[int] = set()  # threads that run a callback
        self._inbox: list[Answers] = []  # read, but not yet (all) settled
        self._interrupted = False  # may answers have been lost between the queue and the books?
        self._look_soon = False  # a worker said that something is to be done about it
        self._checked = 0.0  # when the workers' lives were looked at
        self._news = threading.Condition(threading.RLock())
        self._followers = 0
        self._attendant: threading.Thread | None = None
        self._attended: int = 0  # jobs that need somebody to read answers though nobody waits
        self._attending = threading.RLock()
        self._stir = threading.Event()
        self._slept = 0  # slices in a row in which the helper thread had nothing to do
        self._feeds: list[Feeding] = []

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def submit(self, task: Task | AsyncResult[Any]) -> None:
        """Number and send a task; raises, and sends nothing, if it cannot be pickled."""
        books = self.books
        with self._submitting:
            sequence = self._begin_sending(1) if self._sending or self.broken is not None else books.following
            self._sending = 1
            books.tasks[sequence] = task
            try:
                self.crew.send(sequence, task)
            except BaseException:
                books.tasks.pop(sequence, None)
                raise
            books.following = sequence + 1
            self._sending = 0

    def submit_block(self, block: Block) -> None:
        """Number and send a block of tasks; raises, and sends none, if one of them cannot be pickled."""
        books = self.books
        with self._submitting:
            block.number(self._begin_sending(len(block.payloads)))
            books.blocks.append(block)
            try:
                self.crew.send_block(block)
            except BaseException:
                books.blocks.remove(block)
                raise
            books.following = block.end
            self._sending = 0

    def _begin_sending(self, count: int) -> int:
        """The number of the next task."""
        if self.broken is not None:
            raise self.broken
        books = self.books
        if (
            self._sending
        ):  # the last one was interrupted, and nobody knows what was sent; if it was, its answers are let pass
            books.following = self.crew.position(books.following + self._sending)
        self._sending = count
        return books.following

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def wait(self, job: Job, timeout: float | None) -> bool:
        """Wait until the job is done, reading answers meanwhile; was it done in time?"""
        if timeout is not None:
            return self._wait_until(job, time.monotonic() + timeout, timeout > 0)
        while not job.done:
            self.advance(job, SLICE)
        return True

    def _wait_until(self, job: Job, deadline: float, may_sleep: bool) -> bool:
        self.advance(job, 0.0)
        while may_sleep and not job.done:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.advance(job, min(SLICE, left))
        return job.done

    def advance(self, job: Job | None, timeout: float) -> None:
        """Read answers for at most `timeout` seconds, as the leader; or let the leader do it and wait for news."""
        me = threading.get_ident()
        leader = self._seat.get(0)
        if leader is not None:
            if leader[0] == me:  # in a callback; or interrupted in the very last step of an earlier turn
                self._lead(job, timeout)
                if me not in self._calling:
                    self._seat.pop(0, None)
            elif timeout > 0:
                self._follow(job, timeout)
            return
        token = (me,)
        try:
            if self._seat.setdefault(0, token) is token and (job is None or not job.done):
                came = self.drain(timeout, not (self._followers or self._attended) and self.books.lack_many(job))
                if not came or self._look_soon or time.monotonic() - self._checked > SLICE:
                    self.check_workers()
        except BaseException:
            self._interrupted = True  # whatever it was: answers may have been read and not settled
            raise
        finally:
            if self._seat.get(0) is token:
                self._seat.pop(0, None)
            if self._followers:
                self._tell_followers()

    def _lead(self, job: Job | None, timeout: float) -> None:
        if job is not None and job.done:
            return
        came = self.drain(timeout)
        if not came or self._look_soon or time.monotonic() - self._checked > SLICE:
            self.check_workers()

    def check_workers(self) -> None:
        """Look for dead workers, and for tasks whose answers an interrupt swallowed. Only as the leader."""
        self._look_soon = False
        self.crew.check(self)
        if self._interrupted:
            self._find_swallowed()
        self._checked = time.monotonic()

    def _find_swallowed(self) -> None:
        with self._submitting:
            if self.crew.all_answered() and not self.drain(0):
                self.books.settle_all(swallowed())
            self._interrupted = bool(self.books)

    def _follow(self, job: Job | None, timeout: float) -> None:
        with self._news:
            self._followers += 1  # first: whoever settles the job looks at it afterwards
            try:
                if job is None or not job.done:
                    self._news.wait(timeout)
            finally:
                self._followers -= 1

    def _tell_followers(self) -> None:
        if self._followers:
            with self._news:
                self._news.notify_all()

    def drain(self, timeout: float, many_come: bool = False) -> bool:
        """Settle the answers that there are, waiting up to `timeout` seconds for the first; were there any? Only as the leader."""
        inbox = self._inbox
        if not inbox:
            self.crew.receive(inbox, timeout, many_come)
        if not inbox:
            return False
        while inbox:
            answers = inbox[0]  # settled again from the first after an interrupt: what is settled already is let pass
            self._settle(answers)
            if inbox and inbox[0] is answers:
                inbox.pop(0)
        self._tell_followers()
        return True

    def _settle(self, answers: Answers) -> None:
        settle, opened = self.books.settle, self.crew.open
        for sequence, answer, payload in self.books.settle_values(answers):
            outcome = opened(answer, payload, sequence)
            if outcome is None:
                self._look_soon = True  # at once, but after these answers
            else:
                settle(sequence, *outcome)

    # ── what a crew reports of its dead ──────────────────────────────────────────────────────────────────────────────
    def lose(self, sequence: int, error: BaseException) -> None:
        """The worker that ran this task died."""
        self.books.settle(sequence, False, error)

    def give_again(self, sequence: int, error: BaseException, was_alone: bool) -> None:
        """The worker that had taken this task died before it began: give it out again, unless it seems to be the cause."""
        task = self.books.reclaim(sequence, was_alone)
        if task is None:
            self.lose(sequence, error)
        else:
            self.submit(task)

    def fail_all(self, error: BaseException) -> None:
        """End every task that is not answered, and every input, with an error."""
        for feed in self._feeds:
            if not feed.ended:
                feed.fail(error)
        self.books.settle_all(error)
        self._tell_followers()

    def discard(self) -> None:
        """The pool was terminated: whoever waits, or asks later, is told."""
        self.fail_all(discarded())

    # ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────────────
    def call_back(self, callback: Callable[[Any], object], value: Any) -> None:
        """Run a user's callback, which may use the pool."""
        me = threading.get_ident()
        nested = me in self._calling
        self._calling.add(me)
        try:
            callback(value)
        finally:
            if not nested:
                self._calling.discard(me)

    def in_callback(self) -> bool:
        """Is this thread in a callback of this pool?"""
        return threading.get_ident() in self._calling

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
        if self._attendant is None and self.books:
            self.attend()

    def add_feed(self, feed: Feeding) -> None:
        """There is an input that its caller reads; the helper thread, if there is one, does too."""
        with self._attending:
            self._feeds.append(feed)

    def drop_ended_feeds(self) -> None:
        """Forget the inputs that are at their end."""
        with self._attending:
            self._feeds = [feed for feed in self._feeds if not feed.ended]

    def attend_feed(self, feed: Feeding) -> None:
        """Have an input read ahead."""
        self.add_feed(feed)
        self.attend()
        self._stir.set()

    def unattend(self) -> None:
        """A job that needed answers to be read is done."""
        with self._attending:
            self._attended -= 1

    def busy(self) -> bool:
        """Is anything left to be done?"""
        return bool(self.books) or self._attended > 0 or bool(self._feeds)

    def _attend(self) -> None:
        while True:
            try:
                self._attend_once()
            except BaseException as error:  # noqa: BLE001 - nobody waits here: those who wait are told
                self.fail_all(error)
            with self._attending:
                if not self.busy():
                    self._attendant = None
                    break
        if self.closing:
            self.crew.finish()

    def _attend_once(self) -> None:
        if self._feeds:
            self._feed_all()
        elif self._attended > 0:
            self.advance(None, SLICE)
        else:
            self._slept = 0 if self._stir.wait(SLICE) else self._slept + 1
            self._stir.clear()
            if self._slept % UNREAD:
                self.look_after()
            else:
                self.advance(None, 0)

    def _feed_all(self) -> None:
        moved = [feed.feed() for feed in self._feeds]
        self.drop_ended_feeds()
        if not any(moved):
            self.advance(None, SLICE)
        else:
            self._tell_followers()

    def look_after(self) -> None:
        """Look for dead workers, unless somebody reads answers at this moment (and so will look)."""
        token = (threading.get_ident(),)
        try:
            if self._seat.setdefault(0, token) is token:
                self.check_workers()
        finally:
            if self._seat.get(0) is token:
                self._seat.pop(0, None)
            self._tell_followers()

    def close(self) -> None:
        """No more tasks: the workers may leave when all are answered."""
        self.closing = True
        if self.busy():
            self.attend()
        else:
            self.crew.finish()

    def join_attendant(self) -> None:
        """Wait for the helper thread to end, which has nothing left to do: half a second, if an input makes it wait."""
        attendant = self._attendant
        if attendant is not None and attendant is not threading.current_thread():
            self._stir.set()
            attendant.join(0.5)

    def wait_all(self) -> None:
        """Wait until every task is answered."""
        while self.busy():
            self.advance(None, SLICE)
