"""`ShareableList`: a list of fixed length whose items live in a block of shared memory; other programs attach to it by name.

The layout is that of the standard library's module (3.9 to 3.13 were looked at), native byte order:

    offset               what
    0                    int64: n, the number of items
    8                    n + 1 times int64: where each item begins in the data, and where the last one ends
    16 + 8 n             the data: each item in 8 bytes, or as many more as its first text in UTF-8, or bytes, takes
    + end of the data    n times 8 bytes: the item's format, padded with NULs; the module `struct` understands it
    + 8 n                n times one byte: how to read the item back (0: as it is, 1: text, 2: bytes, 3: None)

Promises: a block that does not have this layout raises ValueError, whatever it holds. An index out of range changes nothing.
Not here: locks. Who writes while another reads may have it read a mixture, as with any shared memory.
"""

from __future__ import annotations

import operator
import re
import struct
import types
from functools import partial

from procession._memory.segment import SharedMemory

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, ClassVar

__all__ = ["ShareableList"]

WORD = struct.Struct("q")
AS_IT_IS, TEXT, BYTES, NONE = range(4)
NONE_FORMAT = "xxxxxx?x"
# Exact type -> format of 8 bytes. Those of text and bytes are as long as their room.
FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): NONE_FORMAT}
PACKERS = {format_: struct.Struct(format_) for format_ in FORMATS.values()}
STRING = re.compile(r"([1-9][0-9]*)s")
KINDS = {str: TEXT, bytes: BYTES, type(None): NONE}
ROUNDING = 8


