"""The start method fork: the child is a copy of this process.

It costs the parent's private memory: the kernel copies its page tables, about 85 ms for each GiB of small pages, as for any fork. What
is in the arena costs nothing, and neither forkserver nor spawn takes longer for a large parent.
Promises: the child shares this process's arena. It is watched from its birth on; if that is impossible, it is not left behind.
Not here: what the child does (`bootstrap.py`).
"""

from __future__ import annotations

import atexit
import os

from procession import _native
from procession._os import closing, creation, pidfd
from procession._processes import bootstrap, daemons
from procession._processes.reaper import Child
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import ClassVar, NoReturn

    from procession._processes.process import BaseProcess

__all__ = ["Popen"]


class Popen(Child):
    """A forked child."""

    method: ClassVar[str] = "fork"
    pid: int
    sentinel: int

    def _start(self, process_obj: BaseProcess) -> None:
        held = _native.hold_interrupts()  # the child answers Ctrl-C when it is ready to: in bootstrap.live
        try:
            self._fork(process_obj, held)
        finally:
            if held:
                _native.allow_interrupts()

    def _fork(self, process_obj: BaseProcess, interrupts_held: bool) -> None:
        reserved = closing.open_null()  # so that the new child can be watched even if no descriptor is left
        parent = os.getpid()
        try:
            bootstrap.prepare_stdin(reserved)
            with state.lifeline.lock:  # so that no other thread closes what the child will inherit
                inherited = state.lifeline.ends
                self.pid = bootstrap.fork()
        finally:
            closing.close_all([reserved])
        if self.pid == 0:
            state.interrupts_held = interrupts_held
            _become(process_obj, parent, -1 if inherited is None else inherited[0])
        self.sentinel = _watch(self.pid)


def _watch(pid: int) -> int:
    """The child's descriptor; a child that cannot be watched is ended."""
    try:
        _native.fault_point("start.fork.forked")
        return pidfd.open_child(pid)
    except BaseException:
        creation.abandon(pid)
        raise


def _become(process: BaseProcess, parent: int, lifeline: int) -> NoReturn:
    """In the child: its whole life."""

    def live() -> int:
        _native.fault_point("start.fork.begun")
        if process.daemon:
            daemons.tie_to_parent(lifeline)
        elif lifeline >= 0:
            closing.close_all([lifeline])
        atexit._clear()  # what the parent registered is the parent's to run
        state.current = process  # for those who registered to be called after forks
        bootstrap.leave_parent()
        return process._bootstrap(parent_sentinel=pidfd.open_parent(parent))

    bootstrap.end_forked(live)
