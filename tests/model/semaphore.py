"""The semaphore: permits with a ledger, so that a dead holder's permits are known and can be given back.

Truth is `total` and one word `ledger[i]` per process; every operation changes *exactly one* word of it, in a section:

    acquire    ledger[me] + 1
    release    ledger[me] - 1; with none of one's own, - 1 for somebody who holds one; if nobody does, total + 1
    recover    ledger[dead] := 0
    a signal (created with 0) keeps no ledger: acquire total - 1, release total + 1

value = total - sum(ledger) is derived, and recomputed by the heir of a section. `sleepers` (a count | WATCHED) and
`event` are there to wake. Who finds no permit and a dead holder tells all sleepers and gets OWNER_DIED.

A sleeper watches the holders that it has seen. Others may hold the permits later. So a sleep is short at first, and
ends by itself (`settle`); only who slept so long in vain sleeps long, having looked at all holders once more and set
WATCHED. Whoever becomes a holder then clears WATCHED and wakes one, *before* it holds anything: thus there is always a
sleeper that watches all holders, or one that will look soon by itself.

Promises: the value is never negative; every waiter gets a permit or, if a holder dies, OWNER_DIED, with one death
and without the backstop, but for AFTER_WAKE (who was woken to take a permit dies before it holds it; AFTER_SIGNALLED for
a signal) and AFTER_SIGNAL (who signals holds nothing, so nobody watches it); after recover() no permit is missing.
Not here: the bound of a BoundedSemaphore, more rows than four, exits that are no kills.
"""

from __future__ import annotations

from .machine import Step, Turn
from .section import RECOVERED, SECTION, enter, leave
from .section import REGISTERS as SECTION_REGISTERS
from .state import DIED, EVERYBODY
from .waiting import LOOK, TIMED_OUT, sleep_watching, waiting_steps
from .waiting import REGISTERS as WAITING_REGISTERS

WATCHED = 64  # in `sleepers`

REGISTERS = (
    *SECTION_REGISTERS,
    *WAITING_REGISTERS,
    "processes",
    "signal",  # no ledger
    "doing",  # ACQUIRE, RELEASE or RECOVER
    "rounds",  # releases still to do
    "recovers",  # calls recover() when told OWNER_DIED, or goes away
    "next",
    "sum",
    "count",
    "row",
    "key",  # 1 + event when counted among the sleepers
    "settled",
    "holding",
    "told",  # OWNER_DIED
)
ACQUIRE, RELEASE, RECOVER = 0, 1, 2

AFTER_WAKE = frozenset(
    {
        "wait.after",
        "section.enter",
        "semaphore.poke.sleepers",
        "semaphore.poke.event",
        "semaphore.poke.wake",
    }
)
AFTER_SIGNAL = frozenset(
    {
        "semaphore.release.value",
        "semaphore.release.sleepers",
        "semaphore.release.event",
        "section.leave",
        "semaphore.release.wake",
    }
)
AFTER_SIGNALLED = frozenset({"section.enter", "semaphore.take.count"})


def enter_semaphore(t: Turn, doing: int) -> str:
    """Enter the section, to do this."""
    t.r.update(doing=doing, next=0, sum=0, count=0, row=0)
    return enter(t, 0, then="semaphore.entered")


def _leave(t: Turn, then: str) -> str:
    t.r.update(next=0, sum=0, count=0, row=0, section=0)
    return leave(t, 0, then=then)


def _sleepers(word: int) -> int:
    return word % WATCHED


def entered(t: Turn) -> str:
    """In the section; is there anything to repair?"""
    return "semaphore.repair.ledger" if t.r["section"] == RECOVERED else _go(t)


def _go(t: Turn) -> str:
    t.r.update(next=0, sum=0, section=0)
    if t.r["doing"] == RELEASE:
        return "semaphore.release.ledger" if not t.r["signal"] else "semaphore.release.count"
    if t.r["doing"] == RECOVER:
        return "semaphore.recover.ledger"
    return "semaphore.look.event" if t.r["key"] else "semaphore.look.value"


# -- the heir of a section --------------------------------------------------------------------------------------


def repair_ledger(t: Turn) -> str:
    """Add up what is held."""
    t.r["sum"] += t.load(f"ledger[{t.r['next']}]")
    t.r["next"] += 1
    return "semaphore.repair.ledger" if t.r["next"] < t.r["processes"] else "semaphore.repair.total"


def repair_total(t: Turn) -> str:
    """The other half of the truth."""
    t.r["sum"] = t.load("total") - t.r["sum"]
    return "semaphore.repair.value"


def repair_value(t: Turn) -> str:
    """Derived."""
    t.store("value", t.r["sum"])
    return "semaphore.tell_all.sleepers"


def tell_all_sleepers(t: Turn) -> str:
    """Nobody will be counted any more."""
    t.store("sleepers", 0)
    return "semaphore.tell_all.event"


