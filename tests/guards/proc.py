"""What the kernel says about this process: its children, threads and descriptors, and how to wait for them.

Promises: reads /proc only; starts no thread and no process. Orphans of orphans are ours: `adopt_orphans`.
Linux only, like the checks that stand on it; elsewhere `SUPPORTED` is false and they do nothing.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

SUPPORTED = sys.platform == "linux"
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on a grandchild whose parent dies becomes a child of this process, so that it can be found."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def children(pid: int | str = "self") -> set[int]:
    """The direct children of `pid`, zombies too."""
    found: set[int] = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for thread in threads:
        try:
            found.update(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended between the two reads
    return found


def descendants(pid: int) -> set[int]:
    """All living and dead descendants of `pid` that are not reaped yet."""
    found, ask = set[int](), [pid]
    while ask:
        new = children(ask.pop()) - found
        found |= new
        ask.extend(new)
    return found


def describe(pid: int) -> str:
    """`4711 (python -c ...)`, for a message."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} ({b' '.join(words).decode(errors='replace').strip()[:120] or 'zombie'})"


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return False


def descriptors() -> dict[int, str]:
    """Every open descriptor and what it refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the descriptor of listdir itself
    return found


def threads() -> dict[int, str]:
    """Every thread of this process by kernel id, those that Python does not know of too."""
    found = {}
    for name in os.listdir("/proc/self/task"):
        try:
            found[int(name)] = Path(f"/proc/self/task/{name}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def wait_ended(pids: set[int], timeout: float) -> set[int]:
    """Wait until all of `pids` have ended; those that still run after `timeout` seconds."""
    deadline, poller, pidfds = time.monotonic() + timeout, select.poll(), dict[int, int]()
    try:
        for pid in pids:
            try:
                pidfds[pidfd := os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue
            poller.register(pidfd, select.POLLIN)
        running = dict(pidfds)
        while running and (left := deadline - time.monotonic()) > 0:
            for pidfd, _ in poller.poll(left * 1000):
                poller.unregister(pidfd)
                del running[pidfd]
        return set(running.values())
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def kill(pids: set[int]) -> None:
    """SIGKILL and reap `pids`: children of this process, and whatever they had started."""
    for pid in {one for root in pids for one in (root, *descendants(root))}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_ended(pids, 5)
    reap(pids)


def reap(pids: set[int]) -> None:
    """Collect those of `pids` that are zombies and ours."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
