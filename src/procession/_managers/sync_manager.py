"""`SyncManager`: the manager of the usual types.

Not here: managers as such (`base_manager.py`), the types themselves (`sync_types.py`, `sync_locks.py`), their proxies (`proxies.py`).
"""

from __future__ import annotations

import threading

from procession._managers import proxies, sync_barrier, sync_locks, sync_semaphores, sync_types
from procession._managers.base_manager import INITIAL, SHUTDOWN, STARTED, BaseManager, State
from procession._managers.proxy import referent_of
from procession._pools.pool import Pool

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar, overload

    T = TypeVar("T")
    K = TypeVar("K")
    V = TypeVar("V")

__all__ = ["INITIAL", "SHUTDOWN", "STARTED", "BaseManager", "State", "SyncManager"]


class SyncManager(BaseManager):
    """A manager of containers, synchronisation, values and pools; objects that are nested in others may be, too.

    `Array`, `Barrier`, `BoundedSemaphore`, `Condition`, `Event`, `JoinableQueue`, `Lock`, `Namespace`, `Pool`, `Queue`, `RLock`,
    `Semaphore`, `Value`, `dict`, `list` and `set` make an object in the server and return a proxy for it.
    """

    if TYPE_CHECKING:  # `register` makes these, from `_TYPES`; a proxy for a queue has the queue's methods
        # fmt: off
        def Queue(self, maxsize: int = 0) -> sync_types.Queue: ...  # noqa: N802
        def JoinableQueue(self, maxsize: int = 0) -> sync_types.Queue: ...  # noqa: N802
        def Event(self) -> proxies.EventProxy: ...  # noqa: N802
        def Lock(self) -> proxies.AcquirerProxy: ...  # noqa: N802
        def RLock(self) -> proxies.AcquirerProxy: ...  # noqa: N802
        def Semaphore(self, value: int = 1) -> proxies.AcquirerProxy: ...  # noqa: N802
        def BoundedSemaphore(self, value: int = 1) -> proxies.AcquirerProxy: ...  # noqa: N802
        def Condition(self, lock: proxies.AcquirerProxy | None = None) -> proxies.ConditionProxy: ...  # noqa: N802
        def Barrier(  # noqa: N802
            self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
        ) -> proxies.BarrierProxy: ...
        def Pool(  # noqa: N802
            self,
            processes: int | None = None,
            initializer: Callable[..., object] | None = None,
            initargs: Iterable[Any] = (),
            maxtasksperchild: int | None = None,
        ) -> proxies.PoolProxy: ...
        def Namespace(self, **attributes: Any) -> proxies.NamespaceProxy: ...  # noqa: N802
        def Value(self, typecode: str, value: T, lock: object = True) -> proxies.ValueProxy[T]: ...  # noqa: N802
        def Array(  # noqa: N802
            self, typecode: str, sequence: Iterable[T], lock: object = True
        ) -> proxies.ArrayProxy[T]: ...
        @overload
        def list(self) -> proxies.ListProxy[Any]: ...
        @overload
        def list(self, items: Iterable[T], /) -> proxies.ListProxy[T]: ...
        def list(self, *args: Any, **kwds: Any) -> Any: ...
        @overload
        def set(self) -> proxies.SetProxy[Any]: ...
        @overload
        def set(self, members: Iterable[T], /) -> proxies.SetProxy[T]: ...
        def set(self, *args: Any, **kwds: Any) -> Any: ...
        @overload
        def dict(self) -> proxies.DictProxy[Any, Any]: ...
        @overload
        def dict(self, **values: V) -> proxies.DictProxy[str, V]: ...
        @overload
        def dict(self, values: Mapping[K, V], /) -> proxies.DictProxy[K, V]: ...
        @overload
        def dict(self, items: Iterable[tuple[K, V]], /) -> proxies.DictProxy[K, V]: ...
        def dict(self, *args: Any, **kwds: Any) -> Any: ...
        # fmt: on


def make_condition(lock: Any = None) -> sync_locks.Condition:
    """A condition; `lock` may be a proxy for a lock of the same manager."""
    return sync_locks.Condition(referent_of(lock))


_TYPES: tuple[tuple[str, Any, Any], ...] = (
    ("Queue", sync_types.Queue, None),
    ("JoinableQueue", sync_types.Queue, None),
    ("Event", threading.Event, proxies.EventProxy),
    ("Lock", sync_locks.Lock, proxies.AcquirerProxy),
    ("RLock", sync_locks.RLock, proxies.AcquirerProxy),
    ("Semaphore", sync_semaphores.Semaphore, proxies.AcquirerProxy),
    ("BoundedSemaphore", sync_semaphores.BoundedSemaphore, proxies.AcquirerProxy),
    ("Condition", make_condition, proxies.ConditionProxy),
    ("Barrier", sync_barrier.Barrier, proxies.BarrierProxy),
    ("Pool", Pool, proxies.PoolProxy),
    ("list", list, proxies.ListProxy),
    ("dict", dict, proxies.DictProxy),
    ("set", set, proxies.SetProxy),
    ("Value", sync_types.Value, proxies.ValueProxy),
    ("Array", sync_types.make_array, proxies.ArrayProxy),
    ("Namespace", sync_types.Namespace, proxies.NamespaceProxy),
)
for _typeid, _callable, _proxytype in _TYPES:
    SyncManager.register(_typeid, _callable, _proxytype)
SyncManager.register("Iterator", proxytype=proxies.IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)
SyncManager._registered.clear()  # the types above may be replaced
