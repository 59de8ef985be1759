"""The names that travel between managers and proxies: in a message they stand under `multiprocessing.managers`, which is as long.

Not here: their definitions. A pickle that names one of them finds it here (`protocol.py` says how).
"""

from procession._managers.manager import BaseManager, SyncManager
from procession._managers.protocol import RemoteError, Token
from procession._managers.proxies import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
    BaseListProxy,
    BasePoolProxy,
    ConditionProxy,
    DictProxy,
    EventProxy,
    IteratorProxy,
    ListProxy,
    NamespaceProxy,
    PoolProxy,
    SetProxy,
    ValueProxy,
)
from procession._managers.proxy import AutoProxy, BaseProxy, MakeProxyType, RebuildProxy
from procession._processes.thread_process import Namespace
from procession._processes.thread_process import ThreadValue as Value

for _name in (BaseProxy, RemoteError):
    _name.__module__ = __name__

__all__ = [
    "AcquirerProxy", "ArrayProxy", "AutoProxy", "BarrierProxy", "BaseListProxy", "BaseManager", "BasePoolProxy", "BaseProxy",
    "ConditionProxy", "DictProxy", "EventProxy", "IteratorProxy", "ListProxy", "MakeProxyType", "Namespace", "NamespaceProxy",
    "PoolProxy", "RebuildProxy", "RemoteError", "SetProxy", "SyncManager", "Token", "Value", "ValueProxy",
]  # fmt: skip
