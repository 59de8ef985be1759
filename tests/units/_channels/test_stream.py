"""What the native base of connections takes and refuses, and what it keeps alive."""

from __future__ import annotations

import array
import gc
import os
import weakref
from typing import Any

import pytest

from procession._channels.pipe import Connection, Pipe


def test_arguments_may_be_named() -> None:
    first, second = Pipe()
    with first, second:
        first.send(obj=[1])
        assert second.recv() == [1]
        first.send_bytes(buf=b"abcdef", size=2, offset=3)
        assert second.recv_bytes(maxlength=2) == b"de"
        first.send_bytes(b"abcdef", 4, None)
        assert second.recv_bytes(None) == b"ef"
        wrong: Any = first
        for refused in (
            wrong.send,
            lambda: wrong.send(1, 2),
            lambda: wrong.send(thing=1),
            wrong.send_bytes,
            lambda: wrong.send_bytes(b"", 0, 0, 0),
            lambda: wrong.send_bytes(b"", "0"),
            lambda: wrong.send_bytes("text"),
            lambda: wrong.recv_bytes("5"),
            lambda: wrong.recv(1),
        ):
            with pytest.raises(TypeError):
                refused()
        with pytest.raises(ValueError, match="negative"):
            first.recv_bytes(float("nan"))  # type: ignore[arg-type]
        assert not second.poll()


@pytest.mark.parametrize("far", [2**70, -(2**70)])
def test_an_offset_beyond_all_memory_is_a_wrong_offset(far: int) -> None:
    first, second = Pipe()
    with first, second:
        for args in ((far,), (0, far), (1, far)):
            with pytest.raises(ValueError, match=r"offset|size"):
                first.send_bytes(array.array("i", [1, 2]), *args)
        assert not second.poll()


def test_a_connection_that_was_never_opened_is_closed() -> None:
    connection = Connection.__new__(Connection)
    assert connection.closed
    for refused in (
        connection.recv,
        connection.recv_bytes,
        lambda: connection.send(1),
        lambda: connection.send_bytes(b""),
    ):
        with pytest.raises(OSError, match="closed"):
            refused()


def test_a_subclass_says_what_happens_to_a_message_that_is_too_long() -> None:
    class Patient(Connection):
        """Reads on."""

        def _stop_reading(self) -> None:
            raise RuntimeError("stopped")

    reader, writer = os.pipe()
    with Patient(reader, writable=False) as ours, Connection(writer, readable=False) as theirs:
        theirs.send_bytes(b"123456")
        with pytest.raises(RuntimeError, match="stopped"):
            ours.recv_bytes(5)


def test_a_connection_in_a_cycle_is_collected_and_its_descriptor_closed() -> None:
    first, second = Pipe()
    cycle: Any = first
    cycle.itself = cycle
    gone = weakref.ref(first)
    del first, cycle
    gc.collect()
    assert gone() is None
    with second, pytest.raises(EOFError):
        second.recv()
