"""The fork server: one for a program, started again when it was killed, gone with the program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import procession as mp
from procession._os import pidfd
from procession._processes.reaper import UNKNOWN
from procession._processes.start_forkserver import the_server
from procession.errors import StartError
from tests.units._processes.conftest import Run

pytestmark = pytest.mark.slow
CTX = mp.get_context("forkserver")


WHY = "another fork server stands where one was, until the end of the session"


def REPLACES(test: Any) -> Any:  # noqa: N802 - it stands for two marks
    return pytest.mark.leaves("processes", reason=WHY)(pytest.mark.leaves("descriptors", reason=WHY)(test))


@pytest.fixture
def server_pid() -> int:
    server = the_server()
    server.ensure_running()
    assert server.pid is not None
    return server.pid


@pytest.fixture
def preload() -> Iterator[None]:
    """Whatever a test preloads, the next one has the usual server."""
    the_server().stop()
    yield
    CTX.set_forkserver_preload(["__main__"])
    the_server().stop()
    the_server().ensure_running()


def tell_parent(conn: Any) -> None:
    conn.send((os.getppid(), sorted(sys.modules)))


def family(method_conn: Any) -> None:
    child = CTX.Process(target=tell_parent, args=(method_conn,))
    child.start()
    child.join()
    method_conn.send((os.getppid(), child.exitcode))


def test_children_and_grandchildren_have_the_same_server(server_pid: int) -> None:
    receiver, sender = CTX.Pipe(duplex=False)
    with receiver, sender:
        child = CTX.Process(target=family, args=(sender,))
        child.start()
        assert receiver.recv()[0] == server_pid
        assert receiver.recv() == (server_pid, 0)
        child.join()


@REPLACES
def test_a_server_that_was_killed_is_started_again_and_its_children_go_on(server_pid: int) -> None:
    receiver, sender = CTX.Pipe(duplex=False)
    with receiver, sender:
        orphan, killed = CTX.Process(target=receiver.recv), CTX.Process(target=signal.pause)
        orphan.start()
        killed.start()
        server = pidfd.open_process(server_pid)
        os.kill(server_pid, signal.SIGKILL)
        assert pidfd.wait_readable((server,), 30)
        os.close(server)
        following = CTX.Process(target=sys.exit, args=(3,))
        following.start()
        following.join()
        assert following.exitcode == 3
        assert the_server().pid != server_pid
        assert orphan.is_alive()
        assert killed.is_alive()
        sender.send(None)
        killed.kill()
        orphan.join()
        killed.join()
    assert orphan.exitcode == 0  # as it announced
    assert killed.exitcode == UNKNOWN


def test_the_server_does_not_mind_ctrl_c_but_its_children_do(server_pid: int) -> None:
    os.kill(server_pid, signal.SIGINT)
    receiver, sender = CTX.Pipe(duplex=False)
    with receiver, sender:
        child = CTX.Process(target=interrupt_yourself, args=(sender,))
        child.start()
        assert receiver.recv() == "KeyboardInterrupt"
        child.join()
    assert the_server().pid == server_pid


def interrupt_yourself(conn: Any) -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        conn.send(type(error).__name__)


@REPLACES
def test_what_is_preloaded_is_there_in_children(preload: None) -> None:
    CTX.set_forkserver_preload(["colorsys", "no_such_module"])
    receiver, sender = CTX.Pipe(duplex=False)
    with receiver, sender:
        child = CTX.Process(target=tell_parent, args=(sender,))
        child.start()
        assert "colorsys" in receiver.recv()[1]
        child.join()


@REPLACES
def test_a_preload_that_must_not_fail_stops_the_server_and_the_start_raises(
    preload: None, capfd: pytest.CaptureFixture[str]
) -> None:
    CTX.set_forkserver_preload(["no_such_module"], on_error="fail")
    child = CTX.Process(target=int)
    with pytest.raises(StartError, match="could not be preloaded") as raised:
        child.start()
    assert "on_error='ignore'" in raised.value.__notes__[0]
    assert child.pid is None
    told = capfd.readouterr().err
    assert "no_such_module" in told
    assert told.count("ModuleNotFoundError") == 1
    CTX.set_forkserver_preload([])
    child.start()
    child.join()
    assert child.exitcode == 0


@REPLACES
def test_a_preload_that_fails_may_be_a_warning(preload: None, capfd: pytest.CaptureFixture[str]) -> None:
    CTX.set_forkserver_preload(["no_such_module"], on_error="warn")
    child = CTX.Process(target=int)
    child.start()
    child.join()
    assert "ImportWarning: the fork server could not preload 'no_such_module'" in capfd.readouterr().err


def test_a_preload_is_a_list_of_names() -> None:
    for wrong in ([1, 2], "colorsys", ("colorsys",), [b"colorsys"]):
        with pytest.raises(TypeError, match="module_names must be a list of strings"):
            CTX.set_forkserver_preload(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'ignore', 'warn', 'fail'"):
        CTX.set_forkserver_preload([], on_error="shout")


PRINTS_AT_IMPORT = """
import sys, procession as mp
print("imported as", __name__)
def work(): print("worked")
if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    for _ in range(2):
        process = ctx.Process(target=work); process.start(); process.join()
