"""The guards can fail: each is shown a test that breaks its rule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEAVES_A_GRANDCHILD = """
import subprocess, sys

def test_it():
    middle = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    subprocess.run([sys.executable, "-c", middle])
"""
LEAVES_A_THREAD = """
import threading, time

def test_it():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
LEAVES_A_DESCRIPTOR = """
import os

def test_it():
    os.pipe()
"""
HANGS = """
import pytest, subprocess, sys, time

@pytest.mark.deadline(0.5)
def test_it():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(60)

def test_next():
    pass
"""
HANGS_FOR_GOOD = """
import pytest, signal, time

@pytest.mark.deadline(0.3)
def test_it():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGABRT})
    time.sleep(60)
"""
CLEAN = """
import os, subprocess, sys, pytest

@pytest.fixture(scope="module")
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)

def test_one(pipe):
    subprocess.run([sys.executable, "-c", ""])

def test_two(pipe):
    assert os.write(pipe[1], b"x")
"""


def run_pytest(tmp_path: Path, source: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_sample.py").write_text(source)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n deadline(seconds): x\n leaves(what, reason): x\nfilterwarnings = error\n"
    )
    plugins = [
        "-p",
        "tests.guards.order",
        "-p",
        "tests.guards.deadline",
        "-p",
        "tests.guards.leaks",
    ]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *plugins,
            *options,
            str(tmp_path),
        ],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (LEAVES_A_GRANDCHILD, "processes"),
        (LEAVES_A_THREAD, "threads"),
        (LEAVES_A_DESCRIPTOR, "descriptors"),
    ],
)
def test_what_a_test_leaves_behind_fails_it(tmp_path: Path, source: str, kind: str) -> None:
    done = run_pytest(tmp_path, source)
    assert done.returncode == 1, done.stdout
    assert f"the test left behind: {kind}" in done.stdout


@pytest.mark.slow
def test_test_that_hangs_fails_at_its_deadline_and_the_next_one_runs(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, HANGS)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "time.sleep(60)" in done.stdout
    assert "killed processes: " in done.stdout


@pytest.mark.slow
def test_test_that_answers_no_signal_ends_the_whole_run_with_its_traceback(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, HANGS_FOR_GOOD, PROCESSION_TEST_GRACE="0.3")
    assert done.returncode == -signal.SIGABRT, done.stdout
    assert "in test_it" in done.stderr


@pytest.mark.slow
def test_clean_tests_pass_and_may_share_what_their_module_opened(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, CLEAN)
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_the_same_seed_gives_the_same_order(tmp_path: Path) -> None:
    source = "".join(f"def test_{n}(): pass\n" for n in range(30))
    orders = [run_pytest(tmp_path, source, "-vv", "--order-seed", seed).stdout for seed in ("1", "1", "2")]
    lines = [[line.split()[0] for line in order.splitlines() if "PASSED" in line] for order in orders]
    assert lines[0] == lines[1] != lines[2]
    assert len(lines[0]) == 30
