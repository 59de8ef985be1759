"""Descriptors that can be pickled, under the standard library's module name."""

from procession._channels.sharer import DupFd, DupSocket, stop
from procession._runtime import state as _state

_resource_sharer = _state.sharer

__all__ = ["DupFd", "DupSocket", "stop"]
