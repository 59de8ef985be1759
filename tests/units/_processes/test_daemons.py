"""Who outlives whom: daemonic children end with their parent, however it ends; others do not."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import procession as mp
from procession._os import pidfd
from tests.units._processes.conftest import Run


def be_a_parent(conn: Any, method: str) -> None:
    ctx = mp.get_context(method)
    children = [ctx.Process(target=conn.recv, daemon=daemon) for daemon in (True, True, False)]
    for child in children:
        child.start()
    conn.send([child.pid for child in children])
    signal.pause()


def test_daemonic_children_die_with_a_parent_that_is_killed_and_others_go_on(ctx: Any, method: str) -> None:
    here, there = ctx.Pipe()
    with here, there:
        parent = ctx.Process(target=be_a_parent, args=(there, method))
        parent.start()
        first, second, other = (pidfd.open_process(pid) for pid in here.recv())
        try:
            parent.kill()
            parent.join()
            assert pidfd.wait_readable((first,), 30)
            assert pidfd.wait_readable((second,), 30)
            assert not pidfd.has_ended(other)
            here.send(None)
            assert pidfd.wait_readable((other,), 30)
        finally:
            for fd in (first, second, other):
                os.close(fd)


ENDS = """
import os, sys, signal, procession as mp
def stay(conn, ignore):
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    conn.send(None)
    signal.pause()
def work(): print("worked", flush=True)
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    receiver, sender = ctx.Pipe(duplex=False)
    daemon = ctx.Process(target=stay, args=(sender, len(sys.argv) > 2), daemon=True)
    daemon.start()
    receiver.recv()
    ctx.Process(target=work).start()
    print("main ends", daemon.pid, flush=True)
"""


@pytest.mark.slow
def test_at_exit_daemons_are_ended_and_other_children_joined(run: Run, method: str) -> None:
    done = run("ends.py", method, files={"ends.py": ENDS})
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["main", "worked"]
    pid = next(line for line in lines if line.startswith("main")).split()[-1]
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
def test_a_daemon_that_ignores_sigterm_holds_nobody_up(run: Run) -> None:
    done = run("ends.py", "fork", "ignore", files={"ends.py": ENDS})
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_lifeline_is_open_only_while_daemonic_children_live(ctx: Any) -> None:
    receiver, sender = ctx.Pipe(duplex=False)
    with receiver, sender:
        before = len(os.listdir("/proc/self/fd"))
        children = [ctx.Process(target=receiver.recv, daemon=True) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.kill()
            child.join()
            child.close()
        assert len(os.listdir("/proc/self/fd")) == before


FORKED_BY_HAND = """
import os, signal, sys, procession as mp
def stay(): signal.pause()
if __name__ == "__main__":
    daemon = mp.get_context("fork").Process(target=stay, daemon=True)
    daemon.start()
    if os.fork() == 0:
        sys.exit(0)  # its exit handlers must not touch the children of its parent
    os.wait()
    print(daemon.is_alive())
"""


@pytest.mark.slow
def test_a_process_forked_by_hand_ends_without_ending_its_parents_children(run: Run) -> None:
    done = run("by_hand.py", files={"by_hand.py": FORKED_BY_HAND})
    assert (done.stdout, done.stderr) == ("True\n", "")
