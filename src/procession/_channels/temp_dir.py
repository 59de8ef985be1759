"""The directory of this process for files of its own, such as the sockets of listeners.

Promises: only this user can look into it. It goes with the process; if that was killed, it goes when the next process of this user
needs a directory, and never while a process that uses it lives (in whatever container it runs). No other directory is ever touched.
"""

from __future__ import annotations

import os

from procession._os import descriptors
from procession._runtime import Finalizer, state

__all__ = ["get_temp_dir"]

PREFIX = "pymp-procession-"  # `pymp-` is what the documentation shows; the rest tells ours from the standard library's
RANDOM_CHARACTERS = 8  # of mkdtemp


def get_temp_dir() -> str:
    """The path of this process's directory, made when it is first asked for; forked children share it."""
    if state.temp_dir is None or not os.path.isdir(state.temp_dir):
        import tempfile  # noqa: PLC0415 - 5 ms that only processes with files of their own pay

        _sweep(tempfile.gettempdir())
        while True:
            path = tempfile.mkdtemp(prefix=PREFIX)
            mark = _mark(path)
            if mark is not None:
                break
        state.temp_dir = path
        if state.logger is not None:  # `_processes.logs` is above this floor
            state.logger.info("created temp directory %s", path)
        Finalizer(None, _remove, args=(path, mark), exitpriority=-100)
    return state.temp_dir


def _mark(path: str) -> int | None:
    """Mark a new directory as in use; None if another process took it for a dead one's, between its making and this."""
    try:
        mark = descriptors.lock_directory(path)
    except FileNotFoundError:
        return None
    if mark is not None and not os.path.isdir(path):
        os.close(mark)
        return None
    return mark


def _remove(path: str, mark: int | None) -> None:
    import shutil  # noqa: PLC0415 - as above

    shutil.rmtree(
        path, ignore_errors=True
    )  # whoever still has a file there may be writing it: the next sweep takes the rest
    state.temp_dir = None
    if mark is not None:
        os.close(mark)


def _sweep(parent: str) -> None:
    """Remove directories of processes of this user that were killed."""
    with os.scandir(parent) as entries:
        ours = [entry.path for entry in entries if _is_ours(entry.name)]
    for path in ours:
        try:
            if os.lstat(path).st_uid != os.getuid():
                continue
            mark = descriptors.lock_directory(path)
        except OSError:
            continue  # it went at this moment, or is none of ours
        if mark is not None:
            _remove_stale(path, mark)


def _is_ours(name: str) -> bool:
    """Did `get_temp_dir` choose this name? What only begins like it, people may have made."""
    return name.startswith(PREFIX) and len(name) == len(PREFIX) + RANDOM_CHARACTERS


def _remove_stale(path: str, mark: int) -> None:
    import shutil  # noqa: PLC0415 - as above

    shutil.rmtree(path, ignore_errors=True)
    os.close(mark)
