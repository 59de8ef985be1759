"""The wake-up ('eventcount'): consumers sleep until something is published, producers wake only if somebody may sleep.

One word: event | waiters. The futex is its upper half here, the count of wakes.

    waker   publish; fence; waiters > 0? then one CAS: event + 1, waiters - 1; then wake one
    waiter  one add: waiters + 1, which gives key = event; look again; sleep while event == key;
            in any case afterwards: event == key still? then nobody took us off, so one CAS: waiters - 1

`waiters` is never too low, so no sleeper is forgotten. It is too high by those killed while registered, and, after
a wake, by those who were registered beside the one taken off and left before another wake: they cannot tell that it
was not they. Each of these costs one useless wake. That needs both counts in one word:
- subtracted apart from event + 1, a death in between leaves a sleeper that nobody counts; two wakers that both saw
  1 and both subtract leave -1, the next waiter 0, and the waker after that lets it sleep;
- a waiter that goes (backstop, time-out, message found) can tell whether it is still counted. If it could not, it
  would have to stay on, and an idle consumer would add one more at every backstop.
Registering comes before looking again: who publishes after that look sees the waiter, and changes event before it
sleeps or wakes it. The fence keeps a waker's publish and its look at the word in this order.

The backstop is what saves, and nothing else does, when death strikes
- a producer between its publish and its wake: the message is there, nobody tells (AFTER_PUBLISH);
- a consumer between being woken and taking: the wake has gone with it (AFTER_WAKE).
Both need a consumer that sleeps already; within the backstop's period it looks by itself.

Promises: without deaths no sleeper misses a message and no backstop is needed; with one death the two cases above
are the only ones. Not here: the log (`log.py`); here a message is one step of a counter.
"""

from __future__ import annotations

from dataclasses import replace

from .machine import Model, Program, Step, Turn, View
from .state import Status

REGISTERS = ("puts", "gets", "sent", "producers", "next", "there", "taken", "key", "registered", "seen")
EVENT = 64  # the word is event * EVENT + waiters

AFTER_PUBLISH = frozenset(
    {
        "eventcount.wake.fence",
        "eventcount.wake.look",
        "eventcount.wake.claim",
        "eventcount.wake.wake",
    }
)
AFTER_WAKE = frozenset({"eventcount.wait.leave", "queue.look.sent", "queue.look.taken", "queue.take"})


# -- the queue round it: what producers have sent, and what consumers have taken -------------------------------


def publish(t: Turn) -> str:
    """One more message of this producer, by a release store."""
    t.r["sent"] += 1
    t.store_release(f"sent[{t.me}]", t.r["sent"])
    return "eventcount.wake.fence"


def look_sent(t: Turn) -> str:
    """Add up what the producers have sent."""
    t.r["there"] += t.load(f"sent[{t.r['next']}]")
    t.r["next"] += 1
    return "queue.look.taken" if t.r["next"] == t.r["producers"] else "queue.look.sent"


def look_taken(t: Turn) -> str:
    """Is there anything left to take? If not: register, or if registered, sleep."""
    taken = t.load("taken")
    there = t.r["there"]
    t.r.update(there=0, next=0)
    if there > taken:
        t.r["taken"] = taken
        return "queue.take"
    return "eventcount.wait.sleep" if t.r["registered"] else "eventcount.wait.register"


def take(t: Turn) -> str:
    """Take one, or look again if somebody was faster."""
    seen = t.cas("taken", t.r["taken"], t.r["taken"] + 1)
    done = seen == t.r["taken"]
    t.r["taken"] = 0
    if not done:
        return "queue.look.sent"
    t.r["gets"] -= 1
    return "eventcount.wait.leave" if t.r["registered"] else _taken(t)


def _taken(t: Turn) -> str:
    return "queue.look.sent" if t.r["gets"] else t.back()


# -- waking -----------------------------------------------------------------------------------------------------


def wake_fence(t: Turn) -> str:
    """What was published must be seen before the waiters are counted."""
    t.fence()
    return "eventcount.wake.look"


def wake_look(t: Turn) -> str:
    """May anybody sleep?"""
    t.r["seen"] = t.load("eventcount")
    return "eventcount.wake.claim" if t.r["seen"] % EVENT else _published(t)


def wake_claim(t: Turn) -> str:
    """One waiter off the count, and whoever does not sleep yet will not."""
    seen = t.cas("eventcount", t.r["seen"], t.r["seen"] + EVENT - 1)
    if seen == t.r["seen"]:
        t.r["seen"] = 0
        return "eventcount.wake.wake"
    t.r["seen"] = seen
    return "eventcount.wake.claim" if seen % EVENT else _published(t)


