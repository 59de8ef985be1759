"""A private directory for this process's sockets and files.

Not here: when it is removed (`_processes.exit`).
"""

from __future__ import annotations

__all__ = ["make_private_directory", "remove_directory"]


def make_private_directory() -> str:
    """The path of a new directory that only this user may enter."""
    import tempfile  # noqa: PLC0415 - 5 ms, and most programs need no directory

    return tempfile.mkdtemp(prefix="pymp-")


def remove_directory(path: str) -> None:
    """Remove a directory with all that is in it; what is gone already is no error."""
    import shutil  # noqa: PLC0415 - as above

    shutil.rmtree(path, ignore_errors=True)
