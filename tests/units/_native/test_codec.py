"""Messages: what the codec writes, pickle reads, and the other way round; nothing is read that is not there."""

from __future__ import annotations

import copyreg
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession import _native

pytestmark = pytest.mark.fuzz
ATOMS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.sampled_from([0, 255, 256, 65535, 65536, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63]),
    st.floats(),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=40),
    st.binary(max_size=40),
    st.integers(200, 70_000).map(lambda size: "x" * size),
    st.integers(200, 70_000).map(bytes),
)
KEYS = st.one_of(ATOMS, st.tuples(ATOMS, ATOMS))
MEMBERS = st.one_of(
    st.integers(), st.text(max_size=5), st.tuples(st.integers(0, 3), st.none()), st.frozensets(st.integers(0, 9))
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.sets(MEMBERS),
        st.frozensets(MEMBERS),
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(KEYS, inner),
        st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=40,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types all the way down, floats bit by bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and {(type(x), x) for x in a} == {(type(x), x) for x in b}
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    return bool(a == b)


@pytest.mark.slow
@given(VALUES)
@settings(deadline=None, max_examples=300)
def test_pickle_reads_what_the_codec_writes_and_the_other_way_round(value: Any) -> None:
    value = pickle.loads(pickle.dumps(value))  # nobody else holds its parts
    message = _native.dumps(value)
    assert message[:2] == b"\x80\x05" or not _native.encodes(value)
    assert same(pickle.loads(message), value)
    assert same(_native.loads(message), value)
    for protocol in range(1, pickle.HIGHEST_PROTOCOL + 1):  # protocol 0 forgets the bits of a NaN
        assert same(_native.loads(pickle.dumps(value, protocol)), value)


@pytest.mark.slow
@given(VALUES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=300)
def test_damaged_messages_are_read_as_pickle_reads_them(value: Any, chance: random.Random) -> None:
    for whole in (_native.dumps(value), pickle.dumps(value)):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.3:
                del damaged[chance.randrange(2, len(damaged) + 1) :]
            if len(damaged) > 2:
                damaged[chance.randrange(2, len(damaged))] = chance.choice(
                    b"(\x94eutas])}.KMJGN\x85\x86\x87Xq\x8c\x95\xff\0"
                )
        compare_with_pickle(bytes(damaged))


@pytest.mark.slow
def test_opcodes_in_any_order_are_read_as_pickle_reads_them() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        body = bytes(
            chance.choice(b"((((\x94eeuutas]])}}.K\x01N\x85\x86\x87\x8f\x90\x91")
            for _ in range(chance.randrange(1, 30))
        )
        compare_with_pickle(b"\x80\x05" + body + b".")


def compare_with_pickle(message: bytes) -> None:
    """Whatever pickle refuses is refused; whatever it reads, the codec reads the same."""
    if b"r" in message:  # LONG_BINPUT of a huge number, perhaps: pickle would make a memo of that size, in a minute
        return
    try:
        expected = pickle.loads(message)
    except Exception:
        with pytest.raises(Exception):  # noqa: B017, PT011 - what the fallback raises
            _native.loads(message)
        return
    assert same(_native.loads(message), expected)


def test_truncated_messages_are_refused_at_every_length() -> None:
    whole = _native.dumps({"key": [1, 2.5, (b"bytes", "text", 300, 70_000, 2**40)], "other": {"a": ()}})
    for length in range(len(whole)):
        with pytest.raises(Exception):  # noqa: B017, PT011 - EOFError, UnpicklingError… are pickle's choice
            _native.loads(whole[:length])


def test_what_pickle_would_share_goes_to_pickle() -> None:
    inner = [1]
    shared = _native.loads(_native.dumps([inner, inner]))
    assert shared[0] is shared[1]
    members = {1}
    shared = _native.loads(_native.dumps([members, members]))
    assert shared[0] is shared[1]
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert not _native.encodes(cyclic)
    again = _native.loads(_native.dumps(cyclic))
    assert again[0] is again
    holder = ([],)
    twice = _native.loads(_native.dumps([holder, holder]))
    twice[0][0].append(1)
    assert twice[1][0] == [1]


@pytest.mark.parametrize(
    "value",
    [2**64, {2**64}, type("Int", (int,), {})(1), [object], 1j, bytearray(b"x"), type("Str", (str,), {})("x"), range(3)],
    ids=repr,
)
def test_other_types_go_to_the_fallback(value: Any) -> None:
    assert not _native.encodes(value)
    assert not _native.encodes([1, {"k": value}])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -5,
        1.5,
        "é\ud800",
        b"x",
        (),
        (1,),
        [],
        [[1], [2]],
        {1, (2, 3)},
        frozenset((1, "a")),
        {},
        {"a": {"b": 1}},
        (1, (2, 3)),
    ],
    ids=repr,
)
def test_plain_types_need_no_fallback(value: Any) -> None:
    assert _native.encodes(value)


