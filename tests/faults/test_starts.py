"""Faults while processes are started: in who starts them, in the child, in the fork server, in a pool.

Each runs in an isolated process, so that whatever is left behind fails it.
"""

from __future__ import annotations

import ast
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import testing
from procession._native import armed
from procession._processes.start_forkserver import the_server
from procession.connection import wait
from procession.errors import StartError
from tests.faults.matrix import EXITS, Resumer
from tests.faults.pool.conftest import wait_until

METHODS = ("fork", "spawn", "forkserver")
ACTIONS = ("raise", "exit", "SIGKILL", "SIGSTOP")
EVERYWHERE = ("start.before", "start.after")
IN_STARTER = {
    "fork": (*EVERYWHERE, "start.fork.forked"),
    "spawn": (*EVERYWHERE, "start.spawn.launched"),
    "forkserver": (*EVERYWHERE, "start.forkserver.asked"),
}
RUNNING = ("process.run.before", "process.run.after")
BOOTING = ("start.boot.begun", "start.boot.before_ready")
IN_CHILD = {
    "fork": ("start.fork.begun", *RUNNING),
    "spawn": (*BOOTING, *RUNNING),
    "forkserver": ("start.forkserver.begun", *BOOTING, *RUNNING),
}
IN_SERVER = ("forkserver.answer.before_fork", "forkserver.answer.after_fork")
IN_POOL = ("pool.start.after",)  # beside those of a starter
IN_WORKER = ("pool.worker.taken", "pool.worker.answered")
PATIENCE = 20.0


@pytest.fixture(autouse=True, scope="module")
def _arena() -> None:
    mp.Lock()


def points_in_code() -> Iterator[str]:
    for path in Path(mp.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fault_point":
                assert isinstance(node.args[0], ast.Constant)
                yield str(node.args[0].value)


def test_each_point_in_python_code_is_listed_and_has_a_case_here() -> None:
    assert Counter(points_in_code()) == Counter(armed.PYTHON_POINTS)
    places = (*IN_STARTER.values(), *IN_CHILD.values(), IN_SERVER, IN_POOL, IN_WORKER)
    assert {*armed.PYTHON_POINTS} == {point for place in places for point in place}


def start_and_join(method: str, queue: Any) -> int | None:
    """The exit code; None: the child died so early that there was no start."""
    process = mp.get_context(method).Process(target=queue.put, args=("said",))
    try:
        process.start()
    except StartError:
        return None
    process.join(PATIENCE)
    return process.exitcode


def check_starts(method: str) -> None:
    """As if nothing had happened."""
    queue: Any = mp.Queue()
    assert start_and_join(method, queue) == 0
    assert queue.get(timeout=PATIENCE) == "said"


# ── who starts ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def start_with_a_fault(method: str, point: str, action: str) -> None:
    mp.get_context(method).Process  # noqa: B018 - loads what starting takes
    check_starts(method)
    queue: Any = mp.Queue()
    resumer = Resumer()
    try:
        starter = mp.get_context("fork").Process(
            target=testing.Faulty(start_and_join, point, action), args=(method, queue)
        )
        starter.start()
        starter.join(PATIENCE)
    finally:
        resumer.close()
    assert starter.exitcode in EXITS[action]
    check_starts(method)
    if action == "raise":
        with testing.fault(point, action), pytest.raises(RuntimeError, match="fault point"):
            start_and_join(method, queue)
        check_starts(method)
        assert not mp.active_children()


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("method", "point"), [(method, point) for method in METHODS for point in IN_STARTER[method]])
def test_who_starts_a_process_may_meet_with_anything(method: str, point: str, action: str) -> None:
    testing.run_isolated(start_with_a_fault, method, point, action, timeout=50).check()


# ── who is started ───────────────────────────────────────────────────────────────────────────────────────────────────────
def start_the_unlucky(method: str, point: str, action: str) -> None:
    queue: Any = mp.Queue()
    resumer = Resumer()
    fresh = method != "fork"  # a child of fork inherits what is armed here; the others read the environment
    try:
        with testing.fault(point, action, in_children=fresh):
            code = start_and_join(method, queue)
    finally:
        resumer.close()
    assert code in EXITS[action] or (code is None and point == "start.forkserver.begun")
    if method == "forkserver":
        the_server().stop()  # its children are all as unlucky
    check_starts(method)


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("method", "point"), [(method, point) for method in METHODS for point in IN_CHILD[method]])
def test_a_child_may_meet_with_anything_while_it_begins_and_ends(method: str, point: str, action: str) -> None:
    testing.run_isolated(start_the_unlucky, method, point, action, timeout=50).check()


# ── the fork server ──────────────────────────────────────────────────────────────────────────────────────────────────────
def start_by_an_unlucky_server(point: str, action: str) -> None:
    queue: Any = mp.Queue()
    resumer = Resumer()
    try:
        with testing.fault(point, action, in_children=True):
            the_server().ensure_running()
        process = mp.get_context("forkserver").Process(target=queue.put, args=("said",))
        process.start()  # by another server, if the first one died before it forked
        process.join(PATIENCE)
    finally:
        resumer.close()
    assert process.exitcode in {0, 255}  # nobody knows how a child ended whose server is dead
    assert queue.get(timeout=PATIENCE) == "said"
    assert queue.empty()
    check_starts("forkserver")


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", IN_SERVER)
def test_a_fork_server_that_fails_starts_each_process_once(point: str, action: str) -> None:
    testing.run_isolated(start_by_an_unlucky_server, point, action, timeout=50).check()


