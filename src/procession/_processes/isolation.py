"""A function run in a program of its own for a while: what it gives, how it ended, and what it left behind.

    caller  --fork-->  warden (own session, adopts orphans)  --fork-->  subject: runs the function in a session of its own

The warden outlives whatever the function does, even to its own process: it keeps the deadline, kills what is left, and writes down
what it saw. It dies with the caller, and takes all with it.
Promises: returns within the deadline plus GRACE. No process that the function has started, directly or not, outlives the call.
Not here: the system calls (`_os.isolation`), fault points (`faults`).
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field

from procession import _native
from procession._channels import pickling
from procession._memory import ledger as ledgers
from procession._memory import leftovers
from procession._os import closing, creation, inspection, isolation
from procession._processes.process import BaseProcess
from procession._processes.reaper import wait_for_any
from procession._processes.start_fork import Popen
from procession._runtime import state
from procession.errors import InternalError, ProcessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["IsolationError", "Left", "Outcome", "run_isolated"]

GRACE = 2.0  # seconds for what ends with its parent to end
LAST_WORDS = 1.0  # seconds for tracebacks to be written


@dataclass
class Left:
    """What was left behind, in words for people: empty lists, and so false, if nothing was.

    `processes`: those that still ran GRACE seconds after the function's process had ended (they have been killed).
    `descriptors` (sockets too) and `threads`: what the function's process had more of when the function returned than before.
    `files`: in the directory for temporary files. `segments`: of named shared memory, tracked and not unlinked.
    """

    processes: list[str] = field(default_factory=list)
    descriptors: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def __str__(self) -> str:
        return "; ".join(f"{kind}: {', '.join(found)}" for kind, found in asdict(self).items() if found) or "nothing"


class IsolationError(ProcessError, RuntimeError):
    """`Outcome.check()`: the function did not return, or left something behind."""


@dataclass
class Outcome:
    """How a function ended that was run by `run_isolated`.

    `value`: what it returned. `error`: what it raised (None if that cannot be pickled), and its `traceback` as text.
    `exitcode` of its process, as `Process.exitcode`. `timed_out`: it was killed at the deadline; then `tracebacks` says where its
    processes were, and who waited for what. `output`: what they wrote to stdout and stderr. `left`: what was left behind.
    """

    value: Any = None
    error: BaseException | None = None
    traceback: str = ""
    exitcode: int | None = None
    timed_out: bool = False
    tracebacks: str = ""
    output: str = ""
    left: Left = field(default_factory=Left)

    def check(self) -> Any:
        """The value; IsolationError if the function did not return in time, or left something behind."""
        if self.timed_out:
            problem = f"did not return before its deadline:\n{self.tracebacks}"
        elif self.traceback:
            problem = f"raised:\n{self.traceback}"
        elif self.exitcode != 0:
            problem = f"ended with exit code {self.exitcode}"
        elif self.left:
            problem = f"left behind {self.left}"
        else:
            return self.value
        error = IsolationError(f"the isolated function {problem}\n{self.output}".rstrip())
        raise error from self.error


def run_isolated(function: Callable[..., Any], *args: Any, timeout: float = 60.0, **kwargs: Any) -> Outcome:
    """Call `function(*args, **kwargs)` in a forked process, and say how that went: never raises what the function raises.

    The process is the leader of a session of its own, with a directory of its own for temporary files. After `timeout` seconds it and
    all that it has started are killed. What it returns is pickled.

        outcome = testing.run_isolated(my_program, timeout=10)
        assert outcome.check() == 42     # returned in time, and left nothing behind
    """
    _native.arena_open()
    directory = tempfile.mkdtemp(prefix="procession-isolated-")
    try:
        with _Files() as files:
            known = _segments()
            _run_warden(_Warden(lambda: function(*args, **kwargs), files, directory, timeout), timeout)
            outcome = files.outcome()
            outcome.left.segments = sorted(_segments() - known)
        outcome.left.files = sorted(
            os.path.relpath(os.path.join(folder, name), directory)
            for folder, folders, names in os.walk(directory)
            for name in [*folders, *names]
        )
        return outcome
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_warden(warden: _Warden, timeout: float) -> None:
    try:
        warden.start()
        closing.close_all([warden.files.kept])
        warden.join(timeout + GRACE + 2 * LAST_WORDS + 30)
        if warden.exitcode is None:
            raise InternalError("the process that keeps the deadline of run_isolated did not end in time")
    finally:
        closing.close_all([warden.files.cancel])  # if this process was interrupted: that is the end of both
        warden.join()
        warden.close()


def _segments() -> set[str]:
    return set(leftovers.entries(ledgers.of_program().path, leftovers.SEGMENTS))


class _Files:
    """Files in memory in which the three processes write down what the caller is told, and the pipe that ties the warden to it."""

    def __init__(self) -> None:
        self.said, self.seen, self.output, self.tracebacks = (creation.file_of() for _ in range(4))
        for fd in (self.output, self.tracebacks):
            creation.append_only(fd)
        self.kept, self.cancel = os.pipe()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        closing.close_all([self.said, self.seen, self.output, self.tracebacks])

    def outcome(self) -> Outcome:
        """What they have written; empty files for those that were killed."""
        said, seen = _read(self.said), _read(self.seen)
        if not seen:
            raise InternalError("the process that keeps the deadline of run_isolated was killed")
        exitcode, timed_out, processes = _native.loads(seen)
        outcome = Outcome(exitcode=exitcode, timed_out=timed_out, output=_read(self.output).decode(errors="replace"))
        outcome.tracebacks = _read(self.tracebacks).decode(errors="replace")
        if said:
            pickled, outcome.traceback, descriptors, threads = _native.loads(said)
            outcome.left = Left(processes, descriptors, threads)
            _take(outcome, pickled)
        outcome.left.processes = processes
        return outcome


def _take(outcome: Outcome, pickled: bytes) -> None:
    if not pickled:
        return
    try:
        found = _native.loads(pickled)
    except Exception as error:  # noqa: BLE001 - whatever unpickling raises is the outcome
        outcome.error = error
        outcome.traceback = outcome.traceback or traceback.format_exc()
        return
    if outcome.traceback:
        outcome.error = found
    else:
        outcome.value = found


def _read(fd: int) -> bytes:
    return bytes(creation.read_all(os.dup(fd)))


class _Warden(BaseProcess):
    """The process between the caller and the subject."""

    _Popen = staticmethod(Popen)

    def __init__(self, call: Callable[[], Any], files: _Files, directory: str, timeout: float) -> None:
        super().__init__(name="Warden", daemon=False)
        self.call, self.files, self.directory, self.timeout = call, files, directory, timeout

    def run(self) -> None:
        """Start the subject, wait for it, and see what is left."""
        isolation.begin_session()
        isolation.adopt_orphans()
        closing.close_all([self.files.cancel])
        os.environ["TMPDIR"] = self.directory
        tempfile.tempdir = state.temp_dir = None
        _forget_fork_server()
        subject = _Subject(self.call, self.files)
        subject.start()
        wait_for_any((subject.sentinel, self.files.kept), self.timeout)
        cancelled = bool(wait_for_any((self.files.kept,), 0))
        timed_out = not cancelled and subject.exitcode is None
        if timed_out:
            self._gather_tracebacks()
        if timed_out or cancelled:
            _kill_descendants()
        subject.join()
        left = [] if cancelled or timed_out else _wait_alone(self.files.kept)
        _kill_descendants()
        os.write(self.files.seen, bytes(pickling.ForkingPickler.dumps((subject.exitcode, timed_out, left))))
        if wait_for_any((self.files.kept,), 0):  # who would remove it is gone
            shutil.rmtree(self.directory, ignore_errors=True)

    def _gather_tracebacks(self) -> None:
        """Where everybody is, and who waits for what."""
        pids = inspection.descendants(os.getpid())
        lines = [f"process {inspection.describe(pid)}" for pid in sorted(pids)]
        lines += [
            f"process {pid}, thread {tid}: waits for {_native.WAIT_REASONS.get(reason, reason)} since {since:.1f} s"
            for pid, tid, reason, _offset, since, _left, _holder in _native.waits()
            if pid in pids
        ]
        os.write(self.files.tracebacks, ("\n".join(lines) + "\n").encode())
        for pid in sorted(pids):  # one after the other, so that they can be read
            before = size = os.fstat(self.files.tracebacks).st_size
            if not isolation.ask_for_tracebacks(pid):
                continue
            deadline = time.monotonic() + LAST_WORDS
            while time.monotonic() < deadline:  # until it has written something, and then nothing more
                wait_for_any((self.files.kept,), LAST_WORDS / 50)
                written, size = size, os.fstat(self.files.tracebacks).st_size
                if size == written > before:
                    break


def _forget_fork_server() -> None:
    """The children of the caller's server would not be ours."""
    server, state.forkserver = state.forkserver, None
    if server is not None:
        closing.close_all([server._control, server._sentinel])
        server._control = server._sentinel = -1


