"""What the specification's sentences promise of locks, shared values, managers and pools, one check each."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import procession as mp
from procession import managers, pool, sharedctypes

LOCKS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore")


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def in_child(context: Any, function: Callable[..., Any], *args: Any) -> Any:
    answers = context.SimpleQueue()
    process = context.Process(target=put_result, args=(answers, function, *args))
    process.start()
    process.join()
    assert process.exitcode == 0
    return answers.get()


def put_result(answers: Any, function: Callable[..., Any], *args: Any) -> None:
    answers.put(function(*args))


# ── locks ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def try_to_acquire(lock: Any) -> tuple[bool, bool, bool]:
    return lock.acquire(block=False), lock.acquire(timeout=-1), lock.acquire(True, 0.001)


@pytest.mark.parametrize("kind", LOCKS)
def test_a_held_lock_is_not_acquired_by_another_process(kind: str) -> None:
    lock = getattr(mp, kind)()
    with lock as entered:
        assert entered is True
        assert in_child(mp.get_context("fork"), try_to_acquire, lock) == (False, False, False)
    assert lock.acquire(timeout=None) is True
    lock.release()


def release(lock: Any) -> bool:
    lock.release()
    return True


@pytest.mark.slow
def test_any_process_and_thread_may_release_a_lock(context: Any) -> None:
    lock = context.Lock()
    lock.acquire()
    assert in_child(context, release, lock)
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert lock.acquire(block=False, timeout=30) is True
    lock.release()
    with pytest.raises(ValueError, match=r"release|locked|times"):
        lock.release()


def release_refused(lock: Any) -> str:
    try:
        lock.release()
    except AssertionError as error:
        return str(error)
    return "released"


def test_only_the_owner_releases_a_recursive_lock() -> None:
    lock = mp.RLock()
    assert release_refused(lock) != "released"
    assert [lock.acquire(), lock.acquire(), lock.acquire(False)] == [True] * 3
    assert in_child(mp.get_context("fork"), release_refused, lock) != "released"
    lock.release()
    lock.release()
    assert in_child(mp.get_context("fork"), try_to_acquire, lock)[0] is False
    lock.release()
    assert in_child(mp.get_context("fork"), try_to_acquire, lock)[0] is True


def test_a_bounded_semaphore_is_released_no_more_often_than_acquired() -> None:
    bounded, plain = mp.BoundedSemaphore(2), mp.Semaphore()
    bounded.acquire()
    bounded.release()
    with pytest.raises(ValueError, match=r"release|times"):
        bounded.release()
    plain.release()
    assert plain.get_value() == 2


def test_a_condition_is_over_a_lock_of_ours() -> None:
    for lock in (mp.Lock(), mp.RLock(), None):
        condition = mp.Condition(lock)
        with condition:
            assert condition.wait(0.001) is False
            assert condition.wait_for(lambda: False, timeout=0.001) is False
            assert condition.wait_for(lambda: 3) == 3
    with pytest.raises(Exception, match=r"acquire|own|lock|held"):
        mp.Condition().notify()


def interrupted(wait: Callable[[], object]) -> str:
    """What a wait that ^C ends raises."""
    main = threading.get_ident()
    timer = threading.Thread(target=lambda: signal.pthread_kill(main, signal.SIGINT))
    try:
        timer.start()
        while True:
            wait()
    except KeyboardInterrupt:
        return "KeyboardInterrupt"
    finally:
        timer.join()


def waits_of(kind: str) -> str:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if kind == "Condition.wait":
        condition = mp.Condition()
        with condition:
            return interrupted(condition.wait)
    lock = getattr(mp, kind)()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    return interrupted(lock.acquire)


@pytest.mark.parametrize("kind", [*LOCKS, "Condition", "Condition.wait"])
def test_an_interrupt_ends_a_wait_at_once(kind: str) -> None:
    assert in_child(mp.get_context("fork"), waits_of, kind) == "KeyboardInterrupt"


# ── shared values ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_lock_of_a_value_is_chosen_by_keyword() -> None:
    for make in (lambda **how: mp.Value("i", 3, **how), lambda **how: mp.Array("i", [3], **how)):
        assert hasattr(make(), "get_lock")
        own = mp.Lock()
        assert make(lock=own).get_lock() is own
        assert not hasattr(make(lock=False), "get_lock")
        with pytest.raises((AttributeError, TypeError)):
            make(lock="none")
    recursive = mp.Value("i").get_lock()
    assert recursive.acquire(timeout=30)
    assert recursive.acquire(timeout=30)
    recursive.release()
    recursive.release()


class Pair(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int))


def test_shared_ctypes_are_made_as_in_the_table() -> None:
    raw = sharedctypes
    assert raw.RawValue(ctypes.c_double, 2.4).value == raw.RawValue("d", 2.4).value == 2.4
    pair = raw.RawValue(Pair, 4, 6)
    assert (pair.x, pair.y) == (4, 6)
    assert list(raw.RawArray(ctypes.c_short, 7)) == list(raw.RawArray("h", 7)) == [0] * 7
    assert list(raw.RawArray(ctypes.c_int, (9, 2, 8))) == list(raw.RawArray("i", (9, 2, 8))) == [9, 2, 8]
    copied = raw.copy(pair)
    copied.x = 5
    assert (pair.x, copied.x, copied.y) == (4, 5, 6)
    wrapped = raw.synchronized(pair)
    assert wrapped.get_obj() is pair
    with wrapped as held, wrapped.get_lock():
        wrapped.y = 7
        assert held is not None
    assert pair.y == 7


@pytest.mark.parametrize("lock", [True, False])
def test_an_array_of_characters_has_value_and_raw(lock: bool) -> None:
    characters = mp.Array(ctypes.c_char, 6, lock=lock)
    characters.value = b"abc"
    assert (characters.value, characters.raw) == (b"abc", b"abc\0\0\0")
    characters.raw = b"xyz\0wv"
    assert (characters.value, len(characters)) == (b"xyz", 6)
    assert mp.RawArray("c", b"hello").value == b"hello"


# ── managers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class Counted:
    def __init__(self) -> None:
        self._n = 0

    def up(self) -> int:
        self._n += 1
        return self._n

    def fail(self) -> None:
        raise KeyError("told")

    def hidden(self) -> str:
        return "seen"

    def again(self) -> Counted:
        return self


class OwnManager(managers.BaseManager):
    pass


OwnManager.register("Counted", Counted, exposed=("up", "fail", "again"), method_to_typeid={"again": "Counted2"})
OwnManager.register("Counted2", exposed=("up",), create_method=False)
OwnManager.register("All", Counted)


def set_environment(name: str) -> None:
    os.environ[name] = "set"


@pytest.mark.slow
def test_a_manager_of_ones_own_exposes_what_it_was_told_to() -> None:
    with OwnManager(authkey=b"key") as manager:
        counted = manager.Counted()
        assert (counted.up(), counted._callmethod("up")) == (1, 2)
        with pytest.raises(KeyError, match="told"):
            counted.fail()
        with pytest.raises(Exception, match="hidden"):
            counted._callmethod("hidden")
        assert not hasattr(counted, "hidden")
        again = counted.again()
        assert isinstance(again, managers.BaseProxy)
        assert again.up() == 3
        assert manager.All().hidden() == "seen"
        assert not hasattr(manager, "Counted2")
        with pytest.raises(AttributeError):
            manager.address = "elsewhere"  # type: ignore[misc]
    manager.shutdown()
    manager.shutdown()


@pytest.mark.slow
def test_a_started_manager_ran_its_initializer_and_shares_its_objects(context: Any) -> None:
    manager = managers.SyncManager(ctx=context)
    manager.register("getenv", os.getenv, exposed=("__str__",))
    manager.start(set_environment, ("PROCESSION_TEST_INITIALIZED",))
    try:
        assert str(manager.getenv("PROCESSION_TEST_INITIALIZED")) == "set"
        space = manager.Namespace(x=1)
        space._own = 2
        assert (repr(space._getvalue()), space.x, space._own) == ("Namespace(x=1)", 1, 2)
        nested = manager.list([{}])
        inner = nested[0]
        inner["k"] = 1
        assert nested[0] == {}
        nested[0] = inner
        assert nested[0] == {"k": 1}
        value, numbers = manager.Value("i", 3), manager.Array("i", [1, 2])
        value.value = 4
        assert (value.value, list(numbers)) == (4, [1, 2])
        assert manager.dict([("a", 1)]).copy() == manager.dict({"a": 1}).copy() == {"a": 1}
    finally:
        manager.shutdown()


# ── pools ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def fail(number: int) -> None:
    raise LookupError(number)


def wait_long() -> None:
    time.sleep(1000)  # sleeps: it is ended by the pool


@pytest.mark.slow
def test_pools_keep_what_is_said_of_them(context: Any) -> None:
    told: list[Any] = []
    with context.Pool(2) as workers:
        with pytest.raises(ValueError, match=r"close|running"):
            workers.join()
        assert workers.apply_async(pow, (2, 3), callback=told.append).get(30) == 8
        with pytest.raises(LookupError):
            workers.apply_async(fail, (1,), error_callback=told.append).get(30)
        workers.map_async(abs, [-1, -2], callback=told.append).wait(30)
        assert workers.starmap(pow, [(1, 2), (3, 4)]) == [1, 81]
        assert sorted(workers.imap_unordered(abs, range(-4, 0), chunksize=2)) == [1, 2, 3, 4]
        late = workers.apply_async(wait_long)
        assert late.ready() is False
        with pytest.raises(ValueError, match="ready"):
            late.successful()
        with pytest.raises(mp.TimeoutError):
            late.get(timeout=0.001)
        late.wait(0.001)
        with pytest.raises(mp.TimeoutError):
            workers.imap(time.sleep, [1000]).next(timeout=0.001)  # sleeps: as above
    with pytest.raises(ValueError, match=r"not running|closed|terminated"):
        workers.apply(abs, (1,))
    workers.join()
    assert told[0] == 8
    assert isinstance(told[1], LookupError)
    assert told[2] == [1, 2]


@pytest.mark.slow
def test_workers_are_replaced_after_their_tasks(context: Any) -> None:
    with context.Pool(1, maxtasksperchild=2) as workers:
        pids = [workers.apply(os.getpid) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    for wrong in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError)):
            context.Pool(1, maxtasksperchild=wrong)
    with pytest.raises(ValueError, match="at least 1"):
        context.Pool(0)
    with pytest.raises(TypeError, match="callable"):
        context.Pool(1, initializer=3)


def test_a_pool_of_the_module_takes_a_context() -> None:
    with pool.Pool(1, context=mp.get_context("fork")) as workers:
        assert workers.apply(abs, (-1,)) == 1
        workers.close()
        workers.join()
