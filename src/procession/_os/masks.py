"""Signals in threads of the package: they are the main thread's affair.

Not here: which signals the package sends (`signals.py`).
"""

from __future__ import annotations

__all__ = ["block_signals"]


def block_signals() -> None:
    """Let this thread get no signal, so that each interrupts the main thread, which runs the handlers."""
    import signal  # noqa: PLC0415 - 3 ms, paid by the thread that needs it

    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
