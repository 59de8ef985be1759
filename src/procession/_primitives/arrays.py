"""Arrays that processes share: `empty` and `zeros` make numpy arrays in the arena.

A shared array may be inherited, passed as an argument, and sent through queues and pipes: it travels by reference, in whatever slices, and
whoever has it sees what the others write. Nothing is copied; its memory goes back to the arena with the last array that looks into it.
Guard it with a lock as you would guard a `RawArray`. What arithmetic makes of it is an ordinary array.
Not here: arrays that are sent as copies (`_channels.payload`), ctypes arrays (`values`). Needs numpy, which is imported with this module.
"""

from __future__ import annotations

import math

from procession._primitives.memory import Memory

try:
    import numpy
except ImportError as missing:
    raise ImportError("shared arrays need numpy: pip install numpy", name="numpy") from missing

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["SharedArray", "empty", "zeros"]


class SharedArray(numpy.ndarray):
    """A numpy array in the arena. Made by `empty` and `zeros`; slices, views and reshapes of one are shared, too."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        memory = _memory_of(self)
        if memory is None:  # a copy
            return numpy.asarray(self).__reduce_ex__(protocol)
        start = _address(self) - _address(numpy.ndarray((0,), "u1", memory))
        return _arrive, (memory, self.shape, self.dtype, start, self.strides)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array

    @classmethod
    def _make(cls, shape: Any, dtype: Any, order: Any) -> Self:
        kind = numpy.dtype(dtype)
        if kind.hasobject:
            raise TypeError(
                f"an array of {kind} cannot be shared: it holds references to Python objects of one process"
            )
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        memory: Any = Memory(max(1, math.prod(sizes) * kind.itemsize))
        return cls(sizes, kind, memory, order=order)


def _memory_of(array: Any) -> Any:
    """The `Memory` that an array looks into, if that is shared; numpy's types do not know it as a buffer."""
    while isinstance(array, numpy.ndarray):
        array = array.base
    return array if isinstance(array, Memory) else None


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _arrive(memory: Any, shape: tuple[int, ...], dtype: Any, start: int, strides: tuple[int, ...]) -> SharedArray:
    return SharedArray(shape, dtype, memory, start, strides)


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> SharedArray:
    """A shared array, its contents undefined. `shape`, `dtype` and `order` as `numpy.empty` takes them.

    TypeError for a dtype that holds Python objects, MemoryError if the arena has no room.

        frames = procession.empty((8, 1080, 1920, 3), "uint8")
        Process(target=fill, args=(frames[3],)).start()
    """
    return SharedArray._make(shape, dtype, order)


def zeros(shape: Any, dtype: Any = float, order: Any = "C") -> SharedArray:
    """A shared array of zeros; else as `empty`."""
    return SharedArray._make(shape, dtype, order)  # the arena's memory comes zeroed
