"""What a manager makes, and what it says to whom errs."""

from __future__ import annotations

import array
import os
import pickle
import queue
import socket
import threading
from collections.abc import MutableSet
from typing import Any

import pytest

import procession as mp
from procession.errors import AuthenticationError, ProcessError
from procession.managers import (
    BaseManager,
    BaseProxy,
    DictProxy,
    MakeProxyType,
    RemoteError,
    SyncManager,
    listener_client,
)
from tests.units._managers.conftest import Account, Bank


def test_every_type_of_a_sync_manager_works(manager: Any) -> None:
    assert manager.list([3, 1]).copy() == [3, 1]
    assert manager.dict(a=1).copy() == {"a": 1}
    assert manager.set([1, 1]).copy() == {1}
    assert manager.Array("i", [1, 2])[:] == array.array("i", [1, 2])
    assert manager.Value("i", 7).value == 7
    assert manager.Namespace(x=1).x == 1
    assert manager.Queue(1).empty()
    assert not manager.Event().is_set()
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"):
        lock = getattr(manager, name)()
        with lock:
            assert lock.locked() is True
        assert lock.locked() is False
    assert manager.Barrier(1).wait() == 0
    with manager.Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1
    joinable = manager.JoinableQueue()
    joinable.put(1)
    assert joinable.get() == 1
    joinable.task_done()
    joinable.join()
    assert manager._number_of_objects() > 0


def test_a_set_has_the_methods_and_operators_of_sets(manager: Any) -> None:
    shared = manager.set({1, 2})
    other = manager.set({2, 3})
    assert isinstance(shared, MutableSet)
    assert shared | other == {1, 2, 3}
    assert shared & {2} == {2}
    assert {5} | shared == {1, 2, 5}
    assert shared - other == {1}
    assert shared ^ {2} == {1}
    same = shared
    shared |= {9}
    assert shared is same
    assert sorted(shared) == [1, 2, 9]
    shared -= {9}
    shared.discard(77)
    assert (shared == {1, 2}, shared <= {1, 2, 3}, 1 in shared, len(shared)) == (True, True, True, 2)
    with pytest.raises(TypeError):
        hash(shared)


def test_a_queue_can_be_shut_down(manager: Any) -> None:
    shared = manager.Queue()
    shared.put(1)
    shared.shutdown()
    assert shared.get() == 1
    with pytest.raises(mp.ShutDown):
        shared.get()
    with pytest.raises(getattr(queue, "ShutDown", mp.ShutDown)):
        shared.put(2)


def test_objects_are_nested_and_passed_as_arguments(manager: Any) -> None:
    inner, outer = manager.list(), manager.dict()
    outer["inner"] = inner
    del inner
    outer["inner"].append(1)
    assert outer["inner"][:] == [1]
    assert manager.list([outer])[0]["inner"][0] == 1


def test_results_stay_in_the_server_where_that_is_registered(manager: Any) -> None:
    account = manager.Account(10)
    account.add(5)
    entries = account.entries()
    entries.append(99)
    assert account.entries()[1] == 99
    numbers = account.numbers()
    assert next(numbers) == 1
    assert numbers.send("x") == ("got", "x")
    with pytest.raises(StopIteration):
        next(numbers)


def test_what_a_method_raises_is_raised_with_the_place_where_it_was(manager: Any) -> None:
    with pytest.raises(KeyError, match="gone") as raised:
        manager.Account().fail(KeyError("gone"))
    assert "raise error" in "".join(raised.value.__notes__)  # the line in the server


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda account: account._callmethod("_secret"), "'_secret'.*is not exposed"),
        (lambda account: account._callmethod("nothing"), "'nothing'.*is not exposed"),
        (lambda account: account.lock(), "lock"),
        (lambda account: account.fail(SystemExit(3)), "SystemExit"),
    ],
)
def test_who_errs_is_told_with_the_remote_traceback_and_is_served_on(manager: Any, call: Any, told: str) -> None:
    account = manager.Account()
    with pytest.raises(RemoteError, match=told) as raised:
        call(account)
    assert "-----" in str(raised.value)
    assert account.add(1) == 1


def test_an_unknown_object_is_named_in_the_error(manager: Any) -> None:
    account = manager.Account()
    account._remote.decref(account._id)
    with pytest.raises(RemoteError, match=f"{account._id}.*is no object of this manager"):
        account.add(1)
    account._close.cancel()


