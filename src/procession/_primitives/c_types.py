"""C types: which can be shared, what they are called in a pickle, and which of them the native face reads without asking ctypes.

Promises: a type that means nothing in another process is refused where a shared object of it is asked for. Array types, which have no
name that could be imported, are spelled by their items.
Not here: objects of these types (`raw_values`), their locks (`values`).
"""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["field_names", "plain_code", "shareable", "spell", "typecode_to_type", "unspell"]

typecode_to_type: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}  # fmt: skip

SIGNED = (ctypes.c_byte, ctypes.c_short, ctypes.c_int, ctypes.c_long, ctypes.c_longlong)
UNSIGNED = (ctypes.c_ubyte, ctypes.c_ushort, ctypes.c_uint, ctypes.c_ulong, ctypes.c_ulonglong)
PLAIN_CODES: dict[Any, str] = {  # what native/face/value_face.h draws; exactly these classes: a subclass may see its value otherwise
    **{ctype: {1: "b", 2: "h", 4: "i", 8: "q"}[ctypes.sizeof(ctype)] for ctype in SIGNED},
    **{ctype: {1: "B", 2: "H", 4: "I", 8: "Q"}[ctypes.sizeof(ctype)] for ctype in UNSIGNED},
    ctypes.c_float: "f", ctypes.c_double: "d", ctypes.c_bool: "?", ctypes.c_char: "c",
}  # fmt: skip
FUNCTION: Any = vars(ctypes)["_CFuncPtr"]  # which has no public name
DEREFERENCED = {"O": "a reference to an object", "z": "a pointer to characters", "Z": "a pointer to characters"}


def plain_code(ctype: Any) -> str:
    """How the native face reads an object (of an array: an item) of this type; "": through ctypes."""
    return PLAIN_CODES.get(ctype._type_ if issubclass(ctype, ctypes.Array) else ctype, "")


def shareable(typecode_or_type: Any) -> Any:
    """The ctypes type that is meant; TypeError if it is none, or if its values mean nothing in another process."""
    ctype = _named(typecode_or_type)
    try:
        ctypes.sizeof(ctype)
    except TypeError:
        raise TypeError(
            f"{ctype!r} has no size: it is a base for types of your own, which say their fields or items"
        ) from None
    private = _what_is_private(ctype, ctype.__name__)
    if private is not None:
        raise TypeError(
            f"{ctype.__name__} cannot be shared: {private}, which means nothing in another process, and following it there would "
            "crash. Share the contents instead (an Array), or an index into them; a bare address can be kept as c_void_p"
        )
    return ctype


def _named(typecode_or_type: Any) -> Any:
    if isinstance(typecode_or_type, str):
        try:
            return typecode_to_type[typecode_or_type]
        except KeyError:
            known = ", ".join(sorted(typecode_to_type))
            raise TypeError(f"bad typecode {typecode_or_type!r} (must be a ctypes type, or one of: {known})") from None
    if not (isinstance(typecode_or_type, type) and hasattr(typecode_or_type, "from_buffer")):
        raise TypeError(f"a typecode or a ctypes type is needed, not {typecode_or_type!r}")
    return typecode_or_type


def _what_is_private(ctype: Any, where: str) -> str | None:
    """What in this type refers to memory of one process; None: nothing."""
    if issubclass(ctype, ctypes.Array):
        return _what_is_private(ctype._type_, where + "[]")
    if issubclass(ctype, (ctypes.Structure, ctypes.Union)):
        found = (_what_is_private(kind, f"{where}.{name}") for name, kind, *_bits in _fields(ctype))
        return next((private for private in found if private is not None), None)
    if issubclass(ctype, ctypes._Pointer):
        return f"{where} is a pointer"
    if issubclass(ctype, FUNCTION):
        return f"{where} is a pointer to a function"
    if ctype._type_ in DEREFERENCED:
        return f"{where} is {DEREFERENCED[ctype._type_]}"
    return None


def _fields(ctype: Any) -> list[Any]:
    """The fields of a structure or union, its bases' first."""
    return [field for base in reversed(ctype.__mro__) for field in base.__dict__.get("_fields_", ())]


def field_names(ctype: Any) -> list[str]:
    """The names by which fields are reached, those of anonymous members too."""
    anonymous = {name for base in ctype.__mro__ for name in base.__dict__.get("_anonymous_", ())}
    names = []
    for name, kind, *_bits in _fields(ctype):
        names.append(name)
        if name in anonymous:
            names += field_names(kind)
    return names


def spell(ctype: Any) -> Any:
    """What stands for a type in a pickle: the type, or (its items' spelling, how many) of an array type without a name."""
    if not issubclass(ctype, ctypes.Array):
        return ctype
    items, length = vars(ctype).get("_type_"), vars(ctype).get("_length_")
    if items is None or length is None:  # a subclass of an array type
        return ctype
    return (spell(items), length) if ctype is items * length else ctype


def unspell(spelled: Any) -> Any:
    """The type that was spelled."""
    if isinstance(spelled, tuple):
        return unspell(spelled[0]) * spelled[1]
    return spelled
