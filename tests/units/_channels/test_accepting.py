"""Peers that say nothing, dribble, lie, come in crowds or are of another user hold up nobody, and cost no more than is said."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from procession._channels import accepting, auth
from procession._channels.listener import Client, Listener
from procession._channels.wire import Frames
from procession.errors import AuthenticationError
from tests.units._channels.forked import child

KEY = b"the key"
NOBODY = 65534  # another user than that of the tests


@contextmanager
def raw(listener: Listener, sends: bytes = b"") -> Iterator[socket.socket]:
    """A client that speaks no protocol: sends what it is given."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(listener.address)  # type: ignore[arg-type]
        sock.sendall(sends)
        yield sock


@contextmanager
def good_client(listener: Listener) -> Iterator[None]:
    def call() -> None:
        with Client(listener.address, authkey=KEY) as connection:
            connection.send("good")
            with pytest.raises(EOFError):
                connection.recv()

    with child(call):
        yield


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(family="AF_UNIX", backlog=16, authkey=KEY) as listener:
        yield listener


SILENT = [b"", b"\0", b"\0\0\0", struct.pack("!i", 44), struct.pack("!i", 44) + b"{sha256}", struct.pack("!i", -1)]


@pytest.mark.parametrize("sends", SILENT)
def test_a_client_that_stops_in_the_middle_does_not_hold_up_others(listener: Listener, sends: bytes) -> None:
    with raw(listener, sends), raw(listener, sends), good_client(listener), listener.accept() as connection:
        assert connection.recv() == "good"


@pytest.mark.parametrize("sends", SILENT)
def test_a_client_that_stops_in_the_middle_is_dropped_and_told_of(listener: Listener, sends: bytes) -> None:
    listener.handshake_timeout = 0.1
    with raw(listener, sends) as sock:
        with pytest.raises(AuthenticationError, match=r"within 0.1 s"):
            listener.accept()
        with Frames(sock, 30) as frames:
            assert frames.recv_bytes(256).startswith(auth.CHALLENGE)
            with pytest.raises((EOFError, ConnectionResetError)):
                frames.recv_bytes(256)
    with good_client(listener), listener.accept() as connection:
        assert connection.recv() == "good"


def test_bytes_that_dribble_win_no_time(listener: Listener) -> None:
    listener.handshake_timeout = 0.1
    dropped = threading.Event()

    def dribble(sock: socket.socket) -> None:
        try:
            for _ in range(256):
                sock.send(b"x")
                dropped.wait(0.02)
        except OSError:
            pass

    with raw(listener, struct.pack("!i", 256)) as sock:
        thread = threading.Thread(target=dribble, args=(sock,))
        thread.start()
        with pytest.raises(AuthenticationError, match=r"within 0.1 s"):
            listener.accept()
        dropped.set()
        thread.join()


@pytest.mark.parametrize(
    "sends",
    [
        struct.pack("!i", 257),
        struct.pack("!i", -2),
        struct.pack("!i", 2**31 - 1),
        struct.pack("!iQ", -1, 2**63),
        struct.pack("!iQ", -1, 257),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 1000,
    ],
)
def test_a_length_that_lies_is_refused_at_once(listener: Listener, sends: bytes) -> None:
    with raw(listener, sends), pytest.raises(OSError, match="bad message length"):
        listener.accept()
    with good_client(listener), listener.accept() as connection:
        assert connection.recv() == "good"


def test_a_client_that_ends_is_told_of(listener: Listener) -> None:
    with raw(listener, b"\0"):
        pass
    with pytest.raises((EOFError, OSError)):
        listener.accept()


def test_what_follows_the_handshake_is_the_connections(listener: Listener) -> None:
    """The client's last word and its first message arrive together."""

    def hasty() -> None:
        with raw(listener) as sock, Frames(sock, 30) as frames:
            frames.send_bytes(auth.create_response(KEY, frames.recv_bytes(256).removeprefix(auth.CHALLENGE)))
            assert frames.recv_bytes(256) == auth.WELCOME
            frames.send_bytes(auth.CHALLENGE + b"r" * 20)
            frames.recv_bytes(256)
            whole = auth.WELCOME, b"first message"
            sock.sendall(b"".join(struct.pack("!i", len(part)) + part for part in whole))

    with child(hasty), listener.accept() as connection:
        assert connection.recv_bytes() == b"first message"


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("!i", len(each)) + each for each in messages)


