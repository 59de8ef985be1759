"""The start method forkserver: a single-threaded process, started once, forks the children of this program.

Promises: one message starts a child. Its exit code is exact, although it is the server's child; if the server was killed, it is
what the child announced, or UNKNOWN. A server that has died is started again by the next start. All descendants of the program that were
started by this server use it, too.
Not here: the server's own process (`zygote.py`).
"""

from __future__ import annotations

import errno
import os
import time

from procession import _native
from procession._os import closing, creation, packets, pidfd, signals
from procession._processes import interpreter, main_module, preparation, start_data
from procession._processes.handshake import Conversation, Stage
from procession._processes.reaper import UNKNOWN, Child, wait_for_any
from procession._processes.zygote import PRELOAD_FAILED, Zygote
from procession._runtime import RLock, register_after_fork, state
from procession.errors import StartError

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import ClassVar

    from procession._processes.process import BaseProcess

__all__ = ["ForkServer", "Popen", "ReceivedDescriptor", "run_server", "set_forkserver_preload"]

DOOR = "forkserver"
ATTEMPTS = 2  # a server that was killed between two starts is noticed by the first attempt
REPORT_PATIENCE = 1.0  # seconds that a living server may take to report the end of a child
ON_ERROR = ("ignore", "warn", "fail")


class ForkServer:
    """This process's way to the fork server."""

    def __init__(self, control: int = -1, pid: int | None = None) -> None:
        self.pid = pid
        self.preload: list[str] = ["__main__"]
        self.on_error = "ignore"
        self._control = control
        self._sentinel = -1  # only where this process started the server
        self._lock = RLock()  # a signal handler may start a process, too
        register_after_fork(self, ForkServer._leave_parent)

    def _leave_parent(self) -> None:
        """In a forked child: the server is no child of this process, but the socket is as good as the parent's."""
        self._lock = RLock()
        closing.close_all([self._sentinel] if self._sentinel >= 0 else [])
        self._sentinel = -1

    def ensure_running(self) -> None:
        """Start the server if it is not running. StartError if it stopped because a preload failed."""
        with self._lock:
            if self._control >= 0 and not packets.is_alone(self._control):
                return
            self._bury()
            self._launch()

    def ask(self, descriptors: list[int], needed: list[bytes]) -> None:
        """Have a child forked that needs these modules of the package. ConnectionError if the server has died."""
        with self._lock:
            if self._control < 0:
                raise ConnectionResetError("the fork server was stopped")
            packets.send(self._control, b" ".join([b"%d" % len(descriptors), *needed]), descriptors)

    def stop(self) -> None:
        """End the server. Its children go on; the next start starts another server."""
        with self._lock:
            if self._sentinel >= 0:
                pidfd.send_signal(self._sentinel, signals.TERMINATE)
                wait_for_any((self._sentinel,), None)
                self._reap()
            closing.close_all([self._control] if self._control >= 0 else [])
            self._control, self.pid = -1, None

    def _reap(self) -> int | None:
        """The exit code of a server that has died; None if it was not our child."""
        if self._sentinel < 0:
            return None
        wait_for_any((self._sentinel,), None)
        try:
            code = pidfd.exit_code(self._sentinel)
        except ChildProcessError:
            code = UNKNOWN
        closing.close_all([self._sentinel])
        self._sentinel = -1
        return code

    def _bury(self) -> None:
        """Clear away a server that has died; raise if it did so on purpose."""
        if self._control < 0:
            return
        code = self._reap()
        closing.close_all([self._control])
        self._control, self.pid = -1, None
        if code == PRELOAD_FAILED:
            error = StartError("the fork server has stopped, because a module could not be preloaded")
            error.add_note(
                "Its traceback is on stderr. Mend the module, or take it out of set_forkserver_preload(), "
                "or give on_error='ignore' or 'warn'; the next start starts a new server."
            )
            raise error

    def _launch(self) -> None:
        arena = _native.arena_open()
        known = {**preparation.gather("forkserver"), "arena": arena, "parent": os.getpid()}
        known.update(preload=list(self.preload), on_error=self.on_error)
        contents = creation.file_of(*start_data.pack_preparation(known))
        ours, theirs = packets.pair()
        try:
            command = interpreter.command(DOOR, "main", control=theirs, client=ours, contents=contents)
            self.pid = creation.spawn(command[0], command, [theirs, ours, contents, arena], signals.shielded())
        except BaseException:
            closing.close_all([ours])
            raise
        finally:
            closing.close_all([theirs, contents])
        self._control = ours
        self._sentinel = pidfd.open_process(self.pid)


