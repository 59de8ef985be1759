"""What the specification's sentences promise of what ends with what: children, daemons, managers, shared objects, pools, descriptors."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession as mp
from procession import connection

METHODS = ("fork", "spawn", "forkserver")
pytestmark = pytest.mark.slow


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def run(source: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


AT_EXIT = """
import os, signal, sys
import procession as mp
def pause():
    signal.pause()
def last_words(ready):
    ready.recv()
    os.write(1, b"child ends\\n")
if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    here, there = context.Pipe()
    context.Process(target=pause, daemon=True).start()
    context.Process(target=last_words, args=(there,)).start()
    import atexit
    atexit.register(lambda: os.write(1, b"program ends\\n"))
    os.write(1, b"main ends\\n")
    here.send("end")
"""


@pytest.mark.parametrize("method", METHODS)
def test_at_the_end_daemons_are_terminated_and_others_are_joined(tmp_path: Path, method: str) -> None:
    done = run(AT_EXIT, tmp_path, method)  # it ends although a daemon would run for ever
    assert sorted(done.stdout.splitlines()) == ["child ends", "main ends", "program ends"]
    assert (done.returncode, done.stderr) == (0, "")


def look_at(descriptor: int, answers: Any) -> None:
    try:
        answers.put(os.readlink(f"/proc/self/fd/{descriptor}"))
    except OSError:
        answers.put("not open")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_fresh_child_does_not_inherit_descriptors(tmp_path: Path, method: str) -> None:
    context = mp.get_context(method)
    answers = context.SimpleQueue()
    with open(tmp_path / "file", "w") as file:
        high = os.dup2(file.fileno(), 200)
        try:
            os.set_inheritable(high, True)
            process = context.Process(target=look_at, args=(high, answers))
            process.start()
            process.join()
            assert answers.get() == "not open"
        finally:
            os.close(high)


def test_a_child_starts_its_own_children_as_it_was_started(context: Any) -> None:
    answers = context.SimpleQueue()
    process = context.Process(target=say_method, args=(answers,))
    process.start()
    process.join()
    assert answers.get() == context.get_start_method()


def say_method(answers: Any) -> None:
    answers.put(mp.get_start_method())


def test_a_manager_ends_when_it_is_collected(context: Any) -> None:
    manager = context.Manager()
    server = manager._process
    assert server.is_alive()
    del manager
    gc.collect()
    server.join(30)
    assert server.exitcode == 0


def test_a_shared_object_goes_with_its_last_proxy() -> None:
    with mp.Manager() as manager:
        before = manager._number_of_objects()
        first = manager.list()
        holder = manager.list([first])
        assert manager._number_of_objects() == before + 2
        del first
        gc.collect()
        assert manager._number_of_objects() == before + 2  # a list has it
        del holder
        gc.collect()
        assert manager._number_of_objects() == before


def forget(things: list[Any]) -> None:
    things.clear()
    gc.collect()


def test_a_pool_that_is_collected_ends_its_workers(context: Any) -> None:
    pools = [context.Pool(2)]
    assert pools[0].map(abs, [-1]) == [1]
    workers = list(pools[0]._pool)
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        forget(pools)
    for worker in workers:
        worker.join(30)
        assert worker.exitcode is not None


def make_grandchild(sender: Any) -> None:
    grandchild = mp.get_context("fork").Process(target=hold, args=(sender,))
    grandchild.start()
    signal.pause()


def hold(sender: Any) -> None:
    sender.send(os.getpid())
    signal.pause()


def test_descendants_of_a_terminated_process_live_on() -> None:
    context = mp.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=make_grandchild, args=(there,))
    process.start()
    there.close()
    grandchild = here.recv()
    process.terminate()
    process.join()
    assert process.exitcode == -signal.SIGTERM
    assert connection.wait([here], 0) == []  # the grandchild holds the other end
    os.kill(grandchild, signal.SIGKILL)
    assert connection.wait([here], 30) == [here]
    here.close()


@pytest.mark.parametrize("method", METHODS)
def test_a_subclass_runs_its_run_under_each_method(tmp_path: Path, method: str) -> None:
    source = """
import procession as mp, sys
class Later(mp.Process):
    def __init__(self, number):
        super().__init__(name=f"later-{number}")
        self.number, self.answers = number, mp.SimpleQueue()
    def run(self):
        self.answers.put((self.number, self.name))
if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    later = Later(3)
    later.start(); later.join()
    print(later.answers.get())
"""
    assert run(source, tmp_path, method).stdout == "(3, 'later-3')\n"
