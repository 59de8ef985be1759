"""`SharedMemoryManager`: blocks of named shared memory that live as long as a manager's server.

Promises: when the server is shut down, ends or is killed, the blocks made through it are removed. A block whose server could not take
charge of it is removed at once. Requests are those of the standard library's, so that either end may be its.
Not here: the blocks (`_memory`).
"""

from __future__ import annotations

from procession._managers.base_manager import SHUTDOWN, STARTED, BaseManager
from procession._managers.server import Server
from procession._memory import ledger, segment, shareable_list
from procession._memory.leftovers import SEGMENTS
from procession._os import segments
from procession._runtime import Finalizer
from procession.errors import ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from procession._managers.registry import Entry

__all__ = ["SharedMemoryManager", "SharedMemoryServer"]


class SharedMemoryServer(Server):
    """A server that is in charge of blocks of shared memory, too."""

    public: tuple[str, ...] = (*Server.public, "track_segment", "release_segment", "list_segments")

    def __init__(self, registry: dict[str, Entry], address: Any, authkey: bytes, serializer: str) -> None:
        super().__init__(registry, address, authkey, serializer)
        self._segments: dict[str, str] = {}  # name -> which file

    def serve_forever(self) -> None:
        """Serve until a client asks to shut down; then remove the blocks and raise SystemExit."""
        try:
            super().serve_forever()
        finally:
            self._remove_segments()

    def track_segment(self, connection: Any, name: str) -> None:
        """Take charge of a block. FileNotFoundError if there is none of this name."""
        identity = segments.identity(segments.path_of(name))
        ledger.of_program().add(SEGMENTS, name, identity)  # should this server be killed, its program's end removes it
        with self.mutex:
            self._segments[name] = identity

    def release_segment(self, connection: Any, name: str) -> None:
        """Remove a block. ValueError if this server is not in charge of it."""
        with self.mutex:
            identity = self._segments.pop(name, None)
        if identity is None:
            raise ValueError(f"this server is not in charge of a segment called {name!r}")
        _remove(name, identity)

    def list_segments(self, connection: Any) -> list[str]:
        """The names of the blocks in its charge, oldest first."""
        with self.mutex:
            return list(self._segments)

    def shutdown(self, connection: Any) -> None:
        """End the server; its blocks are gone when the client is told."""
        self._remove_segments()
        super().shutdown(connection)

    def _remove_segments(self) -> None:
        with self.mutex:
            held, self._segments = self._segments, {}
        for name, identity in held.items():
            _remove(name, identity)


class SharedMemoryManager(BaseManager):
    """A manager of blocks of shared memory: they are removed when it shuts down, or when the process that started it ends.

    Blocks are made in this process and attached to directly: only their names go through the server.
    """

    _Server = SharedMemoryServer

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self._made: dict[str, str] = {}

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start a server process, which calls `initializer(*initargs)` first. ProcessError if it is started already."""
        super().start(initializer, initargs)
        self.shutdown: Any = Finalizer(self, _shut_down, args=(self.shutdown, self._made), exitpriority=0)

    def SharedMemory(self, size: int) -> segment.SharedMemory:  # noqa: N802 - the documented name
        """A new block of `size` bytes. ValueError if there is no server yet."""
        self._check_started()
        block = segment.SharedMemory(create=True, size=size)
        self._entrust(block)
        return block

    def ShareableList(self, sequence: Iterable[Any]) -> shareable_list.ShareableList:  # noqa: N802 - the documented name
        """A new list, in a block of its own. ValueError if there is no server yet."""
        self._check_started()
        made = shareable_list.ShareableList(sequence)
        self._entrust(made.shm)
        return made

    def _check_started(self) -> None:
        if self._state.value == SHUTDOWN:
            raise ProcessError("Manager has shut down")
        if self._state.value != STARTED:
            raise ValueError(
                "the manager has no server yet: call start() or connect() first, or use it in a with statement"
            )

    def _entrust(self, block: segment.SharedMemory) -> None:
        """Put the server in charge of a block; remove it if that fails."""
        name, identity = block.name, segments.identity(segments.path_of(block.name))
        try:
            self._request("track_segment", name)
        except BaseException:
            block.close()
            block.unlink()
            raise
        self._made[name] = identity
        if self._process is None:  # a server of another program sees to it now
            ledger.of_program().hand_over(SEGMENTS, name)


def _shut_down(end_server: Callable[[], object], made: dict[str, str]) -> None:
    """End the server; remove what it could not, because it was killed."""
    end_server()
    for name, identity in made.items():
        _remove(name, identity)


def _remove(name: str, identity: str) -> None:
    """Remove a block, unless it has gone already."""
    try:
        segments.remove(name, identity)
    except FileNotFoundError:
        pass  # whoever had it has unlinked it
    ledger.of_program().discard(SEGMENTS, name, identity)