def wake_wake(t: Turn) -> str:
    """Whoever sleeps already: one of them."""
    t.wake("eventcount", 1)
    return _published(t)


def _published(t: Turn) -> str:
    t.r["seen"] = 0
    t.r["puts"] -= 1
    return "queue.publish" if t.r["puts"] else t.back()


# -- waiting ----------------------------------------------------------------------------------------------------


def wait_register(t: Turn) -> str:
    """Be counted, and learn the count of wakes so far; then look again."""
    t.r.update(key=t.add("eventcount", 1) // EVENT, registered=1)
    return "queue.look.sent"


def wait_sleep(t: Turn) -> str:
    """Sleep unless somebody was taken off since we registered."""
    return t.sleep(("eventcount", t.r["key"]), unit=EVENT, then="eventcount.wait.leave")


def wait_leave(t: Turn) -> str:
    """Was somebody taken off since? Then it may have been us."""
    t.r["seen"] = t.load("eventcount")
    return "eventcount.wait.take_off" if t.r["seen"] // EVENT == t.r["key"] else _left(t)


def wait_take_off(t: Turn) -> str:
    """No: take ourselves off."""
    seen = t.cas("eventcount", t.r["seen"], t.r["seen"] - 1)
    if seen != t.r["seen"] and seen // EVENT == t.r["key"]:
        t.r["seen"] = seen
        return "eventcount.wait.take_off"
    return _left(t)


def _left(t: Turn) -> str:
    t.r.update(seen=0, key=0, registered=0)
    return _taken(t)


STEPS: dict[str, Step] = {
    "queue.publish": publish,  # the commit of a put
    "queue.look.sent": look_sent,
    "queue.look.taken": look_taken,
    "queue.take": take,  # the commit of a get
    "eventcount.wake.fence": wake_fence,  # full fence
    "eventcount.wake.look": wake_look,  # reads the word
    "eventcount.wake.claim": wake_claim,  # CAS: event + 1, waiters - 1
    "eventcount.wake.wake": wake_wake,  # FUTEX_WAKE 1
    "eventcount.wait.register": wait_register,  # waiters + 1
    "eventcount.wait.sleep": wait_sleep,  # FUTEX_WAIT while event == key
    "eventcount.wait.leave": wait_leave,  # reads the word
    "eventcount.wait.take_off": wait_take_off,  # CAS: waiters - 1, if event == key
}


def producer(puts: int = 1) -> Program:
    """Publishes so many messages."""
    return Program("queue.publish", (), {"puts": puts})


def consumer(gets: int = 1) -> Program:
    """Takes so many messages, and sleeps while there is none."""
    return Program("queue.look.sent", (), {"gets": gets})


def eventcount_model(name: str, *programs: Program, broken: dict[str, Step] | None = None) -> Model:
    """Producers first, then consumers."""
    producers = sum(program.entry == "queue.publish" for program in programs)
    return Model(
        name=name,
        steps=STEPS | (broken or {}),
        programs=tuple(replace(one, registers={"producers": producers, **one.registers}) for one in programs),
        words={"eventcount": 0, "taken": 0} | {f"sent[{one}]": 0 for one in range(producers)},
        registers=REGISTERS,
        judged=("producers", "registered"),
        check=counts_are_sane,
        complain_of_sleeper=sleeps_beside_a_message,
    )


def _sent(view: View) -> int:
    return sum(view[f"sent[{one}]"] for one in range(view.register(0, "producers")))


def counts_are_sane(view: View) -> str | None:
    """Nobody takes what was not sent; every sleeper is counted; no more pile up than wakes explain."""
    if view["taken"] > _sent(view):
        return f"{view['taken']} taken of {_sent(view)}"
    waiters = view["eventcount"] % EVENT
    asleep = sum(process.status == Status.ASLEEP and process.waits[0].holds(view.words) for process in view.processes)
    if waiters < asleep:
        return f"{asleep} sleep on what nobody will count up: {waiters} are counted"
    registered = sum(view.register(me, "registered") for me in range(len(view.processes)))
    stale = (len(view.processes) - view.register(0, "producers") - 1) * (view["eventcount"] // EVENT)
    return f"{waiters} are counted, {registered} registered" if waiters > registered + stale else None


def sleeps_beside_a_message(view: View, _me: int) -> str | None:
    """A consumer may sleep for ever only if there is nothing to take."""
    return "a message is there" if view["taken"] < _sent(view) else None
