"""What a process that sends connections keeps open is opened before the first test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import procession as mp
from procession._channels import sharer
from procession._channels.temp_dir import get_temp_dir


@pytest.fixture(scope="session", autouse=True)
def _kept_open() -> None:
    mp.current_process()
    get_temp_dir()


@pytest.fixture
def lending() -> Iterator[None]:
    """For tests that send descriptors: ends the thread that hands them out."""
    yield
    sharer.stop(10)
