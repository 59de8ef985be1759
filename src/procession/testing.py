"""For testing programs that have to survive the death of processes: faults at named points, isolation, chaos.

- `fault_points()`, `fault(...)`, `Faulty(...)`, `passed_points(...)`: a process raises, exits, dies or stops at a named instruction of
  the package's core. They are in every build: while nothing is armed, a point costs one load and one branch that is never taken.
- `run_isolated(function, ..., timeout=)`: runs a function in a session of its own, with a deadline, and says what it left behind.
- `chaos(kill=0.01, pause=0.0, seed=1)`: kills and stops workers and other children at random moments.

Not here: names of points in detail (native/*.c says what each is next to).
"""

from __future__ import annotations

from procession._native.armed import points as fault_points
from procession._processes.chaos import Chaos, ChaosEvent, chaos
from procession._processes.faults import Faulty, fault, passed_points
from procession._processes.isolation import IsolationError, Left, Outcome, run_isolated

__all__ = [
    "Chaos",
    "ChaosEvent",
    "Faulty",
    "IsolationError",
    "Left",
    "Outcome",
    "chaos",
    "fault",
    "fault_points",
    "passed_points",
    "run_isolated",
]
