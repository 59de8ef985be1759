"""The harness itself: it names what fails, hangs and crashes, and its verdict can fail."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conformance import jobs, prefix, verdict
from tests.conformance.jobs import Class, Limits, Result

SAMPLE = """
import os, subprocess, sys, threading, time, unittest

class Sample(unittest.TestCase):
    def test_a_passes(self):
        pass
    def test_b_fails(self):
        self.assertEqual(1, 2)
    def test_c_crashes(self):
        os._exit(3)
    def test_d_hangs(self):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).wait()
    def test_e_fails_in_a_subtest(self):
        with self.subTest(n=1):
            self.fail("one")
    def test_f_skips(self):
        self.skipTest("no reason")
    def test_g_passes_after_all_that(self):
        pass

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError("set-up")
    def test_a(self):
        pass

class Messy(unittest.TestCase):
    def test_a(self):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

class HangsAtExit(unittest.TestCase):
    def test_a(self):
        threading.Thread(target=time.sleep, args=(60,)).start()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A Python with a driver and the sample beside it."""
    folder = tmp_path / "driver"
    folder.mkdir()
    shutil.copy(Path(prefix.__file__).with_name("driver.py"), folder)
    (folder / "sample.py").write_text(SAMPLE)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python3"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return program


def run_sample(program: Path, name: str, *tests: str) -> Class:
    case = Class("sample", name, list(tests) or ["test_a"])
    assert list(jobs.run(program, [case], 2, Limits(test=2.0, class_=20.0))) == [case]
    return case


@pytest.mark.slow
def test_each_test_gets_its_own_status_though_others_crash_and_hang(program: Path) -> None:
    names = ["a_passes", "b_fails", "c_crashes", "d_hangs", "e_fails_in_a_subtest", "f_skips"]
    tests = [f"test_{name}" for name in names] + ["test_g_passes_after_all_that"]
    case = run_sample(program, "Sample", *tests)
    found = {test: case.results[test].status for test in tests}
    assert list(found.values()) == ["ok", "fail", "crash", "hang", "fail", "skip", "ok"]
    assert "AssertionError: 1 != 2" in case.results["test_b_fails"].detail
    assert "in test_d_hangs" in case.results["test_d_hangs"].detail


@pytest.mark.slow
def test_failing_set_up_fails_every_test_of_the_class(program: Path) -> None:
    assert run_sample(program, "Broken").results["test_a"].status == "error"


@pytest.mark.slow
def test_processes_that_a_class_leaves_are_named_and_killed(program: Path) -> None:
    case = run_sample(program, "Messy")
    assert case.results["test_a"].status == "ok"
    assert "time.sleep(60)" in case.left_behind[0]


@pytest.mark.slow
def test_class_that_does_not_exit_is_a_hang_of_its_exit(program: Path) -> None:
    case = run_sample(program, "HangsAtExit")
    assert {name: result.status for name, result in case.results.items()} == {
        "test_a": "ok",
        "exit": "hang",
    }


LIST = """
skips = ["known"]
lacking = ["multiprocessing.gone"]
[[failing]]
tests = ["A.test_listed", "A.test_stale*"]
reason = "later"
[[failing]]
tests = ["A.test_other"]
methods = ["spawn"]
reason = "later"
"""


@pytest.fixture
def exceptions(tmp_path: Path) -> verdict.Exceptions:
    (tmp_path / "list.toml").write_text(LIST)
    return verdict.Exceptions.load("fork", "3.13", tmp_path / "list.toml")


@pytest.mark.parametrize(
    ("test", "status", "said"),
    [
        ("A.test_new", "fail", "A.test_new: fail"),
        ("A.test_new", "hang", "A.test_new: hang"),
        ("A.test_other", "crash", "A.test_other: crash"),
        ("A.test_listed", "ok", "take it from the list"),
        ("A.test_new", "skip", "skipped for a reason that is not listed"),
    ],
)
def test_verdict_fails_on(exceptions: verdict.Exceptions, test: str, status: str, said: str) -> None:
    found = verdict.complaints({test: Result(status)}, exceptions, whole=False)
    assert len(found) == 1
    assert said in found[0]


def test_verdict_accepts_what_is_listed(exceptions: verdict.Exceptions) -> None:
    results = {
        "A.test_good": Result("ok"),
        "A.test_listed": Result("hang"),
        "A.test_skipped": Result("skip", detail="known"),
    }
    assert verdict.complaints(results, exceptions, whole=False) == []


def test_verdict_fails_on_entry_that_matches_nothing(exceptions: verdict.Exceptions) -> None:
    said = verdict.complaints({"A.test_listed": Result("fail")}, exceptions, whole=True)
    assert said == ["exceptions.toml: 'A.test_stale*' matches no test: take it from the list"]


def test_verdict_fails_on_missing_names_and_processes_left(exceptions: verdict.Exceptions) -> None:
    lacking = ["multiprocessing.gone: No module", "multiprocessing.heap.Arena"]
    said = verdict.complaints_beside(lacking, {"A": ["python"]}, exceptions)
    assert len(said) == 2


def test_list_in_the_repository_is_well_formed() -> None:
    for method in prefix.METHODS:
        verdict.Exceptions.load(method, "3.13")


def test_names_read_at_import_are_found_and_those_in_functions_are_not(tmp_path: Path) -> None:
    suite = tmp_path / "suite.py"
    suite.write_text(
        "import multiprocessing.heap\nfrom multiprocessing import util\n"
        "from multiprocessing.connection import wait\nLEVEL = util.SUBWARNING\n"
        "class A:\n    x = multiprocessing.dummy.Pool\n"
        "    def f(self): return multiprocessing.process.current\n"
    )
    assert prefix.names_needed(suite) == {
        ("heap", ""),
        ("util", ""),
        ("util", "SUBWARNING"),
        ("connection", "wait"),
        ("dummy", "Pool"),
    }


@pytest.mark.slow
@pytest.mark.conformance
@pytest.mark.deadline(120)
def test_baseline_of_the_standard_library_passes_in_the_harness() -> None:
    """One class of each kind: were the harness broken, a failure of ours would prove nothing."""
    from tests.conformance.run import run_suite

    interpreter = prefix.Interpreter.of(sys.executable)
    only = [
        "WithProcessesTestEvent.*",
        "WithManagerTestEvent.*",
        "WithThreadsTestEvent.*",
        "TestFlags.*",
    ]
    try:
        run = run_suite(interpreter, "fork", target="standard", only=only)
    except prefix.SuiteMissing as missing:
        pytest.skip(str(missing))
    assert {result.status for result in run.results.values()} == {"ok"}
    assert len(run.results) >= 4
