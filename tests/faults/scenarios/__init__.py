"""The scenarios of tests/faults, by name: importing this makes the table complete."""

from tests.faults.scenarios import locks, programs, queues, several, waiting
from tests.faults.scenarios.base import HEIR_DIED, KEPT_STOPPED, PATIENCE, Scenario, act

__all__ = [
    "HEIR_DIED",
    "KEPT_STOPPED",
    "PATIENCE",
    "Scenario",
    "act",
    "locks",
    "programs",
    "queues",
    "several",
    "waiting",
]
