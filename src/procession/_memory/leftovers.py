"""What a program has left behind when it is gone: found in its ledger, and removed.

Promises: a segment is removed only if it is the very one that was written down. What one program does here can be repeated by another
at any point. Whoever calls has made sure that nobody uses the ledger any more.
Not here: when that is (`keeper.py`, `ledger.py`).
"""

from __future__ import annotations

import os

from procession._os import segments

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "SEGMENTS", "Record", "entries", "remove_all", "remove_empty"]

SEGMENTS = "shared_memory"


class Record:
    """What an entry says: which file was meant (None: whichever has the name), and the process that wrote it."""

    __slots__ = ("identity", "pid")

    def __init__(self, identity: str | None, pid: int) -> None:
        self.identity = identity
        self.pid = pid

    def __str__(self) -> str:
        return f"{self.identity or '-'} {self.pid}"

    @classmethod
    def read(cls, text: str) -> Record:
        """The record that has this text."""
        identity, _, pid = text.partition(" ")
        return cls(None if identity == "-" else identity, int(pid))


def _remove_segment(name: str, record: Record) -> None:
    segments.remove("/" + name, record.identity)


def _nothing(name: str, record: Record) -> None:
    """There is nothing of the system behind the name."""


# Kinds of things that can be written down -> what removes one.
KINDS: dict[str, Callable[[str, Record], None]] = {SEGMENTS: _remove_segment, "dummy": _nothing, "noop": _nothing}


def entries(ledger: str, kind: str) -> dict[str, Record]:
    """Everything of one kind that is written down, by name; none if there is no such ledger."""
    found: dict[str, Record] = {}
    try:
        names = os.listdir(f"{ledger}/{kind}")
    except FileNotFoundError:
        return found
    for name in names:
        try:
            found[name] = Record.read(os.readlink(f"{ledger}/{kind}/{name}"))
        except FileNotFoundError:
            continue  # removed since the directory was read
    return found


def remove_all(ledger: str) -> dict[str, dict[str, OSError | None]]:
    """Remove all that is written down, and the ledger: kind -> name -> None, or why it could not be removed (it may be gone already)."""
    done: dict[str, dict[str, OSError | None]] = {}
    for kind, remove in KINDS.items():
        for name, record in entries(ledger, kind).items():
            done.setdefault(kind, {})[name] = _try(remove, name, record)
            _unlink(f"{ledger}/{kind}/{name}")
    remove_empty(ledger)
    return done


def _try(remove: Callable[[str, Record], None], name: str, record: Record) -> OSError | None:
    try:
        remove(name, record)
    except OSError as error:
        return error
    return None


def remove_empty(ledger: str) -> bool:
    """Remove a ledger in which nothing is written down. False: something is, or is being written at this moment."""
    try:
        for kind in KINDS:
            if os.path.isdir(f"{ledger}/{kind}"):
                os.rmdir(f"{ledger}/{kind}")
        _unlink(f"{ledger}/keeper")
        os.rmdir(ledger)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # not empty
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
