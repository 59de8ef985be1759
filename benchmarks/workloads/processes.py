"""Starting processes, and importing the package."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.catalogue import Figure, check, timed, workload

if TYPE_CHECKING:
    from benchmarks.libraries import Library


def start_join(library: Library, method: str, count: int) -> Figure:
    context = library.module.get_context(method)
    nothing = sys.modules["__main__"].nothing  # as in most programs: children import no more than the main module
    first = context.Process(target=nothing, args=(0,))
    first.start()
    first.join()
    began = time.perf_counter()
    for number in range(count):
        process = context.Process(target=nothing, args=(number,))
        process.start()
        process.join()
        check(process.exitcode == 0, "a process failed")
    return timed("ms", count, began)


@workload("proc.start_join.fork", "ms", goal=1, limit="fork")
def start_join_fork(library: Library, scale: float) -> Figure:
    return start_join(library, "fork", int(200 * scale))


@workload("proc.start_join.forkserver", "ms", goal=4.5)
def start_join_forkserver(library: Library, scale: float) -> Figure:
    return start_join(library, "forkserver", int(80 * scale))


@workload("proc.start_join.spawn", "ms", goal=2, limit="python")
def start_join_spawn(library: Library, scale: float) -> Figure:
    return start_join(library, "spawn", max(3, int(15 * scale)))


PROGRAM = """
import sys, time
began = time.perf_counter()
import {module} as mp
mp.Process, mp.Queue, mp.Lock, mp.Pool
print((time.perf_counter() - began) * 1e3)
"""


@workload("proc.import", "ms", goal=1)
def importing(library: Library, scale: float) -> Figure:
    """`import` in a fresh interpreter, and the names that a program uses looked up."""
    import subprocess  # here, since what is spawned imports this file

    count = max(3, int(10 * scale))
    program = PROGRAM.format(module=library.module_name)
    took = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(count)
    ]
    return Figure(sorted(took)[count // 2], count)
