"""An ordered list of waiters ('waiters'), each with a word of its own: what Condition and Barrier are made of.

    state      who changes it, to what                                  what a death leaves
    FREE       add, in the section: WAITING                             nothing
    WAITING    tell, in the section: TOLD | REFUSED; its owner: FREE     a node that tell makes REFUSED
    TOLD       its owner: FREE                                          a notification: pass_on, then REFUSED
    REFUSED    its owner: FREE                                          nothing

Truth: the state words, each changed by one compare-and-swap or exchange, so that "told or timed out" is decided once.
A waiter leaves without the section. Tickets give the order; that of a TOLD node is the first one given out after the
telling, so pass_on knows who waited then. WATCHING: its owner sleeps long, having seen all others; who joins clears
it and wakes it first (poke).
Not here: rows for more than one waiter a process, and which row is free.
"""

from __future__ import annotations

from .machine import Step, Turn
from .section import RECOVERED, enter, leave
from .state import DIED

FREE, WAITING, TOLD, REFUSED = 0, 1, 2, 3
WATCHING = 4  # a flag
ANY_ROUND = -1
NOTIFY, EVERY, HEIR = 0, 1, 2
NEVER = 1 << 20  # above all tickets

REGISTERS = (
    "nodes",  # how many there are: one a process
    "node",  # the one that is looked at
    "seen",  # its state
    "job",  # NOTIFY, EVERY or HEIR: why it is told
    "oldest",  # 1 + the one found
    "below",  # its ticket
    "bound",  # what its ticket has to be below
    "to",  # TOLD or REFUSED
    "want",  # how many still to tell
    "told",  # how many were
    "but",  # nodes of this round are left out
    "dead",  # the node whose notification is being passed on
    "recovered",  # whoever was in the section before is dead
    "wakes",  # a bit for each node to wake after the section
)


def is_waiting(state: int) -> bool:
    """WAITING, WATCHING or not."""
    return state & 3 == WAITING


def enter_list(t: Turn, *, then: str) -> str:
    """Enter the section; what a dead one left is repaired first."""
    t.r.update(told=0, wakes=0)
    t.call("", then=then)
    return enter(t, 0, then="waiters.entered")


def entered(t: Turn) -> str:
    """In the section."""
    t.r.update(recovered=int(t.r["section"] == RECOVERED), section=0)
    return "waiters.repair.state" if t.r["recovered"] else t.back()


def repair_state(t: Turn) -> str:
    """Was it told, and perhaps not woken?"""
    told = t.load(f"state[{t.r['node']}]") & 3 >= TOLD
    return "waiters.repair.wake" if told else _next_told(t)


def repair_wake(t: Turn) -> str:
    """Once more, then."""
    t.wake(f"state[{t.r['node']}]", 1)
    return _next_told(t)


def _next_told(t: Turn) -> str:
    t.r["node"] += 1
    if t.r["node"] < t.r["nodes"]:
        return "waiters.repair.state"
    t.r["node"] = 0
    return t.back()


def leave_list(t: Turn, *, then: str) -> str:
    """Leave the section, then wake those who were told, so that they do not run into it."""
    if not t.r["wakes"]:
        return leave(t, 0, then=then)
    t.call("", then=then)
    return leave(t, 0, then="waiters.wake.one")


def wake_one(t: Turn) -> str:
    """One of those who were told."""
    node = (t.r["wakes"] & -t.r["wakes"]).bit_length() - 1
    t.wake(f"state[{node}]", 1)
    t.r["wakes"] &= t.r["wakes"] - 1
    return "waiters.wake.one" if t.r["wakes"] else t.back()


# -- add and free -----------------------------------------------------------------------------------------------


def add(t: Turn, *, then: str) -> str:
    """A node of mine at the end."""
    return t.call("waiters.add.next", then=then)


def add_next(t: Turn) -> str:
    """The next ticket is above all others before anybody has this one."""
    t.r["below"] = t.update("next_ticket", lambda ticket: ticket + 1)
    return "waiters.add.ticket"


def add_ticket(t: Turn) -> str:
    """Counts only once the state says so."""
    t.store(f"ticket[{t.me}]", t.r["below"])
    t.r["below"] = 0
    return "waiters.add.state"


def add_state(t: Turn) -> str:
    """Now it does."""
    t.store(f"state[{t.me}]", WAITING)
    return t.back()


def free(t: Turn, *, then: str) -> str:
    """My node goes; what became of it is then in "seen"."""
    return t.call("waiters.free.exchange", then=then)


def free_exchange(t: Turn) -> str:
    """Told or not: decided here."""
    t.r["seen"] = t.exchange(f"state[{t.me}]", FREE) & 3
    return t.back()


# -- tell -------------------------------------------------------------------------------------------------------


def tell(t: Turn, want: int, *, then: str) -> str:
    """Up to so many living waiters, oldest first."""
    t.r.update(job=NOTIFY, want=want, to=TOLD)
    return t.call(_find(t, NEVER), then=then)


def tell_all(t: Turn, to: int, *, but: int = ANY_ROUND, then: str) -> str:
    """All living waiters, in any order; but not those of one round."""
    t.r.update(job=EVERY, to=to, node=0, but=but)
    return t.call(_this_one(t), then=then)


def pass_on(t: Turn, *, then: str) -> str:
    """A notification that a waiter took to its grave goes to the oldest of those who waited when it was given."""
    t.r.update(job=HEIR, to=TOLD, dead=0)
    return t.call("waiters.pass_on.look", then=then)


def _find(t: Turn, bound: int) -> str:
    t.r.update(node=0, oldest=0, below=bound, bound=bound)
    return "waiters.find.state"


