"""The undocumented names that packages and the standard library take from `multiprocessing` are there. (What "
    "they do is tested elsewhere:
`tests/conformance`, `tests/dropin/packages`, `test_own_start_method.py`.) Not there: what torch replaces when its own `Pool` and
`SimpleQueue` are made, `Pool._setup_queues` and `SimpleQueue._make_methods`: there are no pipes in ours to replace."""

from __future__ import annotations

import importlib
from functools import reduce

import pytest

NAMES = {
    "concurrent.futures": "connection.wait queues.Queue._on_queue_feeder_error queues.Queue._reader "
    "queues.Queue._closed "
    "queues.Queue._ignore_epipe queues.Queue._terminate_broken queues.SimpleQueue._reader util.debug synchronize "
    "context.BaseContext process.BaseProcess queues.Queue.close queues.Queue.join_thread "
    "queues.Queue.cancel_join_thread",
    "logging": "process.current_process queues.Queue context.BaseContext",
    "loky, joblib": "context.BaseContext context._concrete_contexts context.assert_spawning context.get_spawning_popen "
    "context.set_spawning_popen process.BaseProcess process.ORIGINAL_DIR process.current_process process._children "
    "queues._sentinel queues.Full queues.Empty queues.Queue._feed queues.Queue._start_thread "
    "queues.Queue._finalize_join "
    "queues.Queue._finalize_close queues.Queue._reset queues.Queue._after_fork queues.Queue._rlock queues.Queue._wlock "
    "resource_tracker._resource_tracker resource_tracker.ensure_running resource_sharer.DupFd "
    "synchronize.SemLock._make_name "
    "synchronize.SemLock._rand util.Finalize util.spawnv_passfds util._args_from_interpreter_flags "
    "util.register_after_fork "
    "util.is_exiting util._logger util._log_to_stderr util.info util.debug util.sub_debug util.log_to_stderr "
    "util.get_logger "
    "connection.Connection pool.ThreadPool pool.Pool heap managers.SyncManager reduction.ForkingPickler",
    "torch": "context.BaseContext pool.worker pool.Pool._repopulate_pool queues.Queue "
    "reduction.ForkingPickler.register reduction.register reduction.DupFd resource_sharer "
    "resource_tracker.ResourceTracker.__del__ "
    "util.register_after_fork util.Finalize util.debug queues.Queue._reset connection.wait",
    "coverage": "process.BaseProcess._bootstrap spawn.get_preparation_data",
    "mpire, loguru, aiomultiprocess": "context.BaseContext context.ForkContext context.SpawnContext "
    "context.ForkServerContext "
    "sharedctypes.SynchronizedArray sharedctypes.SynchronizedBase synchronize.Lock synchronize.Event "
    "synchronize.Condition managers.BaseManager",
    "pebble": "process.BaseProcess synchronize.RLock util._exit_function connection.Connection context.SpawnContext",
    "dill": "reduction._reduce_socket",
    "uvicorn": "allow_connection_pickling context.SpawnProcess context.ForkProcess",
    "the test suite": "process._dangling process._cleanup util.get_temp_dir util._cleanup_tests "
    "util.SUBWARNING util.abstract_sockets_supported "
    "managers.SyncManager._number_of_objects managers.SyncManager._debug_info "
    "managers.SyncManager.join dummy.connection "
    "reduction.HAVE_SEND_HANDLE heap.BufferWrapper connection.families forkserver._forkserver "
    "popen_fork.Popen popen_spawn_posix.Popen "
    "popen_forkserver.Popen shared_memory._USE_POSIX shared_memory._SHM_NAME_PREFIX shared_memory._make_filename",
}


@pytest.mark.parametrize("package", NAMES)
def test_the_names_that_a_package_takes_are_there(package: str) -> None:
    missing = [name for name in NAMES[package].split() if not is_there(name)]
    assert not missing


def is_there(name: str) -> bool:
    module, *parts = name.split(".")
    package = importlib.import_module("procession")
    if hasattr(package, module) and not parts:
        return True
    try:
        found = importlib.import_module(f"procession.{module}")
        reduce(getattr, parts, found) if parts[:1] != ["connection"] or module != "dummy" else importlib.import_module(
            "procession.dummy.connection"
        )
    except (AttributeError, ImportError):
        return False
    return True
