"""The fork server's own process: it imports once what its children need, and then forks one child for each message.

It listens to one socket whose other end only this program's processes hold, by inheritance: it has no name that anybody else could
connect to, so there is no key to prove. A message is the number of descriptors that it brings: the channel to the one who asks, what
the child is given, that one's life, and whatever else the child inherits; and the modules of this package that the child needs, which
are imported here, once, before it is forked.

Promises: single-threaded by itself. A child says that it exists before the one who asks goes on, so that a server that dies in between
starts nobody twice. It reports how its children ended. When the process that started it dies it takes no more requests, and ends
when nobody is left to whom it could report.
Not here: the one who asks (`start_forkserver.py`), how a child gets ready (`boot.py`).
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys

from procession import _native
from procession._os import closing, creation, packets, pidfd, signals
from procession._processes import bootstrap, preparation, unpacking
from procession._processes import exit as ending
from procession._processes.boot import boot
from procession._processes.handshake import Word, frame
from procession._processes.reaper import UNKNOWN, wait_for_any
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["PRELOAD_FAILED", "Zygote", "tell"]

PACKAGE = f"{__name__.partition('.')[0]}._"
PRELOAD_FAILED = 96  # the server's exit code after a preload failed under on_error='fail'


def tell(channel: int, said: bytes, descriptors: tuple[int, ...] = ()) -> bool:
    """Say something to one who may be gone, or has stopped to listen: False."""
    try:
        packets.send(channel, said, descriptors)
    except (BrokenPipeError, ConnectionError):
        return False
    return True


class Zygote:
    """The server: the process whose children are forked here."""

    def __init__(self, control: int, contents: int, install: Callable[[], None], adopt: Callable[[], None]) -> None:
        """Get ready: `control` is the socket, `contents` what it is told; `adopt()` lets a child use this server itself."""
        self._control = control
        self._install = install
        self._adopt = adopt
        known = unpacking.unpack_preparation(creation.read_all(contents))
        self._starter = pidfd.open_parent(known["parent"])
        self._before = signals.as_server()
        self._children: dict[int, tuple[int, int]] = {}  # sentinel: (process id, channel to the one who asked)
        _native.arena_attach(known["arena"])
        preparation.apply({**known, "name": "forkserver"}, install)
        bootstrap.replace_stdin()  # once for all children: 0.2 ms each
        importlib.import_module("pickle")  # or each child that needs it would import it
        _preload(known)
        ending.flush_standard_streams()  # or each child would write out what the preload has printed
        gc.collect()
        gc.freeze()  # children do not copy these pages to collect them

    def serve(self) -> None:
        """Fork and report, until the starter has died and there is nobody left to report to."""
        while not pidfd.has_ended(self._starter):
            for ready in wait_for_any([self._control, self._starter, *self._children], None):
                if ready == self._control:
                    self._answer()
                elif ready in self._children:
                    self._report_end(ready)
        closing.close_all([self._control])
        while self._drop_unheard():
            # Those who asked are watched, too: the end of one leaves its children to nobody.
            channels = [channel for _pid, channel in self._children.values()]
            for ready in wait_for_any([*self._children, *channels], None):
                if ready in self._children:
                    self._report_end(ready)

    def _drop_unheard(self) -> bool:
        """Forget the children whose end nobody waits for; are others left?"""
        for sentinel, (_pid, channel) in list(self._children.items()):
            if packets.is_alone(channel):
                closing.close_all([sentinel, channel])
                del self._children[sentinel]
        return bool(self._children)

    def _answer(self) -> None:
        message, descriptors = packets.receive(self._control)
        number, *needed = message.split()
        if len(descriptors) != int(number):  # cut: no descriptor was left for the others
            if descriptors:
                tell(descriptors[0], frame(Word.REFUSED, str(errno.EMFILE)))
            closing.close_all(descriptors)
            return
        channel = descriptors[0]
        _load(needed)
        _native.fault_point("forkserver.answer.before_fork")
        try:
            pid = bootstrap.fork()
        except OSError as error:
            tell(channel, frame(Word.REFUSED, str(error.errno)))
            closing.close_all(descriptors)
            return
        if pid == 0:
            self._become_child(descriptors)
        _native.fault_point("forkserver.answer.after_fork")
        closing.close_all(descriptors[1:])
        try:
            self._children[pidfd.open_child(pid)] = (pid, channel)
        except OSError:  # no descriptor is left to watch it with
            creation.abandon(pid)
            tell(channel, frame(Word.ENDED, str(-signals.KILL)))
            closing.close_all([channel])

    def _report_end(self, sentinel: int) -> None:
        _pid, channel = self._children.pop(sentinel)
        try:
            code = pidfd.exit_code(sentinel)
        except ChildProcessError:  # preloaded code has reaped it
            code = UNKNOWN
        tell(channel, frame(Word.ENDED, str(code)))
        closing.close_all([sentinel, channel])

    def _become_child(self, descriptors: list[int]) -> NoReturn:
        """In the child: its whole life."""
        channel, contents, asker, *state.received = descriptors

        def announce(code: int) -> None:
            tell(channel, frame(Word.LEFT, str(code)))

        def live() -> int:
            _native.fault_point("start.forkserver.begun")
            mine = pidfd.open_self()
            if not tell(channel, frame(Word.BORN, str(os.getpid())), (mine,)):
                creation.end_now(signals.TERMINATE)  # the start was given up, or who asked is dead
            others = [fd for sentinel, (_pid, other) in self._children.items() for fd in (sentinel, other)]
            closing.close_all([mine, self._control, self._starter, *others])
            state.interrupts_held = _native.hold_interrupts()  # until bootstrap.live
            signals.restore(self._before)
            bootstrap.leave_parent()
            self._adopt()
            return boot(contents, lambda said: tell(channel, said), self._install, lambda _known: asker)

        bootstrap.end_forked(live, announce)


def _load(needed: list[bytes]) -> None:
    """Import modules of this package, that children need not do it: 3 ms for a lock, 7 ms for a value."""
    missing = [name for name in map(bytes.decode, needed) if name not in sys.modules and name.startswith(PACKAGE)]
    for name in missing:
        try:
            for later in getattr(importlib.import_module(name), "LATER", ()):  # what that imports when it needs it
                importlib.import_module(later)
        except ImportError:
            continue  # the child meets it as well, and tells
    if missing:
        gc.freeze()


def _preload(known: dict[str, Any]) -> None:
    """Import what children will need; what fails is treated as `on_error` says."""
    for name in known["preload"]:
        try:
            if name == "__main__":
                preparation.apply_main(known)
            else:
                importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - the caller of set_forkserver_preload has said what to do about it
            _preload_failed(name, error, known["on_error"])
        except SystemExit as error:
            _preload_failed(name, error, known["on_error"])


def _preload_failed(name: str, error: BaseException, on_error: str) -> None:
    if on_error == "warn":
        import warnings  # noqa: PLC0415 - only failures pay for it

        with warnings.catch_warnings():
            warnings.simplefilter("always", ImportWarning)  # it was asked for, and is hidden by default
            warnings.warn(f"the fork server could not preload {name!r}: {error!r}", ImportWarning, stacklevel=2)
    elif on_error == "fail":
        sys.stderr.write(f"the fork server could not preload {name!r}:\n")
        ending.report(error)
        ending.flush_standard_streams()
        creation.end_now(PRELOAD_FAILED)
