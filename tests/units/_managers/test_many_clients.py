"""Many clients: none waits for another, and those that say nothing cost no thread. And peers that are no clients."""

from __future__ import annotations

import os
import pickle
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession._channels import auth
from procession._managers import reactor
from procession.connection import Client
from procession.errors import AuthenticationError
from procession.managers import dispatch
from tests.units._managers.conftest import Bank

KEY = b"the tests' key"
SECONDS = 20


@contextmanager
def raw(address: Any) -> Iterator[socket.socket]:
    """A connection that has said nothing yet."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.connect(address)  # without a timeout it waits for its turn
        sock.settimeout(SECONDS)
        yield sock


@pytest.fixture
def bank() -> Iterator[Any]:
    """A manager with a key that the tests know."""
    with Bank(authkey=KEY) as started:
        yield started
    started.join()


def test_a_call_that_waits_holds_up_no_other(manager: Any) -> None:
    shared, answers = manager.Queue(), mp.Queue()
    waiting = [mp.Process(target=lambda: answers.put(shared.get())) for _ in range(20)]  # more than dedicated threads
    for child in waiting:
        child.start()
    account = manager.Account()
    while account.calls() < 21:
        pass
    assert [account.add(1) for _ in range(50)][-1] == 50
    for number in range(20):
        shared.put(number)
    assert {answers.get(timeout=SECONDS) for _ in range(20)} == set(range(20))
    for child in waiting:
        child.join()


@pytest.mark.slow  # a thread that nobody needs stays for 5 s
def test_hundreds_of_idle_clients_cost_no_thread_each(bank: Any) -> None:
    account = bank.Account()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(bank.address, authkey=KEY)) for _ in range(200)]
        for number, client in enumerate(clients):
            dispatch(client, None, "accept_connection", (f"client-{number}",))
        assert [dispatch(client, account._id, "add", (1,)) for client in clients][-1] == 200
        while account.threads() > 30:
            pass  # a thread leaves its client after 50 ms
        assert [dispatch(client, account._id, "add", (1,)) for client in clients][-1] == 400


SILENT: list[bytes] = [b"", struct.pack("!i", 20), struct.pack("!i", 20) + b"dribb"]
WRONG: list[bytes] = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    struct.pack("!i", 1 << 30) + b"x",
    struct.pack("!i", -1) + struct.pack("!Q", 1 << 60),
    struct.pack("!i", -5),
    struct.pack("!i", 32) + bytes(32),
]


@pytest.mark.parametrize("sent", [*SILENT, *WRONG])
def test_who_is_silent_or_talks_nonsense_before_the_handshake_holds_up_nobody(bank: Any, sent: bytes) -> None:
    with ExitStack() as stack:
        strangers = [stack.enter_context(raw(bank.address)) for _ in range(50)]
        for stranger in strangers:
            stranger.sendall(sent)
        other = Bank(bank.address, KEY)
        other.connect()
        assert other.Account(1).add(1) == 2  # type: ignore[attr-defined]
        if sent in WRONG:
            for stranger in strangers:
                assert auth.WELCOME not in read_to_end(stranger)  # and there is an end


def read_to_end(sock: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            part = sock.recv(4096)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part


def serve(patience: float, ready: Any) -> None:
    server = Bank(authkey=KEY).get_server()
    reactor.Reactor.patience = patience
    ready.send(server.address)
    server.serve_forever()


def test_who_never_finishes_the_handshake_is_dropped() -> None:
    mine, theirs = mp.Pipe()
    child = mp.Process(target=serve, args=(0.2, theirs))
    child.start()
    with raw(mine.recv()) as sock:
        assert read_to_end(sock).startswith(struct.pack("!i", 59) + auth.CHALLENGE)
    child.terminate()
    child.join()
    mine.close()
    theirs.close()


def test_more_connections_than_descriptors_keep_nobody_out() -> None:
    mine, theirs = mp.Pipe()
    child = mp.Process(target=serve_with_few_descriptors, args=(theirs,))
    child.start()
    address = mine.recv()
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(raw(address))
        other = Bank(address, KEY)
        other.connect()
        assert other.Account(1).add(1) == 2  # type: ignore[attr-defined]
    child.terminate()
    child.join()
    mine.close()
    theirs.close()


def serve_with_few_descriptors(ready: Any) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    serve(SECONDS, ready)


class Bomb:
    """What runs code where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_nothing_is_unpickled_before_the_key_is_proved(bank: Any, tmp_path: Any) -> None:
    bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")))
    with raw(bank.address) as sock:
        sock.sendall(struct.pack("!i", len(bomb)) + bomb)
        read_to_end(sock)
    with pytest.raises(AuthenticationError):
        Client(bank.address, authkey=b"wrong")
    assert not (tmp_path / "exploded").exists()
    with Client(bank.address, authkey=KEY) as client:  # who has the key may: this shows that the bomb is one
        client.send_bytes(bomb)
        client.recv()
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "sent",
    [b"no pickle", pickle.dumps(7), pickle.dumps(()), pickle.dumps((1, 2, 3, 4)), pickle.dumps(([], "x", (), {})),
     pickle.dumps((None, "create", 5, {})), pickle.dumps((None, "#channel", ((1, 2), (3, 4)))), pickle.dumps((None, "#hold", ()))],
)  # fmt: skip
def test_who_has_the_key_and_sends_nonsense_is_told_so_and_served_on(bank: Any, sent: bytes) -> None:
    with Client(bank.address, authkey=KEY) as client:
        client.send_bytes(sent)
        kind, text = client.recv()
        assert kind == "#TRACEBACK"
        assert "Error" in text or "StaleHandle" in text
        dispatch(client, None, "dummy")


def test_a_length_that_is_a_lie_costs_no_memory_and_holds_up_nobody(bank: Any) -> None:
    with Client(bank.address, authkey=KEY) as liar:
        os.write(liar.fileno(), struct.pack("!i", -1) + struct.pack("!Q", 1 << 40) + b"x")
        assert bank.Account(1).add(1) == 2
        status = Path(f"/proc/{bank._process.pid}/status").read_text()
        assert int(status.split("VmRSS:")[1].split()[0]) < 500_000  # KiB


def test_who_dies_in_the_middle_of_a_message_is_forgotten(bank: Any) -> None:
    account = bank.Account()
    account.add(1)
    for _ in range(50):
        with Client(bank.address, authkey=KEY) as client:
            os.write(client.fileno(), struct.pack("!i", 1000) + b"half")
    while account.threads() > 10:
        pass
    assert account.add(1) == 2


def test_a_server_that_says_nothing_is_an_error_for_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("procession._managers.connecting.PATIENCE", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        manager = Bank(silent.getsockname(), KEY)
        with pytest.raises(mp.TimeoutError, match=r"did not finish the handshake within 0.2 s"):
            manager.connect()


def test_threads_of_one_process_call_beside_each_other(manager: Any) -> None:
    account, shared = manager.Account(), manager.Queue()
    threads = [threading.Thread(target=lambda: shared.put(account.add(1))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(shared.get() for _ in range(30)) == list(range(1, 31))


def test_what_is_no_xml_is_answered_as_wrong() -> None:
    with Bank(authkey=KEY, serializer="xmlrpclib") as manager, Client(manager.address, authkey=KEY) as client:
        for nonsense in (b"no XML", b"<?xml version='1.0'?><a/>", b"\xff\xfe"):
            client.send_bytes(nonsense)
            assert b"#TRACEBACK" in client.recv_bytes()
        assert manager.Account(1).add(1) == 2  # type: ignore[attr-defined]
