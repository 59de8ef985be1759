"""Programs of every shape start processes; unguarded ones are told so, once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from procession._processes.main_module import _is_guarded
from tests.units._processes.conftest import Run

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, procession as mp
def square(conn, x):
    conn.send((x * x, sys.argv[1:]))
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    receiver, sender = ctx.Pipe(duplex=False)
    process = ctx.Process(target=square, args=(sender, 7))
    process.start()
    print(*receiver.recv())
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize(
    "arguments",
    [["program.py"], ["-m", "package.program"], ["-m", "package"], ["folder"], ["archive.zip"], ["no_suffix"]],
    ids=" ".join,
)
def test_a_programs_own_functions_run_in_children(run: Run, method: str, arguments: list[str], tmp_path: Path) -> None:
    names = ["program.py", "no_suffix", "package/program.py", "package/__main__.py", "folder/__main__.py"]
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    done = run(*arguments, method, files={**dict.fromkeys(names, PROGRAM), "package/__init__.py": ""})
    assert (done.stdout, done.stderr, done.returncode) == (f"49 ['{method}']\n", "", 0)


def test_functions_of_standard_input_and_of_a_command_run_in_children(run: Run, method: str) -> None:
    for done in (run("-", method, stdin=PROGRAM), run("-c", PROGRAM, method)):
        assert (done.stdout, done.stderr, done.returncode) == (f"49 ['{method}']\n", "", 0)


SENDS_ITS_OWN = """
import procession as mp
class Point:
    def __init__(self, x): self.x = x
def send(queue):
    queue.put(Point(1))
def make(x):
    return Point(x)
if __name__ == "__main__":
    ctx = mp.get_context("{method}")
    queue = ctx.Queue()
    process = ctx.Process(target=send, args=(queue,))
    process.start()
    print(isinstance(queue.get(timeout=30), Point))
    process.join()
    with ctx.Pool(1) as pool:
        print(isinstance(pool.apply(make, (2,)), Point))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"]], ids=["script", "module"])
def test_children_can_send_objects_of_the_main_modules_classes(run: Run, method: str, arguments: list[str]) -> None:
    done = run(*arguments, files={"program.py": SENDS_ITS_OWN.replace("{method}", method)})
    assert (done.stdout.splitlines(), done.stderr) == (["True", "True"], "")


INTERACTIVE = """
import procession as mp
ctx = mp.get_context({method!r})
receiver, sender = ctx.Pipe(duplex=False)
def square(conn, x):
    conn.send(x * x)

process = ctx.Process(target=square, args=(sender, 7))
process.start()
print(receiver.recv())
process.join()
"""


def test_functions_of_an_interactive_session_run_in_children(run: Run, method: str) -> None:
    done = run("-i", "-q", stdin=INTERACTIVE.format(method=method))
    assert done.stdout.split() == ["49"], done.stderr


def test_the_main_module_of_a_compiled_script_is_imported(run: Run, method: str, tmp_path: Path) -> None:
    import py_compile

    (tmp_path / "program.py").write_text(PROGRAM)
    py_compile.compile(str(tmp_path / "program.py"), cfile=str(tmp_path / "program.pyc"))
    (tmp_path / "program.py").unlink()
    done = run("program.pyc", method)
    assert (done.stdout, done.stderr, done.returncode) == (f"49 ['{method}']\n", "", 0)


UNGUARDED = """
import sys, procession as mp
print("imported", flush=True)
def work(): print("worked", flush=True)
{choose}
{start}
print("went on", flush=True)
"""
STARTS = {
    "process": "process = mp.Process(target=work); process.start(); process.join(); sys.exit(process.exitcode)",
    "pool": "mp.Pool(4).map(int, range(8))",
}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_unguarded_program_is_told_so_once_and_starts_no_storm(run: Run, method: str, kind: str) -> None:
    program = UNGUARDED.format(choose=f"mp.set_start_method({method!r}, force=True)", start=STARTS[kind])
    done = run("unguarded.py", files={"unguarded.py": program})
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert done.stderr.count("if __name__ == '__main__':") == 1
    assert "RuntimeError: a process was to be started while" in done.stderr
    assert done.stdout.count("imported") <= 3  # the program, its one child, and the fork server's preload
    assert "worked" not in done.stdout
    assert "went on" not in done.stdout


def test_a_start_method_that_is_set_unguarded_is_told_so_too(run: Run) -> None:
    program = UNGUARDED.format(choose="mp.set_start_method('spawn')", start=STARTS["process"])
    done = run("unguarded.py", files={"unguarded.py": program})
    assert done.returncode == 1
    assert "set_start_method(), below" in done.stderr


LOOKS_GUARDED = """
import procession as mp
ctx = mp.get_context("spawn")
def work(): pass
if __name__:
    first = ctx.Process(target=work); first.start(); first.join()
    print(first.exitcode, flush=True)
    ctx.Process(target=work).start()
"""


def test_where_the_unguarded_line_is_not_seen_the_next_start_fails(run: Run) -> None:
    done = run("looks.py", files={"looks.py": LOOKS_GUARDED})
    assert done.stdout == "1\n"
    assert (
        done.stderr.count("RuntimeError: a process was to be started while") == 2
    )  # the child's, and the second start's


FAILS_IN_CHILDREN = """
import sys, procession as mp
if __name__ != "__main__":
    {what}
def work(): pass
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=work)
    process.start(); process.join()
    print(process.exitcode, process._popen.failure.kind)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_that_fails_in_children_is_told_on_stderr(run: Run, method: str) -> None:
    program = FAILS_IN_CHILDREN.format(what="raise LookupError('only in children')")
    done = run("fails.py", method, files={"fails.py": program})
    assert done.stdout == "1 main\n"
    assert done.stderr.count("LookupError: only in children") == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_that_exits_in_children_gives_its_exit_code(run: Run, method: str) -> None:
    done = run("exits.py", method, files={"exits.py": FAILS_IN_CHILDREN.format(what="sys.exit(5)")})
    assert (done.stdout, done.stderr) == ("5 main\n", "")


GUARDED = """\
def main():
    start()
if __name__ == "__main__":
    main()
    if True:
        start()
# if __name__ is a comment
start()
for _ in "x":
    start()
if __name__ == "__main__": main()
class A:
    if __name__ == "__main__":
        start()
"""


@pytest.mark.parametrize(("line", "guarded"), [(4, True), (6, True), (8, False), (10, False), (11, True), (14, True)])
def test_a_guard_is_seen_in_the_text(line: int, guarded: bool) -> None:
    assert _is_guarded(GUARDED.splitlines(), line) is guarded