"""


def test_the_main_module_is_preloaded_once_and_nothing_is_printed_twice(run: Run) -> None:
    done = run("prints.py", files={"prints.py": PRINTS_AT_IMPORT})
    assert sorted(done.stdout.splitlines()) == ["imported as __main__", "imported as __mp_main__", "worked", "worked"]
    assert done.stderr == ""


OUTLIVED = """
import os, signal, sys, procession as mp
from procession.forkserver import _forkserver
ctx = mp.get_context("forkserver")
def be_a_parent(conn):
    child = ctx.Process(target=conn.recv)
    child.start()
    conn.send(_forkserver._forkserver_pid)
    child.join()
    conn.send(child.exitcode)
if __name__ == "__main__":
    here, there = ctx.Pipe()
    ctx.Process(target=be_a_parent, args=(there,)).start()
    print(here.recv(), here.fileno(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_server_goes_with_the_program_that_started_it(run: Run) -> None:
    """Its last child reads the end of the pipe, when the program is gone."""
    done = run("outlived.py", files={"outlived.py": OUTLIVED})
    assert done.returncode == -signal.SIGKILL
    try:
        server = pidfd.open_process(int(done.stdout.split()[0]))
    except ProcessLookupError:
        return
    try:
        assert pidfd.wait_readable((server,), 30)
    finally:
        os.close(server)


def inherit(conn: Any, descriptors: list[Any]) -> None:
    conn.send([each.recv() for each in descriptors])


def test_descriptors_among_the_arguments_reach_the_child(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    pairs = [ctx.Pipe(duplex=False) for _ in range(5)]
    with receiver, sender:
        child = ctx.Process(target=inherit, args=(sender, [pair[0] for pair in pairs]))
        child.start()
        for number, (theirs, ours) in enumerate(pairs):
            theirs.close()
            ours.send(number)
        assert receiver.recv() == [0, 1, 2, 3, 4]
        child.join()
        for _theirs, ours in pairs:
            ours.close()


OWN_MODULES = """
import sys
import procession as mp
def use(value): pass
def show(): print("procession._primitives.values" in sys.modules, "ctypes" in sys.modules, flush=True)
def start(*args, target):
    process = mp.Process(target=target, args=args)
    process.start()
    process.join()
if __name__ == "__main__":
    mp.set_start_method("forkserver")
    start(target=show)
    start(mp.Value("i"), target=use)
    start(target=show)
"""


def test_modules_of_the_package_that_a_child_needs_are_imported_by_the_server_once(run: Run) -> None:
    done = run("program.py", files={"program.py": OWN_MODULES})
    assert (done.stdout.splitlines(), done.stderr) == (["False False", "True True"], "")
