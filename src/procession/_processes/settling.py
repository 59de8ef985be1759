"""Starts of several processes at once: each is asked for by `start()`, and waited for later, so that they come to be side by side.

A process that is to be started so has `_settles_later` set, which only the start method forkserver heeds: others wait for nothing.
Promises: a start that fails, or is given up, leaves no process.
Not here: who starts several (`_pools.crew`).
"""

from __future__ import annotations

from procession._processes.lifecycle import Lifecycle
from procession._processes.reaper import Child
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from procession._processes.process import BaseProcess

__all__ = ["settle", "withdraw"]


def settle(process: BaseProcess) -> None:
    """Wait until the process exists, which `start()` has left for later. If it cannot, it is as if it was never started."""
    child = getattr(process, "_popen", None)
    if not isinstance(child, Child):
        return  # another package's, which waits in `start()`
    try:
        child.settle()
        state.children.add(process)
    except BaseException:
        withdraw(process)
        raise


def withdraw(process: BaseProcess) -> None:
    """Have no process, whether `start()` was called or not."""
    child = getattr(process, "_popen", None)
    if isinstance(child, Child):
        process._popen, process._lifecycle = None, Lifecycle.INITIAL
        state.children.discard(process)
        child.give_up()
    elif getattr(process, "pid", None) is not None:  # another package's
        process.kill()
        process.join()
        process.close()
