"""The handshake by which both ends of a connection prove that they know the key, without sending it.

    who demands the proof        who gives it
    idle --demand--> demanded    idle --challenge--> answered
      --proof--> satisfied         --welcome--> accepted
      --nonsense--> refused        --nonsense--> refused

A challenge is `#CHALLENGE#`, a digest's name in braces, and 40 random bytes; the proof is that name in braces and the HMAC of all
behind `#CHALLENGE#`. Peers of Python 3.11 and older challenge with 20 bare random bytes, and answer whatever they are asked, with the
bare HMAC-MD5. The listener demands first, then the client does.
Promises: no message of a peer that has not proved itself is longer than `LONGEST`, or unpickled. A client never answers a challenge
that it has put itself: so a server without the key cannot have one connection of a client answer what the other one asks.
Not here: connecting (`listener`). Not promised: the same among several client processes that share a key.
"""

from __future__ import annotations

import os

from procession._channels.wire import frame
from procession._runtime import state
from procession.errors import AuthenticationError, InternalError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Protocol

    class Messages(Protocol):
        """What the handshake needs of a connection."""

        def send_bytes(self, message: bytes, /) -> None:
            """Send one message."""

        def recv_bytes(self, maxlength: int, /) -> bytes:
            """Receive one message; OSError if it is longer."""
            ...


__all__ = [
    "CHALLENGE",
    "FAILURE",
    "WELCOME",
    "Answerer",
    "Challenger",
    "ListenerProof",
    "answer_challenge",
    "create_response",
    "deliver_challenge",
    "prove_client",
    "prove_listener",
    "verify_response",
]

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
LONGEST = 256  # bytes of any message of the handshake
RANDOM_BYTES = 40
BARE_CHALLENGE = 20  # bytes of a challenge without a digest's name
BARE_ANSWER = 16  # bytes of an HMAC-MD5
DIGESTS = ("md5", "sha256", "sha384", "sha3_256", "sha3_384")

NEXT = {
    ("idle", "demand"): "demanded",
    ("demanded", "proof"): "satisfied",
    ("demanded", "nonsense"): "refused",
    ("idle", "challenge"): "answered",
    ("idle", "nonsense"): "refused",
    ("answered", "welcome"): "accepted",
    ("answered", "nonsense"): "refused",
}


class _Side:
    """One side of the handshake: a state that changes as the table says."""

    def __init__(self, authkey: bytes) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey must be bytes, not {type(authkey).__name__}")
        self.authkey = authkey
        self.state = "idle"

    def _happened(self, event: str) -> None:
        try:
            self.state = NEXT[self.state, event]
        except KeyError:
            raise InternalError(f"handshake: {event!r} cannot happen while {self.state!r}") from None


class Challenger(_Side):
    """Demands the proof: send what `demand` gives, hand the reply to `judge`, send what that gives."""

    def __init__(self, authkey: bytes, digest_name: str = "sha256") -> None:
        super().__init__(authkey)
        if digest_name not in DIGESTS:
            raise ValueError(f"digest {digest_name!r} is not known: use one of {', '.join(DIGESTS)}")
        self.challenge = b"{%s}" % digest_name.encode() + os.urandom(RANDOM_BYTES)
        self._expected: bytes | None = None

    def demand(self) -> bytes:
        """The message that asks for the proof."""
        self._happened("demand")
        return CHALLENGE + self.challenge

    def expect(self) -> None:
        """Work out what the proof has to be, while it is on its way."""
        self._expected = create_response(self.authkey, self.challenge)

    def judge(self, reply: bytes) -> bytes:
        """The message that tells the other side the outcome; `state` tells this one."""
        try:
            verify_response(self.authkey, self.challenge, reply, self._expected)
        except AuthenticationError:
            self._happened("nonsense")
            return FAILURE
        self._happened("proof")
        return WELCOME


class Answerer(_Side):
    """Gives the proof: hand the other side's message to `answer`, send what that gives, hand the verdict to `conclude`."""

    def __init__(self, authkey: bytes, own_challenges: Collection[bytes] = ()) -> None:
        super().__init__(authkey)
        self._own_challenges = own_challenges

    def answer(self, message: bytes) -> bytes:
        """The answer to a challenge; AuthenticationError if it is none, or one that this side has put itself."""
        challenge = message.removeprefix(CHALLENGE)
        try:
            if challenge == message:
                raise AuthenticationError(
                    f"expected a challenge, received {message[:40]!r}: does the other end want a key?"
                )
            if challenge in self._own_challenges:
                raise AuthenticationError(
                    "the other end returned a challenge of this process as its own: it tries to pass without the key"
                )
            response = create_response(self.authkey, challenge)
        except AuthenticationError:
            self._happened("nonsense")
            raise
        self._happened("challenge")
        return response

    def conclude(self, verdict: bytes) -> None:
        """Take note of the verdict; AuthenticationError if it is not the welcome."""
        if verdict != WELCOME:
            self._happened("nonsense")
            raise AuthenticationError("digest sent was rejected: the other end has another key")
        self._happened("welcome")


