"""Every fault point x {raise, exit, SIGKILL, SIGSTOP and SIGCONT}, under every start method.

The points of a scenario are those that its victim passes in a run without faults; all of them together have to be all that the core
has: a new point that no scenario passes fails the test. `make test` does all of it with fork, one action a point with the fork server,
and a few points with spawn; `make storm` does everything everywhere, at later passages too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

import procession as mp
from procession import testing
from procession._native.armed import PYTHON_POINTS
from tests.faults.matrix import EXITS, points_of, run_cases
from tests.faults.scenarios import Scenario

ACTIONS = ("raise", "exit", "SIGKILL", "SIGSTOP")
# Passed once in the life of a program, by its first process.
FRESH = ("arena.open.after_create", "arena.open.before_publish", "process.claim.after_high")
OTHERS = ("raise", "exit", "SIGSTOP")
SCENARIOS = {
    "fork": 2,
    "forkserver": 1,
    "spawn": 1,
}  # of those that pass a point, so many have the fault there in `make test`
FEW = 1  # points of a scenario under spawn

Case = tuple[str, str, int]


@pytest.fixture(autouse=True, scope="module")
def _arena() -> None:
    mp.Lock()


@cache
def passed(name: str) -> Counter[str]:
    """The points that a scenario's victim passes, and how often."""
    found: Counter[str] = testing.run_isolated(points_of, name, timeout=60).check()
    return Counter({point: found[point] for point in found.keys() & in_the_core()})


def in_the_core() -> set[str]:
    """The points of native code; test_starts.py has those in Python."""
    return set(testing.fault_points()) - set(PYTHON_POINTS)


@cache
def first_to_pass() -> dict[str, list[str]]:
    """The scenarios that pass each point, in the order of the table."""
    return {point: [name for name in Scenario.all if point in passed(name)] for point in in_the_core()}


def cases_of(name: str, method: str, storm: bool) -> list[Case]:
    """Kills everywhere; the other actions in turn."""
    points = sorted(passed(name))
    if storm:
        counts = passed(name).items()
        every = [(point, action, at) for point, count in counts for at in sorted({1, count}) for action in ACTIONS]
        return every if method == "fork" else every[::2]
    mine = [point for point in points if name in first_to_pass()[point][: SCENARIOS[method]]]
    if method == "fork":
        return [(point, action, 1) for i, point in enumerate(mine) for action in ("SIGKILL", OTHERS[i % len(OTHERS)])]
    if method != "fork":
        mine = mine[:FEW] if method == "spawn" else mine[::3]
    return [(point, ACTIONS[i % len(ACTIONS)], 1) for i, point in enumerate(mine)]


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.deadline(1800)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("name", Scenario.all)
def test_whoever_is_left_finishes_with_the_right_result_or_the_documented_error(
    name: str, method: str, storm_factor: int
) -> None:
    cases = cases_of(name, method, storm_factor > 1)
    if not cases:
        pytest.skip("other scenarios pass all of its points first; make storm runs it")
    failures = testing.run_isolated(run_cases, method, name, cases, timeout=60 + len(cases)).check()
    assert not failures, "\n\n".join(failures)


@pytest.mark.slow
def test_every_fault_point_is_passed_by_a_scenario() -> None:
    missing = in_the_core() - {*FRESH}.union(*map(passed, Scenario.all))
    for _ in range(10):  # some are passed only if two processes meet
        if not missing:
            return
        for name in Scenario.all:
            missing -= set(testing.run_isolated(points_of, name, timeout=60).check())
    assert not missing, "no scenario passes these"


@pytest.mark.slow
@pytest.mark.parametrize("point", FRESH)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_program_dies_while_it_makes_its_first_object(point: str, action: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "import procession as mp; q = mp.Queue(); q.put(1); q.get()"],
        env={**os.environ, "PROCESSION_FAULTS": f"{point}={action}"},
        stderr=subprocess.PIPE,
    )
    if action == "SIGSTOP":
        os.waitid(os.P_PID, program.pid, os.WSTOPPED)
        os.kill(program.pid, signal.SIGCONT)
    _, said = program.communicate()
    assert program.returncode in EXITS[action], said
    if action == "raise":
        assert not said or b"fault point" in said
