"""Named shared memory, under the standard library's module name."""

import sys as _sys

import procession._context  # noqa: F401 - the end of the process is seen to, whatever was imported first
from procession._memory.segment import NAME_PREFIX as _SHM_NAME_PREFIX
from procession._memory.segment import NEW as _O_CREX
from procession._memory.segment import SharedMemory
from procession._memory.segment import make_filename as _make_filename
from procession._memory.shareable_list import ShareableList
from procession._runtime import state as _state

__all__ = ["ShareableList", "SharedMemory"]

_USE_POSIX = True
_SHM_SAFE_NAME_LENGTH = len(_make_filename())
_PRIVATE = (_O_CREX, _SHM_NAME_PREFIX, _SHM_SAFE_NAME_LENGTH, _USE_POSIX)  # names that packages and tests read

_state.extra["shared_memory"] = _sys.modules[__name__]  # whoever replaces `_make_filename` is heard
