"""The standard library's own users of `multiprocessing`, concurrent.futures and logging, run on procession whatever the way to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).with_name("programs")
METHODS = ["fork", "spawn", "forkserver"]


def run(program: str, way: str, method: str) -> None:
    command = [sys.executable, *(["-m", "procession"] if way == "run" else []), str(PROGRAMS / f"{program}.py")]
    given = {**os.environ, "DROPIN_WAY": way, "DROPIN_METHOD": method}
    ran = subprocess.run(command, env=given, capture_output=True, text=True, timeout=50, check=False)
    assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run", "install"])
@pytest.mark.parametrize("method", METHODS)
def test_executors_run_and_say_that_a_worker_was_killed(method: str, way: str) -> None:
    run("futures", way, method)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run", "install"])
@pytest.mark.parametrize("method", METHODS)
def test_records_name_their_process_and_configurations_take_our_queues(method: str, way: str) -> None:
    run("logging_", way, method)


@pytest.mark.slow
def test_both_modules_in_one_program_keep_to_themselves() -> None:
    code = (
        "import multiprocessing as theirs, procession as ours\n"
        "q, r = theirs.Queue(), ours.Queue()\n"
        "p = ours.Process(target=r.put, args=(1,), name='ours'); p.start()\n"
        "s = theirs.get_context('fork').Process(target=q.put, args=(2,), name='theirs'); s.start()\n"
        "print(r.get(timeout=20), q.get(timeout=20)); p.join(); s.join()\n"
        "print(ours.active_children(), theirs.active_children(), p.exitcode, s.exitcode)\n"
        "print(ours.current_process() is theirs.current_process(), theirs.Queue.__module__ != ours.Queue.__module__)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-Wignore", "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.stdout.splitlines() == ["1 2", "[] [] 0 0", "False True"], ran.stderr
    assert ran.stderr == ""
