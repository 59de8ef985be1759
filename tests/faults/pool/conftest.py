"""Pools under every start method, and what it means that one is whole again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession as mp
from procession.pool import Pool
from tests.faults.pool import tasks

METHODS = ["fork", "spawn", "forkserver"]
SOON = 5.0  # seconds: a second is promised; the rest is for a crowded machine


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


@pytest.fixture
def pool(context: Any) -> Iterator[Pool]:
    with context.Pool(2) as made:
        yield made
    made.join()


@pytest.fixture
def forked() -> Iterator[Pool]:
    with mp.get_context("fork").Pool(2) as made:
        yield made
    made.join()


def check_whole(pool: Pool) -> None:
    """It works, with as many workers as it should have."""
    assert pool.map_async(tasks.square, range(20), chunksize=1).get(SOON) == [x * x for x in range(20)]
    wait_until(lambda: sum(worker.is_alive() for worker in pool._pool) == 2, pool._repopulate_pool)


def wait_until(condition: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Look again and again, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        meanwhile()
        time.sleep(0.001)  # sleeps: between two looks
