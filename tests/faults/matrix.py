"""Runs scenarios with faults: which points does the victim pass, and what happens if it dies, stops or raises there?

Runs in an isolated process (`testing.run_isolated`): a hang ends there, with tracebacks, and the case that hung is the last one printed.
"""

from __future__ import annotations

import gc
import os
import signal
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import procession as mp
from procession import _native, testing
from procession._memory import ledger as ledgers
from procession._memory import leftovers
from procession._os import creation, inspection
from procession.connection import wait
from tests.faults.scenarios import HEIR_DIED, KEPT_STOPPED, PATIENCE, Scenario, act

ARENA = "bytes in the arena"
EXITS = {"raise": (0, 1), "exit": (70,), "SIGKILL": (-signal.SIGKILL,), "SIGSTOP": (0,)}

# Bytes of the arena: a death may cost the one reference that was being changed (native/ledger.h), of a queue with its segment, say.
ONE_OBJECT = 16 << 10
MAY_COST = {"object.detach.counted": 1 << 20}  # … and here that is any object that the victim drops


def points_of(name: str) -> Counter[str]:
    """How often the victim passes each point, in a run without faults."""
    context = mp.get_context("fork")
    objects = Scenario.all[name].make(context)
    fd = os.memfd_create("trace")
    creation.append_only(fd)  # several threads and processes write
    try:
        exitcode = run_victim(context, name, objects, traced, fd)
        assert exitcode == 0, f"{name} fails without any fault: exit code {exitcode}"
        Scenario.all[name].check(0, *objects)
        with os.fdopen(os.dup(fd), "rb") as trace:
            trace.seek(0)
            return Counter(trace.read().decode().split())
    finally:
        os.close(fd)


def traced(fd: int, name: str, *objects: Any) -> None:
    """In the victim: note what is passed, its end included."""
    _native.fault_trace(fd)
    act(name, *objects)


def faulty(point: str, action: str, at: int, name: str, *objects: Any) -> None:
    """In the victim: with a fault."""
    testing.Faulty(act, point, action, at)(name, *objects)


def run_victim(context: Any, name: str, objects: tuple[Any, ...], *how: Any) -> int:
    """Start the victim, assist it until it is gone; its exit code."""
    victim = context.Process(target=how[0], args=(*how[1:], name, *objects))
    victim.start()
    deadline = time.monotonic() + PATIENCE
    while victim.exitcode is None:
        Scenario.all[name].assist(*objects)
        wait([victim.sentinel], 0.0005)
        assert time.monotonic() < deadline, "the victim does not end"
    code = victim.exitcode
    victim.close()
    assert code is not None
    return int(code)


class Resumer:
    """A process that lets stopped processes go on, because the parent may wait for them meanwhile; not those called KEPT_STOPPED."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                while True:
                    self._resume_the_stopped()
                    time.sleep(0.001)  # sleeps: a poll, and not at the others' cost
            except BaseException:
                traceback.print_exc()  # whoever waits for a stopped process hangs from now on
            finally:
                os._exit(1)

    def _resume_the_stopped(self) -> None:
        kept = {pid for _, pid, name, _ in _native.processes() if name == KEPT_STOPPED}
        for pid in inspection.descendants(self.parent) - {os.getpid(), *kept}:
            if state_of(pid) == "T":
                time.sleep(0.002)  # sleeps: so that others find it stopped
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def holdings() -> dict[str, int]:
    """What this process has."""
    gc.collect()
    _native.arena_trim()  # clears up after dead processes whose parents have died, too
    return {
        "descriptors": len(inspection.descriptors()),
        "threads": len(inspection.threads()),
        "children": len(inspection.children(os.getpid())),
        "segments": len(leftovers.entries(ledgers.of_program().path, leftovers.SEGMENTS)),
        ARENA: _native.arena_in_use(),
    }


def beyond(before: dict[str, int]) -> dict[str, tuple[int, int]]:
    """What this process has more of. It may have less: a thread that was joined before may have been a thread of the system still."""
    now = holdings()
    return {what: (before[what], now[what]) for what in now if now[what] > before[what]}


def run_case(context: Any, name: str, case: tuple[str, str, int], again: bool = False) -> None:
    scenario = Scenario.all[name]
    before = holdings()
    objects = scenario.make(context)
    code = run_victim(context, name, objects, faulty, *case)
    assert code in (*EXITS[case[1]], HEIR_DIED, 0), f"exit code {code}"
    scenario.check(code, *objects)
    del objects
    before[ARENA] += 0 if case[1] == "SIGSTOP" else MAY_COST.get(case[0], ONE_OBJECT)
    begun = time.monotonic()
    while more := beyond(before):
        # Who is dead is swept 10 ms later for certain; the rest of the arena will not become less by itself.
        if time.monotonic() - begun > (0.3 if more.keys() == {ARENA} else 5):
            break
        os.sched_yield()
    if more.keys() == {ARENA} and not again:
        return run_case(context, name, case, again=True)  # tables that have grown stay; what is lost is lost again
    assert not more, f"left behind (before, after): {more}"
    return None


def run_cases(method: str, name: str, cases: list[tuple[str, str, int]]) -> list[str]:
    """What went wrong in which of (point, action, passage)."""
    context, failures = mp.get_context(method), []
    gc.freeze()  # what the tests' process had is not looked through after each case
    warm = Scenario.all[name].make(context)
    assert run_victim(context, name, warm, act) == 0
    Scenario.all[name].check(0, *warm)
    del warm
    resumer = Resumer()
    try:
        for point, action, at in cases:
            print(name, method, point, action, at, flush=True)
            try:
                run_case(context, name, (point, action, at))
            except Exception:
                failures.append(f"{name}, {method}: {point}, {action}, passage {at}:\n{traceback.format_exc(limit=-3)}")
    finally:
        resumer.close()
    return failures