class ListenerProof:
    """The listener's part of the whole handshake, without I/O.

    Send what `begin` gives; hand each message of the client to `hear`, and send what that gives; `check` after each, until `is_complete`.
    A client may send its challenge together with its proof, or await the verdict first.
    """

    def __init__(self, authkey: bytes) -> None:
        self._challenger = Challenger(authkey)
        self._answerer = Answerer(authkey)

    @property
    def is_complete(self) -> bool:
        """Have both sides proved that they know the key?"""
        return self._answerer.state == "accepted"

    @property
    def room(self) -> int:
        """The longest message that may come next, in bytes."""
        return LONGEST if self._answerer.state == "idle" else len(WELCOME)

    @property
    def may_be_followed(self) -> bool:
        """May a client send more right after the next message? Not before its challenge is answered."""
        return self._challenger.state == "demanded"

    def begin(self) -> bytes:
        """The first message."""
        return self._challenger.demand()

    def expect(self) -> None:
        """Work out what the client's proof has to be, while it is on its way."""
        self._challenger.expect()

    def hear(self, message: bytes) -> bytes | None:
        """What to send in reply; None: nothing. AuthenticationError if the message is nonsense."""
        if self._challenger.state == "demanded":
            return self._challenger.judge(message)
        if self._answerer.state == "idle":
            return self._answerer.answer(message)
        self._answerer.conclude(message)
        return None

    @property
    def is_refused(self) -> bool:
        """Was the client's proof wrong?"""
        return self._challenger.state == "refused"

    def check(self) -> None:
        """AuthenticationError if the client's proof was wrong."""
        if self.is_refused:
            raise AuthenticationError("digest received was wrong: the other end has another key")


def _digest_of(message: bytes) -> str:
    """The digest that a message names at its beginning; empty if it names none."""
    if not message.startswith(b"{"):
        return ""
    name = message[1:].partition(b"}")[0].decode("ascii", "replace")
    return name if name in DIGESTS else ""


def _mac(authkey: bytes, message: bytes, digest_name: str) -> bytes:
    import hmac  # noqa: PLC0415 - loads OpenSSL: 5 ms that only authenticated connections pay

    try:
        return hmac.digest(authkey, message, digest_name)
    except ValueError as error:
        raise AuthenticationError(
            f"this Python's OpenSSL does not offer {digest_name}, which the handshake needs: {error}"
        ) from error


def create_response(authkey: bytes, message: bytes) -> bytes:
    """The proof for a challenge (without `#CHALLENGE#`); AuthenticationError if it is not one of the two known forms."""
    name = _digest_of(message)
    if name:
        if len(message) - len(name) - 2 < BARE_CHALLENGE:
            raise AuthenticationError("the challenge has fewer than 20 random bytes: it is not answered")
        return b"{%s}" % name.encode() + _mac(authkey, message, name)
    if len(message) == BARE_CHALLENGE:
        return _mac(authkey, message, "md5")
    raise AuthenticationError(f"a challenge of {len(message)} bytes that names no known digest is not answered")


def verify_response(authkey: bytes, message: bytes, response: bytes, expected: bytes | None = None) -> None:
    """AuthenticationError unless `response` proves that its sender knows the key. `expected`: the proof, if it is known already."""
    import hmac  # noqa: PLC0415 - as above

    bare = len(response) == BARE_ANSWER  # a peer of Python 3.11 or older
    if bare:
        expected = _mac(authkey, message, "md5")
    elif expected is None:
        expected = create_response(authkey, message)
    if not hmac.compare_digest(expected, response):
        raise AuthenticationError("digest received was wrong: the other end has another key")


def deliver_challenge(connection: Messages, authkey: bytes, digest_name: str = "sha256") -> None:
    """Demand of the other end a proof that it knows the key, and tell it the outcome.

    Raises AuthenticationError if the proof is wrong, TypeError if the key is not bytes, ValueError for an unknown digest.
    """
    _judge(connection, Challenger(authkey, digest_name))


def _judge(connection: Messages, challenger: Challenger) -> None:
    connection.send_bytes(challenger.demand())
    _conclude(connection, challenger)


def _conclude(connection: Messages, challenger: Challenger) -> None:
    connection.send_bytes(challenger.judge(connection.recv_bytes(LONGEST)))
    if challenger.state != "satisfied":
        raise AuthenticationError("digest received was wrong: the other end has another key")


def answer_challenge(connection: Messages, authkey: bytes) -> None:
    """Prove to the other end, which asks first, that this one knows the key.

    Raises AuthenticationError if the other end does not ask, or does not accept the proof, TypeError if the key is not bytes.
    """
    _answer(connection, Answerer(authkey))


def _answer(connection: Messages, answerer: Answerer) -> None:
    connection.send_bytes(answerer.answer(connection.recv_bytes(LONGEST)))
    answerer.conclude(connection.recv_bytes(LONGEST))


def prove_listener(connection: Messages, authkey: bytes) -> None:
    """The listener's part of the whole handshake: demand, then answer."""
    deliver_challenge(connection, authkey)
    answer_challenge(connection, authkey)


def prove_client(connection: Messages, authkey: bytes, write: Callable[[bytes], object] | None = None) -> None:
    """The client's part of the whole handshake: answer, then demand.

    With `write`, which sends bytes as they are, both go at once. That saves a round trip, and who reads one message after the other
    does not notice. (One by one the second might find the connection closed, and hide why.)
    """
    own: set[bytes] = state.extra.setdefault("clients' challenges", set())
    answerer, challenger = Answerer(authkey, own), Challenger(authkey)
    answer = answerer.answer(connection.recv_bytes(LONGEST))
    own.add(challenger.challenge)
    try:
        if write is None:
            connection.send_bytes(answer)
            answerer.conclude(connection.recv_bytes(LONGEST))
            _judge(connection, challenger)
            return
        write(frame(answer) + frame(challenger.demand()))
        challenger.expect()
        answerer.conclude(connection.recv_bytes(LONGEST))
        _conclude(connection, challenger)
    finally:
        own.discard(challenger.challenge)
