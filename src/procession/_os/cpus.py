"""How many CPUs this process may use: affinity, the interpreter's own setting, the quota of its control groups.

Promises: at least 1; never more than the affinity mask has.
"""

from __future__ import annotations

import os
import sys

__all__ = ["give_way", "usable_cpus"]

GROUPS = "/sys/fs/cgroup"


def usable_cpus() -> int:
    """CPUs that this process may use; `PYTHON_CPU_COUNT` or `-X cpu_count` overrule what the system says."""
    return _overruled() or max(1, min(len(os.sched_getaffinity(0)), _quota()))


def give_way() -> None:
    """Let others that wait for this CPU run first."""
    os.sched_yield()


def _overruled() -> int:
    """What the user of the interpreter asked for; 0: nothing."""
    wanted = sys._xoptions.get("cpu_count")
    if wanted is None and not sys.flags.ignore_environment:
        wanted = os.environ.get("PYTHON_CPU_COUNT")
    return int(wanted) if isinstance(wanted, str) and wanted.isdecimal() else 0


def _quota() -> int:
    """CPUs that the control groups allow, rounded up; a large number if they set no limit."""
    limits = [sys.maxsize]
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += [_share(_read(f"{folder}/cpu.max").split()) for folder in _upwards(GROUPS, path)]
        elif "cpu" in controllers.split(","):
            for folder in _upwards(f"{GROUPS}/{controllers}", path):
                limits.append(_share([_read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")]))
    return min(limits)


def _upwards(root: str, path: str) -> list[str]:
    """The folders of a control group and of all groups that it is in."""
    parts = [part for part in path.split("/") if part]
    return ["/".join([root, *parts[:length]]) for length in range(len(parts), -1, -1)]


def _share(quota_and_period: list[str]) -> int:
    """CPUs from a quota and its period in microseconds; no or a negative quota: no limit."""
    numbers = [number.strip() for number in quota_and_period]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return sys.maxsize
    return max(1, -(-int(numbers[0]) // max(1, int(numbers[1]))))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""  # this kernel, or this container, has no such control group
