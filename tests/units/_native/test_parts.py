"""Receiving a piece of a message from a socket, within a time."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _native

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=[True, False], ids=["blocking", "not blocking"])
def pair(request: Any) -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(request.param)
        yield ours, theirs


def test_what_has_come_is_given_as_far_as_asked_for(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"three parts")
    assert _native.recv_part(ours.fileno(), 5, 0) == b"three"
    assert _native.recv_part(ours.fileno(), 4096, None) == b" parts"


def test_nothing_comes_in_time(pair: Pair) -> None:
    ours, _theirs = pair
    began = time.monotonic()
    assert _native.recv_part(ours.fileno(), 5, 0.05) is None
    assert time.monotonic() - began >= 0.05
    assert _native.recv_part(ours.fileno(), 5, 0) is None
    assert _native.recv_part(ours.fileno(), 5, -1) is None


def test_it_waits_for_what_comes_later(pair: Pair) -> None:
    ours, theirs = pair
    timer = threading.Timer(0.05, theirs.sendall, (b"late",))
    timer.start()
    assert _native.recv_part(ours.fileno(), 10, 30) == b"late"
    timer.join()


def test_the_end_is_nothing_at_once(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert _native.recv_part(ours.fileno(), 5, None) == b""


def test_signal_handlers_run_while_it_waits_and_what_they_raise_ends_it(pair: Pair) -> None:
    ours, theirs = pair
    seen: list[int] = []

    def note(signum: int, _frame: Any) -> None:
        seen.append(signum)
        if len(seen) == 2:
            raise InterruptedError("enough")
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    before = signal.signal(signal.SIGALRM, note)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(InterruptedError, match="enough"):
            _native.recv_part(ours.fileno(), 5, 30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    theirs.sendall(b"later")
    assert _native.recv_part(ours.fileno(), 5, 30) == b"later"


@pytest.mark.parametrize(
    ("args", "error"),
    [((0, 0, 0), ValueError), ((0, 4097, 0), ValueError), ((-1, 5, 0), ValueError), ((1 << 40, 5, 0), ValueError), ((0, 5), TypeError),
     ((0, "5", 0), TypeError), ((0, 5, "soon"), TypeError)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(args: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        _native.recv_part(*args)


def test_what_is_no_socket_is_refused() -> None:
    with open("/dev/null", "rb") as file, pytest.raises(OSError, match="socket"):
        _native.recv_part(file.fileno(), 5, 0)
