"""Connections whose objects travel as XML-RPC instead of pickles: for managers with the serializer 'xmlrpclib'.

Promises: nothing that arrives is unpickled. What XML-RPC cannot say is an error of `send`; a tuple arrives as a list.
Not here: the sockets (`listener.py`).
"""

from __future__ import annotations

from procession._channels.listener import Listener

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

    from procession._channels.pipe import Connection

__all__ = ["XmlConnection", "XmlListener"]


class XmlConnection:
    """A connection that sends and receives objects as XML-RPC."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.fileno, self.close, self.poll = connection.fileno, connection.close, connection.poll
        self.send_bytes, self.recv_bytes = connection.send_bytes, connection.recv_bytes

    @staticmethod
    def encode(obj: Any) -> bytes:
        """An object as XML-RPC; TypeError or OverflowError if that has no word for it."""
        import xmlrpc.client  # noqa: PLC0415 - 30 ms that only managers with this serializer pay

        return xmlrpc.client.dumps((obj,), allow_none=True).encode()

    def send(self, obj: Any) -> None:
        """Send an object; nothing is sent if XML-RPC has no word for it."""
        self.send_bytes(self.encode(obj))

    def recv(self) -> Any:
        """Receive an object."""
        import xmlrpc.client  # noqa: PLC0415 - as above

        (obj,), _method = xmlrpc.client.loads(self.recv_bytes().decode())
        return obj

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


class XmlListener(Listener):
    """A listener whose connections are `XmlConnection`s."""

    def accept(self) -> Any:
        """The next connection."""
        return XmlConnection(super().accept())
