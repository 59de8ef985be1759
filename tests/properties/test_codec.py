"""The codec: what it writes, pickle reads; what pickle writes, it reads; and random bytes are an error, never a crash."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession import _native
from procession._channels import pickling
from tests.properties import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.slow, pytest.mark.deadline(600)]
SETTINGS = examples(400)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.complex_numbers(allow_nan=False), st.text(), st.binary(),
    st.binary().map(bytearray),
)  # fmt: skip
keys = st.one_of(st.integers(), st.text(), st.binary(), st.booleans(), st.none())
objects = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(keys, inner), st.sets(keys), st.frozensets(keys)
    ),
    max_leaves=30,
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, set | frozenset):
        return left == right and sorted(map(repr, left)) == sorted(map(repr, right))
    return repr(left) == repr(right)


@SETTINGS
@given(objects)
def test_what_the_codec_writes_pickle_reads_and_so_does_it(obj: Any) -> None:
    written = _native.dumps(obj)
    assert same(pickle.loads(written), obj)
    assert same(_native.loads(written), obj)


@SETTINGS
@given(objects, st.integers(0, 5))
def test_what_pickle_writes_the_codec_reads(obj: Any, protocol: int) -> None:
    assert same(_native.loads(pickle.dumps(obj, protocol)), obj)


# The opcodes that our own reader knows, and some that it leaves to pickle.
HARMLESS = sorted(
    set(
        b"\x80\x95]})(NK\x88\x89MJ\x8a\x8bG\x8cX\x8dBC\x8e\x96\x85\x86\x87tlesuab\x8f\x90\x91\x94qrhj0.\x05\x00\x01\xff"
    )
)
noise = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(HARMLESS), max_size=60).map(bytes))


@SETTINGS
@given(noise)
def test_random_bytes_are_an_error_or_an_object(data: bytes) -> None:
    read(data)


@SETTINGS
@given(objects, st.data())
def test_damaged_messages_are_an_error_or_an_object(obj: Any, data: st.DataObject) -> None:
    written = bytearray(_native.dumps(obj))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written) - 1))
        how = data.draw(st.sampled_from(["cut", "flip", "set", "insert"]))
        if how == "cut":
            del written[max(1, at) :]
        elif how == "flip":
            written[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            written[at] = data.draw(st.sampled_from(HARMLESS))
        else:
            written.insert(at, data.draw(st.sampled_from(HARMLESS)))
    read(bytes(written))


EXPECTED = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, OverflowError)


def read(data: bytes) -> None:
    """Whatever our own reader makes of it is an object, or an exception that says so; what it leaves to pickle, pickle is not given."""
    _native.configure(fallback_loads=refuse)
    try:
        _native.loads(data)
    except EXPECTED:
        return
    finally:
        _native.configure(fallback_loads=pickling.fallback_loads)


def refuse(_: object) -> None:
    raise pickle.UnpicklingError("not ours to read")
