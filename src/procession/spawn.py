"""How fresh children are started and get ready, under the standard library's module name."""

from __future__ import annotations

import sys

import procession
from procession import _context  # noqa: F401 - so that what a child is told finds the default context
from procession._processes import boot as _boot
from procession._processes import interpreter as _interpreter
from procession._processes import preparation as _preparation
from procession._processes.exit import end_interpreter as _end_interpreter
from procession._processes.interpreter import get_executable, is_forking, set_executable
from procession._processes.main_module import import_from_path as import_main_path
from procession._processes.preparation import gather as get_preparation_data
from procession._runtime import state as _state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = [
    "freeze_support",
    "get_command_line",
    "get_executable",
    "get_preparation_data",
    "import_main_path",
    "is_forking",
    "prepare",
    "set_executable",
    "spawn_main",
]

_state.extra["spawn"] = sys.modules[__name__]  # packages replace `get_preparation_data` here
old_main_modules: list[Any] = _state.main.former


def _install() -> None:
    procession.install()


def spawn_main(pipe_handle: int, report: int) -> NoReturn:
    """In a fresh interpreter: be the child whose description is behind these descriptors, and end with its exit code."""
    _end_interpreter(_boot.run_spawned(pipe_handle, report, _install))


def freeze_support() -> None:
    """In a frozen program that was started as a child: be that child. Otherwise nothing."""
    numbers = _interpreter.forked_arguments(sys.argv)
    if numbers is not None:
        spawn_main(**numbers)


def get_command_line(**numbers: int) -> list[str]:
    """The arguments that start a fresh child."""
    return _interpreter.command("spawn", "spawn_main", **numbers)


def prepare(data: dict[str, Any]) -> None:
    """Take over what `get_preparation_data` told, the main module included."""
    _preparation.apply(data, _install)
    _preparation.apply_main(data)