def tell_all_event(t: Turn) -> str:
    """Who does not sleep yet will not."""
    t.add("event", 1)
    return "semaphore.tell_all.wake"


def tell_all_wake(t: Turn) -> str:
    """And who does looks again."""
    t.wake("event", EVERYBODY)
    return _leave(t, "semaphore.owner_died") if t.r["told"] else _go(t)


# -- acquire ----------------------------------------------------------------------------------------------------


def look_event(t: Turn) -> str:
    """If nobody has been taken off since I was put on, I am still on."""
    same = t.load("event") + 1 == t.r["key"]
    t.r["key"] = 0
    return "semaphore.look.get_up" if same else "semaphore.look.value"


def look_get_up(t: Turn) -> str:
    """Off the count; with the last one goes WATCHED."""
    t.update("sleepers", lambda word: 0 if _sleepers(word) <= 1 else word - 1)
    return "semaphore.look.value"


def look_value(t: Turn) -> str:
    """Is there a permit?"""
    if t.load("value") > 0:
        return "semaphore.take.ledger" if not t.r["signal"] else "semaphore.take.count"
    t.r["watched"] = 0
    return "semaphore.lie_down.sleepers" if t.r["signal"] else "semaphore.look.ledger"


def look_ledger(t: Turn) -> str:
    """Does this process hold one?"""
    t.r["count"] = t.load(f"ledger[{t.r['next']}]")
    if not t.r["count"] or t.r["next"] == t.me:
        return _next_holder(t)
    return "semaphore.look.life"


def look_life(t: Turn) -> str:
    """Is that one dead?"""
    if t.load(f"life[{t.r['next']}]") & DIED:
        t.r.update(told=1, watched=0)
        return "semaphore.tell_all.sleepers"
    t.r["watched"] |= 1 << t.r["next"]
    return _next_holder(t)


def _next_holder(t: Turn) -> str:
    t.r.update(next=t.r["next"] + 1, count=0)
    return "semaphore.look.ledger" if t.r["next"] < t.r["processes"] else "semaphore.lie_down.sleepers"


def lie_down_sleepers(t: Turn) -> str:
    """Be counted; and if I am to sleep long, say that all holders are watched."""
    t.update("sleepers", lambda word: word + 1 | (WATCHED if t.r["settled"] else 0))
    return "semaphore.lie_down.event"


def lie_down_event(t: Turn) -> str:
    """So many have been woken so far."""
    t.r["key"] = t.load("event") + 1
    return _leave(t, "semaphore.acquire.sleep")


def acquire_sleep(t: Turn) -> str:
    """A short sleep ends by itself, a long one does not."""
    t.r["may_time_out"] = int(not t.r["settled"])
    return sleep_watching(t, then="semaphore.acquire.slept")


def acquire_slept(t: Turn) -> str:
    """Nothing happened? Then the next sleep is a long one."""
    t.r.update(settled=int(t.r["woke"] == TIMED_OUT), woke=LOOK, may_time_out=0)
    return enter_semaphore(t, ACQUIRE)


def take_ledger(t: Turn) -> str:
    """Do I hold one already?"""
    t.r["count"] = t.load(f"ledger[{t.me}]")
    return "semaphore.take.count" if t.r["count"] else "semaphore.take.sleepers"


def take_sleepers(t: Turn) -> str:
    """Does anybody sleep long who does not watch me?"""
    return "semaphore.poke.sleepers" if t.load("sleepers") & WATCHED else "semaphore.take.count"


def poke_sleepers(t: Turn) -> str:
    """One of them shall look again: before I hold, so that if I die now it finds me in the section, or gone."""
    t.update("sleepers", lambda word: max(_sleepers(word) - 1, 0))
    return "semaphore.poke.event"


def poke_event(t: Turn) -> str:
    """Who does not sleep yet will not."""
    t.add("event", 1)
    return "semaphore.poke.wake"


def poke_wake(t: Turn) -> str:
    """One of those who do."""
    t.wake("event", 1)
    return "semaphore.take.count"


def take_count(t: Turn) -> str:
    """The one word."""
    if t.r["signal"]:
        t.update("total", lambda word: word - 1)
    else:
        t.store(f"ledger[{t.me}]", t.r["count"] + 1)
    t.r["holding"] += 1
    return "semaphore.take.value"


def take_value(t: Turn) -> str:
    """Derived."""
    t.update("value", lambda word: word - 1)
    t.r.update(watched=0, settled=0, woke=0)
    return _leave(t, "semaphore.acquired")


# -- release ----------------------------------------------------------------------------------------------------


def release_ledger(t: Turn) -> str:
    """Whose permit is it? Mine, if I have one; else I look for a holder."""
    who = (t.me + t.r["next"]) % t.r["processes"]
    t.r["next"] += 1
    if t.load(f"ledger[{who}]"):
        t.r["row"] = 1 + who
        return "semaphore.release.count"
    return "semaphore.release.ledger" if t.r["next"] < t.r["processes"] else "semaphore.release.count"


