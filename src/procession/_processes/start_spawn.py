"""The start method spawn: the child is a fresh interpreter.

Promises: it inherits the standard streams, the arena, and what its arguments need, nothing else. What it is told is in a file in
memory, so that a child that dies before it reads, or a parent that dies before it is read, holds nobody up.
Not here: what it is told (`start_data.py`), what it does with it (`boot.py`).
"""

from __future__ import annotations

import os
import sys

from procession import _native
from procession._os import closing, creation, descriptors, pidfd
from procession._processes import interpreter, main_module, start_data
from procession._processes.boot import run_spawned
from procession._processes.reaper import Child

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import ClassVar

    from procession._processes.process import BaseProcess

__all__ = ["Popen", "freeze_support"]

DOOR = "spawn"


class Popen(Child):
    """A spawned child."""

    method: ClassVar[str] = "spawn"
    pid: int
    sentinel: int

    def _start(self, process_obj: BaseProcess) -> None:
        self._passed: list[int] = []
        in_doubt = main_module.may_be_unguarded()
        arena = _native.arena_open()
        lifeline = self.duplicate_for_child(self._lifeline) if process_obj.daemon else None
        extra = {
            "arena": arena,
            "parent": os.getpid(),
            "lifeline": lifeline,
            "listened_to": in_doubt,
            "interrupts_held": _are_interrupts_allowed(),
        }
        self._launch(start_data.pack(process_obj, self, extra), [arena, *self._passed])
        if in_doubt:
            self.wait_until_ready()

    def _launch(self, parts: list[bytes | memoryview], passed: list[int]) -> None:
        """Start the interpreter, and give it `parts`."""
        given: list[int] = []
        held = _native.hold_interrupts()  # the child is born deaf to Ctrl-C, until bootstrap.live
        try:
            given.append(creation.file_of(*parts))
            self._report, writer = descriptors.pipe()
            given.append(writer)
            command = interpreter.command(DOOR, "spawn_main", pipe_handle=given[0], report=writer)
            self.pid = creation.spawn(command[0], command, [*given, *passed])
            self._watch()
        finally:
            closing.close_all(given)
            if held:
                _native.allow_interrupts()

    def _watch(self) -> None:
        try:
            _native.fault_point("start.spawn.launched")
            self.sentinel = pidfd.open_child(self.pid)
        except BaseException:
            creation.abandon(self.pid)
            raise

    def duplicate_for_child(self, fd: int) -> int:
        """Have the child inherit `fd`, under the same number."""
        self._passed.append(fd)
        return fd


def _are_interrupts_allowed() -> bool:
    if held := _native.hold_interrupts():
        _native.allow_interrupts()
    return held


def freeze_support() -> None:
    """In a frozen program that was started as a child: be that child, and end."""
    numbers = interpreter.forked_arguments(sys.argv)
    if numbers is not None:
        sys.exit(run_spawned(numbers["pipe_handle"], numbers["report"], lambda: None))
