"""Daemonic children and the life of the process that started them.

Promises: a daemonic child gets SIGTERM when its parent dies, even by SIGKILL, and by itself if the parent is dead before the tie is made.
At an orderly end the parent terminates it. A child that is not daemonic outlives its parent, as documented.
Not here: the orderly end (`exit.py`), how the kernel is asked (`_os.lifeline`).
"""

from __future__ import annotations

from procession._os import closing, creation, lifeline
from procession._runtime import state

__all__ = ["KILLED", "lifeline_for_child", "tie_to_parent"]

KILLED = 143  # the exit code of a daemonic child whose parent was dead before it began: 128 + SIGTERM


def lifeline_for_child() -> int:
    """The descriptor that a daemonic child of this process needs; made at the first call."""
    if state.lifeline is None:
        state.lifeline = lifeline.make()
    return state.lifeline[0]


def _forget_lifeline() -> None:
    """In any forked child: were the writing end not closed here, the parent's death would not be seen."""
    if state.lifeline is not None:
        closing.close_all(state.lifeline[1:])
        state.lifeline = None


creation.in_forked_children(_forget_lifeline)


def tie_to_parent(reader: int) -> None:
    """In a daemonic child: die with the parent. Closes `reader`."""
    alive = lifeline.tie(reader)
    closing.close_all([reader])
    if not alive:
        creation.end_now(KILLED)
