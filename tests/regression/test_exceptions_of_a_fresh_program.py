"""A program whose first shared object was a queue, and that never made a lock, got RuntimeError for `queue.Empty`."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAKE = {
    "Empty": "procession.Queue().get_nowait()",
    "Full": "q = procession.Queue(1); q.put(1); q.put_nowait(2)",
    "ShutDown": "q = procession.Queue(); q.shutdown(); q.put(1)",
    "BrokenBarrierError": "procession.Barrier(2).wait(0)",
}


@pytest.mark.parametrize("name", MAKE)
def test_the_first_object_of_a_program_raises_the_documented_exception(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"import procession; {MAKE[name]}"], capture_output=True, text=True, check=False
    )
    assert run.stderr.splitlines()[-1].split(":")[0].rpartition(".")[2] == name
