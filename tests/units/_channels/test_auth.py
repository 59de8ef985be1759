"""Both ends of a connection prove that they know the key, and nobody else gets in."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from itertools import product
from typing import Any

import pytest

from procession._channels import auth
from procession._channels.listener import Client, Listener
from procession._channels.pipe import Connection, Pipe
from procession._channels.wire import Frames
from procession.errors import AuthenticationError, InternalError
from tests.units._channels.forked import child

KEY = b"a key"


class Says:
    """The other end, as a list of what it sends; keeps what it is sent."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.heard: list[bytes] = []

    def send_bytes(self, message: bytes) -> None:
        self.heard.append(message)

    def recv_bytes(self, maxlength: int) -> bytes:
        assert maxlength == 256
        return self.replies.pop(0)


def both_ends(demand: Any, answer: Any) -> None:
    first, second = Pipe()
    with first, second, child(answer, second):
        demand(first)


@pytest.mark.parametrize("digest", auth.DIGESTS)
def test_the_right_key_passes_with_every_digest(digest: str) -> None:
    both_ends(
        lambda connection: auth.deliver_challenge(connection, KEY, digest),
        lambda connection: auth.answer_challenge(connection, KEY),
    )


def test_an_empty_key_is_a_key() -> None:
    both_ends(
        lambda connection: auth.prove_listener(connection, b""), lambda connection: auth.prove_client(connection, b"")
    )


def test_the_wrong_key_is_refused_at_both_ends() -> None:
    def answer(connection: Connection) -> None:
        with pytest.raises(AuthenticationError, match="digest sent was rejected"):
            auth.answer_challenge(connection, b"another key")

    def demand(connection: Connection) -> None:
        with pytest.raises(AuthenticationError, match="digest received was wrong"):
            auth.deliver_challenge(connection, KEY)

    both_ends(demand, answer)


@pytest.mark.parametrize("reply", [b"something bogus", b"", b"{sha256}", b"{md5}" + bytes(16), bytes(16), b"x" * 256])
def test_nonsense_is_no_proof(reply: bytes) -> None:
    other = Says(reply)
    with pytest.raises(AuthenticationError, match="digest received was wrong"):
        auth.deliver_challenge(other, KEY)
    assert other.heard[1:] == [auth.FAILURE]


def test_a_challenge_names_its_digest_and_has_forty_random_bytes() -> None:
    first, second = auth.Challenger(KEY).demand(), auth.Challenger(KEY).demand()
    assert first.startswith(b"#CHALLENGE#{sha256}")
    assert len(first) == len(second) == 11 + 8 + 40
    assert first != second


def test_the_proof_covers_the_name_of_the_digest() -> None:
    challenge = b"{sha256}" + b"r" * 40
    assert auth.create_response(KEY, challenge) == b"{sha256}" + hmac.digest(KEY, challenge, "sha256")


def test_old_peers_get_and_may_give_the_bare_md5() -> None:
    challenge = b"r" * 20
    assert auth.create_response(KEY, challenge) == hmac.new(KEY, challenge, hashlib.md5).digest()
    ours = auth.Challenger(KEY)
    whole = ours.demand().removeprefix(auth.CHALLENGE)
    assert ours.judge(hmac.new(KEY, whole, hashlib.md5).digest()) == auth.WELCOME


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"#CHALLENGE#",
        b"#CHALLENGE#" + b"r" * 19,
        b"#CHALLENGE#{sha1}" + b"r" * 40,
        b"#CHALLENGE#{sha256}" + b"r" * 19,
    ],
)
def test_what_is_no_known_challenge_is_not_answered(message: bytes) -> None:
    other = Says(message, auth.WELCOME)
    with pytest.raises(AuthenticationError, match="challenge"):
        auth.answer_challenge(other, KEY)
    assert other.heard == []


def test_an_answer_without_a_welcome_is_a_rejection() -> None:
    for verdict in (auth.FAILURE, b"something bogus"):
        with pytest.raises(AuthenticationError, match="digest sent was rejected"):
            auth.answer_challenge(Says(auth.Challenger(KEY).demand(), verdict), KEY)


