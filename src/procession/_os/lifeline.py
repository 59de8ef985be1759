"""A pipe that ties processes to another's life: when the process at its writing end dies, those at the other end get a signal.

The kernel sends the signal itself, because the last writing end is closed with its process, however that ends; so no thread has to
watch, and none appears in the tied process. The alternatives: prctl's death signal fires when the *thread* that started the child
ends, and a thread of our own in every daemonic child would make its forks forks with threads.

Promises: a process that dies before the tie is made is noticed when it is made. Only copies of the writing end in other processes
delay the signal: no executable inherits it, and forked children have to close it.
Not here: who is tied to whom (`_processes.daemons`).
"""

from __future__ import annotations

import os
import select

from procession._os import signals

__all__ = ["make", "tie"]


def make() -> tuple[int, int]:
    """(the end to hand to those who are to be tied, the end that this process keeps)."""
    return os.pipe()


def tie(reader: int) -> bool:
    """Get SIGTERM when the lifeline's owner dies. False: it is dead already. `reader` may be closed afterwards."""
    import fcntl  # noqa: PLC0415 - 0.3 ms that only daemonic children need

    # A description of our own: what follows is a property of the open file, which `reader` shares with others who are tied.
    own = os.open(f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signals.TERMINATE)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    poller = select.poll()
    poller.register(own, 0)
    return not poller.poll(0)