def find_state(t: Turn) -> str:
    """Is this one waiting?"""
    waiting = is_waiting(t.load(f"state[{t.r['node']}]"))
    return "waiters.find.ticket" if waiting else _next_found(t)


def find_ticket(t: Turn) -> str:
    """The oldest so far?"""
    ticket = t.load(f"ticket[{t.r['node']}]")
    if ticket < t.r["below"]:
        t.r.update(oldest=1 + t.r["node"], below=ticket)
    return _next_found(t)


def _next_found(t: Turn) -> str:
    t.r["node"] += 1
    if t.r["node"] < t.r["nodes"]:
        return "waiters.find.state"
    if not t.r["oldest"]:
        return "waiters.pass_on.refuse" if t.r["job"] == HEIR else _done(t)
    t.r["node"] = t.r["oldest"] - 1
    return "waiters.tell.read"


def _this_one(t: Turn) -> str:
    return "waiters.tell.read" if t.r["but"] == ANY_ROUND else "waiters.tell.round"


def tell_round(t: Turn) -> str:
    """Does it wait for the round that is left out?"""
    left_out = t.load(f"round[{t.r['node']}]") == t.r["but"]
    return _next_to_tell(t) if left_out else "waiters.tell.read"


def tell_read(t: Turn) -> str:
    """Its state, with flags."""
    t.r["seen"] = t.load(f"state[{t.r['node']}]")
    return "waiters.tell.life" if is_waiting(t.r["seen"]) else _next_to_tell(t)


def tell_life(t: Turn) -> str:
    """Does its owner live?"""
    dead = t.load(f"life[{t.r['node']}]") & DIED
    return "waiters.tell.refuse" if dead else "waiters.tell.state"


def tell_refuse(t: Turn) -> str:
    """It does not: it counts as nobody."""
    seen = t.cas(f"state[{t.r['node']}]", t.r["seen"], REFUSED)
    return _next_to_tell(t) if seen == t.r["seen"] else "waiters.tell.read"


def tell_state(t: Turn) -> str:
    """The telling, if it has not just left."""
    seen = t.cas(f"state[{t.r['node']}]", t.r["seen"], t.r["to"])
    t.note("told", t.fact("told") + (seen == t.r["seen"] and t.r["job"] == NOTIFY))
    return "waiters.tell.ticket" if seen == t.r["seen"] else "waiters.tell.read"


def tell_ticket(t: Turn) -> str:
    """Who waits now has an older ticket than this. (The section's own word: nobody else writes it.)"""
    t.store(f"ticket[{t.r['node']}]", t.peek("next_ticket"))
    t.r.update(told=t.r["told"] + 1, want=t.r["want"] - 1, wakes=t.r["wakes"] | 1 << t.r["node"])
    if t.r["job"] == HEIR:
        return "waiters.pass_on.refuse"
    return _next_to_tell(t) if t.r["job"] == EVERY or t.r["want"] > 0 else _done(t)


def _next_to_tell(t: Turn) -> str:
    t.r["seen"] = 0
    if t.r["job"] != EVERY:
        return _find(t, t.r["bound"])
    t.r["node"] += 1
    return _this_one(t) if t.r["node"] < t.r["nodes"] else _done(t)


def _done(t: Turn) -> str:
    t.r.update(job=0, node=0, seen=0, oldest=0, below=0, bound=0, to=0, want=0, but=0, dead=0)
    return t.back()


# -- pass on ----------------------------------------------------------------------------------------------------


def pass_on_look(t: Turn) -> str:
    """Was it told?"""
    told = t.load(f"state[{t.r['dead']}]") == TOLD
    return "waiters.pass_on.life" if told else _next_dead(t)


def pass_on_life(t: Turn) -> str:
    """And did it die of it?"""
    return "waiters.pass_on.ticket" if t.load(f"life[{t.r['dead']}]") & DIED else _next_dead(t)


def pass_on_ticket(t: Turn) -> str:
    """Whoever waited then has an older ticket than this."""
    return _find(t, t.load(f"ticket[{t.r['dead']}]"))


def pass_on_refuse(t: Turn) -> str:
    """Last: a death before this passes it on twice, which a waiter must bear, rather than never."""
    t.cas(f"state[{t.r['dead']}]", TOLD, REFUSED)
    return _next_dead(t)


def _next_dead(t: Turn) -> str:
    t.r["dead"] += 1
    return "waiters.pass_on.look" if t.r["dead"] < t.r["nodes"] else _done(t)


WAITERS_STEPS: dict[str, Step] = {
    "waiters.entered": entered,  # private
    "waiters.repair.state": repair_state,
    "waiters.repair.wake": repair_wake,  # those who were told
    "waiters.add.next": add_next,  # next_ticket + 1
    "waiters.add.ticket": add_ticket,
    "waiters.add.state": add_state,  # FREE -> WAITING
    "waiters.free.exchange": free_exchange,  # -> FREE, without the section
    "waiters.find.state": find_state,
    "waiters.find.ticket": find_ticket,
    "waiters.tell.round": tell_round,
    "waiters.tell.read": tell_read,
    "waiters.tell.life": tell_life,
    "waiters.tell.state": tell_state,  # WAITING -> TOLD or REFUSED
    "waiters.tell.refuse": tell_refuse,  # a dead one's WAITING -> REFUSED
    "waiters.tell.ticket": tell_ticket,
    "waiters.wake.one": wake_one,  # after the section
    "waiters.pass_on.look": pass_on_look,
    "waiters.pass_on.life": pass_on_life,
    "waiters.pass_on.ticket": pass_on_ticket,
    "waiters.pass_on.refuse": pass_on_refuse,  # a dead one's TOLD -> REFUSED
}
FACTS = {"told": 0}  # by notify
