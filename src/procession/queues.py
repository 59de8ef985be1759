"""Queues, under the standard library's module name."""

from queue import Empty, Full

from procession._channels.pickling import ForkingPickler as _ForkingPickler
from procession._channels.queue import JoinableQueue, Queue, SimpleQueue
from procession._channels.queue_feeding import sentinel as _sentinel
from procession.errors import ShutDown

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "ShutDown", "SimpleQueue", "_ForkingPickler", "_sentinel"]
