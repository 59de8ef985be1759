"""Listeners and clients find each other, over TCP and Unix sockets, with and without a key."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from procession._channels.listener import Client, Listener, address_type, families
from procession.errors import AuthenticationError
from tests.units._channels.forked import child

KEY = b"secret password"


@contextmanager
def calling(address: Any, **options: Any) -> Iterator[None]:
    """A client in another process, which sends one object."""

    def call() -> None:
        with Client(address, **options) as connection:
            connection.send([2.25, None, "junk", float])

    with child(call):
        yield


@pytest.mark.parametrize("authkey", [None, KEY, b""], ids=["no key", "key", "empty key"])
@pytest.mark.parametrize("family", [*families, "abstract"])
def test_client_and_listener_meet(family: str, authkey: bytes | None) -> None:
    address, family = (f"\0test-{os.urandom(8).hex()}", "AF_UNIX") if family == "abstract" else (None, family)
    with (
        Listener(address, family, authkey=authkey) as listener,
        calling(listener.address, authkey=authkey),
        listener.accept() as connection,
    ):
        assert connection.recv() == [2.25, None, "junk", float]
        with pytest.raises(EOFError):
            connection.recv()


def test_the_address_of_the_last_client_is_known_for_tcp() -> None:
    with Listener(("127.0.0.1", 0)) as listener:
        assert listener.last_accepted is None
        with calling(listener.address), listener.accept() as connection:
            assert connection.recv()
            assert listener.last_accepted[0] == "127.0.0.1"


def test_a_wrong_key_is_refused_at_both_ends_and_the_listener_goes_on() -> None:
    with Listener(authkey=KEY) as listener:

        def guess() -> None:
            with pytest.raises(AuthenticationError):
                Client(listener.address, authkey=b"guess")

        with child(guess), pytest.raises(AuthenticationError):
            listener.accept()
        with calling(listener.address, authkey=KEY), listener.accept() as connection:
            assert connection.recv()


def test_who_ends_without_answering_is_told_to_the_listener() -> None:
    with Listener(authkey=KEY) as listener:
        Client(listener.address).close()
        with pytest.raises((EOFError, OSError)):
            listener.accept()


def test_nothing_is_unpickled_before_the_key_is_proved() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os._exit, (3,)

    def throw() -> None:
        with Client(listener.address) as connection:
            connection.send(Bomb())
            assert connection.recv_bytes().startswith(b"#CHALLENGE#")
            assert connection.recv_bytes() == b"#FAILURE#"

    with Listener(authkey=KEY) as listener, child(throw), pytest.raises(AuthenticationError):
        listener.accept()


def test_the_file_of_a_unix_socket_is_its_owners_and_goes_with_the_listener(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    before = os.umask(0)
    try:
        listener = Listener(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    listener.close()
    listener.close()
    assert not os.path.exists(path)
    with pytest.raises(OSError, match="closed"):
        listener.accept()


def test_a_listener_that_is_forgotten_takes_its_file_with_it(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with pytest.warns(ResourceWarning, match="unclosed"):
        Listener(path)
    assert not os.path.exists(path)


def test_a_forked_child_does_not_remove_the_socket_of_its_parent(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with Listener(path) as listener:
        with child(listener.close):
            pass
        assert os.path.exists(path)


@pytest.mark.parametrize("family", families)
def test_an_address_in_use_is_refused_and_left_alone(family: str) -> None:
    with Listener(family=family) as listener:
        with pytest.raises(OSError, match=r"(?i)in use"):
            Listener(listener.address, family)
        with calling(listener.address), listener.accept() as connection:
            assert connection.recv()


def test_nobody_listens_there() -> None:
    with Listener(family="AF_UNIX") as listener:
        address = listener.address
    with pytest.raises(FileNotFoundError):
        Client(address)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((r"\\.\test",), ValueError, "AF_PIPE"),
        ((None, "AF_NONSENSE"), ValueError, "AF_NONSENSE"),
        ((12,), TypeError, "12"),
        ((("localhost", 0), "AF_UNIX"), TypeError, "localhost"),
        (("/tmp/a path", "AF_INET"), TypeError, "tuple"),
        ((None, None, 1, "text"), TypeError, "byte string"),
    ],
)
def test_what_cannot_be_listened_on_is_told(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        Listener(*arguments)


def test_a_client_checks_its_arguments_before_it_connects() -> None:
    with pytest.raises(TypeError, match="byte string"):
        Client(("127.0.0.1", 1), authkey="text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="AF_PIPE"):
        Client(r"\\.\pipe\x")


def test_families_are_told_from_addresses() -> None:
    assert address_type(("localhost", 0)) == "AF_INET"
    assert address_type(("::1", 0)) == "AF_INET6"
    assert address_type("/tmp/x") == address_type("\0x") == address_type(b"\0x") == "AF_UNIX"
    assert address_type(r"\\server\pipe\x") == "AF_PIPE"


def test_the_default_timeout_of_sockets_is_not_that_of_connections() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.05)
    try:
        with Listener(family="AF_INET") as listener, calling(listener.address), listener.accept() as connection:
            assert os.get_blocking(connection.fileno())
            assert connection.recv()
    finally:
        socket.setdefaulttimeout(before)
