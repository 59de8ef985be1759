"""close, join, terminate, `with` and the garbage collector end a pool at any moment, twice, and from any thread."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest

import procession as mp
from procession.errors import ResultsDiscarded
from procession.pool import Pool
from tests.faults.pool import tasks
from tests.faults.pool.conftest import SOON, wait_until

ENDS: list[tuple[str, ...]] = [
    ("terminate",),
    ("terminate", "terminate"),
    ("close", "terminate"),
    ("terminate", "close"),
    ("close", "close"),
    ("terminate", "join", "join", "terminate"),
    ("close", "join", "join", "close", "terminate"),
]


def use(pool: Pool) -> list[Any]:
    return [
        *(pool.apply_async(tasks.square, (x,)) for x in range(50)),
        pool.map_async(tasks.square, range(50)),
        pool.map_async(tasks.square, range(50), chunksize=1, callback=lambda _: None),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ends", ENDS, ids="-".join)
@pytest.mark.parametrize("busy", [False, True])
def test_every_order_of_ends_ends_the_pool(busy: bool, ends: tuple[str, ...]) -> None:
    pool = mp.get_context("fork").Pool(2)
    results = use(pool) if busy else []
    for end in ends:
        getattr(pool, end)()
    pool.join()
    for result in results:
        try:
            result.get(SOON)
        except ResultsDiscarded:
            assert "terminate" in ends
    with pytest.raises(ValueError, match="not running"):
        pool.apply(tasks.square, (1,))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_a_pool_may_be_ended_by_another_thread_while_many_wait(end: str) -> None:
    pool = mp.get_context("fork").Pool(2)
    ended: list[str] = []

    def ask() -> None:
        try:
            for x in itertools.count():
                assert pool.apply(tasks.square, (x,)) == x * x
        except (ValueError, ResultsDiscarded) as error:
            ended.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    enders = [threading.Thread(target=getattr(pool, end)) for _ in range(3)]
    for thread in enders:
        thread.start()
    for thread in threads + enders:
        thread.join(20)
    pool.join()
    assert len(ended) == 4


@pytest.mark.slow
@pytest.mark.parametrize("in_cycle", [False, True])
@pytest.mark.parametrize("busy", [False, True])
def test_a_pool_that_nobody_refers_to_ends(busy: bool, in_cycle: bool) -> None:
    pool = mp.get_context("fork").Pool(2)
    pids = [worker.pid for worker in pool._pool]
    results = use(pool) if busy else []
    if in_cycle:
        pool.itself = pool  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recorded, the warning would keep the pool
        del pool
        for result in results:
            result.get(SOON)
        results.clear()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), gc.collect)


@pytest.mark.slow
def test_a_result_keeps_its_pool_alive(context: Any) -> None:
    with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031 - it may come at either line
        assert context.Pool(1).apply_async(tasks.square, (3,)).get(SOON * 2) == 9
        gc.collect()


@pytest.mark.slow
def test_leaving_with_discards_what_is_not_there() -> None:
    with mp.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(time.sleep, (10,)) for _ in range(100)]
        mapped = pool.map_async(time.sleep, [10] * 10)
    for result in [*results, mapped]:
        with pytest.raises(ResultsDiscarded, match="close"):
            result.get(SOON)  # type: ignore[attr-defined]
    pool.join()


PROGRAM = """
import atexit, os, signal, sys, time
import procession as mp
def nap(x): time.sleep(30)
if __name__ == "__main__":
    atexit.register(print, "atexit ran", flush=True)
    with mp.get_context(sys.argv[1]).Pool(3) as pool:
        print("ready", *pool.map(abs, [1, 2]), flush=True)
        if sys.argv[2] == "map": pool.map(nap, range(10))
        elif sys.argv[2] == "imap": list(pool.imap(nap, iter(range(10))))
        elif sys.argv[2] == "close": pool.map_async(nap, range(10)); pool.close(); pool.join()
        elif sys.argv[2] == "callbacks": pool.map_async(nap, range(10), callback=print); time.sleep(30)
        else: time.sleep(30)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("state", ["map", "imap", "close", "callbacks", "idle"])
def test_one_ctrl_c_ends_the_program_with_one_traceback(method: str, state: str, tmp_path: Any) -> None:
    if method != "fork" and state not in {"map", "idle"}:
        return
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, str(path), method, state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready 1 2\n"
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert err.count("Traceback") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "atexit ran" in out
    wait_until(lambda: not group_lives(program.pid))


def group_lives(group: int) -> bool:
    """Does a process of this group run? Zombies do not: their parent is gone, and they wait for this process to see it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                state, _parent, its_group = file.read().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state not in "ZX":
            return True
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the handler may raise in a destructor, too
def test_a_pool_is_usable_after_an_interrupt_at_any_moment(forked: Pool) -> None:
    class Alarm(Exception):
        pass

    def ring(*_args: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    interrupted = 0
    try:
        for turn in range(150):
            result = None
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0003 + turn * 2e-5)
                    result = forked.map_async(tasks.square, range(1000), chunksize=1)
                    result.get(SOON)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except Alarm:
                interrupted += 1
            assert forked.map_async(tasks.square, range(5)).get(SOON) == [0, 1, 4, 9, 16]
            if result is not None:
                result.wait(SOON)
                assert result.ready()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 10
    forked.close()
    forked.join()
