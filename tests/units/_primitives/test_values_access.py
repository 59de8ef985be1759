"""Access to values and arrays: as ctypes has it, and under the lock."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import procession as mp
from procession import _native, sharedctypes
from procession.errors import OwnerDied

INTEGERS = [ctypes.c_byte, ctypes.c_ubyte, ctypes.c_short, ctypes.c_ushort, ctypes.c_int, ctypes.c_uint]
INTEGERS += [ctypes.c_long, ctypes.c_ulong, ctypes.c_longlong, ctypes.c_ulonglong, ctypes.c_ssize_t, ctypes.c_size_t]
INTEGERS += [getattr(ctypes, f"c_{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = [ctypes.c_float, ctypes.c_double, ctypes.c_longdouble]
SWAPPED = [getattr(kind, "__ctype_be__") for kind in (ctypes.c_int, ctypes.c_double)]  # noqa: B009 - typeshed lacks it
EDGES = [
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    -129,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    2**200,
]


class Tenths(ctypes.c_int):
    """A subclass: its items are objects of it, not numbers."""


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


class Parts(ctypes.Union):
    _fields_ = [("halves", ctypes.c_uint16 * 2), ("whole", ctypes.c_uint32)]


class Tagged(Point):
    _anonymous_ = ("parts",)
    _fields_ = [("tag", ctypes.c_int, 3), ("parts", Parts), ("corners", Point * 2)]


class CountingLock:
    """A lock of somebody's own."""

    def __init__(self) -> None:
        self.inner, self.taken = threading.RLock(), 0

    def acquire(self) -> bool:
        self.taken += 1
        return self.inner.acquire()

    def release(self) -> None:
        self.inner.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *args: object) -> None:
        self.release()


