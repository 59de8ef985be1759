"""Processes run what they are told, and tell how it ended, under every start method."""

from __future__ import annotations

import gc
import io
import os
import pickle
import re
import signal
import sys
import threading
import weakref
from typing import Any

import pytest

import procession as mp
from procession._os import pidfd
from procession._processes.process import AuthenticationString, BaseProcess
from procession._runtime import state
from tests.units._processes.conftest import Run


def give_back(conn: Any, *args: object, **kwargs: object) -> None:
    current = mp.current_process()
    conn.send(
        (args, kwargs, current.name, os.getpid(), current.pid, bytes(current.authkey), current.daemon, repr(current))
    )


def test_a_child_has_its_arguments_name_key_and_pid(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    process = ctx.Process(target=give_back, args=(sender, 1, [2]), kwargs={"a": "b"}, name="worker", daemon=True)
    process.authkey = b"another key"
    process.start()
    with receiver, sender:
        args, kwargs, name, pid, own_pid, key, daemon, shown = receiver.recv()
    process.join()
    assert (args, kwargs, name, key, daemon) == ((1, [2]), {"a": "b"}, "worker", b"another key", True)
    assert pid == own_pid == process.pid == process.ident
    assert shown == f"<{type(process).__name__} name='worker' parent={os.getpid()} started daemon>"
    assert (
        repr(process)
        == f"<{type(process).__name__} name='worker' pid={pid} parent={os.getpid()} stopped exitcode=0 daemon>"
    )


def test_args_may_be_any_iterable_and_kwargs_none() -> None:
    process = mp.Process(target=int, args=iter(["7"]), kwargs=None)
    process.start()
    process.join()
    assert process.exitcode == 0


def leave(reason: object) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the process ends
    sys.exit(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "code"),
    [(None, 0), (0, 0), (3, 3), (True, 1), (-1, 255), (256, 0), (2**70, 0), ("text", 1), ([1], 1)],
    ids=repr,
)
def test_sys_exit_sets_the_exit_code(reason: object, code: int) -> None:
    process = mp.get_context("fork").Process(target=leave, args=(reason,))
    process.start()
    process.join()
    assert process.exitcode == code


@pytest.mark.parametrize("code", [0, 7, 255])
def test_exit_codes_are_exact_under_every_method(ctx: Any, code: int) -> None:
    process = ctx.Process(target=sys.exit, args=(code,))
    process.start()
    process.join()
    assert process.exitcode == code


def stop_here(conn: Any) -> None:
    conn.send(os.getpid())
    signal.pause()


