"""Command-line tools that work in several processes do so on procession, with the results that they have alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.deadline(180)]
PROGRAM = """
import multiprocessing

def only_in_children(number):
    doubled = number * 2
    return doubled

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with multiprocessing.Pool(2) as pool:
        print(pool.map(only_in_children, range(4)), multiprocessing.__name__)
        pool.close()
        pool.join()
"""
UNTIDY = "import os,sys\ndef  f( a,b ):\n    return  a+b\n"


def tool(module: str, arguments: Sequence[str], cwd: Path, code: int = 0) -> str:
    command = [sys.executable, "-m", "procession", "-m", module, *arguments]
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def untidy_modules(folder: Path, count: int = 4) -> list[str]:
    names = [f"module{number}.py" for number in range(count)]
    for name in names:
        (folder / name).write_text(UNTIDY)
    return names


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_coverage_sees_what_runs_in_children(tmp_path: Path, method: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(method=method))
    (tmp_path / ".coveragerc").write_text(
        "[run]\nconcurrency = multiprocessing\nparallel = true\nsigterm = true\ndisable_warnings = no-data-collected\n"
    )
    assert tool("coverage", ["run", "program.py"], tmp_path).endswith("[0, 2, 4, 6] procession\n")
    tool("coverage", ["combine"], tmp_path)
    assert "100%" in tool("coverage", ["report"], tmp_path).splitlines()[-1]


def test_black_formats_in_processes(tmp_path: Path) -> None:
    names = untidy_modules(tmp_path)
    assert "4 files reformatted" in tool("black", ["--workers", "2", *names], tmp_path)
    assert len({(tmp_path / name).read_text() for name in names}) == 1


def test_flake8_and_pylint_check_in_processes(tmp_path: Path) -> None:
    names = untidy_modules(tmp_path)
    assert tool("flake8", ["--jobs", "2", *names], tmp_path, code=1).count("E401") == 4
    assert (
        tool("pylint", ["--jobs", "2", "--disable=all", "--enable=C0410", *names], tmp_path, code=16).count("C0410")
        == 4
    )


def test_sphinx_builds_in_processes(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("project = 'many'\n")
    pages = [f"page{number}" for number in range(12)]
    (tmp_path / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n" + "".join(f"   {page}\n" for page in pages))
    for page in pages:
        (tmp_path / f"{page}.rst").write_text(f"{page}\n=======\n\nText.\n")
    assert "build succeeded" in tool("sphinx", ["-j", "2", "-b", "html", ".", "built"], tmp_path)
    assert all((tmp_path / "built" / f"{page}.html").exists() for page in pages)


def test_xdist_runs_tests_in_interpreters_that_have_the_name_too(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import multiprocessing, pytest\n"
        "@pytest.mark.parametrize('n', range(8))\n"
        "def test_it(n):\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert (multiprocessing.__name__, pool.apply(abs, (-n,))) == ('procession', n)\n"
    )
    assert "8 passed" in tool("pytest", ["-n", "2", "-q", "-p", "no:cacheprovider", "test_it.py"], tmp_path)


def test_uvicorn_serves_with_workers_and_ends_on_request(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import multiprocessing, os\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http': return\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    text = f'{multiprocessing.__name__} {os.getpid()}'.encode()\n"
        "    await send({'type': 'http.response.body', 'body': text})\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "procession", "-m", "uvicorn", "--workers", "2", "--port", str(port), "app:app"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            name, pid = answer(f"http://127.0.0.1:{port}/", server)
            assert name == "procession"
            assert int(pid) != server.pid
            os.kill(server.pid, signal.SIGTERM)
            server.wait(30)
        finally:
            server.kill()
            server.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


def answer(url: str, server: subprocess.Popen[bytes]) -> list[str]:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                text: str = response.read().decode()
                return text.split()
        except OSError:
            os.sched_yield()
    raise AssertionError("the server never answered")
