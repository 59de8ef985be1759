"""A program for `python -m procession`: the standard library's ProcessPoolExecutor on queues of ours. Prints what it finds."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pickle import PicklingError


def square(number):
    return number * number


def outcome(future):
    try:
        return future.result(30)
    except (BrokenProcessPool, PicklingError, AttributeError) as error:
        return type(error).__name__


def main():
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        print(type(context).__module__.partition(".")[0])
        print(sum(executor.map(square, range(100))))
        print(outcome(executor.submit(square, lambda: 1)) in ("PicklingError", "AttributeError"))
        print(outcome(executor.submit(square, 4)))
        print(outcome(executor.submit(os._exit, 3)))


if __name__ == "__main__":
    main()
