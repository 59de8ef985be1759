"""pebble: pools, time limits, processes as decorators, a killed worker."""

import way
import os
import signal
from concurrent import futures

from pebble import ProcessExpired, ProcessPool, concurrent


def square(number):
    return number * number


def slow():
    signal.pause()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    context = way.context()
    with ProcessPool(max_workers=2, context=context) as pool:
        assert [pool.schedule(square, args=[n]).result(30) for n in range(10)] == [n * n for n in range(10)]
        assert list(pool.map(square, range(50), chunksize=5).result()) == [n * n for n in range(50)]
        raises(futures.TimeoutError, pool.schedule(slow, timeout=0.2).result)
        assert raises(ProcessExpired, pool.schedule(die).result).exitcode == -signal.SIGKILL
        assert pool.schedule(square, args=[5]).result(30) == 25
    assert concurrent.process(square, context=context)(3).result(30) == 9 if way.METHOD == "fork" else True
    way.check()


if __name__ == "__main__":
    main()
