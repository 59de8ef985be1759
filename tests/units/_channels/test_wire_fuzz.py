"""Whatever bytes come, in whatever pieces: messages, or an error, in bounded memory; before and after the handshake."""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession import _native
from procession._channels import auth
from procession._channels.pending import PendingClient
from procession._channels.pipe import Connection
from procession._channels.wire import Assembly, frame
from procession.errors import AuthenticationError

pytestmark = pytest.mark.fuzz
KEY = b"k"
FEW = settings(max_examples=60, deadline=None)
PIECES = st.lists(st.integers(1, 300), min_size=1, max_size=40)
MESSAGES = st.lists(st.binary(max_size=256), max_size=8)
# Streams that look like the protocol up to a point: lengths true and false, words of the handshake, noise.
WORDS = st.sampled_from(
    [auth.CHALLENGE, auth.WELCOME, auth.FAILURE, b"{sha256}", b"{md5}", b"{sha1}", b"r" * 20, b"r" * 40]
)
HONEST = st.lists(WORDS | st.binary(max_size=60), max_size=4).map(b"".join).map(lambda body: frame(body[:256]))
LYING = st.tuples(st.integers(-(2**31), 2**31 - 1), st.binary(max_size=80)).map(
    lambda t: struct.pack("!i", t[0]) + t[1]
)
LONG = st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=80)).map(lambda t: struct.pack("!iQ", -1, t[0]) + t[1])
STREAMS = st.lists(HONEST | LYING | LONG | st.binary(max_size=80), max_size=6).map(b"".join)


def in_pieces(assembly: Assembly, stream: bytes, sizes: list[int]) -> tuple[list[bytes], bytes]:
    """(messages, what nobody has asked for): as a reader that is given pieces of these sizes."""
    messages, at, turn = [], 0, 0
    while at < len(stream):
        size = min(assembly.missing, sizes[turn % len(sizes)])
        turn += 1
        message = assembly.add(stream[at : at + size])
        at += size
        if message is not None:
            messages.append(message)
    return messages, stream[at:]


@FEW
@given(MESSAGES, PIECES, st.booleans())
def test_messages_come_out_as_they_went_in(messages: list[bytes], sizes: list[int], has_long_headers: bool) -> None:
    def framed(message: bytes) -> bytes:
        return struct.pack("!iQ", -1, len(message)) + message if has_long_headers else frame(message)

    stream = b"".join(map(framed, messages))
    assembly = Assembly(256)
    assert in_pieces(assembly, stream, sizes) == (messages, b"")
    assert assembly.is_empty


@FEW
@given(STREAMS, PIECES)
def test_a_reader_of_short_messages_never_keeps_more_than_one(stream: bytes, sizes: list[int]) -> None:
    assembly = Assembly(256)
    try:
        for message in in_pieces(assembly, stream, sizes)[0]:
            assert len(message) <= 256
    except OSError as error:
        assert "bad message length" in str(error)  # noqa: PT017 - or there is no error
    assert len(assembly._received) <= 12 + 256


@FEW
@given(STREAMS, PIECES)
def test_nobody_gets_in_by_chance_and_nothing_waits(stream: bytes, sizes: list[int]) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        client = PendingClient(ours.detach(), None, KEY)
        client.begin(0)
        outcome: Any = None
        at = 0
        try:
            for size in sizes:
                theirs.send(stream[at : at + size])
                at += size
                assert not client.proceed()
            theirs.shutdown(socket.SHUT_WR)
            client.proceed()
        except (AuthenticationError, EOFError, OSError) as error:
            outcome = error
        finally:
            client.close()
    assert outcome is not None


@FEW
@given(STREAMS)
def test_a_connection_reads_messages_or_raises(stream: bytes) -> None:
    """After the handshake, any length may be announced: what was not sent costs no memory, and nothing waits at the end."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(stream)
    read = 0
    with Connection(ours.detach()) as connection:
        while True:
            try:
                read += len(connection.recv_bytes())
            except (EOFError, OSError, MemoryError):
                break
    assert read <= len(stream)


@FEW
@given(st.binary(max_size=200))
def test_bytes_that_are_no_object_are_an_error_of_recv(noise: bytes) -> None:
    """Not pickles of anybody's: opcodes that call something are left out."""
    harmless = noise.translate(None, b"Rcio\x81\x92\x93bPQ\x82\x83\x84()")
    first, second = os.pipe()
    with Connection(first, writable=False) as receiver, Connection(second, readable=False) as sender:
        sender.send_bytes(harmless)
        sender.send_bytes(b"next")
        try:
            receiver.recv()
        except Exception as error:
            assert not isinstance(error, (SystemError, InterruptedError))  # noqa: PT017 - or there is none
        assert receiver.recv_bytes() == b"next"


def test_a_lie_about_the_length_takes_no_memory() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(struct.pack("!iQ", -1, 8 << 30) + b"ten bytes.")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    with pytest.raises((OSError, MemoryError)):
        _native.recv_frame(ours.fileno(), -1)
    ours.close()
    assert resident() - before < 16 << 20
