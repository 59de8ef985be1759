"""A channel: two queues in shared memory through which a client of the same program calls a server, eight times as fast as by a socket.

The client makes the queues and tells their handles by its connection; from then on requests come by the one and answers go by the other.
After SILENCE seconds without a request the server shuts the first one down: what was put before is still answered, and the client,
whose `put` fails, goes back to its connection.
Promises: a request is answered once. A client that dies is noticed after SILENCE seconds, at its connection.
Not here: the client's end (`session.py`), what requests mean (`server.py`).
"""

from __future__ import annotations

import queue
import traceback

from procession._channels.queue import SharedQueue
from procession._managers.protocol import PICKLED, TRACEBACK, UNSERIALIZABLE, encode
from procession.errors import ShutDown

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Channel"]

SILENCE = 1.0  # seconds


class Channel:
    """The server's end of a channel; StaleHandle if these are not handles of queues of this program."""

    def __init__(self, requests: tuple[int, int], replies: tuple[int, int]) -> None:
        self._requests = SharedQueue.attach(requests)
        self._replies = SharedQueue.attach(replies)
        self._unreadable = -1  # how many requests had been taken when one could not be unpickled

    def serve(self, answer: Callable[[Any], tuple[str, Any]]) -> None:
        """Answer requests until the client has been silent for a while."""
        get = self._requests.get
        while True:
            try:
                request = get(True, SILENCE)
            except queue.Empty:
                self._requests.shut_down()
            except ShutDown:
                return
            except Exception:  # the request could not be unpickled: the client is told, and may go on
                taken = self._requests.counts()[1]
                if taken == self._unreadable:
                    raise  # nothing was taken since the last time: something worse is wrong
                self._unreadable = taken
                self._replies.put_plain((TRACEBACK, traceback.format_exc()))
            else:
                self._reply(answer(request))

    def _reply(self, message: tuple[str, Any]) -> None:
        if self._replies.put_plain(message):
            return
        try:
            written = encode(message, to_ours=True)
        except Exception:  # noqa: BLE001 - told to the client
            written = encode((UNSERIALIZABLE, traceback.format_exc()))
        self._replies.put_plain((PICKLED, written))
