"""The condition over every schedule: see condition.py for what it promises."""

from __future__ import annotations

import pytest

from .condition import AFTER_TELL, AFTER_TOLD, STEPS, condition_model, notifier, waiter
from .explorer import explore
from .machine import Step, Turn, alike
from .verdict import expect_backstop_only_after, expect_found, expect_promises_kept
from .waiters import FREE, NOTIFY, TOLD, WAITING

TELLING_ANOTHER = frozenset({"waiters.find.state", "waiters.tell.read", "waiters.tell.life", "waiters.tell.state"})


def test_without_deaths_nobody_needs_the_backstop() -> None:
    expect_promises_kept(explore(condition_model("one", waiter(), waiter(), notifier()), kills=0))
    expect_promises_kept(explore(condition_model("all", waiter(), waiter(), notifier(2)), kills=0))
    expect_promises_kept(explore(condition_model("timed", waiter(timed=True), waiter(), notifier()), kills=0))


@pytest.mark.slow
def test_a_death_between_telling_and_leaving_is_left_to_the_backstop() -> None:
    expect_backstop_only_after(explore(condition_model("one waiter", waiter(), notifier())), AFTER_TELL)
    two = condition_model("two waiters", waiter(), waiter(), notifier())
    expect_backstop_only_after(explore(two), AFTER_TELL | AFTER_TOLD)
    timed = condition_model("timed", waiter(timed=True), waiter(), notifier())
    expect_backstop_only_after(explore(timed), AFTER_TELL | AFTER_TOLD)
    both = condition_model("all", waiter(), waiter(), notifier(2))
    expect_backstop_only_after(explore(both), AFTER_TELL | TELLING_ANOTHER)


@pytest.mark.slow
def test_who_watches_the_notifier_learns_of_its_death_at_once() -> None:
    expect_promises_kept(explore(condition_model("one waiter", waiter(watches=0b10), notifier())))
    both = condition_model("all", waiter(watches=0b100), waiter(watches=0b100), notifier(2))
    expect_promises_kept(explore(both))
    timed = condition_model("timed", waiter(timed=True, watches=0b10), notifier())
    expect_promises_kept(explore(timed))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_the_backstop_saves(count: int) -> None:
    programs = waiter(timed=True), waiter(), notifier(count)
    expect_promises_kept(explore(condition_model("timed", *programs), backstop=True))
    expect_promises_kept(explore(condition_model("two", *alike(waiter(), waiter()), notifier(count)), backstop=True))


@pytest.mark.slow
def test_every_step_is_run() -> None:
    programs = waiter(timed=True, watches=0b100), waiter(), notifier(2)
    run = explore(condition_model("all", *programs), backstop=True).steps_run
    assert set(STEPS) - run == {"waiters.tell.round"}  # the barrier's


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def counts_the_dead(t: Turn) -> str:
    """Tells a waiter without a look at its life."""
    t.load(f"life[{t.r['node']}]")
    return "waiters.tell.state"


def tells_by_plain_store(t: Turn) -> str:
    """Although its owner may have left meanwhile."""
    t.note("told", t.fact("told") + (t.r["job"] == NOTIFY))
    t.store(f"state[{t.r['node']}]", TOLD)
    return "waiters.tell.ticket"


def leaves_by_plain_store(t: Turn) -> str:
    """Out of time, whatever it was told a moment ago."""
    t.store(f"state[{t.me}]", FREE)
    t.r["seen"] = WAITING
    return t.back()


def tells_without_waking(t: Turn) -> str:
    """The node says TOLD, and its owner sleeps on."""
    t.store(f"ticket[{t.r['node']}]", t.peek("next_ticket"))
    t.r.update(told=1, want=0, job=0, node=0, seen=0, oldest=0, below=0, bound=0, to=0)
    return t.back()


def test_explorer_finds_a_notification_given_to_the_dead() -> None:
    broken: dict[str, Step] = {"waiters.tell.life": counts_the_dead}
    report = explore(condition_model("counts the dead", waiter(), waiter(), notifier(), broken=broken))
    expect_found(report, "lost wake-up")
    # A waiter killed long before the notification takes it along.
    assert "condition.wait.look" in report.hang_points
    with_one = explore(condition_model("counts the dead", waiter(), notifier(), broken=broken))
    assert with_one.hang_points == AFTER_TELL


@pytest.mark.parametrize(
    ("name", "broken", "kind"),
    [
        ("told by a plain store", {"waiters.tell.state": tells_by_plain_store}, "broken invariant"),
        ("left by a plain store", {"waiters.free.exchange": leaves_by_plain_store}, "broken invariant"),
        ("told without a wake", {"waiters.tell.ticket": tells_without_waking}, "lost wake-up"),
    ],
)
def test_explorer_finds_a_waiter_that_was(name: str, broken: dict[str, Step], kind: str) -> None:
    programs = waiter(timed=True), waiter(), notifier()
    expect_found(explore(condition_model(name, *programs, broken=broken), kills=0), kind)
