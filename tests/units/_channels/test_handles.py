"""Descriptors go over sockets as they are, and what is wrong with them is told."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import procession as mp
from procession import connection, reduction, resource_sharer
from procession._channels.handles import recvfds, sendfds
from tests.units._channels.forked import child


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair(socket.AF_UNIX)
    with first, second:
        yield first, second


def test_descriptors_arrive_as_many_as_were_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    pipes = [os.pipe() for _ in range(5)]
    readers, writers = [reader for reader, _ in pipes], [writer for _, writer in pipes]

    def other() -> None:
        for number, fd in enumerate(recvfds(ends[1], 5)):
            assert not os.get_inheritable(fd)
            os.write(fd, b"%d" % number)

    with child(other):
        sendfds(ends[0], writers)
        assert [os.read(fd, 1) for fd in readers] == [b"0", b"1", b"2", b"3", b"4"]
    for fd in (*readers, *writers):
        os.close(fd)


def test_another_number_than_expected_is_refused_and_closed(ends: tuple[socket.socket, socket.socket]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sendfds(ends[0], [0])
    with pytest.raises(RuntimeError, match="1 descriptors where 2"):
        recvfds(ends[1], 2)
    sendfds(ends[0], [0, 1, 2])
    with pytest.raises(RuntimeError, match="announces 3"):
        recvfds(ends[1], 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_descriptors_and_the_end_are_told(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(b"\0")
    with pytest.raises(RuntimeError, match="0 descriptors"):
        recvfds(ends[1], 1)
    ends[0].close()
    with pytest.raises(EOFError):
        recvfds(ends[1], 1)


def test_what_is_not_open_is_not_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(OSError, match="descriptor"):
        sendfds(ends[0], [44_977_608])


class Registered:
    def __init__(self, value: int) -> None:
        self.value = value


def reduce_registered(registered: Registered) -> Any:
    return Registered, (registered.value + 1,)


def test_the_doors_have_what_the_standard_library_documents_and_others_use() -> None:
    assert reduction.HAVE_SEND_HANDLE
    reduction.register(Registered, reduce_registered)
    assert reduction.ForkingPickler.loads(reduction.ForkingPickler.dumps(Registered(1))).value == 2
    reducer = reduction.AbstractReducer()
    for name in ("ForkingPickler", "register", "dump", "send_handle", "recv_handle", "sendfds", "recvfds", "DupFd"):
        assert callable(getattr(reducer, name))
    assert mp.allow_connection_pickling() is None  # type: ignore[func-returns-value]


@pytest.mark.usefixtures("lending")
def test_a_connection_of_a_listener_travels_in_a_pickle() -> None:
    ours, theirs = connection.Pipe()

    def other() -> None:
        with theirs.recv() as arrived:
            arrived.send("from far")

    with (
        ours,
        theirs,
        child(other),
        connection.Listener(family="AF_INET") as listener,
        connection.Client(listener.address) as client,
        listener.accept() as accepted,
    ):
        ours.send(accepted)
        accepted.close()
        assert client.recv() == "from far"


def test_the_sharer_stops_and_begins_again() -> None:
    first, second = connection.Pipe()
    with first, second:
        pickled = pickle.dumps(first)
        resource_sharer.stop(timeout=10)
        with pytest.raises(ConnectionRefusedError):
            pickle.loads(pickled)
        pickle.loads(pickle.dumps(first)).close()
        resource_sharer.stop(timeout=10)