def test_a_message_longer_than_the_handshakes_is_refused() -> None:
    def flood(connection: Connection) -> None:
        connection.recv_bytes()
        connection.send_bytes(b"x" * 257)

    def demand(connection: Connection) -> None:
        with pytest.raises(OSError, match="length"):
            auth.deliver_challenge(connection, KEY)

    both_ends(demand, flood)


@pytest.mark.parametrize("key", ["text", None, 3, bytearray(b"x")])
def test_a_key_that_is_not_bytes_is_refused(key: Any) -> None:
    for call in (auth.deliver_challenge, auth.answer_challenge):
        with pytest.raises(TypeError, match="Authkey must be bytes"):
            call(Says(), key)


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="sha1"):
        auth.deliver_challenge(Says(), KEY, "sha1")


def test_a_server_without_the_key_cannot_let_one_connection_answer_the_other() -> None:
    """It passes the challenge that a client puts on one connection to the same client on the other one."""
    outcome: list[BaseException | None] = []

    def client(connection: Connection) -> None:
        try:
            auth.prove_client(connection, KEY)
            outcome.append(None)
        except (AuthenticationError, EOFError, OSError) as error:
            outcome.append(error)
        finally:
            connection.close()

    (first, first_client), (second, second_client) = Pipe(), Pipe()
    threads = [threading.Thread(target=client, args=(end,)) for end in (first_client, second_client)]
    with first, second:
        for thread in threads:
            thread.start()
        first.send_bytes(auth.Challenger(b"unknown").demand())
        first.recv_bytes()
        first.send_bytes(auth.WELCOME)
        challenge = first.recv_bytes()
        second.send_bytes(challenge)
        with pytest.raises(EOFError):
            second.recv_bytes()
    for thread in threads:
        thread.join(30)
    assert len(outcome) == 2
    assert any("as its own" in str(error) for error in outcome)
    assert None not in outcome


def test_a_client_demands_the_proof_together_with_its_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, Frames(theirs, 20) as frames:
        thread = threading.Thread(target=auth.prove_client, args=(frames, KEY, frames.write))
        thread.start()
        listener = Frames(ours, 20)
        challenger, answerer = auth.Challenger(KEY), auth.Answerer(KEY)
        listener.send_bytes(challenger.demand())
        proof, challenge = listener.recv_bytes(256), listener.recv_bytes(256)
        listener.send_bytes(challenger.judge(proof))
        listener.send_bytes(answerer.answer(challenge))
        answerer.conclude(listener.recv_bytes(256))
        thread.join(30)
    assert (challenger.state, answerer.state) == ("satisfied", "accepted")


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
def test_a_client_that_is_refused_hears_why_although_it_has_sent_more(family: str) -> None:
    """The listener closes the connection with the client's demand unread."""
    with Listener(family=family, authkey=KEY) as listener:

        def accept() -> None:
            with pytest.raises(AuthenticationError, match="another key"):
                listener.accept()

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(AuthenticationError, match="digest sent was rejected"):
            Client(listener.address, authkey=b"another")
        thread.join(30)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with Frames(server.accept()[0], 20) as frames:
                frames.send_bytes(auth.Challenger(KEY).demand())
                frames.recv_bytes(256)
                frames.send_bytes(auth.FAILURE)

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(AuthenticationError, match="digest sent was rejected"):
            Client(server.getsockname(), authkey=b"another")
        thread.join(30)


def test_a_listener_and_a_client_in_one_process_know_each_other() -> None:
    first, second = Pipe()
    with first, second:
        thread = threading.Thread(target=auth.prove_client, args=(second, KEY))
        thread.start()
        auth.prove_listener(first, KEY)
        thread.join(30)
        assert not thread.is_alive()


def test_the_table_of_the_handshake_is_the_only_way() -> None:
    states = {state for state, _event in auth.NEXT} | set(auth.NEXT.values())
    events = {event for _state, event in auth.NEXT}
    for state, event in product(sorted(states), sorted(events)):
        side = auth._Side(KEY)
        side.state = state
        if (state, event) in auth.NEXT:
            side._happened(event)
            assert side.state == auth.NEXT[state, event]
        else:
            with pytest.raises(InternalError):
                side._happened(event)
            assert side.state == state
