"""Connections to and from the standard library of every Python here: framing, handshake, pickles."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from procession._channels.listener import Client, Listener
from procession._channels.pipe import Connection
from procession.errors import AuthenticationError
from tests.interop.pythons import interpreters

PYTHONS = interpreters()
PEER = str(Path(__file__).with_name("peer.py"))
KEY = b"the key"
OBJECTS: list[Any] = [
    None, True, 7, -(2**40), 2**100, 1.5, "text é\U0001f600", b"bytes", (), (1, (2, 3)), [1, [2]], {"a": {"b": [None]}},
    {1, 2}, complex(1, 2), ValueError("x"), len, list(range(3000)), "x" * 70_000, b"y" * (5 << 20),
]  # fmt: skip
LENGTHS = [
    0,
    1,
    16 * 1024 - 1,
    16 * 1024,
    16 * 1024 + 1,
    5 << 20,
]  # up to 16 KiB old peers send header and body together


def start(python: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([PYTHONS[python], "-I", PEER, *args], stdout=subprocess.PIPE, text=True)


def in_hex(key: bytes | None) -> str:
    return "none" if key is None else key.hex()


@contextmanager
def their_listener(python: str, key: bytes | None, family: str = "AF_UNIX") -> Iterator[tuple[Any, Any]]:
    """(its address, its process)"""
    with start(python, "listen", in_hex(key), family) as peer:
        assert peer.stdout
        try:
            yield ast.literal_eval(peer.stdout.readline()), peer
        finally:
            peer.kill()


def check_echo(connection: Connection) -> None:
    for sent in OBJECTS:
        connection.send(sent)
        received = connection.recv()
        assert type(received) is type(sent)
        assert received == sent or isinstance(sent, Exception)
    for length in LENGTHS:
        message = os.urandom(length)
        connection.send("bytes follow")
        connection.send_bytes(message)
        assert connection.recv_bytes() == message


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("python", PYTHONS)
def test_our_client_and_their_listener_understand_each_other(python: str, key: bytes | None) -> None:
    with their_listener(python, key) as (address, peer):
        with Client(address, authkey=key) as connection:
            check_echo(connection)
        assert peer.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("python", PYTHONS)
def test_their_client_and_our_listener_understand_each_other(python: str, key: bytes | None) -> None:
    with (
        Listener(authkey=key, family="AF_UNIX") as listener,
        start(python, "call", in_hex(key), str(listener.address)) as peer,
    ):
        with listener.accept() as connection:
            check_echo(connection)
        assert peer.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_tcp_works_as_well(python: str) -> None:
    with their_listener(python, KEY, "AF_INET") as (address, peer):
        with Client(address, authkey=KEY) as connection:
            connection.send([1])
            assert connection.recv() == [1]
        assert peer.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_a_wrong_key_is_refused_both_ways(python: str) -> None:
    with their_listener(python, b"another") as (address, peer):
        with pytest.raises(AuthenticationError):
            Client(address, authkey=KEY)
        assert peer.wait(30) == 3
    with (
        Listener(authkey=KEY, family="AF_UNIX") as listener,
        start(python, "call", in_hex(b"another"), str(listener.address)) as peer,
    ):
        with pytest.raises(AuthenticationError):
            listener.accept()
        assert peer.wait(30) == 3


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_an_empty_key_is_a_key_to_our_listener(python: str) -> None:
    """(A listener of 3.12.1 and older asks for no proof of an empty key, though its own clients wait to be asked: they hang.)"""
    with (
        Listener(authkey=b"", family="AF_UNIX") as listener,
        start(python, "call", "", str(listener.address)) as peer,
    ):
        with listener.accept() as connection:
            connection.send([1])
            assert connection.recv() == [1]
        assert peer.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("python", [python for python in PYTHONS if int(python.split(".")[1]) >= 13])
def test_an_empty_key_is_a_key_to_our_client(python: str) -> None:
    with their_listener(python, b"") as (address, peer):
        with Client(address, authkey=b"") as connection:
            connection.send([1])
            assert connection.recv() == [1]
        assert peer.wait(30) == 0
