"""Large buffers of arguments and results travel beside their pickle, and go back to the arena."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import pytest

import procession as mp
from procession import _native
from procession._pools.parcels import pack, unpack
from procession.errors import WorkerDied


class Large:
    """Offers its buffer beside the pickle, as arrays do."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Large, (pickle.PickleBuffer(self.content),)


def touch(large: Large) -> tuple[int, Large]:
    memoryview(large.content)[0] = 7
    return memoryview(large.content).nbytes, large


def touch_and_die(_large: Large) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_small_buffer_stays_in_the_pickle_and_a_large_one_does_not() -> None:
    assert isinstance(pack(Large(bytearray(100))), bytes)
    packed = pack([Large(bytearray(b"a" * 100_000)), 5])
    assert isinstance(packed, tuple)
    assert len(packed[0]) < 1000
    large, five = unpack(packed)
    assert bytes(large.content) == b"a" * 100_000
    assert five == 5


@pytest.mark.slow
def test_what_arrives_is_writable_and_private_and_its_room_comes_back() -> None:
    with mp.get_context("fork").Pool(2) as pool:
        original = Large(bytearray(1 << 20))
        pool.apply(touch, (original,))
        before = _native.arena_in_use()
        for _ in range(20):
            size, back = pool.apply(touch, (original,))
            assert size == 1 << 20
            assert memoryview(back.content)[0] == 7
            memoryview(back.content)[1] = 8
        assert original.content[0] == 0
        for size, back in pool.map(touch, [original] * 8, chunksize=1):
            assert (size, memoryview(back.content)[0]) == (1 << 20, 7)
        for _ in range(5):
            with pytest.raises(WorkerDied):
                pool.apply(touch_and_die, (original,))
        del back
        pool.map(abs, range(10), chunksize=1)
        assert _native.arena_in_use() < before + (2 << 20)
    pool.join()
