"""Which task is whose: every task that was sent and is not settled, by the number that the task queue gave it.

Promises: a task is settled once; settling it again does nothing. What is interrupted half-way is completed when it is done again.
Not here: when anything is settled (`dispatch.py`), what a result looks like (`results.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from procession._pools.jobs import TaskState, advance_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession._pools.results import AsyncResult

__all__ = ["Block", "Books", "Job", "Task"]

MANY = 64  # tasks of a job: while so many are left, one answer more or less is missed by nobody


class Job(Protocol):
    """What the books need of a job: somewhere to put the outcome of its tasks."""

    comes_whole: bool  # is nothing of it of use before all of it is there?

    @property
    def done(self) -> bool:
        """Is there nothing left to wait for?"""
        ...

    def settle(self, index: int, success: bool, value: Any) -> None:
        """Task number `index` ended. May be said twice."""

    def conclude(self) -> None:
        """All tasks of its block have ended. May be said twice."""


class Task:
    """One task by itself: a call, or one of a block that is given out again."""

    __slots__ = ("block", "call", "func", "index", "job", "payload", "state")

    def __init__(self, job: Job, index: int, call: int, func: Any, payload: Any) -> None:
        self.job: Job = job
        self.index: int = index
        self.call: int = call
        self.func: Any = func  # what the crew's `prepare` made of the function
        self.payload: Any = payload
        self.state: TaskState = TaskState.WAITING
        self.block: Block | None = None  # that it comes from


class Block:
    """Tasks of one job that were sent together: number `first + i` is task `index + i` of the job, with `payloads[i]`."""

    __slots__ = ("call", "end", "first", "func", "index", "job", "low", "payloads", "settled")

    def __init__(self, job: Job, index: int, call: int, func: Any, payloads: Sequence[Any]) -> None:
        self.job: Job = job
        self.index: int = index
        self.call: int = call
        self.func: Any = func
        self.payloads: Sequence[Any] = payloads
        self.first: int = 0
        self.end: int = 0
        self.settled: bytearray = bytearray(len(payloads))
        self.low: int = 0  # all below are settled

    def number(self, first: int) -> None:
        """It was given numbers from `first` on."""
        self.first = first
        self.end = first + len(self.payloads)

    def settle(self, offset: int, success: bool, value: Any) -> bool:
        """Settle one of its tasks; are all settled now?"""
        settled = self.settled
        if not settled[offset]:
            self.job.settle(self.index + offset, success, value)
            settled[offset] = 1
        return self.advance()

    def advance(self) -> bool:
        """Note how far it is settled; are all?"""
        settled = self.settled
        if self.low < len(settled):
            low = settled.find(0, self.low)
            self.low = len(settled) if low < 0 else low
        return self.low == len(settled)


class Books:
    """The tasks that are not settled."""

    def __init__(self) -> None:
        self.following = 0  # the number of the next task
        self.tasks: dict[int, Task | AsyncResult[Any]] = {}
        self.blocks: list[Block] = []

    def __bool__(self) -> bool:
        return bool(self.tasks or self.blocks)

    def lack_many(self, job: Job | None) -> bool:
        """Are so many answers to the job still to come that it can do without the next few for a moment?"""
        for block in self.blocks:
            if block.job is job:
                return block.job.comes_whole and len(block.settled) - block.low >= MANY
        return False

    def settle_values(self, answers: list[tuple[int, int, Any]]) -> list[tuple[int, int, Any]]:
        """Settle all those of the answers that are values as they are; the others are returned. The quick way for many."""
        others = []
        tasks, block, first, end, index = self.tasks, None, 0, 0, 0
        settled: bytearray = bytearray()
        settle: Any = None
        for entry in answers:
            sequence, answer, value = entry
            if answer != 0:
                others.append(entry)
                continue
            if not first <= sequence < end:
                if block is not None and block.advance():
                    self._conclude(block)
                block, end = None, 0
                task = tasks.get(sequence)
                if task is not None:
                    self._settle_task(sequence, task, True, value)
                    continue
                block = self._block_of(sequence)
                if block is None:
                    continue
                first, end, index, settled, settle = (
                    block.first,
                    block.end,
                    block.index,
                    block.settled,
                    block.job.settle,
                )
            offset = sequence - first
            if not settled[offset]:
                settle(index + offset, True, value)
                settled[offset] = 1
        if block is not None and block.advance():
            self._conclude(block)
        return others

    def settle(self, sequence: int, success: bool, value: Any) -> None:
        """A task ended; one that is settled already is let pass."""
        task = self.tasks.get(sequence)
        if task is not None:
            self._settle_task(sequence, task, success, value)
            return
        block = self._block_of(sequence)
        if block is not None and block.settle(sequence - block.first, success, value):
            self._conclude(block)

    def _settle_task(self, sequence: int, task: Task | AsyncResult[Any], success: bool, value: Any) -> None:
        if task.block is None:
            task.job.settle(task.index, success, value)
            task.job.conclude()
        elif task.block.settle(task.index - task.block.index, success, value):
            self._conclude(task.block)
        self.tasks.pop(sequence, None)

    def _conclude(self, block: Block) -> None:
        block.job.conclude()
        if block in self.blocks:
            self.blocks.remove(block)

    def _block_of(self, sequence: int) -> Block | None:
        for block in self.blocks:  # few: one for each map that runs
            if block.first <= sequence < block.end:
                return block
        return None

    def find(self, sequence: int) -> tuple[Job, int, Any] | None:
        """(job, call, payload) of a task that is not settled."""
        task = self.tasks.get(sequence)
        if task is not None:
            return task.job, task.call, task.payload
        block = self._block_of(sequence)
        if block is None or block.settled[sequence - block.first]:
            return None
        return block.job, block.call, block.payloads[sequence - block.first]

    def is_open(self, sequence: int) -> bool:
        """Is this task not settled?"""
        return self.find(sequence) is not None

    def reclaim(self, sequence: int, was_alone: bool) -> Task | AsyncResult[Any] | None:
        """Take a task out that its worker had not begun, to be given out again; None: it may be what kills workers, or it is settled.

        `was_alone`: the worker had taken no other, so this one may be the cause (it is too large to be read, say).
        """
        event = "orphaned" if was_alone else "passed over"
        task = self.tasks.get(sequence)
        if task is None:
            task = self._task_of_block(sequence)
            if task is None:
                return None
        state = advance_task(task.state, event)
        if state is TaskState.LOST:
            return None
        task.state = state
        self.tasks.pop(sequence, None)
        return task

    def _task_of_block(self, sequence: int) -> Task | None:
        block = self._block_of(sequence)
        if block is None or block.settled[sequence - block.first]:
            return None
        offset = sequence - block.first
        task = Task(block.job, block.index + offset, block.call, block.func, block.payloads[offset])
        task.block = block
        return task

    def settle_all(self, error: BaseException) -> None:
        """End every task with an error."""
        while self.tasks or self.blocks:
            for sequence in list(self.tasks):
                self.settle(sequence, False, error)
            for block in list(self.blocks):
                for offset in range(block.low, len(block.settled)):
                    block.settle(offset, False, error)
                self._conclude(block)
