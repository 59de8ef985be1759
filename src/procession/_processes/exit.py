"""The end of a process: what is finalized, which children are ended or joined, in which order.

The stages: finalizers of priority 0 and more; daemonic children are terminated; all children are joined; the other finalizers.
Promises: only the process's own children are touched, whatever was forked from it. A stage that fails is reported on stderr and the
next one runs. A daemonic child that does not end when it is terminated is killed, so that it holds nobody up.
Not here: the finalizers themselves (`_runtime`), a child's own end (`bootstrap.py`).
"""

from __future__ import annotations

import os
import sys
import time

from procession._processes import logs
from procession._runtime import run_finalizers, state

__all__ = ["end_process", "finalize", "flush_standard_streams", "is_exiting", "report"]

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
