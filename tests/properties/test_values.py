"""`Value` and `Array` beside ctypes: every type code, any value, any index, from two processes: the same bytes or the same error."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import procession as mp
from tests.properties import examples
from tests.properties.test_models import Other

CODES = "cbBhHiIlLqQfd"
NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-300, 300) | st.floats()
ANYTHING = NUMBERS | st.binary(max_size=2) | st.booleans() | st.none() | st.text(max_size=2)
INDICES = st.integers(-7, 7)
SLICES = st.slices(5) | st.builds(slice, st.none() | INDICES, st.none() | INDICES, st.none() | st.integers(-3, 3))


class Cell:
    """A value or an array, as a second process is told of it: results of ctypes cannot be sent, their bytes can."""

    def __init__(self, shared: Any) -> None:
        self.shared = shared

    def assign(self, value: Any) -> None:
        self.shared.value = value

    def store(self, index: Any, value: Any) -> None:
        self.shared[index] = value

    def load(self, index: Any) -> Any:
        return self.shared[index]

    def look(self) -> Any:
        return self.shared.value

    def content(self) -> bytes:
        return bytes(self.shared.get_obj())


class Plain(Cell):
    """The same for a ctypes object."""

    def content(self) -> bytes:
        return bytes(self.shared)


def outcome(method: Any, *args: Any) -> tuple[str, Any]:
    """("returned", repr of the result), which tells 1 from True and one NaN from none, or ("raised", type)."""
    try:
        return "returned", repr(method(*args))
    except Exception as error:
        return "raised", type(error)


class BesideCtypes(RuleBasedStateMachine):
    shared: Any
    plain: Any
    other: Other

    def both(self, there: bool, method: str, *args: Any) -> None:
        theirs = outcome(self.other, "cell", method, *args) if there else outcome(getattr(self.cell, method), *args)
        assert theirs == outcome(getattr(self.model, method), *args)

    def begin(self, shared: Any, plain: Any) -> None:
        self.cell, self.model = Cell(shared), Plain(plain)
        self.other = Other(cell=self.cell)

    @invariant()
    def same_bytes(self) -> None:
        assert self.cell.content() == self.model.content()

    def teardown(self) -> None:
        self.other.close()


def type_of(code: str) -> Any:
    return type(mp.RawValue(code))


class ValueBesideCtypes(BesideCtypes):
    code = "i"

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Value(self.code), type_of(self.code)())

    @rule(there=st.booleans(), value=ANYTHING)
    def assign(self, there: bool, value: Any) -> None:
        self.both(there, "assign", value)

    @rule(there=st.booleans())
    def look(self, there: bool) -> None:
        self.both(there, "look")


class ArrayBesideCtypes(BesideCtypes):
    code = "i"

    def __init__(self) -> None:
        super().__init__()
        self.begin(mp.Array(self.code, 5), (type_of(self.code) * 5)())

    @rule(there=st.booleans(), index=INDICES, value=ANYTHING)
    def store(self, there: bool, index: int, value: Any) -> None:
        self.both(there, "store", index, value)

    @rule(there=st.booleans(), part=SLICES, values=st.lists(NUMBERS, max_size=6) | st.binary(max_size=6))
    def store_slice(self, there: bool, part: slice, values: Any) -> None:
        self.both(there, "store", part, values)

    @rule(there=st.booleans(), index=INDICES | SLICES | st.none())
    def load(self, there: bool, index: Any) -> None:
        self.both(there, "load", index)


class StringBesideCtypes(ArrayBesideCtypes):
    """An array of characters, which has a value."""

    code = "c"

    @rule(there=st.booleans(), value=st.binary(max_size=7) | ANYTHING)
    def assign(self, there: bool, value: Any) -> None:
        self.both(there, "assign", value)

    @rule(there=st.booleans())
    def look(self, there: bool) -> None:
        self.both(there, "look")


def as_test(machine: type[BesideCtypes], code: str) -> Any:
    """The machine's test for one type code: a few examples each, as there are many codes."""
    made: Any = type(f"{machine.__name__}_{code}", (machine,), {"code": code})
    case = made.TestCase
    case.settings = examples(4)
    return pytest.mark.slow(pytest.mark.deadline(300)(case))


for _code in CODES:
    globals()[f"TestValue_{_code}"] = as_test(ValueBesideCtypes, _code)
    globals()[f"TestArray_{_code}"] = as_test(StringBesideCtypes if _code == "c" else ArrayBesideCtypes, _code)


def test_the_model_has_the_sizes_of_the_machine() -> None:
    assert [ctypes.sizeof(type_of(code)) for code in "bhiqfd"] == [1, 2, 4, 8, 4, 8]
