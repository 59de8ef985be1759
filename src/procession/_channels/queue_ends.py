"""The two ends of a queue as objects that look like connections, for packages that reach for `queue._reader`.

Promises: what comes out is what `get` would give. An end can be given to `wait`.
Not here: queues (`queue`). A queue has no pipe; `fileno()` makes a descriptor when it is asked for.
"""

from __future__ import annotations

from procession import _native
from procession._channels.select import wait
from procession._os import descriptors

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer

__all__ = ["QueueEnd"]

PICKLED = 0  # PN_TAG_PICKLE of native/queue.h


class QueueEnd:
    """The end of a queue to read from, or to write to."""

    def __init__(self, shared: _native.Queue, reads: bool) -> None:
        self._shared = shared
        self._watcher: _native.Watcher | None = None
        self.readable = reads
        self.writable = not reads
        self.closed = False

    def __reduce__(self) -> tuple[type[QueueEnd], tuple[_native.Queue, bool]]:
        return QueueEnd, (self._shared, self.readable)

    @property
    def shared(self) -> _native.Queue:
        """The queue."""
        return self._shared

    def recv(self) -> Any:
        """The next message; waits for one."""
        return self._open().get()

    def recv_bytes(self) -> bytes:
        """A pickle of the next message; waits for one."""
        return _native.dumps(self._open().get())

    def send(self, obj: Any) -> None:
        """Put a message."""
        self._open().put(obj)

    def send_bytes(self, pickled: ReadableBuffer) -> None:
        """Put a message that is pickled already."""
        self._open().put_bytes(pickled, PICKLED)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Is there a message? Waits for one at most `timeout` seconds (None: for ever)."""
        return bool(wait([self._open()], timeout))

    def fileno(self) -> int:
        """A descriptor that can be read once the queue is not empty. It stays so until you ask again, after the queue was emptied."""
        shared = self._open()
        if self._watcher is not None and shared.empty() and descriptors.wait_readable((self._watcher.fileno(),), 0):
            self._drop_watcher()
        if self._watcher is None:
            self._watcher = _native.Watcher([shared])
        return self._watcher.fileno()

    def close(self) -> None:
        """Stop using this end; the queue is not closed. Idempotent."""
        self.closed = True
        self._drop_watcher()

    def _drop_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def _open(self) -> _native.Queue:
        if self.closed:
            raise OSError("handle is closed")
        return self._shared

    def _watchable(self) -> _native.Queue:
        return self._open()
