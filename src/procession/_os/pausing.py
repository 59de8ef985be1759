"""A moment's rest of a thread that has enough to do later.

Promises: the thread stands in the table of waits meanwhile; a rest is as long as asked, and the kernel's slack (50 us).
Not here: waits for something (`_native`, `descriptors`): who only wants to know whether it is there is told.
"""

from __future__ import annotations

import time

from procession import _native
from procession._os.descriptors import WAIT_SELECT

__all__ = ["pause"]


def pause(seconds: float) -> None:
    """Rest for so long."""
    row = _native.wait_begin(WAIT_SELECT, 0, seconds, 0)
    try:
        time.sleep(seconds)
    finally:
        _native.wait_end(row)
