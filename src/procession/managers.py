"""Managers and proxies, under the standard library's module name."""

import procession._context  # noqa: F401 - the default context is there, whatever was imported first
from procession._managers.base_manager import BaseManager, State
from procession._managers.connecting import listener_client
from procession._managers.protocol import RemoteError, Token, dispatch
from procession._managers.protocol import to_error as convert_to_error
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
from procession._managers.registry import all_methods, public_methods
from procession._managers.server import Server
from procession._managers.shared_memory_manager import SharedMemoryManager, SharedMemoryServer
from procession._managers.sync_manager import SyncManager
from procession._managers.sync_types import Namespace, Value

__all__ = [
    "AcquirerProxy", "ArrayProxy", "AutoProxy", "BarrierProxy", "BaseListProxy", "BaseManager", "BasePoolProxy", "BaseProxy",
    "ConditionProxy", "DictProxy", "EventProxy", "IteratorProxy", "ListProxy", "MakeProxyType", "Namespace", "NamespaceProxy",
    "PoolProxy", "RebuildProxy", "RemoteError", "Server", "SetProxy", "SharedMemoryManager", "SharedMemoryServer", "State",
    "SyncManager", "Token", "Value", "ValueProxy", "all_methods", "convert_to_error", "dispatch", "listener_client", "public_methods",
]  # fmt: skip