def test_an_unknown_typeid_and_request_are_named_in_the_error(manager: Any) -> None:
    with pytest.raises(RemoteError, match=r"'Nothing' is not registered.*Account"):
        manager._create("Nothing")
    with pytest.raises(RemoteError, match="'nonsense' is no request"):
        manager._request("nonsense")


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("Account", dict), ValueError, "registered with Bank already"),
        ((7, dict), TypeError, "typeid must be a string"),
        (("A", dict, None, "get"), TypeError, r"write \['get'\]"),
        (("A", dict, None, [1]), TypeError, "names of methods"),
        (("A", dict, None, None, {"get": 1}), TypeError, "must map names to typeids"),
    ],
)
def test_wrong_registrations_are_refused_at_once(arguments: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Bank.register(*arguments)


def test_a_subclass_may_register_a_typeid_anew() -> None:
    class Other(Bank):
        pass

    Other.register("Account", dict, DictProxy)
    assert Bank._registry["Account"].callable is Account
    with Other() as manager:
        assert manager.Account(a=1).copy() == {"a": 1}


class CountingProxy(BaseProxy):
    _exposed_ = ("add",)

    def add_twice(self, amount: int) -> Any:
        self._callmethod("add", (amount,))
        return self._callmethod("add", (amount,))


def test_proxies_of_the_users_own_work() -> None:
    class Custom(BaseManager):
        pass

    Custom.register("Counting", Account, CountingProxy)
    Custom.register("Made", Account, MakeProxyType("Made", ("add",)))
    Custom.register("Hidden", Account, exposed=("add",), create_method=False)
    with Custom() as manager:
        assert manager.Counting(1).add_twice(2) == 5  # type: ignore[attr-defined]
        assert manager.Made(1).add(1) == 2  # type: ignore[attr-defined]
        assert not hasattr(manager, "Hidden")
        proxy = manager.Counting()  # type: ignore[attr-defined]
        assert pickle.loads(pickle.dumps(proxy)).add_twice(1) == 2


def test_a_proxy_compares_by_identity_and_copies_by_value(manager: Any) -> None:
    shared = manager.list([1])
    assert "ListProxy object, typeid 'list'" in repr(shared)
    assert str(shared) == "[1]"
    assert shared != [1]
    assert shared._getvalue() == [1]


def test_a_manager_starts_once_and_says_why_it_does_not_again() -> None:
    manager = SyncManager()
    with pytest.raises(AssertionError, match="server not yet started"):
        manager.list()
    manager.start()
    with pytest.raises(ProcessError, match="Already started"):
        manager.start()
    with pytest.raises(ProcessError, match="Already started"):
        manager.get_server()
    manager.shutdown()
    manager.shutdown()
    manager.join()
    with pytest.raises(ProcessError, match="shut down"):
        manager.start()


def fail() -> None:
    raise ZeroDivisionError("an initializer that fails")


def test_a_server_that_ends_before_it_serves_is_an_error_at_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProcessError, match=r"exit code 1.*stderr"):
        SyncManager().start(fail)
    assert "an initializer that fails" in capfd.readouterr().err
    with pytest.raises(TypeError, match="callable"):
        SyncManager().start(initializer=3)  # type: ignore[arg-type]


def test_wrong_keys_are_refused_on_both_sides(manager: Any) -> None:
    stranger = SyncManager(manager.address, authkey=b"another key")
    with pytest.raises(AuthenticationError):
        stranger.connect()
    with pytest.raises(TypeError, match="authkey must be bytes"):
        SyncManager(authkey="text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="serializer"):
        SyncManager(serializer="nonsense")
    assert manager.Value("i", 1).value == 1


@pytest.mark.parametrize("address", [None, ("127.0.0.1", 0)])
def test_a_server_in_this_process_serves_who_connects(address: Any) -> None:
    server = Bank(address, b"a key").get_server()
    served: list[object] = []

    def serve() -> None:
        try:
            server.serve_forever()
        except SystemExit as end:
            served.append(end.code)

    thread = threading.Thread(target=serve)
    thread.start()
    manager = Bank(server.address, b"a key")
    manager.connect()
    shared = manager.list([1])
    shared.append(2)
    assert shared[:] == [1, 2]
    del shared
    manager._request("dummy")
    server.stop_event.set()
    thread.join()
    assert served == [0]


def test_nothing_waits_for_acknowledgements_on_either_end() -> None:
    def is_set(connection: Any) -> bool:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    with listener_client["pickle"][0](("127.0.0.1", 0), authkey=b"k") as listener:
        accepted: list[Any] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        with listener_client["pickle"][1](listener.address, authkey=b"k") as mine:
            thread.join()
            assert (is_set(mine), is_set(accepted[0])) == (True, True)
            accepted[0].close()


def test_xml_rpc_carries_plain_values() -> None:
    with Bank(serializer="xmlrpclib") as manager:
        account = manager.Account(1)
        assert account.add(2) == 3
        with pytest.raises(RemoteError, match="not exposed"):
            account._callmethod("nothing")
        with pytest.raises(RemoteError, match="cannot marshal"):
            account.lock()
        assert account.add(1) == 4


def give_back(shared: Any, manager: Any) -> None:
    shared.append(manager.list([2])[0])


@pytest.mark.parametrize(
    "method",
    ["fork", pytest.param("spawn", marks=pytest.mark.slow), pytest.param("forkserver", marks=pytest.mark.slow)],
)
def test_managers_and_proxies_are_passed_to_children(method: str) -> None:
    context = mp.get_context(method)
    with context.Manager() as manager:
        shared = manager.list([1])
        child = context.Process(target=give_back, args=(shared, manager))
        child.start()
        child.join()
        assert shared[:] == [1, 2]
