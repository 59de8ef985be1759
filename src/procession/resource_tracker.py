"""What is to be removed when the program ends, under the standard library's module name. Of this package only named shared memory has to
be: everything else is in the arena, which the kernel frees. So the types here are shared_memory, and dummy and noop for tests; a
program that has no named shared memory has no process that tracks it."""

from __future__ import annotations

from procession._memory.tracker import CLEANUP as _CLEANUP_FUNCS
from procession._memory.tracker import ProgramTracker, ResourceTracker
from procession._runtime import state as _state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ensure_running", "getfd", "register", "unregister"]

_ALSO = (_CLEANUP_FUNCS, ResourceTracker)  # what packages and tests read
_resource_tracker: ProgramTracker = _state.extra.setdefault("resource_tracker", ProgramTracker())
ensure_running: Final = _resource_tracker.ensure_running
register: Final = _resource_tracker.register
unregister: Final = _resource_tracker.unregister
getfd: Final = _resource_tracker.getfd
