"""Pickling and the passing of descriptors, under the standard library's module name."""

from procession._channels.pickling import AbstractReducer, ForkingPickler, dump, register
from procession._channels.pipe import recv_handle, send_handle
from procession._channels.sharer import duplicate as DupFd  # noqa: N812 - the standard name

HAVE_SEND_HANDLE = True

__all__ = [
    "HAVE_SEND_HANDLE",
    "AbstractReducer",
    "DupFd",
    "ForkingPickler",
    "dump",
    "recv_handle",
    "register",
    "send_handle",
]
