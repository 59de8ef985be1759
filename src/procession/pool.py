"""Pools, under the standard library's module name."""

import procession._context  # noqa: F401 - the default context is there, whatever was imported first
from procession._pools.failures import MaybeEncodingError, RemoteTraceback
from procession._pools.jobs import PoolState
from procession._pools.pool import Pool, ThreadPool
from procession._pools.results import AsyncResult, IMapIterator, IMapUnorderedIterator, MapResult
from procession._pools.worker import work as worker
from procession.errors import TimeoutError  # noqa: A004 - the documented name

ApplyResult = AsyncResult
INIT = "INIT"
RUN, CLOSE, TERMINATE = PoolState.RUN, PoolState.CLOSE, PoolState.TERMINATE

__all__ = [
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
    "TimeoutError",
    "worker",
]
