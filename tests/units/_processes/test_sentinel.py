"""The end of a child is noticed when it happens, by everybody, whoever else meddles."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import procession as mp
from procession._os import pidfd
from procession._processes.reaper import UNKNOWN
from tests.units._processes.conftest import Run


def leave_a_grandchild(conn: Any, method: str) -> None:
    grandchild = mp.get_context(method).Process(target=conn.recv)
    grandchild.start()
    conn.send(grandchild.pid)
    signal.pause()


def test_the_sentinel_fires_at_the_childs_death_while_a_grandchild_lives(ctx: Any, method: str) -> None:
    here, there = ctx.Pipe()
    with here, there:
        child = ctx.Process(target=leave_a_grandchild, args=(there, method))
        child.start()
        grandchild = pidfd.open_process(here.recv())
        try:
            assert not pidfd.has_ended(child.sentinel)
            child.kill()
            assert pidfd.wait_readable((child.sentinel,), 30)
            child.join()
            assert child.exitcode == -signal.SIGKILL
            assert not pidfd.has_ended(grandchild)
            assert pidfd.has_ended(child.sentinel)  # it stays ready after join()
            here.send(None)
            assert pidfd.wait_readable((grandchild,), 30)
        finally:
            os.close(grandchild)


def test_join_ends_at_its_timeout_and_not_before(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        child = ctx.Process(target=receiver.recv)
        child.start()
        began = time.monotonic()
        child.join(0.05)
        assert time.monotonic() - began >= 0.05
        for nothing in (0, -1, -0.5):
            child.join(nothing)
        assert child.exitcode is None
        sender.send(None)
        child.join(1e10)
        assert child.exitcode == 0


def test_many_threads_may_join_the_same_child(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender, ThreadPoolExecutor(8) as threads:
        child = ctx.Process(target=receiver.recv)
        child.start()
        joins = [threads.submit(lambda: (child.join(), child.exitcode)) for _ in range(8)]
        sender.send(None)
        assert [join.result(30) for join in joins] == [(None, 0)] * 8
        child.close()


def test_a_signal_handler_runs_while_join_waits_and_join_goes_on() -> None:
    receiver, sender = mp.Pipe(duplex=False)
    runs: list[int] = []

    def on_signal(*_: object) -> None:
        runs.append(1)
        sender.send(None)

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        with receiver, sender:
            child = mp.get_context("fork").Process(target=receiver.recv)
            child.start()
            main = threading.main_thread().ident
            assert main is not None
            poke = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
            poke.start()
            child.join()
            poke.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (runs, child.exitcode) == ([1], 0)


SIGCHLD_IGNORED = """
import signal, sys, procession as mp
def leave(code): sys.exit(code)
def be_killed(): signal.raise_signal(signal.SIGKILL)
if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ctx = mp.get_context(sys.argv[1])
    for target, args in ((leave, (3,)), (be_killed, ())):
        process = ctx.Process(target=target, args=args)
        process.start()
        process.join()
        print(process.exitcode, process.is_alive(), mp.active_children())
