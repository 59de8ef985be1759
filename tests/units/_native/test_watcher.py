"""Watcher: poll() learns when a shared object may be ready."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from procession import _native
from tests.units._native.children import child, until


@contextmanager
def watching(*objects: Any) -> Iterator[Callable[[float], bool]]:
    """How to ask whether the descriptor became readable within some seconds."""
    watcher = _native.Watcher(objects)
    try:
        yield lambda seconds: bool(select.select([watcher.fileno()], [], [], seconds)[0])
    finally:
        watcher.close()


@pytest.fixture(params=[False, True], ids=["waitv", "slices"], autouse=True)
def _with_and_without_waitv(request: pytest.FixtureRequest) -> Iterator[None]:
    _native.forbid_wait_any(request.param)
    yield
    _native.forbid_wait_any(False)


def held() -> _native.Lock:
    lock = _native.Lock()
    lock.acquire()
    return lock


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "a queue that is put into": (_native.Queue, lambda queue: queue.put(1)),
    "a queue that is shut down": (_native.Queue, lambda queue: queue.shut_down()),
    "an event that is set": (_native.Event, lambda event: event.set()),
    "a lock that is released": (held, lambda lock: lock.release()),
    "a semaphore that is released": (lambda: _native.Semaphore(0), lambda semaphore: semaphore.release()),
}


@pytest.mark.parametrize("case", CASES)
def test_it_tells_of(case: str) -> None:
    make, change = CASES[case]
    obj = make()
    with watching(_native.Event(), obj, _native.Queue()) as readable:
        assert not readable(0.02)
        with child(change, obj):
            assert readable(20)
    with watching(obj) as readable:
        assert readable(0), "ready already: told at once"


def test_it_tells_of_a_dead_holder() -> None:
    lock, taken = _native.Lock(), _native.Event()

    def take_and_wait() -> None:
        lock.acquire()
        taken.set()
        _native.Event().wait()

    with child(take_and_wait) as holder:
        assert taken.wait(20)
        with watching(lock) as readable:
            assert not readable(0)
            holder.kill()
            assert readable(20)


def test_it_tells_of_a_dead_holder_of_a_semaphore() -> None:
    semaphore, taken = _native.Semaphore(1), _native.Event()

    def take_and_wait() -> None:
        semaphore.acquire()
        taken.set()
        _native.Event().wait()

    with child(take_and_wait) as holder:
        assert taken.wait(20)
        with watching(semaphore) as readable:
            assert not readable(0)
            holder.kill()
            assert readable(20)


def test_it_takes_no_permit_from_one_who_waits() -> None:
    semaphore = _native.Semaphore(0)
    with child(semaphore.acquire):
        until(lambda: any(row[3] == semaphore.handle[0] for row in _native.waits()))
        with watching(semaphore), watching(semaphore):
            semaphore.release()


@pytest.mark.slow
def test_a_watch_of_a_semaphore_sleeps() -> None:
    def switches() -> int:
        states = [task.joinpath("status").read_text() for task in Path("/proc/self/task").iterdir()]
        return sum(int(state.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for state in states)

    if not _native.has_wait_any():
        pytest.skip("without futex_waitv every sleep is cut into slices")
    with watching(_native.Semaphore(0)) as readable:
        assert not readable(0.05)
        before = switches()
        assert not readable(0.4)
        assert switches() - before < 20, "a look every 10 ms would be 40"


def test_it_takes_no_wake_up_from_a_reader() -> None:
    queue = _native.Queue()
    with child(queue.get):
        until(lambda: any(row[3] == queue.handle[0] for row in _native.waits()))
        with watching(queue), watching(queue):
            queue.put(1)


def test_many_objects_are_watched() -> None:
    events = [_native.Event() for _ in range(300)]
    for last in (events[0], events[150], events[299]):
        with watching(*events) as readable:
            assert not readable(0.02)
            last.set()
            assert readable(20)
        last.clear()


def test_a_closed_watcher_has_no_descriptor() -> None:
    watcher = _native.Watcher([_native.Event()])
    fd = watcher.fileno()
    watcher.close()
    watcher.close()
    with pytest.raises(ValueError, match="closed"):
        watcher.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    forgotten = _native.Watcher([_native.Event()])
    del forgotten  # the guards fail the test if its thread or descriptor is left


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="watches Queue, Event"):
        _native.Watcher([_native.Event(), object()])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        _native.Watcher(5)  # type: ignore[arg-type]


def test_signals_go_to_python_not_to_the_watch() -> None:
    hits: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: hits.append(signum))
    try:
        with watching(_native.Event()) as readable:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not readable(0)
        until(lambda: hits)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_made_by_fork_leaves_its_parents_watch_alone() -> None:
    event = _native.Event()
    watcher = _native.Watcher([event])
    with child(watcher.close):
        pass
    event.set()
    assert select.select([watcher.fileno()], [], [], 20)[0]
    watcher.close()
