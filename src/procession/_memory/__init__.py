"""Shared memory as the floors above see it: the program's arena.

Not here: its layout and allocation (native/arena.h, native/heap.h).
"""
