"""A fresh interpreter has the options of the one that starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import procession as mp
from procession._processes import interpreter
from procession._runtime import state
from tests.units._processes.conftest import Run

pytestmark = pytest.mark.slow

FLAGS = """
import sys
sys.path.append({path!r})
import procession as mp
def tell(conn): conn.send((tuple(sys.flags), sys.warnoptions, sys._xoptions))
def main():
    ctx = mp.get_context("spawn")
    receiver, sender = ctx.Pipe(duplex=False)
    process = ctx.Process(target=tell, args=(sender,))
    process.start()
    there = receiver.recv(); process.join()
    here = (tuple(sys.flags), sys.warnoptions, sys._xoptions)
    print(here == there or (here, there))
if __name__ == "__main__": main()
"""


OPTIONS = ["", "-E -S -O", "-I", "-bb -B -q", "-X dev", "-X utf8 -X no_debug_ranges", "-W error::UserWarning -s -P -OO"]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_child_has_the_options_of_its_parent(run: Run, options: str) -> None:
    path = str(Path(mp.__file__).parent.parent)
    done = run(*options.split(), "flags.py", files={"flags.py": FLAGS.format(path=path)})
    assert done.stdout == "True\n", done.stderr


class PathLike:
    def __init__(self, path: str | bytes) -> None:
        self.path = path

    def __fspath__(self) -> str | bytes:
        return self.path


@pytest.mark.parametrize("kind", [str, os.fsencode, PathLike, lambda path: PathLike(os.fsencode(path))])
def test_the_executable_may_be_a_string_bytes_or_a_path(kind: object) -> None:
    try:
        mp.set_executable(kind(sys.executable))  # type: ignore[operator]
        process = mp.get_context("spawn").Process()
        process.start()
        process.join()
        assert process.exitcode == 0
    finally:
        state.executable = None


def test_an_executable_that_does_not_exist_fails_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "executable", "/no/such/python")
    process = mp.get_context("spawn").Process()
    with pytest.raises(FileNotFoundError):
        process.start()
    assert process.pid is None
    monkeypatch.setattr(state, "executable", None)
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(RuntimeError, match="set_executable"):
        process.start()


def test_a_frozen_program_finds_out_that_it_is_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    command = interpreter.command("spawn", "spawn_main", pipe_handle=5, report=6)
    assert command == [sys.executable, "--multiprocessing-fork", "pipe_handle=5", "report=6"]
    assert interpreter.forked_arguments(command) == {"pipe_handle": 5, "report": 6}
    assert interpreter.forked_arguments([sys.executable]) is None


def test_a_child_that_dies_before_it_reads_holds_nobody_up(tmp_path: Path) -> None:
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nexit 9\n")
    dies.chmod(0o755)
    process = mp.get_context("spawn").Process(target=len, args=(b"x" * 1_000_000,))
    try:
        mp.set_executable(dies)
        process.start()
        process.join()
        assert process.exitcode == 9
    finally:
        state.executable = None
