"""Values and arrays live in shared memory, with and without a lock."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

import procession as mp
from procession import sharedctypes

METHODS = ["fork", "spawn", "forkserver"]


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def change(number: Any, array: Any, text: Any, point: Any) -> None:
    number.value += 1
    array[0] = 42
    text.value = text.value.upper()
    point.x **= 2


@pytest.mark.parametrize("method", METHODS)
def test_a_child_changes_what_its_parent_sees(method: str) -> None:
    context = mp.get_context(method)
    number, array = context.Value("i", 7), context.Array("d", [1.0, 2.0])
    text, point = context.Array("c", b"hello"), context.Value(Point, 3.0, 4.0)
    process = context.Process(target=change, args=(number, array, text, point))
    process.start()
    process.join()
    assert (number.value, array[:], text.value, point.x, point.y) == (8, [42.0, 2.0], b"HELLO", 9.0, 4.0)


@pytest.mark.parametrize("code", sharedctypes.typecode_to_type)
def test_every_typecode_is_zero_at_first(code: str) -> None:
    value = mp.Value(code)
    assert value.value in {0, b"\0", "\0"}
    assert len(mp.RawArray(code, 3)) == 3


def test_locks_are_as_asked_for() -> None:
    lock = mp.Lock()
    assert mp.Value("i", 1, lock=lock).get_lock() is lock
    assert not hasattr(mp.Value("i", 1, lock=False), "get_lock")
    with pytest.raises(AttributeError):
        mp.Value("i", 1, lock="yes")


def test_wrong_types_and_sizes_are_refused() -> None:
    with pytest.raises(TypeError, match="bad typecode 'z'"):
        mp.Value("z")
    with pytest.raises(TypeError):
        mp.Value(3)
    with pytest.raises(ValueError, match="-1"):
        mp.Array("i", -1)
    with pytest.raises(TypeError, match="already synchronized"):
        sharedctypes.synchronized(mp.Value("i"))


def test_a_copy_is_another_object() -> None:
    first = mp.RawValue(Point, 1.0, 2.0)
    second = sharedctypes.copy(first)
    second.x = 5.0
    assert (first.x, second.x, second.y) == (1.0, 5.0, 2.0)


def test_an_array_is_a_buffer() -> None:
    array = mp.Array("i", range(10))
    with memoryview(array.get_obj()) as view:
        view.cast("B")[0] = 9
    assert array[:3] == [9, 1, 2]
    assert len(array) == 10
    array[2:4] = [7, 8]
    assert array[1:5] == [1, 7, 8, 4]


def test_a_value_is_sent_to_a_process_that_runs() -> None:
    inbox, outbox = mp.SimpleQueue(), mp.SimpleQueue()
    process = mp.get_context("fork").Process(target=_answer, args=(inbox, outbox))
    process.start()
    value = mp.Value("i", 5)
    inbox.put(value)
    assert outbox.get() == 5
    assert value.value == 6
    process.join()


def _answer(inbox: Any, outbox: Any) -> None:
    value = inbox.get()
    seen = value.value
    value.value = seen + 1
    outbox.put(seen)
