"""What pools put into their queues: one native call for a task and one for an answer, without pickle where that is possible."""

from __future__ import annotations

import pytest

from procession import errors
from procession._pools.books import Block
from procession._pools.functions import FunctionStore
from procession._pools.sending import put_block
from procession._pools.words import Call
from procession._pools.worker import RUNNING, Claims, Ring

HELD = [1, [2, 3], {"four": 5}]  # as a worker holds the value that it answers


@pytest.mark.parametrize(
    "value", [None, 7, 2**40, "text", [], [1, 2], [[1], [2]], {"a": [1]}, (1, (2,)), list(range(5000)), HELD]
)
def test_a_value_that_its_sender_still_holds_is_put_without_pickle(value: object) -> None:
    ring, claims = Ring(), Claims(1)
    assert ring.answer(claims, 0, 2**33, 0, value)
    assert ring.get_many(1) == [(2**33, 0, value)]
    assert ring.put_call(2, 64, 2**40, value)
    assert ring.get(timeout=0) == (2, 64, 2**40, value)
    assert ring.put_calls(2, 64, 2**40, [None, value, value])
    assert ring.get_many(9) == [(2, 64, 2**40, None)] + 2 * [(2, 64, 2**40, value)]


@pytest.mark.parametrize("size", [1, 5])
def test_tuples_that_the_caller_still_holds_are_put_without_pickle(size: int) -> None:
    pairs = [(number, -number) for number in range(10)]  # as the input of starmap
    chunks = [tuple(pairs[start : start + size]) for start in range(0, 10, size)]
    ring, job = Ring(), object()
    put_block(ring, Block(job, 0, Call.STARMAP, FunctionStore().ref(len), chunks))  # type: ignore[arg-type]
    messages = [bytes(ring.get_bytes(timeout=0)[0]) for _ in chunks]
    assert b"\x95" not in [message[2:3] for message in messages]  # pickle begins a frame, the codec does not
    put_block(ring, Block(job, 0, Call.STARMAP, FunctionStore().ref(len), chunks))  # type: ignore[arg-type]
    assert [ring.get(timeout=0)[3] for _ in chunks] == chunks


SHARED = [1]
CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("value", [object(), [SHARED, SHARED], CYCLE, [lambda: 1]])
def test_a_value_that_needs_pickle_is_refused_and_changes_nothing(value: object) -> None:
    ring, claims = Ring(), Claims(1)
    claims.store(0, RUNNING, 5)
    assert not ring.answer(claims, 0, 4, 0, value)
    assert not ring.put_call(0, 0, 0, value)
    assert not ring.put_calls(0, 0, 0, [1, value, 2])
    assert ring.counts() == (0, 0)
    assert claims.load(0, RUNNING) == 5
    assert claims.claim(0) == (0, 0, 0)


def test_an_answer_says_that_the_next_task_of_the_claim_runs() -> None:
    tasks, answers, claims = Ring(), Ring(), Claims(2)
    tasks.put_many([10, 11, 12])
    assert [sequence for sequence, _ in tasks.get_claimed(claims, 1, 3)] == [0, 1, 2]
    running = []
    for sequence in range(3):
        assert answers.answer(claims, 1, sequence, 0, None)
        running.append((claims.claim(1)[2], claims.load(1, RUNNING)))
    assert running == [(1, 2), (2, 3), (3, 0)]  # 1 + the sequence


def test_wrong_arguments_are_refused() -> None:
    ring, claims = Ring(), Claims(1)
    with pytest.raises(TypeError):
        ring.answer(claims, 0, 1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ring.answer(ring, 0, 1, 0, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="row"):
        ring.answer(claims, 1, 1, 0, None)
    with pytest.raises(ValueError, match="sequence"):
        ring.answer(claims, 0, -1, 0, None)
    with pytest.raises(TypeError):
        ring.put_call(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="put_calls"):
        ring.put_calls(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="iterable"):
        ring.put_calls(1, 2, 3, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="number of a call"):
        ring.put_calls(1, -2, 3, [])


def test_a_block_of_tasks_is_put_whole_or_refused() -> None:
    ring = Ring()
    assert ring.put_calls(1, 2, 3, [])
    assert ring.counts() == (0, 0)
    assert ring.put_calls(1, 2, 3, (bytes([number % 256]) * number for number in range(3000)))
    assert [ring.get(timeout=0)[3] for _ in range(3000)] == [bytes([number % 256]) * number for number in range(3000)]
    ring.shut_down()
    with pytest.raises(errors.ShutDown):
        ring.put_calls(1, 2, 3, [4])
