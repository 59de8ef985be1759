"""Large buffers beside the pickle: arrays through queues, by blocks of the arena."""

from __future__ import annotations

import gc
import os
import pickle
from queue import Full
from typing import Any

import numpy
import pytest

import procession as mp
from procession import _native
from procession._channels.payload import pack, unpack

SIZES = [
    0,
    100,
    16 << 10,
    64 << 10,
    511 << 10,
    512 << 10,
    1 << 20,
    5_000_000,
]  # bytes: in band, copied out, and in place


def array(size: int) -> Any:
    return numpy.arange(size // 8, dtype="q")


@pytest.mark.parametrize("size", SIZES)
def test_an_array_arrives_equal_and_writable(size: int) -> None:
    queue, sent = mp.Queue(), array(size)
    queue.put({"array": sent, "name": "x"})
    got = queue.get()
    assert got["name"] == "x"
    assert numpy.array_equal(got["array"], sent)
    assert got["array"].flags.writeable
    got["array"][...] = 7
    assert numpy.array_equal(sent, array(size)), "the receiver wrote into the sender's array"


def test_what_is_put_is_what_the_array_held_at_that_time() -> None:
    queue, sent = mp.Queue(), array(2_000_000)
    queue.put(sent)
    sent[...] = 0
    assert numpy.array_equal(queue.get(), array(2_000_000))


def test_several_arrays_in_one_message_share_no_memory() -> None:
    queue = mp.Queue()
    sent = [array(1_000_000), array(40_000), array(24), numpy.asfortranarray(array(800_000).reshape(100, 1000))]
    queue.put(sent)
    got = queue.get()
    assert all(numpy.array_equal(one, other) for one, other in zip(sent, got, strict=True))
    assert got[3].flags.f_contiguous
    assert not any(numpy.shares_memory(one, other) for i, one in enumerate(got) for other in got[:i])


def test_an_array_that_is_read_only_arrives_read_only() -> None:
    queue, sent = mp.Queue(), array(1_000_000)
    sent.flags.writeable = False
    queue.put(sent)
    assert not queue.get().flags.writeable


def test_an_array_that_is_not_contiguous_arrives() -> None:
    queue, sent = mp.Queue(), array(2_000_000)[::3]
    queue.put(sent)
    assert numpy.array_equal(queue.get(), sent)


def test_many_messages_with_and_without_blocks_keep_their_order() -> None:
    queue = mp.Queue()
    sent = [0, array(1_000_000), "text", array(100), object, array(30_000), array(3_000_000)]
    queue.put_many(sent)
    for one, other in zip(sent, queue.get_many(len(sent)), strict=True):
        assert numpy.array_equal(one, other) if isinstance(one, numpy.ndarray) else one == other


def test_the_memory_comes_back_with_the_last_view() -> None:
    queue = mp.Queue()
    queue.put(array(4_000_000))
    gc.collect()
    before = _native.arena_in_use()
    got = queue.get()
    slice_of_it = got[10:20]
    del got
    gc.collect()
    assert _native.arena_in_use() == before, "a slice looks into it still"
    assert list(slice_of_it) == list(range(10, 20))
    del slice_of_it
    gc.collect()
    assert _native.arena_in_use() <= before - 4_000_000


def test_a_message_that_finds_no_room_stays_the_senders() -> None:
    queue = mp.Queue(1)
    queue.put(0)
    gc.collect()
    before = _native.arena_in_use()
    with pytest.raises(Full):
        queue.put(array(4_000_000), timeout=0.01)
    gc.collect()
    assert _native.arena_in_use() <= before
    assert queue.get() == 0


def test_put_many_says_what_was_not_sent_and_keeps_no_memory() -> None:
    queue = mp.Queue(2)
    before = _native.arena_in_use()
    with pytest.raises(Full) as caught:
        queue.put_many([1, 2, array(4_000_000)], block=False)
    assert len(caught.value.unsent) == 1  # type: ignore[attr-defined]
    del caught
    gc.collect()
    assert _native.arena_in_use() <= before + 8192


@pytest.mark.parametrize("size", [100, 40_000, 3_000_000])
def test_large_bytes_arrive(size: int) -> None:
    queue, sent = mp.Queue(), os.urandom(size)
    queue.put(sent)
    queue.put([sent, sent[:10]])
    assert queue.get() == sent
    assert queue.get() == [sent, sent[:10]]


def test_the_end_of_a_queue_gives_pickles_of_such_messages() -> None:
    queue = mp.Queue()
    queue.put(array(1_000_000))
    queue.put(bytes(100_000))
    assert numpy.array_equal(pickle.loads(queue._reader.recv_bytes()), array(1_000_000))
    assert pickle.loads(queue._reader.recv_bytes()) == bytes(100_000)


def test_without_large_buffers_the_message_is_a_pickle() -> None:
    packed = pack([object, array(100)])
    assert isinstance(packed, memoryview)
    assert pickle.loads(packed)[0] is object


def test_a_block_is_empty_once_it_was_put() -> None:
    block = pack(array(1_000_000))
    assert isinstance(block, _native.Block)
    assert numpy.array_equal(unpack(block), array(1_000_000))


# ── forks ───────────────────────────────────────────────────────────────────────────────────────
def _look(array: Any, go: Any, answer: Any) -> None:
    go.wait()
    answer.put((int(array[0]), int(array[-1])))
    array[...] = -5
    answer.put(int(array[0]))


def test_a_received_array_is_its_process_own_also_after_a_fork() -> None:
    context = mp.get_context("fork")
    queue, go, answer = context.Queue(), context.Event(), context.Queue()
    queue.put(array(2_000_000))
    got = queue.get()
    child = context.Process(target=_look, args=(got, go, answer))
    child.start()
    got[0] = 99  # after the fork: the child must not see it
    go.set()
    assert answer.get() == (0, 249_999)
    assert answer.get() == -5
    child.join()
    assert (got[0], got[-1]) == (99, 249_999), "the child wrote into the parent's array"


def test_memory_that_a_fork_made_private_is_shared_again_afterwards() -> None:
    context = mp.get_context("fork")
    queue = context.Queue()
    queue.put(array(2_000_000))
    got = queue.get()
    child = context.Process(target=_look, args=(got, context.Event(), queue))
    child.start()
    child.kill()
    child.join()
    got[...] = 3
    del got
    for number in range(4):  # the block is used again, and what is put into it is seen by the other side
        reply = context.Queue()
        queue.put(array(2_000_000) + number)
        reader = context.Process(target=_send_sum, args=(queue, reply))
        reader.start()
        assert reply.get() == int((array(2_000_000) + number).sum())
        reader.join()


def _send_sum(queue: Any, reply: Any) -> None:
    reply.put(int(queue.get().sum()))


def test_a_killed_receivers_memory_comes_back() -> None:
    context = mp.get_context("fork")
    queue, ready = context.Queue(), context.Event()
    child = context.Process(target=_hold, args=(queue, ready))
    child.start()
    before = _native.arena_in_use()
    queue.put(array(8_000_000))
    ready.wait()
    child.kill()
    child.join()
    queue.put(array(100))
    queue.get()
    assert _native.arena_in_use() <= before + 65536


def _hold(queue: Any, ready: Any) -> None:
    held = queue.get()
    ready.set()
    mp.Event().wait()
    del held
