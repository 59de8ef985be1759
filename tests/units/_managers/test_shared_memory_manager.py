"""`SharedMemoryManager`: blocks go with the server, however it ends."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from procession._os.segments import is_there
from procession.errors import ProcessError
from procession.managers import RemoteError, SharedMemoryManager, dispatch
from procession.shared_memory import ShareableList, SharedMemory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _keeper() -> None:
    """The process that outlives this one is started once, and blamed on no test."""
    block = SharedMemory(create=True, size=1)
    block.close()
    block.unlink()


def ask(manager: Any, request: str, *arguments: object) -> Any:
    with manager._client(manager.address, authkey=manager._authkey) as connection:
        return dispatch(connection, None, request, arguments)


def test_blocks_and_lists_go_with_the_manager() -> None:
    with SharedMemoryManager() as manager:
        block, items = manager.SharedMemory(10), manager.ShareableList([1, "two"])
        assert isinstance(block, SharedMemory)
        assert isinstance(items, ShareableList)
        names = [block.name, items.shm.name]
        assert ask(manager, "list_segments") == names
        assert all(map(is_there, names))
    assert not any(map(is_there, names))
    block.buf[0] = 1  # who has it open keeps it
    assert list(items) == [1, "two"]


def test_blocks_of_a_killed_server_go_when_the_manager_is_shut_down() -> None:
    manager = SharedMemoryManager()
    manager.start()
    name = manager.SharedMemory(10).name
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()
    assert is_there(name)
    manager.shutdown()
    assert not is_there(name)


def test_blocks_go_when_the_manager_is_collected() -> None:
    manager = SharedMemoryManager()
    manager.start()
    name = manager.SharedMemory(10).name
    del manager
    assert not is_there(name)


def test_without_a_server_nothing_is_made() -> None:
    manager = SharedMemoryManager()
    with pytest.raises(ValueError, match="no server yet"):
        manager.SharedMemory(10)
    manager.start()
    manager.shutdown()
    with pytest.raises(ProcessError, match="shut down"):
        manager.ShareableList([1])


def test_a_block_of_which_no_server_can_take_charge_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SharedMemoryManager()
    manager.start()
    manager._process.kill()
    manager._process.join()
    name = f"test-uncharged-{os.getpid()}"
    monkeypatch.setattr("procession.shared_memory._make_filename", lambda: "/" + name)
    with pytest.raises(OSError):  # noqa: PT011 - whatever a connection to a dead server raises
        manager.SharedMemory(10)
    assert not is_there(name)
    manager.shutdown()


def test_a_block_can_be_released_once() -> None:
    with SharedMemoryManager() as manager:
        name = manager.SharedMemory(10).name
        ask(manager, "release_segment", name)
        assert not is_there(name)
        for request in ("release_segment", "track_segment"):
            with pytest.raises(RemoteError, match=name):
                ask(manager, request, name)


def test_a_block_that_its_user_has_unlinked_is_no_error() -> None:
    with SharedMemoryManager() as manager:
        manager.SharedMemory(10).unlink()
