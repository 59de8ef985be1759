"""The process that waits for a program's end, and removes the segments that the program has left behind.

Promises: it acts when no process of the program is left, never before. It says on stderr what the program has forgotten, and ends with
1 then, with 0 if there was nothing. It imports next to nothing.
Not here: starting it (`ledger.py`), what is removed (`leftovers.py`).
"""

from __future__ import annotations

import os
import sys
import warnings

from procession._memory import leftovers
from procession._os import ledgers

__all__ = ["main"]

ADVICE = {
    leftovers.SEGMENTS: ": whoever creates one calls unlink() when nobody needs it any more, or creates it with track=False"
}


def main() -> int:
    """The life of a keeper; its arguments are a ledger's path and two descriptors: the lifeline, and a mark that is only held."""
    ledger, lifeline = sys.argv[-3], int(sys.argv[-2])
    os.chdir("/")  # hold up no unmounting
    ledgers.wait_for_end(lifeline)
    left = leftovers.remove_all(ledger)
    for kind, names in left.items():
        _say(
            f"There appear to be {len(names)} leaked {kind} objects to clean up at shutdown: {_listed(names)}{ADVICE.get(kind, '')}"
        )
        for name, error in names.items():
            if error is not None:
                _say(f"{'/' + name!r}: {error}")
    return 1 if left else 0


def _listed(names: dict[str, OSError | None]) -> str:
    return "{" + ", ".join(repr("/" + name) for name in sorted(names)) + "}"


def _say(text: str) -> None:
    text = f"resource_tracker: {text}"
    try:
        warnings.warn(text, stacklevel=3)
    except UserWarning:  # the program makes errors of its warnings, and there is nobody here to catch one
        print(text, file=sys.stderr)  # noqa: T201 - a keeper has no other way
