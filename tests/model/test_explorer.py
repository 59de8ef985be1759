"""The explorer itself, on protocols so small that one knows what it has to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .barrier_users import barrier_model, party
from .condition import condition_model, notifier, waiter
from .explorer import explore
from .log_users import auditor, consumer, log_model, producer
from .machine import Model, Program, Step, Turn, View
from .owner_lock import lock_model, worker
from .semaphore_users import holder, semaphore_model
from .state import ALIVE, DIED, WAITERS, ModelError
from .verdict import expect_found, expect_promises_kept


def toy(steps: dict[str, Step], *entries: str, words: dict[str, int], **more: object) -> Model:
    """A model with a process for each entry, and registers x and y."""
    programs = tuple(Program(entry) for entry in entries)
    return Model("toy", steps, programs, words, registers=("x", "y"), **more)  # type: ignore[arg-type]


def does(access: Callable[[Turn], object], then: str) -> Step:
    def step(t: Turn) -> str:
        access(t)
        return then

    return step


def stores(word: str, value: int, then: str = "finished") -> Step:
    return does(lambda t: t.store(word, value), then)


def stores_relaxed(word: str, value: int, then: str = "finished") -> Step:
    return does(lambda t: t.store_relaxed(word, value), then)


def stores_release(word: str, value: int, then: str = "finished") -> Step:
    return does(lambda t: t.store_release(word, value), then)


def loads(word: str, register: str, then: str = "finished") -> Step:
    return does(lambda t: t.r.update({register: t.load(word)}), then)


def sleeps(*waits: tuple[str, int], then: str = "finished") -> Step:
    return lambda t: t.sleep(*waits, then=then)


def wakes(word: str, count: int, then: str = "finished") -> Step:
    return does(lambda t: t.wake(word, count), then)


# -- schedules --------------------------------------------------------------------------------------------------


def add_one(t: Turn) -> str:
    t.store("count", t.r["x"] + 1)
    return t.back()


def counted_two(view: View) -> str | None:
    return None if view["count"] == 2 else f"count is {view['count']}"


def test_finds_a_lost_update_and_shows_a_shortest_way_to_it() -> None:
    steps = {"read": loads("count", "x", "write"), "write": add_one}
    report = explore(toy(steps, "read", "read", words={"count": 0}, check_end=counted_two), kills=0)
    expect_found(report, "broken invariant", "count is 1")
    assert report.finding is not None
    assert [line.split()[1] for line in report.finding.trace[:-1]] == ["read", "read", "write", "write"]


def locks(word: str, then: str) -> dict[str, Step]:
    def take(t: Turn) -> str:
        return then if t.cas(word, 0, 1 + t.me) == 0 else f"wait {word} {then}"

    def wait(t: Turn) -> str:
        return t.sleep((word, 2 - t.me), then=f"take {word} {then}")

    return {f"take {word} {then}": take, f"wait {word} {then}": wait}


def test_finds_a_deadlock() -> None:
    steps = locks("a", "take b free") | locks("b", "free") | locks("b", "take a free") | locks("a", "free")
    steps |= {"free": stores("a", 0, "wake a"), "wake a": wakes("a", 1, "free b")}
    steps |= {"free b": stores("b", 0, "wake b"), "wake b": wakes("b", 1)}
    crossed = toy(steps, "take a take b free", "take b take a free", words={"a": 0, "b": 0})
    expect_found(explore(crossed, kills=0), "deadlock", "P0 sleeps for ever on b == 2")


def test_finds_a_change_that_nobody_is_woken_for() -> None:
    steps = {"sleep": sleeps(("flag", 0)), "set": stores("flag", 1)}
    expect_found(explore(toy(steps, "sleep", "set", words={"flag": 0}), kills=0), "lost wake-up", "flag == 0")
    steps["set"] = stores("flag", 1, "wake")
    steps["wake"] = wakes("flag", 1)
    expect_promises_kept(explore(toy(steps, "sleep", "set", words={"flag": 0}), kills=0))


def test_a_backstop_ends_every_sleep() -> None:
    steps = {"sleep": sleeps(("flag", 0)), "set": stores("flag", 1)}
    expect_promises_kept(explore(toy(steps, "sleep", "set", words={"flag": 0}), backstop=True))


def test_polling_for_what_never_comes_is_a_hang() -> None:
    steps: dict[str, Step] = {"poll": lambda t: "finished" if t.load("flag") else "poll"}
    expect_found(explore(toy(steps, "poll", words={"flag": 0}), kills=0), "deadlock", "without getting anywhere")


def test_a_wake_reaches_any_sleeper_but_only_sleepers() -> None:
    steps = {"sleep": sleeps(("flag", 0), then="note"), "note": stores("woken", 1), "wake": wakes("flag", 1)}

    def both_asleep_or_first(view: View) -> str | None:
        return "P1 was woken" if view.processes[1].step == "note" else None

    model = toy(steps, "sleep", "sleep", "wake", words={"flag": 0, "woken": 0}, check=both_asleep_or_first)
    expect_found(explore(model, kills=0), "broken invariant", "P1 was woken")
    expect_found(explore(toy(steps, "sleep", "wake", words={"flag": 0, "woken": 0}), kills=0), "deadlock")


# -- deaths -----------------------------------------------------------------------------------------------------


def test_a_process_is_killed_at_every_step_and_after_the_last() -> None:
    steps = {"one": stores("a", 1, "two"), "two": stores("a", 2, "three"), "three": stores("a", 3)}
    report = explore(toy(steps, "one", words={"a": 0}))
    assert report.steps_run == {"one", "two", "three"}
    assert report.steps_killed_at == {"one", "two", "three", "finished"}


def test_the_kernel_wakes_one_sleeper_and_only_if_it_was_asked() -> None:
    asked = ALIVE | WAITERS
    steps = {
        "ask": stores("life[0]", asked, "sleep"),
        "sleep": sleeps(("life[0]", asked)),
        "sleep unasked": sleeps(("life[0]", ALIVE)),
        "go on": stores("a", 1, "go on"),
    }
    mortal = Program("go on")

    def model(*entries: str) -> Model:
        others = tuple(Program(entry, mortal=False) for entry in entries)
        return Model("life", steps, (mortal, *others), {"a": 0}, complain_of_sleeper=only_if_dead)

    def only_if_dead(view: View, _me: int) -> str | None:
        return "it was not told" if view["life[0]"] & DIED else None

    assert not hangs_at_rest(model("ask"))
    assert hangs_at_rest(model("sleep unasked"))
    assert hangs_at_rest(model("ask", "ask"))


def hangs_at_rest(model: Model) -> bool:
    finding = explore(model).finding
    return finding is not None and "it was not told" in finding.message


# -- stores that others see late --------------------------------------------------------------------------------


def both_read_zero(view: View) -> str | None:
    return "both read 0" if view.register(0, "x") == view.register(1, "x") == 0 else None


@pytest.mark.parametrize(("fenced", "weak_stores", "found"), [(0, 0, 0), (0, 1, 1), (1, 1, 0)])
def test_a_store_may_wait_in_its_buffer_unless_there_is_a_fence(fenced: int, weak_stores: int, found: int) -> None:
    steps = {
        "a": stores_relaxed("a", 1, "fence a" if fenced else "read b"),
        "fence a": does(Turn.fence, "read b"),
        "read b": loads("b", "x"),
        "b": stores_relaxed("b", 1, "fence b" if fenced else "read a"),
        "fence b": does(Turn.fence, "read a"),
        "read a": loads("a", "x"),
    }
    model = toy(steps, "a", "b", words={"a": 0, "b": 0}, judged=("x",), check_end=both_read_zero)
    assert bool(explore(model, kills=0, weak_stores=bool(weak_stores)).finding) == bool(found)


def flag_without_data(view: View) -> str | None:
    return "flag without data" if view.register(1, "x") == 1 and view.register(1, "y") == 0 else None


@pytest.mark.parametrize(("publish", "found"), [(stores_relaxed, True), (stores_release, False)])
def test_a_release_store_does_not_overtake(publish: Callable[[str, int], Step], found: bool) -> None:
    steps = {
        "data": stores_relaxed("data", 1, "flag"),
        "flag": publish("flag", 1),
        "read flag": loads("flag", "x", "read data"),
        "read data": loads("data", "y"),
    }
    model = toy(
        steps, "data", "read flag", words={"data": 0, "flag": 0}, judged=("x", "y"), check_end=flag_without_data
    )
    assert bool(explore(model, kills=0, weak_stores=True).finding) is found
    expect_promises_kept(explore(model, kills=0))


# -- models that are written wrongly ----------------------------------------------------------------------------


def test_a_step_with_two_accesses_is_refused() -> None:
    steps: dict[str, Step] = {"swap": does(lambda t: t.store("a", t.load("b")), "finished")}
    with pytest.raises(ModelError, match="2 shared accesses in one step"):
        explore(toy(steps, "swap", words={"a": 0, "b": 1}))


def test_a_step_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match="no step is named 'nowhere'"):
        explore(toy({"go": stores("a", 1, "nowhere")}, "go", words={"a": 0}))


def test_an_undeclared_register_is_refused() -> None:
    with pytest.raises(ModelError, match="undeclared register"):
        explore(toy({"go": loads("a", "z")}, "go", words={"a": 0}))


def test_a_guarded_word_is_for_its_holder() -> None:
    guarded = {"guarded": {"a": "holder"}, "facts": {"holder": 2}}
    steps = {"go": stores("a", 1)}
    expect_found(explore(toy(steps, "go", words={"a": 0}, **guarded)), "broken invariant", "touches a, unguarded")


# -- what is left out leads nowhere new -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lock_model("lock", worker(), worker()),
        lock_model("lock, one woken", worker(wakes=1), worker(wakes=1), worker(wakes=1)),
        semaphore_model("semaphore", holder(), holder()),
        log_model("log", producer(1), consumer(1), auditor()),
        condition_model("condition", waiter(), waiter(), notifier()),
        barrier_model("barrier", party(), party(), parties=2),
    ],
    ids=lambda model: model.name,
)
def test_leaving_schedules_out_changes_no_verdict(model: Model) -> None:
    fewer, every = explore(model), explore(model, every_order=True)
    assert fewer.states < every.states
    assert (fewer.finding is None) == (every.finding is None)
    assert fewer.hang_points <= every.hang_points
    assert fewer.steps_run == every.steps_run
