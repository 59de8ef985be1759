"""Which fault points do what in this process: by a call, or by the environment, before anything else of the package runs.

Promises: a name that no point has is refused, so that a fault that was asked for is never silently missing.
Not here: what a fault does (native/fault.c), contexts and wrappers for users (`_processes.faults`).
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from procession._native import _core

__all__ = ["ACTIONS", "ENVIRONMENT", "PYTHON_POINTS", "arm", "arm_from_environment", "disarm", "points"]

ENVIRONMENT = "PROCESSION_FAULTS"  # name=action@passage, separated by commas
ACTIONS = {"raise": "raise", "exit": "exit", "SIGKILL": "kill", "SIGSTOP": "stop"}
PYTHON_POINTS: tuple[str, ...] = (  # each stands once in the code, as fault_point("...")
    "start.before",  # where a process is started: whatever the method
    "start.after",
    "start.fork.forked",  # … the child is born, and not yet watched
    "start.spawn.launched",
    "start.forkserver.asked",  # … the request is sent
    "start.fork.begun",  # in the child: its first instruction of ours
    "start.forkserver.begun",
    "start.boot.begun",
    "start.boot.before_ready",
    "process.run.before",
    "process.run.after",
    "forkserver.answer.before_fork",  # in the fork server
    "forkserver.answer.after_fork",
    "pool.start.after",  # in a pool's owner: a worker was started, and is not yet in the books
    "pool.worker.taken",  # in a worker: tasks are taken, and not yet begun
    "pool.worker.answered",
)


def points() -> list[str]:
    """The names of all points, in the core and in Python."""
    return sorted({*_core.fault_points(), *PYTHON_POINTS})


def arm(name: str, action: str, at: int = 1) -> None:
    """Let this process do `action` the `at`-th time that it passes the point; a name that ends in `*` stands for all that begin so."""
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(map(repr, ACTIONS))}, not {action!r}")
    if at < 1:
        raise ValueError(f"a point is passed for the first time at 1, not {at}")
    if not any(fnmatchcase(each, name) for each in points()):
        raise ValueError(f"no fault point is called {name!r}: procession.testing.fault_points() lists them")
    _core.fault_arm(name, ACTIONS[action], at - 1)


def disarm() -> None:
    """No point does anything any more in this process."""
    _core.fault_disarm_all()


def arm_from_environment() -> None:
    """Arm what the environment asks for."""
    for each in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        name, _, rest = each.partition("=")
        action, _, at = rest.partition("@")
        arm(name, action, int(at or 1))
