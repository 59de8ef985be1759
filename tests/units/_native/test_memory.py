"""Memory and Table: bytes and words that all processes see."""

from __future__ import annotations

import pytest

from procession import _native
from tests.units._native.children import child, thread, until_asleep


@pytest.mark.parametrize("size", [0, 1, 8, 32, 33, 4096, 100_000, 3_000_000])
def test_memory_is_zero_at_first_and_shared(size: int) -> None:
    fill(size, 0xAB)
    assert bytes(memoryview(_native.Memory(size))) == bytes(size), "used memory came back as it was"


def fill(size: int, value: int) -> None:
    """Let a child fill some memory, look at it through both wrappers, drop it."""
    memory = _native.Memory(size)
    assert memory.size == size
    with memoryview(memory) as view:
        assert view.nbytes == size
        assert not view.readonly
        assert bytes(view) == bytes(size)
        with child(memset, memory, value):
            pass
        assert bytes(view) == bytes([value]) * size
    again = _native.Memory.attach(memory.handle)
    assert bytes(memoryview(again)) == bytes([value]) * size


def memset(memory: _native.Memory, value: int) -> None:
    memoryview(memory)[:] = bytes([value]) * memory.size


def test_a_view_keeps_its_memory_alive() -> None:
    view = memoryview(_native.Memory(64))
    others = [_native.Memory(64) for _ in range(100)]
    for other in others:
        memoryview(other)[:] = b"\xff" * 64
    assert bytes(view) == bytes(64)


@pytest.mark.parametrize("size", [-1, 2**62, 2**70, "5", 1.5, None])
def test_an_impossible_size_is_refused(size: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError, MemoryError)):
        _native.Memory(size)  # type: ignore[arg-type]


def test_memory_beyond_the_cap_is_a_memory_error() -> None:
    cap = _native.arena_cap()
    _native.arena_cap(_native.arena_in_use() + 1_000_000)
    try:
        with pytest.raises(MemoryError, match="cap"):
            _native.Memory(10_000_000)
        with pytest.raises(MemoryError, match="cap"):
            _native.Queue().put(b"x" * 10_000_000)
    finally:
        _native.arena_cap(cap)
    assert _native.Memory(10_000_000).size == 10_000_000


def test_words_of_a_table_are_shared() -> None:
    table = _native.Table(3)
    assert table.rows == 3
    assert [table.load(row, word) for row in range(3) for word in range(8)] == [0] * 24
    table.store(1, 7, 2**64 - 1)
    assert table.load(1, 7) == 2**64 - 1
    assert table.add(1, 7, 6) == 5
    assert table.add(1, 7, -5) == 0

    def count() -> None:
        for _ in range(2_000):
            table.add(2, 0, 1)

    with child(count), child(count), thread(count):
        pass
    assert table.load(2, 0) == 6_000
    for row, word in ((3, 0), (-1, 0), (0, 8), (0, -1)):
        with pytest.raises(ValueError, match=r"row|word"):
            table.load(row, word)
    with pytest.raises(TypeError):
        table.store(0, 0, "x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rows"):
        _native.Table(-1)


def test_a_word_can_be_waited_for() -> None:
    table = _native.Table(1)
    assert table.wait(0, 3, 1) is True
    assert table.wait(0, 3, 0, 0.01) is False

    def change() -> None:
        until_asleep(table)
        table.store(0, 3, 2**40)
        table.wake(0, 3)

    with child(change):
        assert table.wait(0, 3, 0, timeout=20) is True
    assert table.load(0, 3) == 2**40
