"""What the pools are given to run; nothing here belongs to one library."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from typing import Any


def square(x: int) -> int:
    return x * x


def pid(_item: object = None) -> int:
    time.sleep(0.02)
    return os.getpid()


def kill(_item: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(_item: object = None) -> None:
    os._exit(3)


def exit_politely(_item: object = None) -> None:
    sys.exit()


def crash(_item: object = None) -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]


class Unbuildable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


class HoldingLock(Exception):
    def __init__(self) -> None:
        super().__init__("mine")
        self.lock = threading.Lock()


def raise_unbuildable(_item: object = None) -> None:
    raise Unbuildable(1, 2)


def raise_holding_lock(_item: object = None) -> None:
    raise HoldingLock


def make_unpicklable(_item: object = None) -> object:
    return threading.Lock()


class KillsWhenRebuilt:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def fail_to_start() -> None:
    raise OSError("no database")


def nested(_item: object = None) -> int:
    name = os.environ["TORTURE_LIBRARY"]
    from benchmarks.torture.pools import ADAPTERS

    return ADAPTERS[name](2).call(square, 4)


def draw_numpy(_item: object = None) -> float:
    import numpy as np

    time.sleep(0.02)
    return float(np.random.random())


def draw(_item: object = None) -> float:
    time.sleep(0.02)
    return random.random()


def nap(_item: object = None) -> None:
    time.sleep(60)


def kill_at_times(item: int) -> int:
    if item % 50 == 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return item
