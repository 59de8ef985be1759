"""A program of a user with managers: `make lint` checks it with mypy --strict; `assert_type` says what is seen of each proxy."""

from __future__ import annotations

import queue
from collections.abc import MutableMapping, MutableSequence
from typing import Any, assert_type

import procession as mp
from procession.managers import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
    BaseManager,
    ConditionProxy,
    DictProxy,
    EventProxy,
    ListProxy,
    NamespaceProxy,
    PoolProxy,
    SetProxy,
    SyncManager,
    ValueProxy,
)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def increment(self) -> int:
        self.count += 1
        return self.count


class Counters(BaseManager):
    pass


Counters.register("Counter", Counter)


def count_words(found: DictProxy[str, int], lock: AcquirerProxy, words: list[str]) -> None:
    for word in words:
        with lock:
            found[word] = found.get(word, 0) + 1


def double(number: int) -> int:
    return 2 * number


def use_containers(manager: SyncManager) -> None:
    names = manager.list(["a", "b"])
    assert_type(names, ListProxy[str])
    names.append("c")
    names += ["d"]
    names.sort(key=len, reverse=True)
    assert_type(names[0], str)
    assert_type(names[1:], list[str])
    assert_type(names + names.copy(), list[str])
    assert_type(list(names), list[str])
    assert_type(manager.list(), ListProxy[Any])
    several: MutableSequence[str] = names

    found: DictProxy[str, int] = manager.dict()
    count_words(found, manager.Lock(), list(several))
    assert_type(found.items(), list[tuple[str, int]])
    assert_type(found.pop("a"), int)
    assert_type(found.copy(), dict[str, int])
    assert_type(manager.dict({1: 1.5}), DictProxy[int, float])
    assert_type(manager.dict(list(enumerate(["x"]))), DictProxy[int, str])
    assert_type(manager.dict(a=1, b=2), DictProxy[str, int])
    mapping: MutableMapping[str, int] = found
    mapping.update(c=3)

    members = manager.set([1, 2])
    assert_type(members, SetProxy[int])
    members.add(3)
    members |= {4}
    assert_type(members.union([5]), set[int])


def use_values(manager: SyncManager) -> None:
    value = manager.Value("i", 1)
    assert_type(value, ValueProxy[int])
    value.value += 1
    assert_type(value.get(), int)
    array = manager.Array("d", [1.0, 2.0])
    assert_type(array, ArrayProxy[float])
    array[0] = 3.0
    assert_type(list(array), list[float])
    namespace = manager.Namespace(left=1)
    assert_type(namespace, NamespaceProxy)
    namespace.right = namespace.left + 1


def use_synchronisation(manager: SyncManager) -> None:
    messages: queue.Queue[str] = manager.Queue(10)
    messages.put("text", timeout=1)
    text: str = messages.get()
    assert text
    tasks = manager.JoinableQueue()
    tasks.put(messages)
    tasks.task_done()
    manager.Queue().shutdown()
    assert_type(manager.RLock(), AcquirerProxy)
    with manager.Semaphore(2), manager.BoundedSemaphore():
        pass
    event = manager.Event()
    assert_type(event, EventProxy)
    event.set()
    assert_type(event.wait(1), bool)
    condition = manager.Condition(manager.Lock())
    assert_type(condition, ConditionProxy)
    with condition:
        condition.notify_all()
        assert_type(condition.wait_for(lambda: True, timeout=0), bool)
    assert_type(manager.Barrier(1), BarrierProxy)
    assert_type(manager.Barrier(1).wait(), int)


def use_pool(manager: SyncManager) -> None:
    with manager.Pool(2) as pool:
        assert_type(pool, PoolProxy)
        assert_type(pool.map(double, [1, 2]), list[int])
        assert_type(pool.apply_async(double, (1,)).get(), int)
        assert_type(list(pool.imap(double, [1])), list[int])


def use_registered() -> None:
    """As with the standard library, a name that is registered at run time is not known before: say what it makes."""
    with Counters() as manager:
        counter: Counter = manager.Counter()  # type: ignore[attr-defined]
        counter.increment()


def main() -> None:
    with mp.Manager() as manager:
        use_containers(manager)
        use_values(manager)
        use_synchronisation(manager)
        use_pool(manager)
    use_registered()


if __name__ == "__main__":
    main()
