"""Pools: calls, streams, how tasks are spread, what a pool costs when idle."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, at_most, check, of_limit, per_second, timed, workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.libraries import Library


def nothing(x: Any) -> Any:
    return x


def pair_sum(x: int, y: int) -> int:
    return x + y


@workload("pool.apply", "us", goal=40, needs="pool")
def apply(library: Library, scale: float) -> Figure:
    count = int(5000 * scale)
    with library.pool(2) as pool:
        pool.apply(nothing, 0)
        began = time.perf_counter()
        for number in range(count):
            check(pool.apply(nothing, number) == number, "a result was wrong")
        return timed("us", count, began)


@workload("pool.apply_async_50k", "/s", goal=15, needs="pool")
def apply_async(library: Library, scale: float) -> Figure:
    count = int(50_000 * scale)
    with library.pool(4) as pool:
        pool.apply(nothing, 0)
        began = time.perf_counter()
        check(pool.submit_all(nothing, range(count)) == list(range(count)), "results were wrong")
        return per_second(count, began)


@workload("pool.map_chunk1_100k", "/s", goal=12, needs="pool")
def map_chunk1(library: Library, scale: float) -> Figure:
    count = int(100_000 * scale)
    with library.pool(4) as pool:
        pool.map(nothing, range(8), 1)
        began = time.perf_counter()
        check(pool.map(nothing, range(count), 1) == list(range(count)), "results were wrong")
        return per_second(count, began)


@workload("pool.map_default_1M", "/s", goal=1.5, needs="pool")
def map_default(library: Library, scale: float) -> Figure:
    count = int(1_000_000 * scale)
    with library.pool(4) as pool:
        pool.map(nothing, range(8))
        began = time.perf_counter()
        check(pool.map(nothing, range(count)) == list(range(count)), "results were wrong")
        return per_second(count, began)


@workload("pool.starmap_100k", "/s", goal=1.5, needs="pool")
def starmap(library: Library, scale: float) -> Figure:
    count = int(100_000 * scale)
    pairs = [(number, 1) for number in range(count)]
    with library.pool(4) as pool:
        pool.starmap(pair_sum, pairs[:8])
        began = time.perf_counter()
        check(pool.starmap(pair_sum, pairs) == list(range(1, count + 1)), "results were wrong")
        return per_second(count, began)


@workload("pool.imap_50k", "/s", goal=12, needs="pool")
def imap(library: Library, scale: float) -> Figure:
    count = int(50_000 * scale)
    with library.pool(4) as pool:
        pool.map(nothing, range(8), 1)
        began = time.perf_counter()
        check(list(pool.stream(nothing, range(count))) == list(range(count)), "results were wrong")
        return per_second(count, began)


@workload("pool.imap_unordered_50k", "/s", goal=12, needs="pool")
def imap_unordered(library: Library, scale: float) -> Figure:
    count = int(50_000 * scale)
    with library.pool(4) as pool:
        pool.map(nothing, range(8), 1)
        began = time.perf_counter()
        check(sorted(pool.stream_unordered(nothing, range(count))) == list(range(count)), "results were wrong")
        return per_second(count, began)


# ── how tasks are spread ────────────────────────────────────────────────────────────────────────
def work(microseconds: float) -> float:
    """Compute for so long, by this thread's CPU clock."""
    until = time.thread_time() + microseconds / 1e6
    while time.thread_time() < until:
        pass
    return microseconds


def rest(microseconds: float) -> float:
    time.sleep(microseconds / 1e6)
    return microseconds


SKEWED = [200_000.0, *[1_000.0] * 600]  # one long task first, many short ones: 800 ms in all


def skewed(library: Library, scale: float, call: str) -> Figure:
    """Makespan over what four workers need at best; the tasks sleep, so other work on the machine hardly matters."""
    tasks = [task * scale for task in SKEWED]
    with library.pool(4) as pool:
        pool.map(nothing, range(8), 1)
        began = time.perf_counter()
        done = list(getattr(pool, call)(rest, tasks))
        makespan = time.perf_counter() - began
    check(sorted(done) == sorted(tasks), "results were wrong")
    overhead = measured_rest(1_000.0 * scale) / (1_000.0 * scale / 1e6)  # sleeping takes a little longer than asked for
    return Figure(makespan / (max(*tasks, sum(tasks) / 4) / 1e6 * overhead), len(tasks))


def measured_rest(microseconds: float) -> float:
    began = time.perf_counter()
    for _ in range(50):
        rest(microseconds)
    return (time.perf_counter() - began) / 50


@workload("pool.skewed.map", "x ideal", goal=at_most(1.05), needs="pool")
def skewed_map(library: Library, scale: float) -> Figure:
    return skewed(library, max(scale, 0.5), "map")


