"""What comes from outside into native code: frames and notices that lie, handles that mean nothing, numbers out of range.

Each is an error that says so, or a result; never a crash, and never a wait. Under `make fuzz` the sanitizers look on.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import procession as mp
from procession import _native
from procession.errors import StaleHandle
from tests.properties import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.deadline(600)]

NOTICE = -2  # a length that says: the message is beside the stream (native/face/carriage.h)
WORDS = st.integers(0, 2**64 - 1)
HANDLES = st.tuples(WORDS | st.integers(0, 2**26), st.integers(0, 2**32 - 1) | st.integers(0, 16))
NOT_EXECUTED = (
    b"Rcio\x81\x92\x93bPQ\x82\x83\x84"  # opcodes that call, or look up, what is named: pickle's, not ours to run here
)
KINDS: list[Any] = [
    _native.Lock, _native.RLock, _native.Semaphore, _native.Event, _native.Barrier, _native.Queue, _native.Table, _native.Memory,
]  # fmt: skip


def body(size: int) -> st.SearchStrategy[bytes]:
    """Bytes, or a message of the codec, whole or cut."""
    plain = st.recursive(
        st.integers() | st.text(max_size=9) | st.none(), lambda inner: st.lists(inner) | st.tuples(inner), max_leaves=9
    )
    said = st.builds(lambda obj, cut: _native.dumps(obj)[: cut or None], plain, st.integers(0, 40))
    return st.binary(max_size=size).map(lambda noise: noise.translate(None, NOT_EXECUTED)) | said


def framed(data: bytes, lie: int) -> bytes:
    return struct.pack("!i", max(-(2**31), min(2**31 - 1, len(data) + lie))) + data


HONEST = body(60).map(lambda data: framed(data, 0))
LYING = st.builds(framed, body(60), st.integers(-90, 90) | st.integers(-(2**31), 2**31 - 1))
LONG = st.builds(lambda size, data: struct.pack("!iQ", -1, size) + data, WORDS | st.integers(0, 99), body(60))
NOTICES = st.builds(
    lambda size, handle, data: struct.pack("!iQQI", NOTICE, size, *handle) + data, WORDS, HANDLES, body(20)
)
STREAMS = st.lists(HONEST | LYING | LONG | NOTICES | st.binary(max_size=30), max_size=6).map(b"".join)


@examples(150)
@given(stream=STREAMS, reads=st.lists(st.sampled_from([-1, 0, 7, 1 << 20, None]), max_size=8), beside=st.booleans())
@pytest.mark.parametrize("kind", ["socket", "pipe"])
def test_lying_frames_are_messages_or_errors(kind: str, stream: bytes, reads: list[int | None], beside: bool) -> None:
    """A read of None is of an object, others of bytes, at most so many."""
    ours, theirs = (end.detach() for end in socket.socketpair()) if kind == "socket" else os.pipe()
    queue = _native.Queue() if beside else None
    if queue is not None:
        queue.put_bytes(b"nobody announced this")
    os.write(theirs, stream)
    os.close(theirs)
    try:
        for most in reads:
            message = _native.recv_object(ours, queue) if most is None else _native.recv_frame(ours, most, queue)
            assert most in (None, -1) or len(message) <= most
    except (OSError, EOFError, MemoryError):
        pass
    except Exception as error:
        assert None in reads, error  # noqa: PT017 - what is no object may raise whatever pickle raises
        assert not isinstance(error, SystemError)  # noqa: PT017
    finally:
        os.close(ours)


@examples(100)
@given(HANDLES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_a_handle_that_was_made_up_is_refused(kind: Any, handle: tuple[int, int]) -> None:
    with pytest.raises((StaleHandle, OverflowError, ValueError)):
        kind.attach(handle)


@examples(100)
@given(st.data())
def test_a_handle_of_another_kind_or_beside_an_object_is_refused(data: st.DataObject) -> None:
    objects: list[Any] = [
        mp.Lock(),
        mp.Event(),
        _native.Queue(),
        _native.Memory(100),
        _native.Table(3),
        mp.Semaphore(2),
    ]
    chosen: Any = data.draw(st.sampled_from(objects))
    kind = data.draw(st.sampled_from([kind for kind in KINDS if not isinstance(chosen, kind)]))
    offset, generation = chosen.handle
    with pytest.raises((StaleHandle, TypeError)):
        kind.attach((offset, generation))
    moved = offset + data.draw(st.integers(-4096, 4096).filter(bool))
    if all(moved != other.handle[0] for other in objects):
        with pytest.raises(StaleHandle):
            chosen.attach((moved, generation))


@examples(150)
@given(
    st.lists(
        st.tuples(st.binary(max_size=5000).map(lambda noise: noise.translate(None, NOT_EXECUTED)), st.integers(0, 2)),
        max_size=12,
    )
)
def test_messages_of_a_queue_that_are_no_objects_are_errors(messages: list[tuple[bytes, int]]) -> None:
    queue = _native.Queue()
    for data, tag in messages:
        queue.put_bytes(data, tag)
    for number, (data, tag) in enumerate(messages):
        try:
            got = queue.get_many(1, False)[0] if number % 2 else queue.get(False)
        except Exception as error:
            assert tag != 1, error  # noqa: PT017 - bytes are what they are
            assert not isinstance(error, SystemError)  # noqa: PT017
        else:
            assert tag != 1 or got == data
    assert queue.empty()


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-4, 12) | st.floats() | st.none() | st.text(max_size=3)
CALLS = st.sampled_from(["load", "store", "add", "claim", "finish", "wake"])


@examples(300)
@given(CALLS, st.lists(NUMBERS, max_size=4))
def test_a_table_is_never_touched_beyond_its_rows(method: str, args: list[Any]) -> None:
    table = _native.Table(3)
    if method == "finish" and args[1:] and isinstance(args[1], int):
        args[1] %= 5
    try:
        getattr(table, method)(*args)
    except (TypeError, ValueError, IndexError, OverflowError):
        return
    assert args[0] in (0, 1, 2)


ITEMS = NUMBERS | st.binary(max_size=3) | st.lists(st.integers(-300, 300), max_size=9)
INDICES = st.integers(-(2**70), 2**70) | st.integers(-9, 9) | st.slices(9) | st.builds(slice, NUMBERS, NUMBERS, NUMBERS)


@examples(300)
@given(st.sampled_from("cbBhHiIlLqQfd"), INDICES, ITEMS)
def test_an_array_is_never_touched_beyond_its_items(code: str, index: Any, value: Any) -> None:
    array = mp.Array(code, 7)
    model = (type(array.get_obj()))()
    outcomes: list[type[Exception] | None] = []
    for target in (array, model):
        try:
            target[index] = value
            outcomes.append(None)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]
    assert bytes(array.get_obj()) == bytes(model)
