"""The life of a pool and of a task, as tables.

Promises: an illegal event raises `InternalError` and changes nothing.
Not here: doing any of it (`dispatch.py`), the messages between pool and workers (`words.py`).
"""

from __future__ import annotations

from enum import Enum, auto

from procession.errors import InternalError

__all__ = ["NEXT_POOL", "NEXT_TASK", "PoolState", "TaskState", "advance_pool", "advance_task"]


class PoolState(Enum):
    """Where a pool is in its life."""

    RUN = "RUN"
    CLOSE = "CLOSE"  # takes no more tasks, finishes those that it has
    TERMINATE = "TERMINATE"  # drops everything
    BROKEN = "BROKEN"  # its initializer fails: no worker can be had


NEXT_POOL = {
    (PoolState.RUN, "close"): PoolState.CLOSE,
    (PoolState.CLOSE, "close"): PoolState.CLOSE,
    (PoolState.BROKEN, "close"): PoolState.BROKEN,
    (PoolState.TERMINATE, "close"): PoolState.TERMINATE,
    (PoolState.RUN, "terminate"): PoolState.TERMINATE,
    (PoolState.CLOSE, "terminate"): PoolState.TERMINATE,
    (PoolState.BROKEN, "terminate"): PoolState.TERMINATE,
    (PoolState.TERMINATE, "terminate"): PoolState.TERMINATE,
    (PoolState.RUN, "break"): PoolState.BROKEN,
    (PoolState.CLOSE, "break"): PoolState.BROKEN,
    (PoolState.BROKEN, "break"): PoolState.BROKEN,
    (PoolState.TERMINATE, "break"): PoolState.TERMINATE,
}


class TaskState(Enum):
    """Where a task is: what is known of it in the process that owns the pool."""

    WAITING = auto()  # in the task queue, or taken by a worker that lives
    RESUBMITTED = auto()  # its worker died before it began: in the queue again
    ANSWERED = auto()
    LOST = auto()  # its worker died while it ran


NEXT_TASK = {
    (TaskState.WAITING, "answered"): TaskState.ANSWERED,
    (TaskState.RESUBMITTED, "answered"): TaskState.ANSWERED,
    (TaskState.WAITING, "orphaned"): TaskState.RESUBMITTED,
    (
        TaskState.RESUBMITTED,
        "orphaned",
    ): TaskState.LOST,  # twice, and alone, is no accident: it may be what kills the workers
    (TaskState.WAITING, "passed over"): TaskState.WAITING,  # taken with others, one of which killed the worker
    (TaskState.RESUBMITTED, "passed over"): TaskState.RESUBMITTED,
    (TaskState.WAITING, "lost"): TaskState.LOST,
    (TaskState.RESUBMITTED, "lost"): TaskState.LOST,
}


def advance_pool(state: PoolState, event: str) -> PoolState:
    """The state after `event`."""
    try:
        return NEXT_POOL[state, event]
    except KeyError:
        raise InternalError(f"a pool in state {state.name} cannot {event}") from None


def advance_task(state: TaskState, event: str) -> TaskState:
    """The state after `event`."""
    try:
        return NEXT_TASK[state, event]
    except KeyError:
        raise InternalError(f"a task in state {state.name} cannot be {event}") from None
