"""What the heir of a producer or a consumer puts right in the log (`log.py`): it reads truths, writes what is derived.

Promises: each step may be done again, for the heir may be killed too.
"""

from __future__ import annotations

from .log_words import JUMP, RECORD, free_segment, length_word, segment_of
from .machine import Step, Turn

# -- the heir of a producer -------------------------------------------------------------------------------------


def repair_growing(t: Turn) -> str:
    """Did it die while growing?"""
    t.r.update(segment=t.load("growing"), section=0)
    return "queue.repair_put.tail" if t.r["segment"] else "queue.repair_put.walk_from"


def repair_tail(t: Turn) -> str:
    """Is that segment linked?"""
    linked = segment_of(t, t.load("tail")) == t.r["segment"]
    return "queue.repair_put.from" if linked else "queue.repair_put.free"


def repair_free(t: Turn) -> str:
    """Never linked."""
    free_segment(t, "growing")
    t.r["segment"] = 0
    return "queue.repair_put.walk_from"


def repair_from(t: Turn) -> str:
    """Linked; where should the jump stand?"""
    t.r["place"] = t.load(f"from[{t.r['segment']}]")
    return "queue.repair_put.length"


def repair_length(t: Turn) -> str:
    """Does it? (If consumers have passed it, this is somebody else's memory by now.)"""
    t.r["length"] = t.load(length_word(t))
    return "queue.repair_put.entered"


def repair_entered(t: Turn) -> str:
    """Have they? Read after the length, and it decides."""
    entered = t.load(f"entered[{t.r['segment']}]")
    missing = not entered and t.r["length"] % 4 != JUMP
    t.r["sequence"] = t.r["length"] // 4 if missing else 0
    t.r["length"] = 0
    return "queue.repair_put.jump" if missing else "queue.repair_put.grown"


def repair_jump(t: Turn) -> str:
    """The jump that the dead one did not live to store."""
    owner = segment_of(t, t.r["place"])
    t.require(t.fact(f"used[{owner}]") == 1, f"writes into segment {owner}, which is somebody else's by now")
    t.store(length_word(t), JUMP + 4 * t.r["sequence"])
    return "queue.repair_put.grown"


def repair_grown(t: Turn) -> str:
    """Nothing about to be linked."""
    t.store("growing", 0)
    t.r.update(segment=0)
    return "queue.repair_put.walk_from"


def repair_walk_from(t: Turn) -> str:
    """Where the dead one left the tail."""
    t.r["place"] = t.load("tail")
    return "queue.repair_put.walk"


def repair_walk(t: Turn) -> str:
    """To the first EMPTY: whatever is before it has been put."""
    length = t.load(length_word(t))
    if length % 4 == RECORD:
        t.r["place"] += 1
        return "queue.repair_put.walk"
    t.r["sequence"] = length // 4
    return "queue.repair_put.nput"


def repair_nput(t: Turn) -> str:
    """The sequence number of what comes next, whatever the dead one had stored."""
    t.store("nput", t.r["sequence"])
    return "queue.repair_put.done"


def repair_done(t: Turn) -> str:
    """Behind the last record; now the put."""
    t.store("tail", t.r["place"])
    return "queue.put.load_nput"


# -- the heir of a consumer -------------------------------------------------------------------------------------


def repair_head(t: Turn) -> str:
    """Where the log begins."""
    t.r.update(place=t.load("head"), section=0)
    return "queue.repair_get.retiring"


def repair_retiring(t: Turn) -> str:
    """Did it die while crossing?"""
    t.r["segment"] = t.load("retiring")
    if not t.r["segment"]:
        return "queue.repair_get.sequence"
    left = t.r["segment"] != segment_of(t, t.r["place"])
    return "queue.repair_get.free" if left else "queue.repair_get.clear"


def repair_left(t: Turn) -> str:
    """After the head had left."""
    free_segment(t, "retiring")
    t.r["segment"] = 0
    return "queue.repair_get.sequence"


def repair_clear(t: Turn) -> str:
    """Before: the segment is still in use."""
    t.store("retiring", 0)
    t.r["segment"] = 0
    return "queue.repair_get.sequence"


def repair_sequence(t: Turn) -> str:
    """What comes next: so many have been got."""
    t.r["sequence"] = t.load(length_word(t)) // 4
    return "queue.repair_get.ngot"


def repair_ngot(t: Turn) -> str:
    """Derived."""
    t.store("ngot", t.r["sequence"])
    return "queue.get.length"


REPAIR: dict[str, Step] = {
    "queue.repair_put.growing": repair_growing,  # reads growing
    "queue.repair_put.tail": repair_tail,  # reads the tail: is `growing` linked?
    "queue.repair_put.free": repair_free,  # it is not; the heap's commit
    "queue.repair_put.from": repair_from,
    "queue.repair_put.length": repair_length,  # reads what should be JUMP
    "queue.repair_put.entered": repair_entered,  # and after it, whether that may be believed
    "queue.repair_put.jump": repair_jump,
    "queue.repair_put.grown": repair_grown,  # growing := 0
    "queue.repair_put.walk_from": repair_walk_from,  # reads the tail
    "queue.repair_put.walk": repair_walk,  # reads length words
    "queue.repair_put.nput": repair_nput,
    "queue.repair_put.done": repair_done,  # tail := the first EMPTY
    "queue.repair_get.head": repair_head,
    "queue.repair_get.retiring": repair_retiring,
    "queue.repair_get.free": repair_left,  # the heap's commit
    "queue.repair_get.clear": repair_clear,  # retiring := 0
    "queue.repair_get.sequence": repair_sequence,  # reads the length word at the head
    "queue.repair_get.ngot": repair_ngot,
}
