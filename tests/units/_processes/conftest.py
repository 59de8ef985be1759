"""Every start method in turn, and programs that are run as such."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import procession as mp

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("spawn", "forkserver")]  # on a loaded machine
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["fork", *SLOW])
def method(request: pytest.FixtureRequest) -> str:
    """The name of a start method."""
    name: str = request.param
    return name


@pytest.fixture
def ctx(method: str) -> Any:
    """The context of a start method."""
    return mp.get_context(method)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python on arguments, in a directory of its own; `files` are written there before."""

    def run(
        *arguments: str, files: dict[str, str] | None = None, stdin: str | None = None, timeout: float = 40
    ) -> subprocess.CompletedProcess[str]:
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=tmp_path,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )

    return run
