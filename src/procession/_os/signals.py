"""The signals that the package sends, sets and names.

The numbers are the same on every Linux; the module `signal` is only loaded by those who need its names and handlers.
Not here: sending them to a process (`pidfd.py`).
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["INTERRUPT", "KILL", "TERMINATE", "as_server", "name_of", "restore", "shielded"]

INTERRUPT, KILL, TERMINATE = 2, 9, 15


def name_of(signum: int) -> str | None:
    """`SIGTERM` for 15; None if the system has no name for it."""
    import signal  # noqa: PLC0415 - 1 ms that a child does not need

    try:
        return signal.Signals(signum).name
    except ValueError:
        return None


def shielded() -> set[int]:
    """What a server has to begin with blocked, lest Ctrl-C ends it before it can say `as_server`: this thread's mask and SIGINT."""
    import signal  # noqa: PLC0415 - as above

    return {*signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.SIGINT}


def as_server() -> dict[int, Any]:
    """Let a server survive Ctrl-C, and reap its children itself: what was set before, for `restore` in its children."""
    import signal  # noqa: PLC0415 - as above

    before: dict[int, Any] = {
        number: signal.signal(number, wanted)
        for number, wanted in ((signal.SIGINT, signal.SIG_IGN), (signal.SIGCHLD, signal.SIG_DFL))
    }
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return before


def restore(before: dict[int, Any]) -> None:
    """Set the handlers that `as_server` replaced."""
    import signal  # noqa: PLC0415 - as above

    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
