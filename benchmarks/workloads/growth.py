"""How costs grow: with processes, the parent, objects, the size of a message, the number of tasks. Not part of the table: `growth`."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.catalogue import Figure, check, per_second, timed
from benchmarks.libraries import Lacking
from benchmarks.workloads.starting import Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.libraries import Library

SERIES: dict[str, Series] = {}
MIB = 1 << 20


class Series(NamedTuple):
    """One curve: `run(library, x)` for each of `over`; its unit, and what the axis counts."""

    name: str
    title: str
    unit: str
    axis: str
    over: tuple[int, ...]
    run: Callable[[Library, float], Figure]


def series(name: str, title: str, unit: str, axis: str, over: tuple[int, ...]) -> Callable[[Any], Any]:
    def enter(run: Callable[[Library, float], Figure]) -> Callable[[Library, float], Figure]:
        SERIES[name] = Series(name, title, unit, axis, over, run)
        return run

    return enter


PROCESSES = (2, 4, 8, 16, 32, 64)


# ── with processes ──────────────────────────────────────────────────────────────────────────────
def produce(queue: Any, count: int, start: Start) -> None:
    start.line_up()
    for number in range(count):
        queue.put(number)


def consume(queue: Any, answer: Any) -> None:
    answer.put(sum(1 for _ in iter(queue.get, -1)))


@series("processes.queue", "a queue, half of them put, half get: messages", "/s", "processes", PROCESSES)
def queue_of_many(library: Library, x: float) -> Figure:
    half, items = int(x) // 2, 200_000
    queue, answer, start = library.module.Queue(), library.module.Queue(), Start(library, half)
    readers = [library.process(target=consume, args=(queue, answer)) for _ in range(half)]
    writers = [library.process(target=produce, args=(queue, items // half, start)) for _ in range(half)]
    for process in readers + writers:
        process.start()
    began = start.began()
    for process in writers:
        process.join()
    for _ in readers:
        queue.put(-1)
    got = sum(answer.get() for _ in readers)
    figure = per_second(got, began)
    for process in readers:
        process.join()
    check(got == items // half * half, "messages were lost")
    return figure


def count_up(lock: Any, value: Any, rounds: int, start: Start) -> None:
    start.line_up()
    for _ in range(rounds):
        with lock:
            value.value += 1


@series("processes.lock", "one lock that all of them want: sections passed", "/s", "processes", PROCESSES)
def lock_of_many(library: Library, x: float) -> Figure:
    processes, rounds = int(x), 200_000 // int(x)
    lock, value, start = library.module.Lock(), library.module.RawValue("l", 0), Start(library, processes)
    children = [library.process(target=count_up, args=(lock, value, rounds, start)) for _ in range(processes)]
    for child in children:
        child.start()
    began = start.began()
    for child in children:
        child.join()
    figure = per_second(processes * rounds, began)
    check(value.value == processes * rounds, "the lock let two in")
    return figure


def nothing(number: int) -> int:
    return number


@series("processes.pool", "a pool of so many workers, map of no-ops by one: tasks", "/s", "workers", PROCESSES)
def pool_of_many(library: Library, x: float) -> Figure:
    count = 30_000
    with library.module.Pool(int(x)) as pool:
        pool.map(nothing, range(100), chunksize=1)
        began = time.perf_counter()
        check(pool.map(nothing, range(count), chunksize=1) == list(range(count)), "results were wrong")
        return per_second(count, began)


@series("processes.pool_start", "a pool of so many workers: until the first result", "ms", "workers", PROCESSES)
def start_pool_of_many(library: Library, x: float) -> Figure:
    began = time.perf_counter()
    with library.module.Pool(int(x)) as pool:
        check(pool.map(nothing, range(8)) == list(range(8)), "results were wrong")
        return timed("ms", 1, began)


def set_often(proxy: Any, key: int, count: int, start: Start) -> None:
    start.line_up()
    for number in range(count):
        proxy[key] = number


@series("processes.manager", "a manager's dictionary that all of them write to: calls", "/s", "clients", PROCESSES)
def manager_of_many(library: Library, x: float) -> Figure:
    clients, count, start = int(x), 16_000 // int(x), Start(library, int(x))
    with library.module.Manager() as manager:
        proxy = manager.dict()
        children = [library.process(target=set_often, args=(proxy, key, count, start)) for key in range(clients)]
        for child in children:
            child.start()
        began = start.began()
        for child in children:
            child.join()
        figure = per_second(clients * count, began)
        check(dict(proxy) == dict.fromkeys(range(clients), count - 1), "a client failed")
        return figure


# ── with the parent ─────────────────────────────────────────────────────────────────────────────
def start_from_large(library: Library, mebibytes: float, method: str, starts: int) -> Figure:
    """A process started and joined by a parent that has so much memory of its own."""
    context, held = library.module.get_context(method), bytearray(int(mebibytes) * MIB)
    held[:: resource.getpagesize()] = b"1" * len(held[:: resource.getpagesize()])  # every page is there
    nothing = sys.modules["__main__"].nothing  # as in most programs: children import no more than the main module
    for timing in (False, True):  # the first one also starts the fork server
        began = time.perf_counter()
        for number in range(starts if timing else 1):
            process = context.Process(target=nothing, args=(number,))
            process.start()
            process.join()
            check(process.exitcode == 0, "a process failed")
    return timed("ms", starts, began)


PARENTS = (1, 64, 256, 1024, 4096)


@series("parent.fork", "start and join, fork", "ms", "MiB of the parent", PARENTS)
def fork_of_large(library: Library, x: float) -> Figure:
    return start_from_large(library, x, "fork", 20)


@series("parent.forkserver", "start and join, forkserver", "ms", "MiB of the parent", PARENTS)
def forkserver_of_large(library: Library, x: float) -> Figure:
    return start_from_large(library, x, "forkserver", 20)


@series("parent.spawn", "start and join, spawn", "ms", "MiB of the parent", PARENTS)
def spawn_of_large(library: Library, x: float) -> Figure:
    return start_from_large(library, x, "spawn", 8)


# ── with objects ────────────────────────────────────────────────────────────────────────────────
def resident_bytes() -> int:
    """Private and shared pages of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def many(library: Library, kind: str, count: float, what: str) -> Figure:
    make = getattr(library.module, kind)
    make()
    before, began = resident_bytes(), time.perf_counter()
    try:
        made = [make() for _ in range(int(count))]
    except OSError as error:
        raise Lacking from error  # at so many, the library is at its limit
    figure = timed("us", int(count), began)
    return figure if what == "time" else Figure((resident_bytes() - before) / len(made), len(made))