def release_count(t: Turn) -> str:
    """The one word."""
    if t.r["row"]:
        t.update(f"ledger[{t.r['row'] - 1}]", lambda word: word - 1)
    else:
        t.update("total", lambda word: word + 1)
    if t.r["row"] == 1 + t.me or t.r["signal"]:
        t.r["holding"] = max(t.r["holding"] - 1, 0)
    return "semaphore.release.value"


def release_value(t: Turn) -> str:
    """Derived."""
    t.update("value", lambda word: word + 1)
    t.r["count"] = 1
    return "semaphore.release.sleepers"


def release_sleepers(t: Turn) -> str:
    """As many as permits came back shall look again."""
    count = t.r["count"]
    seen = _sleepers(t.update("sleepers", lambda word: 0 if _sleepers(word) <= count else word - count))
    t.r["key"] = 0
    return "semaphore.release.event" if seen else _leave(t, "semaphore.released")


def release_event(t: Turn) -> str:
    """Who does not sleep yet will not."""
    t.add("event", 1)
    return _leave(t, "semaphore.release.wake")


def release_wake(t: Turn) -> str:
    """One of those who do."""
    t.wake("event", 1)
    return "semaphore.released"


# -- recover ----------------------------------------------------------------------------------------------------


def recover_ledger(t: Turn) -> str:
    """Does this process hold any?"""
    t.r["sum"] = t.load(f"ledger[{t.r['next']}]")
    return "semaphore.recover.life" if t.r["sum"] else _next_dead(t)


def recover_life(t: Turn) -> str:
    """Is it dead?"""
    dead = t.load(f"life[{t.r['next']}]") & DIED
    return "semaphore.recover.count" if dead else _next_dead(t)


def recover_count(t: Turn) -> str:
    """The one word."""
    t.store(f"ledger[{t.r['next']}]", 0)
    return "semaphore.recover.value"


def recover_value(t: Turn) -> str:
    """Derived."""
    given = t.r["sum"]
    t.update("value", lambda word: word + given)
    t.r["count"] += given
    return _next_dead(t)


def _next_dead(t: Turn) -> str:
    t.r.update(next=t.r["next"] + 1, sum=0)
    if t.r["next"] < t.r["processes"]:
        return "semaphore.recover.ledger"
    return "semaphore.release.sleepers" if t.r["count"] else _leave(t, "semaphore.released")


STEPS: dict[str, Step] = (
    SECTION
    | waiting_steps(lambda t: ("event", t.r["key"] - 1))
    | {
        "semaphore.entered": entered,  # private
        "semaphore.repair.ledger": repair_ledger,
        "semaphore.repair.total": repair_total,
        "semaphore.repair.value": repair_value,
        "semaphore.tell_all.sleepers": tell_all_sleepers,  # := 0
        "semaphore.tell_all.event": tell_all_event,  # + 1
        "semaphore.tell_all.wake": tell_all_wake,  # all, in the section
        "semaphore.look.event": look_event,
        "semaphore.look.get_up": look_get_up,  # sleepers - 1
        "semaphore.look.value": look_value,
        "semaphore.look.ledger": look_ledger,
        "semaphore.look.life": look_life,
        "semaphore.lie_down.sleepers": lie_down_sleepers,  # + 1, and WATCHED before a long sleep
        "semaphore.lie_down.event": lie_down_event,  # reads it
        "semaphore.acquire.sleep": acquire_sleep,  # private; then wait.*
        "semaphore.acquire.slept": acquire_slept,  # private
        "semaphore.take.ledger": take_ledger,  # reads mine
        "semaphore.take.sleepers": take_sleepers,  # reads WATCHED
        "semaphore.poke.sleepers": poke_sleepers,  # - 1, and WATCHED goes
        "semaphore.poke.event": poke_event,  # + 1
        "semaphore.poke.wake": poke_wake,  # one, in the section
        "semaphore.take.count": take_count,  # the truth: ledger[me] + 1, or total - 1
        "semaphore.take.value": take_value,
        "semaphore.release.ledger": release_ledger,  # whose permit?
        "semaphore.release.count": release_count,  # the truth: a ledger - 1, or total + 1
        "semaphore.release.value": release_value,
        "semaphore.release.sleepers": release_sleepers,  # - as many as permits came back
        "semaphore.release.event": release_event,  # + 1
        "semaphore.release.wake": release_wake,  # one, after the section
        "semaphore.recover.ledger": recover_ledger,
        "semaphore.recover.life": recover_life,
        "semaphore.recover.count": recover_count,  # the truth: ledger[dead] := 0
        "semaphore.recover.value": recover_value,
    }
)
