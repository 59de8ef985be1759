"""Descriptors of processes, files for children, packets, and the lifeline."""

from __future__ import annotations

import os
import signal
import time

import pytest

from procession._os import closing, creation, lifeline, packets, pidfd, signals

GRACE = 60  # seconds until SIGKILL: more than the test takes


def test_a_processes_descriptor_tells_of_its_end_and_its_exit_code() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(7)
    os.close(reader)
    fd = pidfd.open_process(pid)
    try:
        assert not pidfd.has_ended(fd)
        assert pidfd.exit_code(fd) is None
        os.close(writer)
        assert pidfd.wait_readable((fd,), 30) == {fd}
        assert pidfd.exit_code(fd) == 7
        assert pidfd.has_ended(fd)
        with pytest.raises(ChildProcessError):
            pidfd.exit_code(fd)
        pidfd.send_signal(fd, signal.SIGTERM)  # too late, and no error
    finally:
        os.close(fd)


def test_a_wait_ends_at_its_timeout_and_never_before() -> None:
    reader, writer = os.pipe()
    try:
        for timeout in (0.0, 0.0101, 0.03):
            began = time.monotonic()
            assert pidfd.wait_readable((reader,), timeout) == set()
            assert time.monotonic() - began >= timeout
        assert pidfd.wait_readable((reader,), -1) == set()
        os.write(writer, b"x")
        assert pidfd.wait_readable((reader,), None) == {reader}
    finally:
        closing.close_all([reader, writer])


def test_a_parent_that_is_gone_has_a_descriptor_that_says_so() -> None:
    nobody = pidfd.open_parent(os.getpid())
    parent = pidfd.open_parent(os.getppid())
    try:
        assert pidfd.has_ended(nobody)
        assert not pidfd.has_ended(parent)
    finally:
        closing.close_all([nobody, parent])


@pytest.mark.parametrize("parts", [(), (b"",), (b"one", b"", memoryview(b"two")), (bytes(3 << 20),)], ids=len)
def test_a_file_for_a_child_is_read_whole(parts: tuple[bytes, ...]) -> None:
    fd = creation.file_of(*parts)
    copy = os.dup(fd)
    assert bytes(creation.read_all(fd)) == b"".join(map(bytes, parts))
    assert bytes(creation.read_all(copy)) == b"".join(map(bytes, parts))
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)


def test_packets_arrive_whole_with_their_descriptors() -> None:
    first, second = packets.pair()
    reader, writer = os.pipe()
    try:
        packets.send(first, b"one", [reader, writer])
        packets.send(first, b"two")
        message, descriptors = packets.receive(second)
        assert message == b"one"
        assert [os.get_inheritable(fd) for fd in descriptors] == [False, False]
        os.write(descriptors[1], b"x")
        assert os.read(reader, 1) == b"x"
        closing.close_all(descriptors)
        assert packets.receive(second) == (b"two", [])
        assert not packets.is_alone(second)
        os.close(first)
        assert packets.is_alone(second)
        assert packets.receive(second) == (b"", [])
        with pytest.raises(ConnectionError):
            packets.send(second, b"three")
    finally:
        closing.close_all([second, reader, writer])


def test_the_lifelines_signal_comes_when_its_owner_is_killed() -> None:
    owner_reader, owner_writer = lifeline.make()
    told, tell = os.pipe()
    owner = os.fork()
    if owner == 0:
        signal.pause()
    tied = os.fork()
    if tied == 0:
        try:
            os.close(owner_writer)
            os.write(tell, b"t" if lifeline.tie(owner_reader, GRACE) else b"f")
            signal.pause()
        finally:
            os._exit(1)
    closing.close_all([owner_reader, owner_writer])
    try:
        assert os.read(told, 1) == b"t"
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        assert os.waitstatus_to_exitcode(os.waitpid(tied, 0)[1]) == -signal.SIGTERM
    finally:
        closing.close_all([told, tell])


def test_a_lifeline_whose_owner_is_dead_says_so_at_once() -> None:
    reader, writer = lifeline.make()
    os.close(writer)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(3 if lifeline.tie(reader, GRACE) is False else 4)
        finally:
            os._exit(1)
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_only_descriptors_that_are_inheritable_are_listed() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        found = creation.inheritable()
        assert writer in found
        assert reader not in found
        assert not {0, 1, 2} & set(found)
    finally:
        closing.close_all([reader, writer])


def test_signals_have_names() -> None:
    assert signals.name_of(15) == "SIGTERM"
    assert signals.name_of(500) is None
    assert (signals.INTERRUPT, signals.KILL, signals.TERMINATE) == (signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
