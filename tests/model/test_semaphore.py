"""The semaphore over every schedule: see semaphore.py for what it promises."""

from __future__ import annotations

from functools import cache

import pytest

from .explorer import Report, explore
from .machine import Step, Turn, alike
from .semaphore import AFTER_SIGNAL, AFTER_SIGNALLED, AFTER_WAKE, STEPS
from .semaphore_users import CALLER, holder, keeper, semaphore_model, signaller
from .verdict import expect_backstop_only_after, expect_found, expect_promises_kept


@cache
def three() -> Report:
    """The three who share one permit, and one of them may die."""
    return explore(semaphore_model("three", *alike(holder(), holder(), holder())))


@pytest.mark.slow
def test_without_deaths_nobody_needs_the_backstop() -> None:
    expect_promises_kept(explore(semaphore_model("three", *alike(holder(), holder(), holder())), kills=0))
    expect_promises_kept(explore(semaphore_model("two permits", holder(), holder(2), holder(), permits=2), kills=0))
    expect_promises_kept(explore(semaphore_model("signal", signaller(), signaller(), keeper(), permits=0), kills=0))


@pytest.mark.slow
def test_a_waiter_learns_that_a_holder_died_and_gives_its_permit_back() -> None:
    expect_promises_kept(explore(semaphore_model("two", holder(2), holder())))
    expect_promises_kept(explore(semaphore_model("audited", holder(), holder(), holder(last=True))))


@pytest.mark.slow
def test_only_who_was_woken_for_a_permit_leaves_something_to_the_backstop() -> None:
    expect_backstop_only_after(three(), AFTER_WAKE)


@pytest.mark.slow
def test_waiters_are_all_told_though_nobody_recovers() -> None:
    programs = holder(recovers=False), holder(recovers=False, mortal=False), holder(recovers=False, mortal=False)
    expect_backstop_only_after(explore(semaphore_model("nobody recovers", *programs)), AFTER_WAKE)


@pytest.mark.slow
def test_the_backstop_saves_in_the_end() -> None:
    programs = holder(), holder(mortal=False), holder(mortal=False)
    expect_promises_kept(explore(semaphore_model("three", *programs), backstop=True))


@pytest.mark.slow
def test_a_signaller_killed_before_its_wake_leaves_it_to_the_backstop() -> None:
    one = semaphore_model("one", signaller(), keeper(), permits=0)
    expect_backstop_only_after(explore(one), AFTER_SIGNAL)
    two = semaphore_model("two", signaller(), keeper(), keeper(), permits=0)
    expect_backstop_only_after(explore(two), AFTER_SIGNAL | AFTER_SIGNALLED)
    expect_promises_kept(explore(two, backstop=True))


@pytest.mark.slow
def test_every_step_is_run() -> None:
    run = three().steps_run | explore(semaphore_model("signal", signaller(), keeper(), permits=0)).steps_run
    assert run == set(STEPS | CALLER)


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def heir_repairs_nothing(t: Turn) -> str:
    """As if nobody had died in the section."""
    t.r["section"] = 0
    if t.r["doing"] == 1:
        return "semaphore.release.ledger"
    if t.r["doing"] == 2:
        return "semaphore.recover.ledger"
    return "semaphore.look.event" if t.r["key"] else "semaphore.look.value"


def pokes_nobody(t: Turn) -> str:
    """Becomes a holder without a word to those who sleep long."""
    t.load("sleepers")
    return "semaphore.take.count"


def gets_up_in_any_case(t: Turn) -> str:
    """Takes itself off though somebody else has."""
    t.load("event")
    t.r["key"] = 0
    return "semaphore.look.get_up"


def release_without_event(t: Turn) -> str:
    """Who does not sleep yet will."""
    t.load("event")
    t.r.update(next=0, sum=0, count=0, row=0, section=0)
    return t.call("section.leave", then="semaphore.release.wake")


def watches_nobody(t: Turn) -> str:
    """Sleeps on `event` alone."""
    t.r.update(watched=0, woke=0, may_time_out=int(not t.r["settled"]))
    return t.call("wait.sleep", then="semaphore.acquire.slept")


def gives_the_total(t: Turn) -> str:
    """A release that leaves the ledger as it is."""
    if t.r["row"] == 1 + t.me:
        t.r["holding"] -= 1
    t.update("total", lambda word: word + 1)
    return "semaphore.release.value"


def test_explorer_finds_a_value_that_nobody_puts_right() -> None:
    broken: dict[str, Step] = {"semaphore.entered": heir_repairs_nothing}
    report = explore(semaphore_model("no repair", holder(), holder(), broken=broken))
    assert report.finding is not None


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("nobody is poked", {"semaphore.take.sleepers": pokes_nobody}),
        ("nobody is watched", {"semaphore.acquire.sleep": watches_nobody}),
    ],
)
@pytest.mark.slow
def test_explorer_finds_waiters_who_are_not_told_of_a_death_because(name: str, broken: dict[str, Step]) -> None:
    report = explore(semaphore_model(name, *alike(holder(), holder(), holder()), broken=broken))
    assert report.finding is not None
    assert report.hang_points - AFTER_WAKE >= {"semaphore.release.count"}
    assert not report.hangs_without_death


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("gets up in any case", {"semaphore.look.event": gets_up_in_any_case}),
        ("a release without an event", {"semaphore.release.event": release_without_event}),
    ],
)
@pytest.mark.slow
def test_explorer_finds_a_sleeper_that_nobody_counts_when(name: str, broken: dict[str, Step]) -> None:
    programs = signaller(), signaller(), keeper(), keeper()
    report = explore(semaphore_model(name, *programs, permits=0, broken=broken), kills=0)
    expect_found(report, "lost wake-up", "a permit is free")
    assert report.hangs_without_death


def test_explorer_finds_a_permit_that_is_in_two_places() -> None:
    broken: dict[str, Step] = {"semaphore.release.count": gives_the_total}
    expect_found(explore(semaphore_model("total", holder(), holder(), broken=broken), kills=0), "broken invariant")
