"""Workers killed at random instructions while the pool does everything that it can: each kill costs one task at most, nothing hangs."""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import Any

import pytest

import procession as mp
from procession.errors import WorkerDied
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import check_whole

PATIENCE = 30.0


class Killer(threading.Thread):
    """Kills one of the pool's workers every few milliseconds, until it is told to stop."""

    def __init__(self, pool: Pool, seed: int) -> None:
        super().__init__(name="killer")
        self._pool = pool
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self._ended.wait(self._random.uniform(0.002, 0.05)):
            try:
                os.kill(self._random.choice(self._pool._pool).pid, signal.SIGKILL)
                self.kills += 1
            except (IndexError, ProcessLookupError, ValueError, TypeError):
                continue  # that one was gone already

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self.kills


def outcomes(pool: Pool, turn: int) -> list[tuple[object, object]]:
    """(got, expected) of a mixture of calls; a lost task counts as expected, as the error itself."""
    text = "x" * (turn % 7) * 10_000
    asked: list[tuple[Any, object]] = [
        *((pool.apply_async(tasks.square, (x,)).get, x * x) for x in range(30)),
        (pool.apply_async(tasks.same, (text,)).get, text),
        (pool.map_async(tasks.square, range(300), chunksize=1).get, [x * x for x in range(300)]),
        (pool.map_async(tasks.square, range(5000)).get, [x * x for x in range(5000)]),
    ]
    found = [(outcome(get), expected) for get, expected in asked]
    stream = pool.imap(tasks.square, iter(range(200)), buffersize=20 if turn % 2 else None)
    found += [(outcome(stream.next), x * x) for x in range(200)]
    return found


def outcome(get: Any) -> object:
    try:
        return get(PATIENCE)
    except WorkerDied as error:
        return error


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("maxtasks", [None, 50])
def test_a_storm_of_kills_costs_no_more_tasks_than_kills(maxtasks: int | None, storm_factor: int) -> None:
    with mp.get_context("fork").Pool(2, maxtasksperchild=maxtasks) as pool:
        killer = Killer(pool, seed=1)
        killer.start()
        lost: set[int] = set()
        try:
            turn = 0
            while killer.kills < 30 * storm_factor:
                turn += 1
                for got, expected in outcomes(pool, turn):
                    if isinstance(got, WorkerDied):
                        lost.add(id(got))
                    else:
                        assert got == expected
        finally:
            kills = killer.stop()
        assert len(lost) <= kills
        check_whole(pool)
    pool.join()
