"""mpire: map, imap, shared objects, worker state, insights, time limits, exceptions, a killed worker."""

import way
import ctypes
import os
import signal
from multiprocessing import Array, Lock

from mpire import WorkerPool


def scale(shared, number):
    return shared[0] * number


def count(shared, number):
    lock, array = shared
    with lock:
        array[0] += number


def begin(state):
    state["count"] = 0


def counted(state, number):
    state["count"] += 1
    return number


def fail(number):
    if number == 3:
        raise ValueError("three")
    return number


def slow(number):
    signal.pause()


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    method = way.METHOD
    with WorkerPool(n_jobs=2, start_method=method, shared_objects=[10]) as pool:
        assert pool.map(scale, range(50), chunk_size=5) == [10 * n for n in range(50)]
        assert sorted(pool.imap_unordered(scale, range(20))) == [10 * n for n in range(20)]
    array = Array(ctypes.c_long, 1, lock=False)
    with WorkerPool(n_jobs=2, start_method=method, shared_objects=(Lock(), array)) as pool:
        pool.map(count, range(100))
    assert array[0] == sum(range(100))
    with WorkerPool(n_jobs=2, start_method=method, use_worker_state=True, enable_insights=True) as pool:
        assert pool.map(counted, range(30), worker_init=begin) == list(range(30))
        assert sum(pool.get_insights()["n_completed_tasks"]) == 30
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        assert "three" in str(raises(ValueError, lambda: pool.map(fail, range(10))))
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        raises(TimeoutError, lambda: pool.map(slow, range(2), task_timeout=0.2))
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        raises(RuntimeError, lambda: pool.map(die, range(4)))
    way.check()


if __name__ == "__main__":
    main()
