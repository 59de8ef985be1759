"""What the machine allows: `limits.c`, compiled here and run; and what Python itself must spend to start."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["limits"]


def limits(repetitions: int = 3) -> dict[str, float]:
    """The figures of the C program by name (medians), in the units of the workloads that name them as their limit."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "limits")
        source = Path(__file__).with_name("limits.c")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-std=c11", "-pthread", "-o", program, str(source)], check=True)
        runs = [
            _parse(subprocess.run([program], capture_output=True, check=True, text=True).stdout)
            for _ in range(repetitions)
        ]
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return found | {"python": _python_ms()}


def _parse(lines: str) -> dict[str, float]:
    return {name: float(value) for name, value in (line.split() for line in lines.splitlines())}


def _python_ms() -> float:
    """An interpreter that does nothing: milliseconds from its start to its end."""
    took = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)
