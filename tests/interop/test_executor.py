"""The standard library's ProcessPoolExecutor runs on this package: it reaches into queues, and is told of errors of pickling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("executor_program.py"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_an_executor_runs_on_our_processes_and_queues(method: str) -> None:
    command = [sys.executable, "-m", "procession", PROGRAM, method]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["procession", "328350", "True", "16", "BrokenProcessPool"]
