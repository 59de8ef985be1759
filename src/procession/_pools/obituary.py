"""What is said of workers that died or could not start: who, how, and what it was doing.

Promises: a description costs a bounded time and length, whatever the arguments' own `repr` does.
Not here: finding out that they died (`crew.py`), the exception itself (`errors.WorkerDied`).
"""

from __future__ import annotations

from procession._pools.words import Call
from procession.errors import WorkerDied

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

    from procession._pools.books import Job
    from procession._processes.process import BaseProcess

__all__ = ["describe_task", "no_worker_starts", "starting_failed", "worker_died"]

LONGEST = 80  # characters of one argument
CRASHES = {-4, -6, -7, -8, -11}  # SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: those that leave a stack


def describe_task(sequence: int, found: tuple[Job, int, Any] | None) -> str:
    """`task 17: square(3)`, shortened."""
    if sequence < 0:
        return "no task"
    if found is None:
        return f"task {sequence}, which it had answered"
    job, call, payload = found
    func = getattr(job, "function", None)
    name = getattr(func, "__qualname__", None) or _short(func)
    return f"task {sequence}: {name}{_arguments(call, payload)}"


def _arguments(call: int, payload: Any) -> str:
    if call == Call.ARGS:
        return f"({', '.join(map(_short, payload[:8]))})"
    if call == Call.ARGS_KWDS:
        args, kwds = payload
        named = [f"{name}={_short(value)}" for name, value in list(kwds.items())[:8]]
        return f"({', '.join([*map(_short, args[:8]), *named])})"
    if len(payload) == 1:
        return f"({_short(payload[0])})" if call == Call.MAP else f"(*{_short(payload[0])})"
    return f" over a chunk of {len(payload)} items, from {_short(payload[0])} to {_short(payload[-1])}"


def _short(value: object) -> str:
    import reprlib  # noqa: PLC0415 - only when a worker died

    short = reprlib.Repr()
    short.maxother = short.maxstring = short.maxlong = LONGEST
    try:
        text = short.repr(value)
    except Exception as error:  # noqa: BLE001 - told in the text
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= 2 * LONGEST else text[: 2 * LONGEST] + "…"


def worker_died(worker: BaseProcess, task: str, stack: str, out_of_memory: bool) -> WorkerDied:
    """The error of whoever waits for what the worker ran."""
    code = worker.exitcode
    return WorkerDied(worker.name, worker.pid, code, task, stack if code in CRASHES else "", out_of_memory)


def starting_failed(raised: BaseException, worker: BaseProcess) -> BaseException:
    """What an initializer raised, with a note that says where."""
    raised.add_note(f"Raised by the pool's initializer in worker {worker.name} (pid {worker.pid}).")
    return raised


def no_worker_starts(error: BaseException, tries: int) -> BaseException:
    """Why a pool is at its end, for everybody who waits."""
    error.add_note(
        f"{tries} {'start' if tries == 1 else 'starts in a row'} failed, and no worker is left: the pool can run nothing any more. "
        "Repair the initializer (or what it needs), and make a new pool."
    )
    return error
