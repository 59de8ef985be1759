"""The barrier: parties arrive; the last one runs the action and releases the others; a party that dies breaks it.

    state   round | ASKED | one of
    FILLING   parties arrive              -> ACTING: the last one came; BROKEN: abort, a time-out, a death
    ACTING    one of them runs the action -> FILLING of the next round: all are released; BROKEN: abort, a death
    BROKEN    until reset                 -> FILLING of the next round

Truth: `state`, and the nodes that wait for a round (`waiters.py`). One store of `state` releases or breaks; telling
the nodes follows from it and is finished by the heir: a node that waits for an old round has been released, one that
waits in a broken round is refused. ASKED: somebody who came during the action sleeps on `state`.

A sleeper watches all whose nodes it saw waiting. Who comes later is watched by nobody who sleeps already, so a sleep
is short at first and ends by itself (`settle`); then only the first to arrive sleeps long with WATCHING set, and
whoever comes pokes it *before* its own node waits. Thus there is always somebody who watches a party that waits.

Promises: every party of a round is released or none; each gets an index of its own; without deaths nobody needs the
backstop; with one death it is what saves only if a release or break was decided and its author dies before the wakes
(AFTER_DECIDING) while those who were told sleep on.
Not here: waiting (`barrier_wait.py`), the action itself (one step without an access), exceptions in a wait.
"""

from __future__ import annotations

from .machine import Step, Turn
from .section import REGISTERS as SECTION_REGISTERS
from .state import DIED, EVERYBODY
from .waiters import REFUSED, TOLD, WAITING, WATCHING, add, enter_list, is_waiting, leave_list, tell_all
from .waiters import REGISTERS as WAITERS_REGISTERS
from .waiting import REGISTERS as WAITING_REGISTERS
from .waiting import sleep_watching

FILLING, ACTING, BROKEN = 0, 1, 2
ASKED, ROUND = 4, 8
ARRIVE, LOOK, RELEASE, ABORT, RESET = 0, 1, 2, 3, 4
PASSED, REFUSED_PASSAGE = 1, 2  # how a wait ends

AFTER_DECIDING = frozenset(
    {
        "waiters.tell.read",
        "waiters.tell.life",
        "waiters.tell.state",
        "waiters.tell.ticket",
        "section.leave",
        "waiters.wake.one",
    }
)

REGISTERS = (
    *SECTION_REGISTERS,
    *WAITERS_REGISTERS,
    *WAITING_REGISTERS,
    "parties",
    "timed",  # its wait may end by time
    "rounds",  # how often it still comes
    "doing",
    "word",  # `state` as it was seen
    "next",
    "count",
    "index",
    "asks",  # sleeps on `state`, not on its node
    "settled",
    "late",
    "result",
)


def phase(word: int) -> int:
    """FILLING, ACTING or BROKEN."""
    return word & 3


def enter_barrier(t: Turn, doing: int) -> str:
    """Enter the section, to do this."""
    t.r.update(doing=doing, next=0, count=0, word=0)
    return enter_list(t, then="barrier.begin")


def begin(t: Turn) -> str:
    """In the section. What became of what the dead one decided?"""
    t.r["word"] = t.load("barrier")
    if not t.r["recovered"]:
        return _go(t)
    broken = phase(t.r["word"]) == BROKEN
    but = -1 if broken else t.r["word"] // ROUND
    return tell_all(t, REFUSED if broken else TOLD, but=but, then="barrier.repair.wake")


def repair_wake(t: Turn) -> str:
    """The dead one may have taken ASKED away and woken nobody."""
    t.wake("barrier", EVERYBODY)
    t.r["recovered"] = 0
    return _go(t)


def _go(t: Turn) -> str:
    now, doing = phase(t.r["word"]), t.r["doing"]
    if doing == ARRIVE:
        return ("barrier.count", "barrier.arrive.actor", "barrier.refused")[now]
    if doing == LOOK:
        return "barrier.look.node"
    if doing == RELEASE:
        return "barrier.release.actor" if now == ACTING else leave_barrier(t, "barrier.broken")
    return break_up(t)


def leave_barrier(t: Turn, then: str) -> str:
    """Leave the section, wake those who were told, on to `then`."""
    t.r.update(word=0, next=0, count=0, recovered=0)
    return leave_list(t, then=then)


# -- deciding ---------------------------------------------------------------------------------------------------


