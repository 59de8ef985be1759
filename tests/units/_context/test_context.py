"""Contexts: start methods are chosen once, wrong ones are refused, and the API is all there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import procession as mp

DOCUMENTED = """Array AuthenticationError Barrier BoundedSemaphore BufferTooShort Condition Event JoinableQueue Lock Manager Pipe Pool
Process ProcessError Queue RLock RawArray RawValue Semaphore SimpleQueue TimeoutError Value active_children
allow_connection_pickling cpu_count current_process freeze_support get_all_start_methods get_context get_logger get_start_method
log_to_stderr parent_process reducer set_executable set_forkserver_preload set_start_method"""


def test_every_documented_name_is_there_and_in_all() -> None:
    assert set(DOCUMENTED.split()) <= set(mp.__all__)
    assert [name for name in mp.__all__ if not hasattr(mp, name)] == []


def test_a_start_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot find context for 'thread': use one of fork, spawn, forkserver"):
        mp.get_context("thread")
    with pytest.raises(ValueError, match="cannot set start method of concrete context"):
        mp.get_context("spawn").set_start_method("fork")


def test_the_start_method_is_chosen_once() -> None:
    code = (
        "import procession as mp\n"
        "assert mp.get_start_method(allow_none=True) is None\n"
        "mp.set_start_method('spawn')\n"
        "try: mp.set_start_method('fork')\n"
        "except RuntimeError as error: print(error)\n"
        "mp.set_start_method('fork', force=True)\n"
        "print(mp.get_start_method(), sorted(mp.get_all_start_methods()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "context has already been set\nfork ['fork', 'forkserver', 'spawn']\n"


def test_importing_the_package_imports_little() -> None:
    code = "import procession, sys; print(sorted(set(sys.modules) & {'typing', 'pickle', 'socket', 'ctypes', 'subprocess', 'cloudpickle'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("wrong", [3, ["spawn"], "Spawn"])
def test_a_wrong_method_name_is_refused(wrong: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        mp.get_context(wrong)  # type: ignore[arg-type]