def start_a_pool_by_an_unlucky_server(point: str, action: str) -> None:
    resumer = Resumer()
    try:
        with testing.fault(point, action, in_children=True):
            the_server().ensure_running()
        with mp.get_context("forkserver").Pool(4) as pool:  # several of its workers have been asked for by then
            workers = [worker.pid for worker in pool._pool]
            assert len({*workers}) == 4
            assert None not in workers
            assert pool.map(abs, range(-20, 0), 1) == list(range(20, 0, -1))
    finally:
        resumer.close()
    check_starts("forkserver")


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", IN_SERVER)
def test_a_fork_server_that_fails_while_a_pool_asks_for_workers_is_replaced(point: str, action: str) -> None:
    testing.run_isolated(start_a_pool_by_an_unlucky_server, point, action, timeout=50).check()


def interrupt_starts(turns: int) -> int:
    """How many starts were interrupted, at all moments."""
    check_starts("forkserver")
    server, interrupted = the_server().pid, 0
    assert server is not None
    main = threading.get_ident()
    for turn in range(turns):
        stopped = turn % 4 == 0  # then it cannot have answered
        if stopped:
            os.kill(server, signal.SIGSTOP)
        process = mp.get_context("forkserver").Process(target=mp.Event().wait)
        presser = threading.Timer(0.01 if stopped else turn * 3e-5, signal.pthread_kill, (main, signal.SIGINT))
        try:
            presser.start()
            process.start()
            presser.join()
        except KeyboardInterrupt:
            interrupted += 1
        presser.join()
        if stopped:
            os.kill(server, signal.SIGCONT)
        if process._popen is not None:
            process.kill()
            process.join()
    check_starts("forkserver")
    return interrupted


@pytest.mark.slow
def test_a_start_that_is_interrupted_leaves_no_child_behind(storm_factor: int) -> None:
    assert testing.run_isolated(interrupt_starts, 60 * storm_factor, timeout=50 * storm_factor).check() >= 15


def interrupt_pool_starts(method: str, turns: int) -> int:
    """How many starts of a pool were interrupted, at all moments."""
    use_pool(method)
    interrupted, main = 0, threading.get_ident()
    for turn in range(turns):
        presser = threading.Timer(turn * 1e-4, signal.pthread_kill, (main, signal.SIGINT))
        pool = None
        try:
            presser.start()
            pool = mp.get_context(method).Pool(4)
            presser.join()
        except KeyboardInterrupt:
            interrupted += 1
        presser.join()
        if pool is not None:
            pool.terminate()
            pool.join()
        assert mp.active_children() == []
    use_pool(method)
    starter = the_server().pid if method == "forkserver" else os.getpid()
    wait_until(lambda: Path(f"/proc/{starter}/task/{starter}/children").read_text() == "")
    return interrupted


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_start_of_a_pool_that_is_interrupted_leaves_no_child_behind(method: str, storm_factor: int) -> None:
    outcome = testing.run_isolated(interrupt_pool_starts, method, 40 * storm_factor, timeout=50 * storm_factor)
    assert (outcome.traceback, outcome.timed_out) == ("", False)
    assert (
        outcome.left.processes == []
    )  # a descriptor may be lost between the call that makes it and the name that keeps it
    assert outcome.value >= 10


# ── pools ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
def use_pool(method: str) -> list[int]:
    with mp.get_context(method).Pool(2) as pool:
        return list(pool.map(abs, range(-5, 5)))


def own_a_pool_with_a_fault(method: str, point: str, action: str) -> None:
    resumer = Resumer()
    try:
        owner = mp.get_context("fork").Process(target=testing.Faulty(use_pool, point, action), args=(method,))
        owner.start()
        owner.join(PATIENCE)
    finally:
        resumer.close()
    assert owner.exitcode in EXITS[action]
    if action == "raise":
        with testing.fault(point, action), pytest.raises(RuntimeError, match="fault point"):
            use_pool(method)
    assert use_pool(method) == [abs(number) for number in range(-5, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("point", ["start.after", *IN_POOL])
def test_workers_go_with_an_owner_that_meets_with_anything(method: str, point: str, action: str) -> None:
    testing.run_isolated(own_a_pool_with_a_fault, method, point, action, timeout=50).check()


def arm(point: str, action: str) -> None:
    armed.arm(point, action)


def run_tasks_with_a_fault(point: str, action: str) -> None:
    resumer = Resumer()
    try:
        with mp.get_context("fork").Pool(2) as pool:
            first = pool.apply_async(arm, (point, action))
            results = [first, *(pool.apply_async(abs, (-number,)) for number in range(50))]
            for result in results:
                result.wait(PATIENCE)
            assert sum(not result.successful() for result in results) <= 1
            assert pool.map(abs, [-1] * 50) == [1] * 50
            pool.close()
            pool.join()
    finally:
        resumer.close()


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", IN_WORKER)
def test_a_worker_that_meets_with_anything_between_tasks_costs_one_at_most(point: str, action: str) -> None:
    testing.run_isolated(run_tasks_with_a_fault, point, action, timeout=50).check()


def test_whoever_stops_to_listen_hears_what_was_said_before_and_others_are_told() -> None:
    from procession._os import packets

    ours, theirs = packets.pair()
    try:
        packets.send(theirs, b"before")
        packets.stop_listening(ours)
        with pytest.raises(BrokenPipeError):
            packets.send(theirs, b"after")
        assert packets.receive(ours) == (b"before", [])
        assert packets.receive(ours) == (b"", [])
        assert wait([ours], 0)
    finally:
        os.close(ours)
        os.close(theirs)
