"""Chaos: the children of a process are killed, or stopped for a while, at random moments, so that programs can be tested for it.

A process of its own does it, so that no thread appears in the program. It draws for each process of the program, in the order of their
slots in the process table, every INTERVAL seconds, from one seeded source.
Promises: the process that entered the context is spared, and so are its ancestors and the fork server. Nobody is left stopped, even if
that process is killed. A signal never reaches a process that has got the number of a dead one.
Not here: faults at named points (`faults`).
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase

from procession import _native
from procession._os import closing, creation, inspection, isolation, pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Chaos", "ChaosEvent", "chaos"]

INTERVAL = 0.01  # seconds between two draws for a process
LONGEST_PAUSE = 0.1  # seconds


@dataclass(frozen=True)
class ChaosEvent:
    """Something that chaos did: `what` ('kill' or 'pause') to the process `name` (`pid`), `seconds` after it began."""

    what: str
    name: str
    pid: int
    seconds: float


class Chaos:
    """What `chaos()` gives: a context manager; `events` says what has been done so far."""

    def __init__(self, kill: float, pause: float, seed: int | None, only: str) -> None:
        """Described at `chaos`."""
        for name, chance in (("kill", kill), ("pause", pause)):
            if not 0 <= chance <= 1:
                raise ValueError(f"{name} is a probability, between 0 and 1, not {chance!r}")
        self.seed: int = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._kill, self._pause, self._only = kill, pause, only
        self._log = self._stop = self._pidfd = -1
        self._pid = 0
        self._events: list[ChaosEvent] = []

    @property
    def events(self) -> list[ChaosEvent]:
        """What has been done, in order."""
        if self._log >= 0:
            lines = bytes(creation.read_all(os.dup(self._log))).decode().splitlines()
            self._events = [_parse(line) for line in lines]
        return self._events

    def __enter__(self) -> Chaos:
        if self._log >= 0:
            raise RuntimeError("this chaos has begun already: make another one")
        _native.arena_open()
        self._log = creation.file_of()
        kept, self._stop = os.pipe()
        parent = os.getpid()
        self._pid = creation.fork()
        if self._pid == 0:
            self._be_the_storm(parent, kept)
        self._pidfd = pidfd.open_child(self._pid)
        closing.close_all([kept])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        closing.close_all([self._stop])
        pidfd.wait_readable((self._pidfd,), None)
        isolation.reap(self._pid)
        events = self.events
        closing.close_all([self._log, self._pidfd])
        self._log = self._stop = self._pidfd = -1
        self._events = events

    def _be_the_storm(self, parent: int, kept: int) -> None:
        """In the process that does it: until the other end of the pipe is closed, if by its owner's death."""
        code = 1
        try:
            inspection.close_all_but({self._log, kept})
            storm = _Storm(self, parent)
            while not pidfd.wait_readable((kept,), INTERVAL):
                storm.draw()
            storm.resume(float("inf"))
            code = 0
        finally:
            creation.end_now(code)

    def note(self, event: ChaosEvent) -> None:
        """Write an event down where the one who entered the context finds it."""
        os.write(self._log, f"{event.what} {event.pid} {event.seconds:.6f} {event.name}\n".encode())


def _parse(line: str) -> ChaosEvent:
    what, pid, seconds, name = line.split(" ", 3)
    return ChaosEvent(what, name, int(pid), float(seconds))


class _Storm:
    """The process that kills and stops the others."""

    def __init__(self, chaos: Chaos, root: int) -> None:
        self.chaos, self.root = chaos, root
        self.random = random.Random(chaos.seed)  # noqa: S311 - repeatable, not secret
        self.began = time.monotonic()
        self.paused: dict[int, float] = {}  # the descriptor of a stopped process: when it goes on

    def draw(self) -> None:
        """One draw for each process."""
        self.resume(time.monotonic())
        for slot, pid, name, alive in sorted(_native.processes()):
            if not alive or not name or pid == self.root or not fnmatchcase(name, self.chaos._only):
                continue  # without a name: the fork server, or a child that is not yet itself
            if not inspection.is_descendant(pid, self.root):
                continue
            drawn = self.random.random()
            if drawn < self.chaos._kill:
                self._strike("kill", slot, pid, name)
            elif drawn < self.chaos._kill + self.chaos._pause:
                self._strike("pause", slot, pid, name)

    def _strike(self, what: str, slot: int, pid: int, name: str) -> None:
        try:
            fd = pidfd.open_process(pid)
        except ProcessLookupError:
            return  # it was faster
        if (slot, pid, name, True) not in _native.processes():
            closing.close_all([fd])  # the descriptor may be another process's
            return
        self.chaos.note(ChaosEvent(what, name, pid, time.monotonic() - self.began))
        if what == "kill":
            pidfd.send_signal(fd, isolation.KILL)
            closing.close_all([fd])
        else:
            pidfd.send_signal(fd, isolation.STOP)
            self.paused[fd] = time.monotonic() + self.random.uniform(0, LONGEST_PAUSE)

    def resume(self, now: float) -> None:
        """Let those go on whose pause is over."""
        for fd in [fd for fd, until in self.paused.items() if until <= now]:
            pidfd.send_signal(fd, isolation.CONTINUE)
            closing.close_all([fd])
            del self.paused[fd]


def chaos(kill: float = 0.01, pause: float = 0.0, seed: int | None = None, only: str = "*") -> Chaos:
    """While the block runs, kill and stop the processes that this one has started, and theirs, at random moments.

    `kill` and `pause` are probabilities: for each process, every 10 ms, that it gets SIGKILL, or SIGSTOP and up to 0.1 s later SIGCONT.
    `seed` makes the draws repeatable (not the moments, which depend on the machine); None: a new one each time, in `seed` of what is
    returned. `only`: a pattern for names of processes, such as `"*Pool*"`. Pools, processes of every start method and manager processes
    are victims; this process, the fork server and the keepers of shared memory are not.

        with testing.chaos(kill=0.01, seed=1) as storm, mp.Pool(4) as pool:
            results = [pool.apply_async(work, (n,)) for n in range(1000)]
            ...                                     # what was lost raises WorkerDied; all else is there
        print(storm.events)
    """
    return Chaos(kill, pause, seed, only)
