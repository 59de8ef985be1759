"""Programs with segments of their own, and what there is in the file system behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from procession import shared_memory
from procession._os import ledgers
from procession._os.segments import ROOT
from procession.shared_memory import SharedMemory

TOKEN = f"/psm_test{os.getpid()}_"  # what is made by these tests, by no other program of this machine
BEGIN = f"""
import os, signal, sys
import procession as mp
from procession import resource_tracker, shared_memory
from procession.shared_memory import SharedMemory, ShareableList
shared_memory._make_filename = lambda: {TOKEN!r} + os.urandom(4).hex()
"""


class Program:
    """A running Python program: it prints lines, and goes on when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        """Let it come back from `input()`."""
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def kill(self, signum: int = 9) -> str:
        """Kill the process; what is on stderr when nothing that it has started is left."""
        self.process.send_signal(signum)
        return self.end()

    def end(self) -> str:
        """Wait for its end, and for that of all that it has started: what is on stderr."""
        return self.process.communicate(timeout=40)[1]


Start = Callable[..., Any]


@contextmanager
def _start(code: str, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[Program]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen(
        [sys.executable, *options, "-c", BEGIN + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


@pytest.fixture
def start() -> Start:
    """Start a program: `with start(code, *arguments) as program`."""
    return _start


@pytest.fixture
def run() -> Callable[..., tuple[list[str], str]]:
    """Run a program to its end: the lines that it prints, and what is on stderr when nothing of it is left."""

    def run(code: str, *arguments: str, options: tuple[str, ...] = ()) -> tuple[list[str], str]:
        with _start(code, *arguments, options=options) as program:
            out, err = program.process.communicate(timeout=40)
            return out.splitlines(), err

    return run


@pytest.fixture(scope="package", autouse=True)
def _keeper() -> Iterator[None]:
    """The process that outlives this one is started once, and blamed on no test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_memory, "_make_filename", lambda: TOKEN + os.urandom(4).hex())
        block = SharedMemory(create=True, size=1)
        yield
        block.close()
        block.unlink()


@pytest.fixture
def there() -> Callable[..., set[str]]:
    """What came since the test began: segments of these tests or of the names given, and ledgers of programs that are no more."""

    def look(*names: str) -> set[str]:
        found = {name for name in os.listdir(ROOT) if name.startswith(TOKEN[1:]) or name in names}
        for path in ledgers.all_of_this_user():
            mark = ledgers.lock_if_unused(path)
            if mark is not None:
                os.close(mark)
                found.add(path)
        return found - before

    before: set[str] = set()
    before = look()
    return look


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a segment, which is unlinked at the end if it is there."""
    chosen = f"test é\n:{os.getpid()} {os.urandom(3).hex()}"
    yield chosen
    path = f"{ROOT}/{chosen}"
    if os.path.lexists(path):
        os.unlink(path)
