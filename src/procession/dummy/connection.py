"""Connections between threads, under the standard library's module name."""

from procession._channels.thread_pipe import ThreadClient as Client
from procession._channels.thread_pipe import ThreadConnection as Connection
from procession._channels.thread_pipe import ThreadListener as Listener
from procession._channels.thread_pipe import thread_pipe as Pipe  # noqa: N812

families: list[None] = [None]

__all__ = ["Client", "Connection", "Listener", "Pipe", "families"]
