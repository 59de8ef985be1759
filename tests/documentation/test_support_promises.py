"""What the specification's sentences promise of logging, start methods, executables, frozen programs and temporary directories."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import procession as mp

METHODS = ("fork", "spawn", "forkserver")
WAYS = ("import procession as mp", "import procession; procession.install(); import multiprocessing as mp")


def run(source: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        stdin=subprocess.DEVNULL,
        check=False,
    )


LOGGING = """
import logging, sys
{way}

class Shown(logging.Handler):
    def emit(self, record):
        print(record.name, record.processName, record.getMessage(), flush=True)

def child(depth):
    logging.getLogger("other").addHandler(Shown())
    logging.getLogger("other").warning("at depth %d", depth)
    mp.get_logger().warning("ours at depth %d", depth)
    if depth < 2:
        grandchild = mp.Process(target=child, args=(depth + 1,), name=f"depth-{{depth + 1}}")
        grandchild.start(); grandchild.join()
    mp.current_process().name = "renamed"
    logging.getLogger("other").warning("once more")

if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    logger = mp.get_logger()
    print(logger.level, logger.handlers, logger.propagate, mp.get_logger() is logger)
    assert mp.log_to_stderr() is logger
    print(len(logger.handlers), logger.handlers[0].formatter._fmt)
    logger.warning("mine")
    process = mp.Process(target=child, args=(1,), name="depth-1")
    process.start(); process.join()
    print(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", WAYS, ids=["import", "install"])
def test_records_name_their_process_in_children_of_children(tmp_path: Path, method: str, way: str) -> None:
    done = run(LOGGING.format(way=way), tmp_path, method)
    assert done.stdout.splitlines()[:2] == ["0 [] False True", "1 [%(levelname)s/%(processName)s] %(message)s"], (
        done.stderr
    )
    others = [line for line in done.stdout.splitlines() if line.startswith("other ")]
    handlers = 2 if method == "fork" else 1  # a forked child has its parent's, too
    expected = [
        "other depth-1 at depth 1",
        *["other depth-2 at depth 2"] * handlers,
        *["other renamed once more"] * handlers,
        "other renamed once more",
    ]
    assert others == expected
    assert done.stdout.splitlines()[-1] == "0"
    ours = [line for line in done.stderr.splitlines() if line.startswith("[WARNING")]
    assert ours == [
        "[WARNING/MainProcess] mine",
        "[WARNING/depth-1] ours at depth 1",
        "[WARNING/depth-2] ours at depth 2",
    ]


def test_what_logging_hides_stays_hidden(tmp_path: Path) -> None:
    """`logging.logMultiprocessing = False` asks for no process names."""
    source = (
        "import logging, procession as mp; mp.get_logger(); logging.logMultiprocessing = False\n"
        "print(logging.getLogRecordFactory()('n', 20, 'p', 1, 'm', (), None).processName)\n"
    )
    assert run(source, tmp_path).stdout == "None\n"


LATE = """
import sys
import procession as mp
def child():
    import logging
    logging.basicConfig(format="%(processName)s: %(message)s", stream=sys.stdout)
    logging.warning("late")
    sys.stdout.flush()
if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child, name="late-logger")
    process.start(); process.join()
    child()
    print(len([finder for finder in sys.meta_path if "procession" in repr(finder)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_records_name_their_process_where_logging_is_imported_late(tmp_path: Path, method: str) -> None:
    done = run(LATE, tmp_path, method)
    assert (done.stdout, done.stderr) == ("late-logger: late\nMainProcess: late\n0\n", "")


START = """
import os, sys
import procession as mp
def child(answers):
    answers.put((mp.get_start_method(), mp.get_start_method(allow_none=True), mp.parent_process().name))
if __name__ == "__main__":
    print(mp.get_start_method(allow_none=True))
    if sys.argv[1] == "set":
        mp.set_start_method("spawn")
    print(mp.get_start_method() == (mp.get_all_start_methods()[0] if sys.argv[1] == "default" else "spawn"))
    try:
        mp.set_start_method("fork")
    except RuntimeError as error:
        print(error)
    answers = mp.SimpleQueue()
    process = mp.Process(target=child, args=(answers,))
    process.start(); process.join()
    print(answers.get()[0] == mp.get_start_method())
    print(mp.get_context() is mp.get_context(mp.get_start_method()), mp.get_context("spawn").get_context().get_start_method())
"""


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["default", "set"])
def test_the_start_method_is_fixed_by_its_first_use_and_goes_to_children(tmp_path: Path, choice: str) -> None:
    done = run(START, tmp_path, choice)
    assert (done.stdout, done.stderr) == ("None\nTrue\ncontext has already been set\nTrue\nTrue spawn\n", "")


def test_cpus_are_those_of_the_machine() -> None:
    assert mp.cpu_count() == os.cpu_count()


EXECUTABLE = """
import os, sys, pathlib
import procession as mp
def child():
    print(os.environ["STARTED_BY"], flush=True)
if __name__ == "__main__":
    script = os.path.abspath("own-python")
    form = dict(str=str, bytes=os.fsencode, path=pathlib.Path)[sys.argv[2]]
    with open(script, "w") as file:
        file.write(f'#!/bin/sh\\nSTARTED_BY=it exec {sys.executable} "$@"\\n')
    os.chmod(script, 0o700)
    mp.set_executable(form(script))
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start(); process.join()
    print(process.exitcode)
    mp.set_executable(form("/nowhere/python"))
    try:
        mp.get_context("spawn").Process(target=child).start()
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("form", ["str", "bytes", "path"])
def test_children_are_started_by_the_executable_that_was_set(tmp_path: Path, method: str, form: str) -> None:
    done = run(EXECUTABLE, tmp_path, method, form)
    assert done.stdout == "it\n0\nFileNotFoundError\n", done.stderr


FROZEN = """
import sys
import procession as mp
def child():
    print("hello", __name__, flush=True)
if __name__ == "__main__":
    mp.freeze_support()
    mp.get_context("spawn").freeze_support()
    print("main", flush=True)
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start(); process.join()
    print(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_freeze_support_does_nothing_in_a_program_that_is_not_frozen(tmp_path: Path, method: str) -> None:
    done = run(FROZEN, tmp_path, method)
    name = "__main__" if method == "fork" else "__mp_main__"
    assert (done.stdout, done.stderr) == (f"main\nhello {name}\n0\n", "")


TEMP_DIR = """
import os, sys, tempfile
import procession as mp
from procession import util
def child(answers):
    path = util.get_temp_dir()
    answers.put((path, os.path.isdir(path), os.stat(path).st_mode & 0o777))
if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    answers = context.SimpleQueue()
    own = util.get_temp_dir()
    process = context.Process(target=child, args=(answers,))
    process.start(); process.join()
    path, there, mode = answers.get()
    print(path == own, there, oct(mode), os.path.isdir(own), own == util.get_temp_dir())
    print(own if path == own else path)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_temporary_directories_are_private_and_go(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run(TEMP_DIR, tmp_path, method)
    facts, path = done.stdout.splitlines()
    assert facts.split()[1:] == ["True", "0o700", "True", "True"], done.stdout + done.stderr
    assert not os.path.exists(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["program.py"]


LOCKED = """
import sys
import procession as mp
def child(lock, answers):
    with lock:
        answers.put("held")
if __name__ == "__main__":
    lock = mp.get_context("fork").Lock()
    context = mp.get_context(sys.argv[1])
    answers = context.SimpleQueue()
    process = context.Process(target=child, args=(lock, answers))
    process.start(); process.join()
    print(answers.get())
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_objects_of_one_context_serve_processes_of_another(tmp_path: Path, method: str) -> None:
    assert run(LOCKED, tmp_path, method).stdout == "held\n"
