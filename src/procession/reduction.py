"""Pickling and the passing of descriptors, under the standard library's module name."""

from procession._channels.handles import recv_handle, recvfds, send_handle, sendfds
from procession._channels.pickling import AbstractReducer, ForkingPickler, dump, register
from procession._channels.sharer import duplicate as DupFd  # noqa: N812 - the standard name
from procession._channels.sharer import rebuild_socket as _rebuild_socket
from procession._channels.sharer import reduce_socket as _reduce_socket

HAVE_SEND_HANDLE = True
ACKNOWLEDGE = False  # who sends descriptors need not be told that they have come

__all__ = [
    "ACKNOWLEDGE",
    "HAVE_SEND_HANDLE",
    "AbstractReducer",
    "DupFd",
    "ForkingPickler",
    "_rebuild_socket",
    "_reduce_socket",
    "dump",
    "recv_handle",
    "recvfds",
    "register",
    "send_handle",
    "sendfds",
]
