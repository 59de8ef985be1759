"""The two-lock log ('queue'): records in chained segments, one section for producers, one for consumers.

A record is a length word, which carries its sequence number here, and a payload. The length at the tail is EMPTY;
storing the length there is the *single commit* of a put. Memory is dirty, so behind every record stands EMPTY with
the next sequence number before that record is committed.

    put     behind (EMPTY, sequence + 1) · payload · LENGTH · nput · tail
    grow    growing (by the heap's commit) · from, entered, first length · next · nput · TAIL · JUMP · growing 0
    get     payload copied · ngot · HEAD                    then the message is in the consumer's hand, and dies with it
    cross   entered · retiring · HEAD · free and retiring 0

The words in capitals are truths, the others are derived from them or say what a repair has to look at:
- tail lags behind the last LENGTH: the heir walks to the first EMPTY and takes nput from the sequence number there
  (not "nput + 1" for each record: it may be counted already);
- growing is set and TAIL is not in that segment: it was never linked, so it is freed. TAIL is in it: JUMP may be
  missing. Consumers who have crossed may have freed the segment in which JUMP stands, so the heir reads the length
  there first and `entered` after it, and believes the length only if nobody has entered;
- TAIL moves before JUMP is there, so it never lies in a segment that a consumer may free;
- retiring is set and HEAD has left that segment: it is freed; ngot comes from the sequence number at HEAD.

Promises, with any one death: every message whose put returned is got once, whole and in the order of its producer,
or was in the hand of a dead consumer; counts are right when somebody has come after the dead; no segment is lost,
freed twice, or used after it was freed; nobody waits for longer than a section is held.
Not here: the heap (its commit is one step here, and what it frees is scribbled over at once), sleeping until a
message comes (`eventcount.py`), looking into the log without its section.
"""

from __future__ import annotations

from .log_repair import REPAIR
from .log_words import (
    CONSUMERS,
    EMPTY,
    JUMP,
    PRODUCERS,
    RECORD,
    STRANGE,
    free_segment,
    length_word,
    message,
    segment_of,
    start_of,
)
from .machine import Step, Turn
from .section import RECOVERED, SECTION, enter, leave

# -- put --------------------------------------------------------------------------------------------------------


def put_entered(t: Turn) -> str:
    """In the section; is there anything to repair?"""
    return "queue.repair_put.growing" if t.r["section"] == RECOVERED else "queue.put.load_tail"


def put_load_tail(t: Turn) -> str:
    """Where the log ends."""
    t.r["place"] = t.load("tail")
    return "queue.put.load_nput"


def put_load_nput(t: Turn) -> str:
    """How many before this one; and is there room for more than a jump?"""
    t.r["sequence"] = t.load("nput")
    last = (t.r["place"] + 1) % t.r["slots"] == 0
    return "queue.grow.alloc" if last else "queue.put.behind"


def put_behind(t: Turn) -> str:
    """The next length word, before this one is published."""
    t.store_relaxed(f"length[{t.r['place'] + 1}]", EMPTY + 4 * (t.r["sequence"] + 1))
    return "queue.put.payload"


def put_payload(t: Turn) -> str:
    """One half of the message; it may be half-written, but not while its length is set."""
    t.store_relaxed(f"front[{t.r['place']}]", message(t.me, t.r["put"]))
    return "queue.put.payload_end"


def put_payload_end(t: Turn) -> str:
    """The other half."""
    t.store_relaxed(f"back[{t.r['place']}]", message(t.me, t.r["put"]))
    return "queue.put.commit"


def put_commit(t: Turn) -> str:
    """The single commit."""
    t.store_release(length_word(t), RECORD + 4 * t.r["sequence"])
    return "queue.put.nput"


def put_nput(t: Turn) -> str:
    """Derived."""
    t.store_release("nput", t.r["sequence"] + 1)
    return "queue.put.tail"


