"""`procession.testing`: what users have to test their own programs with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import shared_memory, testing

METHODS = ("fork", "spawn", "forkserver")


def double(number: int) -> int:
    return 2 * number


def put_three(queue: Any) -> None:
    for number in range(3):
        queue.put(number)


# ── fault points ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_list_of_points_is_that_of_the_sources() -> None:
    native = Path(__file__).resolve().parents[2] / "native"
    named = {
        rest.split('"')[0]
        for path in [*native.glob("*.c"), *native.glob("*.h")]
        if path.name != "fault.h"
        for rest in path.read_text().split('PN_FAULT("')[1:]
    }
    assert named <= set(testing.fault_points())
    assert len(named) > 100


def test_a_point_raises_at_the_passage_that_was_asked_for() -> None:
    queue = mp.Queue()
    with testing.fault("queue.put.after_commit", "raise", at=2):
        queue.put(1)
        with pytest.raises(RuntimeError, match="fault point"):
            queue.put(2)
        queue.put(3)
    assert queue.get_many(5) == [1, 2, 3], "the operation that raised was completed"


@pytest.mark.parametrize(
    ("name", "action", "at", "why"),
    [
        ("queue.put.after_comit", "SIGKILL", 1, "no fault point is called"),
        ("nothing.*", "SIGKILL", 1, "no fault point is called"),
        ("queue.*", "kill", 1, "action must be one of"),
        ("queue.*", "exit", 0, "for the first time at 1"),
    ],
)
def test_a_fault_that_would_never_happen_is_refused(name: str, action: str, at: int, why: str) -> None:
    with pytest.raises(ValueError, match=why), testing.fault(name, action, at):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("action", "exitcode"), [("SIGKILL", -signal.SIGKILL), ("exit", 70)])
def test_a_child_dies_at_the_point_where_it_was_told_to(method: str, action: str, exitcode: int) -> None:
    queue: Any = mp.Queue()
    target = testing.Faulty(put_three, "queue.put.after_commit", action, at=2)
    child = mp.get_context(method).Process(target=target, args=(queue,))
    child.start()
    child.join()
    assert child.exitcode == exitcode
    assert queue.get_many(5) == [0, 1]


def test_a_child_is_stopped_and_goes_on() -> None:
    queue: Any = mp.Queue()
    child = mp.get_context("fork").Process(target=put_three, args=(queue,))
    with testing.fault("queue.put.before_wake", "SIGSTOP"):
        child.start()
    os.waitid(os.P_PID, child.pid or 0, os.WSTOPPED)
    assert queue.get() == 0
    assert queue.empty()
    os.kill(child.pid or 0, signal.SIGCONT)
    child.join()
    assert queue.get_many(5) == [1, 2]


@pytest.mark.slow
def test_a_child_with_a_fresh_interpreter_dies_before_it_runs_anything() -> None:
    child = mp.get_context("spawn").Process(target=double, args=(1,))
    with testing.fault("process.claim.after_alive", "SIGKILL", in_children=True):
        child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def test_passed_points_are_named_in_their_order() -> None:
    queue: Any = mp.Queue()
    passed = testing.passed_points(queue.put, 1)
    assert (
        passed.index("queue.put.entered")
        < passed.index("queue.put.after_commit")
        < passed.index("queue.put.before_wake")
    )
    assert set(passed) <= set(testing.fault_points())
    assert testing.passed_points(double, 1) == []


# ── isolation ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_isolated_function_returns_and_raises() -> None:
    assert testing.run_isolated(double, 21).check() == 42
    outcome = testing.run_isolated([].pop, timeout=30)
    assert isinstance(outcome.error, IndexError)
    assert "pop from empty list" in outcome.traceback
    with pytest.raises(testing.IsolationError, match="IndexError") as caught:
        outcome.check()
    assert caught.value.__cause__ is outcome.error


def test_an_isolated_function_may_end_its_process() -> None:
    outcome = testing.run_isolated(os.kill, 0, signal.SIGKILL)
    assert (outcome.exitcode, outcome.timed_out) == (-signal.SIGKILL, False)
    with pytest.raises(testing.IsolationError, match="exit code -9"):
        outcome.check()


def test_what_cannot_be_pickled_is_said() -> None:
    outcome = testing.run_isolated(lambda: lambda: 1)
    assert outcome.error is not None
    assert "ickle" in outcome.traceback


@pytest.mark.slow
def test_a_function_that_hangs_ends_at_its_deadline_and_says_where_it_was() -> None:
    def hang() -> None:
        lock = mp.Lock()
        lock.acquire()
        child = mp.get_context("fork").Process(target=lock.acquire)
        child.start()
        child.join()

    began = time.monotonic()
    outcome = testing.run_isolated(hang, timeout=0.5)
    assert outcome.timed_out
    assert "in hang" in outcome.tracebacks
    assert "waits for lock" in outcome.tracebacks
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_what_an_isolated_function_leaves_is_reported_and_processes_are_killed() -> None:
    def leave() -> int:
        os.pipe()
        shared_memory.SharedMemory(create=True, size=100).close()
        (Path(os.environ["TMPDIR"]) / "forgotten").write_text("")
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        sleeper.returncode = 0  # or its end would be waited for
        return sleeper.pid

    outcome = testing.run_isolated(leave)
    assert len(outcome.left.processes) == 1
    assert str(outcome.value) in outcome.left.processes[0]
    assert len([each for each in outcome.left.descriptors if "pipe" in each]) >= 2
    assert outcome.left.files == ["forgotten"]
    assert len(outcome.left.segments) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(outcome.value, 0)
    shared_memory.SharedMemory(outcome.left.segments[0]).unlink()
    with pytest.raises(testing.IsolationError, match="left behind"):
        outcome.check()


@pytest.mark.slow
def test_what_is_isolated_dies_with_the_one_who_asked_and_so_do_its_files() -> None:
    queue: Any = mp.Queue()

    def sleep() -> None:
        queue.put((os.getpid(), os.getppid(), os.environ["TMPDIR"]))
        mp.Event().wait()

    child = mp.get_context("fork").Process(target=testing.run_isolated, args=(sleep,))
    child.start()
    isolated, warden, directory = queue.get()
    pidfds = [os.pidfd_open(isolated), os.pidfd_open(warden)]
    child.kill()
    child.join()
    try:
        assert all(mp.connection.wait([pidfd], 30) for pidfd in pidfds)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
    assert not os.path.exists(directory)


# ── chaos ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_chaos_hits_the_workers_of_a_pool_and_what_is_lost_is_said(method: str) -> None:
    lost = 0
    with testing.chaos(kill=0.05, pause=0.05, seed=1) as storm, mp.get_context(method).Pool(2) as pool:
        while not (lost and any(event.what == "pause" for event in storm.events)):
            results = [pool.apply_async(time.sleep, (0.02,)) for _ in range(10)]  # sleeps: to be killed meanwhile
            for result in results:
                try:
                    assert result.get() is None
                except mp.WorkerDied:
                    lost += 1
    events = storm.events
    assert lost <= sum(event.what == "kill" for event in events)
    assert all("Worker" in event.name and event.pid != os.getpid() for event in events)


def test_chaos_hits_processes_by_name_and_leaves_nobody_stopped() -> None:
    forking = mp.get_context("fork")
    victim = forking.Process(target=mp.Event().wait, name="victim")
    spared = forking.Process(target=mp.Event().wait, name="spared", daemon=True)
    victim.start()
    spared.start()
    with testing.chaos(kill=0.2, pause=0.5, seed=7, only="vic*") as storm:
        victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert {event.name for event in storm.events} == {"victim"}
    assert spared.is_alive()
    spared.kill()
    spared.join()


@pytest.mark.slow
def test_nobody_stays_stopped_when_the_one_who_made_chaos_is_killed() -> None:
    forking = mp.get_context("fork")
    pids: Any = mp.Queue()

    def make_chaos() -> None:
        victim = mp.get_context("fork").Process(target=mp.Event().wait)
        victim.start()
        with testing.chaos(kill=0, pause=1.0, seed=1) as storm:
            while not storm.events:
                os.sched_yield()
            pids.put(victim.pid)
            mp.Event().wait()

    maker = forking.Process(target=make_chaos)
    maker.start()
    victim = pids.get()
    maker.kill()
    maker.join()
    until_runs(victim)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)


def until_runs(pid: int) -> None:
    """Wait until a process is not stopped, twice in a row: chaos is over."""
    deadline, seen = time.monotonic() + 30, 0
    while seen < 1000:
        assert time.monotonic() < deadline, "it is still stopped"
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        seen = 0 if state == "T" else seen + 1


@pytest.mark.parametrize("chance", [-0.1, 1.1])
def test_a_chance_is_a_probability(chance: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        testing.chaos(kill=chance)


def test_chaos_is_entered_once() -> None:
    with testing.chaos(kill=0) as storm, pytest.raises(RuntimeError, match="has begun already"), storm:
        pass
    assert storm.events == []
