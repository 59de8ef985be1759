"""How a failure in a worker reaches the one who waits: the exception, with the traceback that it had over there.

Promises: whatever a task raises arrives as an exception; what cannot be pickled, or not be rebuilt, arrives as `MaybeEncodingError`.
Not here: the death of a worker (`errors.WorkerDied`).
"""

from __future__ import annotations

import pickle

from procession._channels.pickling import ForkingPickler
from procession._pools.parcels import pack, unpack
from procession.errors import ResultsDiscarded

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "MaybeEncodingError",
    "RemoteTraceback",
    "discarded",
    "open_value",
    "pack_failure",
    "pack_value",
    "swallowed",
    "unpack_failure",
]


class MaybeEncodingError(Exception):
    """A result (or an exception) of a task cannot be pickled or rebuilt: `exc` says why, `value` what it was; both as text."""

    def __init__(self, exc: object, value: object) -> None:
        self.exc: str = repr(exc)
        self.value: str = _repr(value)
        super().__init__(self.exc, self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_encoding_error, (self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def _rebuild_encoding_error(exc: str, value: str) -> MaybeEncodingError:
    made = MaybeEncodingError.__new__(MaybeEncodingError, exc, value)
    made.exc, made.value = exc, value
    return made


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - told in the text
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


class RemoteTraceback(Exception):
    """The traceback that an exception had in the worker, as text: the `__cause__` of the exception here."""

    def __init__(self, tb: str) -> None:
        super().__init__(tb)
        self.tb = tb

    def __str__(self) -> str:
        return self.tb


def pack_value(value: Any) -> tuple[bool, Any]:
    """(True, the value as a parcel), or (False, a packed failure that says why it cannot be)."""
    try:
        return True, pack(value)
    except MemoryError:
        raise  # there may be room for less
    except Exception as error:  # noqa: BLE001 - whatever pickling raises goes to the one who waits for the value
        return False, pack_failure(MaybeEncodingError(error, value))


def pack_failure(error: BaseException) -> bytes:
    """An exception and its traceback, pickled, such that it can be unpickled."""
    import traceback  # noqa: PLC0415 - only when something failed

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        packed = bytes(ForkingPickler.dumps((error, text)))
        pickle.loads(packed)
    except BaseException as why:  # noqa: BLE001 - told to the one who waits
        packed = bytes(ForkingPickler.dumps((MaybeEncodingError(why, error), text)))
    return packed


def open_value(packed: Any) -> tuple[bool, Any]:
    """(True, the value), or (False, why it cannot be rebuilt here)."""
    try:
        return True, unpack(packed)
    except KeyboardInterrupt:
        raise  # of this process: the answer is opened again later
    except BaseException as error:  # noqa: BLE001 - told to the one who waits for this result
        return False, error


def unpack_failure(packed: bytes) -> BaseException:
    """The exception, with the remote traceback as its cause."""
    error: BaseException
    try:
        error, text = pickle.loads(packed)
    except KeyboardInterrupt:
        raise  # of this process: the answer is opened again later
    except BaseException as why:  # noqa: BLE001 - it could be rebuilt there, but not here
        return MaybeEncodingError(why, f"an exception of {len(packed)} bytes")
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    return error


def discarded() -> ResultsDiscarded:
    """What becomes of tasks whose pool is terminated."""
    return ResultsDiscarded(
        "the pool was terminated (or left its `with` block) before this task had a result: call close() and join() before, "
        "or get() the result inside the block"
    )


def swallowed() -> ResultsDiscarded:
    """What becomes of a task whose answer was lost between the queue and the books."""
    return ResultsDiscarded(
        "the result of this task came while the thread that read it was interrupted (Ctrl-C, or an exception in a signal handler), "
        "and was lost: run the task again if it may run twice"
    )
