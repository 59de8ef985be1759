"""What a process and its words are at one moment, and how it falls asleep and wakes.

Not here: what a step may do with them (`machine.py`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

# A life word: what the kernel's robust list does to it is all that the living know of the dead.
ALIVE, WAITERS, DIED = 1, 2, 4

EVERYBODY = 1 << 30
FINISHED_STEP = "finished"


Words = tuple[int, ...]


class ModelError(Exception):
    """The model itself is written wrongly: this is no finding about its protocol."""


class BrokenInvariant(Exception):
    """A step saw what its protocol promises never to show."""


class NotYet(Exception):
    """The step cannot be taken now: its own stores must leave the buffer first, or somebody else must act."""


class Status(IntEnum):
    """Where a process stands; only READY, JOINING and ASLEEP ones can be told to do anything."""

    READY = 0
    JOINING = 1  # inside futex_waitv: on the first queues already, not yet on all
    ASLEEP = 2
    FINISHED = 3
    DYING = 4  # takes no step any more, off every queue; its life word still says ALIVE
    MARKED = 5  # the life word says DIED; the kernel still owes one wake
    DEAD = 6


class Wait(NamedTuple):
    """One word slept on, and the value that it had to hold: all of it, or (unit > 1) what its upper half counts."""

    word: int
    expected: int
    unit: int = 1

    def holds(self, words: list[int] | Words) -> bool:
        """Whether a sleeper may go on sleeping."""
        return words[self.word] // self.unit == self.expected


class BufferedStore(NamedTuple):
    """A store that its process has made and nobody else sees yet."""

    word: int
    value: int
    release: bool


class Process(NamedTuple):
    """Everything private of one process. Of the dead only the status and the judged registers are left."""

    status: Status
    step: str
    stack: tuple[str, ...]
    registers: tuple[int, ...]
    waits: tuple[Wait, ...] = ()
    joining: tuple[Wait, ...] = ()
    then: str = ""  # where a sleeper goes on when woken
    on_timeout: str = ""
    buffer: tuple[BufferedStore, ...] = ()


Processes = tuple[Process, ...]


def join_queue(process: Process, words: list[int] | Words) -> Process:
    """Compare one word and enqueue on it, in one go; back to READY if it has changed."""
    wait, *rest = process.joining
    if not wait.holds(words):
        return awake(process)
    status = Status.JOINING if rest else Status.ASLEEP
    return process._replace(status=status, waits=(*process.waits, wait), joining=tuple(rest))


def awake(process: Process) -> Process:
    """Off every queue and ready to go on."""
    return _gone_on(process, process.then)


def timed_out(process: Process) -> Process:
    """Off every queue by its own deadline: no wake has reached it."""
    return _gone_on(process, process.on_timeout)


def _gone_on(process: Process, step: str) -> Process:
    status = Status.FINISHED if step == FINISHED_STEP else Status.READY
    return Process(status, step, process.stack, process.registers)
