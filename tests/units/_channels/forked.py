"""Children of tests: a function in a forked process."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def child(target: Callable[..., Any], *args: Any) -> Iterator[int]:
    """Run `target(*args)` in a forked child (its pid). The end of the block waits for it; it must not have failed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            target(*args)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        yield pid
    except BaseException:
        os.kill(pid, signal.SIGKILL)  # it may wait for what now never comes
        os.waitpid(pid, 0)
        raise
    _pid, status = os.waitpid(pid, 0)
    assert status == 0, f"the child failed with status {status:#x}"
