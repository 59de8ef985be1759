"""Forked children of these tests, and how a test knows that somebody sleeps."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from procession import _native

PATIENCE = 20.0  # seconds: a loaded machine


class Child:
    """A forked process that runs one function."""

    def __init__(self, target: Callable[..., Any], *args: Any) -> None:
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                target(*args)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)

    def wait(self) -> int:
        """Its exit code, negative for a signal."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def kill(self) -> None:
        """End it at once, and wait for that."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


@contextmanager
def child(target: Callable[..., Any], *args: Any) -> Iterator[Child]:
    """Run `target(*args)` in a forked child; it must end well, unless the block has killed it or waited for it itself."""
    started = Child(target, *args)
    try:
        yield started
    except BaseException:
        started.kill()  # it may wait for what now never comes
        raise
    if started.status is None:
        assert started.wait() == 0


@contextmanager
def thread(target: Callable[..., Any], *args: Any) -> Iterator[threading.Thread]:
    """Run `target(*args)` in a thread; the end of the block waits for it."""
    started = threading.Thread(target=target, args=args, daemon=True)
    started.start()
    yield started
    started.join(PATIENCE)
    assert not started.is_alive(), "the thread still waits"


def until(truth: Callable[[], Any]) -> None:
    """Wait for something that nothing can be waited for."""
    deadline = time.monotonic() + PATIENCE
    while not truth():
        assert time.monotonic() < deadline, "it did not come true"
        os.sched_yield()


def sleepers(obj: _native.Object) -> int:
    """How many threads of all processes sleep on a shared object."""
    return sum(offset == obj.handle[0] for _pid, _tid, _reason, offset, _since, _left, _holder in _native.waits())


def until_asleep(obj: _native.Object, count: int = 1) -> None:
    """Wait until `count` threads sleep on it."""
    until(lambda: sleepers(obj) >= count)
