"""What managers and proxies say to each other: requests (ident, method, args, kwds), answers (kind, result).

    who asks                                   who answers
    (None, "create", (typeid, ...), {})        ("#RETURN", (ident, exposed))         a request to the server itself
    (None, "accept_connection", (name,), {})   ("#RETURN", GREETING)                 calls may follow on this connection
    (ident, method, args, kwds)                ("#RETURN", result)                   a call of an object's method
                                               ("#PROXY", (exposed, token))          the result stays there: make a proxy for it
                                               ("#ERROR", exception)                 what the method raised
                                               ("#TRACEBACK", text)                  what went wrong round the call
                                               ("#UNSERIALIZABLE", text)             the result cannot be pickled

What is ours alone is said only to an end that has shown that it is ours: a client knows the server by its GREETING (the standard
library's gives None), the server knows the client by these, and by shorter requests (ident, method, args):

    (None, "#hold", (mark, name, pid))         while this connection is open, this process lives and holds references
    (None, "#identify", (mark, name, pid, thread))     whose calls come on this connection
    (None, "#channel", (requests, replies))    the handles of two queues by which calls come from now on
    (None, "incref", (ident, mark, received))  the proxy was received; (None, "decref", (ident, mark, sent)): was sent so often

Promises: all else is as the standard library's module says it, so that either end may be its.
Not here: how our classes are called by the standard library (`stdlib_names.py`), the server (`server.py`), the proxies (`proxy.py`).
"""

from __future__ import annotations

from procession import _native
from procession._channels.pipe import Connection
from procession._managers import stdlib_names
from procession._runtime import state

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ERROR",
    "GREETING",
    "PICKLED",
    "PROXY",
    "RETURN",
    "TRACEBACK",
    "UNSERIALIZABLE",
    "VIEWS",
    "RemoteError",
    "Token",
    "dispatch",
    "encode",
    "send_message",
    "to_error",
]

RETURN, PROXY, ERROR = "#RETURN", "#PROXY", "#ERROR"
TRACEBACK, UNSERIALIZABLE = "#TRACEBACK", "#UNSERIALIZABLE"
PICKLED = "#PICKLED"  # ours alone: (PICKLED, bytes) stands for the message in those bytes
GREETING = "procession managers 1"  # with the server's mark and its arena's uuid behind it; the number changes when what is ours alone does

_EMPTY: dict[Any, Any] = {}
VIEWS = frozenset((type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items())))


def _as_list(view: Any) -> tuple[Any, ...]:
    return list, (list(view),)


for _view in VIEWS:  # they arrive as lists, as with the standard library's managers
    state.reducers.setdefault(_view, _as_list)


class RemoteError(Exception):
    """Something failed in the manager's process; `str()` shows the traceback that it had there."""

    def __str__(self) -> str:
        line = "-" * 75
        return f"\n{line}\n{self.args[0]}{line}"


class Token:
    """Where an object lives: its type, the server's address, its name there."""

    __slots__ = ("address", "id", "typeid")

    def __init__(self, typeid: str, address: Any, id: str) -> None:
        self.typeid: str = typeid
        self.address: Any = address
        self.id: str = id

    def __getstate__(self) -> tuple[str, Any, str]:
        return (self.typeid, self.address, self.id)

    def __setstate__(self, state: tuple[str, Any, str]) -> None:
        self.typeid, self.address, self.id = state

    def __repr__(self) -> str:
        return f"{type(self).__name__}(typeid={self.typeid!r}, address={self.address!r}, id={self.id!r})"


def encode(message: Any, to_ours: bool = False) -> bytes:
    """The bytes of a message, readable by the standard library's module unless it goes to an end of ours."""
    written = _native.dumps(message)
    if not to_ours and stdlib_names.PACKAGE in written:
        return stdlib_names.dumps(message)
    return written


def send_message(connection: Any, message: Any, to_ours: bool = False) -> None:
    """Send a message; nothing is sent if it cannot be pickled."""
    if isinstance(connection, Connection):
        connection.send_bytes(encode(message, to_ours))
    else:
        connection.send(message)


def to_error(kind: str, result: Any) -> BaseException:
    """The exception that an answer which is no result stands for."""
    if kind == ERROR:
        error: BaseException = result
        return error
    if kind in (TRACEBACK, UNSERIALIZABLE):
        if not isinstance(result, str):
            return TypeError(f"the manager answered {kind} with {result!r}, which is no text")
        return RemoteError(f"Unserializable message: {result}\n" if kind == UNSERIALIZABLE else result)
    return ValueError(f"Unrecognized message type {kind!r}")


def dispatch(connection: Any, ident: str | None, method: str | None, args: Any = (), kwds: Any = None) -> Any:
    """The result of one request; raises what the answer says."""
    send_message(connection, (ident, method, args, kwds or {}))
    kind, result = connection.recv()
    if kind == RETURN:
        return result
    try:
        raise to_error(kind, result)
    finally:
        del result  # an exception must not refer to the frame that refers to it