def test_a_client_may_send_its_challenge_with_its_proof_in_any_pieces(listener: Listener) -> None:
    def eager() -> None:
        with raw(listener) as sock, Frames(sock, 30) as frames:
            proof = auth.create_response(KEY, frames.recv_bytes(256).removeprefix(auth.CHALLENGE))
            for part in framed(proof, auth.CHALLENGE + b"r" * 20):
                sock.sendall(bytes([part]))
            assert frames.recv_bytes(256) == auth.WELCOME
            assert frames.recv_bytes(256) == auth.create_response(KEY, b"r" * 20)
            sock.sendall(framed(auth.WELCOME, b"first message"))

    with child(eager), listener.accept() as connection:
        assert connection.recv_bytes() == b"first message"


def test_a_client_that_does_not_wait_for_the_answer_to_its_challenge_is_refused(listener: Listener) -> None:
    def hasty() -> None:
        with raw(listener) as sock, Frames(sock, 30) as frames:
            proof = auth.create_response(KEY, frames.recv_bytes(256).removeprefix(auth.CHALLENGE))
            sock.sendall(framed(proof, auth.CHALLENGE + b"r" * 20, auth.WELCOME))
            with pytest.raises((EOFError, OSError)):
                frames.recv_bytes(256)

    with child(hasty), pytest.raises(AuthenticationError, match="does not wait"):
        listener.accept()


def test_a_client_overtaken_by_another_is_handed_out_by_the_next_call(listener: Listener) -> None:
    with raw(listener) as sock, Frames(sock, 30) as slow:
        with good_client(listener), listener.accept() as connection:
            assert connection.recv() == "good"
        taken: list[Any] = []
        thread = threading.Thread(target=lambda: taken.append(listener.accept()))
        thread.start()
        auth.prove_client(slow, KEY)
        thread.join(30)
        with taken[0] as connection:
            slow.send_bytes(b"late, but welcome")
            assert connection.recv_bytes() == b"late, but welcome"


@pytest.mark.slow
def test_a_thousand_silent_clients_are_not_kept(listener: Listener) -> None:
    def flood() -> None:
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        crowd = []
        for _ in range(1000):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(listener.address)  # type: ignore[arg-type]
        with Client(listener.address, authkey=KEY) as connection:
            connection.send("good")
            assert connection.recv() == "welcome"  # the crowd stays until then

    most = 0
    before = len(os.listdir("/proc/self/fd"))
    with child(flood):
        refused = 0
        while True:
            try:
                connection = listener.accept()
                break
            except AuthenticationError as error:
                assert "others had come" in str(error)  # noqa: PT017 - any number of them
                refused += 1
            most = max(most, len(os.listdir("/proc/self/fd")) - before)
        with connection:
            assert connection.recv() == "good"
            connection.send("welcome")
    assert refused >= 1000 - accepting.MOST_PENDING
    assert most <= accepting.MOST_PENDING + 3


def test_without_descriptors_the_oldest_silent_client_makes_room(listener: Listener) -> None:
    """In a child: what it does to its limits stays there."""

    def starve() -> None:
        with raw(listener), raw(listener):
            taken = []
            listener._listener._acceptor._enter()  # type: ignore[union-attr]  # it opens a descriptor at its first use
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20,) * 2)
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                os.close(taken.pop())
            with pytest.raises(AuthenticationError, match="descriptors or memory ran out"):
                listener.accept()

    with child(starve):
        pass


