"""A worker that the kernel kills because memory ran out: the error says so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import procession as mp
from procession.errors import WorkerDied
from tests.faults.pool import tasks
from tests.faults.pool.conftest import check_whole

MEGABYTE = 1 << 20
LIMITED = 64 * MEGABYTE


@contextlib.contextmanager
def memory_limit() -> Iterator[Path]:
    """A control group whose processes may use 64 MiB; write a process id to the file to put it there."""
    for top, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(top) / f"procession-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(LIMITED))
                yield group / "cgroup.procs"
                return
        finally:
            group.rmdir()
    pytest.skip("no control group for memory can be made here")


def eat(megabytes: int) -> int:
    eaten = [os.urandom(MEGABYTE) for _ in range(megabytes)]
    return len(eaten)


@pytest.mark.slow
def test_the_error_says_that_memory_ran_out() -> None:
    with memory_limit() as members:
        with mp.get_context("fork").Pool(2) as pool:
            for worker in pool._pool:
                members.write_text(str(worker.pid))
            with pytest.raises(WorkerDied, match="memory") as told:
                pool.apply_async(eat, (400,)).get(20)
            assert told.value.out_of_memory
            assert told.value.exitcode == -9
            check_whole(pool)
            with pytest.raises(WorkerDied) as told:
                pool.apply_async(tasks.kill, (9,)).get(20)
            assert not told.value.out_of_memory
        pool.join()
