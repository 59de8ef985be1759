"""What the codec cannot write, pickled apart from the message that carries it: so that whoever reads the message knows whose it is,
whatever unpickling does. Large buffers (arrays) go beside the pickle, by one copy into a block of the arena.

Promises: what arrives is writable, and nobody else's.
Not here: the block (`_channels.payload`), the messages (`sending.py`, `worker.py`).
"""

from __future__ import annotations

import io

from procession._channels import pickling
from procession._channels.payload import OUT_OF_BAND

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any

__all__ = ["pack", "size_of", "unpack"]

PROTOCOL = 5  # the first with buffers beside the pickle


def pack(value: Any) -> bytes | tuple[Any, ...]:
    """The pickle, or (pickle, large buffer, …); raises what pickling raises."""
    buffers: list[PickleBuffer] = []

    def keep(buffer: PickleBuffer) -> bool:
        large = buffer.raw().nbytes >= OUT_OF_BAND
        if large:
            buffers.append(buffer)
        return not large

    stream = io.BytesIO()
    pickling.ForkingPickler(stream, PROTOCOL, buffer_callback=keep).dump(value)
    return (stream.getvalue(), *buffers) if buffers else stream.getvalue()


def size_of(parcel: bytes | tuple[Any, ...]) -> int:
    """Its bytes."""
    if isinstance(parcel, bytes):
        return len(parcel)
    size: int = len(parcel[0]) + sum(buffer.raw().nbytes for buffer in parcel[1:])
    return size


def unpack(parcel: bytes | tuple[Any, ...]) -> Any:
    """The value; raises what unpickling raises."""
    if isinstance(parcel, bytes):
        return pickling.loads(parcel)
    pickled, *buffers = parcel
    return pickling.loads(pickled, buffers=buffers)
