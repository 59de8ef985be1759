"""What all tests share: random order, a deadline each, nothing left behind; see tests/guards."""

from __future__ import annotations

import gc
import os

import pytest

pytest_plugins = ["tests.guards.order", "tests.guards.deadline", "tests.guards.leaks", "tests.guards.pace"]


@pytest.fixture(scope="session")
def storm_factor() -> int:
    """How many times as long a storm runs as in `make test`: 1, or 10 under `make storm`."""
    return int(os.environ.get("PROCESSION_STORM", "1"))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: without this, tests that collect garbage look through all of it, 0.3 s each time."""
    gc.collect()
    gc.freeze()