def _wait_alone(kept: int) -> list[str]:
    """Wait until no descendant is left, for GRACE seconds; those that are."""
    deadline, pause = time.monotonic() + GRACE, 0.001
    while True:
        running = []
        for pid in inspection.descendants(os.getpid()):
            if not isolation.reap(pid) and not inspection.is_zombie(pid):
                running.append(pid)
        if not running or time.monotonic() > deadline:
            return [inspection.describe(pid) for pid in running]
        wait_for_any((kept,), pause)
        pause = min(2 * pause, 0.05)


def _kill_descendants() -> None:
    while pids := {pid for pid in inspection.descendants(os.getpid()) if not inspection.is_zombie(pid)}:
        isolation.kill_all(pids)
        isolation.wait_gone(pids, 5.0)


class _Subject(BaseProcess):
    """The process that runs the function."""

    _Popen = staticmethod(Popen)

    def __init__(self, call: Callable[[], Any], files: _Files) -> None:
        super().__init__(name="Isolated", daemon=False)
        self.call, self.files = call, files

    def run(self) -> None:
        """Call the function, and write down what came of it."""
        isolation.begin_session()
        for fd in (1, 2):
            os.dup2(self.files.output, fd)
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115 - they stay open
        isolation.print_tracebacks_to(self.files.tracebacks)
        closing.close_all([self.files.seen, self.files.kept])
        descriptors, threads = inspection.descriptors(), inspection.threads()
        pickled, text = b"", ""
        try:
            pickled = bytes(pickling.ForkingPickler.dumps(self.call()))
        except BaseException as error:
            text = traceback.format_exc()
            pickled = _pickled_error(error)
            raise
        finally:
            gc.collect()
            kept = _kept_for_life()
            opened = [
                f"{fd} ({to})"
                for fd, to in inspection.descriptors().items()
                if descriptors.get(fd) != to and fd not in kept
            ]
            begun = [f"{tid} ({name})" for tid, name in _threads_beyond(threads).items()]
            os.write(self.files.said, bytes(pickling.ForkingPickler.dumps((pickled, text, opened, begun))))


def _threads_beyond(known: dict[int, str]) -> dict[int, str]:
    """The threads of this process that are not in `known`; one that was joined may be a thread of the system for a moment more."""
    deadline = time.monotonic() + LAST_WORDS
    while True:
        begun = {tid: name for tid, name in inspection.threads().items() if tid not in known}
        if not begun or time.monotonic() > deadline:
            return begun
        os.sched_yield()


def _pickled_error(error: BaseException) -> bytes:
    try:
        return bytes(pickling.ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - its traceback as text is there anyway
        return b""


def _kept_for_life() -> set[int]:
    """Descriptors that the package keeps as long as a process lives."""
    server = state.forkserver
    return {-1} if server is None else {server._control, server._sentinel}
