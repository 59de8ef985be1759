"""What works on any manager, ours or the standard library's, from either's client. Runs on Python 3.8 and without pytest.

`define(SyncManager)` makes the manager's class, `check(manager, ...)` is its client: it fails by AssertionError.
"""

import array
import gc
import threading

SECONDS = 30


class Thing:
    """An object of the user's, some of whose results stay in the server."""

    def __init__(self, parts=()):
        self._parts = list(parts)

    def size(self):
        return len(self._parts)

    def parts(self):
        return self._parts

    def child(self, *parts):
        return Thing(parts)

    def numbers(self, upto):
        for number in range(upto):
            yield number * number

    def fail(self, text):
        raise ValueError(text)

    def total(self, numbers):
        return sum(numbers)

    def keep(self, what):
        self._parts.append(what)

    def kept(self, index):
        return self._parts[index]

    def unpicklable(self):
        return threading.Lock()

    def _hidden(self):
        return "hidden"


def raised(function, *args):
    """What a call raises."""
    try:
        function(*args)
    except Exception as error:
        return error.with_traceback(None)  # its frames would keep proxies alive
    raise AssertionError("nothing was raised")


def define(base, list_proxy):
    """A manager class with Thing and the usual types."""

    class PeerManager(base):
        pass

    stays = {"parts": "Parts", "child": "ThingPart", "numbers": "Iterator"}
    PeerManager.register("Thing", Thing, method_to_typeid=stays)
    PeerManager.register("ThingPart", create_method=False)
    PeerManager.register("Parts", proxytype=list_proxy, create_method=False)
    return PeerManager


def check_containers(manager):
    numbers = manager.list(range(5))
    numbers.append(5)
    assert numbers[2:4] == [2, 3]
    assert len(numbers) == 6
    assert numbers.pop() == 5
    numbers += [7]
    assert str(numbers) == "[0, 1, 2, 3, 4, 7]"
    assert "ListProxy" in repr(numbers)
    assert numbers._callmethod("__getitem__", (slice(0, 2),)) == [0, 1]
    words = manager.dict({"a": 1}, b=2)
    words["c"] = [1, {"x": (None, 1.5, b"y")}]
    assert words.copy() == {"a": 1, "b": 2, "c": [1, {"x": (None, 1.5, b"y")}]}
    assert sorted(words.keys()) == ["a", "b", "c"]
    assert 2 in words.values()
    assert ("a", 1) in words.items()
    assert sorted(words) == ["a", "b", "c"]  # by an iterator that stays in the server
    words["big"] = "x" * 3000000
    assert words["big"] == "x" * 3000000
    words["text"] = "procession.errors"  # looks like a name of a class's module, and is none
    assert words["text"] == "procession.errors"


def check_values(manager):
    numbers = manager.Array("i", [1, 2, 3])
    numbers[1] = 20
    assert numbers[:] == array.array("i", [1, 20, 3])
    assert len(numbers) == 3
    value = manager.Value("d", 1.5)
    value.value = 2.5
    assert value.value == value.get() == 2.5
    assert value._getvalue().value == 2.5
    space = manager.Namespace(x=1)
    space.y = "two"
    assert (space.x, space.y, str(space)) == (1, "two", "Namespace(x=1, y='two')")
    assert space._getvalue().y == "two"


def check_queue(manager):
    queue = manager.Queue(2)
    queue.put(1)
    queue.put(2)
    assert queue.full()
    assert queue.get(timeout=SECONDS) == 1
    assert queue.get_nowait() == 2
    assert type(raised(queue.get_nowait)).__name__ == "Empty"


def check_synchronisation(manager):
    lock = manager.Lock()
    with lock:
        assert not lock.acquire(False)
    recursive = manager.RLock()
    with recursive, recursive:
        pass
    semaphore = manager.BoundedSemaphore(2)
    assert semaphore.acquire()
    assert semaphore.acquire()
    assert not semaphore.acquire(False)
    semaphore.release()
    condition = manager.Condition()
    with condition:
        assert condition.wait(0.01) is False
        condition.notify_all()
    event, barrier, met = manager.Event(), manager.Barrier(2), []
    other = threading.Thread(target=lambda: (met.append(barrier.wait(SECONDS)), event.set()))
    other.start()
    met.append(barrier.wait(SECONDS))
    assert event.wait(SECONDS)
    other.join()
    assert sorted(met) == [0, 1]
    assert barrier.parties == 2


def check_objects(manager, error_class):
    thing = manager.Thing([1, 2])
    parts = thing.parts()
    parts.append(3)
    assert thing.size() == 3
    assert "ListProxy" in repr(parts)
    assert thing.child(1, 2, 3, 4).size() == 4
    assert list(thing.numbers(4)) == [0, 1, 4, 9]
    error = raised(thing.fail, "of course")
    assert (type(error), error.args) == (ValueError, ("of course",))
    for wrong in ("_hidden", "nothing", "unpicklable"):
        error = raised(thing._callmethod, wrong)
        assert isinstance(error, error_class), error
        assert wrong in str(error) or "pickle" in str(error), error
    assert thing.size() == 3  # and it is served on


def check_nesting(manager):
    outer, inner = manager.list(), manager.list()
    outer.append(inner)
    inner.append("hello")
    outer[0].append("you")
    assert inner[:] == ["hello", "you"]
    del inner
    assert outer[0][:] == ["hello", "you"]
    table = manager.dict({"deep": manager.dict()})
    table["deep"]["a"] = 1
    assert table["deep"].copy() == {"a": 1}
    thing = manager.Thing()
    thing.keep(table)
    assert thing.kept(0)["deep"]["a"] == 1
    assert thing.total(manager.list([1, 2, 3])) == 6
    things = manager.list([manager.Thing([1])])
    assert things[0].size() == 1


def check_pool(manager):
    pool = manager.Pool(2)
    assert pool.map(abs, [-1, -2]) == [1, 2]
    assert pool.apply_async(abs, (-3,)).get(SECONDS) == 3
    assert list(pool.imap(abs, [-4, -5])) == [4, 5]
    pool.close()
    pool.join()


def check(manager, error_class, takes_proxies=True):
    """Everything; `takes_proxies`: the server accepts proxies as arguments (Python 3.8's does not)."""
    check_containers(manager)
    check_values(manager)
    check_queue(manager)
    check_synchronisation(manager)
    check_objects(manager, error_class)
    if takes_proxies:
        check_nesting(manager)
    check_pool(manager)
    gc.collect()  # Python 3.12 keeps the frames of an error in a cycle
    assert manager._number_of_objects() == 0, manager._debug_info()
