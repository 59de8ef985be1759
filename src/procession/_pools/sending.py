"""Tasks on their way to the workers: messages (call, function's offset, its generation, payload).

Promises: a payload that the codec cannot write is pickled by itself, and unpickled by the worker only when the task is noted as running:
so one that kills its worker while it is rebuilt harms no other. A block is sent as a whole, or an error is raised and nothing is sent.
Not here: numbers (`books.py`).
"""

from __future__ import annotations

from procession import _native
from procession._pools.parcels import pack, size_of
from procession._pools.words import Call

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from procession._pools.books import Block, Task
    from procession._pools.results import AsyncResult
    from procession._pools.worker import Ring

__all__ = ["put_block", "put_pickled", "tasks_ahead"]

LARGE = 64 << 10  # bytes of a task: smaller ones are sent faster together
AHEAD = 16 << 20  # bytes: what is copied and read again while it is in the processors' caches, mostly


def put_pickled(tasks: Ring, task: Task | AsyncResult[Any]) -> None:
    """Put a task whose payload the codec cannot write; raises what pickling raises."""
    offset, generation = task.func.place
    tasks.put(_pickled(task.call, offset, generation, task.payload))


def put_block(tasks: Ring, block: Block) -> None:
    """Put the tasks of a block; raises what pickling raises."""
    call, (offset, generation), payloads = block.call, block.func.place, block.payloads
    if tasks.put_calls(call, offset, generation, payloads):
        return
    encodes = _native.encodes
    messages = [
        (call, offset, generation, payload) if encodes(payload) else _pickled(call, offset, generation, payload)
        for payload in payloads
    ]
    tasks.put_many(messages)


def tasks_ahead(payloads: Sequence[Any], count: int, workers: int) -> int | None:
    """How many of `count` such tasks may wait for the workers at once, by the size of the first and the last; None: all of them."""
    size = max(_size(payloads[0]), _size(payloads[-1]))
    if size < LARGE or size * count <= AHEAD:
        return None
    return max(workers + 2, AHEAD // size)


def _size(payload: Any) -> int:
    """Bytes of the message, about."""
    if _native.encodes(payload):
        return len(_native.dumps(payload))
    return size_of(pack(payload))


def _pickled(call: int, offset: int, generation: int, payload: Any) -> tuple[Any, ...]:
    return call | Call.PICKLED, offset, generation, pack(payload)
