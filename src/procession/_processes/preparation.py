"""What a fresh child must know of its parent before it can load its process object: `gather()` it here, `apply()` it there.

The keys are those of the standard library, because packages add their own (coverage does).
Promises: nothing of it needs more than builtin types. `apply()` takes any subset.
Not here: the process object (`start_data.py`), how the main module is imported (`main_module.py`).
"""

from __future__ import annotations

import os
import sys

from procession._processes import logs, main_module
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["UNGUARDED", "apply", "apply_main", "check_not_importing_main", "gather", "is_unguarded_start"]


UNGUARDED = (
    "a process was to be started while its own starter's main module was still being imported: the line that starts it runs whenever "
    "the module is imported, so each child would start another one. Put what starts processes, pools and managers, and "
    "set_start_method(), below\n\n    if __name__ == '__main__':\n\nso that only the program itself runs it, and not its children."
)
ALREADY_SET = (
    "context has already been set"  # what set_start_method() says in a child, where the parent's method is set
)


def check_not_importing_main() -> None:
    """RuntimeError in a child that is still importing its parent's main module, and in a parent whose children have failed so."""
    if state.main.importing or state.main.unguarded:
        raise RuntimeError(UNGUARDED)


def is_unguarded_start(error: BaseException) -> bool:
    """Is it what `check_not_importing_main` raised?"""
    return type(error) is RuntimeError and error.args == (UNGUARDED,)


def gather(name: str) -> dict[str, Any]:
    """What a child called `name` is told about this process; RuntimeError as from `check_not_importing_main`."""
    check_not_importing_main()
    known: dict[str, Any] = {
        "name": name,
        "authkey": bytes(state.current.authkey),
        "log_to_stderr": state.log_to_stderr,
        "sys_path": [_absolute(path) for path in sys.path],
        "sys_argv": list(sys.argv),
        "orig_dir": state.main.directory,
        "dir": _directory(),
        "start_method": state.start_method,
        "installed": state.installed,
    }
    if state.logger is not None:
        known["log_level"] = state.logger.getEffectiveLevel()
    known.update(main_module.where())
    return known


def _absolute(path: str) -> str:
    return state.main.directory if path == "" and state.main.directory is not None else path


def _directory() -> str | None:
    """The working directory; None if it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def apply(known: dict[str, Any], install: Callable[[], None]) -> None:
    """In the child: take over all but the main module. `install()` makes the name `multiprocessing` ours."""
    if known.get("installed") and not state.installed:
        install()
    if "name" in known:
        state.current.name = known["name"]
    if "authkey" in known:
        state.current.authkey = known["authkey"]
    if "sys_path" in known:
        sys.path[:] = known["sys_path"]
    if "sys_argv" in known:
        sys.argv = list(known["sys_argv"])
    if known.get("dir") is not None:
        os.chdir(known["dir"])
    if "orig_dir" in known:
        state.main.directory = known["orig_dir"]
    if known.get("log_to_stderr") and not state.log_to_stderr:
        logs.log_to_stderr()
    if "log_level" in known:
        logs.get_logger().setLevel(known["log_level"])
    if known.get("start_method") is not None:
        state.start_method = known["start_method"]


def apply_main(known: dict[str, Any]) -> None:
    """In the child: import the parent's main module, during which no process may be started."""
    state.main.importing = True
    try:
        if known.get("init_main_from_name") is not None:
            main_module.import_from_name(known["init_main_from_name"])
        elif known.get("init_main_from_path") is not None:
            main_module.import_from_path(known["init_main_from_path"])
    except RuntimeError as error:
        if str(error) != ALREADY_SET:
            raise
        raise RuntimeError(UNGUARDED) from error
    finally:
        state.main.importing = False
