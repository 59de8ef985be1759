"""Where processes run: `.same` workloads put two of them on one CPU, `.cross` on two."""

from __future__ import annotations

import os

__all__ = ["pin"]


def pin(place: str, other: bool) -> None:
    """Bind this process: `same`: to the first CPU allowed; `cross`: to the first, or, if `other`, to the second."""
    cpus = allowed()
    os.sched_setaffinity(0, {cpus[(1 if other and place == "cross" else 0) % len(cpus)]})


def allowed() -> list[int]:
    """Every CPU this user may use, whatever this process is bound to now."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, before)
    return cpus
