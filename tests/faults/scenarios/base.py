"""What a scenario is, and what holds of each kind of object, whatever happened.

Each scenario is a class: `make` the shared objects, `act` in the process that the fault hits (the victim), `assist` in the
parent over and over while the victim lives, `check` in the parent once it is gone. `died` is its exit code.
The checks are the promises: whoever is left finishes with the right result or the documented error, and the objects stay usable.
"""

from __future__ import annotations

import queue as stdlib_queue
import signal
import threading
from typing import Any, ClassVar

from procession import _native
from procession.errors import OwnerDied, ShutDown

PATIENCE = 20.0  # seconds: what takes longer counts as hung
KEPT_STOPPED = "stopped"  # the name of a process that nobody but its scenario lets go on
HEIR_DIED = 3  # the exit code of a victim whose child met with the fault
LARGE = b"x" * 50_000  # more than a queue keeps inline
MIDDLE = b"y" * 1500  # three of them leave the first segment


class Scenario:
    """One situation; the subclasses are the table of scenarios, by name."""

    all: ClassVar[dict[str, type[Scenario]]] = {}

    def __init_subclass__(cls) -> None:
        Scenario.all[cls.__name__] = cls

    @staticmethod
    def make(context: Any) -> tuple[Any, ...]:
        raise NotImplementedError

    @staticmethod
    def act(*objects: Any) -> None:
        raise NotImplementedError

    @staticmethod
    def assist(*objects: Any) -> None:
        """Once more, as long as the victim lives; must not wait for it."""

    @staticmethod
    def check(died: int, *objects: Any) -> None:
        raise NotImplementedError


def act(name: str, *objects: Any) -> None:
    """The victim's main function."""
    Scenario.all[name].act(*objects)


# ── what has to hold of each kind of object, whatever happened ───────────────────────────────────────────────────────────
def take(lock: Any, died: int) -> None:
    """Take a lock, perhaps after its holder's death."""
    try:
        assert lock.acquire(timeout=PATIENCE), "the lock is never free again"
    except OwnerDied:
        if not died:
            raise
        lock.recover()
        assert lock.acquire(timeout=PATIENCE)


def check_lock(lock: Any, died: int) -> None:
    take(lock, died)
    lock.release()
    take(lock, died=0)
    lock.release()


def check_queue(queue: Any) -> None:
    """An empty queue is as good as new."""
    queue.put("small")
    queue.put(LARGE)
    for _ in range(4):
        queue.put(MIDDLE)
    assert queue.get(timeout=PATIENCE) == "small"
    assert queue.get(timeout=PATIENCE) == LARGE
    assert [queue.get(timeout=PATIENCE) for _ in range(4)] == [MIDDLE] * 4
    assert queue.empty()


def drain(queue: Any) -> list[Any]:
    found = []
    while True:
        try:
            found.append(queue.get(timeout=0))
        except (stdlib_queue.Empty, ShutDown):
            return found


def in_thread(target: Any, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def joined(thread: threading.Thread, what: str) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive(), what


class Local:
    """Something of the parent's that children get nothing of."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __reduce__(self) -> tuple[Any, ...]:
        return Local, (None,)


def waits_on(obj: Any) -> int:
    """How many threads of all processes sleep on a shared object."""
    return sum(offset == obj.handle[0] for _, _, _, offset, _, _, _ in _native.waits())


def dying(function: Any, fault: str, *args: Any) -> None:
    from procession import testing

    testing.Faulty(function, fault, "SIGKILL")(*args)


def run_dying(context: Any, function: Any, fault: str, *args: Any) -> None:
    """Have a process die at a point."""
    killed = context.Process(target=dying, args=(function, fault, *args))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, f"{fault} was not passed"
    killed.close()