def put_tail(t: Turn) -> str:
    """Derived."""
    t.store_release("tail", t.r["place"] + 1)
    t.r.update(place=0, sequence=0)
    return leave(t, PRODUCERS, then="queue.put.return")


def put_return(t: Turn) -> str:
    """Put has returned: from now on the message must not be lost."""
    t.r.update(put=t.r["put"] + 1, puts=t.r["puts"] - 1, section=0)
    if t.r["puts"]:
        return enter(t, PRODUCERS, then="queue.put.entered")
    return enter(t, CONSUMERS, then="queue.get.entered") if t.r["gets"] else t.back()


# -- growing ----------------------------------------------------------------------------------------------------


def grow_alloc(t: Turn) -> str:
    """The heap's commit: the segment is taken and `growing` names it. (Which one is free is the heap's business.)"""
    free = [one for one in range(1, t.r["segments"] + 1) if not t.fact(f"used[{one}]")]
    t.require(bool(free), "the arena is full: segments are being lost")
    t.store("growing", free[0])
    t.note(f"used[{free[0]}]", 1)
    t.r["segment"] = free[0]
    return "queue.grow.from"


def grow_from(t: Turn) -> str:
    """Where the jump to it will stand."""
    t.store_relaxed(f"from[{t.r['segment']}]", t.r["place"])
    return "queue.grow.entered"


def grow_entered(t: Turn) -> str:
    """No consumer is in it yet."""
    t.store_relaxed(f"entered[{t.r['segment']}]", 0)
    return "queue.grow.first"


def grow_first(t: Turn) -> str:
    """It is dirty: nothing yet, and the sequence number of what comes."""
    t.store_release(f"length[{start_of(t, t.r['segment'])}]", EMPTY + 4 * t.r["sequence"])
    return "queue.grow.next"


def grow_next(t: Turn) -> str:
    """Where the jump goes."""
    t.store_release(f"next[{segment_of(t, t.r['place'])}]", t.r["segment"])
    return "queue.grow.nput"


def grow_nput(t: Turn) -> str:
    """Before the tail: nput of the messages put in this visit, which the tail would have told."""
    t.store_release("nput", t.r["sequence"])
    return "queue.grow.tail"


def grow_tail(t: Turn) -> str:
    """The truth about whether the segment is linked; no consumer can free what the tail is in."""
    t.store_release("tail", start_of(t, t.r["segment"]))
    return "queue.grow.jump"


def grow_jump(t: Turn) -> str:
    """Consumers may follow."""
    t.store_release(length_word(t), JUMP + 4 * t.r["sequence"])
    return "queue.grow.done"


def grow_done(t: Turn) -> str:
    """Nothing about to be linked; now the record."""
    t.store_release("growing", 0)
    t.r.update(place=start_of(t, t.r["segment"]), segment=0)
    return "queue.put.behind"


# -- get --------------------------------------------------------------------------------------------------------


def get_entered(t: Turn) -> str:
    """In the section; is there anything to repair?"""
    return "queue.repair_get.head" if t.r["section"] == RECOVERED else "queue.get.load_head"


def get_load_head(t: Turn) -> str:
    """Where the log begins."""
    t.r["place"] = t.load("head")
    return "queue.get.length"


def get_length(t: Turn) -> str:
    """Is there a record?"""
    length = t.load(length_word(t))
    t.require(length < STRANGE, "a segment is read after it was freed")
    if length % 4 == EMPTY:
        t.r.update(place=0, gets=1 if t.r["audits"] else t.r["gets"])
        return leave(t, CONSUMERS, then="queue.get.return")
    t.r["sequence"] = length // 4
    return "queue.get.copy" if length % 4 == RECORD else "queue.cross.next"


def get_copy(t: Turn) -> str:
    """One half, into private memory."""
    t.r["message"] = t.load(f"front[{t.r['place']}]")
    return "queue.get.copy_end"


