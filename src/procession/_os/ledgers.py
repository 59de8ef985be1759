"""Where a program writes down which segments it has to remove, and what outlives it to see that this is done.

    /dev/shm/procession-<uid>-<program>/     marked (flock) by each process that uses it
        keeper                               marked by the keeper: a process that waits for the program's end
        shared_memory/<name>                 an entry: a symbolic link whose text says which file was meant, and who made it

An entry comes and goes with one system call, so that a kill leaves it whole or not at all, and nobody needs a lock to write. The
ledger has the lifetime of the segments beside it. A keeper knows the program's end by a lock on its lifeline, a file in memory that
each process of the program has open or mapped: the kernel takes the lock away with the last of them, however they end.

Promises: a ledger of another user is never touched. At most one keeper waits for a program, save in the moment when a ledger goes.
Not here: what an entry means (`_memory.ledger`), what is removed (`_memory.leftovers`).
"""

from __future__ import annotations

import errno
import fcntl
import os

from procession._os import closing, creation
from procession._os.segments import ROOT

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "all_of_this_user", "end_keeper", "exit_code_of_keeper", "has_keeper", "hold", "is_live", "lock_if_unused", "new_lifeline", "place",
    "release", "start_keeper", "tie", "wait_for_end",
]  # fmt: skip

PREFIX = "procession-"
KEEPER = "keeper"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Whatever ends or stops a whole session, or is sent to all of a program: its keeper has to see the end. (SIGHUP, SIGINT, SIGQUIT,
# SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU)
DEAF_TO = (1, 2, 3, 10, 12, 14, 15, 20, 21, 22)


def place(program: str) -> str:
    """The path of the ledger of a program, by a word that no other program has."""
    return f"{ROOT}/{PREFIX}{os.geteuid()}-{program}"


def all_of_this_user() -> list[str]:
    """The ledgers that there are, by path."""
    begin = os.path.basename(place(""))
    with os.scandir(ROOT) as entries:
        return [entry.path for entry in entries if entry.name.startswith(begin) and entry.is_dir(follow_symlinks=False)]


def hold(path: str) -> int:
    """Make a ledger unless it is there, and mark it as in use: the descriptor that keeps the mark."""
    while True:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass  # another process of the program was first
        try:
            fd = _open_own(path)
        except FileNotFoundError:
            continue  # it went at this moment: somebody swept it
        fcntl.flock(fd, fcntl.LOCK_SH)
        if is_live(fd, path):
            return fd
        os.close(fd)


def is_live(fd: int, path: str) -> bool:
    """Is the open ledger still the one that stands at `path`? Not if it was removed, or its descriptor closed by somebody."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def release(fd: int) -> None:
    """Give up the mark. A descriptor that somebody has closed, and that may be another file by now, is left alone."""
    try:
        found = os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return
    if found.startswith(f"{ROOT}/{PREFIX}"):
        os.close(fd)


def _open_own(path: str) -> int:
    fd = os.open(path, DIRECTORY)
    if os.fstat(fd).st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError(
            errno.EPERM,
            "a program writes down its segments here, but somebody else has made this directory: remove it",
            path,
        )
    return fd


def lock_if_unused(path: str) -> int | None:
    """The descriptor of a ledger that no process and no keeper uses, locked so that none can begin to; None if one does."""
    try:
        fd = _open_own(path)
    except (FileNotFoundError, PermissionError):
        return None  # it went at this moment, or is none of ours
    if _try_lock(fd) and not has_keeper(path):
        return fd
    os.close(fd)
    return None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# ── the lifeline ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def new_lifeline() -> int:
    """A lifeline of its own, for those who have no arena to use."""
    fd = os.memfd_create("procession-lifeline")
    tie(fd)
    return fd


def tie(lifeline: int) -> None:
    """Let a keeper wait for the end of all who share this open file. OSError (EBADF) if it is no file in memory."""
    # A keeper of another file would see an end that is none, and remove what is in use.
    if not os.readlink(f"/proc/self/fd/{lifeline}").startswith("/memfd:procession"):
        raise OSError(
            errno.EBADF, f"somebody has closed descriptor {lifeline}, by which this program's segments are kept"
        )
    fcntl.flock(lifeline, fcntl.LOCK_SH)


def wait_for_end(lifeline: int) -> None:
    """Wait until nobody else has the lifeline. Closes the descriptor. No deadline: this is all that a keeper does."""
    own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(lifeline)
    fcntl.flock(own, fcntl.LOCK_EX)
    os.close(own)


# ── the keeper ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def has_keeper(path: str) -> bool:
    """Does a keeper wait for the program of this ledger?"""
    try:
        mark = os.open(f"{path}/{KEEPER}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(mark)
    finally:
        os.close(mark)


def start_keeper(
    path: str, lifeline: Callable[[], int], executable: str, arguments: Callable[[], Sequence[str]]
) -> int | None:
    """Start a keeper, unless there is one: its process id. Two more arguments are the numbers of two descriptors: lifeline, mark.

    It hears nothing but SIGKILL, has no terminal, no standard input or output; stderr is that of this process.
    """
    mark = os.open(f"{path}/{KEEPER}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not _try_lock(mark):
            return None
        tie(lifeline())
        passed = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (lifeline(), mark)]  # no standard stream's number
        try:
            return os.posix_spawn(
                executable,
                [executable, *arguments(), *map(str, passed)],
                os.environ,
                file_actions=_descriptors(*passed),
                setsid=True,
                setsigmask=DEAF_TO,
            )
        finally:
            closing.close_all(passed)
    finally:
        os.close(mark)


def _descriptors(*passed: int) -> list[tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]]:
    actions: list[tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, fd, fd) for fd in passed
    ]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in creation.inheritable() if fd not in passed]
    actions += [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    if not _is_open(2):
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    return actions


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def end_keeper(pid: int) -> None:
    """Kill a keeper that this process has started, and reap it."""
    try:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.kill(pid, 9)
        os.waitpid(pid, 0)
    except ChildProcessError:
        return  # it ended before, and somebody has reaped it: the number may be another process's


def exit_code_of_keeper(pid: int) -> int | None:
    """Wait for a keeper whose lifeline is gone: its exit code; None if somebody else has reaped it."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None
