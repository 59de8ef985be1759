"""What the specification's sentences promise of connections, queues, listeners and clients, one check each."""

from __future__ import annotations

import array
import queue
import socket
import threading
from typing import Any

import pytest

import procession as mp
from procession import connection, resource_sharer


def test_exceptions_have_their_base_class() -> None:
    for name in ("BufferTooShort", "AuthenticationError", "TimeoutError"):
        assert issubclass(getattr(mp, name), mp.ProcessError)


def test_a_buffer_that_is_too_short_gives_the_message_with_the_exception() -> None:
    here, there = mp.Pipe()
    with here, there:
        here.send_bytes(b"0123456789")
        with pytest.raises(mp.BufferTooShort) as caught:
            there.recv_bytes_into(bytearray(4))
        assert caught.value.args[0] == b"0123456789"
        here.send_bytes(b"later")
        room = bytearray(b"........")
        assert there.recv_bytes_into(room, 2) == 5
        assert room == b"..later."
        for offset in (-1, 9):
            here.send_bytes(b"x")
            with pytest.raises(ValueError, match="offset"):
                there.recv_bytes_into(room, offset)


def test_a_message_over_maxlength_ends_reading() -> None:
    here, there = mp.Pipe(duplex=False)
    with here, there:
        there.send_bytes(b"0123456789")
        with pytest.raises(OSError, match=r"\w"):
            here.recv_bytes(4)
        with pytest.raises(OSError, match=r"\w"):
            here.recv_bytes()


def test_parts_of_buffers_are_sent_and_wrong_ones_refused() -> None:
    here, there = mp.Pipe()
    with here, there:
        here.send_bytes(b"0123456789", 3, 4)
        assert there.recv_bytes() == b"3456"
        here.send_bytes(array.array("i", [1, 2]), 4)
        assert there.recv_bytes() == array.array("i", [2]).tobytes()
        for offset, size in ((-1, None), (11, None), (0, -1), (5, 6)):
            with pytest.raises(ValueError, match=r"offset|size|long|negative|buffer"):
                here.send_bytes(b"0123456789", offset, size)
        assert there.poll() is False
        assert there.poll(0.001) is False
        here.send(1)
        assert there.poll(None) is True
        there.recv()
        here.close()
        with pytest.raises(EOFError):
            there.recv()
        with pytest.raises(EOFError):
            there.recv_bytes()
        with pytest.raises(OSError, match="closed"):
            here.send(1)


def test_a_simplex_pipe_has_a_reader_and_a_writer() -> None:
    reader, writer = mp.Pipe(duplex=False)
    with reader, writer:
        with pytest.raises(OSError, match=r"\w"):
            reader.send(1)
        with pytest.raises(OSError, match=r"\w"):
            writer.recv()
        with writer as entered:
            assert entered is writer
        assert writer.closed


def test_connections_travel_over_connections() -> None:
    here, there = mp.Pipe()
    near, far = mp.Pipe()
    with here, there, near, far:
        here.send(far)
        with there.recv() as received:
            received.send("by another way")
        assert near.recv() == "by another way"
    resource_sharer.stop(timeout=30)


def test_queues_time_out_fill_and_close_as_described() -> None:
    full = mp.Queue(1)
    full.put(1)
    for put in (lambda: full.put(2, False), lambda: full.put(2, True, 0.001), lambda: full.put_nowait(2)):
        with pytest.raises(queue.Full):
            put()
    assert (full.full(), full.empty(), full.qsize()) == (True, False, 1)
    assert full.get(timeout=30) == 1
    for get in (lambda: full.get(False), lambda: full.get(True, 0.001), full.get_nowait):
        with pytest.raises(queue.Empty):
            get()
    with pytest.raises((AssertionError, ValueError), match="close"):
        full.join_thread()  # only after close()
    full.close()
    with pytest.raises(ValueError, match="closed"):
        full.put(1)
    with pytest.raises(ValueError, match="closed"):
        full.get()
    full.join_thread()
    full.cancel_join_thread()


