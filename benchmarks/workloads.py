"""The workloads. Each takes the module under test and returns its figure; what passed is checked, a wrong result is an error.

A figure is nanoseconds or microseconds for one operation (less is better) or operations for one second (more is better).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WORKLOADS: dict[str, Workload] = {}


class Workload(NamedTuple):
    """A workload: what it measures, in which unit, and what is better."""

    run: Callable[[Any], float]
    unit: str
    more_is_better: bool


def workload(name: str, unit: str) -> Callable[[Callable[[Any], float]], Callable[[Any], float]]:
    def register(run: Callable[[Any], float]) -> Callable[[Any], float]:
        WORKLOADS[name] = Workload(run, unit, unit == "/s")
        return run

    return register


def ns_each(count: int, began: float) -> float:
    return (time.perf_counter() - began) / count * 1e9


# ── synchronisation ─────────────────────────────────────────────────────────────────────────────
def _pair(lock: Any, count: int = 300_000) -> float:
    acquire, release = lock.acquire, lock.release
    began = time.perf_counter()
    for _ in range(count):
        acquire()
        release()
    return ns_each(count, began)


@workload("sync.lock", "ns")
def lock_pair(mp: Any) -> float:
    return _pair(mp.Lock())


@workload("sync.rlock", "ns")
def rlock_pair(mp: Any) -> float:
    return _pair(mp.RLock())


@workload("sync.semaphore", "ns")
def semaphore_pair(mp: Any) -> float:
    return _pair(mp.Semaphore(4))


@workload("sync.lock_with", "ns")
def lock_with(mp: Any) -> float:
    lock, count = mp.Lock(), 300_000
    began = time.perf_counter()
    for _ in range(count):
        with lock:
            pass
    return ns_each(count, began)


def _contend(lock: Any, counter: Any, rounds: int, barrier: Any) -> None:
    barrier.wait()
    for _ in range(rounds):
        lock.acquire()
        counter.value += 1
        lock.release()


def _contended(mp: Any, processes: int) -> float:
    rounds = 60_000
    lock, counter, barrier = mp.Lock(), mp.RawValue("q", 0), mp.Barrier(processes + 1)
    children = [mp.Process(target=_contend, args=(lock, counter, rounds, barrier)) for _ in range(processes)]
    for child in children:
        child.start()
    barrier.wait()
    began = time.perf_counter()
    for child in children:
        child.join()
    seconds = time.perf_counter() - began
    check(counter.value == processes * rounds, "the lock let two in")
    return processes * rounds / seconds


@workload("sync.lock_contended.2", "/s")
def lock_contended_2(mp: Any) -> float:
    return _contended(mp, 2)


@workload("sync.lock_contended.4", "/s")
def lock_contended_4(mp: Any) -> float:
    return _contended(mp, 4)


@workload("sync.event_is_set", "ns")
def event_is_set(mp: Any) -> float:
    is_set, count = mp.Event().is_set, 200_000
    began = time.perf_counter()
    for _ in range(count):
        is_set()
    return ns_each(count, began)


@workload("sync.event_set_clear", "ns")
def event_set_clear(mp: Any) -> float:
    event, count = mp.Event(), 50_000
    began = time.perf_counter()
    for _ in range(count):
        event.set()
        event.clear()
    return ns_each(count, began)


def _answer_events(ping: Any, pong: Any, rounds: int) -> None:
    for _ in range(rounds):
        ping.wait()
        ping.clear()
        pong.set()


@workload("sync.event_pingpong", "us")
def event_pingpong(mp: Any) -> float:
    rounds = 3000
    ping, pong = mp.Event(), mp.Event()
    child = mp.Process(target=_answer_events, args=(ping, pong, rounds))
    child.start()
    began = time.perf_counter()
    for _ in range(rounds):
        ping.set()
        pong.wait()
        pong.clear()
    figure = ns_each(rounds, began) / 1e3
    child.join()
    return figure


@workload("sync.value_add", "ns")
def value_add(mp: Any) -> float:
    value, count = mp.Value("i", 0), 100_000
    began = time.perf_counter()
    for _ in range(count):
        with value.get_lock():
            value.value += 1
    figure = ns_each(count, began)
    check(value.value == count, "a value lost an addition")
    return figure


# ── messages ────────────────────────────────────────────────────────────────────────────────────
def _produce(queue: Any, items: int, payload: Any) -> None:
    put = queue.put
    for number in range(items):
        put(number if payload is None else payload)


def _consume(queue: Any, reply: Any) -> None:
    count = total = 0
    for item in iter(queue.get, None):
        count += 1
        total += item if isinstance(item, int) else 1
    reply.put((count, total))


def _queue(mp: Any, shape: tuple[int, int], items: int, payload: Any = None, kind: str = "Queue") -> float:
    producers, consumers = shape
    queue, reply = getattr(mp, kind)(), mp.Queue()
    readers = [mp.Process(target=_consume, args=(queue, reply)) for _ in range(consumers)]
    writers = [mp.Process(target=_produce, args=(queue, items // producers, payload)) for _ in range(producers)]
    for process in readers:
        process.start()
    began = time.perf_counter()
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    for _ in readers:
        queue.put(None)
    counts = [reply.get() for _ in readers]
    seconds = time.perf_counter() - began
    for process in readers:
        process.join()
    sent = items // producers
    expected = producers * (sent * (sent - 1) // 2 if payload is None else sent)
    check(sum(count for count, _ in counts) == producers * sent, "messages were lost or doubled")
    check(sum(total for _, total in counts) == expected, "messages were changed")
    return producers * sent / seconds


RECORD = {"name": "n" * 200, "values": list(range(60)), "text": "t" * 600, "ratio": 0.5, "flag": True, "none": None}


@workload("msg.queue_1p1c_int", "/s")
def queue_1p1c_int(mp: Any) -> float:
    return _queue(mp, (1, 1), 200_000)


@workload("msg.queue_1p1c_dict1k", "/s")
def queue_1p1c_dict1k(mp: Any) -> float:
    return _queue(mp, (1, 1), 60_000, RECORD)


@workload("msg.queue_4p1c_int", "/s")
def queue_4p1c_int(mp: Any) -> float:
    return _queue(mp, (4, 1), 200_000)


@workload("msg.queue_1p4c_int", "/s")
def queue_1p4c_int(mp: Any) -> float:
    return _queue(mp, (1, 4), 200_000)


@workload("msg.queue_4p4c_int", "/s")
def queue_4p4c_int(mp: Any) -> float:
    return _queue(mp, (4, 4), 200_000)


@workload("msg.simplequeue_1p1c_int", "/s")
def simplequeue_1p1c_int(mp: Any) -> float:
    return _queue(mp, (1, 1), 200_000, kind="SimpleQueue")


def _echo(there: Any, back: Any, rounds: int) -> None:
    for _ in range(rounds):
        back.put(there.get())


@workload("msg.queue_pingpong", "us")
def queue_pingpong(mp: Any) -> float:
    rounds = 3000
    there, back = mp.Queue(), mp.Queue()
    child = mp.Process(target=_echo, args=(there, back, rounds))
    child.start()
    began = time.perf_counter()
    for number in range(rounds):
        there.put(number)
        check(back.get() == number, "an answer was wrong")
    figure = ns_each(rounds, began) / 1e3
    child.join()
    return figure


def _echo_pipe(connection: Any, rounds: int) -> None:
    for _ in range(rounds):
        connection.send(connection.recv())


@workload("msg.pipe_pingpong_int", "us")
def pipe_pingpong(mp: Any) -> float:
    rounds = 3000
    here, there = mp.Pipe()
    child = mp.Process(target=_echo_pipe, args=(there, rounds))
    child.start()
    began = time.perf_counter()
    for number in range(rounds):
        here.send(number)
        check(here.recv() == number, "an answer was wrong")
    figure = ns_each(rounds, began) / 1e3
    child.join()
    return figure


# ── pools ───────────────────────────────────────────────────────────────────────────────────────
def nothing(x: Any) -> Any:
    return x


@workload("pool.apply", "us")
def pool_apply(mp: Any) -> float:
    count = 2000
    with mp.Pool(2) as pool:
        pool.apply(nothing, (0,))
        began = time.perf_counter()
        for number in range(count):
            check(pool.apply(nothing, (number,)) == number, "a result was wrong")
        return ns_each(count, began) / 1e3


@workload("pool.apply_async", "/s")
def pool_apply_async(mp: Any) -> float:
    count = 20_000
    with mp.Pool(4) as pool:
        began = time.perf_counter()
        results = [pool.apply_async(nothing, (number,)) for number in range(count)]
        check([result.get() for result in results] == list(range(count)), "results were wrong")
        return count / (time.perf_counter() - began)


@workload("pool.map_chunk1", "/s")
def pool_map_chunk1(mp: Any) -> float:
    count = 30_000
    with mp.Pool(4) as pool:
        pool.map(nothing, range(8), chunksize=1)
        began = time.perf_counter()
        check(pool.map(nothing, range(count), chunksize=1) == list(range(count)), "results were wrong")
        return count / (time.perf_counter() - began)


@workload("pool.map_default", "/s")
def pool_map_default(mp: Any) -> float:
    count = 1_000_000
    with mp.Pool(4) as pool:
        pool.map(nothing, range(8))
        began = time.perf_counter()
        check(pool.map(nothing, range(count)) == list(range(count)), "results were wrong")
        return count / (time.perf_counter() - began)


@workload("pool.imap", "/s")
def pool_imap(mp: Any) -> float:
    count = 20_000
    with mp.Pool(4) as pool:
        began = time.perf_counter()
        check(list(pool.imap(nothing, range(count))) == list(range(count)), "results were wrong")
        return count / (time.perf_counter() - began)


# ── processes ───────────────────────────────────────────────────────────────────────────────────
def _start_join(mp: Any, method: str, count: int) -> float:
    context = mp.get_context(method)
    context.Process(target=nothing, args=(0,)).start()
    began = time.perf_counter()
    for number in range(count):
        process = context.Process(target=nothing, args=(number,))
        process.start()
        process.join()
        check(process.exitcode == 0, "a process failed")
    return ns_each(count, began) / 1e6


@workload("proc.start_join.fork", "ms")
def start_join_fork(mp: Any) -> float:
    return _start_join(mp, "fork", 60)


@workload("proc.start_join.forkserver", "ms")
def start_join_forkserver(mp: Any) -> float:
    return _start_join(mp, "forkserver", 40)


@workload("proc.start_join.spawn", "ms")
def start_join_spawn(mp: Any) -> float:
    return _start_join(mp, "spawn", 10)


def check(truth: bool, otherwise: str) -> None:
    if not truth:
        raise SystemExit(f"wrong result: {otherwise}")
