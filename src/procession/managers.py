"""Managers and proxies, under the standard library's module name."""

import procession._context  # noqa: F401 - the default context is there, whatever was imported first
from procession._managers.api import (
    AcquirerProxy,
    ArrayProxy,
    AutoProxy,
    BarrierProxy,
    BaseListProxy,
    BaseManager,
    BasePoolProxy,
    BaseProxy,
    ConditionProxy,
    DictProxy,
    EventProxy,
    IteratorProxy,
    ListProxy,
    MakeProxyType,
    Namespace,
    NamespaceProxy,
    PoolProxy,
    RebuildProxy,
    RemoteError,
    SetProxy,
    SyncManager,
    Token,
    Value,
    ValueProxy,
)
from procession._managers.manager import State
from procession._managers.protocol import dispatch, listener_client
from procession._managers.protocol import to_error as convert_to_error
from procession._managers.registry import all_methods, public_methods
from procession._managers.server import Server
from procession._managers.shared_memory_manager import SharedMemoryManager, SharedMemoryServer

__all__ = [
    "AcquirerProxy", "ArrayProxy", "AutoProxy", "BarrierProxy", "BaseListProxy", "BaseManager", "BasePoolProxy", "BaseProxy",
    "ConditionProxy", "DictProxy", "EventProxy", "IteratorProxy", "ListProxy", "MakeProxyType", "Namespace", "NamespaceProxy",
    "PoolProxy", "RebuildProxy", "RemoteError", "Server", "SetProxy", "SharedMemoryManager", "SharedMemoryServer", "State",
    "SyncManager", "Token", "Value", "ValueProxy", "all_methods", "convert_to_error", "dispatch", "listener_client", "public_methods",
]  # fmt: skip
