"""The owner lock ('section'): a word that names its holder, whose death the waiters learn from the kernel.

    lock word            meaning
    0                    free
    owner                held, nobody asks
    owner | W            held, someone sleeps (or slept): the holder wakes when it lets go
    owner (| W), and the owner's life word says DIED
                         held by nobody alive: the next to come adopts it and is told RECOVERED

A waiter sleeps on two words, the lock's and its owner's life word. Three rules carry the whole protocol:

1. Who has slept takes the lock with W set: others may sleep still.
2. Who is woken looks at the life word that it slept on, *whatever has become of the lock word*, and if it says DIED
   wakes all others that sleep on it. The kernel wakes one only, and that one may find its own lock free or adopted
   already, while others sleep for another lock of the same dead process.
3. A release wakes two: the heir, and a witness that goes back to sleep on the *heir's* life word. For the same reason
   a waiter that gives up after a sleep wakes one more: it may have been the witness.

Rule 3 is what makes a death known at once. With one woken (`wakes=1`) older sleepers watch the life of somebody who
let go long ago: neither the heir's death in the critical section nor its death between wake and work reaches them
before the backstop (AFTER_HANDING_OVER).

Promises: one holder at a time; after a holder's death the next one is told RECOVERED, exactly once; with one death
no waiter needs the backstop. With two it is what saves, if the second is that of the one who was to pass on a wake.
Not here: recursion, spinning, and the reuse of a dead owner's slot (owner ids carry a generation).
"""

from __future__ import annotations

from .machine import Model, Program, Step, Turn, View
from .state import ALIVE, DIED, EVERYBODY, WAITERS

W = 16  # the waiters bit; owners are 1, 2, 3
LOCKED, RECOVERED, TIMED_OUT = 1, 2, 3  # what an acquire comes back with, in register "section"

AFTER_HANDING_OVER = frozenset(
    {
        "section.enter.woken",
        "section.enter.cas",
        "work.left",
        "work.right",
        "section.leave.exchange",
        "section.leave.wake",
    }
)

REGISTERS = ("lock", "seen", "slept", "section", "wakes", "timed")


def acquire(t: Turn, lock: int, *, then: str) -> str:
    """Go and take lock number `lock`; back at `then` with the result in register "section"."""
    t.r["lock"] = lock
    return t.call("section.enter.cas", then=then)


def release(t: Turn, lock: int, *, then: str) -> str:
    """Go and let go of lock number `lock`, then on to `then`."""
    t.r["lock"] = lock
    return t.call("section.leave.exchange", then=then)


def _mine(t: Turn) -> int:
    return t.me + 1 | (W if t.r["slept"] else 0)


def lock_word(t: Turn) -> str:
    """The word of the lock that this process is about."""
    return f"lock[{t.r['lock']}]"


def life_of(t: Turn) -> str:
    """The life word of the owner that it saw there."""
    return f"life[{_owner(t.r['seen']) - 1}]"


def _owner(word: int) -> int:
    return word & ~W


def enter(t: Turn, result: int) -> str:
    """The word is ours. (The check: was it anybody else's, and if so, is that one dead?)"""
    holder = f"holder[{t.r['lock']}]"
    before = t.fact(holder)
    t.require(before == 0 or result == RECOVERED, f"two holders: P{before - 1} holds it")
    t.note(holder, t.me + 1)
    return _return(t, result)


def _return(t: Turn, result: int) -> str:
    t.r.update(section=result, seen=0, slept=0)
    return t.back()


def seen_lock(t: Turn, seen: int) -> str:
    """Where to go on after having seen the lock word."""
    t.r["seen"] = seen
    if seen == 0:
        return "section.enter.cas"
    return "section.enter.life" if seen & W else "section.enter.mark"


def acquire_cas(t: Turn) -> str:
    """free -> me: the whole fast path. Who has slept sets W as well."""
    seen = t.cas(lock_word(t), 0, _mine(t))
    return enter(t, LOCKED) if seen == 0 else seen_lock(t, seen)


