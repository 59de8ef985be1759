"""The owner lock over every schedule: see owner_lock.py for what it promises."""

from __future__ import annotations

import pytest

from .explorer import explore
from .machine import Step, Turn, alike
from .owner_lock import (
    AFTER_HANDING_OVER,
    LOCKED,
    RECOVERED,
    STEPS,
    TIMED_OUT,
    W,
    enter,
    life_of,
    lock_model,
    lock_word,
    nester,
    seen_lock,
    worker,
)
from .state import ALIVE, DIED, EVERYBODY
from .verdict import expect_backstop_only_after, expect_found, expect_promises_kept


def test_two_processes_twice_each() -> None:
    expect_promises_kept(explore(lock_model("two", worker(rounds=2), worker(rounds=2))))


@pytest.mark.slow
def test_one_death_among_three_needs_no_backstop() -> None:
    expect_promises_kept(explore(lock_model("three", *alike(worker(), worker(), worker()))))


@pytest.mark.slow
def test_a_waiter_that_times_out_takes_no_wake_along() -> None:
    expect_promises_kept(explore(lock_model("timed", worker(), worker(timed=True), worker())))


@pytest.mark.slow
def test_a_dead_holder_of_two_locks_is_told_to_the_waiters_of_both() -> None:
    expect_promises_kept(explore(lock_model("nested", nester(0), nester(0), nester(1))))
    expect_promises_kept(explore(lock_model("crossed", nester(2), nester(0), nester(1))))


@pytest.mark.slow
def test_one_death_among_four_needs_no_backstop() -> None:
    expect_promises_kept(explore(lock_model("four", *alike(nester(1), nester(1), nester(1), nester(1)))))


@pytest.mark.slow
def test_waking_one_leaves_the_death_of_an_heir_to_the_backstop() -> None:
    three = lock_model("wakes one", *alike(worker(wakes=1), worker(wakes=1), worker(wakes=1)))
    expect_backstop_only_after(explore(three), AFTER_HANDING_OVER)
    expect_promises_kept(explore(three, backstop=True))


@pytest.mark.slow
def test_the_backstop_saves_after_two_deaths() -> None:
    three = lock_model("two deaths", *alike(worker(), worker(), worker()))
    report = explore(three, kills=2)
    assert report.hang_points >= {"section.enter.woken", "section.enter.cascade"}
    assert not report.hangs_without_death
    expect_promises_kept(explore(three, kills=2, backstop=True))


@pytest.mark.slow
def test_every_step_is_run() -> None:
    run = explore(lock_model("timed", worker(rounds=2), worker(timed=True))).steps_run
    run |= explore(lock_model("nested", nester(2), nester(0), nester(1))).steps_run
    assert run == set(STEPS)


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def release_forgets_waiters(t: Turn) -> str:
    """Clears W and wakes nobody."""
    t.exchange(lock_word(t), 0)
    t.note(f"holder[{t.r['lock']}]", 0)
    return t.back()


def woken_takes_it_as_if_alone(t: Turn) -> str:
    """Takes the lock after a sleep without W, as if nobody else slept."""
    return "section.enter.cascade" if t.load(life_of(t)) & DIED else "section.enter.cas"


def woken_gives_up_at_once(t: Turn) -> str:
    """A woken waiter whose time is over leaves with the wake that was meant for somebody."""
    t.load(life_of(t))
    t.r["slept"] = 1
    if t.r["timed"] and t.choose(2):
        t.r.update(section=TIMED_OUT, seen=0, slept=0)
        return t.back()
    return "section.enter.cas"


def adopt_by_plain_store(t: Turn) -> str:
    """Two who see the dead owner both adopt."""
    t.store(lock_word(t), t.me + 1 | W)
    return enter(t, RECOVERED)


def adopt_in_silence(t: Turn) -> str:
    """Does not say RECOVERED."""
    seen = t.cas(lock_word(t), t.r["seen"], t.me + 1 | W)
    if seen != t.r["seen"]:
        return seen_lock(t, seen)
    t.note(f"holder[{t.r['lock']}]", 0)
    return enter(t, LOCKED)


def sleep_on_lock_alone(t: Turn) -> str:
    """Nobody watches the owner's life."""
    return t.sleep((lock_word(t), t.r["seen"]), then="section.enter.woken")


