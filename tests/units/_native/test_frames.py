"""Messages over a descriptor: the standard library's format, whole or not at all."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _native
from tests.units._native.children import child, until

pytestmark = pytest.mark.fuzz


class Ends:
    """A pipe."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def close(self) -> None:
        for end in ("read", "write"):
            self.close_end(end)

    def close_end(self, end: str) -> None:
        fd = getattr(self, end)
        if fd >= 0:
            os.close(fd)
            setattr(self, end, -1)


@pytest.fixture
def pipe() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_a_frame_is_a_big_endian_length_and_the_bytes(pipe: Ends) -> None:
    _native.send_frame(pipe.write, b"hello")
    assert os.read(pipe.read, 100) == struct.pack("!i", 5) + b"hello"
    os.write(pipe.write, struct.pack("!i", 3) + b"abc" + struct.pack("!i", 0))
    assert _native.recv_frame(pipe.read, -1) == b"abc"
    assert _native.recv_frame(pipe.read, -1) == b""


def test_the_long_form_of_the_header_is_read(pipe: Ends) -> None:
    os.write(pipe.write, struct.pack("!iQ", -1, 4) + b"four")
    assert _native.recv_frame(pipe.read, -1) == b"four"


def test_nothing_behind_the_message_is_taken(pipe: Ends) -> None:
    _native.send_object(pipe.write, {"a": 1})
    os.write(pipe.write, b"rest")
    assert _native.recv_object(pipe.read) == {"a": 1}
    assert os.read(pipe.read, 100) == b"rest"


def test_the_end_between_messages_is_eof(pipe: Ends) -> None:
    pipe.close_end("write")
    with pytest.raises(EOFError):
        _native.recv_frame(pipe.read, -1)
    with pytest.raises(EOFError):
        _native.recv_object(pipe.read)


@pytest.mark.parametrize(
    "sent", [b"\0\0", struct.pack("!i", 10), struct.pack("!i", 10) + b"half", struct.pack("!iI", -1, 0)]
)
def test_the_end_in_a_message_is_an_error(pipe: Ends, sent: bytes) -> None:
    os.write(pipe.write, sent)
    pipe.close_end("write")
    with pytest.raises(OSError, match="got end of file during message"):
        _native.recv_frame(pipe.read, -1)


@pytest.mark.parametrize(
    "header", [struct.pack("!i", -2), struct.pack("!iQ", -1, 2**63), struct.pack("!iQ", -1, 2**64 - 1)]
)
def test_an_impossible_length_is_an_error(pipe: Ends, header: bytes) -> None:
    os.write(pipe.write, header)
    with pytest.raises(OSError, match="bad message length"):
        _native.recv_frame(pipe.read, -1)


def test_a_message_beyond_maxlength_is_an_error(pipe: Ends) -> None:
    _native.send_frame(pipe.write, b"12345")
    with pytest.raises(OSError, match="bad message length"):
        _native.recv_frame(pipe.read, 4)
    pipe.close()


def test_maxlength_itself_is_allowed(pipe: Ends) -> None:
    _native.send_frame(pipe.write, b"12345")
    assert _native.recv_frame(pipe.read, 5) == b"12345"


def test_a_length_that_never_comes_costs_no_memory(pipe: Ends) -> None:
    os.write(pipe.write, struct.pack("!iQ", -1, 2**40) + b"x")
    pipe.close_end("write")
    with pytest.raises(OSError, match="got end of file during message"):
        _native.recv_object(pipe.read)


def test_writing_to_nobody_is_a_broken_pipe(pipe: Ends) -> None:
    pipe.close_end("read")
    with pytest.raises(BrokenPipeError):
        _native.send_frame(pipe.write, b"x")


def test_a_closed_descriptor_is_an_oserror() -> None:
    read, write = os.pipe()
    os.close(read), os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _native.send_object(write, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _native.recv_object(read)
    with pytest.raises(ValueError, match="not a file descriptor"):
        _native.recv_object(-1)


def test_a_reset_connection_is_said_so() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer, _address = server.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with client, server, pytest.raises(ConnectionResetError):
        _native.recv_frame(client.fileno(), -1)


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 1 << 20, (1 << 20) + 1, 5 << 20])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
def test_messages_of_every_size_pass_a_small_buffer(size: int, blocking: bool) -> None:
    left, right = socket.socketpair()
    data = os.urandom(size)
    with left, right:
        left.setblocking(blocking), right.setblocking(blocking)
        sender = threading.Thread(target=_native.send_frame, args=(left.fileno(), data))
        sender.start()
        assert _native.recv_frame(right.fileno(), -1) == data
        sender.join()
        sender = threading.Thread(target=_native.send_object, args=(left.fileno(), [data]))
        sender.start()
        assert _native.recv_object(right.fileno()) == [data]
        sender.join()


def test_signals_do_not_tear_a_message(pipe: Ends) -> None:
    ticks = 0

    def tick(signum: int, frame: Any) -> None:
        nonlocal ticks
        ticks += 1

    def send_slowly() -> None:
        for _ in range(30):
            _native.send_frame(pipe.write, b"y" * 300_000)

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with child(send_slowly):
            for _ in range(30):
                assert _native.recv_frame(pipe.read, -1) == b"y" * 300_000
            until(lambda: ticks > 5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_ends_a_receive(pipe: Ends) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(signum: int, frame: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(Interrupted):
            _native.recv_object(pipe.read)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_standard_library_reads_and_writes_the_same() -> None:
    source = (
        "import sys; from multiprocessing.connection import Connection\n"
        "c = Connection(int(sys.argv[1])); o = c.recv(); c.send([o, o]); c.send_bytes(c.recv_bytes()[::-1])"
    )
    import subprocess
    import sys

    ours, theirs = socket.socketpair()
    with ours, theirs:
        with subprocess.Popen([sys.executable, "-c", source, str(theirs.fileno())], pass_fds=[theirs.fileno()]) as peer:
            value = {"text": "ü", "numbers": [1, 2.5, 2**40], "pair": (None, True)}
            _native.send_object(ours.fileno(), value)
            assert _native.recv_object(ours.fileno()) == [value, value]
            _native.send_frame(ours.fileno(), b"abc" * 10_000)
            assert _native.recv_frame(ours.fileno(), -1) == b"cba" * 10_000
        assert peer.returncode == 0
