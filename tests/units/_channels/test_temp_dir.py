"""The directory for files of a process is private, shared with forked children, and goes when nobody uses it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import Any

import pytest

from procession._channels.temp_dir import get_temp_dir
from tests.units._channels.forked import child

PRINTS = "from procession._channels.temp_dir import get_temp_dir; print(get_temp_dir(), flush=True); "


def run(code: str, parent: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(parent)},
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def test_the_directory_is_private_and_the_same_for_forked_children() -> None:
    path = get_temp_dir()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700

    def look() -> None:
        assert get_temp_dir() == path

    with child(look):
        pass
    assert os.path.isdir(path)


@pytest.mark.slow
def test_the_directory_of_a_killed_process_is_removed_by_the_next_one(tmp_path: Any) -> None:
    with run(PRINTS + "input()", tmp_path) as alive, run(PRINTS + "input()", tmp_path) as killed:
        assert alive.stdout
        assert killed.stdout
        kept, left = alive.stdout.readline().strip(), killed.stdout.readline().strip()
        assert os.path.isdir(left)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        with run(PRINTS + "input()", tmp_path) as third:
            assert third.stdout
            third.stdout.readline()
            assert not os.path.exists(left)
            assert os.path.isdir(kept)
            third.communicate("\n")
        alive.communicate("\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["procession-notes", "pymp-procession-notes-of-mine", "pymp-abcdefgh"])
def test_directories_that_only_look_like_ours_are_left_alone(tmp_path: Any, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "work").write_text("weeks of it")
    with run(PRINTS, tmp_path) as process:
        process.communicate()
    assert (tmp_path / name / "work").read_text() == "weeks of it"


@pytest.mark.slow
def test_its_making_is_logged_under_the_documented_name(tmp_path: Any) -> None:
    code = (
        "import logging, sys, procession as mp; logger = mp.get_logger(); logger.setLevel(logging.INFO); "
        "logger.addHandler(logging.StreamHandler(sys.stdout)); "
    )
    with run(code + PRINTS, tmp_path) as process:
        printed, _ = process.communicate()
    said, path, *_ = printed.splitlines()
    assert said == f"created temp directory {path}"
    assert os.path.basename(path).startswith("pymp-")
