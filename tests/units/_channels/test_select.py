"""wait() tells which of several objects are ready: descriptors, shared objects, and both together."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

import pytest

import procession as mp
from procession._channels.pipe import Pipe
from procession._channels.select import wait
from procession.errors import OwnerDied
from tests.units._channels.forked import child


def test_connections_sockets_and_descriptors_that_can_be_read_are_ready() -> None:
    receiver, sender = Pipe(duplex=False)
    first, second = socket.socketpair()
    reading, writing = os.pipe()
    with receiver, sender, first, second:
        assert wait([receiver, second, reading], 0) == []
        os.write(writing, b"x")
        assert wait([receiver, second, reading], 10) == [reading]
        sender.send(None)
        assert wait([receiver, second, reading], 10) == [receiver, reading]
        first.sendall(b"x")
        assert wait([reading, second, receiver]) == [reading, second, receiver]
        os.close(writing)
        os.close(reading)


def test_the_end_of_a_connection_is_ready() -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver:
        sender.close()
        assert wait([receiver], 10) == [receiver]


def test_what_is_given_twice_comes_twice_in_the_order_given() -> None:
    first, second = Pipe()
    with first, second:
        first.send(1)
        second.send(1)
        assert wait([second, first, second]) == [second, first, second]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_nothing_is_ready_in_time(timeout: float) -> None:
    first, second = Pipe()
    event = mp.Event()
    with first, second:
        assert wait([first], timeout) == []
        assert wait([event], timeout) == []
        assert wait([first, event], timeout) == []
        assert wait([], timeout) == []


def test_waiting_for_nothing_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="for ever"):
        wait([])


def test_what_cannot_be_waited_for_is_refused() -> None:
    first, second = Pipe()
    with second:
        first.close()
        with pytest.raises(OSError, match="closed"):
            wait([first, second], 0)
    closed = socket.socket()
    closed.close()
    for wrong in (closed, -1):
        with pytest.raises(ValueError, match="closed"):
            wait([wrong], 0)
    with pytest.raises(TypeError, match="fileno"):
        wait(["text"], 0)
    with pytest.raises(OSError, match="not open"):
        wait([999_999], 0)


READY: dict[str, tuple[Any, Any]] = {
    "Queue": (mp.Queue, lambda queue: queue.put(1)),
    "SimpleQueue": (mp.SimpleQueue, lambda queue: queue.put(1)),
    "JoinableQueue": (mp.JoinableQueue, lambda queue: queue.put(1)),
    "shutdown": (mp.Queue, lambda queue: queue.shutdown()),
    "Event": (mp.Event, lambda event: event.set()),
    "Semaphore": (lambda: mp.Semaphore(0), lambda semaphore: semaphore.release()),
}


@pytest.mark.parametrize("kind", READY)
@pytest.mark.parametrize("beside", [True, False], ids=["beside a connection", "alone"])
def test_shared_objects_become_ready_by_another_process(kind: str, beside: bool) -> None:
    make, let_be_ready = READY[kind]
    shared = make()
    ours, theirs = Pipe()
    go, begin = Pipe(duplex=False)
    others = [theirs] if beside else []

    def other() -> None:
        go.recv()
        let_be_ready(shared)

    with ours, theirs, go, begin, child(other):
        assert wait([*others, shared], 0.01) == []
        begin.send(True)
        assert wait([*others, shared], 30) == [shared]
        if beside:
            ours.send(1)
            assert wait([shared, theirs], 30) == [shared, theirs]


def test_a_connection_ends_a_wait_for_shared_objects_too() -> None:
    ours, theirs = Pipe()
    event, queue = mp.Event(), mp.Queue()
    with ours, theirs, child(lambda: theirs.send(1)):
        assert wait([event, ours, queue], 30) == [ours]


def test_a_lock_is_ready_when_it_is_released() -> None:
    lock, ready = mp.Lock(), mp.Event()

    def hold() -> None:
        with lock:
            ready.set()
            assert not go.poll(0) or go.recv()
            go.recv()

    go, begin = Pipe(duplex=False)
    with go, begin, child(hold):
        assert ready.wait(30)
        assert wait([lock], 0) == []
        begin.send(1)
        begin.send(1)
        assert wait([lock], 30) == [lock]


@pytest.mark.parametrize("make", [mp.Lock, mp.RLock, mp.Semaphore], ids=["Lock", "RLock", "Semaphore"])
def test_a_lock_is_ready_when_its_holder_is_killed(make: Any) -> None:
    lock, taken = make(), mp.Event()

    def take_and_die() -> None:
        lock.acquire()
        taken.set()
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        take_and_die()
    assert taken.wait(30)
    try:
        assert wait([lock], 30) == [lock]
        with pytest.raises(OwnerDied):
            lock.acquire()
    finally:
        os.waitpid(pid, 0)


def test_an_object_says_by_itself_what_to_wait_for() -> None:
    receiver, sender = Pipe(duplex=False)

    class Watched:
        def _watchable(self) -> int:
            return receiver.fileno()

    class Ended:
        sentinel = receiver.fileno()

    objects = [Watched(), Ended()]
    with receiver, sender:
        assert wait(objects, 0) == []
        sender.send(1)
        assert wait(objects, 10) == objects


def test_several_threads_wait_for_the_same_objects() -> None:
    event, found = mp.Event(), []
    threads = [threading.Thread(target=lambda: found.append(wait([event], 30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join()
    assert found == [[event]] * 4


@pytest.mark.parametrize("what", ["poll", "connections", "events", "both"])
def test_a_storm_of_signals_neither_shortens_nor_prolongs_a_wait(what: str) -> None:
    """A wait that began anew at each signal would not end at all."""
    first, second = Pipe()
    event = mp.Event()
    calls: dict[str, Any] = {
        "poll": lambda: first.poll(0.1),
        "connections": lambda: wait([first], 0.1),
        "events": lambda: wait([event], 0.1),
        "both": lambda: wait([first, event], 0.1),
    }
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with first, second:
            began = time.monotonic()
            assert not calls[what]()
            assert time.monotonic() - began >= 0.1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(seen) > 3


@pytest.mark.parametrize("what", ["poll", "wait", "recv", "recv_bytes", "send"])
def test_a_signal_handler_that_raises_ends_a_wait_and_loses_nothing(what: str) -> None:
    first, second = Pipe()
    big = bytes(8 << 20)
    calls: dict[str, Any] = {
        "poll": lambda: first.poll(None),
        "wait": lambda: wait([first]),
        "recv": first.recv,
        "recv_bytes": first.recv_bytes,
        "send": lambda: first.send_bytes(big),
    }

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with first, second:
            with pytest.raises(KeyboardInterrupt):
                calls[what]()
            if what != "send":
                second.send("next")
                assert first.recv() == "next"
    finally:
        signal.signal(signal.SIGALRM, before)