def get_copy_end(t: Turn) -> str:
    """The other half."""
    t.require(t.load(f"back[{t.r['place']}]") == t.r["message"], "a torn message")
    return "queue.get.ngot"


def get_ngot(t: Turn) -> str:
    """Derived, from the sequence number."""
    t.store_release("ngot", t.r["sequence"] + 1)
    return "queue.get.head"


def get_head(t: Turn) -> str:
    """The commit of a get: the message is in this consumer's hand, and nowhere else."""
    t.store_release("head", t.r["place"] + 1)
    t.r.update(hand=t.r["message"], message=0, place=0, sequence=0)
    return leave(t, CONSUMERS, then="queue.get.return")


def get_return(t: Turn) -> str:
    """The caller has it, if there was anything."""
    got = 100 * t.r["got"] + t.r["hand"] if t.r["hand"] else t.r["got"]
    t.r.update(got=got, hand=0, sequence=0, section=0)
    t.r["gets"] -= 1
    return enter(t, CONSUMERS, then="queue.get.entered") if t.r["gets"] else t.back()


def cross_next(t: Turn) -> str:
    """Where the jump goes."""
    t.r["segment"] = t.load(f"next[{segment_of(t, t.r['place'])}]")
    return "queue.cross.entered"


def cross_entered(t: Turn) -> str:
    """Whoever repairs must not believe what he reads in the segment before any more."""
    t.store_release(f"entered[{t.r['segment']}]", 1)
    return "queue.cross.retiring"


def cross_retiring(t: Turn) -> str:
    """Name the segment before the head leaves it: a consumer may die in between."""
    left = segment_of(t, t.r["place"])
    t.store_release("retiring", left)
    t.r.update(place=start_of(t, t.r["segment"]), segment=left)
    return "queue.cross.head"


def cross_head(t: Turn) -> str:
    """The head leaves it."""
    t.store_release("head", t.r["place"])
    return "queue.cross.free"


def cross_free(t: Turn) -> str:
    """The heap's commit: free, and `retiring` is 0."""
    free_segment(t, "retiring")
    t.r["segment"] = 0
    return "queue.get.length"


STEPS: dict[str, Step] = (
    SECTION
    | REPAIR
    | {
        "queue.put.entered": put_entered,  # private
        "queue.put.load_tail": put_load_tail,
        "queue.put.load_nput": put_load_nput,
        "queue.put.behind": put_behind,  # EMPTY and the next sequence number into the next length word
        "queue.put.payload": put_payload,
        "queue.put.payload_end": put_payload_end,
        "queue.put.commit": put_commit,  # the length word, a release store
        "queue.put.nput": put_nput,
        "queue.put.tail": put_tail,
        "queue.put.return": put_return,  # private
        "queue.grow.alloc": grow_alloc,  # growing := segment, by the heap's commit
        "queue.grow.from": grow_from,
        "queue.grow.entered": grow_entered,
        "queue.grow.first": grow_first,  # EMPTY and the sequence number into its first length word
        "queue.grow.next": grow_next,
        "queue.grow.nput": grow_nput,
        "queue.grow.tail": grow_tail,  # linked
        "queue.grow.jump": grow_jump,  # a release store: consumers may follow
        "queue.grow.done": grow_done,  # growing := 0
        "queue.get.entered": get_entered,  # private
        "queue.get.load_head": get_load_head,
        "queue.get.length": get_length,
        "queue.get.copy": get_copy,
        "queue.get.copy_end": get_copy_end,
        "queue.get.ngot": get_ngot,
        "queue.get.head": get_head,  # in hand
        "queue.get.return": get_return,  # private
        "queue.cross.next": cross_next,
        "queue.cross.entered": cross_entered,
        "queue.cross.retiring": cross_retiring,
        "queue.cross.head": cross_head,
        "queue.cross.free": cross_free,  # retiring := 0, by the heap's commit
    }
)
