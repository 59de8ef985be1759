"""Connections, listeners and waiting, under the standard library's module name."""

from procession._channels.auth import CHALLENGE, FAILURE, WELCOME, answer_challenge, deliver_challenge
from procession._channels.auth import create_response as _create_response
from procession._channels.auth import verify_response as _verify_challenge
from procession._channels.listener import (
    Client,
    Listener,
    SocketClient,
    SocketListener,
    address_type,
    arbitrary_address,
    default_family,
    families,
)
from procession._channels.pipe import Connection, Pipe, rebuild_connection, reduce_connection
from procession._channels.pipe import Connection as _ConnectionBase
from procession._channels.select import wait
from procession.errors import AuthenticationError, BufferTooShort

_CHALLENGE, _WELCOME, _FAILURE = CHALLENGE, WELCOME, FAILURE  # their names from Python 3.12 on

__all__ = [
    "CHALLENGE",
    "FAILURE",
    "WELCOME",
    "AuthenticationError",
    "BufferTooShort",
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "SocketClient",
    "SocketListener",
    "_ConnectionBase",
    "_create_response",
    "_verify_challenge",
    "address_type",
    "answer_challenge",
    "arbitrary_address",
    "default_family",
    "deliver_challenge",
    "families",
    "rebuild_connection",
    "reduce_connection",
    "wait",
]
