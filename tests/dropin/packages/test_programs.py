"""Programs that use packages as their users do run on procession, whatever the way to it and the start method."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent.parent / "programs"
METHODS = ["fork", "spawn", "forkserver"]
OWN_METHOD = ["joblib_", "loky_", "sklearn_"]  # packages that choose how their workers are started
WITH_METHOD = ["aiomultiprocess_", "dask_", "loguru_", "mpire_", "pebble_", "tqdm_"]


def run(program: str, way: str, method: str) -> None:
    command = [sys.executable, *(["-m", "procession"] if way == "run" else []), str(PROGRAMS / f"{program}.py")]
    given = {**os.environ, "DROPIN_WAY": way, "DROPIN_METHOD": method}
    ran = subprocess.run(command, env=given, capture_output=True, text=True, timeout=150, check=False)
    assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.deadline(180)
@pytest.mark.parametrize("way", ["run", "install"])
@pytest.mark.parametrize("program", OWN_METHOD)
def test_a_package_with_its_own_start_method_runs(program: str, way: str) -> None:
    run(program, way, "own")


@pytest.mark.slow
@pytest.mark.deadline(180)
@pytest.mark.parametrize("way", ["run", "install"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("program", WITH_METHOD)
def test_a_package_runs_under_every_start_method(program: str, method: str, way: str) -> None:
    run(program, way, method)


@pytest.mark.slow
@pytest.mark.deadline(180)
@pytest.mark.parametrize("method", METHODS)
def test_a_package_takes_our_context_beside_the_standard_library(method: str) -> None:
    run("pebble_", "beside", method)
