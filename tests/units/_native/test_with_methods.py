"""__enter__ and __exit__ of locks are methods like others, though binding them makes no object."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

import procession as mp

both = pytest.mark.parametrize("make", [mp.Lock, mp.RLock])


@both
def test_with_takes_and_gives_whatever_happens_inside(make: Any) -> None:
    lock = make()

    def fail() -> None:
        with lock as taken:
            assert taken is True
            assert lock.is_mine()
            raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            fail()
        assert not lock.locked()


@both
def test_nested_statements_give_the_right_locks(make: Any) -> None:
    locks = [make() for _ in range(5)]
    with locks[0], locks[1], locks[2]:
        with locks[3], locks[4]:
            assert all(lock.is_mine() for lock in locks)
        assert [lock.locked() for lock in locks] == [True, True, True, False, False]
    assert not any(lock.locked() for lock in locks)


@both
def test_bound_methods_that_are_kept_stay_those_of_their_lock(make: Any) -> None:
    first, second = make(), make()
    enter, leave = first.__enter__, first.__exit__
    with second:
        assert enter() is True
        assert (first.locked(), second.locked()) == (True, True)
    leave(None, None, None)
    assert (first.locked(), second.locked()) == (False, False)
    assert enter.__self__ is first
    assert "__enter__" in repr(enter)
    assert "__exit__" in repr(type(first).__exit__)


@both
def test_a_bound_method_keeps_its_lock_and_a_finished_statement_does_not(make: Any) -> None:
    lock = make()
    gone, leave = weakref.ref(lock), lock.__exit__
    with lock:
        pass
    del lock
    gc.collect()
    assert gone() is not None
    del leave
    gc.collect()
    assert gone() is None


@both
def test_unbound_they_need_a_lock_of_their_kind(make: Any) -> None:
    kind, lock = type(make()), make()
    assert kind.__enter__(lock) is True
    kind.__exit__(lock, None, None, None)
    assert not lock.locked()
    for wrong in ((), (5,), (mp.Event(),), (mp.RLock() if make == mp.Lock else mp.Lock(),)):
        with pytest.raises(TypeError, match="first"):
            kind.__enter__(*wrong)


@both
def test_a_subclass_may_have_its_own_and_ask_the_base(make: Any) -> None:
    seen = []

    class Told(type(make())):  # type: ignore[misc]
        def __enter__(self) -> Any:
            seen.append("enter")
            return super().__enter__()

        def __exit__(self, *args: Any) -> None:
            seen.append("exit")
            super().__exit__(*args)

    lock = Told()
    with lock:
        assert lock.is_mine()
    assert seen == ["enter", "exit"]
    assert not lock.locked()


def test_threads_that_bind_at_once_get_their_own() -> None:
    locks, counts = [mp.RLock() for _ in range(4)], [0] * 4

    def work(mine: int) -> None:
        for turn in range(3000):
            with locks[mine], locks[turn % 2]:
                counts[mine] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0, 0, 3000, 3000]
    assert not any(lock.locked() for lock in locks)
