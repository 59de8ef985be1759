"""Managers: start a server process, or connect to one, and make objects there.

Promises: `shutdown` ends the server in bounded time, however it behaves; a manager that is collected, or whose process ends, is shut down.
Not here: the server (`server.py`), the proxies (`proxy.py`, `proxies.py`).
"""

from __future__ import annotations

import array
import queue
import signal
import threading

from procession._managers import proxies
from procession._managers.protocol import Token, dispatch, listener_client
from procession._managers.proxy import AutoProxy
from procession._managers.registry import Entry
from procession._managers.server import Server
from procession._pools.pool import Pool
from procession._processes.process import current_process
from procession._processes.thread_process import Namespace, ThreadValue
from procession._runtime import Finalizer, state
from procession.errors import ProcessError

TYPE_CHECKING = False  # importing typing costs every child 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar, Self

__all__ = ["BaseManager", "State", "SyncManager"]

INITIAL, STARTED, SHUTDOWN = "initial", "started", "shutdown"


class State:
    """Where a manager is in its life; shared with its proxies."""

    __slots__ = ("value",)
    INITIAL, STARTED, SHUTDOWN = INITIAL, STARTED, SHUTDOWN

    def __init__(self) -> None:
        self.value: str = INITIAL


class BaseManager:
    """A manager: `start()` a server process of its own, `connect()` to one that runs, or serve in this process with `get_server()`.

    `address`: where the server listens (None: any); `authkey`: bytes, default that of this process; `serializer`: 'pickle' or 'xmlrpclib';
    `shutdown_timeout`: seconds that the server has at each step of its end. TypeError for a key that is not bytes.
    """

    _registry: ClassVar[dict[str, Entry]] = {}
    _Server = Server

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        if authkey is not None and not isinstance(authkey, bytes):
            raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}")
        if serializer not in listener_client:
            raise ValueError(f"unknown serializer {serializer!r}: use one of {', '.join(listener_client)}")
        self._address = address
        self._authkey = current_process().authkey if authkey is None else authkey
        self._state = State()
        self._serializer = serializer
        self._client = listener_client[serializer][1]
        self._ctx = ctx if ctx is not None else state.default_context.get_context()
        self._shutdown_timeout = shutdown_timeout
        self._process: Any = None

    # ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────
    def get_server(self) -> Server:
        """A server in this process: call its `serve_forever`."""
        self._check_initial("Already started server")
        return self._Server(self._registry, self._address, self._authkey, self._serializer)

    def connect(self) -> None:
        """Use the server that runs at the address."""
        with self._client(self._address, authkey=self._authkey) as connection:
            dispatch(connection, None, "dummy")
        self._state.value = STARTED

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start a server process, which calls `initializer(*initargs)` first. ProcessError if it is started already."""
        self._check_initial("Already started server")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        receiver, sender = self._ctx.Pipe(duplex=False)
        self._process = self._ctx.Process(
            target=type(self)._run_server,
            args=(self._registry, self._address, self._authkey, self._serializer, sender, initializer, tuple(initargs)),
        )
        self._process.name = f"{type(self).__name__}-{':'.join(str(number) for number in self._process._identity)}"
        self._process.start()
        sender.close()
        with receiver:
            self._address = receiver.recv()
        self._state.value = STARTED
        self.shutdown = Finalizer(
            self,
            type(self)._finalize_manager,
            args=(self._process, self._address, self._authkey, self._state, self._client, self._shutdown_timeout),
            exitpriority=0,
        )

    def _check_initial(self, already: str) -> None:
        if self._state.value == STARTED:
            raise ProcessError(already)
        if self._state.value == SHUTDOWN:
            raise ProcessError("Manager has shut down")

    @classmethod
    def _run_server(  # noqa: PLR0913 - what a server process gets
        cls,
        registry: dict[str, Entry],
        address: Any,
        authkey: bytes,
        serializer: str,
        sender: Any,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        """The main function of the server process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts the whole group; the owner decides
        if initializer is not None:
            initializer(*initargs)
        server = cls._Server(registry, address, authkey, serializer)
        sender.send(server.address)
        sender.close()
        current_process().authkey = authkey
        server.serve_forever()

    @staticmethod
    def _finalize_manager(  # noqa: PLR0913 - what the end of a manager needs, without the manager
        process: Any, address: Any, authkey: bytes, life: State, client: Callable[..., Any], shutdown_timeout: float
    ) -> None:
        """Ask the server to end; then terminate it; then kill it."""
        if process.is_alive():
            try:
                with client(address, authkey=authkey) as connection:
                    dispatch(connection, None, "shutdown")
            except (OSError, EOFError, ProcessError):
                process.terminate()  # it does not listen any more
            for harder in (process.terminate, process.kill):
                process.join(timeout=shutdown_timeout)
                if process.is_alive():
                    harder()
        process.join(timeout=shutdown_timeout)
        life.value = SHUTDOWN
        state.extra.get("manager_connections", {}).pop(address, None)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the server process to end, if this manager started one."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[Token, Any]:
        if self._state.value != STARTED:
            raise AssertionError("server not yet started")
        with self._client(self._address, authkey=self._authkey) as connection:
            ident, exposed = dispatch(connection, None, "create", (typeid, *args), kwds)
        return Token(typeid, self._address, ident), exposed

    @classmethod
    def register(  # noqa: PLR0913 - the documented signature
        cls,
        typeid: str,
        callable: Callable[..., Any] | None = None,
        proxytype: Any = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: dict[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Register a type: see the specification.

        TypeError if `typeid` is no string, or `method_to_typeid` does not map strings to strings.
        """
        if not isinstance(typeid, str):
            raise TypeError(f"typeid must be a string, not {type(typeid).__name__}")
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        proxytype = AutoProxy if proxytype is None else proxytype
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        method_to_typeid = method_to_typeid or getattr(proxytype, "_method_to_typeid_", None)
        for name, kind in (method_to_typeid or {}).items():
            if not isinstance(name, str) or not isinstance(kind, str):
                raise TypeError(f"method_to_typeid must map names to typeids, both strings, not {name!r} to {kind!r}")
        cls._registry[typeid] = Entry(
            callable, None if exposed is None else tuple(exposed), method_to_typeid, proxytype
        )
        if create_method:
            setattr(cls, typeid, _creator(typeid, proxytype))

    def _debug_info(self) -> str:
        with self._client(self._address, authkey=self._authkey) as connection:
            text: str = dispatch(connection, None, "debug_info")
        return text

    def _number_of_objects(self) -> int:
        with self._client(self._address, authkey=self._authkey) as connection:
            count: int = dispatch(connection, None, "number_of_objects")
        return count

    @property
    def address(self) -> Any:
        """Where the server listens."""
        return self._address

    def __enter__(self) -> Self:
        if self._state.value == INITIAL:
            self.start()
        if self._state.value != STARTED:
            raise ProcessError("Manager has shut down")
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()

    shutdown: Any  # there once the server process is started


def _creator(typeid: str, proxytype: Any) -> Callable[..., Any]:
    def create(self: BaseManager, /, *args: Any, **kwds: Any) -> Any:
        token, exposed = self._create(typeid, *args, **kwds)
        proxy = proxytype(token, self._serializer, manager=self, authkey=self._authkey, exposed=exposed)
        with self._client(token.address, authkey=self._authkey) as connection:
            dispatch(connection, None, "decref", (token.id,))
        return proxy

    create.__name__ = typeid
    create.__doc__ = f"A new {typeid} in the manager's process: a proxy for it."
    return create


def _array(typecode: str, sequence: Iterable[Any], lock: object = True) -> array.array[Any]:
    return array.array(typecode, sequence)


class SyncManager(BaseManager):
    """A manager of the usual types: containers, synchronisation, values, pools."""


_TYPES: tuple[tuple[str, Any, Any], ...] = (
    ("Queue", queue.Queue, None),
    ("JoinableQueue", queue.Queue, None),
    ("Event", threading.Event, proxies.EventProxy),
    ("Lock", threading.Lock, proxies.AcquirerProxy),
    ("RLock", threading.RLock, proxies.AcquirerProxy),
    ("Semaphore", threading.Semaphore, proxies.AcquirerProxy),
    ("BoundedSemaphore", threading.BoundedSemaphore, proxies.AcquirerProxy),
    ("Condition", threading.Condition, proxies.ConditionProxy),
    ("Barrier", threading.Barrier, proxies.BarrierProxy),
    ("Pool", Pool, proxies.PoolProxy),
    ("list", list, proxies.ListProxy),
    ("dict", dict, proxies.DictProxy),
    ("set", set, proxies.SetProxy),
    ("Value", ThreadValue, proxies.ValueProxy),
    ("Array", _array, proxies.ArrayProxy),
    ("Namespace", Namespace, proxies.NamespaceProxy),
)
for _typeid, _callable, _proxytype in _TYPES:
    SyncManager.register(_typeid, _callable, _proxytype)
SyncManager.register("Iterator", proxytype=proxies.IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)