@pytest.mark.parametrize(("call", "signum"), [("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)])
def test_a_signal_is_a_negative_exit_code(ctx: Any, call: str, signum: signal.Signals) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=stop_here, args=(sender,))
        process.start()
        assert receiver.recv() == process.pid
    assert process.is_alive()
    getattr(process, call)()
    process.join()
    assert (process.exitcode, process.is_alive()) == (-signum, False)
    assert f"stopped exitcode=-{signum.name}>" in repr(process)
    getattr(process, call)()  # too late is no mistake


def wait_for_interrupt(conn: Any) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the process ends
    try:
        conn.send("ready")
        while not conn.poll(0.1):  # a signal just before a longer wait would be seen after it only
            pass
    finally:
        conn.send("finally")


def test_interrupt_raises_in_the_child_and_runs_its_finally(ctx: Any) -> None:
    here, there = ctx.Pipe()
    with here, there:
        process = ctx.Process(target=wait_for_interrupt, args=(there,))
        process.start()
        assert here.recv() == "ready"
        process.interrupt()
        assert here.recv() == "finally"
    process.join()
    assert process.exitcode == 1


FAILS = """
import sys, procession as mp
def fail(): raise LookupError("what went wrong")
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=fail, name="the-one")
    process.start(); process.join(); sys.exit(process.exitcode + 1)
"""


@pytest.mark.slow
def test_an_exception_is_told_on_stderr_with_the_name(run: Run, method: str) -> None:
    done = run("fails.py", method, files={"fails.py": FAILS})
    assert done.returncode == 2
    assert done.stderr.startswith("Process the-one:\nTraceback (most recent call last):\n")
    assert done.stderr.endswith("LookupError: what went wrong\n")


class Upper(BaseProcess):
    """A process without a context."""


class Custom(mp.get_context("spawn").Process):  # type: ignore[misc]
    def __init__(self, conn: Any) -> None:
        super().__init__(name="custom")
        self.conn = conn

    def run(self) -> None:
        self.conn.send(type(self).__name__)


@pytest.mark.slow
def test_a_subclass_may_override_run() -> None:
    receiver, sender = mp.Pipe(duplex=False)
    with receiver, sender:
        process = Custom(sender)
        process.start()
        assert receiver.recv() == "Custom"
        process.join()


def test_a_process_of_no_context_says_what_to_use() -> None:
    with pytest.raises(NotImplementedError, match=r"procession\.Process"):
        Upper().start()


def nested(conn: Any, method: str) -> None:
    child = mp.get_context(method).Process(target=give_back, args=(conn,))
    conn.send((child.name, mp.current_process().name))
    child.start()
    child.join()


def test_names_are_numbered_by_ancestors(ctx: Any, method: str) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=nested, args=(sender, method))
        kind, _, number = process.name.partition("-")
        process.start()
        assert receiver.recv() == (f"{kind}-{number}:1", process.name)
        assert receiver.recv()[2] == f"{kind}-{number}:1"
        process.join()
    following = ctx.Process()
    assert re.fullmatch(rf"{kind}-\d+", following.name)
    assert int(following.name.partition("-")[2]) > int(number)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"group": 1}, AssertionError), ({"args": 3}, TypeError), ({"kwargs": [1]}, TypeError)],
    ids=["group", "args", "kwargs"],
)
def test_wrong_arguments_are_refused_by_the_constructor(wrong: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        mp.Process(target=print, **wrong)


def test_name_is_a_string_and_daemon_is_set_before_the_start() -> None:
    process = mp.Process(target=int)
    with pytest.raises(AssertionError, match="name must be a string"):
        process.name = 3  # type: ignore[assignment]
    process.start()
    process.name = "renamed"
    with pytest.raises(AssertionError, match="already started"):
        process.daemon = True
    process.join()
    assert "renamed" in repr(process)


def start_a_child(conn: Any) -> None:
    try:
        mp.Process(target=int).start()
    except AssertionError as error:
        conn.send(str(error))


def test_a_daemonic_process_may_have_no_children(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=start_a_child, args=(sender,), daemon=True)
        process.start()
        assert receiver.recv().startswith("daemonic processes are not allowed to have children")
        process.join()


def use_the_parents(conn: Any, process: Any) -> None:
    for call in ("start", "join", "is_alive"):
        try:
            getattr(process, call)()
        except AssertionError as error:
            conn.send(str(error))
    conn.send((process.exitcode, repr(process)))


def test_only_the_process_that_made_an_object_may_use_it() -> None:
    ctx = mp.get_context("fork")
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        sibling = ctx.Process(target=receiver.poll, args=(30,))
        other = ctx.Process(target=int)
        user = ctx.Process(target=use_the_parents, args=(sender, other))
        user.start()
        assert receiver.recv().startswith("can only start a process object created by current process")
        assert receiver.recv().startswith("can only join a child process")
        assert receiver.recv().startswith("can only test a child process")
        assert receiver.recv() == (None, f"<ForkProcess name={other.name!r} parent={os.getpid()} unknown>")
        user.join()
    assert sibling.exitcode is None


def test_the_key_is_pickled_for_starting_children_only() -> None:
    key = mp.current_process().authkey
    assert type(key) is AuthenticationString
    assert len(key) == 32
    with pytest.raises(TypeError, match="disallowed for security reasons"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="disallowed for security reasons"):
        pickle.dumps(mp.Process())


def test_what_cannot_be_pickled_fails_at_start_and_starts_nothing() -> None:
    for method in ("spawn", "forkserver"):
        process = mp.get_context(method).Process(target=int, args=(threading.Lock(),))
        with pytest.raises(TypeError, match="pickle"):
            process.start()
        assert (process.pid, process.is_alive(), process in mp.active_children()) == (None, False, False)
        assert "initial" in repr(process)


class Target:
    def __call__(self) -> None:
        pass


def test_the_parent_keeps_no_reference_to_the_target(ctx: Any) -> None:
    target = Target()
    watched = weakref.ref(target)
    process = ctx.Process(target=target, args=())
    del target
    process.start()
    process.join()
    gc.collect()
    assert watched() is None


def test_active_children_are_those_that_run(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=receiver.recv)
        assert process not in mp.active_children()
        process.start()
        assert process in mp.active_children()
        sender.send(None)
        process.join()
    assert process not in mp.active_children()


def test_children_that_ended_are_reaped_by_the_next_start(ctx: Any) -> None:
    first, second = ctx.Process(target=int), ctx.Process(target=int)
    first.start()
    assert pidfd.wait_readable((first.sentinel,), 30)
    second.start()
    assert first not in state.children
    assert first._popen.returncode == 0
    second.join()


def count_down(conn: Any) -> None:
    conn.send(
        threading.main_thread().native_id == os.getpid() and threading.current_thread() is threading.main_thread()
    )


def test_a_process_started_by_a_thread_begins_in_its_main_thread(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=count_down, args=(sender,))
        thread = threading.Thread(target=process.start)
        thread.start()
        assert receiver.recv() is True
        thread.join()
        process.join()


def read_input(conn: Any) -> None:
    conn.send(sys.stdin.read())


def test_a_child_reads_nothing_from_stdin(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        process = ctx.Process(target=read_input, args=(sender,))
        process.start()
        assert receiver.recv() == ""
        process.join()


def start_with_another_stdin(ctx: Any, conn: Any) -> None:
    sys.stdin = io.StringIO("the child's own")
    process = ctx.Process(target=read_input, args=(conn,))
    process.start()
    process.join()


def test_the_child_of_a_child_with_a_stdin_of_its_own_reads_nothing_either(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    process = ctx.Process(target=start_with_another_stdin, args=(ctx, sender))
    process.start()
    assert receiver.poll(30)
    assert receiver.recv() == ""
    process.join(30)
    assert process.exitcode == 0
