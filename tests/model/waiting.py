"""One sleep ('wait'): on a word, and on the life words of those whose death ends it; what the compound objects share.

The caller puts a bit for each process to be watched into register "watched" and finds in "woke" why it is awake:
LOOK (woken, changed, spurious), TIMED_OUT or OWNER_DIED. Whoever finds a life word DIED wakes all others on it, whatever
else has changed meanwhile: the kernel wakes one only, and this may be the one.
Not here: deadlines other than "it may pass at any moment" (register "may_time_out"), spinning, the rows of the wait table.
"""

from __future__ import annotations

from collections.abc import Callable

from .machine import Step, Turn
from .state import ALIVE, DIED, EVERYBODY, WAITERS

LOOK, TIMED_OUT, OWNER_DIED = 0, 1, 2

REGISTERS = ("watched", "marking", "woke", "may_time_out")


def lowest(bits: int) -> int:
    """The number of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1


def sleep_watching(t: Turn, *, then: str) -> str:
    """Go to sleep; on at `then`."""
    t.r.update(marking=t.r["watched"], woke=LOOK)
    return t.call("wait.life.look" if t.r["watched"] else "wait.sleep", then=then)


def life_look(t: Turn) -> str:
    """Does this one live?"""
    who = lowest(t.r["marking"])
    life = t.load(f"life[{who}]")
    if life & DIED:
        return _dead_already(t)
    return _marked(t) if life & WAITERS else "wait.life.mark"


def life_mark(t: Turn) -> str:
    """Ask the kernel to wake a sleeper when it dies."""
    life = t.cas(f"life[{lowest(t.r['marking'])}]", ALIVE, ALIVE | WAITERS)
    return _dead_already(t) if life & DIED else _marked(t)


def _dead_already(t: Turn) -> str:
    """The kernel's wake has not come to us: no need to pass it on."""
    t.r.update(watched=0, marking=0, woke=OWNER_DIED)
    return t.back()


def _marked(t: Turn) -> str:
    t.r["marking"] &= t.r["marking"] - 1
    return "wait.life.look" if t.r["marking"] else "wait.sleep"


def timed_out(t: Turn) -> str:
    """Nobody has woken us; but has somebody died meanwhile?"""
    t.r["woke"] = TIMED_OUT
    return "wait.after" if t.r["watched"] else t.back()


def after(t: Turn) -> str:
    """Is it a death that woke us?"""
    if t.load(f"life[{lowest(t.r['watched'])}]") & DIED:
        t.r["woke"] = OWNER_DIED
        return "wait.cascade"
    return _next(t)


def cascade(t: Turn) -> str:
    """Wake all others who sleep on that life word."""
    t.wake(f"life[{lowest(t.r['watched'])}]", EVERYBODY)
    return _next(t)


def _next(t: Turn) -> str:
    t.r["watched"] &= t.r["watched"] - 1
    return "wait.after" if t.r["watched"] else t.back()


def awake(t: Turn) -> str:
    """With nobody to watch there is nothing to look at."""
    return t.back()


def waiting_steps(word_of: Callable[[Turn], tuple[str, int]]) -> dict[str, Step]:
    """The steps, with the word slept on and its value."""

    def sleep(t: Turn) -> str:
        """Until the word changes or one of the watched dies."""
        watched = [(f"life[{who}]", ALIVE | WAITERS) for who in range(8) if t.r["watched"] >> who & 1]
        then = "wait.after" if watched else "wait.awake"
        return t.sleep(word_of(t), *watched, then=then, on_timeout="wait.timed_out" if t.r["may_time_out"] else "")

    return {
        "wait.life.look": life_look,  # reads a life word
        "wait.life.mark": life_mark,  # its ALIVE -> ALIVE | WAITERS
        "wait.sleep": sleep,  # futex_waitv
        "wait.timed_out": timed_out,  # private
        "wait.after": after,  # reads the life words slept on
        "wait.awake": awake,  # private
        "wait.cascade": cascade,  # wakes all on it, if DIED
    }