"""


@pytest.mark.slow
def test_children_are_joined_where_sigchld_is_ignored(run: Run, method: str) -> None:
    """The kernel reaps them itself: the exit code is what the child or the fork server said, or unknown."""
    known, killed = {"fork": (UNKNOWN, UNKNOWN), "spawn": (3, UNKNOWN), "forkserver": (3, -9)}[method]
    done = run("ignores.py", method, files={"ignores.py": SIGCHLD_IGNORED})
    assert (done.stdout, done.stderr) == (f"{known} False []\n{killed} False []\n", "")


def test_a_child_that_somebody_else_reaped_has_ended_with_an_unknown_code() -> None:
    child = mp.get_context("fork").Process(target=int)
    child.start()
    assert child.pid is not None
    os.waitpid(child.pid, 0)
    child.join()
    assert (child.exitcode, child.is_alive()) == (UNKNOWN, False)
    child.terminate()


def test_no_descriptor_is_left_open_when_a_child_is_closed(ctx: Any) -> None:
    child = ctx.Process(target=int)
    child.start()
    child.join()
    before = set(os.listdir("/proc/self/fd"))
    child.close()
    assert len(set(os.listdir("/proc/self/fd"))) < len(before)


def count_descriptors(conn: Any) -> None:
    conn.send(len(os.listdir("/proc/self/fd")))
    signal.pause()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_do_not_inherit_each_other(method: str) -> None:
    ctx = mp.get_context(method)
    receiver, sender = ctx.Pipe(duplex=False)
    counts = []
    with receiver, sender:
        children = [ctx.Process(target=count_descriptors, args=(sender,), daemon=bool(n % 2)) for n in range(4)]
        for child in children:
            child.start()
            counts.append(receiver.recv())
    for child in children:
        child.kill()
        child.join()
    assert counts[0] == counts[2]
    assert counts[1] == counts[3]


def wait_for_end(conn: Any) -> None:
    parent = mp.parent_process()
    assert parent is not None
    conn.send((parent.pid, parent.name, parent.is_alive(), parent.exitcode, repr(parent)))
    parent.join(30)
    conn.send((parent.is_alive(), bool(pidfd.wait_readable((parent.sentinel,), 0))))


def be_a_parent(conn: Any, method: str) -> None:
    mp.get_context(method).Process(target=wait_for_end, args=(conn,)).start()
    signal.pause()


def test_a_child_knows_whether_its_parent_lives(ctx: Any, method: str) -> None:
    assert mp.parent_process() is None
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        parent = ctx.Process(target=be_a_parent, args=(sender, method), name="the-parent")
        parent.start()
        pid, name, alive, code, shown = receiver.recv()
        assert (pid, name, alive, code) == (parent.pid, "the-parent", True, None)
        assert shown == "<_ParentProcess name='the-parent' parent=None unknown>"
        parent.kill()
        parent.join()
        assert receiver.poll(30)
        assert receiver.recv() == (False, True)


FEW_DESCRIPTORS = """
import os, resource, sys, procession as mp
def work(): pass
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    first = ctx.Process(target=work)  # the fork server has its own limit
    first.start(); first.join(); first.close()
    counts = set()
    used = len(os.listdir("/proc/self/fd"))
    for free in range(16):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + free, 4096))
        process = ctx.Process(target=work, daemon=bool(free % 2))
        try:
            process.start()
        except OSError as error:
            assert error.errno == 24, error
            assert process.pid is None
        else:
            process.join()
            assert process.exitcode == 0
            process.close()
            counts.add("started")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        mp.active_children()
        counts.add(len(os.listdir("/proc/self/fd")))
    assert mp.active_children() == []
    print(counts == {"started", used} or (used, counts))
"""


@pytest.mark.slow
def test_a_start_without_enough_descriptors_raises_and_leaves_nothing(run: Run, method: str) -> None:
    done = run("few.py", method, files={"few.py": FEW_DESCRIPTORS})
    assert (done.stdout, done.stderr) == ("True\n", "")


FEW_FOR_A_POOL = """
import os, resource, sys, procession as mp
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    with ctx.Pool(1) as pool:  # the fork server has its own limit
        pool.apply(abs, (1,))
    pool.join()
    used = len(os.listdir("/proc/self/fd"))
    for free in range(60):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + free, 4096))
        try:
            pool = ctx.Pool(8)
        except OSError as error:
            assert error.errno in (24, 9), error  # 9: of a descriptor whose number is beyond the limit, in a spawned child
            assert mp.active_children() == []
            continue
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        with pool:
            assert pool.map(abs, range(-20, 0), 1) == list(range(20, 0, -1))
        pool.join()
        print(free)
        break
"""


@pytest.mark.slow
def test_a_pool_starts_where_each_of_its_workers_alone_finds_enough_descriptors(run: Run, method: str) -> None:
    done = run("few.py", method, files={"few.py": FEW_FOR_A_POOL})
    needed = int(done.stdout)
    assert done.stderr == ""
    assert needed <= {"fork": 16, "spawn": 24, "forkserver": 28}[method]


REAPED_AT_ONCE = """
import os, signal, procession as mp
if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ctx = mp.get_context("fork")
    processes = [ctx.Process(target=os._exit, args=(0,)) for _ in range(150)]
    for process in processes:
        process.start()
        process.terminate()
    for process in processes:
        process.join()
    print({process.exitcode for process in processes})
"""


@pytest.mark.slow
def test_a_child_that_the_kernel_has_reaped_already_is_started_all_the_same(run: Run) -> None:
    """It may be gone before its descriptor is made: that is no error of start()."""
    done = run("reaped.py", files={"reaped.py": REAPED_AT_ONCE})
    assert (done.stdout, done.stderr) == (f"{{{UNKNOWN}}}\n", "")
