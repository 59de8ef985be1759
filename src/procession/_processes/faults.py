"""Fault points for users: armed for a while, in a child, or traced.

Promises: nothing is armed once the context is left. A child that is started by fork inherits what is armed.
Not here: names and actions (`_native.armed`), what a fault does (native/fault.c).
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from procession import _native
from procession._native import armed
from procession._os import creation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Faulty", "fault", "passed_points"]


@contextmanager
def fault(name: str, action: str, at: int = 1, *, in_children: bool = False) -> Iterator[None]:
    """While the block runs, let this process do something at a named point: the `at`-th time that it passes there.

    `name` is one of `fault_points()`, or ends in `*` and stands for all points that begin so. `action`:

    - `'raise'`: the operation that passes the point is completed, and then raises RuntimeError
    - `'exit'`: the process exits with code 70, without any clean-up
    - `'SIGKILL'`: it is killed; `'SIGSTOP'`: it is stopped, until somebody sends SIGCONT

    The fault happens once. `in_children`: not in this process, but in each one that is started in the block, from its first
    instruction on, if it begins with a fresh interpreter (spawn, and a fork server that is started in the block).
    ValueError: there is no such point or action. Leaving the block disarms all points of this process.

        with testing.fault("queue.put.after_commit", "SIGKILL"):
            process.start()         # by fork: the child inherits it, and dies in its first put
    """
    if in_children:
        with _in_environment(f"{name}={action}@{at}"):
            yield
        return
    armed.arm(name, action, at)
    try:
        yield
    finally:
        armed.disarm()


@contextmanager
def _in_environment(request: str) -> Iterator[None]:
    before = os.environ.get(armed.ENVIRONMENT)
    os.environ[armed.ENVIRONMENT] = request
    try:
        yield
    finally:
        if before is None:
            del os.environ[armed.ENVIRONMENT]
        else:
            os.environ[armed.ENVIRONMENT] = before


class Faulty:
    """A function that arms a fault in the process that calls it, and goes on: a target for a child, under any start method.

    Process(target=testing.Faulty(consume, "queue.get.after_head", "SIGKILL", at=3), args=(queue,))
    """

    def __init__(self, function: Callable[..., Any], name: str, action: str, at: int = 1) -> None:
        """`name`, `action` and `at` as in `fault`."""
        self.function: Callable[..., Any] = function
        self.name: str = name
        self.action: str = action
        self.at: int = at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Arm, and call the function."""
        armed.arm(self.name, self.action, self.at)
        return self.function(*args, **kwargs)


def passed_points(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """Call a function: the fault points that were passed meanwhile, in their order, by this process and those forked from it."""
    fd = creation.file_of()
    try:
        os.set_inheritable(fd, False)
        creation.append_only(fd)
        _native.fault_trace(fd)
        try:
            function(*args, **kwargs)
        finally:
            _native.fault_disarm_all()
            _native.fault_trace(-1)
    except BaseException:
        os.close(fd)
        raise
    return bytes(creation.read_all(fd)).decode().splitlines()
