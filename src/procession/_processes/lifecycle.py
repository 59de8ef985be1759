"""The life of a process object: its states, what each call does in each of them, and what is said where it may not be made.

Promises: a call that is not allowed changes nothing. Where the standard library has an exception for it, it is of that class.
Not here: the life of the process itself as the system sees it (`reaper.py`).
"""

from __future__ import annotations

from procession.errors import InternalError

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from enum import Enum
else:
    from procession._processes.states import States as Enum

__all__ = ["EVENTS", "NEXT", "REFUSALS", "Lifecycle", "after"]


class Lifecycle(Enum):
    """Where a process object is in its life; the values are what `repr` shows."""

    INITIAL = "initial"
    STARTED = "started"
    STOPPED = "stopped"
    CLOSED = "closed"


_INITIAL, _STARTED, _STOPPED, _CLOSED = Lifecycle

EVENTS = {
    "start": "start()",
    "end": "its end was noticed",
    "join": "join()",
    "signal": "terminate(), kill(), interrupt()",
    "watch": "sentinel",
    "ask": "is_alive(), exitcode, pid",
    "close": "close()",
}

NEXT = {
    (_INITIAL, "start"): _STARTED,
    (_INITIAL, "ask"): _INITIAL,
    (_INITIAL, "close"): _CLOSED,
    (_STARTED, "end"): _STOPPED,
    (_STARTED, "join"): _STARTED,
    (_STARTED, "signal"): _STARTED,
    (_STARTED, "watch"): _STARTED,
    (_STARTED, "ask"): _STARTED,
    (_STOPPED, "join"): _STOPPED,
    (_STOPPED, "signal"): _STOPPED,  # too late to do anything, and no mistake of the caller's
    (_STOPPED, "watch"): _STOPPED,
    (_STOPPED, "ask"): _STOPPED,
    (_STOPPED, "close"): _CLOSED,
    (_CLOSED, "close"): _CLOSED,
}

_TWICE = (AssertionError, "cannot start a process twice: make a new Process object for each start")
_GONE = (ValueError, "process object is closed")
REFUSALS: dict[tuple[Lifecycle, str], tuple[type[Exception], str]] = {
    (_INITIAL, "end"): (
        InternalError,
        "a process that was not started cannot end: this is a bug of procession, please report it",
    ),
    (_INITIAL, "join"): (AssertionError, "can only join a started process: call start() first"),
    (_INITIAL, "signal"): (ValueError, "process not started: there is nothing to send a signal to before start()"),
    (_INITIAL, "watch"): (ValueError, "process not started: it has a sentinel after start()"),
    (_STARTED, "start"): _TWICE,
    (_STARTED, "close"): (
        ValueError,
        "cannot close a process while it is still running: call join() first, or terminate() and join()",
    ),
    (_STOPPED, "start"): _TWICE,
    (_STOPPED, "end"): (InternalError, "a process cannot end twice: this is a bug of procession, please report it"),
    (_CLOSED, "start"): _GONE,
    (_CLOSED, "end"): (InternalError, "a closed process cannot end: this is a bug of procession, please report it"),
    (_CLOSED, "join"): _GONE,
    (_CLOSED, "signal"): _GONE,
    (_CLOSED, "watch"): _GONE,
    (_CLOSED, "ask"): _GONE,
}


def after(now: Lifecycle, event: str) -> Lifecycle:
    """The state that follows `now` at `event`; raises what `REFUSALS` says where the event is not allowed."""
    following = NEXT.get((now, event))
    if following is None:
        kind, sentence = REFUSALS[now, event]
        raise kind(sentence)
    return following
