"""The start method spawn: the child is a fresh interpreter.

Promises: it inherits the standard streams, the arena, and what its arguments need, nothing else. What it is told is in a file in
memory, so that a child that dies before it reads, or a parent that dies before it is read, holds nobody up.
Not here: what it is told (`start_data.py`), what it does with it (`boot.py`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from procession import _native
from procession._os import closing, creation, descriptors, pidfd
from procession._processes import daemons, interpreter, main_module, start_data
from procession._processes import exit as ending
from procession._processes.boot import boot
from procession._processes.handshake import Word, frame
from procession._processes.reaper import Child

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession._processes.process import BaseProcess

__all__ = ["Popen", "freeze_support", "run_child"]

DOOR = "procession.spawn"


class Popen(Child):
    """A spawned child."""

    method: ClassVar[str] = "spawn"

    def __init__(self, process_obj: BaseProcess) -> None:
        super().__init__()
        ending.flush_standard_streams()
        self._passed: list[int] = []
        in_doubt = main_module.may_be_unguarded()
        extra = {
            "arena": _native.arena_open(),
            "parent": os.getpid(),
            "lifeline": daemons.lifeline_for_child() if process_obj.daemon else None,
            "listened_to": in_doubt,
        }
        contents = creation.file_of(*start_data.pack(process_obj, self, extra))
        self._launch(contents, [extra["arena"], *([extra["lifeline"]] if process_obj.daemon else []), *self._passed])
        if in_doubt:
            self.wait_until_ready()

    def _launch(self, contents: int, passed: list[int]) -> None:
        """Start the interpreter. Closes `contents`."""
        writer = -1
        try:
            self._report, writer = descriptors.pipe()
            command = interpreter.command(DOOR, "spawn_main", pipe_handle=contents, report=writer)
            self.pid = creation.spawn(command[0], command, [contents, writer, *passed])
        finally:
            closing.close_all([contents, *([writer] if writer >= 0 else [])])
        try:
            self.sentinel = pidfd.open_process(self.pid)
        except OSError:
            creation.abandon(self.pid)
            raise

    def duplicate_for_child(self, fd: int) -> int:
        """Have the child inherit `fd`, under the same number."""
        self._passed.append(fd)
        return fd


def run_child(contents: int, report: int, install: Callable[[], None]) -> int:
    """In the fresh interpreter: the child's life; its exit code. `install()` makes the name `multiprocessing` ours."""

    def say(said: bytes) -> None:
        try:
            os.write(report, said)
        except BrokenPipeError:
            return  # the parent is gone, or has no use for it

    code = boot(contents, say, install, _enter)
    say(frame(Word.LEFT, str(code & 0xFF)))
    return code


def _enter(known: dict[str, Any]) -> int:
    _native.arena_attach(known["arena"])
    return pidfd.open_parent(known["parent"])


def freeze_support(run: Callable[..., Any] | None = None) -> None:
    """In a frozen program that was started as a child: be that child, and end. `run(**numbers)` does it."""
    numbers = interpreter.forked_arguments(sys.argv)
    if numbers is None:
        return
    if run is None:
        sys.exit(run_child(numbers["pipe_handle"], numbers["report"], lambda: None))
    sys.exit(run(**numbers))
