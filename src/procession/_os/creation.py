"""How the system makes a process: by fork, or afresh from an executable; and how bytes get there.

Promises: a fresh process inherits the standard streams and the descriptors that it is given, no others.
Not here: what is said to the new process (`_processes`).
"""

from __future__ import annotations

import errno
import os

from procession._os import signals

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

__all__ = [
    "abandon",
    "append_only",
    "before_forks",
    "end_now",
    "file_of",
    "fork",
    "in_forked_children",
    "inheritable",
    "kill",
    "read_all",
    "spawn",
    "spawn_passing",
]

NOT_EXECUTABLE = 8  # MFD_NOEXEC_SEAL: kernels from 6.3 on warn in their log about files in memory that do not say so


def fork() -> int:
    """0 in the child, its process id in the parent."""
    return os.fork()


def in_forked_children(function: Callable[[], None]) -> None:
    """Call `function()` in every process that is forked from this one, by whomever."""
    os.register_at_fork(after_in_child=function)


def before_forks(function: Callable[[], None]) -> None:
    """Call `function()` in this process before it is forked, by whomever."""
    os.register_at_fork(before=function)


def end_now(code: int) -> NoReturn:
    """End this process with the low eight bits of `code`, without any clean-up of the interpreter."""
    os._exit(code & 0xFF)


def spawn(executable: str, arguments: Sequence[str], passed: Iterable[int], masked: Iterable[int] | None = None) -> int:
    """Start an executable; its process id. It inherits the standard streams and the descriptors `passed`, under the same numbers.

    `masked` are the signals that it begins with blocked; None: those of this thread.
    """
    keep = set(passed)
    actions: list[tuple[int, int] | tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(keep)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in inheritable() if fd not in keep]
    if masked is None:
        return os.posix_spawn(executable, list(arguments), os.environ, file_actions=actions)
    return os.posix_spawn(executable, list(arguments), os.environ, file_actions=actions, setsigmask=masked)


def spawn_passing(path: str | bytes, args: Sequence[str | bytes], passfds: Iterable[int]) -> int:
    """Start an executable that inherits the standard streams and `passfds`; its process id."""
    return spawn(os.fsdecode(path), [os.fsdecode(each) for each in args], passfds)


def inheritable() -> list[int]:
    """The open descriptors beyond the standard streams that a new executable would inherit."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # closed since it was listed: the descriptor of the listing itself, or another thread's
    return found


def file_of(*parts: bytes | memoryview) -> int:
    """A descriptor of a new file in memory that holds these bytes; whoever gets it reads all of them, however late."""
    fd = _new_file()
    try:
        for part in parts:
            rest = memoryview(part).cast("B") if len(part) else memoryview(b"")
            while rest:
                rest = rest[os.write(fd, rest) :]
    except BaseException:
        os.close(fd)
        raise
    return fd


def _new_file() -> int:
    try:
        return os.memfd_create("procession-start", os.MFD_CLOEXEC | NOT_EXECUTABLE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create("procession-start")


def append_only(fd: int) -> None:
    """Let whatever is written to a file go to its end, whoever writes."""
    import fcntl  # noqa: PLC0415 - 0.3 ms that a child does not need

    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def read_all(fd: int) -> bytearray:
    """What `file_of` wrote; closes the descriptor."""
    try:
        size, offset = os.fstat(fd).st_size, 0
        contents = bytearray(size)
        while offset < size:
            count = os.preadv(fd, [memoryview(contents)[offset:]], offset)
            if count == 0:
                raise EOFError(f"the file of a starting process ends after {offset} of {size} bytes")
            offset += count
        return contents
    finally:
        os.close(fd)


def kill(pid: int) -> None:
    """Kill a process that was born just now and cannot be watched."""
    os.kill(pid, signals.KILL)


def abandon(pid: int) -> None:
    """Kill a child that cannot be watched, and reap it."""
    kill(pid)
    os.waitpid(pid, 0)
