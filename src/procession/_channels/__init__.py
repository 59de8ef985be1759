"""Messages between processes: connections, listeners, queues, pickling, and waiting for several of them.

Whoever imports a module of this floor has the native codec told what to do with objects that it cannot say by itself.
"""

from __future__ import annotations

from procession import _native
from procession._channels.payload import pack, unpack
from procession._channels.pickling import fallback_dumps, fallback_loads

_native.configure(
    fallback_dumps=fallback_dumps, fallback_loads=fallback_loads, fallback_pack=pack, fallback_unpack=unpack
)
