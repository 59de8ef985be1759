"""Why a process died, as far as the system tells: kills for lack of memory, and the stack at a crash.

Promises: nothing here raises because the system keeps no such record: what is not known is 0 or empty.
Not here: noticing that a process died (`_processes.reaper`).
"""

from __future__ import annotations

import faulthandler
import os

__all__ = ["StackFile", "memory_kills", "report_crashes_to"]

STACK_BYTES = 16 << 10  # for one process: some 150 frames
MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")  # of this container; of the whole machine


def memory_kills() -> int:
    """How many processes the kernel has killed so far because memory ran out (in this container, if it keeps count)."""
    for path in MEMORY_EVENTS:
        try:
            with open(path, "rb") as file:
                count = _oom_kills(file.read())
        except OSError:
            continue
        if count is not None:
            return count
    return 0


def _oom_kills(events: bytes) -> int | None:
    for line in events.splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return None


class StackFile:
    """A file in memory with room for the stacks of several crashing processes: each writes its own, this process reads them."""

    def __init__(self, rows: int) -> None:
        self.fd = -1
        self._rows = rows
        try:
            self.fd = os.memfd_create("procession-stacks", os.MFD_CLOEXEC)
            os.ftruncate(self.fd, rows * STACK_BYTES)
        except OSError:
            self.close()  # no stacks, then: they are a comfort

    def take(self, row: int) -> str:
        """What the process of this row wrote; from then on it is empty."""
        if self.fd < 0:
            return ""
        written = os.pread(self.fd, STACK_BYTES, row * STACK_BYTES).rstrip(b"\0")
        if written:
            os.pwrite(self.fd, bytes(STACK_BYTES), row * STACK_BYTES)
        return written.decode(errors="replace")

    def close(self) -> None:
        """Release the file."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def report_crashes_to(fd: int, row: int) -> int:
    """At a fatal signal, write this process's stack to its row of the stack file; the descriptor that has to stay open, or -1."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)  # a position of its own
    except OSError:
        return -1
    os.lseek(own, row * STACK_BYTES, os.SEEK_SET)
    faulthandler.enable(own, all_threads=False)
    return own
