"""Blocks, lists and their managers together with the standard library's of every Python here, by name, both ways."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from procession._os.segments import is_there
from procession.managers import SharedMemoryManager
from procession.shared_memory import ShareableList, SharedMemory
from tests.interop.memory_items import ITEMS, OTHERS
from tests.interop.pythons import interpreters

PEER = str(Path(__file__).with_name("memory_peer.py"))
PYTHONS = interpreters()
LISTS = [version for version in PYTHONS if version != "3.8"]  # which had another layout
KEY = b"the key"

pytestmark = pytest.mark.slow


class Peer:
    """A running peer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def said(self) -> Any:
        """What it prints next."""
        assert self.process.stdout
        return ast.literal_eval(self.process.stdout.readline())

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def end(self) -> str:
        """Let it go on to its end: what it has on stderr."""
        return self.process.communicate("\n", timeout=40)[1]


@contextmanager
def peer(python: str, *arguments: str) -> Iterator[Peer]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen(
        [PYTHONS[python], "-s", PEER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


@pytest.fixture(scope="module", autouse=True)
def _keeper() -> None:
    """The process that outlives this one is started once, and blamed on no test."""
    block = SharedMemory(create=True, size=1)
    block.close()
    block.unlink()


@pytest.mark.parametrize("python", LISTS)
def test_they_attach_to_ours_and_leave_it(python: str) -> None:
    block, items = SharedMemory(create=True, size=100), ShareableList(ITEMS)
    block.buf[:5] = b"hello"
    format_ = items.format
    with peer(python, "use", block.name, items.shm.name) as theirs:
        assert theirs.said() == (b"hello", ITEMS, format_)
        assert theirs.end() == ""
    assert bytes(block.buf[:5]) == b"peer!"
    assert list(items) == OTHERS
    for each in (block, items.shm):
        each.close()
        each.unlink()


@pytest.mark.parametrize("python", LISTS)
def test_we_attach_to_theirs_and_leave_it(python: str) -> None:
    code = f"""
import sys
from procession.shared_memory import ShareableList, SharedMemory
block, items = SharedMemory(sys.argv[1]), ShareableList(name=sys.argv[2])
print(repr((bytes(block.buf[:5]), list(items), items.format)))
block.buf[:5] = b"ours!"
for index, item in enumerate({OTHERS!r}):
    items[index] = item
"""
    with peer(python, "make") as theirs:
        names = theirs.said()
        done = subprocess.run(
            [sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=40, check=True
        )
        assert done.stderr == ""
        assert ast.literal_eval(done.stdout)[:2] == (b"hello", ITEMS)
        assert all(map(is_there, names))
        items = ShareableList(name=names[1])
        formats = items.format
        items.shm.close()
        theirs.go_on()
        assert theirs.said() == (b"ours!", OTHERS, formats)
        assert theirs.end() == ""
    assert not any(map(is_there, names))


@pytest.mark.parametrize("python", PYTHONS)
def test_our_client_has_their_server_take_charge(python: str) -> None:
    with peer(python, "serve", KEY.hex()) as theirs:
        manager = SharedMemoryManager(theirs.said(), KEY)
        manager.connect()
        block, items = manager.SharedMemory(10), manager.ShareableList(ITEMS)
        names = [block.name, items.shm.name]
        for each in (block, items.shm):
            each.close()
        assert all(map(is_there, names))
        assert theirs.end() == ""
        assert not any(map(is_there, names))


@pytest.mark.parametrize("python", PYTHONS)
def test_our_server_takes_charge_for_their_client(python: str) -> None:
    with SharedMemoryManager(authkey=KEY) as manager, peer(python, "ask", KEY.hex(), str(manager.address)) as theirs:
        names = theirs.said()
        assert theirs.end() == ""
        assert all(map(is_there, names))
    assert not any(map(is_there, names))
