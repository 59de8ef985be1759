"""Locks, events, conditions, barriers, values."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, check, per_second, timed, workload
from benchmarks.workloads.pinning import pin
from benchmarks.workloads.starting import Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.libraries import Library


# ── one process ─────────────────────────────────────────────────────────────────────────────────
def pair(lock: Any, count: int) -> Figure:
    acquire, release = lock.acquire, lock.release
    began = time.perf_counter()
    for _ in range(count):
        acquire()
        release()
    return timed("ns", count, began)


@workload("sync.lock", "ns", goal=1, limit="pair")
def lock_pair(library: Library, scale: float) -> Figure:
    return pair(library.module.Lock(), int(1_000_000 * scale))


@workload("sync.rlock", "ns", goal=1, limit="pair")
def rlock_pair(library: Library, scale: float) -> Figure:
    return pair(library.module.RLock(), int(1_000_000 * scale))


@workload("sync.semaphore", "ns", goal=1, limit="pair")
def semaphore_pair(library: Library, scale: float) -> Figure:
    return pair(library.module.Semaphore(4), int(1_000_000 * scale))


@workload("sync.lock_with", "ns", goal=2, limit="pair")
def lock_with(library: Library, scale: float) -> Figure:
    lock, count = library.module.Lock(), int(500_000 * scale)
    began = time.perf_counter()
    for _ in range(count):
        with lock:
            pass
    return timed("ns", count, began)


@workload("sync.event_is_set", "ns", goal=30)
def event_is_set(library: Library, scale: float) -> Figure:
    is_set, count = library.module.Event().is_set, int(500_000 * scale)
    began = time.perf_counter()
    for _ in range(count):
        is_set()
    return timed("ns", count, began)


@workload("sync.value_add", "ns", goal=4, limit="pair")
def value_add(library: Library, scale: float) -> Figure:
    value, count = library.module.Value("i", 0), int(300_000 * scale)
    began = time.perf_counter()
    for _ in range(count):
        with value.get_lock():
            value.value += 1
    figure = timed("ns", count, began)
    check(value.value == count, "a value lost an addition")
    return figure


@workload("sync.array_item.set_locked", "ns", goal=3)
def array_set(library: Library, scale: float) -> Figure:
    array, count = library.module.Array("i", 16), int(300_000 * scale)
    began = time.perf_counter()
    for number in range(count):
        array[7] = number
    figure = timed("ns", count, began)
    check(array[7] == count - 1, "an item was not stored")
    return figure


@workload("sync.array_item.get_locked", "ns", goal=3)
def array_get(library: Library, scale: float) -> Figure:
    array, count = library.module.Array("i", range(16)), int(300_000 * scale)
    total, began = 0, time.perf_counter()
    for _ in range(count):
        total += array[7]
    figure = timed("ns", count, began)
    check(total == 7 * count, "an item was read wrong")
    return figure


@workload("sync.array_slice_1M.read", "ms", goal=1)
def array_slice(library: Library, scale: float) -> Figure:
    array, count = library.module.Array("i", 1_000_000), max(1, int(10 * scale))
    array[999_999] = 3
    began = time.perf_counter()
    for _ in range(count):
        whole = array[:]
    figure = timed("ms", count, began)
    check(len(whole) == 1_000_000 and whole[-1] == 3, "a slice was read wrong")
    return figure


# ── several at once ─────────────────────────────────────────────────────────────────────────────
def crowd(library: Library, processes: int, target: Callable[..., None], args: tuple[Any, ...]) -> float:
    """Run `processes` of `target(*args, start)`; when they began, by this clock."""
    start = Start(library, processes)
    children = [library.process(target=target, args=(*args, start)) for _ in range(processes)]
    for child in children:
        child.start()
    began = start.began()
    for child in children:
        child.join()
    return began


def contend(lock: Any, counter: Any, rounds: int, start: Start) -> None:
    start.line_up()
    for _ in range(rounds):
        lock.acquire()
        counter.value += 1
        lock.release()


def contended(library: Library, processes: int, scale: float) -> Figure:
    rounds = int(150_000 * scale)
    lock, counter = library.module.Lock(), library.module.RawValue("l", 0)
    began = crowd(library, processes, contend, (lock, counter, rounds))
    figure = per_second(processes * rounds, began)
    check(counter.value == processes * rounds, "the lock let two in")
    return figure


@workload("sync.lock_contended.2", "/s", goal=1.5, limit="contended.2")
def lock_contended_2(library: Library, scale: float) -> Figure:
    return contended(library, 2, scale)


@workload("sync.lock_contended.4", "/s", goal=1.5, limit="contended.4")
def lock_contended_4(library: Library, scale: float) -> Figure:
    return contended(library, 4, scale)


def add(value: Any, rounds: int, start: Start) -> None:
    start.line_up()
    for _ in range(rounds):
        with value.get_lock():
            value.value += 1


@workload("sync.value_add_4procs", "/s", goal=3, limit="contended.4")
def value_add_4procs(library: Library, scale: float) -> Figure:
    rounds, value = int(80_000 * scale), library.module.Value("l", 0)
    began = crowd(library, 4, add, (value, rounds))
    figure = per_second(4 * rounds, began)
    check(value.value == 4 * rounds, "a value lost an addition")
    return figure


def pass_barrier(parties: Any, rounds: int, start: Start) -> None:
    start.line_up()
    for _ in range(rounds):
        parties.wait()


@workload("sync.barrier3", "us", goal=5, limit="barrier3")
def barrier3(library: Library, scale: float) -> Figure:
    rounds = int(6000 * scale)
    began = crowd(library, 3, pass_barrier, (library.module.Barrier(3), rounds))
    return timed("us", rounds, began)


# ── there and back ──────────────────────────────────────────────────────────────────────────────
def answer_events(ping: Any, pong: Any, rounds: int, place: str) -> None:
    pin(place, other=True)
    for _ in range(rounds):
        ping.wait()
        ping.clear()
        pong.set()


def event_pingpong(library: Library, scale: float, place: str) -> Figure:
    rounds, mp = int(10_000 * scale), library.module
    pin(place, other=False)
    ping, pong = mp.Event(), mp.Event()
    child = library.process(target=answer_events, args=(ping, pong, rounds, place))
    child.start()
    began = time.perf_counter()
    for _ in range(rounds):
        ping.set()
        pong.wait()
        pong.clear()
    figure = timed("us", rounds, began)
    child.join()
    return figure


@workload("sync.event_pingpong.same", "us", goal=2.5, limit="pingpong.same")
def event_pingpong_same(library: Library, scale: float) -> Figure:
    return event_pingpong(library, scale, "same")


@workload("sync.event_pingpong.cross", "us", goal=10, limit="pingpong.cross")
def event_pingpong_cross(library: Library, scale: float) -> Figure:
    return event_pingpong(library, scale, "cross")


def take_turns(condition: Any, turn: Any, mine: int, rounds: int) -> None:
    for _ in range(rounds):
        with condition:
            while turn.value != mine:
                condition.wait()
            turn.value = 1 - mine
            condition.notify()


def take_turns_pinned(condition: Any, turn: Any, rounds: int, place: str) -> None:
    pin(place, other=True)
    take_turns(condition, turn, 1, rounds)


def condition_pingpong(library: Library, scale: float, place: str) -> Figure:
    rounds, mp = int(10_000 * scale), library.module
    pin(place, other=False)
    condition, turn = mp.Condition(), mp.RawValue("i", 0)
    child = library.process(target=take_turns_pinned, args=(condition, turn, rounds, place))
    child.start()
    began = time.perf_counter()
    take_turns(condition, turn, 0, rounds)
    child.join()
    return timed("us", rounds, began)


@workload("sync.condition_pingpong.same", "us", goal=2.5, limit="pingpong.same")
def condition_pingpong_same(library: Library, scale: float) -> Figure:
    return condition_pingpong(library, scale, "same")


@workload("sync.condition_pingpong.cross", "us", goal=10, limit="pingpong.cross")
def condition_pingpong_cross(library: Library, scale: float) -> Figure:
    return condition_pingpong(library, scale, "cross")
