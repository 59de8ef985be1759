"""The thread that hands out descriptors starts, answers only those who know the key, and ends."""

from __future__ import annotations

import os
import socket
import threading

import pytest

import procession as mp
from procession._channels import sharer
from procession._runtime import run_after_forkers
from procession.errors import AuthenticationError, StaleHandle
from tests.guards import proc
from tests.units._channels.forked import child


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def copies_of(inode: int) -> int:
    """How many descriptors of this process refer to a pipe."""
    return sum(f"[{inode}]" in to for to in proc.descriptors().values())


def content(fd: int) -> bytes:
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@pytest.fixture
def open_file() -> int:
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    return reading


@pytest.mark.usefixtures("lending")
def test_a_descriptor_is_fetched_by_another_process(open_file: int) -> None:
    ticket = sharer.DupFd(open_file)
    os.close(open_file)

    def fetch() -> None:
        assert content(ticket.detach()) == b"content"

    with child(fetch):
        pass


@pytest.mark.usefixtures("lending")
def test_a_ticket_is_good_for_one_descriptor(open_file: int) -> None:
    ticket = sharer.DupFd(open_file)
    os.close(open_file)
    os.close(ticket.detach())
    with pytest.raises(StaleHandle):
        ticket.detach()


@pytest.mark.usefixtures("lending")
def test_who_has_another_key_gets_nothing(open_file: int) -> None:
    ticket = sharer.DupFd(open_file)
    os.close(open_file)

    def steal() -> None:
        mp.current_process().authkey = b"another"
        with pytest.raises(AuthenticationError):
            ticket.detach()

    with child(steal):
        pass
    assert content(ticket.detach()) == b"content"


@pytest.mark.slow
@pytest.mark.usefixtures("lending")
def test_a_client_that_says_nothing_keeps_nobody_waiting_for_ever(open_file: int) -> None:
    ticket = sharer.DupFd(open_file)
    os.close(open_file)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(ticket._address)
        assert content(ticket.detach()) == b"content"  # after sharer.PATIENCE


def test_stopping_ends_the_thread_and_frees_what_nobody_fetched(open_file: int) -> None:
    ticket = sharer.DupFd(open_file)
    assert "procession-sharer" in threads()
    sharer.stop(10)
    sharer.stop(10)
    assert "procession-sharer" not in threads()
    with pytest.raises(ConnectionRefusedError, match=str(os.getpid())):
        ticket.detach()
    again = sharer.DupFd(open_file)
    os.close(open_file)
    assert content(again.detach()) == b"content"
    sharer.stop(10)


@pytest.mark.usefixtures("lending")
def test_a_forked_child_lends_by_itself(open_file: int) -> None:
    ours = sharer.DupFd(open_file)

    def lend() -> None:
        theirs = sharer.DupFd(open_file)
        assert theirs._address != ours._address
        assert content(theirs.detach()) == b"content"

    with child(lend):
        pass
    os.close(open_file)
    os.close(ours.detach())


@pytest.mark.usefixtures("lending")
def test_a_forked_child_of_ours_drops_what_its_parent_lends(open_file: int) -> None:
    sharer.DupFd(open_file)
    pipe = os.fstat(open_file).st_ino
    assert copies_of(pipe) == 2

    def count() -> None:
        run_after_forkers()
        assert copies_of(pipe) == 1

    with child(count):
        pass
    os.close(open_file)
