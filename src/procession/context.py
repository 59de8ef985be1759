"""Contexts and the exceptions of the package, under the standard library's module name."""

from procession._channels.pickling import assert_spawning, get_spawning_popen, set_spawning_popen
from procession._context import (
    BaseContext,
    DefaultContext,
    ForkContext,
    ForkProcess,
    ForkServerContext,
    ForkServerProcess,
    Process,
    SpawnContext,
    SpawnProcess,
    get_context,
)
from procession._context import concrete_contexts as _concrete_contexts
from procession._context import default_context as _default_context
from procession._runtime import state as _state
from procession.errors import AuthenticationError, BufferTooShort, ProcessError, TimeoutError  # noqa: A004

_tls = _state.spawning

__all__ = [
    "AuthenticationError",
    "BaseContext",
    "BufferTooShort",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "TimeoutError",
    "_concrete_contexts",
    "_default_context",
    "assert_spawning",
    "get_context",
    "get_spawning_popen",
    "set_spawning_popen",
]
