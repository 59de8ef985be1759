"""`python -m procession` runs programs as Python would, with the name `multiprocessing` ours, in every child too."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, multiprocessing.pool, sys

def report(queue, method):
    queue.put((method, multiprocessing.get_context.__module__, __name__, sys.argv[1:]))

if __name__ == "__main__":
    import multiprocessing.connection as connection
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=report, args=(queue, method))
        process.start()
        print(*queue.get(timeout=30))
        process.join()
    print(multiprocessing.__name__, connection.__name__, sys.modules["__main__"].__name__)
    sys.exit(int(sys.argv[1]))
"""
EXPECTED = ["fork", "spawn", "forkserver"]


def run(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd, input=stdin, check=False
    )


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == EXPECTED, done.stdout
    assert all("procession._context" in line and "['7', 'more']" in line for line in lines[:3]), done.stdout
    assert lines[3] == "procession procession.connection __main__"
    assert done.stderr == ""


@pytest.mark.slow
def test_a_script_runs_unmodified(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    check(run("-m", "procession", "program.py", "7", "more", cwd=tmp_path))


@pytest.mark.slow
def test_a_module_of_a_package_runs_unmodified(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(PROGRAM)
    check(run("-m", "procession", "-m", "package", "7", "more", cwd=tmp_path))


@pytest.mark.slow
def test_a_directory_and_a_zip_file_run_unmodified(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "__main__.py").write_text(PROGRAM)
    check(run("-m", "procession", "folder", "7", "more", cwd=tmp_path))
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    check(run("-m", "procession", "program.zip", "7", "more", cwd=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["-", "7", "more"], []])
def test_a_program_from_standard_input_runs_unmodified(tmp_path: Path, arguments: list[str]) -> None:
    pooled = PROGRAM.replace(
        "    print(multi",
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert pool.map(double, [1, 2]) == [2, 4]\n"
        "    sys.argv[1:] = ['7', 'more']\n"
        "    print(multi",
    )
    pooled = pooled.replace('if __name__ == "', 'def double(number):\n    return number * 2\n\nif __name__ == "')
    done = run("-m", "procession", *arguments, cwd=tmp_path, stdin=pooled)
    assert (done.returncode, done.stderr) == (7, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*EXPECTED, "procession"]


@pytest.mark.slow
def test_a_terminal_is_asked_line_by_line(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "procession"]
    said = (
        b"def double(number): return number * 2\n\nimport multiprocessing as mp; pool = mp.get_context('spawn').Pool(1)\n"
        b"print(pool.map(double, [20, 1]), mp.__name__); pool.close(); pool.join()\n\x04"
    )
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path
    ) as asked:
        os.close(theirs)
        os.write(ours, said)
        out, _ = asked.communicate(timeout=40)
    os.close(ours)
    assert b"[40, 2] procession" in out


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("way", ["file", "code", "stdin"])
def test_a_program_without_a_guard_gets_one_error_or_runs(tmp_path: Path, method: str, way: str) -> None:
    text = (
        f"import multiprocessing as mp\nmp.set_start_method({method!r})\ndef double(number): return number * 2\n"
        "with mp.Pool(2) as pool: print(pool.map(double, range(3)))\n"
    )
    (tmp_path / "program.py").write_text(text)
    arguments = {"file": ["program.py"], "code": ["-c", text], "stdin": ["-"]}[way]
    done = run("-m", "procession", *arguments, cwd=tmp_path, stdin=text if way == "stdin" else None)
    if way == "file":  # its children have to import it
        assert done.returncode == 1
        assert done.stderr.count("if __name__ == '__main__'") == 1
        assert done.stderr.count("Traceback") == 1
    else:  # its children cannot: functions go by value
        assert (done.stdout, done.stderr, done.returncode) == ("[0, 2, 4]\n", "", 0)


@pytest.mark.slow
def test_source_text_runs_and_its_children_install_too(tmp_path: Path) -> None:
    code = (
        "import multiprocessing as mp\n"
        "p = mp.get_context('spawn').Pool(2)\n"
        "print(p.map(abs, [-1, -2]), mp.__name__, p.apply(eval, (\"__import__('multiprocessing').__name__\",)))\n"
        "p.close(); p.join()\n"
    )
    done = run("-m", "procession", "-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("[1, 2] procession procession\n", "", 0)


def test_install_says_when_it_comes_too_late(tmp_path: Path) -> None:
    done = run("-c", "import multiprocessing, procession; procession.install()", cwd=tmp_path)
    assert done.returncode == 1
    assert "came too late" in done.stderr
    assert "python -m procession PROGRAM" in done.stderr


def test_install_is_idempotent_and_serves_submodules(tmp_path: Path) -> None:
    code = (
        "import procession; procession.install(); procession.install()\n"
        "import multiprocessing.queues as q, multiprocessing as mp, sys\n"
        "from multiprocessing import *\n"
        "print(q.__name__, mp.queues is q, Lock is mp.Lock, sys.modules['multiprocessing.queues'] is q)\n"
        "import multiprocessing.nothing\n"
    )
    done = run("-c", code, cwd=tmp_path)
    assert done.stdout == "procession.queues True True True\n"
    assert "ModuleNotFoundError: procession has no module 'procession.nothing'" in done.stderr


@pytest.mark.slow
def test_interpreters_that_are_started_by_any_means_install_it_too(tmp_path: Path) -> None:
    code = (
        "import multiprocessing as mp, subprocess, sys, os\n"
        "ask = 'import multiprocessing.util as u; print(u.__name__)'\n"
        "subprocess.run([sys.executable, '-c', ask], check=True)\n"
        "del os.environ['PROCESSION_INSTALL']\n"
        "subprocess.run([sys.executable, '-c', ask], check=True)\n"
    )
    done = run("-m", "procession", "-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("procession.util\nmultiprocessing.util\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m"], "usage: python -m procession"),
        (["--nonsense"], "unknown option --nonsense"),
        (["missing.py"], "can't open file 'missing.py'"),
    ],
)
def test_a_wrong_command_line_is_told(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run("-m", "procession", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_standard_library_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import procession as mp, sys\n"
        "mp.Lock(); mp.Queue(); mp.Event(); mp.Value('i'); mp.Pool\n"
        "import procession.managers, procession.connection\n"
        "print([name for name in sys.modules if 'multiprocessing' in name or name in ('_posixshmem', '_multiprocessing')])\n"
    )
    assert run("-c", code, cwd=tmp_path).stdout == "[]\n"
