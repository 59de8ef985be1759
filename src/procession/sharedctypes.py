"""Values and arrays of C types in shared memory, under the standard library's module name."""

from procession._primitives.values import (
    Array,
    RawArray,
    RawValue,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    Value,
    copy,
    synchronized,
    typecode_to_type,
)
from procession._primitives.values import place as rebuild_ctype

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "rebuild_ctype",
    "synchronized",
    "typecode_to_type",
]
