"""The wake-up over every schedule: see eventcount.py for what it promises.

What holds with weak stores holds with strong ones: there they leave their buffer at once.
"""

from __future__ import annotations

import pytest

from .eventcount import AFTER_PUBLISH, AFTER_WAKE, EVENT, STEPS, consumer, eventcount_model, producer
from .explorer import explore
from .machine import Step, Turn
from .verdict import expect_backstop_only_after, expect_found, expect_promises_kept


@pytest.mark.slow
def test_without_deaths_nobody_needs_the_backstop() -> None:
    for programs in (
        (producer(2), consumer(2)),
        (producer(2), consumer(1), consumer(1)),
        (producer(2), producer(1), consumer(3)),
        (producer(1), producer(1), consumer(1), consumer(1)),
    ):
        expect_promises_kept(explore(eventcount_model("no death", *programs), kills=0, weak_stores=True))


@pytest.mark.slow
def test_a_producer_killed_before_its_wake_leaves_it_to_the_backstop() -> None:
    for programs in (
        (producer(1), consumer(1)),
        (producer(2), consumer(1), consumer(1)),
        (producer(2), producer(1), consumer(3)),
    ):
        model = eventcount_model("one death", *programs)
        expect_backstop_only_after(explore(model, weak_stores=True), AFTER_PUBLISH)
        expect_promises_kept(explore(model, backstop=True))


@pytest.mark.slow
def test_a_consumer_killed_after_its_wake_leaves_it_to_the_backstop() -> None:
    model = eventcount_model("one message", producer(1), consumer(1), consumer(1))
    expect_backstop_only_after(explore(model), AFTER_PUBLISH | AFTER_WAKE)
    expect_promises_kept(explore(model, backstop=True))


@pytest.mark.slow
def test_every_step_is_run_and_struck() -> None:
    report = explore(eventcount_model("all", producer(2), consumer(1), consumer(1)), every_order=True)
    assert report.steps_run == set(STEPS)
    assert report.steps_killed_at == {*STEPS, "finished"}


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def publish_without_fence(t: Turn) -> str:
    """The word is read before others see the message."""
    t.r["sent"] += 1
    t.store_release(f"sent[{t.me}]", t.r["sent"])
    return "eventcount.wake.look"


def look_then_register(t: Turn) -> str:
    """Nobody looks again after registering."""
    t.r.update(key=t.add("eventcount", 1) // EVENT, registered=1)
    return "eventcount.wait.sleep"


def claim_without_event(t: Turn) -> str:
    """The waiter is taken off, but one that does not sleep yet will."""
    seen = t.cas("eventcount", t.r["seen"], t.r["seen"] - 1)
    t.r["seen"] = 0
    return "eventcount.wake.wake" if seen else "eventcount.wake.look"


def subtract_blindly(t: Turn) -> str:
    """Two that saw one waiter both take one off."""
    t.add("eventcount", EVENT - 1)
    t.r["seen"] = 0
    return "eventcount.wake.wake"


def take_off_in_any_case(t: Turn) -> str:
    """Although somebody else may have done it."""
    t.add("eventcount", -1)
    t.r.update(seen=0, key=0, registered=0)
    return "queue.look.sent" if t.r["gets"] else t.back()


def stay_on(t: Turn) -> str:
    """Never takes itself off: it registers again at each backstop."""
    t.load("eventcount")
    t.r.update(seen=0, key=0, registered=0)
    return "queue.look.sent" if t.r["gets"] else t.back()


LOSERS: dict[str, tuple[dict[str, Step], str]] = {
    "registered after the look": ({"eventcount.wait.register": look_then_register}, "lost wake-up"),
    "taken off without an event": ({"eventcount.wake.claim": claim_without_event}, "broken invariant"),
    "subtracted blindly": ({"eventcount.wake.claim": subtract_blindly}, "broken invariant"),
    "taken off in any case": ({"eventcount.wait.leave": take_off_in_any_case}, "broken invariant"),
}


@pytest.mark.parametrize("name", LOSERS)
def test_explorer_finds_a_sleeper_that_nobody_counts_when(name: str) -> None:
    broken, kind = LOSERS[name]
    programs = producer(2), producer(1), consumer(3)
    expect_found(explore(eventcount_model(name, *programs, broken=broken), kills=0), kind)


def test_explorer_finds_a_missing_fence() -> None:
    broken: dict[str, Step] = {"queue.publish": publish_without_fence}
    model = eventcount_model("no fence", producer(1), consumer(1), broken=broken)
    expect_promises_kept(explore(model, kills=0))  # on a machine that reorders nothing
    expect_found(explore(model, kills=0, weak_stores=True), "lost wake-up", "a message is there")


def test_explorer_finds_registrations_that_pile_up() -> None:
    broken: dict[str, Step] = {"eventcount.wait.leave": stay_on}
    model = eventcount_model("stays on", producer(1), consumer(1), broken=broken)
    expect_found(explore(model, kills=0, backstop=True), "broken invariant", "are counted")
