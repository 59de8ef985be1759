"""Connections send and receive whole messages, and say what is wrong."""

from __future__ import annotations

import array
import os
import pickle
import socket
import struct
import threading
from typing import Any

import pytest

import procession as mp
from procession._channels.handles import recv_handle, send_handle
from procession._channels.pipe import Connection, Pipe
from procession.errors import BufferTooShort, StaleHandle
from tests.units._channels.forked import child


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def test_objects_and_bytes_go_both_ways() -> None:
    first, second = Pipe()
    with first, second:
        for message in (None, 7, [1, "hello", None], {"a": (2.5, b"x")}, 2**70, Connection):
            first.send(message)
            assert second.recv() == message
            second.send_bytes(pickle.dumps(message))
            assert pickle.loads(first.recv_bytes()) == message


def test_a_one_way_pipe_refuses_the_other_direction() -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver, sender:
        assert (receiver.readable, receiver.writable, sender.readable, sender.writable) == (True, False, False, True)
        for wrong in (lambda: receiver.send(1), lambda: receiver.send_bytes(b"")):
            with pytest.raises(OSError, match="read-only"):
                wrong()
        for wrong in (sender.recv, sender.recv_bytes, sender.poll, lambda: sender.recv_bytes_into(bytearray(1))):
            with pytest.raises(OSError, match="write-only"):
                wrong()


def test_parts_of_a_buffer_are_measured_in_bytes() -> None:
    first, second = Pipe()
    letters = b"abcdefghij"
    with first, second:
        for args in ((), (5,), (3, 4), (10,), (10, 0)):
            first.send_bytes(letters, *args)
            assert second.recv_bytes() == letters[args[0] if args else 0 :][: args[1] if len(args) == 2 else None]
        first.send_bytes(array.array("i", [1, 2, 3]), 4)
        assert second.recv_bytes() == struct.pack("2i", 2, 3)
        for wrong in ((11,), (8, 3), (10, 1), (-1,), (4, -1)):
            with pytest.raises(ValueError, match=r"offset|size"):
                first.send_bytes(letters, *wrong)
        assert not second.poll()


def test_messages_are_received_into_a_buffer() -> None:
    first, second = Pipe()
    with first, second:
        numbers = array.array("i", [0] * 5)
        first.send_bytes(array.array("i", [7, 8]))
        assert second.recv_bytes_into(numbers, 8) == 8
        assert list(numbers) == [0, 0, 7, 8, 0]
        first.send_bytes(b"x" * 21)
        with pytest.raises(BufferTooShort) as caught:
            second.recv_bytes_into(numbers)
        assert caught.value.args == (b"x" * 21,)
        first.send(None)
        for wrong in (-1, 21):
            with pytest.raises(ValueError, match="offset"):
                second.recv_bytes_into(numbers, wrong)
        with pytest.raises(TypeError):
            second.recv_bytes_into(b"read only")


def test_a_message_longer_than_allowed_ends_reading() -> None:
    first, second = Pipe()
    with first, second:
        first.send_bytes(b"12345")
        assert second.recv_bytes(5) == b"12345"
        for as_long_as_you_like in (2**80, 5.5, float("inf")):
            first.send_bytes(b"12345")
            assert second.recv_bytes(as_long_as_you_like) == b"12345"  # type: ignore[arg-type]
        first.send_bytes(b"123456")
        with pytest.raises(OSError, match="length"):
            second.recv_bytes(5)
        assert not second.readable
        with pytest.raises(OSError, match="write-only"):
            second.recv_bytes()
        second.send("still writable")
        assert first.recv() == "still writable"
        with pytest.raises(ValueError, match="negative"):
            first.recv_bytes(-1)


def test_poll_tells_whether_something_is_there() -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver:
        assert not receiver.poll()
        assert not receiver.poll(-1)
        assert not receiver.poll(0.01)
        sender.send_bytes(b"")
        assert receiver.poll()
        assert receiver.poll(None)
        assert receiver.recv_bytes() == b""
        sender.close()
        assert receiver.poll()
        with pytest.raises(EOFError):
            receiver.recv()


def test_poll_ends_when_a_message_comes() -> None:
    first, second = Pipe()
    with first, second, child(lambda: second.send("now") if second.recv() else None):
        first.send(True)
        assert first.poll(30)
        assert first.recv() == "now"


def test_what_cannot_be_pickled_raises_and_sends_nothing() -> None:
    first, second = Pipe()
    with first, second:
        with pytest.raises(TypeError, match="not this one"):
            first.send(Unpicklable())
        first.send("next")
        assert second.recv() == "next"


def test_a_closed_connection_says_so() -> None:
    first, second = Pipe()
    first.close()
    first.close()
    with second:
        assert first.closed
        assert not second.closed
        calls = (first.recv, first.poll, first.fileno, lambda: first.send(1), lambda: first.send_bytes(b""))
        for call in calls:
            with pytest.raises(OSError, match="closed"):
                call()
        with pytest.raises(EOFError):
            second.recv_bytes()
        with pytest.raises(BrokenPipeError):
            second.send(1)


@pytest.mark.parametrize(
    ("args", "error"), [((-1,), ValueError), ((1, False, False), ValueError), (("3",), (TypeError, AttributeError))]
)
def test_a_connection_needs_a_descriptor_and_a_direction(args: Any, error: Any) -> None:
    with pytest.raises(error):
        Connection(*args)


