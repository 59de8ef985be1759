"""What packages take from the standard library's `multiprocessing.util`."""

from procession import _runtime
from procession._channels.temp_dir import get_temp_dir
from procession._os.closing import close_all_except as close_all_fds_except
from procession._os.creation import spawn_passing as spawnv_passfds
from procession._os.descriptors import abstract_sockets_supported
from procession._os.descriptors import is_abstract as is_abstract_socket_namespace
from procession._processes.exit import end_process as _exit_function
from procession._processes.exit import finalize as _run_finalizers
from procession._processes.exit import flush_standard_streams as _flush_std_streams
from procession._processes.exit import is_exiting
from procession._processes.fork_aware import ForkAwareLocal, ForkAwareThreadLock
from procession._processes.interpreter import options as _args_from_interpreter_flags
from procession._processes.logs import (
    DEBUG,
    INFO,
    NOTSET,
    SUBDEBUG,
    SUBWARNING,
    WARNING,
    debug,
    get_logger,
    info,
    log_to_stderr,
    sub_debug,
    sub_warning,
    warn,
)
from procession._runtime import Finalizer as Finalize
from procession._runtime import register_after_fork, state

__all__ = [
    "DEBUG",
    "INFO",
    "NOTSET",
    "SUBDEBUG",
    "SUBWARNING",
    "WARNING",
    "Finalize",
    "ForkAwareLocal",
    "ForkAwareThreadLock",
    "_args_from_interpreter_flags",
    "_exit_function",
    "_flush_std_streams",
    "_run_finalizers",
    "abstract_sockets_supported",
    "close_all_fds_except",
    "debug",
    "get_logger",
    "get_temp_dir",
    "info",
    "is_abstract_socket_namespace",
    "is_exiting",
    "log_to_stderr",
    "register_after_fork",
    "spawnv_passfds",
    "sub_debug",
    "sub_warning",
    "warn",
]

LOGGER_NAME = "multiprocessing"
DEFAULT_LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"
_finalizer_registry = state.finalizers
_finalizer_counter = state.finalizer_counter
_afterfork_registry = state.after_fork
_STATE = {"_logger": "logger", "_log_to_stderr": "log_to_stderr", "_exiting": "exiting"}


def __getattr__(name: str) -> object:
    if name in _STATE:
        return getattr(state, _STATE[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _run_after_forkers() -> None:
    """Run what was registered for forked children."""
    _runtime.run_after_forkers()


def _cleanup_tests() -> None:
    """End what this package keeps running between uses: the fork server."""
    if state.forkserver is not None:
        state.forkserver.stop()
