"""What other packages replace and call: coverage, loky, torch and the like (compat)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import forkserver, process, spawn, util
from procession._runtime import state
from tests.units._processes.conftest import Run

BOOTSTRAP = """
import sys, procession as mp, procession.process
original = procession.process.BaseProcess._bootstrap
def bootstrap(self, *args, **kwargs):
    print("begins", self.name, flush=True)
    try:
        return original(self, *args, **kwargs)
    finally:
        print("ends", self.name, flush=True)
procession.process.BaseProcess._bootstrap = bootstrap
def work(): print("works", flush=True)
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=work, name="it")
    process.start(); process.join(); sys.exit(process.exitcode)
"""


@pytest.mark.slow
def test_a_replaced_bootstrap_sees_the_whole_life_of_a_child(run: Run, method: str) -> None:
    done = run("replaces.py", method, files={"replaces.py": BOOTSTRAP})
    assert (done.stdout.splitlines(), done.stderr) == (["begins it", "works", "ends it"], "")


class Stowaway:
    """Acts when it is unpickled in the child, as coverage's does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return arrive, (os.getpid(),)


def arrive(pid: int) -> None:
    os.environ["ARRIVED"] = str(pid)


def tell(conn: Any) -> None:
    conn.send(os.environ.get("ARRIVED"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_is_added_to_the_preparation_data_arrives(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = spawn.get_preparation_data
    monkeypatch.setattr(spawn, "get_preparation_data", lambda name: {**original(name), "stowaway": Stowaway()})
    ctx = mp.get_context(method)
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        child = ctx.Process(target=tell, args=(sender,))
        child.start()
        assert receiver.recv() == str(os.getpid())
        child.join()


def test_finalizers_and_fork_hooks_are_those_of_the_runtime() -> None:
    seen: list[str] = []
    finalize = util.Finalize(None, seen.append, args=("ran",), exitpriority=-5)
    assert finalize._key in util._finalizer_registry
    finalize()
    finalize()
    assert (seen, finalize.still_active()) == (["ran"], False)
    lock = util.ForkAwareThreadLock()
    assert any(obj is lock for obj in util._afterfork_registry.values())
    with lock:
        assert not lock.acquire(False)


def hold_and_look(conn: Any, lock: util.ForkAwareThreadLock, local: util.ForkAwareLocal) -> None:
    conn.send((lock.acquire(False), dict(local.__dict__)))


def test_a_forked_child_finds_thread_locks_free_and_locals_empty() -> None:
    lock, local = util.ForkAwareThreadLock(), util.ForkAwareLocal()
    local.value = 1
    receiver, sender = mp.Pipe(duplex=False)
    with receiver, sender, lock:
        child = mp.get_context("fork").Process(target=hold_and_look, args=(sender, lock, local))
        child.start()
        assert receiver.recv() == (True, {})
        child.join()


def test_spawnv_passfds_passes_these_descriptors_and_no_others() -> None:
    reader, writer = os.pipe()
    other = os.dup(writer)
    os.set_inheritable(other, True)
    try:
        program = f"import os; os.write({writer}, b'here')\ntry: os.fstat({other})\nexcept OSError: os.write({writer}, b' alone')"
        pid = util.spawnv_passfds(os.fsencode(sys.executable), [sys.executable, "-S", "-E", "-c", program], [writer])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert os.read(reader, 100) == b"here alone"
    finally:
        for fd in (reader, writer, other):
            os.close(fd)


def test_all_other_descriptors_can_be_closed() -> None:
    program = (
        "import os\nfrom procession.util import close_all_fds_except\n"
        "kept, other = os.dup(1), os.dup(1)\nclose_all_fds_except([0, 1, 2, kept])\n"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')) == [0, 1, 2, kept])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True\n", done.stderr


def test_the_names_that_packages_read_are_there() -> None:
    assert state.main.directory == process.ORIGINAL_DIR
    assert mp.current_process() in process._dangling.copy()
    process._cleanup()
    assert process._current_process is mp.current_process()
    assert util.SUBWARNING == 25
    assert util.abstract_sockets_supported is True
    assert util.is_abstract_socket_namespace("\0name") is True
    assert util._logger is state.logger
    assert spawn.get_executable() == sys.executable
    assert not spawn.is_forking(sys.argv)
    assert forkserver._forkserver.get_inherited_fds() is None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        process.nonsense  # noqa: B018


def test_log_functions_say_who_called_them(caplog: pytest.LogCaptureFixture) -> None:
    logger = mp.get_logger()
    before = logger.level
    logger.addHandler(caplog.handler)
    try:
        logger.setLevel(util.SUBDEBUG)
        for tell_it in (util.sub_debug, util.debug, util.info, util.sub_warning, util.warn):
            tell_it("told %s", "here")
    finally:
        logger.setLevel(before)
        logger.removeHandler(caplog.handler)
    assert [record.levelno for record in caplog.records] == [5, 10, 20, 25, 30]
    assert {(Path(record.pathname).name, record.getMessage()) for record in caplog.records} == {
        (Path(__file__).name, "told here")
    }
    assert logging.getLogger("procession") is logger


class CustomReducer:
    """A replacement of `context.reducer`."""

    @staticmethod
    def dump(obj: object, file: Any, protocol: int | None = None) -> None:
        from procession._channels import pickling

        seen.append(type(obj).__name__)
        pickling.dump(obj, file, protocol)


seen: list[str] = []


@pytest.mark.slow
def test_a_replaced_reducer_pickles_processes() -> None:
    ctx = mp.get_context("spawn")
    try:
        ctx.reducer = CustomReducer()
        child = ctx.Process(target=abs, args=(-1,))  # a builtin function needs a pickle
        child.start()
        child.join()
    finally:
        state.extra.pop("reducer", None)
    assert (child.exitcode, seen) == (0, ["SpawnProcess"])
