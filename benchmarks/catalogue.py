"""What a workload is, and the list of all: name, unit, goal, what it runs.

Promises: a workload checks what passed, so a wrong result is an error, not a fast figure.
Not here: processes and rounds (`measuring`), who is measured (`libraries`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.libraries import Library

    Run = Callable[[Library, float], "Figure"]

__all__ = ["WORKLOADS", "Figure", "Goal", "Workload", "at_most", "check", "of_limit", "per_second", "timed", "workload"]

MORE_IS_BETTER = {"/s", "MB/s", "efficiency"}
WORKLOADS: dict[str, Workload] = {}


class Figure(NamedTuple):
    """What one measurement found: the value in the workload's unit, and how many operations it took to find it."""

    value: float
    operations: float


class Goal(NamedTuple):
    """What a workload's figure should reach."""

    bound: float
    kind: (
        str  # "times": better than the standard library; "of limit": of the C program's figure; "at most": in the unit
    )

    def __str__(self) -> str:
        return {"times": f"{self.bound:g}x", "of limit": f"{self.bound:g} of the limit"}.get(
            self.kind, f"at most {self.bound:g}"
        )

    def is_met(self, value: float, ratio: float | None, limit: float | None) -> bool:
        """By a figure, its ratio to the standard library's and the limit; what was not measured cannot be short."""
        if self.kind == "times":
            return ratio is None or ratio >= self.bound
        if self.kind == "of limit":
            return limit is None or value >= self.bound * limit
        return value <= self.bound


def of_limit(share: float) -> Goal:
    """So much of what the C program does on this machine."""
    return Goal(share, "of limit")


def at_most(bound: float) -> Goal:
    """No more than this, in the workload's unit."""
    return Goal(bound, "at most")


class Workload(NamedTuple):
    """A workload: `run(library, scale)` at scale 1 takes about a second with a slow library."""

    name: str
    unit: str
    run: Run
    goal: Goal | None
    limit: str | None  # the key of the C program's figure that it cannot beat
    needs: str  # what a library must have

    @property
    def more_is_better(self) -> bool:
        return self.unit in MORE_IS_BETTER


def workload(
    name: str, unit: str, *, goal: float | Goal | None = None, limit: str | None = None, needs: str = "module"
) -> Callable[[Run], Run]:
    """Enter a function into the list. A goal that is a number: so many times better than the standard library."""
    wanted = goal if goal is None or isinstance(goal, Goal) else Goal(goal, "times")

    def enter(run: Run) -> Run:
        WORKLOADS[name] = Workload(name, unit, run, wanted, limit, needs)
        return run

    return enter


SECONDS = {"ns": 1e9, "us": 1e6, "ms": 1e3}


def timed(unit: str, operations: int, began: float) -> Figure:
    """The time of one operation, in `unit`, of `operations` since `began`."""
    return Figure((time.perf_counter() - began) / operations * SECONDS[unit], operations)


def per_second(amount: float, began: float, operations: float | None = None) -> Figure:
    """How much of `amount` one second saw since `began`."""
    return Figure(amount / (time.perf_counter() - began), amount if operations is None else operations)


def check(truth: bool, otherwise: str) -> None:
    """A wrong result ends the measurement."""
    if not truth:
        raise SystemExit(f"wrong result: {otherwise}")
