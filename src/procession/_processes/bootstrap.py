"""A child's own life: from the moment when it is a process of its own to its exit code.

Promises: whatever `run()` raises ends as an exit code, and as a traceback on stderr. Threads that are not daemonic are waited for;
what was registered with `atexit` in the child runs; the standard streams are written out.
Not here: how the child came to be (`start_*.py`), the process object (`process.py`).
"""

from __future__ import annotations

import atexit
import sys
from itertools import count

from procession import _native
from procession._os import closing, creation
from procession._processes import exit as ending
from procession._processes import logs
from procession._runtime import run_after_forkers, state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TextIO

    from procession._processes.process import BaseProcess

__all__ = [
    "begin",
    "end_forked",
    "exit_code_of",
    "fork",
    "leave_parent",
    "live",
    "prepare_stdin",
    "replace_stdin",
]


def fork() -> int:
    """Fork, and tell the core: 0 in the child, its process id in the parent."""
    _native.before_fork()
    try:
        pid = creation.fork()
    except OSError:
        _native.after_fork(0)
        raise
    if pid != 0:
        _native.after_fork(pid)
    return pid


def leave_parent() -> None:
    """In a forked child: forget what belongs to the parent, and run what was registered for this moment."""
    state.children.clear()
    state.finalizers.clear()
    state.exiting = False
    for error in run_after_forkers():
        ending.report(error)


def begin(process: BaseProcess) -> None:
    """Make `process` the current one."""
    state.current = process
    state.process_counter = count(1)
    state.children.clear()
    if process._start_method is not None:
        state.start_method = process._start_method  # its children are started as it was
    if (threading := _threading()) is not None:
        threading.main_thread()._set_native_id()  # a forked thread has a new one
    _native.process_register(process.name)
    replace_stdin()


def _threading() -> Any:
    """The module, if anybody has imported it: it costs a child 3 ms."""
    return sys.modules.get("threading")


def prepare_stdin(null: int) -> None:
    """Before a fork: make what stands for stdin in the child, so that a child need not. `null` is only needed until this returns."""
    if state.null_stdin is None:
        state.null_stdin = open(null, closefd=False)  # noqa: SIM115 - the children's


def replace_stdin() -> None:
    """Children read nothing: the terminal, or the program itself, is the parent's to read."""
    if sys.stdin is None or sys.stdin is state.null_stdin:
        return
    try:
        sys.stdin.close()
        sys.stdin = _null_stdin()
    except (OSError, ValueError):
        return  # a stand-in for stdin that cannot be closed is left alone


def _null_stdin() -> TextIO:
    null = closing.open_null()
    prepared: TextIO | None = state.null_stdin
    if prepared is None or prepared.closed:
        prepared = state.null_stdin = open(null, closefd=False)  # noqa: SIM115 - it stays open
    else:  # new to a forked child is only the descriptor: 60 us less than another stream, which is mostly copied pages
        prepared.buffer.raw.__init__(null, closefd=False)  # type: ignore[attr-defined]
    return prepared


def live(process: BaseProcess) -> int:
    """Run the process: its exit code."""
    code = 1
    try:
        try:
            logs.name_records()
            logs.info("child process calling self.run()")
            _allow_interrupts()
            _native.fault_point("process.run.before")
            process.run()
            _native.fault_point("process.run.after")
            code = 0
        finally:
            ending.end_process()
    except SystemExit as request:
        code = exit_code_of(request)
    except BaseException as error:  # noqa: BLE001 - documented: a traceback on stderr and the exit code 1
        code = 1
        if process._is_quiet and isinstance(error, KeyboardInterrupt):
            return code
        _tell(f"Process {process.name}:\n")
        ending.report(error)
    finally:
        if (threading := _threading()) is not None:
            threading._shutdown()  # the interpreter's own wait for threads, at its own end
        ending.end_process()  # what the threads have started meanwhile
        logs.info("process exiting with exitcode %s", code)
        ending.flush_standard_streams()
    return code


def _allow_interrupts() -> None:
    """From here on Ctrl-C interrupts the child; one that came meanwhile, or since its birth, does so now."""
    if state.interrupts_held:
        state.interrupts_held = False
        _native.allow_interrupts()


def exit_code_of(request: SystemExit) -> int:
    """The exit code that `sys.exit` asks for: None is 0, an int is itself, anything else is printed to stderr and gives 1."""
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return int(request.code)
    _tell(f"{request.code}\n")
    return 1


def _tell(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)


def end_forked(live: Callable[[], int], announce: Callable[[int], Any] = bool) -> NoReturn:
    """In a child that has no interpreter of its own to return to: run it, then what `atexit` knows, and end the process.

    `announce(code)` is called last.
    """
    code = 1
    try:
        code = live() & 0xFF
    except BaseException as error:  # noqa: BLE001 - nothing above us could print it
        ending.report(error)
    try:
        atexit._run_exitfuncs()
        ending.flush_standard_streams()
    except BaseException as error:  # noqa: BLE001 - as above
        ending.report(error)
    try:
        announce(code)
        _native.process_leave(code)
    finally:
        creation.end_now(code)
