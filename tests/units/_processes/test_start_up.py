"""What a fresh child imports, and how it ends: start-up is a feature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SPAWNED = """
import sys
def run(*args):
    sys.stdout.write(" ".join(sorted(sys.modules)))
if __name__ == "__main__":
    import procession as mp
    process = mp.get_context("spawn").Process(target=run, args={args})
    process.start()
    process.join()
"""
HEAVY = {
    "collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "logging", "operator", "pickle", "queue", "re",
    "selectors", "signal", "socket", "subprocess", "tempfile", "threading", "traceback", "typing", "weakref",
}  # fmt: skip
READS_PICKLES = {"collections", "functools", "operator"}  # by the interpreter's own C module for it
UNCLOSED = """
import sys
kept = []
def run(path):
    kept.append(open(path, "w"))
    kept[0].write("all of it")
if __name__ == "__main__":
    import procession as mp
    process = mp.get_context("spawn").Process(target=run, args=(sys.argv[1],))
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def output_of(tmp_path: Path, program: str, *arguments: str) -> str:
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=50, check=True
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "needed"),
    [("()", set()), ("(mp.Lock(), (mp.Event(), 1))", set()), ("([mp.Lock()], 1j)", READS_PICKLES)],
    ids=["simple", "locks", "complicated"],
)
def test_a_spawned_child_imports_no_heavy_module_of_the_standard_library(
    tmp_path: Path, args: str, needed: set[str]
) -> None:
    plain = {*subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, timeout=50, check=True
    ).stdout.split()}  # fmt: skip
    loaded = {*output_of(tmp_path, SPAWNED.format(args=args)).split()}
    assert "procession._context" in loaded
    assert sorted((loaded - plain) & (HEAVY - needed)) == []


OBJECTS = """
import procession as mp
def twice(first, second, queue):
    queue.put(first is second)
def use(told, queue):
    lock, (event, number), text = told
    queue.put((type(lock).__name__, lock.mark, event.is_set(), number, text))
def start(target, *args):
    process = mp.get_context("spawn").Process(target=target, args=args)
    process.start()
    return process
def start_with_what_nobody_else_keeps(queue):
    lock, event = mp.Lock(), mp.Event()
    lock.mark = "mine"
    event.set()
    return start(use, (lock, (event, 1), "text"), queue)
if __name__ == "__main__":
    queue, lock = mp.SimpleQueue(), mp.Lock()
    for process in (start_with_what_nobody_else_keeps(queue), start(twice, lock, lock, queue)):
        process.join()
        print(process.exitcode, queue.get())
"""


@pytest.mark.slow
def test_shared_objects_among_the_arguments_arrive_as_pickle_would_have_them(tmp_path: Path) -> None:
    said = output_of(tmp_path, OBJECTS).splitlines()
    assert sorted(said) == ["0 ('Lock', 'mine', True, 1, 'text')", "0 True"]


WORKER = """
import sys
def loaded(_):
    return sorted(sys.modules)
class Large:
    def __init__(self, content): self.content = content
    def __reduce_ex__(self, protocol):
        from pickle import PickleBuffer
        return Large, (PickleBuffer(self.content),)
def size(large):
    return len(memoryview(large.content)), large
def fail(text):
    raise ValueError(text)
if __name__ == "__main__":
    import procession as mp
    with mp.get_context("{method}").Pool(1) as pool:
        print(*pool.map(loaded, [1], 1)[0])
        length, large = pool.apply(size, (Large(bytearray(1 << 20)),))
        print(length, len(memoryview(large.content)))
        try:
            pool.apply(fail, ("as it should",))
        except ValueError as error:
            print(error)
"""


@pytest.mark.slow
def test_a_spawned_worker_imports_what_messages_beyond_the_codec_take_when_one_comes(tmp_path: Path) -> None:
    loaded, *rest = output_of(tmp_path, WORKER.replace("{method}", "spawn")).splitlines()
    plain = {*subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, timeout=50, check=True
    ).stdout.split()}  # fmt: skip
    assert "procession._pools.worker" in loaded
    assert sorted(({*loaded.split()} - plain) & HEAVY) == []
    assert rest == ["1048576 1048576", "as it should"]


@pytest.mark.slow
def test_the_fork_server_imports_it_once_for_all_workers(tmp_path: Path) -> None:
    loaded, *rest = output_of(tmp_path, WORKER.replace("{method}", "forkserver")).splitlines()
    assert {"procession._pools.failures", "procession._pools.parcels"} <= {*loaded.split()}
    assert rest == ["1048576 1048576", "as it should"]


@pytest.mark.slow
def test_what_a_spawned_child_has_not_closed_is_written_out_at_its_end(tmp_path: Path) -> None:
    target = tmp_path / "written"
    output_of(tmp_path, UNCLOSED, str(target))
    assert target.read_text() == "all of it"


ENDING = """
import os, sys
def say(path=sys.argv[1], open=os.open, mode=os.O_WRONLY | os.O_CREAT, write=os.write):
    write(open(path, mode), b"said")
class Last:
    def __del__(self, say=say): say()
def waiting(say=say):
    try:
        yield
    finally:
        say()
def run(path):
    global last
    {left}
if __name__ == "__main__":
    import procession as mp
    process = mp.get_context("spawn").Process(target=run, args=(sys.argv[1],))
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "left",
    [
        "last = Last()",
        "last = [Last()]; last.append(last)",
        "last = waiting(); next(last)",
        "import atexit; atexit.register(say)",
        "import weakref; last = Last; weakref.finalize(last, say)",
    ],
    ids=["object", "cycle", "generator", "atexit", "finalize"],
)
def test_what_a_spawned_child_leaves_has_its_last_word(tmp_path: Path, left: str) -> None:
    target = tmp_path / "written"
    output_of(tmp_path, ENDING.format(left=left), str(target))
    assert target.read_text() == "said"


TOLD = """
import sys
def run(*args):
    {run}
if __name__ == "__main__":
    import procession as mp
    process = mp.get_context("spawn").Process(target=run)
    process.start()
    process.join()
    print(process.exitcode)
"""
INTERPRETER_ENDS = (
    "import atexit, gc; atexit.register(lambda: gc.callbacks.append(lambda *_: __import__('os')._exit(9)))"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "code"),
    [(INTERPRETER_ENDS, 0), (INTERPRETER_ENDS + "; global kept; kept = open('/dev/null', 'w')", 9)],
    ids=["plain", "open file"],
)
def test_a_spawned_interpreter_is_taken_apart_only_where_somebody_could_tell(
    tmp_path: Path, run: str, code: int
) -> None:
    """Its own end collects garbage: a collection after the last exit handler ends the child with 9."""
    assert output_of(tmp_path, TOLD.format(run=run)) == f"{code}\n"


def test_importing_the_package_imports_no_heavy_module(tmp_path: Path) -> None:
    program = "import sys; before = {*sys.modules}; import procession; print(*({*sys.modules} - before))"
    loaded = {*output_of(tmp_path, program).split()}
    assert sorted(loaded & HEAVY) == []