LOCKS, QUEUES = (100, 1000, 10_000, 30_000, 100_000), (10, 100, 1000, 10_000)


@series("objects.locks", "so many locks: to make one", "us", "locks", LOCKS)
def time_of_locks(library: Library, x: float) -> Figure:
    return many(library, "Lock", x, "time")


@series("objects.locks_memory", "so many locks: memory of one", "bytes", "locks", LOCKS)
def memory_of_locks(library: Library, x: float) -> Figure:
    return many(library, "Lock", x, "memory")


@series("objects.queues", "so many queues: to make one", "us", "queues", QUEUES)
def time_of_queues(library: Library, x: float) -> Figure:
    return many(library, "Queue", x, "time")


@series("objects.queues_memory", "so many queues: memory of one", "bytes", "queues", QUEUES)
def memory_of_queues(library: Library, x: float) -> Figure:
    return many(library, "Queue", x, "memory")


# ── with the size of a message ──────────────────────────────────────────────────────────────────
SIZES = (1, 1 << 10, 32 << 10, MIB, 32 * MIB, 256 * MIB, 1024 * MIB)


def answer_length(there: Any, back: Any, rounds: int) -> None:
    for _ in range(rounds):
        back.put(len(there.get()))


def round_trips(library: Library, size: int, message: Any) -> Figure:
    """A message there, its length back."""
    rounds = max(3, min(2000, 64 * MIB // size))
    there, back = library.module.Queue(), library.module.Queue()
    child = library.process(target=answer_length, args=(there, back, rounds + 1))
    child.start()
    there.put(message)
    check(back.get() == len(message), "a message was changed")
    began = time.perf_counter()
    for _ in range(rounds):
        there.put(message)
        check(back.get() == len(message), "a message was changed")
    figure = timed("us", rounds, began)
    child.join()
    return figure


@series("size.bytes", "bytes through a queue and their length back", "us", "bytes", SIZES)
def bytes_there_and_back(library: Library, x: float) -> Figure:
    return round_trips(library, int(x), os.urandom(min(int(x), MIB)) * max(1, int(x) // MIB))


@series("size.array", "an array through a queue and its length back", "us", "bytes", SIZES[1:])
def array_there_and_back(library: Library, x: float) -> Figure:
    import numpy

    return round_trips(library, int(x), numpy.ones(int(x), "u1"))


# ── with the number of tasks ────────────────────────────────────────────────────────────────────
TASKS = (10_000, 100_000, 1_000_000, 10_000_000)


def stream(library: Library, tasks: int) -> tuple[Figure, float]:
    options = {"buffersize": 100} if library.name == "procession" else {}
    largest = total = 0
    with library.module.Pool(3) as pool:
        pool.apply(nothing, (0,))
        before, began = resident_bytes(), time.perf_counter()
        for seen, number in enumerate(pool.imap(nothing, range(tasks), chunksize=100, **options)):
            total += number
            if seen % 10_000 == 0:
                largest = max(largest, resident_bytes() - before)
        figure = per_second(tasks, began)
    check(total == tasks * (tasks - 1) // 2, "results were wrong")
    return figure, largest / MIB


@series("tasks.imap", "imap of so many no-ops by hundreds: tasks", "/s", "tasks", TASKS)
def rate_of_tasks(library: Library, x: float) -> Figure:
    return stream(library, int(x))[0]


@series("tasks.imap_memory", "the same: how much the parent grows", "MiB", "tasks", TASKS)
def memory_of_tasks(library: Library, x: float) -> Figure:
    return Figure(stream(library, int(x))[1], x)
