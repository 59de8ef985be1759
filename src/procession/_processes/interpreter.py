"""The command that starts a fresh interpreter like this one.

Promises: it finds this package wherever this process found it, and runs under the same options (warnings, optimization, isolation, -X).
Not here: running it (`_os.creation`).
"""

from __future__ import annotations

import os
import sys

from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "MARK",
    "command",
    "executable",
    "forked_arguments",
    "get_executable",
    "is_forking",
    "options",
    "set_executable",
]

MARK = "--multiprocessing-fork"  # frozen programs look for it in their arguments
LETTERS = {
    "debug": "d",
    "optimize": "O",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "verbose": "v",
    "bytes_warning": "b",
    "quiet": "q",
}
PACKAGE = __name__.partition(".")[0]
PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def executable() -> str:
    """The interpreter to start: what `set_executable` chose, or this one. RuntimeError if there is none."""
    found = state.executable or sys.executable
    if not found:
        _no_executable()
    return os.fsdecode(found)


def get_executable() -> str | None:
    """The interpreter that children are started with; None if there is none."""
    return state.executable or sys.executable


def set_executable(exe: str | bytes | os.PathLike[str]) -> None:
    """The interpreter to start children with."""
    state.executable = os.fsdecode(exe)


def is_forking(argv: list[str]) -> bool:
    """Do these arguments belong to a child of a frozen program?"""
    return forked_arguments(argv) is not None


def _no_executable() -> NoReturn:
    raise RuntimeError(
        "this interpreter does not know its own executable: call set_executable() before starting processes"
    )


def command(door: str, function: str, **numbers: int) -> list[str]:
    """The arguments, the executable first, that call `function(**numbers)` of one of our doors in a fresh interpreter."""
    if getattr(sys, "frozen", False):
        return [executable(), MARK, *(f"{name}={number}" for name, number in numbers.items())]
    arguments = ", ".join(f"{name}={number}" for name, number in numbers.items())
    program = (
        # What is imported lives to the end: collections that look through it take a quarter of the time.
        "import gc, sys; collects = gc.isenabled(); gc.disable(); "
        f"sys.path.append({PACKAGES!r}); from {PACKAGE}.{door} import {function}; "
        f"gc.freeze(); collects and gc.enable(); {function}({arguments})"
    )
    return [executable(), *options(), "-c", program, MARK]


def forked_arguments(argv: list[str]) -> dict[str, int] | None:
    """The numbers that `command` gave to a frozen program; None if it was not started by that."""
    if len(argv) < 2 or argv[1] != MARK:
        return None
    return {name: int(number) for name, _, number in (argument.partition("=") for argument in argv[2:])}


def options() -> list[str]:
    """The options of this interpreter that a child has to have."""
    flags = sys.flags
    found = ["-" + letter * int(getattr(flags, name)) for name, letter in LETTERS.items() if getattr(flags, name)]
    if flags.isolated:
        found.append("-I")
    else:
        found += ["-E"] * bool(flags.ignore_environment)
        found += ["-s"] * bool(flags.no_user_site)
        found += ["-P"] * bool(getattr(flags, "safe_path", False))
    found += [f"-W{option}" for option in sys.warnoptions if option not in _implied_warnings()]
    for name, value in sys._xoptions.items():
        found += ["-X", name if value is True else f"{name}={value}"]
    return found


def _implied_warnings() -> set[str]:
    """The warning options that a child gets without being given them."""
    implied = set() if sys.flags.ignore_environment else set(os.environ.get("PYTHONWARNINGS", "").split(","))
    if sys.flags.dev_mode:
        implied.add("default")
    if sys.flags.bytes_warning:
        implied.add("error::BytesWarning" if sys.flags.bytes_warning > 1 else "default::BytesWarning")
    return implied
