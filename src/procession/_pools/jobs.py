"""The life of a pool and of a task, as tables; and the words of the messages between pool and workers.

Promises: an illegal event raises `InternalError` and changes nothing.
Not here: doing any of it (`dispatch.py`, `worker.py`).
"""

from __future__ import annotations

from enum import Enum, auto

from procession.errors import InternalError

__all__ = ["NEXT_POOL", "NEXT_TASK", "Answer", "Call", "PoolState", "TaskState", "advance_pool", "advance_task"]


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


class Call:
    """What a task asks for (exact ints, which the codec writes); its message is (call, function's offset, its generation, payload)."""

    ARGS = 0  # payload: args                func(*args)
    ARGS_KWDS = 1  # payload: (args, kwds)   func(*args, **kwds)
    MAP = 2  # payload: items                [func(item) for item in items]
    STARMAP = 3  # payload: items            [func(*item) for item in items]
    PICKLED = 8  # added to one of the above: the payload is bytes that have to be unpickled


class Answer:
    """What a worker answers (exact ints); its message is (sequence of the task, answer, payload)."""

    VALUE = 0  # payload: the value
    PICKLED = 1  # payload: the value, pickled
    ERROR = 2  # payload: (exception, traceback as text), pickled
    NO_START = 3  # payload as for ERROR: the initializer failed; in place of the sequence, the worker's process id
    LEAVING = 4  # the worker has done its tasks, and leaves; in place of the sequence, its process id
