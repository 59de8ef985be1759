"""Daemonic children and the life of the process that started them.

Promises: a daemonic child gets SIGTERM when its parent dies, even by SIGKILL, and SIGKILL if it still runs GRACE seconds later. It ends by
itself if the parent is dead before the tie is made. At an orderly end the parent terminates it. A child that is not daemonic outlives its
parent, as documented.
Not here: the orderly end (`exit.py`), how the kernel is asked (`_os.lifeline`).
"""

from __future__ import annotations

from procession._os import closing, creation, lifeline
from procession._runtime import Lifeline, state

__all__ = ["KILLED", "hold_lifeline", "release_lifeline", "tie_to_parent"]

GRACE = 2  # seconds for the handlers of SIGTERM
KILLED = 143  # the exit code of a daemonic child whose parent was dead before it began: 128 + SIGTERM


def hold_lifeline() -> int:
    """The descriptor that a daemonic child of this process needs; `release_lifeline()` when it has ended."""
    held = state.lifeline
    with held.lock:
        if held.ends is None:
            held.ends = lifeline.make()
        held.users += 1
        return held.ends[0]


def release_lifeline() -> None:
    """One daemonic child less; with the last one the descriptors go."""
    held = state.lifeline
    with held.lock:
        held.users -= 1
        if held.users == 0 and held.ends is not None:
            closing.close_all(held.ends)
            held.ends = None


def _forget_lifeline() -> None:
    """In any forked child: were the writing end not closed here, the parent's death would not be seen."""
    inherited, state.lifeline = state.lifeline, Lifeline()
    if inherited.ends is not None:
        closing.close_all(inherited.ends[1:])


creation.in_forked_children(_forget_lifeline)


def tie_to_parent(reader: int) -> None:
    """In a daemonic child: die with the parent. Closes `reader`."""
    alive = lifeline.tie(reader, GRACE)
    closing.close_all([reader])
    if not alive:
        creation.end_now(KILLED)
