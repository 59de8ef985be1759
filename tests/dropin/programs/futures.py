"""concurrent.futures: map, initializers, exceptions, replaced workers, a killed worker."""

import way
import os
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

STATE = []


def begin(value):
    STATE.append(value)


def state_plus(number):
    return STATE[0] + number


def fail(number):
    raise ValueError(f"number {number}")


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
    with ProcessPoolExecutor(2, mp_context=context, initializer=begin, initargs=(100,)) as executor:
        assert list(executor.map(state_plus, range(50), chunksize=7)) == [100 + n for n in range(50)]
        futures = [executor.submit(state_plus, n) for n in range(20)]
        assert sorted(future.result(30) for future in as_completed(futures)) == [100 + n for n in range(20)]
        error = raises(ValueError, lambda: executor.submit(fail, 3).result(30))
        assert "number 3" in str(error)
        assert "in fail" in str(error.__cause__)
    if way.METHOD != "fork":
        with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=2) as executor:
            assert len({executor.submit(os.getpid).result(30) for _ in range(6)}) == 3
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert executor.submit(abs, -1).result(30) == 1
        raises(BrokenProcessPool, executor.submit(die).result)
        raises(BrokenProcessPool, lambda: executor.submit(abs, -1).result(30))
    way.check()


if __name__ == "__main__":
    main()
