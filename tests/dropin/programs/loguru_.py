"""loguru: records of children through an enqueued handler."""

import way
import multiprocessing
import pathlib
import sys
import tempfile

from loguru import logger


def work(given, number):
    given.info("child {}", number)
    given.complete()


def main():
    context = way.context()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "log"
        logger.remove()
        logger.add(path, enqueue=True, context=context, format="{process.name} {message}", catch=False)
        children = [context.Process(target=work, args=(logger, n), name=f"Child{n}") for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
            assert child.exitcode == 0, child
        logger.info("parent")
        logger.complete()
        logger.remove()
        lines = sorted(path.read_text().splitlines())
    assert lines == ["Child0 child 0", "Child1 child 1", "Child2 child 2", "MainProcess parent"], lines
    assert multiprocessing.current_process().name == "MainProcess"
    assert sys.modules["multiprocessing"] is multiprocessing
    way.check()


if __name__ == "__main__":
    main()
