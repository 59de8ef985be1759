"""The benchmarks run, find what is wrong, and say what they found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.slow
def test_a_quick_run_prints_a_line_with_a_ratio_for_each_workload() -> None:
    done = run("benchmarks", "--quick", "--only", "sync.lock", "msg.queue_1p1c_int")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| sync.", "| msg."))]
    assert sorted(row[0] for row in rows) == ["| msg.queue_1p1c_int", "| sync.lock"]
    assert all(row[7].endswith("x") for row in rows)


@pytest.mark.slow
def test_a_crowded_run_compares_spinning_with_plain_waits_on_idle_and_on_busy_cpus() -> None:
    done = run("benchmarks.crowded", "--rounds", "1", "--scale", "0.02", "--only", "msg.queue_1p1c_int")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if "msg.queue" in line and line.startswith("|")]
    assert len(rows) == 3
    assert all(cell != "-" for row in rows for cell in row)


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    done = run("benchmarks", "--only", "no.such")
    assert done.returncode != 0
    assert "no workload matches no.such" in done.stderr


def test_a_wrong_result_is_no_figure() -> None:
    program = "from benchmarks.catalogue import check\ncheck(1 + 1 == 3, 'a sum was wrong')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert "wrong result: a sum was wrong" in done.stderr


def test_the_report_says_what_is_short_of_its_goal_and_what_failed() -> None:
    from benchmarks.measuring import Measurement, Missing
    from benchmarks.report import Row, Run, markdown
    from benchmarks.workloads import load

    load()
    found = {"procession": [Measurement(100.0, 1.0)], "stdlib": [Measurement(50.0, 1.0)]}
    slow = Row("sync.lock", found)
    failing = Row("sync.rlock", {**found, "stdlib": Missing("failed: wrong result: a lock")})
    text = markdown(Run([slow, failing], ["procession", "stdlib"], {"pair": 10.0}, "command", 1, (0.0, 0.0)))
    assert "Short of the goal: `sync.lock`." in text
    assert "- `sync.rlock`, stdlib: failed: wrong result: a lock" in text


@pytest.mark.parametrize(
    ("name", "good", "bad", "named"),
    [
        ("pool.skewed.map", 1.04, 1.06, "at most 1.05"),
        ("pool.scaling.4", 0.7, 0.6, "0.95 of the limit"),
        ("sync.lock", 40.0, 60.0, "1x"),
    ],
)
def test_a_goal_is_short_by_its_own_kind_of_measure(name: str, good: float, bad: float, named: str) -> None:
    from benchmarks.measuring import Measurement
    from benchmarks.report import Row, goal
    from benchmarks.workloads import load

    load()

    def shown(figure: float) -> str:
        row = Row(name, {"procession": [Measurement(figure, 1.0)], "stdlib": [Measurement(50.0, 1.0)]})
        return goal(row, {"scaling.4": 0.7})

    assert shown(good) == named
    assert shown(bad) == f"{named} **short**"
