"""Queues beside deques, semaphores beside integers, locks beside counters, values beside dictionaries: any sequence of calls.

Half of the calls are made by a second process, so that what one does is seen by the other.
"""

from __future__ import annotations

import pickle
import queue as stdlib_queue
from collections import deque
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import procession as mp
from procession.errors import ShutDown
from tests.properties import examples

SETTINGS = examples(25)


class Large:
    """Stands for a message of 40,000 characters, which nobody wants to read in a report."""

    def __init__(self, filling: bytes | str) -> None:
        self.filling = filling

    def __repr__(self) -> str:
        return f"Large({self.filling!r})"


def real(message: Any) -> Any:
    return message.filling * 40_000 if isinstance(message, Large) else message


messages = st.one_of(
    st.integers(), st.text(max_size=30), st.binary(max_size=3000), st.none(), st.lists(st.integers(), max_size=5),
    st.sampled_from([Large(b"x"), Large("y")]), st.complex_numbers(allow_nan=False), st.frozensets(st.integers(), max_size=3),
)  # fmt: skip


class Other:
    """A second process that calls methods of objects: what they return, or raise."""

    def __init__(self, **objects: Any) -> None:
        self.ours, theirs = mp.Pipe()
        self.process = mp.get_context("fork").Process(target=serve, args=(theirs, self.ours, objects), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self, name: str, method: str, *args: Any) -> Any:
        self.ours.send((name, method, args))
        kind, result = self.ours.recv()
        if kind == "raised":
            raise result
        return result

    def close(self) -> None:
        self.ours.close()
        self.process.join()
        self.process.close()


def serve(connection: Any, others_end: Any, objects: dict[str, Any]) -> None:
    others_end.close()  # or the end would never be seen
    while True:
        try:
            name, method, args = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("returned", getattr(objects[name], method)(*args)))
        except Exception as error:
            connection.send(("raised", error))


class QueueBesideDeque(RuleBasedStateMachine):
    maxsize = 3

    def __init__(self) -> None:
        super().__init__()
        self.queue: Any = mp.JoinableQueue(self.maxsize)
        self.model: deque[Any] = deque()
        self.unfinished = 0
        self.shut = False
        self.other = Other(queue=self.queue)

    def call(self, there: bool, method: str, *args: Any) -> Any:
        return self.other("queue", method, *args) if there else getattr(self.queue, method)(*args)

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self.model)

    @rule(there=st.booleans(), message=messages, timeout=st.sampled_from([0, -1, 0.001]))
    def put(self, there: bool, message: Any, timeout: float) -> None:
        message = real(message)
        expected = ShutDown if self.shut else stdlib_queue.Full if self.full() else None
        if expected:
            with pytest.raises(expected):
                self.call(there, "put", message, True, timeout)
            return
        self.call(there, "put", message, True, timeout)
        self.model.append(message)
        self.unfinished += 1

    @rule(there=st.booleans(), timeout=st.sampled_from([0, -0.5, 0.001]))
    def get(self, there: bool, timeout: float) -> None:
        if self.model:
            assert self.call(there, "get", True, timeout) == self.model.popleft()
            return
        with pytest.raises(ShutDown if self.shut else stdlib_queue.Empty):
            self.call(there, "get", True, timeout)

    @rule(there=st.booleans(), batch=st.lists(messages, max_size=4))
    def put_many(self, there: bool, batch: list[Any]) -> None:
        batch = list(map(real, batch))
        room = len(batch) if self.maxsize <= 0 else min(len(batch), self.maxsize - len(self.model))
        if self.shut and batch:
            with pytest.raises(ShutDown):
                self.call(there, "put_many", batch, False)
            return
        if room < len(batch):
            with pytest.raises(stdlib_queue.Full) as caught:
                self.queue.put_many(batch, False)  # here: what is raised carries what was not sent
            assert vars(caught.value)["unsent"] == batch[room:]
        else:
            self.call(there, "put_many", batch, False)
        self.model.extend(batch[:room])
        self.unfinished += room

    @rule(there=st.booleans(), most=st.integers(1, 5))
    def get_many(self, there: bool, most: int) -> None:
        if not self.model:
            with pytest.raises((stdlib_queue.Empty, ShutDown)):
                self.call(there, "get_many", most, False)
            return
        expected = [self.model.popleft() for _ in range(min(most, len(self.model)))]
        assert self.call(there, "get_many", most, False) == expected

    @rule(there=st.booleans())
    def task_done(self, there: bool) -> None:
        if not self.unfinished:
            with pytest.raises(ValueError, match="too many times"):
                self.call(there, "task_done")
            return
        self.call(there, "task_done")
        self.unfinished -= 1

    @precondition(lambda self: not self.shut)
    @rule(there=st.booleans(), chance=st.integers(0, 9))
    def shut_down(self, there: bool, chance: int) -> None:
        if chance == 0:
            self.call(there, "shutdown")
            self.shut = True

    @invariant()
    def counts(self) -> None:
        assert self.queue.qsize() == len(self.model)
        assert self.queue.empty() == (not self.model)
        assert self.queue.full() == self.full()
        assert self.queue._shared.unfinished() == self.unfinished
        assert self.queue._shared.join(timeout=0) == (self.unfinished == 0)

    def teardown(self) -> None:
        self.other.close()


