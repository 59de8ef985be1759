"""Children as the system sees them: waited for, signalled, reaped. The one place where a child's end becomes an exit code.

Promises: any number of threads may wait for the same child; one reaps it, and all see the same exit code. A wait ends with the
child itself, even while its own children live. Nobody but the process that started a child reaps it.
The exit code is the system's, or, where somebody else has reaped the child (SIGCHLD ignored, a `waitpid` of the program's, a fork
server that was killed), what the child announced last; if it announced nothing, it is UNKNOWN, 255.
Not here: how children are started (`start_*.py`), the process object (`process.py`).
"""

from __future__ import annotations

import os
import time

from procession import _native
from procession._os import closing, pidfd, signals
from procession._processes import daemons, logs
from procession._processes import exit as ending
from procession._processes.handshake import Conversation, Failure, Stage
from procession._processes.preparation import UNGUARDED
from procession._runtime import RLock, state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import ClassVar

    from procession._processes.process import BaseProcess

__all__ = ["UNKNOWN", "Child", "reap_ended", "wait_for_any"]

UNKNOWN = 255
KILLING = 1.0  # seconds for the kernel to end who is killed
PATIENCE = 10.0  # seconds for a main module that might not be guarded to show it
WAIT_PROCESS = 11  # native/wait.h: enum pn_reason


