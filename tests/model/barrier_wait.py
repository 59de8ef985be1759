"""How a party waits at the barrier (`barrier.py`): it looks at the others in the section, then sleeps on its node.

A sleep ends when the node is told or poked, when one of those who were seen dies, and, unless nothing has happened
since the last one, by itself.
"""

from __future__ import annotations

from .barrier import (
    ACTING,
    ARRIVING,
    LOOK,
    PASSED,
    REFUSED_PASSAGE,
    break_up,
    enter_barrier,
    leave_barrier,
    phase,
)
from .machine import Step, Turn
from .section import SECTION
from .state import DIED
from .waiters import TOLD, WAITERS_STEPS, WAITING, WATCHING, free, is_waiting
from .waiting import OWNER_DIED, TIMED_OUT, sleep_watching, waiting_steps


def wait_state(t: Turn) -> str:
    """Told? Otherwise look at the others, then sleep."""
    if is_waiting(t.load(f"state[{t.me}]")):
        return enter_barrier(t, LOOK)
    return free(t, then="barrier.wait.done")


def look_node(t: Turn) -> str:
    """Meanwhile? (Others tell me in the section only: nobody does now.)"""
    if not is_waiting(t.peek(f"state[{t.me}]")):
        return leave_barrier(t, "barrier.wait.state")
    t.r["watched"] = 0
    acting = phase(t.r["word"]) == ACTING
    if t.r["late"] and not acting:
        return break_up(t)
    return "barrier.look.actor" if acting else "barrier.count"


def look_actor(t: Turn) -> str:
    """Who runs the action?"""
    t.r["count"] = t.load("actor") - 1
    return "barrier.look.life"


def look_life(t: Turn) -> str:
    """And lives? Then it is watched like those who wait."""
    actor, t.r["count"] = t.r["count"], 0
    if t.load(f"life[{actor}]") & DIED:
        return break_up(t)
    t.r["watched"] |= 1 << actor
    return "barrier.count"


def collect_oldest(t: Turn) -> str:
    """Am I the first of those who wait? (Tickets are the section's own.)"""
    others = [node for node in range(t.r["nodes"]) if t.r["watched"] >> node & 1]
    mine = t.load(f"ticket[{t.me}]")
    t.r["seen"] = WATCHING if all(mine < t.peek(f"ticket[{node}]") for node in others) else 0
    return "barrier.collect.state"


def collect_state(t: Turn) -> str:
    """What I sleep on; WATCHING says that I sleep long."""
    expected = WAITING | t.r["seen"]
    t.store(f"state[{t.me}]", expected)
    full = phase(t.r["word"]) == ACTING
    t.r.update(seen=0, asks=-expected, may_time_out=int(not t.r["settled"] or (bool(t.r["timed"]) and not full)))
    return leave_barrier(t, "barrier.wait.sleep")


def wait_sleep(t: Turn) -> str:
    """Until told, poked, or one of the others dies."""
    return sleep_watching(t, then="barrier.wait.slept")


def wait_slept(t: Turn) -> str:
    """Out of time: my deadline, or nothing has happened for a while?"""
    timed_out = t.r["woke"] == TIMED_OUT
    late = timed_out and bool(t.r["timed"]) and (bool(t.r["settled"]) or t.choose(2) == 1)
    died = t.r["woke"] == OWNER_DIED
    t.r.update(asks=0, woke=0, may_time_out=0, settled=int(timed_out), late=int(late))
    return t.call("waiters.repair.state", then="barrier.wait.state") if died else "barrier.wait.state"


def wait_done(t: Turn) -> str:
    """What was in my node."""
    told, t.r["seen"] = t.r["seen"] == TOLD, 0
    decided = t.fact("outcome") >> 2 * t.peek(f"round[{t.me}]") & 3
    t.require(decided == (PASSED if told else REFUSED_PASSAGE), "goes another way than its round")
    t.r.update(settled=0, late=0, count=t.peek(f"round[{t.me}]"))
    return "barrier.passed" if told else "barrier.broken"


def slept_on(t: Turn) -> tuple[str, int]:
    """The barrier during an action that I have come too late for, or my node."""
    return ("barrier", t.r["asks"] - 1) if t.r["asks"] > 0 else (f"state[{t.me}]", -t.r["asks"])


STEPS: dict[str, Step] = (
    SECTION
    | WAITERS_STEPS
    | waiting_steps(slept_on)
    | ARRIVING
    | {
        "barrier.wait.state": wait_state,  # reads my node's state
        "barrier.look.node": look_node,  # reads my node's state, in the section
        "barrier.look.actor": look_actor,  # reads it
        "barrier.look.life": look_life,  # reads it
        "barrier.collect.oldest": collect_oldest,  # reads tickets
        "barrier.collect.state": collect_state,  # WAITING, and WATCHING before a long sleep
        "barrier.wait.sleep": wait_sleep,  # private; then wait.*
        "barrier.wait.slept": wait_slept,  # private
        "barrier.wait.done": wait_done,  # private
    }
)
