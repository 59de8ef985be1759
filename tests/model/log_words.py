"""The words of the log (`log.py`), its positions, and the heap as far as the log sees it."""

from __future__ import annotations

from .machine import Turn
from .section import REGISTERS as SECTION_REGISTERS

PRODUCERS, CONSUMERS = 0, 1  # the two sections
EMPTY, RECORD, JUMP = 0, 1, 2  # a length word is one of these + 4 * sequence number
STRANGE = 4 * 77  # in the sequence numbers of what does not belong to this queue

REGISTERS = (
    *SECTION_REGISTERS,
    "slots",  # length words in a segment; the last can only hold JUMP
    "segments",  # how many the heap has
    "place",  # where in the log
    "sequence",
    "segment",  # 1 + its number
    "length",
    "puts",  # still to do
    "gets",  # still to do
    "put",  # that returned
    "message",
    "hand",  # got, but not yet given to the caller
    "got",  # given to the caller: two digits each, oldest first
    "audits",  # puts one, then gets until there is nothing
)


def message(producer: int, number: int) -> int:
    """Two digits that tell who put it and which one it was."""
    return 10 * (producer + 1) + number


def segment_of(t: Turn, place: int) -> int:
    return place // t.r["slots"] + 1


def start_of(t: Turn, segment: int) -> int:
    return (segment - 1) * t.r["slots"]


def length_word(t: Turn) -> str:
    return f"length[{t.r['place']}]"


def free_segment(t: Turn, name: str) -> None:
    """The heap's other commit: the word is 0 and the segment is somebody else's, who writes into it."""
    segment = t.r["segment"]
    t.require(t.fact(f"used[{segment}]") == 1, f"segment {segment} is freed twice")
    t.store(name, 0)
    t.note(f"used[{segment}]", 0)
    kind = t.choose(3)
    for place in range(start_of(t, segment), start_of(t, segment) + t.r["slots"]):
        t.scribble(f"length[{place}]", kind + STRANGE)
    for word in ("next", "from", "entered"):
        t.scribble(f"{word}[{segment}]", 0)
