"""Processes that begin at once, and when they did.

Promises: their own clocks count (the same in all processes): whoever only looks on may be the last to get a CPU.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.libraries import Library

__all__ = ["Start"]


class Start:
    """Where so many processes line up."""

    def __init__(self, library: Library, processes: int) -> None:
        self.barrier, self.clock = library.beside.Barrier(processes), library.beside.SimpleQueue()
        self.processes = processes

    def line_up(self) -> None:
        """In each of them: wait for the others."""
        self.barrier.wait()
        self.clock.put(time.perf_counter())

    def began(self) -> float:
        """When the first of them ran on."""
        return min(self.clock.get() for _ in range(self.processes))
