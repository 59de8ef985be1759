"""What the pools of these tests run: functions that a spawned worker can import."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import procession as mp

TABLE: dict[str, Any] = {}  # what an initializer left for the tasks of its worker


def square(x: int) -> int:
    return x * x


def keep(name: str, value: Any) -> None:
    TABLE[name] = value


def kill(signum: int) -> None:
    os.kill(os.getpid(), signum)


def leave(code: int) -> None:
    os._exit(code)


def exit_with(code: object) -> None:
    sys.exit(code)  # type: ignore[arg-type]


def crash_in_here() -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def abort_in_here() -> None:
    os.abort()


def exhaust_stack() -> int:
    return exhaust_stack() + 1


def allocate_beyond_limit(megabytes: int) -> int:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    return len(bytearray((megabytes + 1) << 20))


def kill_with_lock(lock: Any) -> None:
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def take_lock(lock: Any) -> bool:
    with lock:
        return True


def arm(point: str, action: str) -> int:
    """The worker meets its fate in the core, when it next comes by there."""
    from procession import _native

    _native.fault_arm(point, action)
    return os.getpid()


def keep_ends(begun: Any, release: Any) -> None:
    TABLE["begun"], TABLE["release"] = begun, release


def begin_and_wait() -> int:
    TABLE["begun"].put(os.getpid())
    TABLE["release"].wait(30)
    return os.getpid()


def pid_after(_item: object) -> int:
    return os.getpid()


def raise_it(error: BaseException) -> None:
    raise error


class Unbuildable(Exception):
    """Can be pickled, and not be rebuilt."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


class HoldingLock(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.lock = threading.Lock()


def raise_unbuildable() -> None:
    raise Unbuildable(1, 2)


def raise_holding_lock() -> None:
    raise HoldingLock


def raise_unprintable() -> None:
    class Unprintable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        __str__ = __repr__

    raise Unprintable


def raise_base() -> None:
    raise GeneratorExit("odd, but allowed")


class KillsWhenRebuilt:
    """Its rebuilding ends the process that rebuilds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


class RaisesWhenRebuilt:
    """Its rebuilding raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return raise_it, (self.error,)


class RaisesWhenPickled:
    """Its pickling raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise ZeroDivisionError("not to be pickled")


def same(x: Any) -> Any:
    return x


def make_unpicklable() -> object:
    return threading.Lock()


def make_raising(error: BaseException) -> RaisesWhenRebuilt:
    return RaisesWhenRebuilt(error)


def fail_to_start(text: str) -> None:
    raise KeyError(text)


def fail_at_times(counter: Any) -> None:
    with counter.get_lock():
        counter.value += 1
        if counter.value % 2:
            raise OSError("the licence server is busy")


def kill_at_start() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nested_sum(count: int) -> int:
    with mp.Pool(2) as pool:
        return sum(pool.map(square, range(count)))


def nested_pool_that_stays(places: Any) -> None:
    pool = mp.Pool(2)
    places.put([worker.pid for worker in pool._pool])
    time.sleep(60)  # sleeps: to be killed


def numpy_draw(_item: object) -> float:
    import numpy

    time.sleep(0.01)  # sleeps: so that each worker gets its share
    return float(numpy.random.random())


def draw(_item: object) -> float:
    time.sleep(0.01)  # sleeps: so that each worker gets its share
    return random.random()