READS_ALONE = """
from procession import _native
four = lambda: tuple([1, 2, 3, 4])
for make in (
    lambda: [four()], lambda: [four(), four()], lambda: [[tuple([four(), 1, 2, 3])]], lambda: {four(): [four()]},
    lambda: [frozenset([1])], lambda: [tuple([[four()], {1: four()}, 2, 3])], lambda: tuple([[four()], 1, 2, 3]),
):
    assert _native.loads(_native.dumps(make())) == make()
"""


def test_what_the_codec_writes_it_reads_without_the_fallback() -> None:
    done = subprocess.run([sys.executable, "-c", READS_ALONE], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_depth_is_bounded() -> None:
    nested: Any = 1
    for _ in range(60):
        nested = [nested]
    assert _native.encodes(nested)
    for _ in range(5_000):
        nested = (nested,)
    assert not _native.encodes(nested)


def test_what_would_grow_without_bound_goes_to_pickle() -> None:
    doubled: Any = (1, 2)
    for _ in range(50):
        doubled = (doubled, doubled)
    assert not _native.encodes(doubled)
    long = "x" * 100_000
    assert len(_native.dumps([long, long])) < 150_000
    row = tuple(range(1000))
    assert len(_native.dumps([row] * 1000)) < 20_000


def test_reducers_of_builtin_types_are_ignored_as_pickle_ignores_them() -> None:
    copyreg.pickle(list, lambda obj: (list, ()))
    try:
        assert pickle.loads(pickle.dumps([1])) == [1]
        assert _native.loads(_native.dumps([1])) == [1]
    finally:
        del copyreg.dispatch_table[list]


def test_a_key_that_cannot_be_hashed_is_refused() -> None:
    message = b"\x80\x05}(]K\x01u."
    with pytest.raises(TypeError):
        _native.loads(message)


def test_a_finalizer_may_change_what_is_being_written() -> None:
    class Meddler:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            root.clear()

    root: list[Any] = []
    for _ in range(300):
        root.extend([[{i}, "\ud800", {"k": [{i}]}] for i in range(20)])
        for _ in range(5):
            Meddler()
        _native.dumps(root)


def test_any_buffer_is_read() -> None:
    message = _native.dumps([1, "two"])
    assert _native.loads(bytearray(message)) == [1, "two"]
    assert _native.loads(memoryview(b"__" + message)[2:]) == [1, "two"]
    with pytest.raises(TypeError):
        _native.loads("text")  # type: ignore[arg-type]


class Nested:
    """Pickling it uses the codec and a queue again."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def __reduce__(self) -> tuple[Any, ...]:
        queue = _native.Queue()
        inner: Any = Nested(self.depth - 1) if self.depth else None
        queue.put((self.depth, inner))
        return unnest, (_native.dumps([queue.get()]),)


def unnest(message: bytes) -> Any:
    return _native.loads(message)[0]


def test_the_fallback_may_use_the_codec_again() -> None:
    def innermost(value: Any) -> int:
        depth, inner = value
        return depth if inner is None else innermost(inner)

    assert innermost(_native.loads(_native.dumps(Nested(5)))) == 0


def test_threads_do_not_share_scratch_memory() -> None:
    wrong: list[Any] = []

    def turn(number: int) -> None:
        value = {"n": number, "text": str(number) * 50}
        wrong.extend(got for got in (_native.loads(_native.dumps(value)) for _ in range(2_000)) if got != value)

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(8)]
    for started in threads:
        started.start()
    for started in threads:
        started.join()
    assert not wrong


def test_keys_that_look_alike_are_told_apart() -> None:
    keys = ["", "a", "a\0", "b" * 23, "b" * 24, "b" * 25, "é", "\ud800", *(f"key{i}" for i in range(2_000))]
    for _ in range(3):
        assert list(_native.loads(_native.dumps(dict.fromkeys(keys, 1)))) == keys


def test_nan_and_the_signs_of_zero_survive() -> None:
    zero, minus, nan = _native.loads(_native.dumps((0.0, -0.0, math.nan)))
    assert (math.copysign(1, zero), math.copysign(1, minus)) == (1.0, -1.0)
    assert math.isnan(nan)


def test_a_large_message_takes_the_same_way() -> None:
    value = {"data": os.urandom(3_000_000), "list": list(range(100_000))}
    assert _native.loads(_native.dumps(value)) == value
