"""Arrays that processes share."""

from __future__ import annotations

import gc
from typing import Any

import numpy
import pytest

import procession as mp
from procession import _native


def _write(array: Any, value: float) -> None:
    array[...] = value


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_writes_into_the_parents_array(method: str) -> None:
    array = mp.zeros((4, 5), "f4")
    child = mp.get_context(method).Process(target=_write, args=(array[1:3, ::2], 7.0))
    child.start()
    child.join()
    expected = numpy.zeros((4, 5), "f4")
    expected[1:3, ::2] = 7.0
    assert numpy.array_equal(array, expected)


@pytest.mark.parametrize(
    "view", [lambda a: a, lambda a: a[2], lambda a: a[::-1], lambda a: a.T, lambda a: a[1:, 1:].reshape(-1)[:1]]
)
def test_views_travel_by_reference_or_as_copies_that_are_equal(view: Any) -> None:
    array = mp.empty((3, 4), "i8")
    array[...] = numpy.arange(12).reshape(3, 4)
    queue = mp.Queue()
    queue.put(view(array))
    got = queue.get()
    assert numpy.array_equal(got, view(array))
    if view(array).base is not None and numpy.shares_memory(view(array), array):
        array[...] = -1
        assert (got == -1).all()


def test_what_arithmetic_makes_is_an_ordinary_array() -> None:
    array = mp.zeros(3)
    assert type(array + 1) is numpy.ndarray
    assert isinstance(array.sum(), float)
    array += 1
    assert list(array) == [1, 1, 1]
    queue = mp.Queue()
    queue.put(array)
    queue.get()[0] = 5
    assert list(array) == [5, 1, 1]


def test_a_copy_of_a_shared_array_is_sent_as_a_copy() -> None:
    array, queue = mp.zeros(3), mp.Queue()
    queue.put(array.copy())
    got = queue.get()
    got[0] = 1
    assert type(got) is numpy.ndarray
    assert list(array) == [0, 0, 0]


def test_memory_comes_back_with_the_last_array() -> None:
    mp.zeros(1)  # the first object of all makes this process a ledger, which stays
    gc.collect()
    before = _native.arena_in_use()
    array = mp.zeros(1_000_000)
    view = array[5:]
    del array
    assert _native.arena_in_use() > before
    del view
    gc.collect()
    assert _native.arena_in_use() == before


def test_recycled_memory_is_zero_again() -> None:
    array = mp.zeros(100_000)
    array[...] = 1
    del array
    assert not mp.zeros(100_000).any()


@pytest.mark.parametrize("dtype", ["O", [("a", "O")]])
def test_objects_cannot_be_shared(dtype: Any) -> None:
    with pytest.raises(TypeError, match="cannot be shared"):
        mp.empty(3, dtype)


@pytest.mark.parametrize("shape", [0, (), (3, 0), 5, [2, 3]])
def test_shapes(shape: Any) -> None:
    assert mp.zeros(shape, "u1").shape == numpy.zeros(shape, "u1").shape


def test_they_are_not_part_of_what_a_star_imports() -> None:
    assert "empty" not in mp.__all__
    assert "empty" in dir(mp)
