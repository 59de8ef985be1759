"""Packages that start interpreters by their own means find the program's shared objects there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("programs") / "own_start_method.py")


@pytest.mark.slow
def test_a_start_method_of_another_package_carries_shared_objects_and_fed_queues() -> None:
    command = [sys.executable, "-m", "procession", PROGRAM]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stderr
    assert lines[:5] == ["full True", "('Own-1', 'hello')", "[('fed', 1), ('fed', 2)]", "True", "0 False False"]
    assert "leaked shared_memory" in ran.stderr  # the child's, of which its program's tracker knew
    assert not Path("/dev/shm", lines[5]).exists()
