"""What a program has to remove when it ends, written down where its processes, its keeper and later programs find it.

Promises: what is written down is removed when the last process of the program is gone, however it went: by the keeper, a process that
is started with the first entry, or, if that was killed too, when the next program of this user writes something down. A kill at any
instruction leaves nothing that nobody would remove. Processes that use the ledger never wait for each other.
Not here: where it stands (`_os.ledgers`), what is removed how (`leftovers.py`), names for packages (`tracker.py`).
"""

from __future__ import annotations

import os
import sys

from procession import _native
from procession._memory import leftovers
from procession._memory.leftovers import SEGMENTS, Record
from procession._os import closing, ledgers, segments
from procession._runtime import Finalizer, state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ledger", "of_program"]

PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The last word says to tools that list processes what this one is; packages' tests look for it.
KEEPER = f"import sys; sys.path.append({PACKAGES!r}); from procession._memory.keeper import main; sys.exit(main())  # resource_tracker"
AT_EXIT = -200  # after children were joined: what they leave is known then


class Ledger:
    """A ledger, seen by one process: `lifeline()` gives the descriptor that all processes of the program share."""

    def __init__(self, program: str, lifeline: Callable[[], int]) -> None:
        self.path = ledgers.place(program)
        self.keeper: int | None = None  # its process id, if this process or its forking parent started it
        self.lifeline = lifeline
        self._keepers_parent = 0
        self._fd = -1
        self._opened_by = 0  # a forked child has its parent's descriptor, and its own end to prepare for

    # ── entries ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def add(self, kind: str, name: str, identity: str | None = None) -> None:
        """Write down that the program has to remove something; `identity` says which file of that name (None: whichever)."""
        if self._opened_by != os.getpid():
            self._prepare(kind)
        self._write(kind, name, str(Record(identity, os.getpid())))
        try:
            self._start_keeper()
        except BaseException:
            self._discard(kind, name)
            raise

    def confirm(self, kind: str, name: str, identity: str) -> None:
        """Write the same again, if another process has crossed it out because it was not there yet."""
        found = self.read(kind, name)
        if found is None or found.identity != identity:
            self.add(kind, name, identity)

    def _write(self, kind: str, name: str, text: str) -> None:
        while True:
            try:
                os.symlink(text, f"{self.path}/{kind}/{name}")
            except FileExistsError:
                self._discard(kind, name)  # of something that went without us
            except FileNotFoundError:
                self._prepare(kind)  # there is no ledger yet, or it was taken away with its last entry
            else:
                return

    def read(self, kind: str, name: str) -> Record | None:
        """What is written down under a name."""
        try:
            return Record.read(os.readlink(f"{self.path}/{kind}/{name}"))
        except FileNotFoundError:
            return None

    def discard(self, kind: str, name: str, identity: str | None = None) -> None:
        """Cross out an entry, whichever process has written it; with `identity`, only if it is about that file. No error without one."""
        if identity is not None:
            found = self.read(kind, name)
            if found is None or found.identity != identity:
                return
        self._discard(kind, name)

    def hand_over(self, kind: str, name: str) -> None:
        """Cross out what this process has written: another one has taken it upon itself, and may have written so in this very ledger."""
        found = self.read(kind, name)
        if found is not None and found.pid == os.getpid():
            self._discard(kind, name)

    def _discard(self, kind: str, name: str) -> None:
        try:
            os.unlink(f"{self.path}/{kind}/{name}")
        except FileNotFoundError:
            return  # nothing was written down

    # ── who sees to it ───────────────────────────────────────────────────────────────────────────────────────────────
    def ensure_kept(self) -> None:
        """Have a ledger and a keeper."""
        self._prepare(SEGMENTS)
        self._start_keeper()

    def _prepare(self, kind: str) -> None:
        """Have a ledger with a place for this kind, marked by this process."""
        if self._fd < 0 or not ledgers.is_live(self._fd, self.path):
            self._open()
        if self._opened_by != os.getpid():
            self._opened_by = os.getpid()
            Finalizer(None, self.retire, exitpriority=AT_EXIT)
        try:
            os.mkdir(f"{self.path}/{kind}", 0o700)
        except (FileExistsError, FileNotFoundError):
            return  # another process was first, to make the place or to take the ledger away: whoever writes will see

    def _open(self) -> None:
        self.close()
        self._sweep()
        fd = ledgers.hold(self.path)
        if self._fd < 0:
            self._fd = fd
        else:
            ledgers.release(fd)  # another thread was first

    def _start_keeper(self) -> None:
        executable = state.executable or sys.executable
        if not executable or getattr(sys, "frozen", False):
            return  # a frozen program cannot be started as something else: the next program removes what this one leaves
        pid = ledgers.start_keeper(
            self.path, self.lifeline, os.fsdecode(executable), lambda: [*_options(), "-c", KEEPER, self.path]
        )
        if pid is not None:
            self._reap_keeper()
            self.keeper, self._keepers_parent = pid, os.getpid()

    def is_kept(self) -> bool:
        """Is there a keeper?"""
        return self._fd >= 0 and ledgers.has_keeper(self.path)

    def retire(self) -> bool:
        """At the end of a process: cross out what is gone already. The keeper's parent removes an empty ledger, and ends the keeper.

        Returns whether it did.
        """
        for name, record in leftovers.entries(self.path, SEGMENTS).items():
            if not segments.is_there(name, record.identity):
                self.discard(SEGMENTS, name, record.identity)
        if self._keepers_parent != os.getpid() or not leftovers.remove_empty(self.path):
            return False
        self._reap_keeper()
        self.close()
        return True

    def _reap_keeper(self) -> None:
        """End the keeper that this process has started; another one waits, or there is nothing to keep."""
        if self.keeper is not None and self._keepers_parent == os.getpid():
            ledgers.end_keeper(self.keeper)
        self.keeper = None

    def close(self) -> None:
        """Give up the mark of this process."""
        if self._fd >= 0:
            ledgers.release(self._fd)
        self._fd = -1

    def _sweep(self) -> None:
        """Remove what dead programs have left whose keepers were killed, too."""
        for path in ledgers.all_of_this_user():
            mark = None if path == self.path else ledgers.lock_if_unused(path)
            if mark is not None:
                leftovers.remove_all(path)
                closing.close_all([mark])


def of_program() -> Ledger:
    """The ledger of the program that this process belongs to."""
    _native.arena_open()
    program = _native.arena_uuid().hex()
    if state.ledger is None or state.ledger.path != ledgers.place(program):
        state.ledger = Ledger(program, _native.arena_fd)
    found: Ledger = state.ledger
    return found


def _options() -> list[str]:
    """The options of a keeper: as those of this interpreter where they decide what is imported or said."""
    options = ["-S", "-s", "-P", *(["-E"] if sys.flags.ignore_environment else [])]
    return options + [f"-W{option}" for option in sys.warnoptions if "." not in option]
