"""The end of a process: what is finalized, which children are ended or joined, in which order.

The stages: finalizers of priority 0 and more; daemonic children are terminated; all children are joined; the other finalizers.
Promises: only the process's own children are touched, whatever was forked from it. A stage that fails is reported on stderr and the
next one runs. A daemonic child that does not end when it is terminated is killed, so that it holds nobody up.
An interpreter of its own (`end_interpreter`) is only taken apart, which takes 2 ms and more, where somebody could tell.
Not here: the finalizers themselves (`_runtime`), a child's own end (`bootstrap.py`).
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from io import TextIOWrapper

from procession import _native
from procession._processes import logs
from procession._runtime import run_finalizers, state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["end_interpreter", "end_process", "finalize", "flush_standard_streams", "is_exiting", "report"]

PACKAGE = __name__.partition(".")[0]
EXTENSIONS = (f"{os.sep}lib-dynload{os.sep}", f"{os.sep}{PACKAGE}{os.sep}")  # the interpreter's, and ours
INTERPRETERS = {"_interpreters", "_xxsubinterpreters"}  # each of which has an end of its own
GRACE = 5.0  # seconds between SIGTERM and SIGKILL for daemonic children at exit


def end_process() -> None:
    """Run the stages. May be called again: what came into being since is ended, too."""
    if not state.exiting:
        state.exiting = True
        logs.info("process shutting down")
    try:
        finalize(0)
        end_children()
    finally:  # also if somebody lost patience, and pressed Ctrl-C
        finalize(None)


def end_children() -> None:
    """Terminate the daemonic children of this process and wait for all."""
    mine = [process for process in list(state.children) if process._parent_pid == os.getpid()]
    daemons = [process for process in mine if process.daemon]
    for process in daemons:
        logs.info("calling terminate() for daemon %s", process.name)
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in daemons:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            logs.warn("killing daemon %s, which did not end when it was terminated", process.name)
            process.kill()
            process.join()
    for process in mine:
        logs.info("calling join() for process %s", process.name)
        process.join()


def finalize(minpriority: int | None = None) -> None:
    """Run the finalizers of at least `minpriority` (None: all that have one); what they raise goes to stderr."""
    for error in run_finalizers(minpriority):
        report(error)


def report(error: BaseException) -> None:
    """Print a traceback to stderr, if there is one."""
    if sys.stderr is None:
        return
    import traceback  # noqa: PLC0415 - 5 ms that only failures pay

    traceback.print_exception(error)


def flush_standard_streams() -> None:
    """Write out what stdout and stderr hold; a stream that is closed or no stream at all has nothing to write."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError):
            continue


def is_exiting() -> bool:
    """Has the end of this process begun?"""
    return bool(state.exiting)


def end_interpreter(code: int) -> NoReturn:
    """End a spawned child as `sys.exit(code)` would. Expects `gc.freeze()` before any of the program's code ran.

    What is left is not taken apart, unless an object with a `__del__` is among it (a file that is open, a generator that waits), or a
    module in native code that came with neither the interpreter nor this package.
    """
    atexit._run_exitfuncs()
    if not _leaves_finalizers() and not sys.modules.keys() & INTERPRETERS and not _has_foreign_extensions():
        try:
            flush_standard_streams()
        except OSError:
            sys.exit(code)  # the interpreter's own end will say so
        _native.process_exit(code & 0xFF)
    sys.exit(code)


def _leaves_finalizers() -> bool:
    """Has an object whose type has a `__del__` come to be since `gc.freeze()`, and is it still there?"""
    objects = gc.get_objects()
    finalized = {kind for kind in {*map(type, objects)} if any("__del__" in vars(base) for base in kind.__mro__)}
    if not finalized:
        return False
    spared = {id(each) for each in (state.parent, *_parts(state.null_stdin), *_parts(sys.__stdin__))}
    return any(type(each) in finalized and id(each) not in spared for each in objects)


def _parts(stream: object) -> tuple[object, ...]:
    """A standard stream, and the streams that it is made of."""
    if type(stream) is not TextIOWrapper:
        return ()
    return (stream, stream.buffer, getattr(stream.buffer, "raw", None))


def _has_foreign_extensions() -> bool:
    """Has a module been loaded whose native code may have an end of its own?"""
    files = [vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    return any(
        type(file) is str and file.endswith(".so") and not any(place in file for place in EXTENSIONS) for file in files
    )
