"""loky: the reusable executor, lambdas, exceptions, a killed worker, no guard for the main module."""

import way
import os
import signal

from loky import get_reusable_executor
from loky.process_executor import TerminatedWorkerError

executor = get_reusable_executor(max_workers=2, timeout=20)
assert list(executor.map(lambda n: n * n, range(20))) == [n * n for n in range(20)]
try:
    executor.submit(lambda: 1 / 0).result(30)
except ZeroDivisionError as error:
    assert "lambda" in str(error.__cause__)
else:
    raise AssertionError("no error")
try:
    executor.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).result(30)
except TerminatedWorkerError:
    executor = get_reusable_executor(max_workers=2, timeout=20)
    assert executor.submit(abs, -2).result(30) == 2
else:
    raise AssertionError("a killed worker went unnoticed")
names = executor.submit(lambda: __import__("multiprocessing").__name__).result(30)
assert names == "procession", names
executor.shutdown(wait=True)
way.check()
