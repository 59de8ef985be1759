"""`SharedMemory`: a block of memory with a name, which other programs can attach to, the standard library's module among them.

Promises: a block is seen with its full size or not at all. What this program creates and tracks is removed when its last process is
gone, if nobody has removed it before; what it attaches to is not, unless `track=True` says so. A block that is closed or collected
while views of it are in use never pulls the memory away from under them.
Not here: the files behind the names (`_os.segments`), who removes them (`ledger.py`).
"""

from __future__ import annotations

import operator
import os

from procession import _native
from procession._memory import ledger
from procession._memory.leftovers import SEGMENTS
from procession._os import closing, segments
from procession._runtime import state

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    import mmap
    from typing import Any

__all__ = ["NAME_PREFIX", "SharedMemory", "make_filename"]

NAME_PREFIX = "/psm_"
NEW = os.O_CREAT | os.O_EXCL


def make_filename() -> str:
    """A name that nobody else is likely to have, of 13 letters after the slash."""
    return NAME_PREFIX + os.urandom(4).hex()


class SharedMemory:
    """A block of shared memory: a new one with `create=True`, of `size` bytes (zeroed), or the existing one called `name`.

    `name` None: an unused name is chosen. `buf` is the memory as a writable memoryview, `size` its length in bytes. `close()` gives up
    this process's access; `unlink()` removes the block, for which one process of all is responsible.

    `track`: see to it that the block is removed when the program's last process ends, with a warning that nobody has called `unlink()`.
    By default this holds for what is created here, never for what is attached to.

    Raises FileExistsError and FileNotFoundError for the name, ValueError for a size below 1 or a missing name, OSError if the memory
    cannot be had.
    """

    _name: str
    _mmap: mmap.mmap | None = None
    _buf: memoryview | None = None
    _size = 0
    _fd = -1  # the mapping needs none
    _flags = os.O_RDWR
    _mode = 0o600
    _prepend_leading_slash = True
    _track = False

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool | None = None
    ) -> None:
        size = operator.index(size)
        if size < 0:
            raise ValueError(f"'size' must be a positive integer, not {size}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a segment must be a string, not {type(name).__name__}")
        if create:
            self._flags = NEW | os.O_RDWR
            if size == 0:
                raise ValueError("'size' must be a positive number different from zero")
        if name is None and not self._flags & os.O_EXCL:
            raise ValueError("'name' can only be None if create=True")
        self._track = self._flags & os.O_EXCL != 0 if track is None else bool(track)
        if self._flags & os.O_EXCL:
            self._create(name, size)
        else:
            self._attach("/" + name, size)  # type: ignore[operator]  # None was refused

    # ── making and attaching ─────────────────────────────────────────────────────────────────────────────────────────
    def _create(self, name: str | None, size: int) -> None:
        segments.check_space(size)
        while True:
            self._name = _unused_name() if name is None else "/" + name
            try:
                fd = segments.create(self._name, size, self._mode, self._announce)
            except FileExistsError:
                if name is not None:
                    raise
                continue  # chosen by chance, and taken
            break
        try:
            identity = segments.identity(fd)
            if self._track:
                ledger.of_program().confirm(SEGMENTS, self._key(), identity)
            self._map(fd, size)
        except BaseException:
            segments.remove(self._name)
            self._cross_out()
            raise
        finally:
            closing.close_all([fd])

    def _announce(self, identity: str) -> None:
        """Have the segment removed one day, before there is one."""
        if segments.is_there(self._name, None) and not segments.is_there(self._name, identity):
            raise FileExistsError(17, os.strerror(17), self._name)
        if self._track:
            ledger.of_program().add(SEGMENTS, self._key(), identity)

    def _attach(self, name: str, size: int) -> None:
        self._name = name
        try:
            fd = segments.open_existing(name, self._flags)
        except FileNotFoundError:
            if not (self._flags & os.O_CREAT and size):
                raise
            self._create(name.removeprefix("/"), size)  # what the flags of a subclass ask for
            return
        try:
            found = os.fstat(fd).st_size
            if found == 0:
                raise ValueError(
                    f"segment {name!r} is empty: whoever made it has not given it a size yet, or has taken it away"
                )
            self._map(fd, found)
            if self._track:
                ledger.of_program().add(SEGMENTS, self._key(), segments.identity(fd))
        finally:
            closing.close_all([fd])

    def _map(self, fd: int, size: int) -> None:
        self._mmap = segments.map_whole(fd, size)
        self._size = size
        self._buf = memoryview(self._mmap)

    def _key(self) -> str:
        return self._name.lstrip("/")

    def _cross_out(self) -> None:
        """The segment is gone: nobody has to remove it any more, whichever process of the program was to."""
        if _native.arena_fd() >= 0:  # without an arena, no process of this program has written down anything
            ledger.of_program().discard(SEGMENTS, self._key())

    # ── what users see ───────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def buf(self) -> memoryview:
        """The memory; None when it is closed."""
        return self._buf  # type: ignore[return-value]  # None only for those who have closed it

    @property
    def name(self) -> str:
        """The name to attach by."""
        return self._name.removeprefix("/") if self._prepend_leading_slash else self._name

    @property
    def size(self) -> int:
        """Bytes of the memory: at least what was asked for."""
        return self._size

    def close(self) -> None:
        """Give up access from this object. BufferError, and nothing is closed, while slices or arrays of `buf` are in use."""
        if self._buf is not None:
            self._buf.release()
            self._buf = None
        if self._mmap is not None:
            try:
                self._mmap.close()
            except BufferError:
                self._buf = memoryview(self._mmap)
                raise BufferError(
                    f"cannot close exported pointers exist: slices or arrays of the memory of {self.name!r} are in use; "
                    "release or delete them, then close again"
                ) from None
            self._mmap = None

    def unlink(self) -> None:
        """Remove the block: nobody can attach to it any more, and its memory is given back with the last who has it open.

        FileNotFoundError if that has been done before, in whatever process.
        """
        try:
            segments.remove(self._name)
        except FileNotFoundError:
            self._cross_out()  # another program has removed it
            raise
        self._cross_out()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, False, self.size)

    # No __del__: the mapping goes by itself with the last of this object, its `buf`, their slices and arrays.

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"


def _unused_name() -> str:
    door = state.extra.get("shared_memory")  # where packages replace it
    name: str = make_filename() if door is None else door._make_filename()
    return name
