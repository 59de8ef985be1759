"""Who uses the barrier (`barrier.py`) in the models, and what must hold of their passages."""

from __future__ import annotations

from dataclasses import replace

from .barrier import ABORT, ACTING, BROKEN, PASSED, REFUSED_PASSAGE, REGISTERS, RESET, ROUND, phase
from .barrier_wait import STEPS
from .machine import Model, Program, Step, View
from .section import ENTER, HOLDERS, LOCKS
from .state import DIED
from .waiters import FACTS, WAITING, is_waiting

BEGIN = ("barrier.begin", "waiters.entered")


def party(rounds: int = 1, *, timed: bool = False, mortal: bool = True) -> Program:
    """Comes so many times; its waits may end by time."""
    return Program(ENTER, BEGIN, {"rounds": rounds, "timed": int(timed)}, mortal=mortal)


def aborter(*, mortal: bool = True) -> Program:
    """Breaks it."""
    return Program(ENTER, BEGIN, {"doing": ABORT}, mortal=mortal)


def resetter(*, mortal: bool = True) -> Program:
    """Breaks it for those who wait, and makes it whole."""
    return Program(ENTER, BEGIN, {"doing": RESET}, mortal=mortal)


def barrier_model(name: str, *programs: Program, parties: int, broken: dict[str, Step] | None = None) -> Model:
    """One barrier, a node for each process."""
    nodes = range(len(programs))
    guarded = {f"ticket[{node}]": 0 for node in nodes} | {f"round[{node}]": 0 for node in nodes}
    guarded |= {"next_ticket": 1, "actor": 0}
    shape = {"nodes": len(programs), "parties": parties}
    return Model(
        name=name,
        steps=STEPS | (broken or {}),
        programs=tuple(replace(one, registers={**shape, **one.registers}) for one in programs),
        words=LOCKS | guarded | {"barrier": 0} | {f"state[{node}]": 0 for node in nodes},
        facts=HOLDERS | FACTS | {"outcome": 0, "indexes": 0},
        guarded=dict.fromkeys(guarded, "holder[0]"),
        stable={"barrier": "holder[0]"},
        registers=REGISTERS,
        judged=("result",),
        check=a_round_has_one_outcome,
        complain_of_sleeper=sleeps_though_decided,
    )


def a_round_has_one_outcome(view: View) -> str | None:
    """Released or broken, not both."""
    outcome = view["outcome"]
    while outcome:
        if outcome & 3 == PASSED | REFUSED_PASSAGE:
            return f"round {view['outcome']:b}: released and broken"
        outcome >>= 2
    return None


def sleeps_though_decided(view: View, me: int) -> str | None:
    """A party may sleep for ever only if its round is not decided, and nobody is dead whose coming counts."""
    if not is_waiting(view[f"state[{me}]"]):
        return "it was told" if view[f"state[{me}]"] > WAITING else "it waits for an action that is over"
    if view["barrier"] // ROUND != view[f"round[{me}]"] or phase(view["barrier"]) == BROKEN:
        return "its round is decided"
    if phase(view["barrier"]) == ACTING:
        return "the action is never over"
    for other in range(len(view.processes)):
        if is_waiting(view[f"state[{other}]"]) and view[f"life[{other}]"] & DIED:
            return f"P{other} has arrived and is dead"
    return None