def acquire_mark(t: Turn) -> str:
    """owner -> owner | W: whoever lets go now has to wake."""
    seen = t.cas(lock_word(t), t.r["seen"], t.r["seen"] | W)
    return seen_lock(t, t.r["seen"] | W if seen == t.r["seen"] else seen)


def acquire_life(t: Turn) -> str:
    """Does the owner live? Ask the kernel to wake a sleeper when it dies."""
    life = t.load(life_of(t))
    if life & DIED:
        return "section.adopt.cas"
    return "section.enter.sleep" if life & WAITERS else "section.enter.life_mark"


def acquire_life_mark(t: Turn) -> str:
    """alive -> alive | WAITERS in the owner's life word."""
    life = t.cas(life_of(t), ALIVE, ALIVE | WAITERS)
    return "section.adopt.cas" if life & DIED else "section.enter.sleep"


def acquire_sleep(t: Turn) -> str:
    """Sleep while the lock word stays what it was and its owner lives."""
    waits = ((lock_word(t), t.r["seen"]), (life_of(t), ALIVE | WAITERS))
    on_timeout = "section.enter.give_up" if t.r["timed"] else ""
    return t.sleep(*waits, then="section.enter.woken", on_timeout=on_timeout)


def acquire_woken(t: Turn) -> str:
    """Woken by whom? If by the kernel, others on this life word still sleep."""
    t.r["slept"] = 1
    return "section.enter.cascade" if t.load(life_of(t)) & DIED else "section.enter.cas"


def acquire_pass_on(t: Turn) -> str:
    """Wake all that sleep on the dead one's life word, for whichever lock."""
    t.wake(life_of(t), EVERYBODY)
    return "section.enter.cas"


def acquire_adopt(t: Turn) -> str:
    """dead -> me | W: ours, and its caller must look whether the guarded data are whole."""
    seen = t.cas(lock_word(t), t.r["seen"], t.me + 1 | W)
    return enter(t, RECOVERED) if seen == t.r["seen"] else seen_lock(t, seen)


def acquire_give_up(t: Turn) -> str:
    """Out of time: this one may have been the only witness of the holder's life, so let another look."""
    t.wake(lock_word(t), 1)
    return _return(t, TIMED_OUT)


def release_exchange(t: Turn) -> str:
    """me -> 0; whoever asked is in the old value."""
    before = t.exchange(lock_word(t), 0)
    holder = f"holder[{t.r['lock']}]"
    t.require(t.fact(holder) == t.me + 1 == _owner(before), "lets go of what it does not hold")
    t.note(holder, 0)
    return "section.leave.wake" if before & W else t.back()


def release_wake(t: Turn) -> str:
    """Wake the heir and a witness."""
    t.wake(lock_word(t), t.r["wakes"] or 2)
    return t.back()


SECTION: dict[str, Step] = {
    "section.enter.cas": acquire_cas,  # 0 -> me, or me | W after a sleep
    "section.enter.mark": acquire_mark,  # owner -> owner | W
    "section.enter.life": acquire_life,  # reads the owner's life word
    "section.enter.life_mark": acquire_life_mark,  # its ALIVE -> ALIVE | WAITERS
    "section.enter.sleep": acquire_sleep,  # futex_waitv(lock word, life word)
    "section.enter.woken": acquire_woken,  # reads the life word slept on
    "section.enter.cascade": acquire_pass_on,  # wakes all on it, if DIED
    "section.adopt.cas": acquire_adopt,  # dead -> me | W
    "section.enter.give_up": acquire_give_up,  # out of time: wakes one
    "section.leave.exchange": release_exchange,  # me -> 0
    "section.leave.wake": release_wake,  # wakes two, if W was set
}


# -- what the lock guards in these models: two words that must be equal outside of the critical section ---------


def work_read(t: Turn) -> str:
    """After acquire: the first word, or straight to the end if time ran out."""
    if t.r["section"] == TIMED_OUT:
        return "work.gave_up"
    t.r["value"] = t.load("left")
    return "work.compare"


def work_compare(t: Turn) -> str:
    """Are both halves equal? If not, somebody died here, and we must have been told."""
    whole = t.load("right") == t.r["value"]
    t.require(whole or t.r["section"] == RECOVERED, "half-written data, and no word of RECOVERED")
    return "work.left"


