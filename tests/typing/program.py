"""A program of a user with processes, pools, queues, locks and values: `make lint` checks it as its author would, with mypy --strict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

import procession as mp
from procession.connection import Connection, wait
from procession.pool import AsyncResult, Pool, ThreadPool
from procession.queues import JoinableQueue, Queue, SimpleQueue
from procession.shared_memory import ShareableList, SharedMemory
from procession.synchronize import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore


def square(number: int) -> int:
    return number * number


def power(base: int, exponent: int) -> int:
    return int(base**exponent)


def worker(tasks: Queue[int | None], results: SimpleQueue[int], lock: Lock, done: Event) -> None:
    while (task := tasks.get()) is not None:
        with lock:
            results.put(square(task))
    done.set()


def answer(connection: Connection) -> None:
    with connection:
        connection.send(connection.recv_bytes().decode())


def numbers() -> Iterator[int]:
    yield from range(4)


def use_processes() -> None:
    tasks: Queue[int | None] = mp.Queue(4)
    results: SimpleQueue[int] = mp.SimpleQueue()
    lock, done = mp.Lock(), mp.Event()
    process = mp.Process(target=worker, args=(tasks, results, lock, done), name="worker", daemon=True)
    process.start()
    tasks.put_many([2, 3, None])
    assert_type(results.get(), int)
    assert done.wait(30)
    process.join(30)
    assert_type(process.exitcode, int | None)
    assert_type(mp.current_process().name, str)


def use_pipes() -> None:
    ours, theirs = mp.Pipe()
    assert_type(ours, Connection)
    process = mp.get_context("fork").Process(target=answer, args=(theirs,))
    process.start()
    ours.send_bytes(b"text")
    assert wait([ours], timeout=30) == [ours]
    assert ours.recv() == "text"
    process.join()
    ours.close()


def use_pools(pool: Pool) -> None:
    squares: list[int] = pool.map(square, numbers(), chunksize=2)
    result: AsyncResult[int] = pool.apply_async(square, (3,))
    assert result.get(timeout=30) == squares[3]
    assert list(pool.imap(square, [1, 2])) == [1, 4]
    assert pool.starmap(power, [(2, 3)]) == [8]


def use_synchronisation() -> None:
    locks: tuple[Lock, RLock] = mp.Lock(), mp.RLock()
    for lock in locks:
        assert_type(lock.acquire(timeout=1), bool)
        lock.release()
    condition: Condition = mp.Condition()
    with condition:
        assert_type(condition.wait_for(lambda: True, 1), bool)
    semaphores: list[Semaphore | BoundedSemaphore] = [mp.Semaphore(1), mp.BoundedSemaphore(1)]
    for semaphore in semaphores:
        with semaphore:
            pass
    barrier: Barrier = mp.Barrier(1)
    assert_type(barrier.wait(), int)
    joinable: JoinableQueue[str] = mp.JoinableQueue()
    joinable.put("text")
    joinable.get()
    joinable.task_done()
    joinable.join()


def use_shared_memory() -> None:
    value = mp.Value("i", 1)
    with value.get_lock():
        value.value += 1
    array = mp.Array("d", 3)
    array[0] = 1.5
    memory = SharedMemory(create=True, size=16)
    memory.buf[0] = 1
    memory.close()
    memory.unlink()
    items = ShareableList([1, "two"])
    items.shm.close()
    items.shm.unlink()


def main() -> None:
    use_processes()
    use_pipes()
    with mp.Pool(2) as pool:
        use_pools(pool)
    with ThreadPool(2) as threads:
        use_pools(threads)
    use_synchronisation()
    use_shared_memory()


if __name__ == "__main__":
    main()
