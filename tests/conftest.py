"""What all tests share: random order, a deadline each, nothing left behind; see tests/guards."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ["tests.guards.order", "tests.guards.deadline", "tests.guards.leaks", "tests.guards.pace"]

# About protocols, sources, the tests themselves and the native core, which are the same for every Python; and a long storm.
ONCE = (
    "architecture",
    "benchmarks",
    "conformance/test_harness.py",
    "faults/test_matrix.py",
    "guards",
    "model",
    "units/_managers/test_storm.py",
    "units/_native/test_storm.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / place) for place in ONCE):
            item.add_marker("once")


def pytest_sessionstart() -> None:
    """Shells start background jobs deaf to Ctrl-C, and the programs that tests interrupt would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def storm_factor() -> int:
    """How many times as long a storm runs as in `make test`: 1, or 10 under `make storm`."""
    return int(os.environ.get("PROCESSION_STORM", "1"))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: without this, tests that collect garbage look through all of it, 0.3 s each time."""
    gc.collect()
    gc.freeze()
