"""Closed sets of named states, as `enum.Enum` makes them, without the module `enum`, whose import costs every child 2 ms.

Promises: members are single objects with `name` and `value`, also after pickling; the class is iterated in the order of definition, and
`Class(value)` is the member of that value, or ValueError.
Not here: which states there are (`lifecycle.py`, `handshake.py`); type checkers are shown `enum.Enum` itself.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["States"]


class _Closed(type):
    """Makes the upper-case attributes of a class its members."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> _Closed:
        made = super().__new__(cls, name, bases, body)
        members = []
        for key, value in body.items():
            if key.isupper():
                member: Any = object.__new__(made)  # type: ignore[arg-type]
                member.name, member.value = key, value
                setattr(made, key, member)
                members.append(member)
        made.members = tuple(members)  # type: ignore[attr-defined]
        return made

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls.members)  # type: ignore[attr-defined]

    def __len__(cls) -> int:
        return len(cls.members)  # type: ignore[attr-defined]

    def __call__(cls, value: object) -> Any:
        for member in cls:
            if member.value == value:
                return member
        raise ValueError(f"{value!r} is not a valid {cls.__qualname__}")


class States(metaclass=_Closed):
    """The base class of a set of states."""

    name: str
    value: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.value,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"