def work_left(t: Turn) -> str:
    """The first half."""
    t.store("left", t.r["value"] + 1)
    return "work.right"


def work_right(t: Turn) -> str:
    """The second half; then let go, and perhaps once more."""
    t.store("right", t.r["value"] + 1)
    t.r["value"] = 0
    t.r["rounds"] -= 1
    if not t.r["rounds"]:
        return release(t, 0, then="work.done")
    return release(t, 0, then="work.again")


def work_again(t: Turn) -> str:
    """Another round."""
    return acquire(t, 0, then="work.read")


def work_done(t: Turn) -> str:
    """Forget what no longer matters, so that equal states are equal."""
    t.r.update(section=0, lock=0)
    return t.back()


def both_first(t: Turn) -> str:
    """Holding lock 0, take lock 1 as well."""
    return acquire(t, 1, then="both.second")


def both_second(t: Turn) -> str:
    """Holding both: let go of the inner one, then of the outer one."""
    return release(t, 1, then="both.outer")


def both_outer(t: Turn) -> str:
    """The outer one."""
    return release(t, 0, then="work.done")


def both_swapped(t: Turn) -> str:
    """Holding both: let go of the outer one first."""
    return release(t, 0, then="both.inner")


def both_inner(t: Turn) -> str:
    """Then of the inner one."""
    return release(t, 1, then="work.done")


def both_swap(t: Turn) -> str:
    """Holding lock 0, take lock 1 as well, to let go of lock 0 first."""
    return acquire(t, 1, then="both.swapped")


def inner_done(t: Turn) -> str:
    """Holding lock 1 alone: let go."""
    return release(t, 1, then="work.done")


WORK: dict[str, Step] = {
    "work.read": work_read,
    "work.compare": work_compare,
    "work.left": work_left,
    "work.right": work_right,
    "work.again": work_again,
    "work.done": work_done,
    "work.gave_up": work_done,
    "both.first": both_first,
    "both.second": both_second,
    "both.outer": both_outer,
    "both.swap": both_swap,
    "both.swapped": both_swapped,
    "both.inner": both_inner,
    "inner.done": inner_done,
}

STEPS = SECTION | WORK
LOCKS = {"lock[0]": 0, "lock[1]": 0}
HOLDERS = {"holder[0]": 0, "holder[1]": 0}


def worker(*, rounds: int = 1, wakes: int = 2, timed: bool = False, last: bool = False) -> Program:
    """Takes lock 0, rewrites both halves, lets go; `rounds` times."""
    registers = {"rounds": rounds, "wakes": wakes, "timed": int(timed)}
    return Program("section.enter.cas", ("work.read",), registers, mortal=not last, last=last)


def nester(lock: int, *, wakes: int = 2) -> Program:
    """Takes lock 0 and inside it lock 1 (`lock=0`; 2: lets go of lock 0 first), or lock 1 alone (`lock=1`)."""
    after = ("both.first", "inner.done", "both.swap")[lock]
    return Program("section.enter.cas", (after,), {"lock": lock % 2, "wakes": wakes})


def lock_model(name: str, *programs: Program, broken: dict[str, Step] | None = None) -> Model:
    """Some programs round one lock (or two), with some steps replaced by broken ones."""
    return Model(
        name=name,
        steps=STEPS | (broken or {}),
        programs=programs,
        words=LOCKS | {"left": 0, "right": 0},
        facts=HOLDERS,
        guarded={"left": "holder[0]", "right": "holder[0]"},
        registers=(*REGISTERS, "value", "rounds"),
        check=free_lock_has_no_holder,
    )


def free_lock_has_no_holder(view: View) -> str | None:
    """The lock word and the fact of holding agree."""
    for lock in (0, 1):
        if _owner(view[f"lock[{lock}]"]) != view[f"holder[{lock}]"]:
            return f"lock[{lock}] is {view[f'lock[{lock}]']}, held by P{view[f'holder[{lock}]'] - 1}"
    return None
