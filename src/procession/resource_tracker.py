"""Names of system resources, under the standard library's module name. No process tracks them: nearly all that is shared is in the arena,
which the kernel frees. What is registered here is only remembered in this process, for those who ask."""

from procession._runtime import state as _state

__all__ = ["ensure_running", "getfd", "register", "unregister"]

LONGEST = 512  # bytes of a request, as in the standard library


class ResourceTracker:
    """What was registered in this process."""

    _pid: int | None = None
    _fd: int | None = None

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def getfd(self) -> int | None:
        """None: there is no other process to write to."""
        return self._fd

    def ensure_running(self) -> None:
        """Nothing: there is no process to start."""

    def register(self, name: str, rtype: str) -> None:
        """Remember a name; ValueError if it is too long."""
        if len(f"REGISTER:{name}:{rtype}\n".encode()) > LONGEST:
            raise ValueError("name too long")
        self._known.add((rtype, name))

    def unregister(self, name: str, rtype: str) -> None:
        """Forget a name; one that is not known is no error."""
        self._known.discard((rtype, name))

    def _check_alive(self) -> bool:
        return True

    def _stop(self) -> None:
        self._known.clear()

    def __del__(self) -> None:
        """Nothing: it holds nothing of the system."""


_resource_tracker: ResourceTracker = _state.extra.setdefault("resource_tracker", ResourceTracker())
ensure_running = _resource_tracker.ensure_running
register = _resource_tracker.register
unregister = _resource_tracker.unregister
getfd = _resource_tracker.getfd
