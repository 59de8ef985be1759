"""A pipe that ties processes to another's life: when the process at its writing end dies, those at the other end get a signal.

The kernel sends the signal itself, because the last writing end is closed with its process, however that ends; so no thread has to
watch, and none appears in the tied process. The alternatives: prctl's death signal fires when the *thread* that started the child
ends, and a thread of our own in every daemonic child would make its forks forks with threads.
That signal (SIGRTMAX - 4) has a handler of ours, which sends SIGTERM and sets the kernel's timer for SIGKILL; it comes together
with SIGCONT, for who is stopped. So whoever ignores SIGTERM, or computes in C for hours, ends all the same.

Promises: a process that dies before the tie is made is noticed when it is made. Only copies of the writing end in other processes
delay the signal: no executable inherits it, and forked children have to close it. Whoever blocks all signals is not reached.
Not here: who is tied to whom (`_processes.daemons`), the handler (native/face/platform_linux.c).
"""

from __future__ import annotations

import os

from procession import _native

__all__ = ["make", "tie"]


def make() -> tuple[int, int]:
    """(the end to hand to those who are to be tied, the end that this process keeps)."""
    return os.pipe()


def tie(reader: int, grace: int) -> bool:
    """Get SIGTERM when the lifeline's owner dies, and SIGKILL `grace` seconds later. False: it is dead already. `reader` may be closed."""
    return _native.tie_to(reader, grace)
