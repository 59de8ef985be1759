"""Who uses the semaphore (`semaphore.py`) in the models, and what must hold of its permits."""

from __future__ import annotations

from dataclasses import replace

from .machine import Model, Program, Step, Turn, View
from .section import ENTER, HOLDERS, LOCKS
from .semaphore import ACQUIRE, RECOVER, REGISTERS, RELEASE, STEPS, enter_semaphore


def acquired(t: Turn) -> str:
    """The caller has a permit: let go of it, or keep it (rounds = 0)."""
    return enter_semaphore(t, RELEASE) if t.r["rounds"] else t.back()


def released(t: Turn) -> str:
    """Once more? After a recovery: try again."""
    if t.r["doing"] == RECOVER:
        return enter_semaphore(t, ACQUIRE)
    t.r["rounds"] -= 1
    return enter_semaphore(t, ACQUIRE) if t.r["rounds"] else t.back()


def owner_died(t: Turn) -> str:
    """The caller has been told: it repairs, or goes away."""
    t.r.update(told=0, settled=0, woke=0)
    return enter_semaphore(t, RECOVER) if t.r["recovers"] else t.back()


CALLER: dict[str, Step] = {
    "semaphore.acquired": acquired,
    "semaphore.released": released,
    "semaphore.owner_died": owner_died,
}


def holder(rounds: int = 1, *, recovers: bool = True, mortal: bool = True, last: bool = False) -> Program:
    """Acquires and releases, so many times; asked to, repairs what a dead one held."""
    registers = {"rounds": rounds, "recovers": int(recovers)}
    return Program(ENTER, ("semaphore.entered",), registers, mortal=mortal and not last, last=last)


def keeper(*, mortal: bool = True) -> Program:
    """Acquires once and keeps the permit: waits for a signal, for example."""
    return Program(ENTER, ("semaphore.entered",), mortal=mortal)


def signaller(*, mortal: bool = True) -> Program:
    """Releases what it never acquired."""
    registers = {"rounds": 1, "doing": RELEASE}
    return Program(ENTER, ("semaphore.entered",), registers, mortal=mortal)


def semaphore_model(name: str, *programs: Program, permits: int = 1, broken: dict[str, Step] | None = None) -> Model:
    """One semaphore of so many permits; of none: a signal."""
    ledgers = {f"ledger[{me}]": 0 for me in range(len(programs))}
    truth = {"total": permits, "value": permits, "sleepers": 0} | ledgers
    shape = {"processes": len(programs), "signal": int(not permits)}
    return Model(
        name=name,
        steps=STEPS | CALLER | (broken or {}),
        programs=tuple(replace(one, registers={**shape, **one.registers}) for one in programs),
        words=LOCKS | truth | {"event": 0},
        facts=HOLDERS,
        guarded=dict.fromkeys(truth, "holder[0]"),
        stable={"event": "holder[0]"},
        registers=REGISTERS,
        judged=("holding", "signal"),
        check=permits_are_kept,
        check_end=permits_came_back,
        complain_of_sleeper=sleeps_beside_a_permit,
    )


def true_value(view: View) -> int:
    """What the words of truth say."""
    return view["total"] - sum(view[f"ledger[{me}]"] for me in range(len(view.processes)))


def permits_are_kept(view: View) -> str | None:
    """The value is never negative, and not more hold a permit than there are."""
    if true_value(view) < 0:
        return f"the value is {true_value(view)}"
    if view.register(0, "signal"):
        return None
    holding = sum(view.register(me, "holding") for me in range(len(view.processes)) if not view.is_dead(me))
    return f"{holding} hold one of {view['total']} permits" if holding > view["total"] else None


def permits_came_back(view: View) -> str | None:
    """What the living do not hold is free, or in the ledger of somebody dead whom nobody has recovered."""
    if view["lock[0]"] == 0 and view["value"] != true_value(view):
        return f"value is {view['value']} and should be {true_value(view)}"
    if view.register(0, "signal"):
        return None
    for me in range(len(view.processes)):
        held = view[f"ledger[{me}]"]
        if not view.is_dead(me) and held != view.register(me, "holding"):
            return f"P{me} holds {view.register(me, 'holding')}, its ledger says {held}"
        if view.is_dead(me) and held > 1:
            return f"P{me} is dead and its ledger says {held}"
    return None


def sleeps_beside_a_permit(view: View, _me: int) -> str | None:
    """A waiter may sleep for ever only if living others keep all permits."""
    if true_value(view) > 0:
        return "a permit is free"
    dead = [me for me in range(len(view.processes)) if view.is_dead(me) and view[f"ledger[{me}]"]]
    return f"P{dead[0]} died holding a permit" if dead else None