@workload("pool.skewed.imap_unordered", "x ideal", goal=at_most(1.05), needs="pool")
def skewed_imap_unordered(library: Library, scale: float) -> Figure:
    return skewed(library, max(scale, 0.5), "stream_unordered")


def scaling(library: Library, tasks: int, microseconds: float) -> Figure:
    """Work done in four workers, over four times what one process does alone in that time; 1 needs four idle CPUs."""
    workers = 4
    with library.pool(workers) as pool:
        pool.map(nothing, range(8), 1)
        began = time.perf_counter()
        pool.map(work, [microseconds] * tasks, 1)
        seconds = time.perf_counter() - began
    return Figure(tasks * microseconds / 1e6 / (seconds * workers), tasks)


@workload("pool.scaling.4", "efficiency", goal=of_limit(0.95), limit="scaling.4", needs="pool")
def scaling_4(library: Library, scale: float) -> Figure:
    return scaling(library, int(200 * scale), 10_000)


@workload("pool.scaling.4.fine", "efficiency", goal=of_limit(0.9), limit="scaling.4", needs="pool")
def scaling_4_fine(library: Library, scale: float) -> Figure:
    return scaling(library, int(20_000 * scale), 50)


# ── what it costs to have one ───────────────────────────────────────────────────────────────────
def startup(library: Library, scale: float, method: str) -> Figure:
    """A pool is made, answers, and ends; the fork server or the resource tracker runs already."""
    count = max(2, int(20 * scale)) if method == "fork" else max(2, int(6 * scale))
    nothing = sys.modules["__main__"].nothing  # as in most programs: workers import no more than the main module
    with library.pool(4, method) as pool:
        pool.map(nothing, range(8), 1)
    began = time.perf_counter()
    for _ in range(count):
        with library.pool(4, method) as pool:
            check(pool.map(nothing, range(8), 1) == list(range(8)), "results were wrong")
    return timed("ms", count, began)


@workload("pool.startup.fork", "ms", goal=2, limit="fork", needs="startup")
def startup_fork(library: Library, scale: float) -> Figure:
    return startup(library, scale, "fork")


@workload("pool.startup.forkserver", "ms", goal=3, needs="startup")
def startup_forkserver(library: Library, scale: float) -> Figure:
    return startup(library, scale, "forkserver")


@workload("pool.startup.spawn", "ms", goal=3, limit="python", needs="startup")
def startup_spawn(library: Library, scale: float) -> Figure:
    return startup(library, scale, "spawn")


def resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@workload("pool.imap_memory", "MiB", goal=at_most(1), needs="pool")
def imap_memory(library: Library, scale: float) -> Figure:
    """How much the parent grows while the results of a long stream come, and it rests after a thousand of them."""
    count, rest_seconds = int(300_000 * scale), 3 * scale
    with library.pool(2) as pool:
        pool.map(nothing, range(8), 1)
        before, began, operations = resident_mib(), time.perf_counter(), 1000
        results = iter(stream(library, pool, count))
        for expected in range(operations):
            check(next(results) == expected, "results were wrong")
        while time.perf_counter() - began < rest_seconds:
            time.sleep(0.01)
        return Figure(max(0.0, resident_mib() - before), operations)


def stream(library: Library, pool: Any, count: int) -> Iterator[Any]:
    """With a bounded buffer where the library has one."""
    if library.name == "procession":
        return pool.pool.imap(nothing, range(count), buffersize=1000)
    return pool.stream(nothing, range(count))


@workload("pool.idle_cpu", "ms/s", goal=at_most(0.1), needs="pool")
def idle_cpu(library: Library, scale: float) -> Figure:
    """CPU time that the parent and its workers use in a second in which nothing is asked of them.

    The goal is none; a tenth of a millisecond is what some twenty wake-ups cost, and what one look at the clocks may show.
    """
    seconds = max(1.0, 3 * scale)
    with library.pool(4) as pool:
        pool.map(nothing, range(8), 1)
        time.sleep(0.3)
        workers, own = descendants_cpu_ms(), time.process_time()
        time.sleep(seconds)
        own = (time.process_time() - own) * 1e3
        return Figure((descendants_cpu_ms() - workers + own) / seconds, 1)


def descendants_cpu_ms() -> float:
    """CPU time of all living descendants of this process, in milliseconds."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                with open(f"/proc/{name}/schedstat", encoding="ascii") as file:
                    nanoseconds = int(file.read().split()[0])
            except OSError:
                continue
            parents[int(name)], spent[int(name)] = int(fields[1]), nanoseconds / 1e6
    mine = {os.getpid()}
    while new := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= new
    return sum(spent[pid] for pid in mine - {os.getpid()})