def the_server() -> ForkServer:
    """This process's ForkServer object."""
    if state.forkserver is None:
        state.forkserver = ForkServer()
    server: ForkServer = state.forkserver
    return server


def set_forkserver_preload(module_names: list[str], *, on_error: str = "ignore") -> None:
    """What the server imports before it forks, from its next start on.

    `on_error`, for a module that cannot be imported: 'ignore'; 'warn', an ImportWarning on stderr; 'fail', the server stops with the
    traceback, and the next start of a process raises StartError. TypeError for anything but a list of strings, ValueError for another
    `on_error`.
    """
    names: object = module_names  # whatever was given
    if not isinstance(names, list) or not all(type(name) is str for name in names):
        raise TypeError("module_names must be a list of strings")
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error must be one of {', '.join(map(repr, ON_ERROR))}, and is {on_error!r}")
    server = the_server()
    server.preload, server.on_error = list(module_names), on_error


class ReceivedDescriptor:
    """A descriptor that came to the child through the server, by its place."""

    def __init__(self, place: int) -> None:
        self._place = place

    def detach(self) -> int:
        """The descriptor, from now on the caller's."""
        return state.received[self._place]


class Popen(Child):
    """A child that the fork server forks."""

    method: ClassVar[str] = "forkserver"
    pid: int
    sentinel: int
    DupFd = ReceivedDescriptor
    _channel: int = -1  # where the child's first word comes, until it has come
    _given: Sequence[int] = ()  # what is to be closed then

    def _start(self, process_obj: BaseProcess) -> None:
        self._passed: list[int] = []
        lifeline = self.duplicate_for_child(self._lifeline) if process_obj.daemon else None
        in_doubt = main_module.may_be_unguarded()
        extra = {"lifeline": lifeline, "listened_to": in_doubt}
        self._held, self._given, self._left = False, [], ATTEMPTS
        try:
            self._needed = self._write(start_data.pack(process_obj, self, extra), self._given)
            self._given.append(pidfd.open_self())
            self._ask()
            if in_doubt or not process_obj._settles_later:
                self._hear_of_birth()
        finally:
            self._allow_interrupts()
        if in_doubt:
            self.wait_until_ready()

    def settle(self) -> None:
        """Wait until the child exists, if `start()` has left that for later."""
        if self._channel >= 0:
            self._held = _native.hold_interrupts()
            try:
                self._hear_of_birth()
            finally:
                self._allow_interrupts()

    def _allow_interrupts(self) -> None:
        if self._held:
            _native.allow_interrupts()

    def close(self) -> None:
        """Close the descriptors; withdraw what was asked for and not answered yet. Idempotent."""
        given, self._given = self._given, ()
        channel, self._channel = self._channel, -1
        closing.close_all(given)
        if channel >= 0:
            self._withdraw(channel)
        super().close()

    def _write(self, parts: list[bytes | memoryview], given: list[int]) -> list[bytes]:
        """Append to `given` what the child is given; the modules it needs. From here on Ctrl-C waits, but for the answer to the request.

        (The parts must not be kept by the traceback of a start that fails.)
        """
        self._held = _native.hold_interrupts()
        given.append(creation.file_of(*parts))
        return start_data.own_modules(parts)

    def duplicate_for_child(self, fd: int) -> int:
        """Have the child inherit `fd`: its place among the descriptors that the child receives."""
        if len(self._passed) >= packets.MOST_DESCRIPTORS - 3:
            raise ValueError(f"the fork server can hand at most {packets.MOST_DESCRIPTORS - 3} descriptors to a child")
        self._passed.append(fd)
        return len(self._passed) - 1

    def _hear_of_birth(self) -> None:
        """Take in the child's first word; ask again where a server has died."""
        while not self._take_first_word():
            self._ask()
        closing.close_all(self._given)
        self._given = ()

    def _ask(self) -> None:
        """Send the request to a server that runs; the answer comes on `_channel`."""
        server = the_server()
        while self._left > 0:
            self._left -= 1
            server.ensure_running()
            ours, theirs = packets.pair()
            try:
                server.ask([theirs, *self._given, *self._passed], self._needed)
            except ConnectionError:
                closing.close_all([ours])
                continue
            except BaseException:
                closing.close_all([ours])
                raise
            finally:
                closing.close_all([theirs])
            self._channel, self._said = ours, Conversation()
            return
        server.ensure_running()  # says so if a preload has failed
        raise StartError(
            "the fork server ended before it could start the process, twice: look for its last words on stderr"
        )

    def _take_first_word(self) -> bool:
        """False: neither the server nor a child of it has heard the request, and neither will."""
        _native.fault_point("start.forkserver.asked")
        self._wait_interruptibly(self._channel)
        channel, self._channel = self._channel, -1
        message, found = packets.receive(channel)
        self._said.feed(message)
        if self._said.stage is Stage.BORN and found and self._said.pid is not None:
            self.pid, self.sentinel, self._report = self._said.pid, found[0], channel
            return True
        closing.close_all([*found, channel])
        if self._said.stage is Stage.BORN and self._said.pid is not None:  # and no descriptor was left for it here
            creation.kill(self._said.pid)
            raise OSError(errno.EMFILE, "no descriptor is left to watch the process with")
        if self._said.stage is Stage.REFUSED and self._said.refusal is not None:
            raise OSError(self._said.refusal, os.strerror(self._said.refusal))
        if self._said.stage in {Stage.LEFT, Stage.ENDED}:
            raise StartError(f"the process ended before it began (exit code {self._said.exit_code})")
        return False

    def _wait_interruptibly(self, channel: int) -> None:
        if self._held:
            _native.allow_interrupts()
        try:
            wait_for_any((channel,), None)
        finally:
            if self._held:
                _native.hold_interrupts()

    def _withdraw(self, channel: int) -> None:
        """Have no child: who is born from now on finds nobody to tell, and ends; who has said its first word is killed."""
        packets.stop_listening(channel)
        message, found = packets.receive(channel)  # nothing, if it has not
        self._said.feed(message)
        if self._said.stage is Stage.BORN and found:
            pidfd.send_signal(found[0], signals.KILL)
        closing.close_all([*found, channel])

    def _try_reap(self) -> None:
        """With the lock held: set the exit code if the child has ended, once the server has said it."""
        if self.returncode is not None or self.sentinel < 0 or not pidfd.has_ended(self.sentinel):
            return
        deadline = time.monotonic() + REPORT_PATIENCE
        self._listen()
        while not self._said.was_reaped and self._report >= 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return  # a server that is stopped: it runs, as far as anybody knows
            wait_for_any((self._report,), left)
            self._listen()
        self._end(UNKNOWN if self._said.exit_code is None else self._said.exit_code)


def run_server(control: int, client: int, contents: int, install: Callable[[], None]) -> int:
    """In the server's process: serve; the exit code. Children use `client` to reach the server."""
    server_pid = os.getpid()

    def adopt() -> None:
        state.forkserver = ForkServer(client, server_pid)

    Zygote(control, contents, install, adopt).serve()
    return 0
