"""What managers and proxies say to each other: requests (ident, method, args, kwds), answers (kind, result).

Promises: the words are those of the standard library's module, so that either end may be its; classes travel under its names
(`multiprocessing.managers.Token` …), which are never imported for that.
Not here: the server (`server.py`), the proxies (`proxy.py`).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Protocol

from procession._channels.listener import Client, Listener
from procession._channels.pickling import ForkingPickler
from procession._channels.xml import XmlClient, XmlListener
from procession._runtime import state

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ERROR",
    "PROXY",
    "RETURN",
    "TRACEBACK",
    "UNSERIALIZABLE",
    "RemoteError",
    "Token",
    "ask",
    "dispatch",
    "listener_client",
    "send_message",
    "to_error",
]

RETURN, PROXY, ERROR = "#RETURN", "#PROXY", "#ERROR"
TRACEBACK, UNSERIALIZABLE = "#TRACEBACK", "#UNSERIALIZABLE"

# Names on the wire: both are 24 characters, so that one can stand for the other inside a pickle.
OUR_NAME = b"procession._managers.api"
WIRE_NAME = b"multiprocessing.managers"


def _as_list(view: Any) -> tuple[Any, ...]:
    return list, (list(view),)


_EMPTY: dict[Any, Any] = {}
for _view in (
    _EMPTY.keys(),
    _EMPTY.values(),
    _EMPTY.items(),
):  # they arrive as lists, as with the standard library's managers
    state.reducers.setdefault(type(_view), _as_list)

listener_client: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pickle": (Listener, Client),
    "xmlrpclib": (XmlListener, XmlClient),
}


class Peer(Protocol):
    """A connection, as far as it is needed here."""

    def send(self, obj: Any) -> None:
        """Send an object."""

    def recv(self) -> Any:
        """Receive an object."""


class RemoteError(Exception):
    """Something failed in the manager's process; `str()` shows the traceback that it had there."""

    def __str__(self) -> str:
        line = "-" * 75
        return f"\n{line}\n{self.args[0]}{line}"


class Token:
    """Where an object lives: its type, the server's address, its name there."""

    __slots__ = ("address", "id", "typeid")
    __module__ = "procession._managers.api"

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


def send_message(connection: Any, message: Any) -> None:
    """Send a message in which proxies and tokens may be, under the names that the standard library knows."""
    if not hasattr(connection, "send_bytes") or hasattr(connection, "sends_text"):
        connection.send(message)
        return
    buffer = io.BytesIO()
    ForkingPickler(buffer).dump(message)
    connection.send_bytes(buffer.getvalue().replace(OUR_NAME, WIRE_NAME))


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


def ask(connection: Any, ident: str | None, method: str | None, args: Any = (), kwds: Any = None) -> tuple[str, Any]:
    """Send one request and receive its answer."""
    send_message(connection, (ident, method, args, kwds or {}))
    kind, result = connection.recv()
    return kind, result


def dispatch(connection: Any, ident: str | None, method: str | None, args: Any = (), kwds: Any = None) -> Any:
    """The result of one request; raises what the answer says."""
    kind, result = ask(connection, ident, method, args, kwds)
    if kind == RETURN:
        return result
    try:
        raise to_error(kind, result)
    finally:
        del result  # an exception must not refer to the frame that refers to it
