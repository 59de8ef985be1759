"""The package's logger, and what the package itself tells it.

Promises: `logging` is imported when somebody asks for the logger, not before; until then what is told here costs one comparison.
Records carry the name of the process that made them, also where the name `multiprocessing` is not ours.
Not here: who logs what.
"""

from __future__ import annotations

import sys

from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    import logging
    from typing import Any

__all__ = [
    "DEBUG",
    "INFO",
    "NOTSET",
    "SUBDEBUG",
    "SUBWARNING",
    "WARNING",
    "debug",
    "get_logger",
    "info",
    "log_to_stderr",
    "name_records",
    "sub_debug",
    "sub_warning",
    "warn",
]

NOTSET, SUBDEBUG, DEBUG, INFO, SUBWARNING, WARNING = 0, 5, 10, 20, 25, 30
FORMAT = "[%(levelname)s/%(processName)s] %(message)s"
CALLER = 2  # stacklevel: the one who called the function here


def sub_debug(msg: str, *args: object) -> None:
    """Log below DEBUG."""
    if state.logger is not None:
        state.logger.log(SUBDEBUG, msg, *args, stacklevel=CALLER)


def debug(msg: str, *args: object) -> None:
    """Log at DEBUG."""
    if state.logger is not None:
        state.logger.log(DEBUG, msg, *args, stacklevel=CALLER)


def info(msg: str, *args: object) -> None:
    """Log at INFO."""
    if state.logger is not None:
        state.logger.log(INFO, msg, *args, stacklevel=CALLER)


def sub_warning(msg: str, *args: object) -> None:
    """Log between INFO and WARNING."""
    if state.logger is not None:
        state.logger.log(SUBWARNING, msg, *args, stacklevel=CALLER)


def warn(msg: str, *args: object) -> None:
    """Log at WARNING."""
    if state.logger is not None:
        state.logger.log(WARNING, msg, *args, stacklevel=CALLER)


def get_logger() -> logging.Logger:
    """The logger of the package, made at the first call: level NOTSET, no handler, and it does not propagate."""
    if state.logger is None:
        import logging  # noqa: PLC0415 - 10 ms that a program which does not log need not pay

        logger = logging.getLogger("multiprocessing" if state.installed else "procession")
        logger.propagate = False
        name_records()
        state.logger = logger
    found: logging.Logger = state.logger
    return found


def log_to_stderr(level: int | str | None = None) -> logging.Logger:
    """The logger, with a handler that writes to stderr, and with `level` if that is given."""
    logger = get_logger()
    import logging  # noqa: PLC0415 - as above

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    state.log_to_stderr = True
    return logger


def name_records() -> None:
    """Let all loggers' records carry our process name, from now on or from when `logging` is imported.

    By itself `logging` asks a module `multiprocessing`.
    """
    logging: Any = sys.modules.get("logging")
    if state.installed or state.names_records:
        return
    if logging is None:
        if _AwaitLogging not in sys.meta_path:
            sys.meta_path.insert(0, _AwaitLogging)
        return
    make: Any = logging.getLogRecordFactory()

    def named(*args: Any, **kwargs: Any) -> Any:
        record = make(*args, **kwargs)
        if record.processName is not None and state.current is not None:
            record.processName = state.current.name
        return record

    logging.setLogRecordFactory(named)
    state.names_records = True


class _AwaitLogging:
    """In a child that has not imported `logging`: a finder that finds it as others do, and has its records named."""

    @staticmethod
    def find_spec(name: str, path: Any, target: Any = None) -> Any:
        """The module's place; None for every module but `logging`."""
        if name != "logging":
            return None
        sys.meta_path.remove(_AwaitLogging)
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        loader: Any = None if spec is None else spec.loader
        if loader is not None and not isinstance(loader, type):  # a class would be the loader of other modules, too
            execute = loader.exec_module

            def execute_and_name(module: Any) -> None:
                execute(module)
                name_records()

            loader.exec_module = execute_and_name
        return spec
