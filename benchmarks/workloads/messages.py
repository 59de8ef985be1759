"""Small messages through queues and pipes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, check, per_second, timed, workload
from benchmarks.libraries import Lacking
from benchmarks.workloads.pinning import pin
from benchmarks.workloads.starting import Start

if TYPE_CHECKING:
    from benchmarks.libraries import Library

RECORD = {"name": "n" * 200, "values": list(range(60)), "text": "t" * 600, "ratio": 0.5, "flag": True, "none": None}
STOP = -1


# ── queues: producers and consumers ─────────────────────────────────────────────────────────────
def produce(queue: Any, items: int, payload: Any, start: Start) -> None:
    put = queue.put
    start.line_up()
    for number in range(items):
        put(number if payload is None else payload)


def consume(queue: Any, reply: Any) -> None:
    get, count, total = patient(queue), 0, 0
    while (item := get()) != STOP:
        count += 1
        total += item if isinstance(item, int) else 1
    reply.send((count, total))


def patient(queue: Any) -> Any:
    """`queue.get` without a time limit: one rival's has ten seconds unless told otherwise."""
    if type(queue).__module__ != "faster_fifo":
        return queue.get
    return lambda: queue.get(timeout=1e6)


def flow(library: Library, shape: tuple[int, int], items: int, payload: Any = None, kind: str = "Queue") -> Figure:
    """Messages for one second, from when the producers begin at once to the consumers' answers."""
    producers, consumers = shape
    queue, start = library.queue(kind), Start(library, producers)
    pipes = [library.beside.Pipe() for _ in range(consumers)]
    readers = [library.process(target=consume, args=(queue, there)) for _, there in pipes]
    sent = items // producers
    writers = [library.process(target=produce, args=(queue, sent, payload, start)) for _ in range(producers)]
    for process in readers + writers:
        process.start()
    began = start.began()
    for process in writers:
        process.join()
    for _ in readers:
        queue.put(STOP)
    counts = [here.recv() for here, _ in pipes]
    figure = per_second(producers * sent, began)
    for process in readers:
        process.join()
    expected = producers * (sent * (sent - 1) // 2 if payload is None else sent)
    check(sum(count for count, _ in counts) == producers * sent, "messages were lost or doubled")
    check(sum(total for _, total in counts) == expected, "messages were changed")
    return figure


@workload("msg.queue_1p1c_int", "/s", goal=20, limit="ring", needs="queue")
def queue_1p1c_int(library: Library, scale: float) -> Figure:
    return flow(library, (1, 1), int(300_000 * scale))


@workload("msg.queue_1p1c_dict1k", "/s", goal=6, needs="queue")
def queue_1p1c_dict1k(library: Library, scale: float) -> Figure:
    return flow(library, (1, 1), int(100_000 * scale), RECORD)


@workload("msg.queue_4p1c_int", "/s", goal=15, limit="ring", needs="queue")
def queue_4p1c_int(library: Library, scale: float) -> Figure:
    return flow(library, (4, 1), int(200_000 * scale))


@workload("msg.queue_1p4c_int", "/s", goal=15, limit="ring", needs="queue")
def queue_1p4c_int(library: Library, scale: float) -> Figure:
    return flow(library, (1, 4), int(200_000 * scale))


@workload("msg.queue_4p4c_int", "/s", goal=15, limit="ring", needs="queue")
def queue_4p4c_int(library: Library, scale: float) -> Figure:
    return flow(library, (4, 4), int(200_000 * scale))


@workload("msg.simplequeue_1p1c_int", "/s", goal=20, limit="ring")
def simplequeue_1p1c_int(library: Library, scale: float) -> Figure:
    return flow(library, (1, 1), int(300_000 * scale), kind="SimpleQueue")


def consume_and_tell(queue: Any, items: int) -> None:
    for _ in range(items):
        queue.get()
        queue.task_done()


@workload("msg.joinablequeue", "/s", goal=15, limit="ring")
def joinable(library: Library, scale: float) -> Figure:
    queue, items = library.module.JoinableQueue(), int(200_000 * scale)
    child = library.process(target=consume_and_tell, args=(queue, items))
    child.start()
    began = time.perf_counter()
    for number in range(items):
        queue.put(number)
    queue.join()
    figure = per_second(items, began)
    child.join()
    check(queue.empty(), "messages were left")
    return figure


def consume_batches(queue: Any, reply: Any, items: int, size: int) -> None:
    count = total = 0
    while count < items:
        batch = queue.get_many(size) if hasattr(queue, "get_many") else [queue.get()]
        count += len(batch)
        total += sum(batch)
    reply.send(total)


@workload("msg.queue_batches_int", "/s", goal=40, limit="ring", needs="queue")
def batches(library: Library, scale: float) -> Figure:
    """`put_many` and `get_many` of a hundred; a library without them puts and gets one by one."""
    queue, items, size = library.queue(), int(300_000 * scale) // 100 * 100, 100
    here, there = library.beside.Pipe()
    child = library.process(target=consume_batches, args=(queue, there, items, size))
    child.start()
    began = time.perf_counter()
    for first in range(0, items, size):
        if hasattr(queue, "put_many"):
            queue.put_many(list(range(first, first + size)))
        else:
            for number in range(first, first + size):
                queue.put(number)
    total = here.recv()
    figure = per_second(items, began)
    child.join()
    check(total == items * (items - 1) // 2, "messages were changed")
    return figure


# ── there and back ──────────────────────────────────────────────────────────────────────────────
def echo(there: Any, back: Any, rounds: int, place: str) -> None:
    pin(place, other=True)
    get = patient(there)
    for _ in range(rounds):
        back.put(get())


def queue_pingpong(library: Library, scale: float, place: str) -> Figure:
    rounds = int(8000 * scale)
    pin(place, other=False)
    there, back = library.queue(), library.queue()
    child = library.process(target=echo, args=(there, back, rounds, place))
    child.start()
    get, began = patient(back), time.perf_counter()
    for number in range(rounds):
        there.put(number)
        check(get() == number, "an answer was wrong")
    figure = timed("us", rounds, began)
    child.join()
    return figure


@workload("msg.queue_pingpong.same", "us", goal=4, limit="pingpong.same", needs="queue")
def queue_pingpong_same(library: Library, scale: float) -> Figure:
    return queue_pingpong(library, scale, "same")


@workload("msg.queue_pingpong.cross", "us", goal=20, limit="pingpong.cross", needs="queue")
def queue_pingpong_cross(library: Library, scale: float) -> Figure:
    return queue_pingpong(library, scale, "cross")


def echo_pipe(connection: Any, rounds: int) -> None:
    pin("same", other=True)
    for _ in range(rounds):
        connection.send(connection.recv())


@workload("msg.pipe_pingpong_int.same", "us", goal=2, limit="pingpong.same")
def pipe_pingpong(library: Library, scale: float) -> Figure:
    rounds = int(20_000 * scale)
    pin("same", other=False)
    here, there = library.module.Pipe()
    child = library.process(target=echo_pipe, args=(there, rounds))
    child.start()
    began = time.perf_counter()
    for number in range(rounds):
        here.send(number)
        check(here.recv() == number, "an answer was wrong")
    figure = timed("us", rounds, began)
    child.join()
    return figure


def receive_bytes(connection: Any, messages: int, answer: Any) -> None:
    answer.send(sum(len(connection.recv_bytes()) for _ in range(messages)))


def pipe_bytes(library: Library, size: int, messages: int) -> float:
    """When it began."""
    if "module" not in library.has:
        raise Lacking
    reader, writer = library.module.Pipe(duplex=False)
    here, there = library.module.Pipe()
    child = library.process(target=receive_bytes, args=(reader, messages, there))
    child.start()
    message, began = b"x" * size, time.perf_counter()
    for _ in range(messages):
        writer.send_bytes(message)
    check(here.recv() == size * messages, "bytes were lost")
    child.join()
    return began


@workload("msg.pipe_bytes_100B", "/s", goal=2)
def pipe_bytes_100(library: Library, scale: float) -> Figure:
    messages = int(300_000 * scale)
    return per_second(messages, pipe_bytes(library, 100, messages))


@workload("msg.pipe_bytes_1MiB", "MB/s", goal=5, limit="memcpy.1MiB")
def pipe_bytes_1mib(library: Library, scale: float) -> Figure:
    messages = int(400 * scale)
    return per_second(messages * 1.048576, pipe_bytes(library, 1 << 20, messages), messages)
