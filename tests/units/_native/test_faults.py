"""Named points at which a test makes a process raise, exit, die or stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _native
from tests.units._native.children import child


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    _native.fault_disarm_all()


def test_a_point_raises_once_it_was_passed_so_often() -> None:
    _native.fault_point("tests.point")
    _native.fault_arm("tests.point", "raise", 2)
    _native.fault_point("tests.point")
    _native.fault_point("tests.other")
    _native.fault_point("tests.point")
    with pytest.raises(RuntimeError, match="fault point"):
        _native.fault_point("tests.point")
    _native.fault_disarm_all()
    _native.fault_point("tests.point")


@pytest.mark.parametrize(("action", "status"), [("exit", None), ("kill", -signal.SIGKILL)])
def test_a_point_ends_the_process(action: str, status: int | None) -> None:
    def reach() -> None:
        _native.fault_arm("tests.*", action)
        _native.fault_point("tests.point")
        os._exit(0)

    with child(reach) as reaching:
        ended = reaching.wait()
        assert ended == status if status is not None else ended > 0


def test_a_point_stops_the_process() -> None:
    def reach() -> None:
        _native.fault_arm("tests.point", "stop")
        _native.fault_point("tests.point")

    with child(reach) as reaching:
        _pid, status = os.waitpid(reaching.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(reaching.pid, signal.SIGCONT)


def test_a_fault_inside_an_operation_is_raised_by_it() -> None:
    lock = _native.Lock()
    lock.acquire()
    _native.fault_arm("wait.sleep.before", "raise")
    with pytest.raises(RuntimeError, match="fault point"):
        lock.acquire(timeout=0.01)
    queue: Any = _native.Queue()
    _native.fault_arm("queue.put.*", "raise")
    with pytest.raises(RuntimeError, match="fault point"):
        queue.put(1)
    _native.fault_disarm_all()
    queue.put(2)
    assert queue.get_many(2)[-1] == 2


@pytest.mark.parametrize("action", ["", "hook", "explode"])
def test_an_unknown_action_is_refused(action: str) -> None:
    with pytest.raises(ValueError, match="'exit', 'kill', 'stop' or 'raise'"):
        _native.fault_arm("tests.point", action)
    with pytest.raises(ValueError, match="cannot be armed"):
        _native.fault_arm("x" * 10_000, "raise")