def do_not_ask_the_kernel(t: Turn) -> str:
    """Does not set WAITERS in the life word, so the kernel wakes nobody."""
    return "section.adopt.cas" if t.load(life_of(t)) & DIED else "section.enter.sleep"


def sleep_unasked(t: Turn) -> str:
    """The sleep that belongs to it."""
    return t.sleep((lock_word(t), t.r["seen"]), (life_of(t), ALIVE), then="section.enter.woken")


LOST_WITHOUT_DEATH: dict[str, dict[str, Step]] = {
    "a release forgets the waiters": {"section.leave.exchange": release_forgets_waiters},
    "a woken one takes it as if alone": {"section.enter.woken": woken_takes_it_as_if_alone},
    "a woken one gives up at once": {"section.enter.woken": woken_gives_up_at_once},
}


@pytest.mark.parametrize("name", LOST_WITHOUT_DEATH)
def test_explorer_finds_the_lost_wake_up_when(name: str) -> None:
    programs = worker(wakes=1), worker(wakes=1, timed=True), worker(wakes=1)
    report = explore(lock_model(name, *programs, broken=LOST_WITHOUT_DEATH[name]), kills=0)
    expect_found(report, "lost wake-up", "sleeps for ever")
    assert report.hangs_without_death


LOST_BY_A_DEATH: dict[str, dict[str, Step]] = {
    "nobody watches the owner": {"section.enter.sleep": sleep_on_lock_alone},
    "nobody asks the kernel": {
        "section.enter.life": do_not_ask_the_kernel,
        "section.enter.sleep": sleep_unasked,
    },
}


@pytest.mark.parametrize("name", LOST_BY_A_DEATH)
def test_explorer_finds_the_waiter_that_is_never_told_when(name: str) -> None:
    report = explore(lock_model(name, worker(), worker(), broken=LOST_BY_A_DEATH[name]))
    assert report.finding is not None
    assert {"work.left", "work.right"} <= report.hang_points
    assert not report.hangs_without_death


def test_explorer_finds_two_holders() -> None:
    broken: dict[str, Step] = {"section.adopt.cas": adopt_by_plain_store}
    expect_found(explore(lock_model("plain store", worker(), worker(), worker(), broken=broken)), "broken invariant")


def test_explorer_finds_half_written_data() -> None:
    broken: dict[str, Step] = {"section.adopt.cas": adopt_in_silence}
    report = explore(lock_model("in silence", worker(), worker(), broken=broken))
    expect_found(report, "broken invariant", "half-written data, and no word of RECOVERED")


# -- the order of two looks: the kernel's wake must not end with somebody who has no use for it -----------------


def woken_looks_at_the_lock_first(t: Turn) -> str:
    """If the lock word has changed, the life word is not looked at any more."""
    t.r["slept"] = 1
    return "section.enter.cas" if t.load(lock_word(t)) != t.r["seen"] else "woken.life"


def woken_then_at_the_life(t: Turn) -> str:
    """Only if it has not."""
    return "section.enter.cascade" if t.load(life_of(t)) & DIED else "section.enter.cas"


def adopter_tells_the_others(t: Turn) -> str:
    """And so does whoever adopts."""
    seen = t.cas(lock_word(t), t.r["seen"], t.me + 1 | W)
    if seen != t.r["seen"]:
        return seen_lock(t, seen)
    t.note(f"holder[{t.r['lock']}]", t.me + 1)
    return "adopter.cascade"


def adopter_cascade(t: Turn) -> str:
    """Everybody on the dead one's life word."""
    t.wake(life_of(t), EVERYBODY)
    return enter(t, RECOVERED)


@pytest.mark.slow
def test_explorer_finds_the_wake_that_ends_with_one_whose_lock_is_free() -> None:
    broken: dict[str, Step] = {
        "section.enter.woken": woken_looks_at_the_lock_first,
        "woken.life": woken_then_at_the_life,
        "section.adopt.cas": adopter_tells_the_others,
        "adopter.cascade": adopter_cascade,
    }
    report = explore(lock_model("lock word first", nester(2), nester(0), nester(1), broken=broken))
    expect_found(report, "lost wake-up", "sleeps for ever")
    assert not report.hangs_without_death
