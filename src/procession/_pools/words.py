"""The words of the messages between a pool and its workers: exact ints, which the codec writes.

Not here: who says them when (`sending.py`, `worker.py`).
"""

from __future__ import annotations

__all__ = ["Answer", "Call"]


class Call:
    """What a task asks for; its message is (call, function's offset, its generation, payload)."""

    ARGS = 0  # payload: args                func(*args)
    ARGS_KWDS = 1  # payload: (args, kwds)   func(*args, **kwds)
    MAP = 2  # payload: items                [func(item) for item in items]
    STARMAP = 3  # payload: items            [func(*item) for item in items]
    PICKLED = 8  # added to one of the above: the payload is bytes that have to be unpickled


class Answer:
    """What a worker answers; its message is (sequence of the task, answer, payload)."""

    VALUE = 0  # payload: the value
    PICKLED = 1  # payload: the value, pickled
    ERROR = 2  # payload: (exception, traceback as text), pickled
    NO_START = 3  # payload as for ERROR: the initializer failed; in place of the sequence, the worker's process id
    LEAVING = 4  # the worker has done its tasks, and leaves; in place of the sequence, its process id
