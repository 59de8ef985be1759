"""A manager for a test, with a type of the tests' own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession.managers import SyncManager


def is_in_call(frame: Any) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "answer":
            return True
        frame = frame.f_back
    return False


class Account:
    """An object of a user's."""

    def __init__(self, start: int = 0) -> None:
        self._sum = start
        self._entries: list[int] = []

    def add(self, amount: int) -> int:
        self._entries.append(amount)
        self._sum += amount
        return self._sum

    def entries(self) -> list[int]:
        return self._entries

    def fail(self, error: BaseException) -> None:
        raise error

    def lock(self) -> Any:
        return threading.Lock()  # cannot be pickled

    def numbers(self) -> Any:
        got = yield 1
        yield ("got", got)

    def thread(self) -> int:
        return threading.get_ident()

    def threads(self) -> int:
        return threading.active_count()

    def descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def calls(self) -> int:
        """How many calls run in the server, this one included."""
        return sum(is_in_call(frame) for frame in sys._current_frames().values())

    def _secret(self) -> str:
        return "secret"


class Bank(SyncManager):
    """The tests' manager."""


Bank.register("Account", Account, method_to_typeid={"numbers": "Iterator", "entries": "Entries"})
Bank.register("Entries", proxytype=None, exposed=("append", "__len__", "__getitem__"), create_method=False)


@pytest.fixture
def manager() -> Iterator[Any]:
    """A started manager."""
    with Bank() as started:
        yield started
    started.join()  # or pytest would keep its process
