"""Who sends a large message through a pipe waits until it is taken, though it goes beside the stream."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import procession as mp
from procession import _native

LARGE = 16 << 20  # bytes: more than any pipe holds


def attended_pair(context: Any) -> tuple[Any, Any]:
    """A pipe whose ends have both received: large messages go beside it."""
    here, there = context.Pipe()
    here.send(1)
    assert there.recv() == 1
    there.send(2)
    assert here.recv() == 2
    return here, there


def _take_when_told(there: Any, go: Any, answer: Any) -> None:
    there.send("ready")
    there.recv()
    go.wait()
    answer.put(len(there.recv_bytes()))
    there.recv()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_large_send_waits_until_it_is_received(method: str) -> None:
    context = mp.get_context(method)
    here, there = context.Pipe()
    go, answer = context.Event(), context.Queue()
    child = context.Process(target=_take_when_told, args=(there, go, answer))
    child.start()
    assert here.recv() == "ready"
    here.send("attend")
    sent = threading.Event()
    sender = threading.Thread(target=lambda: (here.send_bytes(bytes(LARGE)), sent.set()))
    sender.start()
    assert not sent.wait(0.3), "the sender did not wait"
    go.set()
    assert answer.get() == LARGE
    sender.join()
    assert sent.is_set()
    here.send("end")
    child.join()


def _receive_and_wait(there: Any) -> None:
    there.send("ready")
    there.recv()
    mp.Event().wait()


@pytest.mark.parametrize("make", [lambda: bytes(LARGE), lambda: [bytes(LARGE)]])
def test_a_sender_whose_reader_is_killed_gets_a_broken_pipe(make: Any) -> None:
    context = mp.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_receive_and_wait, args=(there,))
    child.start()
    there.close()
    assert here.recv() == "ready"
    here.send("attend")
    killer = threading.Timer(0.2, child.kill)
    killer.start()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        here.send(make())
    killer.join()
    child.join()


def test_an_interrupt_ends_the_wait_of_a_sender() -> None:
    here, there = attended_pair(mp.get_context("fork"))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        here.send_bytes(bytes(LARGE))
    timer.join()
    here.close()
    there.close()


def test_a_sender_without_a_reader_does_not_fill_the_arena() -> None:
    here, there = attended_pair(mp.get_context("fork"))
    before = _native.arena_in_use()
    sender = threading.Thread(target=_send_many, args=(here,), daemon=True)
    sender.start()
    most = 0
    for _ in range(10):
        most = max(most, _native.arena_in_use() - before)
        assert len(there.recv_bytes()) == LARGE
    sender.join()
    assert most <= 3 * LARGE


def _send_many(here: Any) -> None:
    for _ in range(10):
        here.send_bytes(bytes(LARGE))
