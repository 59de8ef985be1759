"""The barrier over every schedule: see barrier.py for what it promises."""

from __future__ import annotations

from functools import cache

import pytest

from .barrier import ACTING, AFTER_DECIDING, FILLING, ROUND
from .barrier_users import aborter, barrier_model, party, resetter
from .barrier_wait import STEPS
from .explorer import Report, explore
from .machine import Step, Turn, alike
from .verdict import expect_backstop_only_after, expect_found, expect_promises_kept
from .waiters import WAITING


@cache
def three_of_two() -> Report:
    """Three parties for a barrier of two."""
    return explore(barrier_model("three of two", *alike(party(), party(), party()), parties=2))


@pytest.mark.slow
def test_two_parties_meet_twice() -> None:
    expect_promises_kept(explore(barrier_model("twice", *alike(party(2), party(2)), parties=2)))


def test_a_party_learns_of_a_death_while_another_one_is_missing() -> None:
    expect_promises_kept(explore(barrier_model("two of three", party(), party(), parties=3)))


@pytest.mark.slow
def test_three_parties_and_one_death() -> None:
    three = barrier_model("three", *alike(party(), party(), party()), parties=3)
    expect_backstop_only_after(explore(three), AFTER_DECIDING)


@pytest.mark.slow
def test_one_party_too_many_comes_during_the_action() -> None:
    expect_promises_kept(three_of_two())


@pytest.mark.slow
def test_a_timeout_breaks_it_for_all() -> None:
    expect_promises_kept(explore(barrier_model("timed", party(timed=True), party(), parties=2)))


@pytest.mark.slow
def test_abort_and_reset_while_parties_come() -> None:
    for other in (aborter(), resetter()):
        both = barrier_model("abort or reset", party(), party(), other, parties=2)
        expect_backstop_only_after(explore(both), frozenset({"waiters.wake.one"}))


@pytest.mark.slow
def test_the_backstop_saves() -> None:
    both = barrier_model("aborted", party(), party(mortal=False), aborter(), parties=2)
    expect_promises_kept(explore(both, backstop=True))


@pytest.mark.slow
def test_every_step_is_run() -> None:
    run = three_of_two().steps_run
    run |= explore(barrier_model("reset", party(timed=True), resetter(), parties=2)).steps_run
    by_notify = {name for name in STEPS if "waiters.find" in name or "waiters.pass_on" in name}
    assert set(STEPS) - run == by_notify


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def pokes_nobody(t: Turn) -> str:
    """Joins without a word to the one who sleeps long."""
    t.load(f"state[{t.r['next']}]")
    return "barrier.arrive.last" if t.r["index"] + 1 == t.r["parties"] else "barrier.arrive.round"


def counts_the_dead(t: Turn) -> str:
    """Everybody whose node waits, alive or not."""
    waiting = [node for node in range(t.r["nodes"]) if t.peek(f"state[{node}]") & 3 == WAITING]
    t.wait_until(True)
    if t.r["doing"] == 1:
        t.r["watched"] |= sum(1 << node for node in waiting if node != t.me)
        return "barrier.collect.oldest" if t.r["settled"] else "barrier.collect.state"
    t.r["index"] = len(waiting)
    return "barrier.arrive.last" if t.r["index"] + 1 == t.r["parties"] else "barrier.arrive.round"


def heir_tells_nobody(t: Turn) -> str:
    """What the dead one decided stays undone."""
    t.r["word"] = t.load("barrier")
    t.r["recovered"] = 0
    phase, doing = t.r["word"] & 3, t.r["doing"]
    if doing == 1:
        return "barrier.look.node"
    if doing == 2:
        return "barrier.release.actor" if phase == ACTING else "barrier.refused"
    return ("barrier.count", "barrier.arrive.actor", "barrier.refused")[phase]


def releases_before_it_tells_the_truth(t: Turn) -> str:
    """First the nodes, then the state."""
    t.load("barrier")
    t.r.update(job=1, to=2, node=0, but=t.r["word"] // ROUND + 1)
    return t.call("waiters.tell.round", then="late.state")


def late_state(t: Turn) -> str:
    """A death before this leaves some released and some not."""
    word = t.r["word"]
    t.note("outcome", t.fact("outcome") | 1 << 2 * (word // ROUND))
    t.r["word"] = (word // ROUND + 1) * ROUND + FILLING
    t.store("barrier", t.r["word"])
    return "barrier.released"


def watches_nobody(t: Turn) -> str:
    """Sleeps on its node alone."""
    t.r.update(watched=0, woke=0)
    return t.call("wait.sleep", then="barrier.wait.slept")


@pytest.mark.slow
def test_explorer_finds_a_party_whose_death_nobody_learns() -> None:
    silent: dict[str, Step] = {"barrier.poke.state": pokes_nobody}
    blind: dict[str, Step] = {"barrier.wait.sleep": watches_nobody}
    for name, broken in (("nobody is poked", silent), ("nobody is watched", blind)):
        report = explore(barrier_model(name, party(), party(), parties=3, broken=broken))
        expect_found(report, "lost wake-up", "has arrived and is dead")


def test_explorer_finds_a_barrier_that_the_dead_pass() -> None:
    broken: dict[str, Step] = {"barrier.count": counts_the_dead}
    report = explore(barrier_model("counts the dead", party(), party(), parties=2, broken=broken))
    assert report.finding is not None


def test_explorer_finds_what_an_heir_does_not_finish() -> None:
    broken: dict[str, Step] = {"barrier.begin": heir_tells_nobody}
    report = explore(barrier_model("no repair", party(), party(), parties=2, broken=broken))
    expect_found(report, "lost wake-up")


def test_explorer_finds_a_release_that_is_not_one_store() -> None:
    broken: dict[str, Step] = {"barrier.release.state": releases_before_it_tells_the_truth, "late.state": late_state}
    report = explore(barrier_model("nodes first", party(), party(), parties=2, broken=broken))
    expect_found(report, "broken invariant", "goes another way than its round")
