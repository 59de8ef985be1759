"""The workloads, a file for each subject. `load()` imports them all, which enters them into the catalogue.

Importing this package imports none of them: a process that a workload starts pays for its own subject only.
"""

from __future__ import annotations

import importlib

__all__ = ["load"]

SUBJECTS = ("synchronisation", "messages", "payloads", "pools", "processes", "managers", "connections")


def load() -> None:
    """Enter all workloads into the catalogue."""
    for subject in SUBJECTS:
        importlib.import_module(f"{__name__}.{subject}")