@pytest.mark.parametrize("authkey", [None, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("silent", [0, 1])
def test_closing_ends_the_wait_of_all_threads(authkey: bytes | None, silent: int) -> None:
    outcome: list[str] = []

    def accept(listener: Listener) -> None:
        waiting.release()
        try:
            while True:
                listener.accept()
        except OSError as error:
            outcome.append(str(error))

    waiting = threading.Semaphore(0)
    listener = Listener(family="AF_UNIX", authkey=authkey)
    threads = [threading.Thread(target=accept, args=(listener,)) for _ in range(3)]
    with raw(listener) if silent else threading.Lock() as client:
        for thread in threads:
            thread.start()
        for _thread in threads:
            waiting.acquire()
        if silent and authkey is not None:
            assert isinstance(client, socket.socket)
            select.select([client], [], [], 30)  # it has been challenged
        listener.close()
        for thread in threads:
            thread.join(30)
    assert outcome == ["listener is closed"] * 3


class _Interrupt(Exception):
    pass


@pytest.mark.parametrize("authkey", [None, KEY], ids=["no key", "key"])
def test_a_signal_handler_that_raises_ends_the_wait_and_nothing_is_lost(authkey: bytes | None) -> None:
    def interrupt(*_args: object) -> None:
        raise _Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Listener(family="AF_UNIX", authkey=authkey) as listener:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(_Interrupt):
                listener.accept()
            with child(lambda: Client(listener.address, authkey=authkey).close()):
                listener.accept().close()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_forked_worker_accepts_after_its_parent_has_closed() -> None:
    listener = Listener(family="AF_INET", authkey=KEY)
    address = listener.address
    ready, go = os.pipe()

    def work() -> None:
        os.close(go)
        os.read(ready, 1)
        with listener.accept() as connection:
            assert connection.recv() == "to the worker"

    with child(work):
        listener.close()
        os.close(ready)
        os.close(go)
        with Client(address, authkey=KEY) as connection:
            connection.send("to the worker")


def test_the_pending_clients_of_the_parent_are_not_those_of_its_forked_child(listener: Listener) -> None:
    with raw(listener) as sock, Frames(sock, 30) as slow:
        with good_client(listener), listener.accept() as connection:
            assert connection.recv() == "good"

        def close_and_accept() -> None:
            with good_client(listener), listener.accept() as connection:
                assert connection.recv() == "good"
            listener.close()

        with child(close_and_accept):
            pass
        with child(auth.prove_client, slow, KEY), listener.accept():
            pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
class TestAnotherUser:
    """What a process of another user of the machine can do: nothing."""

    def test_cannot_connect_to_a_socket_with_a_file(self, listener: Listener) -> None:
        def intrude() -> None:
            os.setuid(NOBODY)
            with pytest.raises(PermissionError):
                Client(listener.address, authkey=KEY)

        with child(intrude):
            pass

    def test_cannot_connect_to_a_socket_file_in_an_open_directory(self) -> None:
        path = f"/tmp/procession-test-{os.getpid()}.socket"

        def intrude() -> None:
            os.setuid(NOBODY)
            with pytest.raises(PermissionError):
                Client(path)

        with Listener(path), child(intrude):
            pass

    def test_is_refused_by_a_listener_without_key_and_file(self) -> None:
        name = f"\0test-{os.urandom(8).hex()}"

        def intrude() -> None:
            os.setuid(NOBODY)
            with Client(name) as connection, pytest.raises((EOFError, ConnectionResetError)):
                connection.recv()

        with Listener(name) as listener:
            with child(intrude), pytest.raises(AuthenticationError, match=f"user {NOBODY}"):
                listener.accept()
            with child(lambda: Client(name).close()):
                listener.accept().close()


def test_a_handshake_needs_time(listener: Listener) -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="time"):
            listener.handshake_timeout = wrong
    assert listener.handshake_timeout == accepting.PATIENCE


def test_messages_go_at_once_over_tcp() -> None:
    with Listener(family="AF_INET") as listener:
        ours = Client(listener.address)
        with ours, listener.accept() as theirs:
            for connection in (ours, theirs):
                with socket.socket(fileno=os.dup(connection.fileno())) as sock:
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