def break_up(t: Turn) -> str:
    """Unless it is broken already."""
    if phase(t.r["word"]) == BROKEN:
        return _broken_up(t)
    return "barrier.break.state"


def break_state(t: Turn) -> str:
    """One store breaks."""
    t.note("outcome", t.fact("outcome") | 2 << 2 * (t.r["word"] // ROUND))
    t.store("barrier", t.r["word"] // ROUND * ROUND + BROKEN)
    return "barrier.break.wake" if t.r["word"] & ASKED else _refuse_all(t)


def break_wake(t: Turn) -> str:
    """Whoever came during the action looks again."""
    t.wake("barrier", EVERYBODY)
    return _refuse_all(t)


def _refuse_all(t: Turn) -> str:
    t.r["word"] = t.r["word"] // ROUND * ROUND + BROKEN
    return tell_all(t, REFUSED, then="barrier.broken_up")


def broken_up(t: Turn) -> str:
    """Telling follows from it."""
    return _broken_up(t)


def _broken_up(t: Turn) -> str:
    if t.r["doing"] == RESET:
        return "barrier.reset.state"
    if t.r["doing"] == LOOK:
        return leave_barrier(t, "barrier.wait.state")
    return leave_barrier(t, "barrier.broken" if t.r["doing"] == ARRIVE else "barrier.done")


def reset_state(t: Turn) -> str:
    """The next round fills."""
    t.store("barrier", (t.r["word"] // ROUND + 1) * ROUND + FILLING)
    return leave_barrier(t, "barrier.done")


# -- arriving ---------------------------------------------------------------------------------------------------


def arrive_actor(t: Turn) -> str:
    """Somebody runs the action; does it live?"""
    t.r["next"] = t.load("actor") - 1
    return "barrier.arrive.life"


def arrive_life(t: Turn) -> str:
    """If not, the round is broken."""
    return break_up(t) if t.load(f"life[{t.r['next']}]") & DIED else "barrier.arrive.ask"


def arrive_ask(t: Turn) -> str:
    """Wait until the action is over."""
    t.r["word"] |= ASKED
    t.store("barrier", t.r["word"])
    t.r.update(asks=1 + t.r["word"], watched=1 << t.r["next"])
    return leave_barrier(t, "barrier.arrive.sleep")


def arrive_sleep(t: Turn) -> str:
    """While it runs and its actor lives."""
    return sleep_watching(t, then="barrier.arrive.slept")


def arrive_slept(t: Turn) -> str:
    """Look again."""
    t.r.update(asks=0, woke=0)
    return enter_barrier(t, ARRIVE)


def refused(t: Turn) -> str:
    """It is broken: nobody joins."""
    return leave_barrier(t, "barrier.broken")


def count(t: Turn) -> str:
    """Who waits, and lives? Nobody passes with the dead.

    One step for a look at each node and its owner's life: nodes begin and end WAITING in the section only, and one
    death is seen or not seen wherever between these looks it falls.
    """
    waiting = [node for node in range(t.r["nodes"]) if is_waiting(t.peek(f"state[{node}]"))]
    t.wait_until(True)
    if any(t.peek(f"life[{node}]") & DIED for node in waiting):
        return break_up(t)
    if t.r["doing"] == LOOK:
        t.r["watched"] |= sum(1 << node for node in waiting if node != t.me)
        return "barrier.collect.oldest" if t.r["settled"] else "barrier.collect.state"
    t.r["index"] = len(waiting)
    return _next_poke(t)


def _next_poke(t: Turn) -> str:
    """Whoever sleeps long and watches all others but me. (Only their owners set it, in the section.)"""
    for node in range(t.r["nodes"]):
        if t.peek(f"state[{node}]") == WAITING | WATCHING:
            t.r["next"] = node
            return "barrier.poke.state"
    return "barrier.arrive.last" if t.r["index"] + 1 == t.r["parties"] else "barrier.arrive.round"


def poke_state(t: Turn) -> str:
    """It shall look again: before I wait, so that if I die now it finds me in the section, or gone."""
    t.cas(f"state[{t.r['next']}]", WAITING | WATCHING, WAITING)
    return "barrier.poke.wake"


def poke_wake(t: Turn) -> str:
    """In the section."""
    t.wake(f"state[{t.r['next']}]", 1)
    return _next_poke(t)


def arrive_round(t: Turn) -> str:
    """My node is for this round."""
    t.store(f"round[{t.me}]", t.r["word"] // ROUND)
    return add(t, then="barrier.arrived")


def arrived(t: Turn) -> str:
    """From now on my death breaks the barrier."""
    return leave_barrier(t, "barrier.wait.state")


def arrive_last(t: Turn) -> str:
    """Whose death breaks it while the action runs."""
    t.store("actor", 1 + t.me)
    return "barrier.arrive.act"


def arrive_act(t: Turn) -> str:
    """The round is full."""
    t.store("barrier", t.r["word"] // ROUND * ROUND + ACTING)
    return leave_barrier(t, "barrier.action")


def action(t: Turn) -> str:
    """Whatever the user does here, outside of the section."""
    return enter_barrier(t, RELEASE)


def release_actor(t: Turn) -> str:
    """Still my round?"""
    mine = t.load("actor") == 1 + t.me
    return "barrier.release.state" if mine else leave_barrier(t, "barrier.broken")


def release_state(t: Turn) -> str:
    """One store releases all."""
    word = t.r["word"]
    t.note("outcome", t.fact("outcome") | 1 << 2 * (word // ROUND))
    t.r["word"] = (word // ROUND + 1) * ROUND + FILLING
    t.store("barrier", t.r["word"])
    return "barrier.release.wake" if word & ASKED else _tell_released(t)


def release_wake(t: Turn) -> str:
    """Whoever came during the action looks again."""
    t.wake("barrier", EVERYBODY)
    return _tell_released(t)


def _tell_released(t: Turn) -> str:
    return tell_all(t, TOLD, but=t.r["word"] // ROUND, then="barrier.released")


def released(t: Turn) -> str:
    """Telling follows from it."""
    passed_round = t.r["word"] // ROUND - 1
    step = leave_barrier(t, "barrier.passed")
    t.r["count"] = passed_round
    return step


# -- the caller -------------------------------------------------------------------------------------------------


def passed(t: Turn) -> str:
    """Once more?"""
    bit = 1 << 4 * t.r["count"] + t.r["index"]
    t.require(not t.fact("indexes") & bit, f"two parties of a round pass with index {t.r['index']}")
    t.note("indexes", t.fact("indexes") | bit)
    t.r.update(count=0, index=0, rounds=t.r["rounds"] - 1)
    if t.r["rounds"]:
        return enter_barrier(t, ARRIVE)
    t.r["result"] = PASSED
    return t.back()


def broken(t: Turn) -> str:
    """BrokenBarrierError."""
    t.r.update(count=0, index=0)
    t.r["result"] = REFUSED_PASSAGE
    return t.back()


def done(t: Turn) -> str:
    """Abort and reset have no result."""
    return t.back()


ARRIVING: dict[str, Step] = {
    "barrier.begin": begin,  # reads the barrier
    "barrier.repair.wake": repair_wake,  # all who asked
    "barrier.break.state": break_state,  # -> BROKEN
    "barrier.break.wake": break_wake,  # all who asked
    "barrier.broken_up": broken_up,  # private
    "barrier.reset.state": reset_state,  # -> FILLING of the next round
    "barrier.arrive.actor": arrive_actor,  # reads it
    "barrier.arrive.life": arrive_life,  # reads it
    "barrier.arrive.ask": arrive_ask,  # ACTING | ASKED
    "barrier.arrive.sleep": arrive_sleep,  # private
    "barrier.arrive.slept": arrive_slept,  # private
    "barrier.refused": refused,  # private
    "barrier.count": count,  # reads all nodes and the lives of their owners
    "barrier.poke.state": poke_state,  # WAITING | WATCHING -> WAITING
    "barrier.poke.wake": poke_wake,  # its owner, in the section
    "barrier.arrive.round": arrive_round,  # of my node
    "barrier.arrived": arrived,  # private
    "barrier.arrive.last": arrive_last,  # actor := me
    "barrier.arrive.act": arrive_act,  # FILLING -> ACTING
    "barrier.action": action,  # private
    "barrier.release.actor": release_actor,  # reads it
    "barrier.release.state": release_state,  # -> FILLING of the next round
    "barrier.release.wake": release_wake,  # all who asked
    "barrier.released": released,  # private
    "barrier.passed": passed,  # private
    "barrier.broken": broken,  # private
    "barrier.done": done,  # private
}
