"""Values and arrays arrive with the same memory and the same lock, live as long as they are used, and never travel as copies."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import threading
from typing import Any

import numpy
import pytest

import procession as mp
from procession import _native, sharedctypes
from procession.errors import StaleHandle
from procession.heap import BufferWrapper
from procession.reduction import ForkingPickler

METHODS = ["fork", "spawn", "forkserver"]


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


class Row(ctypes.c_int * 3):  # type: ignore[misc]
    """An array type with a name."""


MADE = {
    "value": lambda ctx: ctx.Value("i", 1),
    "value with a Lock": lambda ctx: ctx.Value("q", 1, lock=ctx.Lock()),
    "value of its own lock-free kind": lambda ctx: ctx.Value("d", 1, lock=False),
    "raw value": lambda ctx: ctx.RawValue("H", 1),
    "array": lambda ctx: ctx.Array("d", [1, 2, 3]),
    "raw array": lambda ctx: ctx.RawArray("i", 3),
    "string": lambda ctx: ctx.Array("c", b"abc"),
    "structure": lambda ctx: ctx.Value(Point, 1.0, 2.0),
    "raw structure": lambda ctx: ctx.RawValue(Point, 1.0, 2.0),
    "array of structures": lambda ctx: ctx.Array(Point, 2),
    "nested array": lambda ctx: ctx.Array(ctypes.c_int * 3, 2),
    "named array": lambda ctx: ctx.RawValue(Row, 1, 2, 3),
    "nothing": lambda ctx: ctx.Array("i", 0),
}


def contents(shared: Any) -> memoryview:
    return memoryview(shared.get_obj() if hasattr(shared, "get_obj") else shared).cast("B")


def invert(shared: Any) -> None:
    for each in shared:
        bytes_of = contents(each)
        for i in range(len(bytes_of)):
            bytes_of[i] ^= 0xFF


def invert_what_comes(inbox: Any, outbox: Any) -> None:
    invert(inbox())
    outbox(True)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["argument", "SimpleQueue", "Queue", "Pipe"])
def test_every_kind_arrives_with_the_same_memory(method: str, way: str) -> None:
    ctx = mp.get_context(method)
    shared = [make(ctx) for make in MADE.values()]
    before = [bytes(contents(each)) for each in shared]
    if way == "argument":
        process = ctx.Process(target=invert, args=(shared,))
        process.start()
    elif way == "Pipe":
        (ours, theirs) = ctx.Pipe()
        process = ctx.Process(target=invert_what_comes, args=(theirs.recv, theirs.send))
        process.start()
        ours.send(shared)
        assert ours.recv()
    else:
        inbox, outbox = getattr(ctx, way)(), ctx.SimpleQueue()
        process = ctx.Process(target=invert_what_comes, args=(inbox.get, outbox.put))
        process.start()
        inbox.put(shared)
        assert outbox.get()
    process.join()
    assert process.exitcode == 0
    for name, old, each in zip(MADE, before, shared, strict=True):
        assert bytes(contents(each)) == bytes(byte ^ 0xFF for byte in old), name


def _keep(value: Any, array: Any) -> None:
    globals()["kept"] = value, array


def _add_to_kept(number: int) -> int:
    value, array = globals()["kept"]
    with value.get_lock():
        value.value += number
        array[0] += number
    return number


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_pool_s_initializer_gets_them(method: str) -> None:
    ctx = mp.get_context(method)
    value, array = ctx.Value("i", 0), ctx.RawArray("i", 1)
    with ctx.Pool(2, _keep, (value, array)) as pool:
        pool.map(_add_to_kept, range(100), chunksize=7)
    assert (value.value, array[0]) == (4950, 4950)


def _hold_both(first: Any, second: Any, answers: Any) -> None:
    with first:
        answers.send(second.acquire(block=False))
        answers.recv()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_function_without_a_name_may_refer_to_them(method: str) -> None:
    raw, array, value = mp.RawValue("i", 5), mp.RawArray("i", 2), mp.Value("i")

    def add(number: int) -> int:
        with value.get_lock():
            value.value += number
            array[1] += number
        return int(raw.value)

    with mp.get_context(method).Pool(2) as pool:
        assert pool.map(add, range(10)) == [5] * 10
    assert (value.value, array[1]) == (45, 45)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_lock_travels_along(method: str) -> None:
    ctx = mp.get_context(method)
    lock = ctx.Lock()
    first, second = ctx.Value("i", lock=lock), ctx.Array("i", 1, lock=lock)
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=_hold_both, args=(first, second, theirs))
    process.start()
    assert ours.recv() is False
    assert not first.acquire(block=False)
    ours.send(None)
    process.join()
    assert first.acquire(timeout=20)


# ── pickles ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", [name for name in MADE if not name.startswith(("raw", "named", "value of"))])
def test_a_plain_pickle_of_a_wrapper_names_the_same_memory_and_lock(name: str) -> None:
    shared = MADE[name](mp)
    again = pickle.loads(pickle.dumps(shared))
    for byte in range(len(contents(shared))):
        contents(again)[byte] = 7
    assert set(bytes(contents(shared))) <= {7}
    assert type(again) is type(shared)
    with shared:
        assert again.get_lock().is_mine()


@pytest.mark.parametrize("name", ["raw value", "raw array", "raw structure", "named array"])
def test_a_plain_pickle_of_a_raw_object_is_refused_and_not_a_copy(name: str) -> None:
    raw = MADE[name](mp)
    with pytest.raises((RuntimeError, pickle.PicklingError)) as refused:
        pickle.dumps(raw)
    if name != "raw array":  # ctypes itself has no name for its type
        assert "queue or pipe of this package" in str(refused.value)
    again = ForkingPickler.loads(ForkingPickler.dumps(raw))
    contents(again)[0] = 9
    assert contents(raw)[0] == 9


def test_what_lies_in_private_memory_is_not_passed_on_as_a_copy() -> None:
    wrapped = sharedctypes.synchronized(ctypes.c_int(5))
    with pytest.raises(RuntimeError, match="memory of this process alone"):
        pickle.dumps(wrapped)


def test_ordinary_objects_of_a_type_that_is_also_shared_still_travel_by_value() -> None:
    shared = mp.RawValue(Point, 1.0, 2.0)
    for ordinary in (Point(3.0, 4.0), copy.copy(shared)):
        arrived = ForkingPickler.loads(ForkingPickler.dumps(ordinary))
        arrived.x = 9.0
        assert (arrived.y, ordinary.x) == (ordinary.y, 3.0 if ordinary.y == 4.0 else 1.0)
    assert shared.x == 1.0


def test_copying_a_wrapper_gives_another_wrapper_of_the_same_memory() -> None:
    value = mp.Value("i", 5)
    for again in (copy.copy(value), copy.deepcopy([value])[0]):
        again.value += 1
    assert value.value == 7


def test_a_handle_of_what_is_gone_is_told() -> None:
    value = mp.Value("i", 5)
    pickled = pickle.dumps(value)
    assert pickle.loads(pickled).value == 5
    del value
    gc.collect()
    with pytest.raises(StaleHandle):
        pickle.loads(pickled)


def test_a_lock_that_cannot_travel_pins_nothing() -> None:
    kept = mp.Value("i")  # what is made once for all objects, is
    before = in_use()
    value = mp.Value("i", 5, lock=threading.Lock())
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(value)
    del value
    assert in_use() <= before
    assert kept.value == 0


# ── what cannot be shared ───────────────────────────────────────────────────────────────────────
class Linked(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("names", ctypes.c_char_p * 2)]


class Outer(ctypes.Structure):
    _fields_ = [("inner", Linked)]


class Slotted(ctypes.Structure):
    __slots__ = ()
    _fields_ = [("number", ctypes.c_int)]


PRIVATE = [ctypes.py_object, ctypes.c_char_p, ctypes.c_wchar_p, ctypes.POINTER(ctypes.c_int), ctypes.CFUNCTYPE(None)]


@pytest.mark.parametrize("kind", [*PRIVATE, Linked, Outer, ctypes.c_char_p * 2], ids=lambda kind: kind.__name__)
def test_what_means_nothing_elsewhere_is_refused_at_the_call(kind: Any) -> None:
    for make in (
        lambda: mp.Value(kind), lambda: mp.Array(kind, 2), lambda: mp.RawValue(kind), lambda: mp.RawArray(kind, 2),
        lambda: sharedctypes.copy(kind()),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="cannot be shared"):
            make()


def test_the_field_that_cannot_be_shared_is_named() -> None:
    with pytest.raises(TypeError, match=r"Outer\.inner\.names\[\] is a pointer to characters"):
        mp.Value(Outer)


@pytest.mark.parametrize("kind", [ctypes.Structure, ctypes.Union, ctypes.Array, ctypes._SimpleCData])
def test_a_base_without_a_size_is_refused(kind: Any) -> None:
    for make in (lambda: mp.Value(kind), lambda: mp.Array(kind, 2)):
        with pytest.raises(TypeError, match="no size"):
            make()


def test_a_structure_without_room_for_attributes_is_refused_or_shared() -> None:
    try:
        value = mp.Value(Slotted, 5)
    except TypeError as refused:
        assert "__slots__" in str(refused)  # noqa: PT017 - both are right: it depends on the interpreter
    else:
        assert value.number == 5


@pytest.mark.parametrize("size", [2.5, None, object()])
def test_what_is_neither_a_size_nor_items_is_refused(size: Any) -> None:
    with pytest.raises(TypeError, match="size or its items"):
        mp.Array("i", size)


def test_sizes_beyond_all_memory_are_refused() -> None:
    for size in (2**40, 2**62, 2**70):
        with pytest.raises((MemoryError, OverflowError)):
            mp.RawArray("d", size)


def test_anything_that_counts_or_iterates_makes_an_array() -> None:
    assert mp.Array("i", numpy.int64(3))[:] == [0, 0, 0]
    assert mp.Array("i", (number for number in (1, 2)))[:] == [1, 2]
    assert mp.Array("i", range(3))[:] == [0, 1, 2]
    assert mp.Array("c", b"abc").value == b"abc"
    assert mp.Array("u", "abc")[:] == "abc"


# ── lifetime ────────────────────────────────────────────────────────────────────────────────────
def in_use() -> int:
    gc.collect()
    return _native.arena_in_use()


@pytest.mark.parametrize("name", MADE)
def test_memory_goes_back_with_its_last_user(name: str) -> None:
    MADE[name](mp)  # what is made once, is
    before = in_use()
    for _ in range(50):
        shared = MADE[name](mp)
    again = ForkingPickler.loads(ForkingPickler.dumps(shared))
    del shared, again
    assert in_use() <= before


LARGE = 1 << 20


@pytest.mark.parametrize(
    "look",
    [
        lambda array: array.get_obj(), lambda array: memoryview(array).cast("B").cast("d"), numpy.frombuffer, numpy.asarray,
        lambda array: numpy.frombuffer(array.get_obj())[5:], lambda array: BufferOf(array.get_obj()),
    ],
)  # fmt: skip
def test_whoever_looks_into_the_memory_keeps_it(look: Any) -> None:
    before = in_use()
    array = mp.Array("d", LARGE // 8)
    array[7] = 2.5
    seen = look(array)
    del array
    filler = [mp.RawArray("B", b"\xff" * 64) for _ in range(100)]
    assert in_use() >= before + LARGE
    assert 2.5 in list(seen[:10])
    del seen, filler
    assert in_use() < before + LARGE


class BufferOf:
    """A ctypes object over a part of the array."""

    def __init__(self, array: Any) -> None:
        self.part = (ctypes.c_double * 10).from_buffer(array)

    def __getitem__(self, index: Any) -> Any:
        return self.part[index]


def test_a_part_keeps_the_whole() -> None:
    before = in_use()
    point = mp.RawArray(Point, LARGE // 16)[3]
    point.x = 5.0
    assert in_use() >= before + LARGE
    assert point.x == 5.0
    del point
    assert in_use() < before + LARGE


@pytest.mark.parametrize("way", [lambda array: array, lambda array: array.get_obj()])
def test_numpy_sees_an_array_without_a_copy(way: Any) -> None:
    array = mp.Array("d", 4)
    seen = numpy.frombuffer(way(array))
    seen[1:] = 7
    assert array[:] == [0, 7, 7, 7]
    array[0] = 1
    assert seen.sum() == 22
    assert not seen.flags.owndata
    assert seen.flags.writeable


def test_numpy_takes_type_and_shape_from_the_array() -> None:
    assert numpy.asarray(mp.Array("h", 4)).dtype == numpy.int16
    assert numpy.asarray(mp.Array(ctypes.c_int * 3, 2)).shape == (2, 3)
    assert memoryview(mp.Array("c", b"abc")).tobytes() == b"abc"


def test_array_types_without_an_object_are_forgotten() -> None:
    from procession._runtime import state

    before = len(state.reducers)
    kept = mp.RawArray("i", 2000)
    for length in range(1000):
        mp.RawArray("h", length)
    assert len(state.reducers) <= before + 200
    again = ForkingPickler.loads(ForkingPickler.dumps(kept))
    again[0] = 5
    assert kept[0] == 5


def test_a_buffer_wrapper_travels() -> None:
    wrapper = BufferWrapper(10)
    again = ForkingPickler.loads(ForkingPickler.dumps(wrapper))
    again.create_memoryview()[3] = 7
    assert wrapper.create_memoryview()[3] == 7
    with pytest.raises(ValueError, match="-1"):
        BufferWrapper(-1)
