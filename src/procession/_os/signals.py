"""The signals that the package sends, sets and names.

Not here: sending them to a process (`pidfd.py`).
"""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["INTERRUPT", "KILL", "TERMINATE", "as_server", "name_of", "restore"]

INTERRUPT = int(signal.SIGINT)
TERMINATE = int(signal.SIGTERM)
KILL = int(signal.SIGKILL)


def name_of(signum: int) -> str | None:
    """`SIGTERM` for 15; None if the system has no name for it."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return None


def as_server() -> dict[int, Any]:
    """Let a server survive Ctrl-C, and reap its children itself: what was set before, for `restore` in its children."""
    return {
        number: signal.signal(number, wanted)
        for number, wanted in ((signal.SIGINT, signal.SIG_IGN), (signal.SIGCHLD, signal.SIG_DFL))
    }


def restore(before: dict[int, Any]) -> None:
    """Set the handlers that `as_server` replaced."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
