"""joblib: loky and multiprocessing backends, lambdas, arrays, generators, a killed worker."""

import way
import os
import signal

import joblib
import numpy
from joblib.externals.loky.process_executor import TerminatedWorkerError


def square(number):
    return number * number


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    delayed = joblib.delayed
    for backend in ("loky", "multiprocessing"):
        with joblib.Parallel(n_jobs=2, backend=backend) as parallel:
            assert parallel(delayed(square)(n) for n in range(100)) == [n * n for n in range(100)]
            assert len(set(parallel(delayed(os.getpid)() for _ in range(20))) - {os.getpid()}) >= 1
    assert joblib.Parallel(n_jobs=2)(delayed(lambda n: n + 1)(n) for n in range(5)) == [1, 2, 3, 4, 5]
    large = numpy.arange(1_000_000)
    sums = joblib.Parallel(n_jobs=2, max_nbytes=1000)(delayed(numpy.sum)(large) for _ in range(4))
    assert sums == [large.sum()] * 4
    assert list(joblib.Parallel(n_jobs=2, return_as="generator")(delayed(square)(n) for n in range(9))) == [
        n * n for n in range(9)
    ]
    try:
        joblib.Parallel(n_jobs=2)(delayed(die)() for _ in range(2))
    except TerminatedWorkerError:
        assert joblib.Parallel(n_jobs=2)(delayed(square)(n) for n in range(3)) == [0, 1, 4]
    else:
        raise AssertionError("a killed worker went unnoticed")
    way.check()


if __name__ == "__main__":
    main()
