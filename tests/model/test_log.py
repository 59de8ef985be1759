"""The two-lock log over every schedule: see log.py for what it promises."""

from __future__ import annotations

import pytest

from .explorer import explore
from .log import STEPS
from .log_users import auditor, consumer, log_model, producer
from .log_words import EMPTY, JUMP, RECORD, length_word, message, segment_of, start_of
from .machine import Step, Turn
from .verdict import expect_found, expect_promises_kept


@pytest.mark.slow
def test_a_producer_and_a_consumer_over_records_and_segments() -> None:
    expect_promises_kept(explore(log_model("records", producer(2), consumer(2), auditor(), slots=5, segments=1)))
    expect_promises_kept(explore(log_model("segments", producer(2), consumer(2), auditor())))


@pytest.mark.slow
def test_stores_that_others_see_late_and_out_of_order() -> None:
    records = log_model("records", producer(2), consumer(2), auditor(), slots=5, segments=1)
    expect_promises_kept(explore(records, weak_stores=True))
    segments = log_model("segments", producer(2), consumer(2, mortal=False), auditor())
    expect_promises_kept(explore(segments, weak_stores=True))


@pytest.mark.slow
def test_the_heir_of_a_producer_finishes_what_it_left() -> None:
    expect_promises_kept(explore(log_model("heir", producer(2), producer(1), auditor(), segments=4)))


@pytest.mark.slow
def test_an_heir_that_is_killed_has_an_heir() -> None:
    expect_promises_kept(explore(log_model("heirs", producer(1), producer(1), auditor()), kills=2))
    consumers = consumer(1), consumer(1), producer(2, mortal=False), auditor()
    expect_promises_kept(explore(log_model("heirs", *consumers), kills=2))


@pytest.mark.slow
def test_two_consumers_share_what_a_producer_puts() -> None:
    expect_promises_kept(explore(log_model("shared", producer(2), consumer(1), consumer(1), auditor())))


@pytest.mark.slow
def test_two_producers_while_a_consumer_frees_segments() -> None:
    expect_promises_kept(explore(log_model("both", producer(1), producer(1), consumer(1), auditor())))


@pytest.mark.slow
def test_every_step_is_run() -> None:
    run = explore(log_model("segments", producer(2), consumer(2), auditor())).steps_run
    run |= explore(log_model("heir", producer(1), producer(1), auditor())).steps_run
    assert run == set(STEPS)


# -- broken on purpose: the explorer has to find each -----------------------------------------------------------


def commit_first(t: Turn) -> str:
    """The length before the payload."""
    t.store_release(length_word(t), RECORD + 4 * t.r["sequence"])
    return "queue.put.payload"


def payload_after_commit(t: Turn) -> str:
    """And the payload then."""
    t.store_relaxed(f"back[{t.r['place']}]", message(t.me, t.r["put"]))
    return "queue.put.nput"


def commit_relaxed(t: Turn) -> str:
    """A plain store: others may see it before the payload."""
    t.store_relaxed(length_word(t), RECORD + 4 * t.r["sequence"])
    return "queue.put.nput"


def nothing_behind(t: Turn) -> str:
    """The next length word keeps what was there."""
    t.load("nput")
    return "queue.put.payload"


def heir_repairs_nothing(t: Turn) -> str:
    """As if nobody had died."""
    t.load("growing")
    return "queue.put.load_tail"


def heir_counts_on(t: Turn) -> str:
    """nput + 1 for each record behind the tail, instead of the sequence number."""
    if t.load(length_word(t)) % 4 == EMPTY:
        return "queue.repair_put.done"
    t.r["place"] += 1
    return "count.on"


def count_on(t: Turn) -> str:
    """nput may hold this one already."""
    t.add("nput", 1)
    return "queue.repair_put.walk"


def jump_before_tail(t: Turn) -> str:
    """Consumers may follow, and free the segment, while the tail is still in it."""
    t.store_release(length_word(t), JUMP + 4 * t.r["sequence"])
    return "tail.late"


def tail_late(t: Turn) -> str:
    """Too late for an heir that reads the tail."""
    t.store_release("tail", start_of(t, t.r["segment"]))
    return "queue.grow.done"


def heir_believes_the_length(t: Turn) -> str:
    """Without a look at `entered`: it may be somebody else's memory."""
    t.load(f"entered[{t.r['segment']}]")
    missing = t.r["length"] % 4 != JUMP
    t.r.update(sequence=t.r["length"] // 4 if missing else 0, length=0)
    return "queue.repair_put.jump" if missing else "queue.repair_put.grown"


def heir_frees_what_is_linked(t: Turn) -> str:
    """`growing` is set, so it was never linked, or was it?"""
    t.load("tail")
    return "queue.repair_put.free"


def head_before_retiring(t: Turn) -> str:
    """The segment is named only after the head has left it."""
    left = segment_of(t, t.r["place"])
    t.r.update(place=start_of(t, t.r["segment"]), segment=left)
    t.store_release("head", t.r["place"])
    return "retiring.late"


def retiring_late(t: Turn) -> str:
    """A consumer killed before this loses it."""
    t.store_release("retiring", t.r["segment"])
    return "queue.cross.free"


def free_whatever_retires(t: Turn) -> str:
    """Without a look at where the head is."""
    t.r["segment"] = t.load("retiring")
    return "queue.repair_get.free" if t.r["segment"] else "queue.repair_get.sequence"


ONE_OF_EACH: dict[str, tuple[dict[str, Step], str]] = {
    "the length comes before the payload": (
        {"queue.put.behind": commit_first, "queue.put.payload_end": payload_after_commit},
        "",
    ),
    "nothing is stored behind a record": ({"queue.put.behind": nothing_behind}, ""),
    "the tail moves after the jump": ({"queue.grow.tail": jump_before_tail, "tail.late": tail_late}, ""),
    "the heir believes the length": ({"queue.repair_put.entered": heir_believes_the_length}, ""),
    "the heir frees what is linked": ({"queue.repair_put.tail": heir_frees_what_is_linked}, ""),
    "the head moves before the note": (
        {"queue.cross.retiring": head_before_retiring, "retiring.late": retiring_late},
        "in use",
    ),
    "the heir frees what is in use": ({"queue.repair_get.retiring": free_whatever_retires}, ""),
}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_explorer_finds_that(name: str) -> None:
    broken, words = ONE_OF_EACH[name]
    report = explore(log_model(name, producer(2), consumer(2), auditor(), segments=4, broken=broken))
    expect_found(report, "broken invariant", words)


def test_explorer_finds_an_heir_that_repairs_nothing() -> None:
    broken: dict[str, Step] = {"queue.repair_put.growing": heir_repairs_nothing}
    programs = producer(1), consumer(1), auditor()
    expect_found(explore(log_model("no repair", *programs, slots=5, segments=1, broken=broken)), "broken invariant")


def test_explorer_finds_an_heir_that_counts_twice() -> None:
    broken: dict[str, Step] = {"queue.repair_put.walk": heir_counts_on, "count.on": count_on}
    programs = producer(1), consumer(1), auditor()
    report = explore(log_model("counts on", *programs, slots=5, segments=1, broken=broken))
    expect_found(report, "broken invariant", "nput")


def test_explorer_finds_a_commit_that_overtakes_its_payload() -> None:
    broken: dict[str, Step] = {"queue.put.commit": commit_relaxed}
    programs = producer(1), consumer(1)
    relaxed = log_model("relaxed", *programs, slots=5, segments=1, broken=broken)
    expect_found(explore(relaxed, weak_stores=True), "broken invariant", "torn")
