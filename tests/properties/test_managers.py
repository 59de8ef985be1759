"""`Manager().dict()`, `list()` and `set()` beside dict, list and set: any sequence of calls, half of them from a second process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import procession as mp
from tests.properties import examples
from tests.properties.test_models import Other

KEYS = st.sampled_from(["a", "b", 1, None, (1, 2), b"x"])
VALUES = st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3) | st.none()
NUMBERS = st.integers(-5, 5)
INDICES = st.integers(-6, 6) | st.slices(4)
MEMBERS = st.frozensets(NUMBERS, max_size=5)


@pytest.fixture
def manager() -> Iterator[Any]:
    with mp.Manager() as started:
        yield started
    started.join()  # gives up the process, should Hypothesis keep a proxy


def outcome(method: Any, *args: Any) -> tuple[str, Any]:
    """What a call returns, a view as a list, or the type of what it raises."""
    try:
        result = method(*args)
    except Exception as error:
        return "raised", type(error)
    return "returned", list(result) if isinstance(
        result, type({}.keys()) | type({}.values()) | type({}.items())
    ) else result


class BesideBuiltin(RuleBasedStateMachine):
    manager: Any
    builtin: Any

    def __init__(self) -> None:
        super().__init__()
        self.model = self.builtin()
        self.proxy = getattr(self.manager, self.builtin.__name__)()
        self.other = Other(proxy=self.proxy)

    def both(self, there: bool, method: str, *args: Any) -> None:
        ours = outcome(self.other, "proxy", method, *args) if there else outcome(getattr(self.proxy, method), *args)
        expected = outcome(getattr(self.model, method), *args)
        assert ours == expected, (method, args)

    @invariant()
    def same(self) -> None:
        assert self.proxy._getvalue() == self.model
        assert len(self.proxy) == len(self.model)

    def teardown(self) -> None:
        del self.proxy
        self.other.close()


class DictBesideDict(BesideBuiltin):
    builtin = dict

    @rule(there=st.booleans(), key=KEYS, value=VALUES)
    def store(self, there: bool, key: Any, value: Any) -> None:
        self.both(there, "__setitem__", key, value)

    @rule(there=st.booleans(), method=st.sampled_from(["get", "pop", "setdefault"]), key=KEYS, default=VALUES)
    def look(self, there: bool, method: str, key: Any, default: Any) -> None:
        self.both(there, method, key, default)

    @rule(
        there=st.booleans(),
        method=st.sampled_from(["__getitem__", "__delitem__", "__contains__", "pop", "get"]),
        key=KEYS | st.just([]),
    )
    def of_key(self, there: bool, method: str, key: Any) -> None:
        self.both(there, method, key)

    @rule(there=st.booleans(), method=st.sampled_from(["keys", "values", "items", "copy", "popitem"]))
    def whole(self, there: bool, method: str) -> None:
        self.both(there, method)

    @rule(there=st.booleans(), more=st.dictionaries(KEYS, VALUES))
    def update(self, there: bool, more: dict[Any, Any]) -> None:
        self.both(there, "update", more)
        self.both(there, "__or__", more)

    @rule()
    def iterate(self) -> None:
        assert list(self.proxy) == list(self.model)


class ListBesideList(BesideBuiltin):
    builtin = list

    @rule(
        there=st.booleans(),
        method=st.sampled_from(["append", "remove", "count", "index", "__contains__"]),
        value=NUMBERS,
    )
    def of_value(self, there: bool, method: str, value: int) -> None:
        self.both(there, method, value)

    @rule(there=st.booleans(), values=st.lists(NUMBERS, max_size=4))
    def extend(self, there: bool, values: list[int]) -> None:
        self.both(there, "extend", values)
        self.both(there, "__add__", values)

    @rule(there=st.booleans(), method=st.sampled_from(["__getitem__", "__delitem__", "pop"]), index=INDICES)
    def of_index(self, there: bool, method: str, index: Any) -> None:
        self.both(there, method, index)

    @rule(there=st.booleans(), index=INDICES, value=NUMBERS | st.lists(NUMBERS, max_size=3))
    def store(self, there: bool, index: Any, value: Any) -> None:
        if isinstance(index, slice) or isinstance(value, int):  # else lists in lists, which cannot be sorted
            self.both(there, "__setitem__", index, value)

    @rule(there=st.booleans(), index=NUMBERS, value=NUMBERS)
    def insert(self, there: bool, index: int, value: int) -> None:
        self.both(there, "insert", index, value)

    @rule(there=st.booleans(), method=st.sampled_from(["sort", "reverse", "copy"]))
    def whole(self, there: bool, method: str) -> None:
        self.both(there, method)

    @rule(n=st.integers(-1, 2), more=st.lists(NUMBERS, max_size=2))
    def in_place(self, n: int, more: list[int]) -> None:
        before = self.proxy
        self.proxy += more
        self.model += more
        if len(self.model) < 30:
            self.proxy *= n
            self.model *= n
        assert self.proxy is before

    @rule()
    def iterate(self) -> None:
        assert list(self.proxy) == self.model


class SetBesideSet(BesideBuiltin):
    builtin = set

    @rule(
        there=st.booleans(),
        method=st.sampled_from(["add", "discard", "remove", "__contains__"]),
        member=NUMBERS | st.just([]),
    )
    def of_member(self, there: bool, method: str, member: Any) -> None:
        self.both(there, method, member)

    @rule(
        there=st.booleans(),
        method=st.sampled_from([
            "union", "difference", "intersection", "symmetric_difference", "update", "difference_update", "intersection_update",
            "symmetric_difference_update", "isdisjoint", "issubset", "issuperset", "__or__", "__and__", "__sub__", "__xor__", "__le__",
        ]),
        others=MEMBERS,
    )  # fmt: skip
    def with_others(self, there: bool, method: str, others: frozenset[int]) -> None:
        self.both(there, method, others)

    @rule()
    def iterate(self) -> None:
        assert set(self.proxy) == self.model


@pytest.mark.slow
@pytest.mark.deadline(300)
@pytest.mark.parametrize(
    "machine", [DictBesideDict, ListBesideList, SetBesideSet], ids=lambda machine: str(machine.__name__)
)
def test_any_sequence_of_calls_does_what_the_builtin_does(machine: Any, manager: Any) -> None:
    machine.manager = manager
    try:
        run_state_machine_as_test(machine, settings=examples(15, steps=30))
    finally:
        machine.manager = None  # Hypothesis keeps the class, and a manager its process
