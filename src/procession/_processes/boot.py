"""How a child that is not a plain copy of its parent gets ready: from the bytes that it is given to its process object.

Promises: whatever goes wrong is said to the one who starts it, and printed unless that one waits to raise it; Ctrl-C, which the whole
program gets, is not printed here. A daemonic child is tied to its parent's life before any of the program's code runs in it.
Not here: what it is given (`unpacking.py`), what it does then (`bootstrap.py`).
"""

from __future__ import annotations

import gc
import os

from procession import _native
from procession._os import creation, pidfd
from procession._processes import bootstrap, daemons, preparation, unpacking
from procession._processes import exit as ending
from procession._processes.handshake import Word, frame
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["boot", "run_spawned"]


def boot(
    contents: int, say: Callable[[bytes], object], install: Callable[[], None], enter: Callable[[dict[str, Any]], int]
) -> int:
    """The life of a fresh child: its exit code.

    `contents` is the descriptor of what `start_data.pack` gave; `say(frame)` tells the starter; `install()` makes the name
    `multiprocessing` ours; `enter(known)` opens the arena and gives the descriptor that becomes readable when the parent ends.
    """
    stage, listened_to = "boot", False
    try:
        _native.fault_point("start.boot.begun")
        received = creation.read_all(contents)
        known = unpacking.unpack_preparation(received)
        listened_to = known["listened_to"]
        sentinel = enter(known)
        if known["lifeline"] is not None:
            daemons.tie_to_parent(_descriptor(known["lifeline"]))
        preparation.apply(known, install)
        stage = "main"
        preparation.apply_main(known)
        stage = "load"
        process = unpacking.unpack_process(received)
        _native.fault_point("start.boot.before_ready")
    except SystemExit as request:
        say(frame(Word.FAILED, f"{stage}\nsys.exit({request.code!r}) was called while the process was getting ready"))
        return bootstrap.exit_code_of(request)
    except BaseException as error:  # noqa: BLE001 - told to the one who starts us
        unguarded = preparation.is_unguarded_start(error)
        say(frame(Word.FAILED, f"{'unguarded' if unguarded else stage}\n{_traceback(error)}"))
        if not (unguarded and listened_to) and not isinstance(error, KeyboardInterrupt):
            ending.report(error)
        return 1
    say(frame(Word.READY))
    return process._bootstrap(parent_sentinel=sentinel)


def run_spawned(contents: int, report: int, install: Callable[[], None]) -> int:
    """The life of a child in an interpreter of its own: its exit code. `report` is the pipe on which it tells its starter."""

    def say(said: bytes) -> None:
        if pidfd.wait_readable((report,), 0):  # nobody listens any more, and the program may have set SIGPIPE to kill
            return
        try:
            os.write(report, said)
        except BrokenPipeError:
            return  # gone in between

    code = boot(contents, say, install, _enter)
    say(frame(Word.LEFT, str(code & 0xFF)))
    return code


def _enter(known: dict[str, Any]) -> int:
    state.interrupts_held = known["interrupts_held"]
    gc.freeze()  # what is here by now lives to the end, where looking through it would take 3 ms
    _native.arena_attach(known["arena"])
    return pidfd.open_parent(known["parent"])


def _descriptor(place: int) -> int:
    """A descriptor by its number, or by its place among those that came with the request."""
    return state.received[place] if state.received else place


def _traceback(error: BaseException) -> str:
    import traceback  # noqa: PLC0415 - 5 ms that only failures pay

    return "".join(traceback.format_exception(error))
