"""Memory of the arena as buffers, under the standard library's module name: only what programs use of it."""

from procession._primitives.memory import Memory


class BufferWrapper:
    """A piece of shared memory, zeroed; it can be inherited and passed to other processes."""

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"Size {size:n} out of range")
        self._memory = Memory(size)

    def create_memoryview(self) -> memoryview:
        """A writable view of the memory."""
        return memoryview(self._memory)


__all__ = ["BufferWrapper"]
