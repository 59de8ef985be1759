"""The end of a process, main or child: what runs, in which order, and what is written out."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.units._processes.conftest import Run

pytestmark = pytest.mark.slow

PROGRAM = """
import atexit, sys, threading, time, procession as mp
from procession.util import Finalize
class Thing: pass
thing = Thing()
def say(*words): print(*words, flush=True)
def child():
    atexit.register(say, "atexit of the child")
    Finalize(None, say, args=("last",), exitpriority=-10)
    Finalize(None, say, args=("first",), exitpriority=10)
    Finalize(None, say, args=("second",), exitpriority=0)
    Finalize(thing, say, args=("never",))
    go = threading.Event()
    threading.Thread(target=lambda: (go.wait(), say("thread"))).start()
    threading.Thread(target=go.wait, daemon=True).start()
    Finalize(None, go.set, exitpriority=5)
    sys.stdout.write("not flushed by itself\\n")
if __name__ == "__main__":
    atexit.register(say, "atexit of the parent")
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start(); process.join()
    print(process.exitcode)
"""


def test_a_child_runs_finalizers_waits_for_threads_and_runs_its_own_exit_handlers(run: Run, method: str) -> None:
    done = run("program.py", method, files={"program.py": PROGRAM})
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in ("first", "second", "last")] == ["first", "second", "last"]
    assert lines[-3:] == ["atexit of the child", "0", "atexit of the parent"]
    assert {"thread", "not flushed by itself"} <= set(lines)
    assert "never" not in lines
    assert done.stderr == ""


FAILING_FINALIZER = """
import sys, procession as mp
from procession.util import Finalize
def fail(): raise LookupError("in a finalizer")
def child():
    Finalize(None, fail, exitpriority=10)
    Finalize(None, print, args=("after it",), exitpriority=0)
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start(); process.join()
    print(process.exitcode)
"""


def test_a_finalizer_that_fails_is_told_and_the_next_ones_run(run: Run, method: str) -> None:
    done = run("program.py", method, files={"program.py": FAILING_FINALIZER})
    assert done.stdout.splitlines() == ["after it", "0"]
    assert done.stderr.count("LookupError: in a finalizer") == 1


STREAMS = """
import io, sys, procession as mp
def child(name, action):
    stream = None
    if action == "close":
        stream = io.StringIO(); stream.close()
    setattr(sys, name, stream)
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    codes = []
    for name in ("stdout", "stderr"):
        for action in ("close", "remove"):
            process = ctx.Process(target=child, args=(name, action)); process.start(); process.join()
            codes.append(process.exitcode)
    print(codes)
"""


def test_standard_streams_may_be_closed_or_missing(run: Run, method: str) -> None:
    done = run("program.py", method, files={"program.py": STREAMS})
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0]\n", "")


STARTED_AT_THE_END = """
import sys, threading, time, procession as mp
def grandchild(): print("grandchild", flush=True)
def child(method, go):
    def later():
        threading.main_thread().join()
        mp.get_context(method).Process(target=grandchild).start()
    threading.Thread(target=later).start()
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child, args=(sys.argv[1], None))
    process.start(); process.join()
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the interpreter allows no new threads and forks at its end")
def test_a_process_started_by_the_last_thread_is_joined(run: Run) -> None:
    done = run("program.py", "fork", files={"program.py": STARTED_AT_THE_END})
    assert done.stdout == "grandchild\n", done.stderr


INHERITED_OUTPUT = """
import sys, procession as mp
def child(): pass
if __name__ == "__main__":
    sys.stdout.write("once\\n")
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start(); process.join()
"""


def test_what_the_parent_has_not_flushed_is_not_written_twice(run: Run, method: str) -> None:
    done = run("program.py", method, files={"program.py": INHERITED_OUTPUT})
    assert (done.stdout, done.stderr) == ("once\n", "")


KEEPS_A_FILE = """
import sys, procession as mp
file = None
def child(path):
    global file
    file = open(path, "w")
    file.write("buffered")
if __name__ == "__main__":
    process = mp.get_context("spawn").Process(target=child, args=(sys.argv[1],))
    process.start(); process.join()
    print(open(sys.argv[1]).read())
"""


def test_a_spawned_interpreter_is_finalized(run: Run, tmp_path: Any) -> None:
    done = run("program.py", str(tmp_path / "written"), files={"program.py": KEEPS_A_FILE})
    assert done.stdout == "buffered\n", done.stderr
