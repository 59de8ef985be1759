"""Large payloads: arrays through pipes, queues and pools."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.catalogue import Figure, check, per_second, workload

if TYPE_CHECKING:
    from benchmarks.libraries import Library


def array(size: int) -> Any:
    import numpy

    return numpy.arange(size // 8, dtype="q")


def receive_arrays(get: Any, messages: int, answer: Any) -> None:
    """Look into each array, and write into it: it arrives writable."""
    total = 0
    for _ in range(messages):
        received = get()
        received[0] = 1
        total += int(received[-1])
    answer.send(total)


def arrays(library: Library, ends: tuple[Any, Any], size: int, messages: int) -> Figure:
    """MB/s of `messages` arrays of `size` bytes, put by `ends[1]` and got by `ends[0]` in another process."""
    get, put = ends
    here, there = library.module.Pipe()
    sent = array(size)  # before the child begins: it need not import numpy while the clock runs
    child = library.process(target=receive_arrays, args=(get, messages + 2, there))
    child.start()
    for _ in range(2):  # the reader has one while it gets the next: these two find no warm pages
        put(sent)
    began = time.perf_counter()
    for _ in range(messages):
        put(sent)
    total = here.recv()
    figure = per_second(messages * size / 1e6, began, messages)
    child.join()
    check(total == (messages + 2) * int(sent[-1]) and sent[0] == 0, "an array was changed")
    return figure


@workload("msg.pipe_numpy_100MB", "MB/s", goal=40, limit="memcpy.100MB")
def pipe_numpy_100mb(library: Library, scale: float) -> Figure:
    reader, writer = library.module.Pipe(duplex=False)
    return arrays(library, (reader.recv, writer.send), 100_000_000, max(3, int(12 * scale)))


@workload("msg.queue_numpy_1MB", "MB/s", goal=10, limit="memcpy.1MiB")
def queue_numpy_1mb(library: Library, scale: float) -> Figure:
    queue = library.queue()
    return arrays(library, (queue.get, queue.put), 1_000_000, int(400 * scale))


def double(received: Any) -> Any:
    return received * 2


@workload("pool.numpy_1MB", "MB/s", goal=10, limit="memcpy.1MiB", needs="pool")
def pool_numpy_1mb(library: Library, scale: float) -> Figure:
    """Arrays to the workers and other arrays back."""
    messages, sent = int(200 * scale), array(1_000_000)
    with library.pool(4) as pool:
        pool.map(double, [sent] * 8, 1)
        began = time.perf_counter()
        results = pool.map(double, [sent] * messages, 1)
        figure = per_second(2 * messages, began, messages)
        check(all(int(result[-1]) == 2 * int(sent[-1]) for result in results), "an array was changed")
    return figure
