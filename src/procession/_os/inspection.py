"""What the kernel says about processes: their children, descriptors, threads, and who began them.

Promises: a process that ends meanwhile is simply not there any more.
Not here: what the package knows of its own processes (the process table).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

GONE = (FileNotFoundError, ProcessLookupError)  # which one depends on how far the end has come

__all__ = [
    "catches",
    "children",
    "close_all_but",
    "descendants",
    "describe",
    "descriptors",
    "is_descendant",
    "is_zombie",
    "threads",
]


def _read(path: str) -> bytes:
    """The contents of a file of /proc; empty if the process is gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except GONE:
        return b""


def _links(path: str) -> dict[str, str]:
    found = {}
    for name in os.listdir(path):
        try:
            found[name] = os.readlink(f"{path}/{name}")
        except GONE:
            continue  # closed meanwhile: the descriptor of the listing itself
    return found


def children(pid: int) -> set[int]:
    """The children of a process, those that have ended and were not reaped too."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except GONE:
        return set()
    return {int(child) for task in tasks for child in _read(f"/proc/{pid}/task/{task}/children").split()}


def descendants(pid: int) -> set[int]:
    """The children of a process, theirs, and so on."""
    found: set[int] = set()
    ask = [pid]
    while ask:
        new = children(ask.pop()) - found
        found |= new
        ask.extend(new)
    return found


def is_descendant(pid: int, ancestor: int) -> bool:
    """Was `pid` begun by `ancestor`, or by one of its descendants?"""
    while pid > 1 and pid != ancestor:
        stat = _read(f"/proc/{pid}/stat")
        if not stat:
            return False
        pid = int(stat.rpartition(b")")[2].split()[1])
    return pid == ancestor


def is_zombie(pid: int) -> bool:
    """Has the process ended, and nobody has reaped it?"""
    stat = _read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def describe(pid: int) -> str:
    """`4711 (python -c ...)`, for people."""
    words = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    return f"{pid} ({words[:120] or 'zombie'})"


def catches(pid: int, signum: int) -> bool:
    """Has the process a handler for this signal?"""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    return False


def descriptors() -> dict[int, str]:
    """The open descriptors of this process, and what each refers to."""
    return {int(name): target for name, target in _links("/proc/self/fd").items()}


def threads() -> dict[int, str]:
    """The threads of this process by their kernel ids, those that Python does not know of too: their names."""
    found = {}
    for name in os.listdir("/proc/self/task"):
        comm = _read(f"/proc/self/task/{name}/comm")
        if comm:
            found[int(name)] = comm.decode(errors="replace").strip()
    return found


def close_all_but(keep: Collection[int]) -> None:
    """In a child that shall hold up nobody: close all inherited descriptors but these; the standard streams become /dev/null."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        if fd not in keep:
            os.dup2(null, fd)
    for fd in descriptors():
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # it was the listing's
