"""Process objects, under the standard library's module name."""

from __future__ import annotations

from procession._processes.process import (
    AuthenticationString,
    BaseProcess,
    _MainProcess,
    _ParentProcess,
    active_children,
    current_process,
    parent_process,
)
from procession._processes.reaper import reap_ended as _cleanup
from procession._runtime import state as _state

ORIGINAL_DIR = _state.main.directory
_dangling = _state.dangling
_children = _state.children

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ORIGINAL_DIR",
    "AuthenticationString",
    "BaseProcess",
    "_MainProcess",
    "_ParentProcess",
    "_children",
    "_cleanup",
    "_dangling",
    "active_children",
    "current_process",
    "parent_process",
]

_CURRENT = {"_current_process": "current", "_parent_process": "parent", "_process_counter": "process_counter"}


def __getattr__(name: str) -> Any:
    if name in _CURRENT:
        return getattr(_state, _CURRENT[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
