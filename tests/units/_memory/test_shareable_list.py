"""`ShareableList`: a list whose items have a type and a room; blocks that hold none."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession.shared_memory import ShareableList, SharedMemory

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
STRINGS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
BYTES = st.binary().map(lambda data: data.rstrip(b"\0"))
ITEMS = SCALARS | STRINGS | BYTES


@pytest.fixture
def made() -> Iterator[ShareableList]:
    listed = ShareableList(["abc", b"defgh", 1, 2.5, None, True, "x" * 20])
    yield listed
    listed.shm.close()
    listed.shm.unlink()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(ITEMS, max_size=20))
def test_what_was_put_in_is_read_back_here_and_by_name(items: list[Any]) -> None:
    listed = ShareableList(items)
    other = ShareableList(name=listed.shm.name)
    try:
        for each in (listed, other):
            assert list(each) == items
            assert [type(item) for item in each] == [type(item) for item in items]
        assert listed.format == other.format
    finally:
        other.shm.close()
        listed.shm.close()
        listed.shm.unlink()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=6), st.data())
def test_it_behaves_as_a_list_does_within_its_rooms(items: list[Any], data: st.DataObject) -> None:
    listed, model = ShareableList(items), list(items)
    try:
        for _ in range(10):
            index = data.draw(st.integers(-len(items), len(items) - 1))
            value = data.draw(ITEMS)
            try:
                listed[index] = value
            except ValueError:
                assert isinstance(value, str | bytes)  # the only ones that may need more room
            else:
                model[index] = value
            assert list(listed) == model
            assert listed.count(value) == model.count(value)
    finally:
        listed.shm.close()
        listed.shm.unlink()


def test_a_text_has_the_room_that_it_takes() -> None:
    for text in ("é" * 7, "€" * 5, "\U0001f600" * 7):
        listed = ShareableList([text, 1])
        assert list(listed) == [text, 1]
        listed.shm.close()
        listed.shm.unlink()


def test_an_item_that_does_not_fit_changes_nothing(made: ShareableList) -> None:
    before = list(made)
    for index, value, error in [
        (0, "123456789", ValueError),
        (1, b"123456789", ValueError),
        (2, "far too long", ValueError),
        (0, "é" * 5, ValueError),
        (2, 2**63, struct.error),
        (0, [1], TypeError),
        (7, 1, IndexError),
        (-8, 1, IndexError),
        ("x", 1, TypeError),
        (slice(2), 1, TypeError),
    ]:
        with pytest.raises(error):
            made[index] = value
        assert list(made) == before


@pytest.mark.parametrize(
    ("index", "error"), [(7, IndexError), (-8, IndexError), (1.0, TypeError), (slice(1), TypeError)]
)
def test_an_index_that_is_none_is_an_error(made: ShareableList, index: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        made[index]


@pytest.mark.parametrize("item", [[1], 1j, bytearray(b"x"), object(), type("Int", (int,), {})(1)])
def test_an_item_of_another_type_is_named(item: Any) -> None:
    with pytest.raises(TypeError, match=f"item 1 is of type {type(item).__name__}"):
        ShareableList([0, item])


def test_a_pickle_attaches(made: ShareableList) -> None:
    other = pickle.loads(pickle.dumps(made))
    other[2] = 77
    assert made[2] == 77
    assert other.index(77) == 2
    with pytest.raises(ValueError, match="'nope' not in this container"):
        other.index("nope")
    other.shm.close()


def words(*numbers: int) -> bytes:
    return struct.pack(f"{len(numbers)}q", *numbers)


@pytest.mark.parametrize(
    "contents",
    [
        b"\1\0\0",
        words(1),
        words(-1, 0),
        words(2**62, 0),
        words(1, 0, 2**40),
        words(1, 0, -8),
        words(1, 8, 16, 1, 2, 3),
        words(1, 0, 8, 5),
        words(2, 0, 8, 4, 1, 1, 1, 1),
    ],
)
def test_a_block_that_holds_no_list_is_refused(contents: bytes) -> None:
    block = SharedMemory(create=True, size=len(contents))
    block.buf[:] = contents
    with pytest.raises(ValueError, match="holds no ShareableList"):
        ShareableList(name=block.name)
    block.close()
    block.unlink()


def test_a_damaged_item_is_said_to_be_damaged(made: ShareableList) -> None:
    for damage in (b"99999s\0\0", b"\xff" * 8, b"24sq\0\0\0\0", b"P\0\0\0\0\0\0\0", b"0s\0\0\0\0\0\0"):
        at = made._formats_at
        made.shm.buf[at : at + 8] = damage
        with pytest.raises(ValueError, match=r"item 0 of ShareableList .* is damaged"):
            made[0]
