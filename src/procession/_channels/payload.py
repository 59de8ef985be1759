"""Large buffers beside the pickle: what queues and pools send when an object holds arrays.

Pickle protocol 5 hands large buffers out; they are copied once, into a block of the arena, which the message names. Its receiver
gets views of the block: writable, nobody else's, and its own also after a fork (native/holding.h). The block goes back to the arena
with the last view, or when its process ends.
Promises: what arrives equals what was sent at the time of `put`. Smaller buffers travel inside the pickle.
Not here: the block (native/face/block.h), connections (`pipe`), arrays that are shared (`arrays`).
"""

from __future__ import annotations

import io

from procession._channels import pickling
from procession._native import Block

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any

__all__ = ["OUT_OF_BAND", "pack", "unpack"]

OUT_OF_BAND = (
    16 << 10
)  # bytes: below, copying into the pickle and out of it is cheaper than a block (benchmarks/workloads/payloads.py)
PROTOCOL = 5  # the first with out-of-band buffers


def pack(obj: Any) -> memoryview | Block:
    """The pickle of `obj`, or a block with it and the buffers that it holds. MemoryError if the arena has no room for them."""
    buffers: list[memoryview] = []

    def keep(buffer: PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= OUT_OF_BAND:
            buffers.append(raw)
        return raw.nbytes < OUT_OF_BAND

    stream = io.BytesIO()
    pickling.ForkingPickler(stream, PROTOCOL, buffer_callback=keep).dump(obj)
    return Block.pack(stream.getbuffer(), buffers) if buffers else stream.getbuffer()


def unpack(block: Block) -> Any:
    """The object in a block that `pack` made."""
    pickled, *buffers = block.parts()
    return pickling.loads(pickled, buffers=buffers)
