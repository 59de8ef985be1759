"""Named shared memory of POSIX: files in a file system that is memory, which any program may open by name.

Promises: a segment appears under its name with its full size or not at all, whenever its maker is killed. A name that exists is never
taken over. No symbolic link is followed; nothing but plain files is opened.
Not here: who is to remove a segment (`ledgers.py`, `_memory.ledger`), what users see of it (`_memory.segment`).
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "LONGEST",
    "ROOT",
    "check_space",
    "create",
    "identity",
    "is_there",
    "map_whole",
    "open_existing",
    "path_of",
    "remove",
]

ROOT = "/dev/shm"  # noqa: S108 - where the C library's shm_open() looks
LONGEST = 255  # bytes of a file name
NOT_SUPPORTED = (
    errno.EOPNOTSUPP,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENOENT,
)  # what kernels say to O_TMPFILE, or without /proc
LOOK = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def path_of(name: str) -> str:
    """The file of a segment, by its name with or without leading slashes. OSError (EINVAL) if no segment can have this name."""
    plain = name.lstrip("/")
    if "\0" in plain:
        raise ValueError(f"embedded null character in the name of a segment: {name!r}")
    if plain in ("", ".", "..") or "/" in plain or len(os.fsencode(plain)) > LONGEST:
        raise OSError(
            errno.EINVAL, f"a segment's name has 1 to {LONGEST} bytes, and no slash but the one it may begin with", name
        )
    return f"{ROOT}/{plain}"


def open_existing(name: str, flags: int) -> int:
    """A descriptor of an existing segment; FileNotFoundError if there is none."""
    path = path_of(name)
    try:
        fd = os.open(path, (flags & ~(os.O_CREAT | os.O_EXCL)) | LOOK)
    except OSError as error:
        raise _named(error, name) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "there is something of this name, but it is no shared memory", name)
    return fd


def create(name: str, size: int, mode: int, before: Callable[[str], object]) -> int:
    """Make a segment of `size` zeroed bytes: its descriptor. FileExistsError if there is one of this name.

    `before(identity)` is called when nobody can have seen it yet (where the system makes files without a name: all but exotic ones).
    """
    path = path_of(name)
    try:
        return _create_unseen(path, size, mode, before)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise _named(error, name) from None
    try:
        return _create_openly(path, size, mode, before)
    except OSError as error:
        raise _named(error, name) from None


def _create_unseen(path: str, size: int, mode: int, before: Callable[[str], object]) -> int:
    fd = os.open(ROOT, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
    try:
        os.ftruncate(fd, size)
        before(identity(fd))
        # `src_dir_fd` has no meaning for an absolute path; without it, Python calls link(), which would link the link itself.
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _create_openly(path: str, size: int, mode: int, before: Callable[[str], object]) -> int:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | LOOK, mode)
    try:
        before(identity(fd))
        os.ftruncate(fd, size)
    except BaseException:
        os.unlink(path)
        os.close(fd)
        raise
    return fd


def _named(error: OSError, name: str) -> OSError:
    """The same error, about the segment rather than about its file; one about another file as it is."""
    if error.errno is None or {error.filename, error.filename2}.isdisjoint({path_of(name), ROOT, None}):
        return error
    return OSError(error.errno, os.strerror(error.errno), name)


def check_space(size: int) -> None:
    """OSError (ENOSPC) if `size` bytes cannot be had: memory beyond that would kill with SIGBUS whoever touches it first."""
    system = os.statvfs(ROOT)
    free = system.f_bavail * system.f_frsize
    if system.f_blocks and size > free:
        raise OSError(
            errno.ENOSPC,
            f"a segment of {size} bytes was asked for, and {ROOT} has {free} left: enlarge it, or remove segments",
        )


def map_whole(fd: int, size: int) -> mmap.mmap:
    """Map a segment, to read and write; its descriptor may be closed afterwards."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, size, trackfd=False)  # without this, Python keeps a copy of the descriptor
    return mmap.mmap(fd, size)


def remove(name: str, expected: str | None = None) -> None:
    """Remove a name: who has the segment open keeps it. FileNotFoundError if it is not there, or is not the one expected."""
    path = path_of(name)
    if expected is not None and not is_there(name, expected):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    try:
        os.unlink(path)
    except OSError as error:
        raise _named(error, name) from None


def identity(file: int | str) -> str:
    """What tells a file, by descriptor or path, from all others, such as a later one of the same name."""
    found = os.stat(file, follow_symlinks=isinstance(file, int))
    return f"{found.st_dev}:{found.st_ino}"


def is_there(name: str, expected: str | None = None) -> bool:
    """Is there a segment of this name; and is it the one expected?"""
    try:
        found = identity(path_of(name))
    except FileNotFoundError:
        return False
    return expected is None or found == expected