def test_a_descriptor_that_is_not_open_is_told() -> None:
    connection = Connection(44_977_608)
    try:
        for call in (connection.poll, connection.recv, lambda: connection.send(1)):
            with pytest.raises(OSError, match="descriptor"):
                call()
    finally:
        connection._handle = None


def test_a_receiver_learns_that_the_sender_was_killed_in_a_message() -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver:
        os.write(sender.fileno(), struct.pack("!i", 100) + b"only a part")
        sender.close()
        with pytest.raises(OSError, match="message") as caught:
            receiver.recv_bytes()
        assert not isinstance(caught.value, EOFError)


def test_megabytes_go_through_a_pipe_that_holds_less() -> None:
    first, second = Pipe()
    message = os.urandom(1 << 20) * 5
    with first, second, child(lambda: second.send_bytes(second.recv_bytes())):
        first.send_bytes(message)
        assert first.recv_bytes() == message


@pytest.mark.slow
@pytest.mark.deadline(240)
def test_a_message_of_more_than_two_gibibytes_is_framed_with_eight_bytes() -> None:
    first, second = Pipe()
    size = (2 << 30) + 1

    def send() -> None:
        first.send_bytes(bytes(size))

    thread = threading.Thread(target=send)
    with first, second:
        thread.start()
        header = os.read(second.fileno(), 12)
        assert struct.unpack("!iQ", header) == (-1, size)
        left = size
        buffer = bytearray(1 << 20)
        while left:
            left -= os.readv(second.fileno(), [memoryview(buffer)[:left]])
        thread.join()


def test_a_short_message_behind_the_long_header_is_read() -> None:
    first, second = Pipe()
    with first, second:
        os.write(first.fileno(), struct.pack("!iQ", -1, 5) + b"short")
        assert second.recv_bytes() == b"short"


@pytest.mark.usefixtures("lending")
@pytest.mark.parametrize("by", ["queue", "connection"])
def test_connections_travel_to_a_process_that_already_runs(by: str) -> None:
    queue: Any = mp.SimpleQueue()
    ours, theirs = Pipe()

    def other() -> None:
        arrived = queue.get() if by == "queue" else theirs.recv()
        assert arrived.writable
        assert not arrived.readable
        arrived.send("through the one that travelled")

    with ours, theirs, child(other):
        receiver, sender = Pipe(duplex=False)
        with receiver:
            queue.put(sender) if by == "queue" else ours.send(sender)
            sender.close()
            assert receiver.poll(30)
            assert receiver.recv() == "through the one that travelled"


@pytest.mark.usefixtures("lending")
def test_sockets_travel_too() -> None:
    ours, theirs = Pipe()

    def other() -> None:
        with theirs.recv() as arrived:
            arrived.sendall(b"hello")

    with ours, theirs, child(other):
        first, second = socket.socketpair()
        with first:
            with second:
                ours.send(second)
            first.settimeout(30)
            assert first.recv(10) == b"hello"


@pytest.mark.usefixtures("lending")
def test_a_descriptor_that_was_fetched_before_is_gone() -> None:
    first, second = Pipe()
    with first, second:
        pickled = pickle.dumps(first)
        pickle.loads(pickled).close()
        with pytest.raises(StaleHandle):
            pickle.loads(pickled)


def test_a_descriptor_of_a_dead_process_is_told() -> None:
    first, second = Pipe()
    with first, second:
        with child(lambda: second.send_bytes(pickle.dumps(second))):
            pickled = first.recv_bytes()
        with pytest.raises(ConnectionRefusedError, match="gone"):
            pickle.loads(pickled)


def test_while_a_process_is_started_its_start_method_passes_the_descriptor() -> None:
    class Starting:
        def __init__(self) -> None:
            self.passed: list[int] = []
            self.copies: list[int] = []

        def duplicate_for_child(self, fd: int) -> int:
            self.passed.append(fd)
            self.copies.append(os.dup(fd))
            return self.copies[-1]

    from procession._channels.pickling import set_spawning_popen

    first, second = Pipe()
    starting = Starting()
    with first, second:
        set_spawning_popen(starting)
        try:
            pickled = pickle.dumps(first)
        finally:
            set_spawning_popen(None)
        assert starting.passed[0] == first.fileno()  # the others are the arena, for its large messages
        with pickle.loads(pickled) as arrived:
            arrived.send(5)
        for copy in starting.copies[1:]:
            os.close(copy)
        assert second.recv() == 5


def test_descriptors_are_sent_over_a_connection() -> None:
    ours, theirs = Pipe()

    def other() -> None:
        fd = recv_handle(theirs)
        os.write(fd, b"from the child")
        os.close(fd)

    reading, writing = os.pipe()
    with ours, theirs, child(other) as pid:
        send_handle(ours, writing, pid)
        os.close(writing)
        assert os.read(reading, 100) == b"from the child"
        os.close(reading)


def test_a_message_without_a_descriptor_is_refused() -> None:
    ours, theirs = Pipe()
    with ours:
        with theirs:
            os.write(theirs.fileno(), b"\0")
            with pytest.raises(RuntimeError, match="0 descriptors"):
                recv_handle(ours)
        with pytest.raises(EOFError):
            recv_handle(ours)
