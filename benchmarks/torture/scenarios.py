"""What the pools are put through. Each scenario is run in a process of its own, and says step by step what happened.

A step is a line `step outcome seconds` on stdout, so that whoever reads knows what was reached when the process hangs.
Not here: starting, timing out and killing those processes (`__main__.py`, `cell.py`).
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.torture import tasks
from benchmarks.torture.pools import Adapter, Lacking

SCENARIOS: dict[str, tuple[str, Callable[[Any], None]]] = {}
FAIR = 20  # calls that show that a pool is whole


def say(step: str, outcome: str, began: float) -> None:
    print(json.dumps([step, outcome, round(time.monotonic() - began, 2)]), flush=True)


def scenario(name: str, title: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
        SCENARIOS[name] = (title, run)
        return run

    return register


def attempt(step: str, action: Callable[[], Any]) -> None:
    """Say what an action came to."""
    began = time.monotonic()
    try:
        found = action()
    except (Lacking, NotImplementedError):
        say(step, "n/a", began)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - it is what is measured
        say(step, f"ERR {type(error).__name__}", began)
    else:
        say(step, "ok" if found is None else f"ok {found}", began)


def is_whole(pool: Adapter) -> None:
    found = [pool.call(tasks.square, x) for x in range(FAIR)]
    if found != [x * x for x in range(FAIR)]:
        raise ValueError("wrong results")


def guilty(make: Callable[..., Adapter], func: Callable[..., Any], *args: Any) -> None:
    pool = make(2)
    is_whole(pool)
    attempt("the task", lambda: pool.call(func, *args) and None)
    attempt("the next", lambda: is_whole(pool))
    attempt("the end", pool.close)


def add_guilty(
    name: str, title: str, func: Callable[..., Any], make_args: Callable[[], tuple[Any, ...]] = tuple
) -> None:
    SCENARIOS[name] = (title, lambda make: guilty(make, func, *make_args()))


add_guilty("killed", "task is killed (SIGKILL)", tasks.kill)
add_guilty("segfault", "task crashes (SIGSEGV)", tasks.crash)
add_guilty("os_exit", "task calls `os._exit(3)`", tasks.leave)
add_guilty("sys_exit", "task calls `sys.exit()`", tasks.exit_politely)
add_guilty("unbuildable", "exception cannot be rebuilt", tasks.raise_unbuildable)
add_guilty("holding_lock", "exception cannot be pickled", tasks.raise_holding_lock)
add_guilty("result", "result cannot be pickled", tasks.make_unpicklable)
add_guilty("argument", "argument cannot be pickled", tasks.square, lambda: (threading.Lock(),))
add_guilty("rebuild_kills", "argument kills who rebuilds it", tasks.square, lambda: (tasks.KillsWhenRebuilt(),))
add_guilty("lambda", "function is a lambda", lambda: 1)
add_guilty("nested", "a pool in a worker", tasks.nested)


@scenario("idle_killed", "idle workers are killed, then a call")
def idle_killed(make: Callable[..., Adapter]) -> None:
    pool = make(2)
    pids = {pool.call(tasks.pid) for _ in range(20)}
    for pid in pids - {os.getpid()}:
        os.kill(pid, signal.SIGKILL)
    attempt("the next", lambda: is_whole(pool))
    attempt("the end", pool.close)


@scenario("initializer", "initializer raises")
def initializer(make: Callable[..., Adapter]) -> None:
    attempt("the task", lambda: make(2, initializer=tasks.fail_to_start).call(tasks.square, 2))


@scenario("killed_often", "4 of 175 tasks kill their workers")
def killed_often(make: Callable[..., Adapter]) -> None:
    pool, lost = make(2), 0

    def run() -> str:
        nonlocal lost
        waiting = [pool.start(tasks.kill_at_times, x) for x in range(1, 176)]
        for x, wait in enumerate(waiting, 1):
            try:
                if wait() != x:
                    raise SystemExit("wrong result")
            except Exception:  # noqa: BLE001 - counted
                lost += 1
        return f"{lost} lost"

    attempt("the tasks", run)
    attempt("the next", lambda: is_whole(pool))


@scenario("endless", "endless input: items taken after 3 results")
def endless(make: Callable[..., Adapter]) -> None:
    pool, taken = make(2), itertools.count()

    def read() -> str:
        options = {"buffersize": 4} if os.environ["TORTURE_LIBRARY"] == "procession" else {}
        results = pool.pool.imap(tasks.square, taken, **options) if options else pool.iterate(tasks.square, taken)
        for _ in range(3):
            next(results)
        time.sleep(0.3)
        return f"{next(taken)} items"

    attempt("the input", read)
    os._exit(0)


def broken_input() -> Any:
    yield from range(3)
    raise LookupError("input")


@scenario("input_raises", "input raises half-way")
def input_raises(make: Callable[..., Adapter]) -> None:
    pool = make(2)
    attempt("the input", lambda: list(pool.iterate(tasks.square, broken_input())))
    attempt("the next", lambda: is_whole(pool))
    attempt("the end", pool.close)


def distinct(pool: Adapter, draw: Callable[..., float]) -> str:
    found = [wait() for wait in [pool.start(draw) for _ in range(12)]]
    return "different" if len(set(found)) == len(found) else "EQUAL"


@scenario("numpy_random", "numpy's random numbers in workers (numpy used before)")
def numpy_random(make: Callable[..., Adapter]) -> None:
    import numpy as np

    np.random.random()
    pool = make(2)
    attempt("the numbers", lambda: distinct(pool, tasks.draw_numpy))


@scenario("ctrl_c", "Ctrl-C while tasks run")
def ctrl_c(make: Callable[..., Adapter]) -> None:
    pool = make(2)
    is_whole(pool)
    waiting = [pool.start(tasks.nap) for _ in range(4)]
    print(json.dumps(["ready", "interrupt", 0]), flush=True)
    for wait in waiting:
        wait()


@scenario("parent_killed", "parent is killed in mid-task: workers alive 3 s later")
def parent_killed(make: Callable[..., Adapter]) -> None:
    pool = make(2)
    is_whole(pool)
    waiting = [pool.start(tasks.nap) for _ in range(4)]
    print(json.dumps(["ready", "orphan", 0]), flush=True)
    for wait in waiting:
        wait()


@scenario("discarded", "results asked for after `with` was left")
def discarded(make: Callable[..., Adapter]) -> None:
    adapter = make(2)
    if not hasattr(adapter, "pool") or not hasattr(adapter.pool, "__exit__"):
        raise Lacking
    with adapter.pool:
        waiting = [adapter.start(tasks.pid) for _ in range(200)]

    def ask() -> str:
        kinds = set()
        for wait in waiting:
            try:
                wait()
            except Exception as error:  # noqa: BLE001 - told
                kinds.add(type(error).__name__)
        return ", ".join(sorted(kinds)) or "all there"

    attempt("the results", ask)