class UnboundedQueueBesideDeque(QueueBesideDeque):
    maxsize = 0


class SemaphoreBesideInteger(RuleBasedStateMachine):
    bounded = False

    def __init__(self) -> None:
        super().__init__()
        self.semaphore: Any = (mp.BoundedSemaphore if self.bounded else mp.Semaphore)(3)
        self.model = 3
        self.other = Other(semaphore=self.semaphore)

    def call(self, there: bool, method: str, *args: Any) -> Any:
        return self.other("semaphore", method, *args) if there else getattr(self.semaphore, method)(*args)

    @rule(there=st.booleans(), timeout=st.sampled_from([0, -1, 0.001]))
    def acquire(self, there: bool, timeout: float) -> None:
        assert self.call(there, "acquire", True, timeout) == (self.model > 0)
        self.model = max(0, self.model - 1)

    @rule(there=st.booleans())
    def release(self, there: bool) -> None:
        if self.bounded and self.model == 3:
            with pytest.raises(ValueError, match="too many times"):
                self.call(there, "release")
            return
        self.call(there, "release")
        self.model += 1

    @invariant()
    def value(self) -> None:
        assert self.semaphore.get_value() == self.model

    def teardown(self) -> None:
        self.other.close()


class BoundedSemaphoreBesideInteger(SemaphoreBesideInteger):
    bounded = True


class RLockBesideCounter(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lock: Any = mp.RLock()
        self.holder, self.count = "", 0
        self.other = Other(lock=self.lock)

    def call(self, there: bool, method: str, *args: Any) -> Any:
        return self.other("lock", method, *args) if there else getattr(self.lock, method)(*args)

    @rule(there=st.booleans())
    def acquire(self, there: bool) -> None:
        who = "other" if there else "this"
        taken = self.holder in ("", who)
        assert self.call(there, "acquire", True, 0) == taken
        if taken:
            self.holder, self.count = who, self.count + 1

    @rule(there=st.booleans())
    def release(self, there: bool) -> None:
        if self.holder != ("other" if there else "this"):
            with pytest.raises(AssertionError):
                self.call(there, "release")
            return
        self.call(there, "release")
        self.count -= 1
        self.holder = self.holder if self.count else ""

    @invariant()
    def who(self) -> None:
        assert self.lock.is_mine() == (self.holder == "this")
        assert self.lock.locked() == bool(self.holder)

    def teardown(self) -> None:
        self.other.close()


class ValuesBesideDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.array: Any = mp.Array("q", 5)
        self.model = dict.fromkeys(range(5), 0)
        self.other = Other(array=self.array)

    @rule(there=st.booleans(), index=st.integers(-6, 6), value=st.integers(-(2**63), 2**63 - 1))
    def store(self, there: bool, index: int, value: int) -> None:
        if not -5 <= index < 5:
            with pytest.raises(IndexError):
                self.array[index] = value
            return
        if there:
            self.other("array", "__setitem__", index, value)
        else:
            self.array[index] = value
        self.model[index % 5] = value

    @rule(
        there=st.booleans(), start=st.integers(-6, 6), stop=st.integers(-6, 6), step=st.sampled_from([1, 2, -1, None])
    )
    def look(self, there: bool, start: int, stop: int, step: int | None) -> None:
        part = slice(start, stop, step)
        found = self.other("array", "__getitem__", part) if there else self.array[part]
        assert found == list(self.model.values())[part]

    def teardown(self) -> None:
        self.other.close()


def as_test(machine: type[RuleBasedStateMachine]) -> Any:
    case = machine.TestCase
    case.settings = SETTINGS
    return pytest.mark.slow(pytest.mark.deadline(300)(case))


TestQueue = as_test(QueueBesideDeque)
TestUnboundedQueue = as_test(UnboundedQueueBesideDeque)
TestSemaphore = as_test(SemaphoreBesideInteger)
TestBoundedSemaphore = as_test(BoundedSemaphoreBesideInteger)
TestRLock = as_test(RLockBesideCounter)
TestValues = as_test(ValuesBesideDictionary)


def test_models_are_pickled_as_they_are() -> None:
    """What the second process raises has to arrive."""
    assert pickle.loads(pickle.dumps(ShutDown("x"))).args == ("x",)
