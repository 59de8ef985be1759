"""A section as those see it who use it: the owner lock (`owner_lock.py`) in two steps.

What the owner lock is shown to promise is taken for granted here, so that the models of compound objects stay small:
one holder at a time, whoever wants to enter does so in the end, and after a holder's death the next one is told
RECOVERED.
"""

from __future__ import annotations

from .machine import Step, Turn
from .state import DIED

ENTERED, RECOVERED = 1, 2  # what entering comes back with, in register "section"
ENTER = "section.enter"

REGISTERS = ("lock", "section")
LOCKS = {"lock[0]": 0, "lock[1]": 0}
HOLDERS = {"holder[0]": 0, "holder[1]": 0}


def enter(t: Turn, lock: int, *, then: str) -> str:
    """Go and enter section number `lock`; back at `then` with the result in register "section"."""
    t.r["lock"] = lock
    return t.call(ENTER, then=then)


def leave(t: Turn, lock: int, *, then: str) -> str:
    """Go and leave section number `lock`, then on to `then`."""
    t.r["lock"] = lock
    return t.call("section.leave", then=then)


def take_section(t: Turn) -> str:
    """As soon as it is free, or its holder is marked dead."""
    word, number = f"lock[{t.r['lock']}]", t.r["lock"]
    holder = t.peek(word)
    t.wait_until(not holder or bool(t.peek(f"life[{holder - 1}]") & DIED))
    t.exchange(word, t.me + 1)
    t.note(f"holder[{number}]", t.me + 1)
    t.r.update(lock=0, section=RECOVERED if holder else ENTERED)
    return t.back()


def give_section(t: Turn) -> str:
    """Free."""
    t.store(f"lock[{t.r['lock']}]", 0)
    t.note(f"holder[{t.r['lock']}]", 0)
    t.r["lock"] = 0
    return t.back()


SECTION: dict[str, Step] = {
    ENTER: take_section,
    "section.leave": give_section,
}
