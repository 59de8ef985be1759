"""Event between processes: a flag that can be waited for.

Promises: `is_set` is one load. A wait that began before `set()` ends with it, even when `clear()` follows at once.
Not here: the type itself (native/face/event_type.c), what `repr` says and how it travels (`plain.py`).
"""

from __future__ import annotations

from procession._native import Event
from procession._primitives import plain  # noqa: F401 - gives the types their repr and their pickling

__all__ = ["Event"]
