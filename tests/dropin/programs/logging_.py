"""logging: a configuration with queues of ours, records of children, the process name in every record."""

import way
import logging
import logging.config
import logging.handlers
import multiprocessing
import sys


def work(queue):
    logger = logging.getLogger("work")
    logger.handlers[:] = [logging.handlers.QueueHandler(queue)]
    logger.setLevel(logging.INFO)
    logger.info("hello")


def main():
    context = way.context()
    queue = context.Queue()
    child = context.Process(target=work, args=(queue,), name="Scribe")
    child.start()
    record = queue.get(timeout=30)
    child.join()
    assert (record.processName, record.process, record.getMessage()) == ("Scribe", child.pid, "hello"), record.__dict__
    if sys.version_info[:2] != (3, 12):  # whose releases differ in which queues logging takes
        logging.config.dictConfig(
            {
                "version": 1,
                "handlers": {"queued": {"class": "logging.handlers.QueueHandler", "queue": queue}},
                "root": {"handlers": ["queued"], "level": "INFO"},
            }
        )
        logging.info("from the parent")
        record = queue.get(timeout=30)
        assert (record.processName, record.getMessage()) == ("MainProcess", "from the parent")
    assert multiprocessing.current_process().name == "MainProcess"
    way.check()


if __name__ == "__main__":
    main()
