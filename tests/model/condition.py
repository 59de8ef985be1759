"""The condition: waiters in order, each asleep on a word of its own; notify(n) tells n living ones.

    wait      in the section: add a node; leave (and let go of the user's lock); sleep while the node is WAITING;
              out of time or told: exchange the node for FREE, without the section; what was there decides
    notify    in the section: tell the n oldest whose owners live; leave; wake them

A notification has no memory. It reaches a living waiter that waited when it was given. One that a waiter took to its
grave is passed on to the oldest of those who waited then, by any waiter that looks round: which sleepers do by the
backstop only.

Promises: notify's count is the number of waits that end with "told", but for the dead; without deaths nobody needs the
backstop; with one death it is what saves, and nothing else does, when death strikes
- a notifier between telling and waking (AFTER_TELL): the node says TOLD, and its owner sleeps on, unless it watches
  that notifier's life (`watches`). Therefore a waiter watches whoever notified last; and the wake of one who watches
  the notifier may be put off until that lets go of the user's lock (in the C: `pn_lock.deferred`);
- a waiter between being told and leaving (AFTER_TOLD): another one may be due.
Not here: the user's lock round wait and notify, which orders them and the predicate.
"""

from __future__ import annotations

from dataclasses import replace

from .machine import Model, Program, Step, Turn, View
from .section import ENTER, HOLDERS, LOCKS, SECTION
from .section import REGISTERS as SECTION_REGISTERS
from .state import DIED, Status
from .waiters import FACTS, TOLD, WAITERS_STEPS, WAITING, add, enter_list, free, leave_list, pass_on, tell
from .waiters import REGISTERS as WAITERS_REGISTERS
from .waiting import OWNER_DIED, TIMED_OUT, sleep_watching, waiting_steps
from .waiting import REGISTERS as WAITING_REGISTERS

REGISTERS = (
    *SECTION_REGISTERS,
    *WAITERS_REGISTERS,
    *WAITING_REGISTERS,
    "timed",  # its wait may end by time
    "watches",  # whose life it watches: a bit for each process
    "notifies",  # how many it tells; 0: it waits
    "result",  # of a wait: 1 told, 2 out of time
)
AFTER_TELL = frozenset({"waiters.tell.ticket", "section.leave", "waiters.wake.one"})
AFTER_TOLD = frozenset({"wait.sleep", "condition.wait.look", "condition.wait.check", "waiters.free.exchange"})


def begin(t: Turn) -> str:
    """In the section."""
    if t.r["notifies"]:
        return tell(t, t.r["notifies"], then="condition.notify.told")
    return add(t, then="condition.enlisted")


def enlisted(t: Turn) -> str:
    """From now on a notification can reach it."""
    return leave_list(t, then="condition.wait.look")


def wait_look(t: Turn) -> str:
    """Told?"""
    if t.load(f"state[{t.me}]") != WAITING or t.r["woke"] == TIMED_OUT:
        return free(t, then="condition.wait.done")
    t.r.update(may_time_out=t.r["timed"], watched=t.r["watches"])
    return sleep_watching(t, then="condition.wait.check")


def wait_check(t: Turn) -> str:
    """Still waiting though awake: has somebody died with a notification that this or another one could use?"""
    waiting = t.load(f"state[{t.me}]") == WAITING
    if t.r["woke"] == OWNER_DIED:
        t.r["watches"] = 0  # once is enough
    if waiting and t.r["woke"] != TIMED_OUT:
        return enter_list(t, then="condition.pass_on")
    return free(t, then="condition.wait.done")


def wait_pass_on(t: Turn) -> str:
    """In the section."""
    return pass_on(t, then="condition.passed_on")


def passed_on(t: Turn) -> str:
    """Perhaps to me."""
    return leave_list(t, then="condition.wait.look")


def wait_done(t: Turn) -> str:
    """What was in the node when it was freed."""
    t.r.update(result=1 if t.r["seen"] == TOLD else 2, seen=0, woke=0, may_time_out=0, told=0, watches=0, watched=0)
    return t.back()


def notify_told(t: Turn) -> str:
    """So many; who waits still was not meant, unless there are fewer than wanted."""
    left = [
        node
        for node in range(t.r["nodes"])
        if t.peek(f"state[{node}]") == WAITING and not t.peek(f"life[{node}]") & DIED
    ]
    t.require(t.r["told"] == t.r["notifies"] or not left, f"told {t.r['told']} and passed over P{left}")
    return leave_list(t, then="condition.notify.done")


def notify_done(t: Turn) -> str:
    """Its result is the count."""
    t.r["told"] = 0
    return t.back()


STEPS: dict[str, Step] = (
    SECTION
    | WAITERS_STEPS
    | waiting_steps(lambda t: (f"state[{t.me}]", WAITING))
    | {
        "condition.begin": begin,  # private
        "condition.enlisted": enlisted,  # private
        "condition.wait.look": wait_look,  # reads the node's state
        "condition.wait.check": wait_check,  # reads the node's state
        "condition.pass_on": wait_pass_on,  # private
        "condition.passed_on": passed_on,  # private
        "condition.wait.done": wait_done,  # private
        "condition.notify.told": notify_told,  # private
        "condition.notify.done": notify_done,  # private
    }
)


# -- who uses it ------------------------------------------------------------------------------------------------


def waiter(*, timed: bool = False, mortal: bool = True, watches: int = 0) -> Program:
    """Waits once, for ever or until some time; watches the lives of processes, a bit for each."""
    registers = {"timed": int(timed), "watches": watches}
    return Program(ENTER, ("condition.begin", "waiters.entered"), registers, mortal=mortal)


def notifier(count: int = 1, *, mortal: bool = True) -> Program:
    """Tells so many."""
    return Program(ENTER, ("condition.begin", "waiters.entered"), {"notifies": count}, mortal=mortal)


def condition_model(name: str, *programs: Program, broken: dict[str, Step] | None = None) -> Model:
    """One condition, a node for each process."""
    tickets = {f"ticket[{node}]": 0 for node in range(len(programs))} | {"next_ticket": 1}
    shape = {"nodes": len(programs)}
    return Model(
        name=name,
        steps=STEPS | (broken or {}),
        programs=tuple(replace(one, registers={**shape, **one.registers}) for one in programs),
        words=LOCKS | tickets | {f"state[{node}]": 0 for node in range(len(programs))},
        facts=HOLDERS | FACTS,
        guarded=dict.fromkeys(tickets, "holder[0]"),
        registers=REGISTERS,
        judged=("result",),
        check_end=as_many_as_were_told,
        complain_of_sleeper=sleeps_beside_a_notification,
    )


def as_many_as_were_told(view: View) -> str | None:
    """The notifications given, and the waits that ended so: equal, but for what the dead one took or passed on twice."""
    everybody = range(len(view.processes))
    woken = sum(view.register(me, "result") == 1 for me in everybody)
    dead = sum(view.is_dead(me) for me in everybody)
    if not view["told"] - dead <= woken <= view["told"] + dead:
        return f"{view['told']} were told, and {woken} waits ended so"
    return None


def sleeps_beside_a_notification(view: View, me: int) -> str | None:
    """A waiter may sleep for ever only if no notification that it could have had is left."""
    if view[f"state[{me}]"] != WAITING:
        return "it was told"
    for other, process in enumerate(view.processes):
        due = view[f"ticket[{me}]"] < view[f"ticket[{other}]"]
        if process.status == Status.DEAD and view[f"state[{other}]"] == TOLD and due:
            return f"P{other} died with a notification"
    return None
