"""Connecting to a manager's server, with a deadline for the handshake.

Promises: whoever listens at the address, the caller has a connection whose other end knows the key, or an exception, within PATIENCE
seconds from when the connection is made. (How long that takes is the system's affair.)
Not here: the handshake itself (`_channels.auth`), what is said afterwards (`protocol.py`).
"""

from __future__ import annotations

import os
import socket

from procession import errors
from procession._channels import auth
from procession._channels.listener import Listener, SocketClient
from procession._channels.wire import Frames
from procession._channels.xml import XmlConnection, XmlListener
from procession._managers.protocol import RETURN, send_message

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._channels.pipe import Connection

__all__ = ["Client", "XmlClient", "ask_to_shut_down", "listener_client"]

PATIENCE = 20.0  # seconds: a loaded machine may take several for a fresh server


def Client(address: Any, family: str | None = None, authkey: bytes | None = None) -> Connection:  # noqa: N802
    """A connection to the server at `address`; `family` is inferred from it.

    Raises AuthenticationError if either end does not accept the other's proof, TimeoutError if the other end does not answer, OSError if
    nobody listens there.
    """
    connection = SocketClient(address)
    try:
        if authkey is not None:
            _prove(connection, address, authkey, PATIENCE)
    except BaseException:
        connection.close()
        raise
    return connection


def _prove(connection: Connection, address: Any, authkey: bytes, patience: float) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        try:
            frames = Frames(sock, patience)
            auth.prove_client(frames, authkey, frames.write)
        except TimeoutError as error:
            raise errors.TimeoutError(
                f"who listens at {address!r} did not finish the handshake within {patience:g} s: is it a manager?"
            ) from error
        sock.settimeout(None)  # a property of the open file, which the connection shares


def XmlClient(address: Any, family: str | None = None, authkey: bytes | None = None) -> XmlConnection:  # noqa: N802
    """As `Client`, for the serializer 'xmlrpclib'."""
    return XmlConnection(Client(address, family, authkey))


listener_client: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pickle": (Listener, Client),
    "xmlrpclib": (XmlListener, XmlClient),
}


def ask_to_shut_down(address: Any, authkey: bytes, client: Callable[..., Any], patience: float) -> bool:
    """Ask a server to end; did it say that it will? At most `patience` seconds for each step, whatever it does."""
    try:
        with SocketClient(address) as connection:
            _prove(connection, address, authkey, patience)
            asking: Any = XmlConnection(connection) if client is XmlClient else connection
            send_message(asking, (None, "shutdown", (), {}))
            return connection.poll(patience) and asking.recv()[0] == RETURN
    except (OSError, EOFError, errors.ProcessError):
        return False  # it does not listen any more, or to us