def test_task_done_is_counted() -> None:
    tasks = mp.JoinableQueue()
    with pytest.raises(ValueError, match="too many"):
        tasks.task_done()
    tasks.put(1)
    tasks.get()
    tasks.task_done()
    tasks.join()
    with pytest.raises(ValueError, match="too many"):
        tasks.task_done()
    tasks.close()


# ── listeners and clients ────────────────────────────────────────────────────────────────────────────────────────────────
class Served:
    """A listener, and a thread that accepts one connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.listener = connection.Listener(*arguments, **options)
        self.accepted: list[Any] = []
        self._thread = threading.Thread(target=self._accept)

    def _accept(self) -> None:
        try:
            self.accepted.append(self.listener.accept())
        except (OSError, EOFError, mp.AuthenticationError) as error:
            self.accepted.append(error)

    def __enter__(self) -> Served:
        self._thread.start()
        return self

    def wait(self) -> None:
        self._thread.join()

    def __exit__(self, *_exc: object) -> None:
        self.wait()
        self.listener.close()
        for each in self.accepted:
            if isinstance(each, connection.Connection):
                each.close()


def family_of(end: Any) -> int:
    with socket.socket(fileno=socket.dup(end.fileno())) as same:
        return same.family


def test_the_family_is_inferred_from_the_address(tmp_path: Any) -> None:
    for address, family in (
        (("127.0.0.1", 0), socket.AF_INET),
        (str(tmp_path / "socket"), socket.AF_UNIX),
        ("\\0" + tmp_path.name, socket.AF_UNIX),
        (None, socket.AF_UNIX),
    ):
        with Served(address) as served:
            with connection.Client(served.listener.address) as client:
                assert family_of(client) == family
            served.wait()
            assert (served.listener.last_accepted is None) == (family != socket.AF_INET)
    with pytest.raises(ValueError, match=r"(?i)pipe"):
        connection.Client(r"\\server\pipe\name")


def test_a_listener_is_a_context_manager_and_closes_idempotently() -> None:
    with connection.Listener() as listener:
        assert listener.last_accepted is None
    listener.close()
    with pytest.raises(OSError, match="closed"):
        listener.accept()
    with pytest.raises(AttributeError):
        listener.address = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize("wrong", ["text", 3, bytearray(b"key")])
def test_keys_are_bytes(wrong: Any) -> None:
    with pytest.raises(TypeError, match="byte string"):
        connection.Listener(authkey=wrong)
    with connection.Listener() as listener, pytest.raises(TypeError, match="byte string"):
        connection.Client(listener.address, authkey=wrong)


def test_a_wrong_key_is_an_error_at_both_ends() -> None:
    with Served(authkey=b"one") as served, pytest.raises(mp.AuthenticationError):
        connection.Client(served.listener.address, authkey=b"other")
    assert isinstance(served.accepted[0], mp.AuthenticationError)


def test_challenges_are_answered_with_the_same_key_only() -> None:
    for key, fits in ((b"secret", True), (b"guess", False)):
        here, there = mp.Pipe()
        with here, there:
            answers: list[Any] = []

            def answer(end: Any = there, with_key: bytes = key, told: list[Any] = answers) -> None:
                try:
                    told.append(connection.answer_challenge(end, with_key))
                except mp.AuthenticationError as error:
                    told.append(error)

            thread = threading.Thread(target=answer)
            thread.start()
            if fits:
                connection.deliver_challenge(here, b"secret")
            else:
                with pytest.raises(mp.AuthenticationError):
                    connection.deliver_challenge(here, b"secret")
            thread.join()
            assert isinstance(answers[0], mp.AuthenticationError) is not fits


def test_wait_takes_connections_and_sockets_and_a_negative_timeout() -> None:
    here, there = mp.Pipe()
    left, right = socket.socketpair()
    with here, there, left, right:
        assert connection.wait([here, left], -1) == []
        assert connection.wait([], 0) == []
        there.send(1)
        assert connection.wait([here, left]) == [here]
        right.send(b"x")
        assert set(connection.wait([here, left], 30)) == {here, left}
        here.recv()
        there.close()
        assert here in connection.wait([here], 30)  # the other end is closed
