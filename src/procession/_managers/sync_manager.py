"""`SyncManager`: the manager of the usual types.

Not here: managers as such (`base_manager.py`), the types themselves (`sync_types.py`, `sync_locks.py`), their proxies (`proxies.py`).
"""

from __future__ import annotations

import threading

from procession._managers import proxies, sync_locks, sync_types
from procession._managers.base_manager import INITIAL, SHUTDOWN, STARTED, BaseManager, State
from procession._managers.proxy import referent_of
from procession._pools.pool import Pool

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["INITIAL", "SHUTDOWN", "STARTED", "BaseManager", "State", "SyncManager"]


class SyncManager(BaseManager):
    """A manager of containers, synchronisation, values and pools; objects that are nested in others may be, too.

    `Array`, `Barrier`, `BoundedSemaphore`, `Condition`, `Event`, `JoinableQueue`, `Lock`, `Namespace`, `Pool`, `Queue`, `RLock`,
    `Semaphore`, `Value`, `dict`, `list` and `set` make an object in the server and return a proxy for it.
    """


def make_condition(lock: Any = None) -> sync_locks.Condition:
    """A condition; `lock` may be a proxy for a lock of the same manager."""
    return sync_locks.Condition(referent_of(lock))


_TYPES: tuple[tuple[str, Any, Any], ...] = (
    ("Queue", sync_types.Queue, None),
    ("JoinableQueue", sync_types.Queue, None),
    ("Event", threading.Event, proxies.EventProxy),
    ("Lock", sync_locks.Lock, proxies.AcquirerProxy),
    ("RLock", sync_locks.RLock, proxies.AcquirerProxy),
    ("Semaphore", sync_types.Semaphore, proxies.AcquirerProxy),
    ("BoundedSemaphore", sync_types.BoundedSemaphore, proxies.AcquirerProxy),
    ("Condition", make_condition, proxies.ConditionProxy),
    ("Barrier", threading.Barrier, proxies.BarrierProxy),
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
