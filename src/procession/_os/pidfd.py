"""Descriptors that stand for processes: they become readable when the process itself ends, whatever its own children do.

Promises: a descriptor made here belongs to the process that was meant, never to a later one with the same number. Waits end at
their deadline whatever signals come, and run the signal handlers meanwhile.
Not here: whose children they are and what is done about their end (`_processes.reaper`).
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "exit_code",
    "has_ended",
    "open_child",
    "open_parent",
    "open_process",
    "open_self",
    "send_signal",
    "wait_readable",
]

LONGEST_POLL = 2**31 - 1  # ms: poll() takes a C int


def open_process(pid: int) -> int:
    """The descriptor of a process that cannot have been reaped yet; ProcessLookupError if there is no such process."""
    return os.pidfd_open(pid)


def open_child(pid: int) -> int:
    """The descriptor of a child that was just started; one that says so if it has ended and was reaped (SIGCHLD ignored)."""
    try:
        return open_process(pid)
    except ProcessLookupError:
        return _ended()


def open_self() -> int:
    """The descriptor of this process, to be handed to others."""
    return os.pidfd_open(os.getpid())


def open_parent(pid: int) -> int:
    """The descriptor of the process that started this one, `pid`; if that has ended already, one that says so."""
    if os.getppid() == pid:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return _ended()
        if os.getppid() == pid:  # still our parent, so the number was still its own when the descriptor was made
            return fd
        os.close(fd)
    return _ended()


def _ended() -> int:
    """A descriptor that is readable at once and for ever: the end of a pipe that nobody can write to."""
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def has_ended(fd: int) -> bool:
    """Has the process ended? A process that nobody has reaped yet has ended, too."""
    return bool(wait_readable((fd,), 0))


def wait_readable(fds: Iterable[int], timeout: float | None) -> set[int]:
    """Wait until one of these descriptors can be read, or is at its end: all that are; empty if `timeout` (seconds; None: none) ran out.

    A descriptor that was closed meanwhile counts as readable: the one who asks will find out.
    """
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        # Rounded up, so that a wait never ends early.
        ready = poller.poll(None if left is None else min(int(left * 1000 + 0.999), LONGEST_POLL))
        if ready or (deadline is not None and time.monotonic() >= deadline):
            return {fd for fd, _event in ready}


def exit_code(fd: int) -> int | None:
    """Reap the child behind the descriptor: its exit code, negative for the signal that killed it; None: it runs.

    ChildProcessError: it is no child of this process, or has been reaped by somebody else (or by the kernel, where SIGCHLD is ignored).
    """
    try:
        found = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    except OSError as error:
        if error.errno == errno.EBADF and stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise ChildProcessError("the kernel has reaped this child") from error  # what _ended() made
        raise
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def send_signal(fd: int, signum: int) -> None:
    """Send a signal to the process, if it has not ended."""
    import signal  # noqa: PLC0415 - 1 ms that a child does not need

    try:
        signal.pidfd_send_signal(fd, signum)
    except ProcessLookupError:
        return  # it is gone, which is what a signal would have been for
    except OSError as error:
        if not (error.errno == errno.EBADF and stat.S_ISFIFO(os.fstat(fd).st_mode)):
            raise  # else as above: what _ended() made
