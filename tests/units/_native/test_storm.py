"""Processes are killed at random while they put, get and lock: nothing hangs, nothing comes twice, nothing comes damaged."""

from __future__ import annotations

import os
import queue as stdlib_queue
import random
from collections.abc import Callable

import pytest

from procession import _native
from procession.errors import OwnerDied
from tests.units._native.children import Child

MESSAGES = 4_000_000
KILLS = 2000


class Storm:
    """What the processes of a storm share."""

    def __init__(self) -> None:
        self.queue = _native.Queue(500)
        self.lock = _native.Lock()
        self.numbers = _native.Table(1)  # word 0: the next message's number
        self.memory = _native.Memory(MESSAGES + 8)
        self.inside = memoryview(self.memory)[MESSAGES:].cast("Q")
        self.seen = memoryview(self.memory)[:MESSAGES]  # how often each message was got

    def produce(self) -> None:
        """Put messages until killed."""
        while (number := self.numbers.add(0, 0, 1)) < MESSAGES:
            self.guard()
            self.queue.put((number, str(number) * (number % 300)))
        _native.Event().wait()

    def consume(self) -> None:
        """Get messages until killed."""
        while True:
            self.note(self.queue.get())

    def note(self, message: tuple[int, str]) -> None:
        number, text = message
        assert text == str(number) * (number % 300)
        self.seen[number] += 1

    def guard(self) -> None:
        """Hold the lock for a moment, alone."""
        try:
            self.lock.acquire()
        except OwnerDied:
            self.lock.recover()
            return
        me = os.getpid()
        self.inside[0] = me
        os.sched_yield()
        assert self.inside[0] == me
        self.lock.release()


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.deadline(600)
def test_kills_neither_hang_nor_duplicate_nor_damage(storm_factor: int) -> None:
    storm, chance = Storm(), random.Random(os.getpid())
    roles: list[Callable[[], None]] = [storm.produce, storm.consume] * 3
    children = [Child(role) for role in roles]
    kills = KILLS * storm_factor
    try:
        for _ in range(kills):
            victim = chance.randrange(len(roles))
            for _ in range(chance.randrange(200)):
                os.sched_yield()
            children[victim].kill()
            assert children[victim].status == -9, "it failed before it was killed"
            children[victim] = Child(roles[victim])
    finally:
        for running in children:
            running.kill()
    assert {running.status for running in children} == {-9}
    drain(storm)
    numbers = min(storm.numbers.load(0, 0), MESSAGES - 1)
    seen = bytes(storm.seen[1 : numbers + 1])
    assert seen.count(1) + seen.count(0) == numbers, "a message came twice"
    assert seen.count(0) <= kills + len(roles), "more was lost than the killed had in their hands"
    assert numbers > kills


def drain(storm: Storm) -> None:
    while True:
        try:
            storm.note(storm.queue.get(timeout=0.5))
        except stdlib_queue.Empty:
            return
