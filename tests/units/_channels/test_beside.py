"""Large messages of a pipe go beside the stream, and nobody can tell but by the clock."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import procession as mp
from procession import _native
from procession._channels.pipe import Connection, Pipe
from procession._channels.select import wait
from tests.units._channels.forked import child

LARGE = 1_000_000  # bytes: beside the stream, and few enough to run ahead of the reader (see test_beside_waits.py)
NOTICE = 24


@pytest.fixture(params=[False, True], ids=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, Connection]]:
    """(receives, sends): the receiver has received before, so that the sender knows that it looks beside the stream."""
    receiver, sender = Pipe(request.param)
    with receiver, sender:
        sender.send(None)
        receiver.recv()
        yield receiver, sender


def unread(connection: Connection) -> bytes:
    """What is in the stream."""
    assert connection._handle is not None
    os.set_blocking(connection._handle, False)
    try:
        return os.read(connection._handle, 1 << 20)
    except BlockingIOError:
        return b""
    finally:
        os.set_blocking(connection._handle, True)


def test_a_large_message_leaves_a_notice_in_the_stream(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    sender.send_bytes(b"x" * LARGE)
    assert receiver.poll()
    notice = unread(receiver)
    assert len(notice) == NOTICE
    assert struct.unpack("!iQ", notice[:12]) == (-2, LARGE)


def test_large_and_small_messages_keep_their_order(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    sizes = [0, LARGE, 1, 70_000, 65_535, 65_536, 3 * LARGE, LARGE, 5]

    def send() -> None:
        for number, size in enumerate(sizes):
            sender.send_bytes(bytes([number]) * size)
            sender.send([number, "y" * size])

    with child(send):
        for number, size in enumerate(sizes):
            assert receiver.recv_bytes() == bytes([number]) * size
            assert receiver.recv() == [number, "y" * size]


def test_arrays_arrive_as_they_are_and_are_the_receivers_own(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    array = numpy.arange(LARGE // 8)

    def send() -> None:
        for _ in range(5):
            sender.send({"array": array, "name": "n"})

    with child(send):
        kept = []
        for number in range(5):
            kept.append(receiver.recv()["array"])
            kept[-1][0] = number
    assert [int(arrived[0]) for arrived in kept] == [0, 1, 2, 3, 4]
    assert all((arrived[1:] == array[1:]).all() for arrived in kept)


def test_an_object_that_was_sent_can_be_received_as_bytes(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    array = numpy.arange(LARGE // 8)
    sender.send(array)
    assert (pickle.loads(receiver.recv_bytes()) == array).all()
    sender.send_bytes(pickle.dumps(array))
    assert (receiver.recv() == array).all()
    buffer = bytearray(LARGE)
    sender.send_bytes(b"b" * LARGE)
    assert receiver.recv_bytes_into(buffer) == LARGE
    assert buffer == b"b" * LARGE


def test_a_message_longer_than_allowed_ends_reading_as_ever(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    sender.send_bytes(b"x" * LARGE)
    with pytest.raises(OSError, match="length"):
        receiver.recv_bytes(LARGE - 1)
    assert receiver.closed or not receiver.readable


def test_what_a_process_sent_before_it_ended_is_received(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    with child(sender.send_bytes, b"x" * LARGE):
        sender.close()
    assert wait([receiver], 30) == [receiver]
    assert receiver.recv_bytes() == b"x" * LARGE
    with pytest.raises(EOFError):
        receiver.recv_bytes()


def test_who_knows_the_descriptor_gets_everything_through_the_stream(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    with Connection(os.dup(receiver.fileno())) as foreign, child(sender.send_bytes, b"x" * LARGE):
        assert foreign.recv_bytes() == b"x" * LARGE


def test_a_reader_that_has_not_begun_gets_large_messages_too() -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver, sender, child(sender.send_bytes, b"x" * LARGE):
        assert wait([receiver], 30)  # so nobody has received when its patience ends
        assert receiver.recv_bytes() == b"x" * LARGE


def test_the_end_of_the_reader_ends_a_sender_that_waits_for_room(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    sending = threading.Event()
    outcome: list[Any] = []

    def send() -> None:
        try:
            while True:
                sender.send_bytes(b"x" * LARGE)
                sending.set()
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    sending.wait()
    receiver.close()
    thread.join(30)
    assert isinstance(outcome[0], BrokenPipeError)


def test_memory_comes_back_when_the_pipe_goes_with_messages_in_it() -> None:
    before = _native.arena_in_use()
    for duplex in (True, False):
        receiver, sender = Pipe(duplex)
        with receiver, sender:
            sender.send(None)
            receiver.recv()
            sender.send_bytes(b"x" * LARGE)
            assert _native.arena_in_use() >= before + LARGE
        del receiver, sender
        assert _native.arena_in_use() <= before + 65_536


def test_a_sender_killed_between_the_message_and_its_notice_leaves_nothing_in_the_way(
    ends: tuple[Connection, Connection],
) -> None:
    receiver, sender = ends
    beside = receiver._beside_in
    assert beside is not None

    def die() -> None:
        beside.put_bytes(b"without a notice" * 10_000)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        die()
    os.waitpid(pid, 0)
    sender.send_bytes(b"x" * LARGE)
    assert receiver.recv_bytes() == b"x" * LARGE
    assert beside.qsize() == 0


@pytest.mark.slow
def test_a_reader_killed_between_the_notice_and_the_message_holds_up_nobody(
    ends: tuple[Connection, Connection],
) -> None:
    receiver, sender = ends
    assert receiver._beside_in is not None
    for _ in range(2):
        sender.send_bytes(b"x" * LARGE)
        assert len(unread(receiver)) == NOTICE
    sender.send_bytes(b"y" * LARGE)
    assert receiver.recv_bytes() == b"y" * LARGE


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.slow
def test_ends_travel_with_their_process_and_work_beside_the_stream(method: str) -> None:
    context: Any = mp.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_arrays, args=(sender, 4))
    with receiver:
        process.start()
        sender.close()
        for number in range(4):
            arrived = receiver.recv()
            assert int(arrived.sum()) == number * (LARGE // 8)
        with pytest.raises(EOFError):
            receiver.recv()
        process.join()


def send_arrays(sender: Connection, count: int) -> None:
    for number in range(count):
        sender.send(numpy.full(LARGE // 8, number))


@pytest.mark.usefixtures("lending")
def test_an_end_that_was_sent_to_a_running_process_works_beside_the_stream(ends: tuple[Connection, Connection]) -> None:
    receiver, sender = ends
    ours, theirs = Pipe()

    def other() -> None:
        with theirs.recv() as arrived:
            arrived.send_bytes(b"x" * LARGE)

    with ours, theirs, child(other):
        ours.send(sender)
        assert receiver.recv_bytes() == b"x" * LARGE
