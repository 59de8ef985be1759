"""The number of usable CPUs: affinity, the interpreter's setting, control groups."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procession._os import cpus

TELL = "from procession._os.cpus import usable_cpus; print(usable_cpus())"


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["max", "100000"], sys.maxsize),
        (["150000", "100000"], 2),
        (["100000", "100000"], 1),
        (["1000", "100000"], 1),
        (["-1", "100000"], sys.maxsize),
        (["-1\n", "100000\n"], sys.maxsize),
        (["", ""], sys.maxsize),
        ([], sys.maxsize),
    ],
    ids=str,
)
def test_a_quota_is_rounded_up_to_whole_cpus(words: list[str], limit: int) -> None:
    assert cpus._share(words) == limit


def test_the_limits_of_all_enclosing_groups_count() -> None:
    assert cpus._upwards("/sys/fs/cgroup", "/a/b") == ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]
    assert cpus._upwards("/sys/fs/cgroup", "/") == ["/sys/fs/cgroup"]


def test_usable_cpus_are_within_the_affinity_mask() -> None:
    before = os.sched_getaffinity(0)
    assert 1 <= cpus.usable_cpus() <= len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpus.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.slow
def test_the_interpreters_setting_overrules_the_system() -> None:
    environment = {**os.environ, "PYTHON_CPU_COUNT": "77"}

    def ask(*options: str) -> str:
        command = [sys.executable, *options, "-c", TELL]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert ask() == "77\n"
    assert ask("-X", "cpu_count=5") == "5\n"