class Child:
    """A child process, from its birth until its descriptors are closed. The base of the start methods' `Popen` classes."""

    method: ClassVar[str]
    sentinel: int = -1
    _report: int = -1  # what it says comes here; -1: it says nothing

    def __init__(self, process_obj: BaseProcess) -> None:
        """Start the child that runs `process_obj`."""
        self.pid: int = 0
        self.returncode: int | None = None
        self._said = Conversation(Stage.BORN)
        self._creator = os.getpid()
        self._lock = RLock()  # a signal handler may ask, too
        self._listening = False
        ending.flush_standard_streams()
        _native.arena_open()
        _native.process_register(state.current.name)
        self._lifeline = -1
        try:
            if process_obj.daemon:
                self._hold_lifeline()
            _native.fault_point("start.before")
            self._start(process_obj)
            _native.fault_point("start.after")
        except BaseException:  # an interrupt, too
            self.give_up()
            raise

    def _start(self, process_obj: BaseProcess) -> None:
        """Make the process, and set `pid` and `sentinel`. `_lifeline` is what a daemonic child needs, -1 for others."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until the child exists, where its start has left that for later (`settling.py`)."""

    def give_up(self) -> None:
        """The start failed: nobody will ever ask for this child, so there shall be none."""
        if self.sentinel >= 0:
            self.kill()
            wait_for_any((self.sentinel,), KILLING)
            self.poll()
        self._let_lifeline_go()
        self.close()

    def _hold_lifeline(self) -> None:
        held = _native.hold_interrupts()  # or Ctrl-C could come between the descriptors and whoever closes them
        try:
            self._lifeline = daemons.hold_lifeline()
        finally:
            if held:
                _native.allow_interrupts()

    def _let_lifeline_go(self) -> None:
        if self._lifeline >= 0:
            self._lifeline = -1
            daemons.release_lifeline()

    @property
    def failure(self) -> Failure | None:
        """Why it could not get ready; None: it could, or it has not said so yet."""
        with self._lock:
            self._listen()
        return self._said.failure

    def poll(self, flag: int = 0) -> int | None:
        """The exit code; None: it runs, or it is not ours to reap."""
        if self.returncode is None and self._creator == os.getpid():
            with self._lock:
                self._try_reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, after waiting at most `timeout` seconds (None: for ever); None: it runs."""
        if self.poll() is not None or (timeout is not None and timeout <= 0):
            return self.returncode
        wait_for_any((self.sentinel,), timeout)
        return self.poll()

    def wait_until_ready(self) -> None:
        """Wait, for PATIENCE seconds at most, until the child is ready to run; RuntimeError if an unguarded main module stopped it."""
        deadline = time.monotonic() + PATIENCE
        while self._said.stage is Stage.BORN and self._report >= 0 and (left := deadline - time.monotonic()) > 0:
            wait_for_any((self.sentinel, self._report), left)
            with self._lock:
                self._listen()
                if pidfd.has_ended(self.sentinel):
                    break
        failure = self._said.failure
        if failure is not None and failure.kind == "unguarded":
            self.wait()
            self.close()
            state.main.unguarded = False  # told here, once; the next start is looked at anew
            raise RuntimeError(UNGUARDED)

    def terminate(self) -> None:
        """Send SIGTERM, if it runs."""
        self._send_signal(signals.TERMINATE)

    def kill(self) -> None:
        """Send SIGKILL, if it runs."""
        self._send_signal(signals.KILL)

    def interrupt(self) -> None:
        """Send SIGINT, if it runs."""
        self._send_signal(signals.INTERRUPT)

    def close(self) -> None:
        """Close the descriptors. Idempotent."""
        fds = [fd for fd in (self.sentinel, self._report) if fd >= 0]
        self.sentinel = self._report = -1
        closing.close_all(fds)

    def duplicate_for_child(self, fd: int) -> int:
        """Have the child inherit `fd` while it is being started: the number under which it finds it."""
        return fd

    def _send_signal(self, signum: int) -> None:
        if self.returncode is None and self.sentinel >= 0:
            pidfd.send_signal(self.sentinel, signum)

    def _try_reap(self) -> None:
        """With the lock held: set the exit code if it has ended."""
        if self.returncode is not None or self.sentinel < 0:
            return
        try:
            code = pidfd.exit_code(self.sentinel)
        except ChildProcessError:
            if not pidfd.has_ended(self.sentinel):
                return
            self._listen()
            code = UNKNOWN if self._said.exit_code is None else self._said.exit_code
        if code is not None:
            self._listen()
            self._end(code)

    def _end(self, code: int) -> None:
        if self.returncode is not None:  # a signal handler was faster
            return
        self.returncode = code
        self._let_lifeline_go()
        failure = self._said.failure
        if failure is not None and failure.kind == "unguarded":
            state.main.unguarded = True  # no child can get ready: a pool that replaced its workers would do so for ever
        _native.process_reaped(self.pid, code)

    def _listen(self) -> None:
        """With the lock held: take in what it has said. Never blocks."""
        if self._listening:  # this is a signal handler, within the same
            return
        self._listening = True
        try:
            self._hear()
        finally:
            self._listening = False

    def _hear(self) -> None:
        while self._report >= 0 and pidfd.wait_readable((self._report,), 0):
            received = os.read(self._report, 1 << 16)
            self._said.feed(received)
            if not received:
                closing.close_all([self._report])
                self._report = -1

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # by then the interpreter may have cleared `os`
        for fd in (self.sentinel, self._report):
            if fd >= 0:
                close(fd)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} pid={self.pid} returncode={self.returncode}>"


def wait_for_any(fds: Iterable[int], timeout: float | None) -> set[int]:
    """Wait until one of the descriptors is readable, with a row in the table of waits; which are."""
    row = _native.wait_begin(WAIT_PROCESS, 0, timeout, 0)
    try:
        return pidfd.wait_readable(fds, timeout)
    finally:
        _native.wait_end(row)


def reap_ended() -> None:
    """Reap the children of this process that have ended."""
    watched: dict[int, tuple[BaseProcess, Child]] = {}
    for process in list(state.children):
        popen = process._popen  # other threads may reap and close it at any moment
        if popen is None or popen.returncode is not None or popen.sentinel < 0:
            state.children.discard(process)
        else:
            watched[popen.sentinel] = (process, popen)
    if not watched:
        return
    for sentinel in pidfd.wait_readable(watched, 0):
        process, popen = watched[sentinel]
        if popen.poll() is not None:
            state.children.discard(process)
            logs.debug("process %s ended with exit code %s", process.name, popen.returncode)
