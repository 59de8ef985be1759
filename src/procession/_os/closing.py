"""Closing many descriptors at once, and the null device.

Not here: pairs of connected descriptors (`descriptors.py`).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["close_all", "close_all_except", "open_null"]


def close_all(fds: Iterable[int]) -> None:
    """Close each; those that are closed already are no error."""
    for fd in fds:
        if fd >= 0:  # closerange takes an empty range that begins or ends below 1 for everything
            os.closerange(fd, fd + 1)


def close_all_except(fds: Iterable[int]) -> None:
    """Close every descriptor of this process but these."""
    kept = sorted({-1, *fds})
    limit = os.sysconf("SC_OPEN_MAX")
    for low, high in zip(kept, [*kept[1:], max(limit, kept[-1] + 1)], strict=True):
        if low + 1 < high:  # as above
            os.closerange(low + 1, high)


def open_null() -> int:
    """A descriptor from which nothing can be read."""
    return os.open(os.devnull, os.O_RDONLY)