def forked(target: Any, *args: Any) -> Any:
    process = mp.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def what_is_raised(call: Any) -> str:
    """The type and the words of what it raises; empty: nothing."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


# ── what ctypes says ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", INTEGERS + SWAPPED[:1], ids=lambda kind: kind.__name__)
def test_integers_are_what_ctypes_makes_of_them(kind: Any) -> None:
    value, array, plain = mp.Value(kind), mp.Array(kind, 3), kind()
    for number in EDGES:
        value.value = array[1] = plain.value = number
        assert value.value == array[1] == array[:][1] == value.get_obj().value == array.get_obj()[1] == plain.value
        assert (array[0], array[2]) == (0, 0)


@pytest.mark.parametrize("kind", FLOATS + SWAPPED[1:], ids=lambda kind: kind.__name__)
def test_floats_are_what_ctypes_makes_of_them(kind: Any) -> None:
    value, array, plain = mp.Value(kind), mp.Array(kind, 2), kind()
    for number in (0.1, -1e300, 1e-300, float("inf"), 3, True):
        try:
            plain.value = number
        except OverflowError:  # pragma: no cover - newer interpreters refuse what a C float has no room for
            continue
        value.value = array[1] = number
        assert value.value == array[1] == array[1:][0] == plain.value


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("i", 5, "5"), ("i", 5, 2.5), ("i", 5, None), ("d", 2.5, "2"), ("f", 2.5, None), ("c", b"x", "x"),
        ("c", b"x", b"xy"), ("u", "x", b"x"), (ctypes.c_bool, True, Ellipsis), (ctypes.c_void_p, 5, "x"),
    ],
)  # fmt: skip
def test_what_ctypes_refuses_is_refused_in_the_same_words(kind: Any, good: Any, bad: Any) -> None:
    value, array = mp.Value(kind, good), mp.Array(kind, [good])
    plain = type(value.get_obj())(good)
    assert value.value == array[0] == plain.value
    complaint = what_is_raised(lambda: setattr(plain, "value", bad))
    assert what_is_raised(lambda: setattr(value, "value", bad)) == complaint
    assert bool(what_is_raised(lambda: array.__setitem__(0, bad))) == bool(complaint)
    assert value.value == array[0] == plain.value
    assert value.acquire(block=False)
    assert value.get_lock().count() == 1  # and the lock was let go
    value.release()


def test_items_of_a_subclass_stay_objects_of_it() -> None:
    array = mp.Array(Tenths, [1, 2])
    assert isinstance(array[0], Tenths)
    assert [item.value for item in array[:]] == [1, 2]
    assert mp.Value(Tenths, 3).value == 3


@pytest.mark.slow
@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12),
    st.slices(12) | st.integers(-15, 15),
    st.lists(st.integers(0, 9), max_size=4),
)
def test_an_array_is_a_list_of_fixed_length(items: list[int], index: Any, new: list[int]) -> None:
    array, model = mp.Array("i", items), items.copy()
    try:
        expected = model[index]
    except IndexError:
        with pytest.raises(IndexError):
            array[index]
        return
    assert array[index] == expected
    if isinstance(index, int):
        array[index] = model[index] = 7
    elif len(new) == len(model[index]) and index.step in {None, 1}:
        array[index] = model[index] = new
    assert list(array) == array[:] == model
    assert len(array) == len(model)


@pytest.mark.parametrize("code", ["b", "h", "I", "q", "f", "d", "c", "u", ctypes.c_bool])
def test_slices_are_what_ctypes_makes_of_them(code: Any) -> None:
    raw = mp.RawArray(code, {"c": b"abcdef", "u": "abcdef"}.get(code, range(6)))
    array = sharedctypes.synchronized(raw)
    for index in (slice(None), slice(1, 4), slice(None, None, 2), slice(None, None, -1), slice(9), slice(4, 1)):
        assert array[index] == raw[index]
        assert type(array[index]) is type(raw[index])


def test_mistakes_with_an_array_are_told() -> None:
    array = mp.Array("i", 5)
    for index in (5, -6, 2**70):
        with pytest.raises(IndexError):
            array[index]
        with pytest.raises(IndexError):
            array[index] = 1
    with pytest.raises(IndexError, match="5, of an array of 5 items"):
        array[5]
    for wrong in (1.0, "1", None):
        with pytest.raises(TypeError):
            array[wrong]
    with pytest.raises(TypeError, match="deleted"):
        del array[0]
    with pytest.raises(AttributeError, match="deleted"):
        del mp.Value("i").value
    with pytest.raises(ValueError, match="size"):
        array[:2] = [1]
    assert array[:] == [0] * 5


def test_an_index_that_changes_its_mind_reads_no_foreign_memory() -> None:
    class Index:
        def __index__(self) -> int:
            return 10**6

    with pytest.raises(IndexError):
        mp.Array("i", 5)[Index()]


def test_strings_have_value_and_raw() -> None:
    text = mp.Array("c", 10)
    text.value = b"hello"
    assert (text.value, text.raw, text[0], text[:2], len(text)) == (b"hello", b"hello" + b"\0" * 5, b"h", b"he", 10)
    text.raw = b"0123456789"
    assert text.value == b"0123456789"
    with pytest.raises(ValueError, match="too long"):
        text.value = b"x" * 11
    with pytest.raises(AttributeError):
        del text.raw


# ── structures ──────────────────────────────────────────────────────────────────────────────────
def test_a_structure_has_its_fields_its_bases_and_those_of_anonymous_members() -> None:
    thing = mp.Value(Tagged, 1.0, 2.0)
    thing.tag, thing.whole = 3, 0x00020001
    assert (thing.x, thing.y, thing.tag, list(thing.halves)) == (1.0, 2.0, 3, [1, 2])
    thing.corners[1].x = 5.0
    assert thing.get_obj().corners[1].x == 5.0
    assert isinstance(thing, sharedctypes.SynchronizedBase)
    assert type(thing) is type(mp.Value(Tagged))
    assert "SynchronizedTagged wrapper for" in repr(thing)
    with pytest.raises(TypeError):
        thing.x = "left"
    assert thing.get_lock().count() == 0


def test_an_array_of_structures_gives_the_structures_themselves() -> None:
    points = mp.Array(Point, [(1.0, 2.0), (3.0, 4.0)])
    points[1].x = 9.0
    points[0] = (7.0, 8.0)
    assert [(point.x, point.y) for point in points] == [(7.0, 8.0), (9.0, 4.0)]


def test_arrays_nest() -> None:
    grid = mp.Array(ctypes.c_int * 3, 2)
    grid[1][2] = 5
    assert [list(row) for row in grid] == [[0, 0, 0], [0, 0, 5]]
    row = mp.Value(ctypes.c_int * 3, 1, 2)
    assert row[:] == [1, 2, 0]


# ── locks ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("make", [mp.Lock, mp.RLock, lambda: mp.Semaphore(1), mp.Condition, threading.Lock])
def test_any_lock_will_do(make: Any) -> None:
    lock = make()
    value, array = mp.Value("i", 1, lock=lock), mp.Array("i", 2, lock=lock)
    assert value.get_lock() is array.get_lock() is lock
    value.value, array[1] = 5, 6
    assert (value.value, array[1], array[:]) == (5, 6, [0, 6])
    with value:
        pass
    assert value.acquire()
    value.release()


@pytest.mark.parametrize("lock", [True, None, 1])
def test_a_new_lock_is_recursive(lock: Any) -> None:
    value = mp.Value("i", 1, lock=lock)
    assert isinstance(value.get_lock(), type(mp.RLock()))
    with value, value.get_lock(), value:
        value.value += 1
        assert value.get_lock().count() == 3
    assert value.get_lock().count() == 0


@pytest.mark.parametrize("lock", [0, "yes", 2.5, object(), mp.Lock, threading.Condition])
def test_what_is_no_lock_is_refused(lock: Any) -> None:
    for make in (lambda: mp.Value("i", 1, lock=lock), lambda: mp.Array("i", 1, lock=lock)):
        with pytest.raises(AttributeError, match="lock must be True, False or a lock"):
            make()
    with pytest.raises(AttributeError, match="lock must be"):
        sharedctypes.synchronized(ctypes.c_int(), lock)


def test_a_lock_of_ones_own_is_taken_once_for_each_access() -> None:
    lock: Any = CountingLock()
    value, array, point = mp.Value("i", 1, lock=lock), mp.Array("d", 3, lock=lock), mp.Value(Point, lock=lock)
    value.value += 1
    assert lock.taken == 2
    array[0], _slice, _all = 1.0, array[:2], list(array)
    assert lock.taken == 2 + 1 + 1 + 3
    point.x = point.y
    with value:
        assert lock.taken == 7 + 2 + 1
    assert lock.inner.acquire(blocking=False)


def test_a_subclass_of_lock_that_counts_is_asked() -> None:
    class Counted(type(mp.RLock())):  # type: ignore[misc]
        taken = 0

        def acquire(self, *args: Any) -> Any:
            Counted.taken += 1
            return super().acquire(*args)

    value = mp.Value("i", 1, lock=Counted())
    value.value += 1
    assert Counted.taken == 2


def test_what_a_lock_raises_is_raised_and_nothing_is_read() -> None:
    class Refusing(CountingLock):
        def acquire(self) -> bool:
            raise InterruptedError("not now")

    array = mp.Array("i", 3, lock=Refusing())
    for access in (lambda: array[0], lambda: array[:], lambda: array.__setitem__(0, 5)):
        with pytest.raises(InterruptedError, match="not now"):
            access()
    assert array.get_obj()[:] == [0, 0, 0]


def _hold(value: Any, taken: Any, let_go: Any) -> None:
    with value:
        taken.set()
        let_go.wait(20)
        value.get_obj().value = 2


@pytest.mark.parametrize("lock", [True, "Lock"])
def test_an_access_waits_for_another_process_that_holds_the_lock(lock: Any) -> None:
    value, taken, let_go = mp.Value("i", 1, lock=mp.Lock() if lock == "Lock" else lock), mp.Event(), mp.Event()
    holder = forked(_hold, value, taken, let_go)
    assert taken.wait(20)
    asking = threading.Timer(0, lambda: (reached_a_wait(), let_go.set()))
    asking.start()
    assert value.value == 2
    asking.join()
    holder.join()


def reached_a_wait(seconds: float = 20.0) -> None:
    """Returns when a thread of this process waits for a lock."""
    deadline = time.monotonic() + seconds
    while not any(row[0] == os.getpid() and _native.WAIT_REASONS[row[2]] == "lock" for row in _native.waits()):
        assert time.monotonic() < deadline
        os.sched_yield()


def _die_inside(value: Any, taken: Any) -> None:
    with value:
        taken.set()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("lock", [True, "Lock"])
@pytest.mark.parametrize(
    "make",
    [lambda **how: mp.Value("i", **how), lambda **how: mp.Array("i", 3, **how), lambda **how: mp.Value(Point, **how)],
)
def test_a_holder_that_was_killed_is_told_at_each_access_until_the_lock_is_recovered(make: Any, lock: Any) -> None:
    shared, taken = make(lock=mp.Lock() if lock == "Lock" else lock), mp.Event()
    holder = forked(_die_inside, shared, taken)
    assert taken.wait(20)
    name = next(name for name in ("value", "x", "__len__") if hasattr(type(shared), name))
    accesses: list[Any] = [shared.__enter__, lambda: shared.acquire(timeout=20)]
    if name == "__len__":
        accesses += [lambda: shared[0], lambda: shared[:], lambda: shared.__setitem__(0, 1)]
    else:
        accesses += [lambda: getattr(shared, name), lambda: setattr(shared, name, 1)]
    for access in accesses:
        with pytest.raises(OwnerDied) as told:
            access()
        assert told.value.pid == holder.pid
    assert shared.get_lock().recover()
    with shared:
        pass
    holder.join()


def test_threads_lose_no_addition() -> None:
    value, array = mp.Value("q", 0), mp.Array("i", 1)

    def add() -> None:
        for _ in range(2000):
            with value.get_lock():
                value.value += 1
            with array:
                array[0] += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (value.value, array[0]) == (8000, 8000)


def _add(value: Any, array: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1
        with array.get_lock():
            array[1] += 0.5


def test_processes_lose_no_addition() -> None:
    value, array = mp.Value("i", 0), mp.Array("d", 2)
    processes = [forked(_add, value, array, 2000) for _ in range(3)]
    for process in processes:
        process.join()
    assert (value.value, array[1]) == (6000, 3000.0)


# ── wrappers ────────────────────────────────────────────────────────────────────────────────────
def test_a_wrapper_takes_attributes_and_weak_references() -> None:
    import gc
    import weakref

    value: Any = mp.Value("i", 5)
    value.unit = value  # a cycle
    reference = weakref.ref(value)
    assert repr(value) == "<Synchronized wrapper for c_int(5)>"
    del value
    gc.collect()
    assert reference() is None


def test_wrappers_are_of_the_documented_classes() -> None:
    assert isinstance(mp.Value("i"), sharedctypes.Synchronized)
    assert isinstance(mp.Array("i", 1), sharedctypes.SynchronizedArray)
    assert isinstance(mp.Array("c", 1), sharedctypes.SynchronizedString)
    assert issubclass(sharedctypes.SynchronizedString, sharedctypes.SynchronizedArray)
    assert issubclass(sharedctypes.SynchronizedArray, sharedctypes.SynchronizedBase)


def test_a_subclass_that_forgets_its_base_is_told() -> None:
    class Forgetful(sharedctypes.Synchronized):
        def __init__(self) -> None:
            pass

    class Thorough(sharedctypes.Synchronized):
        def __init__(self, start: int) -> None:
            super().__init__(mp.RawValue("i", start))

        def add(self) -> None:
            with self:
                self.value += 1

    for access in (Forgetful().get_obj, Forgetful().__enter__, lambda: Forgetful().value, lambda: Forgetful().acquire):
        with pytest.raises(ValueError, match="did not call"):
            access()
    thorough = Thorough(6)
    thorough.add()
    assert thorough.value == 7
    with pytest.raises(TypeError, match="again"):
        thorough.__init__(1)  # type: ignore[misc]


def test_ordinary_ctypes_objects_can_be_wrapped() -> None:
    number, text = ctypes.c_int(5), (ctypes.c_char * 3)(b"a")
    wrapped = sharedctypes.synchronized(number)
    wrapped.value += 1
    assert (number.value, sharedctypes.synchronized(text).value) == (6, b"a")
    array = (ctypes.c_int * 2)(1, 2)
    guarded = sharedctypes.synchronized(array)
    ctypes.resize(array, 4096)  # moves it
    guarded[1] = 7
    assert (guarded[:], array[:]) == ([1, 7], [1, 7])