class ShareableList:
    """A list of int (64 bits), float, bool, str, bytes and None in shared memory. Its length and the room of each item never change.

    `sequence`: what it holds at first; `name`: of the block to make, or, without `sequence`, to attach to. `shm` is the `SharedMemory`
    behind it: call `shm.close()` when done, and `shm.unlink()` once. Trailing NULs of str and bytes are lost.

    Raises TypeError for an item of another type, FileExistsError and FileNotFoundError for the name.
    """

    shm: SharedMemory

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if name is not None and sequence is None:
            self.shm = SharedMemory(name)
            self._attach()
            return
        items = list(() if sequence is None else sequence)
        packed = [_pack(item, position) for position, item in enumerate(items)]
        self._list_len = len(items)
        self._allocated_offsets = [0]
        for _format, data, _kind in packed:
            self._allocated_offsets.append(self._allocated_offsets[-1] + len(data))
        self.shm = SharedMemory(name, create=True, size=self._kinds_at + self._list_len)
        self._fill(packed)

    def _fill(self, packed: list[tuple[str, bytes, int]]) -> None:
        buf = self.shm.buf
        header = struct.pack(f"{self._list_len + 2}q", self._list_len, *self._allocated_offsets)
        parts = (
            header,
            b"".join(data for _format, data, _kind in packed),
            b"".join(format_.encode().ljust(WORD.size, b"\0") for format_, _data, _kind in packed),
            bytes(kind for _format, _data, kind in packed),
        )
        contents = b"".join(parts)
        buf[: len(contents)] = contents

    def _attach(self) -> None:
        """Read the layout, and believe nothing."""
        size, buf = self.shm.size, self.shm.buf
        try:
            (self._list_len,) = WORD.unpack_from(buf)
            if not 0 <= self._list_len <= size // WORD.size:
                raise ValueError(f"{self._list_len} items")
            self._allocated_offsets = list(struct.unpack_from(f"{self._list_len + 1}q", buf, WORD.size))
            if self._allocated_offsets[0] != 0 or any(
                end - begin < ROUNDING or end % ROUNDING
                for begin, end in zip(self._allocated_offsets, self._allocated_offsets[1:], strict=False)
            ):
                raise ValueError("items out of order")
            if self._kinds_at + self._list_len > size:
                raise ValueError(f"{self._kinds_at + self._list_len} bytes needed")
        except (ValueError, struct.error) as error:
            name = self.shm.name
            del buf
            self.shm.close()
            raise ValueError(f"segment {name!r} of {size} bytes holds no ShareableList: {error}") from None

    # ── the layout ───────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def _data_at(self) -> int:
        return WORD.size * (self._list_len + 2)

    @property
    def _formats_at(self) -> int:
        return self._data_at + self._allocated_offsets[self._list_len]

    @property
    def _kinds_at(self) -> int:
        return self._formats_at + WORD.size * self._list_len

    def _room(self, position: int) -> int:
        """How many bytes the item may take."""
        return self._allocated_offsets[position + 1] - self._allocated_offsets[position]

    def _position(self, index: Any, what: str) -> int:
        if isinstance(index, slice):
            raise TypeError("a ShareableList has no slices: make a list of it first")
        position = operator.index(index)
        position += self._list_len if position < 0 else 0
        if not 0 <= position < self._list_len:
            raise IndexError(f"{what} out of range: {index} in a ShareableList of {self._list_len} items")
        return position

    def _get_packing_format(self, position: int) -> str:
        """How the item is packed, as the module `struct` says it. ValueError if there is no such format in the block."""
        position = self._position(position, "index")
        at = self._formats_at + WORD.size * position
        found = bytes(self.shm.buf[at : at + WORD.size]).rstrip(b"\0").decode("ascii", "replace")
        if found not in PACKERS and (not (match := STRING.fullmatch(found)) or int(match[1]) > self._room(position)):
            raise ValueError(
                f"item {position} of ShareableList {self.shm.name!r} is damaged: it has the format {found!r}"
            )
        return found

    @property
    def format(self) -> str:
        """How all items are packed, as the module `struct` says it."""
        return "".join(map(self._get_packing_format, range(self._list_len)))

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def __getitem__(self, position: int) -> Any:
        position = self._position(position, "index")
        format_ = self._get_packing_format(position)
        at = self._data_at + self._allocated_offsets[position]
        (value,) = (PACKERS.get(format_) or struct.Struct(format_)).unpack_from(self.shm.buf, at)
        kind = self.shm.buf[self._kinds_at + position]
        if kind == NONE:
            return None
        if not isinstance(value, bytes):
            return value
        value = value.rstrip(b"\0")
        return value.decode() if kind == TEXT else value

    def __setitem__(self, position: int, value: Any) -> None:
        position = self._position(position, "assignment index")
        format_, data, kind = _pack(value, position)
        room, at = self._room(position), self._data_at + self._allocated_offsets[position]
        if isinstance(value, str | bytes):
            data = data.rstrip(b"\0")
            if len(data) > room:
                raise ValueError(
                    f"bytes/str item exceeds available storage: item {position} has room for {room} bytes, not for {len(data)}"
                )
            format_, data = f"{room}s", data.ljust(room, b"\0")
        buf = self.shm.buf
        buf[at : at + len(data)] = data
        at = self._formats_at + WORD.size * position
        buf[at : at + WORD.size] = format_.encode().ljust(WORD.size, b"\0")
        buf[self._kinds_at + position] = kind

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self._list_len))

    def __len__(self) -> int:
        return self._list_len

    def count(self, value: Any) -> int:
        """How many items equal `value`."""
        return sum(value == item for item in self)

    def index(self, value: Any) -> int:
        """The first position of `value`; ValueError if it is not there."""
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} not in this container")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), name=self.shm.name), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r}, name={self.shm.name!r})"

    __class_getitem__: ClassVar[Any] = classmethod(types.GenericAlias)


def _pack(item: Any, position: int) -> tuple[str, bytes, int]:
    """(format, bytes, how to read it back) of an item that gets the room that it takes."""
    kind = KINDS.get(type(item), AS_IT_IS)
    if kind in (TEXT, BYTES):
        data = item.encode() if kind == TEXT else item
        # As the standard library counts, which goes by characters, and never less than the text takes, which it forgets.
        room = max(ROUNDING * (len(item) // ROUNDING + 1), -(-len(data) // ROUNDING) * ROUNDING)
        return f"{room}s", data.ljust(room, b"\0"), kind
    format_ = FORMATS.get(type(item))
    if format_ is None:
        raise TypeError(
            f"item {position} is of type {type(item).__name__}: a ShareableList holds int, float, bool, str, bytes and None"
        )
    try:
        return format_, PACKERS[format_].pack(bool(item) if kind == NONE else item), kind
    except struct.error:
        raise struct.error(f"item {position} does not fit into 64 bits: {item!r}") from None
