"""What keeps a process and all that it starts apart from the others, and gets at them when their time is over.

Promises: after `adopt_orphans` no descendant escapes: whoever loses its parent becomes a child of this process.
Not here: what runs in it, and what is said about it (`_processes.isolation`).
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import time

from procession._os import inspection, pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CONTINUE",
    "KILL",
    "STOP",
    "adopt_orphans",
    "ask_for_tracebacks",
    "begin_session",
    "kill_all",
    "print_tracebacks_to",
    "reap",
    "wait_gone",
]

KILL, STOP, CONTINUE = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
TRACEBACKS = signal.SIGRTMAX - 3  # nobody else's
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies becomes a child of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot adopt orphans")


def begin_session() -> None:
    """Leave the session, the process group and the terminal of the parent."""
    os.setsid()


def print_tracebacks_to(fd: int) -> None:
    """Let `ask_for_tracebacks` write those of this process, and of what is forked from it, to `fd`."""
    faulthandler.register(TRACEBACKS, file=fd, all_threads=True, chain=False)


def ask_for_tracebacks(pid: int) -> bool:
    """Have a process write down where it is; False: it cannot."""
    if not inspection.catches(pid, TRACEBACKS):
        return False
    _send_all([pid], TRACEBACKS)
    return True


def kill_all(pids: Iterable[int]) -> None:
    """Kill these processes; no error if one is gone."""
    _send_all(pids, KILL)


def _send_all(pids: Iterable[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def reap(pid: int) -> bool:
    """Reap a child if it has ended; True: it is no child of ours any more."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def wait_gone(pids: Iterable[int], timeout: float) -> None:
    """Wait until all of these have ended, for `timeout` seconds at most, and reap those that are children of this process."""
    deadline = time.monotonic() + timeout
    for pid in pids:
        try:
            fd = pidfd.open_process(pid)
        except ProcessLookupError:
            continue
        pidfd.wait_readable((fd,), max(0.0, deadline - time.monotonic()))
        os.close(fd)
        reap(pid)
